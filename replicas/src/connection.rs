//! The connections to Redis, and how one script is run over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use domain::ids::VirtualKeyId;
use fred::clients::{Client, WithOptions};
use fred::interfaces::ClientLike;
use fred::types::config::Options;
use fred::types::{Builder, ClusterHash, CustomCommand, Value};
use fred::util::redis_keyslot;
use redis_protocol::resp2::types::BytesFrame;
use tokio::sync::oneshot;

use crate::direct::{self, Direct};
use crate::keys::Keys;
use crate::script::Script;
use crate::{ReplicasError, Settings};

/// Keys whose highest fence is remembered. Beyond these all are forgotten, and a data set that went back is noticed
/// by the next reading of the past instead.
const MOST_FENCES: usize = 65_536;

/// The counts that gateways share. Clones are the same.
#[derive(Debug, Clone)]
pub struct Replicas {
    inner: Arc<Inner>,
    /// A connection that only this one and its clones use.
    own: Option<Own>,
}

#[derive(Debug, Clone)]
enum Own {
    Direct(Arc<Direct>),
    /// To what is no single server, or is reached by TLS.
    Client(WithOptions<Client>),
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    keys: Keys,
    builder: Builder,
    options: Options,
    clients: Vec<WithOptions<Client>>,
    next: AtomicUsize,
    up: AtomicBool,
    gateways: AtomicU32,
    /// The highest fence that Redis has given for a key: data with a lower one has gone back.
    fences: DashMap<VirtualKeyId, u64>,
    counters: Counters,
}

/// A client that connects in the background, for as long as it takes.
fn connect(builder: &Builder, options: &Options) -> Result<WithOptions<Client>, ReplicasError> {
    let client = builder.build().map_err(ReplicasError::from)?;
    // The task goes on by itself; it ends with the client.
    drop(client.connect());
    Ok(client.with_options(options))
}

#[derive(Debug, Default)]
struct Counters {
    calls: AtomicU64,
    failures: AtomicU64,
    gone_back: AtomicU64,
    unknown_pasts: AtomicU64,
    restored_leases: AtomicU64,
    lost_leases: AtomicU64,
    late_records: AtomicU64,
    dropped: AtomicU64,
    dead_sessions: AtomicU64,
}

/// What has happened since the start; for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Scripts that were sent.
    pub calls: u64,
    /// Those that failed or timed out.
    pub failures: u64,
    /// Times that Redis was found to have older data than it had before: a failover or a restored snapshot.
    pub gone_back: u64,
    /// Times that Redis did not know what a key had spent.
    pub unknown_pasts: u64,
    /// Leases of living calls that Redis had lost.
    pub restored_leases: u64,
    /// Calls that settled after their lease had been given back.
    pub lost_leases: u64,
    /// Records that came below the horizon, and wait for the next reading of the past.
    pub late_records: u64,
    /// What a keeper had no room for: it comes by the database, and by the end of its lease.
    pub dropped: u64,
    /// Sessions that this process found listed though their gateway had died.
    pub dead_sessions: u64,
}

/// One of [`Counts`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    GoneBack,
    UnknownPast,
    RestoredLease,
    LostLease,
    LateRecords,
    Dropped,
    DeadSessions,
}

impl Replicas {
    /// Begins to connect, and goes on trying in the background for as long as this lives. Must be called inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// `Settings`. That Redis is away is no error.
    pub fn connect(settings: Settings) -> Result<Self, ReplicasError> {
        let builder = settings.builder()?;
        let options = Options {
            fail_fast: true,
            max_attempts: Some(1),
            timeout: Some(settings.call_timeout),
            ..Options::default()
        };
        let mut clients = Vec::with_capacity(settings.connections);
        for _ in 0..settings.connections {
            clients.push(connect(&builder, &options)?);
        }
        let inner = Inner {
            keys: Keys::new(&settings.prefix),
            settings,
            builder,
            options,
            clients,
            next: AtomicUsize::new(0),
            up: AtomicBool::new(false),
            gateways: AtomicU32::new(1),
            fences: DashMap::new(),
            counters: Counters::default(),
        };
        Ok(Self { inner: Arc::new(inner), own: None })
    }

