//! `/realtime`: the upgrade and the loop of one session. What the events look like is in `realtime_events`.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    CloseWs, Fault, Kind, Request, Shared,
    answer::{self, Refusal},
    audit,
    body::ScriptBody,
    counts::Line,
    realtime_events::{self as events, Session},
    routes::Slot,
    script,
};

/// OpenAI bounds an append at 15 MiB; a little more so that the refusal is the gateway's to make.
const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;

/// A session whose upgrade was answered and which now waits for its socket.
#[derive(Debug)]
pub(super) struct Pending {
    socket: OnUpgrade,
    line: Arc<Line>,
    session: Session,
    fault: Fault,
    /// Said as the first event, followed by a close with the code.
    refusal: Option<(Refusal, u16)>,
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers the handshake. OpenAI upgrades first and refuses in the first event; Azure refuses the handshake.
pub(super) fn upgrade(
    shared: &Shared,
    slot: &Slot,
    record: &Request,
    parts: &mut Parts,
) -> Result<Response<ScriptBody>, Refusal> {
    let kind = shared.config.kind;
    let query = |name: &str| query_value(&record.query, name);
    let transcription = query("intent").as_deref() == Some("transcription");
    let model = query("model").unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let fault = shared.take_rule(&path, Some(&model), false).or_else(|| script::from_text(&model));
    let mut fault = fault.unwrap_or_else(|| shared.config.default_fault.clone());
    shared.behave("realtime", &mut fault);
    let line = shared.table.line("realtime", if transcription { "transcription" } else { &model });
    line.requests.fetch_add(1, Ordering::Relaxed);
    if let Some(mut response) = answer::scripted(kind, &Fault { huge_bytes: None, ..fault.clone() }) {
        answer::add_headers(&mut response, &fault);
        line.refused.fetch_add(1, Ordering::Relaxed);
        return Ok(response);
    }
    let refusal = check(shared, parts, &record.query, transcription, &model).err();
    if refusal.is_some() {
        line.refused.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(refusal) = refusal.as_ref().filter(|_| kind != Kind::Openai) {
        return Err(refusal.clone());
    }
    let accept = accept_key(parts)?;
    let beta = parts.headers.contains_key("openai-beta");
    let refusal = refusal.map(|refusal| (refusal, if beta { 4000 } else { 3000 }));
    let socket = parts.extensions.remove::<OnUpgrade>();
    let socket = socket.ok_or_else(|| Refusal::new(426, "upgrade_required", "This connection cannot be upgraded."))?;
    let session = Session::new(transcription, &model, shared.next_serial(), fault.echo.unwrap_or(0));
    *super::lock(slot) = Some(Pending { socket, line, session, fault, refusal });
    Ok(switching(parts, accept))
}

fn check(shared: &Shared, parts: &Parts, query: &str, transcription: bool, model: &str) -> Result<(), Refusal> {
    let kind = shared.config.kind;
    if kind == Kind::Groq {
        return Err(Refusal::new(404, "not_found", "Invalid URL (GET /openai/v1/realtime)"));
    }
    if kind == Kind::Azure && query.contains("api-version=") {
        return Err(Refusal::new(401, "401", "api-version is not accepted on this URL."));
    }
    audit::check_credential(shared, &parts.headers)?;
    if parts.headers.contains_key("openai-beta") {
        return Err(Refusal::new(400, "beta_api_shape_disabled", "The Realtime beta API is no longer available."));
    }
    if transcription && !model.is_empty() {
        let message = "You must not provide a model parameter for transcription sessions.";
        return Err(Refusal::bad("invalid_model", "model", message));
    }
    if !transcription && model.is_empty() {
        return Err(Refusal::missing("model"));
    }
    Ok(())
}

fn accept_key(parts: &Parts) -> Result<String, Refusal> {
    let is = |name: &str, wanted: &str| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted))
    };
    let key = parts.headers.get("sec-websocket-key");
    match key {
        Some(key) if is("connection", "upgrade") && is("upgrade", "websocket") && is("sec-websocket-version", "13") => {
            Ok(derive_accept_key(key.as_bytes()))
        }
        _ => Err(Refusal::new(426, "upgrade_required", "Open this URL as a WebSocket.")),
    }
}

fn switching(parts: &Parts, accept: String) -> Response<ScriptBody> {
    let mut response = Response::new(ScriptBody::whole(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    let protocols = parts.headers.get("sec-websocket-protocol").and_then(|value| value.to_str().ok());
    if protocols.is_some_and(|offered| offered.split(',').any(|one| one.trim() == "realtime")) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("realtime"));
    }
    response
}

/// A value of a query string, percent-decoded.
fn query_value(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(have, _)| *have == name))?.1;
    decoded(value)
}

