//! Where a call takes its permit, and asks for more: of Redis where gateways share one, else of this process.

use std::time::{Duration, Instant};

use domain::error::ErrorKind;
use domain::money::NanoUsd;
use replicas::{Admission, Budget, Grant, KeyLimits, Lease, Limit, Reading, Replicas, ReplicasError, Reserved, Window};
use time::OffsetDateTime;
use uuid::Uuid;

use super::past::{self, Unread};
use super::{Shared, WhenAway};
use crate::limits::rate::TooFast;
use crate::limits::{KeySpend, Permit, RateState, Refusal, Want, bounds, over_budget, too_fast, too_many_sessions};
use crate::pipeline::meter::CallFacts;
use crate::snapshot::{self, BudgetWindow, Key};
use crate::telemetry::names;
use crate::{Gateway, Worker};

/// Readings of the past that one call waits for; more than one only where Redis loses its data in between.
const READINGS: usize = 4;
/// When somebody may try again that is refused for want of Redis.
const SOON: Duration = Duration::from_secs(5);

/// What became of a question to Redis.
enum Asked<T> {
    Yes(T),
    No(replicas::Refusal),
    Past(Reading),
}

/// Why Redis gave no answer.
enum Unasked {
    Away,
    /// It does not know what was spent, and neither does the database.
    PastUnknown,
}

impl Worker {
    /// Admits a call, or refuses it and takes nothing. Waits for Redis where gateways share one.
    ///
    /// # Errors
    /// The first limit that does not hold the request; `Overloaded` where nobody can tell.
    pub async fn admit(&self, key: &Key, want: &Want, facts: &CallFacts) -> Result<Permit, Refusal> {
        let gateway = &self.gateway;
        let (Some(shared), Some(replicas)) = (&gateway.shared, &self.replicas) else {
            return gateway.limits.admit(key, want, facts.started_at, facts.started);
        };
        // Boxed, so that a call is no larger where nothing is shared.
        Box::pin(gateway.admit_shared(shared, replicas, key, want, facts)).await
    }
}

impl Gateway {
    async fn admit_shared(
        &self,
        shared: &Shared,
        replicas: &Replicas,
        key: &Key,
        want: &Want,
        facts: &CallFacts,
    ) -> Result<Permit, Refusal> {
        let (now, mono) = (facts.started_at, facts.started);
        if shared.is_away() {
            return self.admit_alone(shared, key, want, now, mono).await;
        }
        let (call, limits) = (Uuid::now_v7(), key_limits(key));
        let wanted = replicas::Want { cost: want.cost, session: want.session };
        let asked = Instant::now();
        let ask = || async {
            let admission = replicas.admit(key.id, limits, wanted, call).await?;
            Ok(match admission {
                Admission::Granted(grant) => Asked::Yes(grant),
                Admission::Refused(refusal) => Asked::No(refusal),
                Admission::NeedsPast(reading) => Asked::Past(reading),
            })
        };
        let answer = self.ask(shared, key, ask).await;
        names::redis_admission(asked.elapsed());
        match answer {
            Ok(Ok(grant)) => Ok(self.granted(shared, key, want, facts, grant)),
            Ok(Err(refusal)) => Err(refused(key, &refusal, now)),
            Err(Unasked::PastUnknown) => Err(nobody_knows()),
            Err(Unasked::Away) => self.admit_alone(shared, key, want, now, mono).await,
        }
    }

    /// Reserves more for a call that goes on.
    ///
    /// # Errors
    /// `BudgetExceeded`; what is held stays held. `Overloaded` where nobody can tell.
    pub async fn reserve_more(&self, permit: &mut Permit, key: &Key, more: NanoUsd) -> Result<(), Refusal> {
        let Some(shared) = &self.shared else { return permit.reserve_more(more) };
        Box::pin(self.reserve_shared(shared, permit, key, more)).await
    }

    async fn reserve_shared(
        &self,
        shared: &Shared,
        permit: &mut Permit,
        key: &Key,
        more: NanoUsd,
    ) -> Result<(), Refusal> {
        if shared.is_away() {
            return self.reserve_alone(shared, permit, key, more).await;
        }
        let (Some(held), budget) = permit.held() else {
            permit.note_reserved(more);
            return Ok(());
        };
        let budget = budget.map(shared_budget);
        let mut answer = held.reserve_more(more, budget).await;
        for _ in 0..READINGS {
            let Ok(Reserved::NeedsPast(reading)) = &answer else { break };
            if let Err(error) = past::answer(&shared.core.replicas, &self.database, reading).await {
                match unread(shared, &error) {
                    Unasked::PastUnknown => return Err(nobody_knows()),
                    Unasked::Away => break,
                }
            }
            answer = held.reserve_more(more, budget).await;
        }
        match answer {
            Ok(Reserved::Granted) => {
                permit.note_reserved(more);
                Ok(())
            }
            Ok(Reserved::Refused(refusal)) => Err(refused(key, &refusal, permit.now())),
            Ok(Reserved::NeedsPast(_)) if !shared.is_away() => Err(nobody_knows()),
            Ok(Reserved::NeedsPast(_)) | Err(_) => {
                shared.core.went_away();
                self.reserve_alone(shared, permit, key, more).await
            }
        }
    }

