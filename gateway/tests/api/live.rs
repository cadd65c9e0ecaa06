//! Transcription sessions over vendors whose language is translated: what a client of `OpenAI`'s sees, what
//! the vendors are sent, and what is billed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::pricing::Unit;
use domain::provider::ProviderKind;
use domain::usage::{UsageSource, UsageStatus};
use gateway::realtime::session::Session;
use loadtest::live::hearing::{word_audio, word_text};
use loadtest::live::{self, Handle};
use loadtest::upstream::{self, Fault, Rule};
use serde_json::{Value, json};

use crate::helpers::{KEY, Realtime, Setup, TestApp, soon, target};

const COMPLETED: &str = "conversation.item.input_audio_transcription.completed";
const DELTA: &str = "conversation.item.input_audio_transcription.delta";
const UPDATED: &str = "session.updated";

const VENDORS: [(ProviderKind, &str); 5] = [
    (ProviderKind::Deepgram, "nova-3"),
    (ProviderKind::Deepgram, "flux-general-en"),
    (ProviderKind::Elevenlabs, "scribe_v2_realtime"),
    (ProviderKind::Elevenlabs, "scribe_v3_live"),
    (ProviderKind::Google, "gemini-3.5-transcribe-live"),
];

/// A gateway with every vendor behind it, and the vendors.
async fn started(change: impl FnOnce(&mut Setup, &Handle)) -> (TestApp, Handle) {
    let vendors = live::start(live::Config::default()).await.unwrap();
    let mut setup = Setup::new().await;
    for (kind, model) in VENDORS {
        let name = kind.to_string();
        setup.provider_of(kind, &name, &vendors.base_url());
        setup.route(model, vec![target(&name, model, 0)]);
        if kind == ProviderKind::Google {
            setup.live_price(kind, model, Unit::AudioIn, "3.5");
            setup.live_price(kind, model, Unit::TextOut, "21");
        } else {
            setup.live_price(kind, model, Unit::AudioMinute, "0.006");
        }
    }
    change(&mut setup, &vendors);
    (setup.start().await, vendors)
}

/// A session that has been configured as `input` says.
async fn open(app: &TestApp, model: &str, mut input: Value) -> Realtime {
    let mut session = app.realtime("intent=transcription", KEY).await.unwrap();
    assert_eq!(session.event().await["type"], "session.created");
    input["transcription"]["model"] = model.into();
    session
        .say(&json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input": input}}}))
        .await;
    let updated = session.until(UPDATED).await;
    assert_eq!(updated.pointer("/session/audio/input/transcription/model").unwrap(), model);
    session
}

async fn append(session: &mut Realtime, audio: &[u8]) {
    for piece in audio.chunks(4_800) {
        let audio = STANDARD.encode(piece);
        session.say(&json!({"type": "input_audio_buffer.append", "audio": audio})).await;
    }
}

/// Words of a third of a second each, and a second of silence.
fn utterance(words: std::ops::Range<u32>) -> Vec<u8> {
    let mut audio: Vec<u8> = words.flat_map(|word| word_audio(word, 340, 24_000)).collect();
    audio.resize(audio.len() + 48_000, 0);
    audio
}

fn texts(words: std::ops::Range<u32>) -> String {
    words.map(word_text).collect::<Vec<_>>().join(" ")
}

/// Everything up to a completed item, and the item.
async fn completed(session: &mut Realtime) -> (Vec<Value>, Value) {
    let mut events = Vec::new();
    loop {
        let event = session.event().await;
        assert_ne!(event["type"], "error", "{event}");
        if event["type"] == COMPLETED {
            return (events, event);
        }
        events.push(event);
    }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).filter(|kind| *kind != DELTA).collect()
}

