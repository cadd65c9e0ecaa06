//! From a request to an admitted call: price → route → write each target's request → reserve → open
//! the account.

use dialects::error::DialectError;
use domain::error::ErrorKind;
use domain::money::NanoUsd;
use domain::usage::Usage;

use crate::error::GatewayError;
use crate::limits::Want;
use crate::pipeline::call::Call;
use crate::pipeline::decision::Noting;
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::queue;
use crate::pipeline::route::{Candidate, Dropped, Question, Watch, route};

/// A target in the order of the route, with the request in its own words.
#[derive(Debug)]
pub struct Planned<R> {
    /// The target.
    pub candidate: Candidate,
    /// What it is sent; `None` where it cannot serve what is asked.
    pub request: Option<R>,
}

/// A request in a provider's words.
pub trait Written {
    /// What it will use as this provider bills it, where that is not what is expected of every target.
    fn expected(&self) -> Option<&Usage> {
        None
    }
}

/// Admits a call: finds the targets that can serve it and reserves what the dearest of them may cost,
/// so that failover cannot break the budget. Where all of them are in use, it waits for one in turn.
///
/// # Errors
/// Nothing serves the model or the request, all that does stays in use, or a limit does not hold it. Nothing is
/// held then.
pub async fn admit<R: Written>(
    call: &Call,
    facts: CallFacts,
    model: &str,
    expected: &Usage,
    mut write: impl FnMut(&Candidate) -> Result<R, DialectError>,
) -> Result<(Vec<Planned<R>>, Meter), GatewayError> {
    let _phase = facts.trace.phase("admit");
    let gateway = call.gateway();
    let tenant = call.principal.key.tenant;
    let (planned, cost, routing) = queue::seated(gateway, &call.progress, tenant, |handed, in_use| {
        let question = Question { handed, ..question(call, &facts, model) };
        let mut noting = Noting::beside(in_use);
        let (planned, cost) = decide(&question, expected, &mut write, &mut noting)?;
        let able = planned.iter().filter(|target| target.request.is_some()).map(|target| &target.candidate);
        let routing = noting.routing(able.clone().map(|candidate| candidate.place));
        in_use.claim(&call.snapshot, tenant, able)?;
        Ok((planned, cost, routing))
    })
    .await?;
    gateway.ledger.accepts()?;
    let want = Want { cost, session: false };
    let permit = call.worker.admit(&call.principal.key, &want, &facts).await?;
    let mut meter = Meter::open(gateway, facts, permit, None);
    meter.routed(routing);
    Ok((planned, meter))
}

/// Writes the requests of the targets that are left again, since what is asked has changed, and holds
/// more of the budget where it has become dearer.
///
/// # Errors
/// None of them can serve it now, or the budget does not hold it.
pub async fn admit_again<R: Written>(
    call: &Call,
    meter: &mut Meter,
    left: &mut [Planned<R>],
    expected: &Usage,
    write: impl FnMut(&Candidate) -> Result<R, DialectError>,
) -> Result<(), GatewayError> {
    let facts = meter.facts();
    let cost = plan(&question(call, facts, &facts.model_asked), left, expected, write, &mut ())?;
    meter.keep_reserved(cost).await?;
    Ok(())
}

/// The decision itself, from nothing but what is known: the targets in the order in which they are tried, each
/// with its request, and what the dearest that can serve may cost. Nothing is taken or held by it.
///
/// # Errors
/// As [`route`]'s; no target can serve what is asked, or one that can has no price and is refused for that.
pub fn decide<R: Written>(
    question: &Question<'_>,
    expected: &Usage,
    write: impl FnMut(&Candidate) -> Result<R, DialectError>,
    watch: &mut impl Watch,
) -> Result<(Vec<Planned<R>>, Option<NanoUsd>), GatewayError> {
    let candidates = route(question, expected, watch)?;
    let mut planned = candidates.into_iter().map(|candidate| Planned { candidate, request: None }).collect::<Vec<_>>();
    let cost = plan(question, &mut planned, expected, write, watch)?;
    Ok((planned, cost))
}

fn question<'a>(call: &'a Call, facts: &'a CallFacts, model: &'a str) -> Question<'a> {
    Question {
        snapshot: &call.snapshot,
        health: &call.gateway().health,
        tenant: call.principal.key.tenant,
        operation: facts.operation,
        model,
        pinned: facts.pinned,
        region: facts.region.as_deref(),
        strategy: facts.strategy,
        conversation: facts.conversation,
        at: facts.started_at,
        refuses_unpriced: call.principal.key.refuse_unpriced,
        handed: None,
    }
}

/// Writes each target's request, and gives the cost of the dearest that can serve it.
fn plan<R: Written>(
    question: &Question<'_>,
    planned: &mut [Planned<R>],
    expected: &Usage,
    mut write: impl FnMut(&Candidate) -> Result<R, DialectError>,
    watch: &mut impl Watch,
) -> Result<Option<NanoUsd>, GatewayError> {
    let mut reason: Option<DialectError> = None;
    for target in &mut *planned {
        match write(&target.candidate) {
            Ok(request) => target.request = Some(request),
            Err(error) => {
                watch.dropped(target.candidate.place, Dropped::Unwritable(&error));
                target.request = None;
                reason = reason.or(Some(error));
            }
        }
    }
    let able = || planned.iter().filter(|target| target.request.is_some());
    if let (None, Some(reason)) = (able().next(), reason) {
        return Err(reason.into());
    }
    let price = |target: &Planned<R>| {
        let own = target.request.as_ref().and_then(Written::expected);
        question.price(&target.candidate, own.unwrap_or(expected))
    };
    refuse_unpriced(question.refuses_unpriced, able().map(price))?;
    Ok(able().filter_map(price).max())
}

/// Who refuses what cannot be priced gets nothing from targets without a price, also as a second choice.
///
/// # Errors
/// `ModelUnpriced`.
pub fn refuse_unpriced(refuses: bool, mut prices: impl Iterator<Item = Option<NanoUsd>>) -> Result<(), GatewayError> {
    if refuses && prices.any(|price| price.is_none()) {
        return Err(GatewayError::caller(
            ErrorKind::ModelUnpriced,
            "No price is known for this model, and this key refuses such models.",
        ));
    }
    Ok(())
}

/// What is told when no target could be asked at all: others probe them at this moment.
#[must_use]
pub fn nothing_left() -> GatewayError {
    let message = "Every provider of the model is failing at the moment.";
    GatewayError::upstream(ErrorKind::NoHealthyTarget, message).with_retry_after(10)
}

/// What a target says that lacks an operation altogether.
#[must_use]
pub fn cannot(what: &str) -> DialectError {
    DialectError::Unsupported { param: "model", message: format!("The model cannot {what}.") }
}
