//! Redis forgets, or falls back to what it was.

use std::time::Duration;

use domain::money::NanoUsd;
use replicas::{Keeps, KeyLimits, Want, Window};
use uuid::Uuid;

use super::helpers::{
    Database, Server, admit, any_key, budget, command, costs, eventually, gateway, granted, id_from, lease, names,
    needs_past, plain, record, refused, settings, shared_url, sums, take_copy,
};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn after_a_flush_everything_is_counted_again_and_once() {
    let server = Server::start();
    let settings = settings(&server.url);
    let (one, other) = (gateway(&settings).await, gateway(&settings).await);
    let (key, database) = (any_key(), Database::default());
    let limits = budget(1_000, Window::Total);
    let old = record(key, id_from(60 * MINUTE), 100);
    database.insert(&[old]);
    let calls: Vec<_> = [10, 20, 40].into_iter().collect();
    let mut leases = Vec::new();
    for cost in &calls {
        leases.push(lease(admit(&one, &database, key, limits, costs(*cost)).await));
    }
    let records: Vec<_> = leases.iter().zip(&calls).map(|(lease, cost)| record(key, lease.call, *cost)).collect();
    // The first is in the database, the second is on its way, the third is not settled.
    one.settle(&leases[0], &records[..1], Keeps::Nothing).await.unwrap();
    one.settle(&leases[1], &records[1..2], Keeps::Nothing).await.unwrap();
    database.insert(&records[..1]);
    one.committed(&records[..1]).await.unwrap();
    assert_eq!(sums(&one, key, Window::Total).await, (130, 40));

    let client = plain(&server.url).await;
    command(&client, vec!["FLUSHALL".into()]).await;
    needs_past(other.admit(key, limits, costs(1), Uuid::now_v7()).await.unwrap());
    granted(admit(&other, &database, key, limits, costs(0)).await);
    assert_eq!(sums(&one, key, Window::Total).await, (110, 0), "what only Redis knew is missing");

    // The gateway renews its lease, and its ledger delivers: after a kill it may do so twice.
    let renewed = one.renew(&leases[2..]).await.unwrap();
    assert_eq!((renewed.restored.as_slice(), one.counts().restored_leases), ([leases[2].call].as_slice(), 1));
    for _ in 0..2 {
        database.insert(&records[..2]);
        one.committed(&records[..2]).await.unwrap();
        assert_eq!(sums(&one, key, Window::Total).await, (130, 40));
    }
    one.settle(&leases[2], &records[2..], Keeps::Nothing).await.unwrap();
    assert_eq!(sums(&other, key, Window::Total).await, (170, 0));
}

#[tokio::test]
async fn older_data_is_recognised_and_set_right() {
    let url = shared_url();
    let settings = settings(&url);
    let (one, fresh) = (gateway(&settings).await, gateway(&settings).await);
    let client = plain(&url).await;
    let (key, database) = (any_key(), Database::default());
    let limits = budget(100, Window::Total);
    let early = lease(admit(&one, &database, key, limits, costs(10)).await);
    let copied = take_copy(&client, &settings.prefix).await;

    // Ninety are spent after the snapshot was taken, and are all in the database.
    one.settle(&early, &[record(key, early.call, 10)], Keeps::Nothing).await.unwrap();
    let late = lease(admit(&one, &database, key, limits, costs(80)).await);
    one.settle(&late, &[record(key, late.call, 80)], Keeps::Nothing).await.unwrap();
    let both = [record(key, early.call, 10), record(key, late.call, 80)];
    database.insert(&both);
    one.committed(&both).await.unwrap();
    super::helpers::go_back(&client, &settings.prefix, &copied).await;
    assert_eq!(sums(&one, key, Window::Total).await, (0, 10));

    // Who has seen the key admits nothing before it has read.
    let reading = needs_past(one.admit(key, limits, costs(50), Uuid::now_v7()).await.unwrap());
    assert_eq!(one.counts().gone_back, 1);
    let (past, present) = database.read(&reading);
    assert!(one.set_past(&reading, past, &present).await.unwrap());
    assert_eq!(sums(&fresh, key, Window::Total).await, (90, 10), "the old lease ends by itself");
    refused(admit(&one, &database, key, limits, costs(50)).await);
    refused(admit(&fresh, &database, key, limits, costs(50)).await);
    let next = one.admit(key, budget(1_000, Window::Total), costs(1), Uuid::now_v7()).await.unwrap();
    assert!(lease(next).fence > late.fence, "no fence is given twice");
}

