//! Many at once, where only some may.

use futures_util::future::join_all;
use tokio_tungstenite::tungstenite::Error;

use crate::helpers::{Realtime, Setup, budget, speech};

/// 15 000 nano-dollars for a character at 15 dollars a million.
const ONE_CALL: i64 = 10 * 15_000;

#[tokio::test]
async fn of_two_hundred_racers_a_budget_for_ten_admits_ten() {
    let mut setup = Setup::new().await;
    setup.settings.workers = Some(2);
    setup.key("sk-ap-a-budget-for-ten-calls", |key| key.budget = budget(10 * ONE_CALL));
    let app = setup.start().await;
    let calls = (0..200).map(|_| app.call(speech("sk-ap-a-budget-for-ten-calls", "tts", "ten chars.")));
    let answers = join_all(calls).await;
    let served: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(served.len(), 10);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.assert_error(429, "budget_exceeded");
    }
    let mut spent = 0;
    for answer in served {
        let id = answer.header("x-request-id").parse().unwrap();
        let records = app.records_of("sk-ap-a-budget-for-ten-calls", id).await;
        spent += records.iter().filter_map(|record| record.cost).map(|cost| cost.0).sum::<i64>();
    }
    assert_eq!(spent, 10 * ONE_CALL);
    assert_eq!(app.one.counts().of("audio/speech").requests, 10);
}

#[tokio::test]
async fn of_fifty_sessions_at_once_a_key_for_five_gets_five() {
    let mut setup = Setup::new().await;
    setup.settings.workers = Some(2);
    setup.key("sk-ap-five-sessions-at-a-time", |key| key.max_concurrent_sessions = Some(5));
    let app = setup.start().await;
    let opened = join_all((0..50).map(|_| app.realtime("model=live", "sk-ap-five-sessions-at-a-time"))).await;
    assert_eq!(opened.iter().filter(|session| session.is_ok()).count(), 5);
    assert_eq!(opened.iter().filter(|session| is_refused(session, 429)).count(), 45, "and nothing else went wrong");
    assert_eq!(app.one.counts().of("realtime").requests, 5, "no provider was asked for those that were refused");
    drop(opened);
    app.no_session_left().await;
    assert!(app.realtime("model=live", "sk-ap-five-sessions-at-a-time").await.is_ok(), "a slot that was left is free");
}

fn is_refused(session: &Result<Realtime, Error>, status: u16) -> bool {
    matches!(session, Err(Error::Http(response)) if response.status() == status)
}
