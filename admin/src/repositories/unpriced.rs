//! Records that have no cost: which models were used without a price.

use std::collections::HashMap;

use admin_types::page::Page;
use admin_types::prices::{ListUnpriced, UnpricedSort, UnpricedUse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::TenantId;
use entities::{Id, provider};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryResult, QuerySelect, Value,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;
use usage_store::Sql;
use uuid::Uuid;

use super::Scope;
use crate::error::AdminError;
use crate::paging;
use crate::repositories::prices::whole;

/// What is summed.
const QUANTITIES: [&str; 8] = [
    "audio_in_ms",
    "audio_out_ms",
    "characters",
    "text_tokens_in",
    "text_tokens_out",
    "audio_tokens_in",
    "audio_tokens_out",
    "cached_tokens",
];

/// Which records are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Which<'a> {
    pub(crate) scope: Scope,
    pub(crate) tenant: Option<Uuid>,
    pub(crate) provider: Option<&'a str>,
    pub(crate) model: Option<&'a str>,
    pub(crate) operation: Option<&'a str>,
    pub(crate) from: Option<OffsetDateTime>,
    pub(crate) to: Option<OffsetDateTime>,
}

impl Which<'_> {
    /// Continues `WHERE cost_nano_usd IS NULL`.
    pub(crate) fn add(&self, sql: &mut Sql) -> Result<(), AdminError> {
        if let Scope::Tenant(TenantId(own)) = self.scope {
            sql.push(" AND tenant_id = ").bind(Id(own));
        }
        if let Some(tenant) = self.tenant {
            sql.push(" AND tenant_id = ").bind(Id(tenant));
        }
        let texts = [
            (" AND provider = ", self.provider),
            (" AND model_served = ", self.model),
            (" AND operation = ", self.operation),
        ];
        for (begin, text) in texts {
            if let Some(text) = text {
                sql.push(begin).bind(text);
            }
        }
        for (begin, at) in [(" AND started_at >= ", self.from), (" AND started_at < ", self.to)] {
            if let Some(at) = at {
                let bound = bound(sql.backend(), at)?;
                sql.push(begin).bind(bound);
            }
        }
        Ok(())
    }
}

/// A whole second as `started_at` is compared with it. SQLite compares text, in which `…:00.5Z` stands
/// before `…:00Z`; without the final letter the bound stands before both.
fn bound(backend: DbBackend, at: OffsetDateTime) -> Result<Value, AdminError> {
    let at = whole(at);
    if backend == DbBackend::Postgres {
        return Ok(at.into());
    }
    let shape = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    Ok(at.format(shape).map_err(|error| AdminError::internal(&error))?.into())
}

/// One page of what was used without a price.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListUnpriced,
) -> Result<Page<UnpricedUse>, AdminError> {
    let limit = paging::limit(list.limit)?;
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT tenant_id, provider, model_served, operation, COUNT(*) AS records, MIN(started_at) AS first_used, \
         MAX(started_at) AS last_used",
    );
    for quantity in QUANTITIES {
        // A count beyond reason, which only a broken provider reports, must not break the sum.
        let most = "1000000000000";
        sql.push(&format!(
            ", CAST(SUM(CASE WHEN {quantity} > {most} THEN {most} ELSE {quantity} END) AS text) AS {quantity}"
        ));
    }
    sql.push(" FROM usage_records WHERE cost_nano_usd IS NULL");
    let which = Which {
        scope,
        tenant: list.tenant_id,
        provider: list.provider.as_deref(),
        model: list.model.as_deref(),
        operation: list.operation.as_deref(),
        from: list.from,
        to: list.to,
    };
    which.add(&mut sql)?;
    let sort = list.sort.unwrap_or_default();
    let is_by_records = matches!(sort, UnpricedSort::Records | UnpricedSort::RecordsDescending);
    let (comparison, direction) = if sort.as_str().starts_with('-') { ("<", " DESC") } else { (">", "") };
    let subject = subject(sort, sql.backend());
    sql.push(" GROUP BY tenant_id, provider, model_served, operation");
    if let Some(cursor) = &list.cursor {
        let Cursor { records, subject: place, .. } = read(cursor, sort)?;
        sql.push(" HAVING (").push(if is_by_records { "COUNT(*), " } else { "" }).push(&subject.join(", "));
        sql.push(&format!(") {comparison} ("));
        if is_by_records {
            sql.bind(records).push(", ");
        }
        sql.bind_list(place).push(")");
    }
    let order: Vec<String> = subject.iter().map(|column| format!("{column}{direction}")).collect();
    sql.push(" ORDER BY ").push(&if is_by_records { format!("COUNT(*){direction}, ") } else { String::new() });
    sql.push(&order.join(", ")).push(" LIMIT ").bind(i64::from(limit) + 1);
    let rows = sql.all(db).await?;
    let mut uses = rows.iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    let more = uses.len() > usize::from(limit);
    uses.truncate(limit.into());
    let kinds = Kinds::load(db, uses.iter().map(|each| each.provider.as_str())).await?;
    for each in &mut uses {
        each.provider_kind = kinds.of(Id(each.tenant_id), &each.provider).map(str::to_owned);
    }
    let next_cursor = uses.last().filter(|_| more).map(|last| {
        let (tenant, provider) = (last.tenant_id.to_string(), last.provider.clone());
        let (model, operation) = (last.model.clone(), last.operation.clone());
        let subject = match is_by_model(sort) {
            true => [model, tenant, provider, operation],
            false => [tenant, provider, model, operation],
        };
        let records = i64::try_from(last.records).unwrap_or(i64::MAX);
        let cursor = Cursor { sort: sort.as_str().to_owned(), records, subject };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default())
    });
    Ok(Page { data: uses, next_cursor })
}

