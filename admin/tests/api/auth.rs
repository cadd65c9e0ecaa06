//! Signing in and out.

use admin_types::role::Role;
use argon2::password_hash::PasswordHasher;
use entities::{login_failure, refresh_token, tenant, user};
use http::Method;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::helpers::{Answer, PASSWORD, TestApp, both, client_from};

const ADA: &str = "ada@example.com";
const CONFIRMED: (&str, &str) = ("x-antiphon-refresh", "1");

async fn refresh(app: &TestApp, cookie: &str) -> Answer {
    app.send(Method::POST, "/api/v1/auth/refresh", "", &[CONFIRMED, ("cookie", cookie)], None).await
}

async fn me(app: &TestApp, token: &str) -> u16 {
    app.get("/api/v1/auth/me", token).await.status
}

fn access(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

both! {
    async fn who_signs_in_is_who_they_say(app: &TestApp) {
        let id = app.person(ADA, Role::PlatformAdmin, None).await;
        let answer = app.login("Ada@Example.com ", PASSWORD).await;
        assert_eq!((answer.json()["token_type"].as_str(), answer.json()["expires_in"].as_u64()), (Some("Bearer"), Some(900)));
        let cookie = &answer.cookies["antiphon_refresh"];
        assert!(cookie.ends_with("; Path=/api/v1/auth; Max-Age=604800; HttpOnly; SameSite=Strict"), "{cookie}");
        let shown = app.get("/api/v1/auth/me", &access(&answer)).await.json();
        assert_eq!((shown["user"]["id"].as_str(), shown["role"].as_str()), (Some(id.to_string().as_str()), Some("platform_admin")));
        assert!(shown["session_id"].is_string() && shown["user"]["last_login_at"].is_string());
        let behind_a_proxy = app
            .send(Method::POST, "/api/v1/auth/login", "", &[("host", "antiphon.example.com")], Some(json!({ "email": ADA, "password": PASSWORD })))
            .await;
        assert!(behind_a_proxy.cookies["antiphon_refresh"].ends_with("; Secure"));
    }
}

both! {
    async fn nobody_learns_from_a_refusal_who_has_an_account(app: &TestApp) {
        let acme = app.tenant("acme").await;
        for name in ["right", "disabled", "suspended", "invited"] {
            let tenant = (name == "suspended").then_some(acme);
            let role = if tenant.is_some() { Role::TenantAdmin } else { Role::PlatformAdmin };
            app.person(&format!("{name}@example.com"), role, tenant).await;
        }
        let set = async |email: &str, column: user::Column, value: sea_orm::Value| {
            let change = user::Entity::update_many().col_expr(column, Expr::value(value));
            change.filter(user::Column::Email.eq(email)).exec(&app.database).await.unwrap();
        };
        set("disabled@example.com", user::Column::DisabledAt, OffsetDateTime::now_utc().into()).await;
        set("invited@example.com", user::Column::PasswordHash, sea_orm::Value::String(None)).await;
        let suspended = tenant::Entity::update_many()
            .col_expr(tenant::Column::SuspendedAt, Expr::value(OffsetDateTime::now_utc()));
        suspended.exec(&app.database).await.unwrap();

        let mut answers = Vec::new();
        for (email, password) in [
            ("right@example.com", "wrong horse battery"),
            ("nobody@example.com", PASSWORD),
            ("disabled@example.com", PASSWORD),
            ("suspended@example.com", PASSWORD),
            ("invited@example.com", PASSWORD),
            ("' OR 1=1 --", PASSWORD),
            ("", ""),
        ] {
            let answer = app.login(email, password).await;
            assert_eq!((answer.status, answer.problem().as_str()), (401, "wrong_credentials"), "{email}");
            assert!(answer.cookies.is_empty());
            let mut body = answer.json();
            body["instance"] = json!(null);
            answers.push(body);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
}

both! {
    async fn a_refresh_token_is_good_once_and_a_second_use_ends_the_sign_in(app: &TestApp) {
        app.person(ADA, Role::PlatformAdmin, None).await;
        let first = app.login(ADA, PASSWORD).await;
        let (stolen, other) = (first.cookie("antiphon_refresh"), app.login(ADA, PASSWORD).await);
        let unconfirmed = app.send(Method::POST, "/api/v1/auth/refresh", "", &[("cookie", &stolen)], None).await;
        assert_eq!((unconfirmed.status, unconfirmed.cookies.len()), (403, 0), "another site's page may have asked");

        let second = refresh(app, &stolen).await;
        let token = access(&second);
        assert_eq!(me(app, &token).await, 200);
        used_a_minute_ago(app).await;
        assert_eq!(refresh(app, &stolen).await.status, 401);
        assert_eq!(me(app, &token).await, 401, "its access token is void");
        assert_eq!(refresh(app, &second.cookie("antiphon_refresh")).await.status, 401, "and what came of it");
        assert_eq!(me(app, &access(&other)).await, 200, "another sign-in has nothing to do with it");
        for bad in ["antiphon_refresh=", "antiphon_refresh=x", "other=1", ""] {
            assert_eq!(refresh(app, bad).await.problem(), "unauthenticated", "{bad}");
        }
    }
}

both! {
    async fn a_browser_whose_requests_cross_stays_signed_in(app: &TestApp) {
        app.person(ADA, Role::PlatformAdmin, None).await;
        let first = app.login(ADA, PASSWORD).await.cookie("antiphon_refresh");
        let (left, found) = (refresh(app, &first).await, refresh(app, &first).await);
        assert_eq!((left.status, found.status), (200, 200), "a page that was left before its cookie came");
        let [left, found] = [left, found].map(|answer| answer.cookie("antiphon_refresh"));
        assert_ne!(left, found, "no token is given twice");
        let third = refresh(app, &found).await;
        let listed = app.get("/api/v1/auth/sessions", &access(&third)).await.json();
        assert_eq!(listed["data"].as_array().unwrap().len(), 1, "it is one sign-in");

        used_a_minute_ago(app).await;
        assert_eq!(refresh(app, &left).await.status, 401, "what was given beside the one that went on");
        assert_eq!(me(app, &access(&third)).await, 401, "and so somebody else's: the sign-in is ended");
    }
}

both! {
    async fn crossing_requests_of_one_sign_in_are_bounded(app: &TestApp) {
        app.person(ADA, Role::PlatformAdmin, None).await;
        let login = app.login(ADA, PASSWORD).await;
        let first = login.cookie("antiphon_refresh");
        for _ in 0..16 {
            assert_eq!(refresh(app, &first).await.status, 200);
        }
        let listed = app.get("/api/v1/auth/sessions", &access(&login)).await.json();
        assert_eq!(listed["data"].as_array().unwrap().len(), 1, "they are one sign-in");
        let refused = refresh(app, &first).await;
        assert_eq!((refused.status, refused.problem().as_str(), refused.cookies.len()), (409, "already_refreshed", 0));
        assert_eq!(me(app, &access(&login)).await, 200);
    }
}

/// Whoever shows an exchanged refresh token now does not do so by accident.
async fn used_a_minute_ago(app: &TestApp) {
    let earlier = OffsetDateTime::now_utc() - Duration::minutes(1);
    let used = refresh_token::Entity::update_many().col_expr(refresh_token::Column::UsedAt, Expr::value(earlier));
    used.filter(refresh_token::Column::UsedAt.is_not_null()).exec(&app.database).await.unwrap();
}

both! {
    async fn signing_out_voids_the_access_token_at_once(app: &TestApp) {
        app.person(ADA, Role::PlatformAdmin, None).await;
        let (one, two, three) = (app.login(ADA, PASSWORD).await, app.login(ADA, PASSWORD).await, app.login(ADA, PASSWORD).await);
        let out = app.send(Method::POST, "/api/v1/auth/logout", &access(&one), &[], None).await;
        assert_eq!(out.status, 204);
        assert!(out.cookies["antiphon_refresh"].starts_with("; Path=/api/v1/auth; Max-Age=0"));
        assert_eq!((me(app, &access(&one)).await, refresh(app, &one.cookie("antiphon_refresh")).await.status), (401, 401));

        let cookie = two.cookie("antiphon_refresh");
        app.send(Method::POST, "/api/v1/auth/logout", "", &[("cookie", &cookie)], None).await;
        assert_eq!(me(app, &access(&two)).await, 200, "another site's page may have asked");
        app.send(Method::POST, "/api/v1/auth/logout", "", &[("cookie", &cookie), CONFIRMED], None).await;
        assert_eq!((me(app, &access(&two)).await, me(app, &access(&three)).await), (401, 200));
    }
}

both! {
    async fn people_see_and_end_their_own_sign_ins(app: &TestApp) {
        app.person(ADA, Role::PlatformAdmin, None).await;
        app.person("eve@example.com", Role::PlatformAdmin, None).await;
        let (old, new, eve) = (app.sign_in(ADA).await, app.sign_in(ADA).await, app.sign_in("eve@example.com").await);
        let list = app.get("/api/v1/auth/sessions", &new).await.json();
        let current: Vec<_> = list["data"].as_array().unwrap().iter().map(|row| row["current"].as_bool().unwrap()).collect();
        assert_eq!(current, [true, false], "the newest first");
        let of = async |query: &str| {
            let list = app.get(&format!("/api/v1/auth/sessions?{query}"), &new).await.json();
            list["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
        };
        let mut ids = of("").await;
        ids.reverse();
        assert_eq!(of("sort=started_at").await, ids);
        assert_eq!(of("q=127.0.0").await.len(), 2);
        assert_eq!(of("q=10.1.2.3").await.len(), 0);
        let path = format!("/api/v1/auth/sessions/{}", list["data"][1]["id"].as_str().unwrap());
        assert_eq!(app.delete(&path, &eve).await.status, 404, "somebody else's");
        assert_eq!((app.delete(&path, &new).await.status, me(app, &old).await, me(app, &new).await), (204, 401, 200));
        assert_eq!(app.delete(&path, &new).await.status, 404);
        assert_eq!(app.get("/api/v1/auth/sessions?limit=1", &new).await.json()["data"].as_array().unwrap().len(), 1);
    }
}

both! {
    async fn a_changed_password_ends_every_other_sign_in(app: &TestApp) {
        app.person(ADA, Role::PlatformAdmin, None).await;
        let (here, there) = (app.login(ADA, PASSWORD).await, app.login(ADA, PASSWORD).await);
        let change = async |old: &str, new: &str| {
            let body = json!({ "old_password": old, "new_password": new });
            app.post("/api/v1/auth/password", &access(&here), body).await
        };
        for (old, new, field) in [
            ("wrong horse battery", "another horse battery", "old_password"),
            (PASSWORD, "short", "new_password"),
            (PASSWORD, &"x".repeat(201), "new_password"),
        ] {
            assert_eq!(change(old, new).await.json()["errors"][0]["field"], field);
        }
        let changed = change(PASSWORD, "another horse battery").await;
        assert_eq!(me(app, &access(&changed)).await, 200);
        assert_eq!((me(app, &access(&here)).await, me(app, &access(&there)).await), (401, 401));
        assert_eq!(refresh(app, &there.cookie("antiphon_refresh")).await.status, 401);
        assert_eq!(refresh(app, &here.cookie("antiphon_refresh")).await.status, 200, "this browser stays");
        assert_eq!(app.login(ADA, PASSWORD).await.status, 401);
        assert_eq!(app.login(ADA, "another horse battery").await.status, 200);
        let program = app.platform().await;
        let body = json!({ "old_password": PASSWORD, "new_password": PASSWORD });
        assert_eq!(app.post("/api/v1/auth/password", &program, body).await.problem(), "forbidden");
    }
}

both! {
    async fn a_thousand_guesses_are_slowed_and_the_owner_is_let_in(app: &TestApp) {
        app.person(ADA, Role::PlatformAdmin, None).await;
        let earlier = app.login(ADA, PASSWORD).await;
        let mut looked_at = 0;
        let body = |password: String| json!({ "email": ADA, "password": password }).to_string().into_bytes();
        let (attacker, owner) = (client_from("127.0.0.3"), client_from("127.0.0.2"));
        let json = [("content-type", "application/json")];
        for batch in 0..50 {
            let guesses = (0..20).map(|number| {
                let body = body(format!("guess number {batch} {number}"));
                app.send_through(&attacker, Method::POST, "/api/v1/auth/login", "", &json, body)
            });
            for answer in futures_util::future::join_all(guesses).await {
                match answer.status {
                    401 => looked_at += 1,
                    429 => assert!(answer.headers["retry-after"].parse::<u64>().unwrap() >= 1),
                    _ => panic!("{answer:?}"),
                }
            }
        }
        assert!((5..=12).contains(&looked_at), "{looked_at} guesses were looked at");
        let right = app.send_through(&attacker, Method::POST, "/api/v1/auth/login", "", &json, body(PASSWORD.to_owned())).await;
        assert_eq!(right.status, 429, "the attacker's address waits, right or wrong");

        let elsewhere = app.send_through(&owner, Method::POST, "/api/v1/auth/login", "", &json, body(PASSWORD.to_owned())).await;
        assert_eq!(elsewhere.status, 200, "the owner comes from another address");
        let known = [("content-type", "application/json"), ("cookie", &*earlier.cookie("antiphon_device"))];
        let beside = app.send_through(&attacker, Method::POST, "/api/v1/auth/login", "", &known, body(PASSWORD.to_owned())).await;
        assert_eq!(beside.status, 200, "from the attacker's address, in a browser that has signed in before");
        assert_eq!(refresh(app, &earlier.cookie("antiphon_refresh")).await.status, 200);
        for row in login_failure::Entity::find().all(&app.database).await.unwrap() {
            let is_digest = row.subject.len() == 64 && row.subject.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_digest, "neither an account nor an address: {row:?}");
        }

        // Time goes by: one more guess is looked at, and the wait has grown.
        let over = login_failure::Entity::update_many()
            .col_expr(login_failure::Column::BlockedUntil, Expr::value(OffsetDateTime::now_utc() - Duration::SECOND));
        over.exec(&app.database).await.unwrap();
        let again = async || app.send_through(&attacker, Method::POST, "/api/v1/auth/login", "", &json, body("one more guess".to_owned())).await;
        assert_eq!((again().await.status, again().await.status), (401, 429));
    }
}

both! {
    async fn a_known_browser_changes_the_password_while_its_network_is_throttled(app: &TestApp) {
        app.person(ADA, Role::PlatformAdmin, None).await;
        let login = app.login(ADA, PASSWORD).await;
        while app.login(ADA, "a wrong guess at it").await.status != 429 {}
        let device = login.cookie("antiphon_device");
        let change = async |headers: &[(&str, &str)]| {
            let body = json!({ "old_password": PASSWORD, "new_password": "another horse battery" });
            app.send(Method::POST, "/api/v1/auth/password", &access(&login), headers, Some(body)).await.status
        };
        assert_eq!((change(&[]).await, change(&[("cookie", &device)]).await), (429, 200));
    }
}

#[actix_web::test]
async fn a_body_that_stops_is_not_waited_for() {
    let app = TestApp::on_sqlite_with(|settings| settings.body_idle = std::time::Duration::from_millis(200)).await;
    let platform = app.platform().await;
    for (path, kind) in [
        ("/api/v1/auth/login", "application/json"),
        ("/api/v1/keys/bulk", "text/csv"),
        ("/api/v1/prices/import", "text/csv"),
        ("/api/v1/usage/compare?provider=openai", "text/csv"),
    ] {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {platform}\r\ncontent-type: {kind}\r\n\
             content-length: 100\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"too_slow\""), "{path}: {answer}");
    }
    app.stop().await;
}

both! {
    async fn a_password_of_weaker_parameters_is_hashed_anew(app: &TestApp) {
        let id = entities::Id(app.person(ADA, Role::PlatformAdmin, None).await);
        let weaker = argon2::Argon2::from(argon2::Params::new(64, 1, 1, None).unwrap());
        let weak = weaker.hash_password_with_salt(PASSWORD.as_bytes(), &[7; 16]).unwrap().to_string();
        let row = user::ActiveModel { id: Set(id), password_hash: Set(Some(weak)), ..Default::default() };
        row.update(&app.database).await.unwrap();
        let token = app.sign_in(ADA).await;
        let row = user::Entity::find_by_id(id).one(&app.database).await.unwrap().unwrap();
        assert!(row.password_hash.unwrap().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!((me(app, &token).await, app.login(ADA, PASSWORD).await.status), (200, 200));
    }
}
