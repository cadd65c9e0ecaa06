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
