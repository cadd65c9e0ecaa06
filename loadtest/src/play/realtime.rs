//! Realtime sessions: conversations of some turns, and sessions that are held.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::MissedTickBehavior};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, Utf8Bytes},
};

use super::{
    Target,
    recorder::{Ended, Recorder},
};
use crate::{
    load::realtime::{FRAME, frame, open},
    scenario::{Conversation, Sessions},
};

/// The model of conversations. That of held sessions is another, so that the script knows whose frames to send back.
const CONVERSATION_MODEL: &str = "gpt-realtime";
pub(super) const HELD_MODEL: &str = "gpt-realtime-2.1";
/// How long a session that could not be held waits before it is opened anew.
const BEFORE_REOPENING: Duration = Duration::from_secs(1);
/// How long an echo may take.
const LONGEST_ECHO: Duration = Duration::from_secs(10);
/// How long the other side may take to read what is sent.
const LONGEST_SENDING: Duration = Duration::from_secs(10);
/// How long a session may take to open.
const LONGEST_OPENING: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<TcpStream>;

/// Why a session failed, for the table of errors.
type Reason = String;

/// One conversation that should have begun at `due`; whether it went well.
pub(super) async fn converse(
    target: &Target,
    conversation: &Conversation,
    due: Instant,
    patience: Duration,
    recorder: &Recorder,
) -> bool {
    let Some(mut socket) = begin(target, CONVERSATION_MODEL, due, recorder).await else { return false };
    let _open = recorder.session();
    let frame = frame();
    let frames = conversation.speaks.get().as_millis() / FRAME.as_millis();
    for _ in 0..conversation.turns {
        let mut ticks = tokio::time::interval(FRAME);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut asked = Instant::now();
        let mut failed = None;
        for _ in 0..frames {
            // From when the user has stopped speaking: a generator that falls behind does not flatter the gateway.
            asked = ticks.tick().await.into_std() + FRAME;
            if let Err(reason) = say(&mut socket, frame.clone()).await {
                failed = Some(reason);
                break;
            }
        }
        let ended = match failed {
            Some(failed) => Err(failed),
            None => {
                tokio::time::sleep_until(asked.into()).await;
                let answered = tokio::time::timeout(patience, turn(&mut socket, asked));
                answered.await.unwrap_or_else(|_| Err("no end in time".to_owned()))
            }
        };
        match ended {
            Ok(first_byte) => recorder.ended("turn", asked, Ended::Whole { first_byte }),
            Err(reason) => {
                recorder.ended("turn", asked, Ended::Failed(reason));
                return false;
            }
        }
    }
    leave(socket).await;
    true
}

/// Sends a text that the other side is to read in time.
async fn say(socket: &mut Socket, text: Utf8Bytes) -> Result<(), Reason> {
    let sent = tokio::time::timeout(LONGEST_SENDING, socket.send(Message::Text(text))).await;
    sent.map_err(|_| "not read in time".to_owned())?.map_err(|error| reason(&error))
}

/// Opens a session and waits for its first event.
async fn begin(target: &Target, model: &str, due: Instant, recorder: &Recorder) -> Option<Socket> {
    let opening = async {
        let opened = open(target.addr, &target.prefix, &target.key, model).await;
        let mut socket = opened.map_err(|error| match error.downcast_ref::<Error>() {
            Some(error) => reason(error),
            None => "no connection".to_owned(),
        })?;
        let (kind, _) = event(&mut socket).await?;
        if kind == Kind::Created { Ok(socket) } else { Err("another first event".to_owned()) }
    };
    let opened = tokio::time::timeout(LONGEST_OPENING, opening).await.unwrap_or_else(|_| Err("no opening".to_owned()));
    match opened {
        Ok(socket) => {
            recorder.ended("session", due, Ended::Whole { first_byte: due.elapsed() });
            Some(socket)
        }
        Err(reason) => {
            recorder.ended("session", due, Ended::Failed(reason));
            None
        }
    }
}

/// Asks for a response and hears it: the time to its first audio.
async fn turn(socket: &mut Socket, asked: Instant) -> Result<Duration, Reason> {
    for text in [r#"{"type":"input_audio_buffer.commit"}"#, r#"{"type":"response.create"}"#] {
        say(socket, text.into()).await?;
    }
    let mut first = None;
    loop {
        match event(socket).await?.0 {
            Kind::Audio => drop(first.get_or_insert_with(|| asked.elapsed())),
            Kind::Done => return first.ok_or_else(|| "no audio".to_owned()),
            Kind::Created | Kind::Other => {}
        }
    }
}

