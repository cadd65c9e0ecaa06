//! Trying a provider out: one real call at one account, as small as it can be, through the dialects, the
//! client and the guards of every other call. Nobody is billed for it here, and no budget, breaker or measure
//! knows of it.
//!
//! `hello.wav` is the word "hello" in flite's voice `slt`: what is listened to.

mod calls;
mod scrub;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dialects::probes::{self, Trial};
use dialects::registry::{self, Provider};
use domain::error::ErrorKind;
use domain::provider::Operation;
use local_speech::{LocalLimits, LocalSpeech};

use self::scrub::Scrub;
use crate::error::GatewayError;
use crate::pipeline::route::{Candidate, at_account, plain_target};
use crate::settings::Timeouts;
use crate::snapshot::{ProviderAccount, Snapshot};
use crate::upstream::Outbound;
use crate::upstream::client::UpstreamClient;
use crate::upstream::credentials::Tokens;

/// Longest time that one probe takes, whatever the gateway's clocks allow.
const PATIENCE: Duration = Duration::from_secs(45);
/// Programs of this machine that probes may run at once.
const LOCAL_PROGRAMS: usize = 2;

/// Tries accounts out.
#[derive(Debug)]
pub struct Prober {
    timeouts: Timeouts,
    tokens: Tokens,
    local: LocalSpeech,
}

/// What is to be tried.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The provider's model; `None` for one that every account of its kind has and that costs little.
    pub model: Option<String>,
    /// What the target says beside its model, such as Azure's `deployment`.
    pub options: BTreeMap<String, String>,
    /// Who is to speak; `None` for any voice of the account.
    pub voice: Option<String>,
    /// Whether a session transcribes; `None` for what its model is known for.
    pub transcribes: Option<bool>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// What was tried.
    pub operation: Operation,
    /// With which model; empty where none is known.
    pub model: String,
    /// HTTP status of the provider's answer, where there was one. An opened session has 101.
    pub http_status: Option<u16>,
    /// From the call to the first byte of what it asked for.
    pub first_byte_ms: Option<u64>,
    /// From the call to its end.
    pub total_ms: u64,
    /// The provider's answer, or why there is none.
    pub outcome: Result<Answer, Failure>,
}

/// What the provider answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A transcript, a chat's answer, or a sentence about what came.
    Text(String),
    /// Speech.
    Speech {
        /// Of these bytes.
        content_type: &'static str,
        /// How many came.
        length: u64,
        /// All of them; `None` where they are too many to be shown.
        audio: Option<Bytes>,
    },
}

/// Why a probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure: one of a closed list.
    pub kind: FailureKind,
    /// The provider's sentence or ours, without credentials.
    pub message: String,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The provider's kind does not do such things.
    Unsupported,
    /// There is no model that all accounts of this kind have: one must be named.
    ModelRequired,
    /// The account may not be called as it is configured.
    Forbidden,
    /// The provider refuses the credential.
    CredentialRefused,
    /// The provider has had too many requests, or money is due.
    RateLimited,
    /// The provider refuses what was asked.
    Refused,
    /// Nobody answers at this address.
    Unreachable,
    /// The provider did not answer in time.
    Timeout,
    /// The provider failed.
    Failed,
    /// The provider's answer is not what was asked for.
    Unreadable,
    /// A program on this machine is missing or failed.
    Local,
    /// A fault of ours.
    Internal,
}

impl FailureKind {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "operation_unsupported",
            Self::ModelRequired => "model_required",
            Self::Forbidden => "address_forbidden",
            Self::CredentialRefused => "credential_refused",
            Self::RateLimited => "rate_limited",
            Self::Refused => "request_refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Failed => "provider_failed",
            Self::Unreadable => "answer_unreadable",
            Self::Local => "local_program",
            Self::Internal => "internal_error",
        }
    }
}

impl Outbound for Prober {
    fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

impl Prober {
    /// With a gateway's clocks.
    #[must_use]
    pub fn new(timeouts: Timeouts) -> Self {
        let limits = LocalLimits { concurrency: LOCAL_PROGRAMS, ..LocalLimits::default() };
        Self { timeouts, tokens: Tokens::default(), local: LocalSpeech::detect(limits) }
    }

