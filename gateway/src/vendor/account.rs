//! Which account serves a vendor's own path, and whether the caller may.

use std::collections::BTreeMap;
use std::sync::Arc;

use dialects::contract::UpstreamModel;
use dialects::surface::Surface;
use domain::error::ErrorKind;
use domain::ids::{CredentialId, TenantId};
use domain::money::NanoUsd;
use domain::provider::Operation;
use domain::routing::Target;
use domain::routing::health::Look;
use domain::usage::Usage;

use crate::Gateway;
use crate::error::GatewayError;
use crate::pipeline::admit::refuse_unpriced;
use crate::pipeline::authenticate::Principal;
use crate::pipeline::call::Call;
use crate::pipeline::estimate;
use crate::pipeline::health::{Breaker, Health};
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::progress::Progress;
use crate::pipeline::queue::{self, Handed, InUse};
use crate::pipeline::route::{Candidate, all_in_use};
use crate::pipeline::seats::Place;
use crate::snapshot::{Pool, ProviderAccount, Snapshot};
use crate::vendor::Vendor;

/// Bytes of a model's name.
const MAX_MODEL_BYTES: usize = 256;

/// The providers of a vendor that a tenant may use, its own first.
fn providers(snapshot: &Snapshot, tenant: TenantId, vendor: Vendor) -> Result<Vec<&Pool>, GatewayError> {
    let pools = snapshot.providers_of(tenant);
    let found: Vec<_> = pools.filter(|pool| pool.account().kind == vendor.row.kind).collect();
    if found.is_empty() {
        let message = format!("No provider of the kind `{}` is configured.", vendor.row.kind);
        return Err(GatewayError::caller(ErrorKind::NoHealthyTarget, message).with_retry_after(30));
    }
    Ok(found)
}

/// The account for what belongs to no model.
///
/// # Errors
/// There is none, or its credentials are all in use.
pub(super) fn any(
    snapshot: &Snapshot,
    health: &Health,
    vendor: Vendor,
    tenant: TenantId,
    model: &str,
) -> Result<Candidate, GatewayError> {
    let pool = providers(snapshot, tenant, vendor)?.into_iter().next().ok_or_else(nobody)?;
    seated(health, pool, candidate(vendor, pool.account(), model, model), None).ok_or_else(all_in_use)
}

/// The account that serves a model: the first that some route of the tenant names for it, else the
/// first of all. A key whose patterns name the model, or the model at an account, may use it. Where they are
/// all in use, one is waited for in turn.
///
/// # Errors
/// There is none, the key may not, or every one is failing or stays in use as often as it may be.
pub(super) async fn choose(
    gateway: &Gateway,
    caller: (&Snapshot, &Principal, &Progress),
    vendor: Vendor,
    operation: Operation,
    model: &str,
) -> Result<Candidate, GatewayError> {
    let (snapshot, principal, progress) = caller;
    let tenant = principal.key.tenant;
    queue::seated(gateway, progress, tenant, |handed, in_use| {
        find(snapshot, &gateway.health, principal, vendor, operation, model, handed, in_use)
    })
    .await
}

#[expect(clippy::too_many_arguments, reason = "what decides is named one by one, as for a route")]
fn find(
    snapshot: &Snapshot,
    health: &Health,
    principal: &Principal,
    vendor: Vendor,
    operation: Operation,
    model: &str,
    handed: Option<&Handed>,
    in_use: &mut InUse,
) -> Result<Candidate, GatewayError> {
    if model.is_empty() || model.len() > MAX_MODEL_BYTES || model.chars().any(char::is_control) {
        return Err(GatewayError::invalid("model", "This is not the name of a model."));
    }
    let tenant = principal.key.tenant;
    let declared = |account: &ProviderAccount| {
        let targets = snapshot.routes(tenant).flat_map(|route| &route.targets);
        targets.into_iter().any(|target| target.provider == account.name && target.model == model)
    };
    let mut pools = providers(snapshot, tenant, vendor)?;
    pools.sort_by_key(|pool| !declared(pool.account()));
    let mut refused = None;
    for pool in pools {
        let account = pool.account();
        if let Err(error) = may_use(principal, account, operation, model) {
            refused = Some(error);
            continue;
        }
        let priced = priced_name(snapshot, vendor.surface, account, tenant, operation, model);
        let mut candidate = candidate(vendor, account, model, priced);
        candidate.look = health.look(&candidate, operation);
        if candidate.look.breaker == Breaker::Open {
            continue;
        }
        match seated(health, pool, candidate, handed) {
            Some(candidate) => return Ok(candidate),
            None => {
                in_use.add(pool);
                refused = refused.or_else(|| Some(all_in_use()));
            }
        }
    }
    Err(refused.unwrap_or_else(nobody))
}

