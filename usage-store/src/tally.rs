//! What records add up to, before it is written: one pass over a batch in memory.
//!
//! Keys are kept in order, so that two gateways that write the same rows at the same time take them in
//! the same order and never wait for each other in a ring.

use std::collections::BTreeMap;

use domain::usage::UsageStatus;
use entities::{Id, usage_record};
use time::{Date, Month, OffsetDateTime};

use crate::histogram::Histogram;
use crate::tables::MEASURES;
use crate::{DAY, HOUR};

/// Bytes of a name that a roll-up keeps: indexes on PostgreSQL take no long ones, and a client can ask
/// for a model by any name.
const MAX_NAME_BYTES: usize = 255;
/// What one record adds to one sum at most, so that no sum leaves the integers: a quantity that large
/// is a provider's mistake. As milliseconds these are thirty thousand years, as a cost a million dollars.
const MAX_ADDED: i64 = 1_000_000_000_000_000;

/// What a row of the hourly and daily roll-ups is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dimensions {
    pub(crate) bucket_start: i64,
    pub(crate) tenant_id: String,
    pub(crate) key_id: String,
    pub(crate) operation: String,
    pub(crate) provider: String,
    pub(crate) model_served: String,
    pub(crate) model_asked: String,
}

/// What a row of the roll-up by label is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LabelDimensions {
    pub(crate) bucket_start: i64,
    pub(crate) tenant_id: String,
    pub(crate) label_kind: &'static str,
    pub(crate) label: String,
    pub(crate) key_id: String,
    pub(crate) operation: String,
    pub(crate) provider: String,
    pub(crate) model_served: String,
}

/// What a row over all tenants and keys is about, beside its shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AllDimensions<'a> {
    pub(crate) bucket_start: i64,
    pub(crate) operation: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) model_served: &'a str,
    pub(crate) model_asked: &'a str,
}

impl<'a> From<&'a Dimensions> for AllDimensions<'a> {
    fn from(of: &'a Dimensions) -> Self {
        Self {
            bucket_start: of.bucket_start,
            operation: &of.operation,
            provider: &of.provider,
            model_served: &of.model_served,
            model_asked: &of.model_asked,
        }
    }
}

/// What a row of the roll-up by month and label is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MonthlyLabelDimensions<'a> {
    pub(crate) bucket_start: i64,
    pub(crate) tenant_id: &'a str,
    pub(crate) label_kind: &'static str,
    pub(crate) label: &'a str,
}

impl<'a> From<&'a LabelDimensions> for MonthlyLabelDimensions<'a> {
    fn from(of: &'a LabelDimensions) -> Self {
        Self {
            bucket_start: month_floor(of.bucket_start),
            tenant_id: &of.tenant_id,
            label_kind: of.label_kind,
            label: &of.label,
        }
    }
}

/// The sums of some records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measures {
    /// Records.
    pub requests: i64,
    /// Those that a provider failed, or that were refused after it had been asked.
    pub errors: i64,
    /// Those whose cost is not known.
    pub unpriced: i64,
    /// Realtime sessions, counted where their first turn is.
    pub sessions: i64,
    /// The known costs.
    pub cost_nano_usd: i64,
    /// Milliseconds of audio in.
    pub audio_in_ms: i64,
    /// Milliseconds of audio out.
    pub audio_out_ms: i64,
    /// Characters spoken.
    pub characters: i64,
    /// Text tokens in.
    pub text_tokens_in: i64,
    /// Text tokens out.
    pub text_tokens_out: i64,
    /// Audio tokens in.
    pub audio_tokens_in: i64,
    /// Audio tokens out.
    pub audio_tokens_out: i64,
    /// Cached tokens.
    pub cached_tokens: i64,
    /// Milliseconds to the end, of all together.
    pub latency_ms_sum: i64,
    /// Milliseconds to the first byte, of all that had one.
    pub ttfb_ms_sum: i64,
    /// Records that had a first byte.
    pub ttfb_count: i64,
}

