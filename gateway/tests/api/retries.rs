//! Calls that are made again after a failure: where, how often, and when not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::usage::UsageStatus;
use loadtest::upstream::{Fault, Rule};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::helpers::{KEY, Part, Setup, TestApp, form, post_json, provider, speech, target, transcription};

fn status(status: u16) -> Fault {
    Fault { status: Some(status), ..Fault::default() }
}

fn limited_for(seconds: u64) -> Fault {
    Fault { headers: [("retry-after".to_owned(), seconds.to_string())].into(), ..status(429) }
}

fn asked(app: &TestApp) -> u64 {
    app.one.counts().by.iter().map(|count| count.requests).sum()
}

#[tokio::test]
async fn when_every_call_fails_a_fifth_is_made_again_and_no_more() {
    let app = TestApp::new().await;
    for upstream in [&app.one, &app.two] {
        // A limit does not open a breaker, and without a time it is not waited for.
        upstream.script(Rule { path: String::new(), model: None, times: 10_000, fault: status(429) });
    }
    let count = |upstream: &loadtest::upstream::UpstreamHandle| upstream.counts().of("audio/speech").requests;
    for _ in 0..300 {
        app.call(speech(KEY, "both-tts", "Hello")).await.assert_error(429, "upstream_rate_limited");
    }
    let (first, again) = (count(&app.one), count(&app.two));
    assert_eq!(first, 300);
    // A fifth of them, ten that are saved up at the start, and one for each second that this takes.
    assert!((60..=100).contains(&again), "{again} of 300 were made again");
}

#[tokio::test]
async fn an_account_that_fails_does_not_use_up_what_others_need() {
    let mut setup = Setup::new().await;
    let three = setup.two.base_url();
    setup.provider("three", &three);
    setup.route("other-tts", vec![target("three", "tts-1", 0), target("two", "tts-1", 1)]);
    let app = setup.start().await;
    app.one.script(Rule { path: String::new(), model: None, times: 10_000, fault: status(429) });
    let served = |answer: &crate::helpers::Answer| answer.status == 200;
    let mut refused = 0;
    while refused < 20 {
        refused += u32::from(!served(&app.call(speech(KEY, "both-tts", "Hello")).await));
    }
    app.two.script(Rule::once("", status(500)));
    let answer = app.call(speech(KEY, "other-tts", "Hello")).await;
    assert_eq!((answer.status, answer.header("x-antiphon-attempts")), (200, "2"), "{}", answer.text());
}

#[tokio::test]
async fn the_only_target_is_asked_again_where_that_can_help() {
    let app = TestApp::new().await;
    let chat = json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]});
    for fault in [status(408), status(502), status(503), status(504)] {
        for request in
            [transcription(KEY, "stt", &[]), speech(KEY, "tts", "Hello"), post_json("/v1/chat/completions", KEY, &chat)]
        {
            app.one.script(Rule::once("", fault.clone()));
            let answer = app.call(request).await;
            assert_eq!(answer.status, 200, "{fault:?}: {}", answer.text());
            assert_eq!(answer.header("x-antiphon-attempts"), "2");
            let records = app.records(&answer).await;
            assert_eq!((records.len(), records[0].attempts, records[0].status), (1, 2, UsageStatus::Ok));
            let failed: Vec<&str> = records[0].failed_attempts.iter().map(|one| one.provider.as_str()).collect();
            assert_eq!(failed, ["one"]);
        }
    }
    for code in [401, 500, 501] {
        let before = asked(&app);
        app.one.script(Rule::once("", status(code)));
        assert_eq!(app.call(speech(KEY, "tts", "Hello")).await.status, 502, "{code}");
        assert_eq!(asked(&app), before + 1, "{code} is the same a moment later");
    }
}

