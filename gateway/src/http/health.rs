//! `GET /healthz` and `/readyz`.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use crate::Worker;

/// The process lives.
pub async fn get_health() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// Whether new work is welcome, and how each dependency is.
pub async fn get_readiness(worker: Data<Worker>) -> HttpResponse {
    let gateway = &worker.gateway;
    let ledger = gateway.ledger.health();
    let draining = gateway.draining.is_cancelled();
    let accepting = gateway.ledger.accepts().is_ok();
    let missing: Vec<String> = gateway
        .local
        .missing()
        .iter()
        .map(|missing| format!("{} (package {})", missing.program, missing.package))
        .collect();
    let ready = !draining && accepting;
    let body = json!({
        "status": if ready { "ready" } else { "not_ready" },
        "draining": draining,
        "database": if ledger.database_ok { "ok" } else { "unreachable" },
        "journal": {"pending_records": ledger.pending_records, "pending_bytes": ledger.pending_bytes, "accepting": accepting},
        "local_speech": {"missing": missing},
        "sessions": gateway.sessions.len(),
    });
    if ready { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}
