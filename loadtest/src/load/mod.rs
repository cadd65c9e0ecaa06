//! The load generator: workers that repeat one operation, latencies in HDR histograms.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::process;

mod http;
pub(crate) mod realtime;

pub use http::{Connection, Upload, form, form_type, one_piece};

/// What the workers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Upload a WAV file and read the transcript.
    Transcription,
    /// Ask for speech and read it to its end.
    Speech,
    /// Hold sessions that append a frame every 20 ms; the upstream sends frames back.
    Realtime,
    /// Hold sessions that do nothing.
    Idle,
    /// Like realtime, with a provider whose language is translated: an agent that is told to echo.
    Conversation,
    /// Hold conversations in which nobody speaks.
    Silence,
}

impl Scenario {
    /// Whether its workers are sessions and not connections.
    fn holds_sessions(self) -> bool {
        !matches!(self, Self::Transcription | Self::Speech)
    }
}

/// One run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Loopback address of the gateway.
    pub target: SocketAddr,
    /// Bearer credential.
    pub key: String,
    /// What to do.
    pub scenario: Scenario,
    /// Workers: connections or sessions.
    pub concurrency: usize,
    /// How long.
    pub duration: Duration,
    /// Size of the uploaded file or of the spoken answer.
    pub bytes: usize,
    /// Operations per second over all workers; `None` is as fast as possible. Realtime has its own pace.
    pub rate: Option<f64>,
    /// Model to ask for.
    pub model: String,
    /// Every how many appended frames the upstream sends one back.
    pub echo_every: u32,
    /// Process whose CPU time and memory are measured.
    pub pid: Option<u32>,
}

/// What came of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was done.
    pub scenario: Scenario,
    /// Operations finished; realtime: frames sent and received.
    pub units: u64,
    /// Operations or sessions that failed.
    pub errors: u64,
    /// One of the errors.
    pub first_error: Option<String>,
    /// Microseconds from start to end of an operation; realtime: from a frame to its echo.
    pub p50_us: u64,
    /// 99th percentile of the same.
    pub p99_us: u64,
    /// Microseconds to the first byte of the answer's body, median.
    pub first_byte_p50_us: u64,
    /// 99th percentile of the same.
    pub first_byte_p99_us: u64,
    /// CPU microseconds of the measured process per unit.
    pub cpu_us_per_unit: Option<f64>,
    /// Resident memory of the measured process near the end, with every session still open, in KiB.
    pub rss_kib: Option<u64>,
}

/// What one worker saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) total: Histogram<u64>,
    pub(crate) first_byte: Histogram<u64>,
    pub(crate) units: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
}

impl Seen {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // Microseconds up to a minute, two digits: 0.1 ms is told from 0.101 ms.
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 2)?;
        Ok(Self { total: histogram.clone(), first_byte: histogram, units: 0, errors: 0, first_error: None })
    }

    pub(crate) fn fail(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| format!("{error:#}"));
    }

    fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.total.add(other.total)?;
        self.first_byte.add(other.first_byte)?;
        self.units += other.units;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        Ok(())
    }
}

pub(crate) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Takes `http://HOST:PORT`, with or without a path, and refuses every address that is not this machine.
///
/// # Errors
/// When the address cannot be read or is not a loopback address.
pub fn loopback(target: &str) -> anyhow::Result<SocketAddr> {
    let rest = target.strip_prefix("http://").unwrap_or(target);
    let authority = rest.split('/').next().unwrap_or_default();
    let addr = authority.to_socket_addrs().with_context(|| format!("{target} is not http://HOST:PORT"))?.next();
    let addr = addr.with_context(|| format!("{target} has no address"))?;
    ensure!(addr.ip().is_loopback(), "{addr} is not a loopback address: load is put on this machine only");
    Ok(addr)
}

/// Runs the load.
///
/// # Errors
/// When the target is not a loopback address or no worker could start.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    ensure!(options.target.ip().is_loopback(), "{} is not a loopback address", options.target);
    if options.concurrency == 0 {
        bail!("at least one worker is needed");
    }
    let body = match options.scenario {
        Scenario::Transcription => form(&options.model, &crate::wav::sample(options.bytes)),
        _ => Bytes::new(),
    };
    let before = options.pid.map(process::usage);
    // Sessions are opened over a while, as a thousand handshakes at once are a test of something else.
    let sessions = options.scenario.holds_sessions();
    let ramp =
        if sessions { Duration::from_millis(u64::try_from(options.concurrency).unwrap_or(0)) } else { Duration::ZERO };
    let end = Instant::now() + ramp + options.duration;
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..options.concurrency {
        let options = options.clone();
        let body = body.clone();
        workers.spawn(async move {
            if sessions {
                realtime::session(&options, ramp / u32::try_from(options.concurrency)? * u32::try_from(number)?, end)
                    .await
            } else {
                http::worker(&options, &body, end).await
            }
        });
    }
    // Memory is read while everything is still open.
    let watch_at = end.checked_sub(Duration::from_millis(200)).unwrap_or(end);
    tokio::time::sleep_until(watch_at.into()).await;
    let late = options.pid.map(process::usage);
    let mut sum = Seen::new()?;
    while let Some(worker) = workers.join_next().await {
        sum.add(worker??)?;
    }
    let after = options.pid.map(process::usage);
    let cpu_us = before.zip(after).map(|(before, after)| after.cpu_us.saturating_sub(before.cpu_us));
    Ok(Report {
        scenario: options.scenario,
        units: sum.units,
        errors: sum.errors,
        first_error: sum.first_error,
        p50_us: sum.total.value_at_quantile(0.5),
        p99_us: sum.total.value_at_quantile(0.99),
        first_byte_p50_us: sum.first_byte.value_at_quantile(0.5),
        first_byte_p99_us: sum.first_byte.value_at_quantile(0.99),
        cpu_us_per_unit: cpu_us.filter(|_| sum.units > 0).map(|cpu| per(cpu, sum.units)),
        rss_kib: late.map(|usage| usage.rss_kib),
    })
}

/// A quotient for a table; counts are far below 2^32 in the minutes that a run lasts, or are cut there.
fn per(amount: u64, units: u64) -> f64 {
    let float = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    float(amount) / float(units.max(1))
}

#[cfg(test)]
mod tests {
    use super::loopback;

    #[test]
    fn only_this_machine_is_a_target() {
        assert!(loopback("http://127.0.0.1:8080/v1").is_ok());
        assert!(loopback("http://192.0.2.7:80").is_err());
    }
}