/// The last use of a page: how many records it has, and what it is about, in the order of the list.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    #[serde(rename = "s")]
    sort: String,
    #[serde(rename = "n")]
    records: i64,
    #[serde(rename = "k")]
    subject: [String; 4],
}

fn is_by_model(sort: UnpricedSort) -> bool {
    matches!(sort, UnpricedSort::Model | UnpricedSort::ModelDescending)
}

/// The columns that tell a use from others, in the order of the list. Texts have the same order on both databases.
fn subject(sort: UnpricedSort, backend: DbBackend) -> [&'static str; 4] {
    let (provider, model) = match backend {
        DbBackend::Postgres => ("provider COLLATE \"C\"", "model_served COLLATE \"C\""),
        _ => ("provider", "model_served"),
    };
    match is_by_model(sort) {
        true => [model, "tenant_id", provider, "operation"],
        false => ["tenant_id", provider, model, "operation"],
    }
}

/// The kinds of configured providers.
#[derive(Debug)]
pub(crate) struct Kinds(HashMap<(Option<Id>, String), String>);

impl Kinds {
    /// Of all providers of these names, whosever they are: the file's, the environment's and the API's alike
    /// have a row.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn load<'a>(
        db: &impl ConnectionTrait,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Self, DbErr> {
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        let rows: Vec<(Option<Id>, String, String)> = provider::Entity::find()
            .select_only()
            .columns([provider::Column::TenantId, provider::Column::Name, provider::Column::Kind])
            .filter(provider::Column::Name.is_in(names))
            .into_tuple()
            .all(db)
            .await?;
        Ok(Self(rows.into_iter().map(|(tenant, name, kind)| ((tenant, name), kind)).collect()))
    }

    /// As a call of this tenant finds it: its own goes before the platform's of the same name.
    pub(crate) fn of(&self, tenant: Id, provider: &str) -> Option<&str> {
        let whose = |tenant| self.0.get(&(tenant, provider.to_owned())).map(String::as_str);
        whose(Some(tenant)).or_else(|| whose(None))
    }
}

fn read(cursor: &str, sort: UnpricedSort) -> Result<Cursor, AdminError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let place: Option<Cursor> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    place
        .filter(|place| place.sort == sort.as_str() && !place.subject.iter().any(|part| part.contains('\0')))
        .ok_or_else(|| AdminError::field("cursor", "is not one that this list has given"))
}

fn from_row(row: &QueryResult) -> Result<UnpricedUse, AdminError> {
    let sum = |quantity: &str| -> Result<u64, AdminError> {
        let text: String = row.try_get("", quantity)?;
        text.parse().map_err(|error| AdminError::internal(&error))
    };
    let tenant: Id = row.try_get("", "tenant_id")?;
    let records: i64 = row.try_get("", "records")?;
    Ok(UnpricedUse {
        tenant_id: tenant.0,
        provider: row.try_get("", "provider")?,
        provider_kind: None,
        model: row.try_get("", "model_served")?,
        operation: row.try_get("", "operation")?,
        records: records.unsigned_abs(),
        first_used_at: row.try_get("", "first_used")?,
        last_used_at: row.try_get("", "last_used")?,
        audio_in_ms: sum("audio_in_ms")?,
        audio_out_ms: sum("audio_out_ms")?,
        characters: sum("characters")?,
        text_tokens_in: sum("text_tokens_in")?,
        text_tokens_out: sum("text_tokens_out")?,
        audio_tokens_in: sum("audio_tokens_in")?,
        audio_tokens_out: sum("audio_tokens_out")?,
        cached_tokens: sum("cached_tokens")?,
    })
}
