//! `antiphon copy-db`: from SQLite to PostgreSQL.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use super::{Common, output};
use crate::copy_db;

/// How often the rows of a table are told.
const BEAT: Duration = Duration::from_secs(1);

/// `antiphon copy-db …`
#[derive(Debug, clap::Args)]
pub(crate) struct CopyDb {
    /// The SQLite database; stop what runs on it first
    #[arg(long, value_name = "URL")]
    from: String,
    /// The PostgreSQL database, without any rows; its tables are made where they are missing
    #[arg(long, value_name = "URL")]
    to: String,
}

/// Runs the command.
pub(super) async fn run(asked: &CopyDb, common: &Common) -> Result<()> {
    let (source, target) = copy_db::open(&asked.from, &asked.to).await?;
    let mut last: Option<(String, Instant)> = None;
    let tell = |table: &str, rows: u64| {
        let is_due = last.as_ref().is_none_or(|(name, at)| name != table || at.elapsed() >= BEAT);
        if is_due {
            last = Some((table.to_owned(), Instant::now()));
            // Nobody who reads it is no reason to stop.
            drop(writeln!(std::io::stderr(), "{table}: {rows} rows"));
        }
    };
    let copied = Box::pin(copy_db::copy(&source, &target, tell)).await?;
    let rows: u64 = copied.iter().map(|table| table.rows).sum();
    let different: Vec<_> = copied.iter().filter(|table| !table.is_equal()).map(|table| table.table.as_str()).collect();
    if common.json {
        output::json(&json!({ "equal": different.is_empty(), "rows": rows, "tables": copied }))?;
    } else {
        for table in &copied {
            let verdict = if table.is_equal() { "equal" } else { "DIFFERENT" };
            output::line(&format!("{:<24} {:>10} rows  {verdict}", table.table, table.rows))?;
        }
    }
    if !different.is_empty() {
        bail!("the copy differs in {}, so nothing was kept of it", different.join(", "));
    }
    if !common.json {
        output::line(&format!("{rows} rows in {} tables are copied, and equal on both sides", copied.len()))?;
    }
    Ok(())
}