    /// The same, with a connection of its own that the runtime of whoever calls this drives: a call from there wakes
    /// no other thread, neither on its way nor on its way back. Until that connection stands, and whenever it does
    /// not, the common ones are used. Must be called inside a tokio runtime.
    #[must_use]
    pub fn with_own_connection(&self) -> Self {
        let inner = &self.inner;
        let config = inner.builder.get_config();
        let direct = config.and_then(|config| Direct::connect(config, inner.settings.connect_timeout));
        let own = match direct {
            Some(direct) => Ok(Own::Direct(Arc::new(direct))),
            None => connect(&inner.builder, &inner.options).map(Own::Client),
        };
        if let Err(error) = &own {
            tracing::warn!(%error, "a thread has no connection to Redis of its own and uses the common ones");
        }
        Self { inner: Arc::clone(&self.inner), own: own.ok() }
    }

    /// Waits until Redis can be asked, at most for `patience`; gives whether it can.
    pub async fn wait_until_up(&self, patience: Duration) -> bool {
        let common = self.inner.clients.iter().map(|client| client.wait_for_connect());
        let own = async {
            match &self.own {
                Some(Own::Direct(direct)) => direct.wait_until_open().await,
                Some(Own::Client(client)) => client.wait_for_connect().await?,
                None => {}
            }
            Ok(())
        };
        let all = futures_util::future::try_join(futures_util::future::try_join_all(common), own);
        let up = matches!(tokio::time::timeout(patience, all).await, Ok(Ok(_)));
        self.inner.up.store(up, Ordering::Relaxed);
        up
    }

