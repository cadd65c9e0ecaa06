//! A turn of Gemini's, and the responses that are told of it.
//!
//! Gemini says `generationComplete` when it has made all of an answer, and `turnComplete` when by its own
//! clock that was played; an interruption skips the former. What a turn used comes with the latter, so a
//! response is held open for it, but not longer than [`HELD_MS`].

use super::usage::Meter;
use crate::conversation::agent::{Cut, Said};
use crate::live::LiveFault;

/// How long the end of a response waits for what it used.
const HELD_MS: u64 = 1_000;
/// An answer that was broken off says so within this.
const BROKEN_MS: u64 = 2_000;
/// Within a response, something comes within this.
const STALL_MS: u64 = 20_000;
/// An answer that was asked for begins within this.
const ANSWER_MS: u64 = 60_000;

/// What was asked anew leaves ends of the turn before it on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stale {
    #[default]
    Nothing,
    /// The turn was broken off from here: `interrupted` and `turnComplete` of it follow.
    Broken,
    /// Its `turnComplete` may follow.
    Ending,
}

/// How a turn ended.
pub(super) enum End {
    /// As it should.
    Whole,
    /// Cut short.
    Cut(Cut),
}

/// The turn under way.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Gemini has begun a turn that it has not called complete.
    under_way: bool,
    /// All of it was made.
    made: bool,
    /// A response was told and not ended.
    open: bool,
    /// What still comes of it is dropped: it ended with calls that wait for their outputs.
    silenced: bool,
    /// Nobody wants to hear the rest of the response.
    unwanted: bool,
    ends_at: Option<u64>,
    asked_at: Option<u64>,
    stale: Stale,
    last: u64,
    pub(super) meter: Meter,
}

impl Turn {
    /// Whether Gemini is at an answer, or about to be.
    pub(super) fn busy(&self) -> bool {
        self.open || self.asked_at.is_some()
    }

    /// Whether an answer is under way, or asked for, that is to be heard.
    pub(super) fn answers(&self) -> bool {
        self.asked_at.is_some() || (self.open && !self.unwanted)
    }

    /// The response is not to be heard.
    pub(super) fn give_up(&mut self) {
        self.unwanted = true;
    }

