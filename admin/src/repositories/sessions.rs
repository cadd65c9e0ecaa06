//! Sessions that are open, and what is recorded of one.

use admin_types::page::Page;
use admin_types::sessions::{
    ListSessions, MAX_EVENT_SESSIONS, MAX_TURNS, Session, SessionKind, SessionSort, SessionTurn,
};
use changes::gateways;
use domain::money::NanoUsd;
use entities::live_session::{Column, Entity, Model};
use entities::{Id, gateway_instance, usage_record};
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::resource::locked;
use super::{Scope, stored};
use crate::error::AdminError;
use crate::paging::Position;

/// A row of a session and the gateway that holds it.
type Row = (Model, Option<gateway_instance::Model>);

/// A row as it is shown.
pub(crate) fn view((row, gateway): Row) -> Session {
    Session {
        id: row.id.0,
        gateway_id: row.gateway_id.0,
        gateway: gateway.map(|gateway| gateway.name).unwrap_or_default(),
        request_id: row.request_id.0,
        tenant_id: row.tenant_id.0,
        key_id: row.key_id.0,
        operation: row.operation,
        kind: kind(&row.kind),
        model_asked: row.model_asked,
        provider: row.provider,
        model_served: row.model_served,
        client_address: row.client_address,
        user_tag: row.user_tag,
        tags: row.tags,
        started_at: row.started_at,
        last_seen_at: row.last_seen_at,
        turns: row.turns,
        audio_in_ms: row.audio_in_ms,
        audio_out_ms: row.audio_out_ms,
        cost_usd: row.cost_nano_usd.map(|cost| NanoUsd(cost).to_string()),
        terminate_requested_at: row.terminate_requested_at,
        terminate_reason: row.terminate_reason,
        terminated_by: row.terminated_by,
    }
}

fn kind(name: &str) -> SessionKind {
    let kinds = [SessionKind::Realtime, SessionKind::Transcription, SessionKind::Vendor];
    kinds.into_iter().find(|kind| kind.as_str() == name).unwrap_or(SessionKind::Realtime)
}

fn turn(row: usage_record::Model) -> SessionTurn {
    SessionTurn {
        id: row.id.0,
        sequence: row.sequence,
        provider: row.provider,
        model_served: row.model_served,
        audio_in_ms: row.audio_in_ms,
        audio_out_ms: row.audio_out_ms,
        text_tokens_in: row.text_tokens_in,
        text_tokens_out: row.text_tokens_out,
        audio_tokens_in: row.audio_tokens_in,
        audio_tokens_out: row.audio_tokens_out,
        usage_source: row.usage_source,
        cost_usd: row.cost_nano_usd.map(|cost| NanoUsd(cost).to_string()),
        status: row.status,
        ttfb_ms: row.ttfb_ms,
        latency_ms: row.latency_ms,
        started_at: row.started_at,
        ended_at: row.ended_at,
    }
}

/// What the caller may see of what is held by a gateway that lives. A gateway that died has no sessions
/// any more, whether or not its rows have been removed yet.
async fn open(db: &impl ConnectionTrait, scope: Scope) -> Result<Condition, DbErr> {
    let since = gateways::now(db).await? - gateways::DEAD_AFTER;
    let living = Query::select()
        .column(gateway_instance::Column::Id)
        .from(gateway_instance::Entity)
        .and_where(Expr::col(gateway_instance::Column::HeartbeatAt).gte(since))
        .take();
    Ok(scope.own(Column::TenantId).add(Column::GatewayId.in_subquery(living)))
}

