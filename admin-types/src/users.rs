//! Users: people who manage Antiphon, all of it or one tenant's part.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::role::Role;

use crate::words::words;

/// Somebody who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Their id.
    pub id: Uuid,
    /// Their e-mail address, in lower case; unique.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whose they are; null for platform administrators.
    pub tenant_id: Option<Uuid>,
    /// Since then they cannot sign in, and their tokens are refused.
    #[serde(with = "time::serde::rfc3339::option")]
    pub disabled_at: Option<OffsetDateTime>,
    /// Whether a password is set; an invitation that waits has set none.
    pub has_password: bool,
    /// Whether an identity provider vouches for them.
    pub single_sign_on: bool,
    /// When they last signed in.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_login_at: Option<OffsetDateTime>,
    /// When they were made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When they were last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Somebody to be invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// Their e-mail address, kept in lower case.
    #[schema(min_length = 3, max_length = 254, pattern = "^[A-Za-z0-9._%+'-]+@[A-Za-z0-9][A-Za-z0-9.-]*$")]
    pub email: String,
    /// What people call them; the e-mail address unless told.
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Whose they are: the caller's tenant unless told. A platform administrator is of none, everybody else
    /// of one.
    pub tenant_id: Option<Uuid>,
}

/// What changes of a user; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUser {
    /// What people call them.
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// What they may do. Whoever becomes a platform administrator leaves their tenant.
    pub role: Option<Role>,
    /// Whose they are.
    pub tenant_id: Option<Uuid>,
    /// Whether they are kept from signing in.
    pub disabled: Option<bool>,
}

/// A link that works once. It is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OneTimeLink {
    /// Where the password is set in a browser.
    pub url: String,
    /// The same for a program: `POST /api/v1/auth/accept`.
    pub token: String,
    /// After this it is refused.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

impl std::fmt::Debug for OneTimeLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OneTimeLink").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// A user who was invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitedUser {
    /// Who.
    #[serde(flatten)]
    pub user: User,
    /// Hand it to them: with it they set their password.
    pub invitation: OneTimeLink,
}

/// Which users are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListUsers {
    /// Only e-mail addresses and names that contain this.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Only those of this role.
    #[param(inline)]
    pub role: Option<Role>,
    /// Only those of this tenant.
    pub tenant_id: Option<Uuid>,
    /// Only those kept from signing in, or only others.
    pub disabled: Option<bool>,
    /// `created_at` (as told nothing), `-created_at`, `email` or `-email`; `-` is descending.
    #[param(inline)]
    pub sort: Option<UserSort>,
    /// Entries of a page; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(max_length = 1000)]
    pub cursor: Option<String>,
}

words! {
    /// Orders of a list of users.
    #[derive(Default)]
    UserSort {
        /// Oldest first.
        #[default]
        CreatedAt = "created_at",
        /// Newest first.
        CreatedAtDescending = "-created_at",
        /// By e-mail address.
        Email = "email",
        /// By e-mail address, backwards.
        EmailDescending = "-email",
    }
}
