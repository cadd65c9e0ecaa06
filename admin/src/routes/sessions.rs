//! `/api/v1/sessions`

use actix_web::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get, post};
use admin_types::page::Page;
use admin_types::problem::Problem;
use admin_types::sessions::{ListSessions, Session, SessionDetails, TerminateSession, WatchSessions};
use domain::ids::{SessionId, TenantId};
use serde_json::json;
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Control;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, PathId, Query};
use crate::repositories::sessions;
use crate::session_events::{self, Streams, Watch};

const MAX_REASON_CHARACTERS: usize = 200;

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    // The stream first: its path would be taken for an id's.
    config.service(list_sessions).service(watch_sessions).service(get_session).service(terminate_session);
}

/// The sessions that are open now, on any gateway.
#[utoipa::path(tag = "sessions", params(ListSessions), responses(
    (status = 200, description = "One page", body = Page<Session>),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/sessions")]
pub(crate) async fn list_sessions(
    control: Data<Control>,
    actor: Actor,
    list: Query<ListSessions>,
) -> Result<HttpResponse, AdminError> {
    let page = sessions::list(&control.database, actor.scope(), &list.0).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// The sessions that are open, told again whenever they change: server-sent events named `sessions`, with
/// comments in between that keep the connection alive. It ends when the caller may no longer see them. A
/// caller that does not accept `text/event-stream` by name gets the first event alone.
#[utoipa::path(tag = "sessions", params(WatchSessions), responses(
    (status = 200, description = "Events whose data are `OpenSessions` as JSON", body = String, content_type = "text/event-stream"),
    (status = 422, description = "A parameter cannot be used", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "Too many watch already", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/sessions/events")]
pub(crate) async fn watch_sessions(
    control: Data<Control>,
    streams: Data<Streams>,
    actor: Actor,
    asked: Query<WatchSessions>,
    request: HttpRequest,
) -> Result<HttpResponse, AdminError> {
    let scope = actor.scope().narrow(asked.0.tenant_id.map(TenantId));
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_TYPE, "text/event-stream")).insert_header((CACHE_CONTROL, "no-store"));
    // Proxies would hold events back until there are many.
    answer.insert_header(("x-accel-buffering", "no"));
    let first = session_events::event(&control, scope).await?;
    if !accepts_events(&request) {
        return Ok(answer.body(first));
    }
    let place = streams.enter(actor.user)?;
    let watch = Watch { control, request, actor, scope, place };
    Ok(answer.streaming(watch.events(first)))
}

fn accepts_events(request: &HttpRequest) -> bool {
    let accepted = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    accepted.into_iter().any(|value| value.to_ascii_lowercase().contains("text/event-stream"))
}

/// One session with its turns, while it is open and for as long as its usage is kept.
#[utoipa::path(tag = "sessions", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The session", body = SessionDetails),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
))]
#[get("/api/v1/sessions/{id}")]
pub(crate) async fn get_session(control: Data<Control>, actor: Actor, id: PathId) -> Result<HttpResponse, AdminError> {
    let live = sessions::find(&control.database, actor.scope(), id.0, false).await?.map(sessions::view);
    let (turns, more_turns) = sessions::turns(&control.database, actor.scope(), id.0).await?;
    if live.is_none() && turns.is_empty() {
        return Err(AdminError::NotFound);
    }
    Ok(HttpResponse::Ok().json(SessionDetails { id: id.0, live, turns, more_turns }))
}

/// Ends a session: its gateway tells the client the reason in an `error` event and closes with 1008, within
/// a second. Asked again, the first reason stands.
#[utoipa::path(tag = "sessions", request_body = TerminateSession, params(("id" = uuid::Uuid, Path)), responses(
    (status = 202, description = "Its gateway has been told", body = Session),
    (status = 404, description = "There is none that is open and that you may see", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/sessions/{id}/terminate")]
pub(crate) async fn terminate_session(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    body: Body<TerminateSession>,
) -> Result<HttpResponse, AdminError> {
    let reason = body.value.reason.trim();
    check_reason(reason)?;
    let transaction = control.begin().await?;
    let found = sessions::find(&transaction, actor.scope(), id.0, true).await?;
    let (row, gateway) = found.ok_or(AdminError::NotFound)?;
    let is_first = row.terminate_requested_at.is_none();
    let now = OffsetDateTime::now_utc();
    let row = sessions::terminate(&transaction, row, reason, &actor.email, now).await?;
    if is_first {
        let tenant = Some(TenantId(row.tenant_id.0));
        let change = Change::of("terminate", "session", row.id, tenant).after(&json!({
            "key_id": row.key_id.0, "gateway_id": row.gateway_id.0, "reason": reason,
        }));
        audit::append(&transaction, &actor.by(), change).await?;
        changes::nudge(&transaction).await?;
    }
    control.commit(transaction).await?;
    // Also where it was asked before: whoever asks again may wait for it in vain.
    control.data_plane.terminated(
        TenantId(row.tenant_id.0),
        SessionId(row.id.0),
        row.terminate_reason.as_deref().unwrap_or(reason),
    );
    Ok(HttpResponse::Accepted().json(sessions::view((row, gateway))))
}

fn check_reason(reason: &str) -> Result<(), AdminError> {
    if reason.is_empty() || reason.chars().count() > MAX_REASON_CHARACTERS {
        return Err(AdminError::field("reason", format!("must have 1 to {MAX_REASON_CHARACTERS} characters")));
    }
    if reason.chars().any(char::is_control) {
        return Err(AdminError::field("reason", "must be one line of text"));
    }
    Ok(())
}
