//! `antiphon prices`: the price list.

use std::path::PathBuf;

use admin::audit::{self, By, Change};
use anyhow::{Context, Result};
use clap::Subcommand;
use pricing_seed::SeedReport;
use sea_orm::DatabaseConnection;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Common, output};
use crate::store;

/// `antiphon prices …`
#[derive(Debug, Subcommand)]
pub(crate) enum Prices {
    /// Write the lists that come with the program; a second run changes nothing
    Seed,
    /// Write a list of your own, in the form that export prints; a name in the column tenant makes a
    /// line that tenant's own price
    Import {
        /// The CSV file
        file: PathBuf,
    },
    /// Print the price list as CSV, or as JSON
    Export,
}

/// Runs the command.
pub(super) async fn run(command: Prices, common: &Common) -> Result<()> {
    let config = common.load(Vec::new())?;
    let db = store::open(&config.database).await?;
    // A list is written whole or not at all.
    let transaction = admin::begin(&db).await?;
    let (action, source, report) = match command {
        Prices::Export if common.json => return output::json(&rows(&db).await?),
        Prices::Export => return output::text(&pricing_seed::export_csv(&db).await?),
        Prices::Seed => {
            let report = pricing_seed::seed(&transaction, OffsetDateTime::now_utc()).await?;
            ("seed", "the lists that come with the program".to_owned(), report)
        }
        Prices::Import { file } => {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(&file).with_context(|| format!("{name} cannot be read"))?;
            let report = pricing_seed::import_csv(&transaction, &name, &text).await?;
            ("import", name, report)
        }
    };
    if report.inserted + report.updated > 0 {
        let told = json!({ "source": source, "inserted": report.inserted, "updated": report.updated });
        let change = Change { action, kind: "prices", ..Change::default() }.after(&told);
        audit::append(&transaction, &By::command_line(), change).await?;
    }
    changes::announce(&transaction).await?;
    transaction.commit().await?;
    print_report(report, common.json)
}

fn print_report(report: SeedReport, as_json: bool) -> Result<()> {
    let SeedReport { inserted, updated, unchanged, kept } = report;
    if as_json {
        return output::json(
            &json!({ "inserted": inserted, "updated": updated, "unchanged": unchanged, "kept": kept }),
        );
    }
    output::line(&format!(
        "{inserted} new, {updated} changed, {unchanged} unchanged, {kept} of your own kept as they are"
    ))
}

/// The list, the platform's and the tenants' own, in a fixed order.
async fn rows(db: &DatabaseConnection) -> Result<Vec<Value>> {
    pricing_seed::all_rows(db)
        .await?
        .into_iter()
        .map(|(tenant, row)| {
            Ok(json!({
                "tenant": tenant, "provider": row.provider_kind, "model": row.model, "operation": row.operation, "unit": row.unit,
                "price_usd": row.usd, "minimum_ms": row.minimum_ms, "rounding_ms": row.rounding_ms,
                "effective_from": row.effective_from.format(&Rfc3339)?, "source": row.source, "read_on": row.read_on,
            }))
        })
        .collect()
}
