//! A control plane of its own for each test: a random port, a database of its own, and a client.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use admin::ports::{DataPlane, Process};
use admin::settings::AdminSettings;
use admin::startup::Application;
use admin::{Control, Secrets};
use admin_types::role::Role;
use domain::ids::SessionId;
use domain::key::{ACCESS_TOKEN_PREFIX, KeyHash, Pepper, format_as};
use domain::seal::SealingKey;
use entities::{Id, access_token, provider, tenant, user};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sea_orm::{ActiveValue::Set, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, EntityTrait};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::ports::{Silent, Still};

/// Runs a test on both databases: `both!(name, async |app| { … })` makes two tests.
macro_rules! both {
    ($(#[$doc:meta])* async fn $name:ident($app:ident: &TestApp) $body:block) => {
        mod $name {
            use super::*;
            async fn check($app: &TestApp) $body

            #[actix_web::test]
            async fn on_sqlite() {
                let app = crate::helpers::TestApp::on_sqlite().await;
                check(&app).await;
                app.stop().await;
            }

            #[actix_web::test]
            async fn on_postgresql() {
                let app = crate::helpers::TestApp::on_postgresql().await;
                check(&app).await;
                app.stop().await;
            }
        }
    };
}
pub(crate) use both;

/// A running control plane.
pub(crate) struct TestApp {
    pub(crate) database: DatabaseConnection,
    pub(crate) secrets: Secrets,
    pub(crate) data_plane: Arc<Silent>,
    pub(crate) process: Arc<Still>,
    base: String,
    url: String,
    client: TestClient,
    stop: Option<oneshot::Sender<()>>,
    running: tokio::task::JoinHandle<()>,
    cleanup: Cleanup,
}

enum Cleanup {
    Folder(#[expect(dead_code, reason = "removed when it is dropped")] tempfile::TempDir),
    Database { server: DatabaseConnection, name: String },
}

/// What sends requests.
pub(crate) type TestClient = Client<HttpConnector, Full<Bytes>>;

/// A client that comes from another address of this machine.
pub(crate) fn client_from(address: &str) -> TestClient {
    let mut connector = HttpConnector::new();
    connector.set_local_address(Some(address.parse().unwrap()));
    Client::builder(TokioExecutor::new()).build(connector)
}

/// The password of everybody whom [`TestApp::person`] makes.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    /// What was set, by name: `value; attributes`.
    pub(crate) cookies: HashMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    /// As the browser gives a cookie back.
    pub(crate) fn cookie(&self, name: &str) -> String {
        let (value, _) = self.cookies[name].split_once(';').unwrap();
        format!("{name}={value}")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a problem, which must be one in every respect.
    pub(crate) fn problem(&self) -> String {
        let problem = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["instance"], self.headers["x-request-id"], "{self:?}");
        problem["code"].as_str().unwrap().to_owned()
    }
}

impl TestApp {
    pub(crate) async fn on_sqlite() -> Self {
        Self::on_sqlite_with(|_| {}).await
    }

    /// With other settings than most tests.
    pub(crate) async fn on_sqlite_with(change: impl FnOnce(&mut AdminSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/antiphon.db?mode=rwc", folder.path().display());
        let mut options = ConnectOptions::new(url.clone());
        options.sqlx_logging(false).max_connections(4);
        options.map_sqlx_sqlite_opts(|sqlite| {
            sqlite.foreign_keys(true).pragma("journal_mode", "WAL").pragma("synchronous", "OFF")
        });
        let database = Database::connect(options).await.unwrap();
        Self::start(url, database, Cleanup::Folder(folder), change).await
    }

    pub(crate) async fn on_postgresql() -> Self {
        let url = std::env::var("ANTIPHON_TEST_POSTGRES_URL").expect(
            "ANTIPHON_TEST_POSTGRES_URL is not set: `make test` sets it, as does `scripts/postgres-for-tests.sh start`",
        );
        let connect = async |url: String| {
            let mut options = ConnectOptions::new(url);
            options.sqlx_logging(false).max_connections(4);
            Database::connect(options).await.unwrap()
        };
        let server = connect(url.clone()).await;
        let name = format!("test_{}", Uuid::now_v7().simple());
        server.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (base, _) = url.rsplit_once('/').unwrap();
        let url = format!("{base}/{name}");
        let database = connect(url.clone()).await;
        Self::start(url, database, Cleanup::Database { server, name }, |_| {}).await
    }

    async fn start(
        url: String,
        database: DatabaseConnection,
        cleanup: Cleanup,
        change: impl FnOnce(&mut AdminSettings),
    ) -> Self {
        migration::up(&database).await.unwrap();
        let (data_plane, process) = (Arc::new(Silent::default()), Arc::new(Still::default()));
        let secrets = Secrets {
            key_pepper: Pepper::new(&[1; 32]),
            key_pepper_version: 1,
            token_pepper: Pepper::new(&[2; 32]),
            sealing: SealingKey::new(&[3; 32]),
        };
        let mut settings = AdminSettings {
            bind: "127.0.0.1:0".parse().unwrap(),
            workers: Some(1),
            public_url: None,
            trusted_proxies: Default::default(),
            body_idle: std::time::Duration::from_secs(30),
            gateway_url: Arc::default(),
            drain_delay: std::time::Duration::ZERO,
            drain: std::time::Duration::from_secs(1),
            smtp: None,
            // Tests look for themselves, at the time they want.
            oidc: None,
            alerts_every: std::time::Duration::from_secs(3600),
        };
        change(&mut settings);
        let control = Control {
            database: database.clone(),
            secrets: secrets.clone(),
            settings,
            data_plane: Arc::clone(&data_plane) as Arc<dyn DataPlane>,
            process: Arc::clone(&process) as Arc<dyn Process>,
            auth: Default::default(),
        };
        let application = Application::build(control).unwrap();
        let base = format!("http://{}", application.address());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::task::spawn_local(async move {
            application.run_until(async { stopped.await.unwrap_or(()) }).await.unwrap();
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { database, secrets, data_plane, process, base, url, client, stop: Some(stop), running, cleanup }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        self.base.strip_prefix("http://").unwrap()
    }

    /// One connection to its database, for which others wait a second.
    pub(crate) async fn connection(&self) -> DatabaseConnection {
        let mut options = ConnectOptions::new(&self.url);
        options.sqlx_logging(false).max_connections(1).acquire_timeout(std::time::Duration::from_secs(1));
        Database::connect(options).await.unwrap()
    }

    /// As SIGTERM does.
    pub(crate) fn tell_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn stop(mut self) {
        self.tell_to_stop();
        self.running.await.unwrap();
        self.database.close().await.unwrap();
        if let Cleanup::Database { server, name } = self.cleanup {
            server.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
        }
    }

    /// Sends a request; `token` is what stands behind `Bearer`.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let bytes = body.map(|body| body.to_string().into_bytes());
        let is_json = bytes.is_some();
        let mut all = headers.to_vec();
        if is_json {
            all.push(("content-type", "application/json"));
        }
        self.send_bytes(method, path, token, &all, bytes.unwrap_or_default()).await
    }

    /// The head of an answer whose body is still to be read.
    pub(crate) async fn open(&self, path: &str, token: &str, headers: &[(&str, &str)]) -> http::Response<Incoming> {
        let mut request = Request::builder().uri(format!("{}{path}", self.base));
        request = request.header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.client.request(request.body(Full::default()).unwrap()).await.unwrap()
    }

    /// As [`Self::send`], with any body.
    pub(crate) async fn send_bytes(
        &self,
        method: Method,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        self.send_through(&self.client, method, path, token, headers, body).await
    }

    /// As [`Self::send_bytes`], through another client.
    pub(crate) async fn send_through(
        &self,
        client: &TestClient,
        method: Method,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = client.request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let cookies = response.headers().get_all("set-cookie").iter();
        let cookies = cookies.filter_map(|value| value.to_str().unwrap().split_once('='));
        let cookies = cookies.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, cookies, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Method::GET, path, token, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send(Method::POST, path, token, &[], Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, token, &[], Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Answer {
        self.send(Method::DELETE, path, token, &[], None).await
    }

    /// A tenant, straight into the database.
    pub(crate) async fn tenant(&self, name: &str) -> Uuid {
        let id = Uuid::now_v7();
        let row = tenant::ActiveModel {
            id: Set(Id(id)),
            name: Set(name.to_owned()),
            refuse_unpriced: Set(false),
            managed_by: Set("api".to_owned()),
            created_at: Set(OffsetDateTime::now_utc()),
            ..Default::default()
        };
        tenant::Entity::insert(row).exec_without_returning(&self.database).await.unwrap();
        id
    }

    /// A provider of the platform, straight into the database.
    pub(crate) async fn provider(&self, name: &str, kind: &str) -> Uuid {
        self.provider_of(None, name, kind).await
    }

    /// A provider of a tenant or of the platform, straight into the database.
    pub(crate) async fn provider_of(&self, tenant: Option<Uuid>, name: &str, kind: &str) -> Uuid {
        let id = Uuid::now_v7();
        let row = provider::ActiveModel {
            id: Set(Id(id)),
            tenant_id: Set(tenant.map(Id)),
            name: Set(name.to_owned()),
            kind: Set(kind.to_owned()),
            base_url: Set("https://provider.example".to_owned()),
            allow_insecure: Set(false),
            enabled: Set(true),
            managed_by: Set("api".to_owned()),
            created_at: Set(OffsetDateTime::now_utc()),
            updated_at: Set(OffsetDateTime::now_utc()),
            ..Default::default()
        };
        provider::Entity::insert(row).exec_without_returning(&self.database).await.unwrap();
        id
    }

    /// The personal access token of a new user of this role: of a tenant, or of the platform.
    pub(crate) async fn token(&self, role: Role, tenant: Option<Uuid>) -> String {
        let now = OffsetDateTime::now_utc();
        let id = Uuid::now_v7();
        let row = user::ActiveModel {
            id: Set(Id(id)),
            email: Set(format!("{id}@example.com")),
            name: Set("somebody".to_owned()),
            role: Set(role.as_str().to_owned()),
            tenant_id: Set(tenant.map(Id)),
            created_at: Set(now),
            updated_at: Set(now),
            ..Default::default()
        };
        user::Entity::insert(row).exec_without_returning(&self.database).await.unwrap();
        let mut random = [0; 32];
        random[..16].copy_from_slice(Uuid::now_v7().as_bytes());
        let token = format_as(ACCESS_TOKEN_PREFIX, random);
        let row = access_token::ActiveModel {
            id: Set(Id(Uuid::now_v7())),
            user_id: Set(Id(id)),
            name: Set("tests".to_owned()),
            hash: Set(KeyHash::of(&self.secrets.token_pepper, &token).0.to_vec()),
            redacted: Set("pat-ap-…".to_owned()),
            role: Set(role.as_str().to_owned()),
            tenant_id: Set(tenant.map(Id)),
            created_at: Set(now),
            ..Default::default()
        };
        access_token::Entity::insert(row).exec_without_returning(&self.database).await.unwrap();
        token
    }

    /// Somebody who can sign in.
    pub(crate) async fn person(&self, email: &str, role: Role, tenant: Option<Uuid>) -> Uuid {
        let password = PASSWORD.to_owned().into();
        let by = admin::audit::By::system("tests");
        let tenant = tenant.map(domain::ids::TenantId);
        admin::users::create(&self.database, &by, email, role, tenant, Some(&password)).await.unwrap().id
    }

    /// Tries to sign in.
    pub(crate) async fn login(&self, email: &str, password: &str) -> Answer {
        self.post("/api/v1/auth/login", "", serde_json::json!({ "email": email, "password": password })).await
    }

    /// The access token of somebody who signs in.
    pub(crate) async fn sign_in(&self, email: &str) -> String {
        let answer = self.login(email, PASSWORD).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// The access token of somebody new of this role who has signed in.
    pub(crate) async fn signed_in(&self, role: Role, tenant: Option<Uuid>) -> String {
        let email = format!("{}@example.com", Uuid::now_v7());
        self.person(&email, role, tenant).await;
        self.sign_in(&email).await
    }

    /// The token of a platform administrator.
    pub(crate) async fn platform(&self) -> String {
        self.token(Role::PlatformAdmin, None).await
    }

    /// How often the data plane was told to look for changes.
    pub(crate) fn changes(&self) -> usize {
        self.data_plane.changes.load(Ordering::Relaxed)
    }

    /// The sessions that the data plane was told to end, and why.
    pub(crate) fn terminated(&self) -> Vec<(SessionId, String)> {
        self.data_plane.terminated.lock().unwrap().clone()
    }
}
