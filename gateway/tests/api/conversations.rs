//! Conversations over vendors whose agents are translated: what is billed, and how every end of a session
//! reaches the vendor. What is said is the translators' own test.

use domain::ids::PriceId;
use domain::pricing::{Price, Unit};
use domain::provider::{Operation, ProviderKind};
use domain::usage::{UsageSource, UsageStatus};
use gateway::repositories::usage::StoredUsage;
use gateway::snapshot::{ListedPrice, Snapshot};
use gateway::startup::swap_snapshot;
use loadtest::live::{self, Handle};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::helpers::{KEY, Realtime, Setup, TestApp, budget, soon, target};

/// A price of 5 cents a minute, in steps of six seconds.
const STEP_NANO_USD: i64 = 5_000_000;

/// A gateway with an agent behind it, and the vendor.
async fn started(change: impl FnOnce(&mut Setup, &Handle)) -> (TestApp, Handle) {
    let vendors = live::start(live::Config::default()).await.unwrap();
    let mut setup = Setup::new().await;
    setup.provider_of(ProviderKind::Ultravox, "ultravox", &format!("{}/api", vendors.base_url()));
    setup.route("agent", vec![target("ultravox", "ultravox-v0.7", 0)]);
    setup.live_price(ProviderKind::Ultravox, "ultravox-v0.7", Unit::AudioMinute, "0.05");
    change(&mut setup, &vendors);
    (setup.start().await, vendors)
}

/// An account of the vendor's at which nobody answers.
fn unreachable(setup: &mut Setup) {
    setup.provider_of(ProviderKind::Ultravox, "dead", "http://127.0.0.1:1/api");
}

/// A session with an agent, which is connected.
async fn open(app: &TestApp, query: &str) -> Realtime {
    let mut session = app.realtime(query, KEY).await.unwrap();
    assert_eq!(session.event().await["type"], "session.created");
    configure(&mut session).await;
    session
}

async fn configure(session: &mut Realtime) {
    // No key may name this model, and no target has it: the agent hears by itself.
    let input = json!({"transcription": {"model": "whatever-transcribes"}});
    let update = json!({"type": "session.update", "session": {"type": "realtime", "instructions": "Be kind.",
        "audio": {"input": input}}});
    session.say(&update).await;
    let updated = session.event().await;
    assert_eq!(updated["type"], "session.updated", "{updated}");
    assert_eq!(updated["session"]["audio"]["input"]["transcription"]["model"], "whatever-transcribes");
}

/// What the agent says to this.
async fn ask(session: &mut Realtime, text: &str) -> Value {
    let content = json!([{"type": "input_text", "text": text}]);
    let item = json!({"type": "message", "role": "user", "content": content});
    session.say(&json!({"type": "conversation.item.create", "item": item})).await;
    session.say(&json!({"type": "response.create"})).await;
    session.until("response.done").await
}

