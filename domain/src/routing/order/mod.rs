//! The order in which the targets of a route are tried.
//!
//! The first strategy sorts all targets. Beginning with the best, whatever is about as good as the best of its
//! group joins that group, and the next strategy sorts each group; what the last one finds equal stays in the
//! configured order. The last strategy has nobody to leave a decision to, so for it only equals are equal.

use std::cmp::Ordering;
use std::time::Duration;

use crate::routing::latency::Timing;
use crate::routing::region::Distance;
use crate::routing::sticky::{Name, affinity};
use crate::routing::{Strategies, Strategy, Target};

/// A target whose time to first byte is within this share of the best one's is about as quick.
pub const LATENCY_SHARE: f64 = 0.10;
/// And so is one within so many milliseconds.
pub const LATENCY_MS: f64 = 20.0;
/// Expected costs within this share are about equal.
pub const COST_SHARE: f64 = 0.01;
/// Quality scores within this are about equal.
pub const QUALITY: f64 = 0.01;
/// A conversation stays at a target that is slower than the best by this share, or by [`STAY_MS`].
pub const STAY_SHARE: f64 = 0.50;
/// See [`STAY_SHARE`].
pub const STAY_MS: f64 = 100.0;

/// A target that was not asked for so long may be measured again.
pub const STALE_AFTER: Duration = Duration::from_secs(60);
/// The share of calls that measure such targets.
pub const MEASURED_SHARE: f64 = 0.02;
/// A target that was not asked for so long is measured sooner.
pub const IDLE_AFTER: Duration = Duration::from_secs(15 * 60);
/// The share of calls that measure those.
pub const IDLE_SHARE: f64 = 0.05;

/// A target as the order sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Share under `weighted`.
    pub weight: u32,
    /// Order under `priority`: the lower goes first.
    pub priority: i32,
    /// Score under `quality`; unknown is 0.
    pub quality: Option<f64>,
    /// How soon it answers.
    pub timing: Timing,
    /// Expected cost of this request in nano-dollars.
    pub cost_nano_usd: Option<i64>,
    /// How far it is from where it is wanted.
    pub distance: Distance,
    /// How long ago it failed last, where its breaker is open and it is tried all the same.
    pub ejected_for: Option<Duration>,
    /// Which target it is, for conversations that stay.
    pub name: Name,
}

impl Seen {
    /// A target of which nothing is known but its configuration, and the name that conversations know it by.
    #[must_use]
    pub fn of(target: &Target, name: Name) -> Self {
        Self {
            weight: target.weight,
            priority: target.priority,
            quality: target.quality,
            timing: Timing::default(),
            cost_nano_usd: None,
            distance: Distance::FAR,
            ejected_for: None,
            name,
        }
    }
}

/// Random numbers from 0 (inclusive) to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Draws {
    /// Decides `weighted`.
    pub weighted: f64,
    /// Decides whether the call measures a target that `latency` knows too little of.
    pub measure: f64,
}

/// The order in which targets are tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    /// Every target's index, best first.
    pub indices: Vec<usize>,
    /// The first one is there to be measured, and not because it is the best: whoever asks it takes
    /// [`measure`](crate::routing::TargetHealth::measure) first, and goes on to the next where that is taken.
    pub measures: bool,
}

/// Orders targets; the indices are those of `seen`, in which targets stand as configured.
///
/// What is unknown comes behind what is known. Under `latency` a target that was never measured goes first, one call
/// at a time, and so that all are known a small share of calls ([`MEASURED_SHARE`], [`IDLE_SHARE`]) goes to one that
/// was not asked for long. Ejected targets come last, those first that have been left alone the longest.
///
/// A `conversation` goes to the same target for as long as that is about as good as the best.
#[must_use]
pub fn order(strategies: &Strategies, seen: &[Seen], draws: Draws, conversation: Option<Name>) -> Order {
    let mut indices: Vec<usize> = (0..seen.len()).collect();
    let ejected_for = |index: usize| seen.get(index).and_then(|seen| seen.ejected_for);
    indices.sort_by_key(|index| std::cmp::Reverse(ejected_for(*index).unwrap_or(Duration::MAX)));
    let healthy = indices.iter().filter(|index| ejected_for(**index).is_none()).count();
    let mut sorting = Sorting { seen, draws, conversation, measures: false };
    if let Some(healthy) = indices.get_mut(..healthy) {
        sorting.sort(strategies.as_slice(), healthy, true);
    }
    Order { measures: sorting.measures, indices }
}

struct Sorting<'a> {
    seen: &'a [Seen],
    draws: Draws,
    conversation: Option<Name>,
    measures: bool,
}

