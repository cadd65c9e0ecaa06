//! Ultravox's calls over REST: made with what a conversation needs, checked as the vendor checks it, and told
//! about afterwards.
//!
//! Source: Ultravox's `OpenAPI` document and API reference, read 2026-11-21.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::{Shared, keep_last, lock};

/// The fields of a call, and of one of an agent of the account.
const FIELDS: &[&str] = &[
    "callbacks",
    "dataConnection",
    "experimentalSettings",
    "firstSpeakerSettings",
    "initialMessages",
    "initialOutputMedium",
    "joinTimeout",
    "maxDuration",
    "medium",
    "metadata",
    "recordingEnabled",
    "retentionPolicy",
    "sharedSecrets",
    "voice",
    "voiceOverrides",
];
const CALL_FIELDS: &[&str] = &[
    "externalVoice",
    "inactivityMessages",
    "initialState",
    "languageHint",
    "model",
    "selectedTools",
    "systemPrompt",
    "temperature",
    "timeExceededMessage",
    "vadSettings",
];
const AGENT_FIELDS: &[&str] = &["templateContext", "toolOverrides"];
const SOCKET_FIELDS: &[&str] =
    &["inputSampleRate", "outputSampleRate", "clientBufferSizeMs", "dataMessages", "mediaIdleTimeout"];
const MODELS: &[&str] =
    &["ultravox-v0.7", "fixie-ai/ultravox", "ultravox-v0.6", "ultravox-v0.6-llama3.3-70b", "ultravox-v0.6-gemma3-27b"];
/// The longest that a function may take, and how long it may without saying so.
const MOST_TIMEOUT: Duration = Duration::from_secs(40);
const USUAL_TIMEOUT: Duration = Duration::from_millis(2_500);
/// The largest request, and how many calls are remembered.
const MAX_REQUEST: usize = 4 << 20;
const MOST_CALLS: usize = 10_000;

/// What a call was made with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Wanted {
    pub(super) instructions: String,
    pub(super) input_rate: u32,
    pub(super) output_rate: u32,
    /// How far speech may run ahead of its playing.
    pub(super) ahead_ms: u64,
    pub(super) turn_end_ms: u64,
    /// The agent writes instead of speaking.
    pub(super) writes: bool,
    pub(super) speaks_first: bool,
    /// Messages that are wanted of the user's speech.
    pub(super) started: bool,
    pub(super) stopped: bool,
    /// Functions, with how long they may take.
    pub(super) tools: BTreeMap<String, Duration>,
    /// Messages that were there before.
    pub(super) history: u64,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) wanted: Wanted,
    pub(super) joined: Option<Instant>,
    pub(super) ended: Option<Instant>,
    pub(super) reason: &'static str,
}

/// Every call that was made.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<BTreeMap<String, Arc<Mutex<Call>>>>);

impl Calls {
    pub(super) fn make(&self, wanted: Wanted) -> String {
        let mut calls = lock(&self.0);
        let number =
            calls.last_key_value().and_then(|(id, _)| u64::from_str_radix(id.get(24..)?, 16).ok()).unwrap_or(0);
        let id = format!("00000000-0000-4000-9000-{:012x}", number + 1);
        let call = Call { id: id.clone(), wanted, joined: None, ended: None, reason: "hangup" };
        calls.insert(id.clone(), Arc::new(Mutex::new(call)));
        if calls.len() > MOST_CALLS {
            calls.pop_first();
        }
        id
    }

    /// The call, where there is one.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Mutex<Call>>> {
        lock(&self.0).get(id).cloned()
    }
}

