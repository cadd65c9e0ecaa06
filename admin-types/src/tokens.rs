//! Personal access tokens: how programs sign in.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::role::Role;

use crate::words::words;

/// A personal access token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// What people call it.
    pub name: String,
    /// `pat-ap-…` and the last four characters.
    pub redacted: String,
    /// At most this, and never more than its user may.
    pub role: Role,
    /// Bound to this tenant; null where it sees all.
    pub tenant_id: Option<Uuid>,
    /// After this it is refused.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// When it was last used, to the minute.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A token to be made for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What people call it.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// At most this; the caller's own role unless told.
    pub role: Option<Role>,
    /// Bound to this tenant; the caller's own unless told. One that is not a platform administrator's is
    /// always bound to one.
    pub tenant_id: Option<Uuid>,
    /// After this it is refused; never unless told.
    #[serde(default, with = "crate::moment::option")]
    pub expires_at: Option<OffsetDateTime>,
}

/// A token that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// What it is.
    #[serde(flatten)]
    pub about: Token,
    /// The token itself. It is shown this once.
    pub token: String,
}

impl std::fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedToken").field("about", &self.about).finish_non_exhaustive()
    }
}

/// Which tokens are listed: the caller's own, and those of everybody whom an administrator manages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListTokens {
    /// Only names that contain this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Only this user's.
    pub user_id: Option<Uuid>,
    /// `created_at` (as told nothing), `-created_at`, `name` or `-name`; `-` is descending.
    #[param(inline)]
    pub sort: Option<TokenSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

words! {
    /// Orders of a list of tokens.
    #[derive(Default)]
    TokenSort {
        /// Oldest first.
        #[default]
        CreatedAt = "created_at",
        /// Newest first.
        CreatedAtDescending = "-created_at",
        /// By name.
        Name = "name",
        /// By name, backwards.
        NameDescending = "-name",
    }
}
