//! A gateway on a port of its own, two scripted upstreams behind it, and small clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ids::{PriceId, ProviderId, RequestId, TenantId, VirtualKeyId};
use domain::key::{KeyHash, Pepper};
use domain::money::NanoUsd;
use domain::pricing::{Price, Unit};
use domain::provider::{Operation, ProviderKind};
use domain::routing::{Strategy, Target};
use domain::usage::UsageStatus;
use futures_util::{SinkExt, StreamExt};
use gateway::repositories::usage::{StoredUsage, find_by_request};
use gateway::settings::{GatewayLimits, GatewaySettings, Timeouts};
use gateway::snapshot::{Budget, BudgetWindow, DatedPrice, Key, ProviderAccount, Route, Snapshot};
use gateway::startup::Application;
use gateway::{Gateway, repositories};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use loadtest::upstream::{self, UpstreamHandle};
use rust_decimal::Decimal;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;

/// The key that may do everything.
pub(crate) const KEY: &str = "sk-ap-the-key-of-these-tests";
/// Bound of every wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for something that must happen soon.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("this should have happened by now")
}

/// What a test may change before the gateway starts.
pub(crate) struct Setup {
    pub(crate) settings: GatewaySettings,
    pub(crate) snapshot: Snapshot,
    pub(crate) one: UpstreamHandle,
    pub(crate) two: UpstreamHandle,
    folder: tempfile::TempDir,
}

/// A running gateway.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) one: UpstreamHandle,
    pub(crate) two: UpstreamHandle,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<()>>,
    _folder: tempfile::TempDir,
}

fn pepper() -> Pepper {
    Pepper::new(&[7; 32])
}

fn target(provider: &str, model: &str, priority: i32) -> Target {
    Target {
        provider: provider.to_owned(),
        model: model.to_owned(),
        weight: 1,
        priority,
        quality: None,
        region: None,
        options: BTreeMap::new(),
    }
}

impl Setup {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let one = upstream::start(upstream::Config::default()).await.unwrap();
        let two = upstream::start(upstream::Config::default()).await.unwrap();
        let timeouts = Timeouts { drain: Duration::from_secs(2), ..Timeouts::default() };
        let settings = GatewaySettings {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics_bind: None,
            workers: Some(1),
            data_dir: folder.path().to_owned(),
            limits: GatewayLimits::default(),
            timeouts,
            client_secret_key: [9; 32],
        };
        let mut setup = Self { settings, snapshot: Snapshot::default(), one, two, folder };
        setup.configure();
        setup
    }

    fn configure(&mut self) {
        for (name, base_url) in [("one", self.one.base_url()), ("two", self.two.base_url())] {
            self.provider(name, &base_url);
        }
        for (name, model) in [
            ("stt", "whisper-1"),
            ("stt-stream", "gpt-4o-transcribe"),
            ("tts", "tts-1"),
            ("chat", "gpt-4o-mini"),
            ("embed", "text-embedding-3-small"),
            ("live", "gpt-realtime-2.1"),
            ("secret", "gpt-realtime-2.1"),
            ("unpriced", "nobody-priced-this"),
        ] {
            self.route(name, vec![target("one", model, 0)]);
        }
        self.route("both-stt", vec![target("one", "whisper-1", 0), target("two", "whisper-1", 1)]);
        self.route("both-tts", vec![target("one", "tts-1", 0), target("two", "tts-1", 1)]);
        self.price("whisper-1", Operation::Transcription, Unit::AudioMinute, "0.006");
        self.price("tts-1", Operation::Speech, Unit::MillionCharacters, "15");
        self.price("text-embedding-3-small", Operation::Embeddings, Unit::TextIn, "0.02");
        for (model, operation, prices) in [
            ("gpt-4o-mini", Operation::Chat, ["0.15", "0.60", "0", "0"]),
            ("gpt-4o-transcribe", Operation::Transcription, ["2.5", "10", "6", "0"]),
            ("gpt-realtime-2.1", Operation::Realtime, ["4", "16", "32", "64"]),
        ] {
            let units = [Unit::TextIn, Unit::TextOut, Unit::AudioIn, Unit::AudioOut];
            for (unit, usd) in units.into_iter().zip(prices) {
                self.price(model, operation, unit, usd);
            }
        }
        self.key(KEY, |_| {});
    }

    /// Adds or replaces a provider.
    pub(crate) fn provider(&mut self, name: &str, base_url: &str) {
        let account = ProviderAccount {
            id: ProviderId(Uuid::now_v7()),
            name: name.to_owned(),
            kind: ProviderKind::Openai,
            base_url: base_url.to_owned(),
            api_key: Some(SecretString::from("sk-upstream")),
            region: None,
            allow_insecure: true,
        };
        self.snapshot.providers.insert(name.to_owned(), Arc::new(account));
    }

    fn route(&mut self, name: &str, targets: Vec<Target>) {
        let route = Route { name: name.to_owned(), tenant: None, strategy: Strategy::Priority, targets };
        self.snapshot.models.insert(name.to_owned(), Arc::new(route));
    }

    fn price(&mut self, model: &str, operation: Operation, unit: Unit, usd: &str) {
        let usd: Decimal = usd.parse().unwrap();
        let price = Price { id: PriceId(Uuid::now_v7()), unit, usd, minimum_ms: 0, rounding_ms: 0 };
        let dated = DatedPrice { price, effective_from: time::OffsetDateTime::UNIX_EPOCH };
        self.snapshot.prices.entry((ProviderKind::Openai, model.to_owned(), operation)).or_default().push(dated);
    }

    /// Adds a key of the tenant's, changed by `change`.
    pub(crate) fn key(&mut self, secret: &str, change: impl FnOnce(&mut Key)) {
        let mut key = Key {
            id: VirtualKeyId(Uuid::now_v7()),
            tenant: TenantId(Uuid::from_u128(1)),
            name: "test".to_owned(),
            operations: Vec::new(),
            models: Vec::new(),
            requests_per_minute: None,
            max_concurrent_sessions: None,
            budget: None,
            max_upload_bytes: None,
            expires_at: None,
            refuse_unpriced: false,
        };
        change(&mut key);
        self.snapshot.insert_key(KeyHash::of(&pepper(), secret), key);
    }

    /// Starts the gateway on a thread with a runtime of its own, as the binary does.
    pub(crate) async fn start(self) -> TestApp {
        let Self { settings, snapshot, one, two, folder } = self;
        let url = format!("sqlite://{}/test.db", folder.path().display());
        let (started, start) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ending, ended) = oneshot::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let database = repositories::connect(&url).await.unwrap();
                migration::up(&database).await.unwrap();
                let application = Application::build(settings, database, snapshot, pepper()).await.unwrap();
                assert!(started.send((application.address(), application.gateway())).is_ok());
                application.run_until(async move { drop(stopped.await) }).await.unwrap();
                ending.send(()).unwrap_or(());
            });
        });
        let (address, gateway) = soon(start).await.unwrap();
        TestApp { address, gateway, one, two, stop: Some(stop), ended: Some(ended), _folder: folder }
    }
}

