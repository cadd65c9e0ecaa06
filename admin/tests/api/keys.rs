//! Virtual keys.

use admin_types::role::Role;
use domain::key::{KeyHash, is_well_formed};
use entities::{Id, usage_record, virtual_key};
use http::Method;
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, Statement};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::helpers::{Answer, TestApp, both};

async fn make(app: &TestApp, token: &str, body: Value) -> Value {
    let answer = app.post("/api/v1/keys", token, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

async fn row(app: &TestApp, key: &Value) -> virtual_key::Model {
    let id: Uuid = key["id"].as_str().unwrap().parse().unwrap();
    virtual_key::Entity::find_by_id(Id(id)).one(&app.database).await.unwrap().unwrap()
}

fn path(key: &Value) -> String {
    format!("/api/v1/keys/{}", key["id"].as_str().unwrap())
}

fn fields(answer: &Answer) -> Vec<String> {
    assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{answer:?}");
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

async fn names(app: &TestApp, token: &str, query: &str) -> Vec<String> {
    let answer = app.get(&format!("/api/v1/keys?{query}"), token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let data = answer.json()["data"].as_array().unwrap().clone();
    data.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

both! {
    async fn a_key_lives(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let asked = json!({
            "name": "ci", "operations": ["speech", "transcription", "speech"], "models": ["tts-*", "whisper-1"],
            "requests_per_minute": 600, "max_concurrent_sessions": 0, "max_upload_bytes": 1024,
            "budget": { "usd": "100.50", "window": "monthly" }, "refuse_unpriced": true, "passthrough": true,
            "allow_strategy": true, "expires_at": "2100-01-01T02:00:00.123456789+02:00",
        });
        let mut asked = asked;
        let refused = app.post("/api/v1/keys", &admin, asked.clone()).await;
        assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"), "{refused:?}");
        assert!(refused.text.contains("`passthrough`"), "it opens the platform's accounts: {refused:?}");
        asked["tenant_id"] = json!(tenant);
        let answer = app.post("/api/v1/keys", &app.platform().await, asked).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let mut key = answer.json();
        assert_eq!(answer.headers["location"], path(&key));
        let secret = key.as_object_mut().unwrap().remove("secret").unwrap();
        let secret = secret.as_str().unwrap();
        assert!(is_well_formed(secret));
        let stored = row(app, &key).await;
        assert_eq!(stored.hash, KeyHash::of(&app.secrets.key_pepper, secret).0.to_vec(), "gateways find it");
        let (_, last) = secret.split_at(secret.len() - 4);
        let expected = json!({
            "id": key["id"], "tenant_id": tenant, "name": "ci", "redacted": format!("sk-ap-…{last}"), "state": "active",
            "operations": ["speech", "transcription"], "models": ["tts-*", "whisper-1"], "requests_per_minute": 600,
            "max_concurrent_sessions": 0, "max_upload_bytes": 1024, "budget": { "usd": "100.5", "window": "monthly" },
            "refuse_unpriced": true, "passthrough": true, "allow_strategy": true,
            "expires_at": "2100-01-01T00:00:00.123456Z",
            "revoked_at": null, "revoked_by": null, "revoked_reason": null, "previous": null, "rotated_at": null,
            "managed_by": "api", "created_at": key["created_at"], "updated_at": key["created_at"],
        });
        assert_eq!(key, expected);
        assert_eq!(app.get(&path(&key), &admin).await.json(), expected);
        assert_eq!(app.changes(), 1, "gateways are told");

        let change = json!({ "name": "build", "budget": null, "expires_at": null, "models": [], "requests_per_minute": null });
        let changed = app.send(Method::PATCH, &path(&key), &admin, &[("if-match", "\"1\"")], Some(change)).await;
        let now = changed.json();
        assert_eq!((changed.status, changed.headers["etag"].as_str()), (200, "\"2\""), "{changed:?}");
        for taken in ["budget", "expires_at", "requests_per_minute"] {
            assert_eq!(now[taken], Value::Null, "{taken}");
        }
        assert_eq!((&now["name"], &now["models"]), (&json!("build"), &json!([])));
        for kept in ["operations", "max_concurrent_sessions", "max_upload_bytes", "refuse_unpriced", "passthrough"] {
            assert_eq!(now[kept], expected[kept], "{kept}");
        }
        let mine = make(app, &admin, json!({ "name": "mine" })).await;
        assert_eq!(app.patch(&path(&mine), &admin, json!({ "passthrough": true })).await.status, 403);
        assert_eq!(app.patch(&path(&key), &admin, json!({ "passthrough": true })).await.status, 200, "it has it");
        assert_eq!(app.delete(&path(&mine), &admin).await.status, 204);
        let stale = app.send(Method::PATCH, &path(&key), &admin, &[("if-match", "\"1\"")], Some(json!({}))).await;
        assert_eq!((stale.status, stale.problem().as_str()), (412, "stale"));

        let revoked = app.post(&format!("{}/revoke", path(&key)), &admin, json!({ "reason": "leaked" })).await;
        let now = revoked.json();
        assert_eq!((revoked.status, &now["state"], &now["revoked_by"]), (200, &json!("revoked"), &json!("api")));
        assert_eq!((&now["revoked_reason"], now["revoked_at"].is_string()), (&json!("leaked"), true));
        assert_eq!(app.changes(), 6, "gateways end its sessions");
        for (method, path, body) in [
            (Method::PATCH, path(&key), json!({ "name": "x" })),
            (Method::POST, format!("{}/rotate", path(&key)), json!({})),
            (Method::POST, format!("{}/revoke", path(&key)), json!({ "reason": "again" })),
        ] {
            let answer = app.send(method, &path, &admin, &[], Some(body)).await;
            assert_eq!((answer.status, answer.problem().as_str()), (409, "revoked"), "{path}");
        }
        assert_eq!(app.delete(&path(&key), &admin).await.status, 204);
        assert_eq!(app.get(&path(&key), &admin).await.status, 404);
        assert_eq!(app.delete(&path(&key), &admin).await.status, 404);
        assert_eq!(names(app, &admin, "").await, Vec::<String>::new());
        assert!(row(app, &key).await.deleted_at.is_some(), "the ledger can still name it");
    }
}

both! {
    async fn a_removed_key_is_revoked(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let key = make(app, &admin, json!({ "name": "ci" })).await;
        app.post(&format!("{}/rotate", path(&key)), &admin, json!({})).await;
        assert_eq!(app.delete(&path(&key), &admin).await.status, 204);
        let row = row(app, &key).await;
        assert!(row.revoked_at.is_some() && row.previous_hash.is_none(), "neither secret is valid");
    }
}

both! {
    async fn a_rotation_keeps_the_key_and_both_secrets_for_a_while(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let first = make(app, &admin, json!({ "name": "ci", "budget": { "usd": "1" } })).await;
        let rotate = async |body: Value| {
            let answer = app.post(&format!("{}/rotate", path(&first)), &admin, body).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            answer.json()
        };
        let hash = |key: &Value| KeyHash::of(&app.secrets.key_pepper, key["secret"].as_str().unwrap()).0.to_vec();
        let before = OffsetDateTime::now_utc();
        let second = rotate(json!({ "overlap_seconds": 60 })).await;
        let stored = row(app, &first).await;
        assert_eq!((stored.hash.clone(), stored.previous_hash.clone()), (hash(&second), Some(hash(&first))));
        let end = stored.previous_expires_at.unwrap();
        assert!(end > before + Duration::seconds(59) && end < before + Duration::seconds(90), "{end}");
        assert_eq!((&second["id"], &second["budget"]), (&first["id"], &first["budget"]));
        assert_eq!(second["previous"]["redacted"], first["redacted"]);
        assert_eq!(second["previous"]["expires_at"], json!(end.format(&Rfc3339).unwrap()));

        let third = rotate(json!({})).await;
        let stored = row(app, &first).await;
        assert_eq!(stored.previous_hash, Some(hash(&second)), "the first secret ends with the second rotation");
        assert!(stored.previous_expires_at.unwrap() > before + Duration::hours(23));
        let fourth = rotate(json!({ "overlap_seconds": 0 })).await;
        let stored = row(app, &first).await;
        assert_eq!((stored.hash.clone(), stored.previous_hash.clone()), (hash(&fourth), None));
        assert_ne!(hash(&third), hash(&fourth));
        assert_eq!((&fourth["previous"], fourth["rotated_at"].is_string()), (&Value::Null, true));
        let answer = app.post(&format!("{}/rotate", path(&first)), &admin, json!({ "overlap_seconds": 2_592_001 })).await;
        assert_eq!(fields(&answer), ["overlap_seconds"]);
    }
}

both! {
    async fn asking_twice_makes_one_key_and_one_secret(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let ask = async |path: &str, body: Value| {
            app.send(Method::POST, path, &admin, &[("idempotency-key", "k1")], Some(body)).await
        };
        let (first, second) = (ask("/api/v1/keys", json!({ "name": "ci" })).await, ask("/api/v1/keys", json!({ "name": "ci" })).await);
        assert_eq!((first.status, second.status), (201, 201), "{second:?}");
        assert_eq!(first.json(), second.json());
        assert_eq!(names(app, &admin, "").await, ["ci"]);
        let rotate = format!("{}/rotate", path(&first.json()));
        let (first, second) = (ask(&rotate, json!({})).await, ask(&rotate, json!({})).await);
        assert_eq!(first.json()["secret"], second.json()["secret"]);
        assert_eq!(second.headers["idempotent-replayed"], "true");
    }
}

both! {
    async fn what_cannot_be_is_refused_by_name(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let platform = app.platform().await;
        let cases = [
            (json!({ "name": "" }), "name"),
            (json!({ "name": "a\u{7}b" }), "name"),
            (json!({ "name": "x".repeat(101) }), "name"),
            (json!({ "name": "a", "operations": ["sing"] }), "operations[0]"),
            (json!({ "name": "a", "models": ["a\nb"] }), "models[0]"),
            (json!({ "name": "a", "budget": { "usd": "-1" } }), "budget.usd"),
            (json!({ "name": "a", "budget": { "usd": "0.0000000001" } }), "budget.usd"),
            (json!({ "name": "a", "budget": { "usd": "0.000" } }), "budget.usd"),
            (json!({ "name": "a", "budget": { "usd": 1 } }), "budget.usd"),
            (json!({ "name": "a", "budget": { "usd": "1", "window": "weekly" } }), "budget.window"),
            (json!({ "name": "a", "requests_per_minute": -1 }), "requests_per_minute"),
            (json!({ "name": "a", "expires_at": "2020-01-01T00:00:00Z" }), "expires_at"),
            (json!({ "name": "a", "expires_at": "9999-12-31T23:59:59-12:00" }), "expires_at"),
            (json!({ "name": "a", "colour": "red" }), "colour"),
            (json!({ "name": "a", "tenant_id": Uuid::now_v7() }), "tenant_id"),
        ];
        for (body, field) in cases {
            assert_eq!(fields(&app.post("/api/v1/keys", &admin, body.clone()).await), [field], "{body}");
        }
        for tenant_id in [Value::Null, json!(Uuid::now_v7())] {
            let answer = app.post("/api/v1/keys", &platform, json!({ "name": "a", "tenant_id": tenant_id })).await;
            assert_eq!(fields(&answer), ["tenant_id"]);
        }
        assert_eq!(names(app, &platform, "").await, Vec::<String>::new());
    }
}

both! {
    async fn lists_tell_apart_what_is_asked_for(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let (admin, platform) = (app.token(Role::TenantAdmin, Some(acme)).await, app.platform().await);
        for name in ["b", "C%", "a"] {
            make(app, &admin, json!({ "name": name })).await;
        }
        let gone = make(app, &admin, json!({ "name": "gone" })).await;
        app.post(&format!("{}/revoke", path(&gone)), &admin, json!({ "reason": "test" })).await;
        make(app, &platform, json!({ "name": "theirs", "tenant_id": other })).await;
        let late = make(app, &admin, json!({ "name": "late" })).await;
        let past = virtual_key::ActiveModel {
            id: Set(row(app, &late).await.id),
            expires_at: Set(Some(OffsetDateTime::now_utc() - Duration::seconds(5))),
            managed_by: Set("file".to_owned()),
            ..Default::default()
        };
        virtual_key::Entity::update(past).exec(&app.database).await.unwrap();
        assert_eq!(names(app, &admin, "").await, ["b", "C%", "a", "gone", "late"]);
        assert_eq!(names(app, &admin, "state=active&sort=-created_at").await, ["a", "C%", "b"]);
        assert_eq!(names(app, &admin, "state=revoked").await, ["gone"]);
        assert_eq!(names(app, &admin, "state=expired").await, ["late"]);
        assert_eq!(names(app, &admin, "managed_by=file").await, ["late"]);
        assert_eq!(names(app, &admin, "q=%25").await, ["C%"]);
        assert_eq!(names(app, &admin, &format!("tenant_id={other}")).await, Vec::<String>::new());
        assert_eq!(names(app, &platform, &format!("tenant_id={other}")).await, ["theirs"]);
        assert_eq!(names(app, &platform, "limit=500").await.len(), 6);
        let mut seen = Vec::new();
        let mut query = "limit=2&sort=-name".to_owned();
        loop {
            let page = app.get(&format!("/api/v1/keys?{query}"), &admin).await.json();
            seen.extend(page["data"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            query = format!("limit=2&sort=-name&cursor={cursor}");
        }
        let mut forwards = names(app, &admin, "sort=name").await;
        forwards.reverse();
        assert_eq!(seen, forwards);
        assert_eq!(seen.len(), 5);

        for (method, tail, body) in [
            (Method::PATCH, "", Some(json!({ "name": "x" }))),
            (Method::DELETE, "", None),
            (Method::POST, "/rotate", Some(json!({}))),
            (Method::POST, "/revoke", Some(json!({ "reason": "x" }))),
        ] {
            let answer = app.send(method, &format!("{}{tail}", path(&late)), &platform, &[], body).await;
            assert_eq!((answer.status, answer.problem().as_str()), (409, "managed_by_file"), "{tail}");
        }
    }
}

/// A usage record of a key.
async fn record(app: &TestApp, tenant: Uuid, key: &Value, started_at: OffsetDateTime, cost: Option<i64>) {
    let row = usage_record::ActiveModel {
        id: Set(Id(Uuid::now_v7())),
        request_id: Set(Id(Uuid::now_v7())),
        sequence: Set(0),
        tenant_id: Set(Id(tenant)),
        key_id: Set(Id(key["id"].as_str().unwrap().parse().unwrap())),
        operation: Set("speech".to_owned()),
        model_asked: Set("m".to_owned()),
        provider: Set("p".to_owned()),
        model_served: Set("m".to_owned()),
        audio_in_ms: Set(0),
        audio_out_ms: Set(0),
        characters: Set(0),
        text_tokens_in: Set(0),
        text_tokens_out: Set(0),
        audio_tokens_in: Set(0),
        audio_tokens_out: Set(0),
        cached_tokens: Set(0),
        surcharge_percent: Set(0),
        usage_source: Set("measured".to_owned()),
        cost_nano_usd: Set(cost),
        status: Set("ok".to_owned()),
        attempts: Set(1),
        latency_ms: Set(1),
        started_at: Set(started_at),
        ended_at: Set(started_at),
        ..Default::default()
    };
    usage_record::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
}

both! {
    async fn what_is_spent_and_left_adds_up_to_the_nano_dollar(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let viewer = app.token(Role::TenantViewer, Some(tenant)).await;
        let key = make(app, &admin, json!({ "name": "ci", "budget": { "usd": "1.000000003", "window": "daily" } })).await;
        let midnight = OffsetDateTime::now_utc().replace_time(time::Time::MIDNIGHT);
        record(app, tenant, &key, midnight, Some(1)).await;
        record(app, tenant, &key, midnight + Duration::milliseconds(500), Some(999_999_999)).await;
        record(app, tenant, &key, midnight, None).await;
        record(app, tenant, &key, midnight - Duration::microseconds(1), Some(5_000_000_000)).await;
        let usage = async || app.get(&format!("{}/usage", path(&key)), &viewer).await.json();
        let stamp = |moment: OffsetDateTime| json!(moment.format(&Rfc3339).unwrap());
        assert_eq!(usage().await, json!({
            "key_id": key["id"], "budget": { "usd": "1.000000003", "window": "daily" }, "window": "daily",
            "window_start": stamp(midnight), "window_end": stamp(midnight + Duration::DAY),
            "spent_usd": "1", "remaining_usd": "0.000000003", "records": 3, "unpriced_records": 1,
        }));
        app.patch(&path(&key), &admin, json!({ "budget": { "usd": "2" } })).await;
        let total = usage().await;
        assert_eq!((&total["window"], &total["window_start"]), (&json!("total"), &Value::Null));
        assert_eq!((&total["spent_usd"], &total["remaining_usd"]), (&json!("6"), &json!("0")), "never below nothing");
        app.patch(&path(&key), &admin, json!({ "budget": null })).await;
        assert_eq!(usage().await["remaining_usd"], Value::Null);
        assert_eq!(usage().await["records"], 4);
    }
}

/// Every column of every table that holds `text` somewhere.
async fn columns_with(app: &TestApp, text: &str) -> Vec<String> {
    let db = &app.database;
    let backend = db.get_database_backend();
    let is_postgres = backend == sea_orm::DbBackend::Postgres;
    let columns = if is_postgres {
        "SELECT table_name AS t, column_name AS c, data_type AS d FROM information_schema.columns WHERE table_schema = 'public'"
    } else {
        "SELECT m.name AS t, p.name AS c, p.type AS d FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"
    };
    let mut found = Vec::new();
    let rows = db.query_all_raw(Statement::from_string(backend, columns)).await.unwrap();
    assert!(rows.len() > 100, "the tables are there");
    for row in rows {
        let (table, column, kind): (String, String, String) =
            (row.try_get("", "t").unwrap(), row.try_get("", "c").unwrap(), row.try_get("", "d").unwrap());
        let shown = if kind == "bytea" {
            format!("encode(\"{column}\", 'escape')")
        } else {
            format!("CAST(\"{column}\" AS text)")
        };
        let sql = format!("SELECT count(*) AS n FROM \"{table}\" WHERE {shown} LIKE '%{text}%'");
        let row = db.query_one_raw(Statement::from_string(backend, sql)).await.unwrap().unwrap();
        if row.try_get::<i64>("", "n").unwrap() > 0 {
            found.push(format!("{table}.{column}"));
        }
    }
    found.sort();
    found
}

both! {
    async fn a_secret_is_shown_once_and_lies_nowhere(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let answer = app.send(Method::POST, "/api/v1/keys", &admin, &[("idempotency-key", "k")], Some(json!({ "name": "canary" }))).await;
        let key = answer.json();
        let rotated = app.post(&format!("{}/rotate", path(&key)), &admin, json!({})).await.json();
        assert_eq!(columns_with(app, "canary").await, ["audit_log.after", "audit_log.before", "virtual_keys.name"], "the search finds what is there");
        let file = app.send_bytes(Method::POST, "/api/v1/keys/bulk", &admin, &[("content-type", "text/csv"), ("idempotency-key", "k")], b"name\nbulk\n".to_vec()).await.json();
        for secret in [&key["secret"], &rotated["secret"], &file["keys"][0]["secret"]] {
            let secret = secret.as_str().unwrap();
            let (_, body) = secret.split_at("sk-ap-".len());
            assert_eq!(columns_with(app, body).await, Vec::<String>::new());
            for read in ["/api/v1/keys", &path(&key), &format!("{}/usage", path(&key)), "/api/v1/audit", "/api/v1/audit/export"] {
                let answer = app.get(read, &admin).await;
                assert!(answer.status == 200 && !answer.text.contains(body), "{read}");
            }
        }
    }
}

both! {
    async fn a_tenant_reaches_its_own_keys_alone(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let (admin, viewer) = (app.token(Role::TenantAdmin, Some(acme)).await, app.token(Role::TenantViewer, Some(acme)).await);
        let theirs = make(app, &app.token(Role::TenantAdmin, Some(other)).await, json!({ "name": "theirs" })).await;
        let own = make(app, &admin, json!({ "name": "own" })).await;
        assert_eq!(app.get(&path(&own), &viewer).await.status, 200);
        assert_eq!(app.patch(&path(&own), &viewer, json!({ "name": "x" })).await.status, 403);
        assert_eq!(app.get(&path(&theirs), &viewer).await.status, 404);
        let before = row(app, &theirs).await;
        for (method, tail, body) in [
            (Method::PATCH, "", json!({ "name": "x" })),
            (Method::DELETE, "", json!({})),
            (Method::POST, "/rotate", json!({})),
            (Method::POST, "/revoke", json!({ "reason": "x" })),
        ] {
            let answer = app.send(method, &format!("{}{tail}", path(&theirs)), &admin, &[], Some(body)).await;
            assert_eq!(answer.status, 404, "{tail}: {answer:?}");
        }
        assert_eq!(row(app, &theirs).await, before);
        let by_name = format!("name,tenant\na,{other}\nb,other\n");
        let file = app.send_bytes(Method::POST, "/api/v1/keys/bulk", &admin, &[("content-type", "text/csv")], by_name.into_bytes()).await;
        assert_eq!(fields(&file), ["row 2, tenant", "row 3, tenant"]);
    }
}
