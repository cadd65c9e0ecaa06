//! Conversations with voice agents that have a language of their own.
//!
//! A client holds a conversation in `OpenAI`'s words; what that means for events, ids and their order is
//! decided once, in the session. An agent's socket is spoken to by a small state machine
//! ([`agent::Agent`]), one per vendor, that knows nothing of `OpenAI`. Neither has a socket or a clock.

pub mod abilities;
pub mod agent;
pub mod setup;
