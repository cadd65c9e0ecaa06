//! Which targets may serve a call, best first.

use std::sync::Arc;
use std::time::Duration;

use dialects::contract::UpstreamModel;
use dialects::error::DialectError;
use dialects::registry::{self, Provider};
use domain::error::ErrorKind;
use domain::ids::TenantId;
use domain::money::NanoUsd;
use domain::provider::{Operation, ProviderKind};
use domain::routing::health::Look;
use domain::routing::sticky::Name;
use domain::routing::{self, Draws, Seen, Strategies, Strategy, Target, breaker, region};
use domain::usage::Usage;
use time::OffsetDateTime;

use crate::error::GatewayError;
use crate::pipeline::estimate;
use crate::pipeline::health::{Breaker, Health};
use crate::pipeline::queue::Handed;
use crate::pipeline::resolve::targets;
use crate::pipeline::seats::Seat;
use crate::snapshot::{Pool, ProviderAccount, Snapshot};

pub use crate::pipeline::resolve::plain_target;

/// A target that can be tried.
#[derive(Clone)]
pub struct Candidate {
    /// The account.
    pub account: Arc<ProviderAccount>,
    /// What its kind can do.
    pub row: &'static Provider,
    /// The target as configured.
    pub target: Target,
    /// The provider's side of it.
    pub model: UpstreamModel,
    /// What was known of it when the call was routed. Its breaker is open only in a panic, when all are tried.
    pub look: Look,
    /// The call goes there to measure how soon it does this, and not because it is the best.
    pub measures: Option<Operation>,
    /// Where the target stands among those of its route.
    pub place: usize,
    /// The seat at its credential, where those are counted. The call keeps it while it keeps this.
    pub seat: Option<Arc<Seat>>,
}

impl Candidate {
    /// The provider refuses this credential, and takes it again after `time` at the earliest.
    pub fn set_aside(&self, time: Duration) {
        if let Some(seat) = &self.seat {
            seat.set_aside(time);
        }
    }

    /// The call needs its seat at the credential no more.
    pub fn unseat(&self) {
        if let Some(seat) = &self.seat {
            seat.give_back();
        }
    }

    /// The call leaves this target. Where the target itself has failed, and not its credential, no other
    /// credential of it is tried.
    pub fn leave(&self) {
        if let Some(seat) = &self.seat {
            seat.give_back();
            if !seat.is_aside() {
                seat.provider_failed();
            }
        }
    }
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.account.name, self.target.model)
    }
}

/// What is asked of the targets of a model.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The view that decides.
    pub snapshot: &'a Snapshot,
    /// What is known of the targets.
    pub health: &'a Health,
    /// For whom.
    pub tenant: TenantId,
    /// What is to be done.
    pub operation: Operation,
    /// The name that was asked for.
    pub model: &'a str,
    /// The only kind whose accounts may serve it.
    pub pinned: Option<ProviderKind>,
    /// The region that the caller names.
    pub region: Option<&'a str>,
    /// How the caller wants targets to be ordered, instead of as the route says.
    pub strategy: Option<Strategies>,
    /// The conversation that the call belongs to, which stays where it is while it can.
    pub conversation: Option<Name>,
    /// When: which prices are in force.
    pub at: OffsetDateTime,
    /// A target without a price is no answer to it.
    pub refuses_unpriced: bool,
    /// The seat that the call has waited for, where it has.
    pub handed: Option<&'a Handed>,
}

impl Question<'_> {
    /// What a use would cost at a candidate; `None` while that is unpriced.
    #[must_use]
    pub fn price(&self, candidate: &Candidate, usage: &Usage) -> Option<NanoUsd> {
        let prices = estimate::prices(self.snapshot, self.tenant, candidate, self.operation, self.at);
        estimate::amount(usage, prices)
    }

    /// What the order needs to know of a candidate. Working out a cost takes longest, so it is done only
    /// `with_cost`.
    fn seen(&self, candidate: &Candidate, expected: &Usage, with_cost: bool) -> Seen {
        let name = Name::of_parts(&[candidate.account.id.0.as_bytes(), candidate.target.model.as_bytes()]);
        let cost = with_cost.then(|| self.price(candidate, expected)).flatten();
        Seen {
            timing: candidate.look.timing,
            cost_nano_usd: cost.map(|amount| amount.0),
            distance: region::distance(self.region, home(candidate)),
            ejected_for: candidate.look.ejected_for,
            ..Seen::of(&candidate.target, name)
        }
    }

    /// Whether a candidate is in the region that the caller names.
    #[must_use]
    pub fn is_in_region(&self, candidate: &Candidate) -> bool {
        self.region.zip(home(candidate)).is_some_and(|(wanted, at)| region::is_within(wanted, at))
    }
}