    /// What a key has spent and holds, at all gateways where they share it.
    ///
    /// # Errors
    /// Why neither Redis nor the database tells it.
    pub async fn spend(&self, key: &Key, now: OffsetDateTime) -> Result<KeySpend, sea_orm::DbErr> {
        let here = self.limits.spend(key, now);
        let Some(shared) = &self.shared else { return Ok(here) };
        Box::pin(self.spend_shared(shared, key, here, now)).await
    }

    async fn spend_shared(
        &self,
        shared: &Shared,
        key: &Key,
        here: KeySpend,
        now: OffsetDateTime,
    ) -> Result<KeySpend, sea_orm::DbErr> {
        let window = key.budget.map_or(BudgetWindow::Total, |budget| budget.window);
        let sums =
            if shared.is_away() { None } else { shared.core.replicas.sums(key.id, shared_window(window)).await.ok() };
        let reserved =
            sums.map_or(here.reserved, |sums| if key.budget.is_some() { sums.reserved } else { here.reserved });
        if let Some(sums) = sums.filter(|sums| sums.past_is_known) {
            let bounds = bounds(window, sums.at);
            let (window_start, window_end) = (bounds.map(|(start, _)| start), bounds.map(|(_, end)| end));
            return Ok(KeySpend { spent: sums.spent, reserved, window_start, window_end });
        }
        let past = past::spent(&self.database, key.id, now).await?;
        let spent = match window {
            BudgetWindow::Total => past.total,
            BudgetWindow::Monthly => past.month,
            BudgetWindow::Daily => past.day,
        };
        Ok(KeySpend { spent, reserved, ..here })
    }

    /// Asks, and reads the past where Redis does not know it: one call of a key at a time, upon whose answer the
    /// others need not read.
    async fn ask<T, F>(
        &self,
        shared: &Shared,
        key: &Key,
        ask: impl Fn() -> F,
    ) -> Result<Result<T, replicas::Refusal>, Unasked>
    where
        F: Future<Output = Result<Asked<T>, ReplicasError>>,
    {
        let mut turn = None;
        for _ in 0..READINGS {
            let reading = match ask().await {
                Ok(Asked::Yes(granted)) => return Ok(Ok(granted)),
                Ok(Asked::No(refusal)) => return Ok(Err(refusal)),
                Ok(Asked::Past(reading)) => reading,
                Err(_) => {
                    shared.core.went_away();
                    return Err(Unasked::Away);
                }
            };
            match (&turn, shared.reading(key.id)) {
                // Whoever had the turn before may have read it.
                (None, Some(lock)) => turn = Some(lock.lock().await),
                _ => past::answer(&shared.core.replicas, &self.database, &reading)
                    .await
                    .map_err(|error| unread(shared, &error))?,
            }
        }
        Err(Unasked::PastUnknown)
    }

    fn granted(&self, shared: &Shared, key: &Key, want: &Want, facts: &CallFacts, grant: Grant) -> Permit {
        if let Some(reading) = grant.refresh {
            let (replicas, database) = (shared.core.replicas.clone(), self.database.clone());
            tokio::spawn(async move {
                if let Err(error) = past::answer(&replicas, &database, &reading).await {
                    tracing::warn!(%error, "what a key has spent could not be read again; the next call tries");
                }
            });
        }
        let rate = grant.rate.map(|state| rate_state(&state));
        let permit = self.limits.take(key, want, facts.started_at, facts.started, rate);
        permit.with_held(grant.lease.map(|lease| shared.keeper.hold(lease)))
    }

    /// What holds for a key while Redis is away: what its tenant has, else what holds for all.
    fn when_away(&self, shared: &Shared, key: &Key) -> WhenAway {
        self.snapshot.load().when_away.get(&key.tenant).copied().unwrap_or(shared.when_away)
    }

