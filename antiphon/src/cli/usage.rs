//! `antiphon usage`: the usage records and their sums.

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::json;
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use usage_store::rebuild;

use super::{Common, output};
use crate::store;

/// `antiphon usage …`
#[derive(Debug, Subcommand)]
pub(crate) enum Usage {
    /// Sum the records by hour, day and label anew, beside running gateways too; days whose records
    /// are deleted stay as they are
    RebuildRollups {
        /// The first day in UTC, such as 2026-11-22; that of the first record unless told
        #[arg(long, value_name = "DAY", value_parser = day)]
        from: Option<OffsetDateTime>,
        /// The last day in UTC; that of the last record unless told
        #[arg(long, value_name = "DAY", value_parser = day)]
        to: Option<OffsetDateTime>,
    },
}

fn day(text: &str) -> Result<OffsetDateTime, String> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .map(|day| day.midnight().assume_utc())
        .map_err(|_| "expected a day such as 2026-11-22".to_owned())
}

/// Runs the command.
pub(super) async fn run(command: Usage, common: &Common) -> Result<()> {
    let config = common.load(Vec::new())?;
    let db = store::open(&config.database).await?;
    let Usage::RebuildRollups { from, to } = command;
    // Where there are no records there is nothing to sum, however far a range reaches.
    let rebuilt = match rebuild::extent(&db).await? {
        Some((first, last)) => {
            let from = from.map_or(first, |from| from.max(first));
            let to = to.map_or(last, |to| to.min(last));
            rebuild::rebuild(&db, from, to).await.context("the records cannot be summed")?
        }
        None => rebuild::Rebuilt::default(),
    };
    let rebuild::Rebuilt { days, records, skipped } = rebuilt;
    if common.json {
        return output::json(&json!({ "days": days, "records": records, "skipped": skipped }));
    }
    output::line(&format!("{days} days with {records} records summed anew, {skipped} left as they are"))
}
