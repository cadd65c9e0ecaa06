//! Trying an account out: a real call for each operation, and what is told when it fails.

use std::sync::Arc;
use std::time::Duration;

use dialects::registry;
use domain::ids::ProviderId;
use domain::provider::{Operation, ProviderKind};
use gateway::probe::{Answer, Ask, Failure, FailureKind, Probed, Prober};
use gateway::settings::Timeouts;
use gateway::snapshot::{ProviderAccount, Snapshot};
use loadtest::upstream::{self, Config, Fault, Kind, Rule, UpstreamHandle};
use secrecy::SecretString;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::helpers::soon;

/// Must never be told.
const CANARY: &str = "sk-canary-4711-never-told";

fn account(kind: ProviderKind, base_url: &str) -> ProviderAccount {
    ProviderAccount {
        id: ProviderId(Uuid::now_v7()),
        tenant: None,
        name: "tried".to_owned(),
        kind,
        base_url: base_url.to_owned(),
        api_key: Some(SecretString::from(CANARY)),
        credential: None,
        region: None,
        allow_insecure: true,
    }
}

async fn upstream(kind: Kind) -> UpstreamHandle {
    let config = Config { kind, api_key: Some(CANARY.to_owned()), ..Config::default() };
    upstream::start(config).await.unwrap()
}

async fn probe(account: ProviderAccount, operation: Operation, ask: Ask) -> Probed {
    probe_within(Timeouts::default(), account, operation, ask).await
}

async fn probe_within(timeouts: Timeouts, account: ProviderAccount, operation: Operation, ask: Ask) -> Probed {
    let (prober, account) = (Prober::new(timeouts), Arc::new(account));
    // The control plane runs it on whatever thread is free.
    let probed = tokio::spawn(async move { prober.probe(&Snapshot::default(), &account, operation, &ask).await });
    let probed = soon(probed).await.unwrap();
    assert!(!format!("{probed:?}").contains(CANARY), "{probed:?}");
    probed
}

fn failed(probed: &Probed) -> &Failure {
    probed.outcome.as_ref().expect_err("this should have failed")
}

#[tokio::test]
async fn every_operation_of_every_kind_can_be_tried_out() {
    for (kind, provider) in [
        (Kind::Openai, ProviderKind::Openai),
        (Kind::Azure, ProviderKind::Azure),
        (Kind::Groq, ProviderKind::Groq),
        (Kind::SelfHosted, ProviderKind::OpenaiCompatible),
        (Kind::Elevenlabs, ProviderKind::Elevenlabs),
        (Kind::Deepgram, ProviderKind::Deepgram),
        (Kind::Google, ProviderKind::Google),
        (Kind::Ultravox, ProviderKind::Ultravox),
    ] {
        let upstream = upstream(kind).await;
        let row = registry::provider(provider).unwrap();
        for operation in Operation::ALL.iter().copied().filter(|operation| *operation != Operation::Passthrough) {
            let what = format!("{provider} {operation}");
            let probed = probe(account(provider, &upstream.base_url()), operation, Ask::default()).await;
            match &probed.outcome {
                Ok(answer) => {
                    assert!(row.has(operation), "{what}");
                    assert!(
                        probed.http_status.is_some_and(|status| matches!(status, 101 | 200 | 201)),
                        "{what}: {probed:?}"
                    );
                    assert!(probed.first_byte_ms.is_some_and(|first| first <= probed.total_ms), "{what}: {probed:?}");
                    match answer {
                        Answer::Text(text) => assert!(!text.is_empty() && operation != Operation::Speech, "{what}"),
                        Answer::Speech { length, audio, content_type } => {
                            let audio = audio.as_ref().unwrap();
                            assert_eq!((audio.len() as u64, operation), (*length, Operation::Speech), "{what}");
                            assert_eq!(audio.starts_with(b"RIFF"), *content_type == "audio/wav", "{what}");
                        }
                    }
                }
                Err(failure) if failure.kind == FailureKind::ModelRequired => {
                    assert!(dialects::probes::trial(provider, operation).is_none(), "{what}");
                }
                Err(failure) => {
                    assert_eq!(failure.kind, FailureKind::Unsupported, "{what}: {probed:?}");
                    assert!(!row.has(operation), "{what}: {probed:?}");
                }
            }
        }
        assert!(upstream.counts().violations.is_empty(), "{provider}: {:?}", upstream.counts().violations);
    }
}

#[tokio::test]
async fn a_model_of_one_s_own_and_a_conversation_can_be_tried_out() {
    let own = upstream(Kind::SelfHosted).await;
    let ask = |model: &str| Ask { model: Some(model.to_owned()), ..Ask::default() };
    for operation in [Operation::Chat, Operation::Speech, Operation::Transcription] {
        let probed = probe(account(ProviderKind::OpenaiCompatible, &own.base_url()), operation, ask("my-model")).await;
        assert!(probed.outcome.is_ok(), "{probed:?}");
        assert_eq!(own.requests().pop().unwrap().json["model"].as_str().unwrap_or("my-model"), "my-model");
    }
    let deepgram = upstream(Kind::Deepgram).await;
    let conversation = ask("voice-agent");
    let probed = probe(account(ProviderKind::Deepgram, &deepgram.base_url()), Operation::Realtime, conversation).await;
    assert!(probed.outcome.is_ok(), "{probed:?}");
}

