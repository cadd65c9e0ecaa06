//! What clients ask, in every provider's words: languages, voices, prompts, and objects of one provider's own.
#![no_main]

use std::hint::black_box;

use dialects::contract::{Endpoint, UpstreamModel, UploadBody};
use dialects::registry::{PROVIDERS, Provider};
use domain::audio::{AudioFile, Container, SampleRate, SpeechFormat};
use domain::language::Language;
use domain::provider::{Extensions, Operation};
use domain::speech::{SpeechRequest, Voice};
use domain::transcription::{TranscriptFormat, TranscriptionRequest};
use domain::usage::Usage;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: (u8, u8, u8, bool, &str, &str, &str, Option<f64>, &str, (u8, Option<u32>, Option<u16>, Option<u64>))| {
    let (row, model, format, stream, named, voice, text, speed, extensions, file) = input;
    if let Some(tag) = Language::tag_for(named) {
        let is_tag = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        assert!(is_tag && Language::find(&tag).is_some(), "{tag:?}");
    }
    let Some(row) = PROVIDERS.get(usize::from(row) % PROVIDERS.len()) else { return };
    if let Some(directory) = row.voices_api {
        black_box(directory.is_id(voice));
        is_plain(&directory.page(Some(text)));
    }
    let name = row.models.get(usize::from(model) % row.models.len().max(1)).map_or("a-model", |model| model.name);
    let model = UpstreamModel {
        wire_name: name.to_owned(),
        model: name.to_owned(),
        provider: "p".to_owned(),
        options: Default::default(),
    };
    let own = serde_json::from_str::<Value>(extensions).unwrap_or_default();
    let extensions = Extensions::from([(row.kind.to_string(), own)]);
    let (container, rate, channels, duration_ms) = file;
    let container = Container::ALL.get(usize::from(container) % Container::ALL.len()).copied().unwrap_or(Container::Wav);
    let file = AudioFile { container, sample_rate: rate.map(SampleRate), channels, duration_ms };
    let formats = TranscriptFormat::ALL;
    let transcription = TranscriptionRequest {
        model: name.to_owned(),
        language: Some(named.to_owned()),
        languages: text.split(' ').map(str::to_owned).collect(),
        keywords: text.split(',').map(str::to_owned).collect(),
        prompt: stream.then(|| text.to_owned()),
        response_format: formats.get(usize::from(format) % formats.len()).copied(),
        temperature: speed.map(|number| number.to_string()),
        stream,
        extensions: extensions.clone(),
        ..Default::default()
    };
    transcribe(row, &transcription, &model, &file);
    // One field less is often one refusal less.
    transcribe(row, &TranscriptionRequest { languages: Vec::new(), keywords: Vec::new(), ..transcription }, &model, &file);
    let formats = SpeechFormat::ALL;
    let known = row.voices.first().filter(|_| stream).map(|known| known.name);
    let speech = SpeechRequest {
        model: name.to_owned(),
        input: text.to_owned(),
        voice: Voice::Name(known.unwrap_or(voice).to_owned()),
        instructions: stream.then(|| named.to_owned()),
        response_format: formats.get(usize::from(format) % formats.len()).copied(),
        speed,
        stream_format: None,
        extensions,
    };
    speak(row, &speech, &model);
});

fn transcribe(row: &Provider, request: &TranscriptionRequest, model: &UpstreamModel, file: &AudioFile) {
    let Some(dialect) = row.transcription else { return };
    for operation in [Operation::Transcription, Operation::Translation] {
        let Ok(upload) = dialect.request(operation, request, file, model) else { continue };
        let length = Usage { audio_in_ms: file.duration_ms.unwrap_or(0), ..Usage::default() };
        assert!(dialect.billed(request, file, model, length.clone()).audio_in_ms >= length.audio_in_ms);
        is_plain(&upload.endpoint);
        if let UploadBody::Base64 { before, after } = &upload.body {
            is_json(&[before.as_slice(), b"QUJD", after].concat());
        }
    }
}

fn speak(row: &Provider, request: &SpeechRequest, model: &UpstreamModel) {
    let Some(dialect) = row.speech else { return };
    let Ok(plan) = dialect.request(request, model) else { return };
    assert!(!plan.parts.is_empty(), "nothing is asked");
    for part in &plan.parts {
        is_plain(&part.request.endpoint);
        is_json(&part.request.body);
    }
}

/// Nothing of what a client wrote can end a path, or the line of the request that it stands in.
fn is_plain(endpoint: &Endpoint) {
    assert!(endpoint.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{}", endpoint.path);
}

fn is_json(body: &[u8]) {
    assert!(serde_json::from_slice::<Value>(body).is_ok(), "{}", String::from_utf8_lossy(body));
}
