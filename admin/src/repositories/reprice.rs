//! Costs for records that were served without a price, as corrections: each record gets one at most once,
//! from the prices that were in force when it began, and nothing else of it changes.

use std::collections::{BTreeMap, HashMap};

use admin_types::prices::{LeftReason, LeftUnpriced, Reprice, Repriced};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dialects::contract::UpstreamModel;
use domain::ids::{PriceId, TenantId};
use domain::money::NanoUsd;
use domain::price_list::{ListedPrice, Names, PriceList};
use domain::pricing::{Basis, Cost, Price, cost};
use domain::provider::{Operation, ProviderKind};
use domain::usage::Usage;
use entities::{Id, price, usage_correction, usage_record};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait,
    FromQueryResult, QueryFilter,
};
use serde_json::json;
use time::OffsetDateTime;
use usage_store::{Sql, reprice_rollups};
use uuid::Uuid;

use super::unpriced::{Kinds, Which};
use super::{prices, stored};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::{Control, publish};

/// Records of one transaction.
const BATCH: usize = 500;
/// Records of one request.
const MOST: usize = 10_000;

/// Where a run stands.
type Place = (OffsetDateTime, Id);
/// Prices are listed by what they are for.
type Subject = (Id, ProviderKind, String, Operation);

/// What has been done.
#[derive(Debug, Default)]
struct Tally {
    examined: u64,
    repriced: u64,
    cost: i128,
    left: BTreeMap<(Id, String, String, String, LeftReason), u64>,
}

/// Prices up to [`MOST`] records.
///
/// # Errors
/// The database's; a cursor that no answer has given. Batches before the one that failed stay.
pub(crate) async fn reprice(control: &Control, actor: &Actor, asked: &Reprice) -> Result<Repriced, AdminError> {
    let mut place = asked.cursor.as_deref().map(read).transpose()?;
    let mut tally = Tally::default();
    let mut is_done = false;
    for _ in 0..MOST / BATCH {
        let transaction = control.begin().await?;
        let records = next(&transaction, actor, asked, place).await?;
        is_done = records.len() < BATCH;
        place = records.last().map(|record| (record.started_at, record.id)).or(place);
        let priced = price_all(&transaction, &records, &mut tally).await?;
        if asked.dry_run || priced.is_empty() {
            transaction.rollback().await?;
        } else {
            correct(&transaction, actor, &priced).await?;
            control.commit(transaction).await?;
        }
        if is_done {
            break;
        }
    }
    let left = tally.left.into_iter().map(|((tenant, provider, model, operation, reason), records)| LeftUnpriced {
        tenant_id: tenant.0,
        provider,
        model,
        operation,
        reason,
        records,
    });
    Ok(Repriced {
        dry_run: asked.dry_run,
        examined: tally.examined,
        repriced: tally.repriced,
        cost_usd: rust_decimal::Decimal::try_from_i128_with_scale(tally.cost, 9)
            .map_err(|error| AdminError::internal(&error))?
            .normalize()
            .to_string(),
        left: left.collect(),
        next_cursor: place.filter(|_| !is_done).map(write).transpose()?,
    })
}

fn write((at, id): Place) -> Result<String, AdminError> {
    let nanoseconds = i64::try_from(at.unix_timestamp_nanos()).map_err(|error| AdminError::internal(&error))?;
    Ok(URL_SAFE_NO_PAD.encode(json!([nanoseconds, id.0]).to_string()))
}

fn read(cursor: &str) -> Result<Place, AdminError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let place: Option<(i64, Uuid)> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let place = place.and_then(|(at, id)| Some((OffsetDateTime::from_unix_timestamp_nanos(at.into()).ok()?, Id(id))));
    place.ok_or_else(|| AdminError::field("cursor", "is not one that an answer has given"))
}

/// The next records without a cost, which nobody else prices meanwhile.
async fn next(
    transaction: &DatabaseTransaction,
    actor: &Actor,
    asked: &Reprice,
    place: Option<Place>,
) -> Result<Vec<usage_record::Model>, AdminError> {
    let backend = transaction.get_database_backend();
    let mut sql = Sql::new(backend, "SELECT * FROM usage_records WHERE cost_nano_usd IS NULL");
    let which = Which {
        scope: actor.scope(),
        tenant: asked.tenant_id,
        provider: asked.provider.as_deref(),
        model: asked.model.as_deref(),
        operation: asked.operation.as_deref(),
        from: asked.from,
        to: asked.to,
    };
    which.add(&mut sql)?;
    if let Some((at, id)) = place {
        sql.push(" AND (started_at, id) > (").bind(at).push(", ").bind(id).push(")");
    }
    sql.push(" ORDER BY started_at, id LIMIT ").bind(i64::try_from(BATCH).unwrap_or(i64::MAX));
    if backend == DbBackend::Postgres {
        sql.push(" FOR UPDATE");
    }
    Ok(usage_record::Model::find_by_statement(sql.build()).all(transaction).await?)
}

