//! Counts, sizes, lengths and shares.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// A number with a fraction, as it is written with a point. By way of a decimal, which the program has: what the standard
/// library reads an `f64` with brings large tables.
pub(crate) fn fraction(text: &str) -> Option<f64> {
    text.trim().parse::<Decimal>().ok()?.to_f64()
}

/// A count with its thousands apart.
pub(crate) fn count(number: impl Into<i128>) -> String {
    let number = number.into();
    let sign = if number < 0 { "−" } else { "" };
    format!("{sign}{}", localized(&number.unsigned_abs().to_string()))
}

/// A count as short as an axis or a tile needs it: `1.2k`, `34M`.
pub(crate) fn compact(number: f64) -> String {
    let sign = if number < 0.0 { "−" } else { "" };
    let size = number.abs();
    let (scaled, unit) = match size {
        size if size >= 999_500_000.0 => (size / 1e9, "B"),
        size if size >= 999_500.0 => (size / 1e6, "M"),
        size if size >= 9_995.0 => (size / 1e3, "k"),
        size => return format!("{sign}{}", localized(&trimmed(size, 2))),
    };
    format!("{sign}{}{unit}", localized(&trimmed(scaled, if scaled < 100.0 { 1 } else { 0 })))
}

/// A size in bytes, in steps of a thousand.
pub(crate) fn bytes(size: u64) -> String {
    let size_f = size as f64;
    let (scaled, unit) = match size {
        0..1_000 => return format!("{size} B"),
        1_000..1_000_000 => (size_f / 1e3, "kB"),
        1_000_000..1_000_000_000 => (size_f / 1e6, "MB"),
        _ => (size_f / 1e9, "GB"),
    };
    format!("{} {unit}", localized(&trimmed(scaled, if scaled < 100.0 { 1 } else { 0 })))
}

/// How long something took.
pub(crate) fn duration_ms(ms: impl Into<i128>) -> String {
    let ms = ms.into().max(0);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{} s", localized(&trimmed(ms as f64 / 1000.0, 2))),
        _ => minutes_and_hours(ms),
    }
}

/// How long a piece of sound is.
pub(crate) fn audio_ms(ms: impl Into<i128>) -> String {
    let ms = ms.into().max(0);
    match ms {
        0 => "0 s".to_owned(),
        1..100 => format!("{ms} ms"),
        100..60_000 => format!("{} s", localized(&trimmed(ms as f64 / 1000.0, 1))),
        _ => minutes_and_hours(ms),
    }
}

/// A share of one.
pub(crate) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return "–".to_owned();
    }
    let hundredths = share * 100.0;
    let size = hundredths.abs();
    if size > 0.0 && size < 0.01 {
        return format!("<{}%", localized("0.01"));
    }
    let sign = if hundredths < 0.0 { "−" } else { "" };
    let decimals = if size < 1.0 { 2 } else { usize::from(size < 99.95) };
    format!("{sign}{}%", localized(&trimmed(size, decimals)))
}

/// How much more or less it is than before; `None` where there was nothing to compare with.
pub(crate) fn delta(now: f64, before: f64) -> Option<String> {
    if before == 0.0 || !before.is_finite() || !now.is_finite() {
        return None;
    }
    let share = (now - before) / before.abs();
    if share.abs() < 0.0005 {
        return Some("±0%".to_owned());
    }
    if share > 9.995 {
        return Some(format!("×{}", compact(now / before)));
    }
    let sign = if share > 0.0 { "+" } else { "" };
    Some(format!("{sign}{}", percent(share)))
}

fn minutes_and_hours(ms: i128) -> String {
    let seconds = (ms + 500) / 1000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes} min {:02} s", seconds % 60),
        1..100 => format!("{hours} h {minutes:02} min"),
        _ => format!("{} h", count(hours)),
    }
}

/// With at most so many decimals, and none that are zero at the end.
fn trimmed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A plain decimal number with the separators of the reader's language.
pub(super) fn localized(plain: &str) -> String {
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let (group, point) = separators();
    let mut shown = String::with_capacity(plain.len() + 4);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 && whole.len() > 3 {
            shown.push(group);
        }
        shown.push(digit);
    }
    if !fraction.is_empty() {
        shown.push(point);
        shown.push_str(fraction);
    }
    shown
}

#[cfg(not(target_arch = "wasm32"))]
const fn separators() -> (char, char) {
    (',', '.')
}

/// Between thousands, and before decimals; asked for once.
#[cfg(target_arch = "wasm32")]
fn separators() -> (char, char) {
    thread_local!(static FOUND: (char, char) = {
        let local = super::time::local_number(12_345_678.5);
        let marks: Vec<char> = local.chars().filter(|mark| !mark.is_numeric()).collect();
        match marks.as_slice() {
            [group, .., point] => (*group, *point),
            _ => (',', '.'),
        }
    });
    FOUND.with(|found| *found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_read() {
        for (text, read) in [("1.5", 1.5), (" 62.500", 62.5), ("3", 3.0), ("0.1", 0.1), ("-2.25", -2.25)] {
            assert_eq!(fraction(text), Some(read), "{text}");
        }
        for text in ["", "x", "1,5", "NaN", "inf"] {
            assert_eq!(fraction(text), None, "{text}");
        }
    }

    #[test]
    fn counts_and_sizes() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(-999), "−999");
        for (number, shown) in [
            (0.0, "0"),
            (12.0, "12"),
            (0.25, "0.25"),
            (9_950.0, "9,950"),
            (12_345.0, "12.3k"),
            (4.5e6, "4.5M"),
            (3e9, "3B"),
        ] {
            assert_eq!(compact(number), shown);
        }
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_260_000), "1.3 MB");
    }

    #[test]
    fn lengths() {
        for (ms, took, sound) in [
            (0, "0 ms", "0 s"),
            (842, "842 ms", "0.8 s"),
            (3_420, "3.42 s", "3.4 s"),
            (125_000, "2 min 05 s", "2 min 05 s"),
            (3_720_000, "1 h 02 min", "1 h 02 min"),
        ] {
            assert_eq!((duration_ms(ms), audio_ms(ms)), (took.to_owned(), sound.to_owned()));
        }
    }

    #[test]
    fn shares() {
        for (share, shown) in [(0.0, "0%"), (0.00001, "<0.01%"), (0.0042, "0.42%"), (0.1234, "12.3%"), (1.0, "100%")] {
            assert_eq!(percent(share), shown);
        }
        for (now, before, shown) in
            [(112.0, 100.0, Some("+12%")), (90.0, 100.0, Some("−10%")), (5.0, 0.0, None), (5000.0, 100.0, Some("×50"))]
        {
            assert_eq!(delta(now, before).as_deref(), shown);
        }
    }
}
