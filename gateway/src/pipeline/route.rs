//! Which targets may serve a call, best first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dialects::contract::UpstreamModel;
use dialects::error::DialectError;
use dialects::registry::{self, Provider};
use domain::error::ErrorKind;
use domain::ids::TenantId;
use domain::money::NanoUsd;
use domain::provider::{Operation, ProviderKind};
use domain::routing::{self, Measure, Strategy, Target};
use domain::usage::Usage;
use time::OffsetDateTime;

use crate::error::GatewayError;
use crate::pipeline::estimate;
use crate::pipeline::health::{Breaker, Health};
use crate::pipeline::seats::Seat;
use crate::snapshot::{Pool, ProviderAccount, Snapshot};

/// Bytes of a model's name behind its provider.
const MAX_MODEL_BYTES: usize = 256;

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
    /// What its breaker said when the call was routed; never open.
    pub breaker: Breaker,
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
    /// When: which prices are in force.
    pub at: OffsetDateTime,
    /// A target without a price is no answer to it.
    pub refuses_unpriced: bool,
}

impl Question<'_> {
    /// What a use would cost at a candidate; `None` while that is unpriced.
    #[must_use]
    pub fn price(&self, candidate: &Candidate, usage: &Usage) -> Option<NanoUsd> {
        let prices = estimate::prices(self.snapshot, self.tenant, candidate, self.operation, self.at);
        estimate::amount(usage, prices)
    }

    fn measure(&self, candidate: &Candidate, expected: &Usage) -> Measure {
        Measure {
            ttfb_ms: self.health.ttfb_ms(candidate, self.operation),
            cost_nano_usd: self.price(candidate, expected).map(|amount| amount.0),
            in_region: self.region.is_some() && self.region == home(candidate),
        }
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
    fn resolved(&mut self, _strategy: Strategy, _targets: &[Target]) {}

    /// The target at this place is left out.
    fn dropped(&mut self, _place: usize, _why: Dropped<'_>) {}

    /// A target is left, and this is known of it.
    fn measured(&mut self, _candidate: &Candidate, _measure: &Measure) {}

    /// Whether a target is to be measured that is alone, whose order needs no measure.
    fn measures_all(&self) -> bool {
        false
    }

    /// The number that decides a weighted order.
    fn draw(&self, health: &Health) -> f64 {
        health.draw()
    }
}

impl Watch for () {}

/// The candidates for what is asked, in the order in which they are tried. `expected` is what it will use.
///
/// # Errors
/// `ModelNotFound` when nothing has that name, `InvalidRequest` when no target of it can do the
/// operation, `NoHealthyTarget` when every breaker is open, `Overloaded` when the credentials of those that
/// are left are in use as often as they may be.
pub fn route(
    question: &Question<'_>,
    expected: &Usage,
    watch: &mut impl Watch,
) -> Result<Vec<Candidate>, GatewayError> {
    let Question { snapshot, health, tenant, operation, model, .. } = *question;
    let (strategy, targets) = targets(question)?;
    watch.resolved(strategy, &targets);
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
    candidates.retain_mut(|candidate| {
        candidate.breaker = health.breaker(candidate);
        let open = candidate.breaker == Breaker::Open;
        if open {
            watch.dropped(candidate.place, Dropped::BreakerOpen);
        }
        !open
    });
    if candidates.is_empty() {
        let message = format!("Every provider of the model `{model}` is failing at the moment.");
        return Err(GatewayError::upstream(ErrorKind::NoHealthyTarget, message).with_retry_after(10));
    }
    let counted = |candidate: &Candidate| counted(snapshot, tenant, candidate);
    candidates.retain(|candidate| {
        let has_room = counted(candidate).is_none_or(|pool| health.seats.has_room(pool));
        if !has_room {
            watch.dropped(candidate.place, Dropped::InUse);
        }
        has_room
    });
    if candidates.is_empty() {
        return Err(all_in_use());
    }
    if candidates.len() == 1 && !watch.measures_all() {
        return Ok(seated(health, candidates, counted));
    }
    let measures: Vec<Measure> = candidates.iter().map(|candidate| question.measure(candidate, expected)).collect();
    for (candidate, measure) in candidates.iter().zip(&measures) {
        watch.measured(candidate, measure);
    }
    let targets: Vec<Target> = candidates.iter().map(|candidate| candidate.target.clone()).collect();
    let order = routing::order(strategy, &targets, &measures, watch.draw(health));
    let ordered = order.into_iter().filter_map(|index| candidates.get(index).cloned()).collect();
    Ok(seated(health, ordered, counted))
}

/// The provider of a candidate, where it matters which of its credentials is used. Nearly always it does not.
fn counted<'a>(snapshot: &'a Snapshot, tenant: TenantId, candidate: &Candidate) -> Option<&'a Pool> {
    candidate.account.credential?;
    snapshot.provider(tenant, &candidate.account.name).filter(|pool| !pool.is_plain())
}

