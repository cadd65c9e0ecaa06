//! Refuses new work while this process has too much to do, by how late its workers are and how much memory it has.
//!
//! Each worker looks ten times a second how late it is, and once a second somebody looks at the memory. A request
//! reads one number of each. What has begun goes on, and what only looks something up is served always.

mod memory;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_LENGTH;
use domain::error::ErrorKind;
pub use domain::overload::Work;
use domain::overload::{Delays, Gauge, Level, Thresholds};
use domain::provider::Operation;
use serde_json::{Value, json};

use crate::Gateway;
use crate::error::GatewayError;
use crate::telemetry::names;

pub use self::memory::left as memory_left;

/// How often a worker looks how late it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Bytes of an upload from which it is a long recording: two minutes of plain 16 kHz audio.
const LONG_UPLOAD_BYTES: u64 = 4 * 1024 * 1024;

/// When work is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverloadBounds {
    /// How late a worker may be all the time; nothing refuses nothing for it.
    pub longest_delay: Duration,
    /// Share of the memory limit in percent; 0 refuses nothing for it.
    pub memory_percent: u8,
    /// That limit in bytes, where it is not the control group's.
    pub memory_bytes: Option<u64>,
}

/// How much this process has to do.
#[derive(Debug, Default)]
pub struct Overload {
    /// The level by memory.
    level: AtomicU8,
    resident: AtomicU64,
    limit: AtomicU64,
    workers: Mutex<Vec<Weak<Pace>>>,
}

/// How late one worker is.
#[derive(Debug)]
pub struct Pace {
    level: AtomicU8,
    delay_us: AtomicU64,
    process: Arc<Overload>,
}

impl Overload {
    /// A worker that begins.
    #[must_use]
    pub fn worker(self: &Arc<Self>) -> Arc<Pace> {
        let process = Arc::clone(self);
        let pace = Arc::new(Pace { level: AtomicU8::new(0), delay_us: AtomicU64::new(0), process });
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|worker| worker.strong_count() > 0);
        workers.push(Arc::downgrade(&pace));
        pace
    }

    /// What readiness tells.
    #[must_use]
    pub fn described(&self) -> Value {
        let workers = self.paces();
        let by_delay = workers.iter().map(|pace| pace.level.load(Ordering::Relaxed)).max().unwrap_or(0);
        let delay_us = workers.iter().map(|pace| pace.delay_us.load(Ordering::Relaxed)).max().unwrap_or(0);
        let some = |bytes: &AtomicU64| Some(bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0);
        json!({
            "level": by_delay.max(self.level.load(Ordering::Relaxed)),
            "delay_ms": delay_us / 1000,
            "resident_bytes": some(&self.resident),
            "memory_limit_bytes": some(&self.limit),
        })
    }

    fn paces(&self) -> Vec<Arc<Pace>> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.iter().filter_map(Weak::upgrade).collect()
    }

    /// Reads how much memory there is, `since` some start; to be called once a second.
    pub(crate) fn look_at_memory(&self, gauge: &mut Gauge, bounds: &OverloadBounds, since: Duration) {
        let resident = memory::resident().unwrap_or(0);
        let limit = bounds.memory_bytes.or_else(memory::limit).unwrap_or(0);
        self.resident.store(resident, Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
        let level = if limit == 0 || bounds.memory_percent == 0 {
            *gauge = Gauge::default();
            Level::NONE
        } else {
            gauge.read(&Thresholds::of_memory(limit, bounds.memory_percent), resident, since)
        };
        Self::enter(&self.level, level, "memory");
        let delay_us = self.paces().iter().map(|pace| pace.delay_us.load(Ordering::Relaxed)).max().unwrap_or(0);
        names::load(resident, Duration::from_micros(delay_us), level.number());
    }

    /// Notes a level, and tells the log of another one.
    fn enter(noted: &AtomicU8, level: Level, by: &'static str) {
        let before = noted.swap(level.number(), Ordering::Relaxed);
        if before != level.number() {
            tracing::warn!(level = level.number(), before, by, "what new work is refused for overload has changed");
        }
    }
}

