//! Bodies of requests to providers, each with the note of its call, which goes with its last bytes:
//! once those are written, the provider may bill the call, whatever becomes of this process.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::ledger::Note;
use crate::upstream::client::Body;
use crate::upstream::last_bytes;

/// A body that is known whole, and its length.
#[must_use]
pub(crate) fn whole(body: Vec<u8>, note: Note) -> (Body, u64) {
    let length = body.len() as u64;
    (measured(Full::new(Bytes::from(body)).map_err(|never| match never {}), length, note), length)
}

/// A body of `length` bytes, whatever it is read from.
#[must_use]
pub(crate) fn measured<B>(inner: B, length: u64, note: Note) -> Body
where
    B: HttpBody<Data = Bytes, Error = io::Error> + Send + Unpin + 'static,
{
    Measured { inner, left: length, note: Some(note) }.boxed_unsync()
}

struct Measured<B> {
    inner: B,
    left: u64,
    note: Option<Note>,
}

impl<B: HttpBody<Data = Bytes, Error = io::Error> + Unpin> HttpBody for Measured<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(chunk) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.left = self.left.saturating_sub(chunk.len() as u64);
            if self.left == 0
                && let Some(note) = self.note.take()
            {
                last_bytes::given(note);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A piece of a body whose end is not known yet.
#[derive(Debug)]
pub(crate) enum Piece {
    /// More follows.
    More(Bytes),
    /// The end.
    Last(Bytes, Note),
}

/// A body that arrives piece by piece. Only its last piece ends it: a queue that closes without one
/// belongs to an upload that broke off, which the provider must not take for whole.
#[must_use]
pub(crate) fn arriving(pieces: mpsc::Receiver<Piece>) -> Body {
    Arriving { pieces, ended: false }.boxed_unsync()
}

struct Arriving {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.pieces.poll_recv(context)) {
            Some(Piece::More(chunk)) => Ok(Frame::data(chunk)),
            Some(Piece::Last(chunk, note)) => {
                // Asked for its end, the connection writes the last piece and the end in one.
                self.ended = true;
                last_bytes::given(note);
                Ok(Frame::data(chunk))
            }
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
