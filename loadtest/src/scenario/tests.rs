use super::phases::Clock;
use super::*;

const GOOD: &str = "
name: good
about: What a test needs.
upstream: { profile: fast, faults: { speech: { status: { 503: 0.1 } } } }
warm_up: 2s
traffic:
  arrivals: even
  operations: { speech: { weight: 2, kib: 64 }, conversation: { weight: 1, turns: 2, speaks: 200ms } }
  phases: [{ for: 10s, from: 0, to: 20 }, { for: 5s, at: 20 }, { name: spike, for: 1s, at: 100 }]
sessions: { held: 5, open_over: 1s, frame_every: 20ms }
";

#[test]
fn what_is_shipped_can_be_read_and_written() {
    for (name, _) in SHIPPED {
        let scenario = Scenario::find(name).unwrap();
        assert_eq!(scenario.name, name);
        let again: Scenario = serde_json::from_value(serde_json::to_value(&scenario).unwrap()).unwrap();
        assert_eq!(again, scenario);
    }
    assert!(format!("{:#}", Scenario::find("rush").unwrap_err()).contains("smoke, mixed"));
}

#[test]
fn nonsense_is_refused_by_its_field() {
    Scenario::parse(GOOD).unwrap();
    for (part, nonsense, field) in [
        ("weight: 2", "weight: 0", "traffic.operations.speech.weight"),
        ("weight: 2", "weight: heavy", "traffic.operations.speech.weight"),
        ("kib: 64", "kib: 0", "traffic.operations.speech.kib"),
        ("kib: 64", "bytes: 64", "traffic.operations.speech"),
        ("turns: 2", "turns: 0", "traffic.operations.conversation.turns"),
        ("speaks: 200ms", "speaks: 20ms", "traffic.operations.conversation.speaks"),
        ("for: 5s", "for: 5", "traffic.phases[1].for"),
        ("for: 5s", "for: 5 parsecs", "traffic.phases[1].for"),
        ("for: 5s, at: 20", "for: 5s", "[1].at"),
        ("for: 5s, at: 20", "for: 5s, at: 20, to: 9", "[1].at"),
        ("for: 5s, at: 20", "for: 5s, at: -1", "[1].at"),
        ("arrivals: even", "arrivals: sometimes", "traffic.arrivals"),
        ("profile: fast", "profile: brisk", "upstream.profile"),
        ("503: 0.1", "503: 2", "upstream.faults.speech.status.503"),
        ("503: 0.1", "nope: 0.1", "upstream.faults.speech.status"),
        ("held: 5", "held: 0", "sessions.held"),
        ("frame_every: 20ms", "frame_every: 1ms", "sessions.frame_every"),
        ("warm_up: 2s", "lasts: 2s", "lasts"),
        ("warm_up: 2s", "warmup: 2s", "warmup"),
        ("name: good", "name: ../good", "name"),
    ] {
        assert!(GOOD.contains(part), "{part}");
        let error = format!("{:#}", Scenario::parse(&GOOD.replace(part, nonsense)).unwrap_err());
        assert!(error.contains(field), "{nonsense}: {error}");
    }
    let neither = "{ name: a, about: b, lasts: 5s }";
    assert!(format!("{:#}", Scenario::parse(neither).unwrap_err()).contains("traffic"));
}

#[test]
fn arrivals_are_due_by_the_phases_alone() {
    let scenario = Scenario::parse(GOOD).unwrap();
    let phases = &scenario.traffic.as_ref().unwrap().phases;
    let due: Vec<Duration> = Clock::new(phases, Arrivals::Even, 1).collect();
    let between = |from: u64, to: u64| {
        due.iter().filter(|at| (Duration::from_secs(from)..Duration::from_secs(to)).contains(*at)).count()
    };
    // The area under the levels: 100 of the ramp, 100 and 100 of the others. The last one is due right at the end.
    assert_eq!(due.len(), 299);
    assert!(due.is_sorted());
    assert_eq!((between(0, 5), between(5, 10), between(10, 15)), (24, 75, 100));
    assert!(due.last().unwrap() < &scenario.duration());
    assert!((phases.level(Duration::from_secs(5)).unwrap() - 10.0).abs() < 1e-9);
    assert_eq!(phases.level(Duration::from_secs(16)), None);
    for (number, at) in due.iter().enumerate().take(90).skip(10) {
        let exactly = (number as f64 + 1.0).sqrt();
        assert!((at.as_secs_f64() - exactly).abs() < 1e-6, "t² arrivals have come by t: {at:?}");
    }
}

#[test]
fn random_arrivals_come_as_often_and_by_their_seed() {
    let text = GOOD.replace("for: 5s, at: 20", "for: 1h, at: 20");
    let scenario = Scenario::parse(&text).unwrap();
    let phases = &scenario.traffic.as_ref().unwrap().phases;
    let run = |seed| Clock::new(phases, Arrivals::Random, seed).collect::<Vec<_>>();
    let due = run(3);
    assert!(due == run(3) && due != run(4) && due.is_sorted());
    // 72,200 are expected; the deviation of a Poisson process is 269.
    assert!((71_000..73_400).contains(&due.len()), "{}", due.len());
    let gaps = due.iter().zip(due.iter().skip(1)).map(|(one, next)| (*next - *one).as_secs_f64());
    let long = gaps.clone().filter(|gap| *gap > 0.05).count() as f64 / due.len() as f64;
    assert!((long - 0.368).abs() < 0.02, "a share of 1/e waits longer than the mean: {long}");
}

#[test]
fn a_scenario_is_stretched_and_warmed_up() {
    let scenario = Scenario::parse(GOOD).unwrap().lasting(Duration::from_secs(4));
    assert_eq!(scenario.duration(), Duration::from_secs(4));
    assert_eq!(scenario.warm_up, Span::seconds(1), "a quarter at most");
    let short = scenario.clone().lasting(Duration::from_secs(1));
    assert_eq!(short.sessions.unwrap().open_over.get(), Duration::from_millis(500), "half at most");
    let warming = scenario.warming_up().unwrap();
    assert_eq!(warming.duration(), Duration::from_secs(1));
    let phases = &warming.traffic.as_ref().unwrap().phases;
    assert!((phases.level(Duration::ZERO).unwrap() - 20.0).abs() < 1e-9, "a ramp from nothing warms up at its end");
}
