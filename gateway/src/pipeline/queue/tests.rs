use std::sync::atomic::AtomicU32;

use domain::ids::CredentialId;
use domain::provider::ProviderKind;
use futures_util::FutureExt;
use secrecy::SecretString;
use uuid::Uuid;

use super::*;
use crate::snapshot::ProviderAccount;

const BOUNDS: QueueBounds = QueueBounds { longest: Duration::from_secs(2), most: 100 };

fn tenant(number: u128) -> TenantId {
    TenantId(Uuid::from_u128(number))
}

/// A provider with one credential, which so many may use at once.
fn provider(number: u128, seats: u32) -> Pool {
    Pool::from(ProviderAccount {
        id: ProviderId(Uuid::from_u128(number)),
        tenant: None,
        name: format!("provider-{number}"),
        kind: ProviderKind::Openai,
        base_url: String::new(),
        api_key: Some(SecretString::from("sk")),
        credential: Some(Credential {
            id: CredentialId(Uuid::from_u128(number)),
            weight: 1,
            max_concurrent: Some(seats),
        }),
        region: None,
        allow_insecure: false,
    })
}

fn in_use(pools: &[&Pool]) -> InUse {
    let mut in_use = InUse::default();
    pools.iter().for_each(|pool| in_use.add(pool));
    in_use
}

/// The seat of a call that need not wait.
fn seat(seats: &Seats, pool: &Pool) -> Arc<Seat> {
    let seat = seats.places(pool, None).remove(0).1.unwrap();
    assert!(seat.take());
    seat
}

