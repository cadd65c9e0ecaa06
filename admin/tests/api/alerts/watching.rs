//! When alerts fire, and when they are over.

use admin_types::role::Role;
use http::Method;
use serde_json::json;
use time::macros::datetime;

use super::fixtures::{NOON, after, alerts, breaker, key, listed, look, make, minute, used};
use crate::helpers::{TestApp, both};

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(subject, state)| ((*subject).to_owned(), (*state).to_owned())).collect()
}

both! {
    async fn a_share_of_a_budget_fires_once_until_its_window_ends(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        let daily = key(app, acme, "daily", Some((10_000_000_000, "daily"))).await;
        let total = key(app, acme, "total", Some((10_000_000_000, "total"))).await;
        let foreign = key(app, other, "foreign", Some((1, "total"))).await;
        let body = json!({ "name": "budgets", "condition": { "kind": "budget_share", "percent": 80 } });
        make(app, "/api/v1/alerts/rules", &admin, body).await;
        let yesterday = datetime!(2026-11-21 23:59 UTC);
        for id in [daily, total] {
            used(app, acme, id, Some(790), yesterday).await;
        }
        used(app, other, foreign, Some(100), NOON).await;
        look(app, NOON).await;
        assert_eq!(listed(app, "", &admin).await, [], "one is at 79 %, the other's day is over");

        used(app, acme, total, Some(10), NOON).await;
        used(app, acme, daily, Some(850), NOON).await;
        for seconds in [15, 30] {
            look(app, after(seconds)).await;
        }
        let mut fired = listed(app, "", &admin).await;
        fired.sort();
        assert_eq!(fired, pairs(&[("daily", "firing"), ("total", "firing")]), "each once, and no other tenant's");

        let tomorrow = after(86_400);
        look(app, tomorrow).await;
        assert_eq!(listed(app, "&state=resolved", &admin).await, pairs(&[("daily", "resolved")]));
        assert_eq!(listed(app, "&state=firing", &admin).await, pairs(&[("total", "firing")]));
        used(app, acme, daily, Some(900), tomorrow).await;
        look(app, after(86_415)).await;
        let again = listed(app, "&state=firing", &admin).await;
        assert_eq!(again.len(), 2, "once it was over it fires anew: {again:?}");

        let list = app.get("/api/v1/alerts?state=firing&sort=-created_at", &admin).await.json();
        let alert = &list["data"][0];
        assert_eq!((&alert["value"], &alert["threshold"], &alert["unit"]), (&json!("90"), &json!("80"), &json!("percent")));
        assert_eq!(alert["subject"], json!(daily));
        assert_eq!(alert["summary"], "The key daily has spent 90 % of its budget; the rule says 80 %.");
    }
}

both! {
    async fn spending_fires_for_a_tenant_and_for_a_key(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let platform = app.platform().await;
        let (one, two) = (key(app, acme, "one", None).await, key(app, acme, "two", None).await);
        let quiet = key(app, other, "quiet", None).await;
        let condition = json!({ "kind": "spend_rate", "usd": "10.00", "window_minutes": 10 });
        make(app, "/api/v1/alerts/rules", &platform, json!({ "name": "each tenant", "condition": condition })).await;
        let condition = json!({ "kind": "spend_rate", "usd": "4.50", "window_minutes": 10, "key_id": two });
        make(app, "/api/v1/alerts/rules", &platform, json!({ "name": "one key", "condition": condition })).await;
        used(app, acme, one, Some(600), after(-60)).await;
        used(app, acme, two, Some(400), after(-60)).await;
        used(app, acme, two, Some(900), after(-660)).await;
        used(app, other, quiet, Some(999), after(-60)).await;
        look(app, NOON).await;
        assert_eq!(listed(app, "", &platform).await, pairs(&[("acme", "firing")]));
        used(app, acme, two, Some(50), after(-1)).await;
        look(app, after(15)).await;
        assert_eq!(listed(app, "&state=firing", &platform).await, pairs(&[("acme", "firing"), ("two", "firing")]));
        look(app, after(700)).await;
        assert_eq!(listed(app, "&state=firing", &platform).await, []);
    }
}

both! {
    async fn failures_and_waiting_are_judged_by_provider_and_from_enough_requests(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        let errors = json!({ "kind": "error_rate", "percent": 10, "window_minutes": 5 });
        make(app, "/api/v1/alerts/rules", &admin, json!({ "name": "errors", "condition": errors })).await;
        let slow = json!({ "kind": "latency", "p95_ms": 3000, "window_minutes": 5 });
        make(app, "/api/v1/alerts/rules", &admin, json!({ "name": "slow", "condition": slow })).await;
        minute(app, acme, "openai", (100, 10, 0), after(-120)).await;
        minute(app, acme, "groq", (100, 8, 6), after(-120)).await;
        minute(app, acme, "deepgram", (19, 19, 19), after(-120)).await;
        minute(app, acme, "google", (100, 100, 100), after(-360)).await;
        minute(app, other, "azure", (100, 100, 100), after(-120)).await;
        look(app, NOON).await;
        assert_eq!(listed(app, "&kind=error_rate", &admin).await, pairs(&[("openai", "firing")]));
        assert_eq!(listed(app, "&kind=latency", &admin).await, pairs(&[("groq", "firing")]));
        minute(app, acme, "openai", (5, 0, 0), after(-60)).await;
        look(app, after(60)).await;
        assert_eq!(listed(app, "&kind=error_rate", &admin).await, pairs(&[("openai", "firing")]), "9.5 %: on the edge");
        minute(app, acme, "openai", (100, 0, 0), after(0)).await;
        look(app, after(75)).await;
        assert_eq!(listed(app, "&kind=error_rate", &admin).await, pairs(&[("openai", "resolved")]));
    }
}

