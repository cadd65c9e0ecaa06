//! Voice activity by energy: speech is what stands out of the noise floor, and the floor is
//! learnt as the audio goes. The settings mean what `OpenAI`'s `server_vad` calls by these names
//! (platform.openai.com/docs/guides/realtime-vad, read 2026-11-21).

use std::collections::VecDeque;

/// Samples in a decision: 20 ms at 16 kHz.
const FRAME: usize = 320;
/// Milliseconds in a decision.
const FRAME_MS: u64 = 20;
/// Decisions looked at when speech may begin, and how many of them must be speech.
const ONSET_WINDOW: usize = 5;
const ONSET_FRAMES: usize = 3;

/// When speech counts as begun and ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActivitySettings {
    /// 0 to 1; higher needs louder speech.
    pub threshold: f32,
    /// Milliseconds before the first speech that belong to the utterance.
    pub prefix_padding_ms: u64,
    /// Milliseconds of silence that end an utterance.
    pub silence_duration_ms: u64,
}

impl Default for ActivitySettings {
    fn default() -> Self {
        Self { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 }
    }
}

/// Something that happened in the audio. Times are milliseconds since the first sample fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Speech began. The time includes the padding and is never before the end of the
    /// utterance before.
    Started {
        /// Start of the utterance.
        at_ms: u64,
    },
    /// Speech ended. The time includes the silence that proved it.
    Stopped {
        /// End of the utterance.
        at_ms: u64,
    },
}

/// A detector fed with mono samples at 16 kHz.
#[derive(Debug, Clone)]
pub struct Detector {
    settings: ActivitySettings,
    pending: Vec<i16>,
    floor_db: f32,
    recent: VecDeque<bool>,
    speaking: bool,
    silent_ms: u64,
    now_ms: u64,
    last_stop_ms: u64,
}

impl Detector {
    /// A detector that has heard nothing.
    #[must_use]
    pub fn new(settings: ActivitySettings) -> Self {
        Self {
            settings,
            pending: Vec::with_capacity(FRAME),
            floor_db: -60.0,
            recent: VecDeque::with_capacity(ONSET_WINDOW),
            speaking: false,
            silent_ms: 0,
            now_ms: 0,
            last_stop_ms: 0,
        }
    }

    /// Whether an utterance is open.
    #[must_use]
    pub const fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// Milliseconds judged so far.
    #[must_use]
    pub const fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Listens to samples of any number and tells what happened, in order.
    pub fn feed(&mut self, samples: &[i16]) -> Vec<Activity> {
        let mut events = Vec::new();
        let mut rest = samples;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(FRAME - self.pending.len()));
            self.pending.extend_from_slice(part);
            rest = after;
            if self.pending.len() == FRAME {
                let level = level_db(&self.pending);
                self.pending.clear();
                events.extend(self.judge(level));
            }
        }
        events
    }

    /// Ends an open utterance now, as when the audio ends or has grown too long.
    pub fn force_stop(&mut self) -> Option<Activity> {
        self.speaking.then(|| self.stop())
    }

    fn judge(&mut self, level_db: f32) -> Option<Activity> {
        self.now_ms += FRAME_MS;
        let speech = self.is_speech(level_db);
        self.learn_floor(level_db, speech);
        if self.speaking {
            self.silent_ms = if speech { 0 } else { self.silent_ms + FRAME_MS };
            return (self.silent_ms >= self.settings.silence_duration_ms.max(FRAME_MS)).then(|| self.stop());
        }
        if self.recent.len() == ONSET_WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(speech);
        let heard = self.recent.iter().filter(|speech| **speech).count();
        (heard >= ONSET_FRAMES).then(|| self.start())
    }

    fn start(&mut self) -> Activity {
        let since_first = self.recent.iter().skip_while(|speech| !**speech).count() as u64;
        self.speaking = true;
        self.silent_ms = 0;
        self.recent.clear();
        let padding = since_first * FRAME_MS + self.settings.prefix_padding_ms;
        let at_ms = self.now_ms.saturating_sub(padding).max(self.last_stop_ms);
        Activity::Started { at_ms }
    }

    fn stop(&mut self) -> Activity {
        self.speaking = false;
        self.silent_ms = 0;
        self.last_stop_ms = self.now_ms;
        Activity::Stopped { at_ms: self.now_ms }
    }

    /// Speech is loud in itself and louder than the room. Half the scale is 12 dB over the floor
    /// and -45 dB of full scale.
    fn is_speech(&self, level_db: f32) -> bool {
        let threshold = self.settings.threshold.clamp(0.0, 1.0);
        level_db > self.floor_db + 4.0 + 16.0 * threshold && level_db > -55.0 + 20.0 * threshold
    }

    /// The floor falls at once-ish and rises slowly; under speech very slowly, so that steady
    /// noise becomes the floor in the end while a long sentence does not.
    fn learn_floor(&mut self, level_db: f32, speech: bool) {
        let distance = level_db - self.floor_db;
        let step = if distance < 0.0 {
            distance * 0.3
        } else if speech {
            distance.min(0.04)
        } else {
            distance.min(0.2)
        };
        self.floor_db = (self.floor_db + step).clamp(-75.0, -15.0);
    }
}

