//! Moments that come in: RFC 3339, turned into UTC. The calendar's first and last hours of other zones have no
//! place in UTC and are refused.

use serde::de::Error;
use serde::{Deserializer, Serializer};
use time::{OffsetDateTime, UtcOffset};

/// Reads a moment.
///
/// # Errors
/// It is no moment, or UTC has no year for it.
pub fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<OffsetDateTime, D::Error> {
    utc(time::serde::rfc3339::deserialize(reader)?)
}

/// Writes a moment.
///
/// # Errors
/// It lies outside of what RFC 3339 can say.
pub fn serialize<S: Serializer>(moment: &OffsetDateTime, writer: S) -> Result<S::Ok, S::Error> {
    time::serde::rfc3339::serialize(moment, writer)
}

/// As the module, for a field that may be null or absent.
pub mod option {
    use super::{Deserializer, OffsetDateTime, Serializer, utc};

    /// Reads a moment, where there is one.
    ///
    /// # Errors
    /// It is no moment, or UTC has no year for it.
    pub fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<OffsetDateTime>, D::Error> {
        time::serde::rfc3339::option::deserialize(reader)?.map(utc).transpose()
    }

    /// Writes a moment, or null.
    ///
    /// # Errors
    /// It lies outside of what RFC 3339 can say.
    pub fn serialize<S: Serializer>(moment: &Option<OffsetDateTime>, writer: S) -> Result<S::Ok, S::Error> {
        time::serde::rfc3339::option::serialize(moment, writer)
    }
}

fn utc<E: Error>(moment: OffsetDateTime) -> Result<OffsetDateTime, E> {
    let utc = moment.checked_to_offset(UtcOffset::UTC).filter(|utc| (0..=9999).contains(&utc.year()));
    utc.ok_or_else(|| E::custom("is further away than can be told"))
}