    /// Whether an answer was asked for that has not begun.
    pub(super) fn asked(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Whether an answer is being made or, by Gemini's clock, played.
    pub(super) fn playing(&self) -> bool {
        self.under_way && self.stale != Stale::Broken
    }

    /// Whether a response only waits for what it used.
    pub(super) fn made_and_open(&self) -> bool {
        self.made && self.open
    }

    /// Whether what is said now is dropped.
    pub(super) fn silenced(&self) -> bool {
        self.silenced
    }

    /// An answer was asked for.
    pub(super) fn ask(&mut self, now: u64) {
        self.asked_at = Some(now);
        self.silenced = false;
    }

    /// The outputs of all calls are there: the turn goes on, or has ended and another follows.
    pub(super) fn ask_on(&mut self, now: u64) {
        self.ask(now);
        if self.under_way {
            self.stale = Stale::Ending;
        }
    }

    /// A message was sent that breaks off what is under way.
    pub(super) fn break_off(&mut self, now: u64) {
        if !self.under_way {
            return;
        }
        self.stale = Stale::Broken;
        if self.open {
            self.ends_at = Some(now + BROKEN_MS);
        }
    }

    /// The connection is gone, and what was being made with it.
    pub(super) fn lose(&mut self) {
        *self = Self { meter: std::mem::take(&mut self.meter), ..Self::default() };
    }

    /// Gemini said something.
    pub(super) fn heard_from(&mut self, now: u64) {
        self.last = now;
    }

    /// Whether speech that comes now would be that of a new turn that nobody asked for.
    pub(super) fn would_be_new(&self) -> bool {
        (!self.under_way || self.made) && self.asked_at.is_none()
    }

    /// Whether all of an answer was made: what is written down of it now comes late.
    pub(super) fn late(&self) -> bool {
        self.made && !self.open
    }

    /// Gemini makes something of an answer.
    pub(super) fn make(&mut self, said: &mut Vec<Said>) {
        let anew = std::mem::take(&mut self.made);
        if anew {
            self.end(End::Whole, said);
        }
        // What was broken off may still be arriving.
        if anew || self.stale != Stale::Broken {
            self.stale = Stale::Nothing;
            self.asked_at = None;
        }
        self.under_way = true;
        if !self.open {
            self.open = true;
            self.unwanted = false;
            self.meter.begin();
            said.push(Said::ResponseStarted);
        }
    }

    /// Calls belong to the response that is open, even where all of its speech was made.
    pub(super) fn call(&mut self, said: &mut Vec<Said>) {
        if self.open {
            self.made = false;
            self.ends_at = None;
        }
        self.make(said);
    }

    /// The round of calls is told, with which a response ends. `wait`: nothing is said before the outputs.
    pub(super) fn called(&mut self, wait: bool, said: &mut Vec<Said>) {
        self.tell_used(said);
        said.push(Said::ToolCallsEnded);
        self.open = false;
        self.silenced = wait;
    }

    /// All of the answer was made.
    pub(super) fn made(&mut self, now: u64, said: &mut Vec<Said>) {
        self.made = self.under_way;
        self.silenced = false;
        if !self.open {
            return;
        }
        if self.meter.known() {
            return self.end(End::Whole, said);
        }
        self.ends_at = Some(now + HELD_MS);
    }

    /// The user broke in, or a message of this side did.
    pub(super) fn interrupted(&mut self, said: &mut Vec<Said>) {
        self.silenced = false;
        self.under_way = false;
        self.made = false;
        if self.stale == Stale::Broken {
            self.stale = Stale::Ending;
            return self.end(End::Whole, said);
        }
        if std::mem::take(&mut self.open) {
            self.tell_used(said);
        }
        said.push(Said::Interrupted);
        self.ends_at = None;
        self.asked_at = None;
    }

    /// No output is waited for any more: the turn that wanted them is over.
    pub(super) fn released(&mut self) {
        self.silenced = false;
        self.under_way = false;
    }

    /// The turn is complete, played or not.
    pub(super) fn complete(&mut self, end: End, said: &mut Vec<Said>) {
        self.silenced = false;
        self.under_way = false;
        self.made = false;
        if std::mem::take(&mut self.stale) != Stale::Nothing {
            return self.end(End::Whole, said);
        }
        // An answer of nothing is one too.
        if self.asked_at.take().is_some() && !self.open {
            self.open = true;
            said.push(Said::ResponseStarted);
        }
        self.end(end, said);
    }

    /// What was used after a response had ended is told by itself.
    pub(super) fn tell_late(&mut self, said: &mut Vec<Said>) {
        if !self.open {
            said.extend(self.meter.due().map(Said::Usage));
        }
    }

    /// When [`Self::tick`] is due.
    pub(super) fn next_tick(&self) -> Option<u64> {
        let stalls = self.open.then(|| self.last + STALL_MS);
        let unanswered = self.asked_at.map(|asked| asked.max(self.last) + ANSWER_MS);
        self.ends_at.or(stalls).or(unanswered)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: u64, said: &mut Vec<Said>) {
        if self.next_tick().is_none_or(|due| due > now) {
            return;
        }
        if self.ends_at.is_some() {
            return self.end(End::Whole, said);
        }
        let silent = LiveFault::upstream("Gemini stopped answering.");
        self.stale = Stale::Nothing;
        self.complete(End::Cut(Cut::Failed(silent)), said);
    }

    fn end(&mut self, end: End, said: &mut Vec<Said>) {
        self.ends_at = None;
        if !std::mem::take(&mut self.open) {
            return;
        }
        self.tell_used(said);
        said.push(match end {
            End::Whole => Said::ResponseEnded,
            End::Cut(cut) => Said::ResponseCut(cut),
        });
    }

    fn tell_used(&mut self, said: &mut Vec<Said>) {
        said.push(Said::Usage(self.meter.due_at_end()));
    }
}
