//! What a session's turns and transcripts are billed: noted as soon as the provider may begin them,
//! recorded when they end.

use dialects::contract::{Action, TurnUsage};
use domain::usage::{UsageSource, UsageStatus};

use crate::error::GatewayError;
use crate::pipeline::meter::Part;
use crate::realtime::session::Session;
use crate::realtime::tab::Tariff;
use crate::realtime::transcribers::billed;

impl Session {
    /// An event of this type is about to reach the provider, which may begin at once what it asks for.
    pub(super) fn asked(&mut self, kind: &str, event: &str) {
        self.turns.client(kind, event);
        self.meter.facts().trace.session_asks(kind, event);
        match kind {
            "response.create" => self.meter.turn_asked(),
            "input_audio_buffer.commit" if self.transcribes() => self.meter.utterance_asked(),
            _ => {}
        }
    }

    /// Follows what the provider does: what it works on is noted against a kill of this process.
    pub(super) fn follow(&mut self, kind: &str, event: &str) {
        let transcribes = self.transcribes();
        self.turns.upstream(kind, event, transcribes);
        self.meter.facts().trace.session_hears(kind, event);
        match kind {
            "response.created" => self.meter.turn_begun(),
            "error" => self.meter.turn_refused(),
            "input_audio_buffer.committed" if transcribes => self.meter.utterance_begun(),
            "conversation.item.input_audio_transcription.failed" => self.meter.utterance_withdrawn(),
            _ => {}
        }
    }

    fn transcribes(&self) -> bool {
        self.upstream.as_ref().is_some_and(|pending| pending.dialect.transcribes())
    }

    /// Records every turn that the last frame ended. `Err` when the next one is not covered.
    pub(super) async fn account(&mut self, status: UsageStatus) -> Result<(), GatewayError> {
        let mut covered = Ok(());
        for turn in take_used(&mut self.actions) {
            covered = covered.and(self.used(&turn, status).await);
        }
        self.meter.facts().trace.session_accounted();
        covered
    }

    /// Records a turn and makes sure that the next one is covered.
    async fn used(&mut self, turn: &TurnUsage, status: UsageStatus) -> Result<(), GatewayError> {
        let Some(window) = self.upstream.as_ref().map(|pending| pending.window) else { return Ok(()) };
        let settled = self.turns.settle(turn);
        self.meter.audio_passed(self.turns.passed());
        match self.tariff() {
            Tariff::Connected { .. } => self.bill_connection(status),
            Tariff::Heard { .. } => {
                let heard = settled.and_then(|(usage, _)| self.take(usage.audio_in_ms));
                self.record(heard, turn.model.as_deref(), status);
            }
            Tariff::Reported => self.record(settled.map(Part::alone), turn.model.as_deref(), status),
        }
        self.meter.keep_reserved(window).await.map_err(GatewayError::from)
    }

    fn record(&mut self, used: Option<Part>, transcriber: Option<&str>, status: UsageStatus) {
        match (used, transcriber) {
            (Some(part), Some(wire)) => self.transcript(part, wire, status),
            (Some(part), None) => self.meter.turn(part, None, None, status),
            (None, Some(_)) => self.meter.utterance_withdrawn(),
            (None, None) => self.meter.turn_withdrawn(),
        }
    }

    fn tariff(&self) -> Tariff {
        self.upstream.as_ref().map_or(Tariff::Reported, |pending| pending.leg.tariff())
    }

    /// What a translated vendor has had since the last record, which is at most so long.
    fn take(&mut self, most_ms: u64) -> Option<Part> {
        self.upstream.as_mut()?.leg.translated()?.tab().take(most_ms)
    }

    /// Records what nothing complete was recorded of for long, so that it is within the budget.
    pub(super) async fn bill_running(&mut self) -> Result<(), GatewayError> {
        let Some(window) = self.upstream.as_ref().map(|pending| pending.window) else { return Ok(()) };
        match self.tariff() {
            Tariff::Connected { .. } => self.bill_connection(UsageStatus::Ok),
            Tariff::Heard { .. } => self.bill_heard(UsageStatus::Ok),
            Tariff::Reported => {}
        }
        self.meter.keep_reserved(window).await.map_err(GatewayError::from)
    }

    /// Records the time of the connection. It goes on, so that a kill leaves a record of what follows.
    fn bill_connection(&mut self, status: UsageStatus) {
        if let Some(part) = self.take(u64::MAX) {
            self.meter.turn(part, None, None, status);
            self.meter.turn_begun();
        }
    }

    /// Records all the audio that a vendor has had since the last record.
    fn bill_heard(&mut self, status: UsageStatus) {
        let Some(part) = self.take(u64::MAX) else { return };
        let Some(wire) = self.upstream.as_ref().map(|pending| pending.dialect.transcriber()) else { return };
        self.transcript(part, &wire, status);
    }

    fn transcript(&mut self, part: Part, wire: &str, status: UsageStatus) {
        let Some(pending) = &self.upstream else { return };
        let (model, prices) = billed(&self.caller, &pending.candidate, wire);
        self.meter.turn(part, Some(prices), Some(&model), status);
    }

    /// Records what the provider had begun and will report no more.
    pub(super) fn cut(&mut self, status: UsageStatus) {
        let cut = self.turns.cut();
        let tariff = self.tariff();
        if let Tariff::Connected { .. } = tariff {
            let rest = self.take(u64::MAX);
            return self.record(rest, None, status);
        }
        if let Some(usage) = cut.response {
            self.meter.turn(Part::alone((usage, UsageSource::Estimated)), None, None, status);
        }
        if let Tariff::Heard { .. } = tariff {
            self.bill_heard(status);
            cut.utterances.iter().for_each(|_| self.meter.utterance_withdrawn());
            return;
        }
        for usage in cut.utterances {
            let Some(pending) = &mut self.upstream else { return };
            let wire = pending.dialect.next_transcriber();
            self.transcript(Part::alone((usage, UsageSource::Estimated)), &wire, status);
        }
    }
}

/// Takes the accounts out of what is to be done, so that none can be lost with a send that fails.
fn take_used(actions: &mut Vec<Action>) -> Vec<TurnUsage> {
    // Nearly every frame asks for nothing.
    if actions.is_empty() {
        return Vec::new();
    }
    let (mut used, mut rest) = (Vec::new(), Vec::new());
    for action in std::mem::take(actions) {
        match action {
            Action::Used(turn) => used.push(turn),
            other => rest.push(other),
        }
    }
    *actions = rest;
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::usage::Usage;

    #[test]
    fn what_was_used_is_taken_before_anything_is_sent() {
        let turn =
            TurnUsage { usage: Usage::default(), model: None, completed: true, reported: true, estimated: false };
        let event = Action::ToClient("{}".to_owned());
        let mut actions = vec![event.clone(), Action::Used(turn.clone()), event.clone(), Action::Used(turn.clone())];
        assert_eq!(take_used(&mut actions), vec![turn.clone(), turn]);
        assert_eq!(actions, vec![event.clone(), event], "in their order");
    }
}
