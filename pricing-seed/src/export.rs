//! The price list as text, in the forms that an import takes, a page at a time.

use std::collections::HashMap;

use domain::sheet::is_formula;
use entities::{Id, price, tenant};
use sea_orm::sea_query::{Expr, ExprTrait, Func, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, Time};

use crate::SeedError;
use crate::cells::COLUMNS;
use crate::rows::Format;

/// Rows of a page.
const PAGE: u64 = 1000;

/// A list that is being written, in a fixed order. Rows that come and go meanwhile are neither written
/// twice nor do they hide others.
#[derive(Debug)]
pub struct Export {
    format: Format,
    which: Condition,
    state: State,
}

#[derive(Debug)]
enum State {
    Begin,
    Behind(Box<price::Model>),
    Ended,
}

impl Export {
    /// Every row ever in force that meets a condition on the columns of `prices`.
    #[must_use]
    pub const fn new(format: Format, which: Condition) -> Self {
        Self { format, which, state: State::Begin }
    }

    /// The next piece of text; `None` behind the last one.
    ///
    /// # Errors
    /// The database's; a row cannot be written.
    pub async fn next(&mut self, db: &impl ConnectionTrait) -> Result<Option<Vec<u8>>, SeedError> {
        let (is_first, after) = match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => return Ok(None),
            State::Begin => (true, None),
            State::Behind(row) => (false, Some(row)),
        };
        let rows = page(db, &self.which, after.as_deref()).await?;
        let names = names(db, &rows).await?;
        let is_last = u64::try_from(rows.len()).is_ok_and(|count| count < PAGE);
        let last = rows.last().cloned();
        let lines = rows.into_iter().map(|row| line(row, &names)).collect::<Result<Vec<_>, _>>()?;
        if let Some(last) = last.filter(|_| !is_last) {
            self.state = State::Behind(Box::new(last));
        }
        match self.format {
            Format::Csv => cells(is_first, lines),
            Format::Json => objects(is_first, is_last, &lines),
        }
        .map(Some)
    }
}

/// A row as a list has it.
#[derive(Debug, Serialize)]
struct Line {
    tenant: Option<String>,
    provider: String,
    model: String,
    operation: String,
    unit: String,
    price_usd: String,
    minimum_ms: i64,
    rounding_ms: i64,
    effective_from: String,
    source: String,
    read_on: String,
}

/// In the order of the unique index, by which a page is found at once.
async fn page(
    db: &impl ConnectionTrait,
    which: &Condition,
    after: Option<&price::Model>,
) -> Result<Vec<price::Model>, DbErr> {
    let mut find = price::Entity::find().filter(which.clone());
    if let Some(row) = after {
        let last: [SimpleExpr; 6] = [
            Expr::value(row.provider_kind.clone()),
            Expr::value(row.model.clone()),
            Expr::value(row.operation.clone()),
            Expr::value(row.unit.clone()),
            Expr::value(row.tenant_id.map(|id| id.to_string()).unwrap_or_default()),
            Expr::value(row.effective_from),
        ];
        find = find.filter(Expr::tuple(order()).gt(Expr::tuple(last)));
    }
    for part in order() {
        find = find.order_by_asc(part);
    }
    find.limit(PAGE).all(db).await
}

fn order() -> [SimpleExpr; 6] {
    let column = |column: price::Column| Expr::col(column.as_column_ref());
    [
        column(price::Column::ProviderKind),
        column(price::Column::Model),
        column(price::Column::Operation),
        column(price::Column::Unit),
        Func::coalesce([column(price::Column::TenantId), Expr::cust("''")]).into(),
        column(price::Column::EffectiveFrom),
    ]
}

/// A tenant that has gone took its prices with it, so every id is known.
async fn names(db: &impl ConnectionTrait, rows: &[price::Model]) -> Result<HashMap<Id, String>, DbErr> {
    let mut ids: Vec<Id> = rows.iter().filter_map(|row| row.tenant_id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let tenants = tenant::Entity::find().filter(tenant::Column::Id.is_in(ids)).all(db).await?;
    Ok(tenants.into_iter().map(|tenant| (tenant.id, tenant.name)).collect())
}

fn line(row: price::Model, names: &HashMap<Id, String>) -> Result<Line, SeedError> {
    Ok(Line {
        tenant: row.tenant_id.and_then(|id| names.get(&id).cloned()),
        provider: row.provider_kind,
        model: row.model,
        operation: row.operation,
        unit: row.unit,
        price_usd: row.usd,
        minimum_ms: row.minimum_ms,
        rounding_ms: row.rounding_ms,
        effective_from: moment(row.effective_from)?,
        // As an import takes it: it may have been written when line breaks were allowed.
        source: row.source.replace(char::is_control, " "),
        read_on: row.read_on,
    })
}

fn cells(is_first: bool, lines: Vec<Line>) -> Result<Vec<u8>, SeedError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if is_first {
        writer.write_record(COLUMNS).map_err(failed)?;
    }
    for line in lines {
        let cells = [
            guard(line.tenant.unwrap_or_default()),
            line.provider,
            guard(line.model),
            line.operation,
            line.unit,
            line.price_usd,
            line.minimum_ms.to_string(),
            line.rounding_ms.to_string(),
            line.effective_from,
            guard(line.source),
            guard(line.read_on),
        ];
        writer.write_record(cells).map_err(failed)?;
    }
    writer.into_inner().map_err(failed)
}

fn objects(is_first: bool, is_last: bool, lines: &[Line]) -> Result<Vec<u8>, SeedError> {
    let mut text = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        text.extend_from_slice(if is_first && index == 0 { b"[\n" } else { b",\n" });
        serde_json::to_writer(&mut text, line).map_err(failed)?;
    }
    match (is_first && lines.is_empty(), is_last) {
        (true, _) => text.extend_from_slice(b"[]\n"),
        (false, true) => text.extend_from_slice(b"\n]\n"),
        (false, false) => {}
    }
    Ok(text)
}

fn moment(time: OffsetDateTime) -> Result<String, SeedError> {
    if time.time() == Time::MIDNIGHT { Ok(time.date().to_string()) } else { time.format(&Rfc3339).map_err(failed) }
}

/// A cell that is guarded already, or looks so, is guarded once more, so that an import gets it back.
fn guard(cell: String) -> String {
    if runs(&cell) { format!("'{cell}") } else { cell }
}

/// Whether a cell would be run as a formula by a spreadsheet, whatever guards it already.
pub(crate) fn runs(cell: &str) -> bool {
    is_formula(cell.trim_start_matches(['\'', ' ']))
}

fn failed(error: impl std::fmt::Display) -> SeedError {
    SeedError::Export(error.to_string())
}
