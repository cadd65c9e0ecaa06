//! Speech: route → admit → forward → pass each piece on as it comes → meter.

use std::collections::VecDeque;
use std::rc::Rc;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use bytes::Bytes;
use dialects::contract::{JsonRequest, SpeechAnswer, SpeechAudio, SpeechPart, SpeechPlan};
use dialects::error::DialectError;
use domain::audio::{PCM_24K, RealtimeFormat, SpeechFormat};
use domain::speech::{SpeechRequest, StreamFormat, Voice};
use domain::usage::{Usage, UsageSource, UsageStatus};
use futures_util::{Stream, StreamExt};
use local_speech::SpeechOutput;

use crate::error::GatewayError;
use crate::ledger::Note;
use crate::pipeline::admit::{Written, admit, cannot, nothing_left};
use crate::pipeline::call::Call;
use crate::pipeline::estimate::Input;
use crate::pipeline::hedge::{self, Race};
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::route::Candidate;
use crate::pipeline::speech_way::{Way, not_audio};
use crate::pipeline::streamed::{Begun, NextPart, Tap, streamed_in_parts};
use crate::pipeline::tries::{Then, Tries};
use crate::pipeline::{estimate, forward, request_body};
use crate::snapshot::Snapshot;

/// Serves one speech request.
///
/// # Errors
/// Whatever keeps it from being served, after every target that could help was tried.
pub async fn speak(call: Call, facts: CallFacts, request: SpeechRequest) -> Result<HttpResponse, GatewayError> {
    call.principal.require(facts.operation, &request.model)?;
    let expected = estimate::speech(request.characters());
    let (planned, mut meter) =
        admit(&call, facts, &request.model, &expected, |candidate| write(&call.snapshot, candidate, &request)).await?;

    let call = Rc::new(call);
    let sent = estimate::undelivered(&expected);
    let mut last: Option<GatewayError> = None;
    let mut tries = Tries::default();
    let mut targets = planned.into_iter();
    let mut again = None;
    while let Some(mut target) = again.take().or_else(|| targets.next()) {
        let Some(mut spoken) = target.request.take() else { continue };
        // A target without that voice was not tried; the next one may have it.
        if let Err(error) = find_voice(&call, &target.candidate, &mut spoken).await {
            last = Some(error);
            continue;
        }
        if !tries.may_ask(&call, &target.candidate) {
            continue;
        }
        let home = tries.asks(&call, &mut meter, &target.candidate);
        let hedged = (meter.attempts() == 1 && spoken.is_remote())
            .then(|| hedge::patience(&call, &meter, &target.candidate, targets.as_slice()));
        let served = match hedged.flatten() {
            None => serve(&call, &target.candidate, spoken, &sent, &mut meter).await,
            Some(patience) => {
                let race = Race { call: &call, home, first: &target.candidate, sent: &sent, meter: &mut meter };
                // Such calls are few, and those that are not hedged shall not be larger for them.
                let (by, answer) = Box::pin(race.run(spoken, patience, targets.as_mut_slice())).await;
                target.candidate = by.unwrap_or(target.candidate);
                answer.and_then(|answer| answer.served(&call, &target.candidate, &sent, &mut meter))
            }
        };
        match served {
            Ok(Served::Provider(answer, more, tap)) => {
                let response = head(&tap, &target.candidate, &meter);
                return Ok(finish_response(response, streamed_in_parts(answer, more, tap, meter, call.flowing())));
            }
            Ok(Served::Local(output, tap)) => {
                let response = head(&tap, &target.candidate, &meter);
                return Ok(finish_response(response, streamed_locally(output, tap, meter)));
            }
            Err(error) => match tries.after(&call, &mut meter, &target.candidate, error, targets.as_slice()).await? {
                Then::Another(error) => last = Some(error),
                Then::Same => {
                    target.request = Some(write(&call.snapshot, &target.candidate, &request)?);
                    again = Some(target);
                }
            },
        }
    }
    Err(last.unwrap_or_else(nothing_left))
}

/// What a target is asked, in its own voice; without a plan it speaks on this machine.
#[derive(Debug)]
pub(super) struct Spoken {
    request: SpeechRequest,
    plan: Option<SpeechPlan>,
}

impl Written for Spoken {}

impl Spoken {
    /// Whether a provider is asked, and not this machine.
    pub(super) fn is_remote(&self) -> bool {
        self.plan.is_some()
    }
}

