//! Whoever runs the process asks whether it lives and is ready, without signing in.

use std::time::Duration;

use serde_json::json;

use crate::helpers::TestApp;

#[actix_web::test]
async fn readiness_names_the_database_that_does_not_answer() {
    let app = TestApp::on_sqlite().await;
    let ready = app.get("/readyz", "").await;
    assert_eq!((ready.status, &ready.json()["database"]), (200, &json!("ok")));

    app.database.clone().close().await.unwrap();
    let unready = app.get("/readyz", "").await;
    assert_eq!((unready.status, &unready.json()["database"]), (503, &json!("unreachable")));
    assert_eq!(app.get("/healthz", "").await.status, 200, "a new process would not help");
    app.stop().await;
}

#[actix_web::test]
async fn a_process_that_shall_stop_is_not_ready_and_still_serves() {
    let mut app = TestApp::on_sqlite_with(|settings| settings.drain_delay = Duration::from_secs(3600)).await;
    app.tell_to_stop();
    let draining = loop {
        let answer = app.get("/readyz", "").await;
        if answer.status != 200 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((draining.status, &draining.json()["draining"]), (503, &json!(true)));
    assert_eq!(app.get("/healthz", "").await.status, 200);
    assert_eq!(app.get("/api/v1/openapi.json", "").await.status, 200);
}
