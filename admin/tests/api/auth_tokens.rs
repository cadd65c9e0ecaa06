//! Access tokens: what signs them, and what of a forged one is not believed; personal access tokens.

use admin_types::role::Role;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::key::{ACCESS_TOKEN_PREFIX, KeyHash, Pepper};
use domain::seal::binding;
use entities::{Id, access_token, signing_key, user};
use http::Method;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::helpers::{PASSWORD, TestApp, both};

const ADA: &str = "ada@example.com";

/// Header and claims of a token.
fn read(token: &str) -> (Value, Value) {
    let parts: Vec<Value> = token
        .split('.')
        .take(2)
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    (parts[0].clone(), parts[1].clone())
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// HMAC-SHA-256 under a key of 32 bytes.
pub(crate) fn signed(header: &Value, claims: &Value, secret: &[u8; 32]) -> String {
    let text = unsigned(header, claims);
    let signature = KeyHash::of(&Pepper::new(secret), &text).0;
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn keys(app: &TestApp) -> Vec<(signing_key::Model, [u8; 32])> {
    let rows =
        signing_key::Entity::find().order_by_asc(signing_key::Column::CreatedAt).all(&app.database).await.unwrap();
    rows.into_iter()
        .map(|row| {
            let place = binding("signing_keys", &[&row.id.to_string()]);
            let secret = app.secrets.sealing.open(&row.sealed, &place).unwrap();
            (row, secret.try_into().unwrap())
        })
        .collect()
}

async fn status(app: &TestApp, token: &str) -> u16 {
    let answer = app.get("/api/v1/auth/me", token).await;
    assert!(answer.status == 200 || answer.problem() == "unauthenticated", "{answer:?}");
    answer.status
}

both! {
    async fn no_forged_token_is_believed(app: &TestApp) {
        app.person(ADA, Role::PlatformAdmin, None).await;
        let good = app.sign_in(ADA).await;
        let (header, claims) = read(&good);
        let [(_, secret)] = keys(app).await.try_into().unwrap();
        assert_eq!(header["alg"], "HS256");
        assert_eq!(status(app, &signed(&header, &claims, &secret)).await, 200, "the forger knows how");

        let with = |of: &Value, name: &str, value: Value| {
            let mut changed = of.clone();
            changed[name] = value;
            changed
        };
        let without = |of: &Value, name: &str| {
            let mut changed = of.clone();
            changed.as_object_mut().unwrap().remove(name);
            changed
        };
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let mut forged = vec![
            ("no signature", format!("{}.", unsigned(&with(&header, "alg", json!("none")), &claims))),
            ("none, in other letters", format!("{}.", unsigned(&with(&header, "alg", json!("nOnE")), &claims))),
            ("signature cut off", format!("{}.", unsigned(&header, &claims))),
            ("another secret", signed(&header, &claims, &[0; 32])),
        ];
        for (what, header) in [
            ("HS384", with(&header, "alg", json!("HS384"))),
            ("RS256", with(&header, "alg", json!("RS256"))),
            ("a token of another type", with(&header, "typ", json!("JWT"))),
            ("no type", without(&header, "typ")),
            ("no kid", without(&header, "kid")),
            ("a foreign kid", with(&header, "kid", json!(Uuid::now_v7()))),
            ("a kid like a path", with(&header, "kid", json!("../../../../dev/null"))),
            ("a kid like SQL", with(&header, "kid", json!("' OR '1'='1"))),
            ("an empty kid", with(&header, "kid", json!(""))),
            ("a kid that is no text", with(&header, "kid", json!(0))),
            ("jku", with(&header, "jku", json!("https://evil.example/keys"))),
            ("x5u", with(&header, "x5u", json!("https://evil.example/cert"))),
            ("jwk", with(&header, "jwk", json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret) }))),
            ("crit", with(&header, "crit", json!(["exp"]))),
        ] {
            forged.push((what, signed(&header, &claims, &secret)));
        }
        for (what, claims) in [
            ("expired", with(&claims, "exp", json!(now - 60))),
            ("no expiry", without(&claims, "exp")),
            ("not yet", with(&claims, "nbf", json!(now + 60))),
            ("no beginning", without(&claims, "nbf")),
            ("another audience", with(&claims, "aud", json!("antiphon"))),
            ("no audience", without(&claims, "aud")),
            ("another issuer", with(&claims, "iss", json!("https://evil.example"))),
            ("no issuer", without(&claims, "iss")),
            ("somebody else", with(&claims, "sub", json!(Uuid::now_v7()))),
            ("another sign-in", with(&claims, "sid", json!(Uuid::now_v7()))),
            ("another epoch", with(&claims, "epoch", json!(1))),
        ] {
            forged.push((what, signed(&header, &claims, &secret)));
        }
        for (what, token) in forged {
            assert_eq!(status(app, &token).await, 401, "{what}");
        }
        assert_eq!(status(app, &good).await, 200);
    }
}