/// What a target is asked.
///
/// # Errors
/// It cannot serve it.
pub(super) fn write(
    snapshot: &Snapshot,
    candidate: &Candidate,
    request: &SpeechRequest,
) -> Result<Spoken, DialectError> {
    let dialect = candidate.row.speech.ok_or_else(|| cannot("speak"))?;
    let mut request = request.clone();
    if let Some(map) = snapshot.voices.get(request.voice.as_str()) {
        let mapped = map.get(&candidate.account.name).or_else(|| map.get(candidate.account.kind.as_str()));
        if let Some(voice) = mapped {
            request.voice = Voice::Name(voice.clone());
        }
    }
    let plan = dialect.request(&request, &candidate.model)?;
    Ok(Spoken { request, plan: (!candidate.row.in_process).then_some(plan) })
}

/// A voice that the provider calls by an id is looked up by its name in the account, and asked for by it.
pub(super) async fn find_voice(call: &Call, candidate: &Candidate, spoken: &mut Spoken) -> Result<(), GatewayError> {
    let (Some(directory), Some(dialect)) = (candidate.row.voices_api, candidate.row.speech) else { return Ok(()) };
    let Voice::Name(name) = &spoken.request.voice else { return Ok(()) };
    if directory.is_id(name) {
        return Ok(());
    }
    let id = call.gateway().voices.id(&call.worker, candidate, directory, name).await?;
    spoken.request.voice = Voice::Id { id };
    spoken.plan = Some(dialect.request(&spoken.request, &candidate.model)?);
    Ok(())
}

/// What a target made of the call.
enum Served {
    Provider(Begun, Option<NextPart>, SpeechTap),
    Local(SpeechOutput, SpeechTap),
}

async fn serve(
    call: &Rc<Call>,
    candidate: &Candidate,
    spoken: Spoken,
    sent: &Usage,
    meter: &mut Meter,
) -> Result<Served, GatewayError> {
    if !spoken.is_remote() {
        let request = spoken.request;
        let wanted = request.stream_format.unwrap_or_default();
        let output = call.gateway().local.speak(&request).await?;
        meter.served_by(&call.snapshot, candidate);
        // A request that names no format gets what this machine makes; the others were refused by name.
        let is_pcm = output.content_type == SpeechFormat::Pcm.content_type();
        let format = if is_pcm { SpeechFormat::Pcm } else { SpeechFormat::Wav };
        let tap = SpeechTap::new(Way::packed(StreamFormat::Audio, wanted), wanted, format, sent, meter);
        return Ok(Served::Local(output, tap));
    }
    let asking = Asking::of(spoken)?;
    let note = call.dispatched(meter, candidate, &asking.input(sent));
    asking.ask(call, candidate, note).await?.served(call, candidate, sent, meter)
}

/// What a provider is about to be asked.
pub(super) struct Asking {
    first: JsonRequest,
    rest: Rest,
}

/// What is needed of it once its answer has begun.
struct Rest {
    characters: u64,
    later: std::vec::IntoIter<SpeechPart>,
    answer: SpeechAnswer,
    audio: SpeechAudio,
    wanted: StreamFormat,
    format: SpeechFormat,
}

impl Asking {
    /// What is asked of a provider.
    ///
    /// # Errors
    /// There is nothing to be asked.
    pub(super) fn of(spoken: Spoken) -> Result<Self, GatewayError> {
        let Spoken { request, plan } = spoken;
        let SpeechPlan { parts, answer, audio } = plan.ok_or_else(nothing_left)?;
        let mut later = parts.into_iter();
        let SpeechPart { request: first, characters } = later.next().ok_or_else(nothing_left)?;
        let (wanted, format) = (request.stream_format.unwrap_or_default(), request.format());
        Ok(Self { first, rest: Rest { characters, later, answer, audio, wanted, format } })
    }

    /// What is billed should nothing more be heard of it.
    pub(super) fn input(&self, sent: &Usage) -> Input {
        let characters = self.rest.characters;
        Input { counted: Some(counted(&Usage { characters, ..*sent })), estimated: *sent }
    }

    /// Asks, and waits for the first audio.
    ///
    /// # Errors
    /// The provider's.
    pub(super) async fn ask(self, call: &Call, candidate: &Candidate, note: Note) -> Result<Answered, GatewayError> {
        let Self { first, rest } = self;
        let (begun, is_events) = ask(call, candidate, first, rest.answer, note).await?;
        Ok(Answered { begun, is_events, rest })
    }
}

/// An answer that has begun.
pub(super) struct Answered {
    begun: Begun,
    is_events: bool,
    rest: Rest,
}

