//! The body of an answer, made within its call's span: log lines about what breaks off in the middle tell whose it was.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;
use tracing::Span;

/// A body with the span of its call.
pub(crate) struct Told {
    /// There until this is dropped.
    body: Option<BoxBody>,
    span: Span,
}

impl Told {
    /// What is made while it is sent tells whose it is; what is there already has nothing to tell.
    pub(crate) fn of(body: BoxBody, span: Span) -> BoxBody {
        match body.size() {
            BodySize::Stream => BoxBody::new(Self { body: Some(body), span }),
            BodySize::None | BodySize::Sized(_) => body,
        }
    }
}

impl MessageBody for Told {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let Self { body, span } = self.get_mut();
        let _entered = span.enter();
        body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_next(context))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // Whoever leaves early ends a call, which may have something to tell as well.
        let _entered = self.span.enter();
        self.body = None;
    }
}
