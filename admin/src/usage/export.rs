//! Records as they leave: CSV or JSON, a page at a time, so that a million of them need no more memory
//! than a thousand.
//!
//! Each page begins behind the last record of the one before. What is written meanwhile is in the export
//! when it began later than where the export stands.

use actix_web::web::Bytes;
use admin_types::usage::{ExportFormat, UsageFilter, UsageRecord};
use domain::sheet::guarded;
use futures_util::{Stream, stream};
use sea_orm::{DatabaseConnection, DbErr};

use crate::repositories::Scope;
use crate::repositories::usage::{Place, next_page};

/// Records read at once: a row costs kilobytes while it is read, and more at once is hardly quicker.
const PAGE: u64 = 200;

/// The first line of a CSV export.
pub const COLUMNS: [&str; 33] = [
    "id",
    "request_id",
    "session_id",
    "sequence",
    "tenant_id",
    "key_id",
    "user_tag",
    "tags",
    "operation",
    "model_asked",
    "provider",
    "model_served",
    "audio_in_ms",
    "audio_out_ms",
    "characters",
    "text_tokens_in",
    "text_tokens_out",
    "audio_tokens_in",
    "audio_tokens_out",
    "cached_tokens",
    "surcharge_percent",
    "usage_source",
    "cost_usd",
    "cost_nano_usd",
    "price_id",
    "status",
    "attempts",
    "failed_attempts",
    "cache",
    "ttfb_ms",
    "latency_ms",
    "started_at",
    "ended_at",
];

/// Why an export ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database's.
    #[error("the database failed: {0}")]
    Database(#[from] DbErr),
    /// A record could not be written down.
    #[error("a record cannot be written: {0}")]
    Write(String),
}

/// What is exported.
#[derive(Debug, Clone)]
pub struct Export {
    /// Out of this database.
    pub database: DatabaseConnection,
    /// What the caller may see.
    pub scope: Scope,
    /// Which of it.
    pub filter: UsageFilter,
    /// How it is written.
    pub format: ExportFormat,
}

/// Where an export stands.
enum State {
    Begin,
    /// Behind a record; `is_first` until one was written.
    Behind {
        place: Option<Place>,
        is_first: bool,
    },
    End,
}

impl Export {
    /// The export in pieces, with the number of records in each.
    pub fn pieces(self) -> impl Stream<Item = Result<(Bytes, usize), ExportError>> {
        stream::try_unfold((self, State::Begin), |(export, state)| async move {
            let (piece, state) = match state {
                State::Begin => ((export.begin()?, 0), State::Behind { place: None, is_first: true }),
                State::Behind { place, is_first } => export.next(place, is_first).await?,
                State::End => return Ok(None),
            };
            Ok(Some((piece, (export, state))))
        })
    }

    fn begin(&self) -> Result<Bytes, ExportError> {
        Ok(match self.format {
            ExportFormat::Csv => csv_lines(|lines| lines.write_record(COLUMNS))?,
            ExportFormat::Json => Bytes::from_static(b"["),
            ExportFormat::Jsonl => Bytes::new(),
        })
    }

    async fn next(&self, place: Option<Place>, is_first: bool) -> Result<((Bytes, usize), State), ExportError> {
        let page = next_page(&self.database, self.scope, &self.filter, place, PAGE).await?;
        let Some((records, last)) = page else {
            let end = if self.format == ExportFormat::Json { Bytes::from_static(b"\n]\n") } else { Bytes::new() };
            return Ok(((end, 0), State::End));
        };
        let bytes = match self.format {
            ExportFormat::Csv => {
                csv_lines(|lines| records.iter().try_for_each(|record| lines.write_record(cells(record))))?
            }
            ExportFormat::Json => objects(&records, if is_first { "\n" } else { ",\n" }, ",\n", "")?,
            ExportFormat::Jsonl => objects(&records, "", "\n", "\n")?,
        };
        let is_first = is_first && records.is_empty();
        Ok(((bytes, records.len()), State::Behind { place: Some(last), is_first }))
    }
}

fn csv_lines(write: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> csv::Result<()>) -> Result<Bytes, ExportError> {
    let mut lines = csv::Writer::from_writer(Vec::new());
    write(&mut lines).map_err(|error| ExportError::Write(error.to_string()))?;
    let bytes = lines.into_inner().map_err(|error| ExportError::Write(error.to_string()))?;
    Ok(bytes.into())
}

fn objects(records: &[UsageRecord], before: &str, between: &str, behind: &str) -> Result<Bytes, ExportError> {
    let mut text = Vec::new();
    for (index, record) in records.iter().enumerate() {
        text.extend_from_slice(if index == 0 { before } else { between }.as_bytes());
        serde_json::to_writer(&mut text, record).map_err(|error| ExportError::Write(error.to_string()))?;
    }
    text.extend_from_slice(behind.as_bytes());
    Ok(text.into())
}

/// In the order of [`COLUMNS`].
fn cells(record: &UsageRecord) -> [String; COLUMNS.len()] {
    let time = |time: time::OffsetDateTime| {
        time.format(&time::format_description::well_known::Rfc3339).unwrap_or_else(|_| time.to_string())
    };
    let failed: Vec<String> = record
        .failed_attempts
        .iter()
        .map(|attempt| format!("{}/{}: {}", attempt.provider, attempt.model, attempt.error))
        .collect();
    [
        record.id.to_string(),
        record.request_id.to_string(),
        told(record.session_id.as_ref()),
        record.sequence.to_string(),
        record.tenant_id.to_string(),
        record.key_id.to_string(),
        shown(record.user_tag.as_deref().unwrap_or_default()),
        shown(record.tags.as_deref().unwrap_or_default()),
        record.operation.clone(),
        shown(&record.model_asked),
        shown(&record.provider),
        shown(&record.model_served),
        record.audio_in_ms.to_string(),
        record.audio_out_ms.to_string(),
        record.characters.to_string(),
        record.text_tokens_in.to_string(),
        record.text_tokens_out.to_string(),
        record.audio_tokens_in.to_string(),
        record.audio_tokens_out.to_string(),
        record.cached_tokens.to_string(),
        record.surcharge_percent.to_string(),
        record.usage_source.clone(),
        told(record.cost_usd.as_ref()),
        told(record.cost_nano_usd.as_ref()),
        told(record.price_id.as_ref()),
        record.status.clone(),
        record.attempts.to_string(),
        shown(&failed.join("; ")),
        shown(record.cache.as_deref().unwrap_or_default()),
        told(record.ttfb_ms.as_ref()),
        record.latency_ms.to_string(),
        time(record.started_at),
        time(record.ended_at),
    ]
}

/// A cell that a spreadsheet shows and does not run.
fn shown(text: &str) -> String {
    guarded(text).into_owned()
}

fn told(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}
