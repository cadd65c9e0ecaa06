//! Speech: route → admit → forward → pass each piece on as it comes → meter.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use bytes::Bytes;
use dialects::contract::SpeechPlan;
use dialects::error::DialectError;
use dialects::openai::speech::SpeechTranscoder;
use domain::audio::{PCM_24K, RealtimeFormat, SpeechFormat};
use domain::error::ErrorKind;
use domain::speech::{SpeechRequest, StreamFormat, Voice};
use domain::usage::{Usage, UsageSource, UsageStatus};
use futures_util::{Stream, StreamExt};
use local_speech::SpeechOutput;

use crate::error::GatewayError;
use crate::pipeline::admit::{admit, cannot, nothing_left};
use crate::pipeline::call::Call;
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::route::Candidate;
use crate::pipeline::streamed::{Begun, Tap, streamed};
use crate::pipeline::{estimate, forward};

/// Serves one speech request.
///
/// # Errors
/// Whatever keeps it from being served, after every target that could help was tried.
pub async fn speak(call: Call, facts: CallFacts, request: SpeechRequest) -> Result<HttpResponse, GatewayError> {
    call.principal.require(facts.operation, &request.model)?;
    let expected = estimate::speech(request.characters());
    let (planned, mut meter) =
        admit(&call, facts, &request.model, &expected, |candidate| write(&call, candidate, &request))?;

    let sent = estimate::undelivered(&expected);
    let mut last: Option<GatewayError> = None;
    for target in planned {
        let Some(spoken) = target.request else { continue };
        meter.attempt();
        match serve(&call, &target.candidate, spoken, &sent, &mut meter).await {
            Ok(Served::Provider(answer, tap)) => {
                let response = head(&tap, &target.candidate, &meter);
                let idle = call.gateway().settings.timeouts.idle;
                return Ok(finish_response(response, streamed(answer, tap, meter, idle)));
            }
            Ok(Served::Local(output, tap)) => {
                let response = head(&tap, &target.candidate, &meter);
                return Ok(finish_response(response, streamed_locally(output, tap, meter)));
            }
            Err(error) => last = Some(call.failed(&mut meter, &target.candidate, error)?),
        }
    }
    Err(last.unwrap_or_else(nothing_left))
}

/// What a target is asked, in its own voice; without a plan it speaks on this machine.
struct Spoken {
    request: SpeechRequest,
    plan: Option<SpeechPlan>,
}

fn write(call: &Call, candidate: &Candidate, request: &SpeechRequest) -> Result<Spoken, DialectError> {
    let dialect = candidate.row.speech.ok_or_else(|| cannot("speak"))?;
    let mut request = request.clone();
    if let Some(map) = call.snapshot.voices.get(request.voice.as_str()) {
        let mapped = map.get(&candidate.account.name).or_else(|| map.get(candidate.account.kind.as_str()));
        if let Some(voice) = mapped {
            request.voice = Voice::Name(voice.clone());
        }
    }
    let plan = dialect.request(&request, &candidate.model)?;
    Ok(Spoken { request, plan: (!candidate.row.in_process).then_some(plan) })
}

/// What a target made of the call.
enum Served {
    Provider(Begun, SpeechTap),
    Local(SpeechOutput, SpeechTap),
}

async fn serve(
    call: &Call,
    candidate: &Candidate,
    spoken: Spoken,
    sent: &Usage,
    meter: &mut Meter,
) -> Result<Served, GatewayError> {
    let Spoken { request, plan } = spoken;
    let wanted = request.stream_format.unwrap_or_default();
    let Some(plan) = plan else {
        let output = call.gateway().local.speak(&request).await?;
        meter.served_by(&call.snapshot, candidate);
        // A request that names no format gets what this machine makes; the others were refused by name.
        let is_pcm = output.content_type == SpeechFormat::Pcm.content_type();
        let format = if is_pcm { SpeechFormat::Pcm } else { SpeechFormat::Wav };
        let tap = SpeechTap::new(StreamFormat::Audio, wanted, format, sent, meter);
        return Ok(Served::Local(output, tap));
    };
    let (body, length) = forward::whole(plan.request.body);
    let post = forward::post(candidate, &plan.request.path, "application/json", body, Some(length))?;
    call.dispatched(meter, candidate, sent);
    let answer = forward::forward(call, candidate, post).await?;
    let content_type = forward::content_type_of(&answer);
    if content_type.starts_with("text/html") || content_type.starts_with("application/json") {
        let message = "The provider answered with something that is not audio.";
        return Err(GatewayError::upstream(ErrorKind::UpstreamError, message));
    }
    // Some models ignore `stream_format` and answer with raw audio: what came decides.
    let is_events = content_type.starts_with("text/event-stream");
    let delivery = if is_events { StreamFormat::Sse } else { StreamFormat::Audio };
    let answer = Begun::wait(call, answer.into_body()).await?;
    meter.served_by(&call.snapshot, candidate);
    let tap = SpeechTap::new(delivery, wanted, request.format(), sent, meter);
    Ok(Served::Provider(answer, tap))
}

