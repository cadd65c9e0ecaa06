//! Records of before the roll-ups, days summed anew, and names that no index takes.

use entities::usage_record;
use sea_orm::ActiveValue::NotSet;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, IntoActiveModel};
use time::Duration;
use usage_store::rebuild::{Rebuilt, catch_up_one_day, is_pending, keep_since, rebuild};
use usage_store::retain::delete_records;
use usage_store::tables::DAILY;
use usage_store::{Repriced, insert_new, reprice_rollups};

use super::databases::TestDatabase;
use super::{LATE, record};

async fn check_all(test: &TestDatabase) {
    records_of_before_are_summed_once(test).await;
    a_day_whose_records_are_gone_stays_as_it_was(test).await;
    names_are_shortened_and_quantities_bounded(test).await;
    a_price_for_a_rollup_that_is_gone_makes_none(test).await;
    what_retention_has_deleted_is_not_counted_again(test).await;
}

#[tokio::test]
async fn on_sqlite() {
    let test = TestDatabase::sqlite().await;
    check_all(&test).await;
    test.remove().await;
}

#[tokio::test]
async fn on_postgresql() {
    let test = TestDatabase::postgres().await;
    check_all(&test).await;
    test.remove().await;
}

async fn records_of_before_are_summed_once(test: &TestDatabase) {
    let db = &test.db;
    assert!(!is_pending(db).await.unwrap(), "a new database has nothing to catch up with");
    // As a version without roll-ups left them, over three days, more than are read at once.
    let steps = migration::status(db).await.unwrap();
    let since = steps.iter().rev().position(|step| step.name.ends_with("usage_rollups")).unwrap() + 1;
    migration::down(db, Some(u32::try_from(since).unwrap())).await.unwrap();
    for part in 0..3 {
        let rows = (0..400).map(|number| {
            let mut old = record(part * 400 + number);
            old.session_id = None;
            old.started_at -= Duration::days(i64::from(number % 3));
            let mut old = old.into_active_model();
            // That version had no such column.
            old.routing = NotSet;
            old
        });
        usage_record::Entity::insert_many(rows).exec_without_returning(db).await.unwrap();
    }
    migration::up(db).await.unwrap();
    assert!(is_pending(db).await.unwrap());

    // A gateway that is up already adds to a day that is not summed yet.
    insert_new(db, &[record(5_000)]).await.unwrap();
    assert!(catch_up_one_day(db).await.unwrap(), "the newest day");
    let (one, two) = tokio::join!(catch_up_one_day(db), catch_up_one_day(db));
    assert!(one.unwrap() && two.unwrap(), "two gateways that start together share the days");
    while catch_up_one_day(db).await.unwrap() {}
    assert!(!is_pending(db).await.unwrap());
    assert!(!catch_up_one_day(db).await.unwrap());

    let records = test.number("SELECT COUNT(*) FROM usage_records").await;
    assert_eq!(records, 1_201);
    assert_eq!(test.number(&format!("SELECT SUM(requests) FROM {DAILY}")).await, records);
    let grown = test.rollups().await;
    let rebuilt = rebuild(db, LATE - Duration::days(2), LATE + Duration::DAY).await.unwrap();
    assert_eq!(rebuilt, Rebuilt { days: 4, records: 1_201, skipped: 0 });
    assert_eq!(test.rollups().await, grown);
    // The coarse sums begin with what the fine ones have.
    let coarse = steps.iter().rev().position(|step| step.name.ends_with("coarse_rollups")).unwrap() + 1;
    migration::down(db, Some(u32::try_from(coarse).unwrap())).await.unwrap();
    migration::up(db).await.unwrap();
    assert_eq!(test.rollups().await, grown);
}

async fn a_day_whose_records_are_gone_stays_as_it_was(test: &TestDatabase) {
    assert!(keep_since(&test.db, LATE).await.unwrap());
    test.db.execute_unprepared("DELETE FROM usage_records WHERE started_at < '2026-11-20'").await.unwrap();
    let before = test.rollups().await;
    let rebuilt = rebuild(&test.db, LATE - Duration::days(2), LATE + Duration::DAY).await.unwrap();
    assert_eq!((rebuilt.days, rebuilt.skipped), (2, 2));
    assert_eq!(test.rollups().await, before);
    assert!(keep_since(&test.db, LATE - Duration::days(9)).await.unwrap(), "a later reach than before");
    let rebuilt = rebuild(&test.db, LATE - Duration::days(2), LATE + Duration::DAY).await.unwrap();
    assert_eq!(rebuilt.skipped, 2, "brings nothing back");
}

async fn what_retention_has_deleted_is_not_counted_again(test: &TestDatabase) {
    let late = |number: u32| usage_record::Model { started_at: LATE + Duration::days(20), ..record(number) };
    let old = |number: u32| usage_record::Model { started_at: LATE + Duration::days(10), ..record(number) };
    insert_new(&test.db, &[old(7_001), old(7_003), late(7_005)]).await.unwrap();
    let before = LATE + Duration::days(15);
    let deleted = async || delete_records(&test.db, before).await.unwrap();
    while deleted().await.records > 0 {}
    let sums = test.rollups().await;
    // As a journal has them that is replayed: of some nobody knows whether the sums have them.
    for replayed in [vec![old(7_001)], vec![late(7_005), old(7_003)], vec![old(7_007), late(7_009)]] {
        let answer = insert_new(&test.db, &replayed).await;
        assert!(matches!(answer, Err(DbErr::RecordNotInserted)), "{answer:?}");
        assert_eq!(test.rollups().await, sums, "nothing is written");
    }
    assert_eq!(insert_new(&test.db, &[late(7_005)]).await.unwrap().new, 0, "is there already");
    assert_eq!(insert_new(&test.db, &[late(7_009)]).await.unwrap().new, 1);
    let kept = "SELECT COUNT(*) FROM usage_records WHERE started_at < '2026-12-05'";
    assert_eq!(test.number(kept).await, 0);
}

async fn names_are_shortened_and_quantities_bounded(test: &TestDatabase) {
    let odd = |number| {
        let mut odd = record(number);
        odd.model_asked = "ä".repeat(20_000);
        odd.tags = Some("x=€".repeat(5_000));
        odd.characters = i64::MAX;
        odd.cost_nano_usd = Some(3);
        odd
    };
    insert_new(&test.db, &[odd(6_001), odd(6_003), odd(6_005)]).await.unwrap();
    let asked = "SELECT SUM(cost_nano_usd) FROM usage_daily WHERE model_asked LIKE 'ää%' AND characters > 0";
    assert_eq!(test.number(asked).await, 9);
    assert_eq!(test.number("SELECT COUNT(*) FROM usage_daily_labels WHERE label LIKE 'x=€x%'").await, 3);
}

async fn a_price_for_a_rollup_that_is_gone_makes_none(test: &TestDatabase) {
    test.db.execute_unprepared("DELETE FROM usage_hourly").await.unwrap();
    let unpriced = record(5_004);
    assert!(unpriced.cost_nano_usd.is_none());
    insert_new(&test.db, std::slice::from_ref(&unpriced)).await.unwrap();
    test.db.execute_unprepared("DELETE FROM usage_hourly").await.unwrap();
    let before = test.number("SELECT SUM(unpriced) FROM usage_daily").await;
    let change = Repriced { record: &unpriced, cost_nano_usd: Some(42) };
    reprice_rollups(&test.db, &[change]).await.unwrap();
    assert_eq!(test.number("SELECT COUNT(*) FROM usage_hourly").await, 0);
    assert_eq!(test.number("SELECT SUM(unpriced) FROM usage_daily").await, before - 1);
}
