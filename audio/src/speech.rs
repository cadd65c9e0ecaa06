//! Speech on its way: the samples that a provider sends, as the `wav` or `pcm` that a client asked
//! for. Pieces of any size go in, and come out as they can.

use domain::audio::{PCM_24K, SampleRate, SpeechFormat};

use crate::decode::AudioError;
use crate::encode::{pcm16_bytes, wav_header};
use crate::g711::{alaw_to_pcm16, ulaw_to_pcm16};
use crate::resample::Resampler;

/// Bytes of a WAVE file before its samples; a longer head is no speech.
const MAX_HEAD: usize = 64 * 1024;

/// Samples as they come from a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechSource {
    /// Signed 16-bit little-endian mono without a header.
    Pcm(SampleRate),
    /// RIFF WAVE with 16-bit, µ-law or A-law samples. Its sizes are not believed: streams lie there.
    Wav,
}

/// Turns a provider's samples into 16-bit mono at 24 kHz, with or without the header of a WAVE file.
#[derive(Debug)]
pub struct SpeechConverter {
    source: SpeechSource,
    stage: Stage,
    resampler: Option<(SampleRate, Resampler)>,
    /// A header is still to be written.
    headless: bool,
}

/// How far the current part of the source is.
#[derive(Debug)]
enum Stage {
    /// The bytes of a head that is not here whole.
    Head(Vec<u8>),
    /// Samples, and the bytes of a frame that is not here whole.
    Samples(Layout, Vec<u8>),
    /// What follows the samples, such as a list of tags.
    Behind,
}

#[derive(Debug, Clone, Copy)]
struct Layout {
    codec: Codec,
    rate: SampleRate,
    channels: usize,
    /// Bytes of samples that are left, where the head tells a size that can be true.
    left: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Pcm16,
    Ulaw,
    Alaw,
}

impl SpeechConverter {
    /// From a provider's samples to `target`, which is `wav` or `pcm`.
    ///
    /// # Errors
    /// [`AudioError::Unsupported`] for any other target, or a rate that nothing has.
    pub fn new(source: SpeechSource, target: SpeechFormat) -> Result<Self, AudioError> {
        if !matches!(target, SpeechFormat::Wav | SpeechFormat::Pcm) {
            return Err(AudioError::Unsupported(format!("speech as {target}")));
        }
        let headless = target == SpeechFormat::Wav;
        let mut converter = Self { source, stage: Stage::Behind, resampler: None, headless };
        converter.begin();
        if let SpeechSource::Pcm(rate) = source {
            converter.tune(rate, &mut Vec::new())?;
        }
        Ok(converter)
    }

