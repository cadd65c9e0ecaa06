//! Which targets may serve a call, best first.

use std::collections::BTreeMap;
use std::sync::Arc;

use dialects::contract::UpstreamModel;
use dialects::registry::{self, Provider};
use domain::error::ErrorKind;
use domain::ids::TenantId;
use domain::provider::{Operation, ProviderKind};
use domain::routing::{self, Measure, Strategy, Target};

use crate::error::GatewayError;
use crate::pipeline::health::{Breaker, Health};
use crate::snapshot::{ProviderAccount, Snapshot};

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
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.account.name, self.target.model)
    }
}

/// The candidates for `operation` on `model`, in the order in which they are tried.
///
/// # Errors
/// `ModelNotFound` when nothing has that name, `InvalidRequest` when no target of it can do the
/// operation, `NoHealthyTarget` when every breaker is open.
pub fn route(
    snapshot: &Snapshot,
    health: &Health,
    tenant: TenantId,
    operation: Operation,
    (model, pinned): (&str, Option<ProviderKind>),
    region: Option<&str>,
    estimate: &dyn Fn(&Candidate) -> Option<i64>,
) -> Result<Vec<Candidate>, GatewayError> {
    let (strategy, targets) = match pinned {
        Some(kind) => resolve_pinned(snapshot, tenant, kind, model),
        None => resolve(snapshot, tenant, operation, model)?,
    };
    let mut candidates: Vec<Candidate> = targets.iter().filter_map(|target| candidate(snapshot, target)).collect();
    if candidates.is_empty() {
        let message = format!("No provider of the model `{model}` is configured.");
        return Err(GatewayError::caller(ErrorKind::NoHealthyTarget, message).with_retry_after(30));
    }
    candidates.retain(|candidate| can(candidate, operation));
    if candidates.is_empty() {
        return Err(GatewayError::invalid("model", format!("The model `{model}` cannot be used for {operation}.")));
    }
    candidates.retain_mut(|candidate| {
        candidate.breaker = health.breaker(candidate);
        candidate.breaker != Breaker::Open
    });
    if candidates.is_empty() {
        let message = format!("Every provider of the model `{model}` is failing at the moment.");
        return Err(GatewayError::upstream(ErrorKind::NoHealthyTarget, message).with_retry_after(10));
    }
    if candidates.len() == 1 {
        return Ok(candidates);
    }
    let measures: Vec<Measure> = candidates
        .iter()
        .map(|candidate| Measure {
            ttfb_ms: health.ttfb_ms(candidate, operation),
            cost_nano_usd: estimate(candidate),
            in_region: region.is_some() && region == home(candidate),
        })
        .collect();
    let targets: Vec<Target> = candidates.iter().map(|candidate| candidate.target.clone()).collect();
    let order = routing::order(strategy, &targets, &measures, health.draw());
    Ok(order.into_iter().filter_map(|index| candidates.get(index).cloned()).collect())
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
        && snapshot.providers.contains_key(provider)
        && !name.is_empty()
        // Such a name is no provider's, and no database's text.
        && name.len() <= MAX_MODEL_BYTES
        && !name.chars().any(char::is_control)
    {
        return Ok((Strategy::Priority, vec![plain_target(provider, name)]));
    }
    let known = snapshot.providers.values().filter(|account| {
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
    let is_there = |target: &&Target| snapshot.providers.get(&target.provider).is_some_and(|known| known.kind == kind);
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
    let accounts = snapshot.providers.values().filter(|account| is_name && account.kind == kind);
    (Strategy::Priority, accounts.map(|account| plain_target(&account.name, model)).collect())
}

fn plain_target(provider: &str, model: &str) -> Target {
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

fn candidate(snapshot: &Snapshot, target: &Target) -> Option<Candidate> {
    let account = Arc::clone(snapshot.providers.get(&target.provider)?);
    let row = registry::provider(account.kind)?;
    let wire_name = target.options.get("deployment").unwrap_or(&target.model).clone();
    let (model, provider, options) = (target.model.clone(), account.name.clone(), target.options.clone());
    let model = UpstreamModel { wire_name, model, provider, options };
    Some(Candidate { account, row, target: target.clone(), model, breaker: Breaker::Closed })
}

/// An account itself, for what is asked of it beside any model.
#[must_use]
pub fn of_account(account: &Arc<ProviderAccount>, row: &'static Provider) -> Candidate {
    let (model, provider) = (String::new(), account.name.clone());
    let model = UpstreamModel { wire_name: String::new(), model, provider, options: BTreeMap::new() };
    let (account, target) = (Arc::clone(account), plain_target(&account.name, ""));
    Candidate { account, row, target, model, breaker: Breaker::Closed }
}

/// Whether the provider kind has the operation at all, and the model where it is a known one.
fn can(candidate: &Candidate, operation: Operation) -> bool {
    let row = candidate.row;
    let has = match operation {
        Operation::Transcription | Operation::Translation => row.transcription.is_some(),
        Operation::Speech => row.speech.is_some(),
        Operation::Chat | Operation::Embeddings => row.json.is_some(),
        Operation::Realtime => row.realtime.is_some() || row.live.is_some() || row.agent.is_some(),
        Operation::Passthrough => row.surface.is_some(),
    };
    let mut known = row.models.iter().filter(|known| known.name == candidate.model.model).peekable();
    if row.in_process {
        return known.any(|known| known.operations.contains(&operation));
    }
    // A translation asked of a model that only transcribes is refused by the dialect, which can say
    // why; models nobody has told us about are given the benefit of the doubt.
    let told = known.peek().is_none()
        || operation == Operation::Translation
        || known.any(|known| known.operations.contains(&operation));
    has && told
}
