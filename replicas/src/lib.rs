//! What several gateways have in common: how often keys call, what they hold and spend, which sessions are open, and
//! the news that something changed. It lies in Redis; every step is one script there, by the clock of Redis.
//!
//! The gateway asks once for each call ([`Replicas::admit`]) and never for a frame: what an admitted call does later
//! goes through [`Keeper`], which takes it without waiting and sends it in batches. Money is explained in [`money`].
//! Where Redis is away every call gives [`ReplicasError`] within its timeout, and the caller goes on by itself, for
//! instance with its part of each limit ([`LocalShare`]); whether it does is not decided here.

mod admission;
mod connection;
mod direct;
mod error;
mod keeper;
pub mod keys;
mod messages;
pub mod money;
mod script;
mod sessions;
mod settings;
mod share;

pub use admission::{
    Admission, Budget, Grant, KeyLimits, Lease, Limit, RateState, Refusal, Renewal, Reserved, Want, Window,
};
pub use connection::{Counts, Replicas};
pub use error::ReplicasError;
pub use keeper::{Held, Keeper};
pub use messages::{Messages, Termination};
pub use money::{Keeps, KeySums, Past, Reading, Record, Settled};
pub use sessions::LiveSession;
pub use settings::Settings;
pub use share::LocalShare;
