//! Every provider's wire language, as pure functions and small state machines.
//!
//! No sockets, no clock, no randomness: bytes in, bytes out. A provider is one folder here and one
//! row in [`registry::PROVIDERS`].

pub mod address;
pub mod azure;
pub mod contract;
pub mod conversation;
pub mod deepgram;
pub mod elevenlabs;
pub mod error;
pub mod google;
pub mod groq;
pub mod live;
pub mod local;
pub mod multipart;
pub mod openai;
pub mod openai_compatible;
pub mod probes;
pub mod registry;
mod rows;
pub mod segments;
mod sessions;
pub mod split;
pub mod sse;
pub mod surface;
pub mod translation;
pub mod ultravox;
