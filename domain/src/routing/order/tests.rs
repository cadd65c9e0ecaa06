//! What each strategy puts first, and what it leaves to the next one.

use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as Generator;

use super::*;

fn seen() -> Seen {
    Seen {
        weight: 1,
        priority: 0,
        quality: None,
        timing: Timing::default(),
        cost_nano_usd: None,
        distance: Distance::FAR,
        ejected_for: None,
        name: Name::of(""),
    }
}

/// A target that answers after so long, and was asked just now.
fn quick(ms: f64) -> Seen {
    let timing =
        Timing { expected_ms: Some(ms), typical_ms: Some(ms), idle: Some(Duration::ZERO), ..Timing::default() };
    Seen { timing, ..seen() }
}

fn idle(ms: f64, minutes: u64) -> Seen {
    let target = quick(ms);
    Seen { timing: Timing { idle: Some(Duration::from_secs(minutes * 60)), ..target.timing }, ..target }
}

/// No draw measures.
const NEVER: Draws = Draws { weighted: 0.0, measure: 0.99 };

fn by(strategies: &str, seen: &[Seen]) -> Vec<usize> {
    order(&strategies.parse().unwrap(), seen, NEVER, None).indices
}

#[test]
fn each_strategy_orders_by_its_own_measure_and_ties_stand_as_configured() {
    let near = |wanted, at| crate::routing::region::distance(Some(wanted), Some(at));
    let all = [
        Seen { priority: 2, quality: Some(0.5), cost_nano_usd: None, distance: near("eu", "us"), ..quick(20.0) },
        Seen { priority: 1, quality: None, cost_nano_usd: Some(5), distance: near("eu", "eu"), ..quick(10.0) },
        Seen {
            priority: 1,
            quality: Some(0.9),
            cost_nano_usd: Some(2),
            distance: near("eu", "eu-west-1"),
            ..quick(20.0)
        },
    ];
    assert_eq!(by("priority", &all), [1, 2, 0]);
    assert_eq!(by("quality", &all), [2, 0, 1], "an unknown score is none");
    assert_eq!(by("latency", &all), [1, 0, 2]);
    assert_eq!(by("cost", &all), [2, 1, 0], "an unknown cost comes last");
    assert_eq!(by("geographic", &all), [1, 2, 0]);
}

#[test]
fn weighted_draws_all_places_by_weight() {
    let all = [(1, 0), (0, 0), (3, 0)].map(|(weight, priority)| Seen { weight, priority, ..seen() });
    let weighted = Strategies::only(Strategy::Weighted);
    let draw = |weighted_draw| order(&weighted, &all, Draws { weighted: weighted_draw, measure: 0.0 }, None).indices;
    assert_eq!(draw(0.2), [0, 2, 1], "a weight of 0 comes last");
    assert_eq!(draw(0.3), [2, 0, 1]);
    let three = [1, 1, 2].map(|weight| Seen { weight, ..seen() });
    let mut counts = std::collections::BTreeMap::new();
    for step in 0..1200 {
        let draws = Draws { weighted: f64::from(step) / 1200.0, measure: 0.0 };
        *counts.entry(order(&weighted, &three, draws, None).indices).or_insert(0) += 1;
    }
    let shares: Vec<i32> = counts.values().copied().collect();
    // 1/4 × 1/3, 1/4 × 2/3, the same for the second, 1/2 × 1/2 twice.
    for (share, wanted) in shares.iter().zip([100, 200, 100, 200, 300, 300]) {
        assert!((share - wanted).abs() <= 2, "{counts:?}");
    }
    assert_eq!(order(&weighted, &[seen(); 2].map(|one| Seen { weight: 0, ..one }), NEVER, None).indices, [0, 1]);
}

#[test]
fn what_is_about_equal_is_decided_by_the_next_strategy() {
    let cost = |nano: i64| Some(nano);
    // 100 and 115 ms are within 20 ms, 121 ms is not.
    let small = [(115.0, 2), (100.0, 3), (121.0, 1)].map(|(ms, nano)| Seen { cost_nano_usd: cost(nano), ..quick(ms) });
    assert_eq!(by("latency,cost", &small), [0, 1, 2]);
    assert_eq!(by("latency", &small), [1, 0, 2], "the last strategy leaves nothing open");
    // 1000 and 1100 ms are within a tenth, and 1111 ms is near 1100 alone: groups begin at their best.
    let large =
        [(1111.0, 1), (1100.0, 2), (1000.0, 3)].map(|(ms, nano)| Seen { cost_nano_usd: cost(nano), ..quick(ms) });
    assert_eq!(by("latency,cost", &large), [1, 2, 0]);
    let costs = [(1010, 0.3), (1000, 0.1), (1011, 0.9)].map(|(nano, quality)| Seen {
        cost_nano_usd: cost(nano),
        quality: Some(quality),
        ..seen()
    });
    assert_eq!(by("cost,quality", &costs), [0, 1, 2], "within one percent");
    let quality =
        [(0.89, 1), (0.9, 2), (0.88, 0)].map(|(quality, priority)| Seen { quality: Some(quality), priority, ..seen() });
    assert_eq!(by("quality,priority", &quality), [0, 1, 2], "within a hundredth");
    assert_eq!(by("priority,geographic,quality,cost", &quality), [2, 0, 1]);
    let free = [(0, 2), (1, 1), (0, 1)].map(|(nano, priority)| Seen { cost_nano_usd: cost(nano), priority, ..seen() });
    assert_eq!(by("cost,priority", &free), [2, 0, 1], "nothing is near to free");
}

