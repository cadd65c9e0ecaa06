//! Over which time: the ranges that pages are looked at over, and their picker.

use leptos::prelude::*;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::choice::{Choice, Segments};
use super::field::unique_id;
use crate::{clock, format};

/// A range of time, as pages and their addresses name it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Range {
    Hour,
    #[default]
    Day,
    Week,
    Days30,
    /// Since the first of the reader's month.
    Month,
    Custom(OffsetDateTime, OffsetDateTime),
}

impl Range {
    /// By its name in an address; the last day for what is none.
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "1h" => Self::Hour,
            "7d" => Self::Week,
            "30d" => Self::Days30,
            "month" => Self::Month,
            other => Self::parse_custom(other).unwrap_or_default(),
        }
    }

    fn parse_custom(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('~')?;
        let parse = |text| OffsetDateTime::parse(text, &Rfc3339).ok();
        let (from, to) = (parse(from)?, parse(to)?);
        (from < to).then_some(Self::Custom(from, to))
    }

    /// Its name in an address.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Hour => "1h".to_owned(),
            Self::Day => "24h".to_owned(),
            Self::Week => "7d".to_owned(),
            Self::Days30 => "30d".to_owned(),
            Self::Month => "month".to_owned(),
            Self::Custom(from, to) => {
                let text = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
                format!("{}~{}", text(from), text(to))
            }
        }
    }

    /// From when to when.
    pub(crate) fn bounds(self, now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
        let back = |length: Duration| (now - length, now);
        match self {
            Self::Hour => back(Duration::HOUR),
            Self::Day => back(Duration::DAY),
            Self::Week => back(Duration::WEEK),
            Self::Days30 => back(Duration::days(30)),
            Self::Month => (first_of_month(now), now),
            Self::Custom(from, to) => (from, to),
        }
    }

    /// By hours or by days, whichever gives a chart a sensible number of points.
    pub(crate) fn by_hour(self, now: OffsetDateTime) -> bool {
        let (from, to) = self.bounds(now);
        to - from <= Duration::hours(72)
    }
}

fn first_of_month(now: OffsetDateTime) -> OffsetDateTime {
    let here = now.to_offset(format::offset_at(now));
    here.replace_day(1).unwrap_or(here).replace_time(time::Time::MIDNIGHT)
}

/// Picks a range; the value is its name, as in the address of the page.
#[component]
pub(crate) fn RangePicker(value: RwSignal<String>) -> impl IntoView {
    let options = Choice::list(&[
        ("1h", "1 h"),
        ("24h", "24 h"),
        ("7d", "7 d"),
        ("30d", "30 d"),
        ("month", "Month"),
        ("custom", "Custom"),
    ]);
    let is_custom = |name: &str| matches!(Range::parse(name), Range::Custom(..));
    let kind_of = move |name: &str| if is_custom(name) { "custom".to_owned() } else { Range::parse(name).name() };
    let kind = RwSignal::new(value.with_untracked(|value| kind_of(value)));
    Effect::new(move |_| kind.set(value.with(|value| kind_of(value))));
    Effect::new(move |_| {
        let kind = kind.get();
        let shown = value.get_untracked();
        if kind == "custom" && !is_custom(&shown) {
            let (from, to) = Range::parse(&shown).bounds(clock::now());
            value.set(Range::Custom(from, to).name());
        } else if kind != "custom" && kind_of(&shown) != kind {
            value.set(kind);
        }
    });
    view! {
        <div class="range-picker">
            <Segments label="Time range" quiet=true value=kind options />
            <Show when=move || kind.with(|kind| kind == "custom")>
                <CustomRange value />
            </Show>
        </div>
    }
}

#[component]
fn CustomRange(value: RwSignal<String>) -> impl IntoView {
    let bounds = move || Range::parse(&value.get()).bounds(clock::now());
    let change = move |from: Option<OffsetDateTime>, to: Option<OffsetDateTime>| {
        let (old_from, old_to) = Range::parse(&value.get_untracked()).bounds(clock::now());
        let (from, to) = (from.unwrap_or(old_from), to.unwrap_or(old_to));
        if from < to {
            value.set(Range::Custom(from, to).name());
        }
    };
    let (from_id, to_id) = (unique_id("from"), unique_id("to"));
    view! {
        <div class="range-custom">
            <label for=from_id.clone()>"From"</label>
            <input
                id=from_id
                class="input"
                type="datetime-local"
                prop:value=move || format::to_input(bounds().0)
                on:change:target=move |event| change(format::from_input(&event.target().value()), None)
            />
            <label for=to_id.clone()>"to"</label>
            <input
                id=to_id
                class="input"
                type="datetime-local"
                prop:value=move || format::to_input(bounds().1)
                on:change:target=move |event| change(None, format::from_input(&event.target().value()))
            />
        </div>
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_range_and_its_name() {
        let now = datetime!(2026-11-22 16:00 UTC);
        for name in ["1h", "24h", "7d", "30d", "month", "2026-11-01T00:00:00Z~2026-11-02T12:00:00Z"] {
            assert_eq!(Range::parse(name).name(), name);
        }
        assert_eq!(Range::parse("2026-11-02T12:00:00Z~2026-11-01T00:00:00Z"), Range::Day);
        assert_eq!(Range::Month.bounds(now), (datetime!(2026-11-01 0:00 UTC), now));
        assert!(Range::Day.by_hour(now) && !Range::Week.by_hour(now));
    }
}
