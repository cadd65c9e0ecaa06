//! Recordings of sessions for tests and for debugging: both legs as JSON lines, in the form of our fixtures.
//! Off unless a folder is named for them. Nothing is written on the way of a frame: it goes to one thread
//! for all sessions, and is left out when that does not keep up.
//!
//! Each line has `t_ms`, `from` and one of `text`, `bytes_b64` (JSON that came as bytes), `audio` (what a
//! frame of sound was), `close` with its `reason`, or `lost` (lines that were left out). `from` is `client`
//! or `upstream`, or for what the gateway writes, `gateway→client` or `gateway→upstream`. Credentials are
//! masked; audio is its hash and its length.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dialects::live::Frame;
use dialects::openai::mask::mask;
use domain::ids::SessionId;
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio_tungstenite::tungstenite::Message;

use crate::realtime::session::Session;
use crate::snapshot::ProviderAccount;

/// Lines that wait to be written, of all sessions.
const WAITING: usize = 4096;
/// Bytes of one session's file; what follows is not recorded.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Base64 of this length or more is sound.
const SOUND_LETTERS: usize = 64;
/// Parts of the names of fields that hold credentials.
const SECRET_NAMES: [&str; 7] = ["secret", "password", "authorization", "api_key", "apikey", "joinurl", "signed_url"];
/// What the credentials of vendors and addresses with them begin with.
const SECRET_STARTS: [&str; 6] = ["sk-", "sk_", "ek-", "ek_", "://", "earer "];

/// Whose frame it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Upstream,
    ToClient,
    ToUpstream,
}

impl From {
    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::ToClient => "gateway→client",
            Self::ToUpstream => "gateway→upstream",
        }
    }
}

/// A frame.
#[derive(Debug)]
pub(super) enum Recorded {
    Text(Bytes),
    Binary(Bytes),
    Close(u16, String),
    Lost(u64),
}

#[derive(Debug)]
struct Line {
    session: SessionId,
    t_ms: u64,
    from: From,
    frame: Recorded,
    account: Option<Arc<ProviderAccount>>,
}

/// Records sessions.
#[derive(Debug)]
pub struct Recorder {
    lines: SyncSender<Line>,
}

impl Recorder {
    /// Records into a folder, which is made where there is none.
    ///
    /// # Errors
    /// The folder cannot be made, or the thread not be started.
    pub fn start(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (lines, written) = sync_channel(WAITING);
        let folder = folder.to_owned();
        tracing::warn!(folder = %folder.display(), "sessions are recorded: what is said in them is on this disk");
        std::thread::Builder::new().name("recorder".to_owned()).spawn(move || write(&folder, &written))?;
        Ok(Self { lines })
    }

    /// The recording of a session.
    pub(super) fn session(&self, session: SessionId) -> Arc<Recording> {
        let lines = self.lines.clone();
        Arc::new(Recording { lines, session, began: Instant::now(), lost: AtomicU64::new(0) })
    }
}

/// The recording of one session.
#[derive(Debug)]
pub(super) struct Recording {
    lines: SyncSender<Line>,
    session: SessionId,
    began: Instant,
    lost: AtomicU64,
}