/// A record with the cost that it gets.
struct Priced<'a> {
    record: &'a usage_record::Model,
    cost: NanoUsd,
    price: PriceId,
}

async fn price_all<'a>(
    transaction: &DatabaseTransaction,
    records: &'a [usage_record::Model],
    tally: &mut Tally,
) -> Result<Vec<Priced<'a>>, AdminError> {
    let kinds = Kinds::load(transaction, records.iter().map(|record| record.provider.as_str())).await?;
    let list = prices_of(transaction, records, &kinds).await?;
    let mut priced = Vec::new();
    for record in records {
        tally.examined += 1;
        match decide(record, &kinds, &list) {
            Ok((cost, price)) => {
                tally.repriced += 1;
                tally.cost += i128::from(cost.0);
                priced.push(Priced { record, cost, price });
            }
            Err(reason) => {
                let (provider, model) = (record.provider.clone(), record.model_served.clone());
                let key = (record.tenant_id, provider, model, record.operation.clone(), reason);
                *tally.left.entry(key).or_default() += 1;
            }
        }
    }
    Ok(priced)
}

fn subject(record: &usage_record::Model, kinds: &Kinds) -> Option<Subject> {
    let kind = kinds.of(record.tenant_id, &record.provider)?.parse().ok()?;
    Some((record.tenant_id, kind, record.model_served.clone(), record.operation.parse().ok()?))
}

/// The prices that were in force at any time between the first and the last of each subject's records.
async fn prices_of(
    transaction: &DatabaseTransaction,
    records: &[usage_record::Model],
    kinds: &Kinds,
) -> Result<PriceList, AdminError> {
    let mut spans: HashMap<Subject, (OffsetDateTime, OffsetDateTime)> = HashMap::new();
    for record in records {
        let Some(subject) = subject(record, kinds) else { continue };
        let at = record.started_at;
        let (first, last) = spans.entry(subject).or_insert((at, at));
        (*first, *last) = ((*first).min(at), (*last).max(at));
    }
    let mut listed = HashMap::new();
    for ((tenant, kind, model, operation), (first, last)) in spans {
        let between = Condition::all()
            .add(price::Column::EffectiveFrom.gt(prices::whole(first)))
            .add(price::Column::EffectiveFrom.lte(prices::whole(last)));
        // Those of its own, and those that stand in for them.
        let operations = [operation, Operation::Transcription];
        let rows = price::Entity::find()
            .filter(price::Column::ProviderKind.eq(kind.as_str()))
            .filter(price::Column::Model.is_in(std::iter::once(model.as_str()).chain(family(kind, &model))))
            .filter(price::Column::Operation.is_in(operations.map(Operation::as_str)))
            .filter(Condition::any().add(price::Column::TenantId.eq(tenant)).add(price::Column::TenantId.is_null()))
            .filter(Condition::any().add(prices::in_force_at(first)).add(between))
            .all(transaction)
            .await?;
        for row in rows {
            if let Some(price) = to_listed(&row, kind) {
                listed.insert(row.id, price);
            }
        }
    }
    Ok(PriceList::new(listed.into_values()))
}

/// A unit of a newer version, or an amount that is none, prices nothing.
fn to_listed(row: &price::Model, kind: ProviderKind) -> Option<ListedPrice> {
    let operation = row.operation.parse().ok()?;
    let price = Price {
        id: PriceId(row.id.0),
        unit: row.unit.parse().ok()?,
        usd: row.usd.parse().ok()?,
        minimum_ms: row.minimum_ms.try_into().ok()?,
        rounding_ms: row.rounding_ms.try_into().ok()?,
    };
    let tenant = row.tenant_id.map(|id| TenantId(id.0));
    Some(ListedPrice { tenant, kind, model: row.model.clone(), operation, price, effective_from: row.effective_from })
}

fn decide(record: &usage_record::Model, kinds: &Kinds, list: &PriceList) -> Result<(NanoUsd, PriceId), LeftReason> {
    let (tenant, kind, model, operation) = subject(record, kinds).ok_or(LeftReason::UnknownProvider)?;
    let names = Names { model: &model, family: family(kind, &model) };
    let prices = list.billed_at(TenantId(tenant.0), kind, names, operation, record.started_at);
    if prices.is_empty() {
        return Err(LeftReason::NoPrice);
    }
    let is_by_token = prices.iter().any(|price| price.unit.basis() == Basis::Tokens);
    // Images are counted in sessions alone, and a record does not keep how many.
    if is_by_token && operation == Operation::Realtime {
        return Err(LeftReason::QuantitiesNotKept);
    }
    // Nor does it keep what of its session was billed before.
    if record.session_id.is_some() && record.sequence > 0 && !prices.iter().all(|price| is_alike(record, price)) {
        return Err(LeftReason::QuantitiesNotKept);
    }
    let usage = used(record).ok_or(LeftReason::QuantitiesNotKept)?;
    let costs = splits(&usage, record.cached_tokens.unsigned_abs()).map(|usage| cost(&usage, prices));
    match costs {
        [Cost::Known(first, id), Cost::Known(second, _)] if first == second => Ok((first, id)),
        [Cost::Unpriced, Cost::Unpriced] => Err(LeftReason::QuantityWithoutPrice),
        _ => Err(LeftReason::QuantitiesNotKept),
    }
}

