//! What a run found out, as JSON. `version` rises when a field changes its meaning or goes; new fields may come
//! at any time. `loadtest/README.md` explains the fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;

/// The version of these types.
pub const VERSION: u32 = 1;

/// What a file of results holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`VERSION`] when it was written.
    pub version: u32,
    /// The version of the load suite.
    pub loadtest: String,
    /// When it began, in RFC 3339.
    pub started_at: String,
    /// Where it ran.
    pub machine: Machine,
    /// What was run.
    pub scenario: Scenario,
    /// The runs: one, or one for each target and round of a comparison, in the order in which they were made.
    pub runs: Vec<Run>,
    /// What could not be compared, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What a soak was judged by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
}

/// Where it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that the suite may use, which it shares with all that it starts.
    pub cores: usize,
    /// Operating system and architecture.
    pub system: String,
    /// Whether the load generator is a debug build, whose figures mean little.
    pub debug_build: bool,
}

/// One run of the scenario against one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The target's name.
    pub target: String,
    /// Round of a comparison, from 1 on.
    pub round: u32,
    /// Seconds that it took, to the end of the last operation.
    pub seconds: f64,
    /// By operation: `speech`, `speech_events`, `transcription`, `session` (one that was opened), `turn` (of a
    /// conversation), `frame` (of a session that is held, and its echo).
    pub operations: BTreeMap<String, Operation>,
    /// What went on in each interval.
    pub intervals: Vec<Interval>,
    /// The target's process and those below it, where they are known.
    pub process: Vec<Sample>,
    /// How the load generator itself fared.
    pub generator: Generator,
    /// Faults that the upstream drew, by operation and kind.
    pub faults: BTreeMap<String, u64>,
}

/// One operation over the whole run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Those that ended well.
    pub done: u64,
    /// Those whose client hung up, as the scenario wanted.
    pub hung_up: u64,
    /// Those that failed, by status and code of the error, or by what became of the connection.
    pub errors: BTreeMap<String, u64>,
    /// Milliseconds from the intended start to the end.
    pub latency: Percentiles,
    /// Milliseconds from the intended start to the answer's first byte.
    pub first_byte: Percentiles,
    /// The latency's distribution: share of operations and milliseconds.
    pub distribution: Vec<(f64, f64)>,
}

impl Operation {
    /// All that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// The highest.
    pub max: f64,
}

/// What ended in one interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Seconds from the start to the interval's end.
    pub at: f64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Sessions open at its end, held ones and conversations.
    pub sessions: u64,
    /// By operation.
    pub operations: BTreeMap<String, Passed>,
}

/// One operation in one interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Passed {
    /// Those that ended well.
    pub done: u64,
    /// Those that failed.
    pub failed: u64,
    /// Their latency, in milliseconds from the intended start.
    pub latency: Percentiles,
}

/// The target's process at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds from the start.
    pub at: f64,
    /// Cores that it used since the sample before, as a share of one.
    pub cores: f64,
    /// Resident memory, in KiB.
    pub rss_kib: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

/// How the load generator itself fared: when it is late, its figures are not the target's alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Cores that it used, as a share of one; it has one thread.
    pub cores: f64,
    /// Milliseconds by which operations began later than intended.
    pub late: Percentiles,
}

/// One thing that a soak is judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What is judged.
    pub name: String,
    /// What was found, with its bound.
    pub found: String,
    /// Whether it holds; `None` where it could not be judged.
    pub holds: Option<bool>,
}

impl Results {
    /// Results without runs yet.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let now = time::OffsetDateTime::now_utc();
        Self {
            version: VERSION,
            loadtest: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default(),
            machine: Machine {
                cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
                system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
                debug_build: cfg!(debug_assertions),
            },
            scenario,
            runs: Vec::new(),
            left_out: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// When it is no file of results, or of another version.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        anyhow::ensure!(version == Some(u64::from(VERSION)), "version {version:?} of results is not {VERSION}");
        Ok(serde_path_to_error::deserialize(value)?)
    }
}