/// Text out of a query string; `None` when it is not UTF-8.
pub(super) fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let digits = [rest.clone().next(), rest.clone().nth(1)];
        let decoded = match (byte, digits) {
            (b'%', [Some(high), Some(low)]) => hex(high).zip(hex(low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        if decoded.is_some() {
            rest.nth(1);
        }
        bytes.push(decoded.unwrap_or(if byte == b'+' { b' ' } else { byte }));
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Holds one session until one side ends it.
pub(super) async fn run(shared: Arc<Shared>, pending: Pending) {
    let Pending { socket, line, session, fault, refusal } = pending;
    let Ok(upgraded) = socket.await else { return };
    // The default buffers (128 KiB each) would be the largest part of a thousand sessions.
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(8 * 1024)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    line.open_sessions.fetch_add(1, Ordering::Relaxed);
    let mut driver = Driver { shared: &shared, line: &line, session, fault, turns: 0 };
    // However it ends (the peer left, a close of ours), there is nobody to tell. A peer that cannot be
    // written to any more may have sent something before, which has arrived all the same.
    if Box::pin(driver.drive(&mut socket, refusal)).await.is_err() {
        driver.read_rest(&mut socket).await;
    }
    driver.session.abandon(&line);
    line.open_sessions.fetch_sub(1, Ordering::Relaxed);
}

struct Driver<'a> {
    shared: &'a Shared,
    line: &'a Line,
    session: Session,
    fault: Fault,
    /// Turns that were answered to their end.
    turns: u32,
}

impl Driver<'_> {
    async fn drive(&mut self, socket: &mut Socket, refusal: Option<(Refusal, u16)>) -> Result<(), Error> {
        if let Some(delay) = self.fault.delay_ms {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if let Some((refusal, code)) = refusal {
            let code_name = refusal.code.unwrap_or("invalid_request");
            let event = events::error(self.shared, code_name, &refusal.message, refusal.param.as_deref(), None);
            socket.send(Message::text(event)).await?;
            return close(socket, code, code_name).await;
        }
        let first = events::created(self.shared, &self.session);
        socket.send(Message::text(first)).await?;
        if let Some(frame) = self.fault.frame.take() {
            socket.send(Message::text(frame)).await?;
        }
        if let Some(bytes) = self.fault.huge_bytes {
            let event = format!("{{\"type\":\"huge\",\"filler\":\"{}\"}}", "x".repeat(bytes));
            socket.send(Message::text(event)).await?;
        }
        if self.fault.hang {
            std::future::pending::<()>().await;
        }
        self.converse(socket).await
    }

    async fn converse(&mut self, socket: &mut Socket) -> Result<(), Error> {
        let pace = self.fault.chunk_ms.map(Duration::from_millis).filter(|pace| !pace.is_zero());
        let mut frames = 0_u64;
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        let mut thinking = pin!(tokio::time::sleep(Duration::ZERO));
        let mut thinks = false;
        loop {
            if self.fault.close_after_turns.is_some_and(|turns| self.turns >= turns) {
                return close(socket, 1011, "the script ends the session here").await;
            }
            if let Some(end) = self.fault.close_ws.clone().filter(|end| frames >= end.after_frames) {
                return end_by_script(socket, &end).await;
            }
            tokio::select! {
                message = socket.next() => {
                    let Some(message) = message else { return Ok(()) };
                    match message? {
                        Message::Text(text) => {
                            frames += 1;
                            self.take(text.as_str());
                            if let Some(pause) = self.shared.thinks_about(text.as_str()) {
                                thinking.as_mut().reset(tokio::time::Instant::now() + pause);
                                thinks = true;
                            }
                        }
                        Message::Binary(_) => self.shared.violation("a binary frame in a realtime session"),
                        Message::Close(_) => return Ok(()),
                        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                    }
                }
                () = thinking.as_mut(), if thinks => thinks = false,
                () = timer.as_mut(), if pace.is_some() && !thinks && self.session.has_output() => {
                    self.send_next(socket).await?;
                    socket.flush().await?;
                    if let Some(pace) = pace {
                        timer.as_mut().reset(tokio::time::Instant::now() + pace);
                    }
                }
            }
            if pace.is_none() && !thinks {
                self.send_all(socket).await?;
            }
        }
    }

    /// Takes what a peer that has left had sent.
    async fn read_rest(&mut self, socket: &mut Socket) {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                self.take(text.as_str());
            }
        }
    }

    fn take(&mut self, text: &str) {
        self.line.frames_in.fetch_add(1, Ordering::Relaxed);
        self.session.take(self.shared, self.line, &self.fault, text);
    }

    async fn send_all(&mut self, socket: &mut Socket) -> Result<(), Error> {
        if !self.session.has_output() {
            return Ok(());
        }
        while self.session.has_output() {
            self.send_next(socket).await?;
        }
        socket.flush().await
    }

    async fn send_next(&mut self, socket: &mut Socket) -> Result<(), Error> {
        let Some(mut output) = self.session.next_output() else { return Ok(()) };
        if self.fault.stall_before.as_deref().is_some_and(|kind| events::is(&output.text, kind)) {
            self.session.silence();
            return Ok(());
        }
        if self.fault.no_usage && output.turn.is_some() {
            output.text = events::without_usage(&output.text);
        }
        socket.feed(Message::text(output.text)).await?;
        self.line.frames_out.fetch_add(1, Ordering::Relaxed);
        if let Some(amounts) = output.turn {
            socket.flush().await?;
            self.turns += 1;
            self.line.whole(&amounts);
            if let Some(serial) = &output.serial {
                self.shared.fates.whole(serial, &amounts);
            }
        }
        Ok(())
    }
}

async fn end_by_script(socket: &mut Socket, end: &CloseWs) -> Result<(), Error> {
    match end.code {
        1006 => return Ok(()),
        1005 => return socket.close(None).await,
        _ => {}
    }
    close(socket, end.code, &end.reason).await
}

/// Closes and waits for the peer's answer, so that the code is not lost in a reset.
async fn close(socket: &mut Socket, code: u16, reason: &str) -> Result<(), Error> {
    socket.close(Some(CloseFrame { code: CloseCode::from(code), reason: reason.into() })).await?;
    let patience = Duration::from_secs(5);
    let drained = async { while let Some(Ok(_)) = socket.next().await {} };
    drop(tokio::time::timeout(patience, drained).await);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::query_value;

    #[test]
    fn query_values_are_decoded() {
        assert_eq!(query_value("intent=x&model=a%2Fb+c", "model").as_deref(), Some("a/b c"));
        assert_eq!(query_value("model=50%", "model").as_deref(), Some("50%"));
        assert_eq!(query_value("model=a", "intent"), None);
    }
}
