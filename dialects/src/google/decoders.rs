//! Audio out of Google's answers, as they arrive.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::usage::Usage;
use memchr::memmem;

use super::gemini_answer::Generated;
use super::wire::UsageMetadata;
use crate::contract::SpeechDecoder;
use crate::error::DialectError;
use crate::openai::errors::clean;
use crate::sse::{Event, Splitter};

/// Bytes before the audio of a clip; real answers have some twenty.
const MAX_HEAD: usize = 64 * 1024;
const NAME: &[u8] = br#""audioContent""#;

/// Finds `audioContent` in the JSON of Cloud Text-to-Speech and decodes it without waiting for its end.
#[derive(Debug, Default)]
pub(super) struct ClipDecoder {
    stage: Stage,
    /// The start of the answer, then letters of base64 that make no whole group yet.
    waiting: Vec<u8>,
    delivered: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before the text that is the audio.
    #[default]
    Head,
    /// Within it.
    Audio,
    /// Within it behind a backslash, with so many letters of the escape taken.
    Escape(u8, u32),
    /// Behind it.
    Behind,
}

impl SpeechDecoder for ClipDecoder {
    fn feed(&mut self, bytes: &[u8], audio: &mut Vec<u8>) -> Result<(), DialectError> {
        match self.stage {
            Stage::Behind => Ok(()),
            Stage::Head => {
                self.waiting.extend_from_slice(bytes);
                let Some(at) = start(&self.waiting)? else { return Ok(()) };
                let rest = self.waiting.split_off(at);
                self.waiting.clear();
                self.stage = Stage::Audio;
                self.letters(&rest, audio)
            }
            Stage::Audio | Stage::Escape(..) => self.letters(bytes, audio),
        }
    }

    fn finish(&mut self, _audio: &mut Vec<u8>) -> Result<(), DialectError> {
        match (self.stage, self.delivered) {
            (Stage::Behind, true) => Ok(()),
            (Stage::Behind, false) => Err(DialectError::Upstream("the provider's clip is empty".to_owned())),
            _ => Err(DialectError::Upstream("the provider's answer ended before its audio did".to_owned())),
        }
    }

    fn usage(&self) -> Option<Usage> {
        None
    }
}

/// Where the audio begins; `None` while that is not here. A quote within a text is escaped, so the
/// quoted name followed by a colon and a quote is nothing but the field.
fn start(head: &[u8]) -> Result<Option<usize>, DialectError> {
    for at in memmem::find_iter(head, NAME) {
        let behind = head.get(at + NAME.len()..).unwrap_or_default();
        let mut rest = behind.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace());
        match (rest.next(), rest.next()) {
            (Some((_, b':')), Some((quote, b'"'))) => return Ok(Some(at + NAME.len() + quote + 1)),
            (Some((_, b':')), None) | (None, _) => return Ok(None),
            _ => {}
        }
    }
    if head.len() > MAX_HEAD {
        return Err(DialectError::Upstream("the provider's answer has no audio".to_owned()));
    }
    Ok(None)
}