#[test]
fn a_target_that_nobody_knows_is_measured_by_one_call_at_a_time() {
    let latency = Strategies::only(Strategy::Latency);
    let probed = Seen { timing: Timing { probed: true, ..Timing::default() }, ..seen() };
    let at = |all: &[Seen], measure| order(&latency, all, Draws { weighted: 0.0, measure }, None);
    let order = |indices: &[usize], measures| Order { indices: indices.to_vec(), measures };
    assert_eq!(at(&[quick(9.0), seen(), seen()], 0.99), order(&[1, 0, 2], true), "one goes first, known ones follow");
    assert_eq!(at(&[quick(9.0), probed, seen()], 0.99), order(&[2, 0, 1], true));
    assert_eq!(
        at(&[quick(9.0), probed, probed], 0.0),
        order(&[0, 1, 2], false),
        "others do not wait for what it finds"
    );
    assert_eq!(at(&[probed, probed], 0.0), order(&[0, 1], false));
    assert_eq!(at(&[seen()], 0.0), order(&[0], false), "there is nothing to choose");
}

#[test]
fn a_small_share_of_calls_measures_what_was_not_asked_for_long() {
    let latency = Strategies::only(Strategy::Latency);
    let at = |all: &[Seen], measure| order(&latency, all, Draws { weighted: 0.0, measure }, None);
    let order = |indices: &[usize], measures| Order { indices: indices.to_vec(), measures };
    let stale = [quick(9.0), idle(50.0, 1), idle(20.0, 2)];
    assert_eq!(at(&stale, 0.019), order(&[2, 0, 1], true), "the one that waits longest");
    assert_eq!(at(&stale, 0.02), order(&[0, 2, 1], false));
    assert_eq!(at(&[idle(9.0, 9), quick(20.0)], 0.0), order(&[0, 1], false), "the best is measured anyway");
    assert_eq!(at(&[quick(9.0), idle(50.0, 15)], 0.049), order(&[1, 0], true), "sooner after a quarter of an hour");
    assert_eq!(at(&[quick(9.0), idle(50.0, 15)], 0.05), order(&[0, 1], false));
    let far = Seen { distance: Distance::SAME, ..quick(90.0) };
    let both = "geographic,latency".parse().unwrap();
    let draws = Draws { weighted: 0.0, measure: 0.0 };
    let found = super::order(&both, &[idle(9.0, 99), seen(), far], draws, None);
    assert_eq!(found, order(&[2, 0, 1], false), "no call leaves its region to measure");
}

#[test]
fn ejected_targets_come_last_and_the_longest_ejected_of_them_first() {
    let ejected = |ms, seconds| Seen { ejected_for: Some(Duration::from_secs(seconds)), ..quick(ms) };
    let all = [ejected(1.0, 5), quick(90.0), ejected(9.0, 30), quick(50.0)];
    assert_eq!(by("latency", &all), [3, 1, 2, 0]);
    assert_eq!(by("weighted", &[ejected(1.0, 5), ejected(1.0, 5), ejected(1.0, 6)]), [2, 0, 1]);
}

#[test]
fn a_conversation_stays_while_its_target_is_about_as_good_as_the_best() {
    let named = |name, target| Seen { name: Name::of(name), ..target };
    let first = |strategies: &str, all: &[Seen], conversation: &str| {
        let order = order(&strategies.parse().unwrap(), all, NEVER, Some(Name::of(conversation)));
        all[order.indices[0]].name
    };
    let all = [named("a", quick(100.0)), named("b", quick(190.0)), named("c", quick(500.0))];
    let mut moved = 0;
    for id in 0..200 {
        let id = format!("conversation {id}");
        let (here, swapped) =
            (first("latency", &all, &id), [named("a", quick(190.0)), all[2], named("b", quick(100.0))]);
        assert_ne!(here, Name::of("c"), "too slow to stay there");
        assert_eq!(first("latency", &swapped, &id), here, "who is the quicker of the two changes nothing");
        let alone = [all[0], all[2], named("b", Seen { ejected_for: Some(Duration::ZERO), ..quick(1.0) })];
        assert_eq!(first("latency", &alone, &id), Name::of("a"), "it moves when its target fails");
        moved += usize::from(here == Name::of("b"));
        let weights = [("a", 0), ("b", 1), ("c", 1)].map(|(name, weight)| Seen { weight, ..named(name, seen()) });
        let place = first("weighted", &weights, &id);
        assert_ne!(place, Name::of("a"));
        assert_eq!(first("weighted", &[weights[2], weights[1]], &id), place);
        let ranks = [("a", 1), ("b", 0), ("c", 0)].map(|(name, priority)| Seen { priority, ..named(name, seen()) });
        assert_ne!(first("priority", &ranks, &id), Name::of("a"), "no conversation leaves the best group");
    }
    assert!((70..130).contains(&moved), "{moved} of 200 are at the second target");
    let stale = [named("a", quick(10.0)), named("b", idle(500.0, 60))];
    let draws = Draws { weighted: 0.0, measure: 0.0 };
    assert!(!order(&Strategies::only(Strategy::Latency), &stale, draws, Some(Name::of("x"))).measures);
}

