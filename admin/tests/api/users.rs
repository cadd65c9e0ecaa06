//! Users: who manages whom.

use admin_types::role::Role;
use entities::one_time_link;
use http::Method;
use sea_orm::EntityTrait;
use sea_orm::sea_query::Expr;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::helpers::{PASSWORD, TestApp, both};

const ADA: &str = "ada@example.com";
const NEW: &str = "another horse battery";

both! {
    async fn somebody_who_was_invited_sets_a_password_once_and_signs_in(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let boss = app.token(Role::TenantAdmin, Some(acme)).await;
        let made = app.post("/api/v1/users", &boss, json!({ "email": "Eve@Example.com", "role": "tenant_viewer" })).await;
        assert_eq!(made.status, 201, "{made:?}");
        let user = made.json();
        assert_eq!((user["email"].as_str(), user["tenant_id"].as_str()), (Some("eve@example.com"), Some(acme.to_string().as_str())));
        assert_eq!(user["has_password"], false);
        let token = user["invitation"]["token"].as_str().unwrap().to_owned();
        let url = user["invitation"]["url"].as_str().unwrap();
        assert!(url.starts_with("http://127.0.0.1:") && url.ends_with(&format!("/accept#token={token}")), "{url}");
        assert!(!app.get(&made.headers["location"], &boss).await.text.contains(&token), "shown once");

        let accept = async |token: &str, password: &str| {
            app.post("/api/v1/auth/accept", "", json!({ "token": token, "password": password })).await
        };
        assert_eq!(accept(&token, "short").await.json()["errors"][0]["field"], "password");
        for bad in ["", "x", "ot-ap-0000000000000000000000000000000000000000000000000"] {
            assert_eq!(accept(bad, NEW).await.json()["errors"][0]["field"], "token");
        }
        assert_eq!(accept(&token, NEW).await.status, 204);
        assert_eq!(accept(&token, PASSWORD).await.json()["errors"][0]["field"], "token", "it works once");
        assert_eq!(app.login("eve@example.com", NEW).await.status, 200);
        for entry in entities::audit_entry::Entity::find().all(&app.database).await.unwrap() {
            assert!(!format!("{entry:?}").contains(&token));
        }
        let again = app.post("/api/v1/users", &boss, json!({ "email": "EVE@example.com", "role": "tenant_viewer" })).await;
        assert_eq!(again.problem(), "already_exists");
    }
}

both! {
    async fn a_reset_link_works_once_in_time_and_ends_every_sign_in(app: &TestApp) {
        let ada = app.person(ADA, Role::PlatformAdmin, None).await;
        let eve = app.person("eve@example.com", Role::PlatformAdmin, None).await;
        let (admin, signed_in) = (app.sign_in(ADA).await, app.sign_in("eve@example.com").await);
        let link = async |id: Uuid| {
            let answer = app.send(Method::POST, &format!("/api/v1/users/{id}/reset-password"), &admin, &[], None).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            answer.json()["token"].as_str().unwrap().to_owned()
        };
        for (who, id) in [(&app.platform().await, eve), (&admin, ada)] {
            let refused = app.send(Method::POST, &format!("/api/v1/users/{id}/reset-password"), who, &[], None).await;
            assert_eq!(refused.problem(), "forbidden", "neither a program, nor for oneself");
        }
        let accept = async |token: &str| {
            app.post("/api/v1/auth/accept", "", json!({ "token": token, "password": NEW })).await.status
        };
        let (first, second) = (link(eve).await, link(eve).await);
        assert_eq!(accept(&first).await, 422, "another one was made");
        assert_eq!(app.login("eve@example.com", PASSWORD).await.status, 200, "the old one works until then");
        assert_eq!(accept(&second).await, 204);
        assert_eq!(app.get("/api/v1/auth/me", &signed_in).await.status, 401);
        assert_eq!((app.login("eve@example.com", PASSWORD).await.status, app.login("eve@example.com", NEW).await.status), (401, 200));

        let late = link(eve).await;
        let over = one_time_link::Entity::update_many()
            .col_expr(one_time_link::Column::ExpiresAt, Expr::value(OffsetDateTime::now_utc() - Duration::SECOND));
        over.exec(&app.database).await.unwrap();
        assert_eq!(accept(&late).await, 422);
        let disabled = link(eve).await;
        app.patch(&format!("/api/v1/users/{eve}"), &admin, json!({ "disabled": true })).await;
        assert_eq!(accept(&disabled).await, 422);
    }
}

