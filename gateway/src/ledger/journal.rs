//! The append-only journal: what has been billed and is not yet in the database.
//!
//! A directory of segment files. One entry is one `write(2)` to a file opened for appending, so a
//! `kill -9` at any moment loses nothing that `append` has returned for: the kernel holds it. Against
//! a loss of power `sync` must be called now and then; what was appended since the last call is the
//! documented window of loss. Segments are deleted once everything in them is acknowledged. Up to where that is
//! stands in a file beside them, so that a later process does not replay what the database has long had: its
//! retention may have deleted it meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::ids::UsageRecordId;

use super::segment::{self, Piece};
use super::{JournalLimits, LedgerError, UsageRecord, open_calls};

const EXTENSION: &str = "journal";
/// The file that says up to where everything is acknowledged: a segment's number and a byte in it, eight
/// little-endian bytes each. A lost or older one means that more is replayed.
const ACKNOWLEDGED: &str = "acknowledged";

/// A place between two entries: everything before it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Position {
    segment: u64,
    end: u64,
}

/// What was found when a journal was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Whole records, to be written to the database again.
    pub records: u64,
    /// Calls that were in flight when the process ended, now records flagged as estimated.
    pub in_flight: u64,
    /// Damaged places, each copied to a `.corrupt` file beside its segment.
    pub damaged: u64,
    /// Bytes of entries that were never written whole, cut off.
    pub torn_bytes: u64,
}

/// Some records in the order they were appended.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) records: Vec<UsageRecord>,
    pub(super) upto: Position,
}

/// An open journal. While it lives, no other process can open the directory.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    limits: JournalLimits,
    files: Mutex<Files>,
    /// Bytes of all segments, changed under the lock and read without it.
    bytes: AtomicU64,
    /// The last append failed on the file system.
    failing: AtomicBool,
    mark: File,
    /// Held for its lock, which the kernel frees with the file.
    _lock: File,
}

#[derive(Debug, Default)]
struct Files {
    /// Bytes of every segment on disk, by number.
    segments: BTreeMap<u64, u64>,
    /// The segment that is appended to.
    active: Option<(u64, Arc<File>)>,
    next: u64,
    acknowledged: Position,
    /// Files with bytes that the disk may not have.
    unsynced: Vec<Arc<File>>,
    /// Whether entries of the directory itself have changed since the last sync.
    dir_changed: bool,
}

