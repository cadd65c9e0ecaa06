//! Providers and their credentials.

use admin_types::role::Role;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::ids::{CredentialId, ProviderId, TenantId};
use domain::seal::{SealingKey, credential_binding};
use entities::{Id, model, provider, provider_credential, setting, signing_key};
use http::Method;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbBackend, EntityTrait, Statement};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::helpers::{Answer, PASSWORD, TestApp, both};

const CANARY: &str = "sk-canary-of-a-provider-7a1b";

fn groq(name: &str) -> Value {
    json!({ "name": name, "kind": "groq" })
}

async fn made(app: &TestApp, token: &str, body: Value) -> (String, Value) {
    let made = app.post("/api/v1/providers", token, body).await;
    assert_eq!(made.status, 201, "{made:?}");
    (made.headers["location"].clone(), made.json())
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem())
}

fn field(answer: &Answer) -> String {
    assert_eq!(refused(answer), (422, "invalid".to_owned()), "{answer:?}");
    answer.json()["errors"][0]["field"].as_str().unwrap().to_owned()
}

fn conflict(code: &str) -> (u16, String) {
    (409, code.to_owned())
}

/// A route to a provider.
async fn route(app: &TestApp, name: &str, tenant: Option<Uuid>, provider: &str) {
    let targets = json!([{ "provider": provider, "model": "whisper-large-v3" }]).to_string();
    let row = model::ActiveModel {
        id: Set(Id(Uuid::now_v7())),
        name: Set(name.to_owned()),
        tenant_id: Set(tenant.map(Id)),
        strategy: Set("priority".to_owned()),
        targets: Set(targets),
        managed_by: Set("api".to_owned()),
        created_at: Set(OffsetDateTime::now_utc()),
        ..Default::default()
    };
    model::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
}

both! {
    async fn a_provider_is_made_changed_and_removed(app: &TestApp) {
        let admin = app.platform().await;
        let (path, shown) = made(app, &admin, groq("fast")).await;
        assert_eq!(shown["base_url"], "https://api.groq.com/openai/v1", "the vendor's own unless told");
        assert_eq!((&shown["tenant_id"], &shown["enabled"], &shown["managed_by"]), (&Value::Null, &json!(true), &json!("api")));
        let again = app.post("/api/v1/providers", &admin, groq("fast")).await;
        assert_eq!(refused(&again), conflict("already_exists"));

        let changed = app.patch(&path, &admin, json!({ "region": "eu", "enabled": false })).await;
        assert_eq!((changed.status, changed.headers["etag"].as_str()), (200, "\"2\""), "{changed:?}");
        assert_eq!((&changed.json()["region"], &changed.json()["enabled"]), (&json!("eu"), &json!(false)));
        assert_eq!(app.patch(&path, &admin, json!({ "region": "" })).await.json()["region"], Value::Null);
        let stale = app.send(Method::PATCH, &path, &admin, &[("if-match", "\"1\"")], Some(json!({ "enabled": true }))).await;
        assert_eq!(refused(&stale), (412, "stale".to_owned()));
        assert_eq!(app.changes(), 3, "gateways are told");
        assert_eq!(app.delete(&path, &admin).await.status, 204);
        assert_eq!(app.get(&path, &admin).await.status, 404);
    }
}

