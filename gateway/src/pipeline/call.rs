//! What one call carries through the pipeline.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::error::{ErrorKind, Origin, Retry};

use crate::error::GatewayError;
use crate::http::extract::Caller;
use crate::ledger::Note;
use crate::pipeline::authenticate::Principal;
use crate::pipeline::estimate::Input;
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::progress::{Attended, Progress};
use crate::pipeline::route::Candidate;
use crate::snapshot::Snapshot;
use crate::{Gateway, Worker};

/// What stays the same from a call's authentication to its end.
#[derive(Debug)]
pub struct Call {
    /// The worker that serves it.
    pub worker: Data<Worker>,
    /// The view that it keeps to its end.
    pub snapshot: Arc<Snapshot>,
    /// Who calls.
    pub principal: Principal,
    /// How far it is.
    pub progress: Rc<Progress>,
}

impl Call {
    /// Runs a call for a caller, on without the client where a provider is already at work.
    ///
    /// # Errors
    /// As `run`'s.
    pub async fn attend<F>(
        worker: Data<Worker>,
        caller: Caller,
        run: impl FnOnce(Self, CallFacts) -> F,
    ) -> Result<HttpResponse, GatewayError>
    where
        F: Future<Output = Result<HttpResponse, GatewayError>> + 'static,
    {
        let Caller { snapshot, principal, facts, progress } = caller;
        let call = Self { worker: worker.clone(), snapshot, principal, progress: Rc::clone(&progress) };
        Attended::new(worker, progress, run(call, facts)).await
    }

    /// The gateway.
    #[must_use]
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.worker.gateway
    }

    /// Whether a candidate may be asked now; asked once, just before it is.
    #[must_use]
    pub fn may_ask(&self, candidate: &Candidate) -> bool {
        self.progress.asks(candidate);
        self.gateway().health.may_ask(candidate)
    }

    /// A candidate is about to have the whole request: then it bills, whether anybody waits or not.
    /// `input` is what it will have used should nothing more be heard of it. The note must be written
    /// right before the request's last bytes are.
    pub fn dispatched(&self, meter: &mut Meter, candidate: &Candidate, input: &Input) -> Note {
        self.progress.dispatched();
        meter.dispatched(&self.snapshot, candidate, input)
    }

    /// A candidate failed before it delivered anything: it bills nothing, and its health suffers
    /// where the failure speaks against it. Gives the error back where no other target shall be asked.
    ///
    /// # Errors
    /// The failure, where it ends the call.
    pub fn failed(
        &self,
        meter: &mut Meter,
        candidate: &Candidate,
        error: GatewayError,
    ) -> Result<GatewayError, GatewayError> {
        self.progress.failed();
        meter.failed(candidate, error.kind());
        candidate.leave();
        if error.origin() == Origin::Upstream {
            let (provider, model) = (&candidate.account.name, &candidate.model.model);
            tracing::warn!(%provider, %model, %error, "target failed");
            if matches!(error.kind(), ErrorKind::UpstreamError | ErrorKind::UpstreamTimeout) {
                self.gateway().health.failed(candidate, meter.facts().operation, meter.waited());
            }
        }
        // Nobody waits for a second try.
        if error.retry() == Retry::NextTarget && !self.progress.client_left() { Ok(error) } else { Err(error) }
    }
}