    /// Admits without Redis, as is configured. What it holds is told to Redis when that is back.
    async fn admit_alone(
        &self,
        shared: &Shared,
        key: &Key,
        want: &Want,
        now: OffsetDateTime,
        mono: Instant,
    ) -> Result<Permit, Refusal> {
        let limited = key.requests_per_minute.is_some()
            || key.budget.is_some()
            || (want.session && key.max_concurrent_sessions.is_some());
        let permit = match self.when_away(shared, key) {
            WhenAway::Closed if limited => return Err(closed()),
            WhenAway::LocalShare if limited => {
                if key.budget.is_some() {
                    self.recall_alone(shared, key.id).await.map_err(|error| unknown(&error))?;
                }
                let admitted = self.limits.admit_part(key, want, now, mono, shared.share());
                admitted.map_err(|refusal| without_redis(key, refusal, now))?
            }
            _ => self.limits.take(key, want, now, mono, None),
        };
        names::admitted_alone();
        let holds = want.session || key.budget.is_some();
        Ok(permit.with_held(holds.then(|| shared.keeper.hold(lease_alone(key, want)))))
    }

    async fn reserve_alone(
        &self,
        shared: &Shared,
        permit: &mut Permit,
        key: &Key,
        more: NanoUsd,
    ) -> Result<(), Refusal> {
        let (_, budget) = permit.held();
        let when_away = self.when_away(shared, key);
        if when_away == WhenAway::Open || budget.is_none() {
            permit.note_reserved(more);
            return Ok(());
        }
        if when_away == WhenAway::Closed {
            return Err(closed());
        }
        self.recall_alone(shared, key.id).await.map_err(|error| unknown(&error))?;
        permit.reserve_part(more, shared.share()).map_err(|refusal| without_redis(key, refusal, permit.now()))
    }
}

/// What a call holds that Redis was not asked for. Its fence is below those that Redis gives later: it is about no
/// other admission of this call.
fn lease_alone(key: &Key, want: &Want) -> Lease {
    let call = Uuid::now_v7();
    let micros = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000;
    Lease {
        key: key.id,
        call,
        fence: u64::try_from(micros).unwrap_or(0),
        reserved: NanoUsd(want.cost.map_or(0, |cost| cost.0.max(0))),
        session: want.session,
        from: call,
    }
}

fn key_limits(key: &Key) -> KeyLimits {
    KeyLimits {
        requests_per_minute: key.requests_per_minute,
        max_sessions: key.max_concurrent_sessions,
        budget: key.budget.map(shared_budget),
    }
}

fn shared_budget(budget: snapshot::Budget) -> Budget {
    Budget { amount: budget.amount, window: shared_window(budget.window) }
}

fn shared_window(window: BudgetWindow) -> Window {
    match window {
        BudgetWindow::Total => Window::Total,
        BudgetWindow::Daily => Window::Daily,
        BudgetWindow::Monthly => Window::Monthly,
    }
}

fn rate_state(state: &replicas::RateState) -> RateState {
    RateState { limit: state.limit, remaining: state.remaining, reset: state.reset }
}

fn refused(key: &Key, refusal: &replicas::Refusal, now: OffsetDateTime) -> Refusal {
    let told = match (refusal.limit, key.budget, &refusal.rate) {
        (Limit::Budget, Some(budget), _) => over_budget(budget, now),
        (Limit::Rate, _, Some(rate)) => too_fast(TooFast { state: rate_state(rate), retry_after: refusal.retry_after }),
        _ => too_many_sessions(key.max_concurrent_sessions),
    };
    Refusal { retry_after: refusal.retry_after, ..told }
}

/// A refusal by a part of a limit: it names the limit, and Redis may be back soon.
fn without_redis(key: &Key, refusal: Refusal, now: OffsetDateTime) -> Refusal {
    let told = match (refusal.kind, key.budget) {
        (ErrorKind::BudgetExceeded, Some(budget)) => over_budget(budget, now),
        _ => refusal,
    };
    Refusal { retry_after: told.retry_after.min(SOON), ..told }
}

fn unread(shared: &Shared, error: &Unread) -> Unasked {
    if let Unread::Redis(_) = error {
        shared.core.went_away();
        return Unasked::Away;
    }
    tracing::error!(%error, "what a key has spent cannot be read");
    Unasked::PastUnknown
}

fn unknown(error: &Unread) -> Refusal {
    tracing::error!(%error, "what a key has spent cannot be read, and Redis is away");
    nobody_knows()
}

fn closed() -> Refusal {
    overloaded("The limits of this key cannot be checked at the moment.")
}

fn nobody_knows() -> Refusal {
    overloaded("What this key has spent cannot be read at the moment.")
}

fn overloaded(message: &str) -> Refusal {
    Refusal { kind: ErrorKind::Overloaded, retry_after: SOON, message: message.to_owned(), rate: None }
}