impl Sorting<'_> {
    /// Sorts a group by the strategies that are left; `best` says that the group has the best target.
    fn sort(&mut self, strategies: &[Strategy], mut group: &mut [usize], best: bool) {
        let Some((strategy, rest)) = strategies.split_first() else {
            return self.stay(group, false);
        };
        if *strategy == Strategy::Weighted {
            return self.weigh(group, best);
        }
        group.sort_unstable_by(|a, b| {
            self.key(*strategy, *a).total_cmp(&self.key(*strategy, *b)).then_with(|| a.cmp(b))
        });
        let mut best = best;
        if best && *strategy == Strategy::Latency && self.measure(group) {
            // A call that measures is not for a conversation to keep.
            (group, best) = (group.get_mut(1..).unwrap_or_default(), false);
        }
        if rest.is_empty() && !(best && self.conversation.is_some()) {
            return;
        }
        while !group.is_empty() {
            let length = self.about_equal(*strategy, group, rest.is_empty());
            let (equal, worse) = group.split_at_mut(length);
            self.sort(rest, equal, best);
            (group, best) = (worse, false);
            if rest.is_empty() {
                return;
            }
        }
    }

    fn at(&self, index: usize) -> Option<&Seen> {
        self.seen.get(index)
    }

    /// What a strategy sorts by, the smaller first.
    fn key(&self, strategy: Strategy, index: usize) -> f64 {
        let Some(seen) = self.at(index) else { return f64::INFINITY };
        #[expect(clippy::cast_precision_loss, reason = "an order, not an amount")]
        match strategy {
            Strategy::Latency => seen.timing.expected_ms.unwrap_or(f64::INFINITY),
            Strategy::Cost => seen.cost_nano_usd.map_or(f64::INFINITY, |cost| cost as f64),
            // A score that is no number is none.
            Strategy::Quality => -seen.quality.filter(|quality| !quality.is_nan()).unwrap_or(0.0),
            Strategy::Geographic => f64::from(seen.distance.rank()),
            Strategy::Priority => f64::from(seen.priority),
            Strategy::Weighted => 0.0,
        }
    }

    /// How many of a sorted group are about as good as its first.
    fn about_equal(&self, strategy: Strategy, group: &[usize], to_stay: bool) -> usize {
        let Some(best) = group.first().map(|first| self.key(strategy, *first)) else { return 0 };
        let worst = match strategy {
            Strategy::Latency if to_stay => (best * (1.0 + STAY_SHARE)).max(best + STAY_MS),
            Strategy::Latency => (best * (1.0 + LATENCY_SHARE)).max(best + LATENCY_MS),
            Strategy::Cost => best * (1.0 + COST_SHARE),
            // What 0.9 and 0.91 differ by is a little more in binary numbers.
            Strategy::Quality => best + QUALITY + 1e-9,
            Strategy::Geographic | Strategy::Priority | Strategy::Weighted => best,
        };
        let equal = group.iter().take_while(|index| {
            let key = self.key(strategy, **index);
            key <= worst || key.total_cmp(&best) == Ordering::Equal
        });
        equal.count()
    }

    /// Puts the target first that this call is to measure, if any. A conversation moves for one alone that nobody
    /// knows yet.
    fn measure(&mut self, group: &mut [usize]) -> bool {
        if group.len() < 2 {
            return false;
        }
        let timing = |index: &usize| self.at(*index).map_or_else(Timing::default, |seen| seen.timing);
        let is_unknown = |timing: Timing| timing.expected_ms.is_none();
        let draw = if self.conversation.is_some() { 1.0 } else { self.draws.measure };
        let is_due = |timing: Timing| {
            let idle = timing.idle.unwrap_or(Duration::MAX);
            (idle >= STALE_AFTER && draw < MEASURED_SHARE) || (idle >= IDLE_AFTER && draw < IDLE_SHARE)
        };
        // Targets that nobody knows stand last, in the configured order.
        let unknown = group.iter().position(|index| is_unknown(timing(index)) && !timing(index).probed);
        let place = unknown.or_else(|| {
            let others = group.iter().enumerate().skip(1);
            let due = others.filter(|(_, index)| is_due(timing(index)) && !timing(index).probed);
            due.max_by_key(|(place, index)| (timing(index).idle, std::cmp::Reverse(*place))).map(|(place, _)| place)
        });
        let Some(place) = place else { return false };
        if let Some(until) = group.get_mut(..=place) {
            until.rotate_right(1);
        }
        self.measures = true;
        true
    }

    /// A permutation of a group by weight. One draw is enough: where it falls within the share of the chosen one is
    /// a draw again.
    fn weigh(&self, group: &mut [usize], best: bool) {
        group.sort_unstable();
        let weight = |index: usize| self.at(index).map_or(0.0, |seen| f64::from(seen.weight));
        let mut draw = self.draws.weighted.clamp(0.0, 1.0);
        for place in 0..group.len() {
            let Some(left) = group.get_mut(place..) else { break };
            let mut at = draw * left.iter().map(|index| weight(*index)).sum::<f64>();
            let drawn = left.iter().position(|index| {
                let is_drawn = at < weight(*index);
                at -= if is_drawn { 0.0 } else { weight(*index) };
                is_drawn
            });
            // A weight of nothing is for when no other can be used.
            let Some(drawn) = drawn.or_else(|| left.iter().position(|index| weight(*index) > 0.0)) else { break };
            if let Some(until) = left.get_mut(..=drawn) {
                until.rotate_right(1);
            }
            draw = left.first().map_or(0.0, |first| at / weight(*first)).clamp(0.0, 1.0);
        }
        if best {
            self.stay(group, true);
        }
    }

    /// Puts the conversation's own target of the best group first; the others stay as they are.
    fn stay(&self, group: &mut [usize], weighted: bool) {
        let Some(conversation) = self.conversation else { return };
        let affinity = |index: usize| {
            let seen = self.at(index)?;
            Some(affinity(conversation, seen.name, if weighted { seen.weight } else { 1 }))
        };
        let own = group.iter().enumerate().filter_map(|(place, index)| Some((place, affinity(*index)?)));
        let own = own.max_by(|(_, a), (_, b)| a.total_cmp(b));
        if let Some(until) = own.and_then(|(place, _)| group.get_mut(..=place)) {
            until.rotate_right(1);
        }
    }
}

#[cfg(test)]
mod tests;
