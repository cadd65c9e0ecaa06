//! CSV lines into checked rows.

use domain::pricing::Unit;
use domain::provider::{Operation, ProviderKind};
use rust_decimal::Decimal;
use serde::Deserialize;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

use crate::{SeedError, check};

/// One price with its dates and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceRow {
    /// Name of the tenant whose own price it is; `None` for the platform's.
    pub tenant: Option<String>,
    /// Kind of the provider that bills it.
    pub kind: ProviderKind,
    /// The provider's model.
    pub model: String,
    /// For which operation.
    pub operation: Operation,
    /// For what.
    pub unit: Unit,
    /// US dollars for one unit.
    pub usd: Decimal,
    /// Least audio billed per request, in milliseconds.
    pub minimum_ms: u64,
    /// Audio is billed in whole steps of this many milliseconds; 0 bills what was measured.
    pub rounding_ms: u64,
    /// From this moment on.
    pub effective_from: OffsetDateTime,
    /// Where it was read.
    pub source: String,
    /// The day it was read.
    pub read_on: String,
    /// Its line in the list.
    pub(crate) line: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    provider: Option<String>,
    model: String,
    operation: String,
    unit: String,
    price_usd: String,
    minimum_ms: u64,
    rounding_ms: u64,
    effective_from: String,
    source: String,
    read_on: String,
}

/// Reads a whole list; `kind` is whose it is, else each line says so.
pub(crate) fn read(file: &str, text: &str, kind: Option<ProviderKind>) -> Result<Vec<PriceRow>, SeedError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| at(file, 1, error.to_string()))?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record =
            record.map_err(|error| at(file, error.position().map_or(0, csv::Position::line), error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let fields: Line = record.deserialize(Some(&headers)).map_err(|error| at(file, line, error.to_string()))?;
        rows.push(parse(fields, kind, line).map_err(|reason| at(file, line, reason))?);
    }
    check::check(&rows).map_err(|(line, reason)| at(file, line, reason))?;
    Ok(rows)
}

/// A line that cannot be used.
pub(crate) fn at(file: &str, line: u64, reason: String) -> SeedError {
    SeedError::Line { file: file.to_owned(), line, reason }
}

fn parse(fields: Line, kind: Option<ProviderKind>, line: u64) -> Result<PriceRow, String> {
    let kind = match (kind, fields.provider) {
        (Some(kind), _) => kind,
        (None, Some(name)) => name.parse().map_err(|error| format!("provider: {error}"))?,
        (None, None) => return Err("there is no column provider".to_owned()),
    };
    Ok(PriceRow {
        tenant: fields.tenant.filter(|name| !name.is_empty()).map(unguard),
        kind,
        model: unguard(fields.model),
        operation: fields.operation.parse().map_err(|error| format!("operation: {error}"))?,
        unit: fields.unit.parse().map_err(|error| format!("unit: {error}"))?,
        usd: Decimal::from_str_exact(&fields.price_usd)
            .map_err(|_| format!("price_usd: {:?} is not a decimal number", fields.price_usd))?,
        minimum_ms: fields.minimum_ms,
        rounding_ms: fields.rounding_ms,
        effective_from: moment(&fields.effective_from)
            .ok_or_else(|| format!("effective_from: {:?} is neither a day nor a time", fields.effective_from))?,
        source: unguard(fields.source),
        read_on: fields.read_on,
        line,
    })
}

/// A day means its first moment in UTC.
fn moment(text: &str) -> Option<OffsetDateTime> {
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Some(day.with_time(Time::MIDNIGHT).assume_utc());
    }
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Takes back what the export put before a cell that a spreadsheet would run as a formula.
fn unguard(cell: String) -> String {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(crate::export::FORMULA) => rest.to_owned(),
        _ => cell,
    }
}
