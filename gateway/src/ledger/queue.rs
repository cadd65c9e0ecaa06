//! What waits for the writer.

use std::collections::VecDeque;

use super::journal::{Batch, Position};
use super::open_calls::{OpenCall, OpenCalls};
use super::record::UsageRecord;
use super::writer::BATCH_RECORDS;

/// What waits for the writer, in the order of the journal: first `memory`, then, when `spilled`, what
/// stands in the journal after it.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) memory: VecDeque<(Position, UsageRecord)>,
    pub(super) spilled: bool,
    /// Up to where the writer has taken.
    pub(super) taken: Position,
    /// The end of the last record.
    pub(super) last: Position,
    appended: u64,
    inserted: u64,
    /// What the journal did not take, in the order of settling.
    pub(super) kept: VecDeque<Kept>,
}

/// A record that the journal did not take, and its call, whose slot has it as well.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) call: OpenCall,
    pub(super) record: UsageRecord,
}

impl Queue {
    /// Begins behind a journal that ends at `end` and has so many `records` after what is `acknowledged`.
    pub(super) fn new(acknowledged: Position, end: Position, records: u64) -> Self {
        Self {
            memory: VecDeque::new(),
            // Damage alone counts as well: it is passed over like records, so that its segment can go.
            spilled: end > acknowledged,
            taken: acknowledged,
            last: end,
            appended: records,
            inserted: 0,
            kept: VecDeque::new(),
        }
    }

    /// Records that the database has not answered for.
    pub(super) fn pending(&self) -> u64 {
        self.appended.saturating_sub(self.inserted) + self.kept.len() as u64
    }

    /// Records that wait for the writer; a whole batch's worth when some are in the journal alone.
    pub(super) fn waiting(&self) -> usize {
        if self.spilled { BATCH_RECORDS } else { self.memory.len() }
    }

    /// Whether the writer has something to wake up for: the first record of a batch or its last. A
    /// wake-up of another thread for every record would cost more than the record.
    pub(super) fn push(&mut self, place: Position, record: UsageRecord, max_queued: usize) -> bool {
        self.last = place;
        self.appended += 1;
        if self.spilled {
            return false;
        }
        if self.memory.len() >= max_queued {
            self.spilled = true;
            return true;
        }
        self.memory.push_back((place, record));
        self.memory.len() == 1 || self.memory.len() == BATCH_RECORDS
    }

    /// Keeps what the journal did not take. Its slot is one that the disk has, where there is one.
    pub(super) fn keep(&mut self, open_calls: &OpenCalls, call: &mut OpenCall, record: UsageRecord, max_kept: usize) {
        open_calls.claim(call);
        if self.kept.len() < max_kept {
            self.kept.push_back(Kept { call: std::mem::take(call), record });
            return;
        }
        // The slot stays taken, so that the next start finds it.
        match call.slot.take() {
            Some(_) => {
                tracing::error!(usage_record.id = %record.id, "a usage record is in its slot alone, for the next start");
            }
            // What a correction by hand needs, and nothing that a client wrote.
            None => tracing::error!(
                usage_record.id = %record.id,
                key.id = %record.key_id,
                operation = %record.operation,
                cost_nano_usd = record.cost.map(|cost| cost.0),
                "a usage record is lost: neither disk nor memory has room for it"
            ),
        }
    }

    /// Up to `most` records out of memory; `None` when none are there.
    pub(super) fn pop(&mut self, most: usize) -> Option<Batch> {
        let count = self.memory.len().min(most);
        let (upto, _) = *self.memory.get(count.checked_sub(1)?).map(|(place, record)| (place, record)).as_ref()?;
        let upto = *upto;
        self.taken = upto;
        Some(Batch { records: self.memory.drain(..count).map(|(_, record)| record).collect(), upto })
    }

    /// Notes what was read out of the journal.
    pub(super) fn took(&mut self, upto: Position) {
        self.taken = upto;
        self.spilled = upto < self.last;
    }

    /// Notes what the database answered for. At the end the count is exact again even where damage
    /// made the journal give fewer records than were counted.
    pub(super) fn inserted(&mut self, count: usize, upto: Position) {
        self.inserted += count as u64;
        if upto >= self.last {
            self.inserted = self.appended;
        }
    }
}
