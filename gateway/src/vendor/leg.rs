//! The vendor's side of a session: a WebSocket whose messages are neither read nor written here. The
//! handshake is an HTTP request like others, so that a refusal of it is read whole.

use std::time::Duration;

use bytes::Bytes;
use domain::error::ErrorKind;
use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
    USER_AGENT,
};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use url::Url;

use crate::Gateway;
use crate::error::GatewayError;
use crate::pipeline::route::Candidate;
use crate::realtime::upstream::{SendError, bounds, connect_stream, unreachable, within};
use crate::upstream::credentials::credential;

/// A connected vendor.
pub(super) struct Leg(WebSocketStream<TokioIo<Upgraded>>);

/// What came from the vendor.
pub(super) enum FromVendor {
    /// A text message.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// It lives.
    Pong,
    /// It closed, with its code and reason.
    Closed(u16, String),
}

/// Why there is no session.
pub(super) enum NoLeg {
    /// The vendor answered the handshake with this.
    Refused(Response<Incoming>),
    /// It could not be asked.
    Failed(GatewayError),
}

impl NoLeg {
    /// What a trace tells of it.
    pub(super) fn told(&self) -> &'static str {
        match self {
            Self::Failed(error) => error.kind().facts().2,
            Self::Refused(_) => ErrorKind::UpstreamError.facts().2,
        }
    }
}

impl From<GatewayError> for NoLeg {
    fn from(error: GatewayError) -> Self {
        Self::Failed(error)
    }
}

impl Leg {
    /// Connects to `address`, with the account's credential unless the address is a secret itself.
    pub(super) async fn open(
        gateway: &Gateway,
        candidate: &Candidate,
        address: &str,
        with_credential: bool,
    ) -> Result<Self, NoLeg> {
        let connect = gateway.timeouts().connect;
        let dial = tokio::time::timeout(connect + connect, dial(gateway, candidate, address, with_credential));
        dial.await.unwrap_or_else(|_| {
            let message = "The provider did not accept the session in time.";
            Err(GatewayError::upstream(ErrorKind::UpstreamTimeout, message).into())
        })
    }

    /// Waits for the next thing to happen.
    pub(super) async fn next(&mut self) -> FromVendor {
        loop {
            return match self.0.next().await {
                Some(Ok(Message::Text(text))) => FromVendor::Text(text.into()),
                Some(Ok(Message::Binary(bytes))) => FromVendor::Binary(bytes),
                Some(Ok(Message::Pong(_) | Message::Ping(_))) => FromVendor::Pong,
                Some(Ok(Message::Frame(_))) => continue,
                Some(Ok(Message::Close(Some(frame)))) => {
                    FromVendor::Closed(frame.code.into(), frame.reason.to_string())
                }
                Some(Ok(Message::Close(None))) => FromVendor::Closed(1000, String::new()),
                None => FromVendor::Closed(1006, String::new()),
                Some(Err(error)) => {
                    tracing::warn!(%error, "the vendor's socket failed");
                    FromVendor::Closed(1006, String::new())
                }
            };
        }
    }

    pub(super) async fn text(&mut self, text: Bytes, deadline: Duration) -> Result<(), SendError> {
        let text = Utf8Bytes::try_from(text).map_err(|_| SendError::Gone)?;
        self.send(Message::Text(text), deadline).await
    }

    pub(super) async fn binary(&mut self, bytes: Bytes, deadline: Duration) -> Result<(), SendError> {
        self.send(Message::Binary(bytes), deadline).await
    }

    /// Asks whether the vendor lives.
    pub(super) async fn ping(&mut self, deadline: Duration) -> Result<(), SendError> {
        self.send(Message::Ping(Bytes::new()), deadline).await
    }

    async fn send(&mut self, message: Message, deadline: Duration) -> Result<(), SendError> {
        within(deadline, async { self.0.send(message).await.map_err(|_| SendError::Gone) }).await
    }

    /// Says goodbye. A vendor that does not listen is left.
    pub(super) async fn close(&mut self, code: u16, deadline: Duration) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::default() };
        let goodbye = within(deadline, async { self.0.close(Some(frame)).await.map_err(|_| SendError::Gone) });
        if let Err(error) = goodbye.await {
            tracing::debug!(?error, "the vendor was gone before the goodbye");
        }
    }
}

async fn dial(gateway: &Gateway, candidate: &Candidate, address: &str, with_credential: bool) -> Result<Leg, NoLeg> {
    let insecure = candidate.account.allow_insecure;
    let url = Url::parse(address).map_err(|error| GatewayError::internal(&error))?;
    if !(url.scheme() == "wss" || (url.scheme() == "ws" && insecure)) {
        return Err(GatewayError::upstream(ErrorKind::UpstreamError, "The provider's address is not secure.").into());
    }
    let stream = connect_stream(&url, insecure).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
    actix_web::rt::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "the vendor's connection failed");
        }
    });
    let key = generate_key();
    let credential = if with_credential { credential(gateway, candidate).await? } else { None };
    let request = handshake(&url, &key, credential)?;
    let answer = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(NoLeg::Refused(answer));
    }
    let accepted = answer.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(unreachable(&"its answer to the handshake is another's").into());
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(|error| unreachable(&error))?;
    let stream = TokioIo::new(upgraded);
    Ok(Leg(WebSocketStream::from_raw_socket(stream, Role::Client, Some(bounds())).await))
}

/// The request of a handshake. Hosts are written without the scheme's own port, as everybody does.
fn handshake(
    url: &Url,
    key: &str,
    credential: Option<(HeaderName, HeaderValue)>,
) -> Result<Request<Empty<Bytes>>, GatewayError> {
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let mut request = Request::builder()
        .uri(target)
        .header(HOST, host)
        .header(USER_AGENT, concat!("antiphon/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key);
    if let Some((name, value)) = credential {
        request = request.header(name, value);
    }
    request.body(Empty::new()).map_err(|error| GatewayError::internal(&error))
}
