//! The answer that Deepgram's agent is giving, and where it ends.
//!
//! Deepgram tells the end of an answer's audio, but not after the user has broken in, and not of an answer
//! that is function calls alone. So nothing waits for that message: the next turn ends what is open, and
//! calls end an answer when its last audio is long past.
//!
//! Source: Deepgram's pages on the agent's messages and public issue threads, read 2026-11-21.

use crate::conversation::agent::Said;

/// Audio of an answer that has called functions is over after so long without any.
const QUIET_MS: u64 = 500;

/// The answer that is being given.
#[derive(Debug, Default)]
pub(super) struct Reply {
    open: bool,
    /// It has words; the next sentence is separated from them.
    worded: bool,
    /// It has audio.
    sounded: bool,
    /// It has called functions, and its last words may still be on their way.
    called: bool,
    /// When it ends, where that was not told by then.
    ends_at: Option<u64>,
    /// The next words are of another answer.
    over: bool,
    /// It was broken off: audio that is still on its way is dropped.
    broken: bool,
}

impl Reply {
    /// A sentence.
    pub(super) fn sentence(&mut self, text: &str, said: &mut Vec<Said>) {
        if text.is_empty() {
            return;
        }
        if self.over {
            self.end(said);
        }
        self.broken = false;
        self.open = true;
        let separated = std::mem::replace(&mut self.worded, true);
        said.push(Said::Text(if separated { format!(" {text}") } else { text.to_owned() }));
    }

    /// Audio; whether it is of an answer that is still wanted.
    pub(super) fn sound(&mut self, now: u64) -> bool {
        if self.broken {
            return false;
        }
        self.open = true;
        self.sounded = true;
        if let Some(ends_at) = &mut self.ends_at {
            *ends_at = now.saturating_add(QUIET_MS);
        }
        true
    }

    /// A round of function calls was told. What was said before them is waited for.
    pub(super) fn called(&mut self, now: u64, said: &mut Vec<Said>) {
        self.open = true;
        self.called = true;
        if self.worded || self.sounded {
            self.ends_at = Some(now.saturating_add(QUIET_MS));
        } else {
            self.end(said);
        }
    }

    /// The output of a function was given: the agent goes on.
    pub(super) fn answered(&mut self) {
        self.broken = false;
        self.over = self.called;
    }

    /// The user wrote something. An answer that is still open was given up before; nobody may tell its end.
    pub(super) fn prompted(&mut self, now: u64) {
        self.over = self.open;
        self.broken = self.open;
        self.ends_at = self.open.then_some(now);
    }

    /// The agent has taken what the user wrote: what comes is the answer to it.
    pub(super) fn repeated(&mut self, said: &mut Vec<Said>) {
        self.end(said);
        self.broken = false;
    }

    /// It is complete, if there is one.
    pub(super) fn end(&mut self, said: &mut Vec<Said>) {
        if self.called {
            said.push(Said::ToolCallsEnded);
        }
        if self.open {
            said.push(Said::ResponseEnded);
        }
        *self = Self { broken: self.broken, ..Self::default() };
    }

    /// The user speaks.
    pub(super) fn interrupt(&mut self, said: &mut Vec<Said>) {
        if self.open {
            said.push(Said::Interrupted);
        }
        *self = Self { broken: true, ..Self::default() };
    }

    /// The user's turn is over: the answer to it follows.
    pub(super) fn turned(&mut self, said: &mut Vec<Said>) {
        self.interrupt(said);
        self.broken = false;
    }

    /// When [`Self::tick`] is due.
    pub(super) fn ends_at(&self) -> Option<u64> {
        self.ends_at
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: u64, said: &mut Vec<Said>) {
        if self.ends_at.is_some_and(|at| at <= now) {
            self.end(said);
        }
    }
}
