//! What the dialects promise, in one binary.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a helper of a test fails the test")]

mod agent_setup;
mod contract;
mod conversation;
mod conversation_property;
mod deepgram_agent;
mod eleven_agent;
mod gemini_agent;
mod golden;
mod golden_deepgram;
mod golden_elevenlabs;
mod golden_google;
mod live;
mod property;
mod real_agents;
mod realtime;
mod realtime_table;
mod scripted;
mod streams;
mod strict;
mod table;
mod talk;
mod ultravox_agent;
