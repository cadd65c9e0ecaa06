//! Rules and channels over the API.

use admin_types::role::Role;
use entities::{alert_channel, audit_entry};
use http::Method;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use uuid::Uuid;

use super::fixtures::{key, make};
use crate::helpers::{TestApp, both};

fn webhook() -> Value {
    json!({ "name": "hook", "settings": {
        "kind": "webhook", "url": "https://hooks.example.com/antiphon", "secret": "canary-secret-0123456789" } })
}

both! {
    async fn a_rule_is_made_changed_and_removed(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let channel = make(app, "/api/v1/alerts/channels", &admin, webhook()).await;
        let condition = json!({ "kind": "budget_share", "percent": 80 });
        let body = json!({ "name": "budgets", "condition": condition, "channel_ids": [channel, channel] });
        let made = app.post("/api/v1/alerts/rules", &admin, body.clone()).await;
        assert_eq!((made.status, made.headers["etag"].as_str()), (201, "\"1\""), "{made:?}");
        let path = made.headers["location"].clone();
        let mut rule = made.json();
        assert_eq!(rule["tenant_id"], json!(tenant));
        assert_eq!((&rule["severity"], &rule["enabled"]), (&json!("warning"), &json!(true)));
        assert_eq!(rule["channel_ids"], json!([channel]));
        let again = app.post("/api/v1/alerts/rules", &admin, body).await;
        assert_eq!((again.status, again.problem().as_str()), (409, "already_exists"));

        let change = json!({ "condition": { "kind": "breaker" }, "channel_ids": [] });
        let changed = app.send(Method::PATCH, &path, &admin, &[("if-match", "\"1\"")], Some(change.clone())).await;
        rule["condition"] = json!({ "kind": "breaker", "open_seconds": 60 });
        rule["channel_ids"] = json!([]);
        rule["updated_at"] = changed.json()["updated_at"].clone();
        assert_eq!(changed.json(), rule);
        assert_eq!(app.get(&path, &admin).await.json(), rule);
        let late = app.send(Method::PATCH, &path, &admin, &[("if-match", "\"1\"")], Some(change)).await;
        assert_eq!(late.status, 412);

        let named = app.patch(&path, &admin, json!({ "name": "Öffentliche Budgets" })).await;
        rule["name"] = json!("Öffentliche Budgets");
        rule["updated_at"] = named.json()["updated_at"].clone();
        for text in ["%C3%96ffent", "%C3%96FFENT", "%C3%B6ffent"] {
            let list = app.get(&format!("/api/v1/alerts/rules?q={text}"), &admin).await.json();
            assert_eq!(list["data"], json!([rule]), "{text}");
        }
        let list = app.get("/api/v1/alerts/rules?kind=breaker&q=BUDG", &admin).await.json();
        assert_eq!(list["data"], json!([rule]));
        let removed = app.send(Method::DELETE, &path, &admin, &[("if-match", "\"3\"")], None).await;
        assert_eq!(removed.status, 204);
        assert_eq!(app.get(&path, &admin).await.status, 404);
    }
}

