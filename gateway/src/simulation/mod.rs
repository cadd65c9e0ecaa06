//! A simulated world in which the cores of the gateway run as they are: limits, permits, accounts, the journal and
//! its writer over real files, routing and breakers. Time, providers, clients, the database and the moments of
//! crashes come from a seed; the same seed gives the same run, step by step.
//!
//! What holds after each step and at the end of each run stands in `checks.rs`: money is conserved, no budget is
//! exceeded by more than what bills add to what was reserved for them, nothing that was held is kept, no record is
//! lost or doubled. A run that breaks one of these is told with its seed and its trace; CONTRIBUTING.md says how it
//! is run again.

mod book;
mod calls;
mod checks;
mod machine;
mod rng;
mod sessions;
mod setup;
mod store;
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use self::setup::bare_key;
use self::world::{Plant, Trace, World};
use crate::clock::simulated;

/// Which seeds are run: a number of them, or a range such as `4711..4712`.
const SEEDS: &str = "ANTIPHON_SIMULATION_SEEDS";
const SEEDS_UNLESS_TOLD: u64 = 500;

/// What one run came to.
struct Run {
    trace: Vec<String>,
    wrong: Vec<String>,
    /// Records in the database at its end.
    records: usize,
}

fn run(seed: u64, plant: Plant) -> Run {
    let trace = Trace::default();
    let kept = Arc::clone(&trace);
    let ended = catch_unwind(AssertUnwindSafe(move || live(seed, plant, kept)));
    // A panic may have left the clocks of a machine.
    simulated::set(None);
    let (wrong, records) = ended.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        (vec![format!("a panic: {}", said.unwrap_or("without a word"))], 0)
    });
    let trace = std::mem::take(&mut *trace.lock().unwrap_or_else(PoisonError::into_inner));
    Run { trace, wrong, records }
}

/// One world from its beginning to its end: what is wrong with it, and how many records it has.
fn live(seed: u64, plant: Plant, trace: Trace) -> (Vec<String>, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, plant, trace);
        world.run().await;
        if world.wrong.is_empty() {
            world.settle().await;
        }
        // What a broken world still holds is dropped under the clocks of no machine.
        simulated::set(None);
        let records = world.store.lock().unwrap().rows.len();
        (std::mem::take(&mut world.wrong), records)
    })
}

fn seeds() -> Range<u64> {
    let told = std::env::var(SEEDS).unwrap_or_else(|_| SEEDS_UNLESS_TOLD.to_string());
    let number = |text: &str| text.parse().expect("seeds are a number, or a range such as 4711..4712");
    match told.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&told),
    }
}

/// Runs every seed, on every core, and gives what `look` says of the runs.
fn each<T: Send>(seeds: Range<u64>, look: impl Fn(u64) -> Option<T> + Sync) -> Vec<T> {
    let (next, found) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            if let Some(what) = look(seed) {
                found.lock().unwrap().push(what);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    found.into_inner().unwrap()
}

fn told(seed: u64, run: &Run) -> String {
    let (trace, wrong) = (run.trace.join("\n"), run.wrong.join("\n"));
    format!("seed {seed} breaks what must hold; {SEEDS}={seed}..{} runs it again\n{trace}\n\n{wrong}\n", seed + 1)
}

#[test]
fn nothing_is_lost_doubled_leaked_or_overspent_in_any_world() {
    let broken = |seed| {
        let run = run(seed, Plant::Nothing);
        run.wrong.first().map(|wrong| (seed, wrong.clone(), told(seed, &run)))
    };
    let mut broken = each(seeds(), broken);
    broken.sort_by_key(|(seed, ..)| *seed);
    if let Some((_, _, first)) = broken.first() {
        let all: Vec<String> = broken.iter().map(|(seed, wrong, _)| format!("seed {seed}: {wrong}")).collect();
        panic!("{first}\n{} seeds are broken:\n{}", all.len(), all.join("\n"));
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        let (first, second) = (run(seed, Plant::Nothing), run(seed, Plant::Nothing));
        let parted = first.trace.iter().zip(&second.trace).find(|(first, second)| first != second);
        assert_eq!(parted, None, "seed {seed}");
        assert_eq!((first.trace.len(), first.records), (second.trace.len(), second.records), "seed {seed}");
    }
}

/// What has to happen somewhere, or the worlds would prove little.
const HAPPENS: [&str; 15] = [
    "is killed by a loss of power",
    "in_flight: 1",
    "the past is certain: false",
    "the database is Away",
    "wall clock is set by -1 h",
    "requests per minute",
    "realtime sessions at once",
    "budget of",
    "is left by its client while Uploading",
    "is left by its client while Waiting",
    "is left by its client while Streaming",
    "is left by its client while Responding",
    "is over: This key's",
    "ends: UpstreamError",
    "is revoked",
];

#[test]
fn worlds_are_eventful() {
    let traces = each(0..60, |seed| Some(run(seed, Plant::Nothing).trace.join("\n"))).join("\n");
    let missing: Vec<_> = HAPPENS.into_iter().filter(|what| !traces.contains(what)).collect();
    assert_eq!(missing, [""; 0], "in no world");
    let torn = traces.split("torn_bytes: ").skip(1).any(|rest| !rest.starts_with('0'));
    assert!(torn, "no journal was torn");
}

#[test]
fn what_is_planted_is_found() {
    let plants = [
        (Plant::LeakedPermit, "reserved, calls hold"),
        (Plant::LostRecord, "has no record"),
        (Plant::WrongCost, "is recorded at"),
    ];
    for (plant, symptom) in plants {
        let found = each(0..30, |seed| run(seed, plant).wrong.into_iter().next());
        assert!(found.iter().any(|wrong| wrong.contains(symptom)), "{plant:?} is not found: {found:?}");
    }
}