#[tokio::test(start_paused = true)]
async fn seats_go_to_tenants_in_turn_and_not_to_who_comes_later() {
    let (seats, pool) = (Seats::default(), provider(1, 1));
    let taken = seat(&seats, &pool);
    let all = in_use(&[&pool]);
    let (many, one) = (tenant(1), tenant(2));
    let mut crowd: Vec<_> = (0..50).map(|_| Box::pin(seats.wait(&all, many, BOUNDS))).collect();
    assert!(crowd.iter_mut().all(|waits| waits.now_or_never().is_none()));
    let mut alone = Box::pin(seats.wait(&all, one, BOUNDS));
    assert!((&mut alone).now_or_never().is_none());

    drop(taken);
    assert!(!seats.has_room(&pool) && seats.places(&pool, None).is_empty(), "it is somebody's already");
    let first = (&mut crowd[0]).now_or_never().unwrap().unwrap();
    assert!((&mut alone).now_or_never().is_none() && (&mut crowd[1]).now_or_never().is_none());
    drop(first);
    let second = (&mut alone).now_or_never().expect("before the crowd's other 49").unwrap();
    let places = seats.places(&pool, Some(&second));
    assert!(places.len() == 1 && places[0].1.as_ref().unwrap().take(), "its call is led there");
    drop(second);
    assert!((&mut crowd[1]).now_or_never().is_none(), "the call has the seat still");
    drop(places);
    assert!((&mut crowd[1]).now_or_never().unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_seat_of_one_who_has_just_gone_is_handed_on() {
    let (seats, pool) = (Seats::default(), provider(1, 1));
    let taken = seat(&seats, &pool);
    let all = in_use(&[&pool]);
    let mut gone = Box::pin(seats.wait(&all, tenant(1), BOUNDS));
    let mut left = Box::pin(seats.wait(&all, tenant(2), BOUNDS));
    assert!((&mut gone).now_or_never().is_none() && (&mut left).now_or_never().is_none());
    drop(taken);
    // It has been handed the seat, and never learns of it.
    drop(gone);
    let handed = (&mut left).now_or_never().unwrap().unwrap();
    drop(handed);
    assert!(seats.has_room(&pool));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_leaves_nothing_behind() {
    let (seats, pool) = (Seats::default(), provider(1, 1));
    let taken = seat(&seats, &pool);
    let all = in_use(&[&pool]);
    let began = tokio::time::Instant::now();
    assert_eq!(seats.wait(&all, tenant(1), BOUNDS).await.unwrap_err(), Unserved::TooLong);
    assert_eq!(began.elapsed().as_secs(), 2);
    drop(taken);
    assert!(seats.has_room(&pool) && seats.line(pool.account().id).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_bounded_and_nobody_fills_it_for_others() {
    let (seats, pool) = (Seats::default(), provider(1, 1));
    let taken = seat(&seats, &pool);
    let all = in_use(&[&pool]);
    let bounds = QueueBounds { most: 3, ..BOUNDS };
    let mut crowd: Vec<_> = (0..4).map(|_| Box::pin(seats.wait(&all, tenant(1), bounds))).collect();
    let waiting = |crowd: &mut Vec<_>| {
        crowd.iter_mut().map(FutureExt::now_or_never).map(|done| done.is_none()).collect::<Vec<_>>()
    };
    assert_eq!(waiting(&mut crowd), [true, true, true, false]);
    crowd.truncate(3);
    let mut other = Box::pin(seats.wait(&all, tenant(2), bounds));
    assert!((&mut other).now_or_never().is_none());
    assert_eq!(
        (&mut crowd[2]).now_or_never().unwrap().unwrap_err(),
        Unserved::Full,
        "the last of the crowd makes room"
    );
    drop(taken);
    assert!((&mut crowd[0]).now_or_never().unwrap().is_ok());
    assert!((&mut other).now_or_never().unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_several_is_served_by_the_first_and_holds_nothing_of_the_others() {
    let (seats, one, two) = (Seats::default(), provider(1, 1), provider(2, 1));
    let (at_one, at_two) = (seat(&seats, &one), seat(&seats, &two));
    let both = in_use(&[&one, &two]);
    let mut waits = Box::pin(seats.wait(&both, tenant(1), BOUNDS));
    assert!((&mut waits).now_or_never().is_none());
    drop(at_two);
    // Not polled yet, so it stands in the other line still.
    drop(at_one);
    let handed = (&mut waits).now_or_never().unwrap().unwrap();
    assert!(handed.is_at(&two) && !handed.is_at(&one));
    assert!(seats.has_room(&one) && !seats.has_room(&two));
}

#[tokio::test(start_paused = true)]
async fn who_finds_one_queue_full_waits_in_the_other() {
    let (seats, one, two) = (Seats::default(), provider(1, 1), provider(2, 1));
    let taken = [seat(&seats, &one), seat(&seats, &two)];
    let bounds = QueueBounds { most: 1, ..BOUNDS };
    let (only_one, both) = (in_use(&[&one]), in_use(&[&one, &two]));
    let mut fills = Box::pin(seats.wait(&only_one, tenant(1), bounds));
    let mut waits = Box::pin(seats.wait(&both, tenant(1), bounds));
    assert!((&mut fills).now_or_never().is_none() && (&mut waits).now_or_never().is_none());
    drop(taken);
    assert!((&mut fills).now_or_never().unwrap().unwrap().is_at(&one));
    assert!((&mut waits).now_or_never().unwrap().unwrap().is_at(&two));
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_is_freed_while_somebody_comes_to_wait_is_theirs() {
    let (seats, pool) = (Seats::default(), provider(1, 2));
    let all = in_use(&[&pool]);
    let taken = seat(&seats, &pool);
    // It found both in use; one was given back before it came to wait.
    let handed = seats.wait(&all, tenant(1), BOUNDS).now_or_never().unwrap().unwrap();
    drop((taken, handed));
    assert!(seats.has_room(&pool));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_seat_is_lost_or_doubled_however_many_come_and_go() {
    const SEATS: u32 = 3;
    let (seats, pool) = (Arc::new(Seats::default()), Arc::new(provider(1, SEATS)));
    let busy = Arc::new(AtomicU32::new(0));
    let bounds = QueueBounds { longest: Duration::from_secs(60), most: 10_000 };
    let calls = (0..400_u128).map(|number| {
        let (seats, pool, busy) = (Arc::clone(&seats), Arc::clone(&pool), Arc::clone(&busy));
        tokio::spawn(async move {
            for turn in 0..10 {
                let all = in_use(&[&pool]);
                let waits = seats.wait(&all, tenant(number % 7), bounds);
                let handed = if (number + turn) % 3 == 0 {
                    // Some hang up at any moment.
                    let hangs_up = async {
                        for _ in 0..number % 5 {
                            tokio::task::yield_now().await;
                        }
                    };
                    tokio::select! { handed = waits => handed, () = hangs_up => continue }
                } else {
                    waits.await
                };
                let handed = handed.expect("everybody is served in the end");
                assert!(busy.fetch_add(1, Ordering::SeqCst) < SEATS);
                tokio::task::yield_now().await;
                busy.fetch_sub(1, Ordering::SeqCst);
                drop(handed);
            }
        })
    });
    for call in futures_util::future::join_all(calls).await {
        call.unwrap();
    }
    assert!(seats.line(pool.account().id).is_empty());
    let all: Vec<_> = (0..SEATS).map(|_| seat(&seats, &pool)).collect();
    assert!(!seats.has_room(&pool));
    drop(all);
}
