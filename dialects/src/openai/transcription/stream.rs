//! Transcripts as server-sent events: read while they are forwarded, and written where a provider
//! cannot stream.

use std::borrow::Cow;

use domain::transcription::Transcript;
use domain::usage::Usage;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::openai::usage;
use crate::sse::{Event, Splitter, StreamEnd, write_event};

/// Listens to a stream of transcript events while the caller forwards the same bytes.
#[derive(Debug, Default)]
pub struct TranscriptSse {
    splitter: Splitter,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    usage: Option<Usage>,
    done: bool,
    unreadable: bool,
    deltas: u64,
}

#[derive(Deserialize)]
struct DoneEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    usage: Option<Value>,
}

impl TranscriptSse {
    /// A listener for one answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.state.unreadable {
            return;
        }
        let state = &mut self.state;
        let fed = self.splitter.feed(bytes, |event| {
            state.take(event);
            Ok(())
        });
        self.state.unreadable = fed.is_err();
    }

    /// Usage, once the provider has told it.
    #[must_use]
    pub fn reported(&self) -> Option<Usage> {
        self.state.usage
    }

    /// Events before the last: about as many as text tokens that were delivered.
    #[must_use]
    pub fn deltas(&self) -> u64 {
        self.state.deltas
    }

    /// The stream ended: whether `transcript.text.done` came, and the usage in it.
    pub fn finish(&mut self) -> StreamEnd {
        let state = &mut self.state;
        let last = self.splitter.finish(|event| {
            state.take(event);
            Ok(())
        });
        StreamEnd { complete: last.is_ok() && self.state.done, usage: self.state.usage }
    }
}

impl State {
    fn take(&mut self, event: &Event<'_>) {
        let Some(data) = event.data.as_deref() else { return };
        if memchr::memmem::find(data, b"transcript.text.done").is_none() {
            self.deltas += 1;
            return;
        }
        let Ok(event) = serde_json::from_slice::<DoneEvent<'_>>(data) else { return };
        if event.kind.as_deref() == Some("transcript.text.done") {
            self.done = true;
            self.usage = event.usage.as_ref().and_then(usage::transcript).or(self.usage);
        }
    }
}

/// The events of a finished transcript, as a provider that streams would have sent them at the end.
#[must_use]
pub fn emulate(transcript: &Transcript, diarized: bool, usage: Option<&Value>) -> Vec<u8> {
    let mut out = Vec::new();
    write_event(&mut out, json!({ "type": "transcript.text.delta", "delta": transcript.text }).to_string().as_bytes());
    for segment in transcript.segments.iter().filter(|_| diarized) {
        let event = json!({
            "type": "transcript.text.segment",
            "id": format!("seg_{:03}", segment.id + 1),
            "start": segment.start,
            "end": segment.end,
            "text": segment.text,
            "speaker": segment.speaker,
        });
        write_event(&mut out, event.to_string().as_bytes());
    }
    let mut done = json!({ "type": "transcript.text.done", "text": transcript.text });
    if let (Some(usage), Some(done)) = (usage, done.as_object_mut()) {
        done.insert("usage".to_owned(), usage.clone());
    }
    write_event(&mut out, done.to_string().as_bytes());
    out
}
