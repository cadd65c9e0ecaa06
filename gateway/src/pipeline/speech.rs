//! Speech: route → admit → forward → pass each piece on as it comes → meter.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use bytes::Bytes;
use dialects::contract::SpeechPlan;
use dialects::error::DialectError;
use dialects::openai::speech::SpeechTranscoder;
use domain::audio::{PCM_24K, RealtimeFormat, SpeechFormat};
use domain::error::{ErrorKind, Retry};
use domain::speech::{SpeechRequest, StreamFormat, Voice};
use domain::usage::{Usage, UsageSource, UsageStatus};
use futures_util::StreamExt;

use crate::Worker;
use crate::error::GatewayError;
use crate::limits::Want;
use crate::pipeline::authenticate::Principal;
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::route::{Candidate, route};
use crate::pipeline::streamed::{Tap, streamed};
use crate::pipeline::transcription::refuse_unpriced;
use crate::pipeline::{estimate, forward};
use crate::snapshot::Snapshot;

/// Serves one speech request.
///
/// # Errors
/// Whatever keeps it from being served, after every target that could help was tried.
pub async fn speak(
    worker: &Worker,
    snapshot: &Snapshot,
    principal: &Principal,
    facts: CallFacts,
    request: SpeechRequest,
) -> Result<HttpResponse, GatewayError> {
    let gateway = &worker.gateway;
    principal.require(facts.operation, &request.model)?;
    let expected = estimate::speech(request.characters());
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
    let planned = plan(snapshot, candidates, &request)?;
    refuse_unpriced(principal, planned.iter().map(|(candidate, ..)| price(candidate)))?;
    let cost = planned.iter().filter_map(|(candidate, ..)| price(candidate)).max();
    gateway.ledger.accepts()?;
    let permit =
        gateway.limits.admit(&principal.key, &Want { cost, session: false }, facts.started_at, facts.started)?;
    let mut meter = Meter::open(gateway, facts, permit, None);

    let mut last: Option<GatewayError> = None;
    for (candidate, request, plan) in planned {
        meter.attempt();
        let Some(plan) = plan else {
            return local(worker, snapshot, &candidate, &request, meter).await;
        };
        let (body, length) = forward::whole(plan.request.body);
        let post = forward::post(&candidate, &plan.request.path, "application/json", body, Some(length))?;
        match forward::forward(gateway, &worker.client, &candidate, post).await {
            Ok(answer) => {
                let content_type =
                    answer.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let content_type = content_type.unwrap_or_default();
                if content_type.starts_with("text/html") || content_type.starts_with("application/json") {
                    last = Some(GatewayError::upstream(
                        ErrorKind::UpstreamError,
                        "The provider answered with something that is not audio.",
                    ));
                    gateway.health.failed(&candidate);
                    continue;
                }
                // Some models ignore `stream_format` and answer with raw audio: what came decides.
                let delivery =
                    if content_type.starts_with("text/event-stream") { StreamFormat::Sse } else { StreamFormat::Audio };
                let wanted = request.stream_format.unwrap_or_default();
                meter.served_by(snapshot, &candidate);
                let known = Usage { characters: request.characters(), requests: 1, ..Usage::default() };
                let tap = SpeechTap {
                    transcoder: (delivery != wanted || delivery == StreamFormat::Sse)
                        .then(|| SpeechTranscoder::new(delivery, wanted)),
                    reported: None,
                    format: request.format(),
                    wanted,
                    bytes_out: 0,
                    known,
                };
                let response = head(request.format(), wanted, &candidate, &meter);
                return Ok(finish_response(
                    response,
                    streamed(answer.into_body(), tap, meter, gateway.settings.timeouts.idle, known),
                ));
            }
            Err(error) if error.retry() == Retry::NextTarget => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| GatewayError::upstream(ErrorKind::NoHealthyTarget, "No target of the model is left.")))
}

type Planned = (Candidate, SpeechRequest, Option<SpeechPlan>);

/// The targets that can speak the request, each with its own voice. When none can, the first reason.
fn plan(
    snapshot: &Snapshot,
    candidates: Vec<Candidate>,
    request: &SpeechRequest,
) -> Result<Vec<Planned>, GatewayError> {
    let mut reason: Option<DialectError> = None;
    let mut planned = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let mut request = request.clone();
        if let Some(map) = snapshot.voices.get(request.voice.as_str()) {
            let mapped = map.get(&candidate.account.name).or_else(|| map.get(candidate.account.kind.as_str()));
            if let Some(voice) = mapped {
                request.voice = Voice::Name(voice.clone());
            }
        }
        let Some(dialect) = candidate.row.speech else { continue };
        match dialect.request(&request, &candidate.model) {
            Ok(_) if candidate.row.in_process => planned.push((candidate, request, None)),
            Ok(plan) => planned.push((candidate, request, Some(plan))),
            Err(error) => reason = reason.or(Some(error)),
        }
    }
    match (planned.is_empty(), reason) {
        (true, Some(error)) => Err(error.into()),
        (true, None) => Err(GatewayError::invalid("model", "The model cannot speak.")),
        _ => Ok(planned),
    }
}

