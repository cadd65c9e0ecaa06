//! The disk takes nothing for a while, and the database is away for long or without a word.

use super::*;

#[tokio::test(start_paused = true)]
async fn while_the_disk_takes_nothing_no_work_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::default();
    let ledger = Ledger::open(dir.path(), small(), database.clone()).unwrap();
    std::fs::remove_dir_all(dir.path()).unwrap();
    assert!(matches!(ledger.record(record(1)), Err(LedgerError::Io { .. })));
    assert!(ledger.accepts().is_err() && !ledger.health().accepts_work);
    assert!(matches!(ledger.record(record(2)), Err(LedgerError::Io { .. })));
    assert_eq!(ledger.health().pending_records, 2);
    std::fs::create_dir(dir.path()).unwrap();
    ledger.accepts().unwrap();
    ledger.flush().await;
    assert_eq!((database.row(1), database.row(2)), (Some(record(1)), Some(record(2))), "without being told again");
    assert_eq!(ledger.health().pending_records, 0);
}

#[tokio::test]
async fn what_the_disk_did_not_take_follows_by_itself_when_nobody_calls() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::default();
    let ledger = Ledger::open(dir.path(), small(), database.clone()).unwrap();
    std::fs::remove_dir_all(dir.path()).unwrap();
    for number in 0..20 {
        ledger.record(record(number)).unwrap_err();
    }
    std::fs::create_dir(dir.path()).unwrap();
    while ledger.health().pending_records > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rows = database.rows.lock().unwrap().clone();
    assert_eq!(rows.len(), small().max_queued, "no more are kept than may be queued");
    assert!(rows.values().all(|times| *times == 1));
}

/// A database that hangs: it answers nothing, but for the attempt of this number.
struct Silent {
    attempts: AtomicUsize,
    answers: usize,
    database: Database,
}

impl Sink for Silent {
    async fn insert(&self, records: &[UsageRecord]) -> Result<(), InsertError> {
        if self.attempts.fetch_add(1, Ordering::SeqCst) + 1 < self.answers {
            std::future::pending::<()>().await;
        }
        self.database.insert(records).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_vanished_without_a_word_is_told_and_asked_anew() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::default();
    let silent = Silent { attempts: AtomicUsize::new(0), answers: 3, database: database.clone() };
    let ledger = Ledger::open(dir.path(), small(), silent).unwrap();
    ledger.record(record(1)).unwrap();
    let begun = tokio::time::Instant::now();
    while ledger.health().database_ok {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "readiness says so soon");
    ledger.flush().await;
    assert!(begun.elapsed() < Duration::from_secs(120), "each attempt is given up");
    assert_eq!((database.count(), ledger.health().database_ok), (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_for_an_hour_gets_everything_once_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let away = Database::away_for(usize::MAX);
    let limits = JournalLimits { max_queued: 1_000, ..JournalLimits::default() };
    let ledger = Ledger::open(dir.path(), limits, away.clone()).unwrap();
    let (hour, calls) = (Duration::from_secs(3_600), 36_000);
    for number in 0..calls {
        ledger.record(record(number)).unwrap();
        tokio::time::sleep(hour / u32::try_from(calls).unwrap()).await;
    }
    let health = ledger.health();
    assert!(!health.database_ok && health.accepts_work, "work goes on");
    assert_eq!((u128::from(health.pending_records), away.count()), (calls, 0));
    assert!(ledger.0.shared.queue().memory.len() <= limits.max_queued, "memory is bounded; the disk has the rest");

    away.failures.store(0, Ordering::SeqCst);
    let back = tokio::time::Instant::now();
    ledger.flush().await;
    assert!(back.elapsed() < Duration::from_secs(10), "it is asked every few seconds");
    let rows = away.rows.lock().unwrap().clone();
    assert_eq!(rows.len() as u128, calls);
    assert!(rows.values().all(|times| *times == 1));
    assert_eq!((ledger.health().pending_records, ledger.health().database_ok), (0, true));
}