both! {
    async fn what_a_rule_or_channel_says_wrong_is_named(app: &TestApp) {
        let platform = app.platform().await;
        let rule = |condition: Value| json!({ "name": "r", "condition": condition });
        let channel = |settings: Value| json!({ "name": "c", "settings": settings });
        let rules = "/api/v1/alerts/rules";
        let channels = "/api/v1/alerts/channels";
        let url = "https://hooks.example.com/";
        for (path, body, field) in [
            (rules, rule(json!({ "kind": "budget_share", "percent": 0 })), "condition.percent"),
            (rules, rule(json!({ "kind": "budget_share", "percent": 101 })), "condition.percent"),
            (rules, rule(json!({ "kind": "spend_rate", "usd": "-1", "window_minutes": 5 })), "condition.usd"),
            (rules, rule(json!({ "kind": "spend_rate", "usd": "1", "window_minutes": 0 })), "condition.window_minutes"),
            (rules, rule(json!({ "kind": "latency", "p95_ms": 0, "window_minutes": 5 })), "condition.p95_ms"),
            (rules, rule(json!({ "kind": "breaker", "provider": "" })), "condition.provider"),
            (rules, rule(json!({ "kind": "breaker", "colour": 1 })), "condition.colour"),
            (rules, rule(json!({ "kind": "phase_of_the_moon" })), "condition.kind"),
            (rules, json!({ "name": " r", "condition": { "kind": "breaker" } }), "name"),
            (rules, json!({ "name": "a\nb", "condition": { "kind": "breaker" } }), "name"),
            (rules, rule(json!({ "kind": "budget_share", "percent": 9,
                "key_id": "01900000-0000-7000-8000-000000000000" })), "condition.key_id"),
            (channels, channel(json!({ "kind": "webhook", "url": url, "secret": "short" })), "settings.secret"),
            (channels, channel(json!({ "kind": "slack", "url": "http://hooks.example.com/" })), "settings.url"),
            (channels, channel(json!({ "kind": "slack", "url": "https://10.0.0.1/" })), "settings.url"),
            (channels, channel(json!({ "kind": "slack", "url": "https://u:p@example.com/" })), "settings.url"),
            (channels, channel(json!({ "kind": "email", "to": [] })), "settings.to"),
            (channels, channel(json!({ "kind": "email", "to": ["a@b.example\r\nBcc: c@d.example"] })), "settings.to[0]"),
        ] {
            let answer = app.post(path, &platform, body.clone()).await;
            assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{body} {answer:?}");
            assert_eq!(answer.json()["errors"][0]["field"], field, "{body} {answer:?}");
        }
        let rule_of_nobody = json!({ "name": "r", "tenant_id": Uuid::nil(), "condition": { "kind": "breaker" } });
        let mut channel_of_nobody = webhook();
        channel_of_nobody["tenant_id"] = json!(Uuid::nil());
        for (path, body) in [(rules, rule_of_nobody), (channels, channel_of_nobody)] {
            let answer = app.post(path, &platform, body).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &json!("tenant_id")), "{answer:?}");
        }
        let email = channel(json!({ "kind": "email", "to": ["ops@example.com"] }));
        let answer = app.post(channels, &platform, email).await;
        assert_eq!((answer.status, answer.problem().as_str()), (409, "no_mail_server"));
    }
}

both! {
    async fn a_rule_is_muted_for_a_time_to_come_told_in_one_way(app: &TestApp) {
        let platform = app.platform().await;
        let rule = json!({ "name": "r", "condition": { "kind": "breaker" } });
        let path = format!("/api/v1/alerts/rules/{}/mute", make(app, "/api/v1/alerts/rules", &platform, rule).await);
        for (body, field) in [
            (json!({}), "minutes"),
            (json!({ "minutes": 0 }), "minutes"),
            (json!({ "minutes": 525_601 }), "minutes"),
            (json!({ "minutes": 5, "until": "2999-01-01T00:00:00Z" }), "minutes"),
            (json!({ "until": "2020-01-01T00:00:00Z" }), "until"),
            (json!({ "until": "9999-12-31T23:59:59-12:00" }), "until"),
            (json!({ "minutes": 5, "colour": 1 }), "colour"),
        ] {
            let answer = app.post(&path, &platform, body.clone()).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &json!(field)), "{body} {answer:?}");
        }
        let muted = app.post(&path, &platform, json!({ "until": "2999-01-01T01:00:00+01:00" })).await;
        assert_eq!(muted.json()["muted_until"], "2999-01-01T00:00:00Z", "{muted:?}");
        assert_eq!(app.post(&path, &platform, json!({ "minutes": 60 })).await.status, 200);
    }
}

both! {
    async fn an_owner_has_so_many_rules_and_channels_and_no_more(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        let stranger = app.token(Role::TenantAdmin, Some(other)).await;
        let rule = |name: &str| json!({ "name": name, "condition": { "kind": "unpriced" } });
        let channel = |name: &str| json!({ "name": name, "settings": { "kind": "slack", "url": "https://hooks.example.com/x" } });
        for number in 0..100 {
            make(app, "/api/v1/alerts/rules", &admin, rule(&number.to_string())).await;
            make(app, "/api/v1/alerts/channels", &admin, channel(&number.to_string())).await;
        }
        for (path, body, code) in [
            ("/api/v1/alerts/rules", rule("more"), "too_many_alert_rules"),
            ("/api/v1/alerts/channels", channel("more"), "too_many_alert_channels"),
        ] {
            let refused = app.post(path, &admin, body.clone()).await;
            assert_eq!((refused.status, refused.problem().as_str()), (409, code), "{refused:?}");
            make(app, path, &stranger, body).await;
        }
    }
}

