//! `GET /healthz` and `/readyz`: for whoever runs the process, without signing in.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::Control;

/// How long the database has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Set once the process has been told to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draining(pub(crate) CancellationToken);

pub(crate) fn configure(config: &mut ServiceConfig) {
    config.route("/healthz", web::get().to(get_health)).route("/readyz", web::get().to(get_readiness));
}

/// The process lives.
async fn get_health() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// Whether requests are welcome: the database answers, and nobody has told the process to stop.
async fn get_readiness(control: Data<Control>, draining: Data<Draining>) -> HttpResponse {
    let draining = draining.0.is_cancelled();
    let answered = tokio::time::timeout(PATIENCE, control.database.ping()).await;
    let database_ok = matches!(answered, Ok(Ok(())));
    let ready = database_ok && !draining;
    let body = json!({
        "status": if ready { "ready" } else { "not_ready" },
        "draining": draining,
        "database": if database_ok { "ok" } else { "unreachable" },
    });
    if ready { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}
