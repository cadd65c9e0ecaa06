//! Deepgram Flux (`/v2/listen`): a model that knows when a turn is over. Every message has the whole turn so
//! far.
//!
//! There is no way to ask for the end of a turn on every account, so a commit is answered by silence: the
//! turn ends by its timeout, and the window of the next message tells that the silence was heard. Nothing
//! but audio and pings keeps a socket alive: a text message for that ends it.
//!
//! Source: Deepgram's API reference and SDKs, read 2026-11-21.

use domain::audio::RealtimeFormat;
use serde::Deserialize;

use super::live::{Word, encoding, fatal_close};
use crate::live::events::Refusal;
use crate::live::settings::{Settings, Turns, param};
use crate::live::{Frame, Habits, Heard, LiveFault, LiveTranscriber, Outgoing, Plan, Query};
use crate::live::{bytes_in, milliseconds, silence, spaced};

/// The bounds of `eot_timeout_ms`.
const TIMEOUT_MS: (u64, u64) = (500, 60_000);
/// The timeout where the client commits: as short as may be, since every commit waits for it.
const COMMIT_TIMEOUT_MS: u64 = 500;
/// Silence behind a commit: the timeout and what the vendor needs to notice.
const COMMIT_SILENCE_MS: u64 = 900;
/// Speech that has begun is noticed within this.
const ONSET_MS: u64 = 2_000;

/// Whether a model is one of this language.
pub(super) fn is_flux(model: &str) -> bool {
    model.starts_with("flux")
}

/// The socket for a configuration.
///
/// # Errors
/// Names the field that Flux cannot serve.
pub(super) fn plan(settings: &Settings) -> Result<Plan, Refusal> {
    let (encoding, rate) = encoding(settings.format);
    let mut query =
        Query::at("/v2/listen").with("model", &settings.model).with("encoding", encoding).with("sample_rate", rate);
    query = match settings.turns {
        None => query.with("eot_timeout_ms", COMMIT_TIMEOUT_MS),
        Some(Turns::Silence { silence_duration_ms, .. }) => {
            query.with("eot_timeout_ms", silence_duration_ms.clamp(TIMEOUT_MS.0, TIMEOUT_MS.1))
        }
        Some(Turns::Meaning("low")) => query.with("eot_threshold", "0.85"),
        Some(Turns::Meaning("high")) => query.with("eot_threshold", "0.55"),
        Some(Turns::Meaning(_)) => query.with("eot_threshold", "0.7"),
    };
    query = query.with_each("keyterm", &settings.keywords);
    if settings.model.ends_with("multi") {
        query = query.with_each("language_hint", settings.spoken());
    } else if settings.spoken().any(|language| language != "en" && !language.starts_with("en-")) {
        let message = format!("Deepgram's '{}' knows English only; 'flux-general-multi' knows more.", settings.model);
        return Err(Refusal::value(param::LANGUAGE, message));
    }
    Ok(Plan { endpoint: query.endpoint(), audio: settings.format, greeting: None })
}

