//! What the user says: turns that begin and end, and what was understood of them, told once per item.

use std::collections::VecDeque;

use serde_json::json;

use super::items::{Body, Item};
use super::link::Stage;
use super::output::Outcome;
use super::session::ConversationSession;
use crate::live::TICKS_PER_MS;
use crate::live::events::Refusal;
use crate::translation::Effect;

/// The shortest buffer that may be committed.
const MIN_COMMIT_MS: u64 = 100;
/// Items whose words may be awaited.
const MAX_WAITING: usize = 16;
/// An agent that answers a turn unasked begins within this.
const UNANSWERED_MS: u64 = 5_000;
/// The longest transcript of an item.
const MAX_TRANSCRIPT_BYTES: usize = 64 * 1024;

/// A turn that has begun.
#[derive(Debug)]
struct Turn {
    id: String,
    start_ms: u64,
    /// Pieces that were understood already.
    text: String,
}

/// An item whose words are awaited.
#[derive(Debug)]
struct Spoken {
    id: String,
    ms: u64,
    /// What was understood so far, all of which was told.
    told: String,
    /// A response to it has begun.
    answered: bool,
    /// The client wanted to read it when it was committed.
    shown: bool,
}

/// What is being heard.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    turn: Option<Turn>,
    waiting: VecDeque<Spoken>,
    /// When a turn has ended that the agent will answer unasked.
    unanswered: Option<u64>,
    /// The agent tells when speech begins or ends.
    tells: bool,
    /// The client has ended the turn itself: the agent's word on it is one too many.
    ended_early: bool,
    /// The user has spoken since the last response ended.
    spoke: bool,
    /// The words of the last item were completed without the agent saying that they are all.
    settled: bool,
}

impl Hearing {
    pub(super) fn speaking(&self) -> bool {
        self.turn.is_some()
    }

    /// Whether the agent is about to answer unasked. It may take what it heard for no speech.
    pub(super) fn answer_comes(&self, now: u64) -> bool {
        self.unanswered.is_some_and(|at| now <= at.saturating_add(UNANSWERED_MS))
    }

    /// A response has begun: it answers what was said.
    pub(super) fn answered(&mut self) {
        self.unanswered = None;
        self.spoke = false;
        for spoken in &mut self.waiting {
            spoken.answered = true;
        }
    }
}

impl ConversationSession {
    fn by_agent(&self) -> bool {
        self.settings.turns.is_some()
    }

    /// The user began to speak.
    pub(super) fn speech_started(&mut self, effects: &mut Vec<Effect>) {
        if !self.by_agent() {
            return;
        }
        self.hearing.tells = true;
        self.hearing.ended_early = false;
        self.begin_turn(self.input.clock_ms(), effects);
        if self.settings.turns.is_some_and(|turns| turns.interrupt_response) {
            self.break_in(effects);
        }
    }

    /// The user broke in, by the agent's own word.
    pub(super) fn interrupted(&mut self, effects: &mut Vec<Effect>) {
        if self.output.unmuted_by_end() {
            return;
        }
        // What was asked for and has not begun is what stops the one before, which was still being played.
        if self.output.open.as_ref().is_some_and(|open| !open.begun) {
            return;
        }
        let cuts = self.output.open.is_some() || !self.hearing.spoke;
        if self.by_agent() && cuts {
            self.begin_turn(self.input.clock_ms(), effects);
        }
        self.break_in(effects);
    }

    fn break_in(&mut self, effects: &mut Vec<Effect>) {
        let Some(open) = &self.output.open else { return };
        // A question that is still on its way to the agent is not put any more.
        let put = open.begun || !self.input.unask();
        self.finish_response(Outcome::Cancelled("turn_detected"), effects);
        if put {
            self.output.mute(self.now, true);
        }
    }

    /// Announces a turn, where none is open.
    fn begin_turn(&mut self, start_ms: u64, effects: &mut Vec<Effect>) {
        self.hearing.spoke = true;
        if self.hearing.turn.is_some() {
            return;
        }
        self.release_texts();
        let id = self.new_item_id();
        let started = json!({"audio_start_ms": start_ms, "item_id": id});
        self.writer.event("input_audio_buffer.speech_started", started, effects);
        self.hearing.turn = Some(Turn { id, start_ms, text: String::new() });
    }

