//! Redis away, back, and moved to another node.

use std::time::Duration;

use domain::money::NanoUsd;
use replicas::{Keeper, Keeps, KeyLimits, Replicas, ReplicasError, Settings, Want, Window};
use uuid::Uuid;

use super::helpers::{
    Database, SESSION, Server, admit, any_key, budget, command, costs, eventually, gateway, granted, lease, needs_past,
    plain, record, redis_cli, settings, sums,
};

#[tokio::test]
async fn redis_goes_and_comes_again() {
    let server = Server::start();
    let mut settings = settings(&server.url);
    // A call right after a connection broke waits for the next one, until its timeout.
    settings.call_timeout = Duration::from_secs(3);
    let replicas = gateway(&settings).await;
    let (key, database) = (any_key(), Database::default());
    let limits = KeyLimits { max_sessions: Some(1), ..budget(100, Window::Total) };
    let keeper = Keeper::start(replicas.clone());
    let want = Want { cost: Some(NanoUsd(60)), session: true };
    let held = keeper.hold(lease(admit(&replicas, &database, key, limits, want).await));
    let gateway_id = Uuid::now_v7();
    assert_eq!(replicas.beat(gateway_id, &[]).await.unwrap(), 1);
    assert_eq!(replicas.beat(Uuid::now_v7(), &[]).await.unwrap(), 2);
    assert!(replicas.is_up());

    server.kill();
    eventually("calls fail", async || replicas.admit(key, limits, SESSION, Uuid::now_v7()).await.is_err()).await;
    let error = replicas.admit(key, limits, SESSION, Uuid::now_v7()).await.unwrap_err();
    assert!(matches!(error, ReplicasError::Away { .. }), "{error}");
    assert!(!replicas.is_up());
    assert!(replicas.counts().failures > 0);
    assert_eq!(replicas.local_share().of_count(10), 5, "half of the limit, as was heard last");

    server.start_again();
    eventually("Redis answers", async || replicas.sums(key, Window::Total).await.is_ok()).await;
    assert!(replicas.is_up());
    needs_past(replicas.admit(key, limits, costs(1), Uuid::now_v7()).await.unwrap());
    drop(held);
    assert!(keeper.flush(Duration::from_secs(20)).await);
    granted(admit(&replicas, &database, key, limits, want).await);
}

#[tokio::test]
async fn leases_that_redis_lost_are_held_again_by_the_keeper() {
    let server = Server::start();
    let mut settings = settings(&server.url);
    settings.lease_ttl = Duration::from_millis(1_500);
    let replicas = gateway(&settings).await;
    let key = any_key();
    let limits = KeyLimits { max_sessions: Some(1), ..KeyLimits::default() };
    let keeper = Keeper::start(replicas.clone());
    let held = keeper.hold(lease(replicas.admit(key, limits, SESSION, Uuid::now_v7()).await.unwrap()));
    command(&plain(&server.url).await, vec!["FLUSHALL".into()]).await;
    eventually("the slot is taken again", async || replicas.sums(key, Window::Total).await.unwrap().sessions == 1)
        .await;
    // Redis has the slot before its answer is here.
    eventually("the keeper has heard it", async || replicas.counts().restored_leases == 1).await;
    assert!(held.fence() > 0);
}

#[tokio::test]
async fn what_was_settled_while_a_node_took_no_writes_is_settled_when_it_does() {
    let server = Server::start();
    let mut settings = settings(&server.url);
    // Longer than this test waits, so that it is not the lease's end which gives the rest back.
    settings.lease_ttl = Duration::from_secs(300);
    let replicas = gateway(&settings).await;
    let (key, database) = (any_key(), Database::default());
    let keeper = Keeper::start(replicas.clone());
    let held = keeper.hold(lease(admit(&replicas, &database, key, budget(100, Window::Total), costs(60)).await));

    // As in a failover, where the old master has become a replica: it keeps what it has. Nothing listens on port 9.
    redis_cli(&server.port(), &["replicaof", "127.0.0.1", "9"]);
    held.finish(vec![record(key, Uuid::now_v7(), 25)]);
    eventually("the settling has failed", async || replicas.counts().failures > 0).await;
    redis_cli(&server.port(), &["replicaof", "no", "one"]);
    let settled = async || matches!(replicas.sums(key, Window::Total).await, Ok(sums) if sums.spent == NanoUsd(25) && sums.reserved == NanoUsd::ZERO);
    eventually("the call is settled", settled).await;
    assert_eq!(replicas.counts().dropped, 0);
}

#[tokio::test]
async fn a_redis_that_never_was_is_an_error_and_no_wait() {
    // Nothing listens on the port of discard.
    let replicas = Replicas::connect(settings("redis://127.0.0.1:9")).unwrap();
    let limits = KeyLimits { max_sessions: Some(1), ..KeyLimits::default() };
    let error = replicas.admit(any_key(), limits, SESSION, Uuid::now_v7()).await.unwrap_err();
    assert!(matches!(error, ReplicasError::Away { .. }));
    assert!(!replicas.is_up());
    // A key without limits needs no Redis.
    granted(replicas.admit(any_key(), KeyLimits::default(), Want::default(), Uuid::now_v7()).await.unwrap());
}

#[test]
fn a_wrong_url_is_told_without_its_password() {
    let mut settings = Settings::new("redis://user:hunter2@[half".to_owned().into());
    let error = Replicas::connect(settings.clone()).unwrap_err();
    assert!(matches!(error, ReplicasError::Settings { .. }));
    assert!(!format!("{error} {error:?} {settings:?}").contains("hunter2"));
    settings.url = "redis://127.0.0.1".to_owned().into();
    settings.connections = 0;
    assert!(matches!(Replicas::connect(settings).unwrap_err(), ReplicasError::Settings { .. }));
}

#[tokio::test]
async fn a_cluster_keeps_each_key_in_one_slot_and_survives_a_failover() {
    let server = Server::cluster();
    let settings = settings(&server.url);
    let replicas = gateway(&settings).await;
    let client = plain(&server.url).await;
    let database = Database::default();
    let limits = KeyLimits { requests_per_minute: Some(100), max_sessions: Some(2), ..budget(1_000, Window::Total) };

    // Keys on all nodes: a script that touched two slots would be refused.
    let keys: Vec<_> = (0..12).map(|_| any_key()).collect();
    for key in &keys {
        let call = lease(admit(&replicas, &database, *key, limits, costs(10)).await);
        replicas.settle(&call, &[record(*key, call.call, 7)], Keeps::Nothing).await.unwrap();
        assert_eq!(sums(&replicas, *key, Window::Total).await, (7, 0));
        let mut slots = Vec::new();
        for name in replicas::keys::Keys::new(&settings.prefix).of_key(*key) {
            slots.push(command(&client, vec!["CLUSTER".into(), "KEYSLOT".into(), name.into()]).await);
        }
        slots.dedup();
        assert_eq!(slots.len(), 1);
    }

    // The first node's replica takes over what the first node has.
    let spare = server.ports().into_iter().find(|port| redis_cli(port, &["role"]).starts_with("slave")).unwrap();
    assert_eq!(redis_cli(&spare, &["cluster", "failover"]).trim(), "OK");
    eventually("the replica has become a master", async || redis_cli(&spare, &["role"]).starts_with("master")).await;
    for key in &keys {
        eventually("the key is served", async || replicas.sums(*key, Window::Total).await.is_ok()).await;
        granted(admit(&replicas, &database, *key, limits, costs(10)).await);
        assert_eq!(sums(&replicas, *key, Window::Total).await, (7, 10));
    }
}
