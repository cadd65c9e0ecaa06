//! The same limits over several gateways: counted in Redis, and noted here besides, so that this gateway can go on
//! with its part of each limit while Redis is away.
//!
//! The first call that Redis does not answer makes it away: from then on nobody asks it, and one task tries until it
//! has told Redis what was recorded meanwhile and what is held here. Only then is it asked again, so that its
//! counts have what this gateway did alone.

mod admit;
mod past;
mod told;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ids::{TenantId, VirtualKeyId};
use replicas::{Keeper, LocalShare, Replicas, ReplicasError, Settings};
use sea_orm::DatabaseConnection;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::telemetry::names;

pub use self::told::Delivered;

/// How long a start waits for Redis before it goes on without.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a stop waits for what calls have settled.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Locks by which one call at a time reads the past of a key.
const LOCKS: usize = 64;

/// How Redis is reached, and what holds without it.
#[derive(Debug, Clone)]
pub struct SharedSettings {
    /// How it is reached.
    pub redis: Settings,
    /// What holds while it is away for tenants that have nothing of their own.
    pub when_away: WhenAway,
}

/// What holds for keys with limits while Redis is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenAway {
    /// Each gateway gives its part of each limit.
    #[default]
    LocalShare,
    /// Nothing is limited.
    Open,
    /// Nothing is admitted that a limit is set for.
    Closed,
}

impl WhenAway {
    /// What is called so; `None` where nothing is.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        [Self::LocalShare, Self::Open, Self::Closed].into_iter().find(|word| word.as_str() == text)
    }

    /// As the configuration has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LocalShare => "local_share",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// What this gateway has in common with others.
#[derive(Debug)]
pub struct Shared {
    core: Arc<Core>,
    when_away: WhenAway,
    keeper: Arc<Keeper>,
    reading: [tokio::sync::Mutex<()>; LOCKS],
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What the task that tells Redis has in common with the calls that ask it.
#[derive(Debug)]
struct Core {
    replicas: Replicas,
    gateway: Uuid,
    away: AtomicBool,
    /// Times that Redis went away.
    outages: AtomicU64,
    lost: Notify,
}

impl Shared {
    /// Connects, and wraps `database` so that the ledger tells Redis what it has delivered. That Redis is away is no
    /// error. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// `Settings`.
    pub async fn connect(
        settings: &SharedSettings,
        database: DatabaseConnection,
    ) -> Result<(Self, Delivered), ReplicasError> {
        let replicas = Replicas::connect(settings.redis.clone())?;
        let core = Arc::new(Core {
            replicas: replicas.clone(),
            gateway: Uuid::now_v7(),
            away: AtomicBool::new(false),
            outages: AtomicU64::new(0),
            lost: Notify::new(),
        });
        let reached = replicas.wait_until_up(PATIENCE).await && core.beat(&[]).await.is_ok();
        if !reached {
            tracing::error!("Redis does not answer at the start: limits are counted by this gateway alone");
            core.went_away();
        }
        let keeper = Arc::new(Keeper::start(replicas));
        let (tell, told) = mpsc::channel(told::QUEUED);
        let beats = settings.redis.lease_ttl / 3;
        let task = tokio::spawn(told::run(Arc::clone(&core), Arc::clone(&keeper), told, beats));
        let shared = Self {
            core,
            when_away: settings.when_away,
            keeper,
            reading: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            tasks: Mutex::new(vec![task]),
        };
        Ok((shared, Delivered::new(database, Some(tell))))
    }

    /// Whether Redis is asked now.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.core.is_away()
    }

    /// What is counted together, for what else is told there.
    #[must_use]
    pub fn replicas(&self) -> &Replicas {
        &self.core.replicas
    }

    /// Says that this gateway lives and has sessions of these tenants.
    ///
    /// # Errors
    /// `Away`.
    pub async fn beat(&self, tenants: &[TenantId]) -> Result<(), ReplicasError> {
        self.core.beat(tenants).await
    }

    /// What holds while Redis is away for tenants that have nothing of their own.
    #[must_use]
    pub fn when_away(&self) -> WhenAway {
        self.when_away
    }

    /// This gateway's part of each limit, by the gateways that it heard of last.
    #[must_use]
    pub fn share(&self) -> LocalShare {
        self.core.replicas.local_share()
    }

    /// Tells metrics how Redis is.
    pub fn observe(&self) {
        let counts = self.core.replicas.counts();
        names::redis(!self.is_away(), self.share().gateways(), counts.calls, counts.failures);
        names::dead_sessions(counts.dead_sessions);
    }

    /// Gives back what is held, waits a moment until Redis has it, and ends.
    pub async fn close(&self) {
        self.keeper.flush(LAST_WORDS).await;
        for task in std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner)) {
            task.abort();
        }
    }

    fn reading(&self, key: VirtualKeyId) -> Option<&tokio::sync::Mutex<()>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        usize::try_from(hash % LOCKS as u64).ok().and_then(|at| self.reading.get(at))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

impl Core {
    fn is_away(&self) -> bool {
        self.away.load(Ordering::Acquire)
    }

    /// Nobody asks Redis from now on, until it has been told of everything.
    fn went_away(&self) {
        if !self.away.swap(true, Ordering::AcqRel) {
            self.outages.fetch_add(1, Ordering::AcqRel);
            names::redis_fallback();
            self.lost.notify_one();
        }
    }

    fn is_back(&self) {
        if self.away.swap(false, Ordering::AcqRel) {
            tracing::info!("limits are counted with the other gateways again");
        }
    }

    /// Which outage this is, or was last; the first is 1.
    fn outage(&self) -> u64 {
        self.outages.load(Ordering::Acquire)
    }

    async fn beat(&self, tenants: &[TenantId]) -> Result<(), ReplicasError> {
        self.replicas.beat(self.gateway, tenants).await.map(drop)
    }
}