both! {
    async fn each_role_manages_whom_it_may(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        app.person(ADA, Role::PlatformAdmin, None).await;
        let managers = [
            (Role::PlatformAdmin, app.sign_in(ADA).await),
            (Role::TenantAdmin, app.signed_in(Role::TenantAdmin, Some(acme)).await),
            (Role::TenantViewer, app.signed_in(Role::TenantViewer, Some(acme)).await),
        ];
        for (manager, token) in &managers {
            for (role, tenant) in [
                (Role::PlatformAdmin, None),
                (Role::TenantAdmin, Some(acme)),
                (Role::TenantViewer, Some(acme)),
                (Role::TenantAdmin, Some(other)),
            ] {
                let what = format!("{manager:?} {role:?} {}", tenant == Some(acme));
                let id = app.person(&format!("{}@example.com", Uuid::now_v7()), role, tenant).await;
                let path = format!("/api/v1/users/{id}");
                let expected = match manager {
                    Role::PlatformAdmin => 200,
                    Role::TenantAdmin if tenant == Some(acme) => 200,
                    Role::TenantAdmin => 404,
                    Role::TenantViewer => 403,
                };
                assert_eq!(app.get(&path, token).await.status, expected, "{what}");
                assert_eq!(app.patch(&path, token, json!({ "name": "n" })).await.status, expected, "{what}");
                assert_eq!(app.patch(&path, token, json!({ "disabled": true })).await.status, expected, "{what}");
                let reset = app.send(Method::POST, &format!("{path}/reset-password"), token, &[], None).await.status;
                assert_eq!(reset, if expected == 200 { 201 } else { expected }, "{what}");
                assert_eq!(app.delete(&path, token).await.status, if expected == 200 { 204 } else { expected }, "{what}");

                let mut body = json!({ "email": format!("{}@example.com", Uuid::now_v7()), "role": role });
                if let Some(tenant) = tenant {
                    body["tenant_id"] = json!(tenant);
                }
                let expected = match manager {
                    Role::PlatformAdmin => 201,
                    Role::TenantAdmin if role == Role::PlatformAdmin => 403,
                    Role::TenantAdmin if tenant == Some(other) => 422,
                    Role::TenantAdmin => 201,
                    Role::TenantViewer => 403,
                };
                assert_eq!(app.post("/api/v1/users", token, body).await.status, expected, "{what}");
            }
        }
        let own = app.person("own@example.com", Role::TenantViewer, Some(acme)).await;
        let path = format!("/api/v1/users/{own}");
        let (_, boss) = &managers[1];
        assert_eq!(app.patch(&path, boss, json!({ "role": "platform_admin" })).await.problem(), "forbidden");
        assert_eq!(app.patch(&path, boss, json!({ "tenant_id": other })).await.status, 422);
        assert_eq!(app.patch(&path, boss, json!({ "role": "tenant_admin" })).await.status, 200);
        let ids: Vec<Value> = app.get("/api/v1/users?sort=email", boss).await.json()["data"]
            .as_array().unwrap().iter().map(|row| row["tenant_id"].clone()).collect();
        assert!(!ids.is_empty() && ids.iter().all(|id| *id == json!(acme)));
    }
}

both! {
    async fn the_last_platform_administrator_stays(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let ada = app.person(ADA, Role::PlatformAdmin, None).await;
        let token = app.sign_in(ADA).await;
        let path = format!("/api/v1/users/{ada}");
        // Somebody who was invited and has no password yet could not take over.
        app.post("/api/v1/users", &token, json!({ "email": "new@example.com", "role": "platform_admin" })).await;
        for body in [json!({ "disabled": true }), json!({ "role": "tenant_admin", "tenant_id": acme })] {
            assert_eq!(app.patch(&path, &token, body).await.problem(), "last_platform_admin");
        }
        assert_eq!(app.delete(&path, &token).await.problem(), "last_platform_admin");
        assert_eq!(app.patch(&path, &token, json!({ "name": "Ada" })).await.status, 200);

        let bob = app.person("bob@example.com", Role::PlatformAdmin, None).await;
        let others = app.sign_in("bob@example.com").await;
        let (other_path, disable) = (format!("/api/v1/users/{bob}"), json!({ "disabled": true }));
        // Each disables the other at the same moment: one of them must stay.
        let (one, two) = futures_util::join!(
            app.patch(&other_path, &token, disable.clone()),
            app.patch(&path, &others, disable.clone())
        );
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert!(matches!(statuses, [200, 401 | 409]), "{statuses:?}");
    }
}

