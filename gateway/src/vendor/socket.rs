//! Opens a session below a vendor's prefix: authenticate → admit → connect, all before the upgrade, so
//! that what is known to fail is refused with its status.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use dialects::surface::{Connected, SocketMeter, Surface};
use domain::error::ErrorKind;
use domain::ids::SessionId;
use domain::usage::Usage;
use tracing::Instrument;
use uuid::Uuid;

use super::asked::Asked;
use super::followed::Session;
use super::leg::{Leg, NoLeg};
use super::relay::{Relay, WINDOW};
use super::rest::{PASSED, Taken};
use super::{Vendor, account, answer, asked, send};
use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::Caller;
use crate::limits::Want;
use crate::pipeline::admit::refuse_unpriced;
use crate::pipeline::estimate::Input;
use crate::pipeline::forward::collect;
use crate::pipeline::meter::Meter;
use crate::pipeline::route::Candidate;
use crate::realtime::client::{Client, verify};
use crate::realtime::live::{Kind, Live};

/// Longest name of a subprotocol that is answered; what is longer may be a credential.
const MAX_SUBPROTOCOL_BYTES: usize = 32;

/// A session at one of the vendor's own paths.
///
/// # Errors
/// Whatever is known to fail before the upgrade.
pub(super) async fn open(
    taken: Taken,
    part: Option<String>,
    request: &HttpRequest,
    payload: Payload,
    counter: Box<dyn SocketMeter>,
) -> Result<HttpResponse, GatewayError> {
    let Taken { vendor, worker, mut caller, asked, route } = taken;
    verify(request)?;
    caller.facts.model_asked = super::rest::model(route, &asked, &serde_json::Map::new(), part.as_deref())?;
    let (operation, model) = (caller.facts.operation, &caller.facts.model_asked);
    let by = (&*caller.snapshot, &caller.principal, &*caller.progress);
    let candidate = account::choose(&worker.gateway, by, vendor, operation, model).await?;
    let address = send::address(vendor.surface, &candidate, route.origin, &asked.path, &asked.raw_query);
    let opening = Opening {
        worker: worker.get_ref().clone(),
        caller,
        surface: vendor.surface,
        candidate,
        counter,
        followed: None,
    };
    opening.begin(request, payload, &address.replacen("http", "ws", 1), true).await
}

/// A session at a path that is not known here, for a key that may open such. Nobody knows what it costs.
///
/// # Errors
/// As [`open`]'s.
pub(super) async fn pass(
    vendor: Vendor,
    worker: Data<Worker>,
    mut caller: Caller,
    request: &HttpRequest,
    payload: Payload,
    asked: Asked,
) -> Result<HttpResponse, GatewayError> {
    verify(request)?;
    caller.facts.model_asked = PASSED.to_owned();
    let (health, tenant) = (&worker.gateway.health, caller.facts.key.tenant);
    let candidate = account::any(&caller.snapshot, health, vendor, tenant, PASSED)?;
    let address = send::address(vendor.surface, &candidate, None, &asked.path, &asked.raw_query);
    let (worker, counter) = (worker.get_ref().clone(), Box::new(Connected));
    let opening = Opening { worker, caller, surface: vendor.surface, candidate, counter, followed: None };
    opening.begin(request, payload, &address.replacen("http", "ws", 1), true).await
}

/// A session that is admitted and connected next.
pub(super) struct Opening {
    pub(super) worker: Worker,
    pub(super) caller: Caller,
    pub(super) surface: &'static Surface,
    pub(super) candidate: Candidate,
    pub(super) counter: Box<dyn SocketMeter>,
    /// How the vendor is asked what it bills.
    pub(super) followed: Option<Session>,
}

impl Opening {
    /// Admits, connects, accepts and runs the session.
    pub(super) async fn begin(
        self,
        request: &HttpRequest,
        payload: Payload,
        address: &str,
        with_credential: bool,
    ) -> Result<HttpResponse, GatewayError> {
        let gateway = &self.worker.gateway;
        let session = SessionId(Uuid::now_v7());
        let live = Live::new(session, Kind::Vendor, &self.caller.facts, request.peer_addr());
        let entered = gateway.sessions.enter(live, gateway.bounds().max_sessions);
        let Some(entered) = entered.filter(|_| !gateway.draining.is_cancelled()) else {
            let message = "The gateway takes no more sessions at the moment.";
            return Err(GatewayError::caller(ErrorKind::Overloaded, message).with_retry_after(5));
        };
        gateway.ledger.accepts()?;
        let facts = self.caller.facts.clone();
        facts.trace.session(session);
        let admitting = facts.trace.phase("admit");
        let window = Usage { surcharge_percent: self.counter.usage(0).0.surcharge_percent, ..WINDOW };
        let cost = account::price(&self.caller.snapshot, &facts, &self.candidate, &window);
        refuse_unpriced(self.caller.principal.key.refuse_unpriced, std::iter::once(cost))?;
        let key = &self.caller.principal.key;
        let permit = self.worker.admit(key, &Want { cost, session: true }, &facts).await?;
        if !gateway.health.may_ask(&self.candidate) {
            return Err(account::nobody());
        }
        drop(admitting);
        let mut meter = Meter::open(gateway, facts, permit, Some(Arc::clone(&entered.live))).in_one_record();
        self.caller.progress.asks(&self.candidate);
        meter.attempt(&self.candidate);
        let leg = match Leg::open(gateway, &self.candidate, address, with_credential).await {
            Ok(leg) => leg,
            Err(none) => {
                meter.facts().trace.failed(&self.candidate, none.told());
                return self.refused(none, meter.waited()).await;
            }
        };
        // From now on a kill leaves a record, of what was counted by then.
        let nothing = Input::estimated(Usage::default());
        meter.dispatched(&self.caller.snapshot, &self.candidate, &nothing).write();
        meter.served_by(&self.caller.snapshot, &self.candidate);
        let (response, client) = Client::accept_as(request, payload, subprotocol(request).as_deref())?;
        let relay = Relay::new(self, session, client, leg, meter);
        actix_web::rt::spawn(relay.run(entered).instrument(tracing::Span::current()));
        Ok(response)
    }

    /// The vendor's own words, where it has said any.
    async fn refused(self, none: NoLeg, took: Duration) -> Result<HttpResponse, GatewayError> {
        let (health, operation) = (&self.worker.gateway.health, self.caller.facts.operation);
        let refusal = match none {
            NoLeg::Failed(error) => {
                health.failed(&self.candidate, operation, took);
                return Err(error);
            }
            NoLeg::Refused(refusal) => refusal,
        };
        let (head, body) = refusal.into_parts();
        if head.status.is_server_error() {
            health.failed(&self.candidate, operation, took);
        }
        let body = collect(body, answer::MAX_REFUSAL_BYTES, self.worker.gateway.timeouts().idle).await?;
        answer::refusal(&self.worker.gateway, self.surface, &self.candidate, &head, body).map(|(response, _)| response)
    }
}

/// The subprotocol that is answered: the first that is offered and cannot be a credential, since a browser
/// insists on one.
fn subprotocol(request: &HttpRequest) -> Option<String> {
    let plain = |name: &str| {
        name.len() <= MAX_SUBPROTOCOL_BYTES
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    asked::subprotocols(request).next().filter(|name| plain(name))
}
