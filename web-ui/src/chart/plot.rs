//! Where on the surface a value lies, and the shapes that follow from it.

use std::fmt::Write;

use time::OffsetDateTime;

use super::axis::{time_marks, value_marks};
use super::{ChartKind, Course, Unit};

const TOP: f64 = 8.0;
const BOTTOM: f64 = 24.0;
const RIGHT: f64 = 12.0;
/// How wide a letter of a mark is, about.
const LETTER: f64 = 6.6;
/// A mark of time takes so much of the width.
const TIME_MARK: f64 = 96.0;
/// A mark of value takes so much of the height.
const VALUE_MARK: f64 = 44.0;

/// The surface of one chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plot {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) marks: Vec<f64>,
    count: usize,
    bars: bool,
}

/// One part of a bar.
pub(super) struct Block {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Plot {
    pub(super) fn new(course: &Course, kind: ChartKind, unit: Unit, width: f64, height: f64) -> Self {
        let bars = kind == ChartKind::Bars;
        let most = ((height - TOP - BOTTOM) / VALUE_MARK).max(2.0) as usize;
        let marks = value_marks(course.highest(bars), most, unit);
        let letters = marks.iter().map(|mark| unit.short(*mark).chars().count()).max().unwrap_or(1);
        Self { width, height, left: letters as f64 * LETTER + 14.0, marks, count: course.times.len(), bars }
    }

    pub(super) const fn bottom(&self) -> f64 {
        self.height - BOTTOM
    }

    pub(super) const fn top(&self) -> f64 {
        TOP
    }

    pub(super) const fn right(&self) -> f64 {
        self.width - RIGHT
    }

    fn inner_width(&self) -> f64 {
        (self.right() - self.left).max(1.0)
    }

    fn band(&self) -> f64 {
        self.inner_width() / self.count.max(1) as f64
    }

    /// Where a time lies, by its place among the times; between two of them, too.
    pub(super) fn x(&self, place: f64) -> f64 {
        if self.bars || self.count < 2 {
            self.left + (place + 0.5) * self.band()
        } else {
            self.left + place / (self.count - 1) as f64 * self.inner_width()
        }
    }

    /// Where a value lies.
    pub(super) fn y(&self, value: f64) -> f64 {
        let highest = self.marks.last().copied().unwrap_or(1.0).max(f64::MIN_POSITIVE);
        self.bottom() - (value / highest).clamp(0.0, 1.0) * (self.bottom() - TOP)
    }

    /// The time that lies nearest.
    pub(super) fn place_at(&self, x: f64) -> Option<usize> {
        let last = self.count.checked_sub(1)?;
        let along = (x - self.left) / self.inner_width();
        let place = if self.bars { (along * self.count as f64).floor() } else { (along * last as f64).round() };
        Some((place.max(0.0) as usize).min(last))
    }

    /// Marks of time, with where they lie and what stands at them.
    pub(super) fn times(&self, times: &[OffsetDateTime]) -> Vec<(f64, String)> {
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return Vec::new() };
        let most = (self.inner_width() / TIME_MARK).max(2.0) as usize;
        if first == last {
            return vec![(self.x(0.0), crate::format::date_time(*first))];
        }
        let length = (*last - *first).as_seconds_f64();
        let place = |at: OffsetDateTime| (at - *first).as_seconds_f64() / length * (times.len() - 1) as f64;
        time_marks(*first, *last, most).into_iter().map(|(at, label)| (self.x(place(at)), label)).collect()
    }

    /// A line through the values; it is broken where nothing is known.
    pub(super) fn line(&self, values: &[Option<f64>]) -> String {
        let mut path = String::new();
        let mut drawing = false;
        for (place, value) in values.iter().enumerate() {
            if let Some(value) = value {
                let mark = if drawing { 'L' } else { 'M' };
                // Writing to a string cannot fail.
                write!(path, "{mark}{:.1} {:.1}", self.x(place as f64), self.y(*value)).ok();
            }
            drawing = value.is_some();
        }
        path
    }

    /// What lies between the line and zero.
    pub(super) fn area(&self, values: &[Option<f64>]) -> String {
        let mut path = String::new();
        for run in runs(values) {
            let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else { continue };
            write!(path, "M{:.1} {:.1}", self.x(*first as f64), self.bottom()).ok();
            for (place, value) in &run {
                write!(path, "L{:.1} {:.1}", self.x(*place as f64), self.y(*value)).ok();
            }
            write!(path, "L{:.1} {:.1}Z", self.x(*last as f64), self.bottom()).ok();
        }
        path
    }

    /// Values that have no neighbour to draw a line to.
    pub(super) fn lone(&self, values: &[Option<f64>]) -> Vec<(f64, f64)> {
        let lone = |run: Vec<(usize, f64)>| match run.as_slice() {
            [(place, value)] => Some((self.x(*place as f64), self.y(*value))),
            _ => None,
        };
        runs(values).into_iter().filter_map(lone).collect()
    }

    /// The parts of all bars that belong to one series, standing on those of the series before it.
    pub(super) fn blocks(&self, course: &Course, series: usize) -> Vec<Block> {
        let width = (self.band() * 0.76).clamp(1.0, 48.0);
        let block = |place: usize| {
            let value = course.series.get(series)?.at(place).filter(|value| *value > 0.0)?;
            let below: f64 = course.series.iter().take(series).filter_map(|below| below.at(place)).sum();
            let (y, foot) = (self.y(below + value), self.y(below));
            Some(Block { x: self.x(place as f64) - width / 2.0, y, width, height: (foot - y).max(0.5) })
        };
        (0..self.count).filter_map(block).collect()
    }
}

/// Values next to each other, without a gap.
fn runs(values: &[Option<f64>]) -> Vec<Vec<(usize, f64)>> {
    let mut runs = vec![Vec::new()];
    for (place, value) in values.iter().enumerate() {
        match (value, runs.last_mut()) {
            (Some(value), Some(run)) => run.push((place, *value)),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Series;

    fn plot(kind: ChartKind) -> (Plot, Course) {
        let hour = |hour| OffsetDateTime::UNIX_EPOCH + time::Duration::hours(hour);
        let course = Course {
            times: (0..4).map(hour).collect(),
            series: vec![Series::new("a", vec![Some(1.0), Some(4.0), None, Some(2.0)])],
        };
        (Plot::new(&course, kind, Unit::Count, 600.0, 200.0), course)
    }

    #[test]
    fn lines_break_where_nothing_is_known() {
        let (plot, course) = plot(ChartKind::Line);
        let values = &course.series.first().unwrap().values;
        assert_eq!(plot.line(values).matches('M').count(), 2);
        assert_eq!(plot.lone(values).len(), 1);
        assert!((plot.y(4.0) - plot.top()).abs() < 1e-9 && (plot.y(0.0) - plot.bottom()).abs() < 1e-9);
    }

    #[test]
    fn the_pointer_finds_the_nearest() {
        for kind in [ChartKind::Line, ChartKind::Bars] {
            let (plot, _) = plot(kind);
            for place in 0..4 {
                assert_eq!(plot.place_at(plot.x(place as f64)), Some(place));
            }
            assert_eq!((plot.place_at(-50.0), plot.place_at(9_000.0)), (Some(0), Some(3)));
        }
    }
}
