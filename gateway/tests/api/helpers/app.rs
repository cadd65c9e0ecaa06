//! A running gateway and small clients of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ids::{RequestId, VirtualKeyId};
use domain::key::KeyHash;
use domain::usage::UsageStatus;
use entities::{live_session, usage_record};
use futures_util::{SinkExt, StreamExt};
use gateway::Gateway;
use gateway::reports::end_terminated;
use gateway::repositories::usage::{StoredUsage, find_by_request};
use gateway::snapshot::{Key, ListedPrice, PriceList, Snapshot};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use loadtest::upstream::UpstreamHandle;
use sea_orm::sea_query::Expr;
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::requests::KEY;
use super::setup::{Setup, pepper};

/// Bound of every wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for something that must happen soon.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("this should have happened by now")
}

/// A running gateway.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    metrics: Option<SocketAddr>,
    pub(crate) gateway: Arc<Gateway>,
    prices: Vec<ListedPrice>,
    pub(crate) one: UpstreamHandle,
    pub(crate) two: UpstreamHandle,
    stop: Option<oneshot::Sender<()>>,
    hurry: CancellationToken,
    ended: Option<oneshot::Receiver<()>>,
    folder: tempfile::TempDir,
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        Setup::new().await.start().await
    }

    pub(super) fn running(
        [address, metrics]: [Option<SocketAddr>; 2],
        gateway: Arc<Gateway>,
        prices: Vec<ListedPrice>,
        [one, two]: [UpstreamHandle; 2],
        (stop, hurry, ended): (oneshot::Sender<()>, CancellationToken, oneshot::Receiver<()>),
        folder: tempfile::TempDir,
    ) -> Self {
        let address = address.unwrap();
        Self { address, metrics, gateway, prices, one, two, stop: Some(stop), hurry, ended: Some(ended), folder }
    }

    /// The view in force, with one key changed.
    pub(crate) fn view_with(&self, secret: &str, change: impl FnOnce(&mut Key)) -> Snapshot {
        let now = self.gateway.snapshot.load();
        let (providers, models) = (now.providers.clone(), now.models.clone());
        let mut view = Snapshot { providers, models, ..Snapshot::default() };
        view.tenant_providers.clone_from(&now.tenant_providers);
        view.prices = PriceList::new(self.prices.clone());
        for (hash, key) in &now.keys {
            view.insert_key(*hash, Key::clone(key));
        }
        let hash = KeyHash::of(&pepper(), secret);
        let mut key = Key::clone(&view.keys[&hash]);
        change(&mut key);
        view.insert_key(hash, key);
        view
    }

    /// Where uploads wait that are too large for memory.
    pub(crate) fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// What SIGTERM does.
    pub(crate) fn begin_drain(&mut self) {
        drop(self.stop.take());
    }

    /// What a second SIGTERM does.
    pub(crate) fn hurry(&self) {
        self.hurry.cancel();
    }

    /// Waits for the end of the drain.
    pub(crate) async fn ended(&mut self) {
        if let Some(ended) = self.ended.take() {
            soon(ended).await.unwrap();
        }
    }

    /// What Prometheus scrapes.
    pub(crate) async fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics.unwrap()).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        read_answer(&mut stream).await
    }

    /// One counter as Prometheus scrapes it; 0 while it was never counted.
    pub(crate) async fn counter(&self, name: &str, labels: &str) -> u64 {
        let scraped = self.scrape().await;
        let start = if labels.is_empty() { format!("{name} ") } else { format!("{name}{{{labels}}} ") };
        scraped.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |count| count.parse().unwrap())
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

    /// Sends a whole request on a connection of its own and leaves it to the caller.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> TcpStream {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut head = format!("{} {} HTTP/1.1\r\ncontent-length: {}\r\n", parts.method, parts.uri, body.len());
        for (name, value) in &parts.headers {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        let mut stream = self.connect().await;
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        stream
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

    /// The key behind a secret, for what is asked after the key is gone.
    pub(crate) fn key_id(&self, secret: &str) -> VirtualKeyId {
        self.gateway.snapshot.load().keys[&KeyHash::of(&pepper(), secret)].id
    }

    /// The records of a request, waited for.
    pub(crate) async fn records_of_key(&self, key: VirtualKeyId, id: RequestId) -> Vec<StoredUsage> {
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

    /// The records of a request by a key, waited for.
    pub(crate) async fn records_of(&self, secret: &str, id: RequestId) -> Vec<StoredUsage> {
        self.records_of_key(self.key_id(secret), id).await
    }

    /// Every record that has reached the database, oldest first.
    pub(crate) async fn all_records(&self) -> Vec<usage_record::Model> {
        self.gateway.ledger.flush().await;
        let all = usage_record::Entity::find().order_by_asc(usage_record::Column::Id);
        all.all(&self.gateway.database).await.unwrap()
    }

    /// Asks again and again until there is an answer.
    pub(crate) async fn until<T>(&self, ask: impl AsyncFn() -> Option<T>) -> T {
        soon(async {
            loop {
                if let Some(answer) = ask().await {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// The one session that is listed, once it is as it `should` be.
    pub(crate) async fn live(&self, should: impl Fn(&live_session::Model) -> bool) -> live_session::Model {
        let all = async || live_session::Entity::find().all(&self.gateway.database).await.unwrap();
        self.until(async || all().await.into_iter().find(|row| should(row))).await
    }

    /// What the control plane writes to end every session that is listed, once one is.
    pub(crate) async fn terminate(&self, reason: &str) {
        self.live(|_| true).await;
        let now = time::OffsetDateTime::now_utc();
        live_session::Entity::update_many()
            .col_expr(live_session::Column::TerminateRequestedAt, Expr::value(now))
            .col_expr(live_session::Column::TerminateReason, Expr::value(reason))
            .exec(&self.gateway.database)
            .await
            .unwrap();
        end_terminated(&self.gateway).await.unwrap();
    }

    /// The one record of a call: its cost in nano-dollars and how it ended.
    pub(crate) async fn billed(&self, answer: &Answer) -> (Option<i64>, UsageStatus) {
        let records = self.records(answer).await;
        assert_eq!(records.len(), 1, "one call is one record");
        (records[0].cost.map(|cost| cost.0), records[0].status)
    }

    /// Opens a realtime session.
    pub(crate) async fn realtime(&self, query: &str, key: &str) -> Result<Realtime, Error> {
        self.realtime_with(query, key, &[]).await
    }

    /// Opens a realtime session with further headers.
    pub(crate) async fn realtime_with(
        &self,
        query: &str,
        key: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Realtime, Error> {
        let mut request = format!("ws://{}/v1/realtime?{query}", self.address).into_client_request()?;
        if !key.is_empty() {
            request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        }
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
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

/// A provider by hand: whatever `serve` does with each connection.
pub(crate) async fn provider<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    base_url
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
        assert!(!text.contains("sk-upstream") && !text.contains(KEY), "a credential: {text}");
    }
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

    /// The next event.
    pub(crate) async fn event(&mut self) -> Value {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(text.as_str()).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no event came, but {other:?}"),
            }
        }
    }

    /// The next event of this type.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// The code with which the gateway closes.
    pub(crate) async fn closed(&mut self) -> u16 {
        self.closed_for().await.0
    }

    /// The code and the reason with which the gateway closes.
    pub(crate) async fn closed_for(&mut self) -> (u16, String) {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
                Some(Ok(Message::Close(None))) => return (1005, String::new()),
                Some(Ok(_)) => {}
                _ => return (1006, String::new()),
            }
        }
    }
}
