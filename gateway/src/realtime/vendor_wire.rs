//! The vendor's end of a translated session: its WebSocket, or the cutter that stands for one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use dialects::live::Frame;
use futures_util::{Sink, SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::realtime::cutter::Cutter;
use crate::realtime::upstream::Socket;

/// A goodbye takes no longer.
const FAREWELL: Duration = Duration::from_secs(3);

/// Where a vendor's frames go to and come from.
pub(super) enum Wire {
    Socket(Box<Socket>),
    Cutter(Box<Cutter>),
}

/// What happened at the vendor's end.
pub(super) enum Exchanged {
    /// What waited is written, or cannot be.
    Written(Result<(), Error>),
    /// A message came; `None` at the end.
    Came(Option<Result<Message, Error>>),
}

/// A frame for a WebSocket.
pub(crate) fn message(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => Message::Text(Utf8Bytes::from(text)),
        Frame::Binary(bytes) => Message::Binary(bytes.into()),
        Frame::Ping => Message::Ping(Bytes::new()),
    }
}

/// Writes what waits and reads what comes, whichever is first: neither way may hold up the other.
pub(super) async fn exchange(
    wire: &mut Wire,
    frames: &mut VecDeque<Frame>,
    unflushed: &mut bool,
    writes: bool,
    reads: bool,
) -> Exchanged {
    std::future::poll_fn(|context| {
        let socket = match wire {
            Wire::Socket(socket) => socket,
            Wire::Cutter(cutter) => return poll_cutter(cutter, frames, reads, context),
        };
        if writes && let Poll::Ready(written) = poll_write(socket, frames, unflushed, context) {
            return Poll::Ready(Exchanged::Written(written));
        }
        if reads && let Poll::Ready(message) = socket.0.poll_next_unpin(context) {
            return Poll::Ready(Exchanged::Came(message));
        }
        Poll::Pending
    })
    .await
}

fn poll_cutter(
    cutter: &mut Cutter,
    frames: &mut VecDeque<Frame>,
    reads: bool,
    context: &mut Context<'_>,
) -> Poll<Exchanged> {
    let mut taken = false;
    while cutter.has_room()
        && let Some(frame) = frames.pop_front()
    {
        cutter.take(frame);
        taken = true;
    }
    if reads && let Poll::Ready(text) = cutter.poll_next(context) {
        return Poll::Ready(Exchanged::Came(text.map(|text| Ok(Message::text(text)))));
    }
    if taken { Poll::Ready(Exchanged::Written(Ok(()))) } else { Poll::Pending }
}

/// Ready when everything is written. A frame is taken only when there is room for it, so that nothing is
/// lost when this is not polled to its end.
fn poll_write(
    socket: &mut Socket,
    frames: &mut VecDeque<Frame>,
    unflushed: &mut bool,
    context: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    let mut sink = Pin::new(&mut socket.0);
    while !frames.is_empty() {
        ready!(sink.as_mut().poll_ready(context))?;
        let Some(frame) = frames.pop_front() else { break };
        sink.as_mut().start_send(message(frame))?;
        *unflushed = true;
    }
    ready!(sink.as_mut().poll_flush(context))?;
    *unflushed = false;
    Poll::Ready(Ok(()))
}

/// Says the last of a socket.
pub(crate) async fn part(mut socket: Box<Socket>, frames: VecDeque<Frame>) {
    let goodbye = async move {
        for frame in frames {
            socket.0.send(message(frame)).await?;
        }
        socket.0.close(None).await?;
        // With something unread the connection would be reset, and the vendor might miss the last words.
        while let Some(Ok(_)) = socket.0.next().await {}
        Ok::<(), Error>(())
    };
    match tokio::time::timeout(FAREWELL, goodbye).await {
        Ok(Ok(())) => {}
        outcome => tracing::debug!(?outcome, "the provider was gone before the goodbye"),
    }
}
