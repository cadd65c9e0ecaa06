//! When something is due in a session: pings, idleness, age.

use std::time::{Duration, Instant};

use crate::settings::{GatewayLimits, Timeouts};

/// Pings without an answer after which a peer is dead.
const MISSED_PINGS: u32 = 2;

/// What a session has to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// End: it has lasted as long as it may.
    TooOld,
    /// End: nobody has said anything for too long.
    Idle,
    /// End: the client misses pings.
    ClientDead,
    /// End: the provider misses pings.
    UpstreamDead,
    /// Ask both peers whether they live.
    Ping,
}

/// The clocks of one session. They read no time themselves.
#[derive(Debug)]
pub struct Clocks {
    max_age: Duration,
    idle: Duration,
    ping: Duration,
    opened: Instant,
    last_frame: Instant,
    next_ping: Instant,
    client_pings: u32,
    upstream_pings: u32,
}

impl Clocks {
    /// The clocks of a session that opens now.
    #[must_use]
    pub fn new(now: Instant, limits: &GatewayLimits, timeouts: &Timeouts) -> Self {
        Self {
            max_age: limits.session_max_age,
            idle: limits.session_idle,
            ping: timeouts.ping,
            opened: now,
            last_frame: now,
            next_ping: now + timeouts.ping,
            client_pings: 0,
            upstream_pings: 0,
        }
    }

    /// A silent session is as good as any: what is said in it does not pass here.
    #[must_use]
    pub fn never_idle(mut self) -> Self {
        self.idle = self.max_age;
        self
    }

    /// When to look again.
    #[must_use]
    pub fn next(&self) -> Instant {
        let age = self.opened + self.max_age;
        self.next_ping.min(self.last_frame + self.idle).min(age)
    }

    /// What is due, the most urgent first. A [`Due::Ping`] is counted as sent to the client.
    pub fn due(&mut self, now: Instant) -> Due {
        if self.opened + self.max_age <= now {
            return Due::TooOld;
        }
        if self.last_frame + self.idle <= now {
            return Due::Idle;
        }
        if self.next_ping > now {
            return Due::Nothing;
        }
        if self.client_pings >= MISSED_PINGS {
            return Due::ClientDead;
        }
        if self.upstream_pings >= MISSED_PINGS {
            return Due::UpstreamDead;
        }
        self.next_ping = now + self.ping;
        self.client_pings += 1;
        Due::Ping
    }

    /// An event came from the client.
    pub fn client_spoke(&mut self, now: Instant) {
        self.last_frame = now;
        self.client_pings = 0;
    }

    /// The client answered a ping.
    pub fn client_lives(&mut self) {
        self.client_pings = 0;
    }

    /// An event came from the provider.
    pub fn upstream_spoke(&mut self, now: Instant) {
        self.last_frame = now;
        self.upstream_pings = 0;
    }

    /// The provider answered a ping.
    pub fn upstream_lives(&mut self) {
        self.upstream_pings = 0;
    }

    /// The provider was asked whether it lives.
    pub fn upstream_pinged(&mut self) {
        self.upstream_pings += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clocks(now: Instant) -> Clocks {
        let limits =
            GatewayLimits { session_idle: 60 * SECOND, session_max_age: 100 * SECOND, ..GatewayLimits::default() };
        Clocks::new(now, &limits, &Timeouts { ping: 20 * SECOND, ..Timeouts::default() })
    }

    #[test]
    fn a_peer_that_misses_two_pings_is_dead_and_one_that_answers_is_not() {
        let start = Instant::now();
        let mut clocks = clocks(start);
        assert_eq!((clocks.next(), clocks.due(start)), (start + 20 * SECOND, Due::Nothing));
        assert_eq!(clocks.due(start + 20 * SECOND), Due::Ping);
        clocks.client_lives();
        clocks.upstream_pinged();
        clocks.client_spoke(start + 30 * SECOND);
        assert_eq!(clocks.due(start + 40 * SECOND), Due::Ping);
        clocks.client_lives();
        clocks.upstream_pinged();
        assert_eq!(clocks.due(start + 60 * SECOND), Due::UpstreamDead);
        clocks.upstream_lives();
        assert_eq!(clocks.due(start + 60 * SECOND), Due::Ping);
        assert_eq!(clocks.due(start + 80 * SECOND), Due::Ping);
        clocks.upstream_spoke(start + 90 * SECOND);
        assert_eq!(clocks.due(start + 99 * SECOND), Due::Nothing);
        clocks.next_ping = start + 99 * SECOND;
        assert_eq!(clocks.due(start + 99 * SECOND), Due::ClientDead);
    }

    #[test]
    fn silence_and_age_end_a_session() {
        let start = Instant::now();
        assert_eq!(clocks(start).due(start + 60 * SECOND), Due::Idle);
        assert_eq!(clocks(start).due(start + 100 * SECOND), Due::TooOld);
        let silent = clocks(start).never_idle();
        assert_eq!(silent.next(), start + 20 * SECOND);
        assert_eq!(clocks(start).never_idle().due(start + 99 * SECOND), Due::Ping);
        assert_eq!(clocks(start).never_idle().due(start + 100 * SECOND), Due::TooOld);
    }
}
