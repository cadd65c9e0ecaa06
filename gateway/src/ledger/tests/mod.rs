//! Nothing is lost and nothing is counted twice, whatever happens to the process, the disk and the
//! database.

mod faults;
mod kills;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::ids::{RequestId, TenantId, UsageRecordId, VirtualKeyId};
use domain::money::NanoUsd;
use domain::provider::{Operation, ProviderKind};
use domain::usage::{Usage, UsageSource, UsageStatus};
use proptest::prelude::*;
use time::macros::datetime;
use uuid::Uuid;

use super::journal::{Journal, Position};
use super::writer::BATCH_RECORDS;
use super::*;

/// A database that counts how often each id came and can be away. Idempotent on the id, as the real
/// one is.
#[derive(Clone, Default)]
struct Database {
    rows: Arc<Mutex<HashMap<UsageRecordId, usize>>>,
    /// What stands under each id: what came first.
    kept: Arc<Mutex<HashMap<UsageRecordId, UsageRecord>>>,
    failures: Arc<AtomicUsize>,
    largest: Arc<AtomicUsize>,
    /// What it refuses for good.
    refuses: Arc<Mutex<Vec<UsageRecordId>>>,
}

impl Database {
    fn away_for(failures: usize) -> Self {
        let database = Self::default();
        database.failures.store(failures, Ordering::SeqCst);
        database
    }

    fn row(&self, number: u128) -> Option<UsageRecord> {
        self.kept.lock().unwrap().get(&record(number).id).cloned()
    }

    fn count(&self) -> usize {
        self.rows.lock().unwrap().len()
    }
}

impl Sink for Database {
    async fn insert(&self, records: &[UsageRecord]) -> Result<(), InsertError> {
        if self.failures.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(InsertError::Away("away".to_owned()));
        }
        let refuses = self.refuses.lock().unwrap();
        if records.iter().any(|record| refuses.contains(&record.id)) {
            return Err(InsertError::Refused("a NUL".to_owned()));
        }
        self.largest.fetch_max(records.len(), Ordering::SeqCst);
        let mut rows = self.rows.lock().unwrap();
        for record in records {
            *rows.entry(record.id).or_default() += 1;
            self.kept.lock().unwrap().entry(record.id).or_insert_with(|| record.clone());
        }
        Ok(())
    }
}

fn record(number: u128) -> UsageRecord {
    let id = Uuid::from_u128(number);
    UsageRecord {
        id: UsageRecordId(id),
        request_id: RequestId(id),
        session_id: None,
        sequence: 0,
        tenant_id: TenantId(id),
        key_id: VirtualKeyId(id),
        user_tag: None,
        tags: Some("team=a".to_owned()),
        operation: Operation::Transcription,
        model_asked: "stt-fast".to_owned(),
        provider_kind: ProviderKind::Groq,
        provider: "groq".to_owned(),
        model_served: "whisper-large-v3-turbo".to_owned(),
        usage: Usage { audio_in_ms: 1234, ..Usage::default() },
        usage_source: UsageSource::Measured,
        cost: Some(NanoUsd(111_111)),
        price_id: None,
        status: UsageStatus::Ok,
        attempts: 1,
        failed_attempts: Vec::new(),
        routing: None,
        cache: None,
        ttfb_ms: Some(80),
        latency_ms: 120,
        started_at: datetime!(2026-11-21 12:00 UTC),
        ended_at: datetime!(2026-11-21 12:00:01 UTC),
    }
}

fn small() -> JournalLimits {
    JournalLimits { segment_bytes: 4096, max_queued: 10, ..JournalLimits::default() }
}

