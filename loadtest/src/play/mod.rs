//! Plays a scenario against one target. In an open load an operation begins when it is due, and its latency counts from
//! then: neither answers that are late nor a generator that is late make any of it disappear. What failed has no
//! latency, and is counted by its reason.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use tokio::task::JoinSet;

use crate::{
    process,
    result::{Results, Run},
    scenario::{Arrivals, Scenario, Sessions, Traffic, phases::Clock},
    sides,
};

mod calls;
mod realtime;
mod recorder;
mod target;
mod upstream;
mod watch;

use calls::Calls;
use recorder::Recorder;
pub use target::Target;
pub use upstream::Upstream;
use watch::Watch;

/// Operations that are under way at once; what arrives beyond them is an error of its own.
const MOST_IN_FLIGHT: usize = 10_000;
/// How long a worker of a closed loop waits that is not wanted now, or whose operation has failed.
const PAUSE: Duration = Duration::from_millis(20);

/// Which gateway is put under load.
#[derive(Debug)]
pub enum Gateway {
    /// One that is started from this binary.
    Binary(PathBuf),
    /// One that runs already.
    Running(Target),
}

/// Plays a scenario once, with a scripted upstream of its own at this address or anywhere.
///
/// # Errors
/// When one of the programs does not start or the upstream cannot be controlled.
pub async fn alone(scenario: &Scenario, gateway: &Gateway, at: Option<SocketAddr>) -> anyhow::Result<Results> {
    let dir = tempfile::tempdir()?;
    let provider = sides::upstream(dir.path(), at)?;
    let upstream = Upstream { addr: provider.addr };
    let mut results = Results::new(scenario.clone());
    let run = match gateway {
        Gateway::Running(target) => play(scenario, target, &upstream, 1).await?,
        Gateway::Binary(binary) => {
            let side = sides::with_spare(dir.path(), binary, provider.addr)?;
            play(scenario, &Target::of(&side), &upstream, 1).await?
        }
    };
    results.runs.push(run);
    Ok(results)
}

/// Plays a scenario: its warm-up, of which nothing is counted, and then all of it.
///
/// # Errors
/// When the upstream cannot be told how to behave.
pub async fn play(scenario: &Scenario, target: &Target, upstream: &Upstream, round: u32) -> anyhow::Result<Run> {
    upstream.behaves(scenario).await?;
    if let Some(warming) = scenario.warming_up() {
        run(&warming, target).await?;
    }
    measured(scenario, target, upstream, round).await
}

/// Plays a scenario without its warm-up.
pub(crate) async fn measured(
    scenario: &Scenario,
    target: &Target,
    upstream: &Upstream,
    round: u32,
) -> anyhow::Result<Run> {
    let before = upstream.drawn().await?;
    let mut run = run(scenario, target).await?;
    run.round = round;
    for (fault, times) in upstream.drawn().await? {
        let times = times.saturating_sub(before.get(&fault).copied().unwrap_or(0));
        if times > 0 {
            run.faults.insert(fault, times);
        }
    }
    Ok(run)
}

/// What the tasks of a run share.
struct Playing {
    scenario: Scenario,
    target: Target,
    calls: Option<Calls>,
    recorder: Recorder,
}

async fn run(scenario: &Scenario, target: &Target) -> anyhow::Result<Run> {
    let calls = scenario.traffic.as_ref();
    let calls = calls.map(|traffic| Calls::new(target, &traffic.operations, traffic.patience.get())).transpose()?;
    let playing =
        Arc::new(Playing { scenario: scenario.clone(), target: target.clone(), calls, recorder: Recorder::new() });
    let started = Instant::now();
    let own = process::own_cpu_us();
    let end = started + scenario.duration();
    let mut watch = Watch::new(target).await;
    let mut tasks = JoinSet::new();
    if let Some(sessions) = &scenario.sessions {
        hold_all(&playing, sessions, started, end, &mut tasks);
    }
    if let Some(traffic) = &scenario.traffic {
        let (playing, traffic) = (Arc::clone(&playing), traffic.clone());
        tasks.spawn(async move {
            match traffic.arrivals {
                Arrivals::Closed => workers(&playing, &traffic, started).await,
                Arrivals::Random | Arrivals::Even => arrivals(&playing, &traffic, started).await,
            }
        });
    }
    let every = watch::interval(scenario.duration());
    watch.until(end, every, &playing.recorder).await;
    while tasks.join_next().await.is_some() {}
    playing.recorder.tick();
    let used = process::own_cpu_us().saturating_sub(own);
    let (operations, intervals, mut generator) = playing.recorder.read();
    generator.cores = watch::cores(used, started.elapsed());
    Ok(Run {
        target: target.name.clone(),
        round: 1,
        seconds: started.elapsed().as_secs_f64(),
        operations,
        intervals,
        process: watch.samples,
        generator,
        faults: std::collections::BTreeMap::new(),
    })
}

