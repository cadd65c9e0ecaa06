//! The scripted upstream over real sockets: what a gateway's tests rely on.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a helper that fails ends its test")]

mod agents;
mod scenarios;

use futures_util::{SinkExt, StreamExt};
use loadtest::{
    upstream::{self, CloseWs, Config, Fault, Kind, Rule, UpstreamHandle},
    wav,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

async fn start(kind: Kind) -> UpstreamHandle {
    upstream::start(Config { kind, ..Config::default() }).await.unwrap()
}

/// An answer as it came over the wire; `whole` is false when the body broke off.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
    whole: bool,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

async fn send(upstream: &UpstreamHandle, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(upstream.addr).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: upstream\r\nconnection: close\r\nuser-agent: test\r\n\
         content-length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.unwrap();
    let split = raw.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(raw[..split].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let (body, whole) = body_of(&head, &raw[split + 4..]);
    Answer { status, head, body, whole }
}

fn body_of(head: &str, raw: &[u8]) -> (Vec<u8>, bool) {
    if let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        return (raw.to_vec(), raw.len() == length.parse::<usize>().unwrap());
    }
    let (mut body, mut at) = (Vec::new(), 0);
    while let Some(end) = raw[at..].windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&raw[at..at + end]).unwrap(), 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let from = at + end + 2;
        body.extend(&raw[from..raw.len().min(from + size)]);
        at = raw.len().min(from + size + 2);
    }
    (body, false)
}

const KEY: &str = "authorization: Bearer sk-upstream\r\n";

async fn post_json(upstream: &UpstreamHandle, path: &str, body: Value) -> Answer {
    let headers = format!("{KEY}content-type: application/json\r\n");
    send(upstream, "POST", path, &headers, body.to_string().as_bytes()).await
}

async fn post_form(upstream: &UpstreamHandle, path: &str, fields: &[(&str, &str)], file: Option<&[u8]>) -> Answer {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.as_bytes());
    }
    if let Some(file) = file {
        body.extend(b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n");
        body.extend(file);
        body.extend(b"\r\n");
    }
    body.extend(b"--B--\r\n");
    let headers = format!("{KEY}content-type: multipart/form-data; boundary=B\r\n");
    send(upstream, "POST", path, &headers, &body).await
}

fn two_seconds() -> Vec<u8> {
    wav::sample(wav::HEADER_BYTES + 64_000)
}

#[tokio::test]
async fn a_transcription_is_checked_measured_and_counted() {
    let upstream = start(Kind::Openai).await;
    let path = "/v1/audio/transcriptions";
    let file = two_seconds();
    let answer = post_form(&upstream, path, &[("model", "gpt-4o-transcribe")], Some(&file)).await;
    assert_eq!(answer.status, 200);
    let usage = &answer.json()["usage"];
    assert_eq!((&usage["type"], &usage["input_tokens"]), (&json!("tokens"), &json!(20)));
    let answer =
        post_form(&upstream, path, &[("model", "whisper-1"), ("response_format", "verbose_json")], Some(&file)).await;
    assert_eq!((&answer.json()["duration"], &answer.json()["usage"]["seconds"]), (&json!(2.0), &json!(2)));
    let srt = post_form(&upstream, path, &[("model", "whisper-1"), ("response_format", "srt")], Some(&file)).await;
    assert!(srt.text().starts_with("1\n00:00:00,000 --> 00:00:01,000\n"), "{}", srt.text());
    let stream = post_form(&upstream, path, &[("model", "gpt-4o-transcribe"), ("stream", "true")], Some(&file)).await;
    assert!(stream.head.contains("text/event-stream") && stream.text().contains("transcript.text.done"));
    let wrong = [("model", "gpt-4o-transcribe"), ("response_format", "srt")];
    assert_eq!(post_form(&upstream, path, &wrong, Some(&file)).await.json()["error"]["param"], "response_format");
    assert_eq!(post_form(&upstream, path, &[("model", "whisper-1")], None).await.json()["error"]["param"], "file");
    assert_eq!(post_form(&upstream, path, &[], Some(&file)).await.json()["error"]["param"], "model");
    let count = upstream.counts().of("audio/transcriptions");
    assert_eq!((count.whole.answers, count.whole.audio_in_ms, count.refused), (4, 8_000, 2));
    let file_seen = upstream.requests()[0].file.clone().unwrap();
    assert_eq!((file_seen.bytes, file_seen.crc32), (file.len() as u64, crc32fast::hash(&file)));
    assert!(upstream.counts().violations.is_empty(), "{:?}", upstream.counts().violations);
}