/// Opens as soon as the process before has let go of the directory.
async fn reopen(dir: &Path, limits: JournalLimits, database: &Database) -> Ledger {
    loop {
        match Ledger::open(dir, limits, database.clone()) {
            Ok(ledger) => return ledger,
            Err(LedgerError::Locked { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn append(journal: &Journal, number: u128) -> Position {
    let mut entry = Vec::new();
    segment::encode(&record(number), &mut entry).unwrap();
    journal.append(&entry).unwrap()
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_refused_is_set_aside_and_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::away_for(2);
    *database.refuses.lock().unwrap() = vec![record(3).id, record(7).id];
    let ledger = Ledger::open(dir.path(), small(), database.clone()).unwrap();
    for number in 0..10 {
        ledger.record(record(number)).unwrap();
    }
    ledger.flush().await;
    assert_eq!((database.count(), database.row(3), database.row(7)), (8, None, None));
    assert_eq!((ledger.health().pending_records, ledger.health().database_ok), (0, true));
    ledger.close(Duration::from_secs(60)).await;
    assert_eq!(files(dir.path(), "journal").len(), 0, "the journal lets go of them");
    let aside = std::fs::read_to_string(dir.path().join("refused.jsonl")).unwrap();
    let aside: Vec<serde_json::Value> = aside.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(aside.iter().map(|line| line["reason"].as_str()).collect::<Vec<_>>(), [Some("a NUL"); 2]);
    let kept = aside.into_iter().map(|mut line| serde_json::from_value(line["record"].take()).unwrap());
    assert_eq!(kept.collect::<Vec<UsageRecord>>(), [record(3), record(7)], "whole");
}

#[test]
fn what_the_disk_did_not_take_is_synced_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let limits = JournalLimits { segment_bytes: 1, ..small() };
    let (journal, _) = Journal::open(dir.path(), limits).unwrap();
    for number in 0..3 {
        append(&journal, number);
    }
    let synced = std::cell::Cell::new(0);
    let sync = |failing: usize| {
        synced.set(0);
        journal.sync_by(|_| {
            synced.set(synced.get() + 1);
            if synced.get() == failing { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    };
    assert!(sync(1).is_err());
    assert_eq!(synced.get(), 3, "one that fails keeps no other from the disk");
    sync(0).unwrap();
    assert_eq!(synced.get(), 1, "the one that failed comes again");
    sync(0).unwrap();
    assert_eq!(synced.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_database_has_is_not_replayed_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let limits = JournalLimits::default();
    let ledger = Ledger::open(dir.path(), limits, Database::default()).unwrap();
    for number in 0..3 {
        ledger.record(record(number)).unwrap();
    }
    ledger.flush().await;
    assert_eq!(files(dir.path(), "journal").len(), 1, "the segment in use stays");
    ledger.record(record(3)).unwrap();
    drop(ledger);

    // Its retention may have deleted the others meanwhile: they would be counted again.
    let database = Database::default();
    let ledger = reopen(dir.path(), limits, &database).await;
    assert_eq!(ledger.recovery(), Recovery { records: 1, ..Recovery::default() });
    ledger.flush().await;
    assert_eq!((database.count(), database.row(3)), (1, Some(record(3))));
    drop(ledger);

    // Each next process begins a segment of its own, which no mark of an earlier one is about.
    for number in 4..7 {
        let ledger = reopen(dir.path(), limits, &Database::away_for(usize::MAX)).await;
        assert_eq!(ledger.recovery(), Recovery { records: number - 4, ..Recovery::default() });
        ledger.record(record(number.into())).unwrap();
        drop(ledger);
    }
    let ledger = reopen(dir.path(), limits, &database).await;
    assert_eq!(ledger.close(Duration::from_secs(60)).await.pending_records, 0);
    assert_eq!(database.count(), 4);
    drop(ledger);
    assert_eq!(std::fs::read(dir.path().join("acknowledged")).unwrap(), [0; 16], "nothing is left that it is about");
    let ledger = reopen(dir.path(), limits, &database).await;
    ledger.record(record(7)).unwrap();
    drop(ledger);
    let ledger = reopen(dir.path(), limits, &database).await;
    assert_eq!(ledger.recovery(), Recovery { records: 1, ..Recovery::default() });
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_loses_nothing_and_bills_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let away = Database::away_for(usize::MAX);
    let ledger = Ledger::open(dir.path(), small(), away.clone()).unwrap();
    for number in 0..100 {
        ledger.record(record(number)).unwrap();
    }
    drop(ledger);
    assert_eq!(away.count(), 0);

    let database = Database::default();
    let ledger = reopen(dir.path(), small(), &database).await;
    assert_eq!(ledger.recovery(), Recovery { records: 100, ..Recovery::default() });
    ledger.record(record(100)).unwrap();
    ledger.flush().await;
    let rows = database.rows.lock().unwrap().clone();
    assert_eq!(rows.len(), 101);
    assert!(rows.values().all(|times| *times == 1));
    assert_eq!(ledger.health().pending_records, 0);
}

#[tokio::test(start_paused = true)]
async fn a_replay_after_the_insert_and_before_its_acknowledgement_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), small()).unwrap();
    for number in 0..20 {
        append(&journal, number);
    }
    drop(journal);
    let kept: Vec<_> =
        files(dir.path(), "journal").into_iter().map(|p| (p.clone(), std::fs::read(&p).unwrap())).collect();
    let database = Database::default();
    let ledger = reopen(dir.path(), small(), &database).await;
    assert_eq!(ledger.close(Duration::from_secs(60)).await.pending_records, 0);
    drop(ledger);
    assert_eq!(files(dir.path(), "journal"), Vec::<PathBuf>::new());

    // As if the process had died between the insert and its acknowledgement.
    for (path, bytes) in kept {
        std::fs::write(path, bytes).unwrap();
    }
    std::fs::remove_file(dir.path().join("acknowledged")).unwrap();
    reopen(dir.path(), small(), &database).await.flush().await;
    assert_eq!(database.count(), 20);
    assert!(database.rows.lock().unwrap().values().all(|times| *times == 2), "came twice, is one row");
}

#[tokio::test(start_paused = true)]
async fn a_database_that_comes_back_gets_everything() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::away_for(5);
    let ledger = Ledger::open(dir.path(), small(), database.clone()).unwrap();
    // Far more than the queue holds: the rest is read back from the journal.
    for number in 0..2600 {
        ledger.record(record(number)).unwrap();
    }
    assert_eq!(ledger.health().pending_records, 2600);
    assert!(ledger.0.shared.queue().memory.len() <= 10);
    tokio::time::timeout(Duration::from_secs(1), ledger.flush()).await.unwrap_err();
    assert!(!ledger.health().database_ok);
    ledger.flush().await;
    let health = ledger.health();
    assert_eq!(database.count(), 2600);
    assert!(database.largest.load(Ordering::SeqCst) <= BATCH_RECORDS);
    assert!(health.database_ok && health.pending_records == 0 && health.accepts_work);
    for number in 2600..2700 {
        ledger.record(record(number)).unwrap();
    }
    ledger.flush().await;
    assert_eq!(database.count(), 2700);
    assert!(database.rows.lock().unwrap().values().all(|times| *times == 1));
}

#[tokio::test(start_paused = true)]
async fn at_its_bound_the_journal_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let limits = JournalLimits { max_bytes: 64 * 1024, ..small() };
    let database = Database::away_for(3);
    let ledger = Ledger::open(dir.path(), limits, database.clone()).unwrap();
    let mut kept = 0;
    let mut refused_work_at = None;
    let error = loop {
        if ledger.accepts().is_err() {
            refused_work_at.get_or_insert(kept);
        }
        match ledger.record(record(kept)) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LedgerError::Full { .. }), "{error}");
    assert!(refused_work_at.unwrap() < kept, "new work is refused before running work loses its record");
    assert!(ledger.health().pending_bytes <= limits.max_bytes);
    ledger.flush().await;
    assert_eq!(database.count() as u128, kept);
    ledger.accepts().unwrap();
    ledger.record(record(kept)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_that_record_at_once_are_counted_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::default();
    let ledger = Ledger::open(dir.path(), small(), database.clone()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u128 {
            let ledger = ledger.clone();
            scope.spawn(move || (0..250).for_each(|number| ledger.record(record(thread * 1000 + number)).unwrap()));
        }
    });
    ledger.flush().await;
    let rows = database.rows.lock().unwrap().clone();
    assert_eq!(rows.len(), 2000);
    assert!(rows.values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_directory_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let _ledger = Ledger::open(dir.path(), small(), Database::default()).unwrap();
    let error = Ledger::open(dir.path(), small(), Database::default()).unwrap_err();
    assert!(matches!(error, LedgerError::Locked { .. }));
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn closing_with_the_database_away_keeps_the_records_for_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), small(), Database::away_for(usize::MAX)).unwrap();
    ledger.record(record(1)).unwrap();
    assert_eq!(ledger.close(Duration::from_secs(5)).await.pending_records, 1);
    ledger.record(record(2)).unwrap();
    drop(ledger);
    let database = Database::default();
    reopen(dir.path(), small(), &database).await.flush().await;
    assert_eq!(database.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_journal_with_nothing_but_damage_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), small()).unwrap();
    append(&journal, 1);
    drop(journal);
    let path = files(dir.path(), "journal").remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let database = Database::default();
    let ledger = reopen(dir.path(), small(), &database).await;
    assert_eq!(ledger.recovery().damaged, 1);
    ledger.flush().await;
    assert_eq!(database.count(), 0);
    assert!(files(dir.path(), "journal").is_empty() && files(dir.path(), "corrupt").len() == 1);
}

