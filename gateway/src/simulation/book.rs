//! What providers have billed, by arithmetic of their own, and which records are promised for it.

use std::collections::BTreeMap;

use domain::ids::RequestId;
use domain::usage::Usage;

/// What a provider's model costs, in nano-dollars for one of each; all 0 is a model without a price.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tariff {
    pub(super) character: i64,
    pub(super) text_in: i64,
    pub(super) text_out: i64,
    pub(super) audio_in: i64,
    pub(super) audio_out: i64,
}

impl Tariff {
    /// The provider's bill; `None` for a model without a price.
    pub(super) fn bill(&self, usage: &Usage) -> Option<i64> {
        let parts = [
            (usage.characters, self.character),
            (usage.text_tokens_in, self.text_in),
            (usage.text_tokens_out, self.text_out),
            (usage.audio_tokens_in, self.audio_in),
            (usage.audio_tokens_out, self.audio_out),
        ];
        let is_priced = parts.iter().any(|(_, nano)| *nano > 0);
        is_priced.then(|| parts.iter().map(|(count, nano)| i64::try_from(*count).unwrap() * nano).sum())
    }
}

/// A process: its machine and how often that has started one.
pub(super) type Process = (usize, u32);

/// Whose call it is: by which key, at which process, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    pub(super) key: usize,
    pub(super) process: Process,
    pub(super) called: u64,
}

/// One promised record.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: usize,
    pub(super) process: Process,
    /// What the record may cost: the bill or what was noted before it, whichever a kill has left.
    pub(super) costs: Vec<Option<i64>>,
    noted: Option<i64>,
    /// Its provider still works on it.
    pub(super) open: bool,
    /// When the client called, in milliseconds of the world.
    pub(super) called: u64,
    /// When it was recorded, in milliseconds of the world.
    pub(super) at: u64,
    /// The power went before the disk had it.
    pub(super) may_be_lost: bool,
}

/// Every promised record, by its request and its place there.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) entries: BTreeMap<(RequestId, u32), Entry>,
}

impl Book {
    /// A provider has it whole: should nothing more happen, this is what is recorded.
    pub(super) fn noted(&mut self, id: (RequestId, u32), whose: Whose, cost: Option<i64>, now: u64) {
        let Whose { key, process, called } = whose;
        let entry =
            Entry { key, process, costs: vec![cost], noted: cost, open: true, called, at: now, may_be_lost: false };
        self.entries.insert(id, entry);
    }

    /// What the note says has changed.
    pub(super) fn noted_again(&mut self, id: (RequestId, u32), cost: Option<i64>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            (entry.costs, entry.noted) = (vec![cost], cost);
        }
    }

    /// Nothing is billed for it after all.
    pub(super) fn withdrawn(&mut self, id: (RequestId, u32)) {
        self.entries.remove(&id);
    }

    /// It has ended, and costs this.
    pub(super) fn billed(&mut self, id: (RequestId, u32), cost: Option<i64>, at: u64) {
        let entry = self.entries.get_mut(&id).expect("only what was noted is billed");
        (entry.costs, entry.open, entry.at) = (vec![cost], false, at);
    }

    /// A process was killed at `now`. Where that was a loss of power, what was written since `synced` may be gone
    /// or be as it was noted.
    pub(super) fn killed(&mut self, process: Process, synced: Option<u64>) {
        for entry in self.entries.values_mut().filter(|entry| entry.process == process) {
            if let Some(synced) = synced {
                let unsynced = entry.open || entry.at >= synced;
                entry.may_be_lost |= unsynced;
                if unsynced {
                    entry.costs.push(entry.noted);
                }
            }
            entry.open = false;
        }
    }
}
