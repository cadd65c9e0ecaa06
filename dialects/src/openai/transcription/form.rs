//! The form of a transcription or translation.

use domain::provider::Operation;
use domain::transcription::{FormField, TranscriptFormat, TranscriptionRequest};
use serde_json::Value;

use super::Capabilities;
use crate::contract::{Endpoint, UploadBody, UploadRequest, UpstreamModel};
use crate::error::DialectError;
use crate::openai::unsupported;

/// The form with every field of the request that the model takes.
///
/// # Errors
/// [`DialectError::Unsupported`] names the first field that it does not take.
pub fn form(
    operation: Operation,
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    can: &Capabilities,
) -> Result<UploadRequest, DialectError> {
    let format = upstream_format(operation, request, model, can)?;
    let mut fields = Fields(Vec::new());
    fields.push("model", &model.wire_name);
    prompt(request, model, can, &mut fields)?;
    fields.push("response_format", format.as_str());
    if let Some(temperature) = &request.temperature {
        fields.push("temperature", temperature);
    }
    if operation == Operation::Translation {
        // The endpoint has no other field; what a client sends beside these is ignored there too.
        return Ok(fields.request("/audio/translations", false));
    }
    languages(request, model, can, &mut fields)?;
    lists(request, model, can, &mut fields)?;
    granularities(request, format, can, &mut fields);
    chunking(request, model, can, &mut fields)?;
    let streams = request.stream && can.stream;
    if streams {
        fields.push("stream", "true");
    }
    Ok(fields.request("/audio/transcriptions", streams))
}

/// The format that is asked from the provider so that the client's can be made.
///
/// # Errors
/// [`DialectError::Unsupported`] when nothing the model answers with has the data, and when the model
/// does not serve the operation.
pub fn upstream_format(
    operation: Operation,
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    can: &Capabilities,
) -> Result<TranscriptFormat, DialectError> {
    use TranscriptFormat::{DiarizedJson, Json, Srt, Text, VerboseJson, Vtt};
    let wanted = request.format();
    let has = |format: TranscriptFormat| can.formats.contains(&format);
    if operation == Operation::Translation {
        if !can.translates {
            return Err(unsupported(model, "model", "translation"));
        }
        if wanted == DiarizedJson {
            return Err(unsupported(model, "response_format", "`response_format` diarized_json for translations"));
        }
    }
    let refused = || unsupported(model, "response_format", &format!("`response_format` {wanted}"));
    let timed = || [VerboseJson, DiarizedJson].into_iter().find(|format| has(*format)).ok_or_else(refused);
    let streams = request.stream && operation == Operation::Transcription;
    if streams && can.stream && matches!(wanted, Srt | Vtt) && !has(wanted) {
        timed()?;
        return Err(unsupported(model, "stream", &format!("`stream` with `response_format` {wanted}")));
    }
    match wanted {
        DiarizedJson | VerboseJson if !has(wanted) => Err(refused()),
        Json | Text | Srt | Vtt if can.always_verbose => Ok(VerboseJson),
        Text | Srt | Vtt if streams && !can.stream => Ok(Json),
        Text if !has(Text) => Ok(Json),
        Srt | Vtt if !has(wanted) => timed(),
        _ => Ok(wanted),
    }
}

struct Fields(Vec<FormField>);

impl Fields {
    fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn request(self, path: &str, streams: bool) -> UploadRequest {
        UploadRequest { endpoint: Endpoint::at(path), body: UploadBody::Form(self.0), streams }
    }

    fn push_all(&mut self, name: &str, values: &[String]) {
        for value in values {
            self.push(name, value);
        }
    }
}

fn prompt(
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    can: &Capabilities,
    fields: &mut Fields,
) -> Result<(), DialectError> {
    let Some(prompt) = request.prompt.as_deref().filter(|prompt| !prompt.is_empty()) else { return Ok(()) };
    match can.prompt_bytes {
        None => Err(unsupported(model, "prompt", "`prompt`")),
        Some(most) if prompt.len() > most => {
            Err(unsupported(model, "prompt", &format!("a `prompt` of more than {most} bytes")))
        }
        Some(_) => {
            fields.push("prompt", prompt);
            Ok(())
        }
    }
}

/// One language fits `language` and `languages[]` alike, whichever the model has.
fn languages(
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    can: &Capabilities,
    fields: &mut Fields,
) -> Result<(), DialectError> {
    match (&request.language, request.languages.as_slice()) {
        (Some(language), []) if can.language => fields.push("language", language),
        (Some(language), []) => fields.push("languages[]", language),
        (None, [only]) if !can.languages => fields.push("language", only),
        (None, []) => {}
        (_, [_, ..]) if !can.languages => return Err(unsupported(model, "languages", "`languages`")),
        (language, languages) => {
            if let Some(language) = language.as_ref().filter(|language| !languages.contains(language)) {
                fields.push("languages[]", language);
            }
            fields.push_all("languages[]", languages);
        }
    }
    Ok(())
}

fn lists(
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    can: &Capabilities,
    fields: &mut Fields,
) -> Result<(), DialectError> {
    let lists: [(&'static str, &[String], bool); 4] = [
        ("keywords", &request.keywords, can.keywords),
        ("include", &request.include, can.include),
        ("known_speaker_names", &request.known_speaker_names, can.speakers),
        ("known_speaker_references", &request.known_speaker_references, can.speakers),
    ];
    for (name, values, taken) in lists {
        if !values.is_empty() && !taken {
            return Err(unsupported(model, name, &format!("`{name}`")));
        }
        fields.push_all(&format!("{name}[]"), values);
    }
    Ok(())
}

/// Real clients send granularities with `json`, where they mean nothing; that is tolerated.
fn granularities(request: &TranscriptionRequest, format: TranscriptFormat, can: &Capabilities, fields: &mut Fields) {
    let wanted = request.format() == TranscriptFormat::VerboseJson;
    if !(wanted && format == TranscriptFormat::VerboseJson && can.granularities) {
        return;
    }
    if request.word_timestamps {
        fields.push("timestamp_granularities[]", "word");
    }
    if request.segment_timestamps {
        fields.push("timestamp_granularities[]", "segment");
    }
}

/// An object is sent as the SDKs send it: `chunking_strategy[type]=server_vad`.
fn chunking(
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    can: &Capabilities,
    fields: &mut Fields,
) -> Result<(), DialectError> {
    const NAME: &str = "chunking_strategy";
    let Some(strategy) = &request.chunking_strategy else {
        if can.chunking_required {
            fields.push(NAME, "auto");
        }
        return Ok(());
    };
    if !can.chunking {
        return Err(unsupported(model, NAME, "`chunking_strategy`"));
    }
    match serde_json::from_str(strategy) {
        Ok(Value::Object(object)) => {
            for (key, value) in &object {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                fields.push(&format!("{NAME}[{key}]"), &text);
            }
        }
        Ok(Value::String(name)) => fields.push(NAME, &name),
        _ => fields.push(NAME, strategy),
    }
    Ok(())
}
