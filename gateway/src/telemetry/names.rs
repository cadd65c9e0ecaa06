//! Every metric of the data plane. Labels come from closed lists or from the configuration, never
//! from a client.

use std::sync::Arc;
use std::time::Duration;

use domain::error::ErrorKind;
use domain::overload::Work;
use domain::provider::Operation;
use domain::usage::Usage;
use metrics::{SharedString, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

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
const RETRIES: &str = "antiphon_retries_total";
const RETRIES_REFUSED: &str = "antiphon_retries_refused_total";
const HEDGES: &str = "antiphon_hedges_total";
const HEDGES_WON: &str = "antiphon_hedges_won_total";
const UPSTREAM_TIMEOUTS: &str = "antiphon_upstream_timeouts_total";
const REDIS_UP: &str = "antiphon_redis_up";
const REDIS_GATEWAYS: &str = "antiphon_redis_gateways";
const REDIS_CALLS: &str = "antiphon_redis_calls_total";
const REDIS_ERRORS: &str = "antiphon_redis_errors_total";
const REDIS_FALLBACKS: &str = "antiphon_redis_fallbacks_total";
const REDIS_ALONE: &str = "antiphon_admitted_without_redis_total";
const RESIDENT: &str = "antiphon_resident_memory_bytes";
const DELAY: &str = "antiphon_worker_delay_seconds";
const OVERLOAD: &str = "antiphon_memory_overload_level";
const SHED: &str = "antiphon_shed_total";
const QUEUE_WAITING: &str = "antiphon_queue_waiting";
const QUEUE_SECONDS: &str = "antiphon_queue_seconds";
const DEAD_SESSIONS: &str = "antiphon_dead_sessions_total";
const REDIS_ADMISSION: &str = "antiphon_redis_admission_seconds";
const AUDIO: &str = "antiphon_audio_milliseconds_total";
const CHARACTERS: &str = "antiphon_characters_total";
const TOKENS: &str = "antiphon_tokens_total";
const CACHED_TOKENS: &str = "antiphon_cached_tokens_total";
const BREAKER: &str = "antiphon_breaker_state";

/// Bounds of the buckets of each histogram, in seconds. A call is answered within milliseconds, or within the minutes
/// that a long recording or a long turn takes; a Redis nearby within a fraction of a millisecond.
pub(crate) const BUCKETS: [(&str, &[f64]); 4] = [
    (TTFB, &[0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0]),
    (LATENCY, &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0]),
    (QUEUE_SECONDS, &[0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]),
    (
        REDIS_ADMISSION,
        &[0.00005, 0.0001, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0],
    ),
];

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
    describe_counter!(RETRIES, "Calls that were made again after a failure, by operation and where.");
    describe_counter!(RETRIES_REFUSED, "Failures that were told although another try might have helped, by reason.");
    describe_counter!(HEDGES, "Calls for speech for which a second target was asked beside the first.");
    describe_counter!(HEDGES_WON, "Those that the second target served.");
    describe_counter!(UPSTREAM_TIMEOUTS, "Waits for providers that took too long, by phase.");
    describe_gauge!(REDIS_UP, "Whether limits are counted with other gateways through Redis: 1 or 0.");
    describe_gauge!(REDIS_GATEWAYS, "Gateways that share limits, by what was heard last.");
    describe_counter!(REDIS_CALLS, "Scripts that Redis was asked to run.");
    describe_counter!(REDIS_ERRORS, "Those that failed or were not answered in time.");
    describe_counter!(REDIS_FALLBACKS, "Times that this gateway began to count alone, since Redis did not answer.");
    describe_counter!(REDIS_ALONE, "Calls that were admitted without Redis.");
    describe_gauge!(RESIDENT, metrics::Unit::Bytes, "Memory of this process.");
    describe_gauge!(DELAY, metrics::Unit::Seconds, "How late the latest worker has been all of the last second.");
    describe_gauge!(OVERLOAD, "Level from 0 to 3 at which new work is refused for want of memory.");
    describe_counter!(SHED, "New work that was refused since there was too much to do, by what it was.");
    describe_gauge!(QUEUE_WAITING, "Places that are taken in queues for providers whose credentials are all in use.");
    describe_histogram!(QUEUE_SECONDS, metrics::Unit::Seconds, "How long calls waited for a credential, by outcome.");
    describe_counter!(DEAD_SESSIONS, "Sessions that Redis still listed though their gateway had died.");
    describe_histogram!(REDIS_ADMISSION, metrics::Unit::Seconds, "How long a call waited for Redis to admit it.");
    describe_counter!(AUDIO, "Milliseconds of audio that were recorded as used, by direction.");
    describe_counter!(CHARACTERS, "Characters that were spoken.");
    describe_counter!(TOKENS, "Tokens that were recorded as used, by direction and kind; cached ones are among them.");
    describe_counter!(CACHED_TOKENS, "Tokens among those that the provider had cached, by kind.");
    describe_gauge!(BREAKER, "Whether a target is asked: 0 for yes, 1 for by one call that probes it, 2 for no.");
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

