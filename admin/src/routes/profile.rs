//! `/api/v1/debug/profile`: where the process that answers spends its processor time.

use std::time::Duration;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::web::{Data, block};
use actix_web::{HttpResponse, get};
use admin_types::problem::Problem;
use admin_types::process::{AskProfile, MAX_PROFILE_HERTZ, MAX_PROFILE_SECONDS, ProfileFormat};
use serde_json::json;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::Query;

/// Short, for whoever tries every operation out.
const SECONDS: u16 = 2;
/// Not a round number, so that it does not keep step with what happens a hundred times a second.
const HERTZ: u16 = 99;
/// A picture that was opened as a page of ours could do nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_profile);
}

/// Watches the process that answers for some seconds, and tells where it spends its processor time. One profile is
/// taken at a time.
#[utoipa::path(tag = "process", params(AskProfile), responses(
    (status = 200, description = "The profile, to be saved", content((String = "image/svg+xml"), (String = "text/plain"))),
    (status = 409, description = "Another one is being taken, or the process has too little memory for one", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
    (status = 501, description = "The process runs on a system on which it cannot be watched", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/debug/profile")]
pub(crate) async fn get_profile(
    control: Data<Control>,
    actor: Actor,
    asked: Query<AskProfile>,
) -> Result<HttpResponse, AdminError> {
    let seconds = bounded("seconds", asked.0.seconds.unwrap_or(SECONDS), MAX_PROFILE_SECONDS)?;
    let hertz = bounded("hertz", asked.0.hertz.unwrap_or(HERTZ), MAX_PROFILE_HERTZ)?;
    let format = asked.0.format.unwrap_or(ProfileFormat::Svg);
    // Whoever goes away ends it.
    let sampling = control.process.profile(hertz)?;
    let change = Change::of("take", "profile", control.process.name(), None);
    let change = change.after(&json!({"seconds": seconds, "hertz": hertz, "format": format}));
    let transaction = control.begin().await?;
    audit::append(&transaction, &actor.by(), change).await?;
    transaction.commit().await?;
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    let finished = block(move || sampling.finish(format)).await;
    let text = finished.map_err(|error| AdminError::internal(&error))??;
    let (kind, name) = match format {
        ProfileFormat::Svg => ("image/svg+xml", "profile.svg"),
        ProfileFormat::Folded => ("text/plain; charset=utf-8", "profile.folded"),
    };
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_TYPE, kind)).insert_header((CONTENT_SECURITY_POLICY, POLICY));
    answer.insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")));
    Ok(answer.body(text))
}

fn bounded(field: &str, told: u16, most: u16) -> Result<u16, AdminError> {
    if (1..=most).contains(&told) { Ok(told) } else { Err(AdminError::field(field, format!("must be 1 to {most}"))) }
}
