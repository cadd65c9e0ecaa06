//! A request body that must make progress.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::error::PayloadError;
use actix_web::web::Payload;
use bytes::Bytes;
use domain::error::ErrorKind;
use futures_util::Stream;
use tokio::time::Sleep;

use crate::error::GatewayError;

/// A body that broke off or was too slow.
pub(crate) fn payload_error(error: &PayloadError, param: &str) -> GatewayError {
    if let PayloadError::Io(io) = error
        && io.kind() == std::io::ErrorKind::TimedOut
    {
        return GatewayError::caller(ErrorKind::RequestTimeout, "The request body arrived too slowly.");
    }
    GatewayError::invalid(param, format!("The body could not be read: {error}."))
}

/// A body that must progress by 1 KiB/s over a window. Only time spent waiting for the client
/// counts: a provider that reads slowly is not the client's fault.
pub(crate) struct Watched {
    payload: Payload,
    window: Duration,
    waited: Duration,
    bytes: u64,
    /// Set when the body has ended.
    pub(super) ended: Rc<Cell<bool>>,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Watched {
    pub(crate) fn new(payload: Payload, window: Duration) -> Self {
        Self { payload, window, waited: Duration::ZERO, bytes: 0, ended: Rc::default(), waiting: None }
    }

    fn is_too_slow(&mut self) -> bool {
        if self.waited < self.window {
            return false;
        }
        let slow = self.bytes < self.window.as_secs().max(1) * 1024;
        self.waited = Duration::ZERO;
        self.bytes = 0;
        slow
    }
}

impl Stream for Watched {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let timed_out = || Poll::Ready(Some(Err(PayloadError::Io(std::io::ErrorKind::TimedOut.into()))));
        match Pin::new(&mut self.payload).poll_next(context) {
            Poll::Ready(Some(Ok(chunk))) => {
                if let Some((since, _)) = self.waiting.take() {
                    self.waited += since.elapsed();
                }
                self.bytes += chunk.len() as u64;
                if self.is_too_slow() { timed_out() } else { Poll::Ready(Some(Ok(chunk))) }
            }
            Poll::Pending => {
                let left = self.window.saturating_sub(self.waited);
                let (_, sleep) =
                    self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
                if sleep.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.waiting = None;
                self.waited = self.window;
                if self.is_too_slow() {
                    return timed_out();
                }
                context.waker().wake_by_ref();
                Poll::Pending
            }
            ended => {
                self.ended.set(true);
                ended
            }
        }
    }
}
