//! What Prometheus scrapes: buckets, what was used, and breakers.

use std::time::Duration;

use gateway::startup::swap_snapshot;
use loadtest::upstream::{Fault, Rule};
use serde_json::json;

use crate::helpers::{KEY, Setup, TestApp, post_json, speech, target, transcription};

/// A gateway that tells its metrics, with a provider whose name no other test of this process counts for.
async fn told(name: &str) -> TestApp {
    let mut setup = Setup::new().await;
    setup.settings.metrics_bind = Some(([127, 0, 0, 1], 0).into());
    setup.settings.timeouts.breaker_open = Duration::from_secs(3600);
    let base_url = setup.one.base_url();
    setup.provider(name, &base_url);
    for (route, model) in [("stt", "whisper-1"), ("tts", "tts-1"), ("chat", "gpt-4o-mini")] {
        setup.route(route, vec![target(name, model, 0)]);
    }
    setup.start().await
}

#[tokio::test]
async fn what_a_record_says_was_used_is_counted_once() {
    let app = told("metered").await;
    let spoken = app.call(speech(KEY, "tts", "Hello")).await;
    let heard = app.call(transcription(KEY, "stt", &[])).await;
    let body = json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]});
    let chatted = app.call(post_json("/v1/chat/completions", KEY, &body)).await;
    let mut used = Vec::new();
    for answer in [&spoken, &heard, &chatted] {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let records = app.records(answer).await;
        assert_eq!(records.len(), 1);
        used.push(records[0].usage);
    }
    let [speech, transcription, chat] = used[..] else { panic!("{used:?}") };
    assert_eq!((speech.characters, transcription.audio_in_ms), (5, 2000));
    assert!(chat.text_tokens_in > 0 && chat.text_tokens_out > 0, "{chat:?}");
    let audio = |operation: &str, direction: &str| {
        format!("operation=\"{operation}\",provider=\"metered\",direction=\"{direction}\"")
    };
    let tokens = |direction: &str| format!("{},kind=\"text\"", audio("chat", direction));
    let cached = "operation=\"chat\",provider=\"metered\",kind=\"text\"";
    let characters = "operation=\"speech\",provider=\"metered\"";
    for (name, labels, expected) in [
        ("antiphon_characters_total", characters.to_owned(), speech.characters),
        ("antiphon_audio_milliseconds_total", audio("speech", "out"), speech.audio_out_ms),
        ("antiphon_audio_milliseconds_total", audio("transcription", "in"), transcription.audio_in_ms),
        ("antiphon_tokens_total", tokens("in"), chat.text_tokens_in),
        ("antiphon_tokens_total", tokens("out"), chat.text_tokens_out),
        ("antiphon_cached_tokens_total", cached.to_owned(), chat.cached_text_tokens),
    ] {
        assert_eq!(app.counter(name, &labels).await, expected, "{name} {labels}");
    }
}

#[tokio::test]
async fn histograms_have_buckets_that_can_be_added() {
    let app = told("bucketed").await;
    assert_eq!(app.call(speech(KEY, "tts", "Hello")).await.status, 200);
    let told = app.scrape().await;
    for name in ["antiphon_time_to_first_byte_seconds", "antiphon_request_duration_seconds"] {
        assert!(told.contains(&format!("# TYPE {name} histogram")), "{told}");
        let start = format!("{name}_bucket{{operation=\"speech\",le=\"");
        let counts = told.lines().filter_map(|line| line.strip_prefix(&start)?.rsplit_once(' ')?.1.parse().ok());
        let counts: Vec<u64> = counts.collect();
        assert!(counts.len() > 10 && counts.is_sorted() && *counts.last().unwrap() > 0, "{name}: {counts:?}");
    }
    assert!(!told.contains("quantile="), "{told}");
}

#[tokio::test]
async fn breakers_are_told_of_targets_that_are_configured_and_of_no_others() {
    let app = told("flaky").await;
    let down = Fault { status: Some(503), ..Fault::default() };
    app.one.script(Rule { path: String::new(), model: None, times: 100, fault: down });
    for model in ["tts", "flaky/a-client-s-own-word"] {
        // As many as open a breaker, whether or not failures may be tried again.
        for _ in 0..5 {
            assert!(app.call(speech(KEY, model, "Hello")).await.status >= 500, "{model}");
        }
    }
    let breakers = async || {
        let told = app.scrape().await;
        let lines = told.lines().filter_map(|line| line.strip_prefix("antiphon_breaker_state{provider=\"flaky\","));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(breakers().await, ["model=\"other\"} 2", "model=\"tts-1\"} 2"]);
    assert!(!app.scrape().await.contains("a-client-s-own-word"));
    let mut without = app.view_with(KEY, |_| {});
    without.providers.remove("flaky");
    swap_snapshot(&app.gateway, without);
    assert_eq!(breakers().await, [""; 0], "a provider that is gone is told of no more");
}
