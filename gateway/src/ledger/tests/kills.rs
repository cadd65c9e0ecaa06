//! Whenever the process is killed, a call that a provider had leaves one record, and no other call any.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use super::*;

const SLOT: usize = 4096;

/// What a call leaves when it is killed before it has ended.
fn noted(number: u128) -> UsageRecord {
    UsageRecord {
        cost: None,
        usage_source: UsageSource::Estimated,
        status: UsageStatus::ClientClosed,
        ..record(number)
    }
}

fn claimed(ledger: &Ledger, number: u128) -> OpenCall {
    let mut call = OpenCall::default();
    ledger.claim(&mut call, &noted(number));
    call
}

fn prepared(ledger: &Ledger, number: u128) -> (OpenCall, Note) {
    let mut call = OpenCall::default();
    let note = ledger.prepare(&mut call, &noted(number));
    (call, note)
}

fn slots(dir: &Path) -> PathBuf {
    dir.join("open-calls")
}

fn slot_count(dir: &Path) -> u64 {
    std::fs::metadata(slots(dir)).unwrap().len().div_ceil(SLOT as u64)
}

#[tokio::test(start_paused = true)]
async fn a_call_killed_before_its_record_is_recorded_as_noted_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), small(), Database::away_for(usize::MAX)).unwrap();
    ledger.record(record(1)).unwrap();
    let mut second_attempt = claimed(&ledger, 2);
    let elsewhere = UsageRecord { provider: "openai".to_owned(), attempts: 2, ..noted(2) };
    ledger.claim(&mut second_attempt, &elsewhere);
    ledger.withdraw(&mut claimed(&ledger, 3));
    drop(ledger);

    // The next process is killed as well, before the database takes anything.
    let ledger = reopen(dir.path(), small(), &Database::away_for(usize::MAX)).await;
    assert_eq!(ledger.recovery(), Recovery { records: 1, in_flight: 1, ..Recovery::default() });
    assert_eq!(ledger.health().pending_records, 2);
    drop(ledger);

    let database = Database::default();
    let ledger = reopen(dir.path(), small(), &database).await;
    assert_eq!(ledger.recovery(), Recovery { records: 2, ..Recovery::default() });
    assert_eq!(ledger.close(Duration::from_secs(60)).await.pending_records, 0);
    assert_eq!(database.count(), 2);
    assert_eq!((database.row(1), database.row(2)), (Some(record(1)), Some(elsewhere)));
    assert!(database.rows.lock().unwrap().values().all(|times| *times == 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_noted_by_its_note_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), small(), Database::away_for(usize::MAX)).unwrap();
    let (call, note) = prepared(&ledger, 1);
    assert!(call.is_awaited());
    assert_eq!(slot_count(dir.path()), 0, "its provider does not have it whole");
    note.write();
    assert!(!call.is_awaited());
    let (_unsent, _note) = prepared(&ledger, 2);
    // The socket does not take the last bytes yet.
    let (waiting, undone) = prepared(&ledger, 4);
    undone.write();
    undone.undo();
    assert!(waiting.is_awaited());
    let (_sent_later, written_again) = prepared(&ledger, 5);
    written_again.write();
    written_again.undo();
    written_again.write();
    // A provider that answers before it has everything is noted by its answer.
    let (early, late_note) = prepared(&ledger, 3);
    early.note();
    late_note.write();
    drop(ledger);

    let database = Database::default();
    let ledger = reopen(dir.path(), small(), &database).await;
    assert_eq!(ledger.recovery(), Recovery { in_flight: 3, ..Recovery::default() });
    ledger.flush().await;
    assert_eq!((database.row(1), database.row(2), database.row(3)), (Some(noted(1)), None, Some(noted(3))));
    assert_eq!((database.row(4), database.row(5)), (None, Some(noted(5))));
}

#[tokio::test(start_paused = true)]
async fn a_note_that_comes_late_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), small(), Database::away_for(usize::MAX)).unwrap();
    let (mut ended, note_of_ended) = prepared(&ledger, 1);
    ledger.settle(&mut ended, record(1)).unwrap();
    let (mut failed, note_of_failed) = prepared(&ledger, 2);
    ledger.withdraw(&mut failed);
    let (mut moved, note_of_first) = prepared(&ledger, 3);
    let elsewhere = UsageRecord { provider: "openai".to_owned(), attempts: 2, ..noted(3) };
    let note_of_second = ledger.prepare(&mut moved, &elsewhere);
    for note in [note_of_ended, note_of_failed, note_of_first] {
        note.write();
        note.undo();
    }
    assert_eq!(slot_count(dir.path()), 0);
    note_of_second.write();
    // A third try takes the place of the second, in the same slot.
    let third = UsageRecord { attempts: 3, ..elsewhere.clone() };
    ledger.prepare(&mut moved, &third).write();
    assert_eq!(slot_count(dir.path()), 1);
    drop(ledger);

    let database = Database::default();
    let ledger = reopen(dir.path(), small(), &database).await;
    assert_eq!(ledger.recovery(), Recovery { records: 1, in_flight: 1, ..Recovery::default() });
    ledger.flush().await;
    assert_eq!((database.row(1), database.row(2), database.row(3)), (Some(record(1)), None, Some(third)));
}

