//! Where a response of the agent begins and ends, of which Ultravox tells only signs: the agent's state, its
//! transcript, its sound, and calls of functions. Text runs ahead of the sound that goes with it, and
//! nothing ties them together but the order.
//!
//! Source: Ultravox's data-message reference and what its client SDKs and public plugins expect, read
//! 2026-11-21.

use crate::conversation::agent::Said;

/// Sound that is not there so long after the text is complete does not come.
const QUIET_MS: u64 = 1_000;
/// The same while the agent says that it speaks: its sound was sent ahead, and plays on.
const SPOKEN_QUIET_MS: u64 = 3_000;
/// Sound that comes so soon after a response's end belongs to it, where the agent does not say that it speaks.
const TAIL_MS: u64 = 500;
/// Calls of one round arrive within this of each other.
const ROUND_MS: u64 = 50;
/// The same while the agent still speaks: its sound comes in pieces, and belongs before the calls.
const SPOKEN_ROUND_MS: u64 = 200;
/// A round is told after this, whatever still comes.
const LONGEST_ROUND_MS: u64 = 10_000;
/// The most calls of a round.
const MOST_CALLS: usize = 32;

/// A piece of the agent's transcript.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    /// Numbers the utterances of both sides.
    pub(super) ordinal: Option<u64>,
    /// It is written, not spoken.
    pub(super) written: bool,
    /// What is new.
    pub(super) delta: Option<&'a str>,
    /// All of it.
    pub(super) text: Option<&'a str>,
    /// Nothing of this utterance follows.
    pub(super) last: bool,
}

/// The response that is being given.
#[derive(Debug, Default)]
struct Response {
    ordinal: Option<u64>,
    /// Bytes of its text that were told.
    told: usize,
    /// All that was really said, where that is less than what was told.
    shortened: Option<String>,
    /// When its text was complete.
    complete_at: Option<u64>,
    sounded_at: Option<u64>,
    /// When the agent stopped speaking.
    left_at: Option<u64>,
}

/// Calls that came together.
#[derive(Debug, Default)]
struct Round {
    calls: Vec<(String, Said)>,
    due: u64,
    latest: u64,
}

/// What is still coming of a response that was stopped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing, or it is over.
    #[default]
    None,
    /// What comes of utterances that are over.
    Known,
    /// The utterance was not named yet: the next one that is named is the one.
    Unnamed,
}

/// What the agent is doing.
#[derive(Debug, Default)]
pub(super) struct Reply {
    speaking: bool,
    response: Option<Response>,
    round: Option<Round>,
    rest: Rest,
    /// A response was cancelled before it began, and may begin all the same.
    unwanted: bool,
    /// The last utterance that is over.
    over: Option<u64>,
    /// The utterance in which the user broke in, and how much of its text was told.
    broken: Option<(u64, usize)>,
    ended_at: Option<u64>,
}

impl Reply {
    /// Whether the agent says that it speaks.
    pub(super) fn speaking(&self) -> bool {
        self.speaking
    }

    /// Whether something of a response was told and not yet its end.
    pub(super) fn open(&self) -> bool {
        self.response.is_some() || self.round.is_some()
    }

    /// Whether more of the response's text is to come.
    pub(super) fn unfinished(&self) -> bool {
        self.response.as_ref().is_some_and(|response| response.complete_at.is_none())
    }

    /// The agent is in another state.
    pub(super) fn state(&mut self, state: &str, now: u64, said: &mut Vec<Said>) {
        let unwanted = std::mem::take(&mut self.unwanted);
        match state {
            "speaking" => {
                if !unwanted {
                    self.rest = Rest::None;
                }
                self.speaking = true;
            }
            "thinking" => {
                self.rest = Rest::None;
                self.left(now, said);
            }
            "listening" | "idle" => self.left(now, said),
            _ => {}
        }
    }

    fn left(&mut self, now: u64, said: &mut Vec<Said>) {
        if std::mem::take(&mut self.speaking)
            && let Some(round) = &mut self.round
        {
            round.due = round.latest.min(now + ROUND_MS);
        }
        let Some(response) = &mut self.response else { return };
        response.left_at = Some(now);
        if response.complete_at.is_some() {
            self.end(now, said);
        }
    }

    /// The agent's words.
    pub(super) fn words(&mut self, words: Words<'_>, now: u64, said: &mut Vec<Said>) {
        if words.ordinal.is_some() && words.ordinal <= self.over {
            return self.late(words, said);
        }
        match self.rest {
            Rest::None => {}
            Rest::Known if words.ordinal.is_some() => self.rest = Rest::None,
            Rest::Known => return,
            Rest::Unnamed => {
                self.over = words.ordinal.max(self.over);
                if words.ordinal.is_some() {
                    self.rest = Rest::Known;
                }
                return;
            }
        }
        let other = self.response.as_ref().and_then(|response| response.ordinal.zip(words.ordinal));
        if other.is_some_and(|(open, new)| open != new) {
            self.end(now, said);
        }
        self.linger(now);
        let (delta, text) = (words.delta.filter(|delta| !delta.is_empty()), words.text.filter(|text| !text.is_empty()));
        if self.response.is_none() && delta.is_none() && text.is_none() {
            return;
        }
        let response = self.begun(said);
        response.ordinal = words.ordinal.or(response.ordinal);
        if let Some(delta) = delta {
            response.told += delta.len();
            said.push(Said::Text(delta.to_owned()));
        }
        if let Some(text) = text {
            if text.len() < response.told {
                response.shortened = Some(text.to_owned());
            } else {
                response.told = text.len();
                said.push(Said::TextAll(text.to_owned()));
            }
        }
        if !words.last {
            return;
        }
        response.complete_at = Some(now);
        if words.written || response.left_at.is_some() {
            self.end(now, said);
        }
    }

