//! Looks at the clock and at the target's process while a scenario runs.

use std::time::{Duration, Instant};

use super::{Target, recorder::Recorder};
use crate::{process, result::Sample};

/// As many intervals at most, so that an hour has as many points as a picture can show.
const MOST_INTERVALS: u32 = 240;

/// How long an interval of a run of this length is.
pub(super) fn interval(run: Duration) -> Duration {
    (run / MOST_INTERVALS).max(Duration::from_secs(1))
}

/// Ends intervals and takes samples of the target.
#[derive(Debug)]
pub(super) struct Watch {
    started: Instant,
    pid: Option<u32>,
    before: Option<(Instant, u64)>,
    pub(super) samples: Vec<Sample>,
}

impl Watch {
    pub(super) async fn new(target: &Target) -> Self {
        let mut watch = Self { started: Instant::now(), pid: target.pid, before: None, samples: Vec::new() };
        watch.look().await;
        watch
    }

    /// Takes a sample, by another thread than the one that makes the load: a target of many sessions has many
    /// descriptors.
    async fn look(&mut self) {
        let Some(pid) = self.pid else { return };
        let look = move || (Instant::now(), process::usage(pid), process::descriptors(pid).len());
        let Ok((now, usage, descriptors)) = tokio::task::spawn_blocking(look).await else { return };
        let cores = self.before.map_or(0.0, |(then, cpu_us)| cores(usage.cpu_us.saturating_sub(cpu_us), now - then));
        self.before = Some((now, usage.cpu_us));
        self.samples.push(Sample {
            at: now.duration_since(self.started).as_secs_f64(),
            cores,
            rss_kib: usage.rss_kib,
            descriptors: descriptors as u64,
        });
    }

    /// Goes on until `end`.
    pub(super) async fn until(&mut self, end: Instant, every: Duration, recorder: &Recorder) {
        let mut due = Instant::now();
        while due < end {
            due = (due + every).min(end);
            tokio::time::sleep_until(due.into()).await;
            recorder.tick();
            self.look().await;
        }
    }
}

/// Microseconds of processor time as a share of one core.
pub(super) fn cores(cpu_us: u64, over: Duration) -> f64 {
    Duration::from_micros(cpu_us).as_secs_f64() / over.as_secs_f64().max(0.001)
}
