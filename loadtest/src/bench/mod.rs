//! The bench: one table of direct, nginx and the gateway, measured alternately in one run on this machine.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde::Serialize;

use crate::load::{self, Connection, Options, Report, Scenario};

mod conversations;
mod shared;
mod uploads;

use crate::sides::{self, Side};

/// One line of the table: a name, a unit and the value of each side.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// What is measured, with its unit.
    pub name: String,
    /// Value by side.
    pub values: BTreeMap<String, f64>,
}

/// All lines, in the order of the table, and what went wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// The sides, in the order of the columns; the last is compared with the one before it.
    pub sides: Vec<&'static str>,
    /// The lines.
    pub rows: Vec<Row>,
    /// Errors of the load, one example per scenario and side.
    pub errors: Vec<String>,
}

impl Table {
    /// The table as text; the last column is the last side's value as a multiple of the one's before it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{:<50}", "");
        for side in &self.sides {
            out += &format!("{side:>11}");
        }
        out += &format!("{:>9}\n", "ratio");
        for row in &self.rows {
            let values: Vec<Option<f64>> = self.sides.iter().map(|side| row.values.get(*side).copied()).collect();
            out += &format!("{:<50}", row.name);
            for value in &values {
                out += &format!("{:>11}", value.map_or_else(|| "-".into(), |value| format!("{value:.2}")));
            }
            let ratio = match values.as_slice() {
                [.., Some(before), Some(last)] if *before > 0.0 => format!("{:.2}", last / before),
                _ => "-".into(),
            };
            out += &format!("{ratio:>9}\n");
        }
        for error in &self.errors {
            out += &format!("error: {error}\n");
        }
        out
    }
}

/// The sides of the table that compares with nginx.
const SIDES: [&str; 3] = ["direct", "nginx", "antiphon"];

/// Samples by line and side, from which medians are taken.
#[derive(Debug, Default)]
struct Samples {
    names: Vec<&'static str>,
    values: BTreeMap<(&'static str, &'static str), Vec<f64>>,
    errors: Vec<String>,
}

impl Samples {
    fn add(&mut self, name: &'static str, side: &Side, value: f64) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        self.values.entry((name, side.name)).or_default().push(value);
    }

    fn check(&mut self, side: &Side, report: &Report) {
        if report.errors > 0 {
            let example = report.first_error.as_deref().unwrap_or("unknown");
            self.errors.push(format!(
                "{:?} through {}: {} failed, such as: {example}",
                report.scenario, side.name, report.errors
            ));
        }
    }

    fn table(self, sides: Vec<&'static str>) -> Table {
        let mut rows: Vec<Row> =
            self.names.iter().map(|name| Row { name: (*name).to_owned(), ..Row::default() }).collect();
        for ((name, side), values) in self.values {
            if let Some(row) = rows.iter_mut().find(|row| row.name == name) {
                row.values.insert(side.to_owned(), median(values));
            }
        }
        Table { sides, rows, errors: self.errors }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    if values.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.saturating_sub(1)), at(middle)) }
}

/// Microseconds as milliseconds.
fn ms(us: u64) -> f64 {
    count(us) / 1000.0
}