/// One socket of `/v2/listen`.
#[derive(Debug)]
pub(super) struct Flux {
    audio: RealtimeFormat,
    /// Bytes sent, silence included.
    sent: u64,
    /// Where commits stand in them, oldest first, in milliseconds.
    commits: std::collections::VecDeque<u64>,
    /// A turn is open.
    speaking: bool,
    /// The turn that is awaited; an older one is a repetition.
    turn: u64,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Message {
    Connected,
    TurnInfo(Box<TurnInfo>),
    Error {
        code: Option<String>,
        description: Option<String>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct TurnInfo {
    #[serde(default)]
    event: String,
    turn_index: Option<u64>,
    audio_window_end: Option<f64>,
    #[serde(default)]
    transcript: String,
    #[serde(default)]
    words: Vec<Word>,
}

impl Flux {
    /// A socket that has just been opened.
    pub(super) fn new(settings: &Settings) -> Self {
        Self { audio: settings.format, sent: 0, commits: std::collections::VecDeque::new(), speaking: false, turn: 0 }
    }

    fn turn_info(&mut self, info: TurnInfo, heard: &mut Vec<Heard>) {
        if info.turn_index.is_some_and(|turn| turn < self.turn) {
            return;
        }
        let end = milliseconds(info.audio_window_end);
        let from_ms = info.words.first().and_then(|word| milliseconds(word.start));
        let text = spaced(&info.transcript);
        if info.event == "EndOfTurn" {
            self.turn = info.turn_index.map_or(self.turn, |turn| turn.saturating_add(1));
            self.speaking = false;
            heard.push(Heard::Settled { text, from_ms, to_ms: end });
            heard.push(Heard::Ended { at_ms: end });
        } else if text.is_empty() {
            let to_ms = end.map(|end| end.saturating_sub(ONSET_MS));
            heard.push(Heard::Settled { text: String::new(), from_ms: None, to_ms });
        } else {
            if !self.speaking {
                self.speaking = true;
                heard.push(Heard::Started { at_ms: from_ms });
            }
            heard.push(Heard::Interim { text, from_ms });
        }
        self.answer_commits(end, heard);
    }

    /// The commits before the end of the window are answered, unless a turn is still open.
    fn answer_commits(&mut self, end: Option<u64>, heard: &mut Vec<Heard>) {
        while !self.speaking && self.commits.front().is_some_and(|at| end.is_some_and(|end| end >= *at)) {
            self.commits.pop_front();
            heard.push(Heard::Committed);
        }
    }
}

impl LiveTranscriber for Flux {
    fn habits(&self) -> Habits {
        Habits {
            greets: true,
            keep_alive_ms: 10_000,
            commit_answer_ms: 5_000,
            drain_ms: 5_000,
            stall_ms: Some(15_000),
            quiet_ms: None,
            tail_ms: ONSET_MS,
        }
    }

    fn audio(&mut self, bytes: Vec<u8>, out: &mut Vec<Outgoing>) {
        self.sent += bytes.len() as u64;
        out.push(Outgoing { audio_bytes: bytes.len(), frame: Frame::Binary(bytes) });
    }

    fn commit(&mut self, _pending: u64, out: &mut Vec<Outgoing>) {
        // The vendor hears the end of the audio and half of the silence before it answers.
        self.commits.push_back(self.audio.duration_ms(self.sent) + COMMIT_SILENCE_MS / 3);
        self.sent += bytes_in(self.audio, COMMIT_SILENCE_MS);
        let bytes = silence(self.audio, COMMIT_SILENCE_MS);
        out.push(Outgoing { audio_bytes: bytes.len(), frame: Frame::Binary(bytes) });
    }

    fn keep_alive(&mut self, out: &mut Vec<Outgoing>) {
        out.push(Outgoing { frame: Frame::Ping, audio_bytes: 0 });
    }

    fn close(&mut self, out: &mut Vec<Outgoing>) {
        out.push(Outgoing::text(r#"{"type":"CloseStream"}"#));
    }

    fn goodbye(&mut self, out: &mut Vec<Outgoing>) {
        self.close(out);
    }

    fn read(&mut self, frame: &str, heard: &mut Vec<Heard>) {
        match serde_json::from_str(frame) {
            Ok(Message::Connected) => heard.push(Heard::Ready),
            Ok(Message::TurnInfo(info)) => self.turn_info(*info, heard),
            Ok(Message::Error { code, description }) => {
                let text = [code, description].into_iter().flatten().collect::<Vec<_>>().join(": ");
                heard.push(Heard::Failed(LiveFault::upstream(format!("Deepgram: {text}"))));
            }
            Ok(Message::Other) | Err(_) => {}
        }
    }

    fn closed(&self, code: u16, reason: &str) -> Option<LiveFault> {
        fatal_close(code, reason)
    }
}
