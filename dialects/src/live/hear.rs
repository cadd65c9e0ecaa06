//! What the vendor hears becomes items: started, told in pieces, completed once each and in order.

use super::items::Item;
use super::link::Stage;
use super::session::LiveSession;
use super::{Heard, LiveFault, TICKS_PER_MS, bytes_in};
use crate::translation::Effect;

impl LiveSession {
    /// A frame from the vendor, text or binary.
    pub(super) fn listen(&mut self, frame: &str, effects: &mut Vec<Effect>) {
        let mut heard = Vec::new();
        self.alive();
        self.link.transcriber.read(frame, &mut heard);
        for heard in heard {
            if !matches!(self.link.stage, Stage::Greeting { .. } | Stage::Streaming | Stage::Closing { .. }) {
                return;
            }
            self.hear(heard, effects);
        }
        self.renew(effects);
    }

    fn hear(&mut self, heard: Heard, effects: &mut Vec<Effect>) {
        match heard {
            Heard::Ready => self.ready(effects),
            Heard::Started { at_ms } => {
                if self.items.waiting.is_empty() && self.settings.turns.is_some() {
                    let at_ms = self.client_ms(at_ms);
                    self.open_item(at_ms, effects);
                }
            }
            Heard::Interim { text, from_ms } => self.interim(&text, from_ms, effects),
            Heard::Settled { text, from_ms, to_ms } => self.settled(&text, from_ms, to_ms, effects),
            Heard::Ended { at_ms } => self.ended(at_ms, effects),
            Heard::Committed => self.committed(effects),
            Heard::Sent { ms } => self.sent_beside(ms),
            Heard::CommitFailed(fault) => self.unheard(&fault, effects),
            Heard::Leaving { within_ms } => self.leaving(within_ms),
            Heard::Failed(fault) => self.fail(&fault, effects),
        }
    }

    /// Audio was sent that nobody counted when it was passed on: it belongs to what is answered next.
    fn sent_beside(&mut self, ms: u64) {
        let ticks = ms.saturating_mul(TICKS_PER_MS);
        self.sent_ticks = self.sent_ticks.saturating_add(ticks);
        for asked in self.items.waiting.iter_mut().filter_map(|waiting| waiting.asked.as_mut()) {
            asked.sent_ticks = asked.sent_ticks.saturating_add(ticks);
        }
    }

    fn unheard(&mut self, fault: &LiveFault, effects: &mut Vec<Effect>) {
        let item = match self.items.waiting.pop_front() {
            Some(waiting) => waiting.item,
            None => self.close_turn(None, effects),
        };
        if let Some(item) = item {
            self.writer.failed(&item.id, fault, effects);
        }
    }

    fn interim(&mut self, text: &str, from_ms: Option<u64>, effects: &mut Vec<Effect>) {
        let from_ms = self.client_ms(from_ms);
        let Some(item) = self.addressed(text, from_ms, effects) else { return };
        let (id, delta) = (item.id.clone(), item.transcript.interim(text));
        self.writer.delta(&id, delta, effects);
    }

    fn settled(&mut self, text: &str, from_ms: Option<u64>, to_ms: Option<u64>, effects: &mut Vec<Effect>) {
        let (from_ms, now) = (self.client_ms(from_ms), self.now);
        if let Some(item) = self.addressed(text, from_ms, effects) {
            item.settled_at = Some(now);
            let (id, delta) = (item.id.clone(), item.transcript.settle(text));
            self.writer.delta(&id, delta, effects);
        }
        self.covered(to_ms);
        self.link.settled_to_ms = to_ms.or(self.link.settled_to_ms);
        if !text.trim().is_empty() {
            // A socket that gives text is a good one: it may drop again.
            self.link.mended = false;
        }
    }

    /// The item that text belongs to: the oldest commit that waits, or the open utterance. Text without
    /// words opens none, and text of what was cleared has none.
    fn addressed(&mut self, text: &str, from_ms: Option<u64>, effects: &mut Vec<Effect>) -> Option<&mut Item> {
        if !self.items.waiting.is_empty() {
            return self.items.waiting.front_mut().and_then(|waiting| waiting.item.as_mut());
        }
        if text.trim().is_empty() {
            return self.items.open.as_mut();
        }
        Some(self.open_item(from_ms, effects))
    }

