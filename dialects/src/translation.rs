//! A provider with a language of its own behind a session in `OpenAI`'s words: what the owner of the sockets
//! and of the clock needs of a translator.

use crate::contract::Endpoint;
use crate::conversation::agent::Incoming;
use crate::live::{Frame, LiveFault};

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this event to the client.
    ToClient(String),
    /// Ask the provider this; [`Translation::answered`] or [`Translation::refused`] follows.
    Ask {
        /// Where.
        endpoint: Endpoint,
        /// A JSON body to POST; `None` for a GET.
        body: Option<Vec<u8>>,
    },
    /// Open the provider's socket; [`Translation::opened`] or [`Translation::refused`] follows.
    Open(Endpoint),
    /// Open the socket at this address, which the provider has told and which is a credential itself.
    Join(String),
    /// Send this on the provider's socket.
    ToVendor(Frame),
    /// Leave the provider's socket.
    Leave,
    /// The session is over: close with this code and reason.
    End(u16, String),
}

/// What a provider has had and given so far; each grows only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Milliseconds that are billed: of audio that the provider was sent, or of connection.
    pub billed_ms: u64,
    /// What the configuration costs beside, in percent of the model's price.
    pub surcharge_percent: u64,
    /// Bytes of text that the provider has given for completed items.
    pub transcript_bytes: u64,
}

/// One session. Times are milliseconds since it began.
pub trait Translation: Send {
    /// The session has begun.
    fn start(&mut self, effects: &mut Vec<Effect>);

    /// An event from the client.
    fn client(&mut self, text: &str, now: u64, effects: &mut Vec<Effect>);

    /// Whether the client may go on; otherwise its next event is left waiting.
    fn wants_client(&self) -> bool;

    /// Whether [`Self::work`] has something to do.
    fn busy(&self) -> bool;

    /// Goes on with something long.
    fn work(&mut self, now: u64, effects: &mut Vec<Effect>);

    /// The 2xx answer to [`Effect::Ask`].
    fn answered(&mut self, body: &[u8], now: u64, effects: &mut Vec<Effect>);

    /// The provider's socket is open.
    fn opened(&mut self, now: u64, effects: &mut Vec<Effect>);

    /// It could not be asked or opened. `again` says whether another try may succeed.
    fn refused(&mut self, fault: &LiveFault, again: bool, now: u64, effects: &mut Vec<Effect>);

    /// The provider's socket is closed.
    fn lost(&mut self, code: u16, reason: &str, now: u64, effects: &mut Vec<Effect>);

    /// A frame from the provider.
    fn vendor(&mut self, frame: Incoming<'_>, now: u64, effects: &mut Vec<Effect>);

    /// When [`Self::tick`] is due.
    fn next_tick(&self) -> Option<u64>;

    /// Time has passed.
    fn tick(&mut self, now: u64, effects: &mut Vec<Effect>);

    /// The client is gone: the provider is told, and nobody waits for last results.
    fn finish(&mut self, effects: &mut Vec<Effect>);

    /// What is billed so far.
    fn progress(&self, now: u64) -> Progress;
}