impl Journal {
    /// Opens `dir`, making it where it is missing, reads back every segment in it, and appends what was
    /// in flight.
    pub(super) fn open(dir: &Path, limits: JournalLimits) -> Result<(Self, Recovery), LedgerError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(LedgerError::io(dir))?;
        let lock = lock(dir)?;
        let mut in_flight = open_calls::left_in(dir).map_err(LedgerError::io(dir))?;
        let (mark, acknowledged) = open_mark(dir).map_err(LedgerError::io(dir))?;
        // No number is used again that the mark may be about: it would be taken for that of new entries.
        let mut files = Files { acknowledged, next: acknowledged.segment + 1, ..Files::default() };
        let mut bytes = 0;
        let mut recovery = Recovery::default();
        for (number, path) in segments_in(dir).map_err(LedgerError::io(dir))? {
            let is_new = |end| Position { segment: number, end } > acknowledged;
            let length = recover(&path, is_new, &mut recovery, &mut in_flight).map_err(LedgerError::io(&path))?;
            files.segments.insert(number, length);
            files.next = files.next.max(number + 1);
            bytes += length;
        }
        recovery.in_flight = in_flight.len() as u64;
        let journal = Self {
            dir: dir.to_owned(),
            limits,
            files: Mutex::new(files),
            bytes: AtomicU64::new(bytes),
            failing: AtomicBool::new(false),
            mark,
            _lock: lock,
        };
        journal.tidy();
        journal.take_over(in_flight)?;
        Ok((journal, recovery))
    }

    /// Appends the records of calls that were in flight, whatever the bound: their number has its own.
    fn take_over(&self, in_flight: HashMap<UsageRecordId, UsageRecord>) -> Result<(), LedgerError> {
        if in_flight.is_empty() {
            return Ok(());
        }
        let mut records: Vec<UsageRecord> = in_flight.into_values().collect();
        records.sort_by_key(|record| record.id.0);
        let mut entry = Vec::new();
        for record in &records {
            segment::encode(record, &mut entry)?;
            self.write(&mut self.files(), &entry).map_err(LedgerError::io(&self.dir))?;
        }
        // Their slots are emptied next, and may reach the disk first.
        self.sync().map_err(LedgerError::io(&self.dir))
    }

    /// Appends one entry; its place is after everything appended before.
    pub(super) fn append(&self, entry: &[u8]) -> Result<Position, LedgerError> {
        let size = entry.len() as u64;
        let mut files = self.files();
        if self.bytes() + size > self.limits.max_bytes {
            self.reclaim(&mut files, 1);
        }
        if self.bytes() + size > self.limits.max_bytes {
            return Err(LedgerError::Full { bytes: self.bytes(), max_bytes: self.limits.max_bytes });
        }
        let written = self.write(&mut files, entry).map_err(LedgerError::io(&self.dir));
        self.failing.store(written.is_err(), Ordering::Relaxed);
        written
    }

    /// After a failed append, what `again` says: while the disk takes nothing, no work must be begun that
    /// could not be recorded. Costs nothing otherwise.
    pub(super) fn probe(&self, again: impl FnOnce() -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        if self.failing.load(Ordering::Relaxed) { again() } else { Ok(()) }
    }

    /// Reads records after `from`, at most `most` of them and not beyond `last`.
    pub(super) fn read(&self, from: Position, last: Position, most: usize) -> io::Result<Batch> {
        let numbers: Vec<u64> =
            self.files().segments.range(from.segment..=last.segment).map(|(number, _)| *number).collect();
        let mut read = Batch { records: Vec::new(), upto: from };
        for number in numbers {
            let start = if number == from.segment { from.end } else { 0 };
            let stop = (number == last.segment).then_some(last.end);
            read_segment(&segment_path(&self.dir, number), number, start, stop, most, &mut read)?;
            if read.records.len() >= most {
                return Ok(read);
            }
        }
        read.upto = last;
        Ok(read)
    }

    /// Where it is.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Everything up to `upto` is in the database: segments without anything newer are deleted.
    pub(super) fn acknowledge(&self, upto: Position) {
        let mut files = self.files();
        files.acknowledged = files.acknowledged.max(upto);
        // The segment in use goes too once it has some size: deleting and making it for every record
        // of a quiet gateway would cost more than a replay of the little it holds.
        self.reclaim(&mut files, self.limits.segment_bytes / 8);
        self.note_acknowledged(&files);
    }

    /// Notes it for a later process, while there is a segment that it is about or a later one: where there is none,
    /// an earlier version of the program begins with the first number again.
    fn note_acknowledged(&self, files: &Files) {
        let is_about = files.segments.last_key_value().is_some_and(|(last, _)| *last >= files.acknowledged.segment);
        let Position { segment, end } = if is_about { files.acknowledged } else { Position::default() };
        let mark = [segment.to_le_bytes(), end.to_le_bytes()].concat();
        if let Err(error) = self.mark.write_all_at(&mark, 0) {
            tracing::warn!(%error, "the journal cannot note what the database has; a restart replays more");
        }
    }

    /// Asks the disk to hold everything appended so far.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.sync_by(File::sync_data)
    }

    /// Syncs each file, and notes for the next time what the disk did not take.
    pub(super) fn sync_by(&self, sync: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
        let (mut unsynced, mut dir_changed) = {
            let mut files = self.files();
            (std::mem::take(&mut files.unsynced), std::mem::take(&mut files.dir_changed))
        };
        let mut outcome = Ok(());
        unsynced.retain(|file| match sync(file) {
            Ok(()) => false,
            Err(error) => {
                outcome = Err(error);
                true
            }
        });
        if dir_changed {
            match File::open(&self.dir).and_then(|dir| dir.sync_all()) {
                Ok(()) => dir_changed = false,
                Err(error) => outcome = Err(error),
            }
        }
        let mut files = self.files();
        files.dir_changed |= dir_changed;
        for file in unsynced {
            if !files.unsynced.iter().any(|known| Arc::ptr_eq(known, &file)) {
                files.unsynced.push(file);
            }
        }
        outcome
    }

    /// Deletes every acknowledged segment, the one in use too.
    pub(super) fn tidy(&self) {
        let mut files = self.files();
        self.reclaim(&mut files, 1);
        self.note_acknowledged(&files);
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Up to where everything is in the database.
    pub(super) fn acknowledged(&self) -> Position {
        self.files().acknowledged
    }

    /// The end of what is on disk.
    pub(super) fn end(&self) -> Position {
        let files = self.files();
        files
            .segments
            .last_key_value()
            .map(|(segment, end)| Position { segment: *segment, end: *end })
            .unwrap_or_default()
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, files: &mut Files, entry: &[u8]) -> io::Result<Position> {
        let number = self.active(files)?;
        let Some(file) = files.active.as_ref().map(|(_, file)| Arc::clone(file)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let before = files.segments.get(&number).copied().unwrap_or(0);
        let written = write_once(&file, entry);
        if let Err(error) = written {
            // A part of an entry must not stand before the next one. Where it cannot be cut off, the
            // segment ends here and the reader skips its torn tail.
            if file.set_len(before).is_err() {
                files.active = None;
            }
            return Err(error);
        }
        let size = entry.len() as u64;
        let end = before + size;
        files.segments.insert(number, end);
        self.bytes.fetch_add(size, Ordering::Relaxed);
        if files.unsynced.is_empty() {
            files.unsynced.push(file);
        }
        Ok(Position { segment: number, end })
    }

    /// The number of the segment to append to, which is made where there is none with room.
    fn active(&self, files: &mut Files) -> io::Result<u64> {
        if let Some((number, _)) = &files.active
            && files.segments.get(number).is_some_and(|bytes| *bytes < self.limits.segment_bytes)
        {
            return Ok(*number);
        }
        let number = files.next;
        let path = segment_path(&self.dir, number);
        let file = Arc::new(OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?);
        files.unsynced.push(Arc::clone(&file));
        files.active = Some((number, file));
        files.segments.insert(number, 0);
        files.next = number + 1;
        files.dir_changed = true;
        Ok(number)
    }

    /// Deletes what is acknowledged whole; the segment in use only from `active_from` bytes on.
    fn reclaim(&self, files: &mut Files, active_from: u64) {
        let done = files.acknowledged;
        let active = files.active.as_ref().map(|(number, _)| *number);
        let whole = |number: u64, bytes: u64| Position { segment: number, end: bytes } <= done;
        let kept = |number: u64, bytes: u64| active == Some(number) && bytes < active_from;
        let gone: Vec<(u64, u64)> =
            files.segments.iter().map(|(n, b)| (*n, *b)).filter(|(n, b)| whole(*n, *b) && !kept(*n, *b)).collect();
        for (number, bytes) in gone {
            if let Err(error) = std::fs::remove_file(segment_path(&self.dir, number)) {
                tracing::warn!(%error, segment = number, "journal segment could not be deleted");
                continue;
            }
            files.segments.remove(&number);
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            files.dir_changed = true;
            if active == Some(number) {
                files.active = None;
            }
        }
    }
}

/// Takes the directory for this process.
fn lock(dir: &Path) -> Result<File, LedgerError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(LedgerError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(LedgerError::Io { path, source }),
    }
}

