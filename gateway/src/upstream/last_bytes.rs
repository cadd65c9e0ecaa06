//! The moment at which a provider is about to have a request whole: right before the socket is given
//! its last bytes. A body knows which bytes are the last, and the connection when they go; both are
//! polled by the connection's task, which is how the note of a call comes from the one to the other.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::task::Id;
use tower_service::Service;

use crate::ledger::Note;

/// Bytes that an idle socket takes at once. Of more, the very last is kept back until all others have
/// gone: a slow provider may take its time with them.
const AT_ONCE: usize = 4 * 1024;

thread_local! {
    static LAST: RefCell<Option<(Id, Note)>> = const { RefCell::new(None) };
}

/// The body that is being polled now gives its last bytes: `note` is written when they are.
pub(crate) fn given(note: Note) {
    match tokio::task::try_id() {
        Some(task) => drop(LAST.replace(Some((task, note)))),
        None => note.write(),
    }
}

/// Connects as another connector does, within a time that has room for the name, the connection and TLS.
#[derive(Debug, Clone)]
pub(super) struct NotingConnector<C> {
    pub(super) inner: C,
    pub(super) within: Duration,
}

impl<C> Service<Uri> for NotingConnector<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Error: From<io::Error>,
{
    type Response = Noting<C::Response>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, C::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.within, self.inner.call(uri));
        Box::pin(async move {
            let stream = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok(Noting { stream, note: None })
        })
    }
}

/// A connection that writes the notes of the calls that it carries.
#[derive(Debug)]
pub(super) struct Noting<S> {
    stream: S,
    /// Everything of this call is here and not all of it written.
    note: Option<Note>,
}

impl<S: Write + Unpin> Noting<S> {
    /// How many of `waiting` bytes may be written now.
    fn writable(&mut self, context: &mut Context<'_>, waiting: usize) -> Poll<io::Result<usize>> {
        if let Some(note) = LAST.with_borrow_mut(|last| {
            last.take_if(|(task, _)| tokio::task::try_id() == Some(*task)).map(|(_, note)| note)
        }) {
            self.note = Some(note);
        }
        if self.note.is_none() || waiting == 0 {
            return Poll::Ready(Ok(waiting));
        }
        if waiting > AT_ONCE {
            return Poll::Ready(Ok(waiting - 1));
        }
        // What encryption still holds goes first.
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if let Some(note) = &self.note {
            note.write();
        }
        Poll::Ready(Ok(waiting))
    }

    /// What became of writing `tried` of `waiting` bytes.
    fn wrote(&mut self, written: &Poll<io::Result<usize>>, tried: usize, waiting: usize) {
        if tried < waiting {
            return;
        }
        if matches!(written, Poll::Ready(Ok(count)) if *count == waiting) {
            self.note = None;
        } else if let Some(note) = &self.note {
            // Until the socket takes them the provider does not have them.
            note.undo();
        }
    }
}

impl<S: Write + Unpin> Write for Noting<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let now = ready!(self.writable(context, bytes.len()))?;
        let part = bytes.get(..now).unwrap_or(bytes);
        let written = Pin::new(&mut self.stream).poll_write(context, part);
        self.wrote(&written, now, bytes.len());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let waiting = slices.iter().map(|slice| slice.len()).sum();
        let now = ready!(self.writable(context, waiting))?;
        if now == waiting {
            let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
            self.wrote(&written, now, waiting);
            return written;
        }
        let mut left = now;
        let shortened: Vec<IoSlice<'_>> = slices
            .iter()
            .map(|slice| {
                let part = slice.get(..left.min(slice.len())).unwrap_or_default();
                left -= part.len();
                IoSlice::new(part)
            })
            .collect();
        Pin::new(&mut self.stream).poll_write_vectored(context, &shortened)
    }
}

impl<S: Read + Unpin> Read for Noting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Connection> Connection for Noting<S> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}