/// Why a target does not serve a call.
#[derive(Debug, Clone, Copy)]
pub enum Dropped<'a> {
    /// No account has the name that the target gives.
    ProviderMissing,
    /// The provider, or its model as far as that is known, does not do such things.
    OperationUnsupported,
    /// It has failed too often of late.
    BreakerOpen,
    /// Its provider's credentials are in use as often as they may be.
    InUse,
    /// What is asked cannot be said in its words.
    Unwritable(&'a DialectError),
    /// It holds no session of this kind.
    Unheld(&'a GatewayError),
}

/// Sees a decision while it is made. A call that is served is watched by `()`, which sees nothing and so costs
/// nothing; whoever explains a decision looks on at the same one.
pub trait Watch {
    /// The name means these targets.
    fn resolved(&mut self, _strategy: Strategies, _targets: &[Target]) {}

    /// The target at this place is left out.
    fn dropped(&mut self, _place: usize, _why: Dropped<'_>) {}

    /// A provider that could serve is in use as often as it may be.
    fn in_use(&mut self, _pool: &Pool) {}

    /// A target is left, and this is known of it.
    fn measured(&mut self, _question: &Question<'_>, _candidate: &Candidate, _seen: &Seen) {}

    /// Whether a target is to be measured that is alone, whose order needs no measure.
    fn measures_all(&self) -> bool {
        false
    }

    /// The numbers that decide where an order is drawn.
    fn draws(&self, health: &Health) -> Draws {
        health.draws()
    }
}

impl Watch for () {}

/// The candidates for what is asked, in the order in which they are tried. `expected` is what it will use.
///
/// # Errors
/// `ModelNotFound` when nothing has that name, `InvalidRequest` when no target of it can do the
/// operation, `NoHealthyTarget` when the breaker of its only target is open, `Overloaded` when the credentials
/// of those that are left are in use as often as they may be.
pub fn route(
    question: &Question<'_>,
    expected: &Usage,
    watch: &mut impl Watch,
) -> Result<Vec<Candidate>, GatewayError> {
    let Question { snapshot, health, tenant, operation, model, handed, .. } = *question;
    let (strategies, targets) = targets(question)?;
    let strategies = question.strategy.unwrap_or(strategies);
    watch.resolved(strategies, &targets);
    let mut candidates = Vec::with_capacity(targets.len());
    for (place, target) in targets.iter().enumerate() {
        match candidate(question, place, target) {
            Some(candidate) => candidates.push(candidate),
            None => watch.dropped(place, Dropped::ProviderMissing),
        }
    }
    if candidates.is_empty() {
        let message = format!("No provider of the model `{model}` is configured.");
        return Err(GatewayError::caller(ErrorKind::NoHealthyTarget, message).with_retry_after(30));
    }
    candidates.retain(|candidate| {
        let can = can(candidate, operation);
        if !can {
            watch.dropped(candidate.place, Dropped::OperationUnsupported);
        }
        can
    });
    if candidates.is_empty() {
        return Err(GatewayError::invalid("model", format!("The model `{model}` cannot be used for {operation}.")));
    }
    health.look_at_all(&mut candidates, operation);
    spare_failing(&mut candidates, watch);
    if candidates.is_empty() {
        let message = format!("Every provider of the model `{model}` is failing at the moment.");
        return Err(GatewayError::upstream(ErrorKind::NoHealthyTarget, message).with_retry_after(10));
    }
    let counted = |candidate: &Candidate| counted(snapshot, tenant, candidate);
    candidates.retain(|candidate| {
        let Some(pool) = counted(candidate) else { return true };
        let has_room = handed.is_some_and(|handed| handed.is_at(pool)) || health.seats.has_room(pool);
        if !has_room {
            watch.dropped(candidate.place, Dropped::InUse);
            watch.in_use(pool);
        }
        has_room
    });
    if candidates.is_empty() {
        return Err(all_in_use());
    }
    if candidates.len() == 1 && !watch.measures_all() {
        return Ok(seated(question, candidates, counted));
    }
    let mut candidates = seated(question, ordered(question, &strategies, candidates, expected, watch), counted);
    if let Some(handed) = handed {
        // It is there by now, and the call has waited.
        candidates.sort_by_key(|candidate| !handed.is_of(candidate));
    }
    Ok(candidates)
}

/// The candidates in the order of the route's strategies.
fn ordered(
    question: &Question<'_>,
    strategies: &Strategies,
    mut candidates: Vec<Candidate>,
    expected: &Usage,
    watch: &mut impl Watch,
) -> Vec<Candidate> {
    let with_cost = strategies.contains(Strategy::Cost) || watch.measures_all();
    let seen: Vec<Seen> = candidates.iter().map(|candidate| question.seen(candidate, expected, with_cost)).collect();
    let order = routing::order(strategies, &seen, watch.draws(question.health), question.conversation);
    let first = order.indices.first().filter(|_| order.measures);
    if let Some(first) = first.and_then(|first| candidates.get_mut(*first)) {
        first.measures = Some(question.operation);
    }
    for (candidate, seen) in candidates.iter().zip(&seen) {
        watch.measured(question, candidate, seen);
    }
    let mut candidates: Vec<Option<Candidate>> = candidates.into_iter().map(Some).collect();
    order.indices.into_iter().filter_map(|index| candidates.get_mut(index)?.take()).collect()
}

/// Leaves out targets whose breaker is open, unless too few would be left: then all are tried, these last.
fn spare_failing(candidates: &mut Vec<Candidate>, watch: &mut impl Watch) {
    let is_open = |candidate: &Candidate| candidate.look.breaker == Breaker::Open;
    let well = candidates.iter().filter(|candidate| !is_open(candidate)).count();
    if breaker::panics(well, candidates.len()) {
        return;
    }
    candidates.retain(|candidate| {
        if is_open(candidate) {
            watch.dropped(candidate.place, Dropped::BreakerOpen);
        }
        !is_open(candidate)
    });
}

/// The provider of a candidate, where it matters which of its credentials is used. Nearly always it does not.
fn counted<'a>(snapshot: &'a Snapshot, tenant: TenantId, candidate: &Candidate) -> Option<&'a Pool> {
    candidate.account.credential?;
    snapshot.provider(tenant, &candidate.account.name).filter(|pool| !pool.is_plain())
}

/// The candidates with each credential that they may be tried with, one behind the other.
fn seated<'a>(
    question: &Question<'_>,
    candidates: Vec<Candidate>,
    counted: impl Fn(&Candidate) -> Option<&'a Pool>,
) -> Vec<Candidate> {
    if candidates.iter().all(|candidate| counted(candidate).is_none()) {
        return candidates;
    }
    let mut seated = Vec::with_capacity(candidates.len() + 1);
    for candidate in candidates {
        let Some(pool) = counted(&candidate) else {
            seated.push(candidate);
            continue;
        };
        let mut measures = candidate.measures;
        for (account, seat) in question.health.seats.places(pool, question.handed) {
            // Only the first of them measures: the next one is for when the provider refuses a credential.
            seated.push(Candidate { account, seat, measures: measures.take(), ..candidate.clone() });
        }
    }
    seated
}

