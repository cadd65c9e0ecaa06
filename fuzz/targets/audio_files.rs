//! Uploaded files: what they are, how long they last, and speech on its way through.
#![no_main]

use audio::{SpeechConverter, SpeechSource, measure, probe};
use domain::audio::SpeechFormat;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Option<u64>, &[u8])| {
    let (piece, total, file) = input;
    let probed = probe(file, total);
    assert!(probed.is_none_or(|probed| !probed.exact || probed.duration_ms.is_some()));
    drop(measure(std::io::Cursor::new(file.to_vec())));
    let Ok(mut converter) = SpeechConverter::new(SpeechSource::Wav, SpeechFormat::Wav) else { return };
    let mut out = Vec::new();
    for part in file.chunks(usize::from(piece).max(1)) {
        if converter.feed(part, &mut out).is_err() {
            return;
        }
    }
    drop(converter.finish(&mut out));
});