both! {
    async fn a_change_ends_sign_ins_where_it_matters_and_only_for_the_version_that_was_read(app: &TestApp) {
        let acme = app.tenant("acme").await;
        app.person(ADA, Role::PlatformAdmin, None).await;
        let eve = app.person("eve@example.com", Role::TenantViewer, Some(acme)).await;
        let (admin, path) = (app.sign_in(ADA).await, format!("/api/v1/users/{eve}"));
        let me = async |token: &str| app.get("/api/v1/auth/me", token).await.status;

        let token = app.sign_in("eve@example.com").await;
        let tag = app.get(&path, &admin).await.headers["etag"].clone();
        let renamed = app.send(Method::PATCH, &path, &admin, &[("if-match", &tag)], Some(json!({ "name": "Eve" }))).await;
        assert_eq!((renamed.status, me(&token).await), (200, 200), "a name is no reason");
        let late = app.send(Method::PATCH, &path, &admin, &[("if-match", &tag)], Some(json!({ "disabled": true }))).await;
        assert_eq!((late.problem().as_str(), me(&token).await), ("stale", 200));

        app.patch(&path, &admin, json!({ "role": "tenant_admin" })).await;
        assert_eq!(me(&token).await, 401, "another role");
        let token = app.sign_in("eve@example.com").await;
        let promoted = app.patch(&path, &admin, json!({ "role": "platform_admin" })).await.json();
        assert_eq!((&promoted["tenant_id"], me(&token).await), (&Value::Null, 401));
        assert_eq!(app.patch(&path, &admin, json!({ "role": "tenant_viewer" })).await.json()["errors"][0]["field"], "tenant_id");
        app.patch(&path, &admin, json!({ "role": "tenant_viewer", "tenant_id": acme })).await;
        let token = app.sign_in("eve@example.com").await;
        app.patch(&path, &admin, json!({ "disabled": true })).await;
        assert_eq!((me(&token).await, app.login("eve@example.com", PASSWORD).await.status), (401, 401));
        app.patch(&path, &admin, json!({ "disabled": false })).await;
        assert_eq!((me(&token).await, app.login("eve@example.com", PASSWORD).await.status), (401, 200));
        let token = app.sign_in("eve@example.com").await;
        assert_eq!((app.delete(&path, &admin).await.status, me(&token).await), (204, 401));
    }
}

both! {
    async fn another_role_or_tenant_voids_links_and_tokens_and_another_password_links(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        app.person(ADA, Role::PlatformAdmin, None).await;
        let eve = app.person("eve@example.com", Role::TenantViewer, Some(acme)).await;
        let (admin, path) = (app.sign_in(ADA).await, format!("/api/v1/users/{eve}"));
        let given = async || {
            let signed_in = app.sign_in("eve@example.com").await;
            let token = app.post("/api/v1/tokens", &signed_in, json!({ "name": "t" })).await.json()["token"].clone();
            let link = app.send(Method::POST, &format!("{path}/reset-password"), &admin, &[], None).await.json()["token"].clone();
            (signed_in, token.as_str().unwrap().to_owned(), link.as_str().unwrap().to_owned())
        };
        let me = async |token: &str| app.get("/api/v1/auth/me", token).await.status;
        let accept = async |link: &str| {
            app.post("/api/v1/auth/accept", "", json!({ "token": link, "password": NEW })).await.status
        };
        for change in [json!({ "role": "tenant_admin" }), json!({ "tenant_id": other })] {
            let (signed_in, token, link) = given().await;
            assert_eq!(app.patch(&path, &admin, json!({ "name": "Eve" })).await.status, 200);
            assert_eq!((me(&signed_in).await, me(&token).await), (200, 200));
            assert_eq!(app.patch(&path, &admin, change.clone()).await.status, 200, "{change}");
            assert_eq!((me(&signed_in).await, me(&token).await, accept(&link).await), (401, 401, 422), "{change}");
        }
        let (signed_in, token, link) = given().await;
        let body = json!({ "old_password": PASSWORD, "new_password": NEW });
        assert_eq!(app.post("/api/v1/auth/password", &signed_in, body).await.status, 200);
        assert_eq!((accept(&link).await, me(&token).await), (422, 200));
    }
}