#[tokio::test]
async fn groq_has_its_own_limits() {
    let upstream = start(Kind::Groq).await;
    let path = "/openai/v1/audio/transcriptions";
    let model = ("model", "whisper-large-v3-turbo");
    let file = two_seconds();
    for refused in [("response_format", "srt"), ("stream", "true")] {
        assert_eq!(post_form(&upstream, path, &[model, refused], Some(&file)).await.status, 400, "{refused:?}");
    }
    let answer = post_form(&upstream, path, &[model, ("response_format", "verbose_json")], Some(&file)).await.json();
    assert_eq!(answer["duration"], 2.0);
    assert!(answer.get("usage").is_none() && answer["x_groq"]["id"].is_string());
    let speech = |input: String, format: &str| {
        let body = json!({"model": "canopylabs/orpheus-v1-english", "voice": "troy", "input": input,
                          "response_format": format});
        post_json(&upstream, "/openai/v1/audio/speech", body)
    };
    assert_eq!(speech("x".repeat(201), "wav").await.status, 400);
    assert_eq!(speech("x".into(), "mp3").await.status, 400);
    assert!(speech("x".into(), "wav").await.body.starts_with(b"RIFF"));
}

#[tokio::test]
async fn speech_flows_at_the_pace_of_the_script() {
    let upstream = start(Kind::Openai).await;
    let input = "Paced. script:bytes=4000 script:chunk_bytes=1000 script:chunk_ms=30";
    let body = json!({"model": "tts-1", "voice": "alloy", "input": input, "response_format": "pcm"});
    let started = std::time::Instant::now();
    let answer = post_json(&upstream, "/v1/audio/speech", body).await;
    assert_eq!((answer.status, answer.body.len(), answer.whole), (200, 4_000, true));
    assert!(started.elapsed().as_millis() >= 90, "three pauses of 30 ms lie between four pieces");
    let count = upstream.counts().of("audio/speech");
    assert_eq!((count.whole.bytes_out, count.whole.audio_out_ms), (4_000, 83));
    assert_eq!(count.whole.characters, input.chars().count() as u64);
}

#[tokio::test]
async fn a_cut_stream_breaks_where_it_should_and_is_counted_as_cut() {
    let upstream = start(Kind::Openai).await;
    upstream.script(Rule::once("audio/speech", Fault { cut_after_bytes: Some(2_500), ..Fault::default() }));
    let body = json!({"model": "tts-1", "voice": "alloy", "input": "Cut me off.", "response_format": "pcm"});
    let answer = post_json(&upstream, "/v1/audio/speech", body.clone()).await;
    assert_eq!((answer.status, answer.body.len(), answer.whole), (200, 2_500, false));
    let answer = post_json(&upstream, "/v1/audio/speech", body).await;
    assert!(answer.whole, "the rule was good for one request");
    let count = upstream.counts().of("audio/speech");
    assert_eq!((count.requests, count.whole.answers, count.cut.answers, count.cut.bytes_out), (2, 1, 1, 2_500));
}

