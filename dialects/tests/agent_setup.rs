//! What a voice agent is set up with in the tests: what a session that asks for nothing gets.

use std::collections::BTreeMap;

use dialects::conversation::setup::{Medium, Setup, ToolChoice};
use dialects::live::settings::Turns;
use domain::audio::{PCM_24K, RealtimeFormat};

/// Turns that end with half a second of silence.
pub(crate) const BY_SILENCE: Turns =
    Turns::Silence { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 };

/// A setup of this model: speech in and out, turns that end with silence, and no wishes.
pub(crate) fn of(model: &str) -> Setup {
    Setup {
        model: model.to_owned(),
        options: BTreeMap::new(),
        instructions: String::new(),
        voice: None,
        speed: 1.0,
        temperature: None,
        max_output_tokens: None,
        output: Medium::Audio,
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        input_format: RealtimeFormat::Pcm16(PCM_24K),
        output_format: RealtimeFormat::Pcm16(PCM_24K),
        turns: Some(BY_SILENCE),
        create_response: true,
        interrupt_response: true,
        transcription: None,
        history: Vec::new(),
    }
}
