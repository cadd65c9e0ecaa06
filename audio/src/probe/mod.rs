//! What a file is, from its first bytes: the container and, where the head tells it, the length.
//! Sizes in headers are claims; they are bounded by the bytes that are really there.

mod boxes;
mod frames;
mod read;
#[cfg(test)]
mod tests;

use domain::audio::SampleRate;
pub use domain::audio::{AudioFile, Container};

use self::read::Head;

/// Bytes of the head that are looked at.
pub const HEAD_BYTES: usize = 64 * 1024;

/// What the head told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The kind of file.
    pub container: Container,
    /// Length of the audio in milliseconds, rounded down, where the head tells it.
    pub duration_ms: Option<u64>,
    /// Whether the length is told by the file rather than estimated from its size.
    pub exact: bool,
    /// Samples per second, where the head tells it.
    pub sample_rate: Option<SampleRate>,
    /// Channels, where the head tells it.
    pub channels: Option<u16>,
}

impl Probe {
    /// What is known of the file, for those who are to send it on.
    #[must_use]
    pub fn file(&self) -> AudioFile {
        let Self { container, duration_ms, sample_rate, channels, .. } = *self;
        AudioFile { container, sample_rate, channels, duration_ms }
    }
}

/// Looks at up to the first 64 KiB of a file; `total_bytes` is its whole size where known.
/// `None` means that the bytes are not audio that any provider takes.
#[must_use]
pub fn probe(head: &[u8], total_bytes: Option<u64>) -> Option<Probe> {
    let head = Head(head.get(..HEAD_BYTES).unwrap_or(head));
    if head.starts(b"RIFF") && head.at(8, b"WAVE") {
        return wav(head, total_bytes);
    }
    if head.starts(b"fLaC") {
        return Some(flac(head));
    }
    if head.starts(b"OggS") {
        return Some(ogg(head));
    }
    if head.at(4, b"ftyp") {
        return Some(told(Container::Mp4, boxes::mp4_duration_ms(head)));
    }
    if head.starts(&[0x1A, 0x45, 0xDF, 0xA3]) {
        return Some(told(Container::WebM, boxes::webm_duration_ms(head)));
    }
    frames::mpeg(head, total_bytes)
}

fn told(container: Container, duration_ms: Option<u64>) -> Probe {
    Probe { container, duration_ms, exact: duration_ms.is_some(), sample_rate: None, channels: None }
}

/// The first packet of Ogg begins behind the page's 28 bytes; Opus and Vorbis tell channels and rate
/// in it.
fn ogg(head: Head<'_>) -> Probe {
    let (channels, rate) = if head.at(28, b"OpusHead") {
        (head.byte(37), head.u32_le(40))
    } else if head.at(28, b"\x01vorbis") {
        (head.byte(39), head.u32_le(40))
    } else {
        (None, None)
    };
    let sample_rate = rate.filter(|rate| *rate > 0).map(SampleRate);
    Probe { sample_rate, channels: channels.map(u16::from), ..told(Container::Ogg, None) }
}

/// Walks the chunks up to the samples. The length follows from the bytes after the `data` header
/// and the rate of bytes; a claimed size counts only where that many bytes can be there.
fn wav(head: Head<'_>, total_bytes: Option<u64>) -> Option<Probe> {
    let mut at = 12_usize;
    let mut layout = None;
    for _ in 0..64 {
        let Some(size) = head.u32_le(at + 4) else { break };
        let body = at + 8;
        if head.at(at, b"fmt ") {
            layout = Some(WavLayout::read(head, body)?);
        }
        if head.at(at, b"data") {
            let layout = layout?;
            let present = total_bytes.map(|total| total.saturating_sub(body as u64));
            let bytes = match present {
                Some(present) if u64::from(size) > present || size == 0 => present,
                None if size == u32::MAX || size == 0 => return Some(layout.probe(None, false)),
                _ => u64::from(size),
            };
            // A compressed format's rate of bytes is a claim as well.
            return Some(layout.probe(Some(layout.duration_ms(bytes)), total_bytes.is_some() && layout.plain));
        }
        at = body.checked_add(size as usize)?.checked_add(size as usize & 1)?;
    }
    // The samples begin beyond the head.
    layout.map(|layout| layout.probe(None, false))
}

/// How bytes become time in a WAVE file.
#[derive(Clone, Copy)]
struct WavLayout {
    bytes_per_second: u64,
    plain: bool,
    rate: u32,
    channels: u16,
}

impl WavLayout {
    fn read(head: Head<'_>, at: usize) -> Option<Self> {
        let tag = head.u16_le(at)?;
        let channels = head.u16_le(at + 2)?;
        let rate = head.u32_le(at + 4)?;
        let claimed = u64::from(head.u32_le(at + 8)?);
        let bits = u64::from(head.u16_le(at + 14)?);
        // PCM, float, A-law, µ-law and the extensible form of these: every frame has one size.
        let plain = matches!(tag, 1 | 3 | 6 | 7 | 0xFFFE);
        let counted = u64::from(rate) * u64::from(channels) * bits.div_ceil(8);
        let bytes_per_second = if plain { counted } else { claimed };
        (bytes_per_second > 0).then_some(Self { bytes_per_second, plain, rate, channels })
    }

    fn probe(self, duration_ms: Option<u64>, exact: bool) -> Probe {
        let (sample_rate, channels) = (Some(SampleRate(self.rate)), Some(self.channels));
        Probe { container: Container::Wav, duration_ms, exact, sample_rate, channels }
    }

    fn duration_ms(self, bytes: u64) -> u64 {
        bytes.saturating_mul(1000) / self.bytes_per_second
    }
}

/// STREAMINFO packs rate, channels, width and the count of samples into eight bytes; a count of zero
/// means that the encoder did not know it.
fn flac(head: Head<'_>) -> Probe {
    let Some(packed) = head.u64_be(18) else { return told(Container::Flac, None) };
    let (rate, samples) = (packed >> 44, packed & 0xF_FFFF_FFFF);
    let channels = ((packed >> 41) & 0b111) as u16 + 1;
    let duration_ms = (rate > 0 && samples > 0).then(|| samples * 1000 / rate);
    let sample_rate = u32::try_from(rate).ok().filter(|rate| *rate > 0).map(SampleRate);
    Probe { sample_rate, channels: Some(channels), ..told(Container::Flac, duration_ms) }
}