/// The candidates with each credential that they may be tried with, one behind the other.
fn seated<'a>(
    health: &Health,
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
        let places = health.seats.places(pool).into_iter();
        seated.extend(places.map(|(account, seat)| Candidate { account, seat, ..candidate.clone() }));
    }
    seated
}

/// What is told when every credential is in use as often as it may be.
#[must_use]
pub fn all_in_use() -> GatewayError {
    let message = "The provider's accounts are all in use at the moment.";
    GatewayError::upstream(ErrorKind::Overloaded, message).with_retry_after(1)
}

/// What the name means: a strategy and its targets.
///
/// # Errors
/// `ModelNotFound` when nothing has that name.
pub fn targets(question: &Question<'_>) -> Result<(Strategy, Vec<Target>), GatewayError> {
    let Question { snapshot, tenant, operation, model, .. } = *question;
    match question.pinned {
        Some(kind) => Ok(resolve_pinned(snapshot, tenant, kind, model)),
        None => resolve(snapshot, tenant, operation, model),
    }
}

fn home(candidate: &Candidate) -> Option<&str> {
    candidate.target.region.as_deref().or(candidate.account.region.as_deref())
}

/// A declared route of the tenant or the platform, `provider/model`, or a model that some provider
/// is known to have.
fn resolve(
    snapshot: &Snapshot,
    tenant: TenantId,
    operation: Operation,
    model: &str,
) -> Result<(Strategy, Vec<Target>), GatewayError> {
    if let Some(route) = snapshot.route(tenant, model) {
        return Ok((route.strategy, route.targets.clone()));
    }
    if let Some((provider, name)) = model.split_once('/')
        && snapshot.provider(tenant, provider).is_some()
        && !name.is_empty()
        // Such a name is no provider's, and no database's text.
        && name.len() <= MAX_MODEL_BYTES
        && !name.chars().any(char::is_control)
    {
        return Ok((Strategy::Priority, vec![plain_target(provider, name)]));
    }
    let known = accounts(snapshot, tenant).filter(|account| {
        registry::provider(account.kind).is_some_and(|row| {
            // A provider on this machine is never chosen by a name that does not say so.
            !row.in_process
                && row.models.iter().any(|known| known.name == model && known.operations.contains(&operation))
        })
    });
    let targets: Vec<Target> = known.map(|account| plain_target(&account.name, model)).collect();
    if targets.is_empty() {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        return Err(GatewayError::caller(ErrorKind::ModelNotFound, message).with_param("model"));
    }
    Ok((Strategy::Priority, targets))
}

/// What a name means below the prefix of a vendor: a route's targets there, a deployment or model that some
/// route names, else the model of that name at every account of the vendor.
fn resolve_pinned(snapshot: &Snapshot, tenant: TenantId, kind: ProviderKind, model: &str) -> (Strategy, Vec<Target>) {
    let provider = |target: &Target| snapshot.provider(tenant, &target.provider).map(Pool::account);
    let is_there = |target: &&Target| provider(target).is_some_and(|known| known.kind == kind);
    if let Some(route) = snapshot.route(tenant, model) {
        let targets: Vec<Target> = route.targets.iter().filter(is_there).cloned().collect();
        if !targets.is_empty() {
            return (route.strategy, targets);
        }
    }
    let all = snapshot.routes(tenant).flat_map(|route| &route.targets);
    let named = all.filter(is_there).find(|target| target.options.get("deployment").unwrap_or(&target.model) == model);
    if let Some(target) = named {
        return (Strategy::Priority, vec![target.clone()]);
    }
    let is_name = !model.is_empty() && model.len() <= MAX_MODEL_BYTES && !model.chars().any(char::is_control);
    let accounts = accounts(snapshot, tenant).filter(|account| is_name && account.kind == kind);
    (Strategy::Priority, accounts.map(|account| plain_target(&account.name, model)).collect())
}

/// A target with nothing but a name.
#[must_use]
pub fn plain_target(provider: &str, model: &str) -> Target {
    Target {
        provider: provider.to_owned(),
        model: model.to_owned(),
        weight: 1,
        priority: 0,
        quality: None,
        region: None,
        options: BTreeMap::new(),
    }
}

/// The account at each provider that a tenant may use.
fn accounts(snapshot: &Snapshot, tenant: TenantId) -> impl Iterator<Item = &Arc<ProviderAccount>> {
    snapshot.providers_of(tenant).map(Pool::account)
}

pub(super) fn candidate(question: &Question<'_>, place: usize, target: &Target) -> Option<Candidate> {
    let account = Arc::clone(question.snapshot.provider(question.tenant, &target.provider)?.account());
    let row = registry::provider(account.kind)?;
    let model = upstream_model(&account, target);
    Some(Candidate { account, row, target: target.clone(), model, breaker: Breaker::Closed, place, seat: None })
}

/// A target of an account, for what is asked of it beside any route.
#[must_use]
pub fn at_account(account: &Arc<ProviderAccount>, row: &'static Provider, target: Target) -> Candidate {
    let model = upstream_model(account, &target);
    Candidate { account: Arc::clone(account), row, target, model, breaker: Breaker::Closed, place: 0, seat: None }
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
