//! Scripted vendors of live sessions: Deepgram's `/v1/listen` and `/v2/listen`, ElevenLabs' realtime Scribe,
//! ElevenLabs' and Deepgram's agents, Gemini's live transcription and conversations, Ultravox's calls and realtime
//! conversations, all on one port. They check what they are sent, understand words from the audio itself
//! ([`hearing`]), count everything, and drop connections on request.
//!
//! Control: `GET /_live` tells what came and what was said, with an example of every kind of message;
//! `GET /_drop/MS` drops the next connection that has had so many milliseconds of audio. Sources of the wire
//! facts: the vendors' references and `AsyncAPI` documents, read 2026-11-21.

mod calls;
mod deepgram;
mod deepgram_agent;
mod deepgram_settings;
pub(crate) mod eleven_agent;
mod flux;
mod gemini;
mod gemini_agent;
mod gemini_setup;
#[cfg(test)]
mod gemini_tests;
pub mod hearing;
pub mod mind;
mod openai_agent;
mod openai_responses;
mod said;
mod scribe;
mod session;
mod sockets;
mod ultravox;
mod ultravox_agent;
mod ultravox_calls;
mod ultravox_pace;
#[cfg(test)]
mod ultravox_tests;

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

pub(crate) use calls::Medium;
pub(crate) use sockets::Sockets;

use calls::Calls;
use hearing::Word;
use said::Said;
use serde::Serialize;
use serde_json::Value;
use session::Line;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{AbortHandle, JoinSet},
    time::Instant,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::handshake::server::{ErrorResponse, Request, Response},
};

/// How long to wait before the next connection is accepted, where one could not be.
pub(crate) const FULL: Duration = Duration::from_millis(10);
const LISTEN: &str = "/v1/listen";
const FLUX: &str = "/v2/listen";
const SCRIBE: &str = "/v1/speech-to-text/realtime";
/// Deepgram's id of every request.
const REQUEST_ID: &str = "00000000-0000-4000-8000-000000000000";
const PATHS: [&str; 6] = [LISTEN, FLUX, SCRIBE, gemini::PATH, deepgram_agent::PATH, eleven_agent::PATH];

/// What a vendor says.
#[derive(Debug, Clone)]
enum Say {
    Text(Value),
    /// JSON in a binary frame.
    Bytes(Value),
    /// Sound in a binary frame.
    Audio(Vec<u8>),
    /// These words were said as final.
    Final(Vec<Word>),
    /// What was sent breaks the vendor's rules.
    Violation(String),
    /// The connection breaks, without a goodbye.
    Break,
    Close(u16, &'static str),
}

/// A vendor's side of one connection.
trait Vendor: Send {
    /// What it says at once.
    fn opened(&mut self) -> Vec<Say> {
        Vec::new()
    }
    fn text(&mut self, text: &str) -> Vec<Say>;
    fn binary(&mut self, bytes: &[u8]) -> Vec<Say>;
    /// Milliseconds of audio had so far.
    fn heard_ms(&self) -> u64;
    /// When [`Vendor::tick`] is due.
    fn due(&self) -> Option<Instant> {
        None
    }
    /// What it says because time has passed.
    fn tick(&mut self) -> Vec<Say> {
        Vec::new()
    }
    /// A silent client is left after this, with this code and reason.
    fn patience(&self) -> (Duration, u16, &'static str);
    /// Told when the session is ended from elsewhere.
    fn over(&self) -> Option<Arc<Notify>> {
        None
    }
}

/// How to start the vendors.
#[derive(Debug, Clone)]
pub struct Config {
    /// Loopback address to listen on; port 0 chooses a free one.
    pub bind: SocketAddr,
    /// The one credential that is accepted.
    pub api_key: String,
    /// Connections that are dropped without a goodbye, oldest first, after so many milliseconds of audio.
    pub drops: Vec<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 0)), api_key: "sk-upstream".to_owned(), drops: Vec::new() }
    }
}

