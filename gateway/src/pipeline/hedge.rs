//! A second target that is asked beside a first one that is slow, where a route wants that.
//!
//! The second one is asked once the first has taken longer than it nearly always does, and only where another try is
//! left in the retry budget, the second is well and has room, and speaks with that voice. Whoever delivers audio first
//! serves. The other one's call is dropped, which closes its connection, and its seat is given back. Where one of them
//! fails, the other goes on alone.
//!
//! There is one account of the call, and it names one of the two at any moment: the one that is billed should the
//! client leave now or the process be killed. Should the client leave while both work, both are dropped.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::{Duration, Instant};

use domain::ids::ProviderId;
use domain::provider::Operation;
use domain::usage::Usage;

use crate::error::GatewayError;
use crate::ledger::Note;
use crate::pipeline::admit::Planned;
use crate::pipeline::call::Call;
use crate::pipeline::estimate::Input;
use crate::pipeline::health::Breaker;
use crate::pipeline::meter::Meter;
use crate::pipeline::route::Candidate;
use crate::pipeline::speech::{Answered, Asking, Spoken, find_voice};
use crate::telemetry::names;

/// What came of two targets, and from whom: the target that is named, or where there is none, the first one.
pub(super) type Raced = (Option<Candidate>, Result<Answered, GatewayError>);

/// How long the first target has before another is asked as well; `None` where none is.
pub(super) fn patience(call: &Call, meter: &Meter, first: &Candidate, others: &[Planned<Spoken>]) -> Option<Duration> {
    let facts = meter.facts();
    if others.is_empty() {
        return None;
    }
    let hedge = call.snapshot.route(facts.key.tenant, &facts.model_asked)?.hedge?;
    // What goes there to measure it is to be measured.
    let worth = first.measures.is_none() && others.iter().any(|other| fits(first, other));
    worth.then(|| hedge.after(&first.look.timing))
}

/// Whether a target can be asked beside the first one: it is another one, it is well, and it is not this machine.
fn fits(first: &Candidate, other: &Planned<Spoken>) -> bool {
    let (candidate, look) = (&other.candidate, &other.candidate.look);
    let is_well = look.breaker == Breaker::Closed && candidate.measures.is_none();
    is_well && candidate.place != first.place && other.request.as_ref().is_some_and(Spoken::is_remote)
}

/// The two of a call.
pub(super) struct Race<'a> {
    pub(super) call: &'a Rc<Call>,
    /// The account from whose budget the second one is paid.
    pub(super) home: ProviderId,
    pub(super) first: &'a Candidate,
    /// What the call sends, for the account.
    pub(super) sent: &'a Usage,
    pub(super) meter: &'a mut Meter,
}

impl Race<'_> {
    /// Asks the first target, and where it does not deliver within `patience`, another one of `others` beside it.
    pub(super) async fn run(self, spoken: Spoken, patience: Duration, others: &mut [Planned<Spoken>]) -> Raced {
        let (call, first, sent) = (self.call, self.first, self.sent);
        let asking = match Asking::of(spoken) {
            Ok(asking) => asking,
            Err(error) => return (None, Err(error)),
        };
        let input = asking.input(sent);
        let note = call.dispatched(self.meter, first, &input);
        let mut leading = pin!(asking.ask(call, first, note));
        let second = async {
            tokio::time::sleep(patience).await;
            self.prepared(others).await
        };
        let (second, spoken) = tokio::select! {
            biased;
            answer = &mut leading => return (None, answer),
            second = second => match second {
                Some(second) => second,
                None => return (None, leading.await),
            },
        };
        self.both(leading, &input, second, spoken).await
    }

    /// A second target that may be asked now, and what it is asked.
    async fn prepared(&self, others: &mut [Planned<Spoken>]) -> Option<(Candidate, Asking)> {
        let (call, first) = (self.call, self.first);
        for other in others.iter_mut().filter(|other| fits(first, other)) {
            let Some(spoken) = &mut other.request else { continue };
            if find_voice(call, &other.candidate, spoken).await.is_err() || !call.may_ask(&other.candidate) {
                continue;
            }
            if !call.gateway().health.retries.take(self.home) {
                names::retry_refused(Operation::Speech, "budget");
                call.progress.asks(first);
                other.candidate.unseat();
                return None;
            }
            // It is not asked a second time should this one fail.
            let asking = Asking::of(other.request.take()?).ok()?;
            return Some((other.candidate.clone(), asking));
        }
        call.progress.asks(first);
        None
    }

    /// Both targets are at work.
    async fn both(
        self,
        mut leading: Pin<&mut impl Future<Output = Result<Answered, GatewayError>>>,
        input: &Input,
        second: Candidate,
        asking: Asking,
    ) -> Raced {
        let Self { call, first, sent, meter, .. } = self;
        names::hedged();
        let (asked_first, asked) = (meter.asked(), Instant::now());
        let second_input = asking.input(sent);
        meter.attempt_beside(&second);
        // Nobody goes on without the client while both are at work.
        call.progress.failed();
        // The first has not even been sent all of the request: it is the second that bills.
        let second_bills = meter.is_awaited();
        if second_bills {
            meter.takes_over(&call.snapshot, &second, &second_input, asked);
        }
        let mut trailing = pin!(asking.ask(call, &second, Note::none()));
        tokio::select! {
            biased;
            answer = &mut leading => match answer {
                Ok(answer) => {
                    if second_bills {
                        meter.takes_over(&call.snapshot, first, input, asked_first);
                    }
                    call.progress.asks(first);
                    lost(call, meter, &second, None);
                    (None, Ok(answer))
                }
                Err(error) => {
                    // Also where it says that all others would fail: the second one has the request already.
                    drop(call.failed(meter, first, error));
                    meter.takes_over(&call.snapshot, &second, &second_input, asked);
                    call.progress.dispatched();
                    let answer = trailing.await;
                    if answer.is_ok() {
                        names::hedge_won();
                    }
                    (Some(second.clone()), answer)
                }
            },
            answer = &mut trailing => match answer {
                Ok(answer) => {
                    names::hedge_won();
                    lost(call, meter, first, Some(asked_first.elapsed()));
                    meter.takes_over(&call.snapshot, &second, &second_input, asked);
                    (Some(second.clone()), Ok(answer))
                }
                Err(error) => {
                    meter.attempt_failed(&second, error.kind());
                    if error.speaks_against_target() {
                        call.gateway().health.failed(&second, Operation::Speech, asked.elapsed());
                    }
                    second.leave();
                    if second_bills {
                        meter.takes_over(&call.snapshot, first, input, asked_first);
                    }
                    call.progress.asks(first);
                    call.progress.dispatched();
                    (None, leading.await)
                }
            },
        }
    }
}

/// A target whose call is dropped since another one was sooner. `waited` is how long it had been at work, where that
/// says something about it.
fn lost(call: &Call, meter: &mut Meter, candidate: &Candidate, waited: Option<Duration>) {
    meter.lost(candidate);
    candidate.unseat();
    if let Some(waited) = waited {
        call.gateway().health.outrun(candidate, Operation::Speech, waited);
    }
}