both! {
    async fn what_a_provider_cannot_be_is_named_by_its_field(app: &TestApp) {
        let admin = app.platform().await;
        let acme = app.tenant("acme").await;
        let own = app.token(Role::TenantAdmin, Some(acme)).await;
        for (body, at_fault) in [
            (json!({ "name": "a/b", "kind": "groq" }), "name"),
            (json!({ "name": "a", "kind": "acme" }), "kind"),
            (json!({ "name": "a", "kind": "local" }), "kind"),
            (json!({ "name": "a", "kind": "openai-compatible" }), "base_url"),
            (json!({ "name": "a", "kind": "groq", "base_url": "http://api.groq.com" }), "base_url"),
            (json!({ "name": "a", "kind": "groq", "base_url": "https://169.254.169.254/" }), "base_url"),
            (json!({ "name": "a", "kind": "groq", "base_url": "https://u:p@api.groq.com" }), "base_url"),
            (json!({ "name": "a", "kind": "groq", "base_url": "https://api.groq.com?a=b" }), "base_url"),
            (json!({ "name": "a", "kind": "groq", "tenant_id": Uuid::now_v7() }), "tenant_id"),
            (json!({ "name": "a", "kind": "groq", "api_key": CANARY }), "api_key"),
        ] {
            assert_eq!(field(&app.post("/api/v1/providers", &admin, body.clone()).await), at_fault, "{body}");
        }
        let insecure = json!({ "name": "lan", "kind": "groq", "base_url": "http://10.0.0.1/v1", "allow_insecure": true });
        assert_eq!(field(&app.post("/api/v1/providers", &own, insecure.clone()).await), "allow_insecure");
        let of_acme = json!({ "name": "lan", "kind": "groq", "allow_insecure": true, "tenant_id": acme });
        assert_eq!(field(&app.post("/api/v1/providers", &admin, of_acme).await), "allow_insecure", "nobody's for a tenant");
        let (lan, _) = made(app, &admin, insecure).await;
        assert_eq!(field(&app.patch(&lan, &admin, json!({ "allow_insecure": false })).await), "base_url");

        let (mine, _) = made(app, &own, groq("mine")).await;
        for change in [json!({ "allow_insecure": true }), json!({ "base_url": "https://127.0.0.1" })] {
            assert_eq!(app.patch(&mine, &own, change.clone()).await.status, 422, "{change}");
            assert_eq!(app.patch(&mine, &admin, change).await.status, 422);
        }
    }
}

both! {
    async fn a_tenant_manages_its_own_and_sees_the_platform_s(app: &TestApp) {
        let admin = app.platform().await;
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let own = app.token(Role::TenantAdmin, Some(acme)).await;
        let viewer = app.token(Role::TenantViewer, Some(acme)).await;
        let stranger = app.token(Role::TenantAdmin, Some(other)).await;
        let (platform, _) = made(app, &admin, groq("shared")).await;
        let (mine, shown) = made(app, &own, groq("shared")).await;
        assert_eq!(shown["tenant_id"], json!(acme), "of the platform's name, and its own");
        let names = async |token: &str, query: &str| {
            let page = app.get(&format!("/api/v1/providers{query}"), token).await.json();
            let rows = page["data"].as_array().unwrap().clone();
            rows.iter().map(|row| format!("{} {}", row["name"].as_str().unwrap(), row["tenant_id"] != Value::Null)).collect::<Vec<_>>()
        };
        assert_eq!(names(&viewer, "").await, ["shared false", "shared true"]);
        assert_eq!(names(&stranger, "").await, ["shared false"]);
        assert_eq!(names(&stranger, &format!("?tenant_id={acme}")).await, Vec::<String>::new());
        assert_eq!(names(&admin, &format!("?tenant_id={acme}")).await, ["shared true"]);
        assert_eq!(app.get(&platform, &viewer).await.json()["base_url"], Value::Null, "where it is, is the platform's");

        let credential = json!({ "label": "a", "secret": CANARY });
        for (token, path, expected) in [(&own, &platform, 403), (&stranger, &mine, 404), (&viewer, &mine, 403)] {
            let credentials = format!("{path}/credentials");
            assert_eq!(app.patch(path, token, json!({ "enabled": false })).await.status, expected, "{path}");
            assert_eq!(app.delete(path, token).await.status, expected, "{path}");
            assert_eq!(app.get(&credentials, token).await.status, expected, "{path}");
            assert_eq!(app.post(&credentials, token, credential.clone()).await.status, expected, "{path}");
        }
        assert_eq!(field(&app.post("/api/v1/providers", &own, json!({ "name": "x", "kind": "groq", "tenant_id": other })).await), "tenant_id");
        assert_eq!(app.post(&format!("{mine}/credentials"), &own, credential).await.status, 201);
        assert_eq!(app.patch(&mine, &admin, json!({ "enabled": false })).await.status, 200, "the platform manages all");
    }
}

