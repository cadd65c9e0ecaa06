//! Opens a session: authenticate → route → admit → connect, all before the upgrade, so that what is
//! known to fail is refused with its status.

use std::sync::Arc;

use actix_web::http::header::SEC_WEBSOCKET_PROTOCOL;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use dialects::openai::realtime::{Passthrough, PassthroughConfig, beta};
use domain::error::{ErrorKind, Retry};
use domain::ids::SessionId;
use domain::provider::Operation;
use tracing::Instrument;
use uuid::Uuid;

use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::{Caller, caller};
use crate::ledger::Routing;
use crate::limits::Want;
use crate::pipeline::admit::{nothing_left, refuse_unpriced};
use crate::pipeline::decision::Noting;
use crate::pipeline::estimate;
use crate::pipeline::meter::Meter;
use crate::pipeline::queue::{self, Handed};
use crate::pipeline::route::{Candidate, Dropped, Question, Watch, route};
use crate::realtime::client::{Client, verify};
use crate::realtime::fallback::Fallback;
use crate::realtime::live::{self, Live};
use crate::realtime::session::{Kind, Pending, Session, Upstream};
use crate::realtime::transcribers;
use crate::realtime::upstream::{Leg, connect};
use crate::realtime::ways::{Way, holds, way};

#[derive(Debug, Default)]
struct Asked {
    model: Option<String>,
    transcription: bool,
}

/// `GET /v1/realtime`.
///
/// # Errors
/// Whatever is known to fail before the upgrade.
pub async fn create_session(
    worker: Data<Worker>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, GatewayError> {
    let gateway = &worker.gateway;
    let mut caller = caller(&worker, &request, Operation::Realtime)?;
    let asked = asked(&request, &caller)?;
    verify(&request)?;
    if gateway.draining.is_cancelled() {
        return Err(full());
    }
    gateway.ledger.accepts()?;
    let admitting = caller.facts.trace.phase("admit");
    // A transcription session may name its model in its first event; what it opens is then decided
    // by that event. Its slot and its window are reserved now.
    let decided = match &asked.model {
        Some(model) => Some(seated(&worker, &caller, model, asked.transcription).await?),
        None => {
            if !(caller.principal.key.operations.is_empty()
                || caller.principal.key.operations.contains(&Operation::Realtime))
            {
                caller.principal.require(Operation::Realtime, "")?;
            }
            None
        }
    };
    let (candidates, routing) = decided.map_or((None, None), |(found, routing)| (Some(found), routing));
    caller.facts.model_asked = asked.model.clone().unwrap_or_default();
    let window = candidates.iter().flatten().filter_map(|candidate| window(&caller, candidate)).max();
    let want = Want { cost: window, session: true };
    let permit = worker.admit(&caller.principal.key, &want, &caller.facts).await?;
    drop(admitting);
    let session = SessionId(Uuid::now_v7());
    caller.facts.trace.session(session);
    // From here on the session counts, and ends with its key: also while its provider is asked.
    let kind = if asked.transcription { live::Kind::Transcription } else { live::Kind::Realtime };
    let live = Live::new(session, kind, &caller.facts, request.peer_addr());
    let entered = gateway.sessions.enter(live, gateway.bounds().max_sessions);
    // Asked again now that it counts: a gateway that stops ends those that count, and no more come.
    let entered = entered.filter(|_| !gateway.draining.is_cancelled()).ok_or_else(full)?;
    let mut meter = Meter::open(gateway, caller.facts.clone(), permit, Some(Arc::clone(&entered.live)));
    meter.routed(routing);
    let upstream = match candidates {
        Some(candidates) => Upstream::Connected(Box::new(
            connect_first(&worker, &caller, candidates, asked.transcription, &mut meter).await?,
        )),
        None => Upstream::Awaited,
    };
    if let Some(why) = entered.live.ended() {
        return Err(why.error());
    }
    if gateway.snapshot.load().key_by_id(caller.principal.key.id).is_none() {
        return Err(GatewayError::unauthenticated());
    }
    let (response, client) = Client::accept(&request, payload)?;
    let asked = Kind { transcription: asked.transcription, beta: speaks_beta(&request) };
    let session = Session::new(worker.get_ref().clone(), caller, session, client, meter, upstream, asked);
    let session = session.run(entered).instrument(tracing::Span::current());
    actix_web::rt::spawn(session);
    Ok(response)
}

/// Whether the client asks for the older shapes: by a header, or from a browser by a subprotocol.
fn speaks_beta(request: &HttpRequest) -> bool {
    let (header, value) = beta::HEADER;
    let has = |name: &str, wanted: &str| {
        let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|given| given.trim() == wanted)
    };
    has(header, value) || has(SEC_WEBSOCKET_PROTOCOL.as_str(), beta::SUBPROTOCOL)
}

