//! One page of results that needs nothing else: tables, and pictures as inline SVG.

use std::collections::BTreeMap;

use crate::{
    result::{Interval, Operation, Passed, Results, Run, Sample},
    scenario::Scenario,
};

mod chart;
mod comparison;
mod html;

use chart::{Below, Chart, Scale, Series};
use html::{Cell, STYLE, escape, number, table};

/// Operations in the order in which they are shown, and what they are called.
const NAMES: [(&str, &str); 6] = [
    ("speech", "speech, as audio"),
    ("speech_events", "speech, as events"),
    ("transcription", "transcription"),
    ("session", "session opened"),
    ("turn", "realtime turn"),
    ("frame", "realtime frame and echo"),
];

fn shown(name: &str) -> &str {
    NAMES.iter().find(|(have, _)| *have == name).map_or(name, |(_, shown)| shown)
}

/// A part of a run that has a name: from and to which second.
type Stretch = (f64, f64, String);

/// The page.
#[must_use]
pub fn page(results: &Results) -> String {
    let scenario = &results.scenario;
    let title = format!("{}: {}", if results.runs.len() > 1 { "comparison" } else { "load" }, scenario.name);
    let mut body = format!("<h1>{}</h1><p>{}</p>", escape(&title), escape(&scenario.about));
    body += &format!(
        "<p class=\"soft\">{}, {} cores ({}) shared by load, upstream and target; upstream profile {}, seed {}, \
         loadtest {}</p>",
        escape(&results.started_at),
        results.machine.cores,
        escape(&results.machine.system),
        escape(&scenario.upstream.profile),
        scenario.seed,
        escape(&results.loadtest)
    );
    if results.machine.debug_build {
        body += "<p class=\"notice\">The load generator is a debug build: these figures show that it works, and \
                 not how fast anything is.</p>";
    }
    for left_out in &results.left_out {
        body += &format!("<p class=\"notice\">{}</p>", escape(left_out));
    }
    body += &verdicts(results);
    match results.runs.as_slice() {
        [] => body += "<p>Nothing was run.</p>",
        [run] => body += &one(run, scenario),
        runs => body += &comparison::section(runs),
    }
    let written = serde_json::to_string_pretty(scenario).unwrap_or_default();
    body +=
        &format!("<h2>Scenario</h2><details><summary>as it was run</summary><pre>{}</pre></details>", escape(&written));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{}</title><style>{STYLE}</style></head>\
         <body>{body}</body></html>\n",
        escape(&title)
    )
}

fn verdicts(results: &Results) -> String {
    let rows: Vec<Vec<Cell>> = results
        .verdicts
        .iter()
        .map(|verdict| vec![verdict.name.clone().into(), Cell::Text(verdict.found.clone()), Cell::Holds(verdict.holds)])
        .collect();
    if rows.is_empty() { String::new() } else { format!("<h2>Verdict</h2>{}", table(&["", "found", ""], &rows)) }
}

/// The phases that have a name.
fn stretches(scenario: &Scenario) -> Vec<Stretch> {
    let mut from = 0.0;
    let mut named = Vec::new();
    for phase in scenario.traffic.iter().flat_map(|traffic| traffic.phases.all()) {
        let to = from + phase.lasts.get().as_secs_f64();
        named.extend(phase.name.clone().map(|name| (from, to, name)));
        from = to;
    }
    named
}

fn one(run: &Run, scenario: &Scenario) -> String {
    let stretches = &stretches(scenario);
    let mut out = format!("<p>Target <b>{}</b>, {} s.</p>", escape(&run.target), number(run.seconds));
    out += &generator(run);
    out += &format!(
        "<h2>Operations <small>latency in ms from the intended start</small></h2>{}",
        operations(run, scenario)
    );
    out += &failures(std::slice::from_ref(run));
    out += "<h2>Over time</h2><div class=\"grid-of\">";
    for name in ordered(&run.operations) {
        out += &latencies(name, &run.intervals, stretches);
    }
    // There are so many more frames than operations that these would be seen no more.
    let per_second_of = |passed: &Passed, interval: &Interval| per_second(passed.done, interval);
    let (frames, others): (Vec<&str>, Vec<&str>) =
        ordered(&run.operations).into_iter().partition(|name| *name == "frame");
    out += &over_time("Throughput", "operations a second", run, &others, stretches, per_second_of);
    out += &over_time("Realtime frames", "echoes a second", run, &frames, stretches, per_second_of);
    out += &over_time("Failures", "a second", run, &ordered(&run.operations), stretches, |passed, interval| {
        per_second(passed.failed, interval)
    });
    let open = run.intervals.iter().map(|interval| (interval.at, as_float(interval.sessions))).collect();
    out += &simple("Sessions open", "at the end of each interval", stretches, open);
    out += &simple("Processor", "cores used by the target", stretches, samples(run, |sample| sample.cores));
    out += &simple("Memory", "MiB resident", stretches, samples(run, |sample| as_float(sample.rss_kib) / 1024.0));
    out += &simple("Descriptors", "open in the target", stretches, samples(run, |sample| as_float(sample.descriptors)));
    out += "</div><h2>Distribution</h2><div class=\"grid-of\">";
    out += &distribution(run);
    out + "</div>"
}

fn generator(run: &Run) -> String {
    let generator = &run.generator;
    let text = format!(
        "The load generator used {} of its one core and began operations {} ms late at the median, {} ms at the 99th \
         percentile; latencies contain that.",
        number(generator.cores),
        number(generator.late.p50),
        number(generator.late.p99)
    );
    let busy = generator.cores > 0.8 || generator.late.p99 > 20.0;
    let more = if busy { " It was busy itself: what is measured is partly the generator." } else { "" };
    format!("<p class=\"{}\">{}{more}</p>", if busy { "notice" } else { "soft" }, escape(&text))
}