    /// Tries one operation at an account. `snapshot` says what the names of voices mean there; nothing else of
    /// it is read.
    pub async fn probe(
        &self,
        snapshot: &Snapshot,
        account: &Arc<ProviderAccount>,
        operation: Operation,
        ask: &Ask,
    ) -> Probed {
        let begun = Instant::now();
        let (model, mut noted) = (model(account, operation, ask), Noted::default());
        let outcome = match registry::provider(account.kind).filter(|row| row.has(operation)) {
            _ if operation == Operation::Passthrough => Err(unsupported(account, operation)),
            None => Err(unsupported(account, operation)),
            Some(row) => match &model {
                None => Err(model_required(account, operation)),
                Some(model) => {
                    let candidate = candidate(account, row, model, ask);
                    self.tried(snapshot, &candidate, operation, ask, &mut noted).await
                }
            },
        };
        Probed {
            operation,
            model: model.unwrap_or_default(),
            http_status: noted.status,
            first_byte_ms: noted.first_byte.map(|at| millis(at.duration_since(begun))),
            total_ms: millis(noted.ended.unwrap_or_else(Instant::now).duration_since(begun)),
            outcome,
        }
    }

    async fn tried(
        &self,
        snapshot: &Snapshot,
        candidate: &Candidate,
        operation: Operation,
        ask: &Ask,
        noted: &mut Noted,
    ) -> Result<Answer, Failure> {
        let scrub = Scrub::new(candidate.account.api_key.as_ref());
        if !allowed(candidate) {
            let message = "The base URL is plain http, which this provider does not permit.".to_owned();
            return Err(Failure { kind: FailureKind::Forbidden, message });
        }
        let call = calls::Call { prober: self, client: UpstreamClient::new(self.timeouts.connect), candidate, noted };
        let tried = async {
            match operation {
                Operation::Transcription | Operation::Translation => call.transcribe(operation).await,
                Operation::Speech => call.speak(ask.voice.as_deref()).await,
                Operation::Chat | Operation::Embeddings => call.write(operation).await,
                Operation::Realtime => session::open(call, snapshot, transcribes(candidate, ask)).await,
                Operation::Passthrough => Err(unsupported(&candidate.account, operation)),
            }
        };
        let patience = (self.timeouts.first_byte + self.timeouts.idle).min(PATIENCE);
        let outcome = tokio::time::timeout(patience, tried).await;
        let outcome = outcome.unwrap_or_else(|_| {
            Err(Failure { kind: FailureKind::Timeout, message: "The provider took too long.".to_owned() })
        });
        scrub.outcome(outcome)
    }
}

/// What is noted on the way, for success and failure alike.
#[derive(Debug, Default)]
struct Noted {
    status: Option<u16>,
    first_byte: Option<Instant>,
    /// Where the end is earlier than that of the call: a goodbye followed.
    ended: Option<Instant>,
}

impl Noted {
    fn first_byte(&mut self) {
        self.first_byte.get_or_insert_with(Instant::now);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn model(account: &ProviderAccount, operation: Operation, ask: &Ask) -> Option<String> {
    let trial = || probes::trial(account.kind, operation).map(|Trial { model, .. }| model.to_owned());
    ask.model.clone().or_else(trial)
}

fn transcribes(candidate: &Candidate, ask: &Ask) -> bool {
    ask.transcribes.unwrap_or_else(|| probes::transcribes(candidate.account.kind, &candidate.model.model))
}

fn candidate(account: &Arc<ProviderAccount>, row: &'static Provider, model: &str, ask: &Ask) -> Candidate {
    let mut target = plain_target(&account.name, model);
    target.options.clone_from(&ask.options);
    at_account(account, row, target)
}

/// Plain `http` goes only where the account says so; private addresses are judged when they are resolved.
fn allowed(candidate: &Candidate) -> bool {
    let secure = candidate.account.base_url.starts_with("https://");
    candidate.row.in_process || candidate.account.allow_insecure || secure
}

fn unsupported(account: &ProviderAccount, operation: Operation) -> Failure {
    let message = format!("Providers of the kind `{}` do no {operation}.", account.kind);
    Failure { kind: FailureKind::Unsupported, message }
}

fn model_required(account: &ProviderAccount, operation: Operation) -> Failure {
    let message = format!("Name a model: not every account of the kind `{}` has one for {operation}.", account.kind);
    Failure { kind: FailureKind::ModelRequired, message }
}

impl From<GatewayError> for Failure {
    /// What went wrong before the provider answered, or in what it answered.
    fn from(error: GatewayError) -> Self {
        let kind = match error.kind() {
            ErrorKind::UpstreamTimeout => FailureKind::Timeout,
            ErrorKind::UpstreamRateLimited => FailureKind::RateLimited,
            ErrorKind::InvalidRequest | ErrorKind::UnsupportedAudio => FailureKind::Refused,
            ErrorKind::NoHealthyTarget => FailureKind::Local,
            ErrorKind::UpstreamError => FailureKind::Failed,
            _ => FailureKind::Internal,
        };
        Self { kind, message: error.message().to_owned() }
    }
}
