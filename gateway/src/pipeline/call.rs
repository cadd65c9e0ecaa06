//! What one call carries through the pipeline.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::error::{Origin, Retry};

use crate::error::GatewayError;
use crate::http::extract::Caller;
use crate::ledger::Note;
use crate::pipeline::authenticate::Principal;
use crate::pipeline::estimate::Input;
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::phases::{Pace, Phase, UNSTREAMED};
use crate::pipeline::progress::{Attended, Progress};
use crate::pipeline::route::Candidate;
use crate::settings::Phases;
use crate::snapshot::Snapshot;
use crate::telemetry::trace::Trace;
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
    /// How long its phases may take.
    pub phases: Phases,
    /// Its spans.
    pub trace: Trace,
    /// When it must be over, once a provider has had the request whole.
    deadline: Cell<Option<Instant>>,
    /// Its answer flows to the client.
    streams: Cell<bool>,
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
        let phases = worker.gateway.phases(facts.operation);
        progress.may_take(phases.first_byte);
        let (deadline, streams) = (Cell::new(None), Cell::new(false));
        let call = Self {
            worker: worker.clone(),
            snapshot,
            principal,
            progress: Rc::clone(&progress),
            phases,
            trace: facts.trace.clone(),
            deadline,
            streams,
        };
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
        self.begins();
        meter.dispatched(&self.snapshot, candidate, input)
    }

    /// A provider has the whole request: the time for the call begins with the first that does. Until then it is
    /// the client's upload that takes time, which has a clock of its own.
    fn begins(&self) {
        if self.deadline.get().is_none() {
            self.deadline.set(Some(Instant::now() + self.phases.total.unwrap_or(UNSTREAMED)));
        }
    }

    /// The answer begins to flow to the client: only a total that was set bounds it from now on.
    fn flows(&self) {
        self.streams.set(true);
    }

    /// When the call must be over; `None` while no provider has the request, and for an answer that flows and
    /// has no such bound.
    fn ends(&self) -> Option<Instant> {
        self.deadline.get().filter(|_| !self.streams.get() || self.phases.total.is_some())
    }

    /// Time that the call has left.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        match self.ends() {
            Some(ends) => ends.saturating_duration_since(Instant::now()),
            None if self.streams.get() => Duration::MAX,
            None => self.phases.total.unwrap_or(UNSTREAMED),
        }
    }

    /// How a whole answer has to come.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace { idle: self.phases.idle, ends: self.ends() }
    }

    /// How an answer has to come that flows to the client from now on.
    #[must_use]
    pub fn flowing(&self) -> Pace {
        self.flows();
        self.pace()
    }

    /// Waits for the beginning of an answer, first its head and then its first piece.
    ///
    /// # Errors
    /// `UpstreamTimeout`, which names the phase.
    pub async fn begun<T>(&self, what: impl Future<Output = T>) -> Result<T, GatewayError> {
        let (first_byte, left) = (self.phases.first_byte, self.time_left());
        let (time, phase) = if left < first_byte { (left, Phase::Total) } else { (first_byte, Phase::FirstByte) };
        tokio::time::timeout(time, what).await.map_err(|_| phase.late())
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
        let failed = self.note_failure(meter, candidate, error);
        candidate.leave();
        failed
    }

    /// As [`Self::failed`], for a candidate that may be asked again: the call keeps its seat there.
    ///
    /// # Errors
    /// As [`Self::failed`]'s.
    pub fn note_failure(
        &self,
        meter: &mut Meter,
        candidate: &Candidate,
        error: GatewayError,
    ) -> Result<GatewayError, GatewayError> {
        self.progress.failed();
        meter.failed(candidate, error.kind());
        if error.origin() == Origin::Upstream {
            let (provider, model) = (&candidate.account.name, &candidate.model.model);
            tracing::warn!(%provider, %model, %error, "target failed");
            if error.speaks_against_target() {
                self.gateway().health.failed(candidate, meter.facts().operation, meter.waited());
            }
        }
        // Nobody waits for a second try.
        if error.retry() == Retry::NextTarget && !self.progress.client_left() { Ok(error) } else { Err(error) }
    }
}
