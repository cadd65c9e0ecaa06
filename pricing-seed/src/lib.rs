//! The price list: CSV files with source and day, checked, into rows.
//!
//! What a provider's public pages leave open is left out, so that it is recorded as unpriced and
//! never as zero. Where sources conflict the higher price stands, and its source says so.

mod cells;
mod check;
mod export;
mod import;
mod merge;
mod objects;
mod read;
mod rows;
#[cfg(test)]
mod tests;
mod upsert;

use std::io::Read;

use domain::provider::ProviderKind;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use time::OffsetDateTime;

pub use export::Export;
pub use import::{
    Import, ImportError, ImportReport, NAMED_PROBLEMS, Options, Outcome, Problem, Progress, Stage, clear, outcomes,
};
pub use merge::decided_costs;
pub use read::{PriceRow, dollars, is_length, moment, whole};
pub use rows::Format;

/// The lists that come with the program.
const FILES: &[(ProviderKind, &str, &str)] = &[
    (ProviderKind::Openai, "openai.csv", include_str!("../prices/openai.csv")),
    (ProviderKind::Azure, "azure.csv", include_str!("../prices/azure.csv")),
    (ProviderKind::Groq, "groq.csv", include_str!("../prices/groq.csv")),
    (ProviderKind::Elevenlabs, "elevenlabs.csv", include_str!("../prices/elevenlabs.csv")),
    (ProviderKind::Deepgram, "deepgram.csv", include_str!("../prices/deepgram.csv")),
    (ProviderKind::Google, "google.csv", include_str!("../prices/google.csv")),
    (ProviderKind::Ultravox, "ultravox.csv", include_str!("../prices/ultravox.csv")),
    (ProviderKind::Local, "local.csv", include_str!("../prices/local.csv")),
];

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeedReport {
    /// Rows that are new.
    pub inserted: u64,
    /// Rows whose price, rounding or source changed.
    pub updated: u64,
    /// Rows that were there already.
    pub unchanged: u64,
    /// Rows that a person has set or that have decided costs, which the lists that come with the program leave as
    /// they are.
    pub kept: u64,
}

/// Why prices were not taken. Nothing has been written, but for [`SeedError::Database`].
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A line cannot be used.
    #[error("{file}, line {line}: {reason}")]
    Line {
        /// Name of the list.
        file: String,
        /// Line in it, counted from 1 with the header.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The list cannot be read.
    #[error("{file} cannot be read")]
    Read {
        /// Name of the list.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("the price list cannot be written to the database")]
    Database(#[from] DbErr),
    /// Rows cannot be written as CSV.
    #[error("the price list cannot be written as CSV: {0}")]
    Export(String),
}

/// Reads and checks the lists that come with the program.
///
/// # Errors
/// [`SeedError::Line`].
pub fn shipped_prices() -> Result<Vec<PriceRow>, SeedError> {
    let mut rows = Vec::new();
    for (kind, file, text) in FILES {
        rows.extend(rows::read(file, text, *kind)?);
    }
    Ok(rows)
}

/// Writes the lists that come with the program. A second run changes nothing; prices that a person
/// has set, and those that have begun by `now` and decided costs, are kept.
///
/// # Errors
/// [`SeedError`].
pub async fn seed(db: &impl ConnectionTrait, now: OffsetDateTime) -> Result<SeedReport, SeedError> {
    let report = upsert::upsert(db, &shipped_prices()?, now).await?;
    tracing::info!(
        at = %now,
        inserted = report.inserted,
        updated = report.updated,
        unchanged = report.unchanged,
        kept = report.kept,
        "the price list is in place"
    );
    Ok(report)
}

/// Bytes of a list that are read at once.
const PIECE: usize = 64 * 1024;

/// Writes a person's list in a transaction, which the caller commits where the report says that the list
/// was applied, and rolls back otherwise. The list has a column `provider` beside those of the shipped
/// ones. Where it has a column `tenant` too, a line with a name in it is that tenant's own price.
///
/// # Errors
/// [`SeedError`]; `file` is the name in its messages.
pub async fn import_from(
    transaction: &DatabaseTransaction,
    file: &str,
    mut list: impl Read,
    options: Options,
    mut tell: impl FnMut(Progress),
) -> Result<ImportReport, SeedError> {
    let failed = |error: ImportError| match error {
        ImportError::Unreadable { line, reason } => SeedError::Line { file: file.to_owned(), line, reason },
        ImportError::Database(error) => SeedError::Database(error),
    };
    let mut import = Import::begin(transaction, options).await.map_err(failed)?;
    let mut piece = vec![0; PIECE];
    loop {
        let read = list.read(&mut piece).map_err(|source| SeedError::Read { file: file.to_owned(), source })?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        import.feed(bytes).await.map_err(failed)?;
        tell(import.progress(Stage::Reading));
    }
    let report = import.finish(tell).await.map_err(failed)?;
    clear(transaction).await?;
    Ok(report)
}