    /// The user stopped speaking.
    pub(super) fn speech_stopped(&mut self, effects: &mut Vec<Effect>) {
        if !self.by_agent() {
            return;
        }
        self.hearing.tells = true;
        if std::mem::take(&mut self.hearing.ended_early) && self.hearing.turn.is_none() {
            return;
        }
        self.end_turn(effects);
    }

    /// The turn that is open, or was not announced, becomes an item.
    pub(super) fn end_turn(&mut self, effects: &mut Vec<Effect>) {
        // A turn that nobody announced is all that is in no item yet.
        let since_ms = self.input.itemed_ticks.min(self.input.passed_ticks) / TICKS_PER_MS;
        self.begin_turn(since_ms, effects);
        // What comes now answers this.
        self.output.muted = None;
        let Some(turn) = self.hearing.turn.take() else { return };
        let end_ms = self.input.clock_ms().max(turn.start_ms);
        let stopped = json!({"audio_end_ms": end_ms, "item_id": turn.id});
        self.writer.event("input_audio_buffer.speech_stopped", stopped, effects);
        let ms = end_ms - turn.start_ms;
        self.input.itemed_ticks = self.input.passed_ticks;
        let answers = self.settings.turns.is_some_and(|turns| turns.create_response);
        self.hearing.unanswered = answers.then_some(self.now);
        self.add_heard(turn.id, ms, effects);
        if !turn.text.is_empty() {
            self.heard(&turn.text, effects);
        }
    }

    /// Tells that audio became an item, whose words are awaited from now on.
    fn add_heard(&mut self, id: String, ms: u64, effects: &mut Vec<Effect>) {
        let item = Item::new(id.clone(), Body::Heard { transcript: None });
        let committed = json!({"previous_item_id": self.items.last(), "item_id": id});
        self.writer.event("input_audio_buffer.committed", committed, effects);
        self.add_item(item, effects);
        // What was answered and has no words by now was no speech; nothing may wait without end.
        while self.hearing.waiting.front().is_some_and(|spoken| spoken.answered)
            || self.hearing.waiting.len() >= MAX_WAITING
        {
            self.complete_oldest(None, effects);
        }
        self.hearing.settled = false;
        let shown = self.settings.transcription.is_some();
        self.hearing.waiting.push_back(Spoken { id, ms, told: String::new(), answered: false, shown });
    }

