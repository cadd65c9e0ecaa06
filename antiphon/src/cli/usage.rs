//! `antiphon usage`: the usage records and their sums.

use std::io::Write;
use std::pin::pin;

use admin::repositories::Scope;
use admin::usage::export::Export;
use admin_types::usage::{ExportFormat, UsageFilter};
use anyhow::{Context, Result};
use clap::{Subcommand, ValueEnum};
use domain::ids::VirtualKeyId;
use domain::provider::Operation;
use domain::usage::UsageStatus;
use futures_util::TryStreamExt;
use gateway::repositories::tenants::find_tenant_by_name;
use sea_orm::DatabaseConnection;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use usage_store::rebuild;

use super::{Common, output};
use crate::store;

/// After so many records an export says how far it is.
const PROGRESS_EVERY: usize = 100_000;

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
    /// Print usage records, the oldest first; how far it is stands on the standard error
    Export(Box<Which>),
}

/// `antiphon usage export …`
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// How they are written; csv unless told, json with --json
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Of one tenant, by name
    #[arg(long)]
    tenant: Option<String>,
    /// Of one key, by its id
    #[arg(long, value_name = "ID")]
    key: Option<VirtualKeyId>,
    /// Of one x-antiphon-user
    #[arg(long)]
    user: Option<String>,
    /// With one of x-antiphon-tags, such as team=a
    #[arg(long)]
    tag: Option<String>,
    /// Of one provider, by its configured name
    #[arg(long)]
    provider: Option<String>,
    /// Of one model, asked for or served
    #[arg(long)]
    model: Option<String>,
    /// Of one operation
    #[arg(long)]
    operation: Option<Operation>,
    /// That ended so
    #[arg(long)]
    status: Option<UsageStatus>,
    /// Only records whose cost is not known
    #[arg(long)]
    unpriced: bool,
    /// Begun at this moment or later, such as 2026-11-01 or 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<OffsetDateTime>,
    /// Begun before this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<OffsetDateTime>,
}

/// Forms of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line of names, then a line for each record
    Csv,
    /// One list of objects
    Json,
    /// One object a line
    Jsonl,
}

fn day(text: &str) -> Result<OffsetDateTime, String> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .map(|day| day.midnight().assume_utc())
        .map_err(|_| "expected a day such as 2026-11-22".to_owned())
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| day(text));
    time.map_err(|_| "expected a day such as 2026-11-22, or a moment such as 2026-11-22T12:00:00Z".to_owned())
}

/// Runs the command.
pub(super) async fn run(command: Usage, common: &Common) -> Result<()> {
    let config = common.load(Vec::new())?;
    let db = store::open(&config.database).await?;
    match command {
        Usage::RebuildRollups { from, to } => rebuild_rollups(&db, from, to, common.json).await,
        Usage::Export(which) => export(db, *which, common.json).await,
    }
}

async fn rebuild_rollups(
    db: &DatabaseConnection,
    from: Option<OffsetDateTime>,
    to: Option<OffsetDateTime>,
    as_json: bool,
) -> Result<()> {
    // Where there are no records there is nothing to sum, however far a range reaches.
    let rebuilt = match rebuild::extent(db).await? {
        Some((first, last)) => {
            let from = from.map_or(first, |from| from.max(first));
            let to = to.map_or(last, |to| to.min(last));
            rebuild::rebuild(db, from, to).await.context("the records cannot be summed")?
        }
        None => rebuild::Rebuilt::default(),
    };
    let rebuild::Rebuilt { days, records, skipped } = rebuilt;
    if as_json {
        return output::json(&json!({ "days": days, "records": records, "skipped": skipped }));
    }
    output::line(&format!("{days} days with {records} records summed anew, {skipped} left as they are"))
}

async fn export(db: DatabaseConnection, which: Which, as_json: bool) -> Result<()> {
    let tenant_id = match &which.tenant {
        Some(name) => {
            let tenant = find_tenant_by_name(&db, name).await?;
            Some(tenant.with_context(|| format!("there is no tenant {name:?}"))?.id.0)
        }
        None => None,
    };
    let format = match which.format {
        Some(Format::Json) => ExportFormat::Json,
        Some(Format::Jsonl) => ExportFormat::Jsonl,
        None if as_json => ExportFormat::Json,
        _ => ExportFormat::Csv,
    };
    let filter = UsageFilter {
        tenant_id,
        key_id: which.key.map(|key| key.0),
        user: which.user,
        tag: which.tag,
        provider: which.provider,
        model: which.model,
        operation: which.operation.map(|operation| operation.as_str().to_owned()),
        status: which.status.map(|status| status.as_str().to_owned()),
        priced: which.unpriced.then_some(false),
        from: which.from,
        to: which.to,
        ..UsageFilter::default()
    };
    let mut pieces = pin!(Export { database: db, scope: Scope::All, filter, format }.pieces());
    let (mut records, mut told) = (0, 0);
    while let Some((bytes, count)) = pieces.try_next().await? {
        output::bytes(&bytes)?;
        records += count;
        if records >= told + PROGRESS_EVERY {
            told = records;
            say(&format!("{records} records"));
        }
    }
    say(&format!("{records} records, which are all"));
    Ok(())
}

/// On the standard error, apart from the data; a reader that has gone away does not end the export.
fn say(text: &str) {
    writeln!(std::io::stderr().lock(), "{text}").unwrap_or_default();
}
