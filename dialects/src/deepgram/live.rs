//! Deepgram's live transcription (`/v1/listen`): interim and final results over a moving window of audio.
//!
//! An utterance is every final text up to an endpoint. The endpoint is told twice (`speech_final`, and
//! `UtteranceEnd` by the gap between words), may be told for an utterance without words, and may come while
//! its last words are still interim.
//!
//! Source: Deepgram's API reference (`AsyncAPI` document) and SDKs, read 2026-11-21.

use domain::audio::RealtimeFormat;
use serde::Deserialize;

use super::agent;
use super::billing::live_surcharge_percent;
use super::flux;
use super::languages::MULTI;
use crate::live::events::Refusal;
use crate::live::settings::{Settings, Turns, param};
use crate::live::{
    Frame, Habits, Heard, LiveFault, LiveOpener, LiveTranscriber, Outgoing, Plan, Query, milliseconds, spaced,
};

/// The bounds of `utterance_end_ms`.
const UTTERANCE_END_MS: (u64, u64) = (1000, 5000);

/// Opens Deepgram's two languages of live transcription: the model decides which.
#[derive(Debug)]
pub struct DeepgramLive;

impl LiveOpener for DeepgramLive {
    fn plan(&self, settings: &Settings) -> Result<Plan, Refusal> {
        if settings.prompt.is_some() {
            return Err(Refusal::value(param::PROMPT, "Deepgram takes no prompt; name words in 'keywords'."));
        }
        if flux::is_flux(&settings.model) {
            return flux::plan(settings);
        }
        if settings.model.starts_with("whisper") || settings.model.starts_with(agent::MODEL) {
            let message = format!("Deepgram's '{}' does not transcribe live audio.", settings.model);
            return Err(Refusal::value(param::MODEL, message));
        }
        plan(settings)
    }

    fn transcriber(&self, settings: &Settings) -> Box<dyn LiveTranscriber> {
        if flux::is_flux(&settings.model) {
            return Box::new(flux::Flux::new(settings));
        }
        Box::new(Nova::default())
    }

    fn surcharge_percent(&self, settings: &Settings) -> u64 {
        let multilingual = language(settings) == Some(MULTI);
        live_surcharge_percent(&settings.model, !settings.keywords.is_empty(), multilingual)
    }
}

/// The encoding and rate of Deepgram's queries: it takes every format of the client.
pub(super) fn encoding(format: RealtimeFormat) -> (&'static str, u32) {
    match format {
        RealtimeFormat::Pcm16(rate) => ("linear16", rate.0),
        RealtimeFormat::Pcmu => ("mulaw", 8000),
        RealtimeFormat::Pcma => ("alaw", 8000),
    }
}

fn plan(settings: &Settings) -> Result<Plan, Refusal> {
    let (encoding, rate) = encoding(settings.format);
    let mut query = Query::at("/v1/listen")
        .with("model", &settings.model)
        .with("encoding", encoding)
        .with("sample_rate", rate)
        .with("channels", 1)
        .with("interim_results", true)
        .with("punctuate", true)
        .with("smart_format", true);
    if let Some(language) = language(settings) {
        query = query.with("language", language);
    }
    query = match settings.turns {
        None => query.with("endpointing", false),
        Some(Turns::Silence { silence_duration_ms, .. }) => query
            .with("endpointing", silence_duration_ms.max(10))
            .with("utterance_end_ms", silence_duration_ms.clamp(UTTERANCE_END_MS.0, UTTERANCE_END_MS.1))
            .with("vad_events", true),
        Some(Turns::Meaning(_)) => {
            let message = format!("Deepgram's '{}' finds turns by 'server_vad' only.", settings.model);
            return Err(Refusal::value(param::TURNS, message));
        }
    };
    if !settings.keywords.is_empty() && !settings.model.starts_with("nova-3") {
        return Err(Refusal::value(param::KEYWORDS, "Of Deepgram's models only nova-3 and Flux take keywords."));
    }
    query = query.with_each("keyterm", &settings.keywords);
    Ok(Plan { endpoint: query.endpoint(), audio: settings.format, greeting: None })
}

/// Without a language the general models listen for several; the others know English.
fn language(settings: &Settings) -> Option<&str> {
    let mut spoken = settings.spoken();
    let several = matches!(settings.model.as_str(), "nova-3" | "nova-3-general" | "nova-2" | "nova-2-general");
    match (spoken.next(), spoken.next()) {
        (Some(language), None) => Some(language),
        _ if several => Some(MULTI),
        (language, _) => language.map(String::as_str),
    }
}