/// Opens the mark, and reads it.
fn open_mark(dir: &Path) -> io::Result<(File, Position)> {
    let path = dir.join(ACKNOWLEDGED);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let number = |bytes: &[u8]| Some(u64::from_le_bytes(*bytes.first_chunk()?));
    let marked = bytes.split_at_checked(8).and_then(|(segment, end)| Some((number(segment)?, number(end)?)));
    let (segment, end) = marked.unwrap_or_default();
    Ok((file, Position { segment, end }))
}

/// One `write(2)`: an entry is appended whole or not at all.
fn write_once(mut file: &File, entry: &[u8]) -> io::Result<()> {
    loop {
        match file.write(entry) {
            Ok(written) if written == entry.len() => return Ok(()),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::WriteZero, "the disk took a part of an entry only")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.{EXTENSION}"))
}

fn segments_in(dir: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(number) = number
            && path.extension().is_some_and(|extension| extension == EXTENSION)
        {
            found.insert(number, path);
        }
    }
    Ok(found)
}

/// Checks a segment left by an earlier process: counts its records that the database is not known to have, keeps
/// copies of damage, cuts off a torn tail. What it has a record of was not in flight any more. Returns its length.
fn recover(
    path: &Path,
    is_new: impl Fn(u64) -> bool,
    recovery: &mut Recovery,
    in_flight: &mut HashMap<UsageRecordId, UsageRecord>,
) -> io::Result<u64> {
    let bytes = std::fs::read(path)?;
    let mut at = 0;
    while let Some(piece) = segment::piece_at(&bytes, at) {
        let damage = match piece {
            Piece::Entry { json, end } => match decode(&bytes, json) {
                Some(record) => {
                    in_flight.remove(&record.id);
                    recovery.records += u64::from(is_new(end as u64));
                    at = end;
                    continue;
                }
                // Whole, and yet no usage record.
                None => at..end,
            },
            Piece::Damage(range) => range,
            Piece::Torn(start) => {
                let torn = (bytes.len() - start) as u64;
                recovery.torn_bytes += torn;
                tracing::warn!(path = %path.display(), torn, "cut off an unfinished journal entry");
                OpenOptions::new().write(true).open(path)?.set_len(start as u64)?;
                return Ok(start as u64);
            }
        };
        recovery.damaged += 1;
        keep_damage(path, damage.start as u64, bytes.get(damage.clone()).unwrap_or_default())?;
        at = damage.end;
    }
    Ok(bytes.len() as u64)
}

