//! What each call in flight would leave if the process died now: a file of slots beside the journal.
//!
//! A provider bills a call from the moment it has the request whole, which is long before the record
//! is complete. So that a `kill -9` in between loses nothing, the record as far as it is known is
//! written into a slot, with one `pwrite`, right before the request's last bytes are: whoever writes
//! them has a [`Note`] to do so. The next start appends what it finds to the journal, as if the client
//! had left.
//!
//! A slot need not be cleared when its call ends: its record is in the journal then, and a start does
//! not take over what the journal has. The writer clears ended slots before it lets go of segments,
//! many calls at once, so that a call costs one system call here. Slots are never synced: against a
//! loss of power the journal has its own window, and this file shares it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::ids::UsageRecordId;

use super::{UsageRecord, segment};
use crate::telemetry::names;

/// A slot holds one entry as a journal segment does. It is one page, so that no write is torn by a
/// signal between two of them.
const SLOT_BYTES: usize = 4096;
const FILE: &str = "open-calls";

/// The place of one call among those in flight; none until it is noted. Whoever claims must also
/// settle or withdraw, or the call counts as in flight for ever.
#[derive(Debug, Default)]
pub struct OpenCall {
    pub(super) slot: Option<u32>,
    /// The bytes of the record, in one allocation for all that is written of a call.
    pub(super) entry: Vec<u8>,
    pledge: Option<Arc<Pledge>>,
}

impl OpenCall {
    /// Whether the call has a note that nobody has written: no provider has it whole.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.pledge.as_ref().is_some_and(|pledge| pledge.place().stage == Stage::Awaited)
    }

    /// Writes the note now, where nobody has: the provider did not wait for the request's end.
    pub fn note(&self) {
        if let Some(pledge) = &self.pledge {
            pledge.write();
        }
    }

    /// What the note had becomes the call's own again; a note that was not written never will be.
    pub(super) fn take_back(&mut self) {
        if let Some(pledge) = self.pledge.take() {
            let mut place = pledge.place();
            place.stage = Stage::Over;
            self.slot = place.slot.take();
            self.entry = std::mem::take(&mut place.entry);
        }
    }
}

/// Writes what a call leaves when it is killed, at the moment that its provider is about to have it
/// whole. Dropped instead, the call leaves nothing.
#[derive(Debug)]
pub struct Note(Option<Arc<Pledge>>);

impl Note {
    /// Nothing is written: the call has its note already, or none can be written.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// The request's last bytes are about to be written. Whatever happened to the call in the
    /// meantime: one that has ended is not noted any more.
    pub fn write(&self) {
        if let Some(pledge) = &self.0 {
            pledge.write();
        }
    }

    /// The last bytes were not written after all: the socket has to be waited for.
    pub fn undo(&self) {
        if let Some(pledge) = &self.0 {
            pledge.undo();
        }
    }
}

/// What a call and its note share.
#[derive(Debug)]
struct Pledge {
    calls: Arc<OpenCalls>,
    place: Mutex<Place>,
}

#[derive(Debug)]
struct Place {
    slot: Option<u32>,
    entry: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The note is to be written.
    Awaited,
    Written,
    /// The call has ended or has another note.
    Over,
}

impl Pledge {
    fn write(&self) {
        let mut place = self.place();
        if place.stage == Stage::Awaited {
            place.stage = Stage::Written;
            place.slot = self.calls.write(&place.entry, place.slot);
        }
    }

