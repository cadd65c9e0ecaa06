//! An answer that flows while it arrives: each piece is passed on, looked at where usage is in it,
//! and the record is in the journal before the stream ends.

use std::time::Duration;

use bytes::Bytes;
use domain::error::ErrorKind;
use domain::usage::{Usage, UsageSource, UsageStatus};
use futures_util::{Stream, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::error::GatewayError;
use crate::pipeline::forward::cut;
use crate::pipeline::meter::Meter;

/// What is done to a stream on its way.
pub trait Tap: 'static {
    /// A piece arrived: what goes to the client in its place. Empty is nothing yet.
    ///
    /// # Errors
    /// The provider's stream is broken.
    fn feed(&mut self, chunk: Bytes) -> Result<Bytes, GatewayError>;

    /// The provider ended its stream: what is still to be sent.
    ///
    /// # Errors
    /// The stream ended before its end: the client must see an abort.
    fn finish(&mut self) -> Result<Bytes, GatewayError>;

    /// What has been used so far, and how that is known.
    fn usage(&self) -> (Usage, UsageSource);
}

struct State<T> {
    body: Incoming,
    tap: T,
    meter: Option<Meter>,
    idle: Duration,
}

/// The client's body. Dropped early, it records that the client left.
pub fn streamed<T: Tap>(
    body: Incoming,
    tap: T,
    mut meter: Meter,
    idle: Duration,
) -> impl Stream<Item = Result<Bytes, GatewayError>> {
    // A client that leaves before the first piece is billed for what was used until then.
    let (usage, source) = tap.usage();
    meter.set_usage(usage, source);
    let state = State { body, tap, meter: Some(meter), idle };
    stream::unfold(state, |mut state| async move { state.next().await.map(|item| (item, state)) })
}

impl<T: Tap> State<T> {
    async fn next(&mut self) -> Option<Result<Bytes, GatewayError>> {
        loop {
            self.meter.as_ref()?;
            let step = match tokio::time::timeout(self.idle, self.body.frame()).await {
                Err(_) => Err(GatewayError::upstream(ErrorKind::UpstreamTimeout, "The provider's answer stalled.")),
                Ok(Some(Err(error))) => Err(cut(&error)),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) => self.tap.feed(chunk),
                    Err(_) => continue,
                },
                Ok(None) => return self.end(),
            };
            match step {
                Ok(out) if out.is_empty() => {}
                Ok(out) => {
                    let meter = self.meter.as_mut()?;
                    meter.first_byte();
                    // Kept current, so that a client that leaves is billed for what was delivered.
                    let (usage, source) = self.tap.usage();
                    meter.set_usage(usage, source);
                    return Some(Ok(out));
                }
                Err(error) => return Some(Err(self.fail(error))),
            }
        }
    }

    fn end(&mut self) -> Option<Result<Bytes, GatewayError>> {
        match self.tap.finish() {
            Ok(rest) => {
                let mut meter = self.meter.take()?;
                let (usage, source) = self.tap.usage();
                meter.set_usage(usage, source);
                meter.finish(UsageStatus::Ok);
                (!rest.is_empty()).then_some(Ok(rest))
            }
            Err(error) => Some(Err(self.fail(error))),
        }
    }

    fn fail(&mut self, error: GatewayError) -> GatewayError {
        if let Some(mut meter) = self.meter.take() {
            let (usage, source) = self.tap.usage();
            meter.set_usage(usage, source);
            meter.finish(UsageStatus::UpstreamError);
        }
        error
    }
}
