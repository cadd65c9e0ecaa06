//! Calls that wait for a seat, where every credential of every provider that could serve them is in use: for a
//! moment, in a short queue at each of these providers, and in turn among tenants.
//!
//! A seat that is given back goes to whoever is next, and is theirs from then on: nobody who comes later takes it on
//! the way. Where they have just hung up, or were served elsewhere, it goes to the next behind them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::error::ErrorKind;
use domain::fair_queue::{FairQueue, Pushed, Ticket};
use domain::ids::{ProviderId, TenantId};
use tokio::sync::oneshot;

use crate::Gateway;
use crate::error::GatewayError;
use crate::pipeline::progress::Progress;
use crate::pipeline::route::{Candidate, Watch, all_in_use};
use crate::pipeline::seats::{Seat, Seats, State};
use crate::snapshot::{Credential, Pool, Snapshot};
use crate::telemetry::names;

/// For how long calls wait, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// Longest wait; nothing for none at all.
    pub longest: Duration,
    /// Most that wait at one provider.
    pub most: usize,
}

/// Decides for a call, and where all that could serve it is in use, waits for a seat and decides again with it.
/// `decide` notes the providers that are in use.
///
/// # Errors
/// As `decide`'s: also where the wait was too long, or there was no room to wait.
pub async fn seated<T>(
    gateway: &Gateway,
    progress: &Progress,
    tenant: TenantId,
    mut decide: impl FnMut(Option<&Handed>, &mut InUse) -> Result<T, GatewayError>,
) -> Result<T, GatewayError> {
    let mut in_use = InUse::default();
    let refused = match decide(None, &mut in_use) {
        Err(refused) if in_use.explains(&refused) => refused,
        decided => return decided,
    };
    let bounds = gateway.bounds().queue;
    if bounds.most == 0 || bounds.longest.is_zero() {
        return Err(refused);
    }
    // Boxed, so that a call that need not wait is no larger.
    let handed = Box::pin(wait(gateway, progress, tenant, &in_use, bounds)).await?;
    decide(Some(&handed), &mut InUse::default())
}

async fn wait(
    gateway: &Gateway,
    progress: &Progress,
    tenant: TenantId,
    in_use: &InUse,
    bounds: QueueBounds,
) -> Result<Handed, GatewayError> {
    let began = Instant::now();
    let mut told = Told { outcome: "left", began };
    let handed = tokio::select! {
        handed = gateway.health.seats.wait(in_use, tenant, bounds) => handed,
        // Whatever still runs is cut now.
        () = gateway.cut.cancelled() => Err(Unserved::Full),
    };
    progress.queued(began.elapsed());
    told.outcome = match handed {
        Ok(_) => "seated",
        Err(Unserved::TooLong) => "too_long",
        Err(Unserved::Full) => "full",
    };
    handed.map_err(|_| all_in_use())
}

/// Tells metrics of a wait however it ends: the call is dropped when its client hangs up.
struct Told {
    outcome: &'static str,
    began: Instant,
}

impl Drop for Told {
    fn drop(&mut self) {
        names::queued(self.outcome, self.began.elapsed());
    }
}

/// Providers that could serve a call, and are in use as often as they may be.
#[derive(Debug, Default)]
pub struct InUse(Vec<Pool>);

impl InUse {
    /// One more.
    pub fn add(&mut self, pool: &Pool) {
        if self.0.iter().all(|known| known.account().id != pool.account().id) {
            self.0.push(pool.clone());
        }
    }

    /// Whether a call was refused for these alone.
    fn explains(&self, refused: &GatewayError) -> bool {
        !self.0.is_empty() && refused.kind() == ErrorKind::Overloaded
    }

    /// Takes the seat of the first of these candidates that has one left, or needs none: several calls may have been
    /// routed to the last one at the same moment.
    ///
    /// # Errors
    /// `Overloaded` where there is none.
    pub fn claim<'a>(
        &mut self,
        snapshot: &Snapshot,
        tenant: TenantId,
        candidates: impl Iterator<Item = &'a Candidate> + Clone,
    ) -> Result<(), GatewayError> {
        let is_free = |candidate: &Candidate| candidate.seat.as_ref().is_none_or(|seat| seat.take());
        if candidates.clone().any(is_free) {
            return Ok(());
        }
        for candidate in candidates {
            if let Some(pool) = snapshot.provider(tenant, &candidate.account.name) {
                self.add(pool);
            }
        }
        Err(all_in_use())
    }
}

impl Watch for InUse {
    fn in_use(&mut self, pool: &Pool) {
        self.add(pool);
    }
}

/// A seat that a call has waited for. It is given on where this is dropped and nothing else has the seat.
#[derive(Debug)]
pub struct Handed {
    provider: ProviderId,
    /// It is taken.
    pub(in crate::pipeline) seat: Arc<Seat>,
}

impl Handed {
    /// Whether it is at this provider.
    #[must_use]
    pub fn is_at(&self, pool: &Pool) -> bool {
        self.provider == pool.account().id
    }

    /// Whether a candidate has it.
    #[must_use]
    pub fn is_of(&self, candidate: &Candidate) -> bool {
        candidate.seat.as_ref().is_some_and(|seat| Arc::ptr_eq(seat, &self.seat))
    }
}

/// Why somebody waited in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unserved {
    /// No seat was given back in time.
    TooLong,
    /// As many wait already as may, or this tenant had the most of them.
    Full,
}

