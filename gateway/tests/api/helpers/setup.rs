//! What a gateway under test is told: two scripted upstreams, models, prices and keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{PriceId, ProviderId, TenantId, VirtualKeyId};
use domain::key::{KeyHash, Pepper};
use domain::money::NanoUsd;
use domain::pricing::{Price, Unit};
use domain::provider::{Operation, ProviderKind};
use domain::routing::{Strategies, Strategy, Target};
use gateway::settings::{GatewayLimits, GatewaySettings, Timeouts};
use gateway::snapshot::{Budget, BudgetWindow, Key, ListedPrice, PriceList, ProviderAccount, Route, Snapshot};
use gateway::startup::Application;
use loadtest::upstream::{self, UpstreamHandle};
use rust_decimal::Decimal;
use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::app::{TestApp, soon};
use super::requests::KEY;

/// What a test may change before the gateway starts.
pub(crate) struct Setup {
    pub(crate) settings: GatewaySettings,
    pub(crate) snapshot: Snapshot,
    prices: Vec<ListedPrice>,
    pub(crate) one: UpstreamHandle,
    pub(crate) two: UpstreamHandle,
    folder: tempfile::TempDir,
}

pub(super) fn pepper() -> Pepper {
    Pepper::new(&[7; 32])
}

pub(crate) fn target(provider: &str, model: &str, priority: i32) -> Target {
    Target {
        provider: provider.to_owned(),
        model: model.to_owned(),
        weight: 1,
        priority,
        quality: None,
        region: None,
        options: BTreeMap::new(),
    }
}

/// A machine that runs many tests at once is late, which says nothing about the gateway.
fn unhurried() -> GatewayLimits {
    let mut limits = GatewayLimits::default();
    limits.overload.longest_delay = Duration::ZERO;
    limits
}

