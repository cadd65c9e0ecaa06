//! The end of a session: both sides are closed, and nothing that was made is left unrecorded.

use std::time::{Duration, Instant};

use bytestring::ByteString;
use dialects::contract::RealtimeDialect;
use dialects::openai::scan::event_type;

use crate::realtime::close::{By, Ending};
use crate::realtime::live::Why;
use crate::realtime::recording::{From, Recorded};
use crate::realtime::session::Session;
use crate::realtime::upstream::FromUpstream;
use crate::telemetry::names;

/// The id of the event that stops a response whose client is gone; an `error` about it names it.
const CANCEL_ID: &str = "event_gateway_cancel";
/// How long the provider may still report usage after the client has left.
const LAST_WORDS: Duration = Duration::from_secs(3);

impl Session {
    /// It is ended from outside.
    pub(super) fn ended(&mut self, why: &Why) -> Ending {
        let error = why.error();
        names::failed(error.kind());
        let event = error.event(&self.event_id());
        self.note(From::ToClient, || Recorded::Text(event.clone().into()));
        self.client.last_text(&event);
        why.ending()
    }

    /// Closes both sides, and waits for the provider's last report where one is due.
    pub(super) async fn end(mut self, ending: Ending) {
        tracing::info!(session = %self.id, code = ending.code, reason = %ending.reason, "session ended");
        self.note(From::ToClient, || Recorded::Close(ending.code, ending.reason.clone()));
        self.client.close(&ending);
        self.last_words(&ending).await;
        self.stop_vendor().await;
        self.cut(ending.status());
        if let Some(pending) = &mut self.upstream {
            // The provider learns what the client said, and nothing of what we had against it.
            let code = if ending.by == By::Client && ending.is_told() { ending.code } else { 1000 };
            pending.leg.close(code, self.worker.gateway.timeouts().write).await;
        }
        names::frames(self.frames.0, self.frames.1);
        if ending.by == By::Provider && !ending.in_order() {
            self.meter.broken();
        }
        self.meter.abandon();
    }

    /// A vendor bills what it is sent: nothing more is, before that is counted.
    async fn stop_vendor(&mut self) {
        let Some(leg) = self.upstream.as_mut().and_then(|pending| pending.leg.translated()) else { return };
        if tokio::time::timeout(LAST_WORDS, leg.stop()).await.is_err() {
            tracing::warn!(session = %self.id, "the translation did not stop");
        }
    }

    /// Nobody listens any more, but what the provider has made will be billed: it is told to stop, and
    /// its report is waited for.
    async fn last_words(&mut self, ending: &Ending) {
        let deadline = Instant::now() + LAST_WORDS;
        if ending.by != By::Provider && self.turns.responding() {
            self.stop_response().await;
        }
        while self.turns.open() {
            let Some(pending) = &mut self.upstream else { return };
            let next = tokio::time::timeout_at(deadline.into(), pending.leg.next()).await;
            let text = match next {
                Ok(FromUpstream::Text(text)) => text,
                Ok(FromUpstream::Closed(..) | FromUpstream::Unreachable(_)) | Err(_) => return,
                Ok(FromUpstream::Pong | FromUpstream::Binary | FromUpstream::Reached(_) | FromUpstream::RecordDue) => {
                    continue;
                }
            };
            let Ok(text) = ByteString::try_from(text) else { continue };
            match event_type(&text) {
                // The response had ended, or has not begun yet: what the client asked for is not refused.
                Some(kind) if kind == "error" && text.contains(CANCEL_ID) => continue,
                Some(kind) => self.follow(&kind, &text),
                None => {}
            }
            let Some(pending) = &mut self.upstream else { return };
            pending.dialect.upstream(&text, &mut self.actions);
            if let Err(error) = self.account(ending.status()).await {
                tracing::debug!(session = %self.id, %error, "the last turn spent what was left");
            }
            // There is nobody left to send anything to.
            self.actions.clear();
        }
    }

    /// A response that goes on is paid for to its end, although nobody hears it.
    async fn stop_response(&mut self) {
        let Some(pending) = &mut self.upstream else { return };
        let cancel = format!("{{\"type\":\"response.cancel\",\"event_id\":\"{CANCEL_ID}\"}}");
        if let Err(error) = pending.leg.send(cancel.into(), LAST_WORDS).await {
            tracing::debug!(session = %self.id, ?error, "the provider could not be told to stop");
        }
    }
}
