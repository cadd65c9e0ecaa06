//! What of usage is counted, and how sums become courses over time.

use admin_types::usage::{UsageAggregates, UsageBucket, UsageSum};
use time::{Duration, OffsetDateTime};

use super::words;
use crate::chart::{Course, Series, Unit};
use crate::components::{Choice, Range};
use crate::format;

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    Spend,
    Requests,
    Errors,
    Audio,
    Characters,
    Tokens,
    Ttfb,
    Latency,
}

impl Measure {
    pub(super) const ALL: [Self; 8] = [
        Self::Spend,
        Self::Requests,
        Self::Errors,
        Self::Audio,
        Self::Characters,
        Self::Tokens,
        Self::Ttfb,
        Self::Latency,
    ];

    /// In an address.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Spend => "spend",
            Self::Requests => "requests",
            Self::Errors => "errors",
            Self::Audio => "audio",
            Self::Characters => "characters",
            Self::Tokens => "tokens",
            Self::Ttfb => "ttfb",
            Self::Latency => "latency",
        }
    }

    /// By its name; what is spent for what is none.
    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|measure| measure.name() == name).unwrap_or(Self::Spend)
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Spend => "Spend",
            Self::Requests => "Requests",
            Self::Errors => "Errors",
            Self::Audio => "Audio",
            Self::Characters => "Characters",
            Self::Tokens => "Tokens",
            Self::Ttfb => "First byte, p95",
            Self::Latency => "Duration, p95",
        }
    }

    pub(super) fn choices() -> Vec<Choice> {
        Self::ALL.map(|measure| Choice::new(measure.name(), measure.title())).to_vec()
    }

    pub(crate) const fn unit(self) -> Unit {
        match self {
            Self::Spend => Unit::Usd,
            Self::Audio => Unit::Audio,
            Self::Ttfb | Self::Latency => Unit::Milliseconds,
            Self::Requests | Self::Errors | Self::Characters | Self::Tokens => Unit::Count,
        }
    }

    /// Whether those of several groups come to one of all.
    pub(crate) const fn adds_up(self) -> bool {
        !matches!(self, Self::Ttfb | Self::Latency)
    }

    /// For a chart; `None` where it is not known.
    pub(crate) fn value(self, sum: &UsageSum) -> Option<f64> {
        match self {
            Self::Spend => Some(sum.cost_nano_usd as f64 / 1e9),
            Self::Requests => Some(sum.requests as f64),
            Self::Errors => Some(sum.errors as f64),
            Self::Audio => Some(audio_ms(sum) as f64),
            Self::Characters => Some(sum.characters as f64),
            Self::Tokens => Some(tokens(sum) as f64),
            Self::Ttfb => sum.ttfb.as_ref().and_then(|times| times.p95_ms).map(|ms| ms as f64),
            Self::Latency => sum.latency.as_ref().and_then(|times| times.p95_ms).map(|ms| ms as f64),
        }
    }

    /// For reading.
    pub(crate) fn text(self, sum: &UsageSum) -> String {
        let took = |ms: Option<i64>| ms.map_or_else(|| "–".to_owned(), format::duration_ms);
        match self {
            Self::Spend => format::nano(sum.cost_nano_usd),
            Self::Requests => format::count(sum.requests),
            Self::Errors => format::count(sum.errors),
            Self::Audio => format::audio_ms(audio_ms(sum)),
            Self::Characters => format::count(sum.characters),
            Self::Tokens => format::count(tokens(sum)),
            Self::Ttfb => took(sum.ttfb.as_ref().and_then(|times| times.p95_ms)),
            Self::Latency => took(sum.latency.as_ref().and_then(|times| times.p95_ms)),
        }
    }
}

/// Audio in and out.
const fn audio_ms(sum: &UsageSum) -> i64 {
    sum.audio_in_ms.saturating_add(sum.audio_out_ms)
}

/// Text and audio, in and out.
const fn tokens(sum: &UsageSum) -> i64 {
    let text = sum.text_tokens_in.saturating_add(sum.text_tokens_out);
    text.saturating_add(sum.audio_tokens_in).saturating_add(sum.audio_tokens_out)
}

/// The hours or days that a range lies in, as sums are kept: from and to.
pub(crate) fn whole(range: Range, now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
    let (from, to) = range.bounds(now);
    let step = if range.by_hour(now) || range == Range::Month { 3_600 } else { 86_400 };
    let down = |at: OffsetDateTime, step: i64| at.unix_timestamp().div_euclid(step) * step;
    let moment = |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(now);
    // The end goes up to the next whole hour, so that what happens now is in it.
    (moment(down(from, step)), moment(down(to + Duration::seconds(3_599), 3_600)))
}

/// The time of the same length before it.
pub(crate) fn whole_before(range: Range, now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
    let (from, to) = whole(range, now);
    (from - (to - from), from)
}

/// In which steps a range is shown.
pub(crate) fn bucket_of(range: Range, now: OffsetDateTime) -> UsageBucket {
    let (from, to) = range.bounds(now);
    match to - from {
        length if length <= Duration::hours(72) => UsageBucket::Hour,
        length if length <= Duration::days(200) => UsageBucket::Day,
        _ => UsageBucket::Month,
    }
}