impl Pace {
    /// Refuses new work where this worker or the process has too much to do.
    ///
    /// # Errors
    /// `Overloaded`.
    pub fn admit(&self, work: Work) -> Result<(), GatewayError> {
        let level = self.level.load(Ordering::Relaxed).max(self.process.level.load(Ordering::Relaxed));
        if level == 0 || !Level::of(level).refuses(work) {
            return Ok(());
        }
        names::shed(work);
        let message = "The gateway has too much to do at the moment.";
        Err(GatewayError::caller(ErrorKind::Overloaded, message).with_retry_after(work.retry_after_s()))
    }
}

/// Looks how late this worker is, until the gateway is gone. To be run on the worker's own thread.
pub(crate) async fn watch_worker(gateway: Weak<Gateway>, pace: Arc<Pace>) {
    let (mut gauge, mut delays, began) = (Gauge::default(), Delays::default(), Instant::now());
    loop {
        let asleep = Instant::now();
        tokio::time::sleep(LOOK_EVERY).await;
        let delay = delays.note(asleep.elapsed().saturating_sub(LOOK_EVERY));
        let Some(gateway) = gateway.upgrade() else { return };
        let longest = gateway.bounds().overload.longest_delay;
        let level = if longest.is_zero() {
            gauge = Gauge::default();
            Level::NONE
        } else {
            gauge.read(&Thresholds::of_delay(longest), delay, began.elapsed())
        };
        pace.delay_us.store(delay, Ordering::Relaxed);
        Overload::enter(&pace.level, level, "delay");
    }
}

/// What a request is, before anything of its body was read.
#[must_use]
pub fn work(request: &HttpRequest, operation: Operation) -> Work {
    match operation {
        Operation::Realtime => Work::Session,
        Operation::Speech => Work::Speech,
        Operation::Transcription | Operation::Translation if is_long(request) => Work::LongRecording,
        _ => Work::Small,
    }
}

fn is_long(request: &HttpRequest) -> bool {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    length.is_none_or(|length| length > LONG_UPLOAD_BYTES)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn uploads_are_told_apart_by_their_length() {
        let of = |length: Option<u64>| {
            let request = TestRequest::post();
            let request =
                length.into_iter().fold(request, |request, length| request.insert_header((CONTENT_LENGTH, length)));
            work(&request.to_http_request(), Operation::Transcription)
        };
        assert_eq!(of(Some(4 * 1024 * 1024)), Work::Small);
        assert_eq!(of(Some(4 * 1024 * 1024 + 1)), Work::LongRecording);
        assert_eq!(of(None), Work::LongRecording, "it may be endless");
    }

    #[test]
    fn the_worse_of_memory_and_delay_decides() {
        let process = Arc::new(Overload::default());
        let (busy, idle) = (process.worker(), process.worker());
        let refuses = |pace: &Pace| Work::ALL.map(|work| pace.admit(work).is_err());
        busy.level.store(2, Ordering::Relaxed);
        assert_eq!((refuses(&busy), refuses(&idle)), ([true, true, true, false], [false; 4]), "each its own delay");
        process.level.store(1, Ordering::Relaxed);
        assert_eq!((refuses(&busy), refuses(&idle)), ([true, true, true, false], [true, true, false, false]));
        assert_eq!(process.described()["level"], 2);
        let refused = busy.admit(Work::Session).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
    }

    #[test]
    fn memory_over_its_share_refuses_until_there_is_room_again() {
        let (process, mut gauge) = (Arc::new(Overload::default()), Gauge::default());
        let worker = process.worker();
        let bounds =
            |limit| OverloadBounds { longest_delay: Duration::ZERO, memory_percent: 80, memory_bytes: Some(limit) };
        process.look_at_memory(&mut gauge, &bounds(1024 * 1024), Duration::ZERO);
        assert!(worker.admit(Work::Small).is_err(), "a test has more than a mebibyte");
        let off = OverloadBounds { memory_percent: 0, ..bounds(1024 * 1024) };
        process.look_at_memory(&mut gauge, &off, Duration::from_secs(1));
        assert!(worker.admit(Work::Session).is_ok(), "switched off");
        process.look_at_memory(&mut gauge, &bounds(1 << 50), Duration::from_secs(2));
        assert!(worker.admit(Work::Session).is_ok());
    }
}