#[tokio::test(start_paused = true)]
async fn a_call_killed_after_its_record_has_that_record_alone() {
    let dir = tempfile::tempdir().unwrap();
    let away = Ledger::open(dir.path(), small(), Database::away_for(usize::MAX)).unwrap();
    away.settle(&mut claimed(&away, 1), record(1)).unwrap();
    let left = std::fs::read(slots(dir.path())).unwrap();
    assert!(left.iter().any(|byte| *byte != 0), "the slot is cleared later");
    drop(away);

    let database = Database::default();
    let ledger = reopen(dir.path(), small(), &database).await;
    assert_eq!(ledger.recovery(), Recovery { records: 1, ..Recovery::default() });
    ledger.settle(&mut claimed(&ledger, 2), record(2)).unwrap();
    ledger.flush().await;
    drop(ledger);
    // The journal may have let go of its entries by now: the slots must be empty before that.
    for path in files(dir.path(), "journal") {
        std::fs::remove_file(path).unwrap();
    }
    let ledger = reopen(dir.path(), small(), &database).await;
    assert_eq!(ledger.recovery(), Recovery::default());
    ledger.close(Duration::from_secs(60)).await;
    drop(ledger);
    assert_eq!((database.row(1), database.row(2)), (Some(record(1)), Some(record(2))));
    assert!(database.rows.lock().unwrap().values().all(|times| *times == 1));

    // Should a slot come back all the same, its id makes the second insert do nothing.
    std::fs::write(slots(dir.path()), left).unwrap();
    reopen(dir.path(), small(), &database).await.flush().await;
    assert_eq!((database.count(), database.row(1)), (2, Some(record(1))));
}

#[tokio::test(start_paused = true)]
async fn a_start_killed_while_it_takes_calls_over_takes_them_over_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), small(), Database::default()).unwrap();
    let _calls: Vec<OpenCall> = (0..5).map(|number| claimed(&ledger, number)).collect();
    let left = std::fs::read(slots(dir.path())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(slots(dir.path()), &left).unwrap();
    let (journal, recovery) = Journal::open(dir.path(), small()).unwrap();
    assert_eq!(recovery.in_flight, 5);
    drop(journal);
    assert_eq!(std::fs::read(slots(dir.path())).unwrap(), left, "killed before the slots were emptied");

    let database = Database::default();
    let ledger = reopen(dir.path(), small(), &database).await;
    assert_eq!(ledger.recovery(), Recovery { records: 5, ..Recovery::default() });
    ledger.flush().await;
    assert_eq!(database.count(), 5);
    assert!(database.rows.lock().unwrap().values().all(|times| *times == 1));
}

#[test]
fn a_slot_torn_at_any_byte_costs_its_own_call_only() {
    let dir = tempfile::tempdir().unwrap();
    let calls = open_calls::OpenCalls::create(dir.path(), 10).unwrap();
    for number in 1..=3 {
        let mut call = OpenCall::default();
        segment::encode(&noted(number), &mut call.entry).unwrap();
        calls.claim(&mut call);
    }
    let whole = std::fs::read(slots(dir.path())).unwrap();
    let entry = whole.len() - 2 * SLOT;
    for at in 0..entry {
        let mut bytes = whole.clone();
        // What was there before shows behind the point up to which the slot was written.
        bytes[SLOT + at..SLOT + entry].fill(b'x');
        std::fs::write(slots(dir.path()), &bytes).unwrap();
        let left = open_calls::left_in(dir.path()).unwrap();
        assert_eq!(left.len(), 2, "torn at {at}");
        assert_eq!((&left[&noted(1).id], &left[&noted(3).id]), (&noted(1), &noted(3)));
    }
    std::fs::write(slots(dir.path()), &whole[..whole.len() - 1]).unwrap();
    assert_eq!(open_calls::left_in(dir.path()).unwrap().len(), 2, "the last one cut off");
}

#[tokio::test(start_paused = true)]
async fn slots_are_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), small(), Database::default()).unwrap();
    for number in 0..100 {
        let mut call = claimed(&ledger, 2 * number);
        let mut other = claimed(&ledger, 2 * number + 1);
        ledger.settle(&mut call, record(2 * number)).unwrap();
        if number % 3 == 0 {
            ledger.withdraw(&mut other);
        } else {
            ledger.settle(&mut other, record(2 * number + 1)).unwrap();
        }
        if number % 10 == 0 {
            ledger.flush().await;
        }
    }
    assert_eq!(slot_count(dir.path()), 2, "as many as calls at once");
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_slots_are_served_and_recorded_when_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let limits = JournalLimits { max_open_calls: 2, ..small() };
    let ledger = Ledger::open(dir.path(), limits, Database::away_for(usize::MAX)).unwrap();
    let mut first = claimed(&ledger, 1);
    let _second = claimed(&ledger, 2);
    let mut beyond = claimed(&ledger, 3);
    let _lost = claimed(&ledger, 4);
    ledger.settle(&mut beyond, record(3)).unwrap();
    ledger.settle(&mut first, record(1)).unwrap();
    let _fifth = claimed(&ledger, 5);
    assert_eq!(slot_count(dir.path()), 2);
    drop(ledger);

    let database = Database::default();
    let ledger = reopen(dir.path(), limits, &database).await;
    assert_eq!(ledger.recovery(), Recovery { records: 2, in_flight: 2, ..Recovery::default() });
    ledger.flush().await;
    assert_eq!(database.count(), 4);
    assert_eq!((database.row(3), database.row(4), database.row(5)), (Some(record(3)), None, Some(noted(5))));
}

