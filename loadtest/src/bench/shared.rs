//! What limits that gateways share in Redis add to a call, and what a frame of a session asks of Redis.
//!
//! Two gateways of one binary take turns on the same load, one alone and one with a Redis server of its own. The
//! server's count of commands tells what frames ask it; leases and beats, which go by time, are in it too.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Samples, Side, Table, count, echo, options, sides};
use crate::load::{self, Options, Scenario};

const SIDES: [&str; 2] = ["alone", "redis"];
/// Sessions at once, and for how many seconds.
const SESSIONS: usize = 100;
const SECONDS: u64 = 5;

pub(super) async fn run(antiphon: &Path, rounds: u32) -> anyhow::Result<Option<Table>> {
    let dir = tempfile::tempdir()?;
    let Some(redis) = sides::redis(dir.path())? else { return Ok(None) };
    let upstream = sides::upstream(dir.path(), None)?;
    let mut gateways = Vec::new();
    for (name, redis) in SIDES.into_iter().zip([None, Some(redis.addr)]) {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder)?;
        gateways.push(sides::gateway(name, &folder, antiphon, upstream.addr, redis)?);
    }
    let mut samples = Samples::default();
    for side in &gateways {
        for lines in &LINES {
            load::run(&paced(side, lines)).await?;
        }
    }
    // First, so that the times that the gateway tells are of these calls.
    for _ in 0..rounds.clamp(1, 9) {
        for side in &gateways {
            unhurried(&mut samples, side).await?;
        }
    }
    for _ in 0..rounds.clamp(1, 9) {
        for side in &gateways {
            calls(&mut samples, side).await?;
            frames(&mut samples, &upstream, side, &redis).await?;
        }
    }
    Ok(Some(samples.table(SIDES.to_vec())))
}

/// The names of an operation's lines.
struct Lines {
    scenario: Scenario,
    paced: &'static str,
    unpaced: &'static str,
    cpu: &'static str,
}

const LINES: [Lines; 2] = [
    Lines {
        scenario: Scenario::Transcription,
        paced: "transcription, 500 a second, p50 µs",
        unpaced: "transcription, one behind the other, p50 µs",
        cpu: "32 KiB transcription, CPU µs",
    },
    Lines {
        scenario: Scenario::Speech,
        paced: "speech, 500 a second, p50 µs",
        unpaced: "speech, one behind the other, p50 µs",
        cpu: "64 KiB speech, CPU µs",
    },
];

/// One call after the other, with time between them: what one settles is over when the next one comes.
fn paced(side: &Side, lines: &Lines) -> Options {
    Options { rate: Some(500.0), ..options(side, lines.scenario, 1, 3) }
}

async fn unhurried(samples: &mut Samples, side: &Side) -> anyhow::Result<()> {
    for lines in &LINES {
        let report = load::run(&paced(side, lines)).await?;
        samples.check(side, &report);
        samples.add(lines.paced, side, count(report.p50_us));
    }
    if let Some(us) = admission(side).await? {
        samples.add("of these, waited for Redis, p50 µs", side, us);
    }
    Ok(())
}

async fn calls(samples: &mut Samples, side: &Side) -> anyhow::Result<()> {
    for lines in &LINES {
        let report = load::run(&options(side, lines.scenario, 1, 2)).await?;
        samples.check(side, &report);
        samples.add(lines.unpaced, side, count(report.p50_us));
        let report = load::run(&options(side, lines.scenario, 16, 2)).await?;
        samples.check(side, &report);
        if let Some(used) = report.cpu_us_per_unit {
            samples.add(lines.cpu, side, used);
        }
    }
    Ok(())
}

/// Microseconds that the median admission since the start waited for Redis, by the buckets that the gateway tells;
/// `None` where it asks none.
async fn admission(side: &Side) -> anyhow::Result<Option<f64>> {
    let Some(metrics) = side.metrics else { return Ok(None) };
    let text = said(metrics, b"GET /metrics HTTP/1.0\r\nhost: x\r\n\r\n").await?;
    Ok(median(&text, "antiphon_redis_admission_seconds").map(|seconds| seconds * 1_000_000.0))
}

/// The median of a histogram without labels, as Prometheus works it out: on a line from a bucket's one bound to the
/// other. What is above the last bound is taken for that.
fn median(text: &str, name: &str) -> Option<f64> {
    let start = format!("{name}_bucket{{le=\"");
    let buckets = text.lines().filter_map(|line| {
        let (bound, count) = line.strip_prefix(&start)?.split_once("\"} ")?;
        Some((bound.parse::<f64>().ok()?, count.parse::<f64>().ok()?))
    });
    let buckets: Vec<(f64, f64)> = buckets.collect();
    let half = buckets.last().map(|(_, count)| count / 2.0).filter(|half| *half > 0.0)?;
    let (mut below, mut passed) = (0.0, 0.0);
    for (bound, count) in buckets {
        if count >= half {
            let within = (half - passed) / (count - passed);
            return Some(if bound.is_finite() { below + (bound - below) * within } else { below });
        }
        (below, passed) = (bound, count);
    }
    None
}

/// All that is answered until the connection ends.
async fn said(to: SocketAddr, question: &[u8]) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(question).await?;
    let mut text = String::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut text)).await??;
    Ok(text)
}

async fn frames(samples: &mut Samples, upstream: &Side, side: &Side, redis: &Side) -> anyhow::Result<()> {
    echo(upstream, 1, SESSIONS).await?;
    let before = commands(redis).await?;
    let report = load::run(&options(side, Scenario::Realtime, SESSIONS, SECONDS)).await?;
    let asked = commands(redis).await?.saturating_sub(before);
    samples.check(side, &report);
    if let Some(used) = report.cpu_us_per_unit {
        samples.add("realtime frame at 20 ms pace, CPU µs", side, used);
    }
    samples.add("realtime echo, 100 sessions, p50 µs", side, count(report.p50_us));
    samples.add("realtime frames", side, count(report.units));
    // The other gateway's beats are in it, a few a second.
    samples.add("commands to Redis meanwhile", side, count(asked));
    Ok(())
}

/// The commands that a Redis server has run so far.
async fn commands(redis: &Side) -> anyhow::Result<u64> {
    let text = said(redis.addr, b"INFO stats\r\nQUIT\r\n").await?;
    let told = text.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    Ok(told.context("Redis does not tell how many commands it ran")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_found_between_the_bounds_of_its_bucket() {
        let told = |counts: [u32; 3]| {
            let [a, b, all] = counts;
            format!(
                "# HELP x\nw_bucket{{le=\"0.001\"}} {a}\nw_bucket{{le=\"0.003\"}} {b}\nw_bucket{{le=\"+Inf\"}} {all}\n"
            )
        };
        assert_eq!(median(&told([0, 10, 10]), "w"), Some(0.002));
        assert_eq!(median(&told([8, 10, 10]), "w"), Some(0.001 * 5.0 / 8.0));
        assert_eq!(median(&told([0, 0, 10]), "w"), Some(0.003));
        assert_eq!(median(&told([0, 0, 0]), "w"), None);
        assert_eq!(median("", "w"), None);
    }
}
