//! `/api/v1/keys/bulk`

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING};
use actix_web::web::{Data, Payload};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, post};
use admin_types::keys::{BulkFormat, BulkKeys, BulkKeysOptions, KeyWithSecret};
use admin_types::problem::Problem;
use sea_orm::DatabaseTransaction;
use sha2::Digest;
use time::OffsetDateTime;

use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Pieces, Query};
use crate::idempotency::{self, Created, Idempotency};
use crate::keys::bulk::{self, Wanted};
use crate::keys::{self as virtual_keys, Secret, report};
use crate::repositories::keys;
use crate::{Control, publish};

/// Makes a key for each line of a file, all of them or none. Their secrets are shown this once.
///
/// The header names the columns: `name`, and any of `tenant` (name or id), `operations` and `models`
/// (separated by `;`), `rpm`, `sessions`, `budget_usd`, `budget_window`, `expires_at` and `allow_strategy` (`true` or
/// `false`). An empty cell is no limit. Rows are counted as a spreadsheet does: the header is row 1.
#[utoipa::path(tag = "keys",
    request_body(content = String, content_type = "text/csv", description = "At most 10,000 lines of 64 KiB"),
    params(BulkKeysOptions, ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "Makes them once, however often it is asked")),
    responses(
        (status = 200, description = "What a dry run has found", content((BulkKeys = "application/json"), (String = "text/csv"))),
        (status = 201, description = "Made", content((BulkKeys = "application/json"), (String = "text/csv"))),
        (status = 403, description = "Viewers make none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for something else", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The file is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not text/csv", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Rows cannot be used; each is named", body = Problem, content_type = "application/problem+json"),
    ))]
#[post("/api/v1/keys/bulk")]
pub(crate) async fn create_keys(
    control: Data<Control>,
    actor: Actor,
    idempotency: Idempotency,
    options: Query<BulkKeysOptions>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, AdminError> {
    let options = options.0;
    if request.headers().contains_key(CONTENT_ENCODING) || !request.content_type().eq_ignore_ascii_case("text/csv") {
        return Err(AdminError::UnsupportedMediaType(
            "The body must be text/csv without a content encoding.".to_owned(),
        ));
    }
    let file = Pieces::new(&request, payload.into_inner(), bulk::MAX_BYTES)?;
    let now = OffsetDateTime::now_utc();
    let owner = bulk::default_tenant(&control.database, actor.scope(), options.tenant_id).await?;
    let (mut sheet, mut digest) = bulk::read(file, now).await?;
    let format = options.format.unwrap_or_default();
    if sheet.is_unreadable() {
        return Err(sheet.refusal());
    }
    if options.dry_run == Some(true) {
        sheet.resolve(&control.database, actor.scope(), owner).await?;
        let report = BulkKeys { rows: sheet.rows(), keys: Vec::new(), errors: sheet.problems };
        return Ok(answer(HttpResponse::Ok(), &report, format));
    }
    digest.update(owner.map(|tenant| tenant.to_string()).unwrap_or_default());
    let made = idempotency::once(&control, &actor, &idempotency, digest.finalize().into(), async |transaction| {
        let wanted = sheet.resolve(transaction, actor.scope(), owner).await?;
        if !sheet.problems.is_empty() {
            return Err(sheet.refusal());
        }
        let keys = make(&control, transaction, &actor, wanted, now).await?;
        let body = BulkKeys { rows: sheet.rows(), keys, errors: Vec::new() };
        Ok(Created { body, location: "/api/v1/keys".to_owned(), version: None })
    });
    let (created, replayed) = made.await?;
    let report: BulkKeys = serde_json::from_value(created.body).map_err(|error| AdminError::internal(&error))?;
    let mut response = HttpResponse::Created();
    if replayed {
        response.insert_header(("idempotent-replayed", "true"));
    }
    Ok(answer(response, &report, format))
}

/// Writes the keys with their audit entries, and tells the gateways.
async fn make(
    control: &Control,
    transaction: &DatabaseTransaction,
    actor: &Actor,
    wanted: Vec<Wanted>,
    now: OffsetDateTime,
) -> Result<Vec<KeyWithSecret>, AdminError> {
    let mut rows = Vec::with_capacity(wanted.len());
    let mut changes = Vec::with_capacity(wanted.len());
    let mut made = Vec::with_capacity(wanted.len());
    for Wanted { tenant, policy } in wanted {
        let secret = Secret::new(&control.secrets)?;
        let row = virtual_keys::row(&control.secrets, tenant, policy, &secret, now)?;
        let key = keys::view(row.clone(), now)?;
        changes.push(Change::of("create", "key", row.id, Some(tenant)).after(&key));
        rows.push(row);
        made.push(KeyWithSecret { key, secret: secret.text });
    }
    keys::insert(transaction, &rows).await?;
    audit::append_all(transaction, &actor.by(), changes).await?;
    publish::announce(transaction).await?;
    Ok(made)
}

fn answer(mut response: actix_web::HttpResponseBuilder, report: &BulkKeys, format: BulkFormat) -> HttpResponse {
    match format {
        BulkFormat::Json => response.json(report),
        BulkFormat::Csv => response
            .content_type("text/csv; charset=utf-8")
            .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"keys.csv\""))
            .body(report::as_csv(report)),
    }
}
