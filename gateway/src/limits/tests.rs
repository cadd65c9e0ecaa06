//! Limits hold under any interleaving, and a refusal takes nothing.

use proptest::prelude::*;
use time::macros::datetime;
use uuid::Uuid;

use domain::ids::TenantId;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn key() -> Key {
    Key {
        id: VirtualKeyId(Uuid::from_u128(7)),
        tenant: TenantId(Uuid::from_u128(8)),
        name: "ci".to_owned(),
        operations: Vec::new(),
        models: Vec::new(),
        requests_per_minute: None,
        max_concurrent_sessions: None,
        budget: None,
        max_upload_bytes: None,
        expires_at: None,
        refuse_unpriced: false,
        passthrough: false,
        allow_strategy: false,
    }
}

fn total(amount: i64) -> Option<Budget> {
    Some(Budget { amount: NanoUsd(amount), window: BudgetWindow::Total })
}

fn want(cost: i64) -> Want {
    Want { cost: Some(NanoUsd(cost)), session: false }
}

const SESSION: Want = Want { cost: None, session: true };

fn sums(limits: &Limits, key: &Key) -> (i64, i64) {
    let spend = limits.spend(key, NOW);
    (spend.spent.0, spend.reserved.0)
}

#[test]
fn two_hundred_racers_on_room_for_ten_admit_ten() {
    let limits = Limits::new();
    let key = Key { budget: total(1000), ..key() };
    let start = std::sync::Barrier::new(200);
    let race = || {
        start.wait();
        limits.admit(&key, &want(100), NOW, Instant::now()).ok()
    };
    let permits: Vec<Permit> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..200).map(|_| scope.spawn(race)).collect();
        racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(permits.len(), 10);
    assert_eq!(sums(&limits, &key), (0, 1000));
    drop(permits);
    assert_eq!(sums(&limits, &key), (0, 0));
}

#[test]
fn a_refusal_by_one_limit_takes_nothing_of_another() {
    let mono = Instant::now();
    let both = Want { cost: Some(NanoUsd(10)), session: true };

    // The rate refuses: no money, no slot.
    let limits = Limits::new();
    let limited = Key { requests_per_minute: Some(1), max_concurrent_sessions: Some(2), budget: total(100), ..key() };
    let first = limits.admit(&limited, &both, NOW, mono).unwrap();
    let refusal = limits.admit(&limited, &both, NOW, mono).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::RateLimitExceeded);
    assert_eq!(refusal.rate.unwrap().remaining, 0);
    assert_eq!((sums(&limits, &limited), limits.open_sessions(limited.id)), ((0, 10), 1));
    drop(first);

    // The budget refuses: no request of the rate, no slot.
    let limits = Limits::new();
    let limited = Key { requests_per_minute: Some(2), max_concurrent_sessions: Some(1), budget: total(5), ..key() };
    let refusal = limits.admit(&limited, &both, NOW, mono).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::BudgetExceeded);
    assert_eq!((sums(&limits, &limited), limits.open_sessions(limited.id)), ((0, 0), 0));
    let permit = limits.admit(&limited, &SESSION, NOW, mono).unwrap();
    assert_eq!(permit.rate().unwrap().remaining, 1);

    // The sessions refuse: no request of the rate, no money.
    let both = Want { cost: Some(NanoUsd(1)), session: true };
    let refusal = limits.admit(&limited, &both, NOW, mono).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::SessionLimitExceeded);
    assert_eq!(sums(&limits, &limited), (0, 0));
    assert_eq!(limits.admit(&limited, &want(1), NOW, mono).unwrap().rate().unwrap().remaining, 0);
}

#[test]
fn a_spent_budget_refuses_even_what_has_no_price() {
    let limits = Limits::new();
    let key = Key { budget: total(100), ..key() };
    let mut permit = limits.admit(&key, &Want::default(), NOW, Instant::now()).unwrap();
    permit.settle_part(Some(NanoUsd(150)), NOW);
    let refusal = limits.admit(&key, &Want::default(), NOW, Instant::now()).unwrap_err();
    assert_eq!((refusal.kind, refusal.retry_after), (ErrorKind::BudgetExceeded, Duration::from_secs(86_400)));
    assert!(permit.reserve_more(NanoUsd(1)).is_err());
}

