//! Sends a file to a provider: while it still arrives, or again once it is here.

use std::io;

use bytes::Bytes;
use dialects::contract::UploadRequest;
use futures_util::{StreamExt, stream};
use http::Response;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;

use crate::error::GatewayError;
use crate::http::upload::Upload;
use crate::ledger::Note;
use crate::pipeline::call::Call;
use crate::pipeline::envelope::{Encoder, Encoding, Envelope};
use crate::pipeline::estimate::Input;
use crate::pipeline::forward;
use crate::pipeline::meter::Meter;
use crate::pipeline::phases::Phase;
use crate::pipeline::request_body::{self, Piece};
use crate::pipeline::route::Candidate;
use crate::upstream::client::Body;

/// Pieces of an upload between the client's socket and the provider's.
const UPLOAD_QUEUE: usize = 4;

/// What came of sending a form.
pub(super) enum Sent {
    /// The provider accepted it.
    Answered(Response<Incoming>),
    /// Fields after the file change what is asked. The provider has not seen the end of the form, so
    /// it has done nothing.
    FieldsFollowed,
}

/// A form and who is sent it.
#[derive(Clone, Copy)]
pub(super) struct Sending<'a> {
    pub(super) call: &'a Call,
    pub(super) candidate: &'a Candidate,
    pub(super) form: &'a UploadRequest,
    /// What the candidate bills, once it has all of the form, should nothing more be heard of it.
    pub(super) input: &'a Input,
}

/// Sends the form to a candidate, from the spool where the upload is complete.
///
/// # Errors
/// As [`forward::judge`]'s, or the client's upload is at fault.
pub(super) async fn send_form(
    sending: Sending<'_>,
    upload: &mut Upload,
    meter: &mut Meter,
) -> Result<Sent, GatewayError> {
    let Sending { call, candidate, form, input } = sending;
    if upload.is_complete() {
        let note = call.dispatched(meter, candidate, input);
        let request = replay(call, candidate, form, upload, note).await?;
        return forward::forward(call, candidate, request).await.map(Sent::Answered);
    }
    pump(sending, upload, meter).await
}

/// Sends the form while the file still arrives.
async fn pump(sending: Sending<'_>, upload: &mut Upload, meter: &mut Meter) -> Result<Sent, GatewayError> {
    let Sending { call, candidate, form, input } = sending;
    let envelope = Envelope::new(&form.body, upload.file_name(), upload.content_type());
    let mut encoder = Encoder::new(envelope.encoding);
    let (sender, pieces) = mpsc::channel(UPLOAD_QUEUE);
    let body = request_body::arriving(pieces);
    let request = forward::post(call.gateway(), candidate, &form.endpoint, &envelope.content_type, body, None).await?;
    let answer = forward::send(call, candidate, request);
    let mut answer = std::pin::pin!(answer);
    let idle = call.phases.idle;

    let mut waiting: Vec<Bytes> =
        upload.spool_mut().in_memory().into_iter().map(|piece| encoder.piece(piece)).collect();
    waiting.insert(0, Bytes::from(envelope.head));
    waiting.reverse();
    loop {
        let chunk = match waiting.pop() {
            Some(chunk) => chunk,
            None => tokio::select! {
                biased;
                early = &mut answer => return answered_early(call, candidate, early, meter, input).await,
                chunk = upload.receive_chunk() => match chunk? {
                    Some(chunk) => encoder.piece(chunk),
                    None => break,
                },
            },
        };
        if chunk.is_empty() {
            continue;
        }
        tokio::select! {
            biased;
            early = &mut answer => return answered_early(call, candidate, early, meter, input).await,
            sent = tokio::time::timeout(idle, sender.send(Piece::More(chunk))) => match sent {
                Ok(Ok(())) => {}
                // A closed queue means that the provider stopped reading: its answer or error says why.
                Ok(Err(_)) => break,
                Err(_) => return Err(unread()),
            },
        }
    }
    let fields_before = upload.field_count();
    upload.receive_rest().await?;
    if upload.field_count() != fields_before {
        return Ok(Sent::FieldsFollowed);
    }
    let end = [&encoder.rest()[..], &envelope.tail].concat();
    let last = Piece::Last(end.into(), call.dispatched(meter, candidate, input));
    let ending = async move {
        // A closed queue means that the provider stopped reading: its answer or error says why.
        drop(sender.send(last).await);
        std::future::pending().await
    };
    // Both are driven: the queue may be full until the provider is connected, which the answer sees to.
    let answer = async {
        tokio::select! {
            biased;
            answer = answer => answer,
            never = ending => never,
        }
    };
    forward::judge(call, candidate, answer).await.map(Sent::Answered)
}

fn unread() -> GatewayError {
    Phase::Idle.told("The provider does not read the request")
}

/// Judges what came before the provider had the whole form.
async fn answered_early(
    call: &Call,
    candidate: &Candidate,
    answer: Result<Response<Incoming>, GatewayError>,
    meter: &mut Meter,
    input: &Input,
) -> Result<Sent, GatewayError> {
    let answer = forward::judge(call, candidate, std::future::ready(answer)).await?;
    call.dispatched(meter, candidate, input).write();
    Ok(Sent::Answered(answer))
}

/// The request with a file that is here whole.
async fn replay(
    call: &Call,
    candidate: &Candidate,
    form: &UploadRequest,
    upload: &mut Upload,
    note: Note,
) -> Result<http::Request<Body>, GatewayError> {
    let envelope = Envelope::new(&form.body, upload.file_name(), upload.content_type());
    let length = (envelope.head.len() + envelope.tail.len()) as u64 + envelope.encoding.length(upload.spool().len());
    let body = match envelope.encoding {
        Encoding::Plain => upload.spool_mut().body(envelope.head, envelope.tail).await?.0,
        Encoding::Base64 => encoded(upload, envelope.head, envelope.tail).await?,
    };
    let body = request_body::measured(body, length, note);
    forward::post(call.gateway(), candidate, &form.endpoint, &envelope.content_type, body, Some(length)).await
}

/// The spooled file in base64, as it is read.
async fn encoded(upload: &mut Upload, head: Vec<u8>, tail: Vec<u8>) -> Result<Body, GatewayError> {
    let (file, _) = upload.spool_mut().body(Vec::new(), Vec::new()).await?;
    let state = (BodyStream::new(file), Encoder::new(Encoding::Base64), Some(tail));
    let pieces = stream::try_unfold(state, |(mut file, mut encoder, mut tail)| async move {
        if let Some(frame) = file.next().await {
            let piece = encoder.piece(frame?.into_data().unwrap_or_default());
            return Ok::<_, io::Error>(Some((Frame::data(piece), (file, encoder, tail))));
        }
        let Some(tail_bytes) = tail.take() else { return Ok(None) };
        let end = [&encoder.rest()[..], &tail_bytes].concat();
        Ok(Some((Frame::data(Bytes::from(end)), (file, encoder, tail))))
    });
    let head = stream::once(std::future::ready(Ok(Frame::data(Bytes::from(head)))));
    Ok(StreamBody::new(head.chain(pieces)).boxed_unsync())
}
