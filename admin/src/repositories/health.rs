//! What gateways tell of themselves and of the targets they ask.

use std::collections::{BTreeMap, BTreeSet};

use admin_types::health::{AskHealth, Breaker, GatewayHealth, MAX_TARGETS, TargetHealth};
use changes::gateways;
use domain::routing::Target;
use entities::{gateway_instance, model, target_health};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use time::OffsetDateTime;

use super::Scope;

/// Rows that are read: gateways tell of at most 2000 targets each.
const MAX_ROWS: u64 = 50_000;

/// The gateways that live at `now`, oldest first.
///
/// # Errors
/// The database's.
pub(crate) async fn living(db: &impl ConnectionTrait, now: OffsetDateTime) -> Result<Vec<GatewayHealth>, DbErr> {
    use gateway_instance::Column;
    let living = gateway_instance::Entity::find().filter(Column::HeartbeatAt.gte(now - gateways::DEAD_AFTER));
    let rows = living.order_by_asc(Column::Id).all(db).await?;
    let shown = rows.into_iter().map(|row| GatewayHealth {
        id: row.id.0,
        name: row.name,
        version: row.version,
        started_at: row.started_at,
        heartbeat_at: row.heartbeat_at,
        draining: row.draining,
        open_sessions: row.open_sessions,
        journal_records: row.journal_records,
    });
    Ok(shown.collect())
}

/// The targets that the caller may see, as these gateways know them, and whether there are more. Tenants may
/// name any model at a provider of the platform's, so another sees of these only what its routes lead to.
///
/// # Errors
/// The database's.
pub(crate) async fn targets(
    db: &impl ConnectionTrait,
    scope: Scope,
    living: &[GatewayHealth],
    asked: &AskHealth,
) -> Result<(Vec<TargetHealth>, bool), DbErr> {
    use target_health::Column;
    let wanted = Condition::all()
        .add(Column::GatewayId.is_in(living.iter().map(|gateway| entities::Id(gateway.id))))
        .add_option(asked.provider.as_deref().map(|provider| Column::Provider.eq(provider)))
        .add_option(asked.breaker.map(|breaker| Column::Breaker.eq(breaker.as_str())));
    let mut rows = target_health::Entity::find()
        .filter(scope.own_or_platform(Column::TenantId))
        .filter(wanted)
        .order_by_asc(Column::Provider)
        .order_by_asc(Column::Model)
        .order_by_asc(Column::GatewayId)
        .limit(MAX_ROWS)
        .all(db)
        .await?;
    if scope != Scope::All {
        let routed = routed(db, scope).await?;
        rows.retain(|row| row.tenant_id.is_some() || routed.contains(&(row.provider.clone(), row.model.clone())));
    }
    let most = usize::try_from(MAX_TARGETS).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    Ok((rows.into_iter().map(view).collect(), more))
}

/// The providers and models that the routes lead to which the caller may use.
async fn routed(db: &impl ConnectionTrait, scope: Scope) -> Result<BTreeSet<(String, String)>, DbErr> {
    let routes: Vec<String> = model::Entity::find()
        .select_only()
        .column(model::Column::Targets)
        .filter(scope.own_or_platform(model::Column::TenantId))
        .into_tuple()
        .all(db)
        .await?;
    let mut routed = BTreeSet::new();
    for targets in routes {
        let targets: Vec<Target> = serde_json::from_str(&targets).map_err(|error| DbErr::Json(error.to_string()))?;
        routed.extend(targets.into_iter().map(|target| (target.provider, target.model)));
    }
    Ok(routed)
}

fn view(row: target_health::Model) -> TargetHealth {
    let breakers = [Breaker::Closed, Breaker::HalfOpen, Breaker::Open];
    let breaker = breakers.into_iter().find(|breaker| breaker.as_str() == row.breaker).unwrap_or(Breaker::Closed);
    let ttfb_ms: BTreeMap<String, u64> = serde_json::from_str(&row.ttfb_ms).unwrap_or_default();
    TargetHealth {
        gateway_id: row.gateway_id.0,
        provider_id: row.provider_id.0,
        provider: row.provider,
        tenant_id: row.tenant_id.map(|tenant| tenant.0),
        model: row.model,
        breaker,
        failures: row.failures,
        ttfb_ms,
        updated_at: row.updated_at,
    }
}
