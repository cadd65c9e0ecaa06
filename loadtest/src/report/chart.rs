//! Pictures as inline SVG: lines over an even or logarithmic scale. Colours are classes of the page, so that one
//! picture can be read in light and in dark.

use std::fmt::Write as _;

use super::html::{escape, number};

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;

/// One line of a picture.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: String,
    /// Where the line is, from left to right. One that is interrupted continues at the next point.
    pub(super) points: Vec<(f64, f64)>,
}

/// How the height of a point says its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0 on, evenly.
    Even,
    /// By powers of ten.
    Powers,
}

/// What stands below a picture.
#[derive(Debug, Clone)]
pub(super) enum Below {
    /// Seconds from the start.
    Time,
    /// Shares of all, such as 0.99, the rare ones spread out.
    Shares,
    /// Whole numbers, each named by this word.
    Numbers(&'static str),
}

/// A picture.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) unit: &'a str,
    pub(super) scale: Scale,
    pub(super) below: Below,
    pub(super) series: Vec<Series>,
    /// Whether each point is marked.
    pub(super) dots: bool,
    /// Stretches of time that have a name: from, to, name.
    pub(super) stretches: &'a [(f64, f64, String)],
}

/// From values to places.
struct Plane {
    scale: Scale,
    low: (f64, f64),
    high: (f64, f64),
}

impl Plane {
    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.low.0) / (self.high.0 - self.low.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Even => (value - self.low.1) / (self.high.1 - self.low.1),
            Scale::Powers => {
                (value.max(self.low.1).log10() - self.low.1.log10()) / (self.high.1.log10() - self.low.1.log10())
            }
        };
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

/// A share as its place among rare ones: 0.9, 0.99 and 0.999 are equally far from each other.
fn rarity(share: f64) -> f64 {
    -(1.0 - share.min(0.999_95)).log10()
}

impl Chart<'_> {
    /// The picture with its title and what its lines are; nothing where there is no point.
    pub(super) fn figure(mut self) -> String {
        if matches!(self.below, Below::Shares) {
            for (x, _) in self.series.iter_mut().flat_map(|series| &mut series.points) {
                *x = rarity(*x);
            }
        }
        self.series.retain(|series| !series.points.is_empty());
        let Some(plane) = self.plane() else { return String::new() };
        let title = escape(self.title);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}, {}\">",
            escape(self.unit)
        );
        for stretch in self.stretches {
            band(&plane, stretch, &mut svg);
        }
        self.grid(&plane, &mut svg);
        for (at, series) in self.series.iter().enumerate() {
            line(&plane, series, at, self.dots, &mut svg);
        }
        svg += "</svg>";
        let keys: String = self
            .series
            .iter()
            .enumerate()
            .map(|(at, series)| format!("<li><i class=\"k{}\"></i>{}</li>", at % 6 + 1, escape(&series.name)))
            .collect();
        let keys = if self.series.len() > 1 { format!("<ul class=\"keys\">{keys}</ul>") } else { String::new() };
        format!("<figure><figcaption>{title} <small>{}</small></figcaption>{svg}{keys}</figure>", escape(self.unit))
    }

    fn plane(&self) -> Option<Plane> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        points().next()?;
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::MIN, f64::max);
        let least = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::MAX, f64::min);
        let (left, right) = match self.below {
            Below::Time | Below::Shares => (0.0, most(|point| point.0)),
            Below::Numbers(_) => (0.5, most(|point| point.0) + 0.5),
        };
        let (low, high) = match self.scale {
            Scale::Even => (0.0, ceiling(most(|point| point.1))),
            Scale::Powers => {
                let low = least(|point| if point.1 > 0.0 { point.1 } else { f64::MAX });
                let low = if low == f64::MAX { 1.0 } else { low };
                let low = 10_f64.powf(low.log10().floor());
                (low, 10_f64.powf(most(|point| point.1).max(low * 1.01).log10().ceil()))
            }
        };
        Some(Plane { scale: self.scale, low: (left, low), high: (right.max(left + 0.001), high) })
    }

    fn grid(&self, plane: &Plane, svg: &mut String) {
        let mut values = Vec::new();
        match self.scale {
            Scale::Even => values.extend((0..=4).map(|step| plane.high.1 / 4.0 * f64::from(step))),
            Scale::Powers => {
                let mut value = plane.low.1;
                while value <= plane.high.1 * 1.001 && values.len() < 12 {
                    values.push(value);
                    value *= 10.0;
                }
            }
        }
        for value in values {
            let y = plane.y(value);
            put(
                svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                    WIDTH - RIGHT
                ),
            );
            put(
                svg,
                format_args!("<text x=\"{}\" y=\"{:.1}\" class=\"end\">{}</text>", LEFT - 6.0, y + 4.0, number(value)),
            );
        }
        for (value, name) in self.marks(plane) {
            let x = plane.x(value);
            put(
                svg,
                format_args!("<text x=\"{x:.1}\" y=\"{}\" class=\"middle\">{name}</text>", HEIGHT - BOTTOM + 18.0),
            );
        }
    }

    fn marks(&self, plane: &Plane) -> Vec<(f64, String)> {
        match self.below {
            Below::Time => {
                let step = ceiling(plane.high.0 / 6.0);
                let count = (0..=7).map(|number| f64::from(number) * step);
                count.filter(|at| *at <= plane.high.0).map(|at| (at, clock(at))).collect()
            }
            Below::Shares => [("0", 0.0), ("50 %", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("99.9 %", 0.999)]
                .into_iter()
                .map(|(name, share)| (rarity(share), name.to_owned()))
                .filter(|(at, _)| *at <= plane.high.0)
                .collect(),
            Below::Numbers(word) => {
                let mut at = 1.0;
                let mut marks = Vec::new();
                while at <= plane.high.0 && marks.len() < 30 {
                    marks.push((at, format!("{word} {at}")));
                    at += 1.0;
                }
                marks
            }
        }
    }
}