fn any_seen() -> impl Generator<Value = Seen> {
    let sorts = (0..4_u32, -2..3_i32, prop::option::of(0.0..1.0_f64), prop::option::of(0..3000_i64), 0..4_usize);
    let measured = (prop::option::of(1.0..3000.0_f64), prop::option::of(0..2000_u64), any::<bool>());
    let rest = (prop::option::weighted(0.3, 0..100_u64), 0..1000_u32);
    (sorts, measured, rest).prop_map(|(sorts, (expected_ms, idle, probed), (ejected, name))| {
        let (weight, priority, quality, cost_nano_usd, region) = sorts;
        let region = ["eu", "eu-west-1", "us", "mars"][region];
        Seen {
            weight,
            priority,
            quality,
            timing: Timing { expected_ms, idle: idle.map(Duration::from_secs), probed, ..Timing::default() },
            cost_nano_usd,
            distance: crate::routing::region::distance(Some("eu-west-1"), Some(region)),
            ejected_for: ejected.map(Duration::from_secs),
            name: Name::of(&name.to_string()),
        }
    })
}

fn any_strategies() -> impl Generator<Value = Strategies> {
    let shuffled = Just(Strategy::ALL.to_vec()).prop_shuffle();
    (shuffled, 1..=Strategy::ALL.len()).prop_map(|(all, length)| {
        let weighted = all.iter().position(|strategy| *strategy == Strategy::Weighted).unwrap();
        Strategies::new(all.into_iter().take(length.min(weighted + 1))).unwrap()
    })
}

/// How much worse than another a target may be and still stand in front of it, by the first strategy.
fn is_no_worse(strategy: Strategy, one: &Seen, other: &Seen) -> bool {
    let ms = |seen: &Seen| seen.timing.expected_ms.unwrap_or(f64::INFINITY);
    let cost = |seen: &Seen| seen.cost_nano_usd.map_or(f64::INFINITY, |cost| cost as f64);
    let quality = |seen: &Seen| seen.quality.unwrap_or(0.0);
    match strategy {
        Strategy::Latency => ms(one) <= (ms(other) * 1.1).max(ms(other) + 20.0),
        Strategy::Cost => cost(one) <= cost(other) * 1.01,
        Strategy::Quality => quality(one) >= quality(other) - 0.011,
        Strategy::Geographic => one.distance <= other.distance,
        Strategy::Priority => one.priority <= other.priority,
        Strategy::Weighted => one.weight > 0 || other.weight == 0,
    }
}

proptest! {
    #[test]
    fn every_order_is_a_permutation_that_keeps_its_promises(
        seen in prop::collection::vec(any_seen(), 0..9),
        strategies in any_strategies(),
        (weighted, measure) in (0.0..1.0_f64, 0.0..1.0_f64),
        conversation in prop::option::of(0..50_u32),
    ) {
        let draws = Draws { weighted, measure };
        let conversation = conversation.map(|id| Name::of(&id.to_string()));
        let found = order(&strategies, &seen, draws, conversation);
        prop_assert_eq!(&order(&strategies, &seen, draws, conversation), &found, "the same again");

        let mut sorted = found.indices.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..seen.len()).collect::<Vec<_>>(), "each target once");

        let tried: Vec<&Seen> = found.indices.iter().map(|index| &seen[*index]).collect();
        let ejected = tried.iter().map(|seen| seen.ejected_for);
        let healthy = ejected.clone().take_while(Option::is_none).count();
        let ejected: Vec<_> = ejected.skip(healthy).collect();
        prop_assert!(ejected.iter().all(Option::is_some), "no ejected target before a healthy one");
        prop_assert!(ejected.is_sorted_by(|one, next| one >= next), "the longest ejected of them first");

        let measures = usize::from(found.measures);
        prop_assert!(!found.measures || strategies.contains(Strategy::Latency) && !tried[0].timing.probed);
        if conversation.is_none() {
            for pair in tried[..healthy].get(measures..).unwrap_or_default().windows(2) {
                let (one, next) = (pair[0], pair[1]);
                prop_assert!(is_no_worse(strategies.as_slice()[0], one, next), "{one:?} before {next:?}");
            }
        }
    }
}
