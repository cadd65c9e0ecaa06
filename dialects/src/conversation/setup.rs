//! What a conversation is configured with, as the agents need it.

use std::collections::BTreeMap;

use domain::audio::RealtimeFormat;
use serde_json::Value;

use crate::live::settings::Turns;

/// The configuration of a conversation. The agent gets it when its socket is opened, and again whole when
/// the client has changed something.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// The provider's name of the model or agent.
    pub model: String,
    /// What the target says beside the model, such as `ElevenLabs`' `agent_id` or Deepgram's `think_model`.
    pub options: BTreeMap<String, String>,
    /// The system prompt; empty for none.
    pub instructions: String,
    /// The provider's name of the voice; `None` for its own choice. `OpenAI`'s names were mapped before.
    pub voice: Option<String>,
    /// 1 is the usual speed.
    pub speed: f64,
    /// Randomness, where the client names one (the older shapes only).
    pub temperature: Option<f64>,
    /// The most tokens of a response; `None` for no bound.
    pub max_output_tokens: Option<u32>,
    /// Speech, or text alone.
    pub output: Medium,
    /// The functions that the agent may call.
    pub tools: Vec<Tool>,
    /// Which of them it calls.
    pub tool_choice: ToolChoice,
    /// The audio that the client sends.
    pub input_format: RealtimeFormat,
    /// The audio that the client wants.
    pub output_format: RealtimeFormat,
    /// How turns are found; `None` leaves it to the client's commits.
    pub turns: Option<Turns>,
    /// A turn that ends is answered unasked.
    pub create_response: bool,
    /// Speech of the user stops the agent.
    pub interrupt_response: bool,
    /// The client wants to read what the user said.
    pub transcription: Option<Transcription>,
    /// What was said before the agent's socket was opened, oldest first.
    pub history: Vec<Message>,
}

/// How a response reaches the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// Speech with its transcript.
    Audio,
    /// Text alone.
    Text,
}

/// A function.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for; empty for nothing said.
    pub description: String,
    /// JSON schema of its arguments: an object.
    pub parameters: Value,
}

/// Which function is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the agent sees fit.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Function(String),
}

/// How the user's words are to be written down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcription {
    /// The languages that are spoken, the likeliest first.
    pub languages: Vec<String>,
    /// Words to listen for.
    pub keywords: Vec<String>,
    /// What it is about.
    pub prompt: Option<String>,
}

/// A message of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whose words they are.
    pub role: Role,
    /// The words.
    pub text: String,
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The operator, who tells the agent what to do.
    System,
    /// The user.
    User,
    /// The agent.
    Assistant,
}
