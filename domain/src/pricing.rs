//! From usage and prices to a cost. A quantity without a price makes the whole unpriced: never 0.
#![deny(clippy::float_arithmetic)]

use rust_decimal::Decimal;

use crate::ids::PriceId;
use crate::money::NanoUsd;
use crate::provider::named;
use crate::usage::Usage;

named! {
    /// What a price is for.
    Unit, "unit", {
        /// One hour of audio in.
        AudioHour = "audio_hour",
        /// One minute of audio in.
        AudioMinute = "audio_minute",
        /// One second of audio in.
        AudioSecond = "audio_second",
        /// A million characters spoken.
        MillionCharacters = "million_characters",
        /// A million text tokens in that were not cached.
        TextIn = "million_tokens_text_in",
        /// A million cached text tokens in.
        CachedTextIn = "million_tokens_cached_text_in",
        /// A million text tokens out.
        TextOut = "million_tokens_text_out",
        /// A million audio tokens in that were not cached.
        AudioIn = "million_tokens_audio_in",
        /// A million cached audio tokens in.
        CachedAudioIn = "million_tokens_cached_audio_in",
        /// A million audio tokens out.
        AudioOut = "million_tokens_audio_out",
        /// A million image tokens in that were not cached.
        ImageIn = "million_tokens_image_in",
        /// A million cached image tokens in.
        CachedImageIn = "million_tokens_cached_image_in",
        /// One request.
        Request = "request",
    }
}

/// One row of the price list, in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The row.
    pub id: PriceId,
    /// What it is for.
    pub unit: Unit,
    /// US dollars for one unit.
    pub usd: Decimal,
    /// Least audio billed per request, in milliseconds.
    pub minimum_ms: u64,
    /// Audio is billed in whole steps of this many milliseconds; 0 and 1 bill what was measured.
    pub rounding_ms: u64,
}

/// What an operation costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Known, with the row that decided most of it.
    Known(NanoUsd, PriceId),
    /// At least one quantity has no price.
    Unpriced,
}

impl Cost {
    /// The amount, where it is known.
    #[must_use]
    pub const fn known(self) -> Option<NanoUsd> {
        match self {
            Self::Known(amount, _) => Some(amount),
            Self::Unpriced => None,
        }
    }
}

/// The cost of `usage` under `prices` (all rows in force for one model and operation).
///
/// A model is billed by time, by characters or by tokens: time and characters count where the list
/// has a row for them; tokens count where it has token rows. A model priced by time whose provider
/// reports tokens as well is billed by time alone.
///
/// A quantity that a row bills and nobody counted is unknown: the whole is unpriced then. Nothing is
/// unknown about what is free, so a row of zero dollars needs no count.
#[must_use]
pub fn cost(usage: &Usage, prices: &[Price]) -> Cost {
    let flat = [Unit::AudioHour, Unit::AudioMinute, Unit::AudioSecond, Unit::MillionCharacters, Unit::Request];
    let mut flat = flat.into_iter().filter_map(|unit| find(prices, unit)).peekable();
    let sum = if flat.peek().is_some() { flat_sum(usage, flat) } else { token_sum(usage, prices) };
    sum.map_or(Cost::Unpriced, |sum| sum.with_surcharge(usage.surcharge_percent).finish(prices))
}

fn find(prices: &[Price], unit: Unit) -> Option<&Price> {
    prices.iter().find(|price| price.unit == unit)
}

/// By time, characters and requests; `None` where one of them was not counted.
fn flat_sum<'a>(usage: &Usage, prices: impl Iterator<Item = &'a Price>) -> Option<Sum> {
    let mut sum = Sum::default();
    for price in prices {
        let (count, per) = match price.unit {
            Unit::AudioHour => (usage.audio_in_ms, 3_600_000),
            Unit::AudioMinute => (usage.audio_in_ms, 60_000),
            Unit::AudioSecond => (usage.audio_in_ms, 1_000),
            Unit::MillionCharacters => (usage.characters, 1_000_000),
            _ => (usage.requests.max(1), 1),
        };
        if count == 0 && !price.usd.is_zero() {
            return None;
        }
        let is_time = matches!(price.unit, Unit::AudioHour | Unit::AudioMinute | Unit::AudioSecond);
        sum.add(if is_time { billed_ms(count, price) } else { count }, per, price);
    }
    Some(sum)
}

/// By tokens; `None` where none was counted, or one has no price.
fn token_sum(usage: &Usage, prices: &[Price]) -> Option<Sum> {
    let fresh = |all: u64, cached: u64| all.saturating_sub(cached);
    let tokens = [
        (Unit::TextIn, fresh(usage.text_tokens_in, usage.cached_text_tokens)),
        (Unit::CachedTextIn, usage.cached_text_tokens),
        (Unit::TextOut, usage.text_tokens_out),
        (Unit::AudioIn, fresh(usage.audio_tokens_in, usage.cached_audio_tokens)),
        (Unit::CachedAudioIn, usage.cached_audio_tokens),
        (Unit::AudioOut, usage.audio_tokens_out),
        (Unit::ImageIn, fresh(usage.image_tokens_in, usage.cached_image_tokens)),
        (Unit::CachedImageIn, usage.cached_image_tokens),
    ];
    if !usage.has_tokens() && !prices.iter().all(|price| price.usd.is_zero()) {
        return None;
    }
    let mut sum = Sum::default();
    for (unit, count) in tokens.into_iter().filter(|(_, count)| *count > 0) {
        sum.add(count, 1_000_000, find(prices, unit)?);
    }
    Some(sum)
}