fn head(
    format: SpeechFormat,
    wanted: StreamFormat,
    candidate: &Candidate,
    meter: &Meter,
) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    match wanted {
        StreamFormat::Audio => response.insert_header((CONTENT_TYPE, format.content_type())),
        StreamFormat::Sse => {
            response.insert_header((CONTENT_TYPE, "text/event-stream")).insert_header((CACHE_CONTROL, "no-cache"))
        }
    };
    crate::http::headers::served(&mut response, candidate, meter);
    response
}

fn finish_response(
    mut response: actix_web::HttpResponseBuilder,
    body: impl futures_util::Stream<Item = Result<Bytes, GatewayError>> + 'static,
) -> HttpResponse {
    response.streaming(body)
}

struct SpeechTap {
    transcoder: Option<SpeechTranscoder>,
    reported: Option<Usage>,
    format: SpeechFormat,
    wanted: StreamFormat,
    bytes_out: u64,
    known: Usage,
}

impl Tap for SpeechTap {
    fn feed(&mut self, chunk: Bytes) -> Result<Bytes, GatewayError> {
        let Some(transcoder) = &mut self.transcoder else {
            self.bytes_out += chunk.len() as u64;
            return Ok(chunk);
        };
        let mut out = Vec::with_capacity(chunk.len());
        transcoder.feed(&chunk, &mut out)?;
        self.bytes_out += out.len() as u64;
        Ok(out.into())
    }

    fn finish(&mut self) -> Result<Bytes, GatewayError> {
        let mut out = Vec::new();
        if let Some(transcoder) = &mut self.transcoder {
            self.reported = transcoder.finish(&self.known, &mut out)?;
        }
        Ok(out.into())
    }

    fn usage(&self, known: Usage) -> (Usage, UsageSource) {
        let audio_out_ms = self.audio_out_ms();
        match self.reported {
            Some(usage) => {
                (Usage { characters: known.characters, requests: 1, audio_out_ms, ..usage }, UsageSource::Reported)
            }
            None => (Usage { audio_out_ms, ..known }, UsageSource::Measured),
        }
    }
}

impl SpeechTap {
    /// Length of what was delivered, where bytes say it.
    fn audio_out_ms(&self) -> u64 {
        match (self.wanted, self.format) {
            (StreamFormat::Audio, SpeechFormat::Pcm) => RealtimeFormat::Pcm16(PCM_24K).duration_ms(self.bytes_out),
            (StreamFormat::Audio, SpeechFormat::Wav) => {
                RealtimeFormat::Pcm16(PCM_24K).duration_ms(self.bytes_out.saturating_sub(44))
            }
            _ => 0,
        }
    }
}

/// Speech on this machine.
async fn local(
    worker: &Worker,
    snapshot: &Snapshot,
    candidate: &Candidate,
    request: &SpeechRequest,
    mut meter: Meter,
) -> Result<HttpResponse, GatewayError> {
    let output = worker.gateway.local.speak(request).await?;
    meter.served_by(snapshot, candidate);
    let known = Usage { characters: request.characters(), requests: 1, ..Usage::default() };
    meter.set_usage(known, UsageSource::Measured);
    let wanted = request.stream_format.unwrap_or_default();
    // A request that names no format gets what this machine makes; the others were refused by name.
    let format =
        if output.content_type == SpeechFormat::Pcm.content_type() { SpeechFormat::Pcm } else { SpeechFormat::Wav };
    let response = head(format, wanted, candidate, &meter);
    let transcoder = (wanted == StreamFormat::Sse).then(|| SpeechTranscoder::new(StreamFormat::Audio, wanted));
    let tap = SpeechTap { transcoder, reported: None, format, wanted, bytes_out: 0, known };
    let state = (output.body, tap, Some(meter));
    let body = futures_util::stream::unfold(state, move |(mut body, mut tap, mut meter)| async move {
        meter.as_ref()?;
        let step = match body.next().await {
            Some(Ok(chunk)) => tap.feed(chunk),
            Some(Err(error)) => Err(error.into()),
            None => {
                let rest = tap.finish();
                let (usage, source) = tap.usage(known);
                if let Some(mut meter) = meter.take() {
                    meter.set_usage(usage, source);
                    meter.finish(UsageStatus::Ok);
                }
                return match rest {
                    Ok(rest) if rest.is_empty() => None,
                    rest => Some((rest, (body, tap, meter))),
                };
            }
        };
        match &step {
            Ok(_) => {
                if let Some(meter) = &mut meter {
                    meter.first_byte();
                }
            }
            Err(_) => {
                if let Some(meter) = meter.take() {
                    meter.finish(UsageStatus::UpstreamError);
                }
            }
        }
        Some((step, (body, tap, meter)))
    });
    Ok(finish_response(response, body))
}