both! {
    async fn a_move_stands_in_the_audit_log_of_both_tenants_and_names_neither_to_the_other(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let eve = app.person("eve@example.com", Role::TenantViewer, Some(acme)).await;
        let moved = app.patch(&format!("/api/v1/users/{eve}"), &app.platform().await, json!({ "tenant_id": other })).await;
        assert_eq!(moved.status, 200, "{moved:?}");
        for (own, foreign, has) in [(acme, other, "before"), (other, acme, "after")] {
            let reader = app.token(Role::TenantAdmin, Some(own)).await;
            let log = app.get(&format!("/api/v1/audit?object_id={eve}&action=update"), &reader).await;
            assert!(!log.text.contains(&foreign.to_string()), "{}", log.text);
            let log = log.json();
            assert_eq!(log["data"].as_array().unwrap().len(), 1, "{log}");
            assert_eq!(log["data"][0][has]["tenant_id"], json!(own));
        }
    }
}

both! {
    async fn lists_are_filtered_sorted_and_cut_into_pages(app: &TestApp) {
        let acme = app.tenant("acme").await;
        for (email, role) in [("b", Role::TenantAdmin), ("a", Role::TenantViewer), ("c", Role::TenantViewer)] {
            app.person(&format!("{email}@acme.example"), role, Some(acme)).await;
        }
        let admin = app.platform().await;
        let of = async |query: &str| {
            let page = app.get(&format!("/api/v1/users?{query}"), &admin).await;
            assert_eq!(page.status, 200, "{page:?}");
            let page = page.json();
            let emails = page["data"].as_array().unwrap().iter().map(|row| row["email"].as_str().unwrap().to_owned());
            (emails.collect::<Vec<_>>(), page["next_cursor"].as_str().map(str::to_owned))
        };
        let (first, cursor) = of(&format!("tenant_id={acme}&sort=email&limit=2")).await;
        let (second, end) = of(&format!("tenant_id={acme}&sort=email&limit=2&cursor={}", cursor.unwrap())).await;
        assert_eq!(([first, second].concat(), end), (["a", "b", "c"].map(|name| format!("{name}@acme.example")).to_vec(), None));
        assert_eq!(of("role=tenant_viewer&sort=-email").await.0, ["c@acme.example", "a@acme.example"]);
        assert_eq!(of("q=B@ACME").await.0, ["b@acme.example"]);
        assert_eq!(of("disabled=true").await.0, Vec::<String>::new());
        for email in ["", "no-at", "a@", "@b", "a b@c.example", "a@b@c", "ä@b.example", "a@b.example\\u0000"] {
            let answer = app.post("/api/v1/users", &admin, json!({ "email": email, "role": "platform_admin" })).await;
            assert!(answer.status == 422 || answer.status == 400, "{email}: {answer:?}");
        }
    }
}

#[actix_web::test]
async fn the_first_administrator_is_made_once() {
    let app = TestApp::on_sqlite().await;
    let made = admin::users::first_administrator(&app.database, None, None).await.unwrap().unwrap();
    let password = secrecy::ExposeSecret::expose_secret(&made.generated.unwrap()).to_owned();
    assert_eq!((made.email.as_str(), password.len()), ("admin@localhost", 24));
    assert_eq!(app.login("admin@localhost", &password).await.status, 200);
    assert!(admin::users::first_administrator(&app.database, Some("b@example.com"), None).await.unwrap().is_none());

    let by = admin::audit::By::command_line();
    let given = "a password of mine".to_owned().into();
    assert!(admin::users::set_password(&app.database, &by, "nobody@localhost", Some(&given)).await.unwrap().is_none());
    let token = app.login("admin@localhost", &password).await.json()["access_token"].as_str().unwrap().to_owned();
    assert!(admin::users::set_password(&app.database, &by, "Admin@localhost", Some(&given)).await.unwrap().is_some());
    assert_eq!(app.get("/api/v1/auth/me", &token).await.status, 401);
    assert_eq!(app.login("admin@localhost", "a password of mine").await.status, 200);
    app.stop().await;
}
