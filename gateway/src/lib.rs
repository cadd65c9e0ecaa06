//! The data plane: sockets, clocks, admission, forwarding, metering.

pub mod ledger;
pub mod limits;
pub mod repositories;
pub mod snapshot;
