//! Money: `rust_decimal` while it is computed, integer nano-dollars once it is stored.
#![deny(clippy::float_arithmetic)]

use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};

/// A billionth of a US dollar. Holds up to 9.2 billion dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Rounds an exact amount once, half away from zero; saturates at the ends of the range.
    #[must_use]
    pub fn from_usd(usd: Decimal) -> Self {
        let nano = usd
            .checked_mul(Decimal::from(1_000_000_000_i64))
            .map(|nano| nano.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero));
        Self(nano.and_then(|nano| nano.to_i64()).unwrap_or(if usd.is_sign_negative() { i64::MIN } else { i64::MAX }))
    }

    /// The amount in dollars, exactly.
    #[must_use]
    pub fn to_usd(self) -> Decimal {
        Decimal::new(self.0, 9)
    }

    /// Sum, held at the ends of the range.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_usd().normalize().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_once_and_shows_exactly() {
        assert_eq!(NanoUsd::from_usd("0.0000000015".parse().unwrap()), NanoUsd(2));
        assert_eq!(NanoUsd(1_500_000).to_string(), "0.0015");
        assert_eq!(NanoUsd::from_usd(Decimal::MAX), NanoUsd(i64::MAX));
    }
}
