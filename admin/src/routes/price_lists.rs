//! `/api/v1/prices/import` and `/api/v1/prices/export`: lists of any length, in little memory.

use std::convert::Infallible;
use std::io::SeekFrom;
use std::time::{Duration, Instant};

use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_ENCODING};
use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError, get, post};
use admin_types::prices::{ExportPrices, ImportMode, ImportPrices, ImportReport, ImportTells, ListFormat, RowProblem};
use admin_types::problem::{FieldProblem, Problem};
use futures_util::{Stream, StreamExt, stream};
use pricing_seed::{Export, Format, Import, ImportError, Options, Progress, Stage};
use sea_orm::DatabaseTransaction;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Pieces, Query};
use crate::repositories::prices;
use crate::{Control, publish};

/// Bytes of a list: several million rows.
const MAX_BYTES: usize = 1024 * 1024 * 1024;
/// How long a list may take to arrive in all, so that slow senders do not hold the places of others.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// Lists that a process reads at once; each holds a connection to the database.
static PLACES: Semaphore = Semaphore::const_new(2);
/// How long a list waits for its place.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often progress is told.
const BEAT: Duration = Duration::from_secs(1);
/// Lines that wait for a reader.
const WAITING_LINES: usize = 16;
/// Rows of which the report is written at once.
const REPORTED_ROWS: u64 = 5000;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(import_prices).service(export_prices);
}

/// Imports a list of prices of any length, in the form that the export gives.
///
/// With `Accept: application/x-ndjson` or `report=rows` the answer is one JSON object a line, while it runs:
/// `progress`, then one line for each `row` where asked, at last `report` or `problem`.
#[utoipa::path(tag = "prices", params(ImportPrices),
    request_body(content((String = "text/csv"), (serde_json::Value = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "What was done, or would be", content(
            (ImportReport = "application/json"), (String = "application/x-ndjson"))),
        (status = 408, description = "The body has stopped arriving, or takes more than 30 minutes", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is neither CSV nor JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Rows cannot be used, and nothing was written", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Other lists are being imported", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/prices/import")]
pub(crate) async fn import_prices(
    control: Data<Control>,
    actor: Actor,
    request: HttpRequest,
    asked: Query<ImportPrices>,
    body: web::Payload,
) -> Result<HttpResponse, AdminError> {
    let options = options(&request, &asked.0)?;
    let place = place().await?;
    let list = Pieces::new(&request, body.into_inner(), MAX_BYTES)?.within(LONGEST);
    let wants_rows = asked.0.report == Some(ImportTells::Rows);
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let job = Job { control, actor, options, _place: place };
    if !wants_rows && !accept.contains("application/x-ndjson") {
        let report = Box::pin(job.run(list, |_| {}, None)).await?;
        return match refusal(&report) {
            Some(refusal) => Err(refusal),
            None => Ok(HttpResponse::Ok().json(report)),
        };
    }
    let (lines, mut told) = mpsc::channel(WAITING_LINES);
    actix_web::rt::spawn(tell(job, list, wants_rows, lines));
    // What fails before anything is told has a status of its own.
    let first = told.recv().await.transpose()?;
    let rest = stream::unfold(told, async |mut told| told.recv().await.map(|told_next| (told_next, told)));
    let lines = stream::iter(first.map(Ok)).chain(rest);
    let lines = lines.map(|line| Ok::<Bytes, Infallible>(line.unwrap_or_else(|error| problem(&error))));
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(lines))
}

/// The prices that the caller may see, as a list that an import takes as it is. Cells that a spreadsheet
/// would run as a formula are neutralised.
#[utoipa::path(tag = "prices", params(ExportPrices), responses(
    (status = 200, description = "The list", content((String = "text/csv"), (serde_json::Value = "application/json"))),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/prices/export")]
pub(crate) async fn export_prices(
    control: Data<Control>,
    actor: Actor,
    asked: Query<ExportPrices>,
) -> Result<HttpResponse, AdminError> {
    let format = asked.0.format.unwrap_or_default();
    let (content_type, name) = match format {
        ListFormat::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"prices.csv\""),
        ListFormat::Json => ("application/json", "attachment; filename=\"prices.json\""),
    };
    let mut export = Export::new(as_format(format), prices::which(actor.scope(), &asked.0));
    // Before the answer begins: a database that is away is still an error with a status.
    let first = next(&mut export, &control).await?;
    let rest = stream::unfold((export, control), async |(mut export, control)| {
        let piece = next(&mut export, &control).await.transpose()?;
        Some((piece, (export, control)))
    });
    let pieces = stream::iter(first.map(Ok)).chain(rest);
    let pieces: std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, AdminError>>>> = Box::pin(pieces);
    Ok(HttpResponse::Ok().content_type(content_type).insert_header((CONTENT_DISPOSITION, name)).streaming(pieces))
}

async fn next(export: &mut Export, control: &Control) -> Result<Option<Bytes>, AdminError> {
    match export.next(&control.database).await {
        Ok(piece) => Ok(piece.map(Bytes::from)),
        Err(pricing_seed::SeedError::Database(error)) => Err(error.into()),
        Err(error) => Err(AdminError::internal(&error)),
    }
}

const fn as_format(format: ListFormat) -> Format {
    match format {
        ListFormat::Csv => Format::Csv,
        ListFormat::Json => Format::Json,
    }
}

fn options(request: &HttpRequest, asked: &ImportPrices) -> Result<Options, AdminError> {
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(AdminError::UnsupportedMediaType("Bodies are taken without a content encoding.".to_owned()));
    }
    let told = match request.content_type() {
        "" | "text/plain" | "application/octet-stream" => None,
        "text/csv" => Some(ListFormat::Csv),
        "application/json" | "application/x-ndjson" | "application/jsonl" => Some(ListFormat::Json),
        _ => {
            return Err(AdminError::UnsupportedMediaType("The body must be text/csv or application/json.".to_owned()));
        }
    };
    if told.is_some() && asked.format.is_some() && told != asked.format {
        return Err(AdminError::field("format", "is not what Content-Type says"));
    }
    let format = told.or(asked.format).unwrap_or_default();
    Ok(Options {
        format: as_format(format),
        skip_bad: asked.mode == Some(ImportMode::SkipBad),
        dry_run: asked.dry_run.unwrap_or_default(),
        managed_by: "api",
        now: OffsetDateTime::now_utc(),
    })
}