fn hold_all(playing: &Arc<Playing>, sessions: &Sessions, started: Instant, end: Instant, tasks: &mut JoinSet<()>) {
    let apart = sessions.open_over.get() / u32::try_from(sessions.held).unwrap_or(1);
    let mut due = started;
    for _ in 0..sessions.held {
        let (playing, sessions, from) = (Arc::clone(playing), sessions.clone(), due);
        tasks.spawn(async move {
            realtime::hold(&playing.target, &sessions, from, end, &playing.recorder).await;
        });
        due += apart;
    }
}

/// What is done next, and whether its client hangs up: drawn by their weights.
fn draw(rng: &mut Rng, traffic: &Traffic) -> (&'static str, bool) {
    let weights = traffic.operations.weights();
    let mut left = rng.f64() * weights.values().sum::<f64>();
    let hangs_up = rng.f64() < traffic.hang_ups;
    let drawn = weights.iter().find(|(_, weight)| {
        left -= **weight;
        left < 0.0
    });
    let last = weights.keys().next_back().copied().unwrap_or("speech");
    (drawn.map_or(last, |(name, _)| *name), hangs_up)
}

async fn arrivals(playing: &Arc<Playing>, traffic: &Traffic, started: Instant) {
    // What is done does not depend on when.
    let mut rng = Rng::with_seed(!playing.scenario.seed);
    let mut running = JoinSet::new();
    for at in Clock::new(&traffic.phases, traffic.arrivals, playing.scenario.seed) {
        let due = started + at;
        tokio::time::sleep_until(due.into()).await;
        while running.try_join_next().is_some() {}
        let (operation, hangs_up) = draw(&mut rng, traffic);
        if running.len() >= MOST_IN_FLIGHT {
            let full = recorder::Ended::Failed("not begun: too many under way".to_owned());
            let operation = if operation == "conversation" { "session" } else { operation };
            playing.recorder.ended(operation, due, full);
            continue;
        }
        let playing = Arc::clone(playing);
        running.spawn(async move { operate(&playing, operation, due, hangs_up).await });
    }
    while running.join_next().await.is_some() {}
}

async fn workers(playing: &Arc<Playing>, traffic: &Traffic, started: Instant) {
    let mut running = JoinSet::new();
    let mut number = 0_u32;
    while f64::from(number) < traffic.phases.highest() {
        let (playing, traffic) = (Arc::clone(playing), traffic.clone());
        let mut rng = Rng::with_seed(playing.scenario.seed.wrapping_add(u64::from(number)));
        running.spawn(async move {
            while let Some(level) = traffic.phases.level(started.elapsed()) {
                if f64::from(number) >= level {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                let (operation, hangs_up) = draw(&mut rng, &traffic);
                if !operate(&playing, operation, Instant::now(), hangs_up).await {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        number += 1;
    }
    while running.join_next().await.is_some() {}
}

/// One operation; whether it went well.
async fn operate(playing: &Playing, operation: &'static str, due: Instant, hangs_up: bool) -> bool {
    playing.recorder.begun(due);
    let traffic = playing.scenario.traffic.as_ref();
    if operation == "conversation" {
        if let Some((traffic, conversation)) =
            traffic.and_then(|traffic| Some((traffic, traffic.operations.conversation.as_ref()?)))
        {
            let patience = traffic.patience.get();
            return realtime::converse(&playing.target, conversation, due, patience, &playing.recorder).await;
        }
        return false;
    }
    let Some(calls) = &playing.calls else { return false };
    let ended = calls.call(operation, due, hangs_up).await;
    let well = !matches!(ended, recorder::Ended::Failed(_));
    playing.recorder.ended(operation, due, ended);
    well
}
