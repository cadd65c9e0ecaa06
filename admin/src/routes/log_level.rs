//! `/api/v1/log-level`: what the process that answers logs, until it starts again.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, put};
use admin_types::problem::Problem;
use admin_types::process::{LogLevel, MAX_LEVELS_BYTES, MAX_LEVELS_SECONDS, SetLogLevel};
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::Body;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_log_level).service(put_log_level).service(delete_log_level);
}

/// What the process that answers logs.
#[utoipa::path(tag = "process", responses(
    (status = 200, description = "The levels in force and those that are configured", body = LogLevel),
))]
#[get("/api/v1/log-level")]
pub(crate) async fn get_log_level(control: Data<Control>, _: Actor) -> HttpResponse {
    HttpResponse::Ok().json(control.process.log_level())
}

/// Lets the process that answers log by other levels: for a while, or until it starts again or loads its
/// configuration. Other processes of the installation go on as before.
#[utoipa::path(tag = "process", request_body = SetLogLevel, responses(
    (status = 200, description = "They are in force in the process that is named", body = LogLevel),
    (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[put("/api/v1/log-level")]
pub(crate) async fn put_log_level(
    control: Data<Control>,
    actor: Actor,
    body: Body<SetLogLevel>,
) -> Result<HttpResponse, AdminError> {
    let SetLogLevel { levels, for_seconds } = body.value;
    if levels.is_empty() || levels.len() > MAX_LEVELS_BYTES {
        return Err(AdminError::field("levels", format!("must have 1 to {MAX_LEVELS_BYTES} characters")));
    }
    if for_seconds.is_some_and(|seconds| !(1..=MAX_LEVELS_SECONDS).contains(&seconds)) {
        return Err(AdminError::field("for_seconds", format!("must be 1 to {MAX_LEVELS_SECONDS}")));
    }
    control.process.check_log_level(&levels)?;
    let until = for_seconds.map(|seconds| OffsetDateTime::now_utc() + Duration::from_secs(seconds.into()));
    let level = set(&control, &actor, Some(&levels), until).await?;
    Ok(HttpResponse::Ok().json(level))
}

/// Lets the process that answers log by the configured levels again.
#[utoipa::path(tag = "process", responses((status = 204, description = "They are in force")))]
#[delete("/api/v1/log-level")]
pub(crate) async fn delete_log_level(control: Data<Control>, actor: Actor) -> Result<HttpResponse, AdminError> {
    set(&control, &actor, None, None).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Written down before it is done: what can be said against the levels has been said.
async fn set(
    control: &Control,
    actor: &Actor,
    levels: Option<&str>,
    until: Option<OffsetDateTime>,
) -> Result<LogLevel, AdminError> {
    let before = control.process.log_level();
    let wanted = levels.unwrap_or(&before.configured).to_owned();
    let after = LogLevel { levels: wanted, until, ..before.clone() };
    let change = Change::of("update", "log_level", control.process.name(), None).before(&before).after(&after);
    let transaction = control.begin().await?;
    audit::append(&transaction, &actor.by(), change).await?;
    transaction.commit().await?;
    Ok(control.process.set_log_level(levels, until)?)
}
