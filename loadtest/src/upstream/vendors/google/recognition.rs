//! Recognition: both versions of Cloud Speech-to-Text, and Gemini.
#![expect(clippy::indexing_slicing, reason = "reading a JSON value by name gives null where it is absent")]

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Response;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{bad, only};
use crate::upstream::{
    Amounts, Fault,
    answer::{self, Refusal},
    body::ScriptBody,
    counts::Receipt,
    routes::{Call, read_json},
    transcription,
};
use crate::wav;

/// Longest audio of the Cloud in milliseconds.
const MINUTE: u64 = 60_000;
const CONFIG_1: &[&str] = &[
    "adaptation",
    "alternativeLanguageCodes",
    "audioChannelCount",
    "diarizationConfig",
    "enableAutomaticPunctuation",
    "enableSeparateRecognitionPerChannel",
    "enableSpokenEmojis",
    "enableSpokenPunctuation",
    "enableWordTimeOffsets",
    "encoding",
    "languageCode",
    "model",
    "profanityFilter",
    "sampleRateHertz",
    "speechContexts",
    "useEnhanced",
];
const CONFIG_2: &[&str] = &["adaptation", "autoDecodingConfig", "denoiserConfig", "features", "languageCodes", "model"];
const FEATURES: &[&str] = &[
    "customPromptConfig",
    "diarizationConfig",
    "enableAutomaticPunctuation",
    "enableSpokenEmojis",
    "enableSpokenPunctuation",
    "enableWordTimeOffsets",
    "multiChannelMode",
    "profanityFilter",
];

/// A recording: its length, and its first bytes.
fn recording(content: &Value) -> Result<(u64, Vec<u8>), Refusal> {
    let letters = content.as_str().filter(|letters| !letters.is_empty());
    let letters = letters.ok_or_else(|| bad("RecognitionAudio not set."))?;
    let file = STANDARD.decode(letters).map_err(|_| bad("Base64 decoding failed."))?;
    let bytes = u64::try_from(file.len()).unwrap_or(u64::MAX);
    Ok((wav::duration_ms(&file, bytes).unwrap_or(bytes / 16), file))
}

fn too_long(ms: u64) -> Result<(), Refusal> {
    if ms <= MINUTE { Ok(()) } else { Err(bad("Inline audio exceeds duration limit. Please use a GCS URI.")) }
}

pub(super) async fn recognize_1(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    call.path = "speech:recognize";
    let request = read_json(call, body, Some(&["audio", "config"])).await?;
    let config = &request["config"];
    let model = config["model"].as_str().unwrap_or("default");
    let said = config["speechContexts"].to_string();
    begin(call, model, &[&said], &request, |call, fault| {
        only(config, CONFIG_1)?;
        if !config["languageCode"].is_string() {
            return Err(bad("Invalid recognition 'config': language_code is required."));
        }
        if model.starts_with("chirp") || ["long", "short"].contains(&model) {
            return Err(bad(format!("Invalid recognition 'config': Incorrect model specified: {model}")));
        }
        let (ms, file) = recording(&request["audio"]["content"])?;
        let named = config["encoding"].as_str().unwrap_or_default();
        let beta = call.parts.uri.path().starts_with("/v1p1beta1");
        let has_head = file.starts_with(b"RIFF") || file.starts_with(b"fLaC");
        if (named.is_empty() && !has_head) || (named == "MP3" && !beta) || named == "MP4" {
            return Err(bad("Invalid recognition 'config': bad encoding.."));
        }
        if !named.is_empty() && config["sampleRateHertz"].as_u64().is_none() && !has_head {
            return Err(bad("Invalid recognition 'config': bad sample rate hertz."));
        }
        too_long(ms)?;
        let names = ["startTime", "endTime", "resultEndTime"];
        let speakers = config["diarizationConfig"]["enableSpeakerDiarization"] == true;
        let words = config["enableWordTimeOffsets"] == true;
        let results = results(fault, ms, &names, words || speakers, speakers, &config["languageCode"]);
        let billed = ms.div_ceil(1000);
        let answer = json!({
            "results": results, "totalBilledTime": format!("{billed}s"), "requestId": "5190443811234567890",
        });
        Ok((answer, Amounts { audio_in_ms: billed * 1000, ..Amounts::default() }))
    })
    .await
}

