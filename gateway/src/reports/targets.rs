//! What this process knows of the health of targets, as rows.

use std::collections::{BTreeMap, HashMap};

use database::blocks::{SIZES, blocks};
use domain::ids::ProviderId;
use entities::Id;
use entities::target_health::{ActiveModel, Column, Entity};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, DbErr, EntityTrait};
use time::OffsetDateTime;

use crate::Gateway;
use crate::pipeline::health::TargetState;

/// Rows of one transaction.
const BATCH: usize = 200;
/// Targets that are told of: a vendor's own paths take any model's name.
const MAX_TARGETS: usize = 2_000;

/// What the database has of each target.
#[derive(Debug, Default)]
pub(super) struct WrittenTargets(HashMap<(ProviderId, String), TargetState>);

impl WrittenTargets {
    /// Writes what has changed.
    pub(super) async fn write(&mut self, gateway: &Gateway) -> Result<(), DbErr> {
        let mut changed = gateway.health.targets();
        changed.retain(|key, state| match self.0.get(key) {
            Some(written) => written != state,
            None => true,
        });
        let room = MAX_TARGETS.saturating_sub(self.0.len());
        let (known, new): (Vec<_>, Vec<_>) = changed.into_iter().partition(|(key, _)| self.0.contains_key(key));
        let changed: Vec<_> = known.into_iter().chain(new.into_iter().take(room)).collect();
        let now = OffsetDateTime::now_utc();
        for batch in changed.chunks(BATCH) {
            let transaction = database::begin(&gateway.database).await?;
            for block in blocks(batch, &SIZES) {
                let rows = block.iter().map(|((provider, model), state)| row(gateway, *provider, model, state, now));
                let key = [Column::GatewayId, Column::ProviderId, Column::Model];
                let update = OnConflict::columns(key).update_columns(CHANGING).to_owned();
                Entity::insert_many(rows).on_conflict(update).exec_without_returning(&transaction).await?;
            }
            transaction.commit().await?;
            self.0.extend(batch.iter().cloned());
        }
        Ok(())
    }
}

const CHANGING: [Column; 5] = [Column::Provider, Column::Breaker, Column::Failures, Column::TtfbMs, Column::UpdatedAt];

fn row(gateway: &Gateway, provider: ProviderId, model: &str, state: &TargetState, now: OffsetDateTime) -> ActiveModel {
    let ttfb: BTreeMap<_, _> = state.ttfb_ms.iter().map(|(operation, ms)| (operation.as_str(), ms)).collect();
    ActiveModel {
        gateway_id: Set(Id(gateway.reports.id)),
        provider_id: Set(Id(provider.0)),
        model: Set(model.to_owned()),
        provider: Set(state.provider.clone()),
        tenant_id: Set(state.tenant.map(|tenant| Id(tenant.0))),
        breaker: Set(state.breaker.as_str().to_owned()),
        failures: Set(state.failures.into()),
        ttfb_ms: Set(serde_json::to_string(&ttfb).unwrap_or_default()),
        updated_at: Set(now),
    }
}
