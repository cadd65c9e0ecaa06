//! Providers that do not speak OpenAI's dialect: one file each, as faithful to the wire as a test needs.

pub(super) mod deepgram;
pub(super) mod elevenlabs;
pub(super) mod google;
pub(super) mod ultravox;