/// The gateways of these sessions beside them.
async fn with_gateways(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<Vec<Row>, DbErr> {
    let mut ids: Vec<Id> = rows.iter().map(|row| row.gateway_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let gateways = gateway_instance::Entity::find().filter(gateway_instance::Column::Id.is_in(ids)).all(db).await?;
    let of = |row: &Model| gateways.iter().find(|gateway| gateway.id == row.gateway_id).cloned();
    Ok(rows.into_iter().map(|row| (of(&row), row)).map(|(gateway, row)| (row, gateway)).collect())
}

/// One page of the sessions that are open and that the caller may see.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    asked: &ListSessions,
) -> Result<Page<Session>, AdminError> {
    let sort = asked.sort.unwrap_or_default();
    let by = match sort {
        SessionSort::StartedAtDescending | SessionSort::StartedAt => None,
        SessionSort::Turns | SessionSort::TurnsDescending => Some(Column::Turns),
        SessionSort::AudioIn | SessionSort::AudioInDescending => Some(Column::AudioInMs),
    };
    let position = Position::new(asked.limit, asked.cursor.as_deref(), sort.as_str(), by)?;
    let select = Entity::find().filter(open(db, scope).await?).filter(filters(asked));
    let page = position.page(db, select, Column::Id).await?;
    let data = with_gateways(db, page.data).await?;
    Ok(Page { data, next_cursor: page.next_cursor }.map(view))
}

fn filters(asked: &ListSessions) -> Condition {
    let model = asked.model.as_deref();
    let model =
        model.map(|model| Condition::any().add(Column::ModelAsked.eq(model)).add(Column::ModelServed.eq(model)));
    Condition::all()
        .add_option(asked.tenant_id.map(|tenant| Column::TenantId.eq(Id(tenant))))
        .add_option(asked.key_id.map(|key| Column::KeyId.eq(Id(key))))
        .add_option(asked.provider.as_deref().map(|provider| Column::Provider.eq(provider)))
        .add_option(model)
        .add_option(asked.gateway_id.map(|gateway| Column::GatewayId.eq(Id(gateway))))
        .add_option(asked.kind.map(|kind| Column::Kind.eq(kind.as_str())))
}

/// The newest sessions that are open, and how many there are.
///
/// # Errors
/// The database's.
pub(crate) async fn newest(db: &impl ConnectionTrait, scope: Scope) -> Result<(Vec<Session>, u64), DbErr> {
    let open = Entity::find().filter(open(db, scope).await?);
    let most = u64::from(MAX_EVENT_SESSIONS);
    let rows = open.clone().order_by_desc(Column::Id).limit(most).all(db).await?;
    let found = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let total = if found < most { found } else { open.count(db).await? };
    let rows = with_gateways(db, rows).await?;
    Ok((rows.into_iter().map(view).collect(), total))
}

/// One open session that the caller may see. Locked until the transaction ends, where it is for a change.
///
/// # Errors
/// The database's.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    scope: Scope,
    id: Uuid,
    for_change: bool,
) -> Result<Option<Row>, DbErr> {
    let find = Entity::find_by_id(Id(id)).filter(open(db, scope).await?);
    let find = if for_change { locked(db, find) } else { find };
    let found = find.one(db).await?;
    Ok(with_gateways(db, found.into_iter().collect()).await?.pop())
}

/// What is recorded of a session, oldest first, and whether there is more.
///
/// # Errors
/// The database's.
pub(crate) async fn turns(
    db: &impl ConnectionTrait,
    scope: Scope,
    id: Uuid,
) -> Result<(Vec<SessionTurn>, bool), DbErr> {
    use usage_record::Column;
    let mut rows = usage_record::Entity::find()
        .filter(scope.own(Column::TenantId))
        .filter(Column::SessionId.eq(Id(id)))
        .order_by_asc(Column::Sequence)
        .limit(MAX_TURNS + 1)
        .all(db)
        .await?;
    let most = usize::try_from(MAX_TURNS).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    Ok((rows.into_iter().map(turn).collect(), more))
}

/// Asks the session's gateway to end it. Who asked first and why stays.
///
/// # Errors
/// The database's.
pub(crate) async fn terminate(
    db: &impl ConnectionTrait,
    row: Model,
    reason: &str,
    by: &str,
    now: OffsetDateTime,
) -> Result<Model, DbErr> {
    if row.terminate_requested_at.is_some() {
        return Ok(row);
    }
    let mut row = row.into_active_model();
    row.terminate_requested_at = Set(Some(stored(now)));
    row.terminate_reason = Set(Some(reason.to_owned()));
    row.terminated_by = Set(Some(by.to_owned()));
    row.update(db).await
}
