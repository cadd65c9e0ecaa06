//! Records that have no cost: which models were used without a price.

use std::collections::HashMap;

use admin_types::page::Page;
use admin_types::prices::{ListUnpriced, UnpricedUse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::TenantId;
use entities::{Id, provider};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryResult, QuerySelect, Value,
};
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
    if let Some(cursor) = &list.cursor {
        sql.push(" AND (tenant_id, provider, model_served, operation) > (").bind_list(read(cursor)?).push(")");
    }
    sql.push(
        " GROUP BY tenant_id, provider, model_served, operation \
         ORDER BY tenant_id, provider, model_served, operation LIMIT ",
    );
    sql.bind(i64::from(limit) + 1);
    let rows = sql.all(db).await?;
    let mut uses = rows.iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    let more = uses.len() > usize::from(limit);
    uses.truncate(limit.into());
    let kinds = Kinds::load(db, uses.iter().map(|each| each.provider.as_str())).await?;
    for each in &mut uses {
        each.provider_kind = kinds.of(Id(each.tenant_id), &each.provider).map(str::to_owned);
    }
    let next_cursor = uses.last().filter(|_| more).map(|last| {
        let place = [last.tenant_id.to_string(), last.provider.clone(), last.model.clone(), last.operation.clone()];
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&place).unwrap_or_default())
    });
    Ok(Page { data: uses, next_cursor })
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

fn read(cursor: &str) -> Result<[String; 4], AdminError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let place: Option<[String; 4]> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    place
        .filter(|place| !place.iter().any(|part| part.contains('\0')))
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
