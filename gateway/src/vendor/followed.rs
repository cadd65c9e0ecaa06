//! Sessions that a vendor bills by its own clock: bounded when they are made, and when their socket is gone,
//! ended at the vendor, which is asked what it bills. Sound that goes around this gateway is thereby neither
//! uncounted nor without an end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dialects::surface::{Followed, Surface, Told, fields, path_of};
use domain::error::ErrorKind;
use domain::limits::MAX_UPSTREAM_JSON_BYTES;
use domain::usage::Usage;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value};

use super::{account, send};
use crate::Worker;
use crate::error::GatewayError;
use crate::limits::Permit;
use crate::pipeline::call::Call;
use crate::pipeline::forward::collect;
use crate::pipeline::meter::CallFacts;
use crate::pipeline::route::Candidate;
use crate::upstream::client::Body;
use crate::upstream::credentials::credential;

/// Between the first two questions; each pause is longer than the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two questions.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// In which a vendor notices by itself that a client has left.
const PATIENCE: Duration = Duration::from_millis(500);

/// A session, and how its vendor is asked about it.
pub(super) struct Session {
    pub(super) how: &'static Followed,
    /// Its name at the vendor.
    pub(super) id: String,
    /// Nothing of its sound is seen here: that its socket is silent says nothing.
    pub(super) without_sound: bool,
}

impl Session {
    /// A session that its vendor has named, so that it can be asked for.
    pub(super) fn named(how: &'static Followed, id: String, without_sound: bool) -> Option<Self> {
        path_of(how.told_at, &id).map(|_| Self { how, id, without_sound })
    }
}

/// Makes a request one for a session whose sound goes around, and which therefore has an end even if it
/// cannot be cut: what it asks for, the age of sessions here, or what is left of the budget, whatever is least.
pub(super) async fn bounded(
    call: &Call,
    facts: &CallFacts,
    candidate: &Candidate,
    permit: &Permit,
    how: &Followed,
    asked_ms: u64,
    mut body: Map<String, Value>,
) -> Result<Bytes, GatewayError> {
    let age = call.gateway().bounds().session_max_age.as_millis();
    let most_ms = asked_ms.min(u64::try_from(age).unwrap_or(u64::MAX));
    (how.bind)(&mut body, paid_for(call, facts, candidate, permit, how.step_ms, most_ms).await?);
    Ok(Value::Object(body).to_string().into())
}

/// As much of `most_ms` as what is left of the budget pays for, in whole steps; one step is admitted already.
async fn paid_for(
    call: &Call,
    facts: &CallFacts,
    candidate: &Candidate,
    permit: &Permit,
    step_ms: u64,
    most_ms: u64,
) -> Result<u64, GatewayError> {
    let key = &call.principal.key;
    let Some(budget) = key.budget else { return Ok(most_ms) };
    let spend = call.gateway().spend(key, facts.started_at).await.map_err(|error| GatewayError::internal(&error))?;
    let others = spend.reserved.0.saturating_sub(permit.reserved().0);
    let left = budget.amount.0.saturating_sub(spend.spent.0).saturating_sub(others);
    let is_paid = |ms: u64| {
        let lasting = Usage { audio_in_ms: ms, requests: 1, ..Usage::default() };
        account::price(&call.snapshot, facts, candidate, &lasting).is_none_or(|cost| cost.0 <= left)
    };
    if is_paid(most_ms) {
        return Ok(most_ms);
    }
    let (mut paid, mut unpaid) = (1, most_ms.div_ceil(step_ms));
    while paid + 1 < unpaid {
        let middle = paid.midpoint(unpaid);
        if is_paid(middle.saturating_mul(step_ms)) { paid = middle } else { unpaid = middle }
    }
    Ok(most_ms.min(paid.saturating_mul(step_ms)))
}

