//! MPEG audio and ADTS: files that are rows of frames, perhaps after an ID3 tag.

use domain::audio::SampleRate;

use super::read::Head;
use super::{Container, Probe, told};

/// Kilobits per second of MPEG 1 and of MPEG 2 and 2.5, layers I to III (ISO/IEC 11172-3, 13818-3).
const RATES_1: [[u32; 15]; 3] = [
    [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
];
const RATES_2: [[u32; 15]; 3] = [
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// The header of one MPEG audio frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    layer: usize,
    kbps: u32,
    sample_rate: u32,
    samples: u32,
    size: usize,
    side_info: usize,
}

/// An MPEG audio or ADTS file, or `None` where no row of frames is found.
pub(super) fn mpeg(head: Head<'_>, total_bytes: Option<u64>) -> Option<Probe> {
    let tag = id3_len(head);
    let Some(start) = first_frame(head, tag) else {
        if is_adts(head, tag) {
            return Some(told(Container::Aac, None));
        }
        // A long ID3 tag, with a cover for instance, hides the frames; only MP3 has one.
        return (tag > 0 && tag >= head.0.len()).then(|| told(Container::Mp3, None));
    };
    let frame = Frame::read(head, start)?;
    let mp3 = |duration| Probe { sample_rate: Some(SampleRate(frame.sample_rate)), ..told(Container::Mp3, duration) };
    if let Some(frames) = counted_frames(head, start, frame) {
        let samples = u64::from(frames) * u64::from(frame.samples);
        let duration = samples * 1000 / u64::from(frame.sample_rate);
        return Some(mp3(Some(duration)));
    }
    // Constant bit rate: bits over kilobits per second are milliseconds.
    let estimate =
        total_bytes.map(|total| total.saturating_sub(start as u64).saturating_mul(8) / u64::from(frame.kbps));
    Some(Probe { exact: false, ..mp3(estimate) })
}

fn id3_len(head: Head<'_>) -> usize {
    let Some([b'I', b'D', b'3', _, _, flags, a, b, c, d]) = head.array::<10>(0) else { return 0 };
    let size = [a, b, c, d].iter().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7F));
    let footer = if flags & 0x10 == 0 { 0 } else { 10 };
    10 + size + footer
}

/// Encoders and cutters leave some bytes before the first frame; a text that merely contains a
/// sync word does not have a second frame where the first one ends.
fn first_frame(head: Head<'_>, from: usize) -> Option<usize> {
    (from..from.saturating_add(4096).min(head.0.len())).find(|at| {
        let Some(frame) = Frame::read(head, *at) else { return false };
        let next = at + frame.size;
        match Frame::read(head, next) {
            Some(second) => second.sample_rate == frame.sample_rate && second.layer == frame.layer,
            // A file of a single frame ends exactly where the frame does.
            None => *at == from && next == head.0.len(),
        }
    })
}

fn is_adts(head: Head<'_>, at: usize) -> bool {
    let frame = |at: usize| {
        let [first, second, _, b, c, d] = head.array::<6>(at)?;
        let size = usize::from(b & 3) << 11 | usize::from(c) << 3 | usize::from(d >> 5);
        (first == 0xFF && second & 0xF6 == 0xF0 && size > 7).then_some(size)
    };
    frame(at).is_some_and(|size| at + size == head.0.len() || frame(at + size).is_some())
}

/// The count of frames that a Xing, Info or VBRI header in the first frame tells.
fn counted_frames(head: Head<'_>, start: usize, frame: Frame) -> Option<u32> {
    let xing = start + 4 + frame.side_info;
    if head.at(xing, b"Xing") || head.at(xing, b"Info") {
        let flags = head.u32_be(xing + 4)?;
        return (flags & 1 == 1).then(|| head.u32_be(xing + 8)).flatten().filter(|n| *n > 0);
    }
    let vbri = start + 36;
    if head.at(vbri, b"VBRI") { head.u32_be(vbri + 14).filter(|n| *n > 0) } else { None }
}

impl Frame {
    fn read(head: Head<'_>, at: usize) -> Option<Self> {
        let [sync, kind, rates, mode] = head.array::<4>(at)?;
        if sync != 0xFF || kind & 0xE0 != 0xE0 {
            return None;
        }
        // 0 is MPEG 2.5, 2 is MPEG 2, 3 is MPEG 1; 1 is reserved, as is layer 0.
        let version = (kind >> 3) & 3;
        let layer = 4_usize.checked_sub(usize::from((kind >> 1) & 3)).filter(|n| *n < 4)?;
        if version == 1 {
            return None;
        }
        let table = if version == 3 { &RATES_1 } else { &RATES_2 };
        let kbps = *table.get(layer - 1)?.get(usize::from(rates >> 4))?;
        let base = *[44_100_u32, 48_000, 32_000].get(usize::from((rates >> 2) & 3))?;
        let sample_rate = match version {
            3 => base,
            2 => base / 2,
            _ => base / 4,
        };
        if kbps == 0 {
            return None;
        }
        let padding = u32::from((rates >> 1) & 1);
        let samples = match (layer, version) {
            (1, _) => 384,
            (3, 0 | 2) => 576,
            _ => 1152,
        };
        let size = if layer == 1 {
            (12_000 * kbps / sample_rate + padding) * 4
        } else {
            samples / 8 * 1000 * kbps / sample_rate + padding
        };
        let mono = mode >> 6 == 3;
        let side_info = match (version, mono) {
            (3, false) => 32,
            (3, true) | (_, false) => 17,
            (_, true) => 9,
        };
        Some(Self { layer, kbps, sample_rate, samples, size: size as usize, side_info })
    }
}
