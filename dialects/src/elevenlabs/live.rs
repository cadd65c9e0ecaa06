//! ElevenLabs' realtime Scribe: partial transcripts of a segment, and its committed transcript.
//!
//! Everything travels as JSON in text frames. A commit needs 0.3 s of audio, a silent socket is closed after
//! some seconds whatever is pinged, and a commit is told twice where times are asked for, which they are not
//! here.
//!
//! Source: ElevenLabs' API reference (`AsyncAPI` document) and SDKs, read 2026-11-21.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::audio::{RealtimeFormat, SampleRate};
use serde::Deserialize;
use serde_json::json;

use crate::live::events::Refusal;
use crate::live::settings::{Settings, Turns, param};
use crate::live::{Frame, Habits, Heard, LiveFault, LiveOpener, LiveTranscriber, Outgoing, Plan, Query};
use crate::live::{bytes_in, silence, spaced};

/// Audio that a commit needs.
const LEAST_COMMIT_MS: u64 = 300;
/// Silence that keeps a socket open.
const KEEP_ALIVE_MS: u64 = 100;
/// The bounds of the words to listen for.
const MAX_KEYTERMS: usize = 50;
const MAX_KEYTERM_CHARS: usize = 20;
/// The longest text that goes before the first chunk.
const MAX_PREVIOUS_CHARS: usize = 50;

/// Opens realtime Scribe.
#[derive(Debug)]
pub struct ElevenlabsLive;

impl LiveOpener for ElevenlabsLive {
    fn plan(&self, settings: &Settings) -> Result<Plan, Refusal> {
        let audio = audio(settings.format);
        check(settings)?;
        let mut query = Query::at("/v1/speech-to-text/realtime").with("model_id", &settings.model);
        query = match audio {
            RealtimeFormat::Pcm16(rate) => query.with("audio_format", format!("pcm_{}", rate.0)),
            RealtimeFormat::Pcmu | RealtimeFormat::Pcma => query.with("audio_format", "ulaw_8000"),
        };
        query = match settings.turns {
            None => query.with("commit_strategy", "manual"),
            Some(Turns::Silence { threshold, silence_duration_ms, .. }) => query
                .with("commit_strategy", "vad")
                .with("vad_silence_threshold_secs", silence_secs(silence_duration_ms))
                .with("vad_threshold", threshold.clamp(0.1, 0.9)),
            Some(Turns::Meaning(_)) => {
                let message = format!("ElevenLabs' '{}' finds turns by 'server_vad' only.", settings.model);
                return Err(Refusal::value(param::TURNS, message));
            }
        };
        let mut languages = settings.spoken();
        if let Some(language) = languages.next() {
            query = query.with("language_code", bare(language));
        }
        for language in languages {
            query = query.with("secondary_languages", bare(language));
        }
        if settings.noise_reduction.is_some() {
            query = query.with("filter_background_audio", true);
        }
        query = query.with_each("keyterms", &settings.keywords);
        Ok(Plan { endpoint: query.endpoint(), audio, greeting: None })
    }

    fn transcriber(&self, settings: &Settings) -> Box<dyn LiveTranscriber> {
        Box::new(Scribe {
            audio: audio(settings.format),
            previous: settings.prompt.clone(),
            commits: 0,
            silence_ms: settings.silence_ms().unwrap_or(LEAST_COMMIT_MS),
        })
    }
}

/// Scribe takes all but A-law, which becomes what it stands for.
fn audio(format: RealtimeFormat) -> RealtimeFormat {
    match format {
        RealtimeFormat::Pcma => RealtimeFormat::Pcm16(SampleRate(8000)),
        format => format,
    }
}

fn check(settings: &Settings) -> Result<(), Refusal> {
    let long = |text: &String| text.chars().count() > MAX_KEYTERM_CHARS;
    if settings.keywords.len() > MAX_KEYTERMS || settings.keywords.iter().any(long) {
        let message =
            format!("ElevenLabs takes at most {MAX_KEYTERMS} keywords of at most {MAX_KEYTERM_CHARS} characters.");
        return Err(Refusal::value(param::KEYWORDS, message));
    }
    if settings.prompt.as_ref().is_some_and(|prompt| prompt.chars().count() > MAX_PREVIOUS_CHARS) {
        let message = format!("ElevenLabs takes a prompt of at most {MAX_PREVIOUS_CHARS} characters.");
        return Err(Refusal::value(param::PROMPT, message));
    }
    Ok(())
}

fn silence_secs(ms: u64) -> f64 {
    ms.clamp(300, 3000) as f64 / 1000.0
}

/// A language without its region, which Scribe refuses.
fn bare(language: &str) -> &str {
    language.split(['-', '_']).next().unwrap_or(language)
}

