//! Chat and embeddings: forwarded with the provider's model name, metered by what it reports.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use bytes::Bytes;
use dialects::contract::JsonRequest;
use dialects::error::DialectError;
use dialects::openai::json::{ChatSse, chat_stream_wants_usage};
use dialects::openai::usage::json_usage;
use domain::error::ErrorKind;
use domain::limits::MAX_UPSTREAM_JSON_BYTES;
use domain::provider::Operation;
use domain::usage::{Usage, UsageSource};
use serde::Deserialize;

use crate::error::GatewayError;
use crate::pipeline::admit::{Written, admit, cannot, nothing_left};
use crate::pipeline::call::Call;
use crate::pipeline::estimate::Input;
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::route::Candidate;
use crate::pipeline::streamed::{Begun, Tap, streamed};
use crate::pipeline::tries::{Then, Tries};
use crate::pipeline::{estimate, forward, request_body};

/// The few fields that decide something here; the rest travels as it came.
#[derive(Deserialize)]
struct Asked {
    model: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    max_completion_tokens: Option<u64>,
    max_tokens: Option<u64>,
    /// The provider keeps the answer.
    store: Option<bool>,
    /// Answers to one question, each as long as may be.
    n: Option<u64>,
}

/// Serves one chat or embeddings request.
///
/// # Errors
/// Whatever keeps it from being served, after every target that could help was tried.
pub async fn forward_json(call: Call, mut facts: CallFacts, body: Bytes) -> Result<HttpResponse, GatewayError> {
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| {
        GatewayError::invalid("body", format!("The body is not the JSON that is expected: {error}."))
    })?;
    let answers = asked.n.unwrap_or(1).max(1);
    let max_tokens_out = asked.max_completion_tokens.or(asked.max_tokens);
    let model = asked.model.ok_or_else(|| GatewayError::invalid("model", "The body has no `model`."))?;
    facts.model_asked.clone_from(&model);
    let operation = facts.operation;
    call.principal.require(operation, &model)?;
    let expected = estimate::json(operation, body.len() as u64, max_tokens_out, answers);
    let (planned, mut meter) =
        admit(&call, facts, &model, &expected, |candidate| write(candidate, operation, &body)).await?;

    let sent = estimate::undelivered(&expected);
    let serving = Serving { call: &call, expected, sent, body: &body, streams: asked.stream == Some(true) };
    let mut last: Option<GatewayError> = None;
    let mut tries = Tries::default();
    tries.keeps = asked.store == Some(true);
    let mut targets = planned.into_iter();
    let mut again = None;
    while let Some(mut target) = again.take().or_else(|| targets.next()) {
        let may_ask = |_: &JsonRequest| tries.may_ask(&call, &target.candidate);
        let Some(request) = target.request.take().filter(may_ask) else { continue };
        tries.asks(&call, &mut meter, &target.candidate);
        match serving.serve(&target.candidate, request, &mut meter).await {
            Ok(Served::Whole(answer)) => return Ok(respond(&call, answer, &target.candidate, meter)),
            Ok(Served::Stream(answer)) => {
                return Ok(respond_stream(&call, &target.candidate, answer, serving.tap(), meter));
            }
            Err(error) => match tries.after(&call, &mut meter, &target.candidate, error, targets.as_slice()).await? {
                Then::Another(error) => last = Some(error),
                Then::Same => {
                    target.request = Some(write(&target.candidate, operation, &body)?);
                    again = Some(target);
                }
            },
        }
    }
    Err(last.unwrap_or_else(nothing_left))
}

impl Written for JsonRequest {}

/// What a target is asked.
///
/// # Errors
/// It cannot serve it.
pub(crate) fn write(candidate: &Candidate, operation: Operation, body: &[u8]) -> Result<JsonRequest, DialectError> {
    let dialect = candidate.row.json.ok_or_else(|| cannot("be asked this"))?;
    dialect.request(operation, body, &candidate.model)
}

