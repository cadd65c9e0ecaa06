//! One session on a scripted vendor's socket, from its greeting to its end: what comes is told to the vendor, what
//! it says is sent, silence and time that passes are its own to judge, and a drop that was asked for breaks it.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, sync::Notify, time::Instant};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::said::Side;
use super::{Say, Shared, Vendor, keep_last, lock};

/// Counts a session while it is there.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(open: &'a AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self(open)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One session and where it takes place.
pub(super) struct Line<'a> {
    pub(super) shared: &'a Shared,
    pub(super) path: String,
}

pub(super) async fn hold(line: &Line<'_>, mut socket: WebSocketStream<TcpStream>, mut vendor: Box<dyn Vendor>) {
    let shared = line.shared;
    let _counted = Counted::new(&shared.open);
    let opened = vendor.opened();
    if !tell(line, &mut socket, opened).await {
        return;
    }
    let dropped_at = lock(&shared.drops).pop_front();
    let over = vendor.over();
    let mut heard_ms = 0;
    let mut last_heard = Instant::now();
    loop {
        let (patience, code, reason) = vendor.patience();
        let left_at = last_heard + patience;
        let due = vendor.due().map_or(left_at, |due| due.min(left_at));
        let came = tokio::select! {
            came = tokio::time::timeout_at(due, socket.next()) => Some(came),
            () = told(over.as_deref()) => None,
        };
        if matches!(came, Some(Ok(_))) {
            last_heard = Instant::now();
        }
        let said = match came {
            None => vec![Say::Close(1000, "")],
            Some(Err(_)) if Instant::now() >= left_at => vec![Say::Close(code, reason)],
            Some(Err(_)) => vendor.tick(),
            Some(Ok(Some(Ok(Message::Text(text))))) => {
                note(line, &text);
                vendor.text(&text)
            }
            Some(Ok(Some(Ok(Message::Binary(bytes))))) => vendor.binary(&bytes),
            Some(Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))))) => Vec::new(),
            Some(Ok(Some(Ok(Message::Close(_)) | Err(_)) | None)) => return,
        };
        let fresh = vendor.heard_ms();
        lock(&shared.seen).audio_ms += fresh - std::mem::replace(&mut heard_ms, fresh);
        // What was understood of the last frame is lost with the connection.
        if dropped_at.is_some_and(|at| heard_ms >= at) || !tell(line, &mut socket, said).await {
            return;
        }
    }
}

/// Waits for the end that is told from elsewhere, where there is such.
async fn told(over: Option<&Notify>) {
    match over {
        Some(over) => over.notified().await,
        None => std::future::pending().await,
    }
}

fn note(line: &Line<'_>, text: &str) {
    lock(&line.shared.said).note(&line.path, Side::Client, text);
    if text.len() > 1000 || text.contains("\"audio") {
        return;
    }
    keep_last(&mut lock(&line.shared.seen).messages, text.to_owned());
}

/// Says it; `false` when the connection is over.
async fn tell(line: &Line<'_>, socket: &mut WebSocketStream<TcpStream>, said: Vec<Say>) -> bool {
    let shared = line.shared;
    for say in said {
        let sent = match say {
            Say::Text(value) => {
                let text = value.to_string();
                lock(&shared.said).note(&line.path, Side::Vendor, &text);
                socket.send(Message::text(text)).await
            }
            Say::Bytes(value) => socket.send(Message::binary(value.to_string().into_bytes())).await,
            Say::Audio(bytes) => socket.send(Message::binary(bytes)).await,
            Say::Final(words) => {
                lock(&shared.seen).words.extend(words.into_iter().map(|word| word.text));
                Ok(())
            }
            Say::Violation(text) => {
                lock(&shared.seen).violations.push(text);
                Ok(())
            }
            Say::Break => return false,
            Say::Close(code, reason) => {
                let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
                drop(socket.close(Some(frame)).await);
                // The peer's answer to the goodbye is read, so that nothing said before it is lost.
                while let Some(Ok(_)) = socket.next().await {}
                return false;
            }
        };
        if sent.is_err() {
            return false;
        }
    }
    true
}