#[tokio::test]
async fn an_eviction_of_the_ids_asks_for_the_past_again() {
    let url = shared_url();
    let settings = settings(&url);
    let replicas = gateway(&settings).await;
    let client = plain(&url).await;
    let (key, database) = (any_key(), Database::default());
    let limits = budget(100, Window::Total);
    let call = lease(admit(&replicas, &database, key, limits, costs(30)).await);
    let spent = record(key, call.call, 30);
    replicas.settle(&call, &[spent], Keeps::Nothing).await.unwrap();
    database.insert(&[spent]);
    let ids = replicas::keys::Keys::new(&settings.prefix).of_key(key).swap_remove(1);
    command(&client, vec!["DEL".into(), ids.into()]).await;
    replicas.committed(&[spent]).await.unwrap();
    needs_past(replicas.admit(key, limits, costs(1), Uuid::now_v7()).await.unwrap());
    granted(admit(&replicas, &database, key, limits, costs(70)).await);
    assert_eq!(replicas.sums(key, Window::Total).await.unwrap().spent, NanoUsd(30));
}

#[tokio::test]
async fn an_eviction_of_the_leases_keeps_no_slot_of_the_dead() {
    let url = shared_url();
    let mut settings = settings(&url);
    settings.lease_ttl = Duration::from_millis(600);
    let replicas = gateway(&settings).await;
    let client = plain(&url).await;
    let (key, database) = (any_key(), Database::default());
    let limits = KeyLimits { max_sessions: Some(2), ..KeyLimits::default() };
    let session = Want { cost: None, session: true };
    lease(admit(&replicas, &database, key, limits, session).await);
    let leases = replicas::keys::Keys::new(&settings.prefix).of_key(key).swap_remove(3);
    command(&client, vec!["DEL".into(), leases.into()]).await;
    let living = lease(admit(&replicas, &database, key, limits, session).await);
    eventually("only the living one has a slot", async || {
        replicas.renew(std::slice::from_ref(&living)).await.unwrap();
        replicas.sums(key, Window::Total).await.unwrap().sessions == 1
    })
    .await;
    granted(admit(&replicas, &database, key, limits, session).await);
    refused(admit(&replicas, &database, key, limits, session).await);
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_is_forgotten() {
    let url = shared_url();
    let mut settings = settings(&url);
    settings.lease_ttl = Duration::from_millis(200);
    let replicas = gateway(&settings).await;
    let client = plain(&url).await;
    let (limits, database) = (budget(100, Window::Total), Database::default());
    let only_rate = KeyLimits { requests_per_minute: Some(10), ..KeyLimits::default() };
    let (of_money, of_rate, refused_only) = (any_key(), any_key(), any_key());
    for _ in 0..3 {
        let call = lease(admit(&replicas, &database, of_money, limits, costs(10)).await);
        let spent = record(of_money, call.call, 10);
        replicas.settle(&call, &[spent], Keeps::Nothing).await.unwrap();
        replicas.committed(&[spent]).await.unwrap();
        granted(admit(&replicas, &database, of_rate, only_rate, costs(1)).await);
        refused(admit(&replicas, &database, refused_only, budget(0, Window::Daily), costs(1)).await);
        // What is held for nobody is looked through again after the time of a lease.
        tokio::time::sleep(Duration::from_millis(250)).await;
        let names = names(&client, &settings.prefix).await;
        assert!(names.len() > 6, "{names:?}");
        for name in names {
            let ends = command(&client, vec!["PTTL".into(), name.clone()]).await;
            assert!(ends.as_i64().is_some_and(|left| left > 0), "{name:?}: {ends:?}");
        }
    }
}
