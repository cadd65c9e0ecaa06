//! Samples into bytes: the header of a WAVE file and little-endian PCM.

use domain::audio::SampleRate;

/// The header of a RIFF WAVE file of signed 16-bit mono samples. `data_len` is the length of the
/// samples in bytes; `None` writes the sizes of a stream whose end is not known (0xFFFFFFFF).
#[must_use]
pub fn wav_header(rate: SampleRate, data_len: Option<u32>) -> [u8; 44] {
    let data = data_len.unwrap_or(u32::MAX);
    let mut header = [0; 44];
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &data.saturating_add(36).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(), // PCM
        &1_u16.to_le_bytes(), // one channel
        &rate.0.to_le_bytes(),
        &rate.0.saturating_mul(2).to_le_bytes(), // bytes per second
        &2_u16.to_le_bytes(),                    // bytes per frame
        &16_u16.to_le_bytes(),                   // bits per sample
        b"data",
        &data.to_le_bytes(),
    ];
    for (slot, byte) in header.iter_mut().zip(fields.into_iter().flatten()) {
        *slot = *byte;
    }
    header
}

/// Samples as signed 16-bit little-endian bytes.
#[must_use]
pub fn pcm16_bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Signed 16-bit little-endian bytes as samples; an odd byte at the end is dropped.
#[must_use]
pub fn pcm16_samples(bytes: &[u8]) -> Vec<i16> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streamed_header_claims_the_longest_length() {
        let header = wav_header(SampleRate(24_000), None);
        assert_eq!(&header[4..8], &[0xFF; 4]);
        assert_eq!(&header[40..44], &[0xFF; 4]);
        assert_eq!(&header[24..28], &24_000_u32.to_le_bytes());
    }

    #[test]
    fn a_known_length_is_written_in_both_places() {
        let header = wav_header(SampleRate(16_000), Some(100));
        assert_eq!(&header[4..8], &136_u32.to_le_bytes());
        assert_eq!(&header[36..40], b"data");
        assert_eq!(&header[40..44], &100_u32.to_le_bytes());
    }

    #[test]
    fn samples_survive_the_way_there_and_back() {
        let samples = [0, 1, -1, i16::MAX, i16::MIN];
        assert_eq!(pcm16_samples(&pcm16_bytes(&samples)), samples);
    }
}