both! {
    async fn keys_change_and_those_of_before_verify_until_their_tokens_are_over(app: &TestApp) {
        let (id, secret) = (Uuid::now_v7(), [9; 32]);
        let place = binding("signing_keys", &[&id.to_string()]);
        let old = signing_key::ActiveModel {
            id: Set(Id(id)),
            sealed: Set(app.secrets.sealing.seal(&secret, &place, [5; domain::seal::SEAL_RANDOM_BYTES])),
            created_at: Set(OffsetDateTime::now_utc() - Duration::days(31)),
            retired_at: Set(None),
        };
        signing_key::Entity::insert(old).exec_without_returning(&app.database).await.unwrap();
        app.person(ADA, Role::PlatformAdmin, None).await;
        let new = app.sign_in(ADA).await;
        let (header, claims) = read(&new);
        let keys = keys(app).await;
        assert_eq!((keys.len(), header["kid"].as_str()), (2, Some(keys[1].0.id.to_string().as_str())));
        assert!(keys[0].0.retired_at.unwrap() > OffsetDateTime::now_utc() + Duration::minutes(15));
        let mut header = header;
        header["kid"] = json!(id);
        assert_eq!(status(app, &signed(&header, &claims, &secret)).await, 200, "what the old one has signed");
        let row = keys[1].0.sealed.clone();
        assert!(!row.windows(32).any(|window| window == keys[1].1), "sealed");
        assert_eq!(read(&app.sign_in(ADA).await).0["kid"], read(&new).0["kid"], "one key for thirty days");
    }
}

both! {
    async fn a_personal_access_token_is_shown_once_and_refused_once_removed(app: &TestApp) {
        app.person(ADA, Role::PlatformAdmin, None).await;
        let ada = app.sign_in(ADA).await;
        let made = app.post("/api/v1/tokens", &ada, json!({ "name": "terraform" })).await;
        assert_eq!(made.status, 201, "{made:?}");
        let token = made.json()["token"].as_str().unwrap().to_owned();
        assert!(token.starts_with(ACCESS_TOKEN_PREFIX));
        let path = made.headers["location"].clone();
        let shown = app.get(&path, &ada).await;
        assert!(!shown.text.contains(&token) && shown.json()["redacted"].as_str().unwrap().starts_with("pat-ap-…"));
        assert!(shown.json()["last_used_at"].is_null());
        assert_eq!(app.get("/api/v1/auth/me", &token).await.json()["token_id"], made.json()["id"]);
        let used = app.get(&path, &ada).await.json()["last_used_at"].as_str().unwrap().to_owned();
        assert!(used.ends_with(":00Z"), "to the minute: {used}");
        assert_eq!(app.post("/api/v1/tokens", &token, json!({ "name": "more" })).await.problem(), "forbidden");
        let row = access_token::Entity::find().one(&app.database).await.unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&row.hash).contains(&token));

        assert_eq!((app.delete(&path, &ada).await.status, status(app, &token).await), (204, 401));
        assert_eq!(app.get(&path, &ada).await.status, 404);

        let soon = OffsetDateTime::now_utc() + Duration::minutes(5);
        let soon = soon.format(&time::format_description::well_known::Rfc3339).unwrap();
        let short = app.post("/api/v1/tokens", &ada, json!({ "name": "short", "expires_at": soon })).await;
        let short = short.json()["token"].as_str().unwrap().to_owned();
        assert_eq!(status(app, &short).await, 200);
        let over = access_token::Entity::update_many()
            .col_expr(access_token::Column::ExpiresAt, Expr::value(OffsetDateTime::now_utc() - Duration::SECOND));
        over.exec(&app.database).await.unwrap();
        assert_eq!(status(app, &short).await, 401);
    }
}

