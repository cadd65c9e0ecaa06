//! `/chat/completions`, `/embeddings` and `/models`.
#![expect(clippy::indexing_slicing, reason = "reading a JSON value by name gives null where it is absent")]

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Response;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    Amounts, Kind,
    answer::{self, Refusal},
    body::ScriptBody,
    counts::Receipt,
    routes::{Call, read_json, required},
};

/// What the assistant always says, unless the script has another text.
const REPLY: &str = "Hello from the scripted upstream.";
/// Instant of all `created` fields: 2026-11-21T00:00:00Z.
const CREATED: u64 = 1_795_219_200;

/// Chat, whole or streamed.
pub(super) async fn chat(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    let request = read_json(call, body, None).await?;
    let model = required(&request, "model")?;
    let line = call.line(model);
    let messages = request["messages"].as_array().filter(|messages| !messages.is_empty());
    let messages = messages.ok_or_else(|| Refusal::missing("messages"))?;
    let last = messages.last().and_then(|message| message["content"].as_str()).unwrap_or_default();
    let fault = call.fault(model, &[last]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let reply = fault.text.clone().unwrap_or_else(|| REPLY.to_owned());
    let asked: usize = messages.iter().map(|message| message["content"].to_string().split_whitespace().count()).sum();
    let amounts = Amounts {
        tokens_in: u64::try_from(asked + 4).unwrap_or(0),
        tokens_out: u64::try_from(reply.split_whitespace().count() + 1).unwrap_or(0),
        ..Amounts::default()
    };
    let id = format!("chatcmpl-{}", call.shared.next_serial());
    let (content_type, body) = if request["stream"] == true {
        ("text/event-stream", stream(call.kind, &id, &request, &reply, amounts))
    } else {
        ("application/json", whole(&id, model, &reply, amounts))
    };
    let mut response = answer::deliver(content_type, body, Receipt::new(line, amounts), &fault);
    answer::add_headers(&mut response, &fault);
    Ok(response)
}

fn usage(amounts: Amounts) -> Value {
    json!({
        "prompt_tokens": amounts.tokens_in, "completion_tokens": amounts.tokens_out,
        "total_tokens": amounts.tokens_in + amounts.tokens_out,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    })
}

fn whole(id: &str, model: &str, reply: &str, amounts: Amounts) -> ScriptBody {
    let body = json!({
        "id": id, "object": "chat.completion", "created": CREATED, "model": model, "usage": usage(amounts),
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null,
                     "message": {"role": "assistant", "content": reply, "refusal": null}}],
    });
    ScriptBody::whole(body.to_string())
}

fn stream(kind: Kind, id: &str, request: &Value, reply: &str, amounts: Amounts) -> ScriptBody {
    let with_usage = request["stream_options"]["include_usage"] == true;
    let chunk = |delta: Value, finish: Value| {
        let mut chunk = json!({
            "id": id, "object": "chat.completion.chunk", "created": CREATED, "model": request["model"],
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        });
        if with_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    };
    let mut events = Vec::new();
    if kind == Kind::Azure {
        events.push(json!({"choices": [], "prompt_filter_results": [], "id": "", "model": "", "object": ""}));
    }
    events.push(chunk(json!({"role": "assistant", "content": ""}), Value::Null));
    events.extend(reply.split_inclusive(' ').map(|word| chunk(json!({"content": word}), Value::Null)));
    events.push(chunk(json!({}), json!("stop")));
    if kind == Kind::Groq
        && let Some(last) = events.last_mut()
    {
        last["x_groq"] = json!({"id": id, "usage": usage(amounts)});
    }
    if with_usage {
        events.push(json!({
            "id": id, "object": "chat.completion.chunk", "created": CREATED, "model": request["model"],
            "choices": [], "usage": usage(amounts),
        }));
    }
    answer::events(events, true)
}

/// Embeddings as numbers or as base64 of little-endian `f32`.
pub(super) async fn embeddings(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    const FIELDS: &[&str] = &["dimensions", "encoding_format", "input", "model", "user"];
    let request = read_json(call, body, Some(FIELDS)).await?;
    let model = required(&request, "model")?;
    let line = call.line(model);
    let inputs = inputs(&request["input"])?;
    let fault = call.fault(model, &[request["input"].as_str().unwrap_or_default()]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let size = request["dimensions"].as_u64().unwrap_or(1536).clamp(1, 3072);
    let base64 = request["encoding_format"] == "base64";
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(at, input)| json!({"object": "embedding", "index": at, "embedding": embedding(input, size, base64)}))
        .collect();
    let tokens: usize = inputs.iter().map(|input| input.split_whitespace().count().max(1)).sum();
    let amounts = Amounts { tokens_in: u64::try_from(tokens).unwrap_or(0), ..Amounts::default() };
    let body = json!({
        "object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    });
    let body = ScriptBody::whole(body.to_string());
    let mut response = answer::deliver("application/json", body, Receipt::new(line, amounts), &fault);
    answer::add_headers(&mut response, &fault);
    Ok(response)
}

/// One text, several, one list of tokens, or several.
fn inputs(input: &Value) -> Result<Vec<String>, Refusal> {
    match input {
        Value::String(text) if !text.is_empty() => Ok(vec![text.clone()]),
        Value::Array(all) if all.iter().all(Value::is_number) && !all.is_empty() => Ok(vec![input.to_string()]),
        Value::Array(all) if !all.is_empty() && all.len() <= 2048 => {
            Ok(all.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect())
        }
        _ => Err(Refusal::bad("invalid_value", "input", "'input' is empty or has too many elements.")),
    }
}

/// A vector that depends on the text and nothing else.
fn embedding(text: &str, size: u64, base64: bool) -> Value {
    let mut state = crc32fast::hash(text.as_bytes()) | 1;
    let numbers = (0..size).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let step = u16::try_from(state >> 16).unwrap_or(0);
        f32::from(step) / 65_536.0 - 0.5
    });
    if base64 {
        let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
        return Value::String(STANDARD.encode(bytes));
    }
    numbers.map(|number| json!(number)).collect()
}

/// The list of models.
pub(super) fn models(kind: Kind) -> Response<ScriptBody> {
    let data: Vec<Value> = names(kind).iter().map(|name| described(kind, name)).collect();
    answer::json_answer(200, &json!({"object": "list", "data": data}))
}

/// One model.
pub(super) fn model(kind: Kind, name: &str) -> Result<Response<ScriptBody>, Refusal> {
    if !names(kind).contains(&name) {
        return Err(Refusal::new(404, "model_not_found", format!("The model '{name}' does not exist")));
    }
    Ok(answer::json_answer(200, &described(kind, name)))
}

fn names(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Groq => &["whisper-large-v3", "whisper-large-v3-turbo", "canopylabs/orpheus-v1-english"],
        Kind::SelfHosted => &["whisper-small", "kokoro"],
        Kind::Elevenlabs | Kind::Deepgram | Kind::Google | Kind::Ultravox => &[],
        Kind::Openai | Kind::Azure => {
            &["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-tts", "gpt-realtime-2.1", "text-embedding-3-small"]
        }
    }
}

fn described(kind: Kind, name: &str) -> Value {
    let mut model = json!({"id": name, "object": "model", "created": CREATED, "owned_by": "scripted"});
    if matches!(kind, Kind::Openai | Kind::Azure) {
        model["shutdown_date"] = Value::Null;
    }
    model
}
