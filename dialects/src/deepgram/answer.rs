//! The answer of `POST /v1/listen` as a transcript.
//!
//! Everything is optional: fields may be missing or null, and unknown ones are passed over.

use domain::language::Language;
use domain::transcription::{Segment, Transcript, Word};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::DialectError;
use crate::openai::usage::milliseconds;
use crate::segments::{SpokenWord, segments, speaker_label};

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) transcript: Transcript,
    /// Length times channels, as it is billed.
    pub(super) billed_ms: Option<u64>,
    /// What was asked for beside the transcript.
    pub(super) extras: Map<String, Value>,
}

#[derive(Deserialize)]
struct Answer {
    metadata: Option<Metadata>,
    results: Option<Results>,
}

#[derive(Deserialize)]
struct Metadata {
    duration: Option<f64>,
}

#[derive(Deserialize)]
struct Results {
    channels: Option<Vec<Channel>>,
    utterances: Option<Vec<Utterance>>,
}

#[derive(Deserialize)]
struct Channel {
    alternatives: Option<Vec<Alternative>>,
    detected_language: Option<String>,
    search: Option<Value>,
}

#[derive(Deserialize)]
struct Alternative {
    transcript: Option<String>,
    words: Option<Vec<HeardWord>>,
    languages: Option<Vec<String>>,
    entities: Option<Value>,
}

#[derive(Deserialize)]
struct Utterance {
    start: Option<f64>,
    end: Option<f64>,
    channel: Option<u64>,
    speaker: Option<u64>,
    transcript: Option<String>,
    words: Option<Vec<HeardWord>>,
}

#[derive(Deserialize)]
struct HeardWord {
    word: Option<String>,
    punctuated_word: Option<String>,
    start: Option<f64>,
    end: Option<f64>,
    speaker: Option<u64>,
}

/// Reads the answer. `language` is the one that was asked for, which stands where none was detected.
///
/// # Errors
/// [`DialectError::Upstream`] when it is no transcript. What it was instead is not repeated.
pub(super) fn read(body: &[u8], language: Option<&str>) -> Result<Heard, DialectError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        DialectError::Upstream(format!("not a transcript in JSON (line {line}, column {column})"))
    })?;
    let no_results = || DialectError::Upstream("an answer without `results`".to_owned());
    let results = answer.results.ok_or_else(no_results)?;
    let channels = results.channels.filter(|channels| !channels.is_empty()).ok_or_else(no_results)?;
    let utterances = results.utterances.unwrap_or_default();
    let duration_ms = answer.metadata.and_then(|metadata| metadata.duration).and_then(milliseconds);
    let stretches = stretches(&channels, utterances);
    let (segments, words) = timed(&stretches, channels.len() > 1);
    let transcript = Transcript {
        text: text(&channels, &stretches),
        language: spoken_language(&channels, language),
        duration_ms,
        segments,
        words,
    };
    let billed_ms = duration_ms.map(|ms| ms.saturating_mul(channels.len() as u64));
    Ok(Heard { transcript, billed_ms, extras: extras(channels) })
}

/// Words that belong together: an utterance, or all of a channel where no utterances came.
struct Stretch {
    start: f64,
    end: f64,
    channel: u64,
    speaker: Option<u64>,
    text: String,
    words: Vec<HeardWord>,
}

/// In the order of time.
fn stretches(channels: &[Channel], utterances: Vec<Utterance>) -> Vec<Stretch> {
    if utterances.is_empty() {
        return channels.iter().zip(0..).filter_map(|(channel, index)| whole(channel, index)).collect();
    }
    let stretch = |utterance: Utterance| Stretch {
        start: utterance.start.unwrap_or_default(),
        end: utterance.end.or(utterance.start).unwrap_or_default(),
        channel: utterance.channel.unwrap_or_default(),
        speaker: utterance.speaker,
        text: utterance.transcript.unwrap_or_default(),
        words: utterance.words.unwrap_or_default(),
    };
    let mut stretches: Vec<Stretch> = utterances.into_iter().map(stretch).collect();
    stretches.sort_by(|one, other| one.start.total_cmp(&other.start));
    stretches
}

fn whole(channel: &Channel, index: u64) -> Option<Stretch> {
    let alternative = best(channel)?;
    let words = alternative.words.as_deref().unwrap_or_default();
    let (first, last) = (words.first()?, words.last()?);
    Some(Stretch {
        start: first.start.unwrap_or_default(),
        end: last.end.unwrap_or_default(),
        channel: index,
        speaker: None,
        text: alternative.transcript.clone().unwrap_or_default(),
        words: words.iter().map(HeardWord::again).collect(),
    })
}

fn best(channel: &Channel) -> Option<&Alternative> {
    channel.alternatives.as_ref()?.first()
}

