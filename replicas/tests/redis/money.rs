//! Each record is counted once, in the windows that hold the start of its call.

use std::time::Duration;

use domain::money::NanoUsd;
use replicas::{Admission, Keeps, Past, Window};
use time::OffsetDateTime;
use uuid::Uuid;

use super::helpers::{
    Database, admit, any_gateway, any_key, budget, costs, forget, gateway, granted, id_from, lease, needs_past, plain,
    record, refused, settings, shared_url, sums,
};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn many_gateways_that_read_the_past_at_once_set_it_once() {
    let settings = settings(&shared_url());
    let (key, database) = (any_key(), Database::default());
    database.insert(&[record(key, id_from(90 * MINUTE), 40), record(key, id_from(MINUTE), 2)]);
    let limits = budget(100, Window::Total);
    let mut readings = Vec::new();
    for _ in 0..5 {
        let replicas = gateway(&settings).await;
        let admission = replicas.admit(key, limits, costs(1), Uuid::now_v7()).await.unwrap();
        readings.push((replicas, needs_past(admission)));
    }
    for (replicas, reading) in &readings {
        let (past, present) = database.read(reading);
        assert_eq!((past.total, present.len()), (NanoUsd(40), 1));
        assert!(replicas.set_past(reading, past, &present).await.unwrap());
    }
    assert_eq!(sums(&readings[0].0, key, Window::Total).await, (42, 0));
}

#[tokio::test]
async fn settling_and_commits_count_once_in_any_order_and_however_often() {
    let replicas = any_gateway().await;
    let (key, database) = (any_key(), Database::default());
    let limits = budget(1_000, Window::Total);
    let first = lease(admit(&replicas, &database, key, limits, costs(10)).await);
    let second = lease(admit(&replicas, &database, key, limits, costs(10)).await);
    let (one, two) = (record(key, first.call, 7), record(key, second.call, 8));
    replicas.settle(&first, &[one], Keeps::Nothing).await.unwrap();
    database.insert(&[one, two]);
    // The second one's commit overtakes its settling.
    replicas.committed(&[one, two]).await.unwrap();
    assert_eq!(sums(&replicas, key, Window::Total).await, (15, 10));
    replicas.settle(&second, &[two], Keeps::Nothing).await.unwrap();
    for _ in 0..3 {
        replicas.committed(&[one, two]).await.unwrap();
    }
    assert_eq!(sums(&replicas, key, Window::Total).await, (15, 0));
}

#[tokio::test]
async fn a_record_below_the_horizon_is_counted_by_the_next_reading_and_once() {
    let replicas = any_gateway().await;
    let (key, database) = (any_key(), Database::default());
    granted(admit(&replicas, &database, key, budget(1_000, Window::Total), costs(0)).await);
    let old = record(key, id_from(20 * MINUTE), 5);
    let late = record(key, id_from(90 * MINUTE), 3);
    database.insert(&[old, late]);
    replicas.committed(&[old, late]).await.unwrap();
    // The past was read without them: the database has them now, and somebody is told to read again.
    assert_eq!(replicas.counts().late_records, 2);
    assert_eq!(sums(&replicas, key, Window::Total).await, (0, 0));
    let grant = granted(admit(&replicas, &database, key, budget(1_000, Window::Total), costs(0)).await);
    let reading = grant.refresh.expect("the past is out of date");
    let again = granted(admit(&replicas, &database, key, budget(1_000, Window::Total), costs(0)).await);
    assert_eq!(again.refresh, None, "one gateway is enough");
    let (past, present) = database.read(&reading);
    assert!(replicas.set_past(&reading, past, &present).await.unwrap());
    assert_eq!(sums(&replicas, key, Window::Total).await, (8, 0));
    for _ in 0..3 {
        replicas.committed(&[old, late]).await.unwrap();
        assert_eq!(sums(&replicas, key, Window::Total).await, (8, 0));
    }
}