/// The account of this name, where the caller may use the model there; with this one of its credentials,
/// where that is still in use.
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
    (name, credential): (&str, Option<CredentialId>),
) -> Result<Candidate, GatewayError> {
    let tenant = principal.key.tenant;
    let found = snapshot.provider(tenant, name).filter(|pool| pool.account().kind == vendor.row.kind);
    let pool = found.ok_or_else(nobody)?;
    let account = pool.account();
    may_use(principal, account, operation, model)?;
    let priced = priced_name(snapshot, vendor.surface, account, tenant, operation, model);
    let mut candidate = candidate(vendor, account, model, priced);
    candidate.look = health.look(&candidate, operation);
    if candidate.look.breaker == Breaker::Open {
        return Err(nobody());
    }
    let mut places = health.seats.places(pool, None);
    places.sort_by_key(|(account, _)| account.key().1 != credential);
    take(places, candidate).ok_or_else(all_in_use)
}

/// The candidate with a seat at one of the provider's credentials; `None` where all are in use.
fn seated(health: &Health, pool: &Pool, candidate: Candidate, handed: Option<&Handed>) -> Option<Candidate> {
    if pool.is_plain() { Some(candidate) } else { take(health.seats.places(pool, handed), candidate) }
}

/// The seat is taken at once: what is asked in between may take long, and nobody else is asked after it.
fn take(places: Vec<Place>, candidate: Candidate) -> Option<Candidate> {
    let mut free = places.into_iter().filter(|(_, seat)| seat.as_ref().is_none_or(|seat| seat.take()));
    let (account, seat) = free.next()?;
    Some(Candidate { account, seat, ..candidate })
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

fn candidate(vendor: Vendor, account: &Arc<ProviderAccount>, model: &str, priced: &str) -> Candidate {
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
    Candidate {
        account: Arc::clone(account),
        row: vendor.row,
        target,
        model,
        look: Look::default(),
        measures: None,
        place: 0,
        seat: None,
    }
}

/// The name under which a model is priced: its own where it has a price, else its family's.
fn priced_name<'a>(
    snapshot: &Snapshot,
    surface: &Surface,
    account: &ProviderAccount,
    tenant: TenantId,
    operation: Operation,
    model: &'a str,
) -> &'a str {
    let now = time::OffsetDateTime::now_utc();
    let has_price = |name: &str, operation| !snapshot.prices.at(tenant, account.kind, name, operation, now).is_empty();
    let family = (surface.priced_as)(model).filter(|family| has_price(family, operation));
    if has_price(model, operation) { model } else { family.unwrap_or(model) }
}

/// Opens the account of a call at its one candidate.
///
/// # Errors
/// A limit does not hold it, or it has no price and the key refuses such.
pub(super) async fn admit(
    call: &Call,
    facts: CallFacts,
    candidate: &Candidate,
    expected: &Usage,
) -> Result<Meter, GatewayError> {
    let _phase = facts.trace.phase("admit");
    let cost = price(&call.snapshot, &facts, candidate, expected);
    refuse_unpriced(call.principal.key.refuse_unpriced, std::iter::once(cost))?;
    let gateway = call.gateway();
    gateway.ledger.accepts()?;
    let want = crate::limits::Want { cost, session: false };
    let permit = call.worker.admit(&call.principal.key, &want, &facts).await?;
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