    /// Whether the last call was answered.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.inner.up.load(Ordering::Relaxed)
    }

    /// What has happened since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let Counters {
            calls,
            failures,
            gone_back,
            unknown_pasts,
            restored_leases,
            lost_leases,
            late_records,
            dropped,
            dead_sessions,
        } = &self.inner.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            calls: read(calls),
            failures: read(failures),
            gone_back: read(gone_back),
            unknown_pasts: read(unknown_pasts),
            restored_leases: read(restored_leases),
            lost_leases: read(lost_leases),
            late_records: read(late_records),
            dropped: read(dropped),
            dead_sessions: read(dead_sessions),
        }
    }

    /// Ends the connections.
    pub async fn close(&self) {
        for client in &self.inner.clients {
            // A connection that is gone already has nothing to say goodbye to.
            drop(client.quit().await);
        }
    }

    /// How often a gateway says that it and what it holds live.
    #[must_use]
    pub fn beats(&self) -> Duration {
        self.inner.settings.lease_ttl / 3
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    pub(crate) fn builder(&self) -> &Builder {
        &self.inner.builder
    }

    pub(crate) fn gateways(&self) -> &AtomicU32 {
        &self.inner.gateways
    }

    pub(crate) fn add(&self, what: Count, number: u64) {
        let counters = &self.inner.counters;
        let counter = match what {
            Count::GoneBack => &counters.gone_back,
            Count::UnknownPast => &counters.unknown_pasts,
            Count::RestoredLease => &counters.restored_leases,
            Count::LostLease => &counters.lost_leases,
            Count::LateRecords => &counters.late_records,
            Count::Dropped => &counters.dropped,
            Count::DeadSessions => &counters.dead_sessions,
        };
        counter.fetch_add(number, Ordering::Relaxed);
    }

    /// The highest fence that this process has seen of a key; 0 where it has seen none.
    pub(crate) fn seen_fence(&self, key: VirtualKeyId) -> u64 {
        self.inner.fences.get(&key).map_or(0, |fence| *fence)
    }

    pub(crate) fn see_fence(&self, key: VirtualKeyId, fence: u64) {
        if self.inner.fences.len() >= MOST_FENCES {
            self.inner.fences.clear();
        }
        let mut seen = self.inner.fences.entry(key).or_insert(fence);
        *seen = fence.max(*seen);
    }

    /// A connection that stands, if any does.
    pub(crate) fn client(&self) -> Result<&WithOptions<Client>, ReplicasError> {
        if let Some(Own::Client(own)) = &self.own
            && own.is_connected()
        {
            return Ok(own);
        }
        let clients = &self.inner.clients;
        let first = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let in_turn =
            (0..clients.len()).filter_map(|at| clients.get(first.wrapping_add(at).checked_rem(clients.len())?));
        in_turn
            .into_iter()
            .find(|client| client.is_connected())
            .ok_or_else(|| ReplicasError::Away { reason: "no connection stands".to_owned() })
    }

    /// Runs a script, and sends its text where this server does not know it yet.
    pub(crate) async fn run(
        &self,
        script: &'static Script,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> Result<Vec<String>, ReplicasError> {
        self.in_time(self.send(script, keys, args)).await
    }

    /// Bounds a call, and notes how it went. The client bounds it as well, but not where it is sent over a connection
    /// that has just broken.
    pub(crate) async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, ReplicasError>>,
    ) -> Result<T, ReplicasError> {
        let outcome = tokio::time::timeout(self.inner.settings.call_timeout, call).await;
        self.note(outcome.unwrap_or_else(|_| Err(ReplicasError::Away { reason: "no answer in time".to_owned() })))
    }

    /// By the connection of one's own where that stands, else by the client.
    async fn send(
        &self,
        script: &'static Script,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> Result<Vec<String>, ReplicasError> {
        if let Some(Own::Direct(direct)) = &self.own
            && let Some(answer) = ask_directly(direct, "EVALSHA", &script.digest, &keys, &args)
        {
            return match answered(answer).await? {
                BytesFrame::Error(error) if error.starts_with(UNKNOWN_SCRIPT) => {
                    match ask_directly(direct, "EVAL", script.lua, &keys, &args) {
                        Some(answer) => direct::texts(answered(answer).await?),
                        None => Box::pin(self.send_by_client(script, keys, args)).await,
                    }
                }
                frame => direct::texts(frame),
            };
        }
        // Boxed, so that what is seldom needed does not make every call larger.
        Box::pin(self.send_by_client(script, keys, args)).await
    }

    /// Sent as a plain command: the client's own call of a script waits for everything before it on its connection,
    /// and holds up everything behind it.
    async fn send_by_client(
        &self,
        script: &'static Script,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> Result<Vec<String>, ReplicasError> {
        let client = self.client()?;
        let slot = keys.first().map_or(ClusterHash::Random, |key| ClusterHash::Custom(redis_keyslot(key.as_bytes())));
        let command = |name| CustomCommand::new_static(name, slot.clone(), false);
        let mut words: Vec<Value> = Vec::with_capacity(2 + keys.len() + args.len());
        words.push(Value::from_static_str(&script.digest));
        words.push(Value::from(keys.len().to_string()));
        words.extend(keys.into_iter().chain(args).map(Value::from));
        match client.custom(command("EVALSHA"), words.clone()).await {
            Err(error) if error.details().starts_with(UNKNOWN_SCRIPT) => {
                if let Some(text) = words.first_mut() {
                    *text = Value::from_static_str(script.lua);
                }
                Ok(client.custom(command("EVAL"), words).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Notes how a call went, and tells the log when Redis goes and comes.
    fn note<T>(&self, outcome: Result<T, ReplicasError>) -> Result<T, ReplicasError> {
        self.inner.counters.calls.fetch_add(1, Ordering::Relaxed);
        if outcome.is_err() {
            self.inner.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
        let was_up = self.inner.up.swap(outcome.is_ok(), Ordering::Relaxed);
        match &outcome {
            Err(error) if was_up => tracing::error!(%error, "Redis cannot be asked: gateways count by themselves"),
            Ok(_) if !was_up => tracing::info!("Redis answers"),
            _ => {}
        }
        outcome
    }
}

/// How Redis says that it does not know a script yet, or no more.
const UNKNOWN_SCRIPT: &str = "NOSCRIPT";

fn ask_directly(
    direct: &Direct,
    command: &str,
    script: &str,
    keys: &[String],
    args: &[String],
) -> Option<oneshot::Receiver<BytesFrame>> {
    let count = keys.len().to_string();
    let words = [command, script, &count].into_iter().chain(keys.iter().chain(args).map(String::as_str));
    direct.ask(words.map(str::as_bytes))
}

/// Whether it was done is not known where the connection ends before its answer: it is not asked again.
async fn answered(answer: oneshot::Receiver<BytesFrame>) -> Result<BytesFrame, ReplicasError> {
    answer.await.map_err(|_| ReplicasError::Away { reason: "the connection has ended".to_owned() })
}
