//! What of a translated session is recorded already and what is not: nothing twice, nothing lost.

use std::sync::atomic::{AtomicU64, Ordering};

use dialects::conversation::agent::Billing;
use dialects::live::LiveOpener;
use dialects::translation::Progress;
use domain::usage::{Usage, UsageSource};

use crate::pipeline::estimate::text_tokens;
use crate::pipeline::meter::Part;

/// What is not recorded yet when a record is written although nothing is complete. With the slack of a clock
/// and one step of a vendor's, it is within the window that is reserved ahead.
const OVERDUE_MS: u64 = 25_000;

/// What a vendor bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tariff {
    /// All the audio that it is sent, silence too.
    Heard {
        /// Tokens that a second of it is billed as, where audio is priced by tokens.
        tokens_per_second: Option<u32>,
        /// Each utterance is a file, which is billed by itself.
        by_utterance: bool,
    },
    /// The time of the connection, in whole steps of the whole session.
    Connected {
        /// Milliseconds.
        step_ms: u64,
    },
    /// What it reports of each response.
    Reported,
}

impl Tariff {
    /// How live transcription is billed.
    pub(super) fn of_live(opener: &dyn LiveOpener) -> Self {
        Self::Heard { tokens_per_second: opener.tokens_per_second(), by_utterance: opener.by_utterance() }
    }

    /// How a conversation is billed.
    pub(super) fn of_conversation(billing: Billing) -> Self {
        match billing {
            Billing::Tokens => Self::Reported,
            Billing::Connected { step_ms } => Self::Connected { step_ms },
        }
    }
}

/// The account of one translated session, which outlives its translator.
#[derive(Debug)]
pub(super) struct Tab {
    tariff: Tariff,
    billed_ms: AtomicU64,
    surcharge_percent: AtomicU64,
    transcript_bytes: AtomicU64,
    /// Of these, what is recorded.
    recorded_ms: AtomicU64,
    recorded_bytes: AtomicU64,
}