impl Setup {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let one = upstream::start(upstream::Config::default()).await.unwrap();
        let two = upstream::start(upstream::Config::default()).await.unwrap();
        let timeouts = Timeouts { drain: Duration::from_secs(2), ..Timeouts::default() };
        let settings = GatewaySettings {
            name: "test".to_owned(),
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics_bind: None,
            allowed_origins: Vec::new(),
            workers: Some(1),
            data_dir: folder.path().to_owned(),
            limits: unhurried(),
            timeouts,
            record_dir: None,
            shared: None,
            client_secret_key: [9; 32],
            tracing: None,
        };
        let mut setup = Self { settings, snapshot: Snapshot::default(), prices: Vec::new(), one, two, folder };
        setup.configure();
        setup
    }

    fn configure(&mut self) {
        for (name, base_url) in [("one", self.one.base_url()), ("two", self.two.base_url())] {
            self.provider(name, &base_url);
        }
        for (name, model) in [
            ("stt", "whisper-1"),
            ("stt-stream", "gpt-4o-transcribe"),
            ("tts", "tts-1"),
            ("tts-tokens", "gpt-4o-mini-tts"),
            ("chat", "gpt-4o-mini"),
            ("embed", "text-embedding-3-small"),
            ("live", "gpt-realtime-2.1"),
            ("secret", "gpt-realtime-2.1"),
            ("unpriced", "nobody-priced-this"),
        ] {
            self.route(name, vec![target("one", model, 0)]);
        }
        self.route("both-stt", vec![target("one", "whisper-1", 0), target("two", "whisper-1", 1)]);
        self.route("both-tts", vec![target("one", "tts-1", 0), target("two", "tts-1", 1)]);
        self.price("whisper-1", Operation::Transcription, Unit::AudioMinute, "0.006");
        self.price("tts-1", Operation::Speech, Unit::MillionCharacters, "15");
        self.price("text-embedding-3-small", Operation::Embeddings, Unit::TextIn, "0.02");
        for (model, operation, prices) in [
            ("gpt-4o-mini", Operation::Chat, ["0.15", "0.60", "0", "0"]),
            ("gpt-4o-transcribe", Operation::Transcription, ["2.5", "10", "6", "0"]),
            ("gpt-4o-mini-tts", Operation::Speech, ["0.6", "0", "0", "12"]),
            ("gpt-realtime-2.1", Operation::Realtime, ["4", "16", "32", "64"]),
        ] {
            let units = [Unit::TextIn, Unit::TextOut, Unit::AudioIn, Unit::AudioOut];
            for (unit, usd) in units.into_iter().zip(prices) {
                self.price(model, operation, unit, usd);
            }
        }
        self.key(KEY, |_| {});
    }

    /// Adds or replaces a provider.
    pub(crate) fn provider(&mut self, name: &str, base_url: &str) {
        let account = ProviderAccount {
            id: ProviderId(Uuid::now_v7()),
            tenant: None,
            name: name.to_owned(),
            kind: ProviderKind::Openai,
            base_url: base_url.to_owned(),
            api_key: Some(SecretString::from("sk-upstream")),
            credential: None,
            region: None,
            allow_insecure: true,
        };
        self.snapshot.insert_provider(account);
    }

    /// Adds or replaces a provider of another kind than `OpenAI`'s.
    pub(crate) fn provider_of(&mut self, kind: ProviderKind, name: &str, base_url: &str) {
        self.provider(name, base_url);
        self.snapshot.providers.get_mut(name).unwrap().change(|account| account.kind = kind);
    }

    /// Adds a price of live transcription at a provider of another kind than `OpenAI`'s.
    pub(crate) fn live_price(&mut self, kind: ProviderKind, model: &str, unit: Unit, usd: &str) {
        self.price(model, Operation::Realtime, unit, usd);
        self.prices.last_mut().unwrap().kind = kind;
    }

    /// Changes the credential that a provider is called with.
    pub(crate) fn credential(&mut self, name: &str, key: &str) {
        let pool = self.snapshot.providers.get_mut(name).unwrap();
        pool.change(|account| account.api_key = Some(SecretString::from(key)));
    }

    pub(crate) fn route(&mut self, name: &str, targets: Vec<Target>) {
        self.route_of(None, name, targets);
    }

    /// Adds a model of a tenant's own, or of the platform.
    pub(crate) fn route_of(&mut self, tenant: Option<TenantId>, name: &str, targets: Vec<Target>) {
        self.route_by(Strategy::Priority, tenant, name, targets);
    }

    /// Adds a model with another strategy than the order of its targets.
    pub(crate) fn route_by(
        &mut self,
        strategy: impl Into<Strategies>,
        tenant: Option<TenantId>,
        name: &str,
        targets: Vec<Target>,
    ) {
        let strategy = strategy.into();
        self.snapshot.insert_route(Arc::new(Route { name: name.to_owned(), tenant, strategy, targets, hedge: None }));
    }

    pub(crate) fn price(&mut self, model: &str, operation: Operation, unit: Unit, usd: &str) {
        self.price_of(None, model, operation, unit, usd);
    }

    /// Adds a price of a tenant's own, or of the platform.
    pub(crate) fn price_of(
        &mut self,
        tenant: Option<TenantId>,
        model: &str,
        operation: Operation,
        unit: Unit,
        usd: &str,
    ) {
        let usd: Decimal = usd.parse().unwrap();
        let price = Price { id: PriceId(Uuid::now_v7()), unit, usd, minimum_ms: 0, rounding_ms: 0 };
        let (kind, model) = (ProviderKind::Openai, model.to_owned());
        let effective_from = time::OffsetDateTime::UNIX_EPOCH;
        self.prices.push(ListedPrice { tenant, kind, model, operation, price, effective_from });
    }

    /// Adds a row to the price list.
    pub(crate) fn list(&mut self, row: ListedPrice) {
        self.prices.push(row);
    }

    /// Adds a key of the tenant's, changed by `change`.
    pub(crate) fn key(&mut self, secret: &str, change: impl FnOnce(&mut Key)) {
        let mut key = Key {
            id: VirtualKeyId(Uuid::now_v7()),
            tenant: TenantId(Uuid::from_u128(1)),
            name: "test".to_owned(),
            operations: Vec::new(),
            models: Vec::new(),
            requests_per_minute: None,
            max_concurrent_sessions: None,
            budget: None,
            max_upload_bytes: None,
            expires_at: None,
            refuse_unpriced: false,
            passthrough: false,
            allow_strategy: false,
        };
        change(&mut key);
        self.snapshot.insert_key(KeyHash::of(&pepper(), secret), key);
    }

    /// Starts the gateway on a thread with a runtime of its own, as the binary does.
    pub(crate) async fn start(self) -> TestApp {
        let Self { settings, mut snapshot, prices, one, two, folder } = self;
        snapshot.prices = PriceList::new(prices.clone());
        let url = format!("sqlite://{}/test.db", folder.path().display());
        let (started, start) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ending, ended) = oneshot::channel();
        let hurry = CancellationToken::new();
        let hurried = hurry.clone();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let database = database::connect(&url).await.unwrap();
                migration::up(&database).await.unwrap();
                let application = Application::build(settings, database, snapshot, pepper()).await.unwrap();
                let addresses = [Some(application.address()), application.metrics_address()];
                assert!(started.send((addresses, application.gateway())).is_ok());
                application.run_until(async move { drop(stopped.await) }, hurried).await.unwrap();
                ending.send(()).unwrap_or(());
            });
        });
        let (addresses, gateway) = soon(start).await.unwrap();
        TestApp::running(addresses, gateway, prices, [one, two], (stop, hurry, ended), folder)
    }
}

/// A budget for a key's whole life.
pub(crate) fn budget(nano_usd: i64) -> Option<Budget> {
    Some(Budget { amount: NanoUsd(nano_usd), window: BudgetWindow::Total })
}
