//! Audio formats, and the way from samples and bytes to time. Length is counted in samples or
//! milliseconds as integers; it becomes seconds once, where it is shown.

use serde::{Deserialize, Serialize};

use crate::provider::named;

named! {
    /// What `POST /v1/audio/speech` can answer with.
    SpeechFormat, "speech format", {
        /// MPEG layer 3.
        Mp3 = "mp3",
        /// Opus in Ogg.
        Opus = "opus",
        /// AAC in ADTS.
        Aac = "aac",
        /// FLAC.
        Flac = "flac",
        /// RIFF WAVE, signed 16-bit.
        Wav = "wav",
        /// Headerless signed 16-bit little-endian mono at 24 kHz.
        Pcm = "pcm",
    }
}

impl SpeechFormat {
    /// The content type of a body in this format.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Mp3 => "audio/mpeg",
            Self::Opus => "audio/opus",
            Self::Aac => "audio/aac",
            Self::Flac => "audio/flac",
            Self::Wav => "audio/wav",
            Self::Pcm => "audio/pcm",
        }
    }
}

named! {
    /// Kinds of files that providers take for transcription.
    Container, "audio container", {
        /// RIFF WAVE.
        Wav = "wav",
        /// MPEG audio, with or without ID3.
        Mp3 = "mp3",
        /// FLAC.
        Flac = "flac",
        /// Ogg with Vorbis, Opus or FLAC.
        Ogg = "ogg",
        /// MP4, M4A, `QuickTime`.
        Mp4 = "mp4",
        /// `WebM` and Matroska.
        WebM = "webm",
        /// AAC in ADTS frames.
        Aac = "aac",
    }
}

impl Container {
    /// The content type that says what the file is, whatever the client called it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Mp3 => "audio/mpeg",
            Self::Flac => "audio/flac",
            Self::Ogg => "audio/ogg",
            Self::Mp4 => "audio/mp4",
            Self::WebM => "audio/webm",
            Self::Aac => "audio/aac",
        }
    }
}

/// What the head of a file tells about the audio in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioFile {
    /// The kind of file.
    pub container: Container,
    /// Samples per second, where the head tells it.
    pub sample_rate: Option<SampleRate>,
    /// Channels, where the head tells it.
    pub channels: Option<u16>,
    /// Length in milliseconds, where it is known before the file is sent.
    pub duration_ms: Option<u64>,
}

/// Samples per second of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SampleRate(pub u32);

/// The rate of OpenAI's `pcm` and `audio/pcm`.
pub const PCM_24K: SampleRate = SampleRate(24_000);

/// Encodings of realtime audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RealtimeFormat {
    /// Signed 16-bit little-endian mono.
    #[serde(rename = "audio/pcm")]
    Pcm16(SampleRate),
    /// G.711 µ-law at 8 kHz.
    #[serde(rename = "audio/pcmu")]
    Pcmu,
    /// G.711 A-law at 8 kHz.
    #[serde(rename = "audio/pcma")]
    Pcma,
}

impl RealtimeFormat {
    /// Milliseconds in `bytes` bytes, rounded down.
    #[must_use]
    pub fn duration_ms(self, bytes: u64) -> u64 {
        match self {
            Self::Pcm16(rate) => bytes.saturating_mul(500) / u64::from(rate.0.max(1)),
            Self::Pcmu | Self::Pcma => bytes / 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_milliseconds() {
        assert_eq!(RealtimeFormat::Pcm16(PCM_24K).duration_ms(48_000), 1000);
        assert_eq!(RealtimeFormat::Pcmu.duration_ms(8_000), 1000);
    }
}
