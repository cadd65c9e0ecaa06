//! What gateways tell each other at once: that something changed, and which session shall end.
//!
//! Messages may be lost, so neither depends on them: changes are looked for in the database besides, and a session
//! that shall end is noted where its gateway looks with each beat. After a connection was cut the first thing is a
//! wake, for whatever was missed.

use std::time::Duration;

use domain::ids::SessionId;
use fred::clients::SubscriberClient;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::Message;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::ReplicasError;
use crate::connection::Replicas;

/// Terminations that wait for whoever listens. More are found noted with the next beat.
const QUEUED: usize = 1_024;
/// Pause before subscribing is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// That a session shall end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// Which.
    pub session: SessionId,
    /// What its client is told.
    pub reason: String,
}

/// A subscription to what gateways tell each other; it ends when this is dropped.
#[derive(Debug)]
pub struct Messages {
    changes: watch::Sender<u64>,
    terminations: broadcast::Sender<Termination>,
    task: JoinHandle<()>,
}

impl Messages {
    /// Changes whenever something may have changed: after a message, and after a connection was made.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The sessions that shall end, on whichever gateway they are.
    #[must_use]
    pub fn terminations(&self) -> broadcast::Receiver<Termination> {
        self.terminations.subscribe()
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Replicas {
    /// Tells all gateways that something has changed. `mark` is for whoever watches the channel; gateways look in
    /// the database whatever it says.
    ///
    /// # Errors
    /// `Away`.
    pub async fn tell_change(&self, mark: &str) -> Result<(), ReplicasError> {
        self.publish(self.keys().changes_channel(), mark.to_owned()).await
    }

    pub(crate) async fn tell_termination(&self, termination: &Termination) -> Result<(), ReplicasError> {
        let text =
            serde_json::to_string(termination).map_err(|error| ReplicasError::Refused { reason: error.to_string() })?;
        self.publish(self.keys().terminate_channel(), text).await
    }

    async fn publish(&self, channel: String, text: String) -> Result<(), ReplicasError> {
        self.in_time(async { Ok(self.client()?.publish::<(), _, _>(channel, text).await?) }).await
    }

    /// Begins to listen over a connection of its own, and goes on for as long as the answer lives.
    ///
    /// # Errors
    /// `Settings`.
    pub fn listen(&self) -> Result<Messages, ReplicasError> {
        let client = self.builder().build_subscriber_client()?;
        let changes = watch::Sender::new(0);
        let terminations = broadcast::Sender::new(QUEUED);
        let channels = [self.keys().changes_channel(), self.keys().terminate_channel()];
        let task = tokio::spawn(hear(client, channels, changes.clone(), terminations.clone()));
        Ok(Messages { changes, terminations, task })
    }
}

/// Ends the connection however its task ends.
struct Connected(SubscriberClient);

impl Drop for Connected {
    fn drop(&mut self) {
        let client = self.0.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move { drop(client.quit().await) }));
        }
    }
}

async fn hear(
    client: SubscriberClient,
    channels: [String; 2],
    changes: watch::Sender<u64>,
    terminations: broadcast::Sender<Termination>,
) {
    let client = Connected(client);
    let mut messages = client.0.message_rx();
    let mut connections = client.0.reconnect_rx();
    drop(client.0.connect());
    let [of_changes, _] = &channels;
    loop {
        tokio::select! {
            heard = messages.recv() => match heard {
                Ok(message) if message.channel == *of_changes => wake(&changes),
                Ok(message) => pass_on(&message, &terminations),
                // More came than were taken: among them may have been changes.
                Err(broadcast::error::RecvError::Lagged(_)) => wake(&changes),
                Err(broadcast::error::RecvError::Closed) => return,
            },
            connected = connections.recv() => {
                if matches!(connected, Err(broadcast::error::RecvError::Closed)) {
                    return;
                }
                subscribe(&client.0, &channels).await;
                wake(&changes);
            }
        }
    }
}

/// Subscribes for as long as it takes. A connection that breaks meanwhile is followed by another event.
async fn subscribe(client: &SubscriberClient, channels: &[String; 2]) {
    while let Err(error) = client.subscribe(channels.to_vec()).await {
        tracing::warn!(%error, "cannot listen on Redis; trying again");
        tokio::time::sleep(AGAIN).await;
    }
}

fn wake(changes: &watch::Sender<u64>) {
    changes.send_modify(|count| *count = count.wrapping_add(1));
}

fn pass_on(message: &Message, terminations: &broadcast::Sender<Termination>) {
    let text = message.value.as_bytes().unwrap_or_default();
    match serde_json::from_slice(text) {
        // Nobody listening is fine: the note is found with the next beat.
        Ok(termination) => drop(terminations.send(termination)),
        Err(error) => tracing::warn!(%error, "a message on Redis is not understood"),
    }
}