fn head(tap: &SpeechTap, candidate: &Candidate, meter: &Meter) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    match tap.wanted {
        StreamFormat::Audio => response.insert_header((CONTENT_TYPE, tap.format.content_type())),
        StreamFormat::Sse => {
            response.insert_header((CONTENT_TYPE, "text/event-stream")).insert_header((CACHE_CONTROL, "no-cache"))
        }
    };
    crate::http::headers::served(&mut response, candidate, meter);
    response
}

fn finish_response(
    mut response: actix_web::HttpResponseBuilder,
    body: impl Stream<Item = Result<Bytes, GatewayError>> + 'static,
) -> HttpResponse {
    response.streaming(body)
}

struct SpeechTap {
    transcoder: Option<SpeechTranscoder>,
    format: SpeechFormat,
    wanted: StreamFormat,
    bytes_out: u64,
    /// What went in, with tokens where those are billed and have to be estimated.
    sent: Usage,
    by_tokens: bool,
}

impl SpeechTap {
    /// For an answer that comes as `delivery`, in the account of who serves it.
    fn new(
        delivery: StreamFormat,
        wanted: StreamFormat,
        format: SpeechFormat,
        sent: &Usage,
        meter: &mut Meter,
    ) -> Self {
        let counted = Usage { characters: sent.characters, requests: 1, ..Usage::default() };
        meter.set_usage(counted, UsageSource::Measured);
        // Where characters alone have no price the model is billed by tokens, which only it can count.
        let by_tokens = meter.cost().is_none();
        let transcodes = delivery != wanted || delivery == StreamFormat::Sse;
        let transcoder = transcodes.then(|| SpeechTranscoder::new(delivery, wanted));
        Self { transcoder, format, wanted, bytes_out: 0, sent: if by_tokens { *sent } else { counted }, by_tokens }
    }

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

    /// About how long it is in any format: events carry three bytes in four, and compressed audio has
    /// the bit rate that OpenAI's voices are usually sent with.
    fn estimated_ms(&self) -> u64 {
        let audio = if self.wanted == StreamFormat::Sse { self.bytes_out / 4 * 3 } else { self.bytes_out };
        let bytes_per_ms = match self.format {
            SpeechFormat::Pcm | SpeechFormat::Wav => 48,
            SpeechFormat::Flac => 24,
            SpeechFormat::Mp3 => 16,
            SpeechFormat::Aac => 8,
            SpeechFormat::Opus => 4,
        };
        audio.div_ceil(bytes_per_ms)
    }
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
        let (usage, _) = self.usage();
        let mut out = Vec::new();
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.finish(&usage, &mut out)?;
        }
        Ok(out.into())
    }

    fn usage(&self) -> (Usage, UsageSource) {
        let (characters, audio_out_ms) = (self.sent.characters, self.audio_out_ms());
        if let Some(usage) = self.transcoder.as_ref().and_then(SpeechTranscoder::reported) {
            return (Usage { characters, requests: 1, audio_out_ms, ..usage }, UsageSource::Reported);
        }
        if !self.by_tokens {
            return (Usage { audio_out_ms, ..self.sent }, UsageSource::Measured);
        }
        let audio_tokens_out = estimate::spoken_tokens(self.estimated_ms());
        (Usage { audio_out_ms, audio_tokens_out, ..self.sent }, UsageSource::Estimated)
    }
}

/// Speech of this machine, as it comes out of its program.
fn streamed_locally(
    output: SpeechOutput,
    tap: SpeechTap,
    meter: Meter,
) -> impl Stream<Item = Result<Bytes, GatewayError>> {
    let state = (output.body, tap, Some(meter));
    futures_util::stream::unfold(state, |(mut body, mut tap, mut meter)| async move {
        meter.as_ref()?;
        let step = match body.next().await {
            Some(Ok(chunk)) => tap.feed(chunk),
            Some(Err(error)) => Err(error.into()),
            None => {
                let rest = tap.finish();
                let (usage, source) = tap.usage();
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
    })
}
