//! The provider's side of a session: a WebSocket, the recogniser on this machine, or a vendor whose language
//! is translated.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dialects::address::is_public;
use dialects::contract::Endpoint;
use domain::error::{ErrorKind, Origin};
use domain::limits::MAX_UPSTREAM_MESSAGE_BYTES;
use domain::provider::Operation;
use futures_util::{SinkExt, StreamExt};
use local_speech::LocalSession;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use url::{Host, Url};
use uuid::Uuid;

use crate::error::GatewayError;
use crate::pipeline::forward::{address, refused};
use crate::pipeline::route::Candidate;
use crate::realtime::tab::Tariff;
use crate::realtime::translated::TranslatedLeg;
use crate::realtime::ways::{Way, converser, transcriber};
use crate::snapshot::Snapshot;
use crate::telemetry::trace::Trace;
use crate::upstream::Outbound;
use crate::upstream::credentials::credential;
use crate::{Gateway, Worker};

/// Buffers of a provider's socket. Frames of 20 ms of audio are 1 to 2 KiB; bigger ones grow the
/// buffer for as long as they pass.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Bytes that may wait for a provider that reads slowly.
const MAX_WRITE_BUFFER_BYTES: usize = MAX_UPSTREAM_MESSAGE_BYTES + 1024 * 1024;

pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connected provider.
pub enum Leg {
    /// Over the network.
    Socket(Box<Socket>),
    /// In this process.
    Local(LocalSession),
    /// Over the network, in a language of its own.
    Translated(Box<TranslatedLeg>),
}

/// A provider's WebSocket.
pub struct Socket(pub(crate) WebSocketStream<Box<dyn Io>>);

impl std::fmt::Debug for Leg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Socket(_) => "Socket",
            Self::Local(_) => "Local",
            Self::Translated(_) => "Translated",
        })
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Socket")
    }
}

/// What came from the provider.
#[derive(Debug)]
pub enum FromUpstream {
    /// An event.
    Text(Bytes),
    /// Bytes, which no provider of OpenAI's language sends.
    Binary,
    /// The peer lives.
    Pong,
    /// It closed, with its code and reason.
    Closed(u16, String),
    /// A vendor that is translated was reached for the first time, after so long.
    Reached(Duration),
    /// It cannot be reached, has done nothing yet, and another target may take over. Nothing more comes.
    Unreachable(Box<GatewayError>),
    /// So much has been used without a record that one is due.
    RecordDue,
}

impl Leg {
    /// Waits for the next thing to happen.
    pub async fn next(&mut self) -> FromUpstream {
        match self {
            Self::Local(session) => match session.from.recv().await {
                Some(event) => FromUpstream::Text(event.into()),
                // It ends by itself only when something broke.
                None => FromUpstream::Closed(1006, String::new()),
            },
            Self::Translated(leg) => leg.next().await,
            Self::Socket(socket) => loop {
                return match socket.0.next().await {
                    Some(Ok(Message::Text(text))) => FromUpstream::Text(text.into()),
                    Some(Ok(Message::Binary(_))) => FromUpstream::Binary,
                    Some(Ok(Message::Pong(_) | Message::Ping(_))) => FromUpstream::Pong,
                    Some(Ok(Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(Some(frame)))) => {
                        FromUpstream::Closed(frame.code.into(), frame.reason.to_string())
                    }
                    Some(Ok(Message::Close(None))) | None => FromUpstream::Closed(1005, String::new()),
                    Some(Err(error)) => {
                        tracing::warn!(%error, "the provider's socket failed");
                        FromUpstream::Closed(1006, String::new())
                    }
                };
            },
        }
    }

    /// Sends an event, within `deadline`. `Err` when the provider is gone or does not read.
    ///
    /// # Errors
    /// Whether the deadline passed.
    pub async fn send(&mut self, text: Bytes, deadline: Duration) -> Result<(), SendError> {
        match self {
            Self::Local(session) => {
                let text = String::from_utf8(text.into()).map_err(|_| SendError::Gone)?;
                within(deadline, async { session.to.send(text).await.map_err(|_| SendError::Gone) }).await
            }
            Self::Translated(leg) => within(deadline, leg.send(text)).await,
            Self::Socket(socket) => {
                let text = Utf8Bytes::try_from(text).map_err(|_| SendError::Gone)?;
                within(deadline, async { socket.0.send(Message::Text(text)).await.map_err(|_| SendError::Gone) }).await
            }
        }
    }

