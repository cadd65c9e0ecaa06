//! Live sessions at providers that transcribe files only: the gateway cuts the audio into utterances by voice
//! activity and has each transcribed.
//!
//! The socket of this "vendor" is in the gateway. It is told how to cut in the first message, takes audio in
//! binary frames and `commit` and `close` as texts, and answers with [`Cut`]s.

use domain::audio::{RealtimeFormat, SampleRate};
use serde::{Deserialize, Serialize};

use super::events::Refusal;
use super::settings::{Settings, Turns, param};
use super::{Frame, Habits, Heard, LiveFault, LiveOpener, LiveTranscriber, Outgoing, Plan, spaced};
use crate::contract::Endpoint;

/// The rate at which voice activity is detected.
pub const AUDIO: RealtimeFormat = RealtimeFormat::Pcm16(SampleRate(16_000));
/// Everything held is one utterance.
pub const COMMIT: &str = "commit";
/// What is held is the last.
pub const CLOSE: &str = "close";
/// The longest that an utterance takes to be transcribed, retries included.
const ANSWER_MS: u64 = 120_000;

/// How to cut, and what every utterance is asked with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cutting {
    /// Threshold, padding and silence in milliseconds; `None` leaves the cuts to commits.
    pub turns: Option<(f64, u64, u64)>,
    /// The provider's name of the model.
    pub model: String,
    /// The language that is spoken.
    pub language: Option<String>,
    /// Words to listen for.
    pub keywords: Vec<String>,
    /// Text that guides.
    pub prompt: Option<String>,
}

/// What became of the audio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Cut {
    /// Speech began.
    Started {
        /// When.
        at_ms: u64,
    },
    /// An utterance was transcribed.
    Text {
        /// Its text.
        text: String,
        /// When it ended.
        to_ms: u64,
        /// Its length, as the provider was sent it.
        sent_ms: u64,
        /// What ended it.
        end: End,
    },
    /// An utterance could not be transcribed.
    Failed {
        /// `error.code`.
        code: String,
        /// `error.message`.
        message: String,
    },
    /// Nothing is said up to now.
    Silence {
        /// Now.
        to_ms: u64,
    },
}

/// What ended an utterance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Silence.
    Turn,
    /// A commit.
    Commit,
    /// It grew too long and goes on.
    Length,
}

/// Opens sessions of utterances.
#[derive(Debug)]
pub struct Utterances;

impl LiveOpener for Utterances {
    fn plan(&self, settings: &Settings) -> Result<Plan, Refusal> {
        let turns = match settings.turns {
            None => None,
            Some(Turns::Silence { threshold, prefix_padding_ms, silence_duration_ms }) => {
                Some((threshold, prefix_padding_ms, silence_duration_ms))
            }
            Some(Turns::Meaning(_)) => {
                let message = format!("Turns of '{}' are found by 'server_vad' only.", settings.model);
                return Err(Refusal::value(param::TURNS, message));
            }
        };
        let mut spoken = settings.spoken();
        let language = spoken.next().cloned();
        if spoken.next().is_some() {
            return Err(Refusal::value(param::LANGUAGES, format!("'{}' takes one language.", settings.model)));
        }
        let cutting = Cutting {
            turns,
            model: settings.model.clone(),
            language,
            keywords: settings.keywords.clone(),
            prompt: settings.prompt.clone(),
        };
        let greeting = serde_json::to_string(&cutting).map_err(|error| Refusal::value("session", error.to_string()))?;
        Ok(Plan { endpoint: Endpoint::at(""), audio: AUDIO, greeting: Some(greeting) })
    }

    fn transcriber(&self, _settings: &Settings) -> Box<dyn LiveTranscriber> {
        Box::new(Cutter)
    }

    fn by_utterance(&self) -> bool {
        true
    }
}

/// One "socket".
#[derive(Debug)]
struct Cutter;

impl LiveTranscriber for Cutter {
    fn habits(&self) -> Habits {
        Habits {
            greets: false,
            keep_alive_ms: 3_600_000,
            commit_answer_ms: ANSWER_MS,
            drain_ms: ANSWER_MS,
            stall_ms: None,
            quiet_ms: None,
            tail_ms: 0,
        }
    }

    fn audio(&mut self, bytes: Vec<u8>, out: &mut Vec<Outgoing>) {
        // The provider is sent utterances only: those are counted.
        out.push(Outgoing { frame: Frame::Binary(bytes), audio_bytes: 0 });
    }

    fn commit(&mut self, _pending: u64, out: &mut Vec<Outgoing>) {
        out.push(Outgoing::text(COMMIT));
    }

    fn keep_alive(&mut self, _out: &mut Vec<Outgoing>) {}

    fn close(&mut self, out: &mut Vec<Outgoing>) {
        out.push(Outgoing::text(CLOSE));
    }

    fn read(&mut self, frame: &str, heard: &mut Vec<Heard>) {
        match serde_json::from_str(frame) {
            Ok(Cut::Started { at_ms }) => heard.push(Heard::Started { at_ms: Some(at_ms) }),
            Ok(Cut::Text { text, to_ms, sent_ms, end }) => {
                heard.push(Heard::Sent { ms: sent_ms });
                heard.push(Heard::Settled { text: spaced(&text), from_ms: None, to_ms: Some(to_ms) });
                match end {
                    End::Turn => heard.push(Heard::Ended { at_ms: Some(to_ms) }),
                    End::Commit => heard.push(Heard::Committed),
                    End::Length => {}
                }
            }
            Ok(Cut::Failed { code, message }) => {
                let fault = LiveFault::upstream(message);
                let limited = code == "upstream_rate_limited";
                heard.push(Heard::CommitFailed(if limited { LiveFault::limited(fault.message) } else { fault }));
            }
            Ok(Cut::Silence { to_ms }) => {
                heard.push(Heard::Settled { text: String::new(), from_ms: None, to_ms: Some(to_ms) });
            }
            Err(_) => {}
        }
    }

    fn closed(&self, _code: u16, _reason: &str) -> Option<LiveFault> {
        None
    }
}
