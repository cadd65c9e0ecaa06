//! What a vendor's voice agent promises: orders in, what it says out.
//!
//! Time is milliseconds of a clock that never goes back; its zero means nothing.

use domain::audio::RealtimeFormat;
use domain::usage::Usage;

use super::abilities::Abilities;
use super::setup::Setup;
use crate::contract::{Endpoint, UpstreamModel};
use crate::live::events::Refusal;
use crate::live::{Frame, LiveFault};

/// Opens conversations at a vendor.
pub trait AgentOpener: Sync {
    /// What the vendor can do, and what it is refused for by name.
    fn abilities(&self) -> &'static Abilities;

    /// How the vendor bills a conversation.
    fn billing(&self) -> Billing;

    /// The family whose price holds where the model has none of its own: of agents with names of their own.
    fn priced_as(&self, _model: &UpstreamModel) -> Option<&'static str> {
        None
    }

    /// The way to the vendor's socket for a configuration, and the audio on it.
    ///
    /// # Errors
    /// Names the field of the session that the vendor cannot serve.
    fn plan(&self, setup: &Setup) -> Result<Plan, Refusal>;

    /// The state machine for one socket of this configuration.
    fn agent(&self, setup: &Setup) -> Box<dyn Agent>;
}

/// How a vendor bills a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Billing {
    /// By the tokens that it reports with each response ([`Said::Usage`]).
    Tokens,
    /// By the time of the connection, in whole steps of so many milliseconds of the whole conversation.
    Connected {
        /// 1 for exact time.
        step_ms: u64,
    },
}

/// How a vendor's socket is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Where the socket is, or who tells.
    pub way: Way,
    /// The audio that the agent takes. The client's is converted to it.
    pub input: RealtimeFormat,
    /// The audio that the agent speaks. It is converted to the client's.
    pub output: RealtimeFormat,
}

/// The way to a socket.
#[derive(Debug, Clone, PartialEq)]
pub enum Way {
    /// Below the account's base URL, with its credential.
    Socket(Endpoint),
    /// A request below the account's base URL tells: its 2xx answer is read by [`Agent::invited`].
    Asked {
        /// Where.
        endpoint: Endpoint,
        /// A JSON body to POST; `None` for a GET.
        body: Option<Vec<u8>>,
    },
}

/// How the socket behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// The agent says when it is ready for audio and messages ([`Said::Ready`]), within this many
    /// milliseconds.
    pub greets_within_ms: u64,
    /// [`Agent::keep_alive`] is called after so long without anything sent.
    pub keep_alive_ms: u64,
    /// Audio is sent no faster than it plays, but for this many milliseconds; `None` for as it comes.
    pub pace_ahead_ms: Option<u64>,
    /// The agent's hearing runs on the audio that it gets: silence is sent where the client sends nothing.
    pub continuous: bool,
    /// Without turn detection of its own, an utterance is ended for the agent by this much silence behind
    /// it; `None` where [`Order::EndTurn`] does.
    pub turn_end_silence_ms: Option<u64>,
}