both! {
    async fn a_token_may_do_no_more_than_it_was_made_for_nor_than_its_user(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        app.person(ADA, Role::PlatformAdmin, None).await;
        app.person("tom@example.com", Role::TenantAdmin, Some(acme)).await;
        let (ada, tom) = (app.sign_in(ADA).await, app.sign_in("tom@example.com").await);
        let make = async |who: &str, body: Value| app.post("/api/v1/tokens", who, body).await;
        for (who, body, field) in [
            (&tom, json!({ "name": "n", "role": "platform_admin" }), "role"),
            (&tom, json!({ "name": "n", "tenant_id": other }), "tenant_id"),
            (&ada, json!({ "name": "n", "role": "tenant_admin" }), "tenant_id"),
            (&ada, json!({ "name": "n", "tenant_id": acme }), "role"),
            (&ada, json!({ "name": "n", "role": "tenant_viewer", "tenant_id": Uuid::now_v7() }), "tenant_id"),
            (&ada, json!({ "name": "" }), "name"),
            (&ada, json!({ "name": "n", "expires_at": "2020-01-01T00:00:00Z" }), "expires_at"),
        ] {
            let answer = make(who, body.clone()).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &json!(field)), "{body}");
        }
        let token = |answer: crate::helpers::Answer| answer.json()["token"].as_str().unwrap().to_owned();
        let viewer = token(make(&tom, json!({ "name": "viewer", "role": "tenant_viewer" })).await);
        assert_eq!(app.get("/api/v1/users", &viewer).await.status, 403, "its user could");
        assert_eq!(app.get(&format!("/api/v1/tenants/{acme}"), &viewer).await.status, 200);
        let narrow = token(make(&ada, json!({ "name": "narrow", "role": "tenant_admin", "tenant_id": acme })).await);
        assert_eq!(app.get(&format!("/api/v1/tenants/{acme}"), &narrow).await.status, 200);
        assert_eq!(app.get(&format!("/api/v1/tenants/{other}"), &narrow).await.status, 404, "its user could");
        assert_eq!(app.post("/api/v1/tenants", &narrow, json!({ "name": "x" })).await.status, 403);

        // The user may do less than when the token was made.
        let admin = token(make(&tom, json!({ "name": "admin" })).await);
        assert_eq!(app.get("/api/v1/users", &admin).await.status, 200);
        let tom_id = app.get("/api/v1/auth/me", &admin).await.json()["user"]["id"].as_str().unwrap().to_owned();
        let demoted = user::Entity::update_many()
            .col_expr(user::Column::Role, Expr::value("tenant_viewer"))
            .filter(user::Column::Id.eq(Id(tom_id.parse().unwrap())));
        demoted.exec(&app.database).await.unwrap();
        assert_eq!(app.get("/api/v1/users", &admin).await.status, 403);
        app.patch(&format!("/api/v1/users/{tom_id}"), &ada, json!({ "disabled": true })).await;
        assert_eq!(status(app, &admin).await, 401);
    }
}

both! {
    async fn tokens_are_seen_by_their_user_and_by_who_manages_them(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let people = [
            (ADA, Role::PlatformAdmin, None),
            ("boss@example.com", Role::TenantAdmin, Some(acme)),
            ("viewer@example.com", Role::TenantViewer, Some(acme)),
            ("else@example.com", Role::TenantAdmin, Some(other)),
        ];
        let mut tokens = Vec::new();
        for (email, role, tenant) in people {
            app.person(email, role, tenant).await;
            let token = app.sign_in(email).await;
            let made = app.post("/api/v1/tokens", &token, json!({ "name": email })).await;
            tokens.push((token, made.headers["location"].clone()));
        }
        for ((token, _), expected) in tokens.iter().zip([&[0, 1, 2, 3][..], &[1, 2], &[2], &[3]]) {
            let list = app.get("/api/v1/tokens", token).await.json();
            let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect();
            assert_eq!(names, expected.iter().map(|index| people[*index].0).collect::<Vec<_>>());
            for (index, (_, path)) in tokens.iter().enumerate() {
                let expected = if expected.contains(&index) { 200 } else { 404 };
                assert_eq!(app.get(path, token).await.status, expected);
            }
        }
        assert_eq!(app.delete(&tokens[1].1, &tokens[2].0).await.status, 404, "a viewer removes nobody's");
        assert_eq!(app.delete(&tokens[2].1, &tokens[1].0).await.status, 204);
        let list = app.get("/api/v1/tokens?q=EXAMPLE&sort=-name&limit=1", &tokens[0].0).await.json();
        assert_eq!(list["data"][0]["name"], "else@example.com");
        assert!(list["next_cursor"].is_string());
    }
}