    /// The response that is being given. A new one is told of: what is left of the one before was dropped here.
    fn begun(&mut self, said: &mut Vec<Said>) -> &mut Response {
        if self.response.is_none() {
            said.push(Said::ResponseStarted);
        }
        self.response.get_or_insert_default()
    }

    /// Words of an utterance that is over: they may tell what was said of it before the user broke in.
    fn late(&mut self, words: Words<'_>, said: &mut Vec<Said>) {
        let Some((_, told)) = self.broken.filter(|(ordinal, _)| Some(*ordinal) == words.ordinal && words.last) else {
            return;
        };
        self.broken = None;
        if let Some(text) = words.text.filter(|text| text.len() < told) {
            said.push(Said::TextCorrected(text.to_owned()));
        }
    }

    /// The agent's sound.
    pub(super) fn sound(&mut self, bytes: &[u8], now: u64, said: &mut Vec<Said>) {
        let tail = self.ended_at.is_some_and(|ended| now < ended + TAIL_MS);
        if self.rest != Rest::None || bytes.is_empty() || (!self.open() && !self.speaking && tail) {
            return;
        }
        self.linger(now);
        self.begun(said).sounded_at = Some(now);
        said.push(Said::Audio(bytes.to_vec()));
    }

    /// The agent calls a function.
    pub(super) fn call(&mut self, id: &str, call: Said, now: u64, said: &mut Vec<Said>) {
        let round = self.round.get_or_insert_with(|| Round { latest: now + LONGEST_ROUND_MS, ..Round::default() });
        round.calls.push((id.to_owned(), call));
        let full = round.calls.len() >= MOST_CALLS;
        self.linger(now);
        if full {
            self.tell_round(now, said);
        }
    }

    /// Something came, and more may.
    fn linger(&mut self, now: u64) {
        let wait = if self.speaking { SPOKEN_ROUND_MS } else { ROUND_MS };
        if let Some(round) = &mut self.round {
            round.due = round.latest.min(now + wait);
        }
    }

    fn tell_round(&mut self, now: u64, said: &mut Vec<Said>) {
        let Some(round) = self.round.take() else { return };
        self.begun(said);
        said.extend(round.calls.into_iter().map(|(_, call)| call));
        said.push(Said::ToolCallsEnded);
        self.close(now);
    }

    /// What was not played is to be dropped.
    pub(super) fn clear(&mut self, now: u64, said: &mut Vec<Said>) {
        if self.round.is_some() {
            return self.tell_round(now, said);
        }
        let Some(response) = self.close(now) else { return };
        self.stop(&response);
        self.broken = response.ordinal.map(|ordinal| (ordinal, response.told));
        said.push(Said::Interrupted);
        said.extend(response.shortened.map(Said::TextCorrected));
    }

    /// The response is not wanted any more, whether it has begun or the agent `thinks` of it. Gives the calls
    /// that were not told, which the agent waits for.
    pub(super) fn cancel(&mut self, thinks: bool, now: u64) -> Vec<String> {
        let round = self.round.take();
        if let Some(response) = self.close(now) {
            self.stop(&response);
        } else if thinks && round.is_none() {
            self.rest = Rest::Unnamed;
            self.unwanted = true;
        }
        round.map(|round| round.calls.into_iter().map(|(id, _)| id).collect()).unwrap_or_default()
    }

    fn stop(&mut self, response: &Response) {
        self.rest = if response.ordinal.is_some() { Rest::Known } else { Rest::Unnamed };
    }

    fn end(&mut self, now: u64, said: &mut Vec<Said>) {
        if self.round.is_some() {
            return self.tell_round(now, said);
        }
        if self.close(now).is_some() {
            said.push(Said::ResponseEnded);
        }
    }

    fn close(&mut self, now: u64) -> Option<Response> {
        let response = self.response.take()?;
        self.over = response.ordinal.max(self.over);
        self.ended_at = Some(now);
        Some(response)
    }

    /// When something is known because nothing more came.
    pub(super) fn next_tick(&self) -> Option<u64> {
        if let Some(round) = &self.round {
            return Some(round.due);
        }
        let response = self.response.as_ref()?;
        let since = match response.complete_at {
            Some(complete) => response.sounded_at.max(Some(complete)),
            None => response.left_at,
        };
        let plays = self.speaking && response.sounded_at.is_some();
        since.map(|since| since + if plays { SPOKEN_QUIET_MS } else { QUIET_MS })
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: u64, said: &mut Vec<Said>) {
        if self.next_tick().is_some_and(|due| due <= now) {
            self.end(now, said);
        }
    }
}
