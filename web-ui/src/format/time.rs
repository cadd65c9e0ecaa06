//! Dates and times in the reader's language and time zone.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// As `<input type="datetime-local">` has it.
const INPUT: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]");

/// What of a moment is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shown {
    DayMonth,
    Date,
    Time,
    DateTime,
    Exact,
}

/// The day.
pub(crate) fn date(at: OffsetDateTime) -> String {
    shown(at, Shown::Date)
}

/// The day without its year, for an axis.
pub(crate) fn day_month(at: OffsetDateTime) -> String {
    shown(at, Shown::DayMonth)
}

/// The time of day, to the minute.
pub(crate) fn time_of_day(at: OffsetDateTime) -> String {
    shown(at, Shown::Time)
}

/// Day and time, to the minute.
pub(crate) fn date_time(at: OffsetDateTime) -> String {
    shown(at, Shown::DateTime)
}

/// Day and time, to the millisecond, with the zone.
pub(crate) fn date_time_exact(at: OffsetDateTime) -> String {
    shown(at, Shown::Exact)
}

/// How long ago it was: `3 min ago`; the date for what is older than a month.
pub(crate) fn ago(at: OffsetDateTime, now: OffsetDateTime) -> String {
    match (now - at).whole_seconds() {
        ..-45 => date_time(at),
        -45..45 => "just now".to_owned(),
        seconds if seconds < 30 * 86_400 => format!("{} ago", about(seconds)),
        _ => date(at),
    }
}

/// How long it is until then: `in 3 days`; `now` where it is past.
pub(crate) fn until(at: OffsetDateTime, now: OffsetDateTime) -> String {
    match (at - now).whole_seconds() {
        ..1 => "now".to_owned(),
        seconds if seconds < 30 * 86_400 => format!("in {}", about(seconds)),
        _ => date(at),
    }
}

/// For `<input type="datetime-local">`, in the reader's zone.
pub(crate) fn to_input(at: OffsetDateTime) -> String {
    at.to_offset(offset_at(at)).format(INPUT).unwrap_or_default()
}

/// From `<input type="datetime-local">`, which may tell seconds.
pub(crate) fn from_input(text: &str) -> Option<OffsetDateTime> {
    let to_the_minute = text.get(..16)?;
    let local = PrimitiveDateTime::parse(to_the_minute, INPUT).ok()?;
    // The offset depends on the moment, and the moment on the offset: near a change of the clocks the second look tells.
    let first = local.assume_offset(offset_at(local.assume_utc()));
    Some(local.assume_offset(offset_at(first)))
}

fn about(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        86_400..172_800 => "1 day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) const fn offset_at(_: OffsetDateTime) -> UtcOffset {
    UtcOffset::UTC
}

/// How far the reader's clock is from UTC at that moment.
#[cfg(target_arch = "wasm32")]
pub(crate) fn offset_at(at: OffsetDateTime) -> UtcOffset {
    let minutes = js_date(at).get_timezone_offset();
    UtcOffset::from_whole_seconds((-minutes * 60.0) as i32).unwrap_or(UtcOffset::UTC)
}

/// Without a browser: plain, in UTC.
#[cfg(not(target_arch = "wasm32"))]
fn shown(at: OffsetDateTime, what: Shown) -> String {
    let format = match what {
        Shown::DayMonth => format_description!("[day padding:none] [month repr:short]"),
        Shown::Date => format_description!("[day padding:none] [month repr:short] [year]"),
        Shown::Time => format_description!("[hour]:[minute]"),
        Shown::DateTime => format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute]"),
        Shown::Exact => {
            format_description!(
                "[day padding:none] [month repr:short] [year], [hour]:[minute]:[second].[subsecond digits:3] UTC"
            )
        }
    };
    at.to_offset(UtcOffset::UTC).format(format).unwrap_or_default()
}

/// By the browser, which knows the reader's language and zone. Making a formatter is slow, so each is kept.
#[cfg(target_arch = "wasm32")]
fn shown(at: OffsetDateTime, what: Shown) -> String {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use js_sys::Function;

    thread_local!(static MADE: RefCell<HashMap<Shown, Function>> = RefCell::default());
    let format = MADE.with_borrow_mut(|made| made.entry(what).or_insert_with(|| formatter(what)).clone());
    format
        .call1(&wasm_bindgen::JsValue::UNDEFINED, &js_date(at))
        .ok()
        .and_then(|text| text.as_string())
        .unwrap_or_default()
}

#[cfg(target_arch = "wasm32")]
fn formatter(what: Shown) -> js_sys::Function {
    let options: &[(&str, &str)] = match what {
        Shown::DayMonth => &[("month", "short"), ("day", "numeric")],
        Shown::Date => &[("year", "numeric"), ("month", "short"), ("day", "numeric")],
        Shown::Time => &[("hour", "2-digit"), ("minute", "2-digit")],
        Shown::DateTime => {
            &[("year", "numeric"), ("month", "short"), ("day", "numeric"), ("hour", "2-digit"), ("minute", "2-digit")]
        }
        Shown::Exact => &[
            ("year", "numeric"),
            ("month", "short"),
            ("day", "numeric"),
            ("hour", "2-digit"),
            ("minute", "2-digit"),
            ("second", "2-digit"),
            ("fractionalSecondDigits", "3"),
            ("timeZoneName", "short"),
        ],
    };
    js_sys::Intl::DateTimeFormat::new(&js_sys::Array::new(), &js_options(options)).format()
}

#[cfg(target_arch = "wasm32")]
fn js_options(options: &[(&str, &str)]) -> js_sys::Object {
    let object = js_sys::Object::new();
    for (name, value) in options {
        // Setting a property of a new plain object cannot fail.
        js_sys::Reflect::set(&object, &(*name).into(), &(*value).into()).ok();
    }
    object
}

#[cfg(target_arch = "wasm32")]
fn js_date(at: OffsetDateTime) -> js_sys::Date {
    let ms = at.unix_timestamp_nanos() / 1_000_000;
    js_sys::Date::new(&wasm_bindgen::JsValue::from_f64(ms as f64))
}

/// A number as the reader's language writes it, with Latin digits.
#[cfg(target_arch = "wasm32")]
pub(super) fn local_number(number: f64) -> String {
    let options = js_options(&[("numberingSystem", "latn")]);
    js_sys::Intl::NumberFormat::new(&js_sys::Array::new(), &options)
        .format()
        .call1(&wasm_bindgen::JsValue::UNDEFINED, &number.into())
        .ok()
        .and_then(|text| text.as_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn ages() {
        let now = datetime!(2026-11-22 16:00 UTC);
        for (at, shown) in [
            (datetime!(2026-11-22 15:59:50 UTC), "just now"),
            (datetime!(2026-11-22 15:57 UTC), "3 min ago"),
            (datetime!(2026-11-22 11:00 UTC), "5 h ago"),
            (datetime!(2026-11-21 12:00 UTC), "1 day ago"),
            (datetime!(2026-09-01 12:00 UTC), "1 Sep 2026"),
        ] {
            assert_eq!(ago(at, now), shown);
        }
        assert_eq!(until(datetime!(2026-11-25 17:00 UTC), now), "in 3 days");
    }

    #[test]
    fn an_input_keeps_its_moment() {
        let at = datetime!(2026-11-22 16:05 UTC);
        assert_eq!(to_input(at), "2026-11-22T16:05");
        assert_eq!(from_input("2026-11-22T16:05"), Some(at));
        assert_eq!(from_input("2026-11-22T16:05:30"), Some(at));
        assert_eq!(from_input("soon"), None);
    }
}
