//! What Gemini Live can do of what `OpenAI`'s clients ask.
//!
//! Source: the Gemini Live API reference, read 2026-11-21.

use crate::conversation::abilities::{Abilities, Ability, Support};

use Support::{Emulated, Native, Refused};

pub(super) static ABILITIES: Abilities = Abilities { vendor: "Gemini Live", table: TABLE };

const TABLE: &[(Ability, Support)] = &[
    (Ability::ManualTurns, Native),
    (
        Ability::SemanticTurns,
        Emulated("Gemini finds turns in a way of its own; the eagerness chooses how soon it takes a pause for the end"),
    ),
    (
        Ability::TurnTuning,
        Emulated("the durations are passed on; the threshold chooses one of the two sensitivities that there are"),
    ),
    (Ability::IdleTimeout, Refused("Gemini does not speak up because nobody else does")),
    (
        Ability::NoAutomaticResponse,
        Refused("Gemini answers every turn that it finds the end of; `turn_detection: null` leaves that to the client"),
    ),
    (Ability::NoInterruption, Native),
    (Ability::InputTranscription, Native),
    (
        Ability::TextOutput,
        Emulated("Gemini Live only speaks: its speech is made and billed, and the transcript of it passed on"),
    ),
    (Ability::Voice, Native),
    (Ability::Speed, Refused("Gemini Live has no speed; the instructions can ask for slow or fast speech")),
    (Ability::Temperature, Native),
    (Ability::MaxOutputTokens, Native),
    (Ability::Tools, Native),
    (Ability::McpTools, Refused("Gemini Live calls functions alone")),
    (Ability::ToolChoice, Emulated("`none` hides the functions from Gemini; to require a call is refused")),
    (Ability::Reasoning, Refused("the target's option `thinking_level` decides how much Gemini thinks")),
    (Ability::StoredPrompt, Refused("stored prompts are kept at OpenAI, where Gemini cannot read them")),
    (Ability::Logprobs, Refused("Gemini tells no probabilities of its transcripts")),
    (Ability::ChangeInstructions, Native),
    (Ability::ChangeTools, Native),
    (Ability::ChangeVoice, Emulated(RENEWED)),
    (Ability::ChangeTurns, Emulated(RENEWED)),
    (Ability::ChangeOutput, Emulated("Gemini speaks in either case; of `text` the transcript is passed on alone")),
    (Ability::ChangeTranscription, Emulated(RENEWED)),
    (Ability::UserText, Native),
    (Ability::UserImage, Refused("Gemini Live sees pictures as frames of a video alone, which are not translated")),
    (Ability::UserAudio, Refused("Gemini hears what goes through the input audio buffer alone")),
    (
        Ability::SystemText,
        Emulated("it is told in the user's place: a conversation with Gemini has no messages of the system"),
    ),
    (Ability::AssistantText, Native),
    (Ability::ToolOutput, Native),
    (Ability::InsertItem, Refused("Gemini appends to its conversation alone")),
    (Ability::DeleteItem, Refused("Gemini forgets nothing that it was told")),
    (
        Ability::Truncate,
        Emulated("Gemini keeps of an answer what it takes for played when it is interrupted, by its own clock"),
    ),
    (Ability::Respond, Emulated("a full stop is said in the user's place, since Gemini answers the user alone")),
    (
        Ability::ResponseInstructions,
        Emulated("they stand in for the session's until the answer is over; models before Gemini 3.8 refuse them"),
    ),
    (Ability::ResponseSettings, Refused("Gemini's settings hold for the whole session")),
    (Ability::OutOfBand, Refused("Gemini has one conversation in a session, and answers in it")),
    (
        Ability::Cancel,
        Emulated("an empty message makes Gemini stop; models before 3.8 finish an answer that nobody hears"),
    ),
];

/// How a setting changes that Gemini reads once.
const RENEWED: &str = "between two turns the connection is replaced by one that goes on with the conversation";
