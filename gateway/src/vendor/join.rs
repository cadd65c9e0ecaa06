//! Addresses of sessions that a vendor makes: they are given out rewritten, so that the session passes
//! through here. What they lead to is sealed in them.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use dialects::surface::{Address, Called, Method, Passage};
use domain::error::ErrorKind;
use domain::limits::MAX_UPSTREAM_JSON_BYTES;
use serde_json::{Map, Value};
use url::Url;

use super::asked::Asked;
use super::followed::{self, Session};
use super::passes::{Join, Pass};
use super::rest::{Taken, model, object};
use super::socket::Opening;
use super::{Vendor, account, answer, relay, send};
use crate::Worker;
use crate::error::GatewayError;
use crate::http::body::read_json;
use crate::http::extract::caller_by;
use crate::limits::Want;
use crate::pipeline::authenticate::{Principal, check_expiry};
use crate::pipeline::call::Call;
use crate::pipeline::forward::collect;
use crate::realtime::client::verify;

/// Where rewritten addresses lead, below the vendor's prefix.
pub(super) const PATH: &str = "/join";
/// The parameter that holds what they lead to.
const SEALED: &str = "call";
/// Seconds for which an address is good here. Most vendors wait less.
const LIFE_S: i64 = 3600;

/// Asks a vendor to make a session, and gives out an address here in place of the vendor's.
///
/// # Errors
/// The key may not hold it, or it would not pass through here.
pub(super) async fn make(
    taken: Taken,
    part: Option<String>,
    request: &HttpRequest,
    payload: Payload,
    address: Address,
) -> Result<HttpResponse, GatewayError> {
    let Taken { vendor, worker, mut caller, asked, route } = taken;
    let has_body = route.method == Method::Post;
    let body = if has_body { Some(read_json(&worker, request, payload).await?) } else { None };
    let parsed = body.as_deref().map_or_else(|| Ok(Map::new()), object)?;
    let passage = (address.check)(&parsed).map_err(|(param, message)| GatewayError::invalid(param, message))?;
    caller.facts.model_asked = model(route, &asked, &parsed, part.as_deref())?;
    let here = origin(request);
    Call::attend(worker, caller, move |call, facts| async move {
        let gateway = call.gateway();
        let model = facts.model_asked.clone();
        let principal = &call.principal;
        let by = (&*call.snapshot, principal, &*call.progress);
        let candidate = account::choose(gateway, by, vendor, facts.operation, &model).await?;
        // What it costs is counted when it is joined; a budget that does not hold its beginning makes none.
        let cost = account::price(&call.snapshot, &facts, &candidate, &relay::WINDOW);
        crate::pipeline::admit::refuse_unpriced(principal.key.refuse_unpriced, std::iter::once(cost))?;
        let want = Want { cost, session: false };
        let permit = call.worker.admit(&principal.key, &want, &facts).await?;
        let body = match (passage, address.followed) {
            (Passage::WithoutSound(asked_ms), Some(how)) => {
                Some(followed::bounded(&call, &facts, &candidate, &permit, how, asked_ms, parsed).await?)
            }
            _ => body,
        };
        let answer = match body {
            Some(body) => send::post(&call, vendor.surface, &candidate, &asked, body).await?,
            None => send::ask(&call, vendor.surface, &candidate, route.origin, &asked).await?,
        };
        let answer = match answer::judge(&call, vendor.surface, &candidate, answer).await? {
            answer::Verdict::Good(answer) => answer,
            answer::Verdict::Refused(response, _) => return Ok(response),
        };
        drop(permit);
        let (head, body) = answer.into_parts();
        let body = collect(body, MAX_UPSTREAM_JSON_BYTES, gateway.timeouts().idle).await?;
        let mut told: Value = serde_json::from_slice(&answer::scrubbed(candidate.account.api_key.as_ref(), body))
            .map_err(|_| GatewayError::upstream(ErrorKind::UpstreamError, "The provider's answer is not JSON."))?;
        // Without the address nobody can join, and with the vendor's the session would go around this gateway.
        let url = told.get(address.field).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
            GatewayError::upstream(ErrorKind::UpstreamError, "The provider's answer has no address to join.")
        })?;
        let name = address.followed.and_then(|how| told.get(how.id)).and_then(Value::as_str).map(str::to_owned);
        let without_sound = passage != Passage::Whole;
        // What could be neither cut nor ended is not begun.
        if without_sound && name.is_none() {
            let message = "The provider's answer does not name the session.";
            return Err(GatewayError::upstream(ErrorKind::UpstreamError, message));
        }
        let pass = Pass {
            key: principal.key.id,
            vendor: vendor.surface.prefix.to_owned(),
            expires_at: facts.started_at.unix_timestamp().saturating_add(LIFE_S),
            session: Some(Join {
                url,
                account: candidate.account.name.clone(),
                credential: candidate.account.key().1,
                model,
                name,
                without_sound,
            }),
        };
        let sealed = gateway.passes.seal(&pass)?;
        if let Some(fields) = told.as_object_mut() {
            let rewritten = format!("{here}/{}{PATH}?{SEALED}={sealed}", vendor.surface.prefix);
            fields.insert(address.field.to_owned(), Value::from(rewritten));
        }
        Ok(answer::begin(vendor.surface, &head).json(told))
    })
    .await
}