fn band(plane: &Plane, (from, to, name): &(f64, f64, String), svg: &mut String) {
    let (from, to) = (plane.x(*from), plane.x(*to).min(WIDTH - RIGHT));
    if to > from {
        let (width, height) = (to - from, HEIGHT - TOP - BOTTOM);
        put(
            svg,
            format_args!(
                "<rect class=\"band\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"/>\
                 <text x=\"{:.1}\" y=\"{}\" class=\"middle\">{}</text>",
                from + width / 2.0,
                TOP + 12.0,
                escape(name)
            ),
        );
    }
}

fn line(plane: &Plane, series: &Series, at: usize, dots: bool, svg: &mut String) {
    let class = at % 6 + 1;
    let mut path = String::new();
    for (x, y) in &series.points {
        let step = if path.is_empty() { 'M' } else { 'L' };
        put(&mut path, format_args!("{step}{:.1} {:.1}", plane.x(*x), plane.y(*y)));
    }
    put(svg, format_args!("<path class=\"s{class}\" d=\"{path}\"><title>{}</title></path>", escape(&series.name)));
    if dots {
        for (x, y) in &series.points {
            let (cx, cy, name) = (plane.x(*x), plane.y(*y), escape(&series.name));
            let value = number(*y);
            put(
                svg,
                format_args!(
                    "<circle class=\"d{class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3.5\">\
                     <title>{name}: {value}</title></circle>"
                ),
            );
        }
    }
}

/// A String takes whatever is written.
fn put(to: &mut String, what: std::fmt::Arguments<'_>) {
    to.write_fmt(what).unwrap_or_default();
}

/// The next number of 1, 2, 4, 5 or 10 times a power of ten.
fn ceiling(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|step| *step >= value * 0.999_999).unwrap_or(power * 10.0)
}

fn clock(seconds: f64) -> String {
    if seconds < 120.0 { format!("{} s", number(seconds)) } else { format!("{} min", number(seconds / 60.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(scale: Scale, points: Vec<(f64, f64)>) -> Chart<'static> {
        let series = vec![Series { name: "a < b".to_owned(), points }];
        Chart { title: "latency", unit: "ms", scale, below: Below::Time, series, dots: false, stretches: &[] }
    }

    #[test]
    fn points_lie_where_their_values_are() {
        let drawn = chart(Scale::Even, vec![(0.0, 0.0), (10.0, 80.0), (20.0, 100.0)]).figure();
        assert!(drawn.contains("d=\"M58.0 196.0L333.0 48.8L608.0 12.0\""), "{drawn}");
        assert!(drawn.contains(">100<") && drawn.contains(">20 s<") && drawn.contains("a &lt; b"), "{drawn}");
        let powers = chart(Scale::Powers, vec![(0.0, 1.0), (10.0, 10.0), (20.0, 100.0)]).figure();
        assert!(powers.contains("d=\"M58.0 196.0L333.0 104.0L608.0 12.0\""), "{powers}");
        assert_eq!(chart(Scale::Even, Vec::new()).figure(), "");
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, end) in [(0.0, 1.0), (3.2, 4.0), (41.0, 50.0), (99.0, 100.0), (0.012, 0.02)] {
            assert!((ceiling(value) - end).abs() < 1e-9, "{value}");
        }
        assert!((rarity(0.999) - 3.0).abs() < 1e-9);
    }
}
