//! An answer that flows while it arrives: each piece is passed on, looked at where usage is in it,
//! and the record is in the journal before the stream ends.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use dialects::contract::SpeechDecoder;
use domain::limits::MAX_UPSTREAM_MESSAGE_BYTES;
use domain::usage::{Usage, UsageSource, UsageStatus};
use futures_util::future::LocalBoxFuture;
use futures_util::{Stream, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::error::GatewayError;
use crate::pipeline::call::Call;
use crate::pipeline::forward::cut;
use crate::pipeline::meter::Meter;
use crate::pipeline::phases::Pace;

/// What is done to a stream on its way.
pub trait Tap: 'static {
    /// A piece arrived: what goes to the client in its place. Empty is nothing yet.
    ///
    /// # Errors
    /// The provider's stream is broken.
    fn feed(&mut self, chunk: Bytes) -> Result<Bytes, GatewayError>;

    /// One part of the answer has ended and another follows: what is still to be sent of the first.
    ///
    /// # Errors
    /// The part ended before its end.
    fn next_part(&mut self) -> Result<Bytes, GatewayError> {
        Ok(Bytes::new())
    }

    /// The provider ended its stream: what is still to be sent.
    ///
    /// # Errors
    /// The stream ended before its end: the client must see an abort.
    fn finish(&mut self) -> Result<Bytes, GatewayError>;

    /// What has been used so far, and how that is known.
    fn usage(&self) -> (Usage, UsageSource);
}

/// Asks for the next part of an answer that comes in several; `None` behind the last.
pub type NextPart = Box<dyn FnMut() -> Option<LocalBoxFuture<'static, Result<Begun, GatewayError>>>>;

/// An answer that has begun: its first piece is here, so that the provider can no longer fail without
/// having delivered anything.
#[derive(Debug)]
pub struct Begun {
    first: Bytes,
    body: Incoming,
}

impl Begun {
    /// Waits for the first piece.
    ///
    /// # Errors
    /// The provider breaks off or stalls before it, or ends without any: another target may do better.
    pub async fn wait(call: &Call, mut body: Incoming) -> Result<Self, GatewayError> {
        let since = Instant::now();
        let first = call.begun(first_piece(&mut body)).await;
        call.progress.waited(since.elapsed());
        Ok(Self { first: first??, body })
    }

    /// Reads on until there is audio in what came. Around it stands text that tells a failure as well.
    ///
    /// # Errors
    /// As [`Self::wait`]'s, or the provider tells that there will be none.
    pub async fn with_audio(mut self, call: &Call, mut decoder: Box<dyn SpeechDecoder>) -> Result<Self, GatewayError> {
        let (mut audio, mut seen) = (Vec::new(), BytesMut::new());
        let mut next = Some(std::mem::take(&mut self.first));
        while let Some(piece) = next {
            decoder.feed(&piece, &mut audio)?;
            seen.extend_from_slice(&piece);
            if !audio.is_empty() || seen.len() > MAX_UPSTREAM_MESSAGE_BYTES {
                return Ok(Self { first: seen.freeze(), ..self });
            }
            next = call.pace().next(next_piece(&mut self.body)).await??;
        }
        decoder.finish(&mut audio)?;
        Ok(Self { first: seen.freeze(), ..self })
    }
}

async fn first_piece(body: &mut Incoming) -> Result<Bytes, GatewayError> {
    next_piece(body).await?.ok_or_else(|| cut(&"it ended without a byte"))
}

async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, GatewayError> {
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| cut(&error))?.into_data() {
            Ok(chunk) if !chunk.is_empty() => return Ok(Some(chunk)),
            _ => {}
        }
    }
    Ok(None)
}

struct State<T> {
    first: Option<Bytes>,
    body: Incoming,
    more: Option<NextPart>,
    tap: T,
    meter: Option<Meter>,
    pace: Pace,
}

/// The client's body. Dropped early, it records that the client left.
pub fn streamed<T: Tap>(
    answer: Begun,
    tap: T,
    meter: Meter,
    pace: Pace,
) -> impl Stream<Item = Result<Bytes, GatewayError>> {
    streamed_in_parts(answer, None, tap, meter, pace)
}

/// The client's body of an answer that comes in several parts, each asked for when the one before has
/// ended.
pub fn streamed_in_parts<T: Tap>(
    answer: Begun,
    more: Option<NextPart>,
    tap: T,
    mut meter: Meter,
    pace: Pace,
) -> impl Stream<Item = Result<Bytes, GatewayError>> {
    // A client that leaves before the first piece is billed for what was used until then.
    let (usage, source) = tap.usage();
    meter.set_usage(usage, source);
    let state = State { first: Some(answer.first), body: answer.body, more, tap, meter: Some(meter), pace };
    stream::unfold(state, |mut state| async move { state.next().await.map(|item| (item, state)) })
}

impl<T: Tap> State<T> {
    async fn next(&mut self) -> Option<Result<Bytes, GatewayError>> {
        loop {
            self.meter.as_ref()?;
            let step = match self.first.take() {
                Some(first) => self.tap.feed(first),
                None => match self.pace.next(self.body.frame()).await {
                    Err(late) => Err(late),
                    Ok(Some(Err(error))) => Err(cut(&error)),
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(chunk) => self.tap.feed(chunk),
                        Err(_) => continue,
                    },
                    Ok(None) => match self.next_part().await {
                        None => return self.end(),
                        Some(rest) => rest,
                    },
                },
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

    /// Goes on with the part that follows; what is left of the ended one goes to the client.
    async fn next_part(&mut self) -> Option<Result<Bytes, GatewayError>> {
        let begun = (self.more.as_mut()?)()?.await;
        Some(begun.and_then(|begun| {
            (self.first, self.body) = (Some(begun.first), begun.body);
            let rest = self.tap.next_part();
            if let Some(meter) = &mut self.meter {
                let (usage, source) = self.tap.usage();
                meter.set_usage(usage, source);
                meter.note_again();
            }
            rest
        }))
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
