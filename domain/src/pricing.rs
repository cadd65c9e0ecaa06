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

/// What a price goes by. Of time or characters and tokens one counts at a time; requests count beside either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The length of audio, and characters.
    Flat,
    /// Tokens.
    Tokens,
    /// Requests.
    Requests,
}

impl Unit {
    /// What it goes by.
    #[must_use]
    pub const fn basis(self) -> Basis {
        match self {
            Self::AudioHour | Self::AudioMinute | Self::AudioSecond | Self::MillionCharacters => Basis::Flat,
            Self::TextIn
            | Self::CachedTextIn
            | Self::TextOut
            | Self::AudioIn
            | Self::CachedAudioIn
            | Self::AudioOut
            | Self::ImageIn
            | Self::CachedImageIn => Basis::Tokens,
            Self::Request => Basis::Requests,
        }
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

/// What of a session is billed before a part of it, so that the parts together cost what the whole does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Before {
    /// Milliseconds of audio, of which the steps and the least were billed.
    pub audio_in_ms: u64,
    /// The request was.
    pub request: bool,
}

/// The cost of `usage` under `prices` (all rows in force for one model and operation).
///
/// A model is billed by time and characters where the list has a row for them, else by tokens: a model
/// priced by time whose provider reports tokens as well is billed by time alone. Requests count beside
/// either. [`PriceList`](crate::price_list::PriceList) has left one of the two where one follows the other.
///
/// A quantity that a row bills and nobody counted is unknown: the whole is unpriced then. Nothing is
/// unknown about what is free, so a row of zero dollars needs no count.
#[must_use]
pub fn cost(usage: &Usage, prices: &[Price]) -> Cost {
    cost_after(Before::default(), usage, prices)
}

/// As [`cost`], of a part of a session before which so much was billed: minimum and steps of audio are those of
/// the whole, which is one request.
#[must_use]
pub fn cost_after(before: Before, usage: &Usage, prices: &[Price]) -> Cost {
    let has = |basis: Basis| prices.iter().any(|price| price.unit.basis() == basis);
    let mut sum = Sum::default();
    let counted = if has(Basis::Flat) {
        add_flat(&mut sum, before, usage, prices)
    } else if has(Basis::Tokens) {
        add_tokens(&mut sum, usage, prices)
    } else {
        Some(())
    };
    if counted.is_none() {
        return Cost::Unpriced;
    }
    if let Some(price) = find(prices, Unit::Request) {
        sum.add(if before.request { 0 } else { usage.requests.max(1) }, 1, price);
    }
    sum.with_surcharge(usage.surcharge_percent).finish(prices)
}

fn find(prices: &[Price], unit: Unit) -> Option<&Price> {
    prices.iter().find(|price| price.unit == unit)
}

/// By time and characters; `None` where one of them was not counted.
fn add_flat(sum: &mut Sum, before: Before, usage: &Usage, prices: &[Price]) -> Option<()> {
    for unit in [Unit::AudioHour, Unit::AudioMinute, Unit::AudioSecond, Unit::MillionCharacters] {
        let Some(price) = find(prices, unit) else { continue };
        let (count, per) = match unit {
            Unit::AudioHour => (usage.audio_in_ms, 3_600_000),
            Unit::AudioMinute => (usage.audio_in_ms, 60_000),
            Unit::AudioSecond => (usage.audio_in_ms, 1_000),
            _ => (usage.characters, 1_000_000),
        };
        if count == 0 && !price.usd.is_zero() {
            return None;
        }
        let is_time = unit != Unit::MillionCharacters;
        sum.add(if is_time { billed_after(before.audio_in_ms, count, price) } else { count }, per, price);
    }
    Some(())
}

/// By tokens; `None` where none was counted, or one has no price.
fn add_tokens(sum: &mut Sum, usage: &Usage, prices: &[Price]) -> Option<()> {
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
    let is_free = |price: &Price| price.unit.basis() != Basis::Tokens || price.usd.is_zero();
    if !usage.has_tokens() && !prices.iter().all(is_free) {
        return None;
    }
    for (unit, count) in tokens.into_iter().filter(|(_, count)| *count > 0) {
        sum.add(count, 1_000_000, find(prices, unit)?);
    }
    Some(())
}

/// What a part of a session adds to what was billed before it.
fn billed_after(before_ms: u64, measured_ms: u64, price: &Price) -> u64 {
    let paid = if before_ms == 0 { 0 } else { billed_ms(before_ms, price) };
    billed_ms(before_ms.saturating_add(measured_ms), price).saturating_sub(paid)
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
    fn a_request_is_billed_beside_time_and_beside_tokens() {
        let request = price(Unit::Request, "0.001", 0);
        let tokens = [price(Unit::TextIn, "4", 0), request.clone()];
        let usage = Usage { audio_in_ms: 60_000, text_tokens_in: 1_000, requests: 1, ..Usage::default() };
        assert_eq!(cost(&usage, &tokens).known(), Some(NanoUsd(4_000_000 + 1_000_000)));
        assert_eq!(cost(&Usage { text_tokens_in: 0, ..usage }, &tokens), Cost::Unpriced, "nobody counted the tokens");
        let time = [price(Unit::AudioMinute, "0.006", 0), request.clone()];
        assert_eq!(cost(&usage, &time).known(), Some(NanoUsd(6_000_000 + 1_000_000)));
        assert_eq!(cost(&usage, &[request]).known(), Some(NanoUsd(1_000_000)), "by requests alone");
        assert_eq!(cost(&usage, &[]), Cost::Unpriced);
    }

    #[test]
    fn the_parts_of_a_session_cost_what_the_whole_does() {
        let slices: [&[u64]; 4] = [&[1_000; 7], &[59_999, 1, 1], &[61_000, 59_000, 500], &[6_000, 0, 6_000]];
        for (minimum_ms, rounding_ms) in [(0, 0), (0, 60_000), (90_000, 0), (10_000, 7_000), (0, 1_000)] {
            let minute = Price { minimum_ms, rounding_ms, ..price(Unit::AudioMinute, "0.06", 0) };
            let prices = [minute, price(Unit::Request, "0.25", 0)];
            for slices in slices {
                let (mut before, mut parts) = (Before::default(), 0);
                for audio_in_ms in slices.iter().copied().filter(|ms| *ms > 0) {
                    let part = Usage { audio_in_ms, ..Usage::default() };
                    parts += cost_after(before, &part, &prices).known().unwrap().0;
                    before = Before { audio_in_ms: before.audio_in_ms + audio_in_ms, request: true };
                }
                let whole = Usage { audio_in_ms: slices.iter().sum(), ..Usage::default() };
                assert_eq!(
                    cost(&whole, &prices).known(),
                    Some(NanoUsd(parts)),
                    "{minimum_ms}, {rounding_ms}: {slices:?}"
                );
            }
        }
    }

    #[test]
    fn rounding_steps_bill_whole_steps() {
        let mut by_second = price(Unit::AudioMinute, "0.006", 0);
        by_second.rounding_ms = 1000;
        let usage = Usage { audio_in_ms: 8_470, ..Usage::default() };
        assert_eq!(cost(&usage, &[by_second]).known(), Some(NanoUsd(900_000)));
    }
}
