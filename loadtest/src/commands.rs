//! The commands that play scenarios.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Args;
use loadtest::{
    compare, play, report,
    result::{Results, Run},
    scenario::Scenario,
    soak,
};

use super::say;

/// What a scenario may be changed by, and where its results go.
#[derive(Debug, Args)]
pub(crate) struct Played {
    /// Minutes that it lasts instead: phases are stretched or shortened together.
    #[arg(long)]
    minutes: Option<f64>,
    /// Another seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Folder for the results, as JSON and as a page.
    #[arg(long, default_value = "load-results")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// One of smoke, mixed, ramp, sessions, soak and compare, or a file.
    scenario: String,
    /// The gateway's binary: it is started in front of the scripted upstream.
    #[arg(long, conflicts_with = "target", required_unless_present = "target")]
    antiphon: Option<PathBuf>,
    /// A gateway that runs already, as NAME=URL,KEY or NAME=URL,KEY,PID; its provider is to be the upstream.
    #[arg(long, value_parser = play::Target::parse)]
    target: Option<play::Target>,
    /// Where the scripted upstream listens, on this machine; anywhere without it.
    #[arg(long, required_unless_present = "antiphon")]
    upstream: Option<SocketAddr>,
    #[command(flatten)]
    played: Played,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// One of smoke, mixed, ramp, sessions, soak and compare, or a file.
    #[arg(default_value = "compare")]
    scenario: String,
    /// The gateway's binary.
    #[arg(long)]
    antiphon: PathBuf,
    /// Another gateway that runs already, as NAME=URL,KEY or NAME=URL,KEY,PID; its provider is to be the upstream.
    #[arg(long = "target", value_parser = play::Target::parse)]
    targets: Vec<play::Target>,
    /// Where the scripted upstream listens, on this machine; anywhere without it.
    #[arg(long)]
    upstream: Option<SocketAddr>,
    /// How often each is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    played: Played,
}

#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// One of smoke, mixed, ramp, sessions, soak and compare, or a file.
    #[arg(default_value = "soak")]
    scenario: String,
    /// The gateway's binary.
    #[arg(long)]
    antiphon: PathBuf,
    #[command(flatten)]
    played: Played,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// A file of results.
    results: PathBuf,
    /// Where the page goes; beside the file without it.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Played {
    fn scenario(&self, name: &str) -> anyhow::Result<Scenario> {
        let mut scenario = Scenario::find(name)?;
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        let Some(minutes) = self.minutes else { return Ok(scenario) };
        let lasts = Duration::try_from_secs_f64(minutes * 60.0).context("minutes")?;
        ensure!(lasts >= Duration::from_secs(1), "minutes: at least a second");
        Ok(scenario.lasting(lasts))
    }

    /// Writes the results, and says where they are.
    fn write(&self, command: &str, results: &Results) -> anyhow::Result<()> {
        fs::create_dir_all(&self.out)?;
        let began = results.started_at.get(..19).unwrap_or_default().replace(':', "-");
        let name = format!("{command}-{}-{began}", results.scenario.name);
        let json = self.out.join(format!("{name}.json"));
        fs::write(&json, serde_json::to_string_pretty(results)?)?;
        let page = self.out.join(format!("{name}.html"));
        fs::write(&page, report::page(results))?;
        say(&format!("results {}\nreport  {}", json.display(), page.display()));
        Ok(())
    }
}

pub(crate) async fn load(args: LoadArgs) -> anyhow::Result<()> {
    let scenario = args.played.scenario(&args.scenario)?;
    let gateway = match (args.antiphon, args.target) {
        (Some(binary), _) => play::Gateway::Binary(binary),
        (None, Some(target)) => play::Gateway::Running(target),
        (None, None) => anyhow::bail!("--antiphon or --target is needed"),
    };
    let results = play::alone(&scenario, &gateway, args.upstream).await?;
    for run in &results.runs {
        say(&lines(run));
    }
    args.played.write("load", &results)?;
    let done = results.runs.iter().flat_map(|run| run.operations.values()).any(|operation| operation.done > 0);
    ensure!(done, "no operation has ended well");
    Ok(())
}

pub(crate) async fn compare(args: CompareArgs) -> anyhow::Result<()> {
    let scenario = args.played.scenario(&args.scenario)?;
    let (antiphon, others, upstream) = (args.antiphon, args.targets, args.upstream);
    let options = compare::Options { antiphon, others, rounds: args.rounds, upstream };
    let results = compare::run(&scenario, &options).await?;
    for left_out in &results.left_out {
        super::complain(left_out);
    }
    for run in &results.runs {
        say(&lines(run));
    }
    args.played.write("compare", &results)
}

pub(crate) async fn soak(args: SoakArgs) -> anyhow::Result<()> {
    let scenario = args.played.scenario(&args.scenario)?;
    let results = soak::run(&scenario, &args.antiphon).await?;
    for run in &results.runs {
        say(&lines(run));
    }
    for verdict in &results.verdicts {
        let holds = match verdict.holds {
            Some(true) => "holds",
            Some(false) => "BROKEN",
            None => "not judged",
        };
        say(&format!("{holds:<10} {}: {}", verdict.name, verdict.found));
    }
    args.played.write("soak", &results)?;
    let broken = results.verdicts.iter().filter(|verdict| verdict.holds == Some(false)).count();
    ensure!(broken == 0, "{broken} of {} bounds are broken", results.verdicts.len());
    Ok(())
}

pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<()> {
    let text = fs::read_to_string(&args.results).with_context(|| args.results.display().to_string())?;
    let results = Results::parse(&text).with_context(|| args.results.display().to_string())?;
    let out: &Path = args.out.as_deref().unwrap_or(&args.results);
    let page = if args.out.is_some() { out.to_owned() } else { out.with_extension("html") };
    fs::write(&page, report::page(&results))?;
    say(&page.display().to_string());
    Ok(())
}

/// A run in some lines.
fn lines(run: &Run) -> String {
    let mut out = format!("{}, round {}, {:.1} s", run.target, run.round, run.seconds);
    for (name, operation) in &run.operations {
        let latency = &operation.latency;
        out += &format!(
            "\n  {name:<14} {:>8} done {:>6} failed   p50 {:>9.2} ms   p99 {:>9.2} ms",
            operation.done,
            operation.failed(),
            latency.p50,
            latency.p99
        );
    }
    out
}
