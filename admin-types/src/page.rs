//! Lists come in pages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Entries of a page where the caller says nothing.
pub const DEFAULT_LIMIT: u16 = 50;
/// Most entries of a page.
pub const MAX_LIMIT: u16 = 500;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub data: Vec<T>,
    /// Give it as `cursor` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The same page of other entries.
    #[must_use]
    pub fn map<U>(self, show: impl FnMut(T) -> U) -> Page<U> {
        Page { data: self.data.into_iter().map(show).collect(), next_cursor: self.next_cursor }
    }

    /// As [`Self::map`], where an entry may be one that cannot be shown.
    ///
    /// # Errors
    /// The first of `show`.
    pub fn try_map<U, E>(self, show: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let data = self.data.into_iter().map(show).collect::<Result<_, E>>()?;
        Ok(Page { data, next_cursor: self.next_cursor })
    }
}
