//! Usage records, and what was spent by them.

use database::connect;
use domain::ids::{SessionId, TenantId, UsageRecordId, VirtualKeyId};
use domain::money::NanoUsd;
use domain::usage::UsageSource;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::super::usage;
use super::{NOW, record, sqlite};
use crate::ledger::{InsertError, JournalLimits, Ledger, Sink, UsageRecord};

const DAY: OffsetDateTime = datetime!(2026-11-21 0:00 UTC);
const MONTH: OffsetDateTime = datetime!(2026-11-01 0:00 UTC);

pub(super) async fn records_are_written_once(db: &DatabaseConnection, acme: TenantId) {
    let key = VirtualKeyId(Uuid::now_v7());
    let records: Vec<_> = (0..1_203).map(|_| record(acme, key, NOW, Some(5))).collect();
    assert_eq!(usage::insert_batch(db, &records[..700]).await.unwrap(), 700);
    assert_eq!(usage::insert_batch(db, &records).await.unwrap(), 503, "a replay adds what is missing");
    assert_eq!(usage::insert_batch(db, &records).await.unwrap(), 0);
    assert_eq!(usage::insert_batch(db, &[]).await.unwrap(), 0);
    assert_eq!(usage::count(db).await.unwrap(), 1_203);
    assert_eq!(spent(db, key).await, [6_015, 6_015, 6_015]);

    let one = &records[42];
    let found = usage::find_by_request(db, key, one.request_id).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].cost, found[0].started_at), (one.id, one.cost, NOW));
    assert_eq!((found[0].usage, found[0].ttfb_ms), (one.usage, Some(12)));
    let stranger = VirtualKeyId(Uuid::now_v7());
    assert!(usage::find_by_request(db, stranger, one.request_id).await.unwrap().is_empty());
}

pub(super) async fn what_the_database_refuses_is_told_from_a_database_that_is_away(
    db: &DatabaseConnection,
    acme: TenantId,
) {
    let key = VirtualKeyId(Uuid::now_v7());
    let good = record(acme, key, NOW, Some(5));
    let mut bad = record(acme, key, NOW, Some(5));
    if db.get_database_backend() == DbBackend::Postgres {
        bad.user_tag = Some("a\0b".into());
    } else {
        // SQLite takes any text: a constraint stands for what it does not take.
        db.execute_unprepared(
            "CREATE TRIGGER strict BEFORE INSERT ON usage_records WHEN length(new.user_tag) > 9 \
            BEGIN SELECT RAISE(ABORT, 'too long'); END",
        )
        .await
        .unwrap();
        bad.user_tag = Some("0123456789".into());
    }
    let refused = Sink::insert(db, &[good.clone(), bad.clone()]).await;
    assert!(matches!(refused, Err(InsertError::Refused(_))), "{refused:?}");

    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path(), JournalLimits::default(), db.clone()).unwrap();
    ledger.record(bad.clone()).unwrap();
    ledger.record(good.clone()).unwrap();
    ledger.flush().await;
    assert_eq!(usage::find_by_request(db, key, good.request_id).await.unwrap().len(), 1);
    assert!(usage::find_by_request(db, key, bad.request_id).await.unwrap().is_empty());
    let aside = std::fs::read_to_string(folder.path().join("refused.jsonl")).unwrap();
    assert!(aside.contains(&bad.id.to_string()) && !aside.contains(&good.id.to_string()), "{aside}");

    db.execute_unprepared("ALTER TABLE usage_records RENAME TO usage_records_elsewhere").await.unwrap();
    let away = Sink::insert(db, &[record(acme, key, NOW, Some(5))]).await;
    db.execute_unprepared("ALTER TABLE usage_records_elsewhere RENAME TO usage_records").await.unwrap();
    assert!(matches!(away, Err(InsertError::Away(_))), "{away:?}: a schema that is not there yet may come");
}

pub(super) async fn a_turn_recorded_twice_does_not_hold_up_others(db: &DatabaseConnection, acme: TenantId) {
    let key = VirtualKeyId(Uuid::now_v7());
    let mut first = record(acme, key, NOW, Some(1));
    first.session_id = Some(SessionId(Uuid::now_v7()));
    let twin = UsageRecord { id: UsageRecordId(Uuid::now_v7()), ..first.clone() };
    let next = UsageRecord { id: UsageRecordId(Uuid::now_v7()), sequence: 1, ..first.clone() };
    assert_eq!(usage::insert_batch(db, &[first, twin, next]).await.unwrap(), 2);
    assert_eq!(spent(db, key).await[0], 2);
}