#[tokio::test]
async fn a_limit_is_waited_for_while_that_is_short() {
    let mut setup = Setup::new().await;
    setup.settings.metrics_bind = Some(([127, 0, 0, 1], 0).into());
    let app = setup.start().await;
    app.one.script(Rule::once("", limited_for(1)));
    // Other tests of this process count as well.
    let again = async || app.counter("antiphon_retries_total", r#"operation="speech",target="same_target""#).await;
    let before = again().await;
    let answer = app.call(speech(KEY, "tts", "Hello")).await;
    assert_eq!((answer.status, answer.header("x-antiphon-attempts")), (200, "2"), "{}", answer.text());
    assert!(again().await > before);

    for (fault, after) in [(limited_for(11), "11"), (status(429), "1")] {
        let before = asked(&app);
        app.one.script(Rule::once("", fault));
        let answer = app.call(speech(KEY, "tts", "Hello")).await;
        answer.assert_error(429, "upstream_rate_limited");
        assert_eq!((answer.header("retry-after"), asked(&app) - before), (after, 1), "nobody waits so long");
    }
}

#[tokio::test]
async fn a_limit_is_not_waited_for_beyond_the_deadline() {
    let mut setup = Setup::new().await;
    setup.settings.metrics_bind = Some(([127, 0, 0, 1], 0).into());
    setup.settings.timeouts.operations.speech.total = Some(Duration::from_secs(4));
    let app = setup.start().await;
    app.one.script(Rule::once("", limited_for(5)));
    app.call(speech(KEY, "tts", "Hello")).await.assert_error(429, "upstream_rate_limited");
    assert_eq!(asked(&app), 1);
    let labels = r#"operation="speech",reason="deadline""#;
    assert!(app.counter("antiphon_retries_refused_total", labels).await >= 1);
}

#[tokio::test]
async fn a_target_that_goes_on_failing_is_asked_three_times() {
    let app = TestApp::new().await;
    app.one.script(Rule { path: String::new(), model: None, times: 100, fault: status(503) });
    app.call(speech(KEY, "tts", "Hello")).await.assert_error(502, "upstream_error");
    assert_eq!(asked(&app), 3);
    app.call(speech(KEY, "tts", "Hello")).await.assert_error(502, "upstream_error");
    assert_eq!(asked(&app), 5, "the breaker opens at the fifth failure, and ends it");
}

#[tokio::test]
async fn what_a_provider_keeps_is_not_made_twice() {
    let app = TestApp::new().await;
    let chat = |store: bool| json!({"model": "chat", "store": store, "messages": [{"role": "user", "content": "Hi"}]});
    app.one.script(Rule::once("", status(504)));
    let answer = app.call(post_json("/v1/chat/completions", KEY, &chat(true))).await;
    answer.assert_error(502, "upstream_error");
    assert_eq!(asked(&app), 1, "it may have been made all the same");
    app.one.script(Rule::once("", status(504)));
    assert_eq!(app.call(post_json("/v1/chat/completions", KEY, &chat(false))).await.status, 200);
}

#[tokio::test]
async fn an_upload_is_sent_again_to_the_same_target() {
    let app = TestApp::new().await;
    let large = loadtest::wav::sample(4 * 1024 * 1024);
    // Answered while the file is still on its way, and after all of it.
    for early in [true, false] {
        app.one.script(Rule::once("", Fault { early, ..status(503) }));
        let answer = app.call(form(KEY, &[Part::Field("model", "stt"), Part::File("a.wav", &large)])).await;
        assert_eq!((answer.status, answer.header("x-antiphon-attempts")), (200, "2"), "{}", answer.text());
        assert_eq!(app.one.requests().pop().unwrap().file.unwrap().bytes, large.len() as u64);
        assert_eq!(app.records(&answer).await.len(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_opened_again() {
    let mut setup = Setup::new().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let base_url = provider(move |mut stream| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut seen = Vec::new();
            while !seen.ends_with(b"}") {
                seen.push(stream.read_u8().await.unwrap());
            }
            if number > 0 {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ncontent-length: 4\r\n\r\n\x01\x02\x03\x04";
                stream.write_all(answer).await.unwrap();
            }
        }
    })
    .await;
    setup.provider("one", &base_url);
    let app = setup.start().await;
    let answer = app.call(speech(KEY, "tts", "Hello")).await;
    assert_eq!((answer.status, answer.header("x-antiphon-attempts")), (200, "2"), "{}", answer.text());
    assert_eq!(app.billed(&answer).await, (Some(5 * 15_000), UsageStatus::Ok), "and paid for once");
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}
