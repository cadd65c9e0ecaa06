//! The audio of a session: decoded, brought to 16 kHz, cut into utterances by voice activity.

use std::collections::VecDeque;

use audio::{Activity, ActivitySettings, AudioError, Detector, Resampler, g711};
use domain::audio::RealtimeFormat;

use super::narrowband::Widener;

/// Samples per millisecond at the rate of recognition.
const PER_MS: u64 = 16;
/// The longest utterance; a longer one is committed by force.
const MAX_UTTERANCE_MS: u64 = 60_000;

/// An utterance or a buffer that is complete.
#[derive(Debug)]
pub enum Cut {
    /// Speech began at this time.
    Started {
        /// Milliseconds since the session began.
        at_ms: u64,
    },
    /// Speech ended at this time; here are its samples at 16 kHz.
    Stopped {
        /// Milliseconds since the session began.
        at_ms: u64,
        /// At 16 kHz.
        samples: Vec<i16>,
    },
    /// A buffer without turn detection grew to its bound.
    Full {
        /// At 16 kHz.
        samples: Vec<i16>,
    },
}

/// Audio since the last cut.
pub struct InputBuffer {
    format: RealtimeFormat,
    converter: Converter,
    odd: Option<u8>,
    detector: Option<Detector>,
    samples: VecDeque<i16>,
    /// Time of the first sample held, since the session began.
    first_ms: u64,
    /// Added to the detector's own clock.
    detector_zero_ms: u64,
    padding_ms: u64,
    /// Start of the open utterance.
    started_ms: Option<u64>,
}

impl std::fmt::Debug for InputBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputBuffer").field("format", &self.format).finish_non_exhaustive()
    }
}

impl InputBuffer {
    /// For audio in `format`, with or without turn detection.
    ///
    /// # Errors
    /// The rate cannot be converted.
    pub fn new(format: RealtimeFormat, turns: Option<ActivitySettings>) -> Result<Self, AudioError> {
        Ok(Self {
            format,
            converter: Converter::new(format)?,
            odd: None,
            detector: turns.map(Detector::new),
            samples: VecDeque::new(),
            first_ms: 0,
            detector_zero_ms: 0,
            padding_ms: turns.map_or(0, |turns| turns.prefix_padding_ms),
            started_ms: None,
        })
    }

    /// Changes what is listened for. Audio that is held stays; a changed format counts from the
    /// next append.
    pub(super) fn configure(
        &mut self,
        format: RealtimeFormat,
        turns: Option<ActivitySettings>,
    ) -> Result<(), AudioError> {
        if format != self.format {
            self.converter = Converter::new(format)?;
            self.format = format;
            self.odd = None;
        }
        self.detector = turns.map(Detector::new);
        self.detector_zero_ms = self.now_ms();
        self.padding_ms = turns.map_or(0, |turns| turns.prefix_padding_ms);
        self.started_ms = None;
        Ok(())
    }

    /// Milliseconds of audio held.
    pub(super) fn held_ms(&self) -> u64 {
        self.samples.len() as u64 / PER_MS
    }