#[tokio::test]
async fn what_became_of_a_serial_number_is_told() {
    let upstream = start(Kind::Openai).await;
    let body = |text: &str| json!({"model": "tts-1", "voice": "alloy", "input": text, "response_format": "mp3"});
    post_json(&upstream, "/v1/audio/speech", body("serial:a Hello.")).await;
    post_json(&upstream, "/v1/audio/speech", body("serial:b script:cut_after_bytes=10 Cut.")).await;
    post_json(&upstream, "/v1/audio/speech", body("No number.")).await;
    let mut socket = connect(&upstream, "model=gpt-realtime-2.1", "sk-upstream").await;
    let asked = json!({"instructions": "serial:c", "output_modalities": ["text"]});
    tell(&mut socket, json!({"type": "response.create", "response": asked})).await;
    until(&mut socket, "response.done").await;
    socket.close(None).await.unwrap();
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    let serials = send(&upstream, "GET", "/_counts", "", b"").await.json()["serials"].clone();
    let fate = |serial: &str| {
        let fate = &serials[serial];
        (fate["path"].clone(), fate["accepted"]["answers"].clone(), fate["whole"]["answers"].clone())
    };
    assert_eq!(fate("a"), (json!("audio/speech"), json!(1), json!(1)));
    assert_eq!(fate("b"), (json!("audio/speech"), json!(1), json!(0)), "cut, and so not delivered");
    assert_eq!(fate("c"), (json!("realtime"), json!(1), json!(1)));
    assert_eq!(serials["a"]["whole"]["characters"], 15);
    let cut = "serial:b script:cut_after_bytes=10 Cut.".len();
    assert_eq!(serials["b"]["accepted"]["characters"], cut, "asked for whole, and so billed");
    let all = upstream.counts().of("audio/speech");
    assert_eq!((all.accepted.answers, all.whole.answers, all.cut.answers), (3, 2, 1));
    assert_eq!(serials.as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn the_control_endpoints_script_count_and_forget() {
    let upstream = start(Kind::Openai).await;
    let rule = json!({"path": "models/x", "times": 2, "fault": {"status": 429}});
    assert_eq!(send(&upstream, "POST", "/_script", "", rule.to_string().as_bytes()).await.json()["rules"], 1);
    assert_eq!(send(&upstream, "DELETE", "/_script", "", b"").await.json()["rules"], 0);
    let rule = json!({"path": "chat/completions", "fault":
        {"status": 429, "headers": {"retry-after": "7"}, "body": "slow down"}});
    send(&upstream, "POST", "/_script", "", rule.to_string().as_bytes()).await;
    let chat = json!({"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hi"}], "stream": true,
                      "stream_options": {"include_usage": true}});
    let refused = post_json(&upstream, "/v1/chat/completions", chat.clone()).await;
    assert_eq!((refused.status, refused.text().as_str()), (429, "slow down"));
    assert!(refused.head.contains("retry-after: 7"));
    let answer = post_json(&upstream, "/v1/chat/completions", chat).await.text();
    assert!(answer.contains("\"prompt_tokens\"") && answer.ends_with("data: [DONE]\n\n"));
    let counts = send(&upstream, "GET", "/_counts", "", b"").await.json();
    assert_eq!((&counts["by"][0]["refused"], &counts["by"][0]["whole"]["answers"]), (&json!(1), &json!(1)));
    let wrong = send(&upstream, "POST", "/_script", "", br#"{"fault": {"statsu": 1}}"#).await;
    assert_eq!(wrong.status, 400, "a mistyped rule is not silently a rule that does nothing");
}

#[tokio::test]
async fn deepgram_takes_the_file_as_the_body_and_refuses_in_three_shapes() {
    let upstream = start(Kind::Deepgram).await;
    let file = two_seconds();
    let listen = |headers: &'static str, query: &'static str| {
        let (upstream, file) = (&upstream, &file);
        async move { send(upstream, "POST", &format!("/v1/listen?{query}"), headers, file).await }
    };
    const TOKEN: &str = "authorization: Token sk-upstream\r\ncontent-type: audio/wav\r\n";
    let heard = listen(TOKEN, "model=nova-3&punctuate=true&utterances=true&diarize_model=latest").await.json();
    assert_eq!(heard["metadata"]["duration"], 2.0);
    assert_eq!(heard["results"]["utterances"][1]["speaker"], 1);
    assert_eq!(heard["results"]["channels"][0]["alternatives"][0]["words"][0]["punctuated_word"], "The");
    assert_eq!(upstream.counts().of("v1/listen").whole.audio_in_ms, 2_000);

    let bearer = "authorization: Bearer sk-upstream\r\ncontent-type: audio/wav\r\n";
    let refused = listen(bearer, "model=nova-3").await;
    assert_eq!((refused.status, refused.json()["err_code"].as_str()), (401, Some("INVALID_AUTH")));
    let form = "authorization: Token sk-upstream\r\ncontent-type: multipart/form-data; boundary=B\r\n";
    assert_eq!(listen(form, "model=nova-3").await.status, 400);
    let unknown = listen(TOKEN, "model=nova-3&smart=true").await;
    assert!(unknown.status == 400 && unknown.text().contains("unknown field `smart`"), "in plain text");
    for refused in
        ["model=flux-general-en", "model=nova-2&keyterm=a", "model=nova-3&keywords=a", "model=nova-3&numerals=1"]
    {
        assert_eq!(listen(TOKEN, refused).await.status, 400, "{refused}");
    }
    assert_eq!(upstream.counts().violations, ["unknown option smart (1×)"]);

    let speak = |query: &'static str, body: String| {
        let (upstream, headers) = (&upstream, "authorization: Token sk-upstream\r\ncontent-type: application/json\r\n");
        async move { send(upstream, "POST", &format!("/v1/speak?{query}"), headers, body.as_bytes()).await }
    };
    let text = |length: usize| json!({ "text": "x".repeat(length) }).to_string();
    let spoken = speak("model=aura-2-thalia-en&encoding=linear16&container=wav&sample_rate=24000", text(10)).await;
    assert!(spoken.body.starts_with(b"RIFF") && spoken.head.contains("dg-char-count: 10"));
    assert_eq!(speak("model=aura-2-thalia-en&encoding=mp3&sample_rate=24000", text(10)).await.status, 400);
    assert_eq!(speak("model=aura-2-thalia-en", text(2001)).await.status, 413);
    assert_eq!(speak("model=flux-kit-en", text(10)).await.status, 400, "of the other path");
    let broken = speak("model=aura-2-thalia-en", "{".to_owned()).await;
    assert_eq!(broken.json()["category"], "INVALID_JSON");
}

