//! What every provider can do, asked of the dialects themselves: `docs/providers.md` is this table, and
//! the end-to-end tests hold the running gateway to it cell by cell.
//!
//! `UPDATE_DOCS=1 cargo test -p dialects` writes the file anew.

use std::fmt::Write as _;

use dialects::error::DialectError;
use dialects::registry::{PROVIDERS, Provider};
use domain::audio::SpeechFormat;
use domain::provider::{Extensions, Operation};
use domain::speech::{SpeechRequest, StreamFormat, Voice};
use domain::transcription::{TranscriptFormat, TranscriptionRequest};

use crate::golden::{RECORDING, upstream};

const HEAD: &str = "# Providers

What each provider and model does behind OpenAI's API. This file is made from the code that translates
the requests (`dialects/tests/table.rs`), and the end-to-end tests ask the running gateway for every cell.

- **yes**: served. Captions, `verbose_json` and the like come out in OpenAI's shape wherever the provider
  has the data.
- **at the end**: `stream=true` is answered with the same events, all of them when the work is done.
- **converted**: asked from the provider in a lossless form and converted here.
- **passed on**: nothing is known of the server behind it, so it is asked and judges by itself.
- **400 `field`**: refused before anything is sent, with a message that names the provider, the model and
  the field.

Models that are not listed can be named too: those of OpenAI and Azure take everything and the provider
judges; the others go by the family in their name.
";

#[test]
fn the_table_of_providers_is_what_the_code_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/providers.md");
    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == table, "docs/providers.md is old: UPDATE_DOCS=1 cargo test -p dialects");
}

fn table() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n## Transcription\n\n| provider | model | json | text | srt | vtt | verbose_json | diarized_json | stream | translation |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for row in PROVIDERS {
        for model in models(row, &[Operation::Transcription, Operation::Translation]) {
            if row.transcription.is_some() {
                writeln!(text, "| {} | {model} | {} |", row.kind, known(row, transcribes(row, &model))).unwrap();
            }
        }
    }
    text.push_str("\n## Speech\n\n| provider | model | a voice | mp3 | opus | aac | flac | wav | pcm | events |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for row in PROVIDERS {
        for model in models(row, &[Operation::Speech]) {
            if row.speech.is_some() {
                let voice = voice(row, &model);
                let cells = known(row, speaks(row, &model, &voice));
                writeln!(text, "| {} | {model} | {voice} | {cells} |", row.kind).unwrap();
            }
        }
    }
    text
}

/// The cells of a row; of a server without a list of models nothing is promised.
fn known(row: &Provider, cells: Vec<String>) -> String {
    let passed = |cell: String| if row.models.is_empty() && cell == "yes" { "passed on".to_owned() } else { cell };
    cells.into_iter().map(passed).collect::<Vec<_>>().join(" | ")
}

/// The models of a row with one of these operations; a server of one's own has any.
fn models(row: &Provider, operations: &[Operation]) -> Vec<String> {
    if row.models.is_empty() {
        return vec!["any".to_owned()];
    }
    let able = row.models.iter().filter(|model| model.operations.iter().any(|can| operations.contains(can)));
    able.map(|model| model.name.to_owned()).collect()
}

/// A voice of the model; where none is well known, an id as `ElevenLabs` has them.
fn voice(row: &Provider, model: &str) -> String {
    let fits = |voices: &[&str]| voices.is_empty() || voices.contains(&model);
    let known = row.voices.iter().find(|voice| fits(voice.models));
    known.map_or("21m00Tcm4TlvDq8ikWAM", |voice| voice.name).to_owned()
}

fn transcribes(row: &Provider, model: &str) -> Vec<String> {
    let dialect = row.transcription.unwrap();
    let ask = |operation: Operation, format: TranscriptFormat, stream: bool| {
        let request = TranscriptionRequest { response_format: Some(format), stream, ..Default::default() };
        dialect.request(operation, &request, &RECORDING, &upstream(row.kind, model))
    };
    let formats = [
        TranscriptFormat::Json,
        TranscriptFormat::Text,
        TranscriptFormat::Srt,
        TranscriptFormat::Vtt,
        TranscriptFormat::VerboseJson,
        TranscriptFormat::DiarizedJson,
    ];
    let mut cells: Vec<String> =
        formats.into_iter().map(|format| cell(ask(Operation::Transcription, format, false).map(|_| "yes"))).collect();
    let streamed = ask(Operation::Transcription, TranscriptFormat::Json, true);
    cells.push(cell(streamed.map(|request| if request.streams { "yes" } else { "at the end" })));
    cells.push(cell(ask(Operation::Translation, TranscriptFormat::Json, false).map(|_| "yes")));
    cells
}

fn speaks(row: &Provider, model: &str, voice: &str) -> Vec<String> {
    use dialects::contract::SpeechAudio;
    let dialect = row.speech.unwrap();
    let ask = |format: SpeechFormat, stream_format: Option<StreamFormat>| {
        let request = SpeechRequest {
            model: model.to_owned(),
            input: "Hello.".to_owned(),
            voice: Voice::Name(voice.to_owned()),
            instructions: None,
            response_format: Some(format),
            speed: None,
            stream_format,
            extensions: Extensions::new(),
        };
        dialect.request(&request, &upstream(row.kind, model))
    };
    let formats = [
        SpeechFormat::Mp3,
        SpeechFormat::Opus,
        SpeechFormat::Aac,
        SpeechFormat::Flac,
        SpeechFormat::Wav,
        SpeechFormat::Pcm,
    ];
    let mut cells: Vec<String> = formats
        .into_iter()
        .map(|format| {
            cell(ask(format, None).map(|plan| match plan.audio {
                SpeechAudio::AsAsked => "yes",
                SpeechAudio::Pcm(_) | SpeechAudio::Wav => "converted",
            }))
        })
        .collect();
    // Every provider makes samples, with a header or without, so that events can carry them.
    let samples =
        ask(SpeechFormat::Pcm, Some(StreamFormat::Sse)).or_else(|_| ask(SpeechFormat::Wav, Some(StreamFormat::Sse)));
    cells.push(cell(samples.map(|_| "yes")));
    cells
}

fn cell(asked: Result<&'static str, DialectError>) -> String {
    match asked {
        Ok(served) => served.to_owned(),
        Err(DialectError::Unsupported { param, .. } | DialectError::Invalid { param, .. }) => format!("400 `{param}`"),
        Err(DialectError::Audio(_)) => "415".to_owned(),
        Err(DialectError::Upstream(message)) => panic!("a request cannot fail so: {message}"),
    }
}
