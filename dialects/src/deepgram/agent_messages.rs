//! What Deepgram's voice agent says in text frames, and what its faults mean.
//!
//! Source: Deepgram's `AsyncAPI` document, its pages on errors and warnings, and SDK 7.17.0, read
//! 2026-11-21.

use serde::Deserialize;

use crate::live::LiveFault;

/// A message, as far as it is of use. Latencies, thoughts and history are not, and new types may come.
#[derive(Deserialize)]
#[serde(tag = "type")]
pub(super) enum Message {
    /// The socket is open.
    Welcome,
    /// The configuration is in force.
    SettingsApplied,
    /// So is a part of it that was replaced.
    ThinkUpdated,
    /// So is a part of it that was replaced.
    SpeakUpdated,
    /// So is a part of it that was replaced.
    ListenUpdated,
    /// Whatever plays is to be dropped.
    UserStartedSpeaking,
    /// What was said: a whole turn of the user, a sentence of the agent.
    ConversationText {
        #[serde(default)]
        role: String,
        #[serde(default)]
        content: String,
    },
    /// All audio of an answer was sent, which does not mean that it was played.
    AgentAudioDone,
    /// Functions are to be called.
    FunctionCallRequest {
        #[serde(default)]
        functions: Vec<Call>,
    },
    /// Calls whose outputs nobody waits for any more.
    FunctionCallCancelled {
        #[serde(default)]
        functions: Vec<Call>,
    },
    /// What was to be said in somebody's name was not.
    InjectionRefused { message: Option<String> },
    /// Something is wrong, and the conversation goes on.
    Warning(Trouble),
    /// The conversation is over.
    Error(Trouble),
    #[serde(other)]
    Other,
}

/// A function that is called.
#[derive(Deserialize)]
pub(super) struct Call {
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) arguments: String,
    /// Whether the client calls it. The gateway names no functions that Deepgram would call.
    #[serde(default = "yes")]
    pub(super) client_side: bool,
}

fn yes() -> bool {
    true
}

/// What is wrong.
#[derive(Deserialize)]
pub(super) struct Trouble {
    #[serde(default)]
    code: String,
    description: Option<String>,
    /// Where some messages have the description.
    message: Option<String>,
}

impl Trouble {
    /// What ends a conversation.
    pub(super) fn fault(&self) -> LiveFault {
        match self.code.as_str() {
            // What the client or the target has asked for.
            "INVALID_SETTINGS" | "USER_AUDIO_FORMAT" | "NON_EXISTENT_FUNCTION_CALLED" => {
                LiveFault::invalid(self.words())
            }
            "TOO_MANY_REQUESTS" => LiveFault::limited(self.words()),
            // Deepgram's own trouble, and what only the gateway can have done wrong.
            _ => LiveFault::upstream(self.words()),
        }
    }

    /// A warning that the user must know of, since an answer or the configuration is not what it should be.
    /// The others tell of delays, of Deepgram's own additions, and of messages that are not sent from here.
    pub(super) fn complaint(&self) -> Option<LiveFault> {
        match self.code.as_str() {
            "PROMPT_TOO_LONG" => Some(LiveFault::invalid(self.words())),
            "THINK_REQUEST_FAILED"
            | "SPEAK_REQUEST_FAILED"
            | "FUNCTION_CALL_FAILED"
            | "GPT_4O_STREAM_END_ERROR"
            | "FORCE_END_TURN_UNSUPPORTED" => Some(LiveFault::upstream(self.words())),
            _ => None,
        }
    }

    fn words(&self) -> String {
        let description = self.description.as_deref().or(self.message.as_deref()).unwrap_or("no description");
        format!("Deepgram: {}: {description}", if self.code.is_empty() { "unknown" } else { &self.code })
    }
}
