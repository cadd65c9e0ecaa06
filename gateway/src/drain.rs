//! How the gateway stops: readiness goes first, then new work, then sessions, then whatever is left.
//!
//! ```text
//! SIGTERM ── drain_delay ──▶ refuse ─────────────▶ tell ──────▶ cut ───▶ gone
//!   │ not ready,               │ work on new         │ sessions    │ requests that
//!   │ no new sessions          │ connections: 503    │ end: 1001   │ still run
//! ```
//!
//! `timeouts.drain` spans the way from "refuse" to "gone". Each step is left out where nothing is open any
//! more, and a second signal leaps to the end.

use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::realtime::live::Why;
use crate::settings::Timeouts;

/// How long before the end sessions are told: providers then have three seconds for their last reports.
const NOTICE: Duration = Duration::from_secs(5);
/// What is kept of the time for records, and the most that recording what was cut may take.
const AFTERMATH: Duration = Duration::from_secs(2);
/// What a second signal leaves for goodbyes.
const HASTE: Duration = Duration::from_secs(1);

/// The moments of one drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// From then on work on new connections is refused.
    refuse: Instant,
    /// Then sessions are told and ended.
    tell: Instant,
    /// Then requests in flight are cut.
    cut: Instant,
    /// By then the process should be gone.
    gone: Instant,
}

impl Plan {
    fn new(now: Instant, timeouts: &Timeouts) -> Self {
        let refuse = now + timeouts.drain_delay;
        let before_end = |time: Duration| refuse + timeouts.drain.saturating_sub(time);
        let aftermath = AFTERMATH.min(timeouts.drain / 5);
        Self { refuse, tell: before_end(NOTICE), cut: before_end(aftermath), gone: refuse + timeouts.drain }
    }
}

/// Drains the gateway and stops its server. When this returns no call and no session is left that could leave
/// a record; it gives the moment by which the process should be gone.
pub(crate) async fn drain(gateway: &Gateway, server: &ServerHandle, hurry: &CancellationToken) -> Instant {
    let plan = Plan::new(Instant::now(), &gateway.timeouts());
    gateway.draining.cancel();
    // From here on answers close their connections.
    gateway.calls.close();
    tracing::info!(
        sessions = gateway.sessions.len(),
        calls = gateway.calls.len(),
        "draining; a second signal leaves at once"
    );
    let (finished, gone) = tokio::select! {
        finished = in_order(gateway, &plan) => (finished, plan.gone),
        () = hurry.cancelled() => (in_haste(gateway).await, Instant::now()),
    };
    if finished {
        // The last answers leave, and idle connections are closed.
        server.stop(true).await;
        return gone;
    }
    tracing::warn!(
        sessions = gateway.sessions.len(),
        calls = gateway.calls.len(),
        "still open at the end of the drain, and cut"
    );
    gateway.cut.cancel();
    server.stop(false).await;
    // What was cut is recorded by the threads that served it.
    timeout(AFTERMATH, gateway.idle()).await.unwrap_or(());
    gone
}

/// Waits for calls and sessions as long as the plan says. Gives whether all have ended.
async fn in_order(gateway: &Gateway, plan: &Plan) -> bool {
    sleep_until(plan.refuse).await;
    gateway.refusing.cancel();
    if timeout_at(plan.tell, gateway.idle()).await.is_ok() {
        return true;
    }
    gateway.sessions.end_all(&Why::Draining);
    timeout_at(plan.cut, gateway.idle()).await.is_ok()
}

/// Tells sessions at once, and waits only for their goodbyes.
async fn in_haste(gateway: &Gateway) -> bool {
    tracing::warn!("a second signal: leaving at once");
    gateway.refusing.cancel();
    gateway.sessions.end_all(&Why::Draining);
    timeout(HASTE, gateway.idle()).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_told_before_requests_are_cut_and_both_before_the_end() {
        let now = Instant::now();
        let at = |ms: u64| now + Duration::from_millis(ms);
        let plan = |drain: u64, delay: u64| {
            let (drain, drain_delay) = (Duration::from_millis(drain), Duration::from_millis(delay));
            Plan::new(now, &Timeouts { drain, drain_delay, ..Timeouts::default() })
        };
        let long = Plan { refuse: at(10_000), tell: at(35_000), cut: at(38_000), gone: at(40_000) };
        assert_eq!(plan(30_000, 10_000), long);
        let short = Plan { refuse: at(0), tell: at(0), cut: at(800), gone: at(1_000) };
        assert_eq!(plan(1_000, 0), short, "what is short is used up by records as little as may be");
    }
}
