//! `antiphon prices`: the price list.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use admin::audit::{self, By, Change};
use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use pricing_seed::{Export, Format, ImportReport, Options, Progress, SeedReport};
use sea_orm::{Condition, DatabaseConnection, DatabaseTransaction};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Common, output};
use crate::store;

/// How often progress is shown.
const BEAT: Duration = Duration::from_secs(1);

/// `antiphon prices …`
#[derive(Debug, Subcommand)]
pub(crate) enum Prices {
    /// Write the lists that come with the program; a second run changes nothing
    Seed,
    /// Write a list of your own, in the form that export prints; a name in the column tenant makes a
    /// line that tenant's own price
    Import(Import),
    /// Print the price list as CSV, or as JSON
    Export,
}

/// `antiphon prices import …`
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The list; JSON where its name ends in .json or .jsonl, CSV otherwise
    file: PathBuf,
    /// What a row that cannot be used does: keep the whole list out, or be left out itself
    #[arg(long, value_enum, default_value_t = Mode::AllOrNothing)]
    mode: Mode,
    /// Write nothing; say what would be written
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    AllOrNothing,
    SkipBad,
}

/// Runs the command.
pub(super) async fn run(command: Prices, common: &Common) -> Result<()> {
    let config = common.load(Vec::new())?;
    let db = store::open(&config.database).await?;
    match command {
        Prices::Export => export(&db, common.json).await,
        Prices::Import(asked) => import(&db, &asked, common.json).await,
        Prices::Seed => print_seeded(seed(&db, &By::command_line()).await?, common.json),
    }
}

/// Brings the prices that come with the program into the list.
pub(super) async fn seed(db: &DatabaseConnection, by: &By) -> Result<SeedReport> {
    let transaction = database::begin_writing(db).await?;
    let report = pricing_seed::seed(&transaction, OffsetDateTime::now_utc()).await?;
    let source = "the lists that come with the program";
    record(&transaction, by, "seed", source, report.inserted, report.updated).await?;
    if report.inserted + report.updated > 0 {
        changes::announce(&transaction).await?;
    }
    transaction.commit().await?;
    Ok(report)
}

async fn export(db: &DatabaseConnection, as_json: bool) -> Result<()> {
    let format = if as_json { Format::Json } else { Format::Csv };
    let mut export = Export::new(format, Condition::all());
    while let Some(piece) = export.next(db).await? {
        output::bytes(&piece)?;
    }
    Ok(())
}

async fn import(db: &DatabaseConnection, asked: &Import, as_json: bool) -> Result<()> {
    let name = asked.file.display().to_string();
    let list = File::open(&asked.file).with_context(|| format!("{name} cannot be read"))?;
    let options = Options {
        format: format_of(&asked.file),
        skip_bad: asked.mode == Mode::SkipBad,
        dry_run: asked.dry_run,
        ..Options::of_command_line(OffsetDateTime::now_utc())
    };
    // A list is written whole or not at all. While it is read nothing is locked, however slowly it comes.
    let transaction = database::begin(db).await?;
    let mut shown = Shown::new();
    let report =
        Box::pin(pricing_seed::import_from(&transaction, &name, list, options, |progress| shown.tell(progress)))
            .await?;
    if report.applied {
        record(&transaction, &By::command_line(), "import", &name, report.inserted, report.updated).await?;
        changes::announce(&transaction).await?;
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    print_imported(&name, &report, asked.dry_run, as_json)
}

/// Enters a list that has changed something into the audit log.
async fn record(
    transaction: &DatabaseTransaction,
    by: &By,
    action: &'static str,
    source: &str,
    inserted: u64,
    updated: u64,
) -> Result<()> {
    if inserted + updated == 0 {
        return Ok(());
    }
    let told = json!({ "source": source, "inserted": inserted, "updated": updated });
    let change = Change { action, kind: "prices", ..Change::default() }.after(&told);
    Ok(audit::append(transaction, by, change).await?)
}

fn format_of(file: &Path) -> Format {
    let is_json = file.extension().is_some_and(|ending| ending == "json" || ending == "jsonl");
    if is_json { Format::Json } else { Format::Csv }
}

/// Progress on the standard error, where a person looks at it.
struct Shown {
    is_watched: bool,
    told: bool,
    last: Instant,
}

impl Shown {
    fn new() -> Self {
        Self { is_watched: std::io::stderr().is_terminal(), told: false, last: Instant::now() }
    }

    fn tell(&mut self, progress: Progress) {
        // A short list is told by its report alone.
        if self.last.elapsed() < BEAT {
            return;
        }
        (self.told, self.last) = (true, Instant::now());
        let Progress { stage, bytes, rows } = progress;
        let (begin, end) = if self.is_watched { ("\r", "") } else { ("", "\n") };
        // Nobody who reads it is no reason to stop.
        drop(write!(std::io::stderr(), "{begin}{}: {rows} rows, {} MiB{end}", stage.as_str(), bytes / 1024 / 1024));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if self.is_watched && self.told {
            drop(writeln!(std::io::stderr()));
        }
    }
}

fn print_seeded(report: SeedReport, as_json: bool) -> Result<()> {
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

fn print_imported(name: &str, report: &ImportReport, dry_run: bool, as_json: bool) -> Result<()> {
    let ImportReport { applied, rows, inserted, updated, unchanged, refused, problems } = report;
    if as_json && (*applied || dry_run) {
        let problems: Vec<Value> =
            problems.iter().map(|problem| json!({ "row": problem.line, "detail": problem.reason })).collect();
        return output::json(&json!({
            "applied": applied, "dry_run": dry_run, "rows": rows, "inserted": inserted, "updated": updated,
            "unchanged": unchanged, "refused": refused, "problems": problems,
        }));
    }
    if let (false, false, Some(first)) = (*applied, dry_run, problems.first()) {
        let others = match refused.saturating_sub(1) {
            0 => String::new(),
            others => format!(" (and {others} more; --mode skip-bad leaves such rows out)"),
        };
        bail!("{name}, line {}: {}{others}", first.line, first.reason);
    }
    for problem in problems {
        output::line(&format!("line {}: {}", problem.line, problem.reason))?;
    }
    let would = if dry_run { "would be " } else { "" };
    output::line(&format!("{would}{inserted} new, {updated} changed, {unchanged} unchanged, {refused} left out"))
}