/// A refusal: its status, and the field that it is about.
type Refused = (u16, &'static str, String);

fn wrong(field: &'static str, message: &str) -> Refused {
    (400, field, message.to_owned())
}

/// Whether a request is one for calls.
pub(super) fn is_asked(head: &str) -> bool {
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    matches!(method, "GET" | "POST")
        && ["/api/calls", "/calls", "/api/agents/", "/agents/"].iter().any(|at| path.starts_with(at))
}

/// Answers one request and closes the connection.
pub(super) async fn answer(shared: &Shared, stream: &mut TcpStream) -> io::Result<()> {
    let Some((head, body)) = request(stream).await? else { return Ok(()) };
    let target = head.split(' ').nth(1).unwrap_or_default();
    note(shared, &head, target, &body);
    let (status, body) = match asked(shared, &head, target, &body) {
        Ok((status, body)) => (status, body),
        Err((status, "detail", message)) => (status, json!({"detail": message})),
        Err((status, field, message)) => (status, json!({field: [message]})),
    };
    let body = body.to_string();
    let head = "content-type: application/json\r\nconnection: close\r\ncontent-length";
    stream.write_all(format!("HTTP/1.1 {status} S\r\n{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await
}

fn note(shared: &Shared, head: &str, target: &str, body: &[u8]) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let headers: Vec<(String, &str)> = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim())).collect();
    let noted = json!({"method": head.split(' ').next(), "path": path, "query": query, "headers": headers,
        "fields": [], "file": null, "json": serde_json::from_slice::<Value>(body).ok()});
    keep_last(&mut lock(&shared.seen).requests, noted);
}

/// The head and the body of a request; `None` for one that breaks off or is too large.
async fn request(stream: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
            let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if let Some(body) = bytes.get(end + 4..).filter(|body| body.len() >= length) {
                return Ok(Some((head, body.to_vec())));
            }
        }
        let mut more = [0; 4096];
        let read = stream.read(&mut more).await?;
        if read == 0 || bytes.len() > MAX_REQUEST {
            return Ok(None);
        }
        bytes.extend_from_slice(more.get(..read).unwrap_or_default());
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.split("\r\n").filter_map(|line| line.split_once(':'));
    headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn asked(shared: &Shared, head: &str, target: &str, body: &[u8]) -> Result<(u16, Value), Refused> {
    if header(head, "x-api-key") != Some(&shared.config.api_key) {
        return Err((401, "detail", "Authentication credentials were not provided.".to_owned()));
    }
    let (path, _query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix("/api").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let made = match (head.starts_with("POST "), parts.as_slice()) {
        (true, ["calls"]) => read_call(&read_json(body)?)?,
        (true, ["agents", agent, "calls"]) if !agent.is_empty() => read_agents_call(&read_json(body)?)?,
        (false, ["calls", id]) => return shared.agents.get(id).map(|call| (200, shown(&lock(&call)))).ok_or_else(none),
        _ => return Err(none()),
    };
    let id = shared.agents.make(made);
    let call = shared.agents.get(&id).ok_or_else(none)?;
    let mut answer = shown(&lock(&call));
    let host = header(head, "host").unwrap_or_default();
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("joinUrl".to_owned(), json!(format!("ws://{host}/join/{id}?token=t%2B1")));
    }
    Ok((201, answer))
}

fn none() -> Refused {
    (404, "detail", "Not found.".to_owned())
}

fn read_json(body: &[u8]) -> Result<Map<String, Value>, Refused> {
    serde_json::from_slice(body).map_err(|_| wrong("detail", "JSON parse error."))
}

fn shown(call: &Call) -> Value {
    let lived = call.ended.zip(call.joined).map(|(ended, joined)| ended.saturating_duration_since(joined));
    let billed = lived.map(|lived| format!("{}s", lived.as_millis().div_ceil(6_000) * 6));
    let time = |there: bool| there.then_some("2026-11-21T00:00:00Z");
    json!({
        "callId": call.id, "created": time(true), "joined": time(call.joined.is_some()),
        "ended": time(call.ended.is_some()), "endReason": call.ended.map(|_| call.reason), "billedDuration": billed,
        "billingStatus": if billed.is_some() { "BILLING_STATUS_BILLED" } else { "BILLING_STATUS_PENDING" },
        "joinTimeout": "30s", "maxDuration": "3600s", "systemPrompt": call.wanted.instructions,
    })
}

fn only(body: &Map<String, Value>, more: &[&str]) -> Result<(), Refused> {
    match body.keys().find(|name| !FIELDS.contains(&name.as_str()) && !more.contains(&name.as_str())) {
        Some(name) => Err(wrong("detail", &format!("Unknown field {name}."))),
        None => Ok(()),
    }
}

