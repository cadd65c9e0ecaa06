//! An in-process server of `OpenAI`'s GA Realtime transcription sessions over local recognition
//! (platform.openai.com/docs/guides/realtime-transcription, read 2026-11-21). Events are JSON
//! texts in both directions, as they would be on a WebSocket.

mod buffer;
mod events;
mod narrowband;
mod session;
#[cfg(test)]
mod tests;

use tokio::sync::mpsc;

pub use self::buffer::{Cut, InputBuffer};
use self::session::Session;
use crate::LocalSpeech;

/// Events waiting in either direction; a full channel holds the sender back.
const QUEUE: usize = 64;

/// Both ends of a session, as the client holds them. Dropping `to` ends the session once what was
/// committed is transcribed; dropping `from` ends it and its recognition at once.
#[derive(Debug)]
pub struct LocalSession {
    /// Client events, one JSON text each.
    pub to: mpsc::Sender<String>,
    /// Server events, one JSON text each. Closed after the last one.
    pub from: mpsc::Receiver<String>,
}

pub(crate) fn open(speech: LocalSpeech, model: String, id_prefix: &str) -> LocalSession {
    let (to, client_events) = mpsc::channel(QUEUE);
    let (server_events, from) = mpsc::channel(QUEUE);
    let session = Session::new(speech, model, id_prefix.to_owned(), server_events);
    drop(tokio::spawn(session.run(client_events)));
    LocalSession { to, from }
}
