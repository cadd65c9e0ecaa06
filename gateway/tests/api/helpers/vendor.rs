//! Small vendors, scripted over HTTP or played in a session, for paths that no other upstream of these
//! tests knows.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::ids::{PriceId, ProviderId};
use domain::pricing::{Price, Unit};
use domain::provider::{Operation, ProviderKind};
use futures_util::{SinkExt, StreamExt};
use gateway::snapshot::{ListedPrice, ProviderAccount};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, handshake};
use uuid::Uuid;

use super::app::soon;
use super::setup::Setup;

/// What the gateway pays a vendor with.
pub(crate) const SECRET: &str = "sk-vendor-9a8b7c6d-not-for-clients";

/// A request as the vendor has it; its body arrives.
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: mpsc::UnboundedReceiver<Bytes>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The whole body.
    pub(crate) async fn whole(&mut self) -> Vec<u8> {
        let mut whole = Vec::new();
        while let Some(chunk) = soon(self.body.recv()).await {
            whole.extend_from_slice(&chunk);
        }
        whole
    }
}

/// What the vendor answers to one request.
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    body: mpsc::UnboundedReceiver<Bytes>,
}

impl Said {
    /// A whole answer.
    pub(crate) fn whole(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let (said, pieces) = Self::piecemeal(content_type);
        pieces.send(body.into()).unwrap();
        Self { status, ..said }
    }

    /// An answer that the test speaks piece by piece.
    pub(crate) fn piecemeal(content_type: &str) -> (Self, mpsc::UnboundedSender<Bytes>) {
        let (pieces, body) = mpsc::unbounded_channel();
        let headers = vec![("content-type", content_type.to_owned())];
        (Self { status: 200, headers, body }, pieces)
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A scripted vendor.
pub(crate) struct Vendor {
    pub(crate) base_url: String,
    script: Arc<Mutex<VecDeque<Said>>>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Vendor {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let (report, seen) = mpsc::unbounded_channel();
        let script: Arc<Mutex<VecDeque<Said>>> = Arc::default();
        let answers = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (report, answers) = (report.clone(), Arc::clone(&answers));
                let serve = service_fn(move |request| answer(request, report.clone(), Arc::clone(&answers)));
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
            }
        });
        Self { base_url, script, seen }
    }

    /// The answer to the next request that has none yet. Without a script it is `{}`.
    pub(crate) fn say(&self, said: Said) {
        self.script.lock().unwrap().push_back(said);
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Seen {
        soon(self.seen.recv()).await.unwrap()
    }

    /// Whether nothing has been asked that no test has looked at.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.seen.try_recv().is_err()
    }
}

type Answered = Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>;

async fn answer(
    request: Request<Incoming>,
    report: mpsc::UnboundedSender<Seen>,
    script: Arc<Mutex<VecDeque<Said>>>,
) -> Result<Answered, Infallible> {
    let (head, mut incoming) = request.into_parts();
    let (sender, body) = mpsc::unbounded_channel();
    let target = head.uri.to_string();
    drop(report.send(Seen { method: head.method, target, headers: head.headers, body }));
    let said = script.lock().unwrap().pop_front();
    while let Some(Ok(frame)) = incoming.frame().await {
        drop(sender.send(frame.into_data().unwrap_or_default()));
    }
    drop(sender);
    let Some(mut said) = said else {
        let response = Response::builder().header("content-type", "application/json");
        return Ok(response.body(Full::from("{}").boxed()).unwrap());
    };
    let mut response = Response::builder().status(said.status);
    for (name, value) in &said.headers {
        response = response.header(*name, value);
    }
    let pieces = futures_util::stream::poll_fn(move |context| {
        said.body.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    });
    Ok(response.body(BodyExt::boxed(StreamBody::new(pieces))).unwrap())
}

impl Setup {
    /// Adds an account at a vendor.
    pub(crate) fn vendor(&mut self, kind: ProviderKind, name: &str, base_url: &str) {
        let account = ProviderAccount {
            id: ProviderId(Uuid::now_v7()),
            tenant: None,
            name: name.to_owned(),
            kind,
            base_url: base_url.to_owned(),
            api_key: Some(SecretString::from(SECRET)),
            credential: None,
            region: None,
            allow_insecure: true,
        };
        self.snapshot.insert_provider(account);
    }

    /// Adds a price at a vendor.
    pub(crate) fn vendor_price(
        &mut self,
        kind: ProviderKind,
        model: &str,
        operation: Operation,
        unit: Unit,
        usd: &str,
    ) {
        let price =
            Price { id: PriceId(Uuid::now_v7()), unit, usd: usd.parse().unwrap(), minimum_ms: 0, rounding_ms: 0 };
        let effective_from = time::OffsetDateTime::UNIX_EPOCH;
        self.list(ListedPrice { tenant: None, kind, model: model.to_owned(), operation, price, effective_from });
    }
}

/// A vendor's side of a session, which the test plays.
pub(crate) struct VendorSession {
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl VendorSession {
    /// The next message that is not about the connection.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub(crate) async fn say(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }
}

/// A vendor of sessions.
pub(crate) struct SocketVendor {
    pub(crate) address: SocketAddr,
    sessions: mpsc::UnboundedReceiver<VendorSession>,
}

impl SocketVendor {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (report, sessions) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let report = report.clone();
                tokio::spawn(async move {
                    let mut seen = None;
                    let look = |request: &handshake::server::Request, response: handshake::server::Response| {
                        seen = Some((request.uri().to_string(), request.headers().clone()));
                        Ok(response)
                    };
                    let socket = tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
                    let (target, headers) = seen.unwrap();
                    drop(report.send(VendorSession { target, headers, socket }));
                });
            }
        });
        Self { address, sessions }
    }

    /// The next session.
    pub(crate) async fn next(&mut self) -> VendorSession {
        soon(self.sessions.recv()).await.unwrap()
    }

    /// Whether nobody has come whom no test has looked at.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.sessions.try_recv().is_err()
    }
}
