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

use crate::words::words;

words! {
    /// Orders of lists of rules and channels.
    #[derive(Default)]
    AlertSort {
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

words! {
    /// Orders of lists of alerts and deliveries.
    #[derive(Default)]
    AlertTimeSort {
        /// Newest first.
        #[default]
        CreatedAtDescending = "-created_at",
        /// Oldest first.
        CreatedAt = "created_at",
    }
}
