//! Wakes: many may come at once, and whoever waits sees them as one.

use std::time::Duration;

use sea_orm::sqlx::postgres::{PgListener, PgPool};
use sea_orm::{DatabaseConnection, DbBackend, SqlxError};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

use crate::{CHANNEL, POLL};

/// Pause between attempts to listen.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// Pause after a wake, so that a burst of changes is one look and not many.
const GATHER: Duration = Duration::from_millis(25);

/// Wakes everything in this process that waits for changes. Clones are the same signal.
#[derive(Debug, Clone)]
pub struct Signal(watch::Sender<()>);

impl Default for Signal {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Signal {
    /// Something may have changed.
    pub fn wake(&self) {
        self.0.send_replace(());
    }

    /// Every wake from now on, and a look each [`POLL`] besides.
    #[must_use]
    pub fn wakes(&self) -> Wakes {
        let mut poll = interval_at(Instant::now() + POLL, POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Wakes { woken: self.0.subscribe(), poll }
    }
}

/// When one waiter looks for changes.
#[derive(Debug)]
pub struct Wakes {
    woken: watch::Receiver<()>,
    poll: Interval,
}

impl Wakes {
    /// Waits for the next wake, or until it is time to look without one.
    pub async fn next(&mut self) {
        tokio::select! {
            woken = self.woken.changed() => {
                // Nobody is left who could wake: then looking is all that remains.
                let pause = if woken.is_ok() { GATHER } else { POLL };
                sleep(pause).await;
                self.woken.mark_unchanged();
            }
            _ = self.poll.tick() => {}
        }
    }
}

/// Wakes `signal` whenever PostgreSQL tells of a change; returns at once on another database. Listening
/// takes one connection out of the pool. While it is cut, polling is what remains, and the first thing after
/// it is a wake for whatever was missed.
pub async fn listen(db: DatabaseConnection, signal: Signal) {
    if db.get_database_backend() != DbBackend::Postgres {
        return;
    }
    let mut failing = false;
    loop {
        let Err(error) = hear(db.get_postgres_connection_pool(), &signal, &mut failing).await else { return };
        if matches!(error, SqlxError::PoolClosed) {
            return;
        }
        if !failing {
            failing = true;
            tracing::warn!(%error, "the database cannot tell of changes; they are looked for instead");
        }
        sleep(LISTEN_AGAIN).await;
    }
}

async fn hear(pool: &PgPool, signal: &Signal, failing: &mut bool) -> Result<(), SqlxError> {
    let mut listener = PgListener::connect_with(pool).await?;
    // The pool outlives every listener, and closing it must not wait for this one.
    listener.listen(CHANNEL).await?;
    if std::mem::take(failing) {
        tracing::info!("the database tells of changes again");
    }
    loop {
        signal.wake();
        // `None`: the connection was cut and is made anew, and something may have been missed.
        listener.try_recv().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_wake_and_silence_ends_with_the_poll() {
        let signal = Signal::default();
        let mut wakes = signal.wakes();
        let began = Instant::now();
        for _ in 0..1000 {
            signal.wake();
        }
        wakes.next().await;
        assert!(began.elapsed() < POLL, "woken, not polled");
        wakes.next().await;
        assert!(began.elapsed() >= POLL, "the rest of the burst is no second wake");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_during_the_look_leads_to_another() {
        let signal = Signal::default();
        let mut wakes = signal.wakes();
        signal.wake();
        wakes.next().await;
        signal.wake();
        let began = Instant::now();
        wakes.next().await;
        assert!(began.elapsed() < POLL);
    }
}