/// Sums by time as a chart shows them: a series for each group, and zeros where nothing was.
pub(crate) fn course(sums: &UsageAggregates, bucket: UsageBucket, measure: Measure) -> Course {
    let begins = begins(sums.from, sums.to, bucket);
    let mut series: Vec<Series> = Vec::new();
    let nothing = measure.adds_up().then_some(0.0);
    for (sum, is_other) in sums.data.iter().map(|sum| (sum, false)).chain(sums.other.iter().map(|sum| (sum, true))) {
        let name = match (is_other, sum.group.is_empty()) {
            (true, _) => "Others".to_owned(),
            (false, true) => measure.title().to_owned(),
            (false, false) => group_name(sum),
        };
        let place = sum.bucket_start.and_then(|start| begins.iter().position(|begin| *begin == start));
        let known = series.iter().position(|series| series.name == name);
        let known = known.unwrap_or_else(|| {
            series.push(Series::new(name, vec![nothing; begins.len()]));
            series.len() - 1
        });
        if let (Some(place), Some(series)) = (place, series.get_mut(known))
            && let Some(value) = series.values.get_mut(place)
        {
            *value = measure.value(sum);
        }
    }
    let by_hour = bucket == UsageBucket::Hour;
    let times = begins.into_iter().map(|at| if by_hour { at } else { as_date(at) }).collect();
    Course { times, series }
}

/// The groups of a sum, as people call them.
pub(crate) fn group_name(sum: &UsageSum) -> String {
    let name = |group: &admin_types::usage::UsageGroup| match (&group.name, group.value.as_str()) {
        (Some(name), _) => name.clone(),
        (None, "") => "None".to_owned(),
        (None, value) if group.by == "operation" => words::operation(value),
        (None, value) => value.to_owned(),
    };
    sum.group.iter().map(name).collect::<Vec<_>>().join(" · ")
}

/// A day in UTC as the reader's day of the same name: a day is shown without its time.
pub(crate) fn as_date(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_offset(format::offset_at(at))
}

fn begins(from: OffsetDateTime, to: OffsetDateTime, bucket: UsageBucket) -> Vec<OffsetDateTime> {
    const MOST: usize = 2_000;
    let day = |at: OffsetDateTime| at.replace_time(time::Time::MIDNIGHT);
    let first = match bucket {
        UsageBucket::None => return Vec::new(),
        UsageBucket::Hour => from,
        UsageBucket::Day => day(from),
        UsageBucket::Month => day(from).replace_day(1).unwrap_or(from),
    };
    let next = |at: OffsetDateTime| match bucket {
        UsageBucket::Hour => at + Duration::HOUR,
        UsageBucket::Month => (at + Duration::days(31)).replace_day(1).unwrap_or(to),
        UsageBucket::None | UsageBucket::Day => at + Duration::DAY,
    };
    std::iter::successors(Some(first), |at| Some(next(*at))).take_while(|at| *at < to).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn ranges_are_whole_hours_or_days() {
        let now = datetime!(2026-11-22 16:20 UTC);
        assert_eq!(whole(Range::Hour, now), (datetime!(2026-11-22 15:00 UTC), datetime!(2026-11-22 17:00 UTC)));
        assert_eq!(whole(Range::Week, now), (datetime!(2026-11-15 0:00 UTC), datetime!(2026-11-22 17:00 UTC)));
        let (from, to) = whole_before(Range::Day, now);
        assert_eq!((to, to - from), (datetime!(2026-11-21 16:00 UTC), Duration::hours(25)));
    }

    #[test]
    fn a_course_has_a_value_for_every_step() {
        let sum: UsageSum = serde_json::from_value(serde_json::json!({
            "bucket_start": "2026-11-22T15:00:00Z", "requests": 2, "errors": 0, "unpriced": 0, "sessions": 0,
            "cost_usd": "0.5", "cost_nano_usd": 500_000_000, "audio_in_ms": 0, "audio_out_ms": 0, "characters": 0,
            "text_tokens_in": 0, "text_tokens_out": 0, "audio_tokens_in": 0, "audio_tokens_out": 0,
            "cached_tokens": 0, "latency": null, "ttfb": null,
        }))
        .unwrap();
        let sums = UsageAggregates {
            from: datetime!(2026-11-22 14:00 UTC),
            to: datetime!(2026-11-22 17:00 UTC),
            data: vec![sum.clone()],
            other: Vec::new(),
            total: sum,
            complete: true,
        };
        let course = course(&sums, UsageBucket::Hour, Measure::Spend);
        assert_eq!(course.times.len(), 3);
        assert_eq!(course.series, [Series::new("Spend", vec![Some(0.0), Some(0.5), Some(0.0)])]);
        assert_eq!(begins(datetime!(2026-01-15 0:00 UTC), datetime!(2026-03-02 0:00 UTC), UsageBucket::Month).len(), 3);
    }
}
