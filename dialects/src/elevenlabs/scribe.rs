//! What Scribe answers: one transcript, or one for each channel.
//!
//! Read leniently: fields may be missing or null, kinds of words unknown.

use domain::language::Language;
use domain::transcription::{Segment, Transcript, Word};
use serde::Deserialize;
use serde_json::Value;

use crate::error::DialectError;
use crate::openai::usage::milliseconds;
use crate::segments::{SpokenWord, joined, segments, speaker_label, speakers};

/// How the speakers of an answer are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// Not at all, since nobody asked who speaks. The provider tells one all the same.
    Nobody,
    /// As `OpenAI` does.
    Letters,
    /// By the roles that the provider found.
    Roles,
}

/// An answer.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    single: Channel,
    #[serde(default)]
    transcripts: Option<Vec<Channel>>,
    #[serde(default)]
    audio_duration_secs: Option<f64>,
    #[serde(default)]
    entities: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Channel {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    language_code: Option<String>,
    #[serde(default)]
    words: Option<Vec<Token>>,
}

#[derive(Debug, Deserialize)]
struct Token {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    start: Option<f64>,
    #[serde(default)]
    end: Option<f64>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    speaker_id: Option<String>,
}

/// Reads an answer.
///
/// # Errors
/// [`DialectError::Upstream`] when it holds no transcript. What it holds instead is not repeated.
pub(super) fn read(body: &[u8]) -> Result<Answer, DialectError> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| DialectError::Upstream("not a transcript in JSON".to_owned()))?;
    let has_text = answer.single.text.is_some() || answer.transcripts.as_ref().is_some_and(|list| !list.is_empty());
    has_text.then_some(answer).ok_or_else(|| DialectError::Upstream("an answer without a transcript".to_owned()))
}

impl Answer {
    /// Channels that were transcribed, each of which is billed.
    pub(super) fn channels(&self) -> u64 {
        self.transcripts.as_ref().map_or(1, |list| list.len().max(1) as u64)
    }

    /// Entities that were found, where they were asked for.
    pub(super) fn entities(&self) -> Option<&Value> {
        self.entities.as_ref().filter(|entities| entities.is_array())
    }

    /// The transcript. Where there are several channels, each is a speaker.
    pub(super) fn transcript(&self, named: Named) -> Transcript {
        let mut transcript = match &self.transcripts {
            Some(channels) if !channels.is_empty() => by_channel(channels),
            _ => self.single.transcript(named),
        };
        transcript.duration_ms = self.audio_duration_secs.and_then(milliseconds);
        transcript
    }
}

impl Channel {
    fn transcript(&self, named: Named) -> Transcript {
        let (mut spoken, words) = self.words(None);
        if named == Named::Nobody {
            spoken.iter_mut().for_each(|word| word.speaker = None);
        }
        // Nobody told from nobody is one speaker.
        if named != Named::Nobody && speakers(&spoken).is_empty() {
            spoken.iter_mut().for_each(|word| word.speaker = Some(String::new()));
        }
        let mut segments = segments(&spoken);
        if named == Named::Roles {
            by_role(&mut segments, &speakers(&spoken));
        }
        let text = self.text.as_deref().unwrap_or_default().trim().to_owned();
        Transcript { text, language: self.language(), duration_ms: None, segments, words }
    }

    fn language(&self) -> Option<String> {
        let code = self.language_code.as_deref().filter(|code| !code.is_empty())?;
        Some(Language::find(code).map_or(code, |language| language.name).to_owned())
    }

    /// What was said, sounds included, and the words alone. `speaker` is everybody on this channel.
    fn words(&self, speaker: Option<&str>) -> (Vec<SpokenWord>, Vec<Word>) {
        let text = self.text.as_deref().unwrap_or_default();
        let (mut spoken, mut words): (Vec<SpokenWord>, Vec<Word>) = (Vec::new(), Vec::new());
        let (mut place, mut now) = (0, 0.0);
        for token in self.words.iter().flatten() {
            let said = token.text.as_deref().unwrap_or_default().trim();
            if said.is_empty() || token.kind.as_deref() == Some("spacing") {
                continue;
            }
            // Where the text goes on without a space, as in Chinese, so do the segments.
            let found = text.get(place..).and_then(|rest| rest.find(said));
            place += found.map_or(0, |at| at + said.len());
            let start = token.start.unwrap_or(now);
            now = token.end.unwrap_or(start).max(start);
            let word = SpokenWord {
                text: said.to_owned(),
                start,
                end: now,
                speaker: speaker.or(token.speaker_id.as_deref()).map(str::to_owned),
                glued: found == Some(0) && !spoken.is_empty(),
            };
            if token.kind.as_deref() != Some("audio_event") {
                words.push(Word::from(&word));
            }
            spoken.push(word);
        }
        (spoken, words)
    }
}

/// Channels become one conversation: segments and words by their time, each channel a speaker.
fn by_channel(channels: &[Channel]) -> Transcript {
    let (mut stretches, mut words): (Vec<SpokenWord>, Vec<Word>) = (Vec::new(), Vec::new());
    for (index, channel) in channels.iter().enumerate() {
        let name = index.to_string();
        let (spoken, mut own) = channel.words(Some(&name));
        words.append(&mut own);
        let stretch =
            |text: String, start, end| SpokenWord { text, start, end, speaker: Some(name.clone()), glued: false };
        stretches.extend(segments(&spoken).into_iter().map(|made| stretch(made.text, made.start, made.end)));
        let text = channel.text.as_deref().unwrap_or_default().trim();
        if spoken.is_empty() && !text.is_empty() {
            stretches.push(stretch(text.to_owned(), 0.0, 0.0));
        }
    }
    stretches.sort_by(|a, b| a.start.total_cmp(&b.start));
    words.sort_by(|a, b| a.start.total_cmp(&b.start));
    let heard = speakers(&stretches);
    let segments = stretches.iter().zip(0..).map(|(stretch, id)| Segment {
        id,
        start: stretch.start,
        end: stretch.end,
        text: stretch.text.clone(),
        speaker: heard.iter().position(|heard| Some(*heard) == stretch.speaker.as_deref()).map(speaker_label),
    });
    Transcript {
        text: joined(&stretches),
        language: channels.iter().find_map(Channel::language),
        duration_ms: None,
        segments: segments.collect(),
        words,
    }
}

/// Labels give way to the names that the provider gave.
fn by_role(segments: &mut [Segment], heard: &[&str]) {
    for segment in segments {
        let place = (0..heard.len()).find(|place| segment.speaker.as_deref() == Some(&speaker_label(*place)));
        if let Some(role) = place.and_then(|place| heard.get(place)) {
            segment.speaker = Some((*role).to_owned());
        }
    }
}