/// What a usage record says was used.
pub fn used(operation: Operation, provider: &str, usage: &Usage) {
    let provider = SharedString::from(Arc::<str>::from(provider));
    let (of, by) = (operation.as_str(), || provider.clone());
    for (direction, millis) in [("in", usage.audio_in_ms), ("out", usage.audio_out_ms)] {
        if millis > 0 {
            counter!(AUDIO, "operation" => of, "provider" => by(), "direction" => direction).increment(millis);
        }
    }
    if usage.characters > 0 {
        counter!(CHARACTERS, "operation" => of, "provider" => by()).increment(usage.characters);
    }
    if !usage.has_tokens() {
        return;
    }
    for (direction, kind, tokens) in [
        ("in", "text", usage.text_tokens_in),
        ("out", "text", usage.text_tokens_out),
        ("in", "audio", usage.audio_tokens_in),
        ("out", "audio", usage.audio_tokens_out),
        ("in", "image", usage.image_tokens_in),
    ] {
        if tokens > 0 {
            counter!(TOKENS, "operation" => of, "provider" => by(), "direction" => direction, "kind" => kind)
                .increment(tokens);
        }
    }
    for (kind, tokens) in
        [("text", usage.cached_text_tokens), ("audio", usage.cached_audio_tokens), ("image", usage.cached_image_tokens)]
    {
        if tokens > 0 {
            counter!(CACHED_TOKENS, "operation" => of, "provider" => by(), "kind" => kind).increment(tokens);
        }
    }
}

/// The breaker of a target: 0 closed, 1 half-open, 2 open.
pub(crate) fn breaker(provider: &str, model: &str, state: u8) {
    gauge!(BREAKER, "provider" => provider.to_owned(), "model" => model.to_owned()).set(f64::from(state));
}

/// A call was refused or failed.
pub fn failed(kind: ErrorKind) {
    counter!(ERRORS, "code" => kind.facts().2).increment(1);
}

/// A provider refused the credential that we hold for it.
pub fn credential_refused(provider: &str) {
    counter!(CREDENTIAL, "provider" => provider.to_owned()).increment(1);
}

/// A call is made again, at the `same_target` or an `other_target`.
pub fn retried(operation: Operation, target: &'static str) {
    counter!(RETRIES, "operation" => operation.as_str(), "target" => target).increment(1);
}

/// A failure is told although another try might help: the `budget` is used up, or the `deadline` comes first.
pub fn retry_refused(operation: Operation, reason: &'static str) {
    counter!(RETRIES_REFUSED, "operation" => operation.as_str(), "reason" => reason).increment(1);
}

/// A second target is asked beside the first.
pub fn hedged() {
    counter!(HEDGES).increment(1);
}

/// The second target serves the call.
pub fn hedge_won() {
    counter!(HEDGES_WON).increment(1);
}

/// A provider took too long in this phase of a call.
pub fn upstream_timeout(phase: &'static str) {
    counter!(UPSTREAM_TIMEOUTS, "phase" => phase).increment(1);
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

/// How Redis is, and what has been asked of it since the start.
pub fn redis(up: bool, gateways: u32, calls: u64, errors: u64) {
    gauge!(REDIS_UP).set(if up { 1.0 } else { 0.0 });
    gauge!(REDIS_GATEWAYS).set(f64::from(gateways));
    counter!(REDIS_CALLS).absolute(calls);
    counter!(REDIS_ERRORS).absolute(errors);
}

/// Redis went away.
pub fn redis_fallback() {
    counter!(REDIS_FALLBACKS).increment(1);
}

/// A call was admitted without Redis.
pub fn admitted_alone() {
    counter!(REDIS_ALONE).increment(1);
}

/// How much there is to do.
pub fn load(resident: u64, delay: Duration, level: u8) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge for people")]
    gauge!(RESIDENT).set(resident as f64);
    gauge!(DELAY).set(delay.as_secs_f64());
    gauge!(OVERLOAD).set(f64::from(level));
}

/// New work was refused for overload.
pub fn shed(work: Work) {
    counter!(SHED, "work" => work.as_str()).increment(1);
}

/// Places in queues were taken (+1) or left (-1).
pub fn queue_waiting(by: f64) {
    gauge!(QUEUE_WAITING).increment(by);
}

/// A call waited so long for a credential that was in use.
pub fn queued(outcome: &'static str, waited: Duration) {
    histogram!(QUEUE_SECONDS, "outcome" => outcome).record(waited);
}

/// Sessions of gateways that died, since the start.
pub fn dead_sessions(count: u64) {
    counter!(DEAD_SESSIONS).absolute(count);
}

/// A call waited so long for Redis.
pub fn redis_admission(took: Duration) {
    histogram!(REDIS_ADMISSION).record(took);
}

/// The database refused a usage record for what is in it.
pub fn record_refused() {
    counter!(REFUSED).increment(1);
}

/// A call in flight could not be noted on disk.
pub fn open_call_unwritten() {
    counter!(OPEN_CALLS).increment(1);
}
