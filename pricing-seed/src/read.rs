//! One row of a list, as text, into a price that is checked as far as a row by itself can be.

use domain::pricing::Unit;
use domain::provider::{Operation, ProviderKind};
use rust_decimal::Decimal;
use serde::Deserialize;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time, UtcOffset};

/// Most characters of a model's name.
const MAX_MODEL: usize = 200;
/// Most characters of a source.
const MAX_SOURCE: usize = 2000;
/// Most characters of the day a source was read.
const MAX_READ_ON: usize = 40;
/// Longest minimum and longest step: a day.
const MAX_STEP_MS: u64 = 86_400_000;
/// Digits that a price may have, so that it is kept to the last one.
const MAX_DIGITS: usize = 28;

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
    /// From this moment on, in UTC.
    pub effective_from: OffsetDateTime,
    /// Where it was read.
    pub source: String,
    /// The day it was read.
    pub read_on: String,
    /// Its line in the list; 0 for a row of no list.
    pub line: u64,
}

/// A row as it stands in a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    #[serde(default)]
    pub(crate) provider: Option<String>,
    pub(crate) model: String,
    pub(crate) operation: String,
    pub(crate) unit: String,
    pub(crate) price_usd: String,
    #[serde(default)]
    pub(crate) minimum_ms: u64,
    #[serde(default)]
    pub(crate) rounding_ms: u64,
    pub(crate) effective_from: String,
    pub(crate) source: String,
    pub(crate) read_on: String,
}

impl Fields {
    /// The price; `kind` is whose list it is, else the row says so. The reason why not begins with the
    /// name of the field.
    pub(crate) fn parse(self, kind: Option<ProviderKind>, line: u64) -> Result<PriceRow, String> {
        let kind = match (kind, self.provider) {
            (Some(kind), _) => kind,
            (None, Some(name)) => name.trim().parse().map_err(|error| format!("provider: {error}"))?,
            (None, None) => return Err("provider: is missing".to_owned()),
        };
        let trimmed = |text: String| text.trim().to_owned();
        let row = PriceRow {
            tenant: self.tenant.map(trimmed).filter(|name| !name.is_empty()),
            kind,
            model: trimmed(self.model),
            operation: self.operation.trim().parse().map_err(|error| format!("operation: {error}"))?,
            unit: self.unit.trim().parse().map_err(|error| format!("unit: {error}"))?,
            usd: dollars(self.price_usd.trim())?,
            minimum_ms: self.minimum_ms,
            rounding_ms: self.rounding_ms,
            effective_from: moment(self.effective_from.trim())?,
            source: trimmed(self.source),
            read_on: trimmed(self.read_on),
            line,
        };
        row.check()?;
        Ok(row)
    }
}

impl PriceRow {
    /// What no price may be, whatever stands beside it. The reason begins with the name of the field.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> Result<(), String> {
        let tenant = self.tenant.as_deref().unwrap_or("platform");
        text("tenant", tenant, MAX_MODEL)?;
        text("model", &self.model, MAX_MODEL)?;
        text("source", &self.source, MAX_SOURCE)?;
        text("read_on", &self.read_on, MAX_READ_ON)?;
        if self.usd.is_sign_negative() && !self.usd.is_zero() {
            return Err(format!("price_usd: {} is negative", self.usd));
        }
        for (name, value) in [("minimum_ms", self.minimum_ms), ("rounding_ms", self.rounding_ms)] {
            if value > MAX_STEP_MS {
                return Err(format!("{name}: {value} is more than a day"));
            }
            if value != 0 && !is_length(self.unit) {
                return Err(format!("{name}: means nothing for {}", self.unit));
            }
        }
        Ok(())
    }
}

/// Units that measure the length of audio. Two of them would bill the same audio twice.
#[must_use]
pub const fn is_length(unit: Unit) -> bool {
    matches!(unit, Unit::AudioHour | Unit::AudioMinute | Unit::AudioSecond)
}

/// An amount as plain decimal text, to its last digit.
///
/// # Errors
/// The reason, with the name of the field.
pub fn dollars(text: &str) -> Result<Decimal, String> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(format!("price_usd: {:?} is not a decimal number", shortened(text)));
    }
    if unsigned.len() > MAX_DIGITS + usize::from(unsigned.contains('.')) {
        return Err(format!("price_usd: {:?} has more than {MAX_DIGITS} digits", shortened(text)));
    }
    Decimal::from_str_exact(text).map_err(|_| format!("price_usd: {:?} is not a decimal number", shortened(text)))
}

/// A day, which means its first moment in UTC, or a moment in whole seconds.
///
/// # Errors
/// The reason, with the name of the field.
pub fn moment(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Ok(day.with_time(Time::MIDNIGHT).assume_utc());
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| format!("effective_from: {:?} is neither a day nor a time", shortened(text)))?;
    whole(moment)
}

/// In UTC. Fractions of a second are refused: SQLite compares times as text, which has none here.
///
/// # Errors
/// The reason, with the name of the field.
pub fn whole(moment: OffsetDateTime) -> Result<OffsetDateTime, String> {
    let utc = moment.checked_to_offset(UtcOffset::UTC).filter(|utc| (1..=9999).contains(&utc.year()));
    match utc {
        Some(utc) if utc.nanosecond() == 0 => Ok(utc),
        Some(_) => Err("effective_from: must be in whole seconds".to_owned()),
        None => Err("effective_from: is out of range".to_owned()),
    }
}

fn text(name: &str, value: &str, most: usize) -> Result<(), String> {
    if value.is_empty() {
        return Err(format!("{name}: is empty"));
    }
    if value.chars().count() > most {
        return Err(format!("{name}: has more than {most} characters"));
    }
    // PostgreSQL keeps no U+0000, what is typed into a form has no other ones either, and a line break in a cell
    // cannot be told from a quotation mark that is not closed.
    let is_allowed = |letter: char| !letter.is_control() || (name == "source" && letter == '\t');
    if !value.chars().all(is_allowed) {
        return Err(format!("{name}: holds a control character"));
    }
    Ok(())
}

/// As much of a cell as a message shows.
fn shortened(text: &str) -> String {
    let mut letters = text.chars();
    let mut short: String = letters.by_ref().take(40).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
}