/// What came and what was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Paths with queries of the connections, oldest first.
    pub connections: Vec<String>,
    /// Sessions that are open now.
    pub open: usize,
    /// Milliseconds of audio on all connections.
    pub audio_ms: u64,
    /// What broke the vendors' rules.
    pub violations: Vec<String>,
    /// Text messages that hold no audio, as they came; the last hundred.
    pub messages: VecDeque<String>,
    /// Words that were said as final.
    pub words: Vec<String>,
    /// Requests for Ultravox's calls; the last hundred.
    pub requests: VecDeque<Value>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    seen: Mutex<Seen>,
    said: Mutex<Said>,
    open: AtomicUsize,
    drops: Mutex<VecDeque<u64>>,
    /// Ultravox's calls.
    calls: Arc<Calls>,
    /// Ultravox's conversations.
    agents: ultravox_calls::Calls,
    /// Gemini's conversations that can be gone on with.
    resumable: gemini_setup::Sessions,
    /// Signatures of addresses of `ElevenLabs`' agents.
    signed: Mutex<BTreeSet<String>>,
}

impl Shared {
    fn new(config: Config) -> Self {
        let drops = Mutex::new(config.drops.iter().copied().collect());
        Self {
            config,
            seen: Mutex::default(),
            said: Mutex::default(),
            open: AtomicUsize::new(0),
            signed: Mutex::default(),
            drops,
            calls: Arc::default(),
            agents: ultravox_calls::Calls::default(),
            resumable: gemini_setup::Sessions::default(),
        }
    }
}

/// The answer to `GET /_live`.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    seen: &'a Seen,
    said: &'a Said,
}

impl Shared {
    fn seen(&self) -> Seen {
        Seen { open: self.open.load(Ordering::Acquire), ..lock(&self.seen).clone() }
    }
}

/// Running vendors; they stop, with all their connections, when this is dropped.
#[derive(Debug)]
pub struct Handle {
    /// Where they listen.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl Handle {
    /// The base URL of any of them.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What came and what was said so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.shared.seen()
    }

    /// Drops the next connection that has had so much audio.
    pub fn drop_after(&self, ms: u64) {
        lock(&self.shared.drops).push_back(ms);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the vendors.
///
/// # Errors
/// The address cannot be listened on.
pub async fn start(config: Config) -> io::Result<Handle> {
    let listener = TcpListener::bind(config.bind).await?;
    let addr = listener.local_addr()?;
    let shared = Arc::new(Shared::new(config));
    let serving = Arc::clone(&shared);
    let accepting = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(connections.spawn(serve(Arc::clone(&serving), stream))),
                // There are too many open files, and connections that end leave room for others.
                Err(_) => tokio::time::sleep(FULL).await,
            }
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Handle { addr, shared, accepting: accepting.abort_handle() })
}

/// The beginning of what a connection asks.
async fn peek(stream: &TcpStream) -> io::Result<String> {
    let mut head = [0; 128];
    let length = stream.peek(&mut head).await?;
    Ok(String::from_utf8_lossy(head.get(..length).unwrap_or_default()).into_owned())
}

async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    // Else a frame would wait for the acknowledgement of the one before.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(head) = peek(&stream).await else { return };
    if head.starts_with("GET /_") {
        drop(control(&shared, &head, &mut stream).await);
        return;
    }
    if ultravox_calls::is_asked(&head) {
        drop(ultravox_calls::answer(&shared, &mut stream).await);
        return;
    }
    if head.strip_prefix("GET ").is_some_and(|rest| rest.starts_with(eleven_agent::SIGN)) {
        drop(eleven_agent::sign(&shared, &mut stream).await);
        return;
    }
    let mut vendor: Option<(String, Box<dyn Vendor>)> = None;
    let accepted = accept_hdr_async(stream, |request: &Request, response: Response| match open(&shared, request) {
        Ok(opened) => {
            vendor = Some((request.uri().path().to_owned(), opened));
            Ok(response)
        }
        Err(refusal) => Err(*refusal),
    });
    let Ok(socket) = accepted.await else { return };
    if let Some((path, vendor)) = vendor {
        session::hold(&Line { shared: &shared, path }, socket, vendor).await;
    }
}

