//! Alerts: a task looks at the rules, writes what it finds with the messages that follow, and sends these.
//!
//! Of several processes one looks at a time, by a lease in the database. Messages are sent by whichever
//! process claims them; what a dead one had claimed is sent by another. Looking does not wait for sending, and
//! one owner's slow receivers hold up nobody else's messages.

mod decide;
mod deliver;
mod evaluate;
mod lease;
mod mail;
pub(crate) mod message;
mod readings;

use std::time::Duration;

use domain::seal::SealingKey;
use sea_orm::{DatabaseConnection, DbErr};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::AdminError;
use crate::outgoing::Outgoing;
use crate::repositories::alerts::channels;
use crate::settings::SmtpSettings;

pub(crate) use decide::Reading;
pub(crate) use deliver::Outcome;
pub use mail::MailError;

/// How often messages that are due are looked for.
const DELIVER_EVERY: Duration = Duration::from_secs(5);
/// How often what is old is removed.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);

/// Looks, and tells.
pub struct Alerts {
    database: DatabaseConnection,
    sealing: SealingKey,
    outgoing: Outgoing,
    mail: Option<mail::Mailer>,
    /// Tells this process apart.
    holder: String,
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alerts").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// Whether the settings of a mail server can be used, as far as they tell.
///
/// # Errors
/// What is wrong with them.
pub fn check_mail(settings: &SmtpSettings) -> Result<(), MailError> {
    mail::Mailer::new(settings).map(drop)
}

impl Alerts {
    /// Ready to look and to tell.
    ///
    /// # Errors
    /// The settings of the mail server cannot be used.
    pub fn new(
        database: DatabaseConnection,
        sealing: SealingKey,
        smtp: Option<&SmtpSettings>,
    ) -> Result<Self, MailError> {
        let mail = smtp.map(mail::Mailer::new).transpose()?;
        Ok(Self { database, sealing, outgoing: Outgoing::new(), mail, holder: Uuid::now_v7().to_string() })
    }

    /// Whether e-mail can be sent.
    pub(crate) fn has_mail(&self) -> bool {
        self.mail.is_some()
    }

    /// Looks at every rule as of `now` and writes what follows, unless another process does so. Gives whether
    /// it has looked.
    ///
    /// # Errors
    /// The database's.
    pub async fn evaluate(&self, now: OffsetDateTime) -> Result<bool, DbErr> {
        evaluate::all(&self.database, &self.holder, now).await
    }

    /// Sends the messages that are due until none is, by the clock `now`. Gives how many were tried.
    ///
    /// # Errors
    /// The database's.
    pub async fn deliver(&self, now: impl Fn() -> OffsetDateTime) -> Result<usize, DbErr> {
        deliver::due(self, now, &CancellationToken::new()).await
    }

    /// Seals the URLs of webhooks that were written when these stood in the open.
    ///
    /// # Errors
    /// The database's; those of before stay sealed.
    pub async fn seal_urls(&self) -> Result<(), AdminError> {
        channels::seal_urls(&self.database, &self.sealing).await
    }

    /// Looks every `every` and sends what is due, until `stop` is cancelled. A database that is away is asked
    /// again at the next turn.
    pub(crate) async fn run(&self, every: Duration, stop: CancellationToken) {
        if let Err(error) = self.seal_urls().await {
            tracing::warn!(%error, "the URLs of webhooks of before could not be sealed; trying again at the next start");
        }
        let looked = Notify::new();
        tokio::join!(self.watch(every, &looked, &stop), self.tell(DELIVER_EVERY.min(every), &looked, &stop));
        if let Err(error) = lease::release(&self.database, &self.holder).await {
            tracing::debug!(%error, "the lease of alerts was not given back; it expires");
        }
    }

    /// Looks, says so by `looked`, and removes what is old.
    async fn watch(&self, every: Duration, looked: &Notify, stop: &CancellationToken) {
        let (mut look, mut clean) = (turns(every), turns(CLEAN_EVERY));
        loop {
            // A turn that has begun is ended.
            let (what, done) = tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => ("looked at", self.evaluate(OffsetDateTime::now_utc()).await.map(drop)),
                _ = clean.tick() => ("cleaned", deliver::clean(&self.database, OffsetDateTime::now_utc()).await),
            };
            if let Err(error) = done {
                tracing::warn!(%error, "alerts could not be {what}");
            }
            looked.notify_one();
        }
    }

    async fn tell(&self, every: Duration, looked: &Notify, stop: &CancellationToken) {
        let mut send = turns(every);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = send.tick() => {}
                () = looked.notified() => {}
            }
            // A message that was sent is written down as sent.
            if let Err(error) = deliver::due(self, OffsetDateTime::now_utc, stop).await {
                tracing::warn!(%error, "alerts could not be sent");
            }
        }
    }
}

fn turns(every: Duration) -> Interval {
    let mut turns = tokio::time::interval_at(Instant::now() + every, every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turns
}
