use super::*;
use crate::{
    result::{Generator, Percentiles, Verdict},
    scenario::Scenario,
};

fn percentiles(p50: f64) -> Percentiles {
    Percentiles { p50, p90: p50 * 2.0, p99: p50 * 3.0, p999: p50 * 4.0, max: p50 * 5.0 }
}

/// A run of two seconds, in each of which 617 operations ended.
fn run(target: &str, round: u32, p50: f64) -> Run {
    let operation = Operation {
        done: 1_234,
        hung_up: 5,
        errors: BTreeMap::from([("503 overloaded".to_owned(), 7)]),
        latency: percentiles(p50),
        first_byte: percentiles(p50 / 2.0),
        distribution: vec![(0.0, p50 / 4.0), (0.5, p50), (0.99, p50 * 3.0), (1.0, p50 * 5.0)],
    };
    let passed = Passed { done: 617, failed: 3, latency: percentiles(p50) };
    let interval = |at: f64| Interval {
        at,
        seconds: 1.0,
        sessions: 12,
        operations: BTreeMap::from([("speech".to_owned(), passed.clone())]),
    };
    let sample = |at: f64| Sample { at, cores: 0.5, rss_kib: 51_200, descriptors: 44 };
    Run {
        target: target.to_owned(),
        round,
        seconds: 2.0,
        operations: BTreeMap::from([("speech".to_owned(), operation)]),
        intervals: vec![interval(1.0), interval(2.0)],
        process: vec![sample(0.0), sample(1.0), sample(2.0)],
        generator: Generator { cores: 0.1, late: percentiles(0.1) },
        faults: BTreeMap::from([("speech 503".to_owned(), 9)]),
    }
}

fn results(runs: Vec<Run>) -> Results {
    Results { runs, ..Results::new(Scenario::find("smoke").unwrap()) }
}

#[test]
fn a_page_holds_what_was_measured_and_asks_for_nothing_else() {
    let mut results = results(vec![run("antiphon", 1, 10.0)]);
    results.verdicts.push(Verdict { name: "memory".to_owned(), found: "<1 MiB".to_owned(), holds: Some(false) });
    let page = page(&results);
    for held in ["1,234", "503 overloaded", ">7<", "speech 503", "&lt;1 MiB", "broken", "Descriptors", "<svg", "99.9 %"]
    {
        assert!(page.contains(held), "{held}");
    }
    let (_, throughput) = page.split_once("Throughput").unwrap();
    // 617 of the 1,000 at which the axis ends, between the 196 and the 12 of its ends.
    assert!(throughput.contains(">1,000<") && throughput.contains("M333.0 82.5L608.0 82.5"), "{throughput}");
    for asked in ["<script", "http://", "https://", "url(", "@import", "src="] {
        assert!(!page.contains(asked), "{asked}");
    }
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn a_phase_with_a_name_is_shown_where_it_was() {
    let short = page(&results(vec![run("antiphon", 1, 10.0)]));
    assert!(!short.contains(">spike<"), "it had not come");
    let mut whole = run("antiphon", 1, 10.0);
    let later = run("antiphon", 1, 10.0).intervals.into_iter();
    whole.intervals.extend(later.map(|interval| Interval { at: interval.at + 3.0, ..interval }));
    assert!(page(&results(vec![whole])).contains(">spike<"), "from the fourth second to the fifth");
}

#[test]
fn what_is_added_is_taken_within_a_round() {
    // The machine is twice as slow in the second round; what the gateway adds is 1 ms all the time.
    let runs = vec![
        run("direct", 1, 10.0),
        run("antiphon", 1, 11.0),
        run("antiphon", 2, 21.0),
        run("direct", 2, 20.0),
        run("antiphon", 3, 99.0),
    ];
    let added = comparison::added(&runs, "antiphon", "speech", |operation| operation.latency.p50);
    assert_eq!(added.len(), 2, "a round without direct has no difference");
    assert!(added.iter().all(|added| (added - 1.0).abs() < 1e-9), "{added:?}");
    let page = page(&results(runs));
    assert!(page.contains("1 (1 to 1)") && page.contains("direct, antiphon in 3 rounds"), "{page}");
}

#[test]
fn results_are_read_as_they_were_written() {
    let results = results(vec![run("antiphon", 1, 10.0)]);
    let text = serde_json::to_string(&results).unwrap();
    assert_eq!(Results::parse(&text).unwrap(), results);
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    assert!(Results::parse(&newer).unwrap_err().to_string().contains("version"));
}
