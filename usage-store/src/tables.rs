//! The roll-ups: their tables and columns, in the order in which every statement names them.

use crate::histogram::BUCKETS;

/// By hour.
pub const HOURLY: &str = "usage_hourly";
/// By day, in UTC.
pub const DAILY: &str = "usage_daily";
/// By day and by what clients say of themselves: `x-antiphon-user` and each of `x-antiphon-tags`.
pub const LABELS: &str = "usage_daily_labels";
/// As [`HOURLY`], over all tenants and keys.
pub const HOURLY_ALL: &str = "usage_hourly_all";
/// As [`DAILY`], over all tenants and keys.
pub const DAILY_ALL: &str = "usage_daily_all";
/// As [`LABELS`], by month, in UTC, and by tenant alone.
pub const MONTHLY_LABELS: &str = "usage_monthly_labels";

/// What a row of [`HOURLY`] and [`DAILY`] is about.
pub const DIMENSIONS: [&str; 7] =
    ["bucket_start", "tenant_id", "key_id", "operation", "provider", "model_served", "model_asked"];

/// What a row of [`LABELS`] is about.
pub const LABEL_DIMENSIONS: [&str; 8] =
    ["bucket_start", "tenant_id", "label_kind", "label", "key_id", "operation", "provider", "model_served"];

/// What a row of [`HOURLY_ALL`] and [`DAILY_ALL`] is about. Each process adds to rows of its own `shard`, so
/// that gateways do not wait for each other at the few rows that everything is added to.
pub const ALL_DIMENSIONS: [&str; 6] = ["bucket_start", "shard", "operation", "provider", "model_served", "model_asked"];

/// What a row of [`MONTHLY_LABELS`] is about.
pub const MONTHLY_LABEL_DIMENSIONS: [&str; 4] = ["bucket_start", "tenant_id", "label_kind", "label"];

/// Sums that every roll-up has.
pub const MEASURES: [&str; 16] = [
    "requests",
    "errors",
    "unpriced",
    "sessions",
    "cost_nano_usd",
    "audio_in_ms",
    "audio_out_ms",
    "characters",
    "text_tokens_in",
    "text_tokens_out",
    "audio_tokens_in",
    "audio_tokens_out",
    "cached_tokens",
    "latency_ms_sum",
    "ttfb_ms_sum",
    "ttfb_count",
];

/// Counts of the roll-ups without labels by the time to the end of a call, the shortest first.
pub const LATENCY: [&str; BUCKETS] = [
    "latency_00",
    "latency_01",
    "latency_02",
    "latency_03",
    "latency_04",
    "latency_05",
    "latency_06",
    "latency_07",
    "latency_08",
    "latency_09",
    "latency_10",
    "latency_11",
    "latency_12",
    "latency_13",
    "latency_14",
    "latency_15",
    "latency_16",
    "latency_17",
    "latency_18",
    "latency_19",
];

/// Counts of the roll-ups without labels by the time to the first byte, the shortest first.
pub const TTFB: [&str; BUCKETS] = [
    "ttfb_00", "ttfb_01", "ttfb_02", "ttfb_03", "ttfb_04", "ttfb_05", "ttfb_06", "ttfb_07", "ttfb_08", "ttfb_09",
    "ttfb_10", "ttfb_11", "ttfb_12", "ttfb_13", "ttfb_14", "ttfb_15", "ttfb_16", "ttfb_17", "ttfb_18", "ttfb_19",
];
