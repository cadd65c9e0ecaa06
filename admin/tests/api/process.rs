//! The process that answers: what it logs, and what it does with its time.

use admin_types::role::Role;
use entities::audit_entry;
use http::Method;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::helpers::{Answer, TestApp, both};

const LEVEL: &str = "/api/v1/log-level";
const PROFILE: &str = "/api/v1/debug/profile";

async fn put(app: &TestApp, token: &str, body: Value) -> Answer {
    app.send(Method::PUT, LEVEL, token, &[], Some(body)).await
}

async fn entries(app: &TestApp, kind: &str) -> Vec<audit_entry::Model> {
    let of_kind = audit_entry::Entity::find().filter(audit_entry::Column::ObjectKind.eq(kind));
    of_kind.order_by_asc(audit_entry::Column::Sequence).all(&app.database).await.unwrap()
}

both! {
    async fn the_log_s_level_is_changed_for_a_while_and_written_down(app: &TestApp) {
        let admin = app.platform().await;
        let configured = json!({
            "levels": "info", "configured": "info", "until": null, "instance": "machine-1", "gateway": false,
        });
        assert_eq!(app.get(LEVEL, &admin).await.json(), configured);

        let before = OffsetDateTime::now_utc();
        let changed = put(app, &admin, json!({ "levels": "info,gateway=debug", "for_seconds": 600 })).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        let told = changed.json();
        assert_eq!((&told["levels"], &told["configured"]), (&json!("info,gateway=debug"), &json!("info")));
        assert_eq!(app.get(LEVEL, &admin).await.json(), told);
        let until = OffsetDateTime::parse(told["until"].as_str().unwrap(), &Rfc3339).unwrap();
        let planned = before + Duration::seconds(600)..=OffsetDateTime::now_utc() + Duration::seconds(600);
        assert!(planned.contains(&until));

        assert_eq!(put(app, &admin, json!({ "levels": "warn" })).await.json()["until"], Value::Null);
        assert_eq!(app.delete(LEVEL, &admin).await.status, 204);
        assert_eq!(app.get(LEVEL, &admin).await.json(), configured);

        let written = entries(app, "log_level").await;
        let levels: Vec<_> = written
            .iter()
            .map(|entry| {
                let of = |view: &Option<String>| {
                    let view: Value = serde_json::from_str(view.as_deref().unwrap()).unwrap();
                    view["levels"].as_str().unwrap().to_owned()
                };
                (entry.object_id.clone().unwrap(), of(&entry.before), of(&entry.after))
            })
            .collect();
        let entry = |before: &str, after: &str| ("machine-1".to_owned(), before.to_owned(), after.to_owned());
        let changes = [("info", "info,gateway=debug"), ("info,gateway=debug", "warn"), ("warn", "info")];
        assert_eq!(levels, changes.map(|(before, after)| entry(before, after)));
    }
}

both! {
    async fn levels_that_cannot_be_used_change_nothing(app: &TestApp) {
        let admin = app.platform().await;
        let long = "x".repeat(1001);
        for (body, field) in [
            (json!({ "levels": "loud" }), "levels"),
            (json!({ "levels": "" }), "levels"),
            (json!({ "levels": long }), "levels"),
            (json!({}), "levels"),
            (json!({ "levels": "warn", "for_seconds": 0 }), "for_seconds"),
            (json!({ "levels": "warn", "for_seconds": 86_401 }), "for_seconds"),
            (json!({ "levels": "warn", "for": 1 }), "for"),
        ] {
            let answer = put(app, &admin, body).await;
            assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{answer:?}");
            assert_eq!(answer.json()["errors"][0]["field"], field);
        }
        let tenant = app.token(Role::TenantAdmin, Some(app.tenant("acme").await)).await;
        assert_eq!(put(app, &tenant, json!({ "levels": "warn" })).await.status, 403);
        assert_eq!(app.get(LEVEL, &admin).await.json()["levels"], "info");
        assert!(entries(app, "log_level").await.is_empty());
    }
}

both! {
    async fn a_profile_is_taken_one_at_a_time_and_written_down(app: &TestApp) {
        let admin = app.platform().await;
        let picture = app.get(&format!("{PROFILE}?seconds=1"), &admin).await;
        assert_eq!((picture.status, picture.text.as_str()), (200, "as svg"));
        assert_eq!(picture.headers["content-type"], "image/svg+xml");
        assert_eq!(picture.headers["content-disposition"], "attachment; filename=\"profile.svg\"");
        assert!(picture.headers["content-security-policy"].contains("sandbox"), "it runs nothing as a page of ours");
        assert_eq!(*app.process.hertz.lock().unwrap(), 99);
        let stacks = app.get(&format!("{PROFILE}?seconds=1&hertz=250&format=folded"), &admin).await;
        assert_eq!((stacks.status, stacks.text.as_str()), (200, "as folded"));
        assert_eq!(*app.process.hertz.lock().unwrap(), 250);

        app.process.watched.store(true, std::sync::atomic::Ordering::Relaxed);
        let refused = app.get(PROFILE, &admin).await;
        assert_eq!((refused.status, refused.problem().as_str()), (409, "busy"));
        app.process.watched.store(false, std::sync::atomic::Ordering::Relaxed);

        for (bad, field) in [
            ("seconds=0", "seconds"),
            ("seconds=31", "seconds"),
            ("hertz=0", "hertz"),
            ("hertz=251", "hertz"),
            ("format=pdf", "format"),
        ] {
            let answer = app.get(&format!("{PROFILE}?{bad}"), &admin).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &json!(field)), "{bad}");
        }
        let tenant = app.token(Role::TenantAdmin, Some(app.tenant("acme").await)).await;
        assert_eq!(app.get(PROFILE, &tenant).await.status, 403);
        let written = entries(app, "profile").await;
        assert_eq!(written.len(), 2, "of those that were taken");
        let last: Value = serde_json::from_str(written[1].after.as_deref().unwrap()).unwrap();
        assert_eq!(last, json!({ "seconds": 1, "hertz": 250, "format": "folded" }));
    }
}
