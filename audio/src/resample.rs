//! Mono samples from one rate to another, as a stream: state is carried from call to call, so
//! that chunks of any size join without clicks and the length comes out right.

use std::fmt;

use domain::audio::SampleRate;
use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::decode::AudioError;

/// Chunks in a second: 20 ms are handled at once, which is a frame of live audio. The filter is as long, so
/// shorter chunks would cut into speech at 8 kHz; it is heard 10 ms late.
const CHUNKS_PER_SECOND: u32 = 50;
/// The wide rates of live audio have chunks of half a frame, so that a frame there and its answer back are not
/// a whole frame late: a filter of 10 ms still passes 92 % of the band at 16 kHz, and more above.
const LIVE_CHUNKS_PER_SECOND: u32 = 100;
/// Rates beyond this are refused: no recording has them and the tables would be large.
const MAX_RATE: u32 = 384_000;

/// A streaming converter of mono 16-bit samples.
pub struct Resampler {
    inner: Option<Fft<f32>>,
    from: u64,
    to: u64,
    pending: Vec<f32>,
    /// Output frames still to be dropped: the delay of the filter.
    skip: usize,
    taken: u64,
    given: u64,
}

impl fmt::Debug for Resampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resampler").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl Resampler {
    /// A converter between two rates in samples per second; equal rates pass through.
    ///
    /// # Errors
    /// [`AudioError::Unsupported`] for a rate of zero or above 384 kHz.
    pub fn new(from: SampleRate, to: SampleRate) -> Result<Self, AudioError> {
        if [from, to].iter().any(|rate| rate.0 == 0 || rate.0 > MAX_RATE) {
            return Err(AudioError::Unsupported(format!("sample rates {} to {}", from.0, to.0)));
        }
        let inner = if from == to { None } else { Some(converter(from, to)?) };
        let skip = inner.as_ref().map_or(0, rubato::Resampler::output_delay);
        Ok(Self { inner, from: u64::from(from.0), to: u64::from(to.0), pending: Vec::new(), skip, taken: 0, given: 0 })
    }

    /// Takes samples and gives those that are ready.
    ///
    /// # Errors
    /// [`AudioError::Broken`] where the converter refuses; it does not for well-formed samples.
    pub fn push(&mut self, samples: &[i16]) -> Result<Vec<i16>, AudioError> {
        self.taken += samples.len() as u64;
        if self.inner.is_none() {
            self.given = self.taken;
            return Ok(samples.to_vec());
        }
        self.pending.extend(samples.iter().map(|sample| f32::from(*sample) / 32_768.0));
        let mut out = Vec::new();
        while self.step(&mut out)? {}
        Ok(out)
    }

    /// Gives what is left, so that the whole output lasts as long as the whole input.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(mut self) -> Result<Vec<i16>, AudioError> {
        if self.inner.is_none() {
            return Ok(Vec::new());
        }
        let wanted =
            usize::try_from((self.taken * self.to / self.from).saturating_sub(self.given)).unwrap_or(usize::MAX);
        let mut out = Vec::new();
        while out.len() < wanted {
            // Silence pushes the tail of the signal out of the filter.
            let Some(needed) = self.inner.as_ref().map(Fft::input_frames_next) else { break };
            self.pending.resize(needed, 0.0);
            if !self.step(&mut out)? {
                break;
            }
        }
        out.truncate(wanted);
        Ok(out)
    }

    /// Converts one chunk if enough is pending.
    fn step(&mut self, out: &mut Vec<i16>) -> Result<bool, AudioError> {
        let Some(inner) = self.inner.as_mut() else { return Ok(false) };
        let needed = inner.input_frames_next();
        let Some(chunk) = self.pending.get(..needed) else { return Ok(false) };
        let input = SequentialSlice::new(chunk, 1, needed).map_err(broken)?;
        let converted = inner.process(&input, None).map_err(broken)?.take_data();
        self.pending.drain(..needed);
        let fresh = converted.get(self.skip.min(converted.len())..).unwrap_or_default();
        self.skip -= self.skip.min(converted.len());
        self.given += fresh.len() as u64;
        out.extend(fresh.iter().map(|sample| to_pcm16(*sample)));
        Ok(true)
    }
}

/// A sample between -1 and 1 as 16 bits; what is louder is clipped.
pub(crate) fn to_pcm16(sample: f32) -> i16 {
    (sample * 32_768.0).round() as i16
}

fn converter(from: SampleRate, to: SampleRate) -> Result<Fft<f32>, AudioError> {
    // Of other rates a chunk of 10 ms may be an odd number of samples, whose middle lies between two.
    let is_live = |rate: SampleRate| rate.0 >= 16_000 && rate.0.is_multiple_of(8_000);
    let chunks = if is_live(from) && is_live(to) { LIVE_CHUNKS_PER_SECOND } else { CHUNKS_PER_SECOND };
    let frames = from.0.div_ceil(chunks).max(1) as usize;
    Fft::new(from.0 as usize, to.0 as usize, frames, 1, FixedSync::Both).map_err(broken)
}

fn broken(error: impl fmt::Display) -> AudioError {
    AudioError::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, frames: usize) -> Vec<i16> {
        (0..frames)
            .map(|n| {
                let phase = n as f32 * 440.0 * std::f32::consts::TAU / rate as f32;
                (phase.sin() * 12_000.0) as i16
            })
            .collect()
    }

    fn convert(from: u32, to: u32, samples: &[i16], chunk: usize) -> Vec<i16> {
        let mut resampler = Resampler::new(SampleRate(from), SampleRate(to)).unwrap();
        let mut out = Vec::new();
        for part in samples.chunks(chunk) {
            out.extend(resampler.push(part).unwrap());
        }
        out.extend(resampler.finish().unwrap());
        out
    }

    #[test]
    fn a_tone_keeps_its_length_and_shape_at_every_rate() {
        for from in [8_000, 16_000, 24_000, 44_100, 48_000] {
            for to in [8_000, 16_000, 24_000, 48_000] {
                let out = convert(from, to, &sine(from, from as usize), 333);
                assert_eq!(out.len(), to as usize, "{from} to {to}");
                let wanted = sine(to, to as usize);
                let worst = out
                    .iter()
                    .zip(&wanted)
                    .skip(1_000)
                    .take(to as usize - 2_000)
                    .map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs())
                    .max();
                assert!(worst.unwrap() < 200, "{from} to {to}: {worst:?}");
            }
        }
    }

    #[test]
    fn chunk_sizes_do_not_change_the_samples() {
        let samples = sine(16_000, 5_000);
        assert_eq!(convert(16_000, 24_000, &samples, 1), convert(16_000, 24_000, &samples, 5_000));
    }

    #[test]
    fn a_frame_there_and_back_is_less_than_a_frame_late() {
        let mut there = Resampler::new(SampleRate(24_000), SampleRate(16_000)).unwrap();
        let mut back = Resampler::new(SampleRate(16_000), SampleRate(24_000)).unwrap();
        let (mut sent, mut had) = (0, 0);
        for frame in sine(24_000, 24_000).chunks(480) {
            sent += frame.len();
            had += back.push(&there.push(frame).unwrap()).unwrap().len();
            assert!(sent - had < 480, "{} of {sent} samples are held back", sent - had);
        }
    }

    #[test]
    fn impossible_rates_are_refused() {
        assert!(Resampler::new(SampleRate(0), SampleRate(8_000)).is_err());
        assert!(Resampler::new(SampleRate(8_000), SampleRate(4_000_000_000)).is_err());
    }
}
