//! How the targets of a route are ordered: one strategy, or several where each decides what the one before it
//! leaves open.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::error::UnknownName;
use crate::provider::named;

named! {
    /// How the targets of a route are ordered.
    Strategy, "strategy", {
        /// Lowest time to first byte first.
        Latency = "latency",
        /// Lowest expected cost of this request first.
        Cost = "cost",
        /// Highest configured quality first.
        Quality = "quality",
        /// Nearest region first.
        Geographic = "geographic",
        /// At random by weight.
        Weighted = "weighted",
        /// Lowest number first.
        Priority = "priority",
    }
}

/// As many as there are: none stands in a list twice.
const MOST: usize = Strategy::ALL.len();

/// One to six strategies: the first decides, and what it leaves about equal the next one does.
///
/// In texts they stand with commas between them (`geographic,cost`), which is what tables keep. In JSON and YAML
/// one alone is a text and several are a list; the text with commas is read there as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Strategies {
    /// Behind `length` the first one is repeated, so that equal lists are equal arrays.
    list: [Strategy; MOST],
    length: usize,
}

/// Why a list of strategies is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategiesError {
    /// A name is none of a strategy.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// It names none.
    #[error("at least one strategy is needed")]
    Empty,
    /// A second time the same can decide nothing.
    #[error("the strategy `{0}` is named twice")]
    Twice(Strategy),
    /// A draw leaves nothing open.
    #[error("nothing can stand behind `weighted`, which leaves no two targets equal")]
    BehindWeighted,
}

impl Strategies {
    /// One strategy alone.
    #[must_use]
    pub const fn only(strategy: Strategy) -> Self {
        Self { list: [strategy; MOST], length: 1 }
    }

    /// Several, the one that decides first in front.
    ///
    /// # Errors
    /// There is none, one stands there twice, or one stands behind `weighted`.
    pub fn new(strategies: impl IntoIterator<Item = Strategy>) -> Result<Self, StrategiesError> {
        let mut strategies = strategies.into_iter();
        let mut all = Self::only(strategies.next().ok_or(StrategiesError::Empty)?);
        for strategy in strategies {
            all.push(strategy)?;
        }
        Ok(all)
    }

    fn push(&mut self, strategy: Strategy) -> Result<(), StrategiesError> {
        if self.contains(strategy) {
            return Err(StrategiesError::Twice(strategy));
        }
        if self.contains(Strategy::Weighted) {
            return Err(StrategiesError::BehindWeighted);
        }
        // Each of them is there at most once, so there is room.
        if let Some(place) = self.list.get_mut(self.length) {
            *place = strategy;
            self.length += 1;
        }
        Ok(())
    }

    /// The strategies, the one that decides first in front.
    #[must_use]
    pub fn as_slice(&self) -> &[Strategy] {
        self.list.get(..self.length).unwrap_or_default()
    }

    /// Whether one of them is this.
    #[must_use]
    pub fn contains(&self, strategy: Strategy) -> bool {
        self.as_slice().contains(&strategy)
    }
}

impl From<Strategy> for Strategies {
    fn from(strategy: Strategy) -> Self {
        Self::only(strategy)
    }
}

impl Default for Strategies {
    /// `priority`, which without priorities is the configured order.
    fn default() -> Self {
        Self::only(Strategy::Priority)
    }
}

impl fmt::Debug for Strategies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl fmt::Display for Strategies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, strategy) in self.as_slice().iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{strategy}")?;
        }
        Ok(())
    }
}

impl FromStr for Strategies {
    type Err = StrategiesError;

    fn from_str(text: &str) -> Result<Self, StrategiesError> {
        let mut names = text.split(',').map(|name| name.trim().parse::<Strategy>());
        let mut all = Self::only(names.next().ok_or(StrategiesError::Empty)??);
        for strategy in names {
            all.push(strategy?)?;
        }
        Ok(all)
    }
}

impl Serialize for Strategies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_slice() {
            [only] => only.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Strategies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// Reads a text or a list.
struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Strategies;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a strategy or a list of strategies")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Strategies, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Strategies, A::Error> {
        let first = names.next_element::<Strategy>()?;
        let mut all = Strategies::only(first.ok_or(StrategiesError::Empty).map_err(A::Error::custom)?);
        while let Some(strategy) = names.next_element::<Strategy>()? {
            all.push(strategy).map_err(A::Error::custom)?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_from_texts_and_lists_and_written_as_it_was() {
        let both = Strategies::new([Strategy::Geographic, Strategy::Cost]).unwrap();
        for (json, strategies, text) in [
            (r#""latency""#, Strategies::only(Strategy::Latency), "latency"),
            (r#"["latency"]"#, Strategies::only(Strategy::Latency), "latency"),
            (r#"["geographic","cost"]"#, both, "geographic,cost"),
            (r#""geographic, cost""#, both, "geographic,cost"),
        ] {
            let read: Strategies = serde_json::from_str(json).unwrap();
            assert_eq!((read, read.to_string().as_str()), (strategies, text));
            assert_eq!(text.parse(), Ok(strategies));
            let written = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<Strategies>(&written).unwrap(), strategies, "{written}");
        }
        assert_eq!(serde_json::to_string(&both).unwrap(), r#"["geographic","cost"]"#);
        assert_eq!(serde_json::to_string(&Strategies::only(Strategy::Cost)).unwrap(), r#""cost""#);
        let all = Strategies::new([5, 0, 1, 2, 3, 4].map(|place| Strategy::ALL[place])).unwrap();
        assert_eq!(all.to_string(), "priority,latency,cost,quality,geographic,weighted");
    }

    #[test]
    fn a_list_that_means_nothing_is_refused() {
        for (text, problem) in [
            ("", "unknown strategy ``"),
            ("fastest", "unknown strategy `fastest`"),
            ("cost,", "unknown strategy ``"),
            ("cost,latency,cost", "the strategy `cost` is named twice"),
            ("weighted,cost", "nothing can stand behind `weighted`, which leaves no two targets equal"),
        ] {
            assert_eq!(text.parse::<Strategies>().unwrap_err().to_string(), problem);
        }
        for json in ["[]", r#"["cost","cost"]"#, "7", r#"{"cost":1}"#, "null"] {
            assert!(serde_json::from_str::<Strategies>(json).is_err(), "{json}");
        }
    }
}
