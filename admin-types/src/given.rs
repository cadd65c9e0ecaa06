//! Fields of a change that tell `null` from not being there: `null` takes a limit away, what is absent
//! stays as it is.

use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;

/// Reads a field that is there: `Some(None)` for `null`. Absent ones are `None` by `#[serde(default)]`.
///
/// # Errors
/// The value's.
pub fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(reader).map(Some)
}

/// As [`or_null`], for a moment in RFC 3339.
pub mod moment {
    use super::{Deserializer, OffsetDateTime};
    use serde::Serializer;

    /// Reads a field that is there.
    ///
    /// # Errors
    /// It is no moment.
    pub fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Option<OffsetDateTime>>, D::Error> {
        crate::moment::option::deserialize(reader).map(Some)
    }

    /// Writes a field; leave absent ones out by `skip_serializing_if`.
    ///
    /// # Errors
    /// It lies outside of what RFC 3339 can say.
    pub fn serialize<S: Serializer>(given: &Option<Option<OffsetDateTime>>, writer: S) -> Result<S::Ok, S::Error> {
        time::serde::rfc3339::option::serialize(&given.flatten(), writer)
    }
}
