//! The audit log: what it keeps, who reads it, and what tampering leaves behind.

use admin_types::role::Role;
use entities::{audit_entry, audit_head};
use http::Method;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::helpers::{TestApp, both};

/// Makes a key and renames it so often.
async fn history(app: &TestApp, tenant: Uuid, changes: usize) -> Value {
    let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
    let key = app.post("/api/v1/keys", &admin, json!({ "name": "=first" })).await.json();
    for change in 0..changes {
        let path = format!("/api/v1/keys/{}", key["id"].as_str().unwrap());
        assert_eq!(app.patch(&path, &admin, json!({ "name": format!("name {change}") })).await.status, 200);
    }
    key
}

async fn entries(app: &TestApp, token: &str, query: &str) -> Vec<Value> {
    let answer = app.get(&format!("/api/v1/audit?{query}"), token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["data"].as_array().unwrap().clone()
}

both! {
    async fn every_change_is_kept_and_found(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let (admin, platform) = (app.token(Role::TenantAdmin, Some(acme)).await, app.platform().await);
        let key = history(app, acme, 2).await;
        history(app, other, 0).await;
        app.post("/api/v1/tenants", &platform, json!({ "name": "third" })).await;
        let own = entries(app, &admin, "").await;
        assert_eq!(own.iter().map(|entry| entry["sequence"].as_i64().unwrap()).collect::<Vec<_>>(), [3, 2, 1]);
        let last = &own[0];
        assert_eq!((&last["action"], &last["object_kind"], &last["object_id"]), (&json!("update"), &json!("key"), &key["id"]));
        assert_eq!((&last["before"]["name"], &last["after"]["name"]), (&json!("name 0"), &json!("name 1")));
        assert_eq!((&last["actor_kind"], &last["address"]), (&json!("token"), &json!("127.0.0.1")));
        assert!(last["request_id"].is_string());
        assert_eq!(own[1]["hash"], last["previous_hash"]);
        let path = format!("/api/v1/audit/{}", last["id"].as_str().unwrap());
        assert_eq!(app.get(&path, &admin).await.json(), *last);

        assert_eq!(entries(app, &platform, "").await.len(), 5);
        assert_eq!(entries(app, &platform, &format!("tenant_id={other}")).await.len(), 1);
        assert_eq!(entries(app, &admin, &format!("tenant_id={other}")).await.len(), 0);
        assert_eq!(entries(app, &admin, "action=create").await.len(), 1);
        assert_eq!(entries(app, &platform, "object_kind=tenant").await.len(), 1);
        assert_eq!(entries(app, &platform, &format!("object_id={}", key["id"].as_str().unwrap())).await.len(), 3);
        let actor = last["actor_name"].as_str().unwrap().replace('@', "%40");
        assert_eq!(entries(app, &platform, &format!("actor={actor}")).await.len(), 3);
        assert_eq!(entries(app, &admin, "q=NAME%200").await.len(), 2, "before and after");
        assert_eq!(entries(app, &admin, "q='%20OR%20'1'='1").await.len(), 0);
        let stamp = |offset: i64| (OffsetDateTime::now_utc() + Duration::seconds(offset)).format(&Rfc3339).unwrap();
        assert_eq!(entries(app, &admin, &format!("from={}&to={}", stamp(-60), stamp(60))).await.len(), 3);
        assert_eq!(entries(app, &admin, &format!("from={}", stamp(60))).await.len(), 0);
        assert_eq!(entries(app, &admin, &format!("to={}", stamp(-60))).await.len(), 0);
        let first = app.get("/api/v1/audit?limit=2", &admin).await.json();
        let next = entries(app, &admin, &format!("limit=2&cursor={}", first["next_cursor"].as_str().unwrap())).await;
        assert_eq!(next.len(), 1);
        assert_eq!(next[0]["sequence"], 1);
        let oldest = entries(app, &admin, "sort=at").await;
        assert_eq!(oldest.iter().map(|entry| entry["sequence"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
        let long = format!("q={}", "x".repeat(201));
        for (bad, field) in [("from=yesterday", "from"), ("colour=red", "colour"), ("limit=0", "limit"), (&long, "q")] {
            let answer = app.get(&format!("/api/v1/audit?{bad}"), &admin).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &json!(field)), "{bad}");
        }
    }
}

both! {
    async fn who_reads_it(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let (admin, viewer) = (app.token(Role::TenantAdmin, Some(acme)).await, app.token(Role::TenantViewer, Some(acme)).await);
        history(app, other, 0).await;
        let theirs = entries(app, &app.platform().await, "").await[0]["id"].as_str().unwrap().to_owned();
        for path in ["/api/v1/audit", "/api/v1/audit/verify", "/api/v1/audit/export", &format!("/api/v1/audit/{theirs}")] {
            assert_eq!(app.get(path, &viewer).await.status, 403, "{path}");
        }
        assert_eq!(app.get(&format!("/api/v1/audit/{theirs}"), &admin).await.status, 404);
        assert_eq!(app.get("/api/v1/audit/export?format=json", &admin).await.json(), json!([]));
        assert_eq!(app.get("/api/v1/audit/verify", &admin).await.json()["chains"], 0);
        for method in [Method::POST, Method::PATCH, Method::DELETE] {
            let answer = app.send(method, &format!("/api/v1/audit/{theirs}"), &admin, &[], None).await;
            assert_eq!(answer.status, 405, "nobody changes it");
        }
    }
}

both! {
    async fn it_is_written_out_whole(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let file = (0..600).fold("name\n".to_owned(), |file, row| file + &format!("=key-{row}\n"));
        let made = app.send_bytes(Method::POST, "/api/v1/keys/bulk", &admin, &[("content-type", "text/csv")], file.into_bytes()).await;
        assert_eq!(made.status, 201, "{made:?}");
        let json = app.get("/api/v1/audit/export?format=json", &admin).await;
        let sequences: Vec<_> = json.json().as_array().unwrap().iter().map(|entry| entry["sequence"].as_i64().unwrap()).collect();
        assert_eq!(sequences, (1..=600).rev().collect::<Vec<_>>());
        let csv = app.get("/api/v1/audit/export?object_kind=key", &admin).await;
        assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"audit.csv\"");
        assert_eq!(csv.text.lines().count(), 601);
        assert!(csv.text.starts_with("id,chain,sequence,at,"));
        let evil = audit_entry::Entity::update_many().col_expr(audit_entry::Column::ActorName, Expr::value("=cmd()"));
        evil.exec(&app.database).await.unwrap();
        let csv = app.get("/api/v1/audit/export", &admin).await;
        assert_eq!(csv.text.matches(",'=cmd(),").count(), 600, "a spreadsheet runs nothing");
    }
}

both! {
    async fn tampering_is_found(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let platform = app.platform().await;
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        history(app, acme, 4).await;
        history(app, other, 1).await;
        let verify = async |token: &str| app.get("/api/v1/audit/verify", token).await.json();
        let sound = json!({ "valid": true, "chains": 2, "entries": 7, "faults": [] });
        assert_eq!(verify(&platform).await, sound);
        assert_eq!(verify(&admin).await["entries"], 5);

        let db = &app.database;
        let of_acme = audit_entry::Column::Chain.eq(acme.to_string());
        let rows = audit_entry::Entity::find().filter(of_acme.clone()).all(db).await.unwrap();
        let at = |sequence: i64| rows.iter().find(|row| row.sequence == sequence).unwrap().clone();
        let put = async |row: &audit_entry::Model| {
            audit_entry::Entity::delete_by_id(row.id).exec(db).await.unwrap();
            audit_entry::Entity::insert(audit_entry::ActiveModel::from(row.clone())).exec_without_returning(db).await.unwrap();
        };
        let faults = async || verify(&platform).await["faults"].clone();
        let fault = |sequence: i64, entry: Option<&audit_entry::Model>, kind: &str| {
            let id = entry.map(|row| row.id.to_string());
            json!([{ "chain": acme, "sequence": sequence, "entry_id": id, "fault": kind }])
        };

        let mut altered = at(2);
        altered.after = Some(altered.after.unwrap().replace("name 0", "another"));
        put(&altered).await;
        assert_eq!(faults().await, fault(2, Some(&altered), "altered"));
        assert_eq!(verify(&admin).await["valid"], false);
        altered.hash = admin::audit::hash(&altered);
        put(&altered).await;
        assert_eq!(faults().await, fault(3, Some(&at(3)), "unlinked"), "a new hash breaks the next link");
        put(&at(2)).await;
        assert_eq!(verify(&platform).await, sound);

        audit_entry::Entity::delete_by_id(at(3).id).exec(db).await.unwrap();
        assert_eq!(faults().await, fault(3, None, "missing"));
        put(&at(3)).await;
        audit_entry::Entity::delete_by_id(at(5).id).exec(db).await.unwrap();
        assert_eq!(faults().await, fault(5, None, "cut_off"));
        let mut last = at(5);
        last.actor_name = "nobody".to_owned();
        last.hash = admin::audit::hash(&last);
        put(&last).await;
        assert_eq!(faults().await, fault(5, Some(&last), "altered"), "the end of the chain is recorded");
        put(&at(5)).await;

        let mut more = at(5);
        more.id = entities::Id(Uuid::now_v7());
        (more.sequence, more.previous_hash) = (6, at(5).hash);
        more.hash = admin::audit::hash(&more);
        put(&more).await;
        assert_eq!(faults().await, fault(6, Some(&more), "behind_the_end"));
        audit_entry::Entity::delete_by_id(more.id).exec(db).await.unwrap();
        assert_eq!(verify(&platform).await, sound);

        audit_head::Entity::delete_by_id(acme.to_string()).exec(db).await.unwrap();
        assert_eq!(faults().await, fault(5, Some(&at(5)), "behind_the_end"), "a chain without its end");
        audit_entry::Entity::delete_many().exec(db).await.unwrap();
        let faults = faults().await;
        assert_eq!((faults[0]["chain"].as_str(), faults[0]["fault"].as_str()), (Some(other.to_string().as_str()), Some("cut_off")));
    }
}
