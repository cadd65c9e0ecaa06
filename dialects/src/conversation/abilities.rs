//! What voice agents can do of what `OpenAI`'s clients ask: one table, by which requests are refused and
//! from which the documentation is made.

/// Something that a client of `OpenAI`'s may ask, beside talking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ability {
    /// `turn_detection: null`: the client commits.
    ManualTurns,
    /// `semantic_vad`.
    SemanticTurns,
    /// `threshold`, `prefix_padding_ms` and `silence_duration_ms` other than the usual.
    TurnTuning,
    /// `idle_timeout_ms`.
    IdleTimeout,
    /// `create_response: false`.
    NoAutomaticResponse,
    /// `interrupt_response: false`.
    NoInterruption,
    /// `transcription` of what the user says.
    InputTranscription,
    /// `output_modalities: ["text"]`.
    TextOutput,
    /// A voice by name.
    Voice,
    /// `speed` other than 1.
    Speed,
    /// `temperature`, in the older shapes.
    Temperature,
    /// `max_output_tokens`.
    MaxOutputTokens,
    /// `tools` of the type `function`.
    Tools,
    /// `tools` of the type `mcp`.
    McpTools,
    /// `tool_choice` other than `auto`.
    ToolChoice,
    /// `reasoning`.
    Reasoning,
    /// `prompt`: a stored prompt of `OpenAI`'s.
    StoredPrompt,
    /// `include` of log probabilities.
    Logprobs,
    /// Later `instructions`.
    ChangeInstructions,
    /// Later `tools` or `tool_choice`.
    ChangeTools,
    /// A later voice or `speed`.
    ChangeVoice,
    /// Later `turn_detection`.
    ChangeTurns,
    /// Later `output_modalities`.
    ChangeOutput,
    /// Later `transcription`.
    ChangeTranscription,
    /// `conversation.item.create`: a message of the user.
    UserText,
    /// ... with an image.
    UserImage,
    /// ... with audio.
    UserAudio,
    /// ... a message of the system.
    SystemText,
    /// ... a message of the assistant.
    AssistantText,
    /// ... the output of a function.
    ToolOutput,
    /// ... anywhere but at the end (`previous_item_id`).
    InsertItem,
    /// `conversation.item.delete`.
    DeleteItem,
    /// `conversation.item.truncate`.
    Truncate,
    /// `response.create` with nothing new said.
    Respond,
    /// `response.create` with `instructions`.
    ResponseInstructions,
    /// `response.create` with `output_modalities`, `audio`, `tools`, `tool_choice` or `max_output_tokens`
    /// other than the session's.
    ResponseSettings,
    /// `response.create` with `conversation: "none"` or `input`.
    OutOfBand,
    /// `response.cancel`.
    Cancel,
}

/// How it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// The vendor does it.
    Native,
    /// It is done in another way, which this sentence tells.
    Emulated(&'static str),
    /// It changes nothing, and is shown so in `session.updated`; this sentence tells why that does no harm.
    Ignored(&'static str),
    /// An `error` event names it, with this reason.
    Refused(&'static str),
}

/// What a vendor's agents can do.
#[derive(Debug)]
pub struct Abilities {
    /// The vendor, as it writes itself.
    pub vendor: &'static str,
    /// One entry for every [`Ability`], in order.
    pub table: &'static [(Ability, Support)],
}

impl Abilities {
    /// How something is done. What the table does not tell is refused.
    #[must_use]
    pub fn of(&self, ability: Ability) -> Support {
        let found = self.table.iter().find(|(known, _)| *known == ability);
        found.map_or(Support::Refused("the provider has nothing like it"), |(_, support)| *support)
    }
}