both! {
    async fn a_breaker_fires_once_it_has_been_open_for_long(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        let platform = app.platform().await;
        let body = json!({ "name": "targets", "condition": { "kind": "breaker", "open_seconds": 60 } });
        for token in [&admin, &platform] {
            make(app, "/api/v1/alerts/rules", token, body.clone()).await;
        }
        breaker(app, None, "openai", "open").await;
        look(app, NOON).await;
        look(app, after(45)).await;
        assert_eq!(listed(app, "", &platform).await, [], "not long enough");
        breaker(app, None, "openai", "half_open").await;
        look(app, after(61)).await;
        assert_eq!(listed(app, "", &platform).await, pairs(&[("openai/tts-1", "firing")]));
        assert_eq!(listed(app, "", &admin).await, [], "the platform's provider is no tenant's business");
        breaker(app, None, "openai", "closed").await;
        look(app, after(75)).await;
        assert_eq!(listed(app, "", &platform).await, pairs(&[("openai/tts-1", "resolved")]));

        breaker(app, Some(acme), "own", "open").await;
        look(app, after(90)).await;
        breaker(app, Some(acme), "own", "closed").await;
        look(app, after(120)).await;
        breaker(app, Some(acme), "own", "open").await;
        look(app, after(155)).await;
        assert_eq!(listed(app, "", &admin).await, [], "twice for a little while is not once for long");
        look(app, after(215)).await;
        assert_eq!(listed(app, "", &admin).await, pairs(&[("own/tts-1", "firing")]));
    }
}

both! {
    async fn usage_without_a_price_fires_until_it_has_one(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        let key = key(app, acme, "ci", None).await;
        make(app, "/api/v1/alerts/rules", &admin, json!({ "name": "prices", "condition": { "kind": "unpriced" } })).await;
        used(app, acme, key, Some(1), NOON).await;
        look(app, NOON).await;
        assert_eq!(listed(app, "", &admin).await, []);
        used(app, acme, key, None, NOON).await;
        look(app, after(15)).await;
        assert_eq!(listed(app, "", &admin).await, pairs(&[("openai/tts-1", "firing")]));
        look(app, after(3700)).await;
        assert_eq!(listed(app, "", &admin).await, pairs(&[("openai/tts-1", "resolved")]));
    }
}

both! {
    async fn what_nobody_watches_any_more_is_over(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        breaker(app, Some(acme), "own", "open").await;
        let body = |name: &str| json!({ "name": name, "condition": { "kind": "breaker", "open_seconds": 0 } });
        let off = make(app, "/api/v1/alerts/rules", &admin, body("off")).await;
        let gone = make(app, "/api/v1/alerts/rules", &admin, body("gone")).await;
        look(app, NOON).await;
        assert_eq!(listed(app, "&state=firing", &admin).await.len(), 2);
        app.patch(&format!("/api/v1/alerts/rules/{off}"), &admin, json!({ "enabled": false })).await;
        app.delete(&format!("/api/v1/alerts/rules/{gone}"), &admin).await;
        look(app, after(15)).await;
        assert_eq!(listed(app, "&state=resolved", &admin).await.len(), 2);
    }
}

both! {
    async fn of_several_processes_one_looks(app: &TestApp) {
        let (first, second) = (alerts(app), alerts(app));
        assert!(first.evaluate(NOON).await.unwrap());
        assert!(!second.evaluate(after(15)).await.unwrap());
        assert!(first.evaluate(after(30)).await.unwrap(), "it keeps what it has");
        assert!(!second.evaluate(after(75)).await.unwrap());
        assert!(second.evaluate(after(100)).await.unwrap(), "the first says nothing any more");
        assert!(!first.evaluate(after(101)).await.unwrap());
    }
}

both! {
    async fn somebody_takes_note(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        let stranger = app.token(Role::TenantAdmin, Some(other)).await;
        breaker(app, Some(acme), "own", "open").await;
        let body = json!({ "name": "r", "condition": { "kind": "breaker", "open_seconds": 0 } });
        make(app, "/api/v1/alerts/rules", &admin, body).await;
        look(app, NOON).await;
        let list = app.get("/api/v1/alerts?acknowledged=false", &admin).await.json();
        let path = format!("/api/v1/alerts/{}", list["data"][0]["id"].as_str().unwrap());
        let note = format!("{path}/acknowledge");
        assert_eq!(app.get(&path, &stranger).await.status, 404);
        assert_eq!(app.send(Method::POST, &note, &stranger, &[], None).await.status, 404);
        let noted = app.send(Method::POST, &note, &admin, &[], None).await;
        assert_eq!(noted.status, 200, "{noted:?}");
        assert!(noted.json()["acknowledged_by"].as_str().unwrap().ends_with("@example.com"));
        let again = app.send(Method::POST, &note, &admin, &[], None).await;
        assert_eq!(again.json(), noted.json());
        assert_eq!(app.get(&path, &admin).await.json(), noted.json());
        assert_eq!(app.get("/api/v1/alerts?acknowledged=false", &admin).await.json()["data"], json!([]));
    }
}
