//! What is being made in a session and has not been reported yet, so that no turn goes without a
//! record and no quantity is made up.
//!
//! Providers report what a turn used. Where one does not, the audio that passed is all that is known:
//! it is recorded as an estimate, and has a cost only where the model is priced by time.

use std::collections::VecDeque;

use dialects::contract::TurnUsage;
use domain::usage::{Usage, UsageSource};
use memchr::{memchr, memmem};
use serde::Deserialize;

/// 16-bit samples at 24 kHz.
const PCM_BYTES_PER_MS: u64 = 48;
/// The telephone's codes: 8-bit samples at 8 kHz.
const G711_BYTES_PER_MS: u64 = 8;

/// Utterances whose lengths are kept apart; what is said beyond them counts to the last.
const MAX_UTTERANCES: usize = 256;

/// The turns of one session that are open, and the audio that belongs to them.
#[derive(Debug)]
pub struct Turns {
    /// The client wants a response and none has begun.
    asked: bool,
    /// Responses that the provider has begun and not ended.
    responses: u32,
    /// Something of a response has been delivered.
    delivered: bool,
    /// Bytes of the utterances whose transcripts are awaited, oldest first.
    utterances: VecDeque<u64>,
    input_bytes_per_ms: u64,
    output_bytes_per_ms: u64,
    /// Bytes appended and not yet part of an utterance.
    uncommitted: u64,
    /// Bytes of utterances since the last response was recorded.
    heard: u64,
    /// Bytes of audio in the response so far.
    spoken: u64,
    /// Milliseconds of audio, in and out, of the responses that are over.
    passed: (u64, u64),
}

/// Where an event of a session's configuration has the formats: `OpenAI`'s present shape and its older one.
#[derive(Deserialize)]
struct Configured<'a> {
    #[serde(borrow)]
    session: Option<Formats<'a>>,
}

#[derive(Deserialize)]
struct Formats<'a> {
    #[serde(borrow)]
    audio: Option<Audio<'a>>,
    input_audio_format: Option<&'a str>,
    output_audio_format: Option<&'a str>,
}

#[derive(Deserialize)]
struct Audio<'a> {
    #[serde(borrow)]
    input: Option<Direction<'a>>,
    #[serde(borrow)]
    output: Option<Direction<'a>>,
}

#[derive(Deserialize)]
struct Direction<'a> {
    #[serde(borrow)]
    format: Option<Format<'a>>,
}

impl<'a> Direction<'a> {
    fn kind(self) -> Option<&'a str> {
        self.format?.kind
    }
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: Option<&'a str>,
}

/// What a session's end has cut short.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The response that was being made.
    pub response: Option<Usage>,
    /// The utterances whose transcripts had not come, oldest first.
    pub utterances: Vec<Usage>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            asked: false,
            responses: 0,
            delivered: false,
            utterances: VecDeque::new(),
            input_bytes_per_ms: PCM_BYTES_PER_MS,
            output_bytes_per_ms: PCM_BYTES_PER_MS,
            uncommitted: 0,
            heard: 0,
            spoken: 0,
            passed: (0, 0),
        }
    }
}

impl Turns {
    /// An event of this type goes to the provider.
    pub fn client(&mut self, kind: &str, event: &str) {
        match kind {
            "input_audio_buffer.append" => self.uncommitted += audio_bytes(event, b"\"audio\""),
            "response.create" => self.asked = true,
            _ => {}
        }
    }

    /// An event of this type came from the provider, which `transcribes` an utterance that ends now.
    pub fn upstream(&mut self, kind: &str, event: &str, transcribes: bool) {
        match kind {
            "response.created" => {
                self.asked = false;
                self.responses += 1;
            }
            // What the client asked for may just have been refused; if not, `response.created` follows.
            "error" => self.asked = false,
            "input_audio_buffer.committed" => {
                let utterance = std::mem::take(&mut self.uncommitted);
                self.heard += utterance;
                if transcribes {
                    self.await_transcript(utterance);
                }
            }
            "input_audio_buffer.cleared" => self.uncommitted = 0,
            "conversation.item.input_audio_transcription.failed" => drop(self.transcribed()),
            "session.created"
            | "session.updated"
            | "transcription_session.created"
            | "transcription_session.updated" => {
                self.configured(event);
            }
            delta if delta.starts_with("response.") && delta.ends_with(".delta") => {
                self.delivered = true;
                if delta.ends_with("audio.delta") {
                    self.spoken += audio_bytes(event, b"\"delta\"");
                }
            }
            _ => {}
        }
    }

