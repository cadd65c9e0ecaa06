//! Realtime sessions: refused before the upgrade where the fault is known by then, driven by one
//! loop afterwards.

mod account;
pub mod client;
pub mod clocks;
pub mod close;
mod convert;
mod cutter;
pub(crate) mod dialling;
pub mod end;
pub mod fallback;
pub mod fragments;
pub mod live;
pub mod open;
pub mod outgoing;
pub mod recording;
pub mod registry;
pub mod replicated;
pub mod secrets;
pub mod session;
mod tab;
mod transcribers;
pub mod translated;
pub mod turns;
pub mod upstream;
pub(crate) mod vendor_wire;
pub(crate) mod ways;
