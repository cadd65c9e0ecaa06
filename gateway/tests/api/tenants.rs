//! What one tenant has, another neither pays nor sees.

use domain::ids::TenantId;
use domain::money::NanoUsd;
use domain::pricing::Unit;
use domain::provider::Operation;
use gateway::limits::past::catch_up;
use gateway::snapshot::{Budget, BudgetWindow};
use gateway::startup::adopt_snapshot;
use uuid::Uuid;

use super::helpers::*;

const ACME: TenantId = TenantId(Uuid::from_u128(2));
const ACME_KEY: &str = "sk-ap-the-key-of-acme";

#[tokio::test]
async fn a_tenants_own_price_is_billed_to_it_alone() {
    let mut setup = Setup::new().await;
    setup.price_of(Some(ACME), "tts-1", Operation::Speech, Unit::MillionCharacters, "10");
    setup.key(ACME_KEY, |key| key.tenant = ACME);
    let app = setup.start().await;
    for (key, nano) in [(KEY, 75_000), (ACME_KEY, 50_000)] {
        let answer = app.call(speech(key, "tts", "Hello")).await;
        let records = app.records_of(key, answer.header("x-request-id").parse().unwrap()).await;
        assert_eq!(records[0].cost.map(|cost| cost.0), Some(nano), "five characters");
        let model = app.call(get("/v1/models/tts", key)).await.json();
        let price = model["antiphon"]["prices"][0]["usd"].as_str().unwrap();
        assert_eq!(price, if key == KEY { "15" } else { "10" });
    }
}

#[tokio::test]
async fn a_tenants_own_model_goes_before_the_platforms_and_is_nobody_elses() {
    let mut setup = Setup::new().await;
    setup.route_of(Some(ACME), "tts", vec![target("two", "tts-1", 0)]);
    setup.route_of(Some(ACME), "acme-tts", vec![target("two", "tts-1", 0)]);
    setup.key(ACME_KEY, |key| key.tenant = ACME);
    let app = setup.start().await;
    for (key, provider) in [(KEY, "one"), (ACME_KEY, "two")] {
        let answer = app.call(speech(key, "tts", "Hello")).await;
        assert_eq!((answer.status, answer.header("x-antiphon-provider")), (200, provider));
        let model = app.call(get("/v1/models/tts", key)).await.json();
        assert_eq!(model["antiphon"]["providers"], serde_json::json!([provider]));
    }
    assert_eq!(app.call(speech(ACME_KEY, "acme-tts", "Hello")).await.status, 200);
    app.call(speech(KEY, "acme-tts", "Hello")).await.assert_error(404, "model_not_found");
    app.call(get("/v1/models/acme-tts", KEY)).await.assert_error(404, "model_not_found");
    let lists =
        |list: serde_json::Value, id: &str| list["data"].as_array().unwrap().iter().any(|model| model["id"] == id);
    assert!(lists(app.call(get("/v1/models", ACME_KEY)).await.json(), "acme-tts"));
    let others = app.call(get("/v1/models", KEY)).await.json();
    assert!(lists(others.clone(), "tts") && !lists(others, "acme-tts"));
}

#[tokio::test]
async fn a_budget_that_comes_while_the_gateway_runs_knows_what_was_spent_before_it() {
    let mut setup = Setup::new().await;
    setup.key(ACME_KEY, |key| key.tenant = ACME);
    let app = setup.start().await;
    let began = time::OffsetDateTime::now_utc().date();
    let first = app.call(speech(ACME_KEY, "tts", "Hello")).await;
    app.records_of(ACME_KEY, first.header("x-request-id").parse().unwrap()).await;
    // What happens to a key without a budget when many others come.
    app.gateway.limits.forget_idle(std::time::Instant::now());

    // 75,000 nano-dollars are spent, and a call costs as much: there is room for one more.
    adopt_snapshot(&app.gateway, app.view_with(ACME_KEY, |key| key.budget = budget(150_000))).await.unwrap();
    assert!(catch_up(&app.gateway).await.unwrap());
    let usage = app.call(get("/v1/usage", ACME_KEY)).await.json();
    assert_eq!((&usage["spent_usd"], &usage["budget"]["remaining_usd"]), (&"0.000075".into(), &"0.000075".into()));
    assert_eq!(app.call(speech(ACME_KEY, "tts", "Hello")).await.status, 200);
    app.call(speech(ACME_KEY, "tts", "Hello")).await.assert_error(429, "budget_exceeded");

    // Another window counts those of the same calls that began in it: all, unless the day has just turned.
    let day = time::OffsetDateTime::now_utc().date();
    let daily = Some(Budget { amount: NanoUsd(200_000), window: BudgetWindow::Daily });
    adopt_snapshot(&app.gateway, app.view_with(ACME_KEY, |key| key.budget = daily)).await.unwrap();
    let answer = app.call(speech(ACME_KEY, "tts", "Hello")).await;
    if day == began && day == time::OffsetDateTime::now_utc().date() {
        answer.assert_error(429, "budget_exceeded");
    }
}