impl Measures {
    /// What one record adds.
    #[must_use]
    pub fn of(record: &usage_record::Model) -> Self {
        let is_error = [UsageStatus::UpstreamError, UsageStatus::RefusedLate]
            .iter()
            .any(|status| status.as_str() == record.status);
        Self {
            requests: 1,
            errors: i64::from(is_error),
            unpriced: i64::from(record.cost_nano_usd.is_none()),
            sessions: i64::from(record.session_id.is_some() && record.sequence == 0),
            cost_nano_usd: bounded(record.cost_nano_usd.unwrap_or(0)),
            audio_in_ms: bounded(record.audio_in_ms),
            audio_out_ms: bounded(record.audio_out_ms),
            characters: bounded(record.characters),
            text_tokens_in: bounded(record.text_tokens_in),
            text_tokens_out: bounded(record.text_tokens_out),
            audio_tokens_in: bounded(record.audio_tokens_in),
            audio_tokens_out: bounded(record.audio_tokens_out),
            cached_tokens: bounded(record.cached_tokens),
            latency_ms_sum: bounded(record.latency_ms),
            ttfb_ms_sum: bounded(record.ttfb_ms.unwrap_or(0)),
            ttfb_count: i64::from(record.ttfb_ms.is_some()),
        }
    }

    /// In the order of [`MEASURES`].
    #[must_use]
    pub const fn list(&self) -> [i64; MEASURES.len()] {
        [
            self.requests,
            self.errors,
            self.unpriced,
            self.sessions,
            self.cost_nano_usd,
            self.audio_in_ms,
            self.audio_out_ms,
            self.characters,
            self.text_tokens_in,
            self.text_tokens_out,
            self.audio_tokens_in,
            self.audio_tokens_out,
            self.cached_tokens,
            self.latency_ms_sum,
            self.ttfb_ms_sum,
            self.ttfb_count,
        ]
    }

    /// Out of the order of [`MEASURES`].
    #[must_use]
    pub const fn from_list(list: [i64; MEASURES.len()]) -> Self {
        let [
            requests,
            errors,
            unpriced,
            sessions,
            cost_nano_usd,
            audio_in_ms,
            audio_out_ms,
            characters,
            text_tokens_in,
            text_tokens_out,
            audio_tokens_in,
            audio_tokens_out,
            cached_tokens,
            latency_ms_sum,
            ttfb_ms_sum,
            ttfb_count,
        ] = list;
        Self {
            requests,
            errors,
            unpriced,
            sessions,
            cost_nano_usd,
            audio_in_ms,
            audio_out_ms,
            characters,
            text_tokens_in,
            text_tokens_out,
            audio_tokens_in,
            audio_tokens_out,
            cached_tokens,
            latency_ms_sum,
            ttfb_ms_sum,
            ttfb_count,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let mut sums = self.list();
        for (sum, more) in sums.iter_mut().zip(other.list()) {
            *sum += more;
        }
        *self = Self::from_list(sums);
    }
}

/// Sums and histograms of some records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// The sums.
    pub measures: Measures,
    /// Times to the end.
    pub latency: Histogram,
    /// Times to the first byte.
    pub ttfb: Histogram,
}

impl Sums {
    /// Adds what others come to.
    pub fn add(&mut self, other: &Self) {
        self.measures.add(&other.measures);
        for (mine, others) in [(&mut self.latency, &other.latency), (&mut self.ttfb, &other.ttfb)] {
            mine.0.iter_mut().zip(others.0).for_each(|(count, more)| *count += more);
        }
    }

    /// Takes away what a part of them comes to.
    pub(crate) fn take(&mut self, part: &Self) {
        let less = part.measures.list().map(|sum| -sum);
        self.measures.add(&Measures::from_list(less));
        for (mine, others) in [(&mut self.latency, &part.latency), (&mut self.ttfb, &part.ttfb)] {
            mine.0.iter_mut().zip(others.0).for_each(|(count, less)| *count -= less);
        }
    }
}

/// What some records add to each roll-up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    pub(crate) hourly: BTreeMap<Dimensions, Sums>,
    pub(crate) daily: BTreeMap<Dimensions, Sums>,
    pub(crate) labels: BTreeMap<LabelDimensions, Measures>,
}

