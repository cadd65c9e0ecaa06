//! Alert rules, channels, alerts and messages.

pub(crate) mod channels;
pub(crate) mod deliveries;
pub(crate) mod events;
pub(crate) mod rules;
