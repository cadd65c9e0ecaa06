//! How far a call is, and what happens to it when its client hangs up.
//!
//! The server drops a handler's future as soon as it sees that the client is gone. A provider that
//! has the whole request by then works on and bills it, so the rest of the call is run without the
//! client: its record has what the provider reports, and what was reserved for it stays held until
//! then. A call that no provider has begun to serve is just dropped, and one that is still at work
//! when the gateway stops is recorded by estimate: its account sees to that when it is dropped.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::web::Data;
use domain::ids::TenantId;
use domain::provider::Operation;
use domain::usage::UsageStatus;
use tracing::Instrument;

use crate::Worker;
use crate::pipeline::route::Candidate;
use crate::snapshot::ProviderAccount;

/// What the handler, the pipeline and the middleware tell each other about one call.
#[derive(Debug, Default)]
pub struct Progress {
    in_flight: Cell<bool>,
    client_left: Cell<bool>,
    upstream: Cell<Duration>,
    queued: Cell<Duration>,
    /// Whose call of what it is, once that is known and unless it is not counted.
    counted: Cell<Option<(TenantId, Operation)>>,
    /// How long a provider may take to answer that the client does not wait for any more.
    patience: Cell<Duration>,
    /// The provider that was asked last.
    asked: RefCell<Option<Arc<ProviderAccount>>>,
}

impl Progress {
    /// The caller is known.
    pub fn called(&self, tenant: TenantId, operation: Operation) {
        self.counted.set(Some((tenant, operation)));
    }

    /// It only looks something up, and does not count among the calls of its operation.
    pub fn looks_up(&self) {
        self.counted.set(None);
    }

    /// Whose call of what it is.
    #[must_use]
    pub fn counted(&self) -> Option<(TenantId, Operation)> {
        self.counted.get()
    }

    /// A provider may take so long to answer.
    pub fn may_take(&self, time: Duration) {
        self.patience.set(time);
    }

    /// A provider is asked next.
    pub fn asks(&self, candidate: &Candidate) {
        self.asked.replace(Some(Arc::clone(&candidate.account)));
    }

    /// The provider that was asked last.
    #[must_use]
    pub fn asked(&self) -> Option<Arc<ProviderAccount>> {
        self.asked.borrow().clone()
    }

    /// A provider has the whole request.
    pub fn dispatched(&self) {
        self.in_flight.set(true);
    }

    /// Whether a provider has the whole request and has not failed: it bills.
    #[must_use]
    pub fn is_dispatched(&self) -> bool {
        self.in_flight.get()
    }

    /// That provider failed: nobody works on the call now.
    pub fn failed(&self) {
        self.in_flight.set(false);
    }

    /// Whether the client is gone, so that no other target shall be asked.
    #[must_use]
    pub fn client_left(&self) -> bool {
        self.client_left.get()
    }

    /// How a call ends whose provider delivered everything.
    #[must_use]
    pub fn ending(&self) -> UsageStatus {
        if self.client_left() { UsageStatus::ClientClosed } else { UsageStatus::Ok }
    }

    /// A provider was waited for.
    pub fn waited(&self, time: Duration) {
        self.upstream.set(self.upstream.get() + time);
    }

    /// A seat was waited for.
    pub fn queued(&self, time: Duration) {
        self.queued.set(self.queued.get() + time);
    }

    /// How long seats were waited for.
    #[must_use]
    pub fn in_queue(&self) -> Duration {
        self.queued.get()
    }

    /// How long providers were waited for, failed ones included.
    #[must_use]
    pub fn upstream(&self) -> Duration {
        self.upstream.get()
    }
}

/// A call's future, with a client that waits for it. Dropped while a provider is at work, the rest
/// of it goes on by itself for as long as a provider may take to answer.
#[derive(Debug)]
pub struct Attended<F: Future + 'static> {
    exchange: Option<Pin<Box<F>>>,
    progress: Rc<Progress>,
    worker: Data<Worker>,
}

impl<F: Future + 'static> Attended<F> {
    /// Runs `exchange`, whose state is in `progress`.
    #[must_use]
    pub fn new(worker: Data<Worker>, progress: Rc<Progress>, exchange: F) -> Self {
        Self { exchange: Some(Box::pin(exchange)), progress, worker }
    }
}

impl<F: Future + 'static> Future for Attended<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(exchange) = &mut self.exchange else { return Poll::Pending };
        let output = std::task::ready!(exchange.as_mut().poll(context));
        self.exchange = None;
        Poll::Ready(output)
    }
}

impl<F: Future + 'static> Drop for Attended<F> {
    fn drop(&mut self) {
        let Some(exchange) = self.exchange.take().filter(|_| self.progress.in_flight.get()) else { return };
        self.progress.client_left.set(true);
        let (worker, patience) = (self.worker.clone(), self.progress.patience.get());
        let rest = async move {
            tokio::select! {
                finished = tokio::time::timeout(patience, exchange) => {
                    if finished.is_err() {
                        tracing::warn!("the client left, and the provider did not finish in time");
                    }
                }
                () = worker.gateway.draining.cancelled() => {}
            }
        };
        actix_web::rt::spawn(rest.instrument(tracing::Span::current()));
    }
}
