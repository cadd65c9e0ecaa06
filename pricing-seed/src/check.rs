//! What no price list may hold.

use std::collections::HashMap;

use domain::pricing::Unit;

use crate::read::PriceRow;

/// The first line that cannot stand, and why.
pub(crate) fn check(rows: &[PriceRow]) -> Result<(), (u64, String)> {
    let mut seen = HashMap::new();
    let mut lengths: HashMap<_, &PriceRow> = HashMap::new();
    for row in rows {
        check_row(row).map_err(|reason| (row.line, reason))?;
        let what = (row.tenant.as_deref(), row.kind, row.model.as_str(), row.operation);
        if let Some(first) = seen.insert((what, row.unit, row.effective_from), row.line) {
            return Err((row.line, format!("overlaps line {first}: same tenant, model, operation, unit and date")));
        }
        if !is_length(row.unit) {
            continue;
        }
        // Both would be billed for the same audio.
        match lengths.get(&what) {
            Some(first) if first.unit != row.unit && first.effective_from == row.effective_from => {
                return Err((row.line, format!("overlaps line {}: {} beside {}", first.line, row.unit, first.unit)));
            }
            _ => {
                lengths.insert(what, row);
            }
        }
    }
    Ok(())
}

fn check_row(row: &PriceRow) -> Result<(), String> {
    if row.usd.is_sign_negative() && !row.usd.is_zero() {
        return Err(format!("price_usd: {} is negative", row.usd));
    }
    if row.model.is_empty() {
        return Err("model: is empty".to_owned());
    }
    if row.source.is_empty() || row.read_on.is_empty() {
        return Err("source and read_on: a price needs both".to_owned());
    }
    if !is_length(row.unit) && (row.minimum_ms | row.rounding_ms) != 0 {
        return Err(format!("minimum_ms and rounding_ms: mean nothing for {}", row.unit));
    }
    Ok(())
}

const fn is_length(unit: Unit) -> bool {
    matches!(unit, Unit::AudioHour | Unit::AudioMinute | Unit::AudioSecond)
}
