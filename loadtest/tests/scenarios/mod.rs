//! Scenarios against the scripted upstream itself: what is in the results is what happened.

use futures_util::{SinkExt, StreamExt};
use loadtest::{
    play::{self, Target},
    report,
    result::{Results, Run},
    scenario::Scenario,
    upstream::{self, Config, Kind, UpstreamHandle},
};
use tokio_tungstenite::tungstenite::Message;

async fn played(scenario: &Scenario, upstream: &UpstreamHandle) -> Run {
    let pid = Some(std::process::id());
    let target = Target::new("direct", &format!("http://{}", upstream.addr), "sk-upstream", pid).unwrap();
    play::play(scenario, &target, &play::Upstream { addr: upstream.addr }, 1).await.unwrap()
}

async fn start() -> UpstreamHandle {
    upstream::start(Config { kind: Kind::Openai, ..Config::default() }).await.unwrap()
}

#[tokio::test]
async fn a_scenario_is_played_counted_and_reported() {
    let scenario = Scenario::find("smoke").unwrap();
    let upstream = start().await;
    let run = played(&scenario, &upstream).await;
    let counts = upstream.counts();
    assert!(counts.violations.is_empty(), "{:?}", counts.violations);
    let whole = |path: &str, model: &str| {
        let of = counts.by.iter().find(|count| count.path == path && count.model == model).unwrap();
        (of.whole.answers, of.requests, of.frames_in)
    };
    for (operation, path, model) in [
        ("speech", "audio/speech", "tts-1"),
        ("speech_events", "audio/speech", "gpt-4o-mini-tts"),
        ("transcription", "audio/transcriptions", "whisper-1"),
        ("turn", "realtime", "gpt-realtime"),
    ] {
        let found = &run.operations[operation];
        assert_eq!((found.done, found.failed()), (whole(path, model).0, 0), "{operation}: {:?}", found.errors);
        assert!(found.done > 5 && found.latency.p50 > 0.0 && found.latency.p50 <= found.latency.max, "{found:?}");
    }
    let sessions = whole("realtime", "gpt-realtime").1 + whole("realtime", "gpt-realtime-2.1").1;
    assert_eq!(run.operations["session"].done, sessions);
    assert_eq!(run.operations["frame"].done, whole("realtime", "gpt-realtime-2.1").2, "each frame has its echo");
    // 124 operations are due by the phases; a conversation is counted by its turns, and has two.
    let begun = ["speech", "speech_events", "transcription"].iter().map(|name| run.operations[*name].done).sum::<u64>();
    assert_eq!(begun + run.operations["turn"].done / 2, 124);
    assert!(run.intervals.iter().any(|interval| interval.sessions >= 10), "ten sessions are held");
    let passed = run.intervals.iter().filter_map(|interval| Some(interval.operations.get("speech")?.done));
    assert_eq!(passed.sum::<u64>(), run.operations["speech"].done, "intervals leave none out");
    assert!(run.process.iter().all(|sample| sample.rss_kib > 500 && sample.descriptors > 3));

    let results = Results { runs: vec![run.clone()], ..Results::new(scenario) };
    let page = report::page(&results);
    assert!(page.contains(&format!("<td>{}</td>", run.operations["speech"].done)));
    assert!(page.matches("<svg").count() >= 10, "a picture of each");
    // The last digit of a number may be another one after it was read.
    let read = Results::parse(&serde_json::to_string(&results).unwrap()).unwrap();
    let counted = |run: &Run| run.operations.iter().map(|(name, one)| (name.clone(), one.done)).collect::<Vec<_>>();
    assert_eq!(read.runs.iter().map(counted).collect::<Vec<_>>(), [counted(&run)]);
}

