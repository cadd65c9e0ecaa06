//! Sends a request to a vendor, whole or while it arrives, and waits for the head of the answer.

use std::future::Future;
use std::time::Instant;

use bytes::Bytes;
use dialects::surface::Surface;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::error::GatewayError;
use crate::ledger::Note;
use crate::pipeline::call::Call;
use crate::pipeline::estimate::Input;
use crate::pipeline::forward;
use crate::pipeline::meter::Meter;
use crate::pipeline::phases::Phase;
use crate::pipeline::request_body::{self, Piece};
use crate::pipeline::route::Candidate;
use crate::upstream::client::Body;
use crate::upstream::credentials::credential;
use crate::vendor::arriving::Arriving;
use crate::vendor::asked::Asked;

/// Pieces of a body between the client's socket and the vendor's.
const QUEUE: usize = 4;

/// Where a path is served: the account's base URL, or the vendor's other host while the base URL is the
/// vendor's own.
pub(super) fn address(
    surface: &Surface,
    candidate: &Candidate,
    origin: Option<&str>,
    path: &str,
    query: &str,
) -> String {
    let base = candidate.account.base_url.as_str();
    let separator = if query.is_empty() { "" } else { "?" };
    match origin {
        Some(origin) if candidate.row.base_url == Some(base) => format!("{origin}{path}{separator}{query}"),
        _ => {
            let path = path.strip_prefix(surface.in_base).unwrap_or(path);
            format!("{base}{path}{separator}{query}")
        }
    }
}

/// What surrounds a body: nothing of the client's headers travels but what the body is and what it takes.
async fn request(
    call: &Call,
    surface: &Surface,
    candidate: &Candidate,
    origin: Option<&str>,
    asked: &Asked,
    content_type: Option<&str>,
    (body, length): (Body, Option<u64>),
) -> Result<Request<Body>, GatewayError> {
    let uri = address(surface, candidate, origin, &asked.path, &asked.raw_query);
    let mut request = Request::builder().method(&asked.method).uri(uri);
    request = request.header(USER_AGENT, concat!("antiphon/", env!("CARGO_PKG_VERSION")));
    for (name, value) in [(CONTENT_TYPE, content_type), (ACCEPT, asked.accept.as_deref())] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    if let Some(length) = length {
        request = request.header(CONTENT_LENGTH, length);
    }
    if let Some((name, value)) = credential(call.gateway(), candidate).await? {
        request = request.header(name, value);
    }
    request.body(body).map_err(|error| GatewayError::internal(&error))
}

/// Asks for what needs no body.
///
/// # Errors
/// The vendor cannot be reached, or does not answer in time.
pub(super) async fn ask(
    call: &Call,
    surface: &Surface,
    candidate: &Candidate,
    origin: Option<&str>,
    asked: &Asked,
) -> Result<Response<Incoming>, GatewayError> {
    let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = request(call, surface, candidate, origin, asked, None, (nothing, None)).await?;
    wait(call, forward::send(call, candidate, request)).await
}

/// Asks for something with a body, which costs nothing by itself.
///
/// # Errors
/// As [`ask`]'s.
pub(super) async fn post(
    call: &Call,
    surface: &Surface,
    candidate: &Candidate,
    asked: &Asked,
    body: Bytes,
) -> Result<Response<Incoming>, GatewayError> {
    let (body, length) = request_body::whole(body.into(), Note::none());
    let content_type = asked.content_type.as_deref().unwrap_or("application/json");
    let request = request(call, surface, candidate, None, asked, Some(content_type), (body, Some(length))).await?;
    wait(call, forward::send(call, candidate, request)).await
}

/// Sends a body that is here whole. The vendor bills `input` should nothing more be heard of it.
///
/// # Errors
/// As [`ask`]'s.
pub(super) async fn tell(
    call: &Call,
    (surface, origin): (&Surface, Option<&str>),
    candidate: &Candidate,
    asked: &Asked,
    body: Bytes,
    meter: &mut Meter,
    input: &Input,
) -> Result<Response<Incoming>, GatewayError> {
    let content_type = asked.content_type.as_deref().unwrap_or("application/json");
    let (body, length) = request_body::whole(body.into(), call.dispatched(meter, candidate, input));
    let request = request(call, surface, candidate, origin, asked, Some(content_type), (body, Some(length))).await?;
    wait(call, forward::send(call, candidate, request)).await
}

/// Sends a body while it still arrives, or from the spool where it is here. Once the vendor has all of
/// it, it bills `input` should nothing more be heard of it.
///
/// # Errors
/// As [`ask`]'s, or the client's body is at fault.
pub(super) async fn pass(
    call: &Call,
    (surface, origin): (&Surface, Option<&str>),
    candidate: &Candidate,
    asked: &Asked,
    arriving: &mut Arriving,
    meter: &mut Meter,
    input: &Input,
) -> Result<Response<Incoming>, GatewayError> {
    let content_type = arriving.content_type(asked.content_type.as_deref());
    if arriving.is_complete() {
        let note = call.dispatched(meter, candidate, input);
        let (body, length) = arriving.whole().await?;
        let body = request_body::measured(body, length, note);
        let request =
            request(call, surface, candidate, origin, asked, Some(&content_type), (body, Some(length))).await?;
        return wait(call, forward::send(call, candidate, request)).await;
    }
    let (sender, pieces) = mpsc::channel(QUEUE);
    let body = (request_body::arriving(pieces), None);
    let request = request(call, surface, candidate, origin, asked, Some(&content_type), body).await?;
    let answer = forward::send(call, candidate, request);
    let mut answer = std::pin::pin!(answer);
    let idle = call.phases.idle;
    let mut waiting = arriving.begun();
    waiting.reverse();
    loop {
        let chunk = match waiting.pop() {
            Some(chunk) => chunk,
            None => tokio::select! {
                biased;
                early = &mut answer => return early.inspect(|_| call.dispatched(meter, candidate, input).write()),
                chunk = arriving.next() => match chunk? {
                    Some(chunk) => chunk,
                    None => break,
                },
            },
        };
        if chunk.is_empty() {
            continue;
        }
        tokio::select! {
            biased;
            early = &mut answer => return early.inspect(|_| call.dispatched(meter, candidate, input).write()),
            sent = tokio::time::timeout(idle, sender.send(Piece::More(chunk))) => match sent {
                Ok(Ok(())) => {}
                // A closed queue means that the vendor stopped reading: its answer or error says why.
                Ok(Err(_)) => break,
                Err(_) => return Err(Phase::Idle.told("The provider does not read the request")),
            },
        }
    }
    arriving.receive_rest().await?;
    let last = Piece::Last(arriving.after().into(), call.dispatched(meter, candidate, input));
    let ending = async move {
        // A closed queue means that the vendor stopped reading: its answer or error says why.
        drop(sender.send(last).await);
        std::future::pending().await
    };
    // Both are driven: the queue may be full until the vendor is connected, which the answer sees to.
    let answer = async {
        tokio::select! {
            biased;
            answer = answer => answer,
            never = ending => never,
        }
    };
    wait(call, answer).await
}

async fn wait(
    call: &Call,
    answer: impl Future<Output = Result<Response<Incoming>, GatewayError>>,
) -> Result<Response<Incoming>, GatewayError> {
    let since = Instant::now();
    let answer = call.begun(answer).await;
    call.progress.waited(since.elapsed());
    answer?
}