#[test]
fn a_daily_budget_comes_back_at_midnight() {
    let limits = Limits::new();
    let key = Key { budget: Some(Budget { amount: NanoUsd(100), window: BudgetWindow::Daily }), ..key() };
    limits.set_past(key.id, PastSpend { day: NanoUsd(100), ..PastSpend::default() }, true, NOW);
    let refusal = limits.admit(&key, &want(1), NOW, Instant::now()).unwrap_err();
    assert_eq!(refusal.retry_after, Duration::from_secs(12 * 3600));
    let tomorrow = datetime!(2026-11-22 0:00 UTC);
    limits.admit(&key, &want(100), tomorrow, Instant::now()).unwrap();
    let spend = limits.spend(&key, tomorrow);
    assert_eq!((spend.window_start, spend.window_end), (Some(tomorrow), Some(datetime!(2026-11-23 0:00 UTC))));
}

#[test]
fn a_call_across_midnight_is_paid_out_of_the_day_it_began_in() {
    let limits = Limits::new();
    let key = Key { budget: Some(Budget { amount: NanoUsd(100), window: BudgetWindow::Daily }), ..key() };
    let (evening, morning) = (datetime!(2026-11-21 23:59 UTC), datetime!(2026-11-22 0:01 UTC));
    let mut late = limits.admit(&key, &want(80), evening, Instant::now()).unwrap();
    let early = limits.admit(&key, &want(20), morning, Instant::now()).unwrap();
    late.settle_part(Some(NanoUsd(80)), evening);
    drop(early);
    assert_eq!(limits.spend(&key, morning).spent, NanoUsd::ZERO);
    assert!(limits.admit(&key, &want(100), morning, Instant::now()).is_ok());
}

#[test]
fn a_clock_that_is_set_back_over_midnight_does_not_open_the_budget() {
    let limits = Limits::new();
    let key = Key { budget: Some(Budget { amount: NanoUsd(100), window: BudgetWindow::Daily }), ..key() };
    let (morning, set_back) = (datetime!(2026-11-22 0:10 UTC), datetime!(2026-11-21 23:10 UTC));
    limits.admit(&key, &want(40), morning, Instant::now()).unwrap().settle_part(Some(NanoUsd(40)), morning);
    limits.admit(&key, &want(60), set_back, Instant::now()).unwrap().settle_part(Some(NanoUsd(60)), set_back);
    assert_eq!(limits.spend(&key, set_back).spent, NanoUsd(100), "the day that had begun goes on");
    limits.admit(&key, &want(1), set_back, Instant::now()).unwrap_err();
    limits.admit(&key, &want(1), morning, Instant::now()).unwrap_err();
    limits.admit(&key, &want(100), datetime!(2026-11-23 0:00 UTC), Instant::now()).unwrap();
}

#[test]
fn a_past_is_asked_for_until_it_is_certain() {
    let limits = Limits::new();
    let (budgeted, free) = (Key { budget: total(100), ..key() }, Key { id: VirtualKeyId(Uuid::nil()), ..key() });
    // Before it had a budget the key spent 30 here.
    let mut permit = limits.admit(&key(), &want(30), NOW, Instant::now()).unwrap();
    permit.settle_part(Some(NanoUsd(30)), NOW);
    let missing = || limits.without_past([&budgeted, &free].into_iter(), NOW, Instant::now());
    assert_eq!(missing().iter().map(|(key, _)| *key).collect::<Vec<_>>(), [budgeted.id]);
    let past = |nano| PastSpend { total: NanoUsd(nano), ..PastSpend::default() };
    limits.set_past(budgeted.id, past(40), false, NOW);
    assert_eq!(missing().len(), 1, "records may still be on their way");
    limits.set_past(budgeted.id, past(60), true, NOW);
    assert!(missing().is_empty());
    assert_eq!(sums(&limits, &budgeted), (90, 0));
    limits.admit(&budgeted, &want(11), NOW, Instant::now()).unwrap_err();
    limits.forget_idle(Instant::now());
    assert_eq!(sums(&limits, &budgeted), (90, 0), "it is kept");
}