    fn undo(&self) {
        let mut place = self.place();
        if place.stage == Stage::Written {
            place.stage = Stage::Awaited;
            if let Some(slot) = place.slot {
                self.calls.clear(slot);
            }
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slots of this process.
#[derive(Debug)]
pub(super) struct OpenCalls {
    file: File,
    most: u32,
    slots: Mutex<Slots>,
    /// The last claim failed; told once.
    failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Slots {
    /// Calls that ended since the last clearing. These are taken first: their pages are warm, and
    /// overwriting clears.
    ended: Vec<u32>,
    cleared: Vec<u32>,
    /// Slots that exist.
    count: u32,
}

impl OpenCalls {
    /// Begins with an empty file in `dir`, for at most `most` calls at once.
    pub(super) fn create(dir: &Path, most: u32) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path(dir))?;
        Ok(Self { file, most, slots: Mutex::default(), failing: AtomicBool::new(false) })
    }

    /// Makes the entry of `call` one that its note writes.
    pub(super) fn prepare(self: &Arc<Self>, call: &mut OpenCall) -> Note {
        let place = Place { slot: call.slot.take(), entry: std::mem::take(&mut call.entry), stage: Stage::Awaited };
        let pledge = Arc::new(Pledge { calls: Arc::clone(self), place: Mutex::new(place) });
        call.pledge = Some(Arc::clone(&pledge));
        Note(Some(pledge))
    }

    /// Writes the entry of `call` into its slot, taking one where it has none.
    pub(super) fn claim(&self, call: &mut OpenCall) {
        call.slot = self.write(&call.entry, call.slot);
    }

    /// Writes an entry into `slot`, or into one that is free, and says into which.
    fn write(&self, entry: &[u8], slot: Option<u32>) -> Option<u32> {
        if entry.len() > SLOT_BYTES {
            self.failed(&"the record does not fit a slot");
            return slot;
        }
        let Some(slot) = slot.or_else(|| self.take()) else {
            self.failed(&"more calls are in flight than there are slots");
            return None;
        };
        match self.file.write_all_at(entry, offset(slot)) {
            Ok(()) if self.failing.load(Ordering::Relaxed) => self.failing.store(false, Ordering::Relaxed),
            Ok(()) => {}
            Err(error) => self.failed(&error),
        }
        Some(slot)
    }

    /// The call's record is in the journal: its slot may be used again.
    pub(super) fn ended(&self, call: &mut OpenCall) {
        if let Some(slot) = call.slot.take() {
            self.slots().ended.push(slot);
        }
    }

    /// The call leaves no record: its slot is cleared at once.
    pub(super) fn withdraw(&self, call: &mut OpenCall) {
        if let Some(slot) = call.slot.take() {
            self.clear(slot);
            self.slots().cleared.push(slot);
        }
    }

    /// Clears the slots of the calls that have ended.
    pub(super) fn clear_ended(&self) {
        // They are nobody's while they are cleared, so that no claim is undone.
        let ended = std::mem::take(&mut self.slots().ended);
        for slot in &ended {
            self.clear(*slot);
        }
        self.slots().cleared.extend(ended);
    }

    fn take(&self) -> Option<u32> {
        let mut slots = self.slots();
        if let Some(slot) = slots.ended.pop() {
            return Some(slot);
        }
        if let Some(slot) = slots.cleared.pop() {
            return Some(slot);
        }
        let slot = slots.count;
        if slot >= self.most {
            return None;
        }
        slots.count += 1;
        Some(slot)
    }

    /// A length of zero is no entry.
    fn clear(&self, slot: u32) {
        if let Err(error) = self.file.write_all_at(&[0; 4], offset(slot)) {
            self.failed(&error);
        }
    }

    /// The call goes on: it is recorded when it ends. Only a kill until then would lose it.
    fn failed(&self, why: &dyn std::fmt::Display) {
        names::open_call_unwritten();
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%why, "calls in flight cannot be noted; a kill would lose their records");
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the process before had in flight when it ended. A slot that was not written whole counts as
/// empty: its call had not reached its provider yet.
pub(super) fn left_in(dir: &Path) -> io::Result<HashMap<UsageRecordId, UsageRecord>> {
    let file = match File::open(path(dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error),
    };
    let mut file = BufReader::with_capacity(64 * SLOT_BYTES, file);
    let mut left = HashMap::new();
    let mut slot = Vec::with_capacity(SLOT_BYTES);
    loop {
        slot.clear();
        if file.by_ref().take(SLOT_BYTES as u64).read_to_end(&mut slot)? == 0 {
            return Ok(left);
        }
        let json = segment::entry_at(&slot, 0).and_then(|(json, _)| slot.get(json));
        match json.map(serde_json::from_slice::<UsageRecord>) {
            Some(Ok(record)) => drop(left.insert(record.id, record)),
            Some(Err(error)) => tracing::error!(%error, "a call that was in flight is lost: its slot holds no record"),
            None => {}
        }
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

fn offset(slot: u32) -> u64 {
    u64::from(slot) * SLOT_BYTES as u64
}