#[tokio::test]
async fn the_local_programs_can_be_tried_out() {
    let local = || ProviderAccount { api_key: None, ..account(ProviderKind::Local, "") };
    let spoken = probe(local(), Operation::Speech, Ask::default()).await;
    let Ok(Answer::Speech { content_type: "audio/wav", length, .. }) = spoken.outcome else { panic!("{spoken:?}") };
    assert!(length > 1000);
    let heard = probe(local(), Operation::Transcription, Ask::default()).await;
    assert_eq!(heard.outcome, Ok(Answer::Text("hello".to_owned())));
    let session = probe(local(), Operation::Realtime, Ask::default()).await;
    assert!(matches!(session.outcome, Ok(Answer::Text(_))), "{session:?}");
    let chat = probe(local(), Operation::Chat, Ask::default()).await;
    assert_eq!(failed(&chat).kind, FailureKind::Unsupported);
}

#[tokio::test]
async fn a_refusal_tells_the_provider_s_own_sentence_and_no_credential() {
    let openai = upstream(Kind::Openai).await;
    let at = || account(ProviderKind::Openai, &openai.base_url());
    let says = |status, sentence: &str| Fault {
        status: Some(status),
        body: Some(format!(r#"{{"error": {{"message": "{sentence} {CANARY}", "type": "x", "code": null}}}}"#)),
        ..Fault::default()
    };
    for (status, kind) in [
        (401, FailureKind::CredentialRefused),
        (429, FailureKind::RateLimited),
        (500, FailureKind::Failed),
        (404, FailureKind::Refused),
    ] {
        for operation in [Operation::Chat, Operation::Speech, Operation::Transcription, Operation::Realtime] {
            openai.script(Rule::once("", says(status, "This went wrong:")));
            let probed = probe(at(), operation, Ask::default()).await;
            assert_eq!((failed(&probed).kind, probed.http_status), (kind, Some(status)), "{operation}: {probed:?}");
            assert!(failed(&probed).message.contains("This went wrong"), "{probed:?}");
        }
    }
    let wrong = ProviderAccount { api_key: Some(SecretString::from("sk-wrong")), ..at() };
    let probed = probe(wrong, Operation::Embeddings, Ask::default()).await;
    assert_eq!((failed(&probed).kind, probed.http_status), (FailureKind::CredentialRefused, Some(401)));
}

#[tokio::test]
async fn an_answer_that_repeats_the_credential_is_masked() {
    let openai = upstream(Kind::Openai).await;
    let echo = Fault { text: Some(format!("You sent {CANARY}, did you not?")), ..Fault::default() };
    openai.script(Rule::once("", echo));
    let probed = probe(account(ProviderKind::Openai, &openai.base_url()), Operation::Chat, Ask::default()).await;
    assert_eq!(probed.outcome, Ok(Answer::Text("You sent …, did you not?".to_owned())));
    let audio = Fault { body: Some(format!("RIFF{CANARY}")), status: Some(200), ..Fault::default() };
    let audio = Fault { headers: [("content-type".to_owned(), "audio/wav".to_owned())].into(), ..audio };
    openai.script(Rule::once("", audio));
    let probed = probe(account(ProviderKind::Openai, &openai.base_url()), Operation::Speech, Ask::default()).await;
    assert!(matches!(probed.outcome, Ok(Answer::Speech { audio: None, .. })), "{probed:?}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_as_such() {
    let openai = upstream(Kind::Openai).await;
    for operation in [Operation::Chat, Operation::Speech, Operation::Transcription, Operation::Embeddings] {
        openai.script(Rule::once("", Fault { html: true, ..Fault::default() }));
        let probed = probe(account(ProviderKind::Openai, &openai.base_url()), operation, Ask::default()).await;
        assert_eq!((failed(&probed).kind, probed.http_status), (FailureKind::Unreadable, Some(200)), "{operation}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_not_waited_for() {
    let openai = upstream(Kind::Openai).await;
    let short = Timeouts { first_byte: Duration::from_millis(100), ..Timeouts::default() };
    for operation in [Operation::Chat, Operation::Realtime] {
        // A session is accepted, and nothing is said in it.
        let hang = operation != Operation::Realtime;
        openai.script(Rule::once("", Fault { hang, delay_ms: Some(60_000), ..Fault::default() }));
        let at = account(ProviderKind::Openai, &openai.base_url());
        let probed = probe_within(short, at, operation, Ask::default()).await;
        assert_eq!(failed(&probed).kind, FailureKind::Timeout, "{probed:?}");
    }
    // Bound and dropped: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for operation in [Operation::Chat, Operation::Realtime] {
        let probed =
            probe(account(ProviderKind::Openai, &format!("http://{free}/v1")), operation, Ask::default()).await;
        assert_eq!((failed(&probed).kind, probed.http_status), (FailureKind::Unreachable, None), "{probed:?}");
    }
}

#[tokio::test]
async fn private_addresses_and_plain_http_are_refused_as_for_every_call() {
    let openai = upstream(Kind::Openai).await;
    let plain = ProviderAccount { allow_insecure: false, ..account(ProviderKind::Openai, &openai.base_url()) };
    let probed = probe(plain.clone(), Operation::Chat, Ask::default()).await;
    assert_eq!(failed(&probed).kind, FailureKind::Forbidden);
    let port = openai.addr.port();
    for operation in [Operation::Chat, Operation::Realtime] {
        let private = ProviderAccount { base_url: format!("https://localhost:{port}/v1"), ..plain.clone() };
        let probed = probe(private, operation, Ask::default()).await;
        assert_eq!(failed(&probed).kind, FailureKind::Unreachable, "{probed:?}");
    }
    assert!(openai.requests().is_empty(), "nothing was sent");
}