fn full() -> GatewayError {
    let message = "The gateway takes no more sessions at the moment.";
    GatewayError::caller(ErrorKind::Overloaded, message).with_retry_after(5)
}

fn asked(request: &HttpRequest, caller: &Caller) -> Result<Asked, GatewayError> {
    let mut asked = Asked::default();
    for (name, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
        match name.as_ref() {
            "model" => asked.model = Some(value.into_owned()),
            // The older name of it at one vendor.
            "deployment" if caller.facts.pinned.is_some() => asked.model = Some(value.into_owned()),
            "intent" if value == "transcription" => asked.transcription = true,
            "intent" => return Err(GatewayError::invalid("intent", "`intent` takes `transcription` only.")),
            _ => {}
        }
    }
    if let Some(grant) = &caller.principal.grant {
        if asked.transcription && !grant.transcription {
            let message = "This client secret does not open transcription sessions.";
            return Err(GatewayError::caller(ErrorKind::OperationNotAllowed, message));
        }
        asked.transcription = grant.transcription;
        asked.model = asked.model.or_else(|| Some(grant.model.clone()));
    }
    if asked.model.is_none() && !asked.transcription {
        return Err(GatewayError::invalid("model", "The query has no `model`."));
    }
    Ok(asked)
}

/// The targets that can hold a session, best first, and how that was decided.
type Decided = (Vec<Candidate>, Option<Box<Routing>>);

/// As [`candidates`], the first of which has a seat: where all are in use, one is waited for in turn.
async fn seated(worker: &Worker, caller: &Caller, model: &str, transcription: bool) -> Result<Decided, GatewayError> {
    let tenant = caller.principal.key.tenant;
    queue::seated(&worker.gateway, &caller.progress, tenant, |handed, in_use| {
        let mut noting = Noting::beside(in_use);
        let found = found(worker, caller, model, transcription, handed, &mut noting)?;
        let routing = noting.routing(found.iter().map(|candidate| candidate.place));
        in_use.claim(&caller.snapshot, tenant, found.iter())?;
        Ok((found, routing))
    })
    .await
}

/// The targets that can hold the session, best first.
///
/// # Errors
/// As [`route`]'s, and what the key may not.
pub(super) fn candidates(
    worker: &Worker,
    caller: &Caller,
    model: &str,
    transcription: bool,
) -> Result<Decided, GatewayError> {
    let mut nobody = ();
    let mut noting = Noting::beside(&mut nobody);
    let found = found(worker, caller, model, transcription, None, &mut noting)?;
    let routing = noting.routing(found.iter().map(|candidate| candidate.place));
    Ok((found, routing))
}

fn found(
    worker: &Worker,
    caller: &Caller,
    model: &str,
    transcription: bool,
    handed: Option<&Handed>,
    watch: &mut impl Watch,
) -> Result<Vec<Candidate>, GatewayError> {
    caller.principal.require(Operation::Realtime, model)?;
    let key = &caller.principal.key;
    let question = Question {
        snapshot: &caller.snapshot,
        health: &worker.gateway.health,
        tenant: key.tenant,
        operation: Operation::Realtime,
        model,
        pinned: caller.facts.pinned,
        region: caller.facts.region.as_deref(),
        strategy: caller.facts.strategy,
        conversation: caller.facts.conversation,
        at: caller.facts.started_at,
        refuses_unpriced: key.refuse_unpriced,
        handed,
    };
    choose(&question, transcription, watch)
}