    /// The provider has ended a turn: what is recorded of it. `None` where it made nothing.
    pub fn settle(&mut self, turn: &TurnUsage) -> Option<(Usage, UsageSource)> {
        let (counted, delivered) = if turn.model.is_some() {
            (self.transcribed().unwrap_or_default(), true)
        } else {
            let delivered = self.delivered;
            self.responses = self.responses.saturating_sub(1);
            self.asked = false;
            (self.take_response(), delivered)
        };
        if turn.reported {
            // Cancelled before anything was made: the provider counts nothing.
            let source = if turn.estimated { UsageSource::Estimated } else { UsageSource::Reported };
            return (turn.completed || turn.usage != Usage::default()).then_some((turn.usage, source));
        }
        (turn.completed || delivered).then_some((counted, UsageSource::Estimated))
    }

    /// Milliseconds of audio, in and out, of the responses that are over, whoever counts them.
    #[must_use]
    pub fn passed(&self) -> (u64, u64) {
        self.passed
    }

    /// Whether the provider owes a report.
    #[must_use]
    pub fn open(&self) -> bool {
        self.responding() || !self.utterances.is_empty()
    }

    /// Whether the provider makes a response, or is asked for one.
    #[must_use]
    pub fn responding(&self) -> bool {
        self.asked || self.responses > 0
    }

    /// The session ends and nothing more will be reported: what is recorded of the turns that the
    /// provider had begun.
    pub fn cut(&mut self) -> Cut {
        let begun = std::mem::take(&mut self.responses) > 0;
        let response = begun.then(|| self.take_response());
        self.asked = false;
        Cut { response, utterances: std::iter::from_fn(|| self.transcribed()).collect() }
    }

    fn take_response(&mut self) -> Usage {
        self.delivered = false;
        let audio_in_ms = std::mem::take(&mut self.heard) / self.input_bytes_per_ms;
        let audio_out_ms = std::mem::take(&mut self.spoken) / self.output_bytes_per_ms;
        self.passed = (self.passed.0.saturating_add(audio_in_ms), self.passed.1.saturating_add(audio_out_ms));
        Usage { audio_in_ms, audio_out_ms, ..Usage::default() }
    }

    fn await_transcript(&mut self, bytes: u64) {
        let full = self.utterances.len() >= MAX_UTTERANCES;
        match self.utterances.back_mut().filter(|_| full) {
            Some(last) => *last += bytes,
            None => self.utterances.push_back(bytes),
        }
    }

    /// The oldest utterance is done with.
    fn transcribed(&mut self) -> Option<Usage> {
        let bytes = self.utterances.pop_front()?;
        Some(Usage { audio_in_ms: bytes / self.input_bytes_per_ms, ..Usage::default() })
    }

    /// A configuration that cannot be read changes nothing: the client and the provider know better.
    fn configured(&mut self, event: &str) {
        let Ok(Configured { session: Some(session) }) = serde_json::from_str::<Configured<'_>>(event) else { return };
        let (mut input, mut output) = (session.input_audio_format, session.output_audio_format);
        if let Some(audio) = session.audio {
            input = audio.input.and_then(Direction::kind).or(input);
            output = audio.output.and_then(Direction::kind).or(output);
        }
        self.input_bytes_per_ms = input.map_or(self.input_bytes_per_ms, bytes_per_ms);
        self.output_bytes_per_ms = output.map_or(self.output_bytes_per_ms, bytes_per_ms);
    }
}

fn bytes_per_ms(format: &str) -> u64 {
    if format.contains("pcmu") || format.contains("pcma") || format.starts_with("g711") {
        G711_BYTES_PER_MS
    } else {
        PCM_BYTES_PER_MS
    }
}

