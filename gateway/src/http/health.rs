//! `GET /healthz` and `/readyz`.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use crate::Worker;
use crate::limits::shared::WhenAway;

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
    let shared = gateway.shared.as_ref();
    let refusing = shared.is_some_and(|shared| shared.is_away() && shared.when_away() == WhenAway::Closed);
    let ready = !draining && accepting && !refusing;
    let redis = shared.map(|shared| {
        json!({
            "status": if shared.is_away() { "unreachable" } else { "ok" },
            "gateways": shared.share().gateways(),
            "when_away": shared.when_away().as_str(),
        })
    });
    let body = json!({
        "status": if ready { "ready" } else { "not_ready" },
        "draining": draining,
        "database": if ledger.database_ok { "ok" } else { "unreachable" },
        "redis": redis,
        "journal": {"pending_records": ledger.pending_records, "pending_bytes": ledger.pending_bytes, "accepting": accepting},
        "local_speech": {"missing": missing},
        "sessions": gateway.sessions.len(),
        "queued": gateway.health.seats.waiting(),
        "overload": gateway.overload.described(),
    });
    if ready { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}
