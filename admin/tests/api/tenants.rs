//! Tenants.

use admin_types::role::Role;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::json;

use crate::helpers::{TestApp, both};

both! {
    async fn a_tenant_is_made_changed_and_removed(app: &TestApp) {
        let admin = app.platform().await;
        let made = app.post("/api/v1/tenants", &admin, json!({ "name": "acme" })).await;
        assert_eq!(made.status, 201, "{made:?}");
        let path = made.headers["location"].clone();
        assert_eq!(made.headers["etag"], "\"1\"");
        let again = app.post("/api/v1/tenants", &admin, json!({ "name": "acme" })).await;
        assert_eq!((again.status, again.problem().as_str()), (409, "already_exists"));

        let mut changed = made.json();
        let answer = app.patch(&path, &admin, json!({ "refuse_unpriced": true })).await;
        changed["refuse_unpriced"] = json!(true);
        changed["updated_at"] = answer.json()["updated_at"].clone();
        assert_eq!((answer.status, answer.json()), (200, changed.clone()));
        assert_eq!(app.get(&path, &admin).await.json(), changed);
        assert_eq!(app.changes(), 2, "gateways are told");
        for (asked, kept) in [(json!("closed"), json!("closed")), (json!(null), json!(null)), (json!("open"), json!("open"))] {
            let answer = app.patch(&path, &admin, json!({ "when_away": asked })).await;
            assert_eq!((answer.status, &answer.json()["when_away"]), (200, &kept));
        }
        let kept = app.patch(&path, &admin, json!({ "refuse_unpriced": false })).await;
        assert_eq!(kept.json()["when_away"], "open", "what is not told stays");
        let unknown = app.patch(&path, &admin, json!({ "when_away": "ajar" })).await;
        assert_eq!((unknown.status, unknown.problem().as_str()), (422, "invalid"));

        let stale = app.send(Method::PATCH, &path, &admin, &[("if-match", "\"1\"")], Some(json!({ "name": "x" }))).await;
        assert_eq!((stale.status, stale.problem().as_str()), (412, "stale"));
        assert_eq!(app.delete(&path, &admin).await.status, 204);
        assert_eq!(app.get(&path, &admin).await.status, 404);
    }
}

both! {
    async fn a_tenant_sees_itself_and_no_other(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let viewer = app.token(Role::TenantViewer, Some(acme)).await;
        let list = app.get("/api/v1/tenants", &viewer).await.json();
        assert_eq!(list["data"].as_array().unwrap().len(), 1);
        assert_eq!(list["data"][0]["name"], "acme");
        assert_eq!(app.get(&format!("/api/v1/tenants/{acme}"), &viewer).await.status, 200);
        let foreign = app.get(&format!("/api/v1/tenants/{other}"), &viewer).await;
        let missing = app.get("/api/v1/tenants/01900000-0000-7000-8000-000000000000", &viewer).await;
        assert_eq!((foreign.status, foreign.problem()), (missing.status, missing.problem()));
        assert_eq!(foreign.json()["detail"], missing.json()["detail"]);
    }
}

both! {
    async fn lists_come_in_pages_in_every_order(app: &TestApp) {
        let admin = app.platform().await;
        for name in ["b", "a%", "c", "A_d", "e"] {
            app.tenant(name).await;
        }
        for (sort, expected) in [
            ("created_at", ["b", "a%", "c", "A_d", "e"]),
            ("-created_at", ["e", "A_d", "c", "a%", "b"]),
            // By bytes, on either database.
            ("name", ["A_d", "a%", "b", "c", "e"]),
            ("-name", ["e", "c", "b", "a%", "A_d"]),
        ] {
            let mut names = Vec::new();
            let mut path = format!("/api/v1/tenants?limit=2&sort={sort}");
            loop {
                let page = app.get(&path, &admin).await.json();
                names.extend(page["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()));
                let Some(cursor) = page["next_cursor"].as_str() else { break };
                path = format!("/api/v1/tenants?limit=2&sort={sort}&cursor={cursor}");
            }
            assert_eq!(names, expected, "{sort}");
        }
        let of = async |query: &str| {
            let page = app.get(&format!("/api/v1/tenants?{query}"), &admin).await.json();
            page["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of("q=A").await, ["a%", "A_d"]);
        assert_eq!(of("q=%25").await, ["a%"], "a letter, not a pattern");
        assert_eq!(of("q='%20OR%201=1--").await, Vec::<String>::new());
        // What stands in a cursor must be of the kind that the list goes by.
        for (sort, key) in [("name", "7"), ("name", r#"{"micros":7}"#), ("name", "null"), ("created_at", "\"a\"")] {
            let cursor = URL_SAFE_NO_PAD.encode(format!(r#"{{"s":"{sort}","k":{key},"i":"a"}}"#));
            let answer = app.get(&format!("/api/v1/tenants?sort={sort}&cursor={cursor}"), &admin).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &json!("cursor")), "{sort} {key}");
        }
        for bad in ["limit=0", "limit=501", "cursor=x", "sort=x", "colour=red"] {
            let answer = app.get(&format!("/api/v1/tenants?{bad}"), &admin).await;
            assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{bad}");
            assert_eq!(answer.json()["errors"][0]["field"], bad.split('=').next().unwrap());
        }
    }
}

both! {
    async fn asking_twice_makes_it_once(app: &TestApp) {
        let admin = app.platform().await;
        let ask = async |name: &str| {
            app.send(Method::POST, "/api/v1/tenants", &admin, &[("idempotency-key", "k1")], Some(json!({ "name": name }))).await
        };
        let (first, second) = (ask("acme").await, ask("acme").await);
        assert_eq!((first.status, second.status), (201, 201));
        assert_eq!(first.json(), second.json());
        assert_eq!(second.headers["idempotent-replayed"], "true");
        assert_eq!(ask("other").await.problem(), "idempotency_key_reused");
        let of_another = app.platform().await;
        let other = app.send(Method::POST, "/api/v1/tenants", &of_another, &[("idempotency-key", "k1")], Some(json!({ "name": "b" }))).await;
        assert_eq!(other.status, 201, "another caller's key is another key");
    }
}

both! {
    async fn nobody_of_a_suspended_tenant_is_served(app: &TestApp) {
        let admin = app.platform().await;
        let acme = app.tenant("acme").await;
        let own = app.token(Role::TenantAdmin, Some(acme)).await;
        let path = format!("/api/v1/tenants/{acme}");
        assert_eq!(app.get(&path, &own).await.status, 200);
        let suspended = app.post(&format!("{path}/suspend"), &admin, json!({ "reason": "unpaid" })).await.json();
        assert_eq!(suspended["suspended_reason"], "unpaid");
        assert!(suspended["suspended_at"].is_string());
        assert_eq!(app.get(&path, &own).await.status, 401);
        assert_eq!(app.send(Method::POST, &format!("{path}/resume"), &admin, &[], None).await.status, 200);
        assert_eq!(app.get(&path, &own).await.status, 200);
    }
}
