//! What gateways share, against a real Redis.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic")]

mod helpers;
mod limits;
mod losses;
mod money;
mod outages;
mod random;
mod sessions;
