//! The vendor's socket of a session: opened for the first audio, kept alive, opened anew when it drops or
//! when its configuration no longer fits, and left when there is nothing more to say.

use super::items::Asked;
use super::session::LiveSession;
use super::{Frame, LiveFault, LiveTranscriber, Outgoing, Plan, bytes_in, ticks};
use crate::translation::Effect;

/// The longest piece of audio in one frame.
const FRAME_MS: u64 = 100;
/// A vendor that greets does so within this.
const GREETING_MS: u64 = 10_000;
/// A socket that has served so long may drop again.
const PROVEN_MS: u64 = 60_000;
/// One that ends sooner has not served at all, however politely it ends.
const STILLBORN_MS: u64 = 5_000;

/// Where the socket is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none: the next audio opens one.
    Idle,
    /// It is being opened.
    Opening,
    /// It is open, and the vendor will say when it is ready.
    Greeting { until: u64 },
    /// It takes audio.
    Streaming,
    /// It takes no more audio; the last results are awaited.
    Closing { until: u64 },
    /// The session is over.
    Ended,
}

/// The vendor's socket.
pub(super) struct Link {
    pub(super) stage: Stage,
    pub(super) transcriber: Box<dyn LiveTranscriber>,
    plan: Plan,
    /// Position on the tape at which the vendor's stream begins.
    pub(super) from: u64,
    /// Audio that vendors had before this stream, in ticks.
    pub(super) before_ticks: u64,
    /// Time of the vendor's stream up to which text is settled.
    pub(super) settled_to_ms: Option<u64>,
    /// Bytes of silence that were sent between.
    pub(super) inserted: u64,
    /// Bytes since the vendor was last asked, or ended a turn.
    pub(super) pending: u64,
    last_sent: u64,
    last_heard: u64,
    /// Bytes sent since the vendor last said something.
    unanswered: u64,
    opened_at: u64,
    /// One drop was mended, and the new socket has not proven itself yet.
    pub(super) mended: bool,
    /// The vendor ends the connection then.
    leaves_at: Option<u64>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("stage", &self.stage).field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(transcriber: Box<dyn LiveTranscriber>, plan: Plan) -> Self {
        Self {
            stage: Stage::Idle,
            transcriber,
            plan,
            from: 0,
            before_ticks: 0,
            settled_to_ms: None,
            inserted: 0,
            pending: 0,
            last_sent: 0,
            last_heard: 0,
            unanswered: 0,
            opened_at: 0,
            mended: false,
            leaves_at: None,
        }
    }

    pub(super) fn ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    pub(super) fn end(&mut self) {
        self.stage = Stage::Ended;
    }

    /// Whether the socket has been of use.
    fn served(&self, now: u64) -> bool {
        now >= self.opened_at + STILLBORN_MS
    }

    pub(super) fn streaming(&self) -> bool {
        self.stage == Stage::Streaming
    }
}

impl LiveSession {
    /// The vendor's socket is open.
    pub(super) fn link_opened(&mut self, effects: &mut Vec<Effect>) {
        if self.link.stage != Stage::Opening {
            return;
        }
        self.link.last_sent = self.now;
        self.link.last_heard = self.now;
        self.link.opened_at = self.now;
        if let Some(greeting) = self.link.plan.greeting.clone() {
            effects.push(Effect::ToVendor(Frame::Text(greeting)));
        }
        if self.link.transcriber.habits().greets {
            self.link.stage = Stage::Greeting { until: self.now + GREETING_MS };
            return;
        }
        self.ready(effects);
    }

    /// The vendor's socket could not be opened. `again` says whether another try may succeed.
    pub(super) fn link_refused(&mut self, fault: &LiveFault, again: bool, effects: &mut Vec<Effect>) {
        if self.link.stage != Stage::Opening {
            return;
        }
        if again && !self.link.mended {
            self.link.mended = true;
            return self.open(effects);
        }
        self.fail(fault, effects);
    }