    /// Asks whether the provider lives.
    ///
    /// # Errors
    /// It is gone or does not read.
    pub async fn ping(&mut self, deadline: Duration) -> Result<(), SendError> {
        match self {
            Self::Local(_) | Self::Translated(_) => Ok(()),
            Self::Socket(socket) => {
                let ping = Message::Ping(Bytes::new());
                within(deadline, async { socket.0.send(ping).await.map_err(|_| SendError::Gone) }).await
            }
        }
    }

    /// Whether the provider answers pings.
    #[must_use]
    pub fn answers_pings(&self) -> bool {
        matches!(self, Self::Socket(_))
    }

    /// The provider, where it is translated.
    pub(super) fn translated(&mut self) -> Option<&mut TranslatedLeg> {
        match self {
            Self::Translated(leg) => Some(leg),
            Self::Socket(_) | Self::Local(_) => None,
        }
    }

    pub(super) fn is_translated(&self) -> bool {
        matches!(self, Self::Translated(_))
    }

    /// How the session is billed.
    pub(super) fn tariff(&self) -> Tariff {
        match self {
            Self::Translated(leg) => leg.tab().tariff(),
            Self::Socket(_) | Self::Local(_) => Tariff::Reported,
        }
    }

    /// Says goodbye. A provider that does not listen is left.
    pub async fn close(&mut self, code: u16, deadline: Duration) {
        if let Self::Socket(socket) = self {
            let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::default() };
            if let Err(error) =
                within(deadline, async { socket.0.close(Some(frame)).await.map_err(|_| SendError::Gone) }).await
            {
                tracing::debug!(?error, "the provider was gone before the goodbye");
            }
        }
    }
}

/// Why nothing could be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The peer does not read.
    TooSlow,
    /// The peer is gone.
    Gone,
}

pub(crate) async fn within(
    deadline: Duration,
    send: impl Future<Output = Result<(), SendError>>,
) -> Result<(), SendError> {
    tokio::time::timeout(deadline, send).await.unwrap_or(Err(SendError::TooSlow))
}

/// Connects a session's provider. A vendor that is translated is reached when it is needed; `replaceable`
/// says whether another target takes over where it cannot be.
///
/// # Errors
/// The provider cannot be reached or refuses.
pub(super) async fn connect(
    worker: &Worker,
    trace: &Trace,
    snapshot: &Snapshot,
    candidate: &Candidate,
    way: Way,
    transcription: bool,
    replaceable: bool,
) -> Result<Leg, GatewayError> {
    let gateway = &worker.gateway;
    let prefix = || Uuid::now_v7().simple().to_string();
    let translator = match way {
        Way::Local => {
            let session = gateway.local.open_transcription(candidate.model.model.clone(), &prefix());
            return Ok(Leg::Local(session));
        }
        Way::Passed(opener) => {
            let endpoint = Endpoint::at(opener.path(&candidate.model, transcription));
            let socket = open_socket(gateway, trace, candidate, &endpoint).await?;
            return Ok(Leg::Socket(Box::new(socket)));
        }
        Way::Live(opener) => transcriber(candidate, opener, &prefix())?,
        Way::Agent(opener) => converser(snapshot, candidate, opener, &prefix())?,
    };
    Ok(Leg::Translated(Box::new(TranslatedLeg::open(worker, candidate, translator, replaceable))))
}

/// Opens a provider's WebSocket, in time.
///
/// # Errors
/// The provider cannot be reached or refuses.
pub(super) async fn open_socket(
    gateway: &Gateway,
    trace: &Trace,
    candidate: &Candidate,
    endpoint: &Endpoint,
) -> Result<Socket, GatewayError> {
    let (timeouts, asked) = (gateway.timeouts(), Instant::now());
    let dial = tokio::time::timeout(timeouts.connect + timeouts.connect, dial(gateway, trace, candidate, endpoint));
    let dialled = match dial.await {
        Ok(outcome) => outcome,
        Err(_) => {
            Err(GatewayError::upstream(ErrorKind::UpstreamTimeout, "The provider did not accept the session in time."))
        }
    };
    dialled.inspect_err(|error| {
        tracing::warn!(provider = %candidate.account.name, %error, "the session could not be opened");
        // A request that is at fault, ours or the client's, says nothing against the target.
        let failed = matches!(error.kind(), ErrorKind::UpstreamError | ErrorKind::UpstreamTimeout);
        if failed && error.origin() == Origin::Upstream {
            gateway.health.failed(candidate, Operation::Realtime, asked.elapsed());
        }
    })
}

