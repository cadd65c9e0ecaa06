//! The open sessions of this process, as rows.

use std::collections::HashMap;

use database::blocks::{SIZES, blocks};
use domain::ids::SessionId;
use entities::Id;
use entities::live_session::{ActiveModel, Column, Entity};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::NotSet, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter};

use super::count;
use crate::Gateway;
use crate::realtime::live::{Live, SoFar};

/// Rows of one transaction.
const BATCH: usize = 200;

/// Which revision of each session the database has.
#[derive(Debug, Default)]
pub(super) struct WrittenSessions(HashMap<SessionId, u64>);

impl WrittenSessions {
    /// Writes what has changed, and takes out what is over.
    pub(super) async fn write(&mut self, gateway: &Gateway) -> Result<(), DbErr> {
        let open = gateway.sessions.list();
        let changed: Vec<_> =
            open.iter().filter_map(|live| Some((live, live.since(self.0.get(&live.id).copied())?))).collect();
        for batch in changed.chunks(BATCH) {
            let transaction = database::begin(&gateway.database).await?;
            for block in blocks(batch, &SIZES) {
                let rows = block.iter().map(|(live, so_far)| row(gateway, live, so_far));
                let update = OnConflict::column(Column::Id).update_columns(CHANGING).to_owned();
                Entity::insert_many(rows).on_conflict(update).exec_without_returning(&transaction).await?;
            }
            transaction.commit().await?;
            self.0.extend(batch.iter().map(|(live, so_far)| (live.id, so_far.revision)));
        }
        self.remove_ended(gateway, open.iter().map(|live| live.id).collect()).await
    }

    async fn remove_ended(&mut self, gateway: &Gateway, mut open: Vec<SessionId>) -> Result<(), DbErr> {
        open.sort_unstable();
        let ended: Vec<_> = self.0.keys().filter(|id| open.binary_search(id).is_err()).copied().collect();
        for batch in ended.chunks(BATCH) {
            let transaction = database::begin(&gateway.database).await?;
            for block in blocks(batch, &SIZES) {
                let ids = block.iter().map(|id| Id(id.0));
                Entity::delete_many().filter(Column::Id.is_in(ids)).exec(&transaction).await?;
            }
            transaction.commit().await?;
            for id in batch {
                self.0.remove(id);
            }
        }
        Ok(())
    }
}

/// What may change in a session's life; who shall end it and why is the control plane's to write.
const CHANGING: [Column; 8] = [
    Column::ModelAsked,
    Column::Provider,
    Column::ModelServed,
    Column::LastSeenAt,
    Column::Turns,
    Column::AudioInMs,
    Column::AudioOutMs,
    Column::CostNanoUsd,
];

fn row(gateway: &Gateway, live: &Live, so_far: &SoFar) -> ActiveModel {
    let (provider, model_served) = so_far.served_by.clone().unzip();
    ActiveModel {
        id: Set(Id(live.id.0)),
        gateway_id: Set(Id(gateway.reports.id)),
        request_id: Set(Id(live.request_id.0)),
        tenant_id: Set(Id(live.key.tenant.0)),
        key_id: Set(Id(live.key.id.0)),
        operation: Set(live.operation.as_str().to_owned()),
        kind: Set(live.kind.as_str().to_owned()),
        model_asked: Set(so_far.model_asked.clone()),
        provider: Set(provider),
        model_served: Set(model_served),
        client_address: Set(live.client.clone()),
        user_tag: Set(live.user_tag.clone()),
        tags: Set(live.tags.clone()),
        started_at: Set(live.started_at),
        last_seen_at: Set(so_far.last_seen_at),
        turns: Set(count(so_far.turns)),
        audio_in_ms: Set(count(so_far.audio_in_ms)),
        audio_out_ms: Set(count(so_far.audio_out_ms)),
        cost_nano_usd: Set(so_far.cost.map(|cost| cost.0)),
        terminate_requested_at: NotSet,
        terminate_reason: NotSet,
        terminated_by: NotSet,
    }
}