    /// The vendor's socket is closed.
    pub(super) fn link_lost(&mut self, code: u16, reason: &str, effects: &mut Vec<Effect>) {
        match self.link.stage {
            Stage::Idle | Stage::Opening | Stage::Ended => {}
            Stage::Closing { .. } => self.closed(effects),
            Stage::Greeting { .. } | Stage::Streaming => match self.link.transcriber.closed(code, reason) {
                Some(fault) => self.fail(&fault, effects),
                // A vendor may leave a silent stream.
                None if code == 1000 && self.items.idle() && self.tape.unsent() == 0 && self.link.served(self.now) => {
                    self.closed(effects);
                }
                None => self.dropped(effects),
            },
        }
    }

    /// When something is due.
    pub(super) fn link_due(&self) -> Option<u64> {
        let habits = self.link.transcriber.habits();
        match self.link.stage {
            Stage::Idle | Stage::Opening | Stage::Ended => None,
            Stage::Greeting { until } | Stage::Closing { until } => Some(until),
            Stage::Streaming => {
                let alive = self.link.last_sent + habits.keep_alive_ms;
                let answer = self.items.waiting.front().and_then(|waiting| waiting.asked);
                let answer = answer.map(|asked| asked.at + habits.commit_answer_ms);
                [Some(alive), answer, self.stalled_at(), self.quiet_at(), self.link.leaves_at]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    /// Time has passed.
    pub(super) fn link_tick(&mut self, effects: &mut Vec<Effect>) {
        match self.link.stage {
            Stage::Greeting { until } if until <= self.now => self.dropped(effects),
            Stage::Closing { until } if until <= self.now => self.closed(effects),
            Stage::Streaming => self.tick_stream(effects),
            _ => {}
        }
    }

    /// The client is gone: the vendor is told, and nobody waits for the last results.
    pub(super) fn link_finish(&mut self, effects: &mut Vec<Effect>) {
        if self.link.streaming() {
            let mut out = Vec::new();
            self.link.transcriber.goodbye(&mut out);
            self.send(out, false, effects);
        }
        self.link.end();
        effects.push(Effect::Leave);
    }

    fn tick_stream(&mut self, effects: &mut Vec<Effect>) {
        let habits = self.link.transcriber.habits();
        if self.link.leaves_at.is_some_and(|at| at <= self.now) {
            return if self.link.served(self.now) { self.reopen(effects) } else { self.dropped(effects) };
        }
        if self.stalled_at().is_some_and(|at| at <= self.now) {
            return self.dropped(effects);
        }
        let asked = self.items.waiting.front().and_then(|waiting| waiting.asked);
        if asked.is_some_and(|asked| asked.at + habits.commit_answer_ms <= self.now) {
            return self.unanswered(effects);
        }
        if self.quiet_at().is_some_and(|at| at <= self.now) {
            return self.quiet(effects);
        }
        if self.link.last_sent + habits.keep_alive_ms <= self.now {
            let mut out = Vec::new();
            self.link.transcriber.keep_alive(&mut out);
            // A vendor that needs none is asked again after the same time.
            self.link.last_sent = self.now;
            self.send(out, true, effects);
        }
    }

    /// When a vendor that says nothing counts as gone.
    fn stalled_at(&self) -> Option<u64> {
        let stall = self.link.transcriber.habits().stall_ms?;
        let hangs = self.link.unanswered >= bytes_in(self.tape.format(), stall);
        hangs.then_some(self.link.last_heard + stall)
    }

    /// The vendor takes audio from now on.
    pub(super) fn ready(&mut self, effects: &mut Vec<Effect>) {
        if !matches!(self.link.stage, Stage::Opening | Stage::Greeting { .. }) {
            return;
        }
        self.link.stage = Stage::Streaming;
        self.pump(effects);
        self.renew(effects);
    }

    /// Moves audio and questions from the tape to the vendor.
    pub(super) fn pump(&mut self, effects: &mut Vec<Effect>) {
        match self.link.stage {
            Stage::Idle if self.tape.unsent() > 0 => self.open(effects),
            // Everything that was said had been answered before the question.
            Stage::Idle => self.answer_all(effects),
            Stage::Streaming => self.stream(effects),
            _ => {}
        }
    }

    fn stream(&mut self, effects: &mut Vec<Effect>) {
        let most = bytes_in(self.tape.format(), FRAME_MS);
        loop {
            let mark = self.items.unasked().map_or(u64::MAX, |waiting| waiting.mark);
            let audio = self.tape.take(most, mark);
            let mut out = Vec::new();
            if !audio.is_empty() {
                self.link.pending += audio.len() as u64;
                self.link.unanswered += audio.len() as u64;
                self.link.transcriber.audio(audio, &mut out);
                self.send(out, false, effects);
                continue;
            }
            if mark == u64::MAX {
                return;
            }
            self.link.transcriber.commit(std::mem::take(&mut self.link.pending), &mut out);
            self.send(out, true, effects);
            let asked = Asked { at: self.now, sent_ticks: self.sent_ticks };
            if let Some(waiting) = self.items.unasked() {
                waiting.asked = Some(asked);
            }
        }
    }

    /// Passes frames on and counts the audio in them. `silent`: it is none of the client's.
    fn send(&mut self, out: Vec<Outgoing>, silent: bool, effects: &mut Vec<Effect>) {
        for outgoing in out {
            let bytes = outgoing.audio_bytes as u64;
            self.sent_ticks += ticks(self.tape.format(), bytes);
            if silent {
                self.link.inserted += bytes;
            }
            self.link.last_sent = self.now;
            effects.push(Effect::ToVendor(outgoing.frame));
        }
    }

    fn open(&mut self, effects: &mut Vec<Effect>) {
        let mended = self.link.mended;
        self.link = Link::new(self.opener.transcriber(&self.settings), self.plan.clone());
        self.link.mended = mended;
        self.link.stage = Stage::Opening;
        if let Err(message) = self.retune(self.plan.audio) {
            return self.fail(&LiveFault::upstream(message), effects);
        }
        self.tape.rewind();
        self.items.begin_anew();
        self.link.from = self.tape.start();
        self.link.before_ticks = self.sent_ticks;
        effects.push(Effect::Open(self.plan.endpoint.clone()));
    }

    /// Leaves the socket and opens another, which gets again what was not understood yet.
    pub(super) fn reopen(&mut self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Leave);
        self.open(effects);
    }

    /// The socket broke.
    fn dropped(&mut self, effects: &mut Vec<Effect>) {
        if self.link.mended && self.now < self.link.opened_at + PROVEN_MS {
            return self.fail(&LiveFault::upstream("The provider dropped the connection twice."), effects);
        }
        self.link.mended = true;
        self.reopen(effects);
    }

    /// The vendor has told all it knows of this stream.
    fn closed(&mut self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Leave);
        self.link.stage = Stage::Idle;
        self.tape.forget_before(self.tape.sent());
        self.answer_all(effects);
        self.pump(effects);
    }

    /// Opens a new socket for a configuration that changed, or before the vendor leaves, once nothing is
    /// being said.
    pub(super) fn renew(&mut self, effects: &mut Vec<Effect>) {
        let leaves = self.link.leaves_at.is_some() && self.link.served(self.now);
        let changed = self.link.plan != self.plan || leaves;
        if !(changed && self.link.streaming() && self.items.idle()) {
            return;
        }
        let habits = self.link.transcriber.habits();
        let mut out = Vec::new();
        self.link.transcriber.close(&mut out);
        self.send(out, false, effects);
        self.link.stage = Stage::Closing { until: self.now + habits.drain_ms };
    }

    /// The vendor said something.
    pub(super) fn alive(&mut self) {
        self.link.last_heard = self.now;
        self.link.unanswered = 0;
    }

    /// The vendor will leave; `margin` before that a new socket is opened whatever is being said.
    pub(super) fn leaving(&mut self, within_ms: u64) {
        const MARGIN_MS: u64 = 3_000;
        let at = self.now + within_ms.saturating_sub(MARGIN_MS);
        self.link.leaves_at = Some(self.link.leaves_at.map_or(at, |before| before.min(at)));
    }
}