    /// Takes the next bytes, and appends what is ready to `out`.
    ///
    /// # Errors
    /// The bytes are no WAVE file, or hold samples of another kind.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), AudioError> {
        match &mut self.stage {
            Stage::Behind => Ok(()),
            Stage::Samples(..) => self.samples(bytes, out),
            Stage::Head(head) => {
                head.extend_from_slice(bytes);
                let Some((layout, at)) = read_head(head)? else { return Ok(()) };
                let rest = head.split_off(at);
                self.stage = Stage::Samples(layout, Vec::new());
                self.tune(layout.rate, out)?;
                self.samples(&rest, out)
            }
        }
    }

    /// The provider's answer has ended and another follows: its samples are joined to these.
    ///
    /// # Errors
    /// The answer ended within its head.
    pub fn next_part(&mut self) -> Result<(), AudioError> {
        if matches!(self.stage, Stage::Head(_)) {
            return Err(AudioError::Broken("the file ends before its samples".to_owned()));
        }
        self.begin();
        Ok(())
    }

    /// Everything has come: appends what is left.
    ///
    /// # Errors
    /// As [`Self::next_part`]'s.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AudioError> {
        self.next_part()?;
        self.write_header(out);
        match self.resampler.take() {
            Some((_, resampler)) => {
                out.extend_from_slice(&pcm16_bytes(&resampler.finish()?));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn begin(&mut self) {
        self.stage = match self.source {
            SpeechSource::Pcm(rate) => {
                Stage::Samples(Layout { codec: Codec::Pcm16, rate, channels: 1, left: None }, Vec::new())
            }
            SpeechSource::Wav => Stage::Head(Vec::new()),
        };
    }

    /// Parts of one rate share a converter, so that nothing clicks where they meet.
    fn tune(&mut self, rate: SampleRate, out: &mut Vec<u8>) -> Result<(), AudioError> {
        if self.resampler.as_ref().is_some_and(|(current, _)| *current == rate) {
            return Ok(());
        }
        let fresh = (rate, Resampler::new(rate, PCM_24K)?);
        if let Some((_, old)) = self.resampler.replace(fresh) {
            out.extend_from_slice(&pcm16_bytes(&old.finish()?));
        }
        Ok(())
    }

    fn write_header(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.headless) {
            out.extend_from_slice(&wav_header(PCM_24K, None));
        }
    }

    fn samples(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), AudioError> {
        self.write_header(out);
        let Stage::Samples(layout, carry) = &mut self.stage else { return Ok(()) };
        let wanted =
            layout.left.map_or(bytes.len(), |left| bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let bytes = bytes.get(..wanted).unwrap_or(bytes);
        let ended = match &mut layout.left {
            Some(left) => {
                *left -= wanted as u64;
                *left == 0
            }
            None => false,
        };
        carry.extend_from_slice(bytes);
        let frame = layout.channels * if layout.codec == Codec::Pcm16 { 2 } else { 1 };
        let rest = carry.split_off(carry.len() - carry.len() % frame);
        let whole = std::mem::replace(carry, rest);
        let mono = mono(*layout, &whole);
        if ended {
            self.stage = Stage::Behind;
        }
        if let Some((_, resampler)) = &mut self.resampler {
            out.extend_from_slice(&pcm16_bytes(&resampler.push(&mono)?));
        }
        Ok(())
    }
}

/// The mean of the channels, frame by frame.
fn mono(layout: Layout, whole: &[u8]) -> Vec<i16> {
    let samples: Vec<i16> = match layout.codec {
        Codec::Pcm16 => whole.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect(),
        Codec::Ulaw => whole.iter().map(|byte| ulaw_to_pcm16(*byte)).collect(),
        Codec::Alaw => whole.iter().map(|byte| alaw_to_pcm16(*byte)).collect(),
    };
    if layout.channels == 1 {
        return samples;
    }
    let mean = |frame: &[i16]| {
        let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
        i16::try_from(sum / i32::try_from(frame.len()).unwrap_or(1).max(1)).unwrap_or_default()
    };
    samples.chunks(layout.channels).map(mean).collect()
}

/// What the head says and where the samples begin; `None` while it is not here whole.
fn read_head(head: &[u8]) -> Result<Option<(Layout, usize)>, AudioError> {
    if head.len() < 12 {
        return Ok(None);
    }
    if !(head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE")) {
        return Err(AudioError::NotAudio);
    }
    let u16_at = |at: usize| head.get(at..)?.first_chunk::<2>().map(|bytes| u16::from_le_bytes(*bytes));
    let u32_at = |at: usize| head.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
    let mut at = 12;
    let mut layout = None;
    while let (Some(kind), Some(size)) = (head.get(at..at + 4), u32_at(at + 4)) {
        let body = at + 8;
        if kind == b"data" {
            let mut layout: Layout = layout.ok_or(AudioError::NotAudio)?;
            // Streams write zero or the largest number.
            layout.left = (size != 0 && size < i32::MAX as u32).then_some(u64::from(size));
            return Ok(Some((layout, body)));
        }
        if kind == b"fmt " {
            let (Some(tag), Some(channels), Some(rate), Some(bits)) =
                (u16_at(body), u16_at(body + 2), u32_at(body + 4), u16_at(body + 14))
            else {
                break;
            };
            layout = Some(read_layout(tag, channels, rate, bits)?);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        at = body.saturating_add(size).saturating_add(size & 1);
        if at > MAX_HEAD {
            return Err(AudioError::Broken("the samples begin too late".to_owned()));
        }
    }
    if head.len() > MAX_HEAD { Err(AudioError::Broken("the head has no end".to_owned())) } else { Ok(None) }
}

fn read_layout(tag: u16, channels: u16, rate: u32, bits: u16) -> Result<Layout, AudioError> {
    let codec = match (tag, bits) {
        // The extensible form says in its tail what 16 bits a sample already tell.
        (1 | 0xFFFE, 16) => Codec::Pcm16,
        (7, 8) => Codec::Ulaw,
        (6, 8) => Codec::Alaw,
        _ => return Err(AudioError::Unsupported(format!("WAVE of kind {tag} with {bits} bits"))),
    };
    if channels == 0 || channels > 32 {
        return Err(AudioError::Unsupported(format!("{channels} channels")));
    }
    Ok(Layout { codec, rate: SampleRate(rate), channels: usize::from(channels), left: None })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode::pcm16_samples;

    fn converted(source: SpeechSource, target: SpeechFormat, parts: &[&[u8]], piece: usize) -> Vec<u8> {
        let mut converter = SpeechConverter::new(source, target).unwrap();
        let mut out = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                converter.next_part().unwrap();
            }
            for bytes in part.chunks(piece) {
                converter.feed(bytes, &mut out).unwrap();
            }
        }
        converter.finish(&mut out).unwrap();
        out
    }

    fn wav(rate: u32, len: Option<u32>, samples: &[i16]) -> Vec<u8> {
        [wav_header(SampleRate(rate), len).as_slice(), &pcm16_bytes(samples)].concat()
    }

    #[test]
    fn samples_of_the_right_rate_pass_exactly_whatever_the_pieces() {
        let samples: Vec<i16> = (0..5_000).map(|n| (n * 7 % 30_000) as i16).collect();
        let bytes = pcm16_bytes(&samples);
        for piece in [1, 3, 1_000, 100_000] {
            let pcm = SpeechSource::Pcm(PCM_24K);
            assert_eq!(converted(pcm, SpeechFormat::Pcm, &[&bytes], piece), bytes);
            let file = wav(24_000, None, &samples);
            assert_eq!(converted(pcm, SpeechFormat::Wav, &[&bytes], piece), file);
            assert_eq!(converted(SpeechSource::Wav, SpeechFormat::Pcm, &[&file], piece), bytes);
        }
    }

    #[test]
    fn files_are_joined_without_their_heads_and_tails() {
        let tagged = [wav(24_000, Some(4), &[1, 2]), b"LIST\x04\0\0\0INFO".to_vec()].concat();
        let streamed = wav(24_000, None, &[3, 4]);
        let joined = converted(SpeechSource::Wav, SpeechFormat::Wav, &[&tagged, &streamed], 5);
        assert_eq!(joined, wav(24_000, None, &[1, 2, 3, 4]));
    }

    #[test]
    fn other_rates_and_codecs_keep_their_length() {
        let file = wav(48_000, None, &vec![1_000; 48_000]);
        let pcm = converted(SpeechSource::Wav, SpeechFormat::Pcm, &[&file], 777);
        assert_eq!(pcm.len(), 48_000);
        let middle = pcm16_samples(&pcm)[12_000];
        assert!((i32::from(middle) - 1_000).abs() < 10, "{middle}");
        let mut law = wav_header(SampleRate(8_000), None);
        law[20] = 7;
        law[34] = 8;
        let law = [law.as_slice(), &[0xFF; 8_000]].concat();
        assert_eq!(converted(SpeechSource::Wav, SpeechFormat::Pcm, &[&law], 999).len(), 48_000);
    }

    #[test]
    fn what_is_no_wave_file_is_refused() {
        let feed = |bytes: &[u8]| {
            let mut converter = SpeechConverter::new(SpeechSource::Wav, SpeechFormat::Pcm).unwrap();
            converter.feed(bytes, &mut Vec::new()).and_then(|()| converter.finish(&mut Vec::new()))
        };
        assert!(feed(b"<!doctype html>").is_err());
        assert!(feed(b"RIFF").is_err(), "it ends within its head");
        assert!(SpeechConverter::new(SpeechSource::Wav, SpeechFormat::Mp3).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1_usize..50, riff: bool) {
            let mut bytes = bytes;
            if riff {
                bytes.splice(0..0, wav_header(SampleRate(8_000), None).into_iter().take(20));
            }
            let mut converter = SpeechConverter::new(SpeechSource::Wav, SpeechFormat::Wav).unwrap();
            let mut out = Vec::new();
            for part in bytes.chunks(piece) {
                if converter.feed(part, &mut out).is_err() {
                    return Ok(());
                }
            }
            drop(converter.finish(&mut out));
        }
    }
}