#[tokio::test]
async fn leaks_and_wrong_credentials_are_noticed() {
    let upstream = start(Kind::Openai).await;
    let refused = send(&upstream, "GET", "/v1/models", "authorization: Bearer wrong\r\n", b"").await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (401, &json!("invalid_api_key")));
    let leaky = format!("{KEY}x-forwarded-for: 10.0.0.1\r\nx-key: sk-ap-abc\r\n");
    assert_eq!(send(&upstream, "GET", "/v1/models", &leaky, b"").await.status, 200);
    let violations = upstream.counts().violations.join("; ");
    assert!(violations.contains("unexpected header x-forwarded-for"), "{violations}");
    assert!(violations.contains("the client's key in header x-key"), "{violations}");
    upstream.reset();
    assert_eq!(upstream.counts(), upstream::Counts::default());
}

async fn connect(upstream: &UpstreamHandle, query: &str, key: &str) -> WebSocketStream<TcpStream> {
    let mut request = format!("ws://{}/v1/realtime?{query}", upstream.addr).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    let stream = TcpStream::connect(upstream.addr).await.unwrap();
    client_async(request, stream).await.unwrap().0
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Value {
    match socket.next().await.unwrap().unwrap() {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("not an event: {other:?}"),
    }
}

async fn until(socket: &mut WebSocketStream<TcpStream>, kind: &str) -> (Vec<String>, Value) {
    let mut kinds = Vec::new();
    loop {
        let event = next(socket).await;
        kinds.push(event["type"].as_str().unwrap().to_owned());
        if event["type"] == kind {
            return (kinds, event);
        }
    }
}

async fn tell(socket: &mut WebSocketStream<TcpStream>, event: Value) {
    socket.send(Message::text(event.to_string())).await.unwrap();
}

fn half_a_second() -> String {
    "AAAA".repeat(8_000)
}

#[tokio::test]
async fn a_realtime_turn_runs_in_the_documented_order_and_is_counted() {
    let upstream = start(Kind::Openai).await;
    let mut socket = connect(&upstream, "model=gpt-realtime-2.1", "sk-upstream").await;
    assert_eq!(next(&mut socket).await["type"], "session.created");
    tell(&mut socket, json!({"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief."}}))
        .await;
    assert_eq!(next(&mut socket).await["session"]["instructions"], "Be brief.");
    tell(&mut socket, json!({"type": "input_audio_buffer.commit", "event_id": "mine"})).await;
    let early = next(&mut socket).await;
    assert_eq!(
        (&early["error"]["code"], &early["error"]["event_id"]),
        (&json!("input_audio_buffer_commit_empty"), &json!("mine"))
    );
    tell(&mut socket, json!({"type": "input_audio_buffer.append", "audio": half_a_second()})).await;
    tell(&mut socket, json!({"type": "input_audio_buffer.commit"})).await;
    tell(&mut socket, json!({"type": "response.create"})).await;
    let (kinds, done) = until(&mut socket, "response.done").await;
    let order = [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "rate_limits.updated",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
    ];
    assert_eq!(kinds[..order.len()], order);
    let usage = &done["response"]["usage"];
    assert_eq!(
        (&usage["input_token_details"]["audio_tokens"], &usage["output_token_details"]["audio_tokens"]),
        (&json!(5), &json!(20))
    );
    socket.close(None).await.unwrap();
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    let count = upstream.counts().of("realtime");
    assert_eq!((count.whole.answers, count.whole.audio_in_ms, count.appended_bytes), (1, 500, 24_000));
    assert_eq!(usage["total_tokens"], count.whole.tokens_in + count.whole.tokens_out);
}

