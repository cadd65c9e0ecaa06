//! Limits hold over all gateways, and a refusal takes nothing.

use std::time::Duration;

use domain::money::NanoUsd;
use futures_util::future::join_all;
use replicas::{Admission, Budget, Keeper, Keeps, KeyLimits, Limit, RateState, Reserved, Want, Window};
use uuid::Uuid;

use super::helpers::{
    Database, SESSION, admit, any_gateway, any_key, budget, costs, eventually, gateway, granted, lease, record,
    refused, settings, shared_url, sums,
};

const CENT: i64 = 10_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_racers_on_the_last_dollar_get_a_dollar() {
    let settings = settings(&shared_url());
    let gateways = join_all((0..4).map(|_| gateway(&settings))).await;
    let (key, database) = (any_key(), Database::default());
    let long_ago = super::helpers::id_from(Duration::from_secs(4 * 3600));
    database.insert(&[record(key, long_ago, 99 * 100 * CENT)]);
    let limits = budget(100 * 100 * CENT, Window::Total);
    let racers = (0..500).map(|racer| admit(&gateways[racer % 4], &database, key, limits, costs(CENT)));
    let admitted: Vec<_> =
        join_all(racers).await.into_iter().filter(|admission| matches!(admission, Admission::Granted(_))).collect();
    assert_eq!(admitted.len(), 100);
    assert_eq!(sums(&gateways[0], key, Window::Total).await, (99 * 100 * CENT, 100 * CENT));

    // All settle at once, each at another gateway than the one that admitted it.
    let settled = admitted.into_iter().enumerate().map(|(at, admission)| {
        let (lease, gateway) = (lease(admission), &gateways[(at + 1) % 4]);
        async move { gateway.settle(&lease, &[record(key, lease.call, CENT)], Keeps::Nothing).await.unwrap() }
    });
    assert!(join_all(settled).await.iter().all(|settled| !settled.lease_lost && settled.new == 1));
    assert_eq!(sums(&gateways[3], key, Window::Total).await, (100 * 100 * CENT, 0));
    refused(admit(&gateways[2], &database, key, limits, Want::default()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_racers_on_ten_slots_get_ten() {
    let settings = settings(&shared_url());
    let gateways = join_all((0..4).map(|_| gateway(&settings))).await;
    let key = any_key();
    let limits = KeyLimits { max_sessions: Some(10), ..KeyLimits::default() };
    let racers = (0..500).map(|racer| gateways[racer % 4].admit(key, limits, SESSION, Uuid::now_v7()));
    let leases: Vec<_> = join_all(racers)
        .await
        .into_iter()
        .filter_map(|admission| match admission.unwrap() {
            Admission::Granted(grant) => grant.lease,
            _ => None,
        })
        .collect();
    assert_eq!(leases.len(), 10);
    let mut fences: Vec<u64> = leases.iter().map(|lease| lease.fence).collect();
    fences.sort_unstable();
    fences.dedup();
    assert_eq!(fences.len(), 10, "no two admissions have one fence");
    for lease in &leases {
        gateways[0].settle(lease, &[], Keeps::Nothing).await.unwrap();
    }
    lease(gateways[1].admit(key, limits, SESSION, Uuid::now_v7()).await.unwrap());
}

#[tokio::test]
async fn a_refusal_by_one_limit_takes_nothing_of_another() {
    let replicas = any_gateway().await;
    let database = Database::default();
    let both = Want { cost: Some(NanoUsd(10)), session: true };
    let limits = |rpm, sessions, amount| KeyLimits {
        requests_per_minute: Some(rpm),
        max_sessions: Some(sessions),
        budget: Some(Budget { amount: NanoUsd(amount), window: Window::Total }),
    };

    // The rate refuses: no money, no slot.
    let key = any_key();
    granted(admit(&replicas, &database, key, limits(1, 2, 100), both).await);
    let refusal = refused(admit(&replicas, &database, key, limits(1, 2, 100), both).await);
    assert_eq!((refusal.limit, refusal.rate.unwrap().remaining), (Limit::Rate, 0));
    assert!(refusal.retry_after <= Duration::from_secs(60) && refusal.retry_after > Duration::from_secs(30));
    let held = replicas.sums(key, Window::Total).await.unwrap();
    assert_eq!((held.reserved, held.sessions), (NanoUsd(10), 1));

    // The budget refuses: no request of the rate, no slot.
    let key = any_key();
    assert_eq!(refused(admit(&replicas, &database, key, limits(2, 1, 5), both).await).limit, Limit::Budget);
    assert_eq!(replicas.sums(key, Window::Total).await.unwrap().sessions, 0);
    let grant = granted(admit(&replicas, &database, key, limits(2, 1, 5), SESSION).await);
    assert_eq!(grant.rate.unwrap().remaining, 1);

    // The sessions refuse: no request of the rate, no money.
    let refusal = refused(admit(&replicas, &database, key, limits(2, 1, 5), SESSION).await);
    assert_eq!((refusal.limit, refusal.rate), (Limit::Sessions, None));
    assert_eq!(sums(&replicas, key, Window::Total).await, (0, 0));
    let last = granted(admit(&replicas, &database, key, limits(2, 1, 5), costs(1)).await);
    assert_eq!(last.rate.unwrap().remaining, 0);
}

#[tokio::test]
async fn the_rate_is_one_bucket_for_all_gateways_and_follows_a_changed_limit() {
    let settings = settings(&shared_url());
    let (one, other) = (gateway(&settings).await, gateway(&settings).await);
    let (key, database) = (any_key(), Database::default());
    let rpm = |limit| KeyLimits { requests_per_minute: Some(limit), ..KeyLimits::default() };
    let first = granted(admit(&one, &database, key, rpm(2), Want::default()).await);
    let state = RateState { limit: 2, remaining: 1, reset: Duration::from_secs(30) };
    assert_eq!((first.rate, first.lease), (Some(state), None));
    granted(admit(&other, &database, key, rpm(2), Want::default()).await);
    refused(admit(&one, &database, key, rpm(2), Want::default()).await);
    // Five less the two already used.
    for remaining in [2, 1, 0] {
        let grant = granted(admit(&one, &database, key, rpm(5), Want::default()).await);
        assert_eq!(grant.rate.unwrap().remaining, remaining);
    }
    refused(admit(&other, &database, key, rpm(5), Want::default()).await);
    let stopped = refused(admit(&other, &database, key, rpm(0), Want::default()).await);
    assert_eq!((stopped.limit, stopped.retry_after), (Limit::Rate, Duration::from_secs(60)));
    let free = granted(admit(&other, &database, key, KeyLimits::default(), Want::default()).await);
    assert_eq!((free.rate, free.at), (None, None), "a key without limits does not ask");
}

#[tokio::test]
async fn a_call_that_asks_twice_is_admitted_once() {
    let replicas = any_gateway().await;
    let (key, call) = (any_key(), Uuid::now_v7());
    let limits = KeyLimits { max_sessions: Some(1), requests_per_minute: Some(10), ..KeyLimits::default() };
    let first = lease(replicas.admit(key, limits, SESSION, call).await.unwrap());
    let second = lease(replicas.admit(key, limits, SESSION, call).await.unwrap());
    assert_eq!(first.fence, second.fence);
    assert_eq!(replicas.sums(key, Window::Total).await.unwrap().sessions, 1);
}

#[tokio::test]
async fn a_dead_gateways_slots_and_money_come_back_and_a_living_ones_do_not() {
    let mut settings = settings(&shared_url());
    settings.lease_ttl = Duration::from_millis(1_500);
    let (dying, living) = (gateway(&settings).await, gateway(&settings).await);
    let (key, database) = (any_key(), Database::default());
    let limits = KeyLimits { max_sessions: Some(2), ..budget(100, Window::Total) };
    let want = Want { cost: Some(NanoUsd(50)), session: true };
    let keeper = Keeper::start(living.clone());
    let kept = keeper.hold(lease(admit(&living, &database, key, limits, want).await));
    // Nobody keeps this one.
    let dead = lease(admit(&dying, &database, key, limits, want).await);
    refused(admit(&living, &database, key, limits, want).await);
    eventually("the slot of the dead gateway comes back", async || {
        matches!(admit(&living, &database, key, limits, want).await, Admission::Granted(_))
    })
    .await;
    refused(admit(&living, &database, key, limits, SESSION).await);
    drop(kept);
    assert!(keeper.flush(Duration::from_secs(20)).await);

    // It was only paused: what it settles now counts once, and takes nothing of who has its place.
    let settled = dying.settle(&dead, &[record(key, dead.call, 30)], Keeps::Nothing).await.unwrap();
    assert_eq!((settled.lease_lost, settled.new), (true, 1));
    let again = dying.settle(&dead, &[record(key, dead.call, 30)], Keeps::Nothing).await.unwrap();
    assert_eq!((again.lease_lost, again.new), (true, 0));
    assert_eq!(living.sums(key, Window::Total).await.unwrap().spent, NanoUsd(30));
    assert_eq!(dying.counts().lost_leases, 2);
}

#[tokio::test]
async fn a_fence_of_before_gives_back_nothing_of_now() {
    let replicas = any_gateway().await;
    let (key, call) = (any_key(), Uuid::now_v7());
    let limits = KeyLimits { max_sessions: Some(1), ..KeyLimits::default() };
    let before = lease(replicas.admit(key, limits, SESSION, call).await.unwrap());
    replicas.settle(&before, &[], Keeps::Nothing).await.unwrap();
    let now = lease(replicas.admit(key, limits, SESSION, call).await.unwrap());
    assert!(now.fence > before.fence);
    assert!(replicas.settle(&before, &[], Keeps::Nothing).await.unwrap().lease_lost);
    assert_eq!(replicas.renew(std::slice::from_ref(&before)).await.unwrap().replaced, [call]);
    assert_eq!(replicas.sums(key, Window::Total).await.unwrap().sessions, 1);
}

#[tokio::test]
async fn a_session_reserves_ahead_settles_its_turns_and_gives_back_the_rest() {
    let replicas = any_gateway().await;
    let (key, database) = (any_key(), Database::default());
    let limits = KeyLimits { max_sessions: Some(1), ..budget(100, Window::Total) };
    let keeper = Keeper::start(replicas.clone());
    let want = Want { cost: Some(NanoUsd(40)), session: true };
    let mut held = keeper.hold(lease(admit(&replicas, &database, key, limits, want).await));
    let turn = |cost| record(key, Uuid::now_v7(), cost);
    held.settle_part(turn(15));
    assert!(keeper.flush(Duration::from_secs(20)).await);
    assert_eq!(sums(&replicas, key, Window::Total).await, (15, 25));
    assert!(matches!(held.reserve_more(NanoUsd(60), limits.budget).await.unwrap(), Reserved::Granted));
    let Reserved::Refused(refusal) = held.reserve_more(NanoUsd(1), limits.budget).await.unwrap() else { panic!() };
    assert_eq!(refusal.limit, Limit::Budget);
    held.settle_part(turn(90));
    held.free_session();
    assert!(keeper.flush(Duration::from_secs(20)).await);
    let now = replicas.sums(key, Window::Total).await.unwrap();
    // What has happened is spent, even beyond the reservation.
    assert_eq!((now.spent, now.reserved, now.sessions), (NanoUsd(105), NanoUsd::ZERO, 0));
    assert_eq!((keeper.held(), held.reserved()), (1, NanoUsd::ZERO));
    held.finish(vec![turn(1)]);
    assert!(keeper.flush(Duration::from_secs(20)).await);
    assert_eq!((sums(&replicas, key, Window::Total).await, keeper.held()), ((106, 0), 0));
}
