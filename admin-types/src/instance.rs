//! What everybody may know of an installation before signing in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The installation that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// Of the program.
    pub version: String,
    /// Where API clients reach the gateways, such as `https://voice.example.com`; null where it is not known.
    pub gateway_url: Option<String>,
    /// How people sign in.
    pub sign_in: SignInWays,
}

/// How people sign in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInWays {
    /// Whether an identity provider vouches for people, beside passwords.
    pub oidc: bool,
    /// What people call that provider; null where it has no name.
    pub oidc_name: Option<String>,
}
