//! What the gateway learns of its targets: whom it spares, and who it takes to be quick.

use std::time::Duration;

use domain::routing::{Strategies, Strategy, Target};
use gateway::startup::adopt_snapshot;
use loadtest::upstream::{Fault, Rule};
use tokio::io::AsyncWriteExt;

use crate::helpers::{
    Answer, BOUNDARY, KEY, Part, Setup, TestApp, form_body, read_answer, soon, speech, target, transcription,
};

/// Long enough for what a test does while a breaker is open.
const BREAKER_OPEN: Duration = Duration::from_secs(3);
/// A key that is refused behind the choice of a target.
const EXHAUSTED: &str = "sk-ap-has-asked-often-enough";

impl TestApp {
    /// Lets the first provider's speech fail until its breaker opens.
    async fn break_one(&self) {
        let fault = Fault { status: Some(500), ..Fault::default() };
        self.one.script(Rule { path: String::new(), model: None, times: 5, fault });
        for _ in 0..5 {
            self.call(speech(KEY, "tts", "Hello")).await.assert_error(502, "upstream_error");
        }
    }

    async fn served_by(&self, request: http::Request<http_body_util::Full<bytes::Bytes>>) -> String {
        let answer = self.call(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("x-antiphon-provider").to_owned()
    }
}

#[tokio::test]
async fn a_breaker_spares_a_failing_target_and_closes_when_it_is_well_again() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.breaker_open = BREAKER_OPEN;
    let app = setup.start().await;
    app.break_one().await;
    let spared = app.call(speech(KEY, "tts", "Hello")).await;
    spared.assert_error(503, "no_healthy_target");
    assert!(spared.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(app.one.counts().of("audio/speech").requests, 5, "an open breaker asks nobody");
    // The route's other target serves meanwhile, at the first attempt.
    let served = app.call(speech(KEY, "both-tts", "Hello")).await;
    assert_eq!((served.header("x-antiphon-provider"), served.header("x-antiphon-attempts")), ("two", "1"));
    let routing = app.records(&served).await[0].routing.clone().unwrap();
    let told = routing.candidates.iter().map(|one| (one.provider.as_str(), one.dropped.as_deref())).collect::<Vec<_>>();
    assert_eq!(told, [("two", None), ("one", Some("breaker_open"))], "the record tells why it was not the first");
    // It becomes half-open, and the probe finds the target well.
    soon(async { while app.call(speech(KEY, "tts", "Hello")).await.status == 503 {} }).await;
    for _ in 0..3 {
        assert_eq!(app.call(speech(KEY, "tts", "Hello")).await.status, 200);
    }
}

#[tokio::test]
async fn only_a_call_that_asks_a_target_probes_it() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.breaker_open = BREAKER_OPEN;
    setup.key(EXHAUSTED, |key| key.requests_per_minute = Some(0));
    // The broken target is the last resort here: it is a candidate, and is not asked.
    setup.route("rather-two", vec![target("two", "tts-1", 0), target("one", "tts-1", 1)]);
    let app = setup.start().await;
    app.break_one().await;
    // The key's limit is asked once there is somebody to ask, which says that the breaker is half-open.
    let refused = || async { app.call(speech(EXHAUSTED, "tts", "Hello")).await };
    let half_open = |answer: &Answer| answer.json()["error"]["code"] == "rate_limit_exceeded";
    soon(async { while !half_open(&refused().await) {} }).await;
    assert_eq!(app.served_by(speech(KEY, "rather-two", "Hello")).await, "two");
    refused().await.assert_error(429, "rate_limit_exceeded");
    assert_eq!(app.served_by(speech(KEY, "tts", "Hello")).await, "one", "the probe was still to be had");
}

