//! What this process tells the control plane: that it lives, which sessions are open, how targets are, and
//! how requests went. One task writes all of it, about once a second and in batches. While the database is
//! away nothing waits for it, and what is known when it is back is written then.

pub mod minutes;
mod sessions;
mod targets;

use std::sync::Arc;
use std::time::Duration;

use changes::gateways;
use domain::ids::SessionId;
use entities::{Id, gateway_instance, live_session, request_minute};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Gateway;

use self::minutes::{Minutes, Waiting};
use self::sessions::WrittenSessions;
use self::targets::WrittenTargets;

/// How often what has changed is written.
const BEAT: Duration = Duration::from_secs(1);
/// How often the process says that it lives, whether or not anything has changed.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// How often old minutes are looked for, and how old they get.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);
const KEEP_MINUTES: Duration = Duration::from_secs(8 * 24 * 3600);
/// How long the database may take for one round, and, once the gateway stops, for what is left of it and for the last.
const PATIENCE: Duration = Duration::from_secs(10);
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// What is told of this process.
#[derive(Debug)]
pub struct Reports {
    /// Stands for this process: another one with every start.
    pub id: Uuid,
    /// How requests went.
    pub minutes: Minutes,
    started_at: OffsetDateTime,
}

impl Reports {
    /// Nothing is told yet.
    #[must_use]
    pub fn new() -> Self {
        Self { id: Uuid::now_v7(), minutes: Minutes::default(), started_at: OffsetDateTime::now_utc() }
    }
}

impl Default for Reports {
    fn default() -> Self {
        Self::new()
    }
}

/// Ends the sessions of this process that the control plane wants ended.
///
/// # Errors
/// The database's.
pub async fn end_terminated(gateway: &Gateway) -> Result<(), DbErr> {
    use live_session::{Column, Entity};
    if gateway.sessions.is_empty() {
        return Ok(());
    }
    let asked: Vec<(Id, Option<String>)> = Entity::find()
        .select_only()
        .columns([Column::Id, Column::TerminateReason])
        .filter(Column::GatewayId.eq(Id(gateway.reports.id)))
        .filter(Column::TerminateRequestedAt.is_not_null())
        .into_tuple()
        .all(&gateway.database)
        .await?;
    for (session, reason) in asked {
        gateway.sessions.terminate(SessionId(session.0), reason.as_deref().unwrap_or_default());
    }
    Ok(())
}

/// Tells of the gateway until `stop` is cancelled, then that it is gone.
pub(crate) async fn run(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut reporter = Reporter::new(gateway);
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = beat.tick() => {}
        }
        // What is being written may be committed by now, so it is waited for: `leave` would write it again.
        let told = tokio::select! {
            told = tokio::time::timeout(PATIENCE, reporter.tell()) => told,
            () = async { stop.cancelled().await; tokio::time::sleep(LAST_PATIENCE).await } => break,
        };
        match told.unwrap_or_else(|_| Err(DbErr::Custom("the database does not answer".to_owned()))) {
            Ok(()) => failing = false,
            // Said once and not every second: readiness tells the rest.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "the control plane cannot be told how this gateway is");
            }
            Err(_) => {}
        }
    }
    if !matches!(tokio::time::timeout(LAST_PATIENCE, reporter.leave()).await, Ok(Ok(()))) {
        tracing::warn!("the database was not told that this gateway is gone; others will find out");
    }
}

struct Reporter {
    gateway: Arc<Gateway>,
    sessions: WrittenSessions,
    targets: WrittenTargets,
    minutes: Waiting,
    /// When the process said last that it lives, and whether it was draining.
    said: Option<(Instant, bool)>,
    cleaned: Option<Instant>,
}

impl Reporter {
    fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            gateway,
            sessions: WrittenSessions::default(),
            targets: WrittenTargets::default(),
            minutes: Waiting::default(),
            said: None,
            cleaned: None,
        }
    }

    async fn tell(&mut self) -> Result<(), DbErr> {
        // Out of the way of the calls first, whatever the database does.
        self.minutes.absorb(self.gateway.reports.minutes.take());
        let draining = self.gateway.draining.is_cancelled();
        let due = self.said.is_none_or(|(at, before)| at.elapsed() >= HEARTBEAT || before != draining);
        if due {
            self.heartbeat(draining).await?;
            self.said = Some((Instant::now(), draining));
        }
        let gateway = Arc::clone(&self.gateway);
        // Should another gateway have taken us for dead, nothing more of what we told is there: the next
        // heartbeat finds out, and everything is told anew.
        let told = async {
            self.sessions.write(&gateway).await?;
            self.targets.write(&gateway).await
        };
        if let Err(error) = told.await {
            self.said = None;
            return Err(error);
        }
        self.minutes.write(&gateway.database).await?;
        self.clean().await
    }

    /// Says that the process lives, and removes those that do not.
    async fn heartbeat(&mut self, draining: bool) -> Result<(), DbErr> {
        use gateway_instance::{Column, Entity};
        let (gateway, id) = (Arc::clone(&self.gateway), Id(self.gateway.reports.id));
        let db = &gateway.database;
        let now = gateways::now(db).await?;
        let open_sessions = count(gateway.sessions.len());
        let journal_records = count(gateway.ledger.health().pending_records);
        let update = Entity::update_many()
            .col_expr(Column::HeartbeatAt, Expr::value(now))
            .col_expr(Column::Draining, Expr::value(draining))
            .col_expr(Column::OpenSessions, Expr::value(open_sessions))
            .col_expr(Column::JournalRecords, Expr::value(journal_records))
            .filter(Column::Id.eq(id));
        if update.exec(db).await?.rows_affected == 0 {
            let row = gateway_instance::ActiveModel {
                id: Set(id),
                name: Set(gateway.settings.name.clone()),
                version: Set(env!("CARGO_PKG_VERSION").to_owned()),
                started_at: Set(gateway.reports.started_at),
                heartbeat_at: Set(now),
                draining: Set(draining),
                open_sessions: Set(open_sessions),
                journal_records: Set(journal_records),
            };
            Entity::insert(row).exec_without_returning(db).await?;
            (self.sessions, self.targets) = (WrittenSessions::default(), WrittenTargets::default());
        }
        let dead = gateways::remove_dead(db, now).await?;
        if dead > 0 {
            tracing::info!(dead, "gateways that died were removed, with their sessions");
        }
        Ok(())
    }

    async fn clean(&mut self) -> Result<(), DbErr> {
        if self.cleaned.is_some_and(|at| at.elapsed() < CLEAN_EVERY) {
            return Ok(());
        }
        let oldest = OffsetDateTime::now_utc() - KEEP_MINUTES;
        let old = request_minute::Entity::delete_many().filter(request_minute::Column::Minute.lt(oldest));
        old.exec(&self.gateway.database).await?;
        self.cleaned = Some(Instant::now());
        Ok(())
    }

    /// Tells what is left to tell, and that the process is gone; its rows go with it.
    async fn leave(&mut self) -> Result<(), DbErr> {
        self.minutes.absorb(self.gateway.reports.minutes.take());
        let gateway = Arc::clone(&self.gateway);
        gateway_instance::Entity::delete_by_id(Id(gateway.reports.id)).exec(&gateway.database).await?;
        self.minutes.write(&gateway.database).await
    }
}

/// Counts above the range of a database's integer are held at its end.
fn count<T: TryInto<i64>>(count: T) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