both! {
    async fn tenants_see_and_use_their_own_alone(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        let stranger = app.token(Role::TenantAdmin, Some(other)).await;
        let platform = app.platform().await;
        let rule = json!({ "name": "r", "condition": { "kind": "unpriced" } });
        let mut ids = Vec::new();
        for token in [&admin, &platform] {
            ids.push(make(app, "/api/v1/alerts/rules", token, rule.clone()).await);
        }
        let mut channels = Vec::new();
        for token in [&admin, &platform] {
            channels.push(make(app, "/api/v1/alerts/channels", token, webhook()).await);
        }
        for path in ids.iter().map(|id| format!("/api/v1/alerts/rules/{id}"))
            .chain(channels.iter().map(|id| format!("/api/v1/alerts/channels/{id}")))
        {
            assert_eq!(app.get(&path, &stranger).await.status, 404, "{path}");
            assert_eq!(app.patch(&path, &stranger, json!({ "enabled": false })).await.status, 404, "{path}");
            assert_eq!(app.delete(&path, &stranger).await.status, 404, "{path}");
        }
        for action in ["mute", "unmute"] {
            let path = format!("/api/v1/alerts/rules/{}/{action}", ids[0]);
            assert_eq!(app.post(&path, &stranger, json!({ "minutes": 5 })).await.status, 404);
        }
        let test = format!("/api/v1/alerts/channels/{}/test", channels[0]);
        assert_eq!(app.send(Method::POST, &test, &stranger, &[], None).await.status, 404);
        for list in ["rules", "channels"] {
            let path = format!("/api/v1/alerts/{list}");
            assert_eq!(app.get(&path, &stranger).await.json()["data"], json!([]), "{list}");
            assert_eq!(app.get(&path, &admin).await.json()["data"].as_array().unwrap().len(), 1, "{list}");
            assert_eq!(app.get(&path, &platform).await.json()["data"].as_array().unwrap().len(), 2, "{list}");
            let others = app.get(&format!("{path}?tenant_id={acme}"), &stranger).await.json();
            assert_eq!(others["data"], json!([]), "{list}");
        }

        // Neither another tenant's channel, nor the platform's, nor another tenant's key.
        for channel in &channels {
            let body = json!({ "name": "s", "condition": { "kind": "unpriced" }, "channel_ids": [channel] });
            let answer = app.post("/api/v1/alerts/rules", &stranger, body).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &json!("channel_ids[0]")));
        }
        let key = key(app, acme, "ci", None).await;
        let body = json!({ "name": "s", "condition": { "kind": "budget_share", "percent": 9, "key_id": key } });
        assert_eq!(app.post("/api/v1/alerts/rules", &stranger, body.clone()).await.status, 422);
        assert_eq!(app.post("/api/v1/alerts/rules", &admin, body).await.status, 201);
        let body = json!({ "name": "t", "tenant_id": acme, "condition": { "kind": "unpriced" } });
        assert_eq!(app.post("/api/v1/alerts/rules", &stranger, body).await.status, 422);

        // Into private networks lead channels of the platform alone, also those made for a tenant.
        let mut hole = webhook();
        hole["name"] = json!("hole");
        hole["settings"]["allow_insecure"] = json!(true);
        assert_eq!(app.post("/api/v1/alerts/channels", &admin, hole.clone()).await.status, 422);
        hole["tenant_id"] = json!(acme);
        assert_eq!(app.post("/api/v1/alerts/channels", &platform, hole.clone()).await.status, 422);
        hole["tenant_id"] = Value::Null;
        assert_eq!(app.post("/api/v1/alerts/channels", &platform, hole).await.status, 201);
    }
}

both! {
    async fn the_secrets_of_channels_go_in_and_never_out(app: &TestApp) {
        let platform = app.platform().await;
        let slack = "https://hooks.slack.example/services/T0/B0/canary-secret-slack";
        let mut hook = webhook();
        hook["settings"]["url"] = json!("https://hooks.example.com/canary-secret-token");
        let made = app.post("/api/v1/alerts/channels", &platform, hook).await;
        assert_eq!(made.json()["url"], "https://hooks.example.com/…");
        let rows = alert_channel::Entity::find().all(&app.database).await.unwrap();
        assert!(!format!("{rows:?}").contains("canary-secret"));
        let path = made.headers["location"].clone();
        let change = json!({ "name": "slack", "settings": { "kind": "slack", "url": slack } });
        let changed = app.patch(&path, &platform, change).await;
        assert_eq!((changed.status, &changed.json()["url"]), (200, &json!("https://hooks.slack.example/…")));
        let list = app.get("/api/v1/alerts/channels", &platform).await;
        for answer in [&made, &changed, &list, &app.get(&path, &platform).await] {
            assert!(!answer.text.contains("canary-secret"), "{answer:?}");
        }
        let rows = alert_channel::Entity::find().all(&app.database).await.unwrap();
        assert!(!format!("{rows:?}").contains("canary-secret"));
        let sealed = rows[0].sealed.clone().unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("canary-secret"));
        let audit = audit_entry::Entity::find().all(&app.database).await.unwrap();
        assert!(audit.len() >= 2 && !format!("{audit:?}").contains("canary-secret"));
    }
}
