//! `/api/v1/usage`

use std::time::Duration;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{Data, Payload};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, get, post};
use admin_types::page::Page;
use admin_types::problem::Problem;
use admin_types::usage::{
    AggregateUsage, CompareUsage, ExportFormat, ExportUsage, InvoiceComparison, ListUsage, UsageAggregates,
    UsageFilter, UsageRecord,
};
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{PathId, Pieces, Query};
use crate::repositories::usage;
use crate::usage::export::Export;
use crate::usage::{invoice, sums};

/// Invoices that a process reads at once: each takes several times its size in memory.
static PLACES: Semaphore = Semaphore::const_new(4);
/// How long an invoice waits for its place.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an invoice may take to arrive.
const LONGEST: Duration = Duration::from_secs(5 * 60);

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_usage)
        .service(list_records)
        .service(get_record)
        .service(aggregate_usage)
        .service(export_usage)
        .service(compare_usage);
}

/// Usage records; the same as `/api/v1/usage/records`.
#[utoipa::path(tag = "usage", params(ListUsage), responses(
    (status = 200, description = "One page", body = Page<UsageRecord>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/usage")]
pub(crate) async fn list_usage(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListUsage>,
) -> Result<HttpResponse, AdminError> {
    Ok(HttpResponse::Ok().json(usage::list(&control.database, actor.scope(), &list.0).await?))
}

/// Usage records: one for each billed operation and each turn of a realtime session.
#[utoipa::path(tag = "usage", params(ListUsage), responses(
    (status = 200, description = "One page", body = Page<UsageRecord>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/usage/records")]
pub(crate) async fn list_records(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListUsage>,
) -> Result<HttpResponse, AdminError> {
    Ok(HttpResponse::Ok().json(usage::list(&control.database, actor.scope(), &list.0).await?))
}

/// One usage record, with the targets that failed before another served.
#[utoipa::path(tag = "usage", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The record", body = UsageRecord),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/usage/records/{id}")]
pub(crate) async fn get_record(control: Data<Control>, actor: Actor, id: PathId) -> Result<HttpResponse, AdminError> {
    Ok(HttpResponse::Ok().json(usage::find(&control.database, actor.scope(), id.0).await?))
}

/// Sums of records by whatever they are told apart by, and by time.
#[utoipa::path(tag = "usage", params(AggregateUsage), responses(
    (status = 200, description = "The sums", body = UsageAggregates),
    (status = 422, description = "A parameter cannot be used, or nothing is kept that answers this",
        body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/usage/aggregates")]
pub(crate) async fn aggregate_usage(
    control: Data<Control>,
    actor: Actor,
    asked: Query<AggregateUsage>,
) -> Result<HttpResponse, AdminError> {
    Ok(HttpResponse::Ok().json(sums::sums(&control.database, actor.scope(), &asked.0).await?))
}

/// Usage records as a file that is written while it is read. An export that fails in the middle ends without
/// the end of its body.
#[utoipa::path(tag = "usage", params(ExportUsage), responses(
    (status = 200, description = "The records, the oldest first", content(
            (String = "text/csv"), (Vec<UsageRecord> = "application/json"), (String = "application/x-ndjson")),
        headers(("x-total-estimate" = Option<u64>, description = "How many there are in the whole hours or days asked for, where the sums know it"))),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/usage/export")]
pub(crate) async fn export_usage(
    control: Data<Control>,
    actor: Actor,
    asked: Query<ExportUsage>,
) -> Result<HttpResponse, AdminError> {
    let filter = UsageFilter::from(&asked.0);
    usage::check(&filter)?;
    let estimate = sums::estimate(&control.database, actor.scope(), &filter).await?;
    let format = asked.0.format.unwrap_or_default();
    let (kind, name) = match format {
        ExportFormat::Csv => ("text/csv; charset=utf-8", "usage.csv"),
        ExportFormat::Json => ("application/json", "usage.json"),
        ExportFormat::Jsonl => ("application/x-ndjson", "usage.jsonl"),
    };
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, kind));
    response.insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")));
    if let Some(estimate) = estimate {
        response.insert_header(("x-total-estimate", estimate.to_string()));
    }
    let export = Export { database: control.database.clone(), scope: actor.scope(), filter, format };
    let pieces = export
        .pieces()
        .inspect_err(|error| tracing::error!(%error, "an export of usage records ended before its end"))
        .map_ok(|(bytes, _)| bytes)
        .filter(|piece| std::future::ready(piece.as_ref().map_or(true, |bytes| !bytes.is_empty())));
    Ok(response.streaming(pieces.boxed_local()))
}

/// Compares a provider's invoice with what was recorded.
#[utoipa::path(tag = "usage", params(CompareUsage),
    request_body(content = String, content_type = "text/csv",
        description = "CSV with the columns date (2026-11-22) or month (2026-11), model, amount_usd, and unit and quantity where there are any; up to 16 MiB"),
    responses(
        (status = 200, description = "The differences", body = InvoiceComparison),
        (status = 400, description = "It is not CSV", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "It has stopped arriving, or takes more than 5 minutes", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "It is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "It is of another type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A column is missing, it has too many lines, or a parameter cannot be used", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Other invoices are being read", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/usage/compare")]
pub(crate) async fn compare_usage(
    control: Data<Control>,
    actor: Actor,
    asked: Query<CompareUsage>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, AdminError> {
    let kind = request.content_type().to_ascii_lowercase();
    if !matches!(kind.as_str(), "" | "text/csv" | "text/plain" | "application/csv") {
        return Err(AdminError::UnsupportedMediaType("The body must be text/csv.".to_owned()));
    }
    let _place = place().await?;
    let text = Pieces::new(&request, body.into_inner(), invoice::MAX_BYTES)?.within(LONGEST).all().await?;
    Ok(HttpResponse::Ok().json(invoice::compare(&control.database, actor.scope(), &asked.0, &text).await?))
}

async fn place() -> Result<SemaphorePermit<'static>, AdminError> {
    match tokio::time::timeout(PATIENCE, PLACES.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(AdminError::TooMany { detail: "Other invoices are being read.".to_owned(), retry_after: PATIENCE }),
    }
}
