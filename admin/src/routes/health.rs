//! `/api/v1/health`

use std::time::Instant;

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use admin_types::health::{AskHealth, DatabaseHealth, Health};
use admin_types::problem::Problem;
use changes::gateways;
use sea_orm::DbBackend;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::Query;
use crate::repositories::{Scope, health};

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_health);
}

/// How the gateways, the database and the targets are now.
#[utoipa::path(tag = "health", params(AskHealth), responses(
    (status = 200, description = "How everything is", body = Health),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The database does not answer", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/health")]
pub(crate) async fn get_health(
    control: Data<Control>,
    actor: Actor,
    asked: Query<AskHealth>,
) -> Result<HttpResponse, AdminError> {
    let db = &control.database;
    let since = Instant::now();
    let living = health::living(db, gateways::now(db).await?).await?;
    let latency_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (targets, more_targets) = health::targets(db, actor.scope(), &living, &asked.0).await?;
    let kind = if db.get_database_backend() == DbBackend::Postgres { "postgresql" } else { "sqlite" };
    let database = DatabaseHealth { kind: kind.to_owned(), latency_ms };
    // Machines' names and what they have to do are the operator's business.
    let gateways = if actor.scope() == Scope::All { living } else { Vec::new() };
    Ok(HttpResponse::Ok().json(Health { database, gateways, targets, more_targets }))
}