/// One socket of `/v1/listen`.
#[derive(Debug, Default)]
struct Nova {
    /// When the first word of the utterance began.
    begun_ms: Option<u64>,
    /// The last result was interim and had words.
    interim: bool,
    /// The utterance is over once those words are final.
    ending: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Message {
    Results(Box<Results>),
    SpeechStarted {
        timestamp: Option<f64>,
    },
    UtteranceEnd {
        last_word_end: Option<f64>,
    },
    Error {
        description: Option<String>,
        message: Option<String>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Results {
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    speech_final: bool,
    #[serde(default)]
    from_finalize: bool,
    start: Option<f64>,
    duration: Option<f64>,
    channel: Option<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    #[serde(default)]
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    #[serde(default)]
    transcript: String,
    #[serde(default)]
    words: Vec<Word>,
}

#[derive(Deserialize)]
pub(super) struct Word {
    pub(super) start: Option<f64>,
}

impl LiveTranscriber for Nova {
    fn habits(&self) -> Habits {
        Habits {
            greets: false,
            keep_alive_ms: 4_000,
            commit_answer_ms: 3_000,
            drain_ms: 5_000,
            stall_ms: None,
            quiet_ms: None,
            tail_ms: 1_000,
        }
    }

    fn audio(&mut self, bytes: Vec<u8>, out: &mut Vec<Outgoing>) {
        out.push(Outgoing { audio_bytes: bytes.len(), frame: Frame::Binary(bytes) });
    }

    fn commit(&mut self, _pending: u64, out: &mut Vec<Outgoing>) {
        out.push(Outgoing::text(r#"{"type":"Finalize"}"#));
    }

    fn keep_alive(&mut self, out: &mut Vec<Outgoing>) {
        out.push(Outgoing::text(r#"{"type":"KeepAlive"}"#));
    }

    fn close(&mut self, out: &mut Vec<Outgoing>) {
        out.push(Outgoing::text(r#"{"type":"CloseStream"}"#));
    }

    fn goodbye(&mut self, out: &mut Vec<Outgoing>) {
        self.close(out);
    }

    fn read(&mut self, frame: &str, heard: &mut Vec<Heard>) {
        match serde_json::from_str(frame) {
            Ok(Message::Results(results)) => self.results(*results, heard),
            Ok(Message::SpeechStarted { timestamp }) => heard.push(Heard::Started { at_ms: milliseconds(timestamp) }),
            Ok(Message::UtteranceEnd { last_word_end }) => self.utterance_end(milliseconds(last_word_end), heard),
            Ok(Message::Error { description, message }) => {
                let text = description.or(message).unwrap_or_default();
                heard.push(Heard::Failed(LiveFault::upstream(format!("Deepgram: {text}"))));
            }
            Ok(Message::Other) | Err(_) => {}
        }
    }

    fn closed(&self, code: u16, reason: &str) -> Option<LiveFault> {
        fatal_close(code, reason)
    }
}

/// Audio that it cannot read it will not read on a new socket either.
pub(super) fn fatal_close(code: u16, reason: &str) -> Option<LiveFault> {
    let fatal = matches!(code, 1002 | 1003 | 1007 | 1008 | 1009) || reason.contains("DATA-0000");
    fatal.then(|| LiveFault::upstream(format!("Deepgram closed the connection: {code} {reason}")))
}

impl Nova {
    fn results(&mut self, results: Results, heard: &mut Vec<Heard>) {
        let start = milliseconds(results.start);
        let end = milliseconds(results.start.zip(results.duration).map(|(start, duration)| start + duration));
        let best = results.channel.and_then(|channel| channel.alternatives.into_iter().next());
        let (text, words) = best.map(|best| (best.transcript, best.words)).unwrap_or_default();
        let from_ms = words.first().and_then(|word| milliseconds(word.start)).or(start);
        let text = spaced(&text);
        if !text.is_empty() && self.begun_ms.is_none() {
            self.begun_ms = from_ms;
        }
        if !results.is_final {
            self.interim = !text.is_empty();
            heard.push(Heard::Interim { text, from_ms });
            return;
        }
        self.interim = false;
        heard.push(Heard::Settled { text, from_ms, to_ms: end });
        if results.from_finalize {
            self.end();
            heard.push(Heard::Committed);
        } else if results.speech_final || self.ending {
            self.end();
            heard.push(Heard::Ended { at_ms: end });
        }
    }

    /// It may be about an utterance that ended before the words that are being heard now.
    fn utterance_end(&mut self, last_word_end: Option<u64>, heard: &mut Vec<Heard>) {
        let Some(begun) = self.begun_ms else { return };
        if last_word_end.is_some_and(|end| end < begun) {
            return;
        }
        if self.interim {
            self.ending = true;
            return;
        }
        self.end();
        heard.push(Heard::Ended { at_ms: last_word_end });
    }

    fn end(&mut self) {
        self.begun_ms = None;
        self.ending = false;
    }
}