impl Tally {
    /// Counts one record.
    pub fn count(&mut self, record: &usage_record::Model) {
        let measures = Measures::of(record);
        let second = record.started_at.unix_timestamp();
        let hour = dimensions(record, floor(second, HOUR));
        let day = Dimensions { bucket_start: floor(second, DAY), ..hour.clone() };
        for (kind, label) in labels_of(record.user_tag.as_deref(), record.tags.as_deref()) {
            let row = self.labels.entry(label_dimensions(&day, kind, &label)).or_default();
            row.add(&measures);
        }
        for row in [self.hourly.entry(hour).or_default(), self.daily.entry(day).or_default()] {
            row.measures.add(&measures);
            row.latency.add(record.latency_ms);
            if let Some(ms) = record.ttfb_ms {
                row.ttfb.add(ms);
            }
        }
    }

    /// Rows of all roll-ups together.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.hourly.len() + self.daily.len() + self.labels.len()
    }

    /// The days it touches, as days since 1970, in order.
    #[must_use]
    pub fn days(&self) -> Vec<i64> {
        let mut days: Vec<i64> = self.daily.keys().map(|key| key.bucket_start / DAY).collect();
        days.dedup();
        days
    }

    /// The months whose labels it touches, by the seconds at which they begin, in order.
    pub(crate) fn label_months(&self) -> Vec<i64> {
        let mut months: Vec<i64> = self.labels.keys().map(|key| month_floor(key.bucket_start)).collect();
        months.dedup();
        months
    }
}

/// What a client said of a record, as the roll-up by label keeps it: kind and label. A tag that is said
/// twice counts once.
#[must_use]
pub fn labels_of(user: Option<&str>, tags: Option<&str>) -> Vec<(&'static str, String)> {
    let user = user.map(str::trim).filter(|user| !user.is_empty()).map(|user| ("user", short(user)));
    let mut labels: Vec<_> = user.into_iter().collect();
    for tag in tags.unwrap_or_default().split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        // Around the sign of equality as around the commas, blanks mean nothing.
        let tag = match tag.split_once('=') {
            Some((name, value)) => ("tag", short(&format!("{}={}", name.trim_end(), value.trim_start()))),
            None => ("tag", short(tag)),
        };
        if !labels.contains(&tag) {
            labels.push(tag);
        }
    }
    labels
}

pub(crate) fn dimensions(record: &usage_record::Model, bucket_start: i64) -> Dimensions {
    Dimensions {
        bucket_start,
        tenant_id: id(record.tenant_id),
        key_id: id(record.key_id),
        operation: record.operation.clone(),
        provider: short(&record.provider),
        model_served: short(&record.model_served),
        model_asked: short(&record.model_asked),
    }
}

pub(crate) fn label_dimensions(day: &Dimensions, label_kind: &'static str, label: &str) -> LabelDimensions {
    LabelDimensions {
        bucket_start: day.bucket_start,
        tenant_id: day.tenant_id.clone(),
        label_kind,
        label: label.to_owned(),
        key_id: day.key_id.clone(),
        operation: day.operation.clone(),
        provider: day.provider.clone(),
        model_served: day.model_served.clone(),
    }
}

/// The start of the bucket of `size` seconds that `second` is in.
pub(crate) const fn floor(second: i64, size: i64) -> i64 {
    second.div_euclid(size) * size
}

/// The start of the month, in UTC, that `second` is in.
pub(crate) fn month_floor(second: i64) -> i64 {
    month_start(second, |month| month)
}

/// The start of the first month that begins at `second` or later.
pub(crate) fn month_ceiling(second: i64) -> i64 {
    if month_floor(second) == second { second } else { month_start(second, next_month) }
}

fn month_start(second: i64, which: impl FnOnce(Date) -> Date) -> i64 {
    // What no calendar holds is in no month: a bucket of its own does no harm.
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(second) else { return second };
    let first = moment.date().replace_day(1).unwrap_or(Date::MIN);
    which(first).midnight().assume_utc().unix_timestamp()
}

fn next_month(first: Date) -> Date {
    let year = if first.month() == Month::December { first.year() + 1 } else { first.year() };
    Date::from_calendar_date(year, first.month().next(), 1).unwrap_or(Date::MAX)
}

pub(crate) const fn bounded(count: i64) -> i64 {
    if count > MAX_ADDED { MAX_ADDED } else { count }
}

fn id(id: Id) -> String {
    id.to_string()
}

fn short(name: &str) -> String {
    let mut end = name.len().min(MAX_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default().to_owned()
}
