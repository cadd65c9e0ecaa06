//! What the control plane asks of the data plane and of the process around it: only what their code alone can do.
//! The program that wires both planes implements it.

use admin_types::models::{Simulate, Simulation};
use admin_types::process::{LogLevel, ProfileFormat};
use admin_types::provider_tests::OperationTest;
use domain::ids::{CredentialId, ProviderId, SessionId, TenantId, VirtualKeyId};
use domain::provider::Operation;
use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::error::AdminError;

/// The data plane as the control plane sees it.
pub trait DataPlane: Send + Sync {
    /// Something that gateways must notice has been committed. Gateways of other processes learn it from
    /// the database; one of this process shall look at once.
    fn changed(&self);

    /// That a session shall end has been committed: its gateway shall hear of it by the shortest way, also where
    /// the database does not answer it.
    fn terminated(&self, tenant: TenantId, session: SessionId, reason: &str);

    /// Which target would serve a call, and why: by the code that decides for calls that are made.
    ///
    /// # Errors
    /// [`PortError`].
    fn simulate(&self, asked: SimulatedCall) -> BoxFuture<'_, Result<Simulation, PortError>>;

    /// Tries one operation at a provider, by a real call as small as it can be.
    ///
    /// # Errors
    /// [`PortError`]; that the call has failed is no error here.
    fn test_provider(&self, asked: ProviderTrial) -> BoxFuture<'_, Result<OperationTest, PortError>>;
}

/// The process that the control plane runs in.
pub trait Process: Send + Sync {
    /// What people call it: the name of its machine or pod.
    fn name(&self) -> &str;

    /// What is logged, and for how long.
    fn log_level(&self) -> LogLevel;

    /// Whether these levels can be used.
    ///
    /// # Errors
    /// [`PortError::Invalid`] says what is wrong with them.
    fn check_log_level(&self, levels: &str) -> Result<(), PortError>;

    /// Logs by other levels, until the time where one is given; `None` for those that are configured.
    ///
    /// # Errors
    /// [`PortError`].
    fn set_log_level(&self, levels: Option<&str>, until: Option<OffsetDateTime>) -> Result<LogLevel, PortError>;

    /// Begins to look at what the process does. Whoever holds what this gives has it to themselves.
    ///
    /// # Errors
    /// [`PortError::Busy`] where somebody else looks, and [`PortError::Unsupported`].
    fn profile(&self, hertz: u16) -> Result<Box<dyn Sampling>, PortError>;
}

/// A profile that is being taken. It ends when this is dropped.
pub trait Sampling: Send {
    /// What was seen so far. This takes a while, and no more is seen.
    ///
    /// # Errors
    /// [`PortError`].
    fn finish(self: Box<Self>, format: ProfileFormat) -> Result<String, PortError>;
}

/// A call that nobody makes, by whom it would be made.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedCall {
    /// Whose models and prices hold.
    pub tenant: TenantId,
    /// Whose policy holds; `None` for a key that may do everything.
    pub key: Option<VirtualKeyId>,
    /// The name that is asked for.
    pub model: String,
    /// The call itself.
    pub call: Simulate,
}

/// What is to be tried at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderTrial {
    /// Which account.
    pub provider: ProviderId,
    /// By which of its credentials; `None` for the enabled one of the highest weight.
    pub credential: Option<CredentialId>,
    /// What is to be tried.
    pub operation: Operation,
    /// The provider's model; `None` for one that costs little.
    pub model: Option<String>,
    /// Who is to speak.
    pub voice: Option<String>,
}

/// Why the data plane does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// What was asked cannot be.
    #[error("{field}: {detail}")]
    Invalid {
        /// The field at fault.
        field: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The provider is disabled, or has no credential that can be used.
    #[error("the provider is disabled, or has no credential that can be used")]
    Unusable,
    /// Somebody else does it now.
    #[error("somebody else does so now")]
    Busy,
    /// The process is too close to its limit.
    #[error("it takes about {needed_mib} MiB of memory, which the process has not")]
    TooLittleMemory {
        /// What it takes.
        needed_mib: u64,
    },
    /// It cannot be done on this system.
    #[error("this program cannot do it on this system")]
    Unsupported,
    /// It has failed, for a reason that is in the log.
    #[error("it has failed")]
    Failed,
    /// It cannot be read at the moment.
    #[error("the database does not answer")]
    Unavailable,
}

impl From<PortError> for AdminError {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Invalid { field, detail } => Self::field(field, detail),
            PortError::Unusable => {
                Self::conflict("not_usable", "The provider is disabled, or has no credential that can be used.")
            }
            PortError::Busy => Self::conflict("busy", "Somebody else does so now; try again when they are done."),
            PortError::TooLittleMemory { needed_mib } => {
                let detail = format!("It takes about {needed_mib} MiB of memory, which the process does not have.");
                Self::conflict("too_little_memory", detail)
            }
            PortError::Unsupported => Self::NotImplemented("This program cannot do it on this system."),
            PortError::Failed => Self::Internal,
            PortError::Unavailable => Self::Unavailable,
        }
    }
}
