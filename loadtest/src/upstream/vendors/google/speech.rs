//! Speech: Cloud Text-to-Speech, and Gemini.
#![expect(clippy::indexing_slicing, reason = "reading a JSON value by name gives null where it is absent")]

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
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
};
use crate::wav;

/// Milliseconds that one character takes to be spoken.
const MS_PER_CHARACTER: usize = 60;
/// Size of the pieces, unless the script says otherwise. Whole samples, and a multiple of three.
const CHUNK_BYTES: usize = 9_600;
/// The bytes that a text of this length comes to, in a piece with what the format begins with.
fn audio(characters: usize, per_ms: usize, fault: &Fault, head: impl FnOnce(usize) -> Vec<u8>) -> Vec<u8> {
    let total = fault.bytes.unwrap_or(characters * MS_PER_CHARACTER * per_ms);
    let mut audio = head(total);
    let missing = total.saturating_sub(audio.len());
    audio.extend((0..missing).map(|at| u8::try_from(at % 251).unwrap_or(0)));
    audio
}

pub(super) async fn synthesize(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    call.path = "text:synthesize";
    let request = read_json(call, body, Some(&["audioConfig", "input", "voice"])).await?;
    let voice = request["voice"]["name"].as_str().unwrap_or_default().to_owned();
    let said = ["text", "ssml", "markup"].iter().find_map(|name| request["input"][*name].as_str()).unwrap_or_default();
    let line = call.line(&voice);
    let fault = call.fault(&voice, &[said]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let checked = check_synthesis(&request, &voice, said);
    if checked.is_err() {
        line.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let (per_ms, head) = checked?;
    let characters = said.chars().count();
    let clip = audio(characters, per_ms, &fault, head);
    let per_ms = u64::try_from(per_ms).unwrap_or(1);
    let amounts = Amounts {
        characters: u64::try_from(characters).unwrap_or(0),
        audio_out_ms: u64::try_from(clip.len()).unwrap_or(0) / per_ms,
        ..Amounts::default()
    };
    let answer = format!("{{\n  \"audioContent\": \"{}\"\n}}\n", STANDARD.encode(clip));
    let pieces = answer.as_bytes().chunks(fault.chunk_bytes.unwrap_or(CHUNK_BYTES).max(1)).map(Bytes::copy_from_slice);
    let receipt = Receipt::new(line, amounts).for_serial(&call.shared.fates, call.path, said);
    let mut response = answer::deliver("application/json", ScriptBody::pieces(pieces.collect()), receipt, &fault);
    answer::add_headers(&mut response, &fault);
    Ok(response)
}

type Head = fn(usize) -> Vec<u8>;

/// Checks what is to be spoken; gives bytes per millisecond and what the audio begins with.
fn check_synthesis(request: &Value, voice: &str, said: &str) -> Result<(usize, Head), Refusal> {
    only(&request["voice"], &["languageCode", "modelName", "name"])?;
    let config = &request["audioConfig"];
    only(config, &["audioEncoding", "effectsProfileId", "pitch", "sampleRateHertz", "speakingRate", "volumeGainDb"])?;
    if said.is_empty() || said.len() > 5_000 {
        return Err(bad("Either `input.text` or `input.ssml` is longer than the limit of 5000 bytes."));
    }
    if !request["voice"]["languageCode"].is_string() || voice.is_empty() {
        return Err(bad("`voice.languageCode` and `voice.name` are required."));
    }
    if voice.contains("Chirp") && (!config["pitch"].is_null() || request["input"]["ssml"].is_string()) {
        return Err(bad("This voice does not support pitch parameters at this time."));
    }
    let is_prebuilt = !voice.contains('-');
    if is_prebuilt != request["voice"]["modelName"].is_string() {
        return Err(bad(format!("Voice '{voice}' does not exist. Is it misspelled?")));
    }
    let rate = config.get("speakingRate").map_or(Some(1.0), Value::as_f64);
    if !rate.is_some_and(|rate| (0.25..=2.0).contains(&rate)) {
        return Err(bad("Invalid speaking rate."));
    }
    let wave: Head = |total| {
        let samples = total.saturating_sub(wav::HEADER_BYTES);
        wav::header(24_000, u32::try_from(samples).ok())
    };
    match config["audioEncoding"].as_str() {
        Some("MP3") => Ok((4, |_| vec![0xFF, 0xFB, 0x90, 0x64])),
        Some("OGG_OPUS") => Ok((4, |_| b"OggS".to_vec())),
        Some("LINEAR16") if config["sampleRateHertz"] == 24_000 => Ok((48, wave)),
        Some("PCM") if config["sampleRateHertz"] == 24_000 => Ok((48, |_| Vec::new())),
        _ => Err(bad("Invalid audio encoding.")),
    }
}

pub(super) async fn say(call: &mut Call<'_>, model: &str, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    call.path = "streamGenerateContent";
    let request = read_json(call, body, Some(&["contents", "generationConfig"])).await?;
    let part = &request["contents"][0]["parts"][0];
    let said = part["text"].as_str().unwrap_or_default();
    let line = call.line(model);
    let fault = call.fault(model, &[said]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let config = &request["generationConfig"];
    only(config, &["responseModalities", "speechConfig", "temperature"])?;
    only(&config["speechConfig"], &["languageCode", "voiceConfig"])?;
    only(part, &["speechMetadata", "text"])?;
    let speaks = model.ends_with("-tts") && config["responseModalities"] == json!(["AUDIO"]);
    if said.is_empty() || !speaks || !config["speechConfig"]["voiceConfig"]["voice"].is_string() {
        line.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        return Err(bad("Model tried to generate text, but it should only be used for TTS."));
    }
    let characters = said.chars().count();
    let samples = audio(characters, 48, &fault, |_| Vec::new());
    let ms = u64::try_from(samples.len()).unwrap_or(0) / 48;
    let (input, output) = (u64::try_from(characters.div_ceil(4)).unwrap_or(0), ms.div_ceil(40));
    let mut events: Vec<Value> = samples
        .chunks(fault.chunk_bytes.unwrap_or(CHUNK_BYTES).max(1))
        .map(|piece| {
            let data = json!({ "mimeType": "audio/L16;codec=pcm;rate=24000", "data": STANDARD.encode(piece) });
            json!({ "candidates": [{ "content": { "parts": [{ "inlineData": data }], "role": "model" }, "index": 0 }] })
        })
        .collect();
    let mut last = json!({ "candidates": [{ "finishReason": "STOP", "index": 0 }] });
    if !fault.no_usage {
        last["usageMetadata"] = json!({
            "promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": input + output,
            "candidatesTokensDetails": [{ "modality": "AUDIO", "tokenCount": output }],
        });
    }
    events.push(last);
    let amounts = Amounts {
        characters: u64::try_from(characters).unwrap_or(0),
        audio_out_ms: ms,
        tokens_in: input,
        tokens_out: output,
        ..Amounts::default()
    };
    let receipt = Receipt::new(line, amounts).for_serial(&call.shared.fates, call.path, said);
    let mut response = answer::deliver("text/event-stream", answer::events(events, false), receipt, &fault);
    answer::add_headers(&mut response, &fault);
    Ok(response)
}
