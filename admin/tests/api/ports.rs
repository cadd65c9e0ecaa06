//! What stands in the tests for the gateway and for the process.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use admin::ports::{DataPlane, PortError, Process, ProviderTrial, Sampling, SimulatedCall};
use admin_types::models::Simulation;
use admin_types::process::{LogLevel, ProfileFormat};
use admin_types::provider_tests::OperationTest;
use domain::ids::{SessionId, TenantId};
use futures_util::future::BoxFuture;
use time::OffsetDateTime;

/// A data plane that notes what it is asked, and answers with nothing much.
#[derive(Debug, Default)]
pub(crate) struct Silent {
    /// How often it was told to look for changes.
    pub(crate) changes: AtomicUsize,
    /// Sessions whose gateways were told to end them, and why.
    pub(crate) terminated: Mutex<Vec<(SessionId, String)>>,
    /// Calls that were simulated.
    pub(crate) simulated: Mutex<Vec<SimulatedCall>>,
    /// What was tried at providers.
    pub(crate) tried: Mutex<Vec<ProviderTrial>>,
}

impl DataPlane for Silent {
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn terminated(&self, _: TenantId, session: SessionId, reason: &str) {
        self.terminated.lock().unwrap().push((session, reason.to_owned()));
    }

    fn simulate(&self, asked: SimulatedCall) -> BoxFuture<'_, Result<Simulation, PortError>> {
        let told = Simulation {
            model: asked.model.clone(),
            operation: asked.call.operation,
            strategy: None,
            refused: None,
            targets: Vec::new(),
            live: false,
        };
        self.simulated.lock().unwrap().push(asked);
        Box::pin(std::future::ready(Ok(told)))
    }

    fn test_provider(&self, asked: ProviderTrial) -> BoxFuture<'_, Result<OperationTest, PortError>> {
        let told = OperationTest {
            credential_id: asked.credential.map(|id| id.0),
            operation: asked.operation,
            model: asked.model.clone(),
            ok: true,
            http_status: Some(200),
            first_byte_ms: Some(1),
            total_ms: 2,
            text: Some("hello".to_owned()),
            speech: None,
            error: None,
        };
        self.tried.lock().unwrap().push(asked);
        Box::pin(std::future::ready(Ok(told)))
    }
}

/// A process that notes what it is asked. Its log has one level that cannot be used: `loud`.
#[derive(Debug, Default)]
pub(crate) struct Still {
    /// The levels that are logged instead of `info`, and until when.
    pub(crate) levels: Mutex<Option<(String, Option<OffsetDateTime>)>>,
    /// Somebody takes a profile.
    pub(crate) watched: Arc<AtomicBool>,
    /// How often a second it was looked at last.
    pub(crate) hertz: Mutex<u16>,
}

impl Process for Still {
    fn name(&self) -> &str {
        "machine-1"
    }

    fn log_level(&self) -> LogLevel {
        let (levels, until) = self.levels.lock().unwrap().clone().unwrap_or(("info".to_owned(), None));
        LogLevel { levels, configured: "info".to_owned(), until, instance: "machine-1".to_owned(), gateway: false }
    }

    fn check_log_level(&self, levels: &str) -> Result<(), PortError> {
        let refused = PortError::Invalid { field: "levels".to_owned(), detail: "there is no such level".to_owned() };
        if levels == "loud" { Err(refused) } else { Ok(()) }
    }

    fn set_log_level(&self, levels: Option<&str>, until: Option<OffsetDateTime>) -> Result<LogLevel, PortError> {
        *self.levels.lock().unwrap() = levels.map(|levels| (levels.to_owned(), until));
        Ok(self.log_level())
    }

    fn profile(&self, hertz: u16) -> Result<Box<dyn Sampling>, PortError> {
        if self.watched.swap(true, Ordering::Relaxed) {
            return Err(PortError::Busy);
        }
        *self.hertz.lock().unwrap() = hertz;
        Ok(Box::new(Watched(Arc::clone(&self.watched))))
    }
}

struct Watched(Arc<AtomicBool>);

impl Sampling for Watched {
    fn finish(self: Box<Self>, format: ProfileFormat) -> Result<String, PortError> {
        Ok(format!("as {}", format.as_str()))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
