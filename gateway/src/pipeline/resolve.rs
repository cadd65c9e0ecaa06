//! What the name of a model means: how its targets are ordered, and which they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use dialects::registry;
use domain::error::ErrorKind;
use domain::ids::TenantId;
use domain::provider::{Operation, ProviderKind};
use domain::routing::{Strategies, Target};

use crate::error::GatewayError;
use crate::pipeline::route::Question;
use crate::snapshot::{Pool, ProviderAccount, Snapshot};

/// Bytes of a model's name behind its provider.
const MAX_MODEL_BYTES: usize = 256;

/// What the name means: how targets are ordered, and which.
///
/// # Errors
/// `ModelNotFound` when nothing has that name.
pub(super) fn targets(question: &Question<'_>) -> Result<(Strategies, Vec<Target>), GatewayError> {
    let Question { snapshot, tenant, operation, model, .. } = *question;
    match question.pinned {
        Some(kind) => Ok(resolve_pinned(snapshot, tenant, kind, model)),
        None => resolve(snapshot, tenant, operation, model),
    }
}

/// A declared route of the tenant or the platform, `provider/model`, or a model that some provider
/// is known to have.
fn resolve(
    snapshot: &Snapshot,
    tenant: TenantId,
    operation: Operation,
    model: &str,
) -> Result<(Strategies, Vec<Target>), GatewayError> {
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
        return Ok((Strategies::default(), vec![plain_target(provider, name)]));
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
    Ok((Strategies::default(), targets))
}

/// What a name means below the prefix of a vendor: a route's targets there, a deployment or model that some
/// route names, else the model of that name at every account of the vendor.
fn resolve_pinned(snapshot: &Snapshot, tenant: TenantId, kind: ProviderKind, model: &str) -> (Strategies, Vec<Target>) {
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
        return (Strategies::default(), vec![target.clone()]);
    }
    let is_name = !model.is_empty() && model.len() <= MAX_MODEL_BYTES && !model.chars().any(char::is_control);
    let accounts = accounts(snapshot, tenant).filter(|account| is_name && account.kind == kind);
    (Strategies::default(), accounts.map(|account| plain_target(&account.name, model)).collect())
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
