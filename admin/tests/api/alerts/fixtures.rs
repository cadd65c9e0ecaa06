//! What rules look at, straight into the database, and how they are looked at.

use admin::alerts::Alerts;
use entities::{Id, gateway_instance, request_minute, target_health, usage_record, virtual_key};
use sea_orm::{ActiveValue::Set, EntityTrait, IntoActiveModel};
use serde_json::Value;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::helpers::TestApp;

/// When tests look.
pub(crate) const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

/// What looks and tells, beside the one of the server, which sleeps.
pub(crate) fn alerts(app: &TestApp) -> Alerts {
    Alerts::new(app.database.clone(), app.secrets.sealing.clone(), None).unwrap()
}

/// Looks, as of `now`.
pub(crate) async fn look(app: &TestApp, now: OffsetDateTime) {
    let alerts = alerts(app);
    // The process before has given its lease up, or it would have to be waited for.
    entities::lease::Entity::delete_many().exec(&app.database).await.unwrap();
    assert!(alerts.evaluate(now).await.unwrap());
}

/// Makes something and gives its id.
pub(crate) async fn make(app: &TestApp, path: &str, token: &str, body: Value) -> String {
    let made = app.post(path, token, body).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["id"].as_str().unwrap().to_owned()
}

/// The alerts of a list, as their subjects and states.
pub(crate) async fn listed(app: &TestApp, query: &str, token: &str) -> Vec<(String, String)> {
    let page = app.get(&format!("/api/v1/alerts?sort=created_at{query}"), token).await;
    assert_eq!(page.status, 200, "{page:?}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = page.json()["data"].as_array().unwrap().clone();
    entries.iter().map(|alert| (text(&alert["subject_name"]), text(&alert["state"]))).collect()
}

/// A key with a budget.
pub(crate) async fn key(app: &TestApp, tenant: Uuid, name: &str, budget: Option<(i64, &str)>) -> Uuid {
    let id = Uuid::now_v7();
    let row = virtual_key::ActiveModel {
        id: Set(Id(id)),
        tenant_id: Set(Id(tenant)),
        name: Set(name.to_owned()),
        hash: Set(id.as_bytes().to_vec()),
        pepper_version: Set(1),
        redacted: Set("sk-ap-…".to_owned()),
        operations: Set("[]".to_owned()),
        models: Set("[]".to_owned()),
        budget_nano_usd: Set(budget.map(|(nano, _)| nano)),
        budget_window: Set(budget.map(|(_, window)| window.to_owned())),
        managed_by: Set("api".to_owned()),
        created_at: Set(NOON),
        ..Default::default()
    };
    virtual_key::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
    id
}

/// One call; without a cost it has no price.
pub(crate) async fn used(app: &TestApp, tenant: Uuid, key: Uuid, cost_usd_cents: Option<i64>, at: OffsetDateTime) {
    let record = usage_record::Model {
        id: Id(Uuid::now_v7()),
        request_id: Id(Uuid::now_v7()),
        session_id: None,
        sequence: 0,
        tenant_id: Id(tenant),
        key_id: Id(key),
        user_tag: None,
        tags: None,
        operation: "speech".to_owned(),
        model_asked: "tts".to_owned(),
        provider: "openai".to_owned(),
        model_served: "tts-1".to_owned(),
        audio_in_ms: 0,
        audio_out_ms: 0,
        characters: 10,
        text_tokens_in: 0,
        text_tokens_out: 0,
        audio_tokens_in: 0,
        audio_tokens_out: 0,
        cached_tokens: 0,
        surcharge_percent: 0,
        usage_source: "measured".to_owned(),
        cost_nano_usd: cost_usd_cents.map(|cents| cents * 10_000_000),
        price_id: None,
        status: "ok".to_owned(),
        attempts: 1,
        failed_attempts: None,
        routing: None,
        cache: None,
        ttfb_ms: Some(100),
        latency_ms: 200,
        started_at: at,
        ended_at: at,
    };
    usage_store::insert_new(&app.database, &[record]).await.unwrap();
}

/// How a minute went at a provider: requests, failures, and answers that took more than 3 s.
pub(crate) async fn minute(
    app: &TestApp,
    tenant: Uuid,
    provider: &str,
    (requests, failed, slow): (i64, i64, i64),
    at: OffsetDateTime,
) {
    let quick = requests - slow;
    let row = request_minute::Model {
        id: Id(Uuid::now_v7()),
        minute: at,
        tenant_id: Some(Id(tenant)),
        operation: "speech".to_owned(),
        provider: provider.to_owned(),
        requests: requests + 50,
        client_errors: 30,
        refused: 20,
        upstream_errors: failed,
        gateway_errors: 0,
        ttfb_count: requests,
        ttfb_ms_sum: 0,
        ttfb_le_100: quick,
        ttfb_le_300: quick,
        ttfb_le_1000: quick,
        ttfb_le_3000: quick,
        ttfb_le_10000: requests,
    };
    request_minute::Entity::insert(row.into_active_model()).exec_without_returning(&app.database).await.unwrap();
}

/// What a gateway knows of a target, instead of what it knew.
pub(crate) async fn breaker(app: &TestApp, tenant: Option<Uuid>, provider: &str, state: &str) {
    target_health::Entity::delete_many().exec(&app.database).await.unwrap();
    let gateway = Id(Uuid::now_v7());
    let row = gateway_instance::ActiveModel {
        id: Set(gateway),
        name: Set("one".to_owned()),
        version: Set("0".to_owned()),
        started_at: Set(NOON),
        heartbeat_at: Set(NOON),
        draining: Set(false),
        open_sessions: Set(0),
        journal_records: Set(0),
    };
    gateway_instance::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
    let row = target_health::ActiveModel {
        gateway_id: Set(gateway),
        provider_id: Set(Id(Uuid::now_v7())),
        model: Set("tts-1".to_owned()),
        provider: Set(provider.to_owned()),
        tenant_id: Set(tenant.map(Id)),
        breaker: Set(state.to_owned()),
        failures: Set(5),
        ttfb_ms: Set("{}".to_owned()),
        updated_at: Set(NOON),
    };
    target_health::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
}

pub(crate) fn after(seconds: i64) -> OffsetDateTime {
    NOON + Duration::seconds(seconds)
}