fn told(events: &[Value]) -> String {
    events.iter().filter(|event| event["type"] == DELTA).map(|event| event["delta"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn turns_of_every_vendor_are_items_with_deltas_and_every_second_is_billed() {
    let (app, vendors) = started(|_, _| ()).await;
    for (kind, model) in VENDORS {
        let before = vendors.seen();
        let mut session = open(&app, model, json!({"turn_detection": {"type": "server_vad"}})).await;
        append(&mut session, &utterance(0..10)).await;
        append(&mut session, &utterance(10..14)).await;
        let mut seconds = 0.0;
        for words in [0..10, 10..14] {
            let (events, completed) = completed(&mut session).await;
            let order = [
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
                "conversation.item.added",
                "conversation.item.done",
            ];
            assert_eq!(kinds(&events), order, "{model}");
            assert_eq!(completed["transcript"], texts(words), "{model}");
            assert_eq!(told(&events), completed["transcript"].as_str().unwrap(), "{model}: nothing was revised");
            assert!(events.iter().all(|event| event.get("item_id").is_none_or(|id| *id == completed["item_id"])));
            seconds += completed["usage"]["seconds"].as_f64().unwrap();
        }
        let id = session.id;
        session.socket.close(None).await.unwrap();
        app.no_session_left().await;
        let records = app.records_of(KEY, id).await;
        let billed: u64 = records.iter().map(|record| record.usage.audio_in_ms).sum();
        // The last frames are on their way to the vendor still.
        soon(async {
            while vendors.seen().audio_ms - before.audio_ms < billed {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let seen = vendors.seen();
        assert_eq!(seen.violations, Vec::<String>::new(), "{model}");
        assert_eq!(billed, seen.audio_ms - before.audio_ms, "{model}: {records:?}");
        assert!((seconds * 1000.0).round() as u64 <= billed, "{model}");
        let source = if kind == ProviderKind::Google { UsageSource::Estimated } else { UsageSource::Measured };
        assert!(records.iter().all(|record| record.usage_source == source && record.cost.is_some()), "{records:?}");
    }
}

#[tokio::test]
async fn commits_by_hand_are_answered_by_every_vendor_in_their_order() {
    let (app, vendors) = started(|_, _| ()).await;
    for (_, model) in VENDORS {
        let mut session = open(&app, model, json!({"turn_detection": null})).await;
        for words in [0..3, 3..5] {
            append(&mut session, &words.clone().flat_map(|word| word_audio(word, 340, 24_000)).collect::<Vec<_>>())
                .await;
            session.say(&json!({"type": "input_audio_buffer.commit"})).await;
        }
        for words in [0..3, 3..5] {
            let (events, completed) = completed(&mut session).await;
            assert!(!kinds(&events).contains(&"input_audio_buffer.speech_started"), "{model}");
            assert_eq!(completed["transcript"], texts(words), "{model}");
        }
        drop(session);
    }
    assert_eq!(vendors.seen().violations, Vec::<String>::new());
}

#[tokio::test]
async fn telephones_are_understood_by_every_vendor() {
    let (app, vendors) = started(|_, _| ()).await;
    for (_, model) in VENDORS {
        for format in ["audio/pcmu", "audio/pcma"] {
            let before = vendors.seen().words.len();
            let mut session = open(&app, model, json!({"format": {"type": format}, "turn_detection": null})).await;
            // Loud, then as silent as each of the two codes can be.
            let silence = if format == "audio/pcmu" { 0xff } else { 0xd5 };
            append(&mut session, &[vec![0x8f; 4_000], vec![silence; 2_000]].concat()).await;
            session.say(&json!({"type": "input_audio_buffer.commit"})).await;
            let (_, completed) = completed(&mut session).await;
            let words = vendors.seen().words.split_off(before);
            assert_eq!(words.len(), 1, "{model} {format}: {words:?}");
            assert_eq!(completed["transcript"], words[0], "{model} {format}");
        }
    }
    assert_eq!(vendors.seen().violations, Vec::<String>::new());
}

#[tokio::test]
async fn a_vendor_that_drops_is_connected_again_and_no_word_is_lost() {
    for (_, model) in VENDORS {
        let (app, vendors) = started(|_, vendors| vendors.drop_after(1_500)).await;
        let mut session = open(&app, model, json!({"turn_detection": {"type": "server_vad"}})).await;
        append(&mut session, &utterance(0..8)).await;
        let (_, completed) = completed(&mut session).await;
        assert_eq!(completed["transcript"], texts(0..8), "{model}");
        assert_eq!(vendors.seen().connections.len(), 2, "{model}");
        assert_eq!(vendors.seen().violations, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_vendor_that_drops_again_and_again_ends_the_session_and_what_it_had_is_billed() {
    let (app, _vendors) = started(|_, vendors| (0..4).for_each(|_| vendors.drop_after(300))).await;
    let mut session = open(&app, "nova-3", json!({})).await;
    append(&mut session, &utterance(0..8)).await;
    let error = session.until("error").await;
    assert_eq!(error["error"]["code"], "upstream_error", "{error}");
    assert_eq!(session.closed().await, 1011);
    app.no_session_left().await;
    let records = app.records_of(KEY, session.id).await;
    assert_eq!(records.last().map(|record| record.status), Some(UsageStatus::UpstreamError));
    assert!(records.iter().map(|record| record.usage.audio_in_ms).sum::<u64>() >= 600);
}

#[tokio::test]
async fn audio_that_became_no_item_is_billed_when_its_client_hangs_up() {
    let (app, vendors) = started(|_, _| ()).await;
    let mut session = open(&app, "nova-3", json!({"turn_detection": null})).await;
    append(&mut session, &utterance(0..5)).await;
    soon(async {
        while vendors.seen().audio_ms < 2_700 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let id = session.id;
    drop(session);
    app.no_session_left().await;
    let records = app.records_of(KEY, id).await;
    let told = records.iter().map(|record| (record.status, record.usage.audio_in_ms)).collect::<Vec<_>>();
    assert_eq!(told, [(UsageStatus::ClientClosed, 2_700)]);
    // 0.6 cents a minute, and a fifth more since no language was named.
    assert_eq!(records[0].cost.map(|cost| cost.0), Some(2_700 * 100 * 120 / 100));
    soon(async {
        while !vendors.seen().messages.iter().any(|message| message.contains("CloseStream")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_vendor_refuses_is_an_error_event() {
    let (app, _vendors) = started(|setup, _| setup.credential("deepgram", "sk-some-other-credential")).await;
    let mut session = open(&app, "nova-3", json!({})).await;
    let update = |transcription: Value| {
        json!({"type": "session.update", "event_id": "mine", "session": {"type": "transcription",
            "audio": {"input": {"transcription": transcription}}}})
    };
    session.say(&update(json!({"prompt": "Names of tea."}))).await;
    let error = session.until("error").await;
    assert_eq!(error["error"]["param"], "session.audio.input.transcription.prompt", "{error}");
    assert_eq!(error["error"]["event_id"], "mine");
    append(&mut session, &utterance(0..2)).await;
    let error = session.until("error").await;
    assert_eq!(error["error"]["code"], "upstream_error", "{error}");
    assert!(!error.to_string().contains("sk-some-other"), "{error}");
    assert_eq!(session.closed().await, 1011);
    assert_eq!(app.refused("model=nova-3", KEY).await, (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn a_language_that_changes_between_utterances_is_heard_on_a_new_socket() {
    let (app, vendors) = started(|_, _| ()).await;
    let mut session = open(&app, "nova-3", json!({"transcription": {"language": "en"}})).await;
    append(&mut session, &utterance(0..4)).await;
    assert_eq!(completed(&mut session).await.1["transcript"], texts(0..4));
    session
        .say(&json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input":
            {"transcription": {"language": "fr"}}}}}))
        .await;
    append(&mut session, &utterance(4..8)).await;
    assert_eq!(completed(&mut session).await.1["transcript"], texts(4..8));
    let seen = vendors.seen();
    assert_eq!((seen.connections.len(), seen.violations.len()), (2, 0));
    assert!(seen.connections[1].contains("language=fr"), "{:?}", seen.connections);
    // A session task is small: what is large stands behind pointers.
    assert!(size_of::<Session>() < 8 * 1024, "{}", size_of::<Session>());
}

#[tokio::test]
async fn a_provider_of_files_is_sent_utterances_and_bills_nothing_else() {
    let config = upstream::Config { kind: upstream::Kind::Groq, ..upstream::Config::default() };
    let groq = upstream::start(config).await.unwrap();
    let model = "whisper-large-v3-turbo";
    let (app, _vendors) = started(|setup, _| {
        setup.provider_of(ProviderKind::Groq, "groq", &groq.base_url());
        setup.route(model, vec![target("groq", model, 0)]);
        setup.live_price(ProviderKind::Groq, model, Unit::AudioHour, "0.04");
    })
    .await;
    let mut session = open(&app, model, json!({"transcription": {"language": "en"}})).await;
    append(&mut session, &utterance(0..4)).await;
    let (events, first) = completed(&mut session).await;
    assert!(kinds(&events).starts_with(&["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"]));
    let seconds = first["usage"]["seconds"].as_f64().unwrap();
    assert!((1.4..2.5).contains(&seconds), "the speech, its padding and the silence that ended it: {first}");
    // A refusal is told of its item, and the session goes on.
    groq.script(Rule::once("audio/transcriptions", Fault { status: Some(400), ..Fault::default() }));
    append(&mut session, &utterance(4..8)).await;
    let failed = session.until("conversation.item.input_audio_transcription.failed").await;
    assert_ne!(failed["item_id"], first["item_id"]);
    append(&mut session, &utterance(8..12)[..48_000]).await;
    session.say(&json!({"type": "input_audio_buffer.commit"})).await;
    let (_, last) = completed(&mut session).await;
    assert_eq!(last["transcript"], first["transcript"]);
    let id = session.id;
    drop(session);
    app.no_session_left().await;
    let records = app.records_of(KEY, id).await;
    let told = |item: &Value| (item["usage"]["seconds"].as_f64().unwrap() * 1000.0).round() as u64;
    let billed: Vec<u64> = records.iter().map(|record| record.usage.audio_in_ms).collect();
    assert_eq!(billed, [told(&first), told(&last)], "{records:?}");
    assert!(records.iter().all(|record| record.cost.is_some() && record.status == UsageStatus::Ok), "{records:?}");
    assert_eq!(groq.counts().violations, Vec::<String>::new());
}

#[tokio::test]
async fn a_server_of_ones_own_is_sent_utterances_where_its_target_says_so() {
    let config = upstream::Config { kind: upstream::Kind::SelfHosted, ..upstream::Config::default() };
    let own = upstream::start(config).await.unwrap();
    let (app, _vendors) = started(|setup, _| {
        setup.provider_of(ProviderKind::OpenaiCompatible, "own", &own.base_url());
        let mut cut = target("own", "any-whisper", 0);
        cut.options.insert("live".to_owned(), "utterances".to_owned());
        setup.route("cut", vec![cut]);
    })
    .await;
    let mut session = open(&app, "cut", json!({"turn_detection": null})).await;
    append(&mut session, &utterance(0..4)).await;
    session.say(&json!({"type": "input_audio_buffer.commit"})).await;
    let (_, item) = completed(&mut session).await;
    assert!(!item["transcript"].as_str().unwrap().is_empty(), "{item}");
    let asked = own.requests();
    assert!(asked.iter().all(|request| request.path.ends_with("/audio/transcriptions")), "{asked:?}");
}