impl ClipDecoder {
    /// Letters of the text, of which `=`, `+` and `/` may be escaped.
    fn letters(&mut self, bytes: &[u8], audio: &mut Vec<u8>) -> Result<(), DialectError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Stage::Escape(taken, code) = self.stage {
                let Some((byte, behind)) = rest.split_first() else { break };
                self.escaped(taken, code, *byte)?;
                rest = behind;
                continue;
            }
            let Some(end) = memchr::memchr2(b'"', b'\\', rest) else {
                self.waiting.extend_from_slice(rest);
                break;
            };
            let (letters, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            self.waiting.extend_from_slice(letters);
            if behind.first() == Some(&b'"') {
                self.stage = Stage::Behind;
                break;
            }
            self.stage = Stage::Escape(0, 0);
            rest = behind.get(1..).unwrap_or_default();
        }
        self.decode(audio)
    }

    /// One byte behind a backslash: a slash, or `u` and four digits.
    fn escaped(&mut self, taken: u8, code: u32, byte: u8) -> Result<(), DialectError> {
        let broken = || DialectError::Upstream("the provider's audio is not base64".to_owned());
        if taken == 0 {
            match byte {
                b'/' => {
                    self.waiting.push(byte);
                    self.stage = Stage::Audio;
                }
                b'u' => self.stage = Stage::Escape(1, 0),
                _ => return Err(broken()),
            }
            return Ok(());
        }
        let code = code * 16 + char::from(byte).to_digit(16).ok_or_else(broken)?;
        if taken < 4 {
            self.stage = Stage::Escape(taken + 1, code);
            return Ok(());
        }
        self.waiting.push(u8::try_from(code).map_err(|_| broken())?);
        self.stage = Stage::Audio;
        Ok(())
    }

    fn decode(&mut self, audio: &mut Vec<u8>) -> Result<(), DialectError> {
        let ended = self.stage == Stage::Behind;
        let whole = if ended { self.waiting.len() } else { self.waiting.len() - self.waiting.len() % 4 };
        let rest = self.waiting.split_off(whole);
        let letters = std::mem::replace(&mut self.waiting, rest);
        self.delivered |= !letters.is_empty();
        unpack(&letters, audio)
    }
}

fn unpack(letters: &[u8], audio: &mut Vec<u8>) -> Result<(), DialectError> {
    let broken = |error| DialectError::Upstream(format!("the provider's audio is not base64: {error}"));
    BASE64.decode_vec(letters, audio).map_err(broken)
}

/// Reads the events of a Gemini model that speaks.
#[derive(Debug, Default)]
pub(super) struct SampleDecoder {
    splitter: Splitter,
    state: Samples,
}

#[derive(Debug, Default)]
struct Samples {
    usage: Option<UsageMetadata>,
    finished: Option<String>,
    delivered: bool,
}

impl SpeechDecoder for SampleDecoder {
    fn feed(&mut self, bytes: &[u8], audio: &mut Vec<u8>) -> Result<(), DialectError> {
        let state = &mut self.state;
        self.splitter.feed(bytes, |event| state.take(event, audio))
    }

    fn finish(&mut self, audio: &mut Vec<u8>) -> Result<(), DialectError> {
        let state = &mut self.state;
        self.splitter.finish(|event| state.take(event, audio))?;
        match (self.state.finished.as_deref(), self.state.delivered) {
            (Some("STOP"), true) => Ok(()),
            (Some("STOP"), false) => Err(DialectError::Upstream("the provider said nothing".to_owned())),
            (Some(reason), _) => Err(DialectError::Upstream(format!("the speech is not whole: {}", clean(reason)))),
            (None, _) => Err(DialectError::Upstream("the provider's answer ended before its audio did".to_owned())),
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.state.usage.as_ref().map(UsageMetadata::spoken).filter(Usage::has_tokens)
    }
}

impl Samples {
    fn take(&mut self, event: &Event<'_>, audio: &mut Vec<u8>) -> Result<(), DialectError> {
        let Some(data) = event.data.as_deref().filter(|data| !data.is_empty()) else { return Ok(()) };
        let generated = Generated::read(data)?;
        for sound in generated.parts().filter_map(|part| part.inline_data.as_ref()) {
            if sound.mime_type.as_deref().is_some_and(is_of_another_rate) {
                return Err(DialectError::Upstream("the provider's audio is not at 24 kHz".to_owned()));
            }
            let letters = sound.data.as_deref().unwrap_or_default();
            self.delivered |= !letters.is_empty();
            unpack(letters.as_bytes(), audio)?;
        }
        if let Some(reason) = generated.finish_reason() {
            self.finished = Some(reason.to_owned());
        }
        self.usage = generated.usage_metadata.or(self.usage.take());
        Ok(())
    }
}

/// Whether a type such as `audio/L16;codec=pcm;rate=24000` names a rate that is not ours.
fn is_of_another_rate(mime_type: &str) -> bool {
    mime_type.split(';').filter_map(|part| part.trim().strip_prefix("rate=")).any(|rate| rate != "24000")
}
