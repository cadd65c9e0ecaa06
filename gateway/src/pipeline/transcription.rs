//! Transcription and translation: authenticated and parsed up to the file by the handler, then
//! route → admit → forward while the upload still arrives → render → meter.

use std::io;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use audio::probe;
use bytes::Bytes;
use dialects::contract::{FormRequest, Reply, TranscriptionDialect};
use dialects::error::DialectError;
use dialects::multipart;
use dialects::openai::transcription::{TranscriptSse, render};
use domain::error::{ErrorKind, Retry};
use domain::provider::Operation;
use domain::transcription::TranscriptionRequest;
use domain::usage::{Usage, UsageSource, UsageStatus};
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::Worker;
use crate::error::GatewayError;
use crate::http::upload::Upload;
use crate::limits::Want;
use crate::pipeline::authenticate::Principal;
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::route::{Candidate, route};
use crate::pipeline::streamed::{Tap, streamed};
use crate::pipeline::{estimate, forward};
use crate::snapshot::Snapshot;

/// Bytes looked at to know what an upload is.
const PROBE_BYTES: usize = 64 * 1024;
/// Pieces of an upload between the client's socket and the provider's.
const UPLOAD_QUEUE: usize = 4;

/// A target with the form it wants.
type Planned = (Candidate, &'static dyn TranscriptionDialect, FormRequest);

/// Serves one transcription or translation.
///
/// # Errors
/// Whatever keeps it from being served, after every target that could help was tried.
pub async fn transcribe(
    worker: &Worker,
    snapshot: &Snapshot,
    principal: &Principal,
    mut facts: CallFacts,
    mut upload: Upload,
) -> Result<HttpResponse, GatewayError> {
    let gateway = &worker.gateway;
    upload.receive_head(PROBE_BYTES).await?;
    if !upload.is_complete() && !upload.names_model() {
        upload.receive_rest().await?;
    }
    let mut request = upload.request()?;
    facts.model_asked.clone_from(&request.model);
    principal.require(facts.operation, &request.model)?;

    let probed = probe(&upload.spool().head(PROBE_BYTES), upload.file_bytes_expected());
    let Some(probed) = probed else {
        return Err(GatewayError::caller(
            ErrorKind::UnsupportedAudio,
            "The file is not audio in a format that is known here.",
        )
        .with_param("file"));
    };
    // A budget is held exactly where the length is known, so a file whose header does not tell it is
    // received and measured before the provider sees any of it.
    let mut audio_ms = probed.duration_ms.filter(|_| probed.exact);
    if audio_ms.is_none() && principal.key.budget.is_some() {
        upload.receive_rest().await?;
        request = upload.request()?;
        audio_ms = measure(&mut upload).await?;
    }
    let expected = estimate::transcription(audio_ms.or(probed.duration_ms).unwrap_or(60_000));

    let price = |candidate: &Candidate| {
        let prices = estimate::prices(snapshot, candidate, facts.operation, facts.started_at);
        estimate::amount(&expected, &prices)
    };
    let candidates = route(
        snapshot,
        &gateway.health,
        principal.key.tenant,
        facts.operation,
        &request.model,
        facts.region.as_deref(),
        &|candidate| price(candidate).map(|amount| amount.0),
    )?;
    let mut planned = plan(candidates, facts.operation, &request)?;
    refuse_unpriced(principal, planned.iter().map(|(candidate, ..)| price(candidate)))?;
    // The dearest target that may be tried is reserved, so that failover cannot break the budget.
    let cost = planned.iter().filter_map(|(candidate, ..)| price(candidate)).max();
    gateway.ledger.accepts()?;
    let want = Want { cost, session: false };
    let permit = gateway.limits.admit(&principal.key, &want, facts.started_at, facts.started)?;
    let mut meter = Meter::open(gateway, facts, permit, None);

    let mut last: Option<GatewayError> = None;
    let mut next = 0;
    while let Some((candidate, dialect, form)) = planned.get(next).cloned() {
        next += 1;
        meter.attempt();
        let answer = if candidate.row.in_process {
            upload.receive_rest().await?;
            return local(worker, snapshot, &candidate, &request, &mut upload, meter).await;
        } else if upload.is_complete() {
            replay(worker, &candidate, &form, &mut upload).await
        } else {
            match pump(worker, &candidate, &form, &mut upload).await {
                Ok(Pumped::Answer(answer)) => judge_early(worker, &candidate, answer).await,
                Ok(Pumped::FieldsFollowed) => {
                    // Fields after the file change what is asked. The provider has not seen the end of
                    // the form, so it has done nothing yet: it is asked again, whole.
                    request = upload.request()?;
                    planned = plan(
                        planned.into_iter().map(|(candidate, ..)| candidate).collect(),
                        meter.facts().operation,
                        &request,
                    )?;
                    next -= 1;
                    continue;
                }
                Err(error) => Err(error),
            }
        };
        match answer {
            Ok(response) => {
                if !upload.is_complete() {
                    upload.receive_rest().await?;
                }
                let served =
                    Serving { worker, snapshot, candidate: &candidate, dialect, form: &form, request: &request };
                match served.answer(response, &mut upload, audio_ms, &mut meter).await {
                    Ok(Answer::Whole(reply)) => return Ok(respond(reply, &candidate, meter)),
                    Ok(Answer::Stream(body, usage)) => {
                        return Ok(respond_stream(worker, &candidate, body, usage, meter));
                    }
                    Err(error) if error.retry() == Retry::NextTarget => last = Some(error),
                    Err(error) => return Err(error),
                }
            }
            Err(error) if error.retry() == Retry::NextTarget => {
                if !upload.is_complete() {
                    upload.receive_rest().await?;
                    request = upload.request()?;
                }
                last = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| GatewayError::upstream(ErrorKind::NoHealthyTarget, "No target of the model is left.")))
}

/// The targets that can serve the request, with their forms. When none can, the first reason.
fn plan(
    candidates: Vec<Candidate>,
    operation: Operation,
    request: &TranscriptionRequest,
) -> Result<Vec<Planned>, GatewayError> {
    let mut reason: Option<DialectError> = None;
    let mut planned = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let Some(dialect) = candidate.row.transcription else { continue };
        match dialect.request(operation, request, &candidate.model) {
            Ok(form) => planned.push((candidate, dialect, form)),
            Err(error) => reason = reason.or(Some(error)),
        }
    }
    match (planned.is_empty(), reason) {
        (true, Some(error)) => Err(error.into()),
        (true, None) => Err(GatewayError::invalid("model", "The model cannot transcribe.")),
        _ => Ok(planned),
    }
}

/// A key that refuses what cannot be priced gets only targets whose price is known.
pub(crate) fn refuse_unpriced(
    principal: &Principal,
    mut prices: impl Iterator<Item = Option<domain::money::NanoUsd>>,
) -> Result<(), GatewayError> {
    if principal.key.refuse_unpriced && prices.any(|price| price.is_none()) {
        return Err(GatewayError::caller(
            ErrorKind::ModelUnpriced,
            "No price is known for this model, and this key refuses such models.",
        ));
    }
    Ok(())
}

enum Pumped {
    Answer(Result<Response<Incoming>, GatewayError>),
    FieldsFollowed,
}

/// Sends the form while the file still arrives.
async fn pump(
    worker: &Worker,
    candidate: &Candidate,
    form: &FormRequest,
    upload: &mut Upload,
) -> Result<Pumped, GatewayError> {
    let boundary = boundary();
    let (sender, mut receiver) = mpsc::channel::<Bytes>(UPLOAD_QUEUE);
    let chunks =
        futures_util::stream::poll_fn(move |context| receiver.poll_recv(context).map(|chunk| chunk.map(chunk_frame)));
    let body = StreamBody::new(chunks).boxed_unsync();
    let request = forward::post(candidate, &form.path, &content_type(&boundary), body, None)?;
    let answer = worker.client.send(candidate.account.allow_insecure, request);
    let mut answer = std::pin::pin!(answer);

    let head = multipart::preamble(&boundary, &form.fields, upload.file_name(), upload.content_type());
    let mut waiting: Vec<Bytes> = upload.spool().in_memory();
    waiting.insert(0, Bytes::from(head));
    waiting.reverse();
    loop {
        let chunk = match waiting.pop() {
            Some(chunk) => chunk,
            None => tokio::select! {
                biased;
                early = &mut answer => return Ok(Pumped::Answer(early)),
                chunk = upload.receive_chunk() => match chunk? {
                    Some(chunk) => chunk,
                    None => break,
                },
            },
        };
        if chunk.is_empty() {
            continue;
        }
        tokio::select! {
            biased;
            early = &mut answer => return Ok(Pumped::Answer(early)),
            sent = sender.send(chunk) => if sent.is_err() {
                break;
            },
        }
    }
    let fields_before = upload.field_count();
    upload.receive_rest().await?;
    if upload.field_count() != fields_before {
        return Ok(Pumped::FieldsFollowed);
    }
    // A closed queue means that the provider stopped reading: its answer or error says why.
    drop(sender.send(Bytes::from(multipart::trailer(&boundary))).await);
    drop(sender);
    let first_byte = worker.gateway.settings.timeouts.first_byte;
    let late = || GatewayError::upstream(ErrorKind::UpstreamTimeout, "The provider did not answer in time.");
    Ok(Pumped::Answer(tokio::time::timeout(first_byte, answer).await.unwrap_or_else(|_| Err(late()))))
}

fn chunk_frame(chunk: Bytes) -> Result<Frame<Bytes>, io::Error> {
    // An empty chunk marks an upload that broke off: the provider must not take it for whole.
    if chunk.is_empty() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(Frame::data(chunk)) }
}

