//! Encoded frames on their way to a client, bounded in bytes.
//!
//! The queue takes a message while less than [`QUEUE_BYTES`] wait: beside that and the server's own
//! write buffer, a client that does not read holds one message.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_http::body::{BodySize, MessageBody};
use actix_http::ws::{OpCode, Parser};
use bytes::{Bytes, BytesMut};

use crate::realtime::close::Ending;
use crate::realtime::upstream::SendError;

/// Bytes that may wait for a client before the next message has to. A second of speech is 64 KiB of
/// base64, so that a burst does not stall the provider.
const QUEUE_BYTES: usize = 64 * 1024;
/// Bytes that the server takes at a time, so that its write buffer does not hold a whole big message
/// beside the queue.
const CHUNK_BYTES: usize = 32 * 1024;
/// Encoded frames on their way to the client. Its session and its connection run on one thread.
#[derive(Debug, Default)]
pub struct Queue {
    bytes: BytesMut,
    /// The connection, which waits for something to write.
    connection: Option<Waker>,
    /// The session, which waits for room.
    sender: Option<Waker>,
    /// The session, which waits for the client's next message.
    receiver: Option<Waker>,
    /// Nothing more will be queued.
    ended: bool,
    /// The connection is no more.
    gone: bool,
}

impl Queue {
    /// Whether a message need not wait. A client that is gone takes everything and gets nothing.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.gone || self.bytes.len() < QUEUE_BYTES
    }

    /// Waits for room.
    pub fn poll_room(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        register(&mut self.sender, context);
        Poll::Pending
    }

    /// Waits for the end of the connection.
    pub fn poll_gone(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.gone {
            return Poll::Ready(());
        }
        register(&mut self.receiver, context);
        Poll::Pending
    }

    /// Queues one message, whether there is room or not.
    ///
    /// # Errors
    /// The client is gone, or has been told goodbye.
    pub fn push(&mut self, code: OpCode, payload: &[u8]) -> Result<(), SendError> {
        if self.gone || self.ended {
            return Err(SendError::Gone);
        }
        Parser::write_message(&mut self.bytes, payload, code, true, false);
        wake(&mut self.connection);
        Ok(())
    }

    /// Queues the goodbye. A client that is gone gets none.
    pub fn close(&mut self, ending: &Ending) {
        if !self.gone && !self.ended && ending.is_told() {
            Parser::write_close(&mut self.bytes, Some(ending.frame()), false);
        }
        self.end();
    }

    /// Nothing more will be queued: the connection ends when what waits has left.
    pub fn end(&mut self) {
        self.ended = true;
        wake(&mut self.connection);
    }

    fn poll_chunk(&mut self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        if self.bytes.is_empty() {
            if self.ended {
                return Poll::Ready(None);
            }
            register(&mut self.connection, context);
            return Poll::Pending;
        }
        let chunk = if self.bytes.len() > CHUNK_BYTES {
            self.bytes.split_to(CHUNK_BYTES)
        } else {
            // The buffer goes with what is in it: an idle session holds none.
            std::mem::take(&mut self.bytes)
        };
        if self.has_room() {
            wake(&mut self.sender);
        }
        Poll::Ready(Some(chunk.freeze()))
    }
}

fn register(place: &mut Option<Waker>, context: &Context<'_>) {
    if !place.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
        *place = Some(context.waker().clone());
    }
}

fn wake(place: &mut Option<Waker>) {
    if let Some(waker) = place.take() {
        waker.wake();
    }
}

/// The body of the upgrade's answer: the frames, as fast as the socket takes them.
#[derive(Debug)]
pub struct Outgoing(pub Rc<RefCell<Queue>>);

impl MessageBody for Outgoing {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.0.borrow_mut().poll_chunk(context).map(|chunk| chunk.map(Ok))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let mut queue = self.0.borrow_mut();
        queue.gone = true;
        queue.bytes = BytesMut::new();
        wake(&mut queue.sender);
        wake(&mut queue.receiver);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn taken(queue: &mut Queue) -> usize {
        match queue.poll_chunk(&context()) {
            Poll::Ready(Some(chunk)) => chunk.len(),
            Poll::Ready(None) => panic!("the queue has ended"),
            Poll::Pending => 0,
        }
    }

    #[test]
    fn a_client_that_does_not_read_holds_the_bound_and_one_message() {
        let mut queue = Queue::default();
        let message = vec![b'a'; 1000];
        while queue.has_room() {
            queue.push(OpCode::Text, &message).unwrap();
        }
        assert!(queue.bytes.len() < QUEUE_BYTES + message.len() + 10, "{}", queue.bytes.len());
        assert!(queue.poll_room(&context()).is_pending());
        assert_eq!(taken(&mut queue), CHUNK_BYTES);
        assert!(queue.poll_room(&context()).is_ready(), "what the socket took makes room");
    }

    #[test]
    fn a_message_above_the_bound_passes_in_pieces() {
        let mut queue = Queue::default();
        let message = vec![b'a'; 1_000_000];
        queue.push(OpCode::Text, &message).unwrap();
        assert!(!queue.has_room());
        let mut sum = 0;
        while !queue.bytes.is_empty() {
            sum += taken(&mut queue);
        }
        assert_eq!(sum, 10 + message.len());
        assert!(queue.bytes.capacity() == 0, "nothing is kept for an idle session");
    }

    #[test]
    fn a_goodbye_needs_no_room_and_is_the_last() {
        let mut queue = Queue::default();
        queue.push(OpCode::Text, &vec![b'a'; 2 * QUEUE_BYTES]).unwrap();
        let before = queue.bytes.len();
        queue.close(&Ending::policy(1008, &"ä".repeat(100)));
        assert_eq!(queue.bytes.len(), before + 2 + 2 + 122, "a reason of at most 123 bytes, between characters");
        assert_eq!(queue.push(OpCode::Text, b"more"), Err(SendError::Gone));
        while taken(&mut queue) == CHUNK_BYTES {}
        assert!(matches!(queue.poll_chunk(&context()), Poll::Ready(None)));
    }

    #[test]
    fn who_is_gone_gets_no_frame() {
        let mut queue = Queue::default();
        queue.close(&Ending::gone());
        assert!(matches!(queue.poll_chunk(&context()), Poll::Ready(None)));
    }
}