both! {
    async fn a_narrowed_token_sees_and_removes_no_more_than_it_may_do(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        app.person(ADA, Role::PlatformAdmin, None).await;
        let ada = app.sign_in(ADA).await;
        let mut made = Vec::new();
        for body in [
            json!({ "name": "whole" }),
            json!({ "name": "acme admin", "role": "tenant_admin", "tenant_id": acme }),
            json!({ "name": "acme viewer", "role": "tenant_viewer", "tenant_id": acme }),
            json!({ "name": "other viewer", "role": "tenant_viewer", "tenant_id": other }),
        ] {
            let answer = app.post("/api/v1/tokens", &ada, body).await;
            made.push((answer.json()["token"].as_str().unwrap().to_owned(), answer.headers["location"].clone()));
        }
        let sessions = app.get("/api/v1/auth/sessions", &ada).await.json();
        let session = format!("/api/v1/auth/sessions/{}", sessions["data"][0]["id"].as_str().unwrap());
        for ((token, _), seen) in made.iter().zip([&[0, 1, 2, 3][..], &[1, 2], &[2], &[3]]) {
            let list = app.get("/api/v1/tokens", token).await.json();
            assert_eq!(list["data"].as_array().unwrap().len(), seen.len(), "{list}");
            for (index, (_, path)) in made.iter().enumerate() {
                let is_seen = seen.contains(&index);
                assert_eq!(app.get(path, token).await.status, if is_seen { 200 } else { 404 });
                if !is_seen {
                    assert_eq!(app.delete(path, token).await.status, 404);
                }
            }
            assert_eq!(app.get("/api/v1/auth/sessions", token).await.problem(), "forbidden");
            assert_eq!(app.delete(&session, token).await.problem(), "forbidden");
        }
        assert_eq!(app.delete(&made[2].1, &made[1].0).await.status, 204, "one that may do less than it");
        assert_eq!(app.get("/api/v1/auth/sessions", &ada).await.status, 200);
    }
}

both! {
    async fn an_answer_is_not_given_again_to_a_token_for_another_tenant(app: &TestApp) {
        let tenants = [app.tenant("acme").await, app.tenant("other").await];
        app.person(ADA, Role::PlatformAdmin, None).await;
        let ada = app.sign_in(ADA).await;
        let mut keys = Vec::new();
        for tenant in tenants {
            let body = json!({ "name": "t", "role": "tenant_admin", "tenant_id": tenant });
            let token = app.post("/api/v1/tokens", &ada, body).await.json()["token"].as_str().unwrap().to_owned();
            let made = app.send(Method::POST, "/api/v1/keys", &token, &[("idempotency-key", "one")], Some(json!({ "name": "k" }))).await;
            assert_eq!((made.status, made.headers.contains_key("idempotent-replayed")), (201, false), "{made:?}");
            assert_eq!(made.json()["tenant_id"], json!(tenant));
            keys.push(made.json()["id"].clone());
        }
        assert_ne!(keys[0], keys[1]);
    }
}

both! {
    async fn a_password_is_in_no_answer_and_no_audit_entry(app: &TestApp) {
        let ada = app.person(ADA, Role::PlatformAdmin, None).await;
        let token = app.sign_in(ADA).await;
        app.post("/api/v1/tokens", &token, json!({ "name": "t" })).await;
        let row = user::Entity::find_by_id(Id(ada)).one(&app.database).await.unwrap().unwrap();
        let hash = row.password_hash.unwrap();
        let shown = app.send(Method::GET, &format!("/api/v1/users/{ada}"), &token, &[], None).await.text;
        let entries = entities::audit_entry::Entity::find().all(&app.database).await.unwrap();
        let actions: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.object_kind.as_str())).collect();
        assert_eq!(actions, [("create", "user"), ("sign_in", "user"), ("create", "token")]);
        for text in entries.iter().map(|entry| format!("{entry:?}")).chain([shown]) {
            assert!(!text.contains(PASSWORD) && !text.contains("argon2") && !text.contains(&hash), "{text}");
            assert!(!text.contains(&token) && !text.contains("rt-ap-"), "{text}");
        }
    }
}
