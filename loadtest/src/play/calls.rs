//! Speech and transcriptions, each from its intended start to the last byte of its answer.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::{Target, recorder::Ended};
use crate::{
    load::{self, Connection},
    scenario::{Operations, Speech},
    wav,
};

/// A connection that was idle for longer is not used again: the other side may be closing it right now.
const FRESH: Duration = Duration::from_secs(3);
/// A client that hangs up on a transcription does so when it has waited so long.
const IMPATIENCE: Duration = Duration::from_millis(50);
/// As much is read of what an error says.
const ERROR_BYTES: usize = 64 * 1024;

/// Sound in the scripted upstream: nothing else is of this model.
const SPEECH_MODEL: &str = "tts-1";
const EVENTS_MODEL: &str = "gpt-4o-mini-tts";
const TRANSCRIPTION_MODEL: &str = "whisper-1";

/// One request, and how it is known that its answer is whole.
#[derive(Debug, Clone)]
struct Request {
    path: String,
    content_type: String,
    body: Bytes,
    whole: Whole,
}

/// What a whole answer is.
#[derive(Debug, Clone, Copy)]
enum Whole {
    /// So many bytes.
    Bytes(usize),
    /// Ends with this event.
    Event(&'static str),
    /// Has this in it.
    Text(&'static str),
}

/// The requests of a scenario, and the connections over which they go.
#[derive(Debug)]
pub(super) struct Calls {
    target: Target,
    bearer: String,
    patience: Duration,
    speech: Option<Request>,
    speech_events: Option<Request>,
    transcription: Option<Request>,
    idle: Mutex<Vec<(Instant, Connection)>>,
}

impl Calls {
    pub(super) fn new(target: &Target, operations: &Operations, patience: Duration) -> anyhow::Result<Self> {
        let spoken = |speech: &Speech, events: bool| -> anyhow::Result<Request> {
            let bytes = usize::try_from(speech.kib)? * 1024;
            // The size of the pieces is that of profiles.yaml.
            let input = format!("Measure me. script:bytes={bytes} script:chunk_bytes=16384");
            let model = if events { EVENTS_MODEL } else { SPEECH_MODEL };
            let mut body =
                serde_json::json!({"model": model, "voice": "alloy", "input": input, "response_format": "pcm"});
            if let Some(fields) = body.as_object_mut().filter(|_| events) {
                fields.insert("stream_format".to_owned(), "sse".into());
            }
            Ok(Request {
                path: format!("{}/audio/speech", target.prefix),
                content_type: "application/json".to_owned(),
                body: body.to_string().into(),
                whole: if events { Whole::Event("speech.audio.done") } else { Whole::Bytes(bytes) },
            })
        };
        let transcription = operations.transcription.as_ref().map(|transcription| -> anyhow::Result<Request> {
            let bytes = wav::HEADER_BYTES + 32_000 * usize::try_from(transcription.seconds)?;
            Ok(Request {
                path: format!("{}/audio/transcriptions", target.prefix),
                content_type: load::form_type(),
                body: load::form(TRANSCRIPTION_MODEL, &wav::sample(bytes)),
                whole: Whole::Text("\"text\""),
            })
        });
        Ok(Self {
            bearer: format!("Bearer {}", target.key),
            patience,
            speech: operations.speech.as_ref().map(|speech| spoken(speech, false)).transpose()?,
            speech_events: operations.speech_events.as_ref().map(|speech| spoken(speech, true)).transpose()?,
            transcription: transcription.transpose()?,
            target: target.clone(),
            idle: Mutex::default(),
        })
    }

    /// One call that should have begun at `due`.
    pub(super) async fn call(&self, operation: &'static str, due: Instant, hangs_up: bool) -> Ended {
        let request = match operation {
            "speech" => &self.speech,
            "speech_events" => &self.speech_events,
            _ => &self.transcription,
        };
        // What a stream of events costs is known to nobody whose client leaves before its end.
        let hangs_up = hangs_up && operation != "speech_events";
        let Some(request) = request else { return Ended::Failed("not in the scenario".to_owned()) };
        let end = due + self.patience;
        if hangs_up && matches!(request.whole, Whole::Text(_)) {
            let answered = tokio::time::timeout(IMPATIENCE, self.exchange(request, due, false));
            return answered.await.unwrap_or(Ended::HungUp);
        }
        let answered = tokio::time::timeout_at(end.into(), self.exchange(request, due, hangs_up));
        answered.await.unwrap_or_else(|_| Ended::Failed("no end in time".to_owned()))
    }

    async fn exchange(&self, request: &Request, due: Instant, hangs_up: bool) -> Ended {
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => return Ended::Failed(format!("no connection: {}", error.root_cause())),
        };
        let headers = [("authorization", self.bearer.as_str()), ("content-type", request.content_type.as_str())];
        let body = load::one_piece(request.body.clone());
        let Ok(response) = connection.ask(Method::POST, &request.path, &headers, body).await else {
            return Ended::Failed("no answer".to_owned());
        };
        if response.status() != 200 {
            let ended = Ended::Failed(refusal(response).await);
            self.keep(connection);
            return ended;
        }
        match read(response, request.whole, due, hangs_up).await {
            Ok(Some(first_byte)) => {
                self.keep(connection);
                Ended::Whole { first_byte }
            }
            Ok(None) => Ended::HungUp,
            Err(reason) => Ended::Failed(reason.to_owned()),
        }
    }

    async fn connection(&self) -> anyhow::Result<Connection> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some((since, connection)) if since.elapsed() < FRESH && connection.is_ready() => return Ok(connection),
                Some(_) => {}
                None => return Connection::open(self.target.addr).await.context("connect"),
            }
        }
    }

    fn keep(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), connection));
    }
}

