//! What comes in while a scenario runs: histograms of the interval that is open and of the whole run.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::result::{Generator, Interval, Operation, Passed, Percentiles};

/// Where the distribution of latencies is read.
const SHARES: [f64; 15] = [0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, 1.0];

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Whole; its first byte came after so long.
    Whole { first_byte: Duration },
    /// The client hung up, as the scenario wanted.
    HungUp,
    /// It failed, for this reason.
    Failed(String),
}

/// Records from all tasks of a run.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    state: Arc<Mutex<State>>,
    sessions: Arc<AtomicU64>,
}

#[derive(Debug)]
struct State {
    started: Instant,
    operations: BTreeMap<&'static str, Log>,
    late: Histogram<u64>,
    intervals: Vec<Interval>,
    interval_began: Instant,
}

#[derive(Debug)]
struct Log {
    latency: Histogram<u64>,
    first_byte: Histogram<u64>,
    interval: Histogram<u64>,
    interval_failed: u64,
    hung_up: u64,
    errors: BTreeMap<String, u64>,
}

impl Log {
    fn new() -> Self {
        Self {
            latency: histogram(),
            first_byte: histogram(),
            interval: histogram(),
            interval_failed: 0,
            hung_up: 0,
            errors: BTreeMap::new(),
        }
    }
}

/// Microseconds up to an hour, with two digits.
fn histogram() -> Histogram<u64> {
    // These bounds are always taken.
    Histogram::new_with_bounds(1, 3_600_000_000, 2).unwrap_or_else(|_| unreachable!())
}

impl Recorder {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let state = State {
            started: now,
            operations: BTreeMap::new(),
            late: histogram(),
            intervals: Vec::new(),
            interval_began: now,
        };
        Self { state: Arc::new(Mutex::new(state)), sessions: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation that should have begun at `due` has ended now.
    pub(crate) fn ended(&self, operation: &'static str, due: Instant, ended: Ended) {
        let latency = micros(due.elapsed());
        let mut state = self.state();
        let log = state.operations.entry(operation).or_insert_with(Log::new);
        match ended {
            Ended::Whole { first_byte } => {
                log.latency.saturating_record(latency);
                log.interval.saturating_record(latency);
                log.first_byte.saturating_record(micros(first_byte));
            }
            Ended::HungUp => log.hung_up += 1,
            Ended::Failed(reason) => {
                log.interval_failed += 1;
                *log.errors.entry(reason).or_default() += 1;
            }
        }
    }

    /// An operation begins that should have begun at `due`.
    pub(crate) fn begun(&self, due: Instant) {
        self.state().late.saturating_record(micros(due.elapsed()));
    }

    /// A session is open for as long as what is given back.
    pub(crate) fn session(&self) -> OpenSession {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        OpenSession(Arc::clone(&self.sessions))
    }

    /// Ends the interval that is open.
    pub(crate) fn tick(&self) {
        let sessions = self.sessions.load(Ordering::Relaxed);
        let mut state = self.state();
        let now = Instant::now();
        let mut operations = BTreeMap::new();
        for (name, log) in &mut state.operations {
            let latency = percentiles(&log.interval);
            let passed = Passed { done: log.interval.len(), failed: log.interval_failed, latency };
            operations.insert((*name).to_owned(), passed);
            log.interval.reset();
            log.interval_failed = 0;
        }
        let interval = Interval {
            at: now.duration_since(state.started).as_secs_f64(),
            seconds: now.duration_since(state.interval_began).as_secs_f64(),
            sessions,
            operations,
        };
        state.intervals.push(interval);
        state.interval_began = now;
    }

    /// Everything, once it is over.
    pub(crate) fn read(&self) -> (BTreeMap<String, Operation>, Vec<Interval>, Generator) {
        let state = self.state();
        let operations = state.operations.iter().map(|(name, log)| ((*name).to_owned(), read(log))).collect();
        (operations, state.intervals.clone(), Generator { cores: 0.0, late: percentiles(&state.late) })
    }
}

/// Counts a session while it is held.
#[derive(Debug)]
pub(crate) struct OpenSession(Arc<AtomicU64>);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn read(log: &Log) -> Operation {
    let shares: &[f64] = if log.latency.is_empty() { &[] } else { &SHARES };
    Operation {
        done: log.latency.len(),
        hung_up: log.hung_up,
        errors: log.errors.clone(),
        latency: percentiles(&log.latency),
        first_byte: percentiles(&log.first_byte),
        distribution: shares.iter().map(|share| (*share, ms(log.latency.value_at_quantile(*share)))).collect(),
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |share| ms(histogram.value_at_quantile(share));
    Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: ms(histogram.max()) }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_ended_and_intervals_begin_anew() {
        let recorder = Recorder::new();
        let whole = || Ended::Whole { first_byte: Duration::from_millis(1) };
        let now = Instant::now();
        for ms in 1..=100 {
            recorder.ended("speech", now.checked_sub(Duration::from_millis(ms * 10)).unwrap(), whole());
        }
        recorder.ended("speech", now, Ended::Failed("503 overloaded".to_owned()));
        recorder.ended("speech", now, Ended::HungUp);
        let open = recorder.session();
        recorder.tick();
        drop(open);
        recorder.ended("speech", now, Ended::Failed("503 overloaded".to_owned()));
        recorder.tick();
        let (operations, intervals, _) = recorder.read();
        let speech = &operations["speech"];
        assert_eq!((speech.done, speech.hung_up, &speech.errors["503 overloaded"]), (100, 1, &2));
        // Two digits are kept, and what is recorded takes some microseconds.
        let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < wanted * 0.03, "{found} {wanted}");
        near(speech.latency.p50, 500.0);
        near(speech.latency.p99, 990.0);
        near(speech.latency.max, 1000.0);
        near(speech.first_byte.p50, 1.0);
        let (share, middle) = speech.distribution[4];
        assert!((share - 0.5).abs() < 1e-9);
        near(middle, 500.0);
        let passed: Vec<_> = intervals.iter().map(|one| (&one.operations["speech"], one.sessions)).collect();
        assert_eq!((passed[0].0.done, passed[0].0.failed, passed[0].1), (100, 1, 1));
        assert_eq!((passed[1].0.done, passed[1].0.failed, passed[1].1), (0, 1, 0));
        assert!(passed[1].0.latency.p99.abs() < 1e-9);
    }
}
