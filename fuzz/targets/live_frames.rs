//! Live transcription: frames of a client and of a vendor, and time, in any order.
#![no_main]

use dialects::conversation::agent::Incoming;
use dialects::live::Converter;
use dialects::live::session::LiveSession;
use dialects::registry::PROVIDERS;
use dialects::translation::{Effect, Translation};
use domain::audio::RealtimeFormat;
use libfuzzer_sys::fuzz_target;

struct Same;

impl Converter for Same {
    fn convert(&mut self, audio: &[u8]) -> Result<Vec<u8>, String> {
        Ok(audio.to_vec())
    }

    fn flush(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }
}

fn same(_: RealtimeFormat, _: RealtimeFormat) -> Result<Box<dyn Converter>, String> {
    Ok(Box::new(Same))
}

const MODELS: [&str; 4] = ["nova-3", "flux-general-multi", "scribe_v2_realtime", "gemini-3.5-transcribe-live"];

fuzz_target!(|input: (u8, u8, Vec<(u8, u16, &str)>)| {
    let (vendor, model, frames) = input;
    let mut openers = PROVIDERS.iter().filter_map(|row| row.live).cycle();
    let (Some(opener), Some(model)) = (openers.nth(vendor.into()), MODELS.get(usize::from(model) % MODELS.len())) else {
        return;
    };
    let Ok(mut session) = LiveSession::new(opener, model, "f", same) else { return };
    let (mut effects, mut now) = (Vec::new(), 0);
    for (from, wait, frame) in frames {
        now += u64::from(wait);
        match from % 5 {
            0 => session.client(frame, now, &mut effects),
            1 => session.lost(wait, frame, now, &mut effects),
            2 => session.tick(now, &mut effects),
            _ => session.vendor(Incoming::Text(frame), now, &mut effects),
        }
        while session.busy() {
            session.work(now, &mut effects);
        }
        let opens = effects.iter().filter(|effect| matches!(effect, Effect::Open(_))).count();
        effects.clear();
        for _ in 0..opens {
            session.opened(now, &mut effects);
        }
    }
});
