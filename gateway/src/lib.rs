//! The data plane: sockets, clocks, admission, forwarding, metering.
//!
//! Start reading at [`startup`] (routes and the order of middleware), then `pipeline/` (what happens
//! to one call) and `realtime/session.rs` (the one loop of a session).

use std::sync::Arc;

use arc_swap::ArcSwap;
use domain::key::Pepper;
use domain::provider::Operation;
use local_speech::LocalSpeech;
use replicas::Replicas;
use sea_orm::DatabaseConnection;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::cors::Origins;
use crate::http::wire::stream::Rules;
use crate::idempotency::Idempotency;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::limits::shared::Shared;
use crate::overload::{Overload, Pace};
use crate::pipeline::health::Health;
use crate::realtime::recording::Recorder;
use crate::realtime::registry::Sessions;
use crate::realtime::secrets::ClientSecrets;
use crate::reports::Reports;
use crate::settings::{GatewayLimits, GatewaySettings, InForce, Phases, Timeouts};
use crate::snapshot::Snapshot;
use crate::upstream::client::UpstreamClient;
use crate::upstream::credentials::Tokens;
use crate::upstream::voices::Voices;
use crate::vendor::passes::Passes;

mod clock;
mod drain;
pub mod error;
pub mod http;
pub mod idempotency;
pub mod ledger;
pub mod limits;
pub mod overload;
pub mod pipeline;
pub mod probe;
pub mod realtime;
pub mod reports;
pub mod repositories;
pub mod settings;
#[cfg(test)]
mod simulation;
pub mod snapshot;
pub mod startup;
pub mod telemetry;
pub mod upstream;
pub mod vendor;

/// What every call shares, in one process.
pub struct Gateway {
    /// The view that new calls take.
    pub snapshot: ArcSwap<Snapshot>,
    /// Hashes keys.
    pub pepper: Pepper,
    /// Rates, budgets, sessions.
    pub limits: Limits,
    /// The same over several gateways, where they share a Redis.
    pub shared: Option<Shared>,
    /// Usage records.
    pub ledger: Ledger,
    /// Breakers and latencies.
    pub health: Health,
    /// As told at start.
    pub settings: GatewaySettings,
    /// Bounds and clocks, which may change.
    in_force: ArcSwap<InForce>,
    /// What sockets that are opened next are held to.
    rules: ArcSwap<Rules>,
    /// Read for `/v1/usage`; never on the way of an audio call.
    pub database: DatabaseConnection,
    /// Tokens for providers that take no key.
    pub tokens: Tokens,
    /// Issues and redeems client secrets.
    pub secrets: ClientSecrets,
    /// The voices of accounts that list them.
    pub voices: Voices,
    /// Seals what stands for a key or a session in place of a vendor's own tokens.
    pub passes: Passes,
    /// flite and `PocketSphinx`.
    pub local: LocalSpeech,
    /// Records realtime sessions, where that is on.
    pub recorder: Option<Recorder>,
    /// Open realtime sessions.
    pub sessions: Sessions,
    /// How much there is to do.
    pub overload: Arc<Overload>,
    /// What the control plane is told of this process.
    pub reports: Reports,
    /// Calls in flight; closed when the process shall end.
    pub calls: TaskTracker,
    /// Cancelled when the process shall end: it is not ready from then on, and takes no new sessions.
    pub draining: CancellationToken,
    /// Cancelled some time later: work on new connections is refused from then on.
    pub refusing: CancellationToken,
    /// What repeated requests are answered with.
    pub idempotency: Idempotency,
    /// Cancelled when the time for that is over: what still runs is cut.
    pub cut: CancellationToken,
}

impl Gateway {
    /// How much clients may send and hold.
    #[must_use]
    pub fn bounds(&self) -> GatewayLimits {
        self.in_force.load().bounds
    }

    /// How long things may take.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.in_force.load().timeouts
    }

    /// How long a provider may take over the phases of a call of this operation.
    #[must_use]
    pub fn phases(&self, operation: Operation) -> Phases {
        self.in_force.load().timeouts.phases(operation)
    }

    /// Puts other bounds and clocks in force: for whatever begins from now on, and in sessions and answers
    /// that are open for what is looked up as they go. What is read once at the start stays: how long
    /// connecting to providers takes at most, and the journal's size.
    pub fn adjust(&self, bounds: GatewayLimits, timeouts: Timeouts) {
        let now = InForce { bounds, timeouts };
        self.rules.store(Arc::new(Rules::of(&now)));
        self.in_force.store(Arc::new(now));
    }

    /// What a socket is held to that is opened now.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Waits until no call and no session is left. Sessions may not be opened meanwhile, and answers
    /// close their connections.
    pub(crate) async fn idle(&self) {
        self.calls.close();
        tokio::join!(self.sessions.ended(), self.calls.wait());
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What one worker thread has: the shared gateway and its own connections.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Shared by all workers.
    pub gateway: Arc<Gateway>,
    /// This thread's pools.
    pub client: UpstreamClient,
    /// This thread's connection to Redis, where gateways share one.
    pub replicas: Option<Replicas>,
    /// How late this thread is.
    pub pace: Arc<Pace>,
    /// The origins of pages that may send requests.
    pub origins: Origins,
}
