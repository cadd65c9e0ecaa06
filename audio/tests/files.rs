//! Real files of every container: what they are and how long they last.
#![expect(clippy::unwrap_used, reason = "a missing fixture should fail the test at its place")]

use std::fs::File;
use std::io::Cursor;
use std::path::PathBuf;

use audio::{AudioError, Container, decode_to_pcm16_mono, measure, probe};
use domain::audio::SampleRate;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name].iter().collect()
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

#[test]
fn every_container_is_recognised() {
    let kinds = [
        ("tone.mp3", Container::Mp3),
        ("tone-cbr.mp3", Container::Mp3),
        ("tone.flac", Container::Flac),
        ("tone.ogg", Container::Ogg),
        ("tone.opus", Container::Ogg),
        ("tone.m4a", Container::Mp4),
        ("tone.webm", Container::WebM),
        ("tone.aac", Container::Aac),
    ];
    for (name, kind) in kinds {
        let file = bytes(name);
        let found = probe(&file, Some(file.len() as u64)).unwrap();
        assert_eq!(found.container, kind, "{name}");
        // An encoder's padding makes some files up to a tenth of a second longer.
        if let Some(ms) = found.duration_ms {
            assert!((2_500..=2_640).contains(&ms), "{name}: {ms}");
        }
    }
}

#[test]
fn whole_files_are_measured() {
    for name in ["tone.mp3", "tone-cbr.mp3", "tone.flac", "tone.ogg", "tone.opus", "tone.m4a", "tone.webm", "tone.aac"]
    {
        let ms = measure(File::open(fixture(name)).unwrap());
        assert!(ms.is_some_and(|ms| (2_490..=2_640).contains(&ms)), "{name}: {ms:?}");
    }
    assert_eq!(measure(Cursor::new(b"this is no audio".to_vec())), None);
}

#[test]
fn files_are_decoded_to_the_rate_asked_for() {
    for name in ["tone.mp3", "tone.flac", "tone.ogg", "tone.m4a"] {
        let file = File::open(fixture(name)).unwrap();
        let samples = decode_to_pcm16_mono(file, SampleRate(24_000), 10_000).unwrap();
        let ms = samples.len() / 24;
        assert!((2_490..=2_640).contains(&ms), "{name}: {ms}");
        let crossings = samples.windows(2).filter(|w| (w.first() < Some(&0)) != (w.last() < Some(&0))).count();
        assert!((2_150..=2_300).contains(&crossings), "{name}: {crossings} of a 440 Hz tone");
    }
}

#[test]
fn what_cannot_be_decoded_says_why() {
    let open = |name: &str| File::open(fixture(name)).unwrap();
    let opus = decode_to_pcm16_mono(open("tone.opus"), SampleRate(16_000), 10_000).unwrap_err();
    assert!(matches!(opus, AudioError::Unsupported(_)), "{opus}");
    let long = decode_to_pcm16_mono(open("tone.flac"), SampleRate(16_000), 1_000).unwrap_err();
    assert!(matches!(long, AudioError::TooLong { max_ms: 1_000 }), "{long}");
    let text = Cursor::new(b"this is no audio".to_vec());
    let text = decode_to_pcm16_mono(text, SampleRate(16_000), 1_000).unwrap_err();
    assert!(matches!(text, AudioError::NotAudio), "{text}");
}
