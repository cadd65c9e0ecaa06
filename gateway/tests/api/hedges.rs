//! Speech for which a second target is asked beside a first one that is slow.

use std::sync::Arc;

use domain::routing::Hedge;
use domain::usage::UsageStatus;
use gateway::repositories::usage::StoredUsage;
use gateway::snapshot::Route;
use loadtest::upstream::{Fault, Rule, UpstreamHandle};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::helpers::{Answer, KEY, Setup, TestApp, budget, provider, soon, speech, target};

/// Two providers whose slow calls are hedged, with a price at each.
async fn hedged() -> Setup {
    let mut setup = Setup::new().await;
    setup.settings.metrics_bind = Some(([127, 0, 0, 1], 0).into());
    let route =
        Route::clone(setup.snapshot.route(domain::ids::TenantId(uuid::Uuid::from_u128(1)), "both-tts").unwrap());
    let hedge = Some(Hedge { unmeasured_ms: 50 });
    setup.snapshot.insert_route(Arc::new(Route { hedge, ..route }));
    setup
}

fn asked(upstream: &UpstreamHandle) -> u64 {
    upstream.counts().of("audio/speech").requests
}

fn hangs() -> Rule {
    Rule::once("audio/speech", Fault { hang: true, ..Fault::default() })
}

fn attempts(record: &StoredUsage) -> Vec<(&str, &str)> {
    record.failed_attempts.iter().map(|one| (one.provider.as_str(), one.error.as_str())).collect()
}

async fn record(app: &TestApp, answer: &Answer) -> StoredUsage {
    let mut records = app.records(answer).await;
    assert_eq!(records.len(), 1, "the client pays once");
    records.remove(0)
}

/// A provider whose connections say when a request is here whole, and when its peer has closed.
async fn silent() -> (String, mpsc::UnboundedReceiver<&'static str>) {
    let (told, events) = mpsc::unbounded_channel();
    let base_url = provider(move |mut stream| {
        let told = told.clone();
        async move {
            let mut seen = Vec::new();
            while !seen.ends_with(b"}") {
                seen.push(stream.read_u8().await.unwrap());
            }
            told.send("asked").unwrap();
            assert!(matches!(stream.read(&mut [0; 16]).await, Ok(0) | Err(_)));
            told.send("closed").unwrap();
        }
    })
    .await;
    (base_url, events)
}

#[tokio::test]
async fn the_second_target_serves_when_the_first_is_slow_and_the_client_pays_once() {
    let app = hedged().await.start().await;
    app.one.script(hangs());
    // Other tests of this process count as well.
    let counts =
        async || [app.counter("antiphon_hedges_total", "").await, app.counter("antiphon_hedges_won_total", "").await];
    let before = counts().await;
    let answer = app.call(speech(KEY, "both-tts", "Hello")).await;
    assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
    assert_eq!((answer.header("x-antiphon-provider"), answer.header("x-antiphon-attempts")), ("two", "2"));
    let record = record(&app, &answer).await;
    assert_eq!((record.provider.as_str(), record.attempts, record.status), ("two", 2, UsageStatus::Ok));
    assert_eq!(record.cost.map(|cost| cost.0), Some(5 * 15_000));
    assert_eq!(attempts(&record), [("one", "hedge_lost")]);
    let after = counts().await;
    assert!(before[0] < after[0] && before[1] < after[1], "{before:?} {after:?}");
}

#[tokio::test]
async fn a_first_target_that_is_quick_is_alone() {
    let app = hedged().await.start().await;
    let answer = app.call(speech(KEY, "both-tts", "Hello")).await;
    assert_eq!((answer.header("x-antiphon-provider"), answer.header("x-antiphon-attempts")), ("one", "1"));
    assert_eq!(asked(&app.two), 0);
}

#[tokio::test]
async fn the_first_target_serves_when_the_second_is_slower_still() {
    let mut setup = hedged().await;
    let (base_url, mut events) = silent().await;
    setup.provider("two", &base_url);
    let app = setup.start().await;
    app.one.script(Rule::once("audio/speech", Fault { delay_ms: Some(400), ..Fault::default() }));
    let answer = app.call(speech(KEY, "both-tts", "Hello")).await;
    assert_eq!((answer.header("x-antiphon-provider"), answer.header("x-antiphon-attempts")), ("one", "2"));
    assert_eq!(soon(events.recv()).await, Some("asked"));
    assert_eq!(soon(events.recv()).await, Some("closed"), "its connection is closed");
    let record = record(&app, &answer).await;
    assert_eq!((record.provider.as_str(), attempts(&record)), ("one", vec![("two", "hedge_lost")]));
}