impl HeardWord {
    fn again(&self) -> Self {
        let (word, punctuated_word) = (self.word.clone(), self.punctuated_word.clone());
        Self { word, punctuated_word, start: self.start, end: self.end, speaker: self.speaker }
    }
}

/// One channel has its transcript as it is; of several, what was said comes in the order of time.
fn text(channels: &[Channel], stretches: &[Stretch]) -> String {
    if let [only] = channels {
        return best(only).and_then(|alternative| alternative.transcript.clone()).unwrap_or_default();
    }
    let said = stretches.iter().map(|stretch| stretch.text.trim()).filter(|text| !text.is_empty());
    said.collect::<Vec<_>>().join(" ")
}

/// Who speaks: the channel counts where there are several, the speaker where speakers were told apart.
type Voice = (Option<u64>, Option<u64>);

/// Segments and words in the order of time.
fn timed(stretches: &[Stretch], several_channels: bool) -> (Vec<Segment>, Vec<Word>) {
    let mut heard: Vec<Voice> = Vec::new();
    let (mut all, mut words) = (Vec::new(), Vec::new());
    for stretch in stretches {
        let spoken = spoken(stretch);
        words.extend(spoken.iter().map(|(word, _)| Word::from(word)));
        let channel = several_channels.then_some(stretch.channel);
        if spoken.is_empty() {
            let (start, end, text) = (stretch.start, stretch.end, stretch.text.trim().to_owned());
            let speaker = label(&mut heard, (channel, stretch.speaker));
            all.extend((!text.is_empty()).then_some(Segment { id: 0, start, end, text, speaker }));
        }
        for run in spoken.chunk_by(|one, next| one.1 == next.1) {
            let speaker = label(&mut heard, (channel, run.first().and_then(|(_, speaker)| *speaker)));
            let run: Vec<SpokenWord> = run.iter().map(|(word, _)| word.clone()).collect();
            all.extend(segments(&run).into_iter().map(|segment| Segment { speaker: speaker.clone(), ..segment }));
        }
    }
    for (segment, id) in all.iter_mut().zip(0..) {
        segment.id = id;
    }
    (all, words)
}

/// `A`, `B`, … in the order in which they are first heard; nobody where speakers were not told apart.
fn label(heard: &mut Vec<Voice>, voice: Voice) -> Option<String> {
    if voice == (None, None) {
        return None;
    }
    let index = heard.iter().position(|known| *known == voice).unwrap_or(heard.len());
    if index == heard.len() {
        heard.push(voice);
    }
    Some(speaker_label(index))
}

/// Words with who said them. A word whose speaker is not told belongs to the one before it.
fn spoken(stretch: &Stretch) -> Vec<(SpokenWord, Option<u64>)> {
    let mut speaker = stretch.speaker.or_else(|| stretch.words.iter().find_map(|word| word.speaker));
    let (mut rest, mut end) = (stretch.text.as_str(), stretch.start);
    let mut spoken = Vec::with_capacity(stretch.words.len());
    for word in &stretch.words {
        let Some(text) = word.punctuated_word.as_deref().or(word.word.as_deref()) else { continue };
        let start = word.start.unwrap_or(end);
        end = word.end.unwrap_or(start).max(start);
        speaker = word.speaker.or(speaker);
        let glued = is_glued(&mut rest, text) && !spoken.is_empty();
        spoken.push((SpokenWord { text: text.to_owned(), start, end, speaker: None, glued }, speaker));
    }
    spoken
}

/// Whether the word follows in the text without a space, as in Chinese. The text is read on behind it.
fn is_glued(text: &mut &str, word: &str) -> bool {
    let trimmed = text.trim_start();
    let Some(behind) = trimmed.strip_prefix(word) else { return false };
    let glued = trimmed.len() == text.len();
    *text = behind;
    glued
}

/// The English name in lower case, as OpenAI tells it.
fn spoken_language(channels: &[Channel], asked: Option<&str>) -> Option<String> {
    let first = channels.first();
    let of_words = || first.and_then(best)?.languages.as_ref()?.first().map(String::as_str);
    let told = first.and_then(|channel| channel.detected_language.as_deref()).or_else(of_words).or(asked)?;
    Some(Language::find(told).map_or(told, |language| language.name).to_owned())
}

fn extras(channels: Vec<Channel>) -> Map<String, Value> {
    let mut extras = Map::new();
    for channel in channels {
        let entities = channel.alternatives.unwrap_or_default().into_iter().next().and_then(|best| best.entities);
        append(&mut extras, "search", channel.search);
        append(&mut extras, "entities", entities);
    }
    extras
}

/// Lists of several channels become one.
fn append(extras: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    let Some(Value::Array(more)) = value else { return };
    if let Value::Array(list) = extras.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
        list.extend(more);
    }
}