impl Tab {
    pub(super) fn new(tariff: Tariff) -> Self {
        Self {
            tariff,
            billed_ms: AtomicU64::new(0),
            surcharge_percent: AtomicU64::new(0),
            transcript_bytes: AtomicU64::new(0),
            recorded_ms: AtomicU64::new(0),
            recorded_bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn tariff(&self) -> Tariff {
        self.tariff
    }

    /// Takes what the vendor has had until now. A translator that is done knows no later moment than the last
    /// at which something happened.
    pub(super) fn publish(&self, progress: Progress) {
        self.billed_ms.fetch_max(progress.billed_ms, Ordering::AcqRel);
        self.surcharge_percent.store(progress.surcharge_percent, Ordering::Release);
        self.transcript_bytes.store(progress.transcript_bytes, Ordering::Release);
    }

    /// Milliseconds that are billed and not recorded. A step that has begun is billed whole.
    pub(super) fn unrecorded_ms(&self) -> u64 {
        let billed = self.billed_ms.load(Ordering::Acquire);
        let billed = match self.tariff {
            Tariff::Heard { .. } => billed,
            Tariff::Connected { step_ms } => {
                let step = step_ms.max(1);
                billed.div_ceil(step).saturating_mul(step)
            }
            Tariff::Reported => 0,
        };
        billed.saturating_sub(self.recorded_ms.load(Ordering::Acquire))
    }

    /// Milliseconds until a record is due although nothing is complete, if what is billed runs with the clock.
    pub(super) fn due_in_ms(&self) -> u64 {
        OVERDUE_MS.saturating_sub(self.unrecorded_ms())
    }

    /// What is to be recorded now, which counts as recorded from now on: at most so many milliseconds.
    /// `None` where that is nothing.
    pub(super) fn take(&self, most_ms: u64) -> Option<Part> {
        let ms = most_ms.min(self.unrecorded_ms());
        let recorded_ms = self.recorded_ms.fetch_add(ms, Ordering::AcqRel);
        let before_ms = if let Tariff::Heard { by_utterance: true, .. } = self.tariff { 0 } else { recorded_ms };
        let usage = self.usage(ms);
        // Audio is measured; tokens are reckoned from it.
        let source = if usage.has_tokens() { UsageSource::Estimated } else { UsageSource::Measured };
        (ms > 0).then_some(Part { usage, source, before_ms })
    }

    /// A vendor that bills tokens for audio reports none: a second is so many, and text is counted by its
    /// length.
    fn usage(&self, audio_in_ms: u64) -> Usage {
        let surcharge_percent = self.surcharge_percent.load(Ordering::Acquire);
        let audio = Usage { audio_in_ms, surcharge_percent, ..Usage::default() };
        let Tariff::Heard { tokens_per_second: Some(tokens), .. } = self.tariff else { return audio };
        let bytes = self.transcript_bytes.load(Ordering::Acquire);
        let fresh = bytes.saturating_sub(self.recorded_bytes.swap(bytes, Ordering::AcqRel));
        Usage {
            audio_tokens_in: audio_in_ms.saturating_mul(u64::from(tokens)).div_ceil(1000),
            text_tokens_out: text_tokens(fresh),
            ..audio
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::estimate::realtime_window;

    fn connected(step_ms: u64) -> Tab {
        Tab::new(Tariff::Connected { step_ms })
    }

    fn at(tab: &Tab, billed_ms: u64) {
        tab.publish(Progress { billed_ms, ..Progress::default() });
    }

    #[test]
    fn the_records_of_a_connection_are_its_time_in_whole_steps_of_the_whole() {
        let tab = connected(6_000);
        let mut records = Vec::new();
        for now in [0, 1, 5_900, 6_000, 6_001, 17_000, 17_500, 40_100] {
            at(&tab, now);
            records.extend(tab.take(u64::MAX).map(|part| {
                assert_eq!(part.source, UsageSource::Measured);
                assert_eq!(part.before_ms, records.iter().sum::<u64>(), "what the steps of a price go on from");
                part.usage.audio_in_ms
            }));
        }
        assert_eq!(records, [6_000, 6_000, 6_000, 24_000], "the second within a paid step costs nothing more");
        let by_the_millisecond = connected(1);
        at(&by_the_millisecond, 1_234);
        assert_eq!(by_the_millisecond.take(u64::MAX).map(|part| part.usage.audio_in_ms), Some(1_234));
    }

    #[test]
    fn an_utterance_that_is_a_file_is_billed_by_itself() {
        for by_utterance in [true, false] {
            let tab = Tab::new(Tariff::Heard { tokens_per_second: None, by_utterance });
            at(&tab, 5_000);
            let before = [2_000, 3_000].map(|ms| tab.take(ms).unwrap().before_ms);
            assert_eq!(before, [0, if by_utterance { 0 } else { 2_000 }]);
        }
    }

    #[test]
    fn a_record_is_due_before_the_reserved_window_is_used_up() {
        for step_ms in [1, 1_000, 6_000] {
            let tab = connected(step_ms);
            let mut now = 0;
            while tab.due_in_ms() > 0 {
                now += 1;
                at(&tab, now);
            }
            assert!(tab.unrecorded_ms() <= realtime_window().audio_in_ms, "{step_ms}: {}", tab.unrecorded_ms());
            assert!(now >= 24_000, "{step_ms}: not sooner than needed: {now}");
            assert!(tab.take(u64::MAX).is_some());
            assert_eq!(tab.due_in_ms(), OVERDUE_MS);
        }
    }

    #[test]
    fn what_a_vendor_reports_itself_is_not_counted_here() {
        let tab = Tab::new(Tariff::Reported);
        at(&tab, 90_000);
        assert_eq!((tab.take(u64::MAX), tab.unrecorded_ms()), (None, 0));
    }
}
