//! Chat and embeddings: forwarded with the provider's model name, metered by what it reports.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use bytes::Bytes;
use dialects::contract::JsonRequest;
use dialects::openai::json::{ChatSse, chat_stream_wants_usage};
use dialects::openai::usage::json_usage;
use domain::error::{ErrorKind, Retry};
use domain::usage::{Usage, UsageSource, UsageStatus};
use serde::Deserialize;

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

/// The few fields that decide something here; the rest travels as it came.
#[derive(Deserialize)]
struct Asked {
    model: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    max_completion_tokens: Option<u64>,
    max_tokens: Option<u64>,
}

/// Serves one chat or embeddings request.
///
/// # Errors
/// Whatever keeps it from being served, after every target that could help was tried.
pub async fn forward_json(
    worker: &Worker,
    snapshot: &Snapshot,
    principal: &Principal,
    mut facts: CallFacts,
    body: &[u8],
) -> Result<HttpResponse, GatewayError> {
    let gateway = &worker.gateway;
    let asked: Asked = serde_json::from_slice(body).map_err(|error| {
        GatewayError::invalid("body", format!("The body is not the JSON that is expected: {error}."))
    })?;
    let model = asked.model.ok_or_else(|| GatewayError::invalid("model", "The body has no `model`."))?;
    facts.model_asked.clone_from(&model);
    principal.require(facts.operation, &model)?;
    let expected = estimate::json(facts.operation, body.len() as u64, asked.max_completion_tokens.or(asked.max_tokens));
    let price = |candidate: &Candidate| {
        let prices = estimate::prices(snapshot, candidate, facts.operation, facts.started_at);
        estimate::amount(&expected, &prices)
    };
    let candidates = route(
        snapshot,
        &gateway.health,
        principal.key.tenant,
        facts.operation,
        &model,
        facts.region.as_deref(),
        &|candidate| price(candidate).map(|amount| amount.0),
    )?;
    let mut planned: Vec<(Candidate, JsonRequest)> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        if let Some(dialect) = candidate.row.json {
            let request = dialect.request(facts.operation, body, &candidate.model)?;
            planned.push((candidate, request));
        }
    }
    refuse_unpriced(principal, planned.iter().map(|(candidate, _)| price(candidate)))?;
    let cost = planned.iter().filter_map(|(candidate, _)| price(candidate)).max();
    gateway.ledger.accepts()?;
    let permit =
        gateway.limits.admit(&principal.key, &Want { cost, session: false }, facts.started_at, facts.started)?;
    let mut meter = Meter::open(gateway, facts, permit, None);

    let mut last: Option<GatewayError> = None;
    for (candidate, request) in planned {
        meter.attempt();
        let (payload, length) = forward::whole(request.body);
        let post = forward::post(&candidate, &request.path, "application/json", payload, Some(length))?;
        let answer = match forward::forward(gateway, &worker.client, &candidate, post).await {
            Ok(answer) => answer,
            Err(error) if error.retry() == Retry::NextTarget => {
                last = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let content_type = answer.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if asked.stream == Some(true) && content_type.is_some_and(|value| value.starts_with("text/event-stream")) {
            meter.served_by(snapshot, &candidate);
            let mut response = HttpResponse::Ok();
            response.insert_header((CONTENT_TYPE, "text/event-stream")).insert_header((CACHE_CONTROL, "no-cache"));
            crate::http::headers::served(&mut response, &candidate, &meter);
            let tap = ChatTap { sniffer: ChatSse::new(chat_stream_wants_usage(body)), reported: None };
            let idle = gateway.settings.timeouts.idle;
            return Ok(response.streaming(streamed(answer.into_body(), tap, meter, idle, expected)));
        }
        match whole_answer(worker, snapshot, &candidate, answer, &mut meter, expected).await {
            Ok(bytes) => {
                let mut response = HttpResponse::Ok();
                response.insert_header((CONTENT_TYPE, "application/json"));
                meter.first_byte();
                crate::http::headers::served(&mut response, &candidate, &meter);
                meter.finish(UsageStatus::Ok);
                return Ok(response.body(bytes));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| GatewayError::upstream(ErrorKind::NoHealthyTarget, "No target of the model is left.")))
}

async fn whole_answer(
    worker: &Worker,
    snapshot: &Snapshot,
    candidate: &Candidate,
    answer: http::Response<hyper::body::Incoming>,
    meter: &mut Meter,
    expected: Usage,
) -> Result<Bytes, GatewayError> {
    let bytes = forward::collect_json(&worker.gateway, answer.into_body()).await?;
    if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err() {
        worker.gateway.health.failed(candidate);
        return Err(GatewayError::upstream(ErrorKind::UpstreamError, "The provider's answer is not JSON."));
    }
    meter.served_by(snapshot, candidate);
    match json_usage(meter.facts().operation, &bytes) {
        Some(usage) => meter.set_usage(Usage { requests: 1, ..usage }, UsageSource::Reported),
        None => meter.set_usage(expected, UsageSource::Estimated),
    }
    Ok(bytes)
}

struct ChatTap {
    sniffer: ChatSse,
    reported: Option<Usage>,
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
        self.reported = end.usage;
        if end.complete { Ok(rest.into()) } else { Err(forward::cut(&"no [DONE]")) }
    }

    fn usage(&self, known: Usage) -> (Usage, UsageSource) {
        match self.reported {
            Some(usage) => (Usage { requests: 1, ..usage }, UsageSource::Reported),
            None => (known, UsageSource::Estimated),
        }
    }
}