/// As a kill leaves them: the call's record, and behind it in the journal what was noted when it began.
pub(super) async fn of_two_records_with_one_id_the_first_stays(db: &DatabaseConnection, acme: TenantId) {
    let key = VirtualKeyId(Uuid::now_v7());
    let known = record(acme, key, NOW, Some(7));
    let noted = UsageRecord { cost: None, usage_source: UsageSource::Estimated, ..known.clone() };
    assert_eq!(usage::insert_batch(db, &[known.clone(), noted.clone()]).await.unwrap(), 1, "in one batch");
    assert_eq!(usage::insert_batch(db, &[noted]).await.unwrap(), 0, "and in a later one");
    let found = usage::find_by_request(db, key, known.request_id).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].cost, found[0].usage_source), (Some(NanoUsd(7)), UsageSource::Measured));
}

pub(super) async fn spending_counts_from_the_first_moment_of_the_window(db: &DatabaseConnection, acme: TenantId) {
    let (key, idle) = (VirtualKeyId(Uuid::now_v7()), VirtualKeyId(Uuid::now_v7()));
    let records = [
        record(acme, key, MONTH - Duration::milliseconds(1), Some(1)),
        record(acme, key, MONTH - Duration::milliseconds(100), Some(2)),
        record(acme, key, MONTH, Some(10)),
        record(acme, key, MONTH + Duration::milliseconds(500), Some(20)),
        // The same moment as the second record, told in another zone.
        record(acme, key, datetime!(2026-11-01 1:59:59.9 +2), Some(4)),
        record(acme, key, NOW, None),
    ];
    usage::insert_batch(db, &records).await.unwrap();
    assert_eq!(spent(db, key).await, [37, 30, 0]);
    assert_eq!(spent(db, idle).await, [0, 0, 0]);

    // Records made from a moment on are another's to count.
    let bound = Uuid::now_v7();
    let today = DAY + Duration::milliseconds(1);
    usage::insert_batch(db, &[record(acme, key, today, Some(100)), record(acme, idle, today, Some(7))]).await.unwrap();
    assert_eq!(spent(db, key).await, [137, 130, 100]);
    let two = usage::spent_before(db, &[(key, bound), (idle, Uuid::max())], DAY, MONTH).await.unwrap();
    assert_eq!((two[&key].total, two[&key].day, two[&idle].day), (NanoUsd(37), NanoUsd::ZERO, NanoUsd(7)));

    // What was spent is not forgotten with the records of it.
    while usage_store::retain::delete_records(db, MONTH).await.unwrap().records > 0 {}
    assert_eq!(spent(db, key).await, [137, 130, 100]);
}

/// What a key has spent: in all, this month, today.
async fn spent(db: &DatabaseConnection, key: VirtualKeyId) -> [i64; 3] {
    let past = usage::spent_before(db, &[(key, Uuid::max())], DAY, MONTH).await.unwrap();
    past.get(&key).map_or([0; 3], |past| [past.total.0, past.month.0, past.day.0])
}

#[tokio::test]
async fn sqlite_lets_readers_and_writers_work_side_by_side() {
    let (folder, db) = sqlite().await;
    let url = format!("sqlite://{}/not/there/yet.db", folder.path().display());
    let beside = connect(&url).await.unwrap();
    let tenant = TenantId(Uuid::now_v7());
    let key = VirtualKeyId(Uuid::now_v7());
    let batch = || (0..50).map(|_| record(tenant, key, NOW, None)).collect::<Vec<_>>();
    let (one, two, three, four) = (batch(), batch(), batch(), batch());
    let results = tokio::join!(
        usage::insert_batch(&db, &one),
        usage::insert_batch(&beside, &two),
        usage::insert_batch(&db, &three),
        usage::insert_batch(&beside, &four),
    );
    for result in [results.0, results.1, results.2, results.3] {
        assert_eq!(result.unwrap(), 50);
    }
    assert_eq!(usage::count(&beside).await.unwrap(), 200);
}
