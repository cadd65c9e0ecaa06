//! Whole answers of every provider: transcripts in every format, refusals, and lists of voices.
#![no_main]

use dialects::contract::UpstreamModel;
use dialects::registry::PROVIDERS;
use domain::provider::Operation;
use domain::transcription::{TranscriptFormat, TranscriptionRequest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, u8, bool, bool, u16, &[u8])| {
    let (row, model, format, stream, words, status, body) = input;
    let Some(row) = PROVIDERS.get(usize::from(row) % PROVIDERS.len()) else { return };
    let fault = (row.fault)(status, body);
    assert!(fault.message.chars().count() <= 600, "a refusal is kept short");
    if let Some(directory) = row.voices_api {
        drop(directory.parse(body));
    }
    let Some(dialect) = row.transcription else { return };
    let name = match row.models.len() {
        0 => "a-model",
        count => row.models.get(usize::from(model) % count).map_or("a-model", |model| model.name),
    };
    let model = UpstreamModel { wire_name: name.to_owned(), model: name.to_owned(), provider: "p".to_owned(), options: Default::default() };
    let format = TranscriptFormat::ALL.get(usize::from(format) % TranscriptFormat::ALL.len()).copied();
    let request =
        TranscriptionRequest { response_format: format, stream, word_timestamps: words, ..Default::default() };
    for content_type in ["application/json", "text/plain", "text/event-stream"] {
        drop(dialect.reply(Operation::Transcription, &request, &model, content_type, body));
    }
});
