//! What one of `ElevenLabs`' agents hears: the user's speech by its score and its transcripts.
//!
//! An utterance is over when its transcript comes, which is the agent's own judgement; a score that stays
//! low only ends one that is never transcribed.

use crate::conversation::agent::Said;
use crate::live::Transcript;

/// From here on it is speech.
const SPEECH: f64 = 0.5;
/// An utterance that is quiet for so long and not transcribed is over.
const QUIET_MS: u64 = 1_500;
/// ... where nothing tells of quiet but that no words follow.
const WORDLESS_MS: u64 = 5_000;

/// The user's side of a conversation.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    speaking: bool,
    /// When the utterance is over without a transcript.
    over_at: Option<u64>,
    /// The utterance is over without its transcript.
    owed: bool,
    /// The id of the last transcript.
    transcribed: Option<u64>,
    /// What may still change.
    tentative: Transcript,
}

impl Hearing {
    /// Whether somebody speaks.
    pub(super) fn speaking(&self) -> bool {
        self.speaking
    }

    /// How likely it is that somebody speaks.
    pub(super) fn score(&mut self, score: f64, now: u64, said: &mut Vec<Said>) {
        if score >= SPEECH {
            self.start(said);
            self.over_at = None;
        } else if self.speaking {
            let over_at = now.saturating_add(QUIET_MS);
            self.over_at = Some(self.over_at.map_or(over_at, |known| known.min(over_at)));
        }
        self.tick(now, said);
    }

    /// A transcript that may change: what two of them agree on is told.
    pub(super) fn tentative(&mut self, text: &str, id: Option<u64>, now: u64, said: &mut Vec<Said>) {
        // One may come behind what it was tentative for.
        let late = !self.speaking && id.is_some() && id == self.transcribed;
        if text.trim().is_empty() || late {
            return;
        }
        self.start(said);
        self.over_at = Some(now.saturating_add(WORDLESS_MS));
        said.extend(self.tentative.interim(text).map(Said::Heard));
    }

    /// The transcript of the utterance.
    pub(super) fn transcript(&mut self, text: &str, id: Option<u64>, said: &mut Vec<Said>) {
        // Where a silence makes the agent go on, dots stand for what the user has said.
        let text = if text.contains(char::is_alphanumeric) { text } else { "" };
        if text.is_empty() && !self.speaking && !self.owed {
            return;
        }
        if !self.owed {
            self.start(said);
            said.push(Said::SpeechStopped);
        }
        said.push(Said::HeardAll(text.to_owned()));
        *self = Self { transcribed: id, ..Self::default() };
    }

    /// When a quiet utterance is over.
    pub(super) fn due(&self) -> Option<u64> {
        self.over_at
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: u64, said: &mut Vec<Said>) {
        if self.due().is_some_and(|due| due <= now) {
            said.push(Said::SpeechStopped);
            (self.speaking, self.over_at, self.owed) = (false, None, true);
        }
    }

    fn start(&mut self, said: &mut Vec<Said>) {
        if !std::mem::replace(&mut self.speaking, true) {
            self.owed = false;
            self.tentative = Transcript::default();
            said.push(Said::SpeechStarted);
        }
    }
}