/// What a target made of the call.
enum Served {
    Whole(Bytes),
    Stream(Begun),
}

struct Serving<'a> {
    call: &'a Call,
    expected: Usage,
    /// What of it goes in.
    sent: Usage,
    body: &'a [u8],
    streams: bool,
}

impl Serving<'_> {
    async fn serve(
        &self,
        candidate: &Candidate,
        request: JsonRequest,
        meter: &mut Meter,
    ) -> Result<Served, GatewayError> {
        let call = self.call;
        let note = call.dispatched(meter, candidate, &Input::estimated(self.sent));
        let (payload, length) = request_body::whole(request.body, note);
        let post =
            forward::post(call.gateway(), candidate, &request.endpoint, "application/json", payload, Some(length))
                .await?;
        let answer = forward::forward(call, candidate, post).await?;
        if self.streams && forward::content_type_of(&answer).starts_with("text/event-stream") {
            let answer = Begun::wait(call, answer.into_body()).await?;
            meter.served_by(&call.snapshot, candidate);
            return Ok(Served::Stream(answer));
        }
        meter.heard();
        let bytes = forward::collect(answer.into_body(), MAX_UPSTREAM_JSON_BYTES, call.pace()).await?;
        if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err() {
            return Err(GatewayError::upstream(ErrorKind::UpstreamError, "The provider's answer is not JSON."));
        }
        meter.served_by(&call.snapshot, candidate);
        match json_usage(meter.facts().operation, &bytes) {
            Some(usage) => meter.set_usage(Usage { requests: 1, ..usage }, UsageSource::Reported),
            None => meter.set_usage(self.estimated(bytes.len()), UsageSource::Estimated),
        }
        Ok(Served::Whole(bytes))
    }

    fn tap(&self) -> ChatTap {
        ChatTap { sniffer: ChatSse::new(chat_stream_wants_usage(self.body)), sent: self.sent }
    }

    /// What an answer of so many bytes used that does not say it itself.
    fn estimated(&self, answer_bytes: usize) -> Usage {
        let text_tokens_out = estimate::text_tokens(answer_bytes as u64).min(self.expected.text_tokens_out);
        Usage { text_tokens_out, ..self.expected }
    }
}

fn respond(call: &Call, answer: Bytes, candidate: &Candidate, mut meter: Meter) -> HttpResponse {
    meter.first_byte();
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "application/json"));
    crate::http::headers::served(&mut response, candidate, &meter);
    meter.finish(call.progress.ending());
    response.body(answer)
}

fn respond_stream(call: &Call, candidate: &Candidate, answer: Begun, tap: ChatTap, mut meter: Meter) -> HttpResponse {
    // What it will cost is known at its end.
    meter.set_usage(Usage::default(), UsageSource::Estimated);
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/event-stream")).insert_header((CACHE_CONTROL, "no-cache"));
    crate::http::headers::served(&mut response, candidate, &meter);
    response.streaming(streamed(answer, tap, meter, call.flowing()))
}

struct ChatTap {
    sniffer: ChatSse,
    /// What went in.
    sent: Usage,
}

impl Tap for ChatTap {
    fn feed(&mut self, chunk: Bytes) -> Result<Bytes, GatewayError> {
        let mut out = Vec::with_capacity(chunk.len());
        self.sniffer.feed(&chunk, &mut out)?;
        Ok(out.into())
    }

    fn finish(&mut self) -> Result<Bytes, GatewayError> {
        let mut rest = Vec::new();
        let end = self.sniffer.finish(&mut rest);
        if end.complete { Ok(rest.into()) } else { Err(forward::cut(&"no [DONE]")) }
    }

    fn usage(&self) -> (Usage, UsageSource) {
        match self.sniffer.reported() {
            Some(usage) => (Usage { requests: 1, ..usage }, UsageSource::Reported),
            // A chunk is about one token.
            None => (Usage { text_tokens_out: self.sniffer.deltas(), ..self.sent }, UsageSource::Estimated),
        }
    }
}
