//! The client's side of a session: a WebSocket that is bounded in bytes in both directions.
//!
//! What the client sends is refused by the length that its frame claims, before it is read, and is
//! taken from the socket only when the session wants the next event. What it is sent waits in the
//! queue of [`outgoing`](crate::realtime::outgoing).

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::ws::{Codec, Frame, HandshakeError, OpCode, handshake_response, verify_handshake};
use actix_web::http::header::SEC_WEBSOCKET_PROTOCOL;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use domain::limits::MAX_CLIENT_MESSAGE_BYTES;
use futures_util::Stream;
use tokio_util::codec::Decoder;

use crate::error::GatewayError;
use crate::realtime::close::Ending;
use crate::realtime::fragments::Fragments;
use crate::realtime::outgoing::{Outgoing, Queue};
use crate::realtime::upstream::SendError;

/// The subprotocol that browsers ask for beside the one that carries their key.
const SUBPROTOCOL: &str = "realtime";

/// What came from the client.
#[derive(Debug)]
pub enum FromClient {
    /// An event.
    Text(ByteString),
    /// A binary message, which no event of OpenAI's is.
    Binary(Bytes),
    /// It asks whether we live.
    Ping(Bytes),
    /// It lives.
    Pong,
    /// It closed, with a code that may be sent back.
    Closed(u16),
    /// The connection ended without a goodbye.
    Gone,
    /// It broke the protocol.
    Broken(Ending),
}

/// A connected client.
pub struct Client {
    queue: Rc<RefCell<Queue>>,
    payload: Payload,
    received: BytesMut,
    codec: Codec,
    fragments: Fragments,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// Refuses what is no WebSocket handshake, before anything is spent on it.
///
/// # Errors
/// What is missing.
pub fn verify(request: &HttpRequest) -> Result<(), GatewayError> {
    verify_handshake(request.head()).map_err(no_handshake)
}

fn no_handshake(error: HandshakeError) -> GatewayError {
    GatewayError::invalid("upgrade", format!("This is not a WebSocket handshake: {error}."))
}

impl Client {
    /// Accepts the upgrade: the answer to send, and the client behind it.
    ///
    /// # Errors
    /// As [`verify`].
    pub fn accept(request: &HttpRequest, payload: Payload) -> Result<(HttpResponse, Self), GatewayError> {
        Self::accept_as(request, payload, offers_subprotocol(request).then_some(SUBPROTOCOL))
    }

    /// Accepts the upgrade with this one of the subprotocols that the client offers.
    ///
    /// # Errors
    /// As [`verify`].
    pub fn accept_as(
        request: &HttpRequest,
        payload: Payload,
        subprotocol: Option<&str>,
    ) -> Result<(HttpResponse, Self), GatewayError> {
        verify(request)?;
        let mut response = handshake_response(request.head());
        if let Some(name) = subprotocol {
            response.insert_header((SEC_WEBSOCKET_PROTOCOL, name));
        }
        let queue = Rc::new(RefCell::new(Queue::default()));
        let body = BoxBody::new(Outgoing(Rc::clone(&queue)));
        let response = response.message_body(body).map_err(|error| GatewayError::internal(&error))?;
        let client = Self {
            queue,
            payload,
            received: BytesMut::new(),
            codec: Codec::new().max_size(MAX_CLIENT_MESSAGE_BYTES),
            fragments: Fragments::default(),
        };
        Ok((response.into(), client))
    }

    /// Waits for the next thing to happen.
    pub async fn next(&mut self) -> FromClient {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<FromClient> {
        loop {
            match self.decode() {
                Ok(Some(message)) => return Poll::Ready(message),
                Ok(None) => {}
                Err(ending) => return Poll::Ready(FromClient::Broken(ending)),
            }
            match Pin::new(&mut self.payload).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) if self.received.is_empty() => self.received = BytesMut::from(bytes),
                Poll::Ready(Some(Ok(bytes))) => self.received.extend_from_slice(&bytes),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(FromClient::Gone),
                Poll::Pending => return self.queue.borrow_mut().poll_gone(context).map(|()| FromClient::Gone),
            }
        }
    }