#[tokio::test]
async fn what_goes_wrong_is_counted_by_its_code() {
    let scenario = Scenario::parse(
        "
name: faulty
about: Half of everything fails.
upstream:
  profile: instant
  faults:
    speech: { status: { 503: 0.5 }, cut: 0.2 }
    transcription: { status: { 429: 0.5 } }
    realtime: { close: 1 }
traffic:
  arrivals: closed
  operations:
    speech: { weight: 1, kib: 64 }
    transcription: { weight: 1, seconds: 1 }
    conversation: { weight: 0.2, turns: 2, speaks: 100ms }
  phases: [{ for: 2s, at: 4 }]
  hang_ups: 0.2
",
    )
    .unwrap();
    let upstream = start().await;
    let run = played(&scenario, &upstream).await;
    let speech = &run.operations["speech"];
    assert_eq!(speech.errors["503 server_is_overloaded"], run.faults["speech 503"]);
    // Who hangs up may do so before the refusal is there.
    let refused = run.operations["transcription"].errors["429 rate_limit_exceeded"];
    assert!(refused > 0 && refused <= run.faults["transcription 429"]);
    assert!(speech.errors["broken off"] > 0 && speech.errors["broken off"] <= run.faults["speech cut"], "{speech:?}");
    assert!(speech.done > 0 && speech.hung_up > 0);
    let turns = &run.operations["turn"];
    assert_eq!(turns.errors["closed 1011"], run.operations["session"].done, "each session ends after its first turn");
    assert_eq!(turns.done, turns.errors["closed 1011"]);
}

#[tokio::test]
async fn an_open_load_counts_from_when_it_was_due() {
    // Each answer takes 300 ms at least, and 40 arrive in a second: a closed loop of one would be late by seconds.
    let scenario = Scenario::parse(
        "
name: slow
about: Many at once.
upstream: { profile: instant, faults: { speech: { slow: 1, slow_ms: 300 } } }
traffic:
  arrivals: even
  operations: { speech: { weight: 1, kib: 1 } }
  phases: [{ for: 1s, at: 40 }]
",
    )
    .unwrap();
    let upstream = start().await;
    let run = played(&scenario, &upstream).await;
    let speech = &run.operations["speech"];
    assert_eq!(speech.done, 39, "{:?}", speech.errors);
    assert!(speech.distribution[0].1 >= 297.0, "none is faster than the upstream: {:?}", speech.distribution);
    assert!(upstream.counts().connections > 10, "many at once");
}

#[tokio::test]
async fn a_generator_that_is_late_makes_nothing_disappear() {
    let scenario = Scenario::parse(
        "
name: late
about: The generator stands still for a while.
traffic:
  arrivals: even
  operations: { speech: { weight: 1, kib: 1 } }
  phases: [{ for: 2s, at: 40 }]
",
    )
    .unwrap();
    let upstream = start().await;
    // Everything here runs on one thread.
    tokio::spawn(async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        std::thread::sleep(std::time::Duration::from_millis(400));
    });
    let run = played(&scenario, &upstream).await;
    assert_eq!(run.operations["speech"].done, 79);
    assert!(run.operations["speech"].latency.max > 350.0, "{:?}", run.operations["speech"].latency);
    assert!(run.generator.late.max > 350.0, "{:?}", run.generator);
}

#[tokio::test]
async fn every_frame_without_an_echo_is_a_failure() {
    let scenario = Scenario::parse(
        "
name: silent
about: Nobody sends anything back.
sessions: { held: 2, open_over: 100ms, frame_every: 100ms }
lasts: 1s
",
    )
    .unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", silent.local_addr().unwrap());
    let heard = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let hears = std::sync::Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((socket, _)) = silent.accept().await {
            let heard = std::sync::Arc::clone(&hears);
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
                socket.send(Message::text(r#"{"type":"session.created"}"#)).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    heard.fetch_add(u64::from(message.is_text()), std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    let upstream = start().await;
    let target = Target::new("silent", &target, "any", None).unwrap();
    let run = play::play(&scenario, &target, &play::Upstream { addr: upstream.addr }, 1).await.unwrap();
    let frames = &run.operations["frame"];
    assert_eq!((frames.done, frames.errors["no echo in time"]), (0, heard.load(std::sync::atomic::Ordering::Relaxed)));
    assert!(frames.failed() > 10, "{frames:?}");
}

#[tokio::test]
async fn an_upstream_hangs_up_on_who_is_idle() {
    let upstream = start().await;
    let mut idle = loadtest::load::Connection::open(upstream.addr).await.unwrap();
    let body = || loadtest::load::one_piece(bytes::Bytes::from_static(b"null"));
    assert_eq!(idle.call(http::Method::GET, "/_counts", &[], body()).await.unwrap().0, 200);
    let mut other = loadtest::load::Connection::open(upstream.addr).await.unwrap();
    assert_eq!(other.call(http::Method::POST, "/_hang_up", &[], body()).await.unwrap().0, 200);
    while idle.call(http::Method::GET, "/_counts", &[], body()).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
