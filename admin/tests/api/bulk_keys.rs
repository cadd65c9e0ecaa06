//! Keys from a file.

use admin_types::role::Role;
use entities::virtual_key;
use http::Method;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::helpers::{Answer, TestApp, both};

async fn send(app: &TestApp, token: &str, query: &str, file: impl Into<Vec<u8>>) -> Answer {
    let path = format!("/api/v1/keys/bulk{query}");
    app.send_bytes(Method::POST, &path, token, &[("content-type", "text/csv; charset=utf-8")], file.into()).await
}

/// What is wrong with a file: each field and what is said of it.
fn problems(answer: &Answer) -> Vec<(String, String)> {
    assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{answer:?}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    errors.iter().map(|error| (text(&error["field"]), text(&error["detail"]))).collect()
}

fn fields(answer: &Answer) -> Vec<String> {
    problems(answer).into_iter().map(|(field, _)| field).collect()
}

async fn count(app: &TestApp) -> u64 {
    virtual_key::Entity::find().count(&app.database).await.unwrap()
}

both! {
    async fn a_file_makes_all_its_keys(app: &TestApp) {
        let (platform, acme) = (app.platform().await, app.tenant("acme").await);
        let other = app.tenant("other").await;
        let file = "\u{feff}name,tenant,operations,models,rpm,sessions,budget_usd,budget_window,expires_at,allow_strategy\r\n\
            \"=ci, \"\"one\"\"\",acme,speech; realtime,tts-*;whisper-1,60,2,1.5,daily,2100-01-01T00:00:00Z,true\r\n\
            plain,,,,,,,,,\r\n";
        let answer = send(app, &platform, &format!("?tenant_id={other}"), file).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let made = answer.json();
        assert_eq!((&made["rows"], &made["errors"]), (&json!(2), &json!([])));
        let full = &made["keys"][0];
        assert_eq!((&full["name"], &full["tenant_id"]), (&json!("=ci, \"one\""), &json!(acme)));
        assert_eq!(full["operations"], json!(["speech", "realtime"]));
        assert_eq!(full["models"], json!(["tts-*", "whisper-1"]));
        assert_eq!((&full["requests_per_minute"], &full["max_concurrent_sessions"]), (&json!(60), &json!(2)));
        assert_eq!(full["budget"], json!({ "usd": "1.5", "window": "daily" }));
        assert_eq!(full["expires_at"], "2100-01-01T00:00:00Z");
        let plain = &made["keys"][1];
        assert_eq!((&full["allow_strategy"], &plain["allow_strategy"]), (&json!(true), &json!(false)));
        assert_eq!((&plain["tenant_id"], &plain["budget"], &plain["operations"]), (&json!(other), &Value::Null, &json!([])));
        assert_eq!(app.changes(), 1);
        let log = app.get("/api/v1/audit?object_kind=key&action=create", &platform).await.json();
        assert_eq!(log["data"].as_array().unwrap().len(), 2, "each has its entry");

        let again = send(app, &platform, "", file).await;
        assert_eq!(fields(&again), ["row 2, name", "row 3, tenant"], "the names are taken, and no tenant is told");
        let csv = send(app, &platform, &format!("?tenant_id={acme}&format=csv"), "name\n=cmd\n").await;
        assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
        let lines: Vec<_> = csv.text.lines().collect();
        assert_eq!(lines[0], "id,tenant_id,name,secret,redacted,expires_at");
        assert!(lines[1].contains(",'=cmd,sk-ap-"), "a spreadsheet runs nothing: {}", lines[1]);
    }
}

both! {
    async fn a_file_with_a_fault_makes_nothing_and_names_each(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let rows = "name,operations,rpm,budget_usd,budget_window,expires_at\n\
            good,,,,,\n\
            ,sing,many,-1,weekly,soon\n\
            good,,,,,\n\
            short,\n\
            late,,,0,,2001-01-01T00:00:00Z\n\
            window,,,,daily,\n";
        let expected = [
            "row 3, operations", "row 3, rpm", "row 3, budget_window", "row 3, expires_at", "row 4, name", "row 5",
            "row 6, budget_usd", "row 6, expires_at", "row 7, budget_usd",
        ];
        assert_eq!(fields(&send(app, &admin, "", rows).await), expected);
        let dry = send(app, &admin, "?dry_run=true", rows).await;
        assert_eq!((dry.status, dry.json()["errors"].as_array().unwrap().len()), (200, expected.len()), "{dry:?}");
        assert_eq!(dry.json()["errors"][0]["row"], 3);
        let dry = send(app, &admin, "?dry_run=true&format=csv", rows).await;
        assert_eq!(dry.text.lines().count(), 1 + expected.len());
        let fine = send(app, &admin, "?dry_run=true", "name\na\n").await;
        assert_eq!((fine.status, fine.json()), (200, json!({ "rows": 1, "keys": [], "errors": [] })));

        let bad_text = send(app, &admin, "", b"name\nok\n\xff\xfe\nnul\0\n".to_vec()).await;
        assert_eq!(fields(&bad_text), ["row 3", "row 4"]);
        assert_eq!(fields(&send(app, &admin, "", "name,colour,name\na,b,c\n").await), ["row 1, colour", "row 1, name"]);
        assert_eq!(fields(&send(app, &admin, "", "tenant\nacme\n").await), ["row 1, name"]);
        assert_eq!(fields(&send(app, &admin, "", "").await), ["row 1"]);
        let utf_16: Vec<u8> = "name\na\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(fields(&send(app, &admin, "", [b"\xff\xfe".to_vec(), utf_16].concat()).await)[0], "row 1");
        assert_eq!(count(app).await, 0);
        let other_type = app.send_bytes(Method::POST, "/api/v1/keys/bulk", &admin, &[("content-type", "text/plain")], b"name\na\n".to_vec()).await;
        assert_eq!((other_type.status, other_type.problem().as_str()), (415, "unsupported_media_type"));
    }
}

both! {
    async fn a_file_has_bounds(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let mut huge = b"name\nfine\n\"".to_vec();
        huge.resize(100 * 1024 * 1024, b'x');
        let answer = send(app, &admin, "", huge).await;
        assert_eq!(fields(&answer), ["row 3"], "{answer:?}");
        let file = |rows: usize| {
            (0..rows).fold("name\n".to_owned(), |file, row| file + &format!("key-{row}\n"))
        };
        assert_eq!(fields(&send(app, &admin, "", file(10_001)).await), ["row 10002"]);
        assert_eq!(count(app).await, 0);
        let made = send(app, &admin, "", file(10_000)).await;
        assert_eq!((made.status, made.json()["keys"].as_array().unwrap().len()), (201, 10_000));
        assert_eq!(count(app).await, 10_000);
    }
}

both! {
    async fn asking_twice_makes_the_keys_once(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
        let ask = async |file: &str| {
            let headers = [("content-type", "text/csv"), ("idempotency-key", "k")];
            app.send_bytes(Method::POST, "/api/v1/keys/bulk", &admin, &headers, file.as_bytes().to_vec()).await
        };
        let (first, second) = (ask("name\na\n").await, ask("name\na\n").await);
        assert_eq!((first.status, second.status), (201, 201), "{second:?}");
        assert_eq!(first.json(), second.json());
        assert_eq!((second.headers["idempotent-replayed"].as_str(), count(app).await), ("true", 1));
        assert_eq!(ask("name\nb\n").await.problem(), "idempotency_key_reused");
    }
}
