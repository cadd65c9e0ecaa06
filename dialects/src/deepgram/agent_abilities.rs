//! What Deepgram's voice agent can do of what `OpenAI`'s clients ask.
//!
//! Source: Deepgram's `AsyncAPI` document and its pages on the agent's messages, read 2026-11-21.

use crate::conversation::abilities::Ability as A;
use crate::conversation::abilities::Support::{Emulated, Native, Refused};
use crate::conversation::abilities::{Abilities, Support};

pub(super) static ABILITIES: Abilities = Abilities { vendor: "Deepgram", table: TABLE };

const TABLE: &[(A, Support)] = &[
    (
        A::ManualTurns,
        Emulated(
            "silence behind the audio ends the turn, or a message where the target says `force_end_turn: \"true\"`",
        ),
    ),
    (A::SemanticTurns, Native),
    (
        A::TurnTuning,
        Emulated(
            "`silence_duration_ms` is the longest silence within a turn, from 500 to 60000; the model may find \
             the end before, and `threshold` and `prefix_padding_ms` change nothing",
        ),
    ),
    (A::IdleTimeout, Refused("the agent waits for the user as long as the connection lasts")),
    (A::NoAutomaticResponse, Refused("the agent answers every turn of the user")),
    (A::NoInterruption, Refused("the agent always stops when the user speaks")),
    (A::InputTranscription, Native),
    (A::TextOutput, Emulated("the agent speaks all the same; its words are passed on and its speech is not")),
    (A::Voice, Native),
    (A::Speed, Native),
    (A::Temperature, Native),
    (A::MaxOutputTokens, Refused("the agent has no bound on the length of an answer")),
    (A::Tools, Native),
    (A::McpTools, Refused("the agent calls functions, and no MCP servers")),
    (
        A::ToolChoice,
        Emulated("with `none` the agent is told of no function; `required` and a function by name are refused"),
    ),
    (A::Reasoning, Refused("the target says with `think_reasoning` how much its language model reasons")),
    (A::StoredPrompt, Refused("a stored prompt is OpenAI's own")),
    (A::Logprobs, Refused("the agent tells no probabilities")),
    (A::ChangeInstructions, Native),
    (A::ChangeTools, Native),
    (A::ChangeVoice, Native),
    (A::ChangeTurns, Native),
    (A::ChangeOutput, Emulated("the agent speaks all the same; its speech is passed on or not")),
    (A::ChangeTranscription, Emulated("keywords change, and languages as far as the same model knows them")),
    (A::UserText, Native),
    (A::UserImage, Refused("the agent sees no images")),
    (A::UserAudio, Refused("the agent hears audio as it is spoken, by `input_audio_buffer.append`")),
    (A::SystemText, Emulated("it is added to the agent's prompt")),
    (A::AssistantText, Refused("once it runs, the agent would speak it")),
    (A::ToolOutput, Native),
    (A::InsertItem, Refused("the agent's memory only grows at its end")),
    (A::DeleteItem, Refused("the agent cannot be made to forget")),
    (A::Truncate, Emulated("the item is cut for the client; the agent is not told how much of it was played")),
    (A::Respond, Emulated("the agent answers the user only, so it is told in the user's name to go on")),
    (
        A::ResponseInstructions,
        Emulated(
            "they are told in the user's name, behind what the user wrote; after speech or a function's output \
             they are added to the agent's prompt, where they stay",
        ),
    ),
    (A::ResponseSettings, Refused("the agent has one configuration for all its answers")),
    (A::OutOfBand, Refused("the agent has one conversation")),
    (A::Cancel, Emulated("the agent cannot be told to stop; what still comes of the answer is dropped")),
];
