//! Charts, as clean SVG: courses over time, groups beside each other, and where the time went.
//!
//! Each can be read without seeing it: a table of its values is behind it, and the arrow keys walk over its points.

mod axis;
mod data;
mod groups;
mod plot;
mod spark;
mod table;
mod time_chart;
mod waterfall;

pub(crate) use data::{Course, Series, Unit};
pub(crate) use groups::{Bar, BarList};
pub(crate) use spark::Sparkline;
pub(crate) use time_chart::{ChartKind, TimeChart};
pub(crate) use waterfall::{Span, Waterfall};
