//! A vendor's paths over HTTP: admit → forward → pass the answer on → meter.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use dialects::surface::{Place, Query, Recording, Route, Token, characters, fields};
use domain::limits::MAX_UPSTREAM_JSON_BYTES;
use domain::usage::{Usage, UsageSource, UsageStatus};
use http::Response;
use hyper::body::Incoming;
use serde_json::{Map, Value};

use super::Vendor;
use super::account::{self, admit};
use super::answer::{self, Passing, Verdict};
use super::arriving::Arriving;
use super::asked::Asked;
use super::passes::Pass;
use super::send;
use crate::Worker;
use crate::error::GatewayError;
use crate::http::body::read_json;
use crate::http::extract::Caller;
use crate::limits::Want;
use crate::pipeline::call::Call;
use crate::pipeline::estimate::{self, Input};
use crate::pipeline::forward::collect;
use crate::pipeline::meter::Meter;
use crate::pipeline::route::Candidate;
use crate::pipeline::streamed::{Begun, streamed};

/// A request to a known path, by a caller who is known.
pub(super) struct Taken {
    pub(super) vendor: Vendor,
    pub(super) worker: Data<Worker>,
    pub(super) caller: Caller,
    pub(super) asked: Asked,
    pub(super) route: &'static Route,
}

/// Length that is reserved where nothing tells one.
const UNKNOWN_LENGTH_MS: u64 = 60_000;
/// Name under which unknown paths are recorded.
pub(super) const PASSED: &str = "passthrough";

/// What is everybody's: it counts against the rate and costs nothing.
pub(super) async fn read(taken: Taken) -> Result<HttpResponse, GatewayError> {
    let Taken { vendor, worker, caller, asked, route } = taken;
    Call::attend(worker, caller, move |call, facts| async move {
        let candidate = account::any(&call.snapshot, &call.gateway().health, vendor, facts.key.tenant, PASSED)?;
        let want = Want { cost: None, session: false };
        let permit = call.worker.admit(&call.principal.key, &want, &facts).await?;
        let answer = send::ask(&call, vendor.surface, &candidate, route.origin, &asked).await?;
        let answer = match answer::judge(&call, vendor.surface, &candidate, answer).await? {
            Verdict::Good(answer) => answer,
            Verdict::Refused(response, _) => return Ok(response),
        };
        let (head, body) = answer.into_parts();
        let body = collect(body, MAX_UPSTREAM_JSON_BYTES, call.pace()).await?;
        drop(permit);
        let body = answer::scrubbed(candidate.account.api_key.as_ref(), body);
        Ok(answer::begin(vendor.surface, &head).body(body))
    })
    .await
}

/// Text to speech, whole or as it is made.
pub(super) async fn speak(
    taken: Taken,
    request: &HttpRequest,
    payload: Payload,
    count: fn(&Map<String, Value>) -> u64,
) -> Result<HttpResponse, GatewayError> {
    let Taken { vendor, worker, mut caller, asked, route } = taken;
    let body = read_json(&worker, request, payload).await?;
    // One vendor takes plain text as well.
    let text = !asked.is_json() && asked.content_type.is_some();
    let parsed = if text { Map::new() } else { object(&body)? };
    let counted = if text { characters(&String::from_utf8_lossy(&body)) } else { count(&parsed) };
    caller.facts.model_asked = model(route, &asked, &parsed, None)?;
    Call::attend(worker, caller, move |call, facts| async move {
        let model = facts.model_asked.clone();
        let by = (&*call.snapshot, &call.principal, &*call.progress);
        let candidate = account::choose(call.gateway(), by, vendor, facts.operation, &model).await?;
        let expected = estimate::speech(counted);
        let mut meter = admit(&call, facts, &candidate, &expected).await?;
        meter.attempt(&candidate);
        let used = Usage { characters: counted, requests: 1, ..Usage::default() };
        let input = Input { counted: Some(used), estimated: used };
        let place = (vendor.surface, route.origin);
        let answer = send::tell(&call, place, &candidate, &asked, body, &mut meter, &input).await;
        stream(&call, vendor, &candidate, meter, answer, used).await
    })
    .await
}