/// A budget for a key's whole life.
pub(crate) fn budget(nano_usd: i64) -> Option<Budget> {
    Some(Budget { amount: NanoUsd(nano_usd), window: BudgetWindow::Total })
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        Setup::new().await.start().await
    }

    /// What SIGTERM does.
    pub(crate) fn begin_drain(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for the end of the drain.
    pub(crate) async fn ended(&mut self) {
        if let Some(ended) = self.ended.take() {
            soon(ended).await.unwrap();
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends a request and gives the head of the answer, its body still to be read.
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.connect().await)).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        soon(sender.send_request(request)).await.unwrap()
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn call(&self, request: Request<Full<Bytes>>) -> Answer {
        let (parts, mut body) = self.open(request).await.into_parts();
        let mut bytes = Vec::new();
        let whole = loop {
            match soon(body.frame()).await {
                None => break true,
                Some(Err(_)) => break false,
                Some(Ok(frame)) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            }
        };
        Answer { status: parts.status.as_u16(), headers: parts.headers, body: bytes, whole }
    }

    /// Sends bytes as they are and reads until the gateway closes or has answered whole.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The gateway may refuse and close before the last byte was taken.
        drop(stream.write_all(bytes).await);
        read_answer(&mut stream).await
    }

    /// The records of a call, once it is over.
    pub(crate) async fn records(&self, answer: &Answer) -> Vec<StoredUsage> {
        let id: RequestId = answer.header("x-request-id").parse().unwrap();
        self.records_of(KEY, id).await
    }

    /// The records of a request by a key, waited for.
    pub(crate) async fn records_of(&self, secret: &str, id: RequestId) -> Vec<StoredUsage> {
        let key = self.gateway.snapshot.load().keys[&KeyHash::of(&pepper(), secret)].id;
        soon(async {
            loop {
                self.gateway.ledger.flush().await;
                let records = find_by_request(&self.gateway.database, key, id).await.unwrap();
                if !records.is_empty() {
                    return records;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// The one record of a call: its cost in nano-dollars and how it ended.
    pub(crate) async fn billed(&self, answer: &Answer) -> (Option<i64>, UsageStatus) {
        let records = self.records(answer).await;
        assert_eq!(records.len(), 1, "one call is one record");
        (records[0].cost.map(|cost| cost.0), records[0].status)
    }

    /// Opens a realtime session.
    pub(crate) async fn realtime(&self, query: &str, key: &str) -> Result<Realtime, Error> {
        let mut request = format!("ws://{}/v1/realtime?{query}", self.address).into_client_request()?;
        if !key.is_empty() {
            request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        }
        let stream = self.connect().await;
        let (socket, response) = soon(tokio_tungstenite::client_async(request, stream)).await?;
        let id = response.headers()["x-request-id"].to_str().unwrap().parse().unwrap();
        Ok(Realtime { socket, id })
    }

    /// A session's upgrade that is refused: status and code.
    pub(crate) async fn refused(&self, query: &str, key: &str) -> (u16, String) {
        match self.realtime(query, key).await {
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let code = body["error"]["code"].as_str().unwrap_or_default().to_owned();
                (response.status().as_u16(), code)
            }
            Err(other) => panic!("refused in another way: {other}"),
            Ok(_) => (101, String::new()),
        }
    }

    /// A session by hand, for frames that no library sends.
    pub(crate) async fn raw_realtime(&self) -> TcpStream {
        let mut stream = self.connect().await;
        let head = format!(
            "GET /v1/realtime?model=live HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(soon(stream.read_u8()).await.unwrap());
        }
        assert!(seen.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&seen));
        stream
    }
}

/// Reads frames of a server until its close frame, and gives the code.
pub(crate) async fn close_code(stream: &mut TcpStream) -> u16 {
    loop {
        let first = soon(stream.read_u8()).await.unwrap();
        let length = match soon(stream.read_u8()).await.unwrap() {
            126 => u64::from(stream.read_u16().await.unwrap()),
            127 => stream.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        soon(stream.read_exact(&mut payload)).await.unwrap();
        if first & 0x0F == 8 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

/// Reads one answer with a length, or what comes until the end of the stream.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_some_and(|length| body.len() >= length.trim().parse::<usize>().unwrap()) {
                break;
            }
        }
        match soon(stream.read(&mut chunk)).await {
            Ok(0) | Err(_) => break,
            Ok(count) => seen.extend_from_slice(&chunk[..count]),
        }
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether it ended as HTTP says that it must.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// Asserts OpenAI's error body with this status and code.
    pub(crate) fn assert_error(&self, status: u16, code: &str) {
        let text = self.text();
        assert_eq!((self.status, self.json()["error"]["code"].as_str()), (status, Some(code)), "{text}");
        let error = &self.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "{text}");
        assert!(error.as_object().unwrap().contains_key("param"), "{text}");
        assert_eq!(self.header("content-type"), "application/json");
        assert!(!self.header("x-request-id").is_empty());
        assert!(!text.contains("sk-upstream"), "a provider's credential: {text}");
    }
}

pub(crate) fn post(path: &str, key: &str, body: impl Into<Bytes>, content_type: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(Method::POST).uri(path).header("host", "gateway");
    request = request.header("content-type", content_type);
    if !key.is_empty() {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    request.body(Full::new(body.into())).unwrap()
}

pub(crate) fn post_json(path: &str, key: &str, body: &Value) -> Request<Full<Bytes>> {
    post(path, key, body.to_string(), "application/json")
}

pub(crate) fn get(path: &str, key: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().uri(path).header("host", "gateway");
    if !key.is_empty() {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    request.body(Full::default()).unwrap()
}

pub(crate) fn speech(key: &str, model: &str, input: &str) -> Request<Full<Bytes>> {
    let body = json!({"model": model, "input": input, "voice": "marin", "response_format": "pcm"});
    post_json("/v1/audio/speech", key, &body)
}

/// Two seconds of WAV: 64 000 bytes of samples at 16 kHz.
pub(crate) fn two_seconds() -> Vec<u8> {
    loadtest::wav::sample(44 + 64_000)
}

/// One part of a form: a field, or a file.
pub(crate) enum Part<'a> {
    Field(&'a str, &'a str),
    File(&'a str, &'a [u8]),
}

pub(crate) const BOUNDARY: &str = "----a-boundary-of-the-tests";

pub(crate) fn form_body(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=").as_bytes());
        match part {
            Part::Field(name, value) => body.extend_from_slice(format!("\"{name}\"\r\n\r\n{value}").as_bytes()),
            Part::File(name, bytes) => {
                body.extend_from_slice(format!("\"file\"; filename=\"{name}\"\r\n").as_bytes());
                body.extend_from_slice(b"content-type: audio/wav\r\n\r\n");
                body.extend_from_slice(bytes);
            }
        }
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

pub(crate) fn form(key: &str, parts: &[Part<'_>]) -> Request<Full<Bytes>> {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    post("/v1/audio/transcriptions", key, form_body(parts), &content_type)
}

/// A usual transcription request.
pub(crate) fn transcription(key: &str, model: &str, more: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let audio = two_seconds();
    let mut parts = vec![Part::Field("model", model)];
    parts.extend(more.iter().map(|(name, value)| Part::Field(name, value)));
    parts.push(Part::File("a.wav", &audio));
    form(key, &parts)
}

/// A client's side of a realtime session.
pub(crate) struct Realtime {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) id: RequestId,
}

impl Realtime {
    pub(crate) async fn say(&mut self, event: &Value) {
        self.socket.send(Message::text(event.to_string())).await.unwrap();
    }

    /// The next event of this type.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let event: Value = serde_json::from_str(text.as_str()).unwrap();
                    if event["type"] == kind {
                        return event;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no {kind} came, but {other:?}"),
            }
        }
    }

    /// The code with which the gateway closes.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(Message::Close(None))) => return 1005,
                Some(Ok(_)) => {}
                _ => return 1006,
            }
        }
    }
}
