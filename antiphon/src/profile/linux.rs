//! Samples of stacks, taken by a timer's signal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use admin::ports::{PortError, Sampling};
use admin_types::process::ProfileFormat;
use gateway::overload::memory_left;
use pprof::{Frames, ProfilerGuard, ProfilerGuardBuilder};

use super::flame;

/// Libraries in which a stack is not looked at: they may hold what looking needs.
const LEFT_ALONE: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// What a profile takes at its end, with names being looked up: measured as 180 MiB without debug information in the
/// program, and 210 with it.
const NEEDED_MIB: u64 = 256;

/// Takes one profile at a time.
#[derive(Debug, Default)]
pub(crate) struct Profiler {
    busy: Arc<AtomicBool>,
}

/// The right to take one; given back when it is dropped.
struct Turn(Arc<AtomicBool>);

struct Samples {
    guard: ProfilerGuard<'static>,
    turn: Turn,
}

impl Profiler {
    pub(crate) fn start(&self, hertz: u16) -> Result<Box<dyn Sampling>, PortError> {
        if memory_left().is_some_and(|left| left < NEEDED_MIB * 1024 * 1024) {
            return Err(PortError::TooLittleMemory { needed_mib: NEEDED_MIB });
        }
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(PortError::Busy);
        }
        let turn = Turn(Arc::clone(&self.busy));
        let guard = ProfilerGuardBuilder::default().frequency(hertz.into()).blocklist(&LEFT_ALONE).build();
        Ok(Box::new(Samples { guard: guard.map_err(failed)?, turn }))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Sampling for Samples {
    fn finish(self: Box<Self>, format: ProfileFormat) -> Result<String, PortError> {
        let Self { guard, turn } = *self;
        let seen = guard.report().build_unresolved().map_err(failed)?;
        // Names take longer to find than stacks to note: nothing is looked at meanwhile.
        drop(guard);
        let mut stacks = BTreeMap::new();
        for (frames, count) in seen.data {
            *stacks.entry(folded(&Frames::from(frames))).or_default() += u64::try_from(count).unwrap_or_default();
        }
        drop(turn);
        Ok(match format {
            ProfileFormat::Svg => flame::graph(&stacks),
            ProfileFormat::Folded => lines(&stacks),
        })
    }
}

fn failed(error: pprof::Error) -> PortError {
    tracing::error!(%error, "a profile could not be taken");
    PortError::Failed
}

/// A stack from its thread to what runs, as the tools for flame graphs read it.
fn folded(frames: &Frames) -> String {
    let mut line = frames.thread_name_or_id();
    for symbol in frames.frames.iter().rev().flat_map(|frame| frame.iter().rev()) {
        line.push(';');
        line.push_str(&symbol.name().replace(';', ":"));
    }
    line
}

fn lines(stacks: &BTreeMap<String, u64>) -> String {
    stacks.iter().map(|(stack, count)| format!("{stack} {count}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn keep_the_processor_busy() -> u64 {
        // As much work on a machine that is busy with other things as on any.
        (0..50_000_000_u64).fold(0, |sum, step| std::hint::black_box(sum ^ step))
    }

    #[test]
    fn what_runs_is_seen_and_one_looks_at_a_time() {
        let profiler = Profiler::default();
        let sampling = profiler.start(100).unwrap();
        assert!(matches!(profiler.start(100), Err(PortError::Busy)));
        std::hint::black_box(keep_the_processor_busy());
        let text = sampling.finish(ProfileFormat::Folded).unwrap();
        let busy =
            text.lines().find(|line| line.contains("keep_the_processor_busy")).unwrap_or_else(|| panic!("{text}"));
        assert!(busy.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap() > 0, "{busy}");

        let again = profiler.start(100).unwrap();
        drop(again);
        let picture = profiler.start(100).unwrap().finish(ProfileFormat::Svg).unwrap();
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"), "{picture}");
    }
}