impl Answered {
    /// The answer on its way to the client, in the account of who serves it.
    fn served(
        self,
        call: &Rc<Call>,
        candidate: &Candidate,
        sent: &Usage,
        meter: &mut Meter,
    ) -> Result<Served, GatewayError> {
        let Rest { characters, later: parts, answer, audio, wanted, format } = self.rest;
        meter.served_by(&call.snapshot, candidate);
        let way = Way::new(answer, audio, self.is_events, wanted, format)?;
        let mut tap = SpeechTap::new(way, wanted, format, sent, meter);
        tap.sent.characters = characters;
        tap.later = parts.as_slice().iter().map(|part| part.characters).collect();
        let more = (!tap.later.is_empty()).then(|| later(call, candidate, parts, answer));
        Ok(Served::Provider(self.begun, more, tap))
    }
}

/// Asks for one part of the speech, and waits for its first bytes. Tells whether they are events.
async fn ask(
    call: &Call,
    candidate: &Candidate,
    request: JsonRequest,
    expected: SpeechAnswer,
    note: Note,
) -> Result<(Begun, bool), GatewayError> {
    let (body, length) = request_body::whole(request.body, note);
    let post =
        forward::post(call.gateway(), candidate, &request.endpoint, "application/json", body, Some(length)).await?;
    let answer = forward::forward(call, candidate, post).await?;
    let content_type = forward::content_type_of(&answer);
    let wrapped = matches!(expected, SpeechAnswer::Wrapped(_));
    if content_type.starts_with("text/html") || (content_type.starts_with("application/json") && !wrapped) {
        return Err(not_audio());
    }
    let is_events = content_type.starts_with("text/event-stream");
    let begun = Begun::wait(call, answer.into_body()).await?;
    let begun = match expected {
        SpeechAnswer::Wrapped(make) => begun.with_audio(call, make()).await?,
        SpeechAnswer::Audio | SpeechAnswer::Events => begun,
    };
    Ok((begun, is_events))
}

fn later(
    call: &Rc<Call>,
    candidate: &Candidate,
    mut parts: std::vec::IntoIter<SpeechPart>,
    expected: SpeechAnswer,
) -> NextPart {
    let asked = Rc::new((Rc::clone(call), candidate.clone()));
    Box::new(move || {
        let (asked, part) = (Rc::clone(&asked), parts.next()?);
        Some(Box::pin(async move { Ok(ask(&asked.0, &asked.1, part.request, expected, Note::none()).await?.0) }))
    })
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

/// What is counted here of what goes in.
fn counted(sent: &Usage) -> Usage {
    Usage { characters: sent.characters, requests: 1, ..Usage::default() }
}

struct SpeechTap {
    way: Way,
    format: SpeechFormat,
    wanted: StreamFormat,
    bytes_out: u64,
    /// What went in, with tokens where those are billed and have to be estimated.
    sent: Usage,
    /// Characters of the parts that are still to be asked for.
    later: VecDeque<u64>,
    by_tokens: bool,
}

impl SpeechTap {
    /// For an answer that goes this way, in the account of who serves it.
    fn new(way: Way, wanted: StreamFormat, format: SpeechFormat, sent: &Usage, meter: &mut Meter) -> Self {
        let counted = counted(sent);
        meter.set_usage(counted, UsageSource::Measured);
        // Where characters alone have no price the model is billed by tokens, which only it can count.
        let by_tokens = meter.cost().is_none();
        let sent = if by_tokens { *sent } else { counted };
        Self { way, format, wanted, bytes_out: 0, sent, later: VecDeque::new(), by_tokens }
    }

    fn counted(&mut self, out: Bytes) -> Bytes {
        self.bytes_out += out.len() as u64;
        out
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
        let out = self.way.feed(chunk)?;
        Ok(self.counted(out))
    }

    fn next_part(&mut self) -> Result<Bytes, GatewayError> {
        let out = self.way.next_part()?;
        self.sent.characters += self.later.pop_front().unwrap_or_default();
        Ok(self.counted(out))
    }

    fn finish(&mut self) -> Result<Bytes, GatewayError> {
        let rest = self.way.part_ended()?;
        let (usage, _) = self.usage();
        let end = self.way.finish(&usage)?;
        if rest.is_empty() {
            return Ok(self.counted(end));
        }
        Ok(self.counted([rest, end].concat().into()))
    }

    fn usage(&self) -> (Usage, UsageSource) {
        let (characters, audio_out_ms) = (self.sent.characters, self.audio_out_ms());
        if let Some(usage) = self.way.reported() {
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