/// Speech to text, of a body or a file in a form, or of what a JSON body points to.
pub(super) async fn transcribe(
    taken: Taken,
    request: &HttpRequest,
    payload: Payload,
    how: Recording,
) -> Result<HttpResponse, GatewayError> {
    let Taken { vendor, worker, mut caller, asked, route } = taken;
    let gateway = &worker.gateway;
    let limit = caller.principal.key.max_upload_bytes.unwrap_or(gateway.bounds().max_upload_bytes);
    let mut source = match route.model.place {
        Place::Form(_) => Source::Arriving(Arriving::form(gateway, limit, request, payload)?),
        _ if asked.is_json() => Source::Whole(read_json(&worker, request, payload).await?),
        _ => Source::Arriving(Arriving::raw(gateway, limit, request, payload)?),
    };
    if let Source::Whole(body) = &source {
        caller.facts.model_asked = model(route, &asked, &object(body)?, None)?;
    }
    Call::attend(worker, caller, move |call, mut facts| async move {
        if let Source::Arriving(arriving) = &mut source {
            arriving.receive_head().await?;
            facts.model_asked = match route.model.place {
                Place::Form(name) => arriving.field(name).await?.unwrap_or_default(),
                _ => model(route, &asked, &Map::new(), None)?,
            };
        }
        let model = facts.model_asked.clone();
        let by = (&*call.snapshot, &call.principal, &*call.progress);
        let candidate = account::choose(call.gateway(), by, vendor, facts.operation, &model).await?;
        let (length, exact) = source.length(call.principal.key.budget.is_some()).await?;
        let options = source.options(&asked);
        let channels = if is_on(&options, how.by_channel) { source.channels() } else { 1 };
        let length = length.map(|length| length.saturating_mul(channels));
        let expected = estimate::transcription(length.unwrap_or(UNKNOWN_LENGTH_MS).max(1));
        let expected = (how.billed)(&options, &model, expected);
        let mut meter = admit(&call, facts, &candidate, &expected).await?;
        meter.attempt(&candidate);
        // An unknown length is no quantity: unpriced, not free.
        let sent = Usage { audio_in_ms: length.unwrap_or_default(), requests: 1, ..Usage::default() };
        let sent = (how.billed)(&options, &model, sent);
        let input = Input { counted: exact.then_some(sent), estimated: sent };
        let place = (vendor.surface, route.origin);
        let answer = match &mut source {
            Source::Whole(body) => {
                let body = std::mem::take(body);
                send::tell(&call, place, &candidate, &asked, body, &mut meter, &input).await
            }
            Source::Arriving(arriving) => {
                send::pass(&call, place, &candidate, &asked, arriving, &mut meter, &input).await
            }
        };
        let answer = match heard(&call, vendor, &candidate, &mut meter, answer).await? {
            Ok(answer) => answer,
            Err(refusal) => return Ok(refusal),
        };
        let (head, body) = answer.into_parts();
        let body = match collect(body, MAX_UPSTREAM_JSON_BYTES, call.pace()).await {
            Ok(body) => body,
            Err(error) => return Err(call.failed(&mut meter, &candidate, error).unwrap_or_else(|error| error)),
        };
        meter.served_by(&call.snapshot, &candidate);
        let measured = if exact { UsageSource::Measured } else { UsageSource::Estimated };
        // A form is here whole by now, with the fields behind its file.
        let options = source.options(&asked);
        let (usage, known) = match (how.reported)(&body) {
            Some(usage) => ((how.billed)(&options, &model, usage), UsageSource::Reported),
            None => ((how.billed)(&options, &model, sent), measured),
        };
        meter.set_usage(usage, known);
        meter.first_byte();
        let mut response = answer::begin(vendor.surface, &head);
        crate::http::headers::served(&mut response, &candidate, &meter);
        meter.finish(call.progress.ending());
        Ok(response.body(answer::scrubbed(candidate.account.api_key.as_ref(), body)))
    })
    .await
}