#[test]
fn alone_a_gateway_gives_its_part_of_what_is_left() {
    let limits = Limits::new();
    let key = Key { budget: total(100), max_concurrent_sessions: Some(6), requests_per_minute: Some(9), ..key() };
    let past = PastSpend { total: NanoUsd(40), ..PastSpend::default() };
    limits.set_past(key.id, past, true, NOW);
    let mono = Instant::now();
    let admit = |want: &Want| limits.admit_part(&key, want, NOW, mono, LocalShare::of(3));
    let first = admit(&want(20)).unwrap();
    assert_eq!(first.rate().unwrap().limit, 3);
    assert_eq!(admit(&want(1)).unwrap_err().kind, ErrorKind::BudgetExceeded, "a third of 60 is held");
    drop(first);
    let _sessions = (admit(&SESSION).unwrap(), admit(&SESSION).unwrap());
    assert_eq!(admit(&SESSION).unwrap_err().kind, ErrorKind::SessionLimitExceeded, "a third of 6");
}

#[test]
fn what_the_ledger_has_delivered_is_not_counted_twice_alone() {
    let limits = Limits::new();
    let key = Key { budget: total(100), ..key() };
    let mut permit = limits.admit(&key, &want(30), NOW, Instant::now()).unwrap();
    permit.settle_part(Some(NanoUsd(10)), NOW);
    let here = limits.here(key.id);
    permit.settle_part(Some(NanoUsd(5)), NOW);
    let past = PastSpend { total: NanoUsd(50), ..PastSpend::default() };
    limits.count_alone(key.id, past, here, NOW, 1);
    assert_eq!(sums(&limits, &key), (55, 15), "50 by all, and 5 that came since");
    assert!(limits.knows_past_of(key.id, 1) && !limits.knows_past_of(key.id, 2), "each outage is read for");
}

#[test]
fn a_session_settles_turn_by_turn_and_returns_the_rest() {
    let limits = Limits::new();
    let key = Key { budget: total(100), max_concurrent_sessions: Some(1), ..key() };
    let want = Want { cost: Some(NanoUsd(40)), session: true };
    let mut permit = limits.admit(&key, &want, NOW, Instant::now()).unwrap();
    permit.settle_part(Some(NanoUsd(15)), NOW);
    permit.settle_part(None, NOW);
    assert_eq!(sums(&limits, &key), (15, 25));
    permit.reserve_more(NanoUsd(60)).unwrap();
    assert_eq!(permit.reserve_more(NanoUsd(1)).unwrap_err().kind, ErrorKind::BudgetExceeded);
    permit.settle_part(Some(NanoUsd(90)), NOW);
    assert_eq!(sums(&limits, &key), (105, 0), "what has happened is spent even beyond the reservation");
    drop(permit);
    assert_eq!((sums(&limits, &key), limits.open_sessions(key.id)), ((105, 0), 0));
}

#[test]
fn a_panic_leaks_nothing() {
    let limits = Limits::new();
    let key = Key { budget: total(100), max_concurrent_sessions: Some(1), ..key() };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let want = Want { cost: Some(NanoUsd(100)), session: true };
        let _permit = limits.admit(&key, &want, NOW, Instant::now()).unwrap();
        panic!("a bug elsewhere");
    }));
    assert!(result.is_err());
    assert_eq!((sums(&limits, &key), limits.open_sessions(key.id)), ((0, 0), 0));
    limits.admit(&key, &SESSION, NOW, Instant::now()).unwrap();
}

#[test]
fn changed_limits_take_effect_at_once() {
    let limits = Limits::new();
    let mono = Instant::now();
    let slow = Key { requests_per_minute: Some(1), ..key() };
    limits.admit(&slow, &want(0), NOW, mono).unwrap();
    limits.admit(&slow, &want(0), NOW, mono).unwrap_err();
    let fast = Key { requests_per_minute: Some(3), ..key() };
    assert_eq!(limits.admit(&fast, &want(0), NOW, mono).unwrap().rate().unwrap().limit, 3);
    let stopped = Key { requests_per_minute: Some(0), ..key() };
    limits.admit(&stopped, &want(0), NOW, mono).unwrap_err();
    assert_eq!(limits.admit(&key(), &want(0), NOW, mono).unwrap().rate(), None);
}