fn read_call(body: &Map<String, Value>) -> Result<Wanted, Refused> {
    only(body, CALL_FIELDS)?;
    let mut wanted = common(body)?;
    let temperature = body.get("temperature").map_or(Some(0.0), Value::as_f64);
    if !temperature.is_some_and(|temperature| (0.0..=1.0).contains(&temperature)) {
        return Err(wrong("temperature", "Ensure this value is from 0 to 1."));
    }
    if !body.get("model").is_none_or(|model| model.as_str().is_some_and(|model| MODELS.contains(&model))) {
        return Err(wrong("model", "Unknown model."));
    }
    if body.get("languageHint").is_some_and(|hint| hint.as_str().is_none_or(|hint| hint.len() > 16)) {
        return Err(wrong("languageHint", "Ensure this field has no more than 16 characters."));
    }
    if let Some(prompt) = body.get("systemPrompt") {
        wanted.instructions = prompt.as_str().ok_or_else(|| wrong("systemPrompt", "Not a valid string."))?.to_owned();
    }
    if let Some(delay) = body.get("vadSettings").and_then(|vad| vad.get("turnEndpointDelay")) {
        let delay = seconds(delay).ok_or_else(|| wrong("vadSettings", "turnEndpointDelay is no duration."))?;
        wanted.turn_end_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    }
    let tools = body.get("selectedTools").and_then(Value::as_array);
    wanted.tools = tools.into_iter().flatten().map(read_tool).collect::<Result<_, _>>()?;
    Ok(wanted)
}

/// A call of an agent of the account, which greets where it is not told who speaks first.
fn read_agents_call(body: &Map<String, Value>) -> Result<Wanted, Refused> {
    only(body, AGENT_FIELDS)?;
    let mut wanted = common(body)?;
    "I greet everybody.".clone_into(&mut wanted.instructions);
    let tools = body.get("toolOverrides").and_then(|tools| tools.get("add")).and_then(Value::as_array);
    wanted.tools = tools.into_iter().flatten().map(read_tool).collect::<Result<_, _>>()?;
    Ok(wanted)
}

fn common(body: &Map<String, Value>) -> Result<Wanted, Refused> {
    let medium = body.get("medium").and_then(Value::as_object);
    let socket = medium.and_then(|medium| medium.get("serverWebSocket")).and_then(Value::as_object);
    let socket = socket.ok_or_else(|| wrong("medium", "Only serverWebSocket is scripted."))?;
    if socket.keys().any(|name| !SOCKET_FIELDS.contains(&name.as_str())) {
        return Err(wrong("medium", "Unknown field."));
    }
    let rate = |name: &str| {
        let rate = socket.get(name).map(|rate| rate.as_u64().and_then(|rate| u32::try_from(rate).ok()).unwrap_or(0));
        rate.map(|rate| Some(rate).filter(|rate| (8_000..=48_000).contains(rate)))
    };
    let unheard = || wrong("medium", "A sample rate from 8000 to 48000 is required.");
    let input_rate = rate("inputSampleRate").flatten().ok_or_else(unheard)?;
    let output_rate = rate("outputSampleRate").unwrap_or(Some(input_rate)).ok_or_else(unheard)?;
    let message = |name: &str| socket.get("dataMessages").and_then(|messages| messages.get(name)) == Some(&json!(true));
    let history = body.get("initialMessages").and_then(Value::as_array);
    let spoken = |message: &Value| {
        let role = message.get("role").and_then(Value::as_str);
        matches!(role, Some("MESSAGE_ROLE_USER" | "MESSAGE_ROLE_AGENT"))
            && message.get("text").is_some_and(Value::is_string)
    };
    if !history.into_iter().flatten().all(spoken) {
        return Err(wrong("initialMessages", "A message has a role and a text."));
    }
    Ok(Wanted {
        instructions: String::new(),
        input_rate,
        output_rate,
        ahead_ms: socket.get("clientBufferSizeMs").and_then(Value::as_u64).unwrap_or(60),
        turn_end_ms: 384,
        writes: body.get("initialOutputMedium") == Some(&json!("MESSAGE_MEDIUM_TEXT")),
        speaks_first: body.get("firstSpeakerSettings").is_none_or(|first| first.get("user").is_none()),
        started: message("userStartedSpeaking"),
        stopped: message("userStoppedSpeaking"),
        tools: BTreeMap::new(),
        history: history.map_or(0, |history| history.len() as u64),
    })
}

