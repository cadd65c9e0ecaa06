//! What becomes of a call when a target fails: it goes on at another one or, after a wait, at the same one, or the
//! failure is told. The decision is [`domain::routing::retry`]'s; what it needs to know is gathered here.
//!
//! A target is asked again only before anything of its answer was passed on, and only where its failure says that
//! this may help: it was not reached, it broke the connection before it answered, or it said by its status that it
//! cannot now. One that was too slow is not asked again: it has the request, and may be at work on it.

use domain::ids::ProviderId;
use domain::provider::Operation;
use domain::routing::retry::{Failure, Left, Next, Why};

use crate::error::{GatewayError, Mend};
use crate::pipeline::admit::Planned;
use crate::pipeline::call::Call;
use crate::pipeline::health::{Breaker, Health};
use crate::pipeline::meter::Meter;
use crate::pipeline::route::Candidate;
use crate::telemetry::names;

/// How a call goes on after a failure.
#[derive(Debug)]
pub enum Then {
    /// With the next target. The failure is told should none be left.
    Another(GatewayError),
    /// With the same target, now.
    Same,
}

/// The tries of one call.
#[derive(Debug, Default)]
pub struct Tries {
    /// The account from whose budget they are paid.
    home: Option<ProviderId>,
    /// Calls at the target that is tried.
    here: u32,
    /// The request leaves something at a provider, so that none may have it twice.
    pub keeps: bool,
}

impl Tries {
    /// Whether a candidate may be asked now, which one that is asked again may.
    #[must_use]
    pub fn may_ask(&self, call: &Call, candidate: &Candidate) -> bool {
        self.here > 0 || call.may_ask(candidate)
    }

    /// A candidate is about to be asked. Gives the account from whose budget the call is made again.
    pub fn asks(&mut self, call: &Call, meter: &mut Meter, candidate: &Candidate) -> ProviderId {
        meter.attempt(candidate);
        self.called(&call.gateway().health, candidate)
    }

    /// Counts a call to a candidate. Gives the account from whose budget it is made again.
    pub fn called(&mut self, health: &Health, candidate: &Candidate) -> ProviderId {
        self.here += 1;
        *self.home.get_or_insert_with(|| health.retries.called(candidate))
    }

    /// The candidate was not asked after all, and is asked for something else in a moment.
    pub fn take_back(&mut self, meter: &mut Meter) {
        meter.take_back_attempt();
        self.here = self.here.saturating_sub(1);
    }

    /// A candidate failed before it delivered anything. Where it is to be asked again, this waits until then.
    /// `others` are the targets that come behind it.
    ///
    /// # Errors
    /// The failure, where it ends the call.
    pub async fn after<R>(
        &mut self,
        call: &Call,
        meter: &mut Meter,
        candidate: &Candidate,
        error: GatewayError,
        others: &[Planned<R>],
    ) -> Result<Then, GatewayError> {
        let error = match call.note_failure(meter, candidate, error) {
            Ok(error) => error,
            Err(error) => {
                candidate.leave();
                return Err(error);
            }
        };
        let operation = meter.facts().operation;
        let left = Left { targets: usize::from(has_another(candidate, others)), time: call.time_left() };
        match self.next(&call.gateway().health, candidate, operation, error.mend(), left) {
            Next::Another => {
                names::retried(operation, "other_target");
                candidate.leave();
                Ok(Then::Another(error))
            }
            // The seat at the credential is kept meanwhile: whoever got it would find the same.
            Next::SameAfter(wait) => {
                names::retried(operation, "same_target");
                tokio::time::sleep(wait).await;
                Ok(Then::Same)
            }
            Next::GiveUp(why) => {
                told_at_once(operation, why);
                candidate.leave();
                Err(error)
            }
        }
    }

    /// What is done after a failure of a candidate that may be mended so, and pays for it.
    #[must_use]
    pub fn next(
        &mut self,
        health: &Health,
        candidate: &Candidate,
        operation: Operation,
        mend: Mend,
        left: Left,
    ) -> Next {
        let failure = self.failure(health, candidate, operation, mend);
        let next = health.retries.next(self.home.unwrap_or(candidate.account.id), failure, left);
        if next == Next::Another {
            self.here = 0;
        }
        next
    }

    /// What the failure means for another try at the same target.
    fn failure(&self, health: &Health, candidate: &Candidate, operation: Operation, mend: Mend) -> Failure {
        let (same_target, retry_after) = match mend {
            Mend::Unreached => (true, None),
            Mend::Broken => (!self.keeps, None),
            Mend::Refused(wait) => (!self.keeps, wait),
            Mend::Never => (false, None),
        };
        // One that fails everybody is not asked again before its breaker lets it be probed.
        let same_target = same_target && health.look(candidate, operation).breaker != Breaker::Open;
        let retry_after = retry_after.filter(|_| same_target);
        Failure { retry_after, same_target, attempts: self.here }
    }
}

/// Whether some target behind the one that failed can be asked instead. Its provider's other credentials cannot,
/// unless it was the credential that failed.
fn has_another<R>(failed: &Candidate, others: &[Planned<R>]) -> bool {
    let own = failed.seat.as_ref().is_some_and(|seat| seat.is_aside());
    others.iter().any(|other| other.request.is_some() && (own || other.candidate.place != failed.place))
}

fn told_at_once(operation: Operation, why: Why) {
    let reason = match why {
        Why::NoTarget => return,
        Why::NoTime => "deadline",
        Why::NoBudget => "budget",
    };
    names::retry_refused(operation, reason);
}