    /// The next whole message among the bytes that have arrived.
    fn decode(&mut self) -> Result<Option<FromClient>, Ending> {
        loop {
            if self.received.is_empty() {
                // An idle session holds no buffer.
                self.received = BytesMut::new();
                return Ok(None);
            }
            if claimed_bytes(&self.received) > MAX_CLIENT_MESSAGE_BYTES as u64 {
                return Err(Ending::policy(1009, "the message is too long"));
            }
            let Some(frame) = self.codec.decode(&mut self.received).map_err(|error| Ending::violated(&error))? else {
                return Ok(None);
            };
            let text = match frame {
                Frame::Text(text) => text,
                Frame::Continuation(item) => match self.fragments.push(item)? {
                    None => continue,
                    Some((true, whole)) => whole,
                    Some((false, whole)) => return Ok(Some(FromClient::Binary(whole))),
                },
                Frame::Binary(bytes) => return Ok(Some(FromClient::Binary(bytes))),
                Frame::Ping(payload) => return Ok(Some(FromClient::Ping(payload))),
                Frame::Pong(_) => return Ok(Some(FromClient::Pong)),
                Frame::Close(reason) => {
                    let code = reason.map_or(1000, |reason| u16::from(reason.code));
                    return Ok(Some(FromClient::Closed(code)));
                }
            };
            let text = ByteString::try_from(text).map_err(|_| Ending::policy(1007, "the text is not UTF-8"))?;
            return Ok(Some(FromClient::Text(text)));
        }
    }

    /// Sends an event as soon as the queue has room, within `deadline`.
    ///
    /// # Errors
    /// The client is gone or does not read.
    pub async fn text(&mut self, text: &str, deadline: Duration) -> Result<(), SendError> {
        self.send(OpCode::Text, text.as_bytes(), deadline).await
    }

    /// Sends bytes as [`Client::text`] sends an event.
    ///
    /// # Errors
    /// As [`Client::text`]'s.
    pub async fn binary(&mut self, bytes: &[u8], deadline: Duration) -> Result<(), SendError> {
        self.send(OpCode::Binary, bytes, deadline).await
    }

    /// Asks whether the client lives.
    ///
    /// # Errors
    /// As [`Client::text`]'s.
    pub async fn ping(&mut self, deadline: Duration) -> Result<(), SendError> {
        self.send(OpCode::Ping, b"", deadline).await
    }

    /// Answers a ping.
    ///
    /// # Errors
    /// As [`Client::text`]'s.
    pub async fn pong(&mut self, payload: &[u8], deadline: Duration) -> Result<(), SendError> {
        self.send(OpCode::Pong, payload, deadline).await
    }

    async fn send(&mut self, code: OpCode, payload: &[u8], deadline: Duration) -> Result<(), SendError> {
        // There is nearly always room, and then no timer is needed.
        if !self.queue.borrow().has_room() {
            let room = poll_fn(|context| self.queue.borrow_mut().poll_room(context));
            tokio::time::timeout(deadline, room).await.map_err(|_| SendError::TooSlow)?;
        }
        self.queue.borrow_mut().push(code, payload)
    }

    /// Sends the event that says why the session ends, right before the goodbye: behind what still waits,
    /// whether there is room or not.
    pub fn last_text(&mut self, text: &str) {
        if let Err(error) = self.queue.borrow_mut().push(OpCode::Text, text.as_bytes()) {
            tracing::debug!(?error, "the client was gone before it was told");
        }
    }

    /// Says goodbye behind what still waits; nothing can be sent afterwards. A client that is gone
    /// gets no frame.
    pub fn close(&mut self, ending: &Ending) {
        self.queue.borrow_mut().close(ending);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.queue.borrow_mut().end();
    }
}

/// Whether the client offers the subprotocol that we speak. The one that carries its key is never
/// answered, so that it stands in no response.
fn offers_subprotocol(request: &HttpRequest) -> bool {
    let values = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|offered| offered.trim() == SUBPROTOCOL)
}

/// The length that the head of the first frame claims; 0 while the head is not whole.
fn claimed_bytes(received: &[u8]) -> u64 {
    match (received.get(1).map(|second| second & 0x7F), received.get(2..)) {
        (Some(126), Some([high, low, ..])) => u64::from(u16::from_be_bytes([*high, *low])),
        (Some(127), Some(rest)) => rest.first_chunk().map_or(0, |length| u64::from_be_bytes(*length)),
        (Some(short), _) if short < 126 => u64::from(short),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_known_from_the_head() {
        assert_eq!(claimed_bytes(&[0x81]), 0);
        assert_eq!(claimed_bytes(&[0x81, 0x85, 1]), 5);
        assert_eq!(claimed_bytes(&[0x81, 0xFE, 1]), 0);
        assert_eq!(claimed_bytes(&[0x81, 0xFE, 1, 2, 9]), 0x0102);
        assert_eq!(claimed_bytes(&[0x81, 0xFF, 0, 0, 0, 0, 1]), 0);
        assert_eq!(claimed_bytes(&[0x81, 0xFF, 0, 0, 0, 0, 1, 0, 0, 0]), 1 << 24);
    }
}
