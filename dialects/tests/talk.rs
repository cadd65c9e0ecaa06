//! A conversation with both of its sides in hand: a strict client, and whoever plays the vendor.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dialects::conversation::agent::{AgentOpener, Incoming};
use dialects::conversation::session::{ConversationSession, Target};
use dialects::live::{Frame, LiveFault, bytes_in};
use dialects::translation::{Effect, Translation};
use domain::audio::{PCM_24K, RealtimeFormat};
use serde_json::{Value, json};

use crate::live::Length;
use crate::strict::Strict;

/// A conversation whose socket opens as soon as it is wanted.
pub(crate) struct Talk {
    pub(crate) session: ConversationSession,
    pub(crate) strict: Strict,
    /// What the client was told.
    pub(crate) events: Vec<Value>,
    /// What happened, in order.
    pub(crate) lines: Vec<String>,
    /// What the vendor answers when it is asked for its address.
    pub(crate) invitation: Vec<u8>,
    /// There is a socket.
    pub(crate) open: bool,
    pub(crate) ended: bool,
    /// The next sockets cannot be opened.
    pub(crate) refusals: usize,
    format: RealtimeFormat,
    /// Bytes of binary frames that the vendor had.
    pub(crate) binary: usize,
}

impl Talk {
    pub(crate) fn new(opener: &'static dyn AgentOpener, target: Target) -> Self {
        let mut talk = Self {
            session: ConversationSession::new(opener, target, "t", Length::make).unwrap(),
            strict: Strict::default(),
            events: Vec::new(),
            lines: Vec::new(),
            invitation: Vec::new(),
            open: false,
            ended: false,
            refusals: 0,
            format: RealtimeFormat::Pcm16(PCM_24K),
            binary: 0,
        };
        talk.act(0, |session, _, effects| session.start(effects));
        talk
    }

    pub(crate) fn act(&mut self, now: u64, act: impl FnOnce(&mut ConversationSession, u64, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        act(&mut self.session, now, &mut effects);
        for effect in effects {
            self.carry_out(now, effect);
        }
    }

    fn carry_out(&mut self, now: u64, effect: Effect) {
        assert!(!self.ended || effect == Effect::Leave, "a session that has ended does nothing: {effect:?}");
        match effect {
            Effect::ToClient(text) => {
                let event: Value = serde_json::from_str(&text).unwrap();
                self.strict.read(&event);
                if let Some(kind) = event.pointer("/session/audio/input/format/type") {
                    self.format = match kind.as_str() {
                        Some("audio/pcmu") => RealtimeFormat::Pcmu,
                        Some("audio/pcma") => RealtimeFormat::Pcma,
                        _ => RealtimeFormat::Pcm16(PCM_24K),
                    };
                }
                self.lines.push(format!("{now} client <- {}", brief(&event)));
                self.events.push(event);
            }
            Effect::Ask { endpoint, body } => {
                self.lines.push(format!("{now} ask {} {} bytes", endpoint.path, body.map_or(0, |body| body.len())));
                let invitation = self.invitation.clone();
                self.act(now, |session, now, effects| session.answered(&invitation, now, effects));
            }
            Effect::Open(endpoint) => self.socket(now, &endpoint.path),
            Effect::Join(address) => self.socket(now, &address),
            Effect::ToVendor(frame) => {
                assert!(self.open, "a frame without a socket: {frame:?}");
                let frame = match frame {
                    Frame::Ping => "ping".to_owned(),
                    Frame::Text(text) => text,
                    Frame::Binary(bytes) => {
                        assert!(!bytes.is_empty());
                        self.binary += bytes.len();
                        format!("{} bytes", bytes.len())
                    }
                };
                self.lines.push(format!("{now} vendor <- {frame}"));
            }
            Effect::Leave => {
                self.open = false;
                self.lines.push(format!("{now} leave"));
            }
            Effect::End(code, reason) => {
                self.ended = true;
                self.strict.end();
                self.lines.push(format!("{now} end {code} {reason}"));
            }
        }
    }

    fn socket(&mut self, now: u64, address: &str) {
        assert!(!self.open, "one socket at a time");
        self.lines.push(format!("{now} open {address}"));
        if self.refusals > 0 {
            self.refusals -= 1;
            let fault = LiveFault::upstream("The provider cannot be reached.");
            return self.act(now, |session, now, effects| session.refused(&fault, true, now, effects));
        }
        self.open = true;
        self.act(now, |session, now, effects| session.opened(now, effects));
    }

    /// Lets time pass up to here.
    pub(crate) fn pass_time(&mut self, until: u64) {
        let mut ticks = 0;
        while let Some(due) = self.session.next_tick().filter(|due| *due <= until) {
            ticks += 1;
            assert!(ticks < 100_000, "the clock stands still at {due}");
            self.act(due, |session, now, effects| session.tick(now, effects));
        }
    }

    /// An event of the client.
    pub(crate) fn client(&mut self, now: u64, event: &Value) {
        self.raw(now, &event.to_string());
    }

    /// Whatever the client sends.
    pub(crate) fn raw(&mut self, now: u64, event: &str) {
        self.act(now, |session, now, effects| session.client(event, now, effects));
        while !self.ended && self.session.busy() {
            self.act(now, |session, now, effects| session.work(now, effects));
        }
    }

    /// The client appends so much audio.
    pub(crate) fn append(&mut self, now: u64, ms: u64) {
        let audio = STANDARD.encode(vec![0; bytes_in(self.format, ms) as usize]);
        self.client(now, &json!({"type": "input_audio_buffer.append", "audio": audio}));
    }

    /// A frame of the vendor.
    pub(crate) fn vendor(&mut self, now: u64, frame: Incoming<'_>) {
        if self.open {
            self.act(now, |session, now, effects| session.vendor(frame, now, effects));
        }
    }

    /// The vendor closes the socket.
    pub(crate) fn close(&mut self, now: u64, code: u16, reason: &str) {
        if std::mem::take(&mut self.open) {
            self.act(now, |session, now, effects| session.lost(code, reason, now, effects));
        }
    }

    /// The types of all events so far, without those of configuration.
    pub(crate) fn kinds(&self) -> Vec<&str> {
        let kinds = self.events.iter().filter_map(|event| event["type"].as_str());
        kinds.filter(|kind| !kind.starts_with("session.")).collect()
    }

    /// The last event of a type.
    pub(crate) fn last(&self, kind: &str) -> &Value {
        self.events.iter().rev().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"))
    }

    /// What happened, with runs of the same line told once.
    pub(crate) fn story(&self) -> String {
        let mut told: Vec<(&str, usize)> = Vec::new();
        for line in &self.lines {
            match told.last_mut().filter(|(last, _)| *last == line) {
                Some((_, count)) => *count += 1,
                None => told.push((line, 1)),
            }
        }
        let line = |(line, count): (&str, usize)| {
            if count == 1 { line.to_owned() } else { format!("{line} ({count} times)") }
        };
        told.into_iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// An event without its own id; speech by its length.
fn brief(event: &Value) -> String {
    let mut event = event.clone();
    let speech = event["type"] == "response.output_audio.delta";
    if let Some(fields) = event.as_object_mut() {
        fields.remove("event_id");
        if speech {
            let bytes = STANDARD.decode(fields["delta"].as_str().unwrap()).unwrap().len();
            fields.insert("delta".to_owned(), json!(format!("{bytes} bytes")));
        }
    }
    event.to_string()
}