    /// A vendor ends a turn; where the client commits, that only divides the text.
    fn ended(&mut self, at_ms: Option<u64>, effects: &mut Vec<Effect>) {
        self.link.pending = 0;
        if self.items.waiting.is_empty() && self.settings.turns.is_some() {
            let sent_ticks = self.sent_at(at_ms.or(self.link.settled_to_ms));
            let at_ms = self.client_ms(at_ms);
            self.end_turn(at_ms, sent_ticks, effects);
        }
        if at_ms.is_none() {
            self.covered(None);
        }
    }

    fn committed(&mut self, effects: &mut Vec<Effect>) {
        // An answer without a question is a turn that the vendor ended.
        let Some(waiting) = self.items.waiting.front() else { return self.ended(None, effects) };
        let Some(asked) = waiting.asked else { return };
        let mark = waiting.mark;
        self.answer(asked.sent_ticks, effects);
        self.tape.forget_before(mark);
    }

    /// The oldest commit has its text.
    fn answer(&mut self, sent_ticks: u64, effects: &mut Vec<Effect>) {
        let Some(waiting) = self.items.waiting.pop_front() else { return };
        if let Some(item) = waiting.item {
            self.complete(item, sent_ticks, effects);
        }
    }

    /// No more text will come for what the vendor has had.
    pub(super) fn answer_all(&mut self, effects: &mut Vec<Effect>) {
        let sent = self.tape.sent();
        while self.items.waiting.front().is_some_and(|waiting| waiting.mark <= sent) {
            if let Some(item) = self.items.waiting.front_mut().and_then(|waiting| waiting.item.as_mut()) {
                item.transcript.settle_interim();
            }
            self.answer(self.sent_ticks, effects);
        }
    }

    /// A commit got no answer in time: what is known is the answer. Where words were still open, the socket
    /// is left, so that they cannot come a second time.
    pub(super) fn unanswered(&mut self, effects: &mut Vec<Effect>) {
        let Some(waiting) = self.items.waiting.front_mut() else { return };
        let mark = waiting.mark;
        let mut open = false;
        if let Some(item) = &mut waiting.item {
            open = item.transcript.has_interim();
            item.transcript.settle_interim();
        }
        self.answer(self.sent_ticks, effects);
        self.tape.forget_before(mark);
        if open {
            self.reopen(effects);
        }
    }

    /// When settled text ends its utterance because nothing follows.
    pub(super) fn quiet_at(&self) -> Option<u64> {
        let quiet = self.link.transcriber.habits().quiet_ms?;
        let item = match self.items.waiting.front() {
            Some(waiting) => waiting.asked.and(waiting.item.as_ref())?,
            None => self.items.open.as_ref().filter(|_| self.settings.turns.is_some())?,
        };
        let settled = item.settled_at.filter(|_| item.transcript.has_settled() && !item.transcript.has_interim())?;
        let asked = self.items.waiting.front().and_then(|waiting| waiting.asked).map_or(0, |asked| asked.at);
        Some(settled.max(asked) + quiet)
    }

    pub(super) fn quiet(&mut self, effects: &mut Vec<Effect>) {
        if self.items.waiting.is_empty() {
            self.ended(None, effects);
        } else {
            self.committed(effects);
        }
        self.renew(effects);
    }

    /// The audio up to this time of the vendor's stream is done with; without a time all but the last.
    fn covered(&mut self, to_ms: Option<u64>) {
        let format = self.tape.format();
        let position = match to_ms {
            Some(to_ms) => self.link.from + bytes_in(format, to_ms).saturating_sub(self.link.inserted),
            None => {
                let tail = self.link.transcriber.habits().tail_ms;
                self.tape.sent().saturating_sub(bytes_in(format, tail))
            }
        };
        self.tape.forget_before(position);
    }

    /// What vendors had had at this time of the stream, in ticks: all of it where the time is not known.
    fn sent_at(&self, vendor_ms: Option<u64>) -> u64 {
        vendor_ms.map_or(self.sent_ticks, |ms| self.link.before_ticks.saturating_add(ms.saturating_mul(TICKS_PER_MS)))
    }

    /// A time of the vendor's stream on the client's clock.
    fn client_ms(&self, vendor_ms: Option<u64>) -> Option<u64> {
        let inserted = self.tape.format().duration_ms(self.link.inserted);
        Some(self.tape.ms_at(self.link.from) + vendor_ms?.saturating_sub(inserted))
    }
}