/// A path that is not known here, for a key that may call such. Nobody knows what it costs.
pub(super) async fn pass(
    vendor: Vendor,
    worker: Data<Worker>,
    mut caller: Caller,
    request: &HttpRequest,
    payload: Payload,
    asked: Asked,
) -> Result<HttpResponse, GatewayError> {
    let limit = caller.principal.key.max_upload_bytes.unwrap_or(worker.gateway.bounds().max_upload_bytes);
    let has_body = asked.content_type.is_some() || asked.method == http::Method::POST;
    let mut arriving = Arriving::raw(&worker.gateway, limit, request, payload)?;
    caller.facts.model_asked = PASSED.to_owned();
    Call::attend(worker, caller, move |call, facts| async move {
        let candidate = account::any(&call.snapshot, &call.gateway().health, vendor, facts.key.tenant, PASSED)?;
        let unknown = Usage::default();
        let input = Input::estimated(unknown);
        let mut meter = admit(&call, facts, &candidate, &unknown).await?;
        meter.attempt(&candidate);
        let answer = if has_body {
            arriving.receive_head().await?;
            let place = (vendor.surface, None);
            send::pass(&call, place, &candidate, &asked, &mut arriving, &mut meter, &input).await
        } else {
            call.dispatched(&mut meter, &candidate, &input).write();
            send::ask(&call, vendor.surface, &candidate, None, &asked).await
        };
        stream(&call, vendor, &candidate, meter, answer, unknown).await
    })
    .await
}

/// A short-lived token of ours for a browser, good for what the key may do below this vendor's prefix.
pub(super) async fn issue(
    taken: Taken,
    request: &HttpRequest,
    payload: Payload,
    token: Token,
) -> Result<HttpResponse, GatewayError> {
    let Taken { vendor, worker, caller, .. } = taken;
    let body = read_json(&worker, request, payload).await?;
    let asked = if body.is_empty() { Map::new() } else { object(&body)? };
    let gateway = &worker.gateway;
    let (key, facts) = (&caller.principal.key, &caller.facts);
    let want = Want { cost: None, session: false };
    drop(worker.admit(key, &want, facts).await?);
    let seconds = (token.seconds)(&asked);
    let expires_at = facts.started_at.unix_timestamp().saturating_add_unsigned(seconds);
    let vendor = vendor.surface.prefix.to_owned();
    let sealed = gateway.passes.seal(&Pass { key: key.id, vendor, expires_at, session: None })?;
    Ok(HttpResponse::Ok().json((token.answer)(&sealed, seconds)))
}

/// Where a recording comes from.
enum Source {
    /// JSON that points to it.
    Whole(Bytes),
    /// Itself, on its way in.
    Arriving(Arriving),
}