/// Loudness in decibels of full scale; silence is -96.
fn level_db(samples: &[i16]) -> f32 {
    let energy: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let mean = energy / samples.len().max(1) as f64;
    let power = mean / (32_768.0 * 32_768.0);
    (10.0 * power.max(2.5e-10).log10()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(ms: usize, loudness: i32) -> Vec<i16> {
        let mut state = 12_345_u32;
        (0..ms * 16)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 16) as i32 % (2 * loudness + 1) - loudness) as i16
            })
            .collect()
    }

    fn listen(parts: &[Vec<i16>]) -> Vec<Activity> {
        let mut detector = Detector::new(ActivitySettings::default());
        detector.feed(&parts.concat())
    }

    #[test]
    fn one_utterance_between_silences_has_its_padding_and_its_silence() {
        let events = listen(&[noise(1000, 10), noise(800, 8000), noise(1000, 10)]);
        assert_eq!(events, [Activity::Started { at_ms: 700 }, Activity::Stopped { at_ms: 2300 }]);
    }

    #[test]
    fn a_short_pause_does_not_end_the_utterance() {
        let events = listen(&[noise(500, 10), noise(400, 8000), noise(300, 10), noise(400, 8000)]);
        assert_eq!(events, [Activity::Started { at_ms: 200 }]);
    }

    #[test]
    fn silence_and_single_clicks_are_not_speech() {
        assert!(listen(&[noise(3000, 10)]).is_empty());
        assert!(listen(&[vec![0; 48_000]]).is_empty());
        assert!(listen(&[noise(500, 10), noise(20, 20_000), noise(500, 10)]).is_empty());
    }

    #[test]
    fn a_noisy_room_is_learnt_and_speech_over_it_still_heard() {
        let events = listen(&[noise(40_000, 500), noise(600, 9000), noise(1000, 500)]);
        assert!(events.len() >= 2, "{events:?}");
        let last = events.get(events.len() - 2..).unwrap();
        assert!(
            matches!(last, [Activity::Started { at_ms }, Activity::Stopped { .. }]
            if (39_000..40_100).contains(at_ms)),
            "{events:?}"
        );
    }

    proptest! {
        #[test]
        fn utterances_never_overlap_and_times_only_grow(
            parts in proptest::collection::vec((20..900_usize, 0..12_000_i32), 1..12),
            silence in 0..900_u64, padding in 0..600_u64, threshold in 0.0..1.0_f32,
            chunk in 1..5000_usize,
        ) {
            let settings = ActivitySettings {
                threshold, prefix_padding_ms: padding, silence_duration_ms: silence,
            };
            let samples: Vec<i16> = parts.iter().flat_map(|(ms, loud)| noise(*ms, *loud)).collect();
            let mut whole = Detector::new(settings);
            let expected = whole.feed(&samples);
            let mut pieces = Detector::new(settings);
            let got: Vec<_> = samples.chunks(chunk).flat_map(|part| pieces.feed(part)).collect();
            prop_assert_eq!(&got, &expected);
            let mut last = 0;
            for (index, event) in expected.iter().enumerate() {
                let at = match (index % 2, event) {
                    (0, Activity::Started { at_ms }) | (1, Activity::Stopped { at_ms }) => *at_ms,
                    _ => return Err(TestCaseError::fail("starts and stops take turns")),
                };
                prop_assert!(at >= last && at <= whole.now_ms());
                last = at;
            }
        }
    }
}