fn ordered(operations: &BTreeMap<String, Operation>) -> Vec<&str> {
    let known = NAMES.iter().map(|(name, _)| *name).filter(|name| operations.contains_key(*name));
    let others = operations.keys().map(String::as_str).filter(|name| !NAMES.iter().any(|(known, _)| known == name));
    known.chain(others).collect()
}

fn operations(run: &Run, scenario: &Scenario) -> String {
    // What ends after the last arrival takes time of its own, in which nothing arrives.
    let seconds = scenario.duration().as_secs_f64().max(0.001);
    let head =
        ["", "done", "a second", "failed", "hung up", "p50", "p90", "p99", "p99.9", "max", "first byte p50", "p99"];
    let rows: Vec<Vec<Cell>> = ordered(&run.operations)
        .into_iter()
        .filter_map(|name| Some((name, run.operations.get(name)?)))
        .map(|(name, operation)| {
            let (latency, first) = (&operation.latency, &operation.first_byte);
            vec![
                shown(name).into(),
                operation.done.into(),
                (as_float(operation.done) / seconds).into(),
                operation.failed().into(),
                operation.hung_up.into(),
                latency.p50.into(),
                latency.p90.into(),
                latency.p99.into(),
                latency.p999.into(),
                latency.max.into(),
                first.p50.into(),
                first.p99.into(),
            ]
        })
        .collect();
    table(&head, &rows)
}

/// What failed, by code, and the faults that the upstream drew.
fn failures(runs: &[Run]) -> String {
    let mut rows = Vec::new();
    let mut drawn: BTreeMap<&str, u64> = BTreeMap::new();
    for run in runs {
        for name in ordered(&run.operations) {
            let errors = run.operations.get(name).map(|operation| &operation.errors);
            for (code, times) in errors.into_iter().flatten() {
                let target =
                    if runs.len() > 1 { format!("{}, round {}", run.target, run.round) } else { String::new() };
                rows.push(vec![shown(name).into(), Cell::Text(code.clone()), (*times).into(), target.into()]);
            }
        }
        for (fault, times) in &run.faults {
            *drawn.entry(fault).or_default() += times;
        }
    }
    let drawn: Vec<Vec<Cell>> = drawn.into_iter().map(|(fault, times)| vec![fault.into(), times.into()]).collect();
    let none = if rows.is_empty() { "<p>None.</p>" } else { "" };
    let mut out = format!("<h2>Errors by code</h2>{none}{}", table(&["", "what it said", "times", ""], &rows));
    if !drawn.is_empty() {
        out += &format!("<h2>Faults that the upstream drew</h2>{}", table(&["", "times"], &drawn));
    }
    out
}

fn latencies(name: &str, intervals: &[Interval], stretches: &[Stretch]) -> String {
    let points = |of: fn(&Passed) -> f64| -> Vec<(f64, f64)> {
        let passed = intervals.iter().filter_map(|interval| Some((interval.at, interval.operations.get(name)?)));
        passed.filter(|(_, passed)| passed.done > 0).map(|(at, passed)| (at, of(passed))).collect()
    };
    let series = vec![
        Series { name: "p50".to_owned(), points: points(|passed| passed.latency.p50) },
        Series { name: "p90".to_owned(), points: points(|passed| passed.latency.p90) },
        Series { name: "p99".to_owned(), points: points(|passed| passed.latency.p99) },
    ];
    let title = format!("Latency: {}", shown(name));
    Chart { title: &title, unit: "ms", scale: Scale::Powers, below: Below::Time, series, dots: false, stretches }
        .figure()
}

fn over_time(
    title: &str,
    unit: &str,
    run: &Run,
    names: &[&str],
    stretches: &[Stretch],
    value: fn(&Passed, &Interval) -> f64,
) -> String {
    let series = names
        .iter()
        .map(|name| {
            // The last one may be next to nothing, of which a rate says nothing.
            let usual = run.intervals.iter().map(|interval| interval.seconds).fold(0.0, f64::max);
            let found = |interval: &Interval| {
                let passed = interval.operations.get(*name).filter(|_| interval.seconds >= usual / 2.0)?;
                Some((interval.at, value(passed, interval)))
            };
            Series { name: shown(name).to_owned(), points: run.intervals.iter().filter_map(found).collect() }
        })
        .collect();
    Chart { title, unit, scale: Scale::Even, below: Below::Time, series, dots: false, stretches }.figure()
}

fn simple(title: &str, unit: &str, stretches: &[Stretch], points: Vec<(f64, f64)>) -> String {
    let series = vec![Series { name: title.to_owned(), points }];
    Chart { title, unit, scale: Scale::Even, below: Below::Time, series, dots: false, stretches }.figure()
}

fn samples(run: &Run, value: fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    // The first sample has nothing to be compared with.
    run.process.iter().skip(1).map(|sample| (sample.at, value(sample))).collect()
}

fn distribution(run: &Run) -> String {
    let series = ordered(&run.operations)
        .into_iter()
        .filter_map(|name| {
            Some(Series { name: shown(name).to_owned(), points: run.operations.get(name)?.distribution.clone() })
        })
        .collect();
    let title = "Latency by share of operations";
    Chart { title, unit: "ms", scale: Scale::Powers, below: Below::Shares, series, dots: false, stretches: &[] }
        .figure()
}

fn per_second(count: u64, interval: &Interval) -> f64 {
    as_float(count) / interval.seconds.max(0.001)
}

/// Counts of a run are far below 2^32, or are cut there.
fn as_float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