async fn judge_early(
    worker: &Worker,
    candidate: &Candidate,
    answer: Result<Response<Incoming>, GatewayError>,
) -> Result<Response<Incoming>, GatewayError> {
    forward::judge(&worker.gateway, candidate, std::future::ready(answer)).await
}

/// Sends the form with a file that is here whole.
async fn replay(
    worker: &Worker,
    candidate: &Candidate,
    form: &FormRequest,
    upload: &mut Upload,
) -> Result<Response<Incoming>, GatewayError> {
    let boundary = boundary();
    let head = multipart::preamble(&boundary, &form.fields, upload.file_name(), upload.content_type());
    let tail = multipart::trailer(&boundary);
    let (body, length) = upload.spool_mut().body(head, tail).await?;
    let request = forward::post(candidate, &form.path, &content_type(&boundary), body, Some(length))?;
    forward::forward(&worker.gateway, &worker.client, candidate, request).await
}

enum Answer {
    Whole(Reply),
    Stream(Incoming, Usage),
}

struct Serving<'a> {
    worker: &'a Worker,
    snapshot: &'a Snapshot,
    candidate: &'a Candidate,
    dialect: &'static dyn TranscriptionDialect,
    form: &'a FormRequest,
    request: &'a TranscriptionRequest,
}

impl Serving<'_> {
    /// Reads or passes on the answer, with the length of the audio as the base of the bill.
    async fn answer(
        &self,
        response: Response<Incoming>,
        upload: &mut Upload,
        known_ms: Option<u64>,
        meter: &mut Meter,
    ) -> Result<Answer, GatewayError> {
        let content_type = response.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        if self.form.streams && content_type.starts_with("text/event-stream") {
            meter.served_by(self.snapshot, self.candidate);
            let audio_in_ms = match known_ms {
                Some(known) => known,
                None => measure(upload).await?.unwrap_or_default(),
            };
            return Ok(Answer::Stream(response.into_body(), estimate::transcription(audio_in_ms)));
        }
        let body = forward::collect_json(&self.worker.gateway, response.into_body()).await?;
        let operation = meter.facts().operation;
        let reply = self.dialect.reply(operation, self.request, &self.candidate.model, &content_type, &body)?;
        meter.served_by(self.snapshot, self.candidate);
        let (usage, source) = settle(&reply, known_ms, upload).await?;
        meter.set_usage(usage, source);
        Ok(Answer::Whole(reply))
    }
}