/// A number for the table; those beyond 2^32 do not come up in a few seconds.
fn count(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn mib(kib: u64) -> f64 {
    count(kib) / 1024.0
}

fn options(side: &Side, scenario: Scenario, concurrency: usize, seconds: u64) -> Options {
    let (model, bytes) = match scenario {
        Scenario::Transcription => ("whisper-1", 32 * 1024),
        Scenario::Speech => ("tts-1", 64 * 1024),
        Scenario::Realtime | Scenario::Idle => ("gpt-realtime-2.1", 0),
        Scenario::Conversation | Scenario::Silence => (conversations::DEEPGRAM, 0),
    };
    Options {
        target: side.addr,
        key: side.key.to_owned(),
        scenario,
        concurrency,
        duration: Duration::from_secs(seconds),
        bytes,
        rate: None,
        model: model.to_owned(),
        echo_every: 1,
        pid: side.pid,
    }
}

/// Tells the upstream how often the next sessions get a frame back.
async fn echo(upstream: &Side, every: u32, sessions: usize) -> anyhow::Result<()> {
    let reset = Connection::open(upstream.addr).await?;
    control(reset, http::Method::DELETE, serde_json::Value::Null).await?;
    let rule = serde_json::json!({"path": "realtime", "times": sessions, "fault": {"echo": every}});
    control(Connection::open(upstream.addr).await?, http::Method::POST, rule).await
}

async fn control(mut to: Connection, method: http::Method, body: serde_json::Value) -> anyhow::Result<()> {
    let body = load::one_piece(body.to_string().into());
    let (status, ..) = to.call(method, "/_script", &[], body).await?;
    anyhow::ensure!(status == 200, "the upstream refused the script: {status}");
    Ok(())
}

/// Runs what concerns translated conversations alone.
///
/// # Errors
/// When one of the programs does not start or the upstream cannot be controlled.
pub async fn conversations(antiphon: &Path, rounds: u32) -> anyhow::Result<Table> {
    let dir = tempfile::tempdir()?;
    let upstream = sides::upstream(dir.path(), None)?;
    let mut samples = Samples::default();
    conversations::memory(&mut samples, antiphon, dir.path(), &upstream).await?;
    let side = sides::antiphon(dir.path(), antiphon, upstream.addr)?;
    for _ in 0..rounds.clamp(1, 9) {
        conversations::frames(&mut samples, &upstream, &side).await?;
    }
    Ok(samples.table(SIDES.to_vec()))
}

/// Runs what limits in Redis add to a call; `None` where no Redis server is installed.
///
/// # Errors
/// When one of the programs does not start or the upstream cannot be controlled.
pub async fn shared(antiphon: &Path, rounds: u32) -> anyhow::Result<Option<Table>> {
    shared::run(antiphon, rounds).await
}

/// Runs everything of the table that compares with nginx, in less than seven minutes.
///
/// # Errors
/// When one of the programs does not start or the upstream cannot be controlled.
pub async fn run(antiphon: &Path, rounds: u32) -> anyhow::Result<Table> {
    let dir = tempfile::tempdir()?;
    let upstream = sides::upstream(dir.path(), None)?;
    let mut sides = Vec::new();
    sides.extend(sides::nginx(dir.path(), upstream.addr)?);
    sides.push(sides::antiphon(dir.path(), antiphon, upstream.addr)?);
    let mut samples = Samples::default();
    for side in &sides {
        // The first requests pay for connections, caches and lazily grown memory; they are not part of any figure.
        load::run(&options(side, Scenario::Transcription, 8, 1)).await?;
        load::run(&options(side, Scenario::Speech, 8, 1)).await?;
    }
    // Memory of idle sessions is read first, before the load has grown what they could reuse.
    for side in &sides {
        idle(&mut samples, side).await?;
    }
    conversations::memory(&mut samples, antiphon, dir.path(), &upstream).await?;
    for _ in 0..rounds.clamp(1, 4) {
        latency(&mut samples, &upstream, &upstream).await?;
        for side in &sides {
            cpu(&mut samples, &upstream, side).await?;
            latency(&mut samples, &upstream, side).await?;
        }
        if let Some(gateway) = sides.last() {
            conversations::frames(&mut samples, &upstream, gateway).await?;
        }
    }
    for side in std::iter::once(&upstream).chain(&sides) {
        thousand(&mut samples, &upstream, side).await?;
    }
    for side in &sides {
        let grown = uploads::slow(side).await?;
        samples.add("8 slow uploads of 20 MiB: memory growth, MiB", side, mib(grown));
        let (peak, failed) = uploads::crowd(side).await?;
        samples.add("100 uploads of 25 MiB at once: peak memory, MiB", side, mib(peak));
        samples.add("100 uploads of 25 MiB at once: failed", side, f64::from(failed));
    }
    Ok(samples.table(SIDES.to_vec()))
}

async fn cpu(samples: &mut Samples, upstream: &Side, side: &Side) -> anyhow::Result<()> {
    for (name, scenario, concurrency) in [
        ("32 KiB transcription, CPU µs", Scenario::Transcription, 16),
        ("64 KiB speech, CPU µs", Scenario::Speech, 16),
        ("realtime frame at 20 ms pace, CPU µs", Scenario::Realtime, 200),
    ] {
        echo(upstream, 1, concurrency).await?;
        let report = load::run(&options(side, scenario, concurrency, 3)).await?;
        samples.check(side, &report);
        if let Some(cpu) = report.cpu_us_per_unit {
            samples.add(name, side, cpu);
        }
    }
    Ok(())
}

/// One connection, so that nothing queues: what remains is the way through.
async fn latency(samples: &mut Samples, upstream: &Side, side: &Side) -> anyhow::Result<()> {
    for (name, scenario) in [
        ("transcription at 1 connection, p50 ms", Scenario::Transcription),
        ("speech at 1 connection, p50 ms", Scenario::Speech),
        ("realtime echo at 1 connection, p50 ms", Scenario::Realtime),
    ] {
        echo(upstream, 1, 1).await?;
        let report = load::run(&options(side, scenario, 1, 1)).await?;
        samples.check(side, &report);
        samples.add(name, side, ms(report.p50_us));
        if scenario == Scenario::Speech {
            samples.add("speech at 1 connection, first byte p50 ms", side, ms(report.first_byte_p50_us));
        }
    }
    Ok(())
}

async fn idle(samples: &mut Samples, side: &Side) -> anyhow::Result<()> {
    const SESSIONS: u32 = 1000;
    let before = side.pid.map(crate::process::usage).unwrap_or_default().rss_kib;
    let report = load::run(&options(side, Scenario::Idle, usize::try_from(SESSIONS)?, 1)).await?;
    samples.check(side, &report);
    let grown = u32::try_from(report.rss_kib.unwrap_or(before).saturating_sub(before))?;
    samples.add("idle session, KiB", side, f64::from(grown) / f64::from(SESSIONS));
    Ok(())
}

/// The upstream sends every fifth frame back: load, upstream and gateway share the same few cores.
async fn thousand(samples: &mut Samples, upstream: &Side, side: &Side) -> anyhow::Result<()> {
    echo(upstream, 5, 1000).await?;
    let report = load::run(&Options { echo_every: 5, ..options(side, Scenario::Realtime, 1000, 6) }).await?;
    samples.check(side, &report);
    samples.add("1,000 realtime sessions: failed", side, f64::from(u32::try_from(report.errors)?));
    samples.add("1,000 realtime sessions: echo p50 ms", side, ms(report.p50_us));
    samples.add("1,000 realtime sessions: echo p99 ms", side, ms(report.p99_us));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_ignores_the_outlier() {
        assert!((median(vec![9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![1.0, 2.0]) - 1.5).abs() < f64::EPSILON);
    }
}