async fn control(shared: &Shared, head: &str, stream: &mut TcpStream) -> io::Result<()> {
    let mut request = [0; 2048];
    let _read = stream.read(&mut request).await?;
    if let Some(ms) = head.strip_prefix("GET /_drop/").and_then(|rest| rest.split(' ').next()?.parse().ok()) {
        lock(&shared.drops).push_back(ms);
    }
    let body = serde_json::to_string(&Told { seen: &shared.seen(), said: &lock(&shared.said) })?;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
    stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await
}

/// The query of a connection.
struct Query(Vec<(String, String)>);

impl Query {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// The vendor's list of parameters is complete: another one is refused.
    fn only(&self, known: &[&str]) -> Result<(), String> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(format!("unknown parameter {name}")),
            None => Ok(()),
        }
    }
}

fn open(shared: &Shared, request: &Request) -> Result<Box<dyn Vendor>, Box<ErrorResponse>> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    lock(&shared.seen).connections.push(request.uri().to_string());
    let query = Query(
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    );
    let key = &shared.config.api_key;
    let has = |name: &str, value: &str| request.headers().get(name).is_some_and(|given| given == value);
    let (allowed, opened) = match path {
        LISTEN => (has("authorization", &format!("Token {key}")), deepgram::open(&query)),
        FLUX => (has("authorization", &format!("Token {key}")), flux::open(&query)),
        deepgram_agent::PATH => (has("authorization", &format!("Token {key}")), Ok(deepgram_agent::open())),
        SCRIBE => (has("xi-api-key", key), scribe::open(&query)),
        gemini::PATH => (has("x-goog-api-key", key), gemini::open(&shared.resumable)),
        eleven_agent::PATH => eleven_agent::open(shared, &query, has("xi-api-key", key)),
        openai_agent::PATH => (has("authorization", &format!("Bearer {key}")), openai_agent::open(&query)),
        openai_agent::AZURE => (has("api-key", key), openai_agent::open(&query)),
        // The address is the credential.
        _ if path.starts_with(ultravox::PATH) => (true, Ok(join(shared, path))),
        _ => (true, Err("no such path".to_owned())),
    };
    match opened {
        _ if !allowed => Err(refusal(401, "INVALID_AUTH", "Invalid credentials.")),
        Ok(vendor) => Ok(vendor),
        Err(message) => {
            lock(&shared.seen).violations.push(format!("{path}: {message}"));
            Err(refusal(400, "Bad Request", &message))
        }
    }
}

/// Joins a call, which can be done once.
fn join(shared: &Shared, path: &str) -> Box<dyn Vendor> {
    let call = path.trim_start_matches(ultravox::PATH);
    if let Some(agent) = shared.agents.get(call) {
        let free = lock(&agent).joined.is_none();
        return if free { ultravox_agent::open(agent) } else { ultravox::refuse() };
    }
    shared.calls.join(call).map_or_else(ultravox::refuse, |joined| ultravox::open(call, joined))
}

fn refusal(status: u16, code: &str, message: &str) -> Box<ErrorResponse> {
    let body = serde_json::json!({"err_code": code, "err_msg": message, "request_id": REQUEST_ID}).to_string();
    let mut response = ErrorResponse::new(Some(body));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    Box::new(response)
}

/// Keeps one more thing, and no more than a hundred.
fn keep_last<T>(things: &mut VecDeque<T>, thing: T) {
    if things.len() == 100 {
        things.pop_front();
    }
    things.push_back(thing);
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// An interim text: the last word is not understood to its end.
fn unsure(words: &[Word]) -> String {
    let mut text = joined(words);
    if text.pop().is_some() {
        text.push('?');
    }
    text
}
