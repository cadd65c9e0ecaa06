//! What is refused of what a client asks: the vendor's table of abilities, put into words.

use super::abilities::{Abilities, Ability, Support};
use super::settings::Settings;
use crate::live::events::Refusal;
use crate::live::settings::Turns;

/// The table of one vendor, for one model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate<'a> {
    pub(super) abilities: &'static Abilities,
    pub(super) model: &'a str,
}

impl Gate<'_> {
    /// Whether something is done; `false` where it changes nothing.
    pub(super) fn lets(&self, ability: Ability, field: &'static str) -> Result<bool, Refusal> {
        match self.abilities.of(ability) {
            Support::Native | Support::Emulated(_) => Ok(true),
            Support::Ignored(_) => Ok(false),
            Support::Refused(why) => Err(self.refusal(field, why)),
        }
    }

    /// Whether it is refused by the table.
    pub(super) fn refuses(&self, ability: Ability) -> bool {
        matches!(self.abilities.of(ability), Support::Refused(_))
    }

    /// The refusal of a field, with its reason.
    pub(super) fn refusal(&self, field: &'static str, why: &str) -> Refusal {
        let (vendor, model, why) = (self.abilities.vendor, self.model, why.trim_end_matches('.'));
        let message = format!("'{field}' is not supported as given by {vendor} with the model '{model}': {why}.");
        Refusal::new("unsupported_value", message, Some(field))
    }

    /// Checks what has changed from `now` to `next`, where `opened` says that the agent has its configuration.
    /// What changes nothing is put back.
    pub(super) fn admit(&self, now: &Settings, next: &mut Settings, opened: bool) -> Result<(), Refusal> {
        let change = |ability: Ability, base: Option<Ability>, field: &'static str| -> Result<bool, Refusal> {
            let based = base.map_or(Ok(true), |base| self.lets(base, field))?;
            Ok(based && (!opened || self.lets(ability, field)?))
        };
        if next.instructions != now.instructions && !change(Ability::ChangeInstructions, None, "session.instructions")?
        {
            next.instructions.clone_from(&now.instructions);
        }
        if next.tools != now.tools {
            let base = (!next.tools.is_empty()).then_some(Ability::Tools);
            if !change(Ability::ChangeTools, base, "session.tools")? {
                next.tools.clone_from(&now.tools);
            }
        }
        if next.tool_choice != now.tool_choice {
            let base = (next.tool_choice != super::setup::ToolChoice::Auto).then_some(Ability::ToolChoice);
            if !change(Ability::ChangeTools, base, "session.tool_choice")? {
                next.tool_choice.clone_from(&now.tool_choice);
            }
        }
        if next.voice != now.voice {
            let base = next.named_voice.then_some(Ability::Voice);
            if !change(Ability::ChangeVoice, base, "session.audio.output.voice")? {
                next.voice.clone_from(&now.voice);
            }
        }
        if next.speed.to_bits() != now.speed.to_bits() {
            let base = ((next.speed - 1.0).abs() > f64::EPSILON).then_some(Ability::Speed);
            if !change(Ability::ChangeVoice, base, "session.audio.output.speed")? {
                next.speed = now.speed;
            }
        }
        if next.output != now.output {
            let base = (next.output == super::setup::Medium::Text).then_some(Ability::TextOutput);
            if !change(Ability::ChangeOutput, base, "session.output_modalities")? {
                next.output = now.output;
            }
        }
        if next.temperature != now.temperature && !self.lets(Ability::Temperature, "session.temperature")? {
            next.temperature = now.temperature;
        }
        if next.max_output_tokens != now.max_output_tokens
            && !self.lets(Ability::MaxOutputTokens, "session.max_output_tokens")?
        {
            next.max_output_tokens = now.max_output_tokens;
        }
        self.admit_turns(now, next, opened)?;
        self.admit_transcription(now, next, opened)
    }

    fn admit_turns(&self, now: &Settings, next: &mut Settings, opened: bool) -> Result<(), Refusal> {
        const FIELD: &str = "session.audio.input.turn_detection";
        if next.turns == now.turns {
            return Ok(());
        }
        let Some(mut wanted) = next.turns else {
            let done =
                self.lets(Ability::ManualTurns, FIELD)? && (!opened || self.lets(Ability::ChangeTurns, FIELD)?);
            if !done {
                next.turns = now.turns;
            }
            return Ok(());
        };
        let usual = super::settings::usual_turns();
        match wanted.kind {
            Turns::Meaning(_) if !self.lets(Ability::SemanticTurns, FIELD)? => wanted.kind = usual.kind,
            Turns::Silence { .. } if !is_usual(wanted.kind) && !self.lets(Ability::TurnTuning, FIELD)? => {
                wanted.kind = usual.kind;
            }
            _ => {}
        }
        if wanted.idle_timeout_ms.is_some()
            && !self.lets(Ability::IdleTimeout, "session.audio.input.turn_detection.idle_timeout_ms")?
        {
            wanted.idle_timeout_ms = None;
        }
        let field = "session.audio.input.turn_detection.create_response";
        wanted.create_response |= !wanted.create_response && !self.lets(Ability::NoAutomaticResponse, field)?;
        let field = "session.audio.input.turn_detection.interrupt_response";
        wanted.interrupt_response |= !wanted.interrupt_response && !self.lets(Ability::NoInterruption, field)?;
        next.turns = Some(wanted);
        // A change that comes to nothing is none.
        let same = now.turns.is_some_and(|now| {
            let both_usual = is_usual(now.kind) && is_usual(wanted.kind);
            now == wanted || (both_usual && now == super::settings::TurnDetection { kind: now.kind, ..wanted })
        });
        if opened && !same && !self.lets(Ability::ChangeTurns, FIELD)? {
            next.turns = now.turns;
        }
        Ok(())
    }

    /// That nobody reads what the user said is nothing for the agent.
    fn admit_transcription(&self, now: &Settings, next: &mut Settings, opened: bool) -> Result<(), Refusal> {
        const FIELD: &str = "session.audio.input.transcription";
        let (Some(wanted), before) = (&next.transcription, &now.transcription) else { return Ok(()) };
        if before.as_ref() == Some(wanted) {
            return Ok(());
        }
        let done = self.lets(Ability::InputTranscription, FIELD)?;
        let heard = now.agent_transcribes.as_ref();
        let same = heard == Some(&wanted.words);
        if !done || (opened && !same && !self.lets(Ability::ChangeTranscription, FIELD)?) {
            next.transcription.clone_from(before);
        }
        Ok(())
    }
}

/// Values that clients send because `OpenAI` shows or documents them.
fn is_usual(turns: Turns) -> bool {
    matches!(turns, Turns::Silence { threshold, prefix_padding_ms: 300, silence_duration_ms: 200 | 500 }
        if (threshold - 0.5).abs() < f64::EPSILON)
}