fn read_tool(selected: &Value) -> Result<(String, Duration), Refused> {
    let wrong = |message: &str| wrong("selectedTools", message);
    let tool = selected.get("temporaryTool").ok_or_else(|| wrong("Only temporary tools are scripted."))?;
    let name = tool.get("modelToolName").and_then(Value::as_str).unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(wrong("modelToolName must match ^[a-zA-Z0-9_-]{1,64}$."));
    }
    if !tool.get("client").is_some_and(Value::is_object) {
        return Err(wrong("Only client tools are scripted."));
    }
    for parameter in tool.get("dynamicParameters").and_then(Value::as_array).into_iter().flatten() {
        let typed = parameter.get("schema").and_then(|schema| schema.get("type")).is_some_and(Value::is_string);
        let placed = parameter.get("location") == Some(&json!("PARAMETER_LOCATION_BODY"));
        if !typed || !placed || !parameter.get("name").is_some_and(Value::is_string) {
            return Err(wrong("A parameter has a name, a schema with a type, and stands in the body."));
        }
    }
    let timeout = match tool.get("timeout") {
        None => USUAL_TIMEOUT,
        Some(timeout) => seconds(timeout).ok_or_else(|| wrong("timeout is no duration."))?,
    };
    if timeout > MOST_TIMEOUT {
        return Err(wrong("timeout must be at most 40s."));
    }
    Ok((name.to_owned(), timeout))
}

fn seconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_str()?.strip_suffix('s')?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(more: Value) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("medium".to_owned(), json!({"serverWebSocket": {"inputSampleRate": 8000}}));
        body.extend(more.as_object().unwrap().clone());
        body
    }

    #[test]
    fn a_call_is_made_of_what_the_vendor_takes() {
        let tool = |tool: Value| call(json!({"selectedTools": [{"temporaryTool": tool}]}));
        let made = read_call(&tool(json!({"modelToolName": "f", "client": {}, "timeout": "40s"}))).unwrap();
        assert_eq!((made.input_rate, made.output_rate, made.ahead_ms), (8_000, 8_000, 60));
        assert!(made.speaks_first, "unless it is told otherwise");
        assert_eq!(made.tools, BTreeMap::from([("f".to_owned(), MOST_TIMEOUT)]));
        let untyped = json!([{"name": "p", "location": "PARAMETER_LOCATION_BODY", "schema": {}}]);
        for (bad, field) in [
            (call(json!({"medium": {"serverWebSocket": {"inputSampleRate": 0}}})), "medium"),
            (call(json!({"medium": {"webRtc": {}}})), "medium"),
            (call(json!({"temperature": 1.5})), "temperature"),
            (call(json!({"model": "gpt"})), "model"),
            (call(json!({"instructions": "x"})), "detail"),
            (call(json!({"vadSettings": {"turnEndpointDelay": 500}})), "vadSettings"),
            (tool(json!({"modelToolName": "no spaces", "client": {}})), "selectedTools"),
            (tool(json!({"modelToolName": "f", "client": {}, "timeout": "41s"})), "selectedTools"),
            (tool(json!({"modelToolName": "f", "client": {}, "dynamicParameters": untyped})), "selectedTools"),
        ] {
            assert_eq!(read_call(&bad).unwrap_err().1, field, "{bad:?}");
        }
    }

    #[test]
    fn a_call_is_billed_in_steps_of_six_seconds() {
        let now = Instant::now();
        let mut call =
            Call { id: "c".to_owned(), wanted: Wanted::default(), joined: None, ended: None, reason: "hangup" };
        assert_eq!(shown(&call)["billedDuration"], Value::Null);
        call.joined = Some(now);
        call.ended = Some(now + Duration::from_millis(37_000));
        assert_eq!((&shown(&call)["billedDuration"], &shown(&call)["endReason"]), (&json!("42s"), &json!("hangup")));
    }
}