impl Recording {
    /// Records a frame, without the account's credential.
    pub(super) fn note(&self, from: From, frame: Recorded, account: Option<&Arc<ProviderAccount>>) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 && !self.send(from, Recorded::Lost(lost), None) {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
        if !self.send(from, frame, account.map(Arc::clone)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records what a vendor says.
    pub(super) fn came(&self, message: &Message, account: &Arc<ProviderAccount>) {
        let frame = match message {
            Message::Text(text) => Recorded::Text(text.clone().into()),
            Message::Binary(bytes) => Recorded::Binary(bytes.clone()),
            Message::Close(Some(frame)) => Recorded::Close(frame.code.into(), frame.reason.to_string()),
            Message::Close(None) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return,
        };
        self.note(From::Upstream, frame, Some(account));
    }

    /// Records what a vendor is told.
    pub(super) fn sent(&self, frame: &Frame, account: &Arc<ProviderAccount>) {
        let frame = match frame {
            Frame::Text(text) => Recorded::Text(text.clone().into()),
            Frame::Binary(bytes) => Recorded::Binary(bytes.clone().into()),
            Frame::Ping => return,
        };
        self.note(From::ToUpstream, frame, Some(account));
    }

    fn send(&self, from: From, frame: Recorded, account: Option<Arc<ProviderAccount>>) -> bool {
        let t_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.lines.try_send(Line { session: self.session, t_ms, from, frame, account }).is_ok()
    }
}

impl Drop for Recording {
    /// What is lost is told by the next line, and of the last ones here.
    fn drop(&mut self) {
        let lost = *self.lost.get_mut();
        if lost > 0 {
            tracing::warn!(session = %self.session, lost, "the end of a recording is lost");
        }
    }
}

impl Session {
    /// Begins to record, where that is on.
    pub(super) fn recorded(mut self) -> Self {
        self.recording = self.worker.gateway.recorder.as_ref().map(|recorder| recorder.session(self.id));
        self.record_leg();
        self
    }

    /// A provider that is translated is recorded where its frames pass.
    pub(super) fn record_leg(&mut self) {
        let leg = self.upstream.as_mut().and_then(|pending| pending.leg.translated());
        if let (Some(recording), Some(leg)) = (&self.recording, leg) {
            leg.record(Arc::clone(recording));
        }
    }

    /// Records a frame, where that is on.
    pub(super) fn note(&self, from: From, frame: impl FnOnce() -> Recorded) {
        let Some(recording) = &self.recording else { return };
        let translated = self.upstream.as_ref().is_some_and(|pending| pending.leg.is_translated());
        if !translated || matches!(from, From::Client | From::ToClient) {
            recording.note(from, frame(), self.upstream.as_ref().map(|pending| &pending.candidate.account));
        }
    }
}

fn write(folder: &Path, lines: &Receiver<Line>) {
    while let Ok(line) = lines.recv() {
        let file = folder.join(format!("{}.jsonl", line.session));
        if let Err(error) = append(&file, &line) {
            tracing::warn!(%error, "a recording could not be written");
        }
    }
}

fn append(path: &PathBuf, line: &Line) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    if file.metadata()?.len() >= MAX_FILE_BYTES {
        return Ok(());
    }
    let mut text = shown(line).to_string();
    text.push('\n');
    file.write_all(text.as_bytes())
}

fn shown(line: &Line) -> Value {
    let credential = line.account.as_ref().and_then(|account| account.api_key.as_ref());
    let credential = credential.map(|key| key.expose_secret()).filter(|key| !key.is_empty());
    let mut shown = Map::new();
    shown.insert("t_ms".to_owned(), line.t_ms.into());
    shown.insert("from".to_owned(), line.from.name().into());
    let (name, value) = match &line.frame {
        Recorded::Text(text) => match serde_json::from_slice::<Value>(text) {
            Ok(event) => ("text", Value::from(clean(event, credential).to_string())),
            Err(_) => ("text", Value::from(masked(&String::from_utf8_lossy(text), credential))),
        },
        Recorded::Binary(bytes) => match serde_json::from_slice::<Map<String, Value>>(bytes) {
            Ok(event) => {
                ("bytes_b64", Value::from(STANDARD.encode(clean(Value::Object(event), credential).to_string())))
            }
            Err(_) => ("audio", Value::from(hashed(bytes))),
        },
        Recorded::Close(code, reason) => {
            shown.insert("reason".to_owned(), masked(reason, credential).into());
            ("close", Value::from(*code))
        }
        Recorded::Lost(lines) => ("lost", Value::from(*lines)),
    };
    shown.insert(name.to_owned(), value);
    Value::Object(shown)
}

/// An event without credentials and without sound.
fn clean(value: Value, credential: Option<&str>) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let lower = name.to_ascii_lowercase();
                    let secret = value.is_string() && SECRET_NAMES.iter().any(|part| lower.contains(part));
                    let value = if secret { Value::from("[redacted]") } else { clean(value, credential) };
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(items) => items.into_iter().map(|item| clean(item, credential)).collect(),
        Value::String(text) => Value::from(sound(&text).unwrap_or_else(|| masked(&text, credential))),
        other => other,
    }
}

/// The hash of a text that is sound in base64.
fn sound(text: &str) -> Option<String> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let looks_so = text.len() >= SOUND_LETTERS && text.len().is_multiple_of(4) && text.bytes().all(is_letter);
    looks_so.then(|| STANDARD.decode(text).ok().map(|bytes| hashed(&bytes))).flatten()
}

fn hashed(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{short} ({} bytes)", bytes.len())
}

fn masked(text: &str, credential: Option<&str>) -> String {
    let text = match credential {
        Some(credential) if text.contains(credential) => text.replace(credential, "[redacted]"),
        _ => text.to_owned(),
    };
    // Ids are as long as keys are: only what looks like a credential by its beginning is one here.
    if SECRET_STARTS.iter().any(|start| text.contains(start)) { mask(&text) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn line(frame: Recorded) -> Value {
        let session = SessionId(Uuid::nil());
        shown(&Line { session, t_ms: 7, from: From::ToUpstream, frame, account: None })
    }

    fn text(event: &Value) -> Value {
        let recorded = line(Recorded::Text(event.to_string().into()));
        serde_json::from_str(recorded["text"].as_str().unwrap()).unwrap()
    }

    #[test]
    fn sound_is_its_hash_and_ids_stay() {
        let id = "item_0190a5c07abc70008000000000000000_1";
        let audio = STANDARD.encode([1; 4800]);
        let shown = text(&json!({"type": "input_audio_buffer.append", "event_id": id, "audio": audio}));
        assert_eq!(shown["event_id"], id);
        let hash = shown["audio"].as_str().unwrap();
        assert!(hash.starts_with("sha256:") && hash.ends_with("(4800 bytes)"), "{hash}");
        assert_ne!(shown["audio"], text(&json!({"audio": STANDARD.encode([2; 4800])}))["audio"]);
        let binary = line(Recorded::Binary(Bytes::from_static(&[0; 960])));
        assert!(binary["audio"].as_str().unwrap().ends_with("(960 bytes)"), "{binary}");
        assert_eq!((&binary["t_ms"], &binary["from"]), (&json!(7), &json!("gateway→upstream")));
    }

    #[test]
    fn json_in_bytes_stays_bytes_and_credentials_stand_nowhere() {
        let event = json!({"joinUrl": "wss://voice.example.com/calls/1?token=t0ps3cret", "nested": [
            {"note": "use sk-proj-0123456789abcdef"}, {"xi_api_key": "t0ps3cret"}]});
        let bytes = line(Recorded::Binary(event.to_string().into()));
        let decoded = STANDARD.decode(bytes["bytes_b64"].as_str().unwrap()).unwrap();
        let decoded = String::from_utf8(decoded).unwrap();
        assert!(!decoded.contains("t0ps3cret") && !decoded.contains("0123456789"), "{decoded}");
        assert!(decoded.contains("nested"));
        let close = line(Recorded::Close(1008, "bad key sk-proj-0123456789abcdef".to_owned()));
        assert_eq!(close["close"], 1008);
        assert!(!close["reason"].as_str().unwrap().contains("0123456789"));
    }
}