#[tokio::test]
async fn the_horizon_waits_for_what_is_settled_and_rises_with_its_commit() {
    let settings = settings(&shared_url());
    let replicas = gateway(&settings).await;
    let (key, database) = (any_key(), Database::default());
    // Three records of twenty minutes ago are known before the past is: they keep the horizon below them.
    let old = [1, 2, 4].map(|cost| record(key, id_from(20 * MINUTE), cost));
    let nobody = replicas::Lease {
        key,
        call: Uuid::nil(),
        fence: 0,
        reserved: NanoUsd::ZERO,
        session: false,
        from: Uuid::nil(),
    };
    replicas.settle(&nobody, &old, Keeps::Nothing).await.unwrap();
    let limits = budget(1_000, Window::Total);
    let reading = needs_past(replicas.admit(key, limits, costs(1), Uuid::now_v7()).await.unwrap());
    assert!(old.iter().all(|record| record.id.0 >= reading.before()));
    assert!(replicas.set_past(&reading, Past::default(), &[]).await.unwrap());
    assert_eq!(sums(&replicas, key, Window::Total).await, (7, 0));

    database.insert(&old);
    // Not while somebody reads.
    replicas.committed(&old).await.unwrap();
    assert!(replicas.set_past(&reading, Past::default(), &old).await.unwrap());
    forget(&plain(&shared_url()).await, &settings, key, "reading").await;
    replicas.committed(&old).await.unwrap();
    assert_eq!(sums(&replicas, key, Window::Total).await, (7, 0));
    // They are the past by now: a sum that was asked for before does not replace it, and telling again adds nothing.
    let (past, present) = database.read(&reading);
    assert!(!replicas.set_past(&reading, past, &present).await.unwrap());
    replicas.committed(&old).await.unwrap();
    assert_eq!(sums(&replicas, key, Window::Total).await, (7, 0));
    let windows = [Window::Daily, Window::Monthly];
    for window in windows {
        let sum = sums(&replicas, key, window).await.0;
        let started = old[0].started_at;
        let now = OffsetDateTime::now_utc();
        let same = if window == Window::Daily { started.date() == now.date() } else { started.month() == now.month() };
        assert_eq!(sum, if same { 7 } else { 0 });
    }
}

#[tokio::test]
async fn a_call_counts_in_the_windows_of_its_start_whenever_it_settles() {
    let replicas = any_gateway().await;
    let (key, database) = (any_key(), Database::default());
    let spend = async |started_at, cost| {
        let lease = lease(admit(&replicas, &database, key, budget(1_000, Window::Total), costs(cost)).await);
        let mut record = record(key, lease.call, cost);
        record.started_at = started_at;
        replicas.settle(&lease, &[record], Keeps::Nothing).await.unwrap();
    };
    let now = OffsetDateTime::now_utc();
    spend(now, 1).await;
    spend(now - time::Duration::DAY, 10).await;
    spend(now - 40 * time::Duration::DAY, 100).await;
    let spent = |window| sums(&replicas, key, window);
    assert_eq!(spent(Window::Daily).await.0, 1);
    assert_eq!(spent(Window::Total).await.0, 111);
    let yesterday_is_of_this_month = (now - time::Duration::DAY).month() == now.month();
    assert_eq!(spent(Window::Monthly).await.0, if yesterday_is_of_this_month { 11 } else { 1 });
    // A daily budget of two has room for one more, whatever was spent before.
    granted(admit(&replicas, &database, key, budget(2, Window::Daily), costs(1)).await);
    let refusal = refused(admit(&replicas, &database, key, budget(2, Window::Daily), costs(1)).await);
    assert!(refusal.retry_after <= Duration::from_secs(86_400));
}

#[tokio::test]
async fn amounts_beyond_what_a_double_holds_are_exact() {
    let replicas = any_gateway().await;
    let (key, database) = (any_key(), Database::default());
    let all = i64::MAX - 1;
    database.insert(&[record(key, id_from(90 * MINUTE), all - 3)]);
    let limits = budget(all, Window::Total);
    refused(admit(&replicas, &database, key, limits, costs(4)).await);
    let first = lease(admit(&replicas, &database, key, limits, costs(2)).await);
    refused(admit(&replicas, &database, key, limits, costs(2)).await);
    assert_eq!(sums(&replicas, key, Window::Total).await, (all - 3, 2));
    replicas.settle(&first, &[record(key, first.call, 3)], Keeps::Nothing).await.unwrap();
    assert_eq!(sums(&replicas, key, Window::Total).await, (all, 0));
    refused(admit(&replicas, &database, key, limits, costs(1)).await);
    assert!(matches!(admit(&replicas, &database, key, limits, costs(0)).await, Admission::Granted(_)));
}