/// The vendor was told that the call is over, and its socket is closed.
async fn left(vendors: &Handle) {
    soon(async {
        while !vendors.seen().messages.iter().any(|message| message.contains("hang_up")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(vendors.seen().violations, Vec::<String>::new());
}

/// The whole steps that were billed; each is measured and priced.
fn steps(records: &[StoredUsage]) -> i64 {
    let mut steps = 0;
    for record in records {
        assert_eq!(record.usage_source, UsageSource::Measured, "{records:?}");
        assert_eq!(record.usage.audio_in_ms % 6_000, 0, "{records:?}");
        let these = i64::try_from(record.usage.audio_in_ms / 6_000).unwrap();
        assert_eq!(record.cost.map(|cost| cost.0), Some(these * STEP_NANO_USD), "{records:?}");
        steps += these;
    }
    steps
}

#[tokio::test]
async fn the_time_of_a_conversation_is_billed_once_in_whole_steps() {
    let (app, vendors) = started(|_, _| ()).await;
    let mut session = open(&app, "model=agent").await;
    assert_eq!(app.noted(session.id), 1, "a kill would leave a record of the connection");
    for text in ["one", "two"] {
        let done = ask(&mut session, text).await;
        assert_eq!(done["response"]["status"], "completed", "{done}");
        assert_eq!(app.noted(session.id), 1, "of what follows too");
    }
    let id = session.id;
    session.socket.close(None).await.unwrap();
    app.no_session_left().await;
    left(&vendors).await;
    let records = app.records_of(KEY, id).await;
    // Two short answers: it was one step, or at a very slow machine some more.
    assert!(steps(&records) >= 1 && records.len() <= 3, "{records:?}");
    assert_eq!((records[0].status, records[0].model_served.as_str()), (UsageStatus::Ok, "ultravox-v0.7"));
    assert_eq!(app.noted(id), 0);
}

#[tokio::test]
async fn a_vendor_that_bills_by_the_millisecond_is_paid_by_it_for_each_turn_and_for_the_rest() {
    let (app, vendors) = started(|setup, vendors| {
        setup.provider_of(ProviderKind::Deepgram, "deepgram", &vendors.base_url());
        setup.route("deepgram-agent", vec![target("deepgram", "voice-agent", 0)]);
        setup.live_price(ProviderKind::Deepgram, "voice-agent", Unit::AudioMinute, "0.06");
    })
    .await;
    let began = std::time::Instant::now();
    let mut session = open(&app, "model=deepgram-agent").await;
    let connected = std::time::Instant::now();
    for text in ["one", "two"] {
        let done = ask(&mut session, text).await;
        assert_eq!(done["response"]["status"], "completed", "{done}");
    }
    let (id, least) = (session.id, connected.elapsed().as_millis() as u64);
    session.socket.close(None).await.unwrap();
    app.no_session_left().await;
    let most = began.elapsed().as_millis() as u64;
    let records = app.records_of(KEY, id).await;
    let billed: u64 = records.iter().map(|record| record.usage.audio_in_ms).sum();
    // All the time in which it was surely connected, and none before or after.
    assert!((least..=most).contains(&billed), "{billed} of {most}: {records:?}");
    assert!(records.len() >= 2 && records.iter().map(|record| record.sequence).eq(0..records.len() as u32));
    // A millisecond costs a millionth of a dollar: what each record costs is exact.
    let exact = |record: &StoredUsage| record.cost.map(|cost| cost.0) == Some(record.usage.audio_in_ms as i64 * 1_000);
    assert!(records.iter().all(|record| record.usage_source == UsageSource::Measured && exact(record)), "{records:?}");
    assert_eq!(vendors.seen().violations, Vec::<String>::new());
}

#[tokio::test]
async fn the_steps_and_the_request_of_a_price_are_those_of_the_whole_conversation() {
    let (app, vendors) = started(|setup, vendors| {
        setup.provider_of(ProviderKind::Deepgram, "deepgram", &vendors.base_url());
        setup.route("deepgram-agent", vec![target("deepgram", "voice-agent", 0)]);
        setup.live_price(ProviderKind::Deepgram, "voice-agent", Unit::Request, "0.25");
        let (id, usd) = (PriceId(Uuid::now_v7()), Decimal::ONE);
        setup.list(ListedPrice {
            tenant: None,
            kind: ProviderKind::Deepgram,
            model: "voice-agent".to_owned(),
            operation: Operation::Realtime,
            price: Price { id, unit: Unit::AudioMinute, usd, minimum_ms: 0, rounding_ms: 60_000 },
            effective_from: OffsetDateTime::UNIX_EPOCH,
        });
    })
    .await;
    let mut session = open(&app, "model=deepgram-agent").await;
    for text in ["one", "two"] {
        ask(&mut session, text).await;
    }
    let id = session.id;
    session.socket.close(None).await.unwrap();
    app.no_session_left().await;
    let records = app.records_of(KEY, id).await;
    assert!(records.len() >= 2, "{records:?}");
    let billed: u64 = records.iter().map(|record| record.usage.audio_in_ms).sum();
    let minutes = i64::try_from(billed.div_ceil(60_000)).unwrap();
    let cost: i64 = records.iter().map(|record| record.cost.unwrap().0).sum();
    assert_eq!(cost, minutes * 1_000_000_000 + 250_000_000, "{records:?}");
    assert_eq!(vendors.seen().violations, Vec::<String>::new());
}

#[tokio::test]
async fn tokens_of_a_vendor_that_reports_them_are_one_record_for_each_response() {
    let model = "gemini-3.8-live";
    let (app, vendors) = started(|setup, vendors| {
        setup.provider_of(ProviderKind::Google, "google", &vendors.base_url());
        setup.route("gemini", vec![target("google", model, 0)]);
        for unit in [Unit::TextIn, Unit::TextOut, Unit::AudioIn, Unit::AudioOut, Unit::CachedTextIn] {
            setup.live_price(ProviderKind::Google, model, unit, "1");
        }
    })
    .await;
    let mut session = open(&app, "model=gemini").await;
    let mut told = Vec::new();
    for text in ["one", "two"] {
        let done = ask(&mut session, text).await;
        assert_eq!(done["response"]["status"], "completed", "{done}");
        let usage = &done["response"]["usage"];
        told.push(usage["total_tokens"].as_u64().unwrap());
    }
    let id = session.id;
    session.socket.close(None).await.unwrap();
    app.no_session_left().await;
    let records = app.records_of(KEY, id).await;
    let tokens = |record: &StoredUsage| {
        let usage = &record.usage;
        usage.text_tokens_in + usage.text_tokens_out + usage.audio_tokens_in + usage.audio_tokens_out
    };
    assert_eq!(records.iter().map(tokens).collect::<Vec<_>>(), told, "{records:?}");
    // A dollar for a million tokens of any kind.
    let cost = |record: &StoredUsage| record.cost.map(|cost| cost.0) == Some(tokens(record) as i64 * 1_000);
    assert!(records.iter().all(|record| record.usage.audio_in_ms == 0 && cost(record)), "{records:?}");
    assert_eq!(vendors.seen().violations, Vec::<String>::new());
}

#[tokio::test]
async fn a_budget_ends_a_conversation_within_what_was_reserved() {
    // It holds one window, of half a minute.
    let (app, vendors) = started(|setup, _| setup.key(KEY, |key| key.budget = budget(5 * STEP_NANO_USD))).await;
    let mut session = open(&app, "model=agent").await;
    ask(&mut session, "one").await;
    let error = session.until("error").await;
    assert_eq!(error["error"]["code"], "budget_exceeded", "{error}");
    assert_eq!(session.closed().await, 1008);
    app.no_session_left().await;
    left(&vendors).await;
    let records = app.records_of(KEY, session.id).await;
    assert!((1..=5).contains(&steps(&records)), "within the budget: {records:?}");
}

#[tokio::test]
async fn a_revoked_key_ends_its_conversation_at_the_vendor_too() {
    let (app, vendors) = started(|_, _| ()).await;
    let mut session = open(&app, "model=agent").await;
    let key = app.key_id(KEY);
    swap_snapshot(&app.gateway, Snapshot::default());
    assert_eq!(session.closed().await, 1008);
    app.no_session_left().await;
    left(&vendors).await;
    let records = app.records_of_key(key, session.id).await;
    assert_eq!((steps(&records), records[0].status), (1, UsageStatus::EndedByPolicy));
}

#[tokio::test]
async fn an_administrator_ends_a_conversation_at_the_vendor_too() {
    let (app, vendors) = started(|_, _| ()).await;
    let mut session = open(&app, "model=agent").await;
    app.terminate("it went on for hours").await;
    assert_eq!(session.until("error").await["error"]["code"], "session_terminated");
    assert_eq!(session.closed_for().await, (1008, "ended by an administrator: it went on for hours".to_owned()));
    app.no_session_left().await;
    left(&vendors).await;
    let records = app.records_of(KEY, session.id).await;
    assert_eq!((steps(&records), records[0].status), (1, UsageStatus::EndedByPolicy));
}

#[tokio::test]
async fn a_drain_says_goodbye_to_the_client_and_to_the_vendor() {
    let (mut app, vendors) = started(|_, _| ()).await;
    let mut session = open(&app, "model=agent").await;
    app.begin_drain();
    let error = session.until("error").await;
    assert_eq!(error["error"]["code"], "server_draining", "{error}");
    assert_eq!(session.closed().await, 1001);
    app.ended().await;
    left(&vendors).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_in_an_answer_leaves_no_vendor_behind() {
    let (app, vendors) = started(|_, _| ()).await;
    let mut session = open(&app, "model=agent").await;
    let content = json!([{"type": "input_text", "text": "story"}]);
    let item = json!({"type": "message", "role": "user", "content": content});
    session.say(&json!({"type": "conversation.item.create", "item": item})).await;
    session.say(&json!({"type": "response.create"})).await;
    session.until("response.output_audio.delta").await;
    let id = session.id;
    session.vanish();
    app.no_session_left().await;
    left(&vendors).await;
    let records = app.records_of(KEY, id).await;
    assert!(steps(&records) >= 1, "{records:?}");
    assert_eq!(app.noted(id), 0);
}

#[tokio::test]
async fn a_vendor_that_breaks_ends_the_session_and_its_time_is_billed() {
    let (app, _vendors) = started(|_, _| ()).await;
    let mut session = open(&app, "model=agent").await;
    let content = json!([{"type": "input_text", "text": "vanish"}]);
    let item = json!({"type": "message", "role": "user", "content": content});
    session.say(&json!({"type": "conversation.item.create", "item": item})).await;
    session.say(&json!({"type": "response.create"})).await;
    let error = session.until("error").await;
    assert_eq!(error["error"]["code"], "upstream_error", "{error}");
    assert_eq!(session.closed().await, 1011);
    app.no_session_left().await;
    let records = app.records_of(KEY, session.id).await;
    // The response that failed ends before the session does, in the step that it has paid for.
    assert!(steps(&records) >= 1, "{records:?}");
}

#[tokio::test]
async fn the_next_target_takes_over_where_an_agent_cannot_be_reached() {
    let (app, vendors) = started(|setup, _| {
        unreachable(setup);
        let targets = ["dead", "ultravox"].into_iter().zip(0..);
        setup.route("two", targets.map(|(name, at)| target(name, "ultravox-v0.7", at)).collect());
        setup.route("passed", vec![target("dead", "ultravox-v0.7", 0), target("one", "gpt-realtime-2.1", 1)]);
        setup.route("none", vec![target("dead", "ultravox-v0.7", 0), target("dead", "ultravox-v0.6", 1)]);
    })
    .await;
    let mut session = open(&app, "model=two").await;
    let done = ask(&mut session, "one").await;
    assert_eq!(done["response"]["status"], "completed", "{done}");
    let id = session.id;
    drop(session);
    app.no_session_left().await;
    let records = app.records_of(KEY, id).await;
    assert_eq!((records[0].provider.as_str(), records[0].attempts), ("ultravox", 2));
    assert_eq!(records[0].failed_attempts[0].provider, "dead");
    left(&vendors).await;

    // One that needs no translation is told the same.
    let mut session = app.realtime("model=passed", KEY).await.unwrap();
    session.say(&json!({"type": "session.update", "session": {"type": "realtime", "instructions": "Be kind."}})).await;
    assert_eq!(session.event().await["type"], "session.created");
    assert_eq!(session.event().await["type"], "session.updated", "once each");
    ask(&mut session, "one").await;
    let records = app.records_of(KEY, session.id).await;
    assert_eq!((records[0].provider.as_str(), records[0].usage_source), ("one", UsageSource::Reported));

    let mut session = app.realtime("model=none", KEY).await.unwrap();
    session.say(&json!({"type": "response.create"})).await;
    let error = session.until("error").await;
    assert_eq!(error["error"]["code"], "upstream_error", "{error}");
    assert_eq!(session.closed().await, 1011);
}

#[tokio::test]
async fn only_targets_that_converse_are_asked_for_a_conversation() {
    let (app, vendors) = started(|setup, vendors| {
        setup.provider_of(ProviderKind::Deepgram, "deepgram", &vendors.base_url());
        setup.route("mixed", vec![target("deepgram", "nova-3", 0), target("ultravox", "ultravox-v0.7", 1)]);
    })
    .await;
    assert_eq!(app.refused("model=agent&intent=transcription", KEY).await, (400, "invalid_request".to_owned()));
    assert_eq!(app.refused("model=deepgram/nova-3", KEY).await, (400, "invalid_request".to_owned()));
    let mut session = open(&app, "model=mixed").await;
    ask(&mut session, "one").await;
    let id = session.id;
    drop(session);
    let records = app.records_of(KEY, id).await;
    assert_eq!((records[0].provider.as_str(), records[0].attempts), ("ultravox", 1));
    left(&vendors).await;
}

#[tokio::test]
async fn a_credential_that_the_vendor_refuses_is_not_the_client_s_fault_and_is_told_nowhere() {
    let (app, _vendors) = started(|setup, _| setup.credential("ultravox", "sk-some-other-credential")).await;
    let mut session = app.realtime("model=agent", KEY).await.unwrap();
    session.say(&json!({"type": "response.create"})).await;
    let error = session.until("error").await;
    assert_eq!(error["error"]["code"], "upstream_error", "{error}");
    assert!(!error.to_string().contains("sk-some-other"), "{error}");
    assert_eq!(session.closed().await, 1011);
    app.no_session_left().await;
    assert_eq!(app.noted(session.id), 0);
}

#[tokio::test]
async fn a_recording_has_both_legs_and_no_secret() {
    let (app, _vendors) = started(|setup, _| {
        setup.settings.record_dir = Some(setup.settings.data_dir.join("recordings"));
    })
    .await;
    let mut session = open(&app, "model=agent").await;
    ask(&mut session, "one").await;
    session.socket.close(None).await.unwrap();
    app.no_session_left().await;
    let folder = app.gateway.settings.record_dir.clone().unwrap();
    let text = soon(async {
        loop {
            let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            if text.contains("\"close\"") && text.contains("hang_up") {
                return text;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for from in ["client", "upstream", "gateway→client", "gateway→upstream"] {
        assert!(lines.iter().any(|line| line["from"] == from), "{from}: {text}");
    }
    let sound = lines.iter().filter_map(|line| line["audio"].as_str());
    assert!(sound.clone().count() > 0 && sound.into_iter().all(|hash| hash.starts_with("sha256:")), "{text}");
    assert!(!text.contains("sk-upstream") && !text.contains(KEY) && !text.contains("token="), "{text}");
    assert!(lines.is_sorted_by_key(|line| line["t_ms"].as_u64()), "in the order of time");
}
