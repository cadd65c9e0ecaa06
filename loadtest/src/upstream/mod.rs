//! The scripted upstream: speaks OpenAI's dialect as OpenAI, Azure OpenAI, Groq or a self-hosted server does, checks
//! what it is sent, misbehaves on request and counts what it delivered.
//!
//! Control: `POST /_script` (a [`script::Rule`]), `DELETE /_script`, `GET /_counts`, `DELETE /_counts`,
//! `GET /_requests`, `POST /_room` (where Ultravox's calls in rooms are led), `POST /_behaviour` (a
//! [`behaviour::Behaviour`]), `POST /_hang_up` (breaks the connections that no session has).
//! Sources of the wire facts: OpenAI's `OpenAPI` document 2.3.0 and reference, Microsoft Learn's
//! Azure OpenAI v1 reference, Groq's API reference, all read 2026-11-21.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::ValueEnum;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{AbortHandle, JoinSet},
};

use crate::live::{FULL, Sockets};

mod answer;
mod audit;
pub mod behaviour;
mod body;
mod control;
pub mod counts;
mod form;
mod realtime;
mod realtime_events;
mod routes;
pub mod script;
mod speech;
mod text;
mod transcription;
mod vendors;

pub use counts::{Amounts, Count, Counts, Fate};
pub use form::FilePart;
pub use script::{CloseWs, Fault, Rule};

/// Requests that `GET /_requests` remembers.
const REMEMBERED: usize = 500;

/// Whose habits the upstream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `api.openai.com`: paths below `/v1`, usage in every transcript.
    Openai,
    /// Azure OpenAI: paths below `/openai/v1` and `/openai/deployments/…`, `api-key`, refusals before the upgrade.
    Azure,
    /// Groq: paths below `/openai/v1`, no srt, vtt, streaming, realtime or usage; speech in WAV up to 200 characters.
    Groq,
    /// A server of one's own: paths below `/v1`, every format, no usage.
    SelfHosted,
    /// ElevenLabs: the vendor's own language, `xi-api-key`.
    Elevenlabs,
    /// Deepgram: the vendor's own language, `Authorization: Token`.
    Deepgram,
    /// Google: Cloud Speech, Cloud Text-to-Speech and Gemini on one address, and the token endpoint `/token`.
    Google,
    /// Ultravox: calls over REST, `X-API-Key`.
    Ultravox,
}

/// How to start an upstream.
#[derive(Debug, Clone)]
pub struct Config {
    /// Loopback address to listen on; port 0 chooses a free one.
    pub bind: SocketAddr,
    /// Whose habits it has.
    pub kind: Kind,
    /// The one credential that is accepted; `None` accepts any, but not none.
    pub api_key: Option<String>,
    /// What applies to every request that no rule or `script:` word speaks of, such as a pace or an echo.
    pub default_fault: Fault,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            kind: Kind::Openai,
            api_key: Some("sk-upstream".to_owned()),
            default_fault: Fault::default(),
        }
    }
}

/// A running upstream; stops, with all its connections, when dropped.
#[derive(Debug)]
pub struct UpstreamHandle {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl UpstreamHandle {
    /// The `base_url` for this kind as the vendor's SDK takes it (Azure: the resource's endpoint).
    #[must_use]
    pub fn base_url(&self) -> String {
        let path = match self.shared.config.kind {
            Kind::Openai | Kind::SelfHosted => "/v1",
            Kind::Groq => "/openai/v1",
            Kind::Ultravox => "/api",
            Kind::Azure | Kind::Elevenlabs | Kind::Deepgram | Kind::Google => "",
        };
        format!("http://{}{path}", self.addr)
    }

    /// What was delivered so far, and what was wrong with what was sent.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// The last 500 requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).iter().cloned().collect()
    }

    /// Adds a rule behind those already there.
    pub fn script(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule);
    }

    /// Forgets rules, counts, violations and requests.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Stops listening and breaks every connection.
    pub fn stop(&self) {
        self.accepting.abort();
    }
}

impl Drop for UpstreamHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One request as it arrived, for assertions.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub struct Request {
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query without `?`, empty when there is none.
    pub query: String,
    /// Header names in lower case with their values, in order.
    pub headers: Vec<(String, String)>,
    /// Fields of a form, in order.
    pub fields: Vec<(String, String)>,
    /// The file of a form.
    pub file: Option<FilePart>,
    /// A JSON body; null when there was none.
    pub json: Value,
    /// Status answered; 0 while undecided.
    pub status: u16,
}

