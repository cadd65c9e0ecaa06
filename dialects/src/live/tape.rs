//! Audio on its way to a vendor, and what was sent of late and is not understood yet: a new socket gets it
//! again, so that nothing is lost when one drops.

use std::collections::VecDeque;

use domain::audio::RealtimeFormat;

use super::{NewConverter, bytes_in};

/// Sent audio that is kept for a new socket.
const KEPT_MS: u64 = 30_000;

/// Audio in the vendor's format. Positions are bytes since the tape began and never go back.
#[derive(Debug)]
pub(super) struct Tape {
    format: RealtimeFormat,
    bytes: VecDeque<u8>,
    /// Position of the first byte held.
    start: u64,
    /// Position up to which the present socket has it.
    sent: u64,
    /// Time of position 0, counted by the client's audio.
    zero_ms: u64,
}

impl Tape {
    pub(super) fn new(format: RealtimeFormat) -> Self {
        Self { format, bytes: VecDeque::new(), start: 0, sent: 0, zero_ms: 0 }
    }

    pub(super) fn format(&self) -> RealtimeFormat {
        self.format
    }

    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn unsent(&self) -> u64 {
        self.end() - self.sent
    }

    pub(super) fn push(&mut self, audio: &[u8]) {
        self.bytes.extend(audio);
    }

    /// The next audio to send: at most `most` bytes, and none beyond the position `until`.
    pub(super) fn take(&mut self, most: u64, until: u64) -> Vec<u8> {
        let count = self.unsent().min(most).min(until.saturating_sub(self.sent));
        let from = usize_of(self.sent - self.start);
        let taken: Vec<u8> = self.bytes.range(from..from + usize_of(count)).copied().collect();
        self.sent += count;
        self.forget_before(self.sent.saturating_sub(bytes_in(self.format, KEPT_MS)));
        taken
    }

    /// A new socket has nothing yet.
    pub(super) fn rewind(&mut self) {
        self.sent = self.start;
    }

    /// The audio before this position is done with.
    pub(super) fn forget_before(&mut self, position: u64) {
        let count = usize_of(position.min(self.sent).saturating_sub(self.start));
        self.bytes.drain(..count);
        self.start += count as u64;
        // What a long append took is given back.
        if self.bytes.capacity() > 4 * self.bytes.len().max(16 * 1024) {
            self.bytes.shrink_to(2 * self.bytes.len());
        }
    }

    /// Forgets what was not sent.
    pub(super) fn drop_unsent(&mut self) {
        let dropped = self.unsent();
        self.bytes.truncate(usize_of(self.sent - self.start));
        self.zero_ms += self.format.duration_ms(dropped);
    }

    /// Brings what is held to another format. Positions begin anew.
    pub(super) fn reformat(&mut self, format: RealtimeFormat, new: NewConverter) -> Result<(), String> {
        let held: Vec<u8> = self.bytes.drain(..).collect();
        let mut converter = new(self.format, format)?;
        let mut audio = converter.convert(&held)?;
        audio.extend(converter.flush()?);
        *self = Self { format, bytes: audio.into(), start: 0, sent: 0, zero_ms: self.ms_at(self.start) };
        Ok(())
    }

    /// Time of a position.
    pub(super) fn ms_at(&self, position: u64) -> u64 {
        self.zero_ms + self.format.duration_ms(position)
    }
}

fn usize_of(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