async fn dial(
    gateway: &Gateway,
    trace: &Trace,
    candidate: &Candidate,
    endpoint: &Endpoint,
) -> Result<Socket, GatewayError> {
    match shake_hands(gateway, trace, candidate, endpoint).await? {
        Ok(socket) => Ok(socket),
        Err(answer) => {
            let body = answer.body().as_deref().unwrap_or_default();
            Err(refused(gateway, candidate, answer.status(), answer.headers(), body))
        }
    }
}

/// Opens a provider's WebSocket with our credential, or gives the answer that it has instead of an upgrade.
///
/// # Errors
/// The provider cannot be reached.
pub(crate) async fn shake_hands(
    from: &impl Outbound,
    trace: &Trace,
    candidate: &Candidate,
    endpoint: &Endpoint,
) -> Result<Result<Socket, Box<http::Response<Option<Vec<u8>>>>>, GatewayError> {
    let address = address(candidate, endpoint).replacen("http", "ws", 1);
    let url = Url::parse(&address).map_err(|error| GatewayError::internal(&error))?;
    let stream = connect_stream(&url, candidate.account.allow_insecure).await?;
    let mut request = address.into_client_request().map_err(|error| GatewayError::internal(&error))?;
    if let Some((name, value)) = credential(from, candidate).await? {
        request.headers_mut().insert(name, value);
    }
    trace.tell(candidate, request.headers_mut());
    match tokio_tungstenite::client_async_with_config(request, stream, Some(bounds())).await {
        Ok((socket, _)) => Ok(Ok(Socket(socket))),
        Err(Error::Http(answer)) => Ok(Err(answer)),
        Err(error) => Err(unreachable(&error)),
    }
}

/// What a provider's socket may hold.
pub(crate) fn bounds() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
        .max_message_size(Some(MAX_UPSTREAM_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_UPSTREAM_MESSAGE_BYTES))
}

/// Connects to the host of a URL, which must be public unless the account says otherwise.
pub(crate) async fn connect_stream(url: &Url, insecure: bool) -> Result<Box<dyn Io>, GatewayError> {
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses: Vec<SocketAddr> = match url.host() {
        Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
        Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
        Some(Host::Domain(name)) => {
            tokio::net::lookup_host((name, port)).await.map_err(|error| unreachable(&error))?.collect()
        }
        None => return Err(GatewayError::internal(&"a provider's base URL has no host")),
    };
    let allowed: Vec<SocketAddr> =
        addresses.into_iter().filter(|address| insecure || is_public(address.ip())).collect();
    let stream = TcpStream::connect(allowed.as_slice()).await.map_err(|error| unreachable(&error))?;
    stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
    if url.scheme() != "wss" {
        return Ok(Box::new(stream));
    }
    let stream =
        TlsConnector::from(tls()).connect(server_name(url)?, stream).await.map_err(|error| unreachable(&error))?;
    Ok(Box::new(stream))
}

/// Whom the certificate must name. An address stands in a URL as it does in no certificate: `[::1]`.
fn server_name(url: &Url) -> Result<ServerName<'static>, GatewayError> {
    match url.host() {
        Some(Host::Ipv4(ip)) => Ok(ServerName::from(IpAddr::V4(ip))),
        Some(Host::Ipv6(ip)) => Ok(ServerName::from(IpAddr::V6(ip))),
        Some(Host::Domain(name)) => {
            ServerName::try_from(name.to_owned()).map_err(|error| GatewayError::internal(&error))
        }
        None => Err(GatewayError::internal(&"a provider's base URL has no host")),
    }
}

fn tls() -> Arc<ClientConfig> {
    static CONFIG: std::sync::OnceLock<Arc<ClientConfig>> = std::sync::OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    });
    Arc::clone(config)
}

pub(crate) fn unreachable(error: &dyn std::fmt::Display) -> GatewayError {
    tracing::warn!(%error, "the provider could not be reached");
    GatewayError::upstream(ErrorKind::UpstreamError, "The provider could not be reached.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_an_address_without_the_brackets_of_a_url() {
        for (url, name) in [
            ("wss://[2001:db8::1]:8443/v1", "2001:db8::1"),
            ("wss://192.0.2.7/v1", "192.0.2.7"),
            ("wss://api.example.com/v1", "api.example.com"),
        ] {
            assert_eq!(server_name(&Url::parse(url).unwrap()).unwrap().to_str(), name);
        }
        let request = "ws://[2001:db8::1]:8443/v1".into_client_request().unwrap();
        assert_eq!(request.headers()["host"], "[2001:db8::1]:8443");
    }
}