fn is_on(options: &Query, name: &str) -> bool {
    options.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

impl Source {
    /// What is asked of the transcription, as far as it is known: the fields of the form, or the query.
    fn options(&self, asked: &Asked) -> Query {
        match self {
            Self::Arriving(arriving) => {
                arriving.fields().map_or_else(|| asked.query.clone(), |fields| Query(fields.to_vec()))
            }
            Self::Whole(_) => asked.query.clone(),
        }
    }

    /// Channels of the audio, where its head tells them.
    fn channels(&self) -> u64 {
        match self {
            Self::Arriving(arriving) => arriving.channels(),
            Self::Whole(_) => 1,
        }
    }

    /// How long it is, as far as is known before it is sent, and whether for certain. A budget is held
    /// exactly where that is possible, so what does not tell its length is received and measured first.
    async fn length(&mut self, must_be_exact: bool) -> Result<(Option<u64>, bool), GatewayError> {
        let Self::Arriving(arriving) = self else { return Ok((None, false)) };
        let (length, exact) = arriving.length_ms();
        if exact || !must_be_exact {
            return Ok((length, exact));
        }
        arriving.receive_rest().await?;
        let measured = arriving.measured_ms().await;
        Ok((measured.or(length), measured.is_some()))
    }
}

/// Judges what came of sending, and gives the account back where the vendor refuses, in its own words, or
/// fails.
async fn heard(
    call: &Call,
    vendor: Vendor,
    candidate: &Candidate,
    meter: &mut Meter,
    answer: Result<Response<Incoming>, GatewayError>,
) -> Result<Result<Response<Incoming>, HttpResponse>, GatewayError> {
    let verdict = match answer {
        Ok(answer) => answer::judge(call, vendor.surface, candidate, answer).await,
        Err(error) => Err(error),
    };
    match verdict {
        Ok(Verdict::Refused(response, error)) => {
            // Nobody else is asked. What the client asked wrongly says nothing against the vendor.
            if response.status().is_server_error() {
                drop(call.failed(meter, candidate, error));
            } else {
                call.progress.failed();
                meter.failed(candidate, error.kind());
            }
            Ok(Err(response))
        }
        Ok(Verdict::Good(answer)) => {
            meter.heard();
            Ok(Ok(answer))
        }
        Err(error) => Err(call.failed(meter, candidate, error).unwrap_or_else(|error| error)),
    }
}

/// Passes an answer on as it arrives.
async fn stream(
    call: &Call,
    vendor: Vendor,
    candidate: &Candidate,
    mut meter: Meter,
    answer: Result<Response<Incoming>, GatewayError>,
    used: Usage,
) -> Result<HttpResponse, GatewayError> {
    let answer = match heard(call, vendor, candidate, &mut meter, answer).await? {
        Ok(answer) => answer,
        Err(refusal) => return Ok(refusal),
    };
    let (head, body) = answer.into_parts();
    let (usage, source) = match answer::billed_characters(vendor.surface, &head) {
        Some(characters) => (Usage { characters, ..used }, UsageSource::Reported),
        None => (used, UsageSource::Measured),
    };
    let mut response = answer::begin(vendor.surface, &head);
    if head.status == http::StatusCode::NO_CONTENT || hyper::body::Body::is_end_stream(&body) {
        meter.served_by(&call.snapshot, candidate);
        meter.set_usage(usage, source);
        meter.finish(UsageStatus::Ok);
        return Ok(response.finish());
    }
    let begun = match Begun::wait(call, body).await {
        Ok(begun) => begun,
        Err(error) => return Err(call.failed(&mut meter, candidate, error).unwrap_or_else(|error| error)),
    };
    meter.served_by(&call.snapshot, candidate);
    meter.set_usage(usage, source);
    crate::http::headers::served(&mut response, candidate, &meter);
    let passing = Passing::new(candidate, &head, usage, source);
    Ok(response.streaming(streamed(begun, passing, meter, call.flowing())))
}

pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, GatewayError> {
    fields(body).map_err(|error| GatewayError::invalid("body", format!("The body is not what is expected: {error}.")))
}

/// The model that a request names, or the vendor's default.
pub(super) fn model(
    route: &Route,
    asked: &Asked,
    body: &Map<String, Value>,
    part: Option<&str>,
) -> Result<String, GatewayError> {
    let named = match route.model.place {
        Place::Query(name) if asked.query.count(name) > 1 => {
            return Err(GatewayError::invalid(name, format!("`{name}` stands in the query twice.")));
        }
        Place::Query(name) => asked.query.get(name).map(str::to_owned),
        Place::Json(name) => body.get(name).and_then(Value::as_str).map(str::to_owned),
        Place::Path => part.map(str::to_owned),
        Place::Form(_) | Place::Nowhere => None,
    };
    let missing = || match route.model.place {
        Place::Query(name) | Place::Json(name) | Place::Form(name) => {
            GatewayError::invalid(name, format!("`{name}` is missing."))
        }
        Place::Path | Place::Nowhere => GatewayError::invalid("model", "No model was given."),
    };
    named.filter(|name| !name.is_empty()).or(route.model.default.map(str::to_owned)).ok_or_else(missing)
}