/// Where the client reaches this gateway, as it told us or the proxy before us.
fn origin(request: &HttpRequest) -> String {
    let connection = request.connection_info();
    let scheme = if connection.scheme() == "https" { "wss" } else { "ws" };
    format!("{scheme}://{}", connection.host())
}

/// Joins a session by its rewritten address, which is all the authentication that it needs.
///
/// # Errors
/// `InvalidApiKey`, the same for every reason; or whatever is known to fail before the upgrade.
pub(super) async fn enter(
    vendor: Vendor,
    worker: Data<Worker>,
    request: &HttpRequest,
    payload: Payload,
    asked: &Asked,
) -> Result<HttpResponse, GatewayError> {
    verify(request)?;
    let sealed = asked.query.get(SEALED).unwrap_or_default();
    let mut found = None;
    let operation = domain::provider::Operation::Realtime;
    let mut caller = caller_by(&worker, request, operation, |snapshot, now| {
        let pass = worker.gateway.passes.open(sealed, now).filter(|pass| pass.vendor == vendor.surface.prefix);
        let pass = pass.ok_or_else(GatewayError::unauthenticated)?;
        let key = snapshot.key_by_id(pass.key).ok_or_else(GatewayError::unauthenticated)?;
        found = Some(pass.session.ok_or_else(GatewayError::unauthenticated)?);
        check_expiry(Principal { key: key.clone(), grant: None }, now)
    })?;
    worker.pace.admit(crate::overload::Work::Session)?;
    let Join { url, account, credential, model, name, without_sound } =
        found.ok_or_else(GatewayError::unauthenticated)?;
    let health = &worker.gateway.health;
    let (snapshot, principal, by) = (&caller.snapshot, &caller.principal, (account.as_str(), credential));
    let candidate = account::named(snapshot, health, principal, vendor, operation, &model, by)?;
    caller.facts.model_asked = model;
    let address = with_query(&url, asked)?;
    let counter = Box::new(Called::default());
    let how = vendor.surface.followed();
    let followed = how.zip(name).and_then(|(how, name)| Session::named(how, name, without_sound));
    let (worker, surface) = (worker.get_ref().clone(), vendor.surface);
    let opening = Opening { worker, caller, surface, candidate, counter, followed };
    opening.begin(request, payload, &address, false).await
}

/// The vendor's address, with what its SDK has added to ours.
fn with_query(url: &str, asked: &Asked) -> Result<String, GatewayError> {
    let mut url = Url::parse(url)
        .map_err(|_| GatewayError::upstream(ErrorKind::UpstreamError, "The provider's address cannot be read."))?;
    let added = asked.query.0.iter().filter(|(name, _)| name != SEALED).collect::<Vec<_>>();
    if !added.is_empty() {
        url.query_pairs_mut().extend_pairs(added.into_iter().map(|(name, value)| (name, value)));
    }
    Ok(url.into())
}