#[test]
fn idle_keys_are_forgotten_and_busy_or_budgeted_ones_are_not() {
    let limits = Limits::new();
    let mono = Instant::now();
    let numbered = |number: u128| Key { id: VirtualKeyId(Uuid::from_u128(number)), ..key() };
    drop(limits.admit(&numbered(1), &want(5), NOW, mono));
    let held = limits.admit(&numbered(2), &want(5), NOW, mono).unwrap();
    drop(limits.admit(&Key { requests_per_minute: Some(1), ..numbered(3) }, &want(5), NOW, mono));
    drop(limits.admit(&Key { budget: total(9), ..numbered(4) }, &want(5), NOW, mono));
    limits.forget_idle(mono);
    assert_eq!(limits.tracked_keys(), 3);
    drop(held);
    limits.forget_idle(mono + Duration::from_secs(60));
    assert_eq!(limits.tracked_keys(), 1, "the key with a budget stays");
}

#[test]
fn a_crowd_of_keys_does_not_stay_in_memory() {
    let limits = Limits::new();
    let mono = Instant::now();
    let numbered = |number: u128| Key { id: VirtualKeyId(Uuid::from_u128(number)), ..key() };
    let admit = |key: &Key| limits.admit(key, &want(1), NOW, mono).unwrap();
    let budgeted = Key { budget: total(100), ..numbered(1_000_000) };
    let mut paid = admit(&budgeted);
    paid.settle_part(Some(NanoUsd(1)), NOW);
    drop(paid);
    let busy: Vec<(Key, Permit)> = (0..100).map(|number| (numbered(number), admit(&numbered(number)))).collect();
    for number in 100..20_000 {
        drop(admit(&numbered(number)));
        assert!(limits.tracked_keys() <= SWEEP_FROM, "after {number}");
    }
    // Who is at work, or has a budget, is remembered whoever else comes.
    assert_eq!(sums(&limits, &budgeted), (1, 0));
    assert!(busy.iter().all(|(key, _)| sums(&limits, key) == (0, 1)));
    limits.forget_idle(mono);
    assert_eq!(limits.tracked_keys(), busy.len() + 1);
    drop(busy);
    limits.forget_idle(mono);
    assert_eq!(limits.tracked_keys(), 1);
}

/// One step of any number of requests of one key.
#[derive(Debug, Clone)]
enum Step {
    Admit(i64),
    ReserveMore(usize, i64),
    SettlePart(usize, i64),
    Drop(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_i64..60).prop_map(Step::Admit),
        (any::<usize>(), 0_i64..60).prop_map(|(at, amount)| Step::ReserveMore(at, amount)),
        (any::<usize>(), 0_i64..60).prop_map(|(at, amount)| Step::SettlePart(at, amount)),
        any::<usize>().prop_map(Step::Drop),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn money_adds_up_after_any_interleaving(steps in steps(), amount in 0_i64..300) {
        let limits = Limits::new();
        let key = Key { budget: total(amount), ..key() };
        let mut live: Vec<Permit> = Vec::new();
        let mut settled = 0;
        for step in steps {
            let at = |at: usize| at.checked_rem(live.len());
            match step {
                Step::Admit(cost) => live.extend(limits.admit(&key, &want(cost), NOW, Instant::now())),
                Step::Drop(index) => drop(at(index).map(|index| live.swap_remove(index))),
                Step::ReserveMore(index, more) => {
                    if let Some(index) = at(index) {
                        drop(live[index].reserve_more(NanoUsd(more)));
                    }
                }
                // Costs are exact: nothing is settled beyond what is held.
                Step::SettlePart(index, cost) => {
                    if let Some(index) = at(index) {
                        let cost = cost.min(live[index].reserved().0);
                        live[index].settle_part(Some(NanoUsd(cost)), NOW);
                        settled += cost;
                    }
                }
            }
            let held: i64 = live.iter().map(|permit| permit.reserved().0).sum();
            prop_assert_eq!(sums(&limits, &key), (settled, held));
            prop_assert!(settled + held <= amount);
        }
        live.clear();
        prop_assert_eq!(sums(&limits, &key), (settled, 0));
    }
}