#[test]
fn damage_in_the_middle_is_kept_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), JournalLimits::default()).unwrap();
    let first = append(&journal, 1);
    append(&journal, 2);
    append(&journal, 3);
    drop(journal);
    let path = files(dir.path(), "journal").remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&path, &bytes).unwrap();

    let (journal, recovery) = Journal::open(dir.path(), JournalLimits::default()).unwrap();
    assert_eq!(recovery, Recovery { records: 2, damaged: 1, ..Recovery::default() });
    let read = journal.read(Position::default(), journal.end(), 10).unwrap();
    assert_eq!(read.records, [record(1), record(3)]);
    assert_eq!(read.upto, journal.end());
    assert!(first < read.upto);
    let copy = std::fs::read(files(dir.path(), "corrupt").remove(0)).unwrap();
    assert!(bytes.windows(copy.len()).any(|window| window == copy));
    assert_eq!(copy.len(), bytes.len() / 3);
}

#[test]
fn a_tail_torn_at_any_byte_costs_the_torn_record_only() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), JournalLimits::default()).unwrap();
    for number in 0..3 {
        append(&journal, number);
    }
    drop(journal);
    let whole = std::fs::read(files(dir.path(), "journal").remove(0)).unwrap();
    let entry = whole.len() / 3;
    for cut in 0..=whole.len() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("00000000000000000007.journal"), &whole[..cut]).unwrap();
        let (journal, recovery) = Journal::open(dir.path(), JournalLimits::default()).unwrap();
        let (records, torn_bytes) = ((cut / entry) as u64, (cut % entry) as u64);
        let expected = Recovery { records, torn_bytes, ..Recovery::default() };
        assert_eq!(recovery, expected, "cut at {cut}");
        append(&journal, 99);
        let read = journal.read(Position::default(), journal.end(), 10).unwrap();
        assert_eq!(read.records.len(), cut / entry + 1);
        assert_eq!(read.records.last(), Some(&record(99)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_journal_of_any_bytes_opens_and_takes_records(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("00000000000000000000.journal"), &bytes).unwrap();
        let (journal, recovery) = Journal::open(dir.path(), small()).unwrap();
        prop_assert_eq!(recovery.records, 0);
        append(&journal, 1);
        prop_assert_eq!(journal.read(Position::default(), journal.end(), 10).unwrap().records, [record(1)]);
    }

    #[test]
    fn reading_in_any_steps_gives_every_record_once_in_order(count in 1_u128..60, step in 1_usize..20) {
        let dir = tempfile::tempdir().unwrap();
        let limits = JournalLimits { segment_bytes: 2048, ..small() };
        let (journal, _) = Journal::open(dir.path(), limits).unwrap();
        for number in 0..count {
            append(&journal, number);
        }
        let mut at = Position::default();
        let mut seen = Vec::new();
        while at < journal.end() {
            let read = journal.read(at, journal.end(), step).unwrap();
            prop_assert!(read.upto > at && read.records.len() <= step);
            seen.extend(read.records);
            at = read.upto;
            journal.acknowledge(at);
        }
        prop_assert_eq!(seen, (0..count).map(record).collect::<Vec<_>>());
        journal.tidy();
        prop_assert_eq!(journal.bytes(), 0);
        prop_assert!(files(dir.path(), "journal").is_empty());
    }
}
