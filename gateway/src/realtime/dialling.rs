//! Reaching a vendor whose language is translated: its socket, whoever tells of one, and sockets at addresses
//! that are secrets.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dialects::contract::Endpoint;
use domain::error::{ErrorKind, Origin};
use domain::provider::Operation;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use url::Url;

use crate::Worker;
use crate::error::GatewayError;
use crate::pipeline::forward;
use crate::pipeline::route::Candidate;
use crate::realtime::upstream::{Socket, bounds, connect_stream, open_socket, unreachable};
use crate::telemetry::trace::Trace;

const JSON: &str = "application/json";

/// What was reached.
pub(super) enum Reached {
    /// The vendor's socket.
    Socket(Box<Socket>),
    /// What the vendor answers.
    Answer(Bytes),
}

/// A vendor being reached.
pub(super) type Dial = Pin<Box<dyn Future<Output = Result<Reached, GatewayError>>>>;

/// Opens a socket below the account's base URL, with its credential.
pub(super) fn open(worker: &Worker, candidate: &Candidate, endpoint: Endpoint) -> Dial {
    let (gateway, candidate) = (Arc::clone(&worker.gateway), candidate.clone());
    Box::pin(async move {
        let socket = open_socket(&gateway, &Trace::default(), &candidate, &endpoint).await?;
        Ok(Reached::Socket(Box::new(socket)))
    })
}

/// Asks below the account's base URL, with its credential.
pub(super) fn ask(worker: &Worker, candidate: &Candidate, endpoint: Endpoint, body: Option<Vec<u8>>) -> Dial {
    let (worker, candidate) = (worker.clone(), candidate.clone());
    Box::pin(async move {
        let asked = Instant::now();
        let answered = answer(&worker, &candidate, &endpoint, body).await;
        answered.map(Reached::Answer).inspect_err(|error| judge(&worker, &candidate, asked, error))
    })
}

/// Opens the socket at an address that the vendor has told. It is a credential itself: ours does not go
/// there, and the address goes nowhere else, no log and no message.
pub(super) fn join(worker: &Worker, candidate: &Candidate, address: String) -> Dial {
    let (worker, candidate) = (worker.clone(), candidate.clone());
    Box::pin(async move {
        let (timeouts, asked) = (worker.gateway.timeouts(), Instant::now());
        let joined = joined(&address, candidate.account.allow_insecure);
        let joined = tokio::time::timeout(timeouts.connect + timeouts.connect, joined).await;
        let joined = joined.unwrap_or_else(|_| Err(late("The provider did not accept the session in time.")));
        let reached = joined.map(|socket| Reached::Socket(Box::new(socket)));
        reached.inspect_err(|error| judge(&worker, &candidate, asked, error))
    })
}

async fn answer(
    worker: &Worker,
    candidate: &Candidate,
    endpoint: &Endpoint,
    body: Option<Vec<u8>>,
) -> Result<Bytes, GatewayError> {
    let gateway = &worker.gateway;
    let request = match body {
        Some(body) => {
            let length = body.len() as u64;
            let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
            forward::post(gateway, candidate, endpoint, JSON, body, Some(length)).await?
        }
        None => forward::get(gateway, candidate, endpoint).await?,
    };
    let sent = worker.client.send(candidate.account.allow_insecure, request);
    let answer = tokio::time::timeout(gateway.timeouts().first_byte, sent).await;
    let answer = answer.map_err(|_| late("The provider did not answer in time."))??;
    if !answer.status().is_success() {
        return Err(forward::refusal(gateway, candidate, answer).await);
    }
    forward::collect_json(gateway, answer.into_body()).await
}

/// Opens the socket at an address that is a credential itself.
///
/// # Errors
/// It may not be gone to, or nobody opens there.
pub(crate) async fn joined(address: &str, insecure: bool) -> Result<Socket, GatewayError> {
    let url = checked(address, insecure)?;
    let stream = connect_stream(&url, insecure).await?;
    let request = url.as_str().into_client_request().map_err(|_| unusable())?;
    match tokio_tungstenite::client_async_with_config(request, stream, Some(bounds())).await {
        Ok((socket, _)) => Ok(Socket(socket)),
        // What the vendor says to it may repeat the address.
        Err(Error::Http(response)) => Err(turned_away(response.status())),
        Err(Error::Io(error)) => Err(unreachable(&error)),
        Err(_) => Err(unreachable(&"the answer is no WebSocket handshake")),
    }
}

/// An address under the rules of a configured base URL; private addresses are judged when they are resolved.
fn checked(address: &str, insecure: bool) -> Result<Url, GatewayError> {
    let url = Url::parse(address).map_err(|_| unusable())?;
    let allowed = url.scheme() == "wss" || (insecure && url.scheme() == "ws");
    let plain = url.username().is_empty() && url.password().is_none();
    if allowed && plain && url.has_host() { Ok(url) } else { Err(unusable()) }
}

fn unusable() -> GatewayError {
    GatewayError::upstream(ErrorKind::UpstreamError, "The provider's address of the session cannot be used.")
}

fn late(message: &str) -> GatewayError {
    GatewayError::upstream(ErrorKind::UpstreamTimeout, message)
}

fn turned_away(status: StatusCode) -> GatewayError {
    let kind =
        if status == StatusCode::TOO_MANY_REQUESTS { ErrorKind::UpstreamRateLimited } else { ErrorKind::UpstreamError };
    GatewayError::upstream(kind, "The provider does not accept the session that it has made.")
}

/// A target that fails is left alone for a while; a request that is at fault says nothing against it.
fn judge(worker: &Worker, candidate: &Candidate, asked: Instant, error: &GatewayError) {
    tracing::warn!(provider = %candidate.account.name, %error, "the session could not be opened");
    let failed = matches!(error.kind(), ErrorKind::UpstreamError | ErrorKind::UpstreamTimeout);
    if failed && error.origin() == Origin::Upstream {
        worker.gateway.health.failed(candidate, Operation::Realtime, asked.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_a_vendor_tells_is_under_the_rules_of_a_configured_one() {
        for (address, insecure, allowed) in [
            ("wss://voice.example.com/calls/1?token=t", false, true),
            ("ws://127.0.0.1:9/calls/1", true, true),
            ("ws://voice.example.com/calls/1", false, false),
            ("https://voice.example.com/calls/1", true, false),
            ("file:///etc/passwd", true, false),
            ("wss://user:secret@voice.example.com/", true, false),
            ("no address", true, false),
        ] {
            let judged = checked(address, insecure);
            assert_eq!(judged.is_ok(), allowed, "{address}");
            if let Err(error) = judged {
                assert!(!format!("{error} {error:?}").contains("token"), "{error}");
            }
        }
    }
}