/// What is billed: the provider's own count where it gives one, else its length, else ours.
async fn settle(
    reply: &Reply,
    known_ms: Option<u64>,
    upload: &mut Upload,
) -> Result<(Usage, UsageSource), GatewayError> {
    let reported = reply.usage.unwrap_or_default();
    if reported.audio_in_ms > 0 || reply.duration_ms.is_some() {
        let audio_in_ms = reported.audio_in_ms.max(reply.duration_ms.unwrap_or_default());
        return Ok((Usage { audio_in_ms, requests: 1, ..reported }, UsageSource::Reported));
    }
    let measured = match known_ms {
        Some(known) => Some(known),
        None => measure(upload).await?,
    };
    let source = match (reply.usage.is_some(), measured) {
        (true, _) => UsageSource::Reported,
        (false, Some(_)) => UsageSource::Measured,
        (false, None) => UsageSource::Estimated,
    };
    Ok((Usage { audio_in_ms: measured.unwrap_or_default(), requests: 1, ..reported }, source))
}

async fn measure(upload: &mut Upload) -> Result<Option<u64>, GatewayError> {
    let reader = upload.spool_mut().reader().await?;
    tokio::task::spawn_blocking(move || audio::measure(reader)).await.map_err(|error| GatewayError::internal(&error))
}