pub(super) async fn recognize_2(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    call.path = "recognizers:recognize";
    let request = read_json(call, body, Some(&["config", "content"])).await?;
    let config = &request["config"];
    let model = config["model"].as_str().unwrap_or_default();
    let said = config["adaptation"].to_string();
    begin(call, model, &[&said], &request, |call, fault| {
        only(config, CONFIG_2)?;
        only(&config["features"], FEATURES)?;
        let place = call.parts.uri.path().split('/').nth(5).unwrap_or_default();
        let places: &[&str] = match model {
            "chirp_3" => &["us", "eu"],
            "chirp_2" => &["us-central1", "europe-west4", "asia-southeast1"],
            _ => &["global", "us", "eu"],
        };
        if !places.contains(&place) {
            let message = format!("The model \"{model}\" does not exist in the location named \"{place}\".");
            return Err(bad(message));
        }
        let languages = config["languageCodes"].as_array().filter(|languages| !languages.is_empty());
        let language = languages.and_then(|languages| languages.first()).ok_or_else(|| bad("No language."))?;
        if language == "auto" && model != "chirp_3" {
            return Err(bad(format!("The language \"auto\" is not supported by the model \"{model}\".")));
        }
        let words = config["features"]["enableWordTimeOffsets"] == true;
        if words && model == "chirp_3" {
            return Err(bad("Recognizer does not support feature: word_level_timestamps"));
        }
        if !config["autoDecodingConfig"].is_object() {
            return Err(bad("Audio decoding is not configured."));
        }
        let (ms, _) = recording(&request["content"])?;
        too_long(ms)?;
        let names = ["startOffset", "endOffset", "resultEndOffset"];
        let speakers = config["features"]["diarizationConfig"].is_object();
        let heard = if language == "auto" { &Value::Null } else { language };
        let billed = ms.div_ceil(1000);
        let answer = json!({
            "results": results(fault, ms, &names, words || speakers, speakers, heard),
            "metadata": { "requestId": "67a1b2", "totalBilledDuration": format!("{billed}s") },
        });
        Ok((answer, Amounts { audio_in_ms: billed * 1000, ..Amounts::default() }))
    })
    .await
}

pub(super) async fn hear(call: &mut Call<'_>, model: &str, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    call.path = "generateContent";
    let request = read_json(call, body, Some(&["contents", "generationConfig"])).await?;
    let config = &request["generationConfig"]["audioTranscriptionConfig"];
    let said = config["customVocabulary"].to_string();
    begin(call, model, &[&said], &request, |_, fault| {
        if !model.contains("transcribe") {
            return Err(Refusal::new(404, "NOT_FOUND", format!("models/{model} is not found for API version v1beta.")));
        }
        only(config, &["customVocabulary", "diarization", "languageCodes", "mode", "wordTimestamp"])?;
        let data = &request["contents"][0]["parts"][0]["inlineData"];
        if !data["mimeType"].as_str().is_some_and(|kind| kind.starts_with("audio/")) {
            return Err(bad("Unsupported MIME type."));
        }
        let (ms, _) = recording(&data["data"])?;
        let text = text(fault);
        let mut part = json!({ "text": text });
        if config["wordTimestamp"] == true {
            let names = ["startOffset", "endOffset", ""];
            let mut words = words(&text, 0, ms, &names);
            if config["diarization"] == true {
                label(&mut words, "speaker", |index| format!("spk:{index}"));
            }
            part["audioTranscription"] = json!({ "words": words });
        }
        let (input, output) = (ms.div_ceil(40), u64::try_from(text.split_whitespace().count()).unwrap_or(0) + 2);
        let mut answer = json!({
            "candidates": [{ "content": { "parts": [part], "role": "model" }, "finishReason": "STOP", "index": 0 }],
            "modelVersion": model,
        });
        if !fault.no_usage {
            answer["usageMetadata"] = json!({
                "promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": input + output,
                "promptTokensDetails": [{ "modality": "AUDIO", "tokenCount": input }],
            });
        }
        let amounts = Amounts { audio_in_ms: ms, tokens_in: input, tokens_out: output, ..Amounts::default() };
        Ok((answer, amounts))
    })
    .await
}