/// Reads an answer to its end: the time to its first byte, or nothing where the client has hung up.
async fn read(
    mut response: Response<Incoming>,
    whole: Whole,
    due: Instant,
    hangs_up: bool,
) -> Result<Option<Duration>, &'static str> {
    let (mut bytes, mut first, mut is_told, mut tail) = (0, None, false, Vec::new());
    while let Some(frame) = response.frame().await {
        let Ok(data) = frame.map_err(|_| "broken off")?.into_data() else { continue };
        first.get_or_insert_with(|| due.elapsed());
        if hangs_up {
            return Ok(None);
        }
        bytes += data.len();
        if let Whole::Event(text) | Whole::Text(text) = whole {
            is_told = is_told || has(&mut tail, &data, text.as_bytes());
        }
    }
    let is_whole = match whole {
        Whole::Bytes(wanted) => bytes == wanted,
        Whole::Event(_) | Whole::Text(_) => is_told,
    };
    if is_whole { Ok(first) } else { Err("not whole") }
}

/// Whether a text is in what has come; its beginning may be the end of the piece before, which `tail` has.
fn has(tail: &mut Vec<u8>, piece: &[u8], text: &[u8]) -> bool {
    let most = text.len().saturating_sub(1);
    tail.extend(piece.iter().take(most));
    let found = [tail.as_slice(), piece].into_iter().any(|part| memchr::memmem::find(part, text).is_some());
    let kept = if piece.len() < most { tail.as_slice() } else { piece };
    *tail = kept.get(kept.len().saturating_sub(most)..).unwrap_or_default().to_vec();
    found
}

/// A status with the error's code, such as `503 overloaded`.
async fn refusal(response: Response<Incoming>) -> String {
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ERROR_BYTES).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let told: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let named = ["/error/code", "/error/type"].iter().find_map(|at| told.pointer(at)?.as_str());
    named.map_or_else(|| status.to_string(), |named| format!("{status} {named}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_its_pieces_end() {
        for pieces in [&["{\"text\":1}"][..], &["{\"te", "xt\":1}"], &["{", "\"", "t", "e", "x", "t", "\"", ":1}"]] {
            let mut tail = Vec::new();
            assert!(pieces.iter().any(|piece| has(&mut tail, piece.as_bytes(), b"\"text\"")), "{pieces:?}");
        }
        let mut tail = Vec::new();
        assert!(!["\"te", "x", "?t\""].iter().any(|piece| has(&mut tail, piece.as_bytes(), b"\"text\"")));
    }
}