impl Request {
    /// The first header of this lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The first form field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    config: Config,
    rules: Mutex<Vec<Rule>>,
    table: counts::Table,
    fates: Arc<counts::Fates>,
    violations: Mutex<BTreeMap<String, u64>>,
    requests: Mutex<VecDeque<Request>>,
    connections: AtomicU64,
    bytes_in: AtomicU64,
    serial: AtomicU64,
    sockets: Sockets,
    behaviour: Mutex<Option<behaviour::Dice>>,
    hang_up: Arc<Notify>,
}

impl Shared {
    fn new(config: Config) -> Self {
        Self {
            sockets: Sockets::new(config.api_key.clone().unwrap_or_default()),
            config,
            rules: Mutex::default(),
            table: counts::Table::default(),
            fates: Arc::default(),
            violations: Mutex::default(),
            requests: Mutex::default(),
            connections: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            serial: AtomicU64::new(1),
            behaviour: Mutex::default(),
            hang_up: Arc::default(),
        }
    }

    fn violation(&self, what: impl Into<String>) {
        *lock(&self.violations).entry(what.into()).or_default() += 1;
    }

    fn remember(&self, request: Request) {
        let mut requests = lock(&self.requests);
        if requests.len() >= REMEMBERED {
            requests.pop_front();
        }
        requests.push_back(request);
    }

    fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A number that no other request or item has.
    fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    fn take_rule(&self, path: &str, model: Option<&str>, early: bool) -> Option<Fault> {
        script::take(&mut lock(&self.rules), path, model, early)
    }

    /// Adds what the behaviour draws for a request of this path to what its script wants.
    fn behave(&self, path: &str, fault: &mut Fault) {
        if let Some(dice) = lock(&self.behaviour).as_mut() {
            dice.apply(path, fault);
        }
    }

    /// How long a session lets its client wait, if this event asks for a response.
    fn thinks_about(&self, event: &str) -> Option<Duration> {
        // What is longer is audio.
        if event.len() > 512 || !event.contains("\"response.create\"") {
            return None;
        }
        lock(&self.behaviour).as_mut().and_then(behaviour::Dice::thinks)
    }

    fn counts(&self) -> Counts {
        let mine = lock(&self.violations).clone();
        let violations = mine.iter().map(|(what, times)| format!("{what} ({times}×)"));
        let violations = violations.chain(self.sockets.violations()).collect();
        Counts {
            connections: self.connections.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            by: self.table.read(),
            serials: self.fates.read(),
            violations,
        }
    }

    fn reset(&self) {
        lock(&self.rules).clear();
        self.reset_counts();
    }

    fn reset_counts(&self) {
        self.table.clear();
        self.fates.clear();
        lock(&self.violations).clear();
        self.sockets.forget();
        lock(&self.requests).clear();
        self.connections.store(0, Ordering::Relaxed);
        self.bytes_in.store(0, Ordering::Relaxed);
    }
}

/// Starts an upstream on the current runtime.
///
/// # Errors
/// When the address is not a loopback address or cannot be bound.
pub async fn start(config: Config) -> io::Result<UpstreamHandle> {
    if !config.bind.ip().is_loopback() {
        return Err(io::Error::other("the scripted upstream listens on loopback addresses only"));
    }
    let listener = listen(config.bind)?;
    let addr = listener.local_addr()?;
    let shared = Arc::new(Shared::new(config));
    let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
    tokio::task::yield_now().await;
    Ok(UpstreamHandle { addr, shared, accepting })
}

/// A listener with a backlog that takes a thousand sessions arriving at once.
fn listen(bind: SocketAddr) -> io::Result<TcpListener> {
    let socket = if bind.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(bind)?;
    socket.listen(4096)
}

/// Accepts until it is aborted; the connections live in its set and end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                match accepted {
                    Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&shared)))),
                    // There are too many open files, and connections that end leave room for others.
                    Err(_) => tokio::time::sleep(FULL).await,
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// One connection: HTTP until it ends or is upgraded, then the realtime session.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    shared.connections.fetch_add(1, Ordering::Relaxed);
    let Some(stream) = shared.sockets.hold(stream).await else { return };
    let upgraded = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&upgraded);
    let service = service_fn(|request| routes::handle(Arc::clone(&shared), Arc::clone(&slot), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .half_close(true)
        .max_buf_size(128 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        // An error here is a peer that left, or an answer cut by the script; both are booked by the receipts.
        ended = connection => drop(ended),
        () = shared.hang_up.notified() => return,
    }
    let session = lock(&upgraded).take();
    if let Some(session) = session {
        realtime::run(shared, session).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
