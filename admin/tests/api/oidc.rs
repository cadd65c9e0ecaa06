//! Signing in with OpenID Connect, at a provider that vouches for whom the test says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use admin::settings::{AdminSettings, OidcRole, OidcSettings};
use admin_types::role::Role;
use http::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::auth_tokens::signed;
use crate::helpers::{Answer, PASSWORD, TestApp, client_from};

const ADA: &str = "ada@example.com";
const EVE: &str = "eve@example.com";
const START: &str = "/api/v1/auth/oidc/start";
/// With which the provider signs, as the text of the client's secret.
const SECRET: &[u8; 32] = b"a-secret-between-the-two-of-them";

/// An identity provider.
struct Provider {
    issuer: String,
    /// Of the next ID token.
    claims: Arc<Mutex<Value>>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let claims = Arc::new(Mutex::new(Value::Null));
        let (own, told) = (issuer.clone(), Arc::clone(&claims));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                answer(BufReader::new(socket), &own, &told).await;
            }
        });
        Self { issuer, claims }
    }

    fn settings(&self, settings: &mut AdminSettings) {
        let role = |role, tenant: Option<&str>| OidcRole { role, tenant: tenant.map(str::to_owned) };
        settings.oidc = Some(OidcSettings {
            issuer: self.issuer.clone(),
            client_id: "antiphon".to_owned(),
            client_secret: Some(String::from_utf8(SECRET.to_vec()).unwrap().into()),
            scopes: Vec::new(),
            role_claim: "groups".to_owned(),
            roles: BTreeMap::from([
                ("operators".to_owned(), role(Role::PlatformAdmin, None)),
                ("leads".to_owned(), role(Role::TenantAdmin, Some("acme"))),
            ]),
            allow_insecure: true,
        });
    }

    /// Signs somebody of this group in; gives their access token.
    async fn sign_in(&self, app: &TestApp, email: &str, group: &str) -> String {
        let start = app.get(START, "").await;
        let sent: BTreeMap<String, String> =
            Url::parse(&start.headers["location"]).unwrap().query_pairs().into_owned().collect();
        let now = OffsetDateTime::now_utc().unix_timestamp();
        *self.claims.lock().unwrap() = json!({
            "iss": self.issuer, "sub": email, "aud": "antiphon", "iat": now, "exp": now + 60, "nonce": sent["nonce"],
            "email": email, "email_verified": true, "groups": [group],
        });
        let callback = format!("/api/v1/auth/oidc/callback?code=x&state={}", sent["state"]);
        let cookie = start.cookie("antiphon_oidc");
        let back = app.send(Method::GET, &callback, "", &[("cookie", &cookie)], None).await;
        assert_eq!(back.headers["location"], "/", "{back:?}");
        let cookie = back.cookie("antiphon_refresh");
        let headers = [("cookie", cookie.as_str()), ("x-antiphon-refresh", "1")];
        text(&app.send(Method::POST, "/api/v1/auth/refresh", "", &headers, None).await, "access_token")
    }
}

/// Answers one request.
async fn answer(mut socket: BufReader<TcpStream>, issuer: &str, claims: &Mutex<Value>) {
    let (mut first, mut length) = (String::new(), 0);
    socket.read_line(&mut first).await.unwrap();
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await.unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    socket.read_exact(&mut vec![0; length]).await.unwrap();
    let told = match first.split(' ').nth(1).unwrap() {
        "/.well-known/openid-configuration" => json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["HS256"],
        }),
        "/keys" => json!({ "keys": [] }),
        "/token" => {
            let token = signed(&json!({ "alg": "HS256" }), &claims.lock().unwrap(), SECRET);
            json!({ "access_token": "x", "token_type": "Bearer", "id_token": token })
        }
        other => panic!("{other}"),
    };
    let told = told.to_string();
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json";
    let whole = format!("{head}\r\ncontent-length: {}\r\n\r\n{told}", told.len());
    socket.write_all(whole.as_bytes()).await.unwrap();
}

