//! Realtime sessions: frames of both sides in any order.
#![no_main]

use dialects::contract::RealtimeDialect;
use dialects::openai::realtime::{Passthrough, PassthroughConfig, Transcriber};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, Vec<(bool, &str)>)| {
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
    for (from_client, frame) in frames {
        if from_client { session.client(frame, &mut actions) } else { session.upstream(frame, &mut actions) };
        actions.clear();
    }
});
