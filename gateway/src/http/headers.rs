//! Response headers that say what happened.

use std::fmt::Write as _;
use std::time::Duration;

use actix_web::HttpResponseBuilder;
use actix_web::http::header::HeaderValue;

use crate::limits::RateState;
use crate::pipeline::meter::Meter;
use crate::pipeline::route::Candidate;

/// Who served a call, at what cost, after how many attempts, and what is left of the key's rate.
pub fn served(response: &mut HttpResponseBuilder, candidate: &Candidate, meter: &Meter) {
    response.insert_header(("x-antiphon-provider", candidate.account.name.as_str()));
    response.insert_header(("x-antiphon-model", candidate.model.model.as_str()));
    response.insert_header(("x-antiphon-attempts", u64::from(meter.attempts())));
    // A stream's usage is not complete yet, so its cost is known only where it does not depend on that.
    if let Some(cost) = meter.cost().filter(|_| meter.usage() != domain::usage::Usage::default()) {
        response.insert_header(("x-antiphon-cost-usd", cost.to_string()));
    }
    if let Some(state) = meter.permit().rate() {
        rate(response, state);
    }
}

/// How many requests a key may make, how many are left, and when all of them are there again.
pub fn rate(response: &mut HttpResponseBuilder, state: RateState) {
    response.insert_header(("x-ratelimit-limit-requests", u64::from(state.limit)));
    response.insert_header(("x-ratelimit-remaining-requests", u64::from(state.remaining)));
    response.insert_header(("x-ratelimit-reset-requests", format!("{}ms", state.reset.as_millis())));
}

/// `Server-Timing`: how long the gateway itself took until the answer's head, how long it waited for
/// providers, and, where it did, for a seat at one.
#[must_use]
pub fn server_timing(total: Duration, upstream: Duration, queued: Duration) -> Option<HeaderValue> {
    let mut text = String::with_capacity(56);
    let own = total.saturating_sub(upstream).saturating_sub(queued).as_micros();
    let upstream = upstream.as_micros();
    let (own_ms, own_us, upstream_ms, upstream_us) = (own / 1000, own % 1000, upstream / 1000, upstream % 1000);
    write!(text, "gateway;dur={own_ms}.{own_us:03}, upstream;dur={upstream_ms}.{upstream_us:03}").ok()?;
    if !queued.is_zero() {
        let queued = queued.as_micros();
        write!(text, ", queue;dur={}.{:03}", queued / 1000, queued % 1000).ok()?;
    }
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_with_decimals() {
        let timing =
            server_timing(Duration::from_micros(12_345), Duration::from_micros(2_005), Duration::ZERO).unwrap();
        assert_eq!(timing, "gateway;dur=10.340, upstream;dur=2.005");
        let queued = Duration::from_millis(8);
        let timing = server_timing(Duration::from_micros(12_345), Duration::from_micros(2_005), queued).unwrap();
        assert_eq!(timing, "gateway;dur=2.340, upstream;dur=2.005, queue;dur=8.000");
        let timing = server_timing(Duration::ZERO, Duration::from_micros(7), Duration::ZERO).unwrap();
        assert_eq!(timing, "gateway;dur=0.000, upstream;dur=0.007");
    }
}