/// One socket of realtime Scribe.
#[derive(Debug)]
struct Scribe {
    audio: RealtimeFormat,
    /// What was said before, for the first chunk.
    previous: Option<String>,
    /// Commits that are not answered.
    commits: u32,
    silence_ms: u64,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    message_type: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    error: String,
}

impl Scribe {
    fn chunk(&mut self, audio: &[u8], commit: bool, out: &mut Vec<Outgoing>) {
        let rate = match self.audio {
            RealtimeFormat::Pcm16(rate) => rate.0,
            RealtimeFormat::Pcmu | RealtimeFormat::Pcma => 8000,
        };
        let mut message = json!({
            "message_type": "input_audio_chunk", "audio_base_64": STANDARD.encode(audio),
            "commit": commit, "sample_rate": rate,
        });
        if let (Some(previous), Some(fields)) = (self.previous.take(), message.as_object_mut()) {
            fields.insert("previous_text".to_owned(), previous.into());
        }
        out.push(Outgoing { frame: Frame::Text(message.to_string()), audio_bytes: audio.len() });
    }

    fn committed(&mut self, text: &str, heard: &mut Vec<Heard>) {
        heard.push(Heard::Settled { text: spaced(text), from_ms: None, to_ms: None });
        if self.commits > 0 {
            self.commits -= 1;
            heard.push(Heard::Committed);
        } else {
            heard.push(Heard::Ended { at_ms: None });
        }
    }

    fn failed(&mut self, kind: &str, text: &str, heard: &mut Vec<Heard>) {
        let text = format!("ElevenLabs: {kind}: {text}");
        heard.push(match kind {
            "commit_throttled" => {
                self.commits = self.commits.saturating_sub(1);
                Heard::CommitFailed(LiveFault::upstream(text))
            }
            // The vendor closes next; a new socket goes on.
            "insufficient_audio_activity" => return,
            "session_time_limit_exceeded" => Heard::Leaving { within_ms: 0 },
            "auth_error" => Heard::Failed(LiveFault::credential()),
            "quota_exceeded" | "rate_limited" | "resource_exhausted" | "queue_overflow" => {
                Heard::Failed(LiveFault::limited(text))
            }
            "invalid_request" | "input_error" | "chunk_size_exceeded" => Heard::Failed(LiveFault::invalid(text)),
            _ => Heard::Failed(LiveFault::upstream(text)),
        });
    }
}

impl LiveTranscriber for Scribe {
    fn habits(&self) -> Habits {
        Habits {
            greets: true,
            keep_alive_ms: 5_000,
            commit_answer_ms: 8_000,
            drain_ms: 3_000,
            stall_ms: None,
            quiet_ms: None,
            // What a committed transcript ends with is the silence that committed it.
            tail_ms: self.silence_ms.clamp(300, 3000),
        }
    }

    fn audio(&mut self, bytes: Vec<u8>, out: &mut Vec<Outgoing>) {
        self.chunk(&bytes, false, out);
    }

    fn commit(&mut self, pending: u64, out: &mut Vec<Outgoing>) {
        let least = bytes_in(self.audio, LEAST_COMMIT_MS);
        if pending < least {
            let missing = self.audio.duration_ms(least - pending) + 20;
            let silence = silence(self.audio, missing);
            self.chunk(&silence, false, out);
        }
        self.commits += 1;
        self.chunk(&[], true, out);
    }

    fn keep_alive(&mut self, out: &mut Vec<Outgoing>) {
        let silence = silence(self.audio, KEEP_ALIVE_MS);
        self.chunk(&silence, false, out);
    }

    /// There is no word for the end: what is open is committed, and the socket left after the answer.
    fn close(&mut self, out: &mut Vec<Outgoing>) {
        self.commit(0, out);
    }

    fn read(&mut self, frame: &str, heard: &mut Vec<Heard>) {
        let Ok(message) = serde_json::from_str::<Message>(frame) else { return };
        match message.message_type.as_str() {
            "session_started" => heard.push(Heard::Ready),
            "partial_transcript" | "final_transcript" => {
                heard.push(Heard::Interim { text: spaced(&message.text), from_ms: None });
            }
            "committed_transcript" => self.committed(&message.text, heard),
            kind if !message.error.is_empty() => self.failed(kind, &message.error, heard),
            // Among them the copies of what was told already: with times, entities, edits.
            _ => {}
        }
    }

    fn closed(&self, code: u16, reason: &str) -> Option<LiveFault> {
        let fatal = matches!(code, 1002 | 1003 | 1007 | 1008 | 1009);
        fatal.then(|| LiveFault::upstream(format!("ElevenLabs closed the connection: {code} {reason}")))
    }
}
