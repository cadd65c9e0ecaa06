//! Alerts: rules that watch, channels that tell, alerts that were raised, and messages that were sent.

mod channels;
mod events;
mod messages;
mod rules;

pub use channels::{
    AlertChannel, AlertChannelKind, AlertChannelTest, ChannelSettings, CreateAlertChannel, ListAlertChannels,
    UpdateAlertChannel,
};
pub use events::{Alert, AlertState, AlertUnit, ListAlerts};
pub use messages::{AlertDelivery, AlertMessage, DeliveryStatus, ListAlertDeliveries, MessageKind};
pub use rules::{
    AlertKind, AlertRule, Condition, CreateAlertRule, ListAlertRules, MuteAlertRule, Severity, UpdateAlertRule,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Orders of lists of rules and channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum AlertSort {
    /// Oldest first.
    #[default]
    #[serde(rename = "created_at")]
    CreatedAt,
    /// Newest first.
    #[serde(rename = "-created_at")]
    CreatedAtDescending,
    /// By name.
    #[serde(rename = "name")]
    Name,
    /// By name, backwards.
    #[serde(rename = "-name")]
    NameDescending,
}

/// Orders of lists of alerts and deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum AlertTimeSort {
    /// Newest first.
    #[default]
    #[serde(rename = "-created_at")]
    CreatedAtDescending,
    /// Oldest first.
    #[serde(rename = "created_at")]
    CreatedAt,
}

/// A closed list of words, as they stand in tables and on the wire.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:tt),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub enum $name {
            $($(#[$of])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// As it stands in tables and on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }

            /// What is called so; `None` where nothing is.
            #[must_use]
            pub fn named(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use words;