/// Those who wait at one provider.
#[derive(Debug)]
pub(in crate::pipeline) struct Line {
    provider: ProviderId,
    /// How many are in `queue`, to be seen without its lock.
    len: AtomicUsize,
    queue: Mutex<FairQueue<TenantId, Standing>>,
}

/// One who waits in one line.
#[derive(Debug)]
struct Standing {
    waiter: Arc<Waiter>,
    /// What the provider is asked with.
    credentials: Vec<(Credential, Arc<State>)>,
}

/// One who waits, in as many lines as there are providers that could serve them.
#[derive(Debug)]
struct Waiter {
    /// Taken by whoever serves them first.
    served: Mutex<Option<oneshot::Sender<Handed>>>,
    /// How many lines they stand in, and one more while they come.
    lines: AtomicUsize,
}

impl Line {
    pub(in crate::pipeline) fn new(provider: ProviderId) -> Self {
        Self { provider, len: AtomicUsize::new(0), queue: Mutex::default() }
    }

    /// Whether nobody waits.
    pub(in crate::pipeline) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait.
    pub(in crate::pipeline) fn len(&self) -> usize {
        self.len.load(Ordering::SeqCst)
    }

    /// Hands out what is free, to whoever is next. To be called after a seat was given back where this is not empty,
    /// and after somebody began to wait: so one of both sees the other.
    pub(in crate::pipeline) fn serve(&self) {
        let mut free = None;
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(next) = queue.front() {
            let Some(seat) = free.take().or_else(|| self.free_seat(&next.credentials)) else { break };
            let Some(next) = queue.pop() else { break };
            free = next.waiter.hand(seat).err();
        }
        self.len.store(queue.len(), Ordering::SeqCst);
        drop(queue);
        // What nobody wanted is given back without the lock, since that looks at the line again.
        drop(free);
    }

    fn free_seat(&self, credentials: &[(Credential, Arc<State>)]) -> Option<Handed> {
        let now = Instant::now();
        let is_one_of_several = credentials.len() > 1;
        let take = |aside: bool| {
            let mut fit = credentials.iter().filter(move |(_, state)| (state.aside_ms(now) > 0) == aside);
            fit.find_map(|(credential, state)| Seat::taken(*credential, Arc::clone(state), is_one_of_several))
        };
        // One that the provider has just refused is used where there is no other.
        let seat = take(false).or_else(|| take(true))?;
        Some(Handed { provider: self.provider, seat: Arc::new(seat) })
    }
}

impl Waiter {
    /// Gives the seat back where they have left or were served elsewhere.
    fn hand(&self, seat: Handed) -> Result<(), Handed> {
        match self.sender() {
            Some(sender) => sender.send(seat),
            None => Err(seat),
        }
    }

    /// They lost their place in one line; with the last of them they wait in vain.
    fn lose_a_line(&self) {
        if self.lines.fetch_sub(1, Ordering::Relaxed) == 1 {
            drop(self.sender());
        }
    }

    fn sender(&self) -> Option<oneshot::Sender<Handed>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A place in a line, which is left when this is dropped.
struct Place {
    line: Arc<Line>,
    tenant: TenantId,
    ticket: Ticket,
}

impl Place {
    fn take(line: Arc<Line>, tenant: TenantId, standing: Standing, most: usize) -> Option<Self> {
        standing.waiter.lines.fetch_add(1, Ordering::Relaxed);
        let mut queue = line.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let pushed = queue.push(tenant, standing, most);
        line.len.store(queue.len(), Ordering::SeqCst);
        drop(queue);
        let (ticket, lost) = match pushed {
            Pushed::Placed(ticket) => (Some(ticket), None),
            Pushed::InsteadOf(ticket, lost) => (Some(ticket), Some(lost)),
            Pushed::Full(lost) => (None, Some(lost)),
        };
        if let Some(lost) = lost {
            lost.waiter.lose_a_line();
        }
        names::queue_waiting(f64::from(u8::from(ticket.is_some())));
        ticket.map(|ticket| Self { line, tenant, ticket })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        names::queue_waiting(-1.0);
        let mut queue = self.line.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = queue.remove(&self.tenant, self.ticket);
        self.line.len.store(queue.len(), Ordering::SeqCst);
        drop(queue);
        drop(standing);
    }
}

impl Seats {
    /// Waits for a seat at any of these providers.
    ///
    /// # Errors
    /// [`Unserved`].
    pub async fn wait(&self, in_use: &InUse, tenant: TenantId, bounds: QueueBounds) -> Result<Handed, Unserved> {
        let (sender, served) = oneshot::channel();
        let waiter = Arc::new(Waiter { served: Mutex::new(Some(sender)), lines: AtomicUsize::new(1) });
        let place = |pool: &Pool| {
            let standing = Standing { waiter: Arc::clone(&waiter), credentials: self.credentials_of(pool) };
            Place::take(self.line(pool.account().id), tenant, standing, bounds.most)
        };
        let places: Vec<Place> = in_use.0.iter().filter_map(place).collect();
        waiter.lose_a_line();
        drop(waiter);
        for place in &places {
            place.line.serve();
        }
        match tokio::time::timeout(bounds.longest, served).await {
            Ok(Ok(handed)) => Ok(handed),
            Ok(Err(_)) => Err(Unserved::Full),
            Err(_) => Err(Unserved::TooLong),
        }
    }
}

#[cfg(test)]
mod tests;