/// Sees a session to its end at the vendor, and gives the milliseconds that the vendor bills; `None` where it
/// does not say in time. A session that has no business to go on is ended `at_once`; else the vendor may
/// notice by itself that it is over.
pub(super) async fn settle(
    worker: &Worker,
    surface: &Surface,
    candidate: &Candidate,
    session: &Session,
    at_once: bool,
) -> Option<u64> {
    let most = worker.gateway.timeouts().settle;
    let asking = Asking { worker, surface, candidate, session, each: most / 2 };
    let mut runs = true;
    let billed = tokio::time::timeout(most, asking.until_billed(at_once, &mut runs)).await.ok();
    if billed.is_none() {
        let (provider, session) = (&candidate.account.name, &session.id);
        tracing::warn!(%provider, %session, runs, "what the vendor bills for a session is not known");
    }
    billed
}

struct Asking<'a> {
    worker: &'a Worker,
    surface: &'a Surface,
    candidate: &'a Candidate,
    session: &'a Session,
    /// How long one answer may take.
    each: Duration,
}

impl Asking<'_> {
    async fn until_billed(&self, at_once: bool, runs: &mut bool) -> u64 {
        let since = Instant::now();
        let mut is_told = at_once && self.end().await;
        let mut pause = FIRST_PAUSE;
        loop {
            let told = self.ask().await.unwrap_or_else(|error| {
                tracing::debug!(%error, session = %self.session.id, "the vendor does not tell of a session");
                None
            });
            match told {
                Some(Told::Billed(ms)) => return ms,
                Some(Told::Ended) => *runs = false,
                // A vendor that tells nothing may have it run as well.
                Some(Told::Runs) | None if !is_told && since.elapsed() >= PATIENCE => is_told = self.end().await,
                Some(Told::Runs) | None => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn ask(&self) -> Result<Option<Told>, GatewayError> {
        let (status, body) = self.send(Method::GET, self.session.how.told_at, None).await?;
        let told = fields(&body).ok().filter(|_| status.is_success());
        Ok(told.map(|told| (self.session.how.read)(&told)))
    }

    /// Ends it, and says whether the vendor knows now: one that has ended already cannot be ended.
    async fn end(&self) -> bool {
        let body = (self.session.how.end)().to_string();
        match self.send(Method::POST, self.session.how.ended_at, Some(body)).await {
            Ok((status, _)) => status.is_success() || status == StatusCode::UNPROCESSABLE_ENTITY,
            Err(error) => {
                tracing::warn!(%error, session = %self.session.id, "a session was not ended at its vendor");
                false
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        template: &str,
        body: Option<String>,
    ) -> Result<(StatusCode, Bytes), GatewayError> {
        let request = self.request(method, template, body).await?;
        let answer = async {
            let sent = self.worker.client.send(self.candidate.account.allow_insecure, request).await?;
            let (head, body) = sent.into_parts();
            Ok((head.status, collect(body, MAX_UPSTREAM_JSON_BYTES, self.each).await?))
        };
        tokio::time::timeout(self.each, answer).await.unwrap_or_else(|_| {
            Err(GatewayError::upstream(ErrorKind::UpstreamTimeout, "The provider did not answer in time."))
        })
    }

    async fn request(
        &self,
        method: Method,
        template: &str,
        body: Option<String>,
    ) -> Result<Request<Body>, GatewayError> {
        let path = path_of(template, &self.session.id);
        let path = path.ok_or_else(|| GatewayError::internal(&"the name of a session is no part of a path"))?;
        let uri = send::address(self.surface, self.candidate, None, &path, "");
        let mut request = Request::builder().method(method).uri(uri);
        request = request.header(USER_AGENT, concat!("antiphon/", env!("CARGO_PKG_VERSION")));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some((name, value)) = credential(&self.worker.gateway, self.candidate).await? {
            request = request.header(name, value);
        }
        let body = Full::from(body.unwrap_or_default()).map_err(|never| match never {}).boxed_unsync();
        request.body(body).map_err(|error| GatewayError::internal(&error))
    }
}
