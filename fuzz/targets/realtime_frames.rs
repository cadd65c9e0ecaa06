//! Realtime sessions: frames of both sides in any order, and providers that take them over.
#![no_main]

use dialects::contract::RealtimeDialect;
use dialects::openai::realtime::{Passthrough, PassthroughConfig, Transcriber};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, Vec<(u8, &str)>)| {
    let (transcription, frames) = input;
    let mut session = Passthrough::new(PassthroughConfig {
        asked_model: "mine".to_owned(),
        wire_model: "theirs".to_owned(),
        transcription,
        own_transcripts: false,
        transcription_models: vec![Transcriber {
            asked: "heard".to_owned(),
            wire: "whisper-1".to_owned(),
            refused_unpriced: false,
        }],
    });
    let mut actions = Vec::new();
    for (from, frame) in frames {
        match from % 8 {
            0 => session.moved(frame, Vec::new()),
            1..4 => _ = session.client(frame, &mut actions),
            _ => _ = session.upstream(frame, &mut actions),
        }
        actions.clear();
    }
});
