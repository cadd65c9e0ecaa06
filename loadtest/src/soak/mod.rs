//! A soak: traffic with faults for an hour, and then a judgement of what is left of it in the gateway.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

use crate::{
    play::{self, Target, Upstream},
    process,
    result::{Results, Verdict},
    scenario::Scenario,
    sides::{self, Side},
};

pub mod judge;
pub mod ledger;

use judge::{Bill, Kept};
use ledger::Ledger;

/// How long what is still under way may take to end: a call that its provider never answers is given up after
/// a minute.
const PATIENCE: Duration = Duration::from_secs(90);
/// At rest, nothing changes for so long.
const REST: Duration = Duration::from_secs(3);
/// The gateway's database has a pool of four connections on SQLite. The journal is open once something is recorded.
const KEPT: [Kept; 2] = [Kept { name: sides::DATABASE, most: 4 }, Kept { name: ".journal", most: 1 }];
/// The longest that a gateway waits for a first byte unless told, and what the next target may take then.
const LONGEST_FIRST_BYTE: Duration = Duration::from_secs(75);

/// Runs a soak with a gateway of its own.
///
/// # Errors
/// When one of the programs does not start, or the scenario would not be billed.
pub async fn run(scenario: &Scenario, antiphon: &Path) -> anyhow::Result<Results> {
    check(scenario)?;
    let dir = tempfile::tempdir()?;
    let provider = sides::upstream(dir.path(), None)?;
    let gateway = sides::with_spare(dir.path(), antiphon, provider.addr)?;
    let upstream = Upstream { addr: provider.addr };
    let target = Target::of(&gateway);
    let mut results = Results::new(scenario.clone());
    upstream.behaves(scenario).await?;
    if let Some(warming) = scenario.warming_up() {
        play::measured(&warming, &target, &upstream, 1).await?;
    }
    let before = rest(&gateway, &upstream).await?;
    let run = play::measured(scenario, &target, &upstream, 1).await?;
    let after = settled(&gateway, &upstream, &before).await?;
    // Sessions are opened in the beginning, and need memory.
    let opened = run.process.len() / 10;
    results.verdicts.push(judge::memory(run.process.get(opened..).unwrap_or_default()));
    results.verdicts.push(judge::descriptors(&before, &after, &KEPT));
    let (billed, found) = bills(&dir.path().join(sides::DATABASE), &upstream).await?;
    results.verdicts.extend(judge::records(&billed, &found));
    results.verdicts.push(violations(&upstream).await?);
    results.verdicts.push(alive(&gateway));
    results.runs.push(run);
    Ok(results)
}

/// Whether what comes out of a scenario can be judged.
fn check(scenario: &Scenario) -> anyhow::Result<()> {
    let traffic = scenario.traffic.as_ref().context("traffic: a soak has some")?;
    let warms_up = scenario.warming_up().is_some();
    ensure!(warms_up, "warm_up: a soak has one, since a gateway opens and keeps things at first");
    // What a stream of events costs is known to nobody whose client leaves before its end.
    let leaves = traffic.operations.speech_events.is_some() && scenario.upstream.faults.speech.hang > 0.0;
    let fits = !leaves || traffic.patience.get() >= LONGEST_FIRST_BYTE;
    ensure!(fits, "traffic.patience: at least {LONGEST_FIRST_BYTE:?} where speech_events may hang, to know their cost");
    Ok(())
}

/// The descriptors of a gateway that has nothing to do and no connection to its provider.
async fn rest(gateway: &Side, upstream: &Upstream) -> anyhow::Result<BTreeMap<String, u64>> {
    let patience = Instant::now() + PATIENCE;
    let (mut seen, mut since) = (descriptors(gateway)?, Instant::now());
    while since.elapsed() < REST && Instant::now() < patience {
        // Again and again: a call that is still under way is made again over a new connection, which is then kept.
        upstream.hang_up().await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = descriptors(gateway)?;
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    Ok(seen)
}

/// The descriptors after the load: what has not ended yet has time to.
async fn settled(
    gateway: &Side,
    upstream: &Upstream,
    before: &BTreeMap<String, u64>,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let now = rest(gateway, upstream).await?;
        let sockets = |kinds: &BTreeMap<String, u64>| kinds.get("socket").copied().unwrap_or(0);
        if sockets(&now) <= sockets(before) || Instant::now() > patience {
            return Ok(now);
        }
    }
}

fn descriptors(gateway: &Side) -> anyhow::Result<BTreeMap<String, u64>> {
    let pid = gateway.pid.context("the gateway has no process")?;
    Ok(judge::kinds(&process::descriptors(pid)))
}

type Bills = BTreeMap<String, Bill>;

/// What was billed and what was recorded, once the last record is written.
async fn bills(database: &Path, upstream: &Upstream) -> anyhow::Result<(Bills, Bills)> {
    let ledger = Ledger::open(database).await?;
    let patience = Instant::now() + PATIENCE;
    loop {
        let billed = ledger::billed(&upstream.counts().await?)?;
        let found = ledger.bills().await?;
        if billed == found || Instant::now() > patience {
            return Ok((billed, found));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn violations(upstream: &Upstream) -> anyhow::Result<Verdict> {
    let seen = upstream.counts().await?.violations;
    let found = if seen.is_empty() { "nothing that a provider should not see".to_owned() } else { seen.join(", ") };
    Ok(Verdict { name: "what the provider saw".to_owned(), found, holds: Some(seen.is_empty()) })
}

fn alive(gateway: &Side) -> Verdict {
    let alive = gateway.pid.is_some_and(|pid| process::usage(pid).rss_kib > 0);
    let panicked = gateway.log().matches("panicked").count();
    let found = format!("{}; {panicked} panics in its log", if alive { "still running" } else { "gone" });
    Verdict { name: "the gateway".to_owned(), found, holds: Some(alive && panicked == 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_judged_is_refused_before_it_lasts_an_hour() {
        let refused = |name: &str, change: fn(&mut Scenario)| {
            let mut scenario = Scenario::find(name).unwrap();
            change(&mut scenario);
            check(&scenario).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refused("soak", |_| {}), "");
        assert!(refused("sessions", |_| {}).starts_with("traffic:"));
        assert!(refused("smoke", |_| {}).starts_with("warm_up:"));
        let impatient = |scenario: &mut Scenario| {
            scenario.traffic.as_mut().unwrap().patience = Duration::from_secs(30).into();
        };
        assert!(refused("soak", impatient).starts_with("traffic.patience:"));
    }
}
