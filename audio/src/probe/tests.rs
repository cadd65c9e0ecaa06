//! Heads made by hand, whole files in `tests/fixtures`, and whatever proptest thinks of.

use domain::audio::SampleRate;
use proptest::prelude::*;

use super::*;
use crate::encode::wav_header;

/// A WAVE file of 16 kHz mono, with its length where that is known.
fn wave(duration_ms: Option<u64>) -> Option<Probe> {
    let (sample_rate, channels) = (Some(SampleRate(16_000)), Some(1));
    Some(Probe { sample_rate, channels, ..told(Container::Wav, duration_ms) })
}

#[test]
fn rate_and_channels_are_told_where_the_head_has_them() {
    let layout = |head: &[u8]| probe(head, None).map(|probe| (probe.sample_rate.map(|rate| rate.0), probe.channels));
    // 44,100 Hz and two channels of 16 bits, packed as STREAMINFO does.
    let flac = [b"fLaC\0\0\0\x22".as_slice(), &[0; 10], &[0x0A, 0xC4, 0x42, 0xF0, 0, 0, 0, 0]].concat();
    assert_eq!(layout(&flac), Some((Some(44_100), Some(2))));
    let page = |packet: &[u8]| [b"OggS".as_slice(), &[0; 24], packet].concat();
    let opus = page(b"OpusHead\x01\x02\x38\x01\x80\xBB\0\0\0\0\0");
    assert_eq!(layout(&opus), Some((Some(48_000), Some(2))));
    // Two frames of 16 kHz MPEG 2 layer III, of 144 bytes each.
    let mp3 = [b"\xFF\xF3\x48\xC4".as_slice(), &[0; 140]].concat().repeat(2);
    assert_eq!(layout(&mp3), Some((Some(16_000), None)));
    let vorbis = page(b"\x01vorbis\0\0\0\0\x01\x44\xAC\0\0");
    assert_eq!(layout(&vorbis), Some((Some(44_100), Some(1))));
}

#[test]
fn a_wave_lasts_as_long_as_its_bytes() {
    let head = wav_header(SampleRate(16_000), Some(32_000));
    assert_eq!(probe(&head, Some(32_044)), wave(Some(1000)));
}

#[test]
fn a_wave_that_claims_too_much_is_measured_by_its_bytes() {
    for claim in [None, Some(0), Some(4_000_000)] {
        let head = wav_header(SampleRate(16_000), claim);
        assert_eq!(probe(&head, Some(32_044)), wave(Some(1000)), "{claim:?}");
    }
}

#[test]
fn a_streamed_wave_of_unknown_size_has_no_length() {
    let head = wav_header(SampleRate(16_000), None);
    assert_eq!(probe(&head, None), wave(None));
}

#[test]
fn files_that_are_not_audio_are_told_apart() {
    let texts: [&[u8]; 6] = [
        b"PK\x03\x04\x14\x00\x00\x00\x08\x00",
        b"Hello, this is a text and not audio at all.",
        b"%PDF-1.7",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x24\x00\x00\x00AVI LIST",
        b"",
    ];
    for text in texts {
        assert_eq!(probe(text, Some(text.len() as u64)), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..600),
                             total in proptest::option::of(any::<u64>()), start in 0..8_usize) {
        let marks: [&[u8]; 8] = [
            b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC", b"OggS", b"\0\0\0\x08ftyp",
            b"\x1A\x45\xDF\xA3", b"ID3\x04\0\0", b"\xFF\xFB\x90\x64", b"",
        ];
        let file = [marks[start], &bytes].concat();
        let found = probe(&file, total);
        prop_assert!(found.is_none_or(|found| !found.exact || found.duration_ms.is_some()));
    }
}