/// Audio as the provider bills it: at least the minimum, in whole steps.
fn billed_ms(measured_ms: u64, price: &Price) -> u64 {
    let step = price.rounding_ms.max(1);
    measured_ms.max(price.minimum_ms).div_ceil(step).saturating_mul(step)
}

#[derive(Default)]
struct Sum {
    usd: Decimal,
    largest: Option<(Decimal, PriceId)>,
    overflow: bool,
}

impl Sum {
    fn add(&mut self, count: u64, per: u64, price: &Price) {
        let part = Decimal::from(count).checked_mul(price.usd).and_then(|usd| usd.checked_div(Decimal::from(per)));
        let total = part.and_then(|part| self.usd.checked_add(part));
        match (part, total) {
            (Some(part), Some(total)) => {
                self.usd = total;
                if self.largest.is_none_or(|(largest, _)| part > largest) {
                    self.largest = Some((part, price.id));
                }
            }
            _ => self.overflow = true,
        }
    }

    /// What a provider bills in percent of the price for what a request asks beside the usual.
    fn with_surcharge(mut self, percent: u64) -> Self {
        if percent > 0 {
            let factor = Decimal::ONE.checked_add(Decimal::new(i64::try_from(percent).unwrap_or(i64::MAX), 2));
            match factor.and_then(|factor| self.usd.checked_mul(factor)) {
                Some(usd) => self.usd = usd,
                None => self.overflow = true,
            }
        }
        self
    }

    fn finish(self, prices: &[Price]) -> Cost {
        let id = self.largest.map(|(_, id)| id).or_else(|| prices.first().map(|price| price.id));
        match id {
            Some(_) if self.overflow => Cost::Unpriced,
            Some(id) => Cost::Known(NanoUsd::from_usd(self.usd), id),
            None => Cost::Unpriced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn price(unit: Unit, usd: &str, minimum_ms: u64) -> Price {
        Price { id: PriceId(Uuid::nil()), unit, usd: usd.parse().unwrap(), minimum_ms, rounding_ms: 1 }
    }

    #[test]
    fn groq_bills_ten_seconds_at_least() {
        let prices = [price(Unit::AudioHour, "0.04", 10_000)];
        let short = Usage { audio_in_ms: 2_000, ..Usage::default() };
        let long = Usage { audio_in_ms: 36_000, ..Usage::default() };
        assert_eq!(cost(&short, &prices).known(), Some(NanoUsd(111_111)));
        assert_eq!(cost(&long, &prices).known(), Some(NanoUsd(400_000)));
    }

    #[test]
    fn cached_tokens_are_billed_inside_their_counts() {
        let prices = [
            price(Unit::TextIn, "4", 0),
            price(Unit::CachedTextIn, "0.4", 0),
            price(Unit::TextOut, "24", 0),
            price(Unit::AudioIn, "32", 0),
            price(Unit::AudioOut, "64", 0),
        ];
        let usage = Usage {
            text_tokens_in: 119,
            cached_text_tokens: 64,
            audio_tokens_in: 13,
            text_tokens_out: 30,
            audio_tokens_out: 91,
            ..Usage::default()
        };
        // 55·4 + 64·0.4 + 13·32 + 30·24 + 91·64 = 7205.6 micro-dollars
        assert_eq!(cost(&usage, &prices).known(), Some(NanoUsd(7_205_600)));
    }

    #[test]
    fn a_missing_price_or_count_is_unknown_and_never_zero() {
        assert_eq!(cost(&Usage::default(), &[]), Cost::Unpriced);
        let prices = [price(Unit::TextIn, "4", 0)];
        assert_eq!(cost(&Usage { audio_tokens_in: 1, ..Usage::default() }, &prices), Cost::Unpriced);
        assert_eq!(cost(&Usage { audio_in_ms: 1, ..Usage::default() }, &prices), Cost::Unpriced);
    }

    #[test]
    fn what_nobody_counted_is_unpriced_however_it_is_billed() {
        let unknown = Usage { requests: 1, ..Usage::default() };
        for unit in [Unit::AudioMinute, Unit::AudioHour, Unit::MillionCharacters, Unit::TextIn, Unit::AudioOut] {
            assert_eq!(cost(&unknown, &[price(unit, "4", 10_000)]), Cost::Unpriced, "{unit}");
            assert_eq!(cost(&unknown, &[price(unit, "0", 0)]).known(), Some(NanoUsd(0)), "{unit} is free");
        }
        assert_eq!(cost(&unknown, &[price(Unit::Request, "0.01", 0)]).known(), Some(NanoUsd(10_000_000)));
    }

    #[test]
    fn a_surcharge_is_part_of_the_price() {
        let prices = [price(Unit::AudioHour, "0.22", 0)];
        let usage = Usage { audio_in_ms: 3_600_000, surcharge_percent: 50, ..Usage::default() };
        assert_eq!(cost(&usage, &prices).known(), Some(NanoUsd(330_000_000)));
        let absurd = Usage { surcharge_percent: u64::MAX, ..usage };
        assert!(cost(&absurd, &prices).known().is_some_and(|cost| cost.0 > 0), "never less than nothing");
        assert_eq!(cost(&usage, &[]), Cost::Unpriced);
    }

    #[test]
    fn rounding_steps_bill_whole_steps() {
        let mut by_second = price(Unit::AudioMinute, "0.006", 0);
        by_second.rounding_ms = 1000;
        let usage = Usage { audio_in_ms: 8_470, ..Usage::default() };
        assert_eq!(cost(&usage, &[by_second]).known(), Some(NanoUsd(900_000)));
    }
}
