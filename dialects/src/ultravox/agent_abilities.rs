//! What a call at Ultravox can do of what clients of `OpenAI` ask.
//!
//! Source: Ultravox's `OpenAPI` document, data-message reference and client SDKs, read 2026-11-21.

use crate::conversation::abilities::{Abilities, Ability, Support};

use Support::{Emulated, Ignored, Native, Refused};

pub(super) static ABILITIES: Abilities = Abilities { vendor: "Ultravox", table: TABLE };

const TABLE: &[(Ability, Support)] = &[
    (
        Ability::ManualTurns,
        Emulated(
            "A committed turn is followed by silence, which the agent takes for its end; a pause of more than 0.7 \
             seconds inside a turn ends it too",
        ),
    ),
    (
        Ability::SemanticTurns,
        Emulated("Silence ends a turn: 0.256 seconds for high eagerness, 0.768 for low, 0.384 between"),
    ),
    (
        Ability::TurnTuning,
        Emulated(
            "`silence_duration_ms` is rounded to 32 ms; a `threshold` above the usual is scaled to the agent's own; \
             `prefix_padding_ms` changes nothing, since the agent hears everything",
        ),
    ),
    (Ability::IdleTimeout, Refused("the agent does not speak because nobody else does")),
    (Ability::NoAutomaticResponse, Refused("the agent answers every turn")),
    (Ability::NoInterruption, Refused("speech of the user always stops the agent")),
    (Ability::InputTranscription, Native),
    (Ability::TextOutput, Native),
    (Ability::Voice, Native),
    (Ability::Speed, Refused("its own voices have one speed")),
    (Ability::Temperature, Emulated("It goes from 0 to 1 there: more than 1 is taken as 1")),
    (Ability::MaxOutputTokens, Refused("it has no bound on the length of a response")),
    (Ability::Tools, Native),
    (Ability::McpTools, Refused("the agent calls functions of the client only")),
    (
        Ability::ToolChoice,
        Emulated(
            "With `none` the agent gets no functions. It cannot be made to call one: all else but `auto` is refused",
        ),
    ),
    (Ability::Reasoning, Refused("its models have no setting for it")),
    (
        Ability::StoredPrompt,
        Refused("it has no prompts of OpenAI's; an agent of its own is named by the target's `agent_id`"),
    ),
    (Ability::Logprobs, Refused("it tells no probabilities")),
    (
        Ability::ChangeInstructions,
        Emulated("The first instructions stay, and the agent is told in a message that these hold from now on"),
    ),
    (Ability::ChangeTools, Refused("the functions of a call are fixed when it begins")),
    (Ability::ChangeVoice, Refused("the voice of a call is fixed when it begins")),
    (Ability::ChangeTurns, Refused("how a call finds turns is fixed when it begins")),
    (Ability::ChangeOutput, Native),
    (
        Ability::ChangeTranscription,
        Ignored(
            "The agent writes down whatever is said for the whole call, and it is shown or not; a language that is \
             named later is no hint any more",
        ),
    ),
    (Ability::UserText, Native),
    (Ability::UserImage, Refused("the agent takes speech and text")),
    (Ability::UserAudio, Refused("the agent hears the input buffer only")),
    (Ability::SystemText, Emulated("The agent is told it in a message that is marked as an instruction")),
    (
        Ability::AssistantText,
        Emulated("It is part of the history before the call begins; later the agent is told that it has said so"),
    ),
    (
        Ability::ToolOutput,
        Emulated("The agent goes on as soon as it has the outputs, whether a response is asked for or not"),
    ),
    (Ability::InsertItem, Refused("what is said is added at the end of a call")),
    (Ability::DeleteItem, Refused("the agent does not forget what was said in a call")),
    (
        Ability::Truncate,
        Ignored("The agent itself knows what was played when it is interrupted, and remembers no more than that"),
    ),
    (Ability::Respond, Emulated("Where nothing new was said, the agent is told in a message that it is its turn")),
    (Ability::ResponseInstructions, Emulated("The agent is told them in a message, which stays in the conversation")),
    (Ability::ResponseSettings, Refused("what a call was begun with holds for every response")),
    (Ability::OutOfBand, Refused("the agent has one conversation")),
    (
        Ability::Cancel,
        Emulated("An empty message interrupts the agent, and what still comes of its response is dropped"),
    ),
];