/// Whether a price bills a part of a session alike, whatever was billed before it.
fn is_alike(record: &usage_record::Model, price: &Price) -> bool {
    match price.unit.basis() {
        Basis::Requests => price.usd.is_zero(),
        _ => price.minimum_ms == 0 && record.audio_in_ms.unsigned_abs().is_multiple_of(price.rounding_ms.max(1)),
    }
}

/// The family under which a model is priced; an agent that only its target names is in none.
fn family(kind: ProviderKind, model: &str) -> Option<&'static str> {
    let (wire_name, model) = (model.to_owned(), model.to_owned());
    let model = UpstreamModel { wire_name, model, provider: String::new(), options: BTreeMap::new() };
    dialects::registry::provider(kind)?.family(&model)
}

/// What the record keeps, without the cached tokens.
fn used(record: &usage_record::Model) -> Option<Usage> {
    Some(Usage {
        audio_in_ms: record.audio_in_ms.try_into().ok()?,
        audio_out_ms: record.audio_out_ms.try_into().ok()?,
        characters: record.characters.try_into().ok()?,
        text_tokens_in: record.text_tokens_in.try_into().ok()?,
        text_tokens_out: record.text_tokens_out.try_into().ok()?,
        audio_tokens_in: record.audio_tokens_in.try_into().ok()?,
        audio_tokens_out: record.audio_tokens_out.try_into().ok()?,
        surcharge_percent: record.surcharge_percent.try_into().ok()?,
        requests: 1,
        ..Usage::default()
    })
}

/// Only the sum of cached tokens is kept. The cost lies between that of as many cached text tokens as can
/// be and that of as many cached audio tokens; where both are the same, the sum decides it.
fn splits(usage: &Usage, cached: u64) -> [Usage; 2] {
    let text_first = cached.min(usage.text_tokens_in);
    let audio_first = cached.min(usage.audio_tokens_in);
    let with = |text: u64, audio: u64| Usage { cached_text_tokens: text, cached_audio_tokens: audio, ..*usage };
    [
        with(text_first, (cached - text_first).min(usage.audio_tokens_in)),
        with((cached - audio_first).min(usage.text_tokens_in), audio_first),
    ]
}

/// Writes the corrections, the records' costs, what they add to the sums, and who did it.
async fn correct(transaction: &DatabaseTransaction, actor: &Actor, priced: &[Priced<'_>]) -> Result<(), AdminError> {
    let now = stored(OffsetDateTime::now_utc());
    let by = actor.by();
    let corrections = priced.iter().map(|priced| usage_correction::ActiveModel {
        id: Set(Id(Uuid::now_v7())),
        record_id: Set(priced.record.id),
        tenant_id: Set(priced.record.tenant_id),
        price_id: Set(Id(priced.price.0)),
        cost_nano_usd: Set(priced.cost.0),
        corrected_at: Set(now),
        corrected_by: Set(by.name.clone()),
    });
    usage_correction::Entity::insert_many(corrections).exec_without_returning(transaction).await?;
    let mut sql = Sql::new(
        transaction.get_database_backend(),
        "UPDATE usage_records SET cost_nano_usd = c.cost_nano_usd, price_id = c.price_id FROM usage_corrections c \
         WHERE c.record_id = usage_records.id AND usage_records.cost_nano_usd IS NULL AND c.record_id IN (",
    );
    sql.bind_list(priced.iter().map(|priced| priced.record.id)).push(")");
    sql.execute(transaction).await?;
    let changes: Vec<_> = priced
        .iter()
        .map(|priced| usage_store::Repriced { record: priced.record, cost_nano_usd: Some(priced.cost.0) })
        .collect();
    reprice_rollups(transaction, &changes).await?;
    let cost: i128 = priced.iter().map(|priced| i128::from(priced.cost.0)).sum();
    let after = json!({
        "records": priced.len(), "cost_nano_usd": cost.to_string(),
        "first_record": priced.first().map(|priced| priced.record.id.to_string()),
        "last_record": priced.last().map(|priced| priced.record.id.to_string()),
    });
    let change = Change { action: "reprice", kind: "usage", tenant: actor.tenant, ..Change::default() };
    audit::append(transaction, &by, change.after(&after)).await?;
    publish::announce(transaction).await?;
    Ok(())
}