/// Something the client wants of the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Order<'a> {
    /// The configuration is this from now on.
    Configure(&'a Setup),
    /// The user wrote this. It is not answered before [`Order::Respond`].
    UserText(&'a str),
    /// The operator tells the agent this.
    SystemText(&'a str),
    /// The agent is to believe that it said this.
    AssistantText(&'a str),
    /// A function has given this.
    ToolOutput {
        /// The call, as [`Said::ToolCall`] told it.
        call_id: &'a str,
        /// The function.
        name: &'a str,
        /// What it gave; often JSON.
        output: &'a str,
    },
    /// The utterance is over (turns are the client's). An answer follows with [`Order::Respond`], at once.
    EndTurn,
    /// The agent shall answer now. It is told only where it would not do so by itself: it is not sent after
    /// an utterance that the agent finds the end of.
    Respond {
        /// What holds for this response beside the session's instructions.
        instructions: Option<&'a str>,
    },
    /// The response that is being made shall stop. What still comes of it is dropped by the session.
    Cancel,
    /// Of the agent's last message, so much was heard.
    Truncate {
        /// Milliseconds.
        heard_ms: u64,
    },
}

/// A frame from the vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// What an agent says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// It is ready. Formats are told where they are other than planned.
    Ready {
        /// The audio that it takes.
        input: Option<RealtimeFormat>,
        /// The audio that it speaks.
        output: Option<RealtimeFormat>,
    },
    /// The configuration of [`Order::Configure`] is in force.
    Configured,
    /// The user began to speak. It may be left out: the session makes it up where it is needed.
    SpeechStarted,
    /// The user stopped speaking, by the agent's own judgement: an utterance is complete.
    SpeechStopped,
    /// A piece of what the user said, to be appended.
    Heard(String),
    /// All that the user said in the utterance; what was told in pieces is replaced by it.
    HeardAll(String),
    /// A response begins. It may be left out before [`Said::Text`], [`Said::Audio`] and [`Said::ToolCall`].
    ResponseStarted,
    /// A piece of the response's text: the transcript of its speech, or the text itself.
    Text(String),
    /// All of the response's text so far, where pieces came before or may be missing: the rest is told as
    /// a piece.
    TextAll(String),
    /// What the agent had really said of an interrupted response.
    TextCorrected(String),
    /// Speech in the agent's output format; whole samples or not.
    Audio(Vec<u8>),
    /// A function is to be called.
    ToolCall {
        /// Its id.
        call_id: String,
        /// The function.
        name: String,
        /// Its arguments: a JSON object as text.
        arguments: String,
    },
    /// All calls of this round were told: the client may answer them.
    ToolCallsEnded,
    /// A call is not wanted any more; its output is not sent.
    ToolCallWithdrawn {
        /// Its id.
        call_id: String,
    },
    /// The response is complete.
    ResponseEnded,
    /// The response ended before it was complete.
    ResponseCut(Cut),
    /// The user broke in: what was not played is to be dropped, and the response is over.
    Interrupted,
    /// What was used beyond what was told before: with the end of the response where the vendor tells it by
    /// then, and later where it does not. It is billed either way.
    Usage(Usage),
    /// Something that the agent did not do, which does not end the conversation.
    Complaint(LiveFault),
    /// The vendor will end the connection by itself.
    Leaving {
        /// Milliseconds from now.
        within_ms: u64,
    },
    /// The agent has ended the conversation, and nothing is wrong.
    Ended,
    /// It cannot go on.
    Failed(LiveFault),
}

/// Why a response is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// The bound on its tokens was reached.
    MaxOutputTokens,
    /// A filter stopped it.
    ContentFilter,
    /// The vendor failed at it; the conversation goes on.
    Failed(LiveFault),
}

/// A vendor's language on one socket.
pub trait Agent: Send {
    /// How the socket behaves.
    fn habits(&self) -> Habits;

    /// Reads the answer of [`Way::Asked`]: the whole address of the socket, which is a secret.
    ///
    /// # Errors
    /// The answer has none.
    fn invited(&mut self, _body: &[u8]) -> Result<String, LiveFault> {
        Err(LiveFault::upstream("The provider was not to be asked for an address."))
    }

    /// The socket is open: what is said first.
    fn opened(&mut self, now: u64, out: &mut Vec<Frame>);

    /// Sends audio in the agent's input format: whole samples, never empty.
    fn audio(&mut self, bytes: &[u8], out: &mut Vec<Frame>);

    /// Carries out an order.
    ///
    /// # Errors
    /// What the agent cannot do, by name. Nothing was sent then.
    fn order(&mut self, order: Order<'_>, now: u64, out: &mut Vec<Frame>) -> Result<(), Refusal>;

    /// Reads a frame. What it does not know it ignores. Answers that the vendor wants at once go to `out`.
    fn read(&mut self, frame: Incoming<'_>, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>);

    /// When [`Self::tick`] is due.
    fn next_tick(&self) -> Option<u64> {
        None
    }

    /// Time has passed: what is known because nothing more came.
    fn tick(&mut self, _now: u64, _said: &mut Vec<Said>, _out: &mut Vec<Frame>) {}

    /// A sign of life.
    fn keep_alive(&mut self, out: &mut Vec<Frame>);

    /// The conversation is over.
    fn goodbye(&mut self, _out: &mut Vec<Frame>) {}

    /// How another socket goes on with this conversation, where the vendor allows it now. This agent speaks
    /// on it too: [`Self::opened`] follows, and [`Said::Ready`].
    fn resumed(&mut self, _setup: &Setup) -> Option<Plan> {
        None
    }

    /// What a close means; `None` for the end of the conversation, with nothing wrong.
    fn closed(&self, code: u16, reason: &str) -> Option<LiveFault>;
}
