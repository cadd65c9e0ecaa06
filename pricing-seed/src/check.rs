//! What the lists that come with the program may not hold: two prices for one thing.

use std::collections::HashMap;

use crate::read::{PriceRow, is_length};

/// The first line that cannot stand, and why.
pub(crate) fn check(rows: &[PriceRow]) -> Result<(), (u64, String)> {
    let mut seen = HashMap::new();
    let mut lengths: HashMap<_, &PriceRow> = HashMap::new();
    for row in rows {
        let what = (row.tenant.as_deref(), row.kind, row.model.as_str(), row.operation, row.effective_from);
        if let Some(first) = seen.insert((what, row.unit), row.line) {
            return Err((row.line, repeats(first)));
        }
        if !is_length(row.unit) {
            continue;
        }
        // Both would be billed for the same audio.
        if let Some(first) = lengths.insert(what, row) {
            return Err((row.line, format!("unit: overlaps line {}: {} beside {}", first.line, row.unit, first.unit)));
        }
    }
    Ok(())
}

fn repeats(first: u64) -> String {
    format!("unit: overlaps line {first}: same tenant, model, operation, unit and date")
}