#[tokio::test]
async fn a_transcription_session_reports_its_own_usage() {
    let upstream = start(Kind::Openai).await;
    let mut socket = connect(&upstream, "intent=transcription", "sk-upstream").await;
    assert_eq!(next(&mut socket).await["session"]["type"], "transcription");
    let input = json!({"transcription": {"model": "gpt-4o-transcribe"}, "turn_detection": null});
    tell(
        &mut socket,
        json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input": input}}}),
    )
    .await;
    tell(&mut socket, json!({"type": "input_audio_buffer.append", "audio": half_a_second()})).await;
    tell(&mut socket, json!({"type": "input_audio_buffer.commit"})).await;
    let (_, done) = until(&mut socket, "conversation.item.input_audio_transcription.completed").await;
    assert_eq!(done["usage"]["input_token_details"]["audio_tokens"], 5);
}

#[tokio::test]
async fn a_session_is_cancelled_closed_and_refused_as_the_provider_does() {
    let upstream = start(Kind::Openai).await;
    upstream.script(Rule::once("realtime", Fault { chunk_ms: Some(5), ..Fault::default() }));
    let mut socket = connect(&upstream, "model=m", "sk-upstream").await;
    tell(&mut socket, json!({"type": "response.create"})).await;
    until(&mut socket, "response.created").await;
    tell(&mut socket, json!({"type": "response.cancel"})).await;
    assert_eq!(until(&mut socket, "response.done").await.1["response"]["status"], "cancelled");

    let close_ws = Some(CloseWs { code: 1001, reason: "bye".into(), after_frames: 1 });
    upstream.script(Rule::once("realtime", Fault { close_ws, ..Fault::default() }));
    let mut socket = connect(&upstream, "model=m", "sk-upstream").await;
    assert_eq!(next(&mut socket).await["type"], "session.created");
    tell(&mut socket, json!({"type": "input_audio_buffer.append", "audio": "AAAA"})).await;
    let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else { panic!("no close") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1001, "bye"));

    let mut socket = connect(&upstream, "model=m", "wrong").await;
    assert_eq!(next(&mut socket).await["error"]["code"], "invalid_api_key");
    assert!(matches!(socket.next().await.unwrap().unwrap(), Message::Close(_)));
}