async fn place() -> Result<SemaphorePermit<'static>, AdminError> {
    match tokio::time::timeout(PATIENCE, PLACES.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(AdminError::TooMany { detail: "Other lists are being imported.".to_owned(), retry_after: PATIENCE }),
    }
}

/// One import.
struct Job {
    control: Data<Control>,
    actor: Actor,
    options: Options,
    _place: SemaphorePermit<'static>,
}

impl Job {
    /// Reads the list to its end and writes it, or not. What became of each row goes into `rows`.
    async fn run(
        &self,
        mut list: Pieces,
        mut tell: impl FnMut(Progress),
        rows: Option<&mut tokio::fs::File>,
    ) -> Result<ImportReport, AdminError> {
        let transaction = database::begin(&self.control.database).await?;
        let mut import = Import::begin(&transaction, self.options).await.map_err(failed)?;
        while let Some(piece) = list.next().await? {
            import.feed(&piece).await.map_err(failed)?;
            tell(import.progress(Stage::Reading));
        }
        let done = import.finish(tell).await.map_err(failed)?;
        let report = ImportReport {
            applied: done.applied,
            dry_run: self.options.dry_run,
            rows: done.rows,
            inserted: done.inserted,
            updated: done.updated,
            unchanged: done.unchanged,
            refused: done.refused,
            problems: done
                .problems
                .into_iter()
                .map(|problem| RowProblem { row: problem.line, detail: problem.reason })
                .collect(),
        };
        if let Some(file) = rows {
            write_rows(&transaction, file).await?;
        }
        if report.applied {
            pricing_seed::clear(&transaction).await?;
            self.commit(transaction, &report).await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(report)
    }

    async fn commit(&self, transaction: DatabaseTransaction, report: &ImportReport) -> Result<(), AdminError> {
        let after = json!({
            "rows": report.rows, "inserted": report.inserted, "updated": report.updated,
            "unchanged": report.unchanged, "refused": report.refused,
        });
        let change = Change { action: "import", kind: "price", tenant: self.actor.tenant, ..Change::default() };
        audit::append(&transaction, &self.actor.by(), change.after(&after)).await?;
        publish::announce(&transaction).await?;
        self.control.commit(transaction).await
    }
}

/// The lines of an answer that is told while it runs. Whoever reads none of it still gets the list
/// imported: progress that finds no room is left out.
async fn tell(job: Job, list: Pieces, wants_rows: bool, lines: mpsc::Sender<Result<Bytes, AdminError>>) {
    let mut told = (Instant::now(), Stage::Reading);
    let progress = |progress: Progress| {
        if progress.stage != told.1 || told.0.elapsed() >= BEAT {
            told = (Instant::now(), progress.stage);
            let Progress { stage, bytes, rows } = progress;
            let at = json!({ "progress": { "stage": stage.as_str(), "bytes": bytes, "rows": rows } });
            // A full channel means that nobody reads at the moment.
            drop(lines.try_send(Ok(line(&at))));
        }
    };
    let mut rows = match wants_rows.then(tempfile::tempfile).transpose() {
        Ok(file) => file.map(tokio::fs::File::from_std),
        Err(error) => return drop(lines.send(Err(AdminError::internal(&error))).await),
    };
    let report = Box::pin(job.run(list, progress, rows.as_mut())).await;
    let last = report.map(|report| line(&json!({ "report": report })));
    if let Some(file) = rows
        && let Err(error) = send_rows(file, &lines).await
    {
        tracing::warn!(%error, "the report of an import cannot be read back");
    }
    // A reader that has gone away misses it.
    drop(lines.send(last).await);
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

fn problem(error: &AdminError) -> Bytes {
    let body = actix_web::body::MessageBody::try_into_bytes(error.error_response().into_body()).unwrap_or_default();
    line(&json!({ "problem": serde_json::from_slice::<Value>(&body).unwrap_or_default() }))
}

/// Aside, so that a slow reader does not hold up the transaction.
async fn write_rows(transaction: &DatabaseTransaction, file: &mut tokio::fs::File) -> Result<(), AdminError> {
    let unwritable = |error: std::io::Error| AdminError::internal(&error);
    let mut after = i64::MIN;
    loop {
        let rows = pricing_seed::outcomes(transaction, after, REPORTED_ROWS).await?;
        let Some(last) = rows.last() else { break };
        after = last.line;
        let mut text = String::new();
        for row in rows {
            let told = match row.problem {
                Some(problem) => json!({ "row": row.line, "outcome": "refused", "detail": problem }),
                None => json!({ "row": row.line, "outcome": row.outcome }),
            };
            text.push_str(&told.to_string());
            text.push('\n');
        }
        file.write_all(text.as_bytes()).await.map_err(unwritable)?;
    }
    file.flush().await.map_err(unwritable)
}

async fn send_rows(mut file: tokio::fs::File, lines: &mpsc::Sender<Result<Bytes, AdminError>>) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(0)).await?;
    loop {
        let mut piece = Vec::with_capacity(32 * 1024);
        if file.read_buf(&mut piece).await? == 0 || lines.send(Ok(piece.into())).await.is_err() {
            return Ok(());
        }
    }
}

/// Why nothing was written of a list that was not to be tried out only.
fn refusal(report: &ImportReport) -> Option<AdminError> {
    if report.applied || report.dry_run {
        return None;
    }
    let of_row = |problem: &RowProblem| match problem.detail.split_once(": ") {
        Some((field, detail)) if field.len() <= 20 => {
            FieldProblem { field: format!("row {}, {field}", problem.row), detail: detail.to_owned() }
        }
        _ => FieldProblem { field: format!("row {}", problem.row), detail: problem.detail.clone() },
    };
    Some(AdminError::Invalid(report.problems.iter().map(of_row).collect()))
}

fn failed(error: ImportError) -> AdminError {
    match error {
        ImportError::Unreadable { line, reason } => AdminError::field(format!("row {line}"), reason),
        ImportError::Database(error) => error.into(),
    }
}
