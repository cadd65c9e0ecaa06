//! Every metric of the data plane. Labels come from closed lists or from the configuration, never
//! from a client.

use std::time::Duration;

use domain::error::ErrorKind;
use domain::provider::Operation;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const REQUESTS: &str = "antiphon_requests_total";
const ERRORS: &str = "antiphon_errors_total";
const LATENCY: &str = "antiphon_request_duration_seconds";
const TTFB: &str = "antiphon_time_to_first_byte_seconds";
const UNPRICED: &str = "antiphon_unpriced_records_total";
const SESSIONS: &str = "antiphon_active_sessions";
const FRAMES: &str = "antiphon_realtime_frames_total";
const JOURNAL: &str = "antiphon_journal_pending_records";
const REFUSED: &str = "antiphon_refused_records_total";
const OPEN_CALLS: &str = "antiphon_open_calls_unwritten_total";
const CREDENTIAL: &str = "antiphon_upstream_credential_refused_total";
const COST: &str = "antiphon_cost_nano_usd_total";

/// Says what each metric means to the exporter.
pub fn describe() {
    describe_counter!(REQUESTS, "Calls that were answered by a provider, by operation, provider and status.");
    describe_counter!(ERRORS, "Calls that were refused or failed, by error code.");
    describe_histogram!(LATENCY, metrics::Unit::Seconds, "From the request to the end of its answer.");
    describe_histogram!(TTFB, metrics::Unit::Seconds, "From the request to the answer's first byte.");
    describe_counter!(UNPRICED, "Usage records whose cost is unknown for want of a price.");
    describe_gauge!(SESSIONS, "Realtime sessions that are open now.");
    describe_counter!(FRAMES, "Realtime frames forwarded, by direction.");
    describe_gauge!(JOURNAL, "Usage records that are in the journal but not yet in the database.");
    describe_counter!(REFUSED, "Usage records that the database refused: they are in the journal's `refused.jsonl`.");
    describe_counter!(OPEN_CALLS, "Calls in flight that could not be noted on disk: a kill would lose their records.");
    describe_counter!(CREDENTIAL, "Answers by which a provider refused our credential.");
    describe_counter!(COST, "Cost of recorded usage in billionths of a US dollar.");
}

/// One billed call ended.
pub fn served(
    operation: Operation,
    provider: &str,
    status: &'static str,
    latency: Duration,
    ttfb: Option<Duration>,
    cost_nano: Option<i64>,
) {
    let provider = provider.to_owned();
    counter!(REQUESTS, "operation" => operation.as_str(), "provider" => provider.clone(), "status" => status)
        .increment(1);
    histogram!(LATENCY, "operation" => operation.as_str()).record(latency);
    if let Some(ttfb) = ttfb {
        histogram!(TTFB, "operation" => operation.as_str()).record(ttfb);
    }
    match cost_nano {
        Some(cost) => counter!(COST, "provider" => provider).increment(u64::try_from(cost).unwrap_or(0)),
        None => counter!(UNPRICED, "provider" => provider).increment(1),
    }
}

/// A call was refused or failed.
pub fn failed(kind: ErrorKind) {
    counter!(ERRORS, "code" => kind.facts().2).increment(1);
}

/// A provider refused the credential that we hold for it.
pub fn credential_refused(provider: &str) {
    counter!(CREDENTIAL, "provider" => provider.to_owned()).increment(1);
}

/// A session opened (+1) or ended (-1).
pub fn sessions(by: f64) {
    gauge!(SESSIONS).increment(by);
}

/// Frames forwarded since the last report of a session.
pub fn frames(to_upstream: u64, to_client: u64) {
    counter!(FRAMES, "direction" => "to_upstream").increment(to_upstream);
    counter!(FRAMES, "direction" => "to_client").increment(to_client);
}

/// Records that wait for the database.
pub fn journal_pending(records: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge for people")]
    gauge!(JOURNAL).set(records as f64);
}

/// The database refused a usage record for what is in it.
pub fn record_refused() {
    counter!(REFUSED).increment(1);
}

/// A call in flight could not be noted on disk.
pub fn open_call_unwritten() {
    counter!(OPEN_CALLS).increment(1);
}