/// Transcription on this machine.
async fn local(
    worker: &Worker,
    snapshot: &Snapshot,
    candidate: &Candidate,
    request: &TranscriptionRequest,
    upload: &mut Upload,
    mut meter: Meter,
) -> Result<HttpResponse, GatewayError> {
    let file = upload.spool_mut().to_named_file().await?;
    let transcript = worker.gateway.local.transcribe(file.path().to_owned(), true).await?;
    let reply = render(meter.facts().operation, request, &transcript)
        .ok_or_else(|| GatewayError::invalid("response_format", "The local provider has no speakers."))?;
    meter.served_by(snapshot, candidate);
    let audio_in_ms = transcript.duration_ms.unwrap_or_default();
    meter.set_usage(Usage { audio_in_ms, requests: 1, ..Usage::default() }, UsageSource::Measured);
    Ok(respond(reply, candidate, meter))
}

fn respond(reply: Reply, candidate: &Candidate, mut meter: Meter) -> HttpResponse {
    meter.first_byte();
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, reply.content_type));
    crate::http::headers::served(&mut response, candidate, &meter);
    meter.finish(UsageStatus::Ok);
    response.body(reply.body)
}

fn respond_stream(worker: &Worker, candidate: &Candidate, body: Incoming, usage: Usage, meter: Meter) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/event-stream")).insert_header((CACHE_CONTROL, "no-cache"));
    crate::http::headers::served(&mut response, candidate, &meter);
    let tap = EventTap { sniffer: TranscriptSse::new(), reported: None };
    response.streaming(streamed(body, tap, meter, worker.gateway.settings.timeouts.idle, usage))
}

/// Passes events on as they are and reads the usage of the last.
struct EventTap {
    sniffer: TranscriptSse,
    reported: Option<Usage>,
}

impl Tap for EventTap {
    fn feed(&mut self, chunk: Bytes) -> Result<Bytes, GatewayError> {
        self.sniffer.feed(&chunk);
        Ok(chunk)
    }

    fn finish(&mut self) -> Result<Bytes, GatewayError> {
        let end = self.sniffer.finish();
        self.reported = end.usage;
        if end.complete { Ok(Bytes::new()) } else { Err(forward::cut(&"no transcript.text.done")) }
    }

    fn usage(&self, known: Usage) -> (Usage, UsageSource) {
        match self.reported {
            Some(usage) => {
                let audio_in_ms = if usage.audio_in_ms > 0 { usage.audio_in_ms } else { known.audio_in_ms };
                (Usage { audio_in_ms, requests: 1, ..usage }, UsageSource::Reported)
            }
            None => (known, UsageSource::Measured),
        }
    }
}

fn boundary() -> String {
    format!("antiphon-{}", Uuid::now_v7().simple())
}

fn content_type(boundary: &str) -> String {
    format!("multipart/form-data; boundary={boundary}")
}
