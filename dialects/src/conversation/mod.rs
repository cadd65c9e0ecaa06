//! Conversations with voice agents that have a language of their own.
//!
//! A client holds a conversation in `OpenAI`'s words; what that means for events, ids and their order is
//! decided once, in the session. An agent's socket is spoken to by a small state machine
//! ([`agent::Agent`]), one per vendor, that knows nothing of `OpenAI`. Neither has a socket or a clock.
//!
//! [`session`] is the client's side; its rooms are `settings`, `fields` and `gate` (the configuration, how
//! it is read, and what is refused of it), `input` (audio and orders on their way to the agent), `hearing` (what the user says),
//! `items` and `create` (the conversation), `asked` and `respond` (what the client wants answered), `output`
//! and `speak` (what the agent answers), `usage` (what that used) and `link` (the agent's socket).

pub mod abilities;
pub mod agent;
mod asked;
mod client;
mod create;
mod fields;
mod gate;
mod hearing;
mod input;
mod items;
mod link;
mod output;
mod respond;
pub mod session;
mod settings;
pub mod setup;
mod speak;
mod tools;
mod usage;
mod writer;
