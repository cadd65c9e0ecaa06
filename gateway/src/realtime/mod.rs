//! Realtime sessions: refused before the upgrade where the fault is known by then, driven by one
//! loop afterwards.

mod account;
pub mod client;
pub mod clocks;
pub mod close;
mod convert;
mod cutter;
pub mod end;
pub mod fragments;
pub mod live;
pub mod open;
pub mod outgoing;
pub mod registry;
pub mod secrets;
pub mod session;
mod transcribers;
pub mod turns;
pub mod upstream;
mod vendor_wire;