#[tokio::test(start_paused = true)]
async fn what_a_full_journal_refuses_waits_in_its_slot_for_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let limits = JournalLimits { max_bytes: 4096, ..small() };
    let ledger = Ledger::open(dir.path(), limits, Database::away_for(usize::MAX)).unwrap();
    let mut call = claimed(&ledger, 1000);
    let kept = (0..).find(|number| ledger.record(record(*number)).is_err()).unwrap();
    assert!(matches!(ledger.settle(&mut call, record(1000)), Err(LedgerError::Full { .. })));
    assert_eq!(ledger.health().pending_records, u64::try_from(kept).unwrap() + 2, "neither is forgotten");
    // Nobody else gets the slots.
    let _other = claimed(&ledger, 1001);
    drop(ledger);

    let database = Database::default();
    let ledger = reopen(dir.path(), limits, &database).await;
    assert_eq!(u128::from(ledger.recovery().records), kept);
    assert_eq!(ledger.recovery().in_flight, 3);
    ledger.flush().await;
    assert_eq!(database.row(kept), Some(record(kept)));
    assert_eq!((database.row(1000), database.row(1001)), (Some(record(1000)), Some(noted(1001))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_many_threads_keep_their_slots_while_others_are_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::default();
    let ledger = Ledger::open(dir.path(), small(), database.clone()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u128 {
            let ledger = ledger.clone();
            scope.spawn(move || {
                for number in thread * 1000..thread * 1000 + 200 {
                    ledger.settle(&mut claimed(&ledger, number), record(number)).unwrap();
                }
                claimed(&ledger, thread * 1000 + 999);
            });
        }
    });
    ledger.flush().await;
    drop(ledger);
    let ledger = reopen(dir.path(), small(), &database).await;
    assert_eq!(ledger.recovery().in_flight, 8);
    ledger.flush().await;
    assert_eq!(database.count(), 8 * 201);
    for thread in 0..8 {
        assert_eq!(database.row(thread * 1000 + 999), Some(noted(thread * 1000 + 999)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fits_no_slot_is_recorded_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::default();
    let ledger = Ledger::open(dir.path(), small(), database.clone()).unwrap();
    let too_long = |number| UsageRecord { model_asked: "m".repeat(SLOT), ..noted(number) };
    let (mut call, mut noted_later) = (OpenCall::default(), OpenCall::default());
    ledger.claim(&mut call, &too_long(1));
    ledger.prepare(&mut noted_later, &too_long(2)).write();
    assert_eq!(slot_count(dir.path()), 0, "no slot is written beyond its end");
    let _fits = claimed(&ledger, 3);
    ledger.settle(&mut call, record(1)).unwrap();
    ledger.settle(&mut noted_later, too_long(2)).unwrap();
    ledger.flush().await;
    assert_eq!((database.row(1), database.row(2)), (Some(record(1)), Some(too_long(2))));
    let left = open_calls::left_in(dir.path()).unwrap();
    assert_eq!(left.into_values().collect::<Vec<_>>(), [noted(3)]);
}

#[test]
fn a_disk_that_takes_no_slot_fails_no_call() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", slots(dir.path())).unwrap();
    let calls = Arc::new(open_calls::OpenCalls::create(dir.path(), 10).unwrap());
    let mut call = OpenCall::default();
    for _ in 0..2 {
        segment::encode(&noted(1), &mut call.entry).unwrap();
        calls.claim(&mut call);
        calls.ended(&mut call);
    }
    segment::encode(&noted(1), &mut call.entry).unwrap();
    let note = calls.prepare(&mut call);
    note.write();
    assert!(!call.is_awaited(), "the call goes on as one that its provider has");
    note.undo();
    calls.clear_ended();
}

#[test]
fn a_slot_of_zeros_is_nobodys_and_hides_none_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut entry = Vec::new();
    segment::encode(&noted(1), &mut entry).unwrap();
    // What stands before it in the file was never written: a hole, which is read as zeros.
    let file = OpenOptions::new().write(true).create_new(true).open(slots(dir.path())).unwrap();
    file.write_all_at(&entry, 3 * SLOT as u64).unwrap();
    let left = open_calls::left_in(dir.path()).unwrap();
    assert_eq!(left.into_values().collect::<Vec<_>>(), [noted(1)]);
}