#[tokio::test]
async fn one_call_probes_and_the_others_are_not_kept_waiting() {
    let mut setup = Setup::new().await;
    setup.settings.timeouts.breaker_open = BREAKER_OPEN;
    setup.key(EXHAUSTED, |key| key.requests_per_minute = Some(0));
    let app = setup.start().await;
    app.break_one().await;
    soon(async { while app.call(speech(EXHAUSTED, "tts", "Hello")).await.status == 503 {} }).await;
    app.one.script(Rule::once("audio/speech", Fault { hang: true, ..Fault::default() }));
    let probe = app.send(speech(KEY, "tts", "Hello")).await;
    soon(async {
        while app.one.counts().of("audio/speech").requests < 6 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    app.call(speech(KEY, "tts", "Hello")).await.assert_error(503, "no_healthy_target");
    assert_eq!(app.served_by(speech(KEY, "both-tts", "Hello")).await, "two");
    drop(probe);
}

#[tokio::test]
async fn a_route_without_well_targets_tries_them_all() {
    let app = Setup::new().await.start().await;
    app.break_one().await;
    let fault = Fault { status: Some(500), ..Fault::default() };
    app.two.script(Rule { path: String::new(), model: None, times: 5, fault });
    for _ in 0..5 {
        app.call(speech(KEY, "both-tts", "Hello")).await.assert_error(502, "upstream_error");
    }
    assert_eq!(app.one.counts().of("audio/speech").requests, 5, "half of the route is enough to spare the other");
    let served = app.call(speech(KEY, "both-tts", "Hello")).await;
    assert_eq!((served.header("x-antiphon-provider"), served.header("x-antiphon-attempts")), ("one", "1"));
    assert_eq!(app.served_by(speech(KEY, "tts", "Hello")).await, "one", "which is known to be well again");
}

#[tokio::test]
async fn a_conversation_stays_where_it_is_among_equal_targets() {
    let mut setup = Setup::new().await;
    setup.route("talk", vec![target("one", "tts-1", 0), target("two", "tts-1", 0), target("two", "tts-1-hd", 1)]);
    let app = setup.start().await;
    let said = |conversation: &str| {
        let mut request = speech(KEY, "talk", "Hello");
        request.headers_mut().insert("x-antiphon-conversation", conversation.parse().unwrap());
        request
    };
    let mut first = Vec::new();
    for conversation in 0..12 {
        first.push(app.served_by(said(&format!("c-{conversation}"))).await);
    }
    assert!(first.iter().any(|name| name == "one") && first.iter().any(|name| name == "two"), "{first:?}");
    for (conversation, provider) in first.iter().enumerate() {
        assert_eq!(app.served_by(said(&format!("c-{conversation}"))).await, *provider);
    }
    assert_eq!(app.served_by(speech(KEY, "talk", "Hello")).await, "one", "whoever names none has the configured order");
}

#[tokio::test]
async fn what_one_strategy_leaves_open_the_next_decides() {
    let mut setup = Setup::new().await;
    let target = |provider, priority, region: &str, quality| Target {
        region: Some(region.to_owned()),
        quality: Some(quality),
        ..target(provider, "tts-1", priority)
    };
    let targets = vec![target("one", 0, "eu-west-1", 0.8), target("two", 0, "eu-west-2", 0.9)];
    let strategies: Strategies = "geographic,quality".parse().unwrap();
    setup.route_by(strategies, None, "near-and-good", targets);
    let app = setup.start().await;
    for (region, served_by) in [("eu-west-1", "one"), ("eu", "two"), ("us", "two"), ("eu-west-2", "two")] {
        let mut request = speech(KEY, "near-and-good", "Hello");
        request.headers_mut().insert("x-antiphon-region", region.parse().unwrap());
        assert_eq!(app.served_by(request).await, served_by, "{region}");
    }
}

#[tokio::test]
async fn a_caller_whose_key_may_names_another_strategy_for_one_call() {
    let mut setup = Setup::new().await;
    let target = |provider, quality| Target { quality: Some(quality), ..target(provider, "tts-1", 0) };
    setup.route("talk", vec![target("one", 0.5), target("two", 0.9)]);
    let app = setup.start().await;
    let ask = |strategy: &'static str| {
        let mut request = speech(KEY, "talk", "Hello");
        request.headers_mut().insert("x-antiphon-strategy", strategy.parse().unwrap());
        request
    };
    let refused = app.call(ask("quality")).await;
    refused.assert_error(403, "strategy_not_allowed");
    adopt_snapshot(&app.gateway, app.view_with(KEY, |key| key.allow_strategy = true)).await.unwrap();
    let served = app.call(ask("quality")).await;
    assert_eq!(served.header("x-antiphon-provider"), "two");
    let routing = app.records(&served).await[0].routing.clone().unwrap();
    assert_eq!(routing.strategy, Strategy::Quality.into(), "the record tells by what it was decided");
    assert_eq!(app.served_by(ask("geographic,quality")).await, "two");
    assert_eq!(app.served_by(speech(KEY, "talk", "Hello")).await, "one", "that call alone");
    let unknown = app.call(ask("cheapest")).await;
    unknown.assert_error(400, "invalid_request");
    assert!(unknown.json()["error"]["message"].as_str().unwrap().contains("x-antiphon-strategy"));
}

/// A route by latency whose targets nobody has asked yet.
async fn by_latency() -> TestApp {
    let mut setup = Setup::new().await;
    for (name, model) in [("quick-tts", "tts-1"), ("quick-stt", "whisper-1")] {
        setup.route_by(Strategy::Latency, None, name, vec![target("one", model, 0), target("two", model, 1)]);
    }
    setup.start().await
}

fn late(ms: u64) -> Fault {
    Fault { delay_ms: Some(ms), ..Fault::default() }
}

#[tokio::test]
async fn a_target_is_not_blamed_for_the_time_of_the_one_that_failed() {
    let app = by_latency().await;
    let quick = || speech(KEY, "quick-tts", "Hello");
    app.one.script(Rule::once("", Fault { status: Some(500), ..late(1000) }));
    assert_eq!(app.served_by(quick()).await, "two", "after the other has failed slowly");
    app.one.script(Rule::once("", late(700)));
    assert_eq!(app.served_by(quick()).await, "one", "which is still to be measured");
    assert_eq!(app.served_by(quick()).await, "two", "the quicker of the two");
}

#[tokio::test]
async fn a_target_is_not_blamed_for_a_slow_upload() {
    let app = by_latency().await;
    let audio = loadtest::wav::sample(200_000);
    let body = form_body(&[Part::Field("model", "quick-stt"), Part::File("a.wav", &audio)]);
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut slow = app.connect().await;
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut beat = tokio::time::interval(Duration::from_millis(250));
    for piece in body.chunks(body.len().div_ceil(5)) {
        beat.tick().await;
        slow.write_all(piece).await.unwrap();
    }
    let answer = read_answer(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-antiphon-provider: one"), "{answer}");
    app.two.script(Rule::once("", late(700)));
    let quick = || transcription(KEY, "quick-stt", &[]);
    assert_eq!(app.served_by(quick()).await, "two", "which is still to be measured");
    assert_eq!(app.served_by(quick()).await, "one", "the quicker of the two");
}