    /// Time since the session began, counted by its audio.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.first_ms + self.held_ms()
    }

    /// Takes bytes in the session's format.
    ///
    /// # Errors
    /// The audio cannot be converted.
    pub fn append(&mut self, bytes: &[u8]) -> Result<Vec<Cut>, AudioError> {
        let decoded = self.decode(bytes);
        let samples = self.converter.push(&decoded)?;
        let mut cuts = Vec::new();
        // Steps of 20 ms keep a long append from running past the end of an utterance.
        for part in samples.chunks(320) {
            self.samples.extend(part);
            let heard = self.detector.as_mut().map(|d| d.feed(part)).unwrap_or_default();
            for activity in heard {
                cuts.push(self.cut(activity));
            }
            self.bound(&mut cuts);
        }
        Ok(cuts)
    }

    /// Everything held, as a commit takes it. Half a sample at its end is nothing of the next one.
    pub fn take(&mut self) -> Vec<i16> {
        self.odd = None;
        self.drain()
    }

    fn drain(&mut self) -> Vec<i16> {
        self.first_ms = self.now_ms();
        self.started_ms = None;
        if let Some(detector) = self.detector.as_mut() {
            detector.force_stop();
        }
        self.samples.drain(..).collect()
    }

    /// Length of the utterance so far, or of everything held without turn detection; `None` while
    /// nobody speaks.
    #[must_use]
    pub fn open_ms(&self) -> Option<u64> {
        Some((self.samples.len() - self.open_from()?) as u64 / PER_MS)
    }

    /// The samples of [`InputBuffer::open_ms`].
    pub(super) fn open_samples(&self) -> Vec<i16> {
        self.open_from().map_or_else(Vec::new, |from| self.samples.range(from..).copied().collect())
    }

    fn open_from(&self) -> Option<usize> {
        match (self.started_ms, &self.detector) {
            (Some(started), _) => Some(self.offset(started)),
            (None, None) => Some(0),
            (None, Some(_)) => None,
        }
    }

    fn decode(&mut self, bytes: &[u8]) -> Vec<i16> {
        match self.format {
            RealtimeFormat::Pcmu => bytes.iter().map(|b| g711::ulaw_to_pcm16(*b)).collect(),
            RealtimeFormat::Pcma => bytes.iter().map(|b| g711::alaw_to_pcm16(*b)).collect(),
            RealtimeFormat::Pcm16(_) => {
                // An append may end in the middle of a sample.
                let mut whole: Vec<u8> = self.odd.take().into_iter().collect();
                whole.extend_from_slice(bytes);
                if whole.len() % 2 == 1 {
                    self.odd = whole.pop();
                }
                audio::encode::pcm16_samples(&whole)
            }
        }
    }

    fn cut(&mut self, activity: Activity) -> Cut {
        match activity {
            Activity::Started { at_ms } => {
                let at_ms = (at_ms + self.detector_zero_ms).max(self.first_ms);
                self.started_ms = Some(at_ms);
                Cut::Started { at_ms }
            }
            Activity::Stopped { at_ms } => {
                let at_ms = at_ms + self.detector_zero_ms;
                self.forget_before(self.started_ms.unwrap_or(at_ms));
                self.started_ms = None;
                let end = self.offset(at_ms);
                let samples = self.samples.drain(..end).collect();
                self.first_ms = at_ms;
                Cut::Stopped { at_ms, samples }
            }
        }
    }

    /// Keeps what is held within bounds: silence is forgotten, long speech is cut.
    fn bound(&mut self, cuts: &mut Vec<Cut>) {
        if self.detector.is_some() && self.started_ms.is_none() {
            // The onset is found up to 100 ms late; the padding goes before it.
            let keep = self.padding_ms + 200;
            self.forget_before(self.now_ms().saturating_sub(keep));
            return;
        }
        let since = self.started_ms.unwrap_or(self.first_ms);
        if self.now_ms().saturating_sub(since) < MAX_UTTERANCE_MS {
            return;
        }
        match self.detector.as_mut().and_then(Detector::force_stop) {
            Some(stopped) => cuts.push(self.cut(stopped)),
            None => cuts.push(Cut::Full { samples: self.drain() }),
        }
    }

    fn offset(&self, at_ms: u64) -> usize {
        let offset = at_ms.saturating_sub(self.first_ms).saturating_mul(PER_MS);
        usize::try_from(offset).unwrap_or(usize::MAX).min(self.samples.len())
    }

    fn forget_before(&mut self, at_ms: u64) {
        let count = self.offset(at_ms);
        self.samples.drain(..count);
        self.first_ms += count as u64 / PER_MS;
    }
}

/// From the rate of the session to that of recognition.
enum Converter {
    Wide(Box<Resampler>),
    Narrow(Widener),
}

impl Converter {
    fn new(format: RealtimeFormat) -> Result<Self, AudioError> {
        match format {
            RealtimeFormat::Pcm16(rate) => {
                Ok(Self::Wide(Box::new(Resampler::new(rate, crate::pocketsphinx::MODEL_RATE)?)))
            }
            RealtimeFormat::Pcmu | RealtimeFormat::Pcma => Ok(Self::Narrow(Widener::default())),
        }
    }

    fn push(&mut self, samples: &[i16]) -> Result<Vec<i16>, AudioError> {
        match self {
            Self::Wide(resampler) => resampler.push(samples),
            Self::Narrow(widener) => Ok(widener.push(samples)),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::audio::PCM_24K;

    use super::*;

    #[test]
    fn half_a_sample_before_a_commit_does_not_shift_what_follows() {
        let audio: Vec<u8> = (0..9600_u32).map(|i| (i % 251) as u8).collect();
        let mut fresh = InputBuffer::new(RealtimeFormat::Pcm16(PCM_24K), None).unwrap();
        let mut used = InputBuffer::new(RealtimeFormat::Pcm16(PCM_24K), None).unwrap();
        used.append(&[7]).unwrap();
        assert!(used.take().is_empty());
        fresh.append(&audio).unwrap();
        used.append(&audio).unwrap();
        assert_eq!(used.take(), fresh.take());
    }
}
