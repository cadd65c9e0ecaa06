//! Response headers that say what happened.

use actix_web::HttpResponseBuilder;
use actix_web::http::header::{HeaderName, HeaderValue};

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
    if let Some(rate) = meter.permit().rate() {
        response.insert_header(("x-ratelimit-limit-requests", u64::from(rate.limit)));
        response.insert_header(("x-ratelimit-remaining-requests", u64::from(rate.remaining)));
        let reset = format!("{}ms", rate.reset.as_millis());
        if let Ok(reset) = HeaderValue::from_str(&reset) {
            response.insert_header((HeaderName::from_static("x-ratelimit-reset-requests"), reset));
        }
    }
}
