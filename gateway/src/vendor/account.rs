//! Which account serves a vendor's own path, and whether the caller may.

use std::collections::BTreeMap;
use std::sync::Arc;

use dialects::contract::UpstreamModel;
use dialects::surface::Surface;
use domain::error::ErrorKind;
use domain::money::NanoUsd;
use domain::provider::Operation;
use domain::routing::Target;
use domain::usage::Usage;

use crate::error::GatewayError;
use crate::pipeline::admit::refuse_unpriced;
use crate::pipeline::authenticate::Principal;
use crate::pipeline::call::Call;
use crate::pipeline::estimate;
use crate::pipeline::health::{Breaker, Health};
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::route::Candidate;
use crate::snapshot::{ProviderAccount, Snapshot};
use crate::vendor::Vendor;

/// Bytes of a model's name.
const MAX_MODEL_BYTES: usize = 256;

/// The accounts of a vendor, in the order of their names.
fn accounts(snapshot: &Snapshot, vendor: Vendor) -> Result<Vec<&Arc<ProviderAccount>>, GatewayError> {
    let found: Vec<_> = snapshot.providers.values().filter(|account| account.kind == vendor.row.kind).collect();
    if found.is_empty() {
        let message = format!("No provider of the kind `{}` is configured.", vendor.row.kind);
        return Err(GatewayError::caller(ErrorKind::NoHealthyTarget, message).with_retry_after(30));
    }
    Ok(found)
}

/// The account for what belongs to no model.
///
/// # Errors
/// There is none.
pub(super) fn any(
    snapshot: &Snapshot,
    vendor: Vendor,
    operation: Operation,
    model: &str,
) -> Result<Candidate, GatewayError> {
    let account = accounts(snapshot, vendor)?.into_iter().next().ok_or_else(nobody)?;
    Ok(candidate(snapshot, vendor, account, None, operation, model))
}

/// The account that serves a model: the first that some route of the tenant names for it, else the
/// first of all. A key whose patterns name the model, or the model at an account, may use it.
///
/// # Errors
/// There is none, the key may not, or every one is failing.
pub(super) fn choose(
    snapshot: &Snapshot,
    health: &Health,
    principal: &Principal,
    vendor: Vendor,
    operation: Operation,
    model: &str,
) -> Result<Candidate, GatewayError> {
    if model.is_empty() || model.len() > MAX_MODEL_BYTES || model.chars().any(char::is_control) {
        return Err(GatewayError::invalid("model", "This is not the name of a model."));
    }
    let tenant = principal.key.tenant;
    let declared = |account: &ProviderAccount| {
        let targets = snapshot.routes(tenant).flat_map(|route| &route.targets);
        targets.into_iter().any(|target| target.provider == account.name && target.model == model)
    };
    let mut accounts = accounts(snapshot, vendor)?;
    accounts.sort_by_key(|account| !declared(account));
    let mut refused = None;
    for account in accounts {
        if let Err(error) = may_use(principal, account, operation, model) {
            refused = Some(error);
            continue;
        }
        let mut candidate = candidate(snapshot, vendor, account, Some(principal), operation, model);
        candidate.breaker = health.breaker(&candidate);
        if candidate.breaker != Breaker::Open {
            return Ok(candidate);
        }
    }
    Err(refused.unwrap_or_else(nobody))
}

/// The account of this name, where the caller may use the model there.
///
/// # Errors
/// As [`choose`]'s.
pub(super) fn named(
    snapshot: &Snapshot,
    health: &Health,
    principal: &Principal,
    vendor: Vendor,
    operation: Operation,
    model: &str,
    name: &str,
) -> Result<Candidate, GatewayError> {
    let account = accounts(snapshot, vendor)?.into_iter().find(|account| account.name == name).ok_or_else(nobody)?;
    may_use(principal, account, operation, model)?;
    let mut candidate = candidate(snapshot, vendor, account, Some(principal), operation, model);
    candidate.breaker = health.breaker(&candidate);
    if candidate.breaker == Breaker::Open { Err(nobody()) } else { Ok(candidate) }
}

/// Whether a key's patterns name the model, or the model at this account.
fn may_use(
    principal: &Principal,
    account: &ProviderAccount,
    operation: Operation,
    model: &str,
) -> Result<(), GatewayError> {
    principal.require(operation, model).or_else(|error| {
        let qualified = format!("{}/{model}", account.name);
        principal.require(operation, &qualified).map_err(|_| error)
    })
}

/// What is told when no account can be asked.
pub(super) fn nobody() -> GatewayError {
    let message = "The provider is failing at the moment.";
    GatewayError::upstream(ErrorKind::NoHealthyTarget, message).with_retry_after(10)
}

fn candidate(
    snapshot: &Snapshot,
    vendor: Vendor,
    account: &Arc<ProviderAccount>,
    principal: Option<&Principal>,
    operation: Operation,
    model: &str,
) -> Candidate {
    let priced = priced_name(snapshot, vendor.surface, account, principal, operation, model);
    let target = Target {
        provider: account.name.clone(),
        model: priced.to_owned(),
        weight: 1,
        priority: 0,
        quality: None,
        region: None,
        options: BTreeMap::new(),
    };
    let (wire_name, provider) = (model.to_owned(), account.name.clone());
    let model = UpstreamModel { wire_name, model: priced.to_owned(), provider, options: BTreeMap::new() };
    Candidate { account: Arc::clone(account), row: vendor.row, target, model, breaker: Breaker::Closed, place: 0 }
}

/// The name under which a model is priced: its own where it has a price, else its family's.
fn priced_name<'a>(
    snapshot: &Snapshot,
    surface: &Surface,
    account: &ProviderAccount,
    principal: Option<&Principal>,
    operation: Operation,
    model: &'a str,
) -> &'a str {
    let Some(tenant) = principal.map(|principal| principal.key.tenant) else { return model };
    let now = time::OffsetDateTime::now_utc();
    let has_price = |name: &str, operation| !snapshot.prices.at(tenant, account.kind, name, operation, now).is_empty();
    let family = (surface.priced_as)(model).filter(|family| has_price(family, operation));
    if has_price(model, operation) { model } else { family.unwrap_or(model) }
}

/// Opens the account of a call at its one candidate.
///
/// # Errors
/// A limit does not hold it, or it has no price and the key refuses such.
pub(super) fn admit(
    call: &Call,
    facts: CallFacts,
    candidate: &Candidate,
    expected: &Usage,
) -> Result<Meter, GatewayError> {
    let cost = price(&call.snapshot, &facts, candidate, expected);
    refuse_unpriced(call.principal.key.refuse_unpriced, std::iter::once(cost))?;
    let gateway = call.gateway();
    gateway.ledger.accepts()?;
    let want = crate::limits::Want { cost, session: false };
    let permit = gateway.limits.admit(&call.principal.key, &want, facts.started_at, facts.started)?;
    // Last, since it may take the one probe that there is.
    if !call.may_ask(candidate) {
        return Err(nobody());
    }
    Ok(Meter::open(gateway, facts, permit, None))
}

/// What a use would cost at a candidate.
pub(super) fn price(
    snapshot: &Snapshot,
    facts: &CallFacts,
    candidate: &Candidate,
    expected: &Usage,
) -> Option<NanoUsd> {
    let prices = estimate::prices(snapshot, facts.key.tenant, candidate, facts.operation, facts.started_at);
    estimate::amount(expected, prices)
}