/// The decision itself, from nothing but what is known.
///
/// # Errors
/// As [`route`]'s; no target holds such sessions, or one that does has no price and is refused for that.
pub(crate) fn choose(
    question: &Question<'_>,
    transcription: bool,
    watch: &mut impl Watch,
) -> Result<Vec<Candidate>, GatewayError> {
    let window = estimate::realtime_window();
    let mut found = route(question, &window, watch)?;
    let mut refusal = None;
    found.retain(|candidate| match holds(question.snapshot, candidate, transcription) {
        Ok(()) => true,
        Err(error) => {
            watch.dropped(candidate.place, Dropped::Unheld(&error));
            refusal.get_or_insert(error);
            false
        }
    });
    if let (true, Some(refusal)) = (found.is_empty(), refusal) {
        return Err(refusal);
    }
    refuse_unpriced(question.refuses_unpriced, found.iter().map(|candidate| question.price(candidate, &window)))?;
    Ok(found)
}

/// What is reserved ahead for a session at a candidate.
pub(super) fn window(caller: &Caller, candidate: &Candidate) -> Option<domain::money::NanoUsd> {
    let facts = &caller.facts;
    let prices = estimate::prices(&caller.snapshot, facts.key.tenant, candidate, Operation::Realtime, facts.started_at);
    estimate::amount(&estimate::realtime_window(), prices)
}

/// Connects the first candidate that accepts.
///
/// # Errors
/// The last failure, when none does.
pub(super) async fn connect_first(
    worker: &Worker,
    caller: &Caller,
    candidates: Vec<Candidate>,
    transcription: bool,
    meter: &mut Meter,
) -> Result<Pending, GatewayError> {
    let mut last: Option<GatewayError> = None;
    let mut left = candidates.into_iter();
    while let Some(candidate) = left.next() {
        let way = way(&candidate, transcription)?;
        if !worker.gateway.health.may_ask(&candidate) {
            continue;
        }
        caller.progress.asks(&candidate);
        meter.attempt(&candidate);
        let others = !left.as_slice().is_empty();
        match connect(worker, &caller.facts.trace, &caller.snapshot, &candidate, way, transcription, others).await {
            Ok(leg) => {
                let translated = matches!(leg, Leg::Translated(_));
                if translated {
                    meter.entrusted_to(&caller.snapshot, &candidate);
                } else {
                    meter.served_by(&caller.snapshot, &candidate);
                }
                let fallback = Fallback::to(left.collect()).filter(|_| translated);
                let dialect = dialect(caller, &candidate, way, transcription, meter.facts().model_asked.clone());
                let window = window(caller, &candidate);
                return Ok(Pending { leg, dialect, candidate, window, fallback });
            }
            Err(error) if error.retry() == Retry::NextTarget => {
                meter.attempt_failed(&candidate, error.kind());
                candidate.leave();
                last = Some(error);
            }
            Err(error) => {
                caller.facts.trace.failed(&candidate, error.kind().facts().2);
                return Err(error);
            }
        }
    }
    Err(last.unwrap_or_else(nothing_left))
}

/// The client's side of the language.
fn dialect(caller: &Caller, candidate: &Candidate, way: Way, transcription: bool, asked_model: String) -> Passthrough {
    // An agent hears by itself, whatever model a client names for it, and bills nothing beside.
    let own_transcripts = matches!(way, Way::Agent(_));
    let transcription_models = if own_transcripts { Vec::new() } else { transcribers::permitted(caller, candidate) };
    Passthrough::new(PassthroughConfig {
        asked_model,
        wire_model: candidate.model.wire_name.clone(),
        transcription,
        own_transcripts,
        transcription_models,
    })
}