fn decode(bytes: &[u8], json: std::ops::Range<usize>) -> Option<UsageRecord> {
    serde_json::from_slice(bytes.get(json)?).ok()
}

/// Copies a damaged place beside its segment, once.
fn keep_damage(path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
    let copy = path.with_extension(format!("{at}.corrupt"));
    tracing::error!(path = %path.display(), at, bytes = bytes.len(), "damaged journal entry, kept as .corrupt");
    std::fs::write(copy, bytes)
}

/// Reads records of one segment from byte `start` to `stop` or its end.
fn read_segment(
    path: &Path,
    number: u64,
    start: u64,
    stop: Option<u64>,
    most: usize,
    read: &mut Batch,
) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(stop.map_or(u64::MAX, |stop| stop.saturating_sub(start))).read_to_end(&mut bytes)?;
    let mut at = 0;
    while read.records.len() < most
        && let Some(piece) = segment::piece_at(&bytes, at)
    {
        at = match piece {
            Piece::Entry { json, end } => {
                match decode(&bytes, json) {
                    Some(record) => read.records.push(record),
                    None => keep_damage(path, start + at as u64, bytes.get(at..end).unwrap_or_default())?,
                }
                end
            }
            Piece::Damage(range) => {
                keep_damage(path, start + range.start as u64, bytes.get(range.clone()).unwrap_or_default())?;
                range.end
            }
            Piece::Torn(_) => bytes.len(),
        };
        read.upto = Position { segment: number, end: start + at as u64 };
    }
    Ok(())
}