/// Events by what they mean here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Created,
    Audio,
    Done,
    Other,
}

/// The next event. One that tells an error fails.
async fn event(socket: &mut Socket) -> Result<(Kind, Utf8Bytes), Reason> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                // The type stands at the beginning or, in what an agent's translation writes, anywhere near it.
                let is = |kind: &str| memchr::memmem::find(text.as_bytes(), kind.as_bytes()).is_some();
                if is("\"response.output_audio.delta\"") {
                    return Ok((Kind::Audio, text));
                }
                if is("\"response.done\"") {
                    return Ok((Kind::Done, text));
                }
                if is("\"session.created\"") {
                    return Ok((Kind::Created, text));
                }
                if is("\"type\":\"error\"") {
                    return Err(told(&text));
                }
                return Ok((Kind::Other, text));
            }
            Some(Ok(Message::Close(frame))) => {
                return Err(frame.map_or_else(|| "closed".to_owned(), |frame| format!("closed {}", frame.code)));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(reason(&error)),
            None => return Err("broken off".to_owned()),
        }
    }
}

fn told(text: &str) -> Reason {
    let event: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let code = event.pointer("/error/code").and_then(serde_json::Value::as_str).unwrap_or("unknown");
    format!("event {code}")
}

fn reason(error: &Error) -> Reason {
    match error {
        Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let code = body.pointer("/error/code").and_then(serde_json::Value::as_str);
            let status = response.status().as_u16();
            code.map_or_else(|| status.to_string(), |code| format!("{status} {code}"))
        }
        _ => "broken off".to_owned(),
    }
}

/// Says goodbye and waits for the answer, so that the other side has read all.
async fn leave(mut socket: Socket) {
    let goodbye = async {
        drop(socket.close(None).await);
        while let Some(Ok(_)) = socket.next().await {}
    };
    drop(tokio::time::timeout(Duration::from_secs(5), goodbye).await);
}

/// Holds a session from `due` on until `end`, and opens it anew whenever its life is over or it fails.
pub(super) async fn hold(target: &Target, sessions: &Sessions, mut due: Instant, end: Instant, recorder: &Recorder) {
    tokio::time::sleep_until(due.into()).await;
    while Instant::now() < end {
        let lives = sessions.lives.map_or(end, |lives| end.min(Instant::now() + lives.get()));
        if let Some(mut socket) = begin(target, HELD_MODEL, due, recorder).await {
            let open = recorder.session();
            let mut waiting = VecDeque::new();
            let held = echoes(&mut socket, sessions, lives, &mut waiting, recorder).await;
            drop(open);
            match held {
                Ok(()) => leave(socket).await,
                Err(reason) => {
                    // Every frame that has no echo, or the one that could not be sent.
                    for _ in 0..waiting.len().max(1) {
                        recorder.ended("frame", Instant::now(), Ended::Failed(reason.clone()));
                    }
                    tokio::time::sleep(BEFORE_REOPENING).await;
                }
            }
        } else {
            tokio::time::sleep(BEFORE_REOPENING).await;
        }
        due = Instant::now();
    }
}

/// Sends frames until `end` and hears their echoes. `waiting` has those whose echo has not come.
async fn echoes(
    socket: &mut Socket,
    sessions: &Sessions,
    end: Instant,
    waiting: &mut VecDeque<Instant>,
    recorder: &Recorder,
) -> Result<(), Reason> {
    let frame = frame();
    let mut ticks = tokio::time::interval(sessions.frame_every.get());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0_u32;
    loop {
        let last = waiting.front().map_or(end, |first| *first + LONGEST_ECHO);
        tokio::select! {
            due = ticks.tick(), if Instant::now() < end => {
                recorder.begun(due.into_std());
                sent = sent.wrapping_add(1);
                if sent.is_multiple_of(sessions.echo_every) {
                    waiting.push_back(due.into_std());
                }
                say(socket, frame.clone()).await?;
            }
            event = event(socket) => if event?.0 == Kind::Audio {
                let due = waiting.pop_front().ok_or("an echo of nothing")?;
                recorder.ended("frame", due, Ended::Whole { first_byte: due.elapsed() });
            },
            () = tokio::time::sleep_until(last.into()) => {
                return if waiting.is_empty() { Ok(()) } else { Err("no echo in time".to_owned()) };
            }
        }
        if Instant::now() >= end && waiting.is_empty() {
            return Ok(());
        }
    }
}
