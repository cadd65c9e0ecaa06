//! What the scripted agents have in mind: an answer for everything a user says, the same at every vendor, so
//! that one conversation can be held with each of them.
//!
//! A user who speaks says words of [`hearing`](super::hearing); the numbers from [`COMMANDS`] on stand for
//! the words below, so that speech can ask for everything that text can.
//!
//! | the user's words hold | the agent |
//! | --- | --- |
//! | `weather` | calls `get_weather` for Oslo, and tells what it gave |
//! | `both` | calls `get_weather` for Oslo and for Rome at once |
//! | `story` | speaks for ten seconds |
//! | `trouble` | fails at the response |
//! | `vanish` | breaks the connection |
//! | `nothing` | says nothing |
//! | anything else | repeats it |
//!
//! Instructions that hold `greet` make it speak first, where agents do, or when it is asked before anything else.
//! Those that hold `echo` make the agents of Deepgram and `ElevenLabs` send a frame of speech back for each frame of
//! audio, at once and without listening: load generators measure the way through with that.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

/// The number of the first word that stands for a command.
pub const COMMANDS: u32 = 2_000;
/// The commands, in the order of their numbers.
pub const NAMES: [&str; 6] = ["weather", "both", "story", "trouble", "vanish", "nothing"];

/// What an agent does, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Deed {
    /// Says this, for so long.
    Say { text: String, ms: u64 },
    /// Calls a function.
    Call { id: String, name: &'static str, arguments: Value },
    /// Fails at the response; the conversation goes on where the vendor's does.
    Fail,
    /// Breaks the connection.
    Vanish,
}

/// One agent.
#[derive(Debug, Default)]
pub(super) struct Mind {
    calls: u32,
    /// Calls whose outputs are awaited, with the city.
    awaited: Vec<(String, &'static str)>,
    told: Vec<String>,
}

impl Mind {
    /// What the agent does before anybody spoke.
    pub(super) fn begin(instructions: &str) -> Option<Deed> {
        instructions.contains("greet").then(|| say("Welcome."))
    }

    /// Whether the agent sends a frame back for each frame of audio.
    pub(super) fn echoes(instructions: &str) -> bool {
        instructions.contains("echo")
    }

    /// What the agent does when the user has said this. Words by number are understood first.
    pub(super) fn answer(&mut self, said: &str) -> Vec<Deed> {
        let said = understood(said);
        let has = |command: &str| said.contains(command);
        if has("both") {
            return vec![self.call("Oslo"), self.call("Rome")];
        }
        if has("weather") {
            return vec![self.call("Oslo")];
        }
        if has("story") {
            let text = (1..=40).map(|n| format!("Part {n}.")).collect::<Vec<_>>().join(" ");
            return vec![Deed::Say { text, ms: 10_000 }];
        }
        if has("trouble") {
            return vec![Deed::Fail];
        }
        if has("vanish") {
            return vec![Deed::Vanish];
        }
        if has("nothing") {
            return Vec::new();
        }
        vec![say(&format!("You said {said}."))]
    }

    /// What the agent does with the output of a call: nothing while others are awaited.
    ///
    /// # Errors
    /// There is no such call.
    pub(super) fn output(&mut self, call_id: &str, output: &str) -> Result<Vec<Deed>, String> {
        let at = self.awaited.iter().position(|(id, _)| id == call_id);
        let at = at.ok_or_else(|| format!("the output of {call_id:?}, which was not called"))?;
        let (_, city) = self.awaited.remove(at);
        self.told.push(format!("{city}: {output}."));
        if !self.awaited.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![say(&std::mem::take(&mut self.told).join(" "))])
    }

    /// Outputs are not awaited any more: the calls that are taken back.
    pub(super) fn withdraw(&mut self) -> Vec<String> {
        self.told.clear();
        std::mem::take(&mut self.awaited).into_iter().map(|(id, _)| id).collect()
    }

    /// Whether the output of a call is awaited.
    pub(super) fn waits(&self) -> bool {
        !self.awaited.is_empty()
    }

    fn call(&mut self, city: &'static str) -> Deed {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        self.awaited.push((id.clone(), city));
        Deed::Call { id, name: "get_weather", arguments: json!({"city": city}) }
    }
}

/// A sentence takes as long as it is: 50 ms a letter, and no less than half a second.
fn say(text: &str) -> Deed {
    let ms = (text.len() as u64 * 50).clamp(500, 3_000);
    Deed::Say { text: text.to_owned(), ms }
}

/// Words by number as the commands they stand for.
fn understood(said: &str) -> String {
    let command = |word: &str| {
        let number: u32 = word.strip_prefix('w')?.parse().ok()?;
        NAMES.get(usize::try_from(number.checked_sub(COMMANDS)?).ok()?).copied()
    };
    said.split(' ').map(|word| command(word).unwrap_or(word)).collect::<Vec<_>>().join(" ")
}

/// How long a piece of speech is.
pub(super) const PIECE_MS: u64 = 100;

/// An agent's voice: speech in pieces, a bounded time ahead of their playing.
#[derive(Debug)]
pub(super) struct Voice {
    rate: u32,
    /// How far speech runs ahead of its playing.
    ahead: Duration,
    /// When the speech began, what of it was given, and its length.
    speaking: Option<(Instant, u64, u64)>,
}

impl Voice {
    /// A voice of 16-bit samples.
    pub(super) fn new(rate: u32, ahead: Duration) -> Self {
        Self { rate, ahead, speaking: None }
    }

    /// Begins to speak.
    pub(super) fn speak(&mut self, ms: u64) {
        self.speaking = Some((Instant::now(), 0, ms));
    }

    /// Stops at once.
    pub(super) fn stop(&mut self) {
        self.speaking = None;
    }

    /// Whether there is more to come.
    pub(super) fn speaking(&self) -> bool {
        self.speaking.is_some()
    }

    /// When the next piece is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let (began, given, _) = self.speaking?;
        let at = began + Duration::from_millis(given);
        Some(at.checked_sub(self.ahead).map_or(began, |at| at.max(began)))
    }

    /// The next piece, when it is due: a tone of 400 Hz in 16-bit samples. The last one ends the speech.
    pub(super) fn piece(&mut self) -> Option<Vec<u8>> {
        if self.due()? > Instant::now() {
            return None;
        }
        let (began, given, length) = self.speaking?;
        let ms = PIECE_MS.min(length - given);
        let more = given + ms < length;
        self.speaking = more.then_some((began, given + ms, length));
        let rate = u64::from(self.rate);
        Some((given * rate / 1000..(given + ms) * rate / 1000).flat_map(|at| tone(at, rate)).collect())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the sine is between -1 and 1")]
fn tone(at: u64, rate: u64) -> [u8; 2] {
    let turn = (at * 400 % rate) as f64 / rate as f64;
    (((turn * std::f64::consts::TAU).sin() * 8_000.0) as i16).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_calls_are_answered_before_it_is_told() {
        let mut mind = Mind::default();
        let deeds = mind.answer("w2001");
        let ids: Vec<&str> = deeds
            .iter()
            .map(|deed| match deed {
                Deed::Call { id, .. } => id.as_str(),
                _ => "",
            })
            .collect();
        assert_eq!(ids, ["call-1", "call-2"]);
        assert_eq!(mind.output("call-2", "rain"), Ok(Vec::new()));
        let told = mind.output("call-1", "sun").unwrap();
        assert_eq!(told, vec![say("Rome: rain. Oslo: sun.")]);
        assert!(mind.output("call-1", "sun").is_err(), "it was answered");
    }
}
