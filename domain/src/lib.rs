//! What Antiphon talks about: ids, keys, audio, requests, usage, money, routing, errors.
//!
//! This crate never knows a socket, a clock, a random number or a database: times, ids and bytes
//! are arguments. Every provider's language is translated from and to the types here.

pub mod audio;
pub mod error;
pub mod fair_queue;
pub mod ids;
pub mod key;
pub mod language;
pub mod limits;
pub mod money;
pub mod overload;
pub mod price_list;
pub mod pricing;
pub mod provider;
pub mod routing;
pub mod seal;
pub mod sheet;
pub mod speech;
pub mod transcription;
pub mod usage;
