//! What `ElevenLabs`' agents can do of what `OpenAI`'s clients ask.
//!
//! Source: `ElevenLabs`' `AsyncAPI` document of agents (2026-08-22) and API reference, read 2026-11-21.

use crate::conversation::abilities::Ability as A;
use crate::conversation::abilities::Support::{Emulated, Ignored, Native, Refused};
use crate::conversation::abilities::{Abilities, Ability, Support};

pub(super) static ABILITIES: Abilities = Abilities { vendor: "ElevenLabs", table: TABLE };

const TABLE: &[(Ability, Support)] = &[
    (
        A::ManualTurns,
        Emulated(
            "a commit is followed by the silence that ends a turn; the agent also answers pauses that are as long",
        ),
    ),
    (A::SemanticTurns, Emulated("the agent finds the end of a turn by a model of its own, as eager as it was made")),
    (A::TurnTuning, Ignored("the agent finds turns as it was made to, at least as well as by silence alone")),
    (A::IdleTimeout, Refused("how long an agent waits for the user is one of its own settings")),
    (A::NoAutomaticResponse, Refused("an agent answers every turn by itself")),
    (A::NoInterruption, Refused("whether speech interrupts an agent is one of its own settings")),
    (A::InputTranscription, Native),
    (A::TextOutput, Emulated("the whole conversation is held in text: the agent neither speaks nor hears")),
    (A::Voice, Native),
    (A::Speed, Native),
    (A::Temperature, Refused("the temperature is one of the agent's own settings")),
    (A::MaxOutputTokens, Refused("an agent's answers have no bound that a conversation could set")),
    (A::Tools, Emulated("the functions must be client tools of the agent; the session's are matched to them by name")),
    (A::McpTools, Refused("MCP servers are connected to the agent itself")),
    (A::ToolChoice, Refused("an agent calls its tools as it sees fit")),
    (A::Reasoning, Refused("how an agent reasons is one of its own settings")),
    (A::StoredPrompt, Refused("prompts that are stored at OpenAI are not there")),
    (A::Logprobs, Refused("transcripts come without log probabilities")),
    (A::ChangeInstructions, Emulated("the agent is told by a contextual update, which replaces the one before")),
    (
        A::ChangeTools,
        Emulated("the functions stay the agent's client tools; those that the session names are passed on"),
    ),
    (A::ChangeVoice, Refused("an agent keeps the voice that its conversation began with")),
    (
        A::ChangeTurns,
        Emulated("the agent's own detection stays, and commits are followed by silence where there is none"),
    ),
    (A::ChangeOutput, Refused("an agent's conversation stays in speech or in text, as it began")),
    (
        A::ChangeTranscription,
        Ignored("the agent transcribes all it hears; the language and words to listen for stay those of the beginning"),
    ),
    (A::UserText, Native),
    (A::UserImage, Refused("an agent sees only files that were uploaded to ElevenLabs")),
    (A::UserAudio, Refused("an agent takes audio only as it is spoken, not as a message")),
    (A::SystemText, Emulated("the agent is told by a contextual update")),
    (A::AssistantText, Emulated("a contextual update tells the agent that it said this")),
    (A::ToolOutput, Native),
    (A::InsertItem, Refused("messages are added at the end of an agent's conversation only")),
    (A::DeleteItem, Refused("an agent does not forget what was said")),
    (A::Truncate, Emulated("the item is shortened; the agent judges by itself what was heard when it is interrupted")),
    (A::Respond, Emulated("the agent is asked to go on by a message in the user's name")),
    (
        A::ResponseInstructions,
        Emulated("they are a contextual update before the answer, or where nothing was said, a message of the user"),
    ),
    (A::ResponseSettings, Refused("all answers of a conversation have the same settings")),
    (A::OutOfBand, Refused("an agent answers in its one conversation only")),
    (A::Cancel, Emulated("the rest of the answer is dropped; the agent believes that it was said")),
];