    /// The client ends an utterance.
    pub(super) fn commit(&mut self, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let held = self.input.appended_ticks.saturating_sub(self.input.itemed_ticks) / TICKS_PER_MS;
        if held < MIN_COMMIT_MS {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least \
                 {MIN_COMMIT_MS}ms of audio, but buffer only has {held}ms of audio."
            );
            return Err(Refusal::new("input_audio_buffer_commit_empty", message, None));
        }
        self.open(effects);
        if self.link.stage == Stage::Ended {
            return Ok(());
        }
        if self.by_agent() {
            self.hearing.ended_early = true;
            self.end_turn(effects);
            self.input.itemed_ticks = self.input.appended_ticks;
            return Ok(());
        }
        self.release_committed();
        self.input.itemed_ticks = self.input.appended_ticks;
        let id = self.new_item_id();
        self.add_heard(id, held, effects);
        Ok(())
    }

    /// The client takes back what it appended, as far as the agent has not had it.
    pub(super) fn clear(&mut self, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        self.drop_uncommitted();
        self.writer.event("input_audio_buffer.cleared", json!({}), effects);
        Ok(())
    }

    /// A piece of what the user said.
    pub(super) fn heard(&mut self, text: &str, effects: &mut Vec<Effect>) {
        if self.hearing.waiting.is_empty() {
            // Words that nobody announced begin a turn, where the agent finds those.
            if self.by_agent() && !text.trim().is_empty() {
                self.begin_turn(self.input.clock_ms(), effects);
            }
            if let Some(turn) = &mut self.hearing.turn {
                append_bounded(&mut turn.text, text);
            }
            return;
        }
        let Some(spoken) = self.hearing.waiting.front_mut() else { return };
        let text = if spoken.told.is_empty() { text.trim_start() } else { text };
        let before = spoken.told.len();
        append_bounded(&mut spoken.told, text);
        if spoken.told.len() == before {
            return;
        }
        let delta = json!({"item_id": spoken.id, "content_index": 0, "delta": text});
        if spoken.shown {
            self.writer.event("conversation.item.input_audio_transcription.delta", delta, effects);
        }
    }

    /// All that the user said.
    pub(super) fn heard_all(&mut self, text: &str, effects: &mut Vec<Effect>) {
        let text = text.trim();
        if self.hearing.waiting.is_empty() {
            if let Some(turn) = &mut self.hearing.turn {
                turn.text.clear();
                self.end_turn(effects);
            } else if std::mem::take(&mut self.hearing.settled) || !self.make_up_turn(text, effects) {
                return;
            }
        }
        let told = self.hearing.waiting.front().map(|spoken| spoken.told.clone()).unwrap_or_default();
        if let Some(rest) = text.strip_prefix(told.as_str()).filter(|rest| !rest.is_empty()) {
            self.heard(rest, effects);
        }
        self.complete_oldest(Some(text), effects);
        self.hearing.settled = false;
    }

    /// Words that nobody announced are an utterance, where the agent finds those.
    fn make_up_turn(&mut self, text: &str, effects: &mut Vec<Effect>) -> bool {
        if !self.by_agent() || text.trim().is_empty() {
            return false;
        }
        self.end_turn(effects);
        true
    }

    /// A response begins: what it answers is an item first.
    pub(super) fn user_first(&mut self, effects: &mut Vec<Effect>) {
        if !self.by_agent() {
            return;
        }
        let unheard = self.input.passed_ticks.saturating_sub(self.input.itemed_ticks) / TICKS_PER_MS;
        let explained = self.hearing.unanswered.is_some() || self.tools.pending || self.output.claim.is_some();
        let silent_agent = !self.hearing.tells && !explained && unheard >= MIN_COMMIT_MS;
        if self.hearing.turn.is_some() || silent_agent {
            self.end_turn(effects);
        }
    }

    /// A response has ended: of what it answered, the words that came in pieces are all there will be.
    pub(super) fn settle_heard(&mut self, effects: &mut Vec<Effect>) {
        while self.hearing.waiting.front().is_some_and(|spoken| spoken.answered && !spoken.told.is_empty()) {
            self.complete_oldest(None, effects);
            self.hearing.settled = true;
        }
    }

    /// The session ends: no more words will come.
    pub(super) fn complete_heard(&mut self, effects: &mut Vec<Effect>) {
        while self.hearing.waiting.front().is_some_and(|spoken| !spoken.told.is_empty()) {
            self.complete_oldest(None, effects);
        }
    }

    fn complete_oldest(&mut self, whole: Option<&str>, effects: &mut Vec<Effect>) {
        let Some(spoken) = self.hearing.waiting.pop_front() else { return };
        let transcript = whole.map_or(spoken.told, |whole| bounded(whole, MAX_TRANSCRIPT_BYTES).to_owned());
        self.items.change(&spoken.id, |item| {
            item.body = Body::Heard { transcript: Some(transcript.clone()) };
        });
        if !spoken.shown {
            return;
        }
        let completed = json!({
            "item_id": spoken.id, "content_index": 0, "transcript": transcript,
            "usage": {"type": "duration", "seconds": spoken.ms as f64 / 1000.0},
        });
        self.writer.event("conversation.item.input_audio_transcription.completed", completed, effects);
    }
}

/// As much of a text as fits into so many bytes.
fn bounded(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// Adds a piece whole or not at all, so that what is told stays what is kept.
fn append_bounded(text: &mut String, piece: &str) {
    if text.len() + piece.len() <= MAX_TRANSCRIPT_BYTES {
        text.push_str(piece);
    }
}