fn text(answer: &Answer, field: &str) -> String {
    answer.json()[field].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

async fn me(app: &TestApp, token: &str) -> u16 {
    app.get("/api/v1/auth/me", token).await.status
}

async fn accept(app: &TestApp, link: &str) -> u16 {
    app.post("/api/v1/auth/accept", "", json!({ "token": link, "password": PASSWORD })).await.status
}

#[actix_web::test]
async fn whoever_invited_somebody_cannot_sign_in_as_them_once_the_provider_vouches_for_them() {
    let provider = Provider::start().await;
    let app = TestApp::on_sqlite_with(|settings| provider.settings(settings)).await;
    let acme = app.tenant("acme").await;
    let boss = app.signed_in(Role::TenantAdmin, Some(acme)).await;
    let invited = app.post("/api/v1/users", &boss, json!({ "email": EVE, "role": "tenant_viewer" })).await;
    let link = invited.json()["invitation"]["token"].as_str().unwrap().to_owned();
    assert_eq!(accept(&app, &link).await, 204);
    let by_password = app.sign_in(EVE).await;
    let token = text(&app.post("/api/v1/tokens", &by_password, json!({ "name": "t" })).await, "token");
    let reset = format!("/api/v1/users/{}/reset-password", text(&invited, "id"));
    let link = text(&app.send(Method::POST, &reset, &boss, &[], None).await, "token");
    assert_eq!(me(&app, &token).await, 200);

    let eve = provider.sign_in(&app, EVE, "operators").await;
    let shown = app.get("/api/v1/auth/me", &eve).await.json();
    assert_eq!((&shown["role"], &shown["user"]["has_password"]), (&json!("platform_admin"), &json!(false)));
    assert_eq!((me(&app, &by_password).await, me(&app, &token).await), (401, 401));
    assert_eq!((app.login(EVE, PASSWORD).await.status, accept(&app, &link).await), (401, 422));
    app.stop().await;
}

#[actix_web::test]
async fn another_role_by_the_claim_voids_links_and_tokens() {
    let provider = Provider::start().await;
    let app = TestApp::on_sqlite_with(|settings| provider.settings(settings)).await;
    let acme = app.tenant("acme").await;
    app.person(ADA, Role::PlatformAdmin, None).await;
    let ada = app.sign_in(ADA).await;
    let first = provider.sign_in(&app, EVE, "operators").await;
    let token = text(&app.post("/api/v1/tokens", &first, json!({ "name": "t" })).await, "token");
    let id = app.get("/api/v1/auth/me", &first).await.json()["user"]["id"].as_str().unwrap().to_owned();
    let reset = format!("/api/v1/users/{id}/reset-password");
    let link = text(&app.send(Method::POST, &reset, &ada, &[], None).await, "token");

    provider.sign_in(&app, EVE, "operators").await;
    assert_eq!((me(&app, &first).await, me(&app, &token).await), (200, 200), "nothing has changed");
    let lead = provider.sign_in(&app, EVE, "leads").await;
    assert_eq!(app.get("/api/v1/auth/me", &lead).await.json()["tenant_id"], json!(acme));
    assert_eq!((me(&app, &first).await, me(&app, &token).await, accept(&app, &link).await), (401, 401, 422));
    let reader = app.token(Role::TenantAdmin, Some(acme)).await;
    let log = app.get(&format!("/api/v1/audit?object_id={id}&action=update"), &reader).await.json();
    assert_eq!(log["data"][0]["after"]["role"], "tenant_admin", "the tenant's log has it: {log}");
    app.stop().await;
}

#[actix_web::test]
async fn one_network_cannot_keep_others_from_signing_in() {
    let provider = Provider::start().await;
    let app = TestApp::on_sqlite_with(|settings| provider.settings(settings)).await;
    let (flood, other) = (client_from("127.0.0.3"), client_from("127.0.0.2"));
    let mut begun = 0;
    let refused = loop {
        let start = app.send_through(&flood, Method::GET, START, "", &[], Vec::new()).await;
        if start.status != 303 {
            break start;
        }
        begun += 1;
    };
    // Twice as many where the time that they are counted for has just ended.
    assert!((100..=200).contains(&begun), "{begun}");
    assert_eq!((refused.status, refused.problem().as_str()), (429, "too_many"));
    assert!((1..=600).contains(&refused.headers["retry-after"].parse::<u64>().unwrap()));
    assert_eq!(app.send_through(&other, Method::GET, START, "", &[], Vec::new()).await.status, 303);
    // Whoever gets to the end is not counted.
    for _ in 0..101 {
        provider.sign_in(&app, ADA, "operators").await;
    }
    app.stop().await;
}