/// What is told when every credential is in use as often as it may be.
#[must_use]
pub fn all_in_use() -> GatewayError {
    let message = "The provider's accounts are all in use at the moment.";
    GatewayError::upstream(ErrorKind::Overloaded, message).with_retry_after(1)
}

fn home(candidate: &Candidate) -> Option<&str> {
    candidate.target.region.as_deref().or(candidate.account.region.as_deref())
}

pub(super) fn candidate(question: &Question<'_>, place: usize, target: &Target) -> Option<Candidate> {
    let account = Arc::clone(question.snapshot.provider(question.tenant, &target.provider)?.account());
    let row = registry::provider(account.kind)?;
    let model = upstream_model(&account, target);
    Some(Candidate {
        account,
        row,
        target: target.clone(),
        model,
        look: Look::default(),
        measures: None,
        place,
        seat: None,
    })
}

/// A target of an account, for what is asked of it beside any route.
#[must_use]
pub fn at_account(account: &Arc<ProviderAccount>, row: &'static Provider, target: Target) -> Candidate {
    let model = upstream_model(account, &target);
    Candidate {
        account: Arc::clone(account),
        row,
        target,
        model,
        look: Look::default(),
        measures: None,
        place: 0,
        seat: None,
    }
}

fn upstream_model(account: &ProviderAccount, target: &Target) -> UpstreamModel {
    let wire_name = target.options.get("deployment").unwrap_or(&target.model).clone();
    let (model, provider, options) = (target.model.clone(), account.name.clone(), target.options.clone());
    UpstreamModel { wire_name, model, provider, options }
}

/// An account itself, for what is asked of it beside any model.
#[must_use]
pub fn of_account(account: &Arc<ProviderAccount>, row: &'static Provider) -> Candidate {
    at_account(account, row, plain_target(&account.name, ""))
}

/// Whether the provider kind has the operation at all, and the model where it is a known one.
fn can(candidate: &Candidate, operation: Operation) -> bool {
    let row = candidate.row;
    let mut known = row.models.iter().filter(|known| known.name == candidate.model.model).peekable();
    if row.in_process {
        return known.any(|known| known.operations.contains(&operation));
    }
    // A translation asked of a model that only transcribes is refused by the dialect, which can say
    // why; models nobody has told us about are given the benefit of the doubt.
    let told = known.peek().is_none()
        || operation == Operation::Translation
        || known.any(|known| known.operations.contains(&operation));
    row.has(operation) && told
}