both! {
    async fn lists_are_filtered(app: &TestApp) {
        let admin = app.platform().await;
        for (name, kind) in [("b", "groq"), ("a_1", "openai"), ("a-1", "groq")] {
            made(app, &admin, json!({ "name": name, "kind": kind })).await;
        }
        let of = async |query: &str| {
            let page = app.get(&format!("/api/v1/providers?{query}"), &admin).await.json();
            page["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of("sort=-created_at").await, ["a-1", "a_1", "b"]);
        assert_eq!(of("kind=groq&sort=created_at").await, ["b", "a-1"]);
        assert_eq!(of("q=_").await, ["a_1"]);
        assert_eq!(of("managed_by=file").await, Vec::<String>::new());
        assert_eq!(of("enabled=false").await, Vec::<String>::new());
        let first = app.get("/api/v1/providers?limit=2&sort=name", &admin).await.json();
        let cursor = first["next_cursor"].as_str().unwrap();
        assert_eq!(of(&format!("limit=2&sort=name&cursor={cursor}")).await.len(), 1);
    }
}

/// Everything that the database holds, as bytes.
async fn dumped(app: &TestApp) -> Vec<u8> {
    let db = &app.database;
    let query = |sql: String| Statement::from_string(db.get_database_backend(), sql);
    if db.get_database_backend() == DbBackend::Sqlite {
        let row =
            db.query_one_raw(query("SELECT file FROM pragma_database_list WHERE name = 'main'".into())).await.unwrap();
        let file: String = row.unwrap().try_get_by_index(0).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.extend(std::fs::read(format!("{file}-wal")).unwrap_or_default());
        return bytes;
    }
    let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let mut bytes = Vec::new();
    for table in db.query_all_raw(query(tables.into())).await.unwrap() {
        let table: String = table.try_get_by_index(0).unwrap();
        for row in db.query_all_raw(query(format!("SELECT t::text FROM {table} t"))).await.unwrap() {
            bytes.extend(row.try_get_by_index::<String>(0).unwrap().into_bytes());
        }
    }
    bytes
}

both! {
    async fn a_credential_is_written_and_never_read(app: &TestApp) {
        let admin = app.platform().await;
        let (path, shown) = made(app, &admin, groq("fast")).await;
        let credentials = format!("{path}/credentials");
        let body = json!({ "label": "main", "secret": format!(" {CANARY}\n"), "weight": 3, "max_concurrent": 5 });
        let key = [("idempotency-key", "k")];
        let mut told = Vec::new();
        let kept = app.send(Method::POST, &credentials, &admin, &key, Some(body.clone())).await;
        assert_eq!(kept.status, 201, "{kept:?}");
        let credential = kept.headers["location"].clone();
        told.push(app.send(Method::POST, &credentials, &admin, &key, Some(body.clone())).await);
        assert_eq!(told[0].headers["idempotent-replayed"], "true");
        let twice = app.post(&credentials, &admin, body).await;
        assert_eq!(refused(&twice), conflict("already_exists"), "a label stands once");
        let row = kept.json();
        assert_eq!((&row["last4"], &row["weight"], &row["max_concurrent"]), (&json!("7a1b"), &json!(3), &json!(5)));
        told.push(app.get(&credentials, &admin).await);
        assert_eq!(told[1].json()["data"], json!([row]));
        told.push(app.get(&credential, &admin).await);
        told.push(app.patch(&credential, &admin, json!({ "label": "first", "max_concurrent": 0, "weight": 0 })).await);
        assert_eq!((&told[3].json()["max_concurrent"], &told[3].json()["fingerprint"]), (&Value::Null, &row["fingerprint"]));
        let stale = app.send(Method::PATCH, &credential, &admin, &[("if-match", "\"1\"")], Some(json!({ "enabled": false }))).await;
        assert_eq!(refused(&stale), (412, "stale".to_owned()));
        let same = app.post(&credentials, &admin, json!({ "label": "same", "secret": CANARY })).await;
        assert_eq!(same.json()["fingerprint"], row["fingerprint"], "equal ones are recognised");
        let spare = json!({ "label": "Spare", "secret": "gsk-spare", "enabled": false });
        assert_eq!(app.post(&credentials, &admin, spare).await.status, 201);
        let labels = async |query: &str| {
            let list = app.get(&format!("{credentials}?{query}"), &admin).await.json();
            list["data"].as_array().unwrap().iter().map(|row| row["label"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(labels("sort=label").await, ["Spare", "first", "same"]);
        assert_eq!(labels("sort=-label").await, ["same", "first", "Spare"]);
        assert_eq!(labels("sort=-created_at&limit=1").await, ["Spare"]);
        assert_eq!((labels("q=SP").await, labels("enabled=true").await.len()), (vec![json!("Spare")], 2));
        told.extend([kept, twice, same]);

        let id: Uuid = row["id"].as_str().unwrap().parse().unwrap();
        let provider: Uuid = shown["id"].as_str().unwrap().parse().unwrap();
        let opened = async |secret: &str| {
            let stored = provider_credential::Entity::find_by_id(Id(id)).one(&app.database).await.unwrap().unwrap();
            let place = credential_binding(CredentialId(id), ProviderId(provider), None);
            assert_eq!(app.secrets.sealing.open(&stored.sealed, &place).unwrap(), secret.as_bytes());
        };
        opened(CANARY).await;
        let dump = dumped(app).await;
        told.push(app.patch(&credential, &admin, json!({ "secret": "gsk-another-canary-0000" })).await);
        assert_ne!(told.last().unwrap().json()["fingerprint"], row["fingerprint"]);
        opened("gsk-another-canary-0000").await;
        for bytes in [dump, dumped(app).await].into_iter().chain(told.into_iter().map(|answer| answer.text.into_bytes())) {
            let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
            for canary in [CANARY, "another-canary", &hex] {
                assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()), "{canary}");
            }
        }
        assert_eq!(app.delete(&credential, &admin).await.status, 204);
        assert_eq!(app.get(&credential, &admin).await.status, 404);
    }
}

both! {
    async fn what_is_no_credential_is_refused_by_name(app: &TestApp) {
        let admin = app.platform().await;
        let (groqs, _) = made(app, &admin, groq("fast")).await;
        let (googles, _) = made(app, &admin, json!({ "name": "google", "kind": "google" })).await;
        let account = json!({ "client_email": "a@b", "private_key": "x" }).to_string();
        for (path, body, at_fault) in [
            (&groqs, json!({ "label": "", "secret": "x" }), "label"),
            (&groqs, json!({ "label": " a", "secret": "x" }), "label"),
            (&groqs, json!({ "label": "a", "secret": " " }), "secret"),
            (&groqs, json!({ "label": "a", "secret": "two words" }), "secret"),
            (&groqs, json!({ "label": "a", "secret": "a\r\nx-header: b" }), "secret"),
            (&groqs, json!({ "label": "a", "secret": "x".repeat(17_000) }), "secret"),
            (&groqs, json!({ "label": "a", "secret": account }), "secret"),
            (&googles, json!({ "label": "a", "secret": "{}" }), "secret"),
            (&groqs, json!({ "label": "a", "secret": "x", "weight": -1 }), "weight"),
            (&groqs, json!({ "label": "a", "secret": "x", "weight": 1_000_001 }), "weight"),
            (&groqs, json!({ "label": "a", "secret": "x", "max_concurrent": 0 }), "max_concurrent"),
            (&groqs, json!({ "label": "a" }), "secret"),
        ] {
            let answer = app.post(&format!("{path}/credentials"), &admin, body.clone()).await;
            assert_eq!(field(&answer), at_fault, "{body}");
        }
        let kept = app.post(&format!("{googles}/credentials"), &admin, json!({ "label": "a", "secret": account })).await;
        assert_eq!((kept.status, &kept.json()["last4"]), (201, &json!("")), "{kept:?}");
        let short = app.post(&format!("{groqs}/credentials"), &admin, json!({ "label": "a", "secret": "short-one" })).await;
        assert_eq!(short.json()["last4"], "", "its end would be half of it");
    }
}

both! {
    async fn what_the_configuration_declares_is_changed_there(app: &TestApp) {
        let admin = app.platform().await;
        for managed_by in ["file", "environment"] {
            let (id, now) = (Uuid::now_v7(), OffsetDateTime::now_utc());
            let row = provider::ActiveModel {
                id: Set(Id(id)),
                tenant_id: Set(None),
                name: Set(managed_by.to_owned()),
                kind: Set("groq".to_owned()),
                base_url: Set("https://api.groq.com/openai/v1".to_owned()),
                region: Set(None),
                allow_insecure: Set(false),
                enabled: Set(true),
                managed_by: Set(managed_by.to_owned()),
                version: Set(1),
                created_at: Set(now),
                updated_at: Set(now),
            };
            provider::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
            let path = format!("/api/v1/providers/{id}");
            assert_eq!(app.get(&path, &admin).await.json()["managed_by"], managed_by);
            for answer in [
                app.patch(&path, &admin, json!({ "enabled": false })).await,
                app.delete(&path, &admin).await,
                app.post(&format!("{path}/credentials"), &admin, json!({ "label": "a", "secret": CANARY })).await,
            ] {
                assert_eq!(refused(&answer), conflict("managed_by_file"));
            }
        }
    }
}

both! {
    async fn a_provider_that_routes_name_is_removed_by_force_alone(app: &TestApp) {
        let admin = app.platform().await;
        let acme = app.tenant("acme").await;
        let own = app.token(Role::TenantAdmin, Some(acme)).await;
        let (platform, _) = made(app, &admin, groq("fast")).await;
        let (mine, _) = made(app, &own, groq("fast")).await;
        route(app, "stt", None, "fast").await;
        route(app, "slow-stt", None, "faster").await;
        assert_eq!(app.delete(&mine, &own).await.status, 204, "the platform's routes are not its");
        let refusal = app.delete(&platform, &admin).await;
        assert_eq!(refused(&refusal), conflict("named_by_routes"));
        let detail = refusal.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("`stt`") && !detail.contains("slow-stt"), "{detail}");
        assert_eq!(app.delete(&format!("{platform}?force=true"), &admin).await.status, 204);
        let (mine, _) = made(app, &own, groq("fast")).await;
        route(app, "own-stt", Some(acme), "fast").await;
        assert_eq!(refused(&app.delete(&mine, &own).await), conflict("named_by_routes"));
    }
}

both! {
    async fn credentials_go_to_no_other_server_than_they_were_given_for(app: &TestApp) {
        let admin = app.platform().await;
        let (path, _) = made(app, &admin, groq("fast")).await;
        let elsewhere = json!({ "base_url": "https://collector.example/v1" });
        let kept = app.post(&format!("{path}/credentials"), &admin, json!({ "label": "a", "secret": CANARY })).await;
        assert_eq!(refused(&app.patch(&path, &admin, elsewhere.clone()).await), conflict("credentials_in_place"));
        let same = json!({ "base_url": "https://api.groq.com/openai/v2" });
        assert_eq!(app.patch(&path, &admin, same).await.status, 200, "another path of the same server");
        assert_eq!(app.delete(&kept.headers["location"], &admin).await.status, 204);
        assert_eq!(app.patch(&path, &admin, elsewhere).await.status, 200);
    }
}

both! {
    async fn nothing_is_sealed_under_a_master_key_that_was_rotated_away(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let own = app.token(Role::TenantAdmin, Some(acme)).await;
        let (path, _) = made(app, &own, groq("fast")).await;
        let ask = async || app.post(&format!("{path}/credentials"), &own, json!({ "label": "a", "secret": CANARY })).await;
        let pepper = |key: &SealingKey| STANDARD.encode(key.seal(&[1; 32], "settings|key_pepper", [5; 56]));
        let write = async |value: String| {
            let row = setting::ActiveModel { name: Set("key_pepper".to_owned()), value: Set(value) };
            setting::Entity::delete_by_id("key_pepper").exec(&app.database).await.unwrap();
            setting::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
        };
        write(pepper(&SealingKey::new(&[9; 32]))).await;
        assert_eq!(refused(&ask().await), conflict("master_key_rotated"));
        let channel = json!({ "name": "ops", "settings": { "kind": "slack", "url": "https://hooks.example/x" } });
        assert_eq!(refused(&app.post("/api/v1/alerts/channels", &own, channel).await), conflict("master_key_rotated"));
        let (once, key) = ([("idempotency-key", "1")], json!({ "name": "ci" }));
        let made = app.send(Method::POST, "/api/v1/keys", &own, &once, Some(key)).await;
        assert_eq!(refused(&made), conflict("master_key_rotated"), "an answer that nobody can give again");
        app.person("ann@acme.example", Role::TenantAdmin, Some(acme)).await;
        let signed_in = app.login("ann@acme.example", PASSWORD).await;
        assert_eq!(refused(&signed_in), conflict("master_key_rotated"), "no token is signed with a key that is lost");
        assert!(signing_key::Entity::find().all(&app.database).await.unwrap().is_empty());
        assert!(provider_credential::Entity::find().all(&app.database).await.unwrap().is_empty());
        write(pepper(&app.secrets.sealing)).await;
        assert_eq!(ask().await.status, 201);
        let stored = provider_credential::Entity::find().one(&app.database).await.unwrap().unwrap();
        let place = credential_binding(CredentialId(stored.id.0), ProviderId(stored.provider_id.0), Some(TenantId(acme)));
        assert!(app.secrets.sealing.open(&stored.sealed, &place).is_ok(), "bound to its tenant");
    }
}