#[tokio::test]
async fn one_that_fails_leaves_the_call_to_the_other() {
    for fails in ["one", "two"] {
        let app = hedged().await.start().await;
        let slow = Fault { delay_ms: Some(300), ..Fault::default() };
        let (failing, serving) = if fails == "one" { (&app.one, &app.two) } else { (&app.two, &app.one) };
        let delay_ms = if fails == "one" { Some(150) } else { None };
        failing.script(Rule::once("audio/speech", Fault { status: Some(500), delay_ms, ..Fault::default() }));
        serving.script(Rule::once("audio/speech", slow));
        let answer = app.call(speech(KEY, "both-tts", "Hello")).await;
        assert_eq!((answer.status, answer.header("x-antiphon-attempts")), (200, "2"), "{}", answer.text());
        let record = record(&app, &answer).await;
        assert_ne!(record.provider, fails);
        assert_eq!(attempts(&record), [(fails, "upstream_error")]);
        assert_eq!(record.cost.map(|cost| cost.0), Some(5 * 15_000));
    }
}

#[tokio::test]
async fn when_both_fail_the_call_fails_and_costs_nothing() {
    let mut setup = hedged().await;
    setup.key("sk-ap-with-a-budget-for-hedges", |key| key.budget = budget(1_000_000));
    let app = setup.start().await;
    for (upstream, delay_ms) in [(&app.one, Some(150)), (&app.two, Some(300))] {
        upstream.script(Rule::once("audio/speech", Fault { status: Some(500), delay_ms, ..Fault::default() }));
    }
    app.call(speech("sk-ap-with-a-budget-for-hedges", "both-tts", "Hello")).await.assert_error(502, "upstream_error");
    assert_eq!((asked(&app.one), asked(&app.two)), (1, 1));
    let usage = app.call(crate::helpers::get("/v1/usage", "sk-ap-with-a-budget-for-hedges")).await.json();
    assert_eq!((usage["reserved_usd"].as_str(), usage["spent_usd"].as_str()), (Some("0"), Some("0")), "{usage}");
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_both() {
    let mut setup = hedged().await;
    let (first, mut of_first) = silent().await;
    let (second, mut of_second) = silent().await;
    setup.provider("one", &first);
    setup.provider("two", &second);
    setup.key("sk-ap-hangs-up-during-a-hedge", |key| key.budget = budget(1_000_000));
    let app = setup.start().await;
    let client = app.send(speech("sk-ap-hangs-up-during-a-hedge", "both-tts", "Hello")).await;
    assert_eq!((soon(of_first.recv()).await, soon(of_second.recv()).await), (Some("asked"), Some("asked")));
    // A reset: an orderly end of the client's side alone could be a client that still reads.
    client.set_zero_linger().unwrap();
    drop(client);
    assert_eq!((soon(of_first.recv()).await, soon(of_second.recv()).await), (Some("closed"), Some("closed")));
    let usage = async || app.call(crate::helpers::get("/v1/usage", "sk-ap-hangs-up-during-a-hedge")).await.json();
    app.until(async || (usage().await["reserved_usd"] == "0").then_some(())).await;
    let records = app.until(async || Some(app.all_records().await).filter(|all| !all.is_empty())).await;
    assert_eq!((records.len(), records[0].status.as_str(), records[0].attempts), (1, "client_closed", 2));
}

#[tokio::test]
async fn nobody_is_asked_beside_without_budget_or_beside_one_that_is_alone() {
    let mut setup = hedged().await;
    let hedge = Some(Hedge { unmeasured_ms: 10 });
    let alone = Route {
        name: "alone-tts".into(),
        tenant: None,
        strategy: domain::routing::Strategy::Priority.into(),
        targets: vec![target("one", "tts-1", 0)],
        hedge,
    };
    setup.snapshot.insert_route(Arc::new(alone));
    let app = setup.start().await;
    let slow = || Rule::once("audio/speech", Fault { delay_ms: Some(120), ..Fault::default() });
    app.one.script(slow());
    assert_eq!(app.call(speech(KEY, "alone-tts", "Hello")).await.header("x-antiphon-attempts"), "1");
    // Ten are saved up; what the calls themselves and the seconds add is less than what they take.
    app.two.script(Rule { times: 1_000, ..slow() });
    app.one.script(Rule { times: 1_000, ..slow() });
    let mut alone = 0;
    for _ in 0..24 {
        let answer = app.call(speech(KEY, "both-tts", "Hello")).await;
        assert_eq!(answer.status, 200);
        alone += u32::from(answer.header("x-antiphon-attempts") == "1");
    }
    assert!(alone > 0, "the budget holds less than each call asks");
}