/// Answers with JSON what `make` gives, after what the script wants has happened.
async fn begin(
    call: &Call<'_>,
    model: &str,
    texts: &[&str],
    request: &Value,
    make: impl FnOnce(&Call<'_>, &Fault) -> Result<(Value, Amounts), Refusal>,
) -> Result<Response<ScriptBody>, Refusal> {
    if !request.is_object() {
        return Err(bad("Invalid JSON payload received."));
    }
    let line = call.line(model);
    let fault = call.fault(model, texts);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let made = make(call, &fault);
    if made.is_err() {
        line.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let (answer, amounts) = made?;
    let receipt = Receipt::new(line, amounts).for_serial(&call.shared.fates, call.path, &texts.join(" "));
    let mut response = answer::deliver("application/json", ScriptBody::whole(answer.to_string()), receipt, &fault);
    answer::add_headers(&mut response, &fault);
    Ok(response)
}

fn text(fault: &Fault) -> String {
    fault.text.clone().unwrap_or_else(|| transcription::SENTENCE.to_owned())
}

/// A time as Google writes it.
fn time(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{}.{:03}s", ms / 1000, ms % 1000) }
}

/// The words of a text, spread over a stretch of time. A start of zero is left out.
fn words(text: &str, from: u64, to: u64, [start, end, _]: &[&str; 3]) -> Vec<Value> {
    let count = u64::try_from(text.split_whitespace().count()).unwrap_or(1).max(1);
    let at = |index: u64| from + (to - from) * index / count;
    let mut words = Vec::new();
    for (index, word) in (0..).zip(text.split_whitespace()) {
        let mut told = json!({ "word": word, *end: time(at(index + 1)) });
        if at(index) > 0 {
            told[*start] = json!(time(at(index)));
        }
        words.push(told);
    }
    words
}

/// The second half of the words is another speaker's.
fn label(words: &mut [Value], name: &str, speaker: impl Fn(usize) -> String) {
    let half = words.len() / 2;
    for (index, word) in words.iter_mut().enumerate() {
        word[name] = json!(speaker(usize::from(index >= half)));
    }
}

/// Two results that follow each other, and with speakers a third that repeats the words of both.
fn results(
    fault: &Fault,
    ms: u64,
    names: &[&str; 3],
    with_words: bool,
    speakers: bool,
    language: &Value,
) -> Vec<Value> {
    let text = text(fault);
    let all: Vec<&str> = text.split_whitespace().collect();
    let (first, second) = all.split_at(all.len() / 2);
    let middle = ms / 2;
    let mut results = Vec::new();
    let mut every = Vec::new();
    for (said, from, to) in [(first.join(" "), 0, middle), (format!(" {}", second.join(" ")), middle, ms)] {
        let mut alternative = json!({ "transcript": said, "confidence": 0.98 });
        if with_words {
            let words = words(&said, from, to, names);
            every.extend(words.iter().cloned());
            alternative["words"] = json!(words);
        }
        results.push(json!({ "alternatives": [alternative], names[2]: time(to) }));
    }
    if speakers {
        label(&mut every, "speakerLabel", |index| (index + 1).to_string());
        results.push(json!({ "alternatives": [{ "words": every }] }));
    }
    for result in &mut results {
        let code = language.as_str().unwrap_or("en-us").to_ascii_lowercase();
        result["languageCode"] = json!(code);
    }
    results
}
