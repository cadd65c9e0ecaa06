//! What Cloud Speech-to-Text answers, in both of its versions, and what every answer of Google's becomes.

use std::collections::BTreeMap;

use domain::language::Language;
use domain::provider::Operation;
use domain::transcription::{Segment, Transcript, TranscriptFormat, TranscriptionRequest, Word};
use domain::usage::Usage;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::wire;
use crate::contract::{Reply, UpstreamModel};
use crate::error::DialectError;
use crate::openai::transcription::{render, stream};
use crate::openai::unsupported;
use crate::segments::{self, SpokenWord};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    results: Option<Vec<Stretch>>,
    total_billed_time: Option<String>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    total_billed_duration: Option<String>,
}

/// One stretch of the audio.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stretch {
    alternatives: Option<Vec<Alternative>>,
    /// The end, by either version's name of it.
    #[serde(alias = "resultEndOffset")]
    result_end_time: Option<String>,
    language_code: Option<String>,
    channel_tag: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Alternative {
    transcript: Option<String>,
    words: Option<Vec<HeardWord>>,
}

/// A word by either version's names. What is zero is left out.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct HeardWord {
    #[serde(alias = "startOffset")]
    start_time: Option<String>,
    #[serde(alias = "endOffset")]
    end_time: Option<String>,
    word: Option<String>,
    #[serde(alias = "speaker")]
    speaker_label: Option<Value>,
    speaker_tag: Option<u64>,
}

impl HeardWord {
    pub(super) fn spoken(&self, channel: Option<u64>) -> SpokenWord {
        let time = |text: &Option<String>| text.as_deref().and_then(wire::seconds);
        let start = time(&self.start_time).unwrap_or(0.0);
        let label = self.speaker_label.as_ref().filter(|label| !label.is_null());
        let label = label.map(|label| label.as_str().map_or_else(|| label.to_string(), str::to_owned));
        let tag = self.speaker_tag.filter(|tag| *tag > 0).map(|tag| tag.to_string());
        SpokenWord {
            text: self.word.as_deref().unwrap_or_default().trim().to_owned(),
            start,
            end: time(&self.end_time).unwrap_or(start).max(start),
            speaker: label.filter(|label| !label.is_empty()).or(tag).or_else(|| channel.map(|it| it.to_string())),
            glued: false,
        }
    }

    /// Whether it has a time at all.
    pub(super) fn is_timed(&self) -> bool {
        self.end_time.is_some()
    }
}

/// The answer of either version in the client's words.
pub(super) fn reply(
    operation: Operation,
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    body: &[u8],
) -> Result<Reply, DialectError> {
    let answer = read(body)?;
    let billed = answer.metadata.and_then(|metadata| metadata.total_billed_duration).or(answer.total_billed_time);
    let billed_ms = billed.as_deref().and_then(wire::milliseconds);
    let results = answer.results.unwrap_or_default();
    let text = text(&results);
    let words = words(&results, &text, request.format());
    let segments = if words.is_empty() { stretches(&results) } else { segments::segments(&words) };
    let end = results.iter().filter_map(|result| wire::milliseconds(result.result_end_time.as_deref()?)).max();
    let language = results.iter().find_map(|result| result.language_code.as_deref());
    let transcript = Transcript {
        duration_ms: end.or_else(|| last_end(&segments)).or(billed_ms),
        text,
        language: Some(language_of(language, request)),
        segments,
        words: words.iter().map(Word::from).collect(),
    };
    let usage = billed_ms.map(|audio_in_ms| Usage { audio_in_ms, ..Usage::default() });
    let shown = billed_ms.map(|ms| json!({ "type": "duration", "seconds": ms.div_ceil(1000) }));
    finish(operation, request, model, &transcript, usage, shown)
}

/// Silence is an object without results; what has none of Google's names is none of its answers.
fn read(body: &[u8]) -> Result<Answer, DialectError> {
    const NAMES: [&str; 5] = ["results", "totalBilledTime", "metadata", "requestId", "speechAdaptationInfo"];
    let unreadable = |error: serde_json::Error| DialectError::Upstream(format!("not a recognition in JSON: {error}"));
    let value: Value = serde_json::from_slice(body).map_err(unreadable)?;
    let is_one = value.as_object().is_some_and(|it| it.is_empty() || NAMES.iter().any(|name| it.contains_key(*name)));
    if !is_one {
        return Err(DialectError::Upstream("the JSON is not a recognition".to_owned()));
    }
    serde_json::from_value(value).map_err(unreadable)
}

impl Stretch {
    fn best(&self) -> Option<&Alternative> {
        self.alternatives.as_ref()?.first()
    }

    fn text(&self) -> &str {
        self.best().and_then(|best| best.transcript.as_deref()).unwrap_or_default().trim()
    }

    fn words(&self) -> &[HeardWord] {
        self.best().and_then(|best| best.words.as_deref()).unwrap_or_default()
    }
}

