//! US dollars: two decimals at least, and more where two would say nothing.

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

use super::number::{compact, localized};

/// What is not known to the nano-dollar is not shown finer than that either.
const MOST_DECIMALS: u32 = 9;
/// Digits that an amount under a dollar shows.
const SMALL_DIGITS: u32 = 3;

/// An amount that may not be known.
pub(crate) fn cost(nano_usd: Option<i64>) -> String {
    nano_usd.map_or_else(|| "unpriced".to_owned(), nano)
}

/// An amount in nano-dollars.
pub(crate) fn nano(nano_usd: impl Into<i128>) -> String {
    let nano_usd = nano_usd.into();
    Decimal::try_from_i128_with_scale(nano_usd, MOST_DECIMALS).map_or_else(|_| "over $10 bn".to_owned(), money)
}

/// An amount as the API writes it, such as `0.0125`; what is no number stays as it is.
pub(crate) fn usd_text(usd: &str) -> String {
    usd.parse().map_or_else(|_| usd.to_owned(), money)
}

/// Dollars, rounded for reading, but never to a zero that is none.
pub(crate) fn money(usd: Decimal) -> String {
    let size = usd.abs();
    let least = Decimal::new(1, MOST_DECIMALS);
    if !size.is_zero() && size < least {
        return format!("{}<${}", sign(usd), localized(&least.to_string()));
    }
    let decimals = if size >= Decimal::ONE || size.is_zero() { 2 } else { decimals_of_small(size) };
    let rounded = size.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero);
    format!("{}${}", sign(usd), localized(&with_two_decimals(rounded)))
}

/// Every digit there is.
pub(crate) fn money_exact(usd: Decimal) -> String {
    format!("{}${}", sign(usd), localized(&with_two_decimals(usd.abs())))
}

/// As short as an axis or a tile needs it: `$1.2k`.
pub(crate) fn money_compact(usd: f64) -> String {
    if usd.abs() >= 1000.0 {
        let sign = if usd < 0.0 { "−" } else { "" };
        return format!("{sign}${}", compact(usd.abs()));
    }
    Decimal::from_f64_retain(usd).map_or_else(String::new, |usd| money(usd.round_dp(12)))
}

const fn sign(usd: Decimal) -> &'static str {
    if usd.is_sign_negative() && !usd.is_zero() { "−" } else { "" }
}

/// So many that the first digits that are not zero are seen.
fn decimals_of_small(size: Decimal) -> u32 {
    let zeros = size.to_f64().map_or(0, |size| (-size.log10()).ceil().max(0.0) as u32).saturating_sub(1);
    (zeros + SMALL_DIGITS).clamp(2, MOST_DECIMALS)
}

fn with_two_decimals(size: Decimal) -> String {
    let mut size = size.normalize();
    if size.scale() < 2 {
        size.rescale(2);
    }
    size.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_never_a_misleading_zero() {
        for (usd, shown) in [
            ("0", "$0.00"),
            ("0.5", "$0.50"),
            ("0.012345", "$0.0123"),
            ("0.000042", "$0.000042"),
            ("0.00000000149", "$0.000000001"),
            ("0.0000000004", "<$0.000000001"),
            ("0.9999", "$1.00"),
            ("1.005", "$1.01"),
            ("1234567.891", "$1,234,567.89"),
            ("-0.25", "−$0.25"),
        ] {
            assert_eq!(usd_text(usd), shown, "{usd}");
        }
        assert_eq!(cost(None), "unpriced");
        assert_eq!(cost(Some(42_000)), "$0.000042");
        assert_eq!(money_exact("12.3456789".parse().unwrap()), "$12.3456789");
        assert_eq!(money_compact(12_345.0), "$12.3k");
    }
}
