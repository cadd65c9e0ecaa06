//! Several targets side by side. Differences are taken within a round and only then summed up, so that what changes on
//! the machine from round to round is seen as noise and not as somebody's doing.

use crate::result::{Operation, Percentiles, Run};

use super::{
    chart::{Below, Chart, Scale, Series},
    failures,
    html::{Cell, escape, number, table},
    ordered, shown,
};

/// What others are compared with.
pub(super) const DIRECT: &str = "direct";

/// The percentiles that are compared.
type Of = fn(&Operation) -> f64;

const TO_THE_END: [(&str, Of); 2] =
    [("p50", |operation| operation.latency.p50), ("p99", |operation| operation.latency.p99)];
const TO_THE_FIRST_BYTE: [(&str, Of); 2] = [
    ("first byte p50", |operation| operation.first_byte.p50),
    ("first byte p99", |operation| operation.first_byte.p99),
];

/// Everything of a comparison.
pub(super) fn section(runs: &[Run]) -> String {
    let targets = targets(runs);
    let rounds = runs.iter().map(|run| run.round).max().unwrap_or(0);
    let mut out = format!(
        "<p>{} in {rounds} rounds. A value is the median of the rounds, with the lowest and the highest; what is added \
         over {DIRECT} is the median of the differences within each round.</p>",
        escape(&targets.join(", "))
    );
    for name in operations(runs) {
        out += &format!("<h2>{} <small>ms from the intended start</small></h2>", escape(shown(name)));
        out += &of_operation(runs, &targets, name);
    }
    out += "<h2>Processor and memory <small>of the target, and how the load generator fared</small></h2>";
    out += &resources(runs, &targets);
    out + &failures(runs)
}

fn targets(runs: &[Run]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for run in runs {
        if !names.contains(&run.target.as_str()) {
            names.push(&run.target);
        }
    }
    // Direct is what the others are read against.
    names.sort_by_key(|name| *name != DIRECT);
    names
}

fn operations(runs: &[Run]) -> Vec<&str> {
    let mut names = Vec::new();
    for name in runs.iter().flat_map(|run| ordered(&run.operations)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn of_operation(runs: &[Run], targets: &[&str], name: &str) -> String {
    let mut out = side_by_side(runs, targets, name, TO_THE_END);
    let apart = |run: &Run| run.operations.get(name).is_some_and(|operation| operation.first_byte != operation.latency);
    if runs.iter().any(apart) {
        out += &side_by_side(runs, targets, name, TO_THE_FIRST_BYTE);
    }
    out += "<div class=\"grid-of\">";
    for (column, value) in TO_THE_END {
        let series = targets
            .iter()
            .map(|target| {
                let of = found(runs, target, name);
                let points = of.iter().filter(measured).map(|(round, operation)| (f64::from(*round), value(operation)));
                Series { name: (*target).to_owned(), points: points.collect() }
            })
            .collect();
        let title = format!("{column} by round: {}", shown(name));
        let below = Below::Numbers("round");
        let scale = Scale::Even;
        out += &Chart { title: &title, unit: "ms", scale, below, series, dots: true, stretches: &[] }.figure();
    }
    out + "</div>"
}

fn side_by_side(runs: &[Run], targets: &[&str], name: &str, columns: [(&str, Of); 2]) -> String {
    let added_to = columns.map(|(column, _)| format!("added, {column}"));
    let mut head = vec!["", "done", "failed"];
    for ((column, _), added) in columns.iter().zip(&added_to) {
        head.extend([*column, added.as_str()]);
    }
    let rows: Vec<Vec<Cell>> = targets
        .iter()
        .map(|target| {
            let of: Vec<(u32, &Operation)> = found(runs, target, name);
            let mut row: Vec<Cell> = vec![
                (*target).into(),
                of.iter().map(|(_, operation)| operation.done).sum::<u64>().into(),
                of.iter().map(|(_, operation)| operation.failed()).sum::<u64>().into(),
            ];
            for (_, value) in columns {
                row.push(spread(of.iter().filter(measured).map(|(_, operation)| value(operation)).collect()).into());
                let added = if *target == DIRECT { Vec::new() } else { added(runs, target, name, value) };
                row.push(spread(added).into());
            }
            row
        })
        .collect();
    table(&head, &rows)
}

fn measured(of: &&(u32, &Operation)) -> bool {
    of.1.latency != Percentiles::default()
}

fn found<'a>(runs: &'a [Run], target: &str, name: &str) -> Vec<(u32, &'a Operation)> {
    let of = runs.iter().filter(|run| run.target == target);
    of.filter_map(|run| Some((run.round, run.operations.get(name)?))).collect()
}

/// By how much more a target took than direct did, round by round.
pub(super) fn added(runs: &[Run], target: &str, name: &str, value: Of) -> Vec<f64> {
    let direct = found(runs, DIRECT, name);
    found(runs, target, name)
        .iter()
        .filter(measured)
        .filter_map(|(round, operation)| {
            let (_, bare) = direct.iter().filter(measured).find(|(other, _)| other == round)?;
            Some(value(operation) - value(bare))
        })
        .collect()
}

fn resources(runs: &[Run], targets: &[&str]) -> String {
    let mut rows = Vec::new();
    for target in targets {
        let all = || runs.iter().filter(|run| run.target == *target);
        let of: Vec<&Run> = all().filter(|run| run.process.len() > 1).collect();
        let cores = |run: &&Run| {
            let samples = run.process.iter().skip(1);
            let (sum, count) = samples.fold((0.0, 0.0), |(sum, count), sample| (sum + sample.cores, count + 1.0));
            sum / f64::max(count, 1.0)
        };
        let peak = |run: &&Run| {
            let highest = run.process.iter().map(|sample| sample.rss_kib).max().unwrap_or(0);
            super::as_float(highest) / 1024.0
        };
        let (used, memory): (Vec<f64>, Vec<f64>) = of.iter().map(|run| (cores(run), peak(run))).unzip();
        let generator = |value: fn(&Run) -> f64| spread(all().map(value).collect());
        rows.push(vec![
            (*target).into(),
            spread(used).into(),
            spread(memory).into(),
            generator(|run| run.generator.cores).into(),
            generator(|run| run.generator.late.p50).into(),
            generator(|run| run.generator.late.p99).into(),
        ]);
    }
    table(&["", "cores", "highest memory, MiB", "generator's cores", "late p50, ms", "late p99, ms"], &rows)
}

/// The median with the lowest and the highest, such as `1.2 (1.1 to 1.5)`.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => "-".to_owned(),
        [one] => number(*one),
        [low, .., high] => format!("{} ({} to {})", number(median(&values)), number(*low), number(*high)),
    }
}

/// The middle of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.saturating_sub(1)), at(middle)) }
}
