//! Records and roll-ups on both databases.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers shared by the tests")]

mod databases;
mod exactness;
mod upgrades;

use entities::{Id, usage_record};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// An hour before midnight, so that records fall on two days.
pub(crate) const LATE: OffsetDateTime = datetime!(2026-11-20 23:00:00.5 UTC);

/// The id of something with a number.
pub(crate) fn id(number: u128) -> Id {
    Id(Uuid::from_u128(number))
}

/// One of a family of records, which differ in everything that roll-ups tell apart.
pub(crate) fn record(number: u32) -> usage_record::Model {
    let n = i64::from(number);
    let pick = |names: [&str; 3]| names[number as usize % 3].to_owned();
    usage_record::Model {
        id: id(1_000 + u128::from(number)),
        request_id: id(500_000 + u128::from(number)),
        session_id: number.is_multiple_of(4).then(|| id(900_000 + u128::from(number / 8))),
        sequence: n / 4 % 2,
        tenant_id: id(u128::from(number % 2)),
        key_id: id(u128::from(10 + number % 5)),
        user_tag: (!number.is_multiple_of(3)).then(|| format!("user {}", number % 7)),
        tags: number.is_multiple_of(2).then(|| "team=a, env = b,team=a".to_owned()),
        operation: pick(["speech", "transcription", "realtime"]),
        model_asked: pick(["fast", "good", "good"]),
        provider: pick(["openai", "groq", "deepgram"]),
        model_served: pick(["one", "two", "three"]),
        audio_in_ms: n * 10,
        audio_out_ms: n,
        characters: 7,
        text_tokens_in: n % 5,
        text_tokens_out: 1,
        audio_tokens_in: 2,
        audio_tokens_out: 3,
        cached_tokens: n % 2,
        surcharge_percent: 0,
        usage_source: "measured".to_owned(),
        cost_nano_usd: (!number.is_multiple_of(6)).then_some(1_000_000_007 * n),
        price_id: None,
        status: pick(["ok", "upstream_error", "client_closed"]),
        attempts: 1,
        failed_attempts: None,
        routing: None,
        cache: None,
        ttfb_ms: (!number.is_multiple_of(5)).then_some(n * 13 % 1_000),
        latency_ms: n * 37 % 10_000,
        started_at: LATE + Duration::minutes(n * 7 % 180),
        ended_at: LATE + Duration::hours(4),
    }
}
