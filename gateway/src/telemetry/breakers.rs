//! Breakers as a gauge. They are told as they are at the moment of the scrape, by a recorder that lives no longer: a
//! target that the configuration has no more is told of no more.

use std::collections::{BTreeMap, HashSet};

use domain::ids::ProviderId;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::names;
use crate::Gateway;
use crate::pipeline::health::{Breaker, TargetState};
use crate::snapshot::Snapshot;

/// Models that no route names: a client may have made them up.
const OTHER: &str = "other";

/// The gauge of every breaker of which something is known.
pub(super) fn told(gateway: &Gateway) -> String {
    let states = states(&gateway.snapshot.load(), gateway.health.targets().into_iter());
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        names::describe();
        for ((provider, model), state) in &states {
            names::breaker(provider, model, *state);
        }
    });
    recorder.handle().render()
}

type Known = ((ProviderId, String), TargetState);

/// The worst state by provider and model. Tenants may have providers of one name.
fn states(view: &Snapshot, known: impl Iterator<Item = Known>) -> BTreeMap<(String, String), u8> {
    let pools = view.providers.values().chain(view.tenant_providers.values().flat_map(BTreeMap::values));
    let providers: HashSet<_> = pools.flat_map(|pool| pool.accounts()).map(|account| account.id).collect();
    let routes = view.models.values().chain(view.tenant_models.values().flat_map(BTreeMap::values));
    let named: HashSet<_> = routes
        .flat_map(|route| &route.targets)
        .map(|target| (target.provider.as_str(), target.model.as_str()))
        .collect();
    let mut states = BTreeMap::new();
    for ((_, model), target) in known.filter(|((provider, _), _)| providers.contains(provider)) {
        let is_named = named.contains(&(target.provider.as_str(), model.as_str()));
        let model = if is_named { model } else { OTHER.to_owned() };
        let state = match target.breaker {
            Breaker::Closed => 0,
            Breaker::HalfOpen => 1,
            Breaker::Open => 2,
        };
        let worst: &mut u8 = states.entry((target.provider, model)).or_default();
        *worst = state.max(*worst);
    }
    states
}
