//! The data plane over real sockets, with a scripted upstream in process as its provider.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

mod accounts;
mod audio;
mod conversations;
mod cors;
mod drain;
mod errors;
mod failover;
mod faults;
mod forms;
mod hangups;
mod health;
mod hedges;
mod helpers;
mod idempotency;
mod listings;
mod live;
mod metrics;
mod overload;
mod probes;
mod races;
mod realtime;
mod realtime_beta;
mod realtime_bills;
mod realtime_by_hand;
mod realtime_ends;
mod realtime_frames;
mod realtime_parts;
mod realtime_policy;
mod reports;
mod retries;
mod tenants;
mod timeouts;
mod vendor_calls;
mod vendor_joins;
mod vendor_keys;
mod vendor_openai;
mod vendor_rest;
mod vendor_sockets;
mod wire;