/// Bytes behind the base64 string at a quoted name; 0 where there is none.
fn audio_bytes(event: &str, name: &[u8]) -> u64 {
    let text = || {
        let value = event.as_bytes().get(memmem::find(event.as_bytes(), name)? + name.len()..)?;
        let value = value.get(memchr(b'"', value)? + 1..)?;
        value.get(..memchr(b'"', value)?)
    };
    let text: &[u8] = text().unwrap_or_default();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    u64::try_from((text.len() / 4 * 3).saturating_sub(padding)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a second of silence at 24 kHz.
    const HALF_A_SECOND: usize = 32_000;

    fn append(turns: &mut Turns, characters: usize) {
        let event = format!(r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#, "A".repeat(characters));
        turns.client("input_audio_buffer.append", &event);
    }

    fn say(turns: &mut Turns, characters: usize) {
        let delta = "A".repeat(characters);
        let event = format!(r#"{{"type":"response.output_audio.delta","delta":"{delta}","content_index":0}}"#);
        turns.upstream("response.output_audio.delta", &event, true);
    }

    fn turn(model: Option<&str>, completed: bool) -> TurnUsage {
        TurnUsage {
            usage: Usage::default(),
            model: model.map(str::to_owned),
            completed,
            reported: false,
            estimated: false,
        }
    }

    fn audio(audio_in_ms: u64, audio_out_ms: u64) -> Usage {
        Usage { audio_in_ms, audio_out_ms, ..Usage::default() }
    }

    #[test]
    fn a_response_without_a_report_is_the_audio_that_passed() {
        let mut turns = Turns::default();
        append(&mut turns, HALF_A_SECOND);
        turns.upstream("input_audio_buffer.committed", "{}", false);
        append(&mut turns, HALF_A_SECOND);
        turns.upstream("response.created", "{}", false);
        say(&mut turns, HALF_A_SECOND);
        say(&mut turns, HALF_A_SECOND);
        assert!(turns.open());
        assert_eq!(turns.settle(&turn(None, true)), Some((audio(500, 1000), UsageSource::Estimated)));
        assert!(!turns.open());
        assert_eq!(turns.settle(&turn(None, true)), Some((audio(0, 0), UsageSource::Estimated)), "counted once");
    }

    #[test]
    fn what_was_cancelled_before_it_spoke_is_nothing() {
        let mut turns = Turns::default();
        turns.upstream("response.created", "{}", true);
        assert_eq!(turns.settle(&turn(None, false)), None);
        let zero = TurnUsage { reported: true, ..turn(None, false) };
        turns.upstream("response.created", "{}", true);
        assert_eq!(turns.settle(&zero), None);
        turns.upstream("response.created", "{}", true);
        turns.upstream("response.output_text.delta", "{}", true);
        assert_eq!(turns.settle(&turn(None, false)), Some((audio(0, 0), UsageSource::Estimated)));
    }

    #[test]
    fn a_transcript_without_a_report_is_its_utterance() {
        let mut turns = Turns::default();
        let updated = r#"{"session":{"audio":{"input":{"format":{"type":"audio/pcmu"}}}}}"#;
        turns.upstream("session.updated", updated, true);
        append(&mut turns, 4 * HALF_A_SECOND / 6);
        turns.upstream("input_audio_buffer.committed", "{}", true);
        assert!(turns.open());
        assert_eq!(
            turns.settle(&turn(Some("whisper-1"), true)),
            Some((audio(1_999, 0), UsageSource::Estimated)),
            "eight bytes are a millisecond"
        );
        assert!(!turns.open());
    }

    #[test]
    fn a_cut_session_keeps_what_had_begun_and_nothing_else() {
        let mut turns = Turns::default();
        turns.client("response.create", "{}");
        assert!(turns.open());
        assert_eq!(turns.cut(), Cut::default(), "the provider had not begun");
        turns.client("response.create", "{}");
        turns.upstream("error", "{}", true);
        assert!(!turns.open(), "the provider refused");
        turns.upstream("response.created", "{}", true);
        say(&mut turns, HALF_A_SECOND);
        assert_eq!(turns.cut(), Cut { response: Some(audio(0, 500)), utterances: vec![] });
        assert!(!turns.open());
    }

    #[test]
    fn a_cleared_buffer_is_no_utterance() {
        let mut turns = Turns::default();
        append(&mut turns, HALF_A_SECOND);
        turns.upstream("input_audio_buffer.cleared", "{}", true);
        turns.upstream("input_audio_buffer.committed", "{}", true);
        assert_eq!(turns.cut().utterances, [audio(0, 0)]);
    }
}
