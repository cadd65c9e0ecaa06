//! Tells gateways that something has changed: in the same transaction as the change, so that neither is
//! seen without the other.

pub use changes::announce;
