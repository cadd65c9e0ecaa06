//! The level of a load over time, and when the n-th arrival of an open load is due. Both are functions of time
//! alone: an arrival is due when it is due, however long the ones before it take.

use std::time::Duration;

use anyhow::ensure;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::{Arrivals, Span};

/// A part of a load: its level stays, or moves evenly from one to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// What it is called in the report, such as `spike`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long.
    #[serde(rename = "for")]
    pub lasts: Span,
    /// The level, where it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
    /// The level at the beginning, where it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// The level at the end, where it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
}

impl Phase {
    fn levels(&self) -> Option<(f64, f64)> {
        match (self.at, self.from, self.to) {
            (Some(at), None, None) => Some((at, at)),
            (None, Some(from), Some(to)) => Some((from, to)),
            _ => None,
        }
    }

    fn ends(&self) -> (f64, f64) {
        self.levels().unwrap_or_default()
    }

    fn seconds(&self) -> f64 {
        self.lasts.get().as_secs_f64()
    }

    /// Arrivals in the phase's first `seconds`.
    fn arrivals(&self, seconds: f64) -> f64 {
        let (from, to) = self.ends();
        from * seconds + (to - from) * seconds * seconds / (2.0 * self.seconds())
    }
}

/// Phases, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phases(Vec<Phase>);

/// Highest level: beyond it the load generator is what is measured.
const HIGHEST: f64 = 20_000.0;

impl Phases {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.0.is_empty(), "at least one");
        for (number, phase) in self.0.iter().enumerate() {
            ensure!(phase.lasts.get() > Duration::ZERO, "[{number}].for: it takes no time");
            let levels = phase.levels();
            ensure!(levels.is_some(), "[{number}].at: a phase has a level (at), or two (from and to)");
            let fits =
                levels.is_some_and(|(from, to)| (0.0..=HIGHEST).contains(&from) && (0.0..=HIGHEST).contains(&to));
            ensure!(fits, "[{number}].at: a level is between 0 and {HIGHEST}");
        }
        let highest = self.highest();
        ensure!(highest > 0.0, "[0].at: all levels are 0");
        Ok(())
    }

    /// The phases.
    #[must_use]
    pub fn all(&self) -> &[Phase] {
        &self.0
    }

    /// How long all take.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.0.iter().map(|phase| phase.lasts.get()).sum()
    }

    /// The highest level.
    #[must_use]
    pub fn highest(&self) -> f64 {
        self.0.iter().map(Phase::ends).fold(0.0, |highest, (from, to)| highest.max(from).max(to))
    }

    pub(super) fn stretch(&mut self, factor: f64) {
        for phase in &mut self.0 {
            phase.lasts = phase.lasts.times(factor).max(Span::from(Duration::from_millis(1)));
        }
    }

    /// The first level for so long.
    pub(super) fn beginning(&self, lasts: Span) -> Self {
        let (level, other) = self.0.first().map(Phase::ends).unwrap_or_default();
        let at = if level > 0.0 { level } else { other };
        Self(vec![Phase { name: None, lasts, at: Some(at), from: None, to: None }])
    }

    /// The level at a time; none after the last phase.
    #[must_use]
    pub fn level(&self, at: Duration) -> Option<f64> {
        let mut left = at.as_secs_f64();
        for phase in &self.0 {
            if left < phase.seconds() {
                let (from, to) = phase.ends();
                return Some(from + (to - from) * left / phase.seconds());
            }
            left -= phase.seconds();
        }
        None
    }

    /// When so many arrivals have come; never after the last phase.
    #[must_use]
    pub fn when(&self, mut arrivals: f64) -> Option<Duration> {
        let mut begins = Duration::ZERO;
        for phase in &self.0 {
            let all = phase.arrivals(phase.seconds());
            if arrivals < all {
                return Some(begins + Duration::try_from_secs_f64(solve(phase, arrivals)).unwrap_or_default());
            }
            arrivals -= all;
            begins += phase.lasts.get();
        }
        None
    }
}

/// The second of a phase at which so many have arrived: half of `slope` times t squared, and `from` times t, is
/// that many.
fn solve(phase: &Phase, arrivals: f64) -> f64 {
    let (from, to) = phase.ends();
    let slope = (to - from) / phase.seconds();
    // This form of the solution has no difference of two close numbers, and holds for a level that stays as well.
    let root = (from * from + 2.0 * slope * arrivals).max(0.0).sqrt();
    if from + root > 0.0 { 2.0 * arrivals / (from + root) } else { 0.0 }
}

/// The times at which an open load's operations are due.
#[derive(Debug)]
pub struct Clock<'a> {
    phases: &'a Phases,
    random: Option<Rng>,
    arrivals: f64,
}

impl<'a> Clock<'a> {
    /// The clock of these phases.
    #[must_use]
    pub fn new(phases: &'a Phases, arrivals: Arrivals, seed: u64) -> Self {
        let random = (arrivals == Arrivals::Random).then(|| Rng::with_seed(seed));
        Self { phases, random, arrivals: 0.0 }
    }
}

impl Iterator for Clock<'_> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // In a Poisson process the time between two arrivals at level 1 is distributed exponentially.
        self.arrivals += self.random.as_mut().map_or(1.0, |random| -(1.0 - random.f64()).ln());
        self.phases.when(self.arrivals)
    }
}
