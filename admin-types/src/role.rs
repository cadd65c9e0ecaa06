//! What a user may do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A role; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees its tenant.
    TenantViewer,
    /// Manages its tenant.
    TenantAdmin,
    /// Manages everything.
    PlatformAdmin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::TenantViewer, Self::TenantAdmin, Self::PlatformAdmin];

    /// As it stands in tables and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantViewer => "tenant_viewer",
            Self::TenantAdmin => "tenant_admin",
            Self::PlatformAdmin => "platform_admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

/// There is no such role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownRole;

impl std::fmt::Display for UnknownRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("roles are platform_admin, tenant_admin and tenant_viewer")
    }
}

impl std::error::Error for UnknownRole {}
