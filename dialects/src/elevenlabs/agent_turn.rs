//! The response that one of `ElevenLabs`' agents is making, and where it ends.
//!
//! The end is told only where the agent was asked to tell it and does; otherwise a response is over when its
//! audio would have been played and nothing follows, or when another begins. Its text and its audio carry
//! ids, of which nothing is promised but that they grow; so a new id is a new response only among texts, and
//! among audio where the audio of the response had the id of its text.

use domain::audio::RealtimeFormat;

use crate::conversation::agent::Said;

/// After the last audio was played, a response is over when nothing follows within this.
const GAP_MS: u64 = 800;
/// ... where the agent tells the end, so that a gap is but a slow network.
const TOLD_GAP_MS: u64 = 5_000;
/// What still comes of a response whose end was told, comes within this.
const TAIL_MS: u64 = 200;
/// All calls of a round come within this of each other.
const CALLS_MS: u64 = 150;
/// A text whose whole was told has no more parts after this.
const TEXT_MS: u64 = 500;
/// A response that begins goes on within this.
const STALL_MS: u64 = 10_000;
/// As much of a response's text is kept, in bytes, to tell a second copy of it.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The agent's side of a conversation.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The conversation has no audio.
    text_only: bool,
    /// The agent tells the end of its responses.
    tells_end: bool,
    now: Option<Response>,
    /// The id and the text of the last response.
    before: Option<(u64, String)>,
    /// Audio up to this id was interrupted.
    interrupted: Option<u64>,
    /// When all audio would have been played.
    played_at: u64,
}

#[derive(Debug, Default)]
struct Response {
    /// The id of its text.
    id: Option<u64>,
    /// The id of its audio.
    audio_id: Option<u64>,
    text: String,
    whole: bool,
    ended: bool,
    called: bool,
    audible: bool,
    last_at: u64,
}

impl Turn {
    pub(super) fn new(text_only: bool) -> Self {
        Self { text_only, ..Self::default() }
    }

    /// A piece of the text.
    pub(super) fn part(&mut self, text: &str, id: Option<u64>, now: u64, said: &mut Vec<Said>) {
        if text.is_empty() || self.is_over(id, None) {
            return;
        }
        let response = self.of_text(id, now, said);
        if response.text.len() + text.len() <= MAX_TEXT_BYTES {
            response.text.push_str(text);
        }
        said.push(Said::Text(text.to_owned()));
    }

    /// All the text; it is told when the audio begins, or after its pieces.
    pub(super) fn whole(&mut self, text: &str, id: Option<u64>, now: u64, said: &mut Vec<Said>) {
        if text.is_empty() || self.is_over(id, Some(text)) {
            return;
        }
        let response = self.of_text(id, now, said);
        response.whole = true;
        if text.len() <= MAX_TEXT_BYTES {
            text.clone_into(&mut response.text);
        }
        said.push(Said::TextAll(text.to_owned()));
    }

    /// Speech. Gives whether it is to be heard: what was interrupted is not.
    pub(super) fn audio(
        &mut self,
        bytes: usize,
        format: RealtimeFormat,
        id: Option<u64>,
        now: u64,
        said: &mut Vec<Said>,
    ) -> bool {
        if self.interrupted.zip(id).is_some_and(|(to, id)| id <= to) {
            return false;
        }
        let another = |response: &Response| {
            let joined = response.id.is_some() && response.audio_id == response.id;
            response.audible && joined && id.is_some() && response.id != id
        };
        if self.now.as_ref().is_some_and(another) {
            self.end(said);
        }
        let response = self.begin(now, said);
        response.audible = true;
        if response.audio_id.is_none() || response.id == id {
            response.audio_id = id;
        }
        let ms = format.duration_ms(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.played_at = self.played_at.max(now).saturating_add(ms);
        true
    }

    /// A function is called.
    pub(super) fn call(&mut self, now: u64, said: &mut Vec<Said>) {
        self.begin(now, said).called = true;
    }

    /// The agent tells the end. What it had left to send may come after it.
    pub(super) fn told_end(&mut self, now: u64, said: &mut Vec<Said>) {
        self.tells_end = true;
        if self.text_only {
            return self.end(said);
        }
        if let Some(response) = &mut self.now {
            (response.ended, response.last_at) = (true, now);
        }
    }

    /// Audio up to this id is not to be played.
    pub(super) fn interrupted(&mut self, id: Option<u64>, now: u64, said: &mut Vec<Said>) {
        self.interrupted = self.interrupted.max(id);
        if self.now.is_some() || self.played_at > now {
            self.played_at = now;
            self.end_calls(said);
            self.keep();
            said.push(Said::Interrupted);
        }
    }

    /// When the response is over.
    pub(super) fn due(&self) -> Option<u64> {
        let response = self.now.as_ref()?;
        let after = |ms: u64| Some(response.last_at.saturating_add(ms));
        if response.called {
            return after(CALLS_MS);
        }
        if response.ended {
            return after(TAIL_MS);
        }
        if response.audible {
            let gap = if self.tells_end { TOLD_GAP_MS } else { GAP_MS };
            return Some(self.played_at.max(response.last_at).saturating_add(gap));
        }
        after(if self.text_only && response.whole && !self.tells_end { TEXT_MS } else { STALL_MS })
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: u64, said: &mut Vec<Said>) {
        if self.due().is_some_and(|due| due <= now) {
            self.end(said);
        }
    }

    /// Whether a text belongs to a response that is over: a copy of it, or what was interrupted.
    fn is_over(&self, id: Option<u64>, whole: Option<&str>) -> bool {
        if let Some((current, id)) = self.now.as_ref().and_then(|response| response.id).zip(id)
            && id <= current
        {
            return id < current;
        }
        let Some((before, text)) = self.before.as_ref().filter(|(before, _)| Some(*before) == id) else {
            return false;
        };
        whole.is_some_and(|whole| whole.trim() == text.trim()) || self.interrupted.is_some_and(|to| *before <= to)
    }

    fn of_text(&mut self, id: Option<u64>, now: u64, said: &mut Vec<Said>) -> &mut Response {
        let another = |response: &Response| response.id.is_some() && id.is_some() && response.id != id;
        if self.now.as_ref().is_some_and(another) {
            self.end(said);
        }
        let response = self.begin(now, said);
        response.id = response.id.or(id);
        response
    }

    fn begin(&mut self, now: u64, said: &mut Vec<Said>) -> &mut Response {
        let response = self.now.get_or_insert_with(|| {
            said.push(Said::ResponseStarted);
            Response::default()
        });
        response.last_at = now;
        response
    }

    fn end(&mut self, said: &mut Vec<Said>) {
        self.end_calls(said);
        if self.keep() {
            said.push(Said::ResponseEnded);
        }
    }

    fn end_calls(&self, said: &mut Vec<Said>) {
        if self.now.as_ref().is_some_and(|response| response.called) {
            said.push(Said::ToolCallsEnded);
        }
    }

    /// Puts the response away; whether there was one.
    fn keep(&mut self) -> bool {
        let Some(response) = self.now.take() else { return false };
        self.before = response.id.map(|id| (id, response.text));
        true
    }
}
