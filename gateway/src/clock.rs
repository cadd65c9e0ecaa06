//! The clocks that admission, accounts and breakers go by, and the ids that are made in the order of time. A
//! simulated world puts its own in their place, for the thread that it runs on.

use std::time::Instant;

use time::OffsetDateTime;
use uuid::Uuid;

/// A clock that never jumps.
#[inline]
pub(crate) fn mono() -> Instant {
    #[cfg(test)]
    if let Some(now) = simulated::mono() {
        return now;
    }
    Instant::now()
}

/// The machine's wall clock, which may be set at any time.
#[inline]
pub(crate) fn wall() -> OffsetDateTime {
    #[cfg(test)]
    if let Some(now) = simulated::wall() {
        return now;
    }
    OffsetDateTime::now_utc()
}

/// An id above all that this process has made before.
#[inline]
pub(crate) fn id() -> Uuid {
    #[cfg(test)]
    if let Some(id) = simulated::id() {
        return id;
    }
    Uuid::now_v7()
}

/// What a simulated world says instead.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::RefCell;
    use std::time::{Duration, Instant};

    use time::OffsetDateTime;
    use uuid::Uuid;

    /// One process's view of time.
    #[derive(Debug, Clone)]
    pub(crate) struct Clock {
        pub(crate) mono: Instant,
        pub(crate) wall: OffsetDateTime,
        /// Makes the ids of one process unlike those of another.
        pub(crate) process: u32,
        /// Of the last id: as in production an id never goes back with the wall clock.
        pub(crate) last_ms: u64,
        pub(crate) made: u32,
    }

    thread_local! {
        static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
    }

    /// Puts a clock in the place of the machine's, or takes it away; gives the one that was there.
    pub(crate) fn set(clock: Option<Clock>) -> Option<Clock> {
        CLOCK.replace(clock)
    }

    pub(super) fn mono() -> Option<Instant> {
        CLOCK.with_borrow(|clock| clock.as_ref().map(|clock| clock.mono))
    }

    pub(super) fn wall() -> Option<OffsetDateTime> {
        CLOCK.with_borrow(|clock| clock.as_ref().map(|clock| clock.wall))
    }

    pub(super) fn id() -> Option<Uuid> {
        CLOCK.with_borrow_mut(|clock| clock.as_mut().map(Clock::id))
    }

    /// A clock that stands still until it is set forward. When this is dropped the machine's holds again.
    #[derive(Debug)]
    pub(crate) struct Stopped(());

    impl Stopped {
        pub(crate) fn now() -> Self {
            set(Some(Clock { mono: Instant::now(), wall: OffsetDateTime::now_utc(), process: 0, last_ms: 0, made: 0 }));
            Self(())
        }

        /// Sets it forward.
        pub(crate) fn passes(&self, time: Duration) {
            CLOCK.with_borrow_mut(|clock| {
                if let Some(clock) = clock {
                    clock.mono += time;
                    clock.wall += time;
                }
            });
        }
    }

    impl Drop for Stopped {
        fn drop(&mut self) {
            set(None);
        }
    }

    impl Clock {
        fn id(&mut self) -> Uuid {
            let now = u64::try_from(self.wall.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
            self.last_ms = self.last_ms.max(now);
            self.made += 1;
            let mut rest = [0; 10];
            rest[3..6].copy_from_slice(&self.process.to_be_bytes()[1..]);
            rest[6..].copy_from_slice(&self.made.to_be_bytes());
            uuid::Builder::from_unix_timestamp_millis(self.last_ms, &rest).into_uuid()
        }
    }
}
