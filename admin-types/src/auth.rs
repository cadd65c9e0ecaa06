//! Signing in, and what a caller may do with their own account.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::role::Role;
use crate::users::User;
use crate::words::words;

/// Fewest characters of a password.
pub const MIN_PASSWORD: usize = 12;
/// Most characters of a password.
pub const MAX_PASSWORD: usize = 200;

/// Who signs in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// E-mail address, in any case.
    #[schema(max_length = 254)]
    pub email: String,
    /// Password.
    #[schema(max_length = 200, format = Password)]
    pub password: String,
}

/// What goes into `Authorization: Bearer …` from now on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessToken {
    /// The token; it is void at once when the user signs out.
    pub access_token: String,
    /// Always `Bearer`.
    #[schema(pattern = "^Bearer$")]
    pub token_type: String,
    /// Seconds until the next one must be fetched.
    pub expires_in: u64,
}

/// A new password in place of the old one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The password that is in force.
    #[schema(max_length = 200, format = Password)]
    pub old_password: String,
    /// The one that shall be: 12 to 200 characters.
    #[schema(min_length = 12, max_length = 200, format = Password)]
    pub new_password: String,
}

/// What a one-time link is exchanged for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptLink {
    /// What stands behind `#token=` in the link.
    #[schema(max_length = 200)]
    pub token: String,
    /// The password that shall be: 12 to 200 characters.
    #[schema(min_length = 12, max_length = 200, format = Password)]
    pub password: String,
}

/// The caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// Who they are.
    pub user: User,
    /// What they may do with the token they use: their role, or less.
    pub role: Role,
    /// The tenant they are bound to with that token; absent where they see all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<Uuid>,
    /// The sign-in that the token belongs to, as in `/api/v1/auth/sessions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Uuid>,
    /// The personal access token, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<Uuid>,
}

/// A browser or program where the caller is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignIn {
    /// Its id.
    pub id: Uuid,
    /// Where it was last seen.
    pub address: String,
    /// As the browser calls itself.
    pub user_agent: Option<String>,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it was last refreshed.
    #[serde(with = "time::serde::rfc3339")]
    pub refreshed_at: OffsetDateTime,
    /// When it ends unless it is refreshed.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// Whether it is the one that asks.
    pub current: bool,
}

words! {
    /// Orders of a list of sign-ins.
    #[derive(Default)]
    SignInSort {
        /// Newest first.
        #[default]
        StartedAtDescending = "-started_at",
        /// Oldest first.
        StartedAt = "started_at",
    }
}

/// Which sign-ins are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListSignIns {
    /// Only those whose address or program contains this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// `-started_at` (as told nothing) or `started_at`; `-` is descending.
    #[param(inline)]
    pub sort: Option<SignInSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

/// What comes back from an identity provider.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OidcCallback {
    /// What is exchanged for the user's identity.
    #[param(max_length = 4000)]
    pub code: Option<String>,
    /// What was sent along.
    #[param(max_length = 200)]
    pub state: Option<String>,
    /// Why the provider refuses.
    #[param(max_length = 200)]
    pub error: Option<String>,
}

macro_rules! hidden {
    ($($type:ident),+) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "(…)"))
            }
        }
    )+};
}
hidden!(Login, AccessToken, ChangePassword, AcceptLink, OidcCallback);