/// The stretches follow one another. With speakers the last may say all of it again.
fn text(results: &[Stretch]) -> String {
    let join = |results: &[Stretch]| {
        results.iter().map(Stretch::text).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    };
    match results.split_last() {
        Some((last, before)) if !before.is_empty() && last.text() == join(before) => join(before),
        _ => join(results),
    }
}

/// Words that have times. With speakers the last stretch repeats them all, now with their speakers.
fn words(results: &[Stretch], text: &str, format: TranscriptFormat) -> Vec<SpokenWord> {
    let channels = results.iter().filter_map(|result| result.channel_tag).any(|channel| channel > 1);
    let of = |result: &Stretch| {
        let channel = result.channel_tag.filter(|_| channels);
        result.words().iter().filter(|word| word.is_timed()).map(|word| word.spoken(channel)).collect::<Vec<_>>()
    };
    let mut words: Vec<SpokenWord> = results.iter().flat_map(of).collect();
    if let Some((last, before)) = results.split_last() {
        let again = of(last);
        let repeats = again.len() * 2 >= words.len() && before.iter().any(|result| !result.words().is_empty());
        let from_start = words.first().zip(again.first()).is_some_and(|(first, again)| again.start <= first.start);
        if repeats && from_start && !channels {
            words = again;
        }
    }
    if channels {
        words.sort_by(|a, b| a.start.total_cmp(&b.start));
    }
    prepare(&mut words, text, format);
    words
}

/// Takes speakers away where nobody asked for them, and finds out which words the text has without a
/// space before them, as Chinese has all of them.
pub(super) fn prepare(words: &mut [SpokenWord], text: &str, format: TranscriptFormat) {
    if format != TranscriptFormat::DiarizedJson {
        words.iter_mut().for_each(|word| word.speaker = None);
    }
    let mut rest = text;
    for word in words.iter_mut() {
        let trimmed = rest.trim_start();
        let Some(behind) = trimmed.strip_prefix(word.text.as_str()) else { continue };
        word.glued = trimmed.len() == rest.len() && rest.len() < text.len() && !word.text.is_empty();
        rest = behind;
    }
}

/// Without words the stretches themselves are what is shown at once.
fn stretches(results: &[Stretch]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for result in results.iter().filter(|result| !result.text().is_empty()) {
        let start = segments.last().map_or(0.0, |before| before.end);
        let Some(end) = result.result_end_time.as_deref().and_then(wire::seconds) else { return Vec::new() };
        let (id, text) = (segments.len() as u64, result.text().to_owned());
        segments.push(Segment { id, start, end: end.max(start), text, speaker: None });
    }
    segments
}

pub(super) fn last_end(segments: &[Segment]) -> Option<u64> {
    crate::openai::usage::milliseconds(segments.iter().map(|segment| segment.end).reduce(f64::max)?)
}

/// The English name of the language that was heard: the one that is told, else the one that was named. Gemini
/// tells none, and OpenAI's clients take no null.
pub(super) fn language_of(told: Option<&str>, request: &TranscriptionRequest) -> String {
    let asked = match (&request.language, request.languages.as_slice()) {
        (Some(only), []) | (None, [only]) => Some(only.as_str()),
        _ => None,
    };
    let name = |tag: &str| Language::find(tag).map_or_else(|| tag.to_ascii_lowercase(), |known| known.name.to_owned());
    told.or(asked).map_or_else(|| "unknown".to_owned(), name)
}

/// A transcript in the format that the client asked for, with what was used where OpenAI tells it.
pub(super) fn finish(
    operation: Operation,
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    transcript: &Transcript,
    usage: Option<Usage>,
    shown: Option<Value>,
) -> Result<Reply, DialectError> {
    let format = request.format();
    let cannot = || unsupported(model, "response_format", &format!("`response_format` {format} for this audio"));
    let mut reply = render(operation, request, transcript).ok_or_else(cannot)?;
    if request.stream {
        reply.body = stream::emulate(transcript, format == TranscriptFormat::DiarizedJson, shown.as_ref());
    } else if let (Some(shown), "application/json") = (shown, reply.content_type) {
        reply.body = with_usage(&reply.body, &shown)?;
    }
    // The length that Google tells is the billed one; otherwise ours is exact.
    (reply.usage, reply.duration_ms) = (usage, None);
    Ok(reply)
}

/// The object with this usage, and everything else as it stands.
fn with_usage(body: &[u8], shown: &Value) -> Result<Vec<u8>, DialectError> {
    let unwritable = |error: serde_json::Error| DialectError::Upstream(format!("no transcript in JSON: {error}"));
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_slice(body).map_err(unwritable)?;
    let shown = to_raw_value(shown).map_err(unwritable)?;
    fields.insert("usage".to_owned(), &shown);
    serde_json::to_vec(&fields).map_err(unwritable)
}
