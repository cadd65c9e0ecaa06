//! One newtype per id, so that a key's id can never be passed where a tenant's is wanted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

uuid_id! {
    /// An organisation.
    TenantId,
    /// A virtual key (its row, never its secret).
    VirtualKeyId,
    /// One row of the usage ledger.
    UsageRecordId,
    /// One row of the price list.
    PriceId,
    /// One realtime WebSocket, from accept to close.
    SessionId,
    /// One request, as `x-request-id` names it.
    RequestId,
    /// A configured account at a provider.
    ProviderId,
    /// One credential of a provider.
    CredentialId,
}
