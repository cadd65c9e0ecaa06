//! WAV: made around samples, and read while it comes.

/// Longest head that is waited for.
const LONGEST_HEAD: usize = 64 * 1024;

/// A WAV file around 16-bit samples of one channel.
pub(in crate::pages::playground) fn wav_file(pcm: &[u8], rate: u32) -> Vec<u8> {
    let length = u32::try_from(pcm.len()).unwrap_or(u32::MAX);
    let mut file = Vec::with_capacity(pcm.len() + 44);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&length.saturating_add(36).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(rate * 2).to_le_bytes());
    file.extend_from_slice(&2_u16.to_le_bytes());
    file.extend_from_slice(&16_u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(pcm);
    file
}

/// Takes the samples out of a WAV file that comes in pieces.
#[derive(Debug, Default)]
pub(in crate::pages::playground) struct WavReader {
    head: Vec<u8>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Samples {
        rate: u32,
    },
    /// No file of 16-bit samples of one channel.
    Other,
}

impl WavReader {
    /// Samples among these bytes.
    pub(in crate::pages::playground) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self.state {
            State::Samples { .. } => bytes.to_vec(),
            State::Other => Vec::new(),
            State::Head => {
                self.head.extend_from_slice(bytes);
                self.look()
            }
        }
    }

    /// Samples a second, once that is known.
    pub(in crate::pages::playground) fn rate(&self) -> Option<u32> {
        match self.state {
            State::Samples { rate } => Some(rate),
            State::Head | State::Other => None,
        }
    }

    fn look(&mut self) -> Vec<u8> {
        match head_of(&self.head) {
            Head::Short if self.head.len() < LONGEST_HEAD => Vec::new(),
            Head::Samples { rate, from } => {
                self.state = State::Samples { rate };
                std::mem::take(&mut self.head).split_off(from)
            }
            Head::Short | Head::Other => {
                self.state = State::Other;
                self.head = Vec::new();
                Vec::new()
            }
        }
    }
}

enum Head {
    Short,
    Samples { rate: u32, from: usize },
    Other,
}

fn head_of(file: &[u8]) -> Head {
    if file.len() < 12 {
        return Head::Short;
    }
    if !file.starts_with(b"RIFF") || file.get(8..12) != Some(b"WAVE".as_slice()) {
        return Head::Other;
    }
    let (mut at, mut rate) = (12, None);
    loop {
        let (Some(name), Some(size)) = (file.get(at..at + 4), u32_at(file, at + 4)) else { return Head::Short };
        let body = at + 8;
        match (name, rate) {
            (b"data", Some(rate)) => return Head::Samples { rate, from: body },
            (b"data", None) => return Head::Other,
            (b"fmt ", _) => {
                let (Some(kinds), Some(told)) = (u32_at(file, body), u32_at(file, body + 4)) else {
                    return Head::Short;
                };
                let Some(bits) = u32_at(file, body + 12) else { return Head::Short };
                // PCM and one channel; two bytes a sample and 16 bits.
                if kinds != 0x0001_0001 || bits != 0x0010_0002 {
                    return Head::Other;
                }
                rate = Some(told);
            }
            _ => {}
        }
        at = body.saturating_add(size as usize).saturating_add(size as usize % 2);
    }
}

fn u32_at(file: &[u8], at: usize) -> Option<u32> {
    file.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_however_the_file_is_cut() {
        let samples: Vec<u8> = (0..40).collect();
        let file = wav_file(&samples, 16_000);
        for size in 1..file.len() {
            let mut reader = WavReader::default();
            let read: Vec<u8> = file.chunks(size).flat_map(|piece| reader.push(piece)).collect();
            assert_eq!((read, reader.rate()), (samples.clone(), Some(16_000)), "{size}");
        }
    }

    #[test]
    fn what_cannot_be_played_so_is_left() {
        let mut stereo = wav_file(&[0; 8], 8_000);
        stereo[22] = 2;
        for file in [stereo, b"ID3 and no sound of this kind".to_vec()] {
            let mut reader = WavReader::default();
            assert!(reader.push(&file).is_empty());
            assert_eq!(reader.rate(), None);
        }
    }
}
