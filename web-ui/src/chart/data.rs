//! What charts show.

use time::OffsetDateTime;

use crate::format;

/// What is counted, and so how it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Unit {
    #[default]
    Count,
    /// US dollars.
    Usd,
    Milliseconds,
    /// Milliseconds of audio.
    Audio,
}

impl Unit {
    /// Exactly enough to read it.
    pub(crate) fn full(self, value: f64) -> String {
        match self {
            Self::Count if value.fract() == 0.0 && value.abs() < 1e15 => format::count(value as i64),
            Self::Usd => usd(value),
            _ => self.short(value),
        }
    }

    /// For an axis.
    pub(crate) fn short(self, value: f64) -> String {
        match self {
            Self::Count => format::compact(value),
            Self::Usd => format::money_compact(value),
            Self::Milliseconds => format::duration_ms(value.round() as i64),
            Self::Audio => format::audio_ms(value.round() as i64),
        }
    }

    /// Steps of an axis that this unit has beside those of the decimal system.
    pub(super) const fn is_time(self) -> bool {
        matches!(self, Self::Milliseconds | Self::Audio)
    }
}

fn usd(value: f64) -> String {
    rust_decimal::Decimal::from_f64_retain(value)
        .map_or_else(|| format::money_compact(value), |value| format::money(value.round_dp(12)))
}

/// One line, or one colour of a stack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// One for each time; `None` where nothing is known.
    pub(crate) values: Vec<Option<f64>>,
}

impl Series {
    pub(crate) fn new(name: impl Into<String>, values: Vec<Option<f64>>) -> Self {
        Self { name: name.into(), values }
    }

    pub(super) fn at(&self, place: usize) -> Option<f64> {
        self.values.get(place).copied().flatten()
    }
}

/// Several series over the same times.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Course {
    /// The begin of each step, evenly apart.
    pub(crate) times: Vec<OffsetDateTime>,
    pub(crate) series: Vec<Series>,
}

impl Course {
    /// Nothing to draw.
    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty() || self.series.iter().all(|series| series.values.iter().all(Option::is_none))
    }

    /// The sum of all series at one time.
    pub(super) fn total(&self, place: usize) -> f64 {
        self.series.iter().filter_map(|series| series.at(place)).sum()
    }

    /// The highest value, of the stack where they are stacked.
    pub(super) fn highest(&self, stacked: bool) -> f64 {
        let places = 0..self.times.len();
        let single = |place| self.series.iter().filter_map(|series| series.at(place)).fold(0.0, f64::max);
        places.map(|place| if stacked { self.total(place) } else { single(place) }).fold(0.0, f64::max)
    }

    /// Keeps the biggest series and adds the rest up as one, since more colours cannot be told apart.
    pub(crate) fn with_most(mut self, most: usize) -> Self {
        if self.series.len() <= most || most == 0 {
            return self;
        }
        let sum = |series: &Series| series.values.iter().flatten().sum::<f64>();
        self.series.sort_by(|a, b| sum(b).total_cmp(&sum(a)));
        let rest = Self { series: self.series.split_off(most - 1), times: self.times.clone() };
        let others = (0..rest.times.len())
            .map(|place| rest.series.iter().any(|series| series.at(place).is_some()).then(|| rest.total(place)));
        self.series.push(Series::new("Others", others.collect()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_series_become_one() {
        let series = |name: &str, value| Series::new(name, vec![Some(value), None]);
        let course = Course {
            times: vec![OffsetDateTime::UNIX_EPOCH; 2],
            series: vec![series("a", 1.0), series("b", 5.0), series("c", 2.0)],
        };
        let names: Vec<_> = course.clone().with_most(2).series.into_iter().map(|series| series.name).collect();
        assert_eq!(names, ["b", "Others"]);
        assert_eq!(course.clone().with_most(2).series.last().and_then(|others| others.at(0)), Some(3.0));
        assert_eq!((course.highest(true), course.highest(false)), (8.0, 5.0));
    }
}
