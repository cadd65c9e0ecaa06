//! One conversation: its connection, its sound, and what is done by whoever holds it. What comes from the other side is
//! understood in [`hear`](super::hear).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use js_sys::Array;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Value, json};
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{CloseEvent, MessageEvent, WebSocket};

use super::super::sound::{Heard, Microphone, Piece, RATE, Sounds, Speaker};
use super::close::End;
use super::hear::hear;
use super::lines::{Lines, Who};
use super::log::Log;
use super::settings::Asked;
use crate::api::Failure;
use crate::api::data_plane::Gateway;
use crate::clock;

/// Milliseconds of a piece from the microphone.
const PIECE_MS: u32 = 40;
/// So much is there before it begins to sound: less is sooner, more is smoother.
const BUFFER_MS: u32 = 100;
/// The secret is used at once.
const SECRET_LIFE_S: u32 = 60;
/// More than this waiting to be sent is a connection that cannot take sound.
const MOST_WAITING_BYTES: u32 = 1 << 20;

/// Where a conversation is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    Idle,
    Connecting,
    Open,
    Failed(Failure),
    Ended(End),
}

/// What is released at the end; dropping it closes, switches off and silences.
struct Open {
    socket: Option<(WebSocket, Closures)>,
    speaker: Option<Speaker>,
    _microphone: Option<Microphone>,
    _sounds: Option<Sounds>,
}

type Closures = (Closure<dyn FnMut(MessageEvent)>, Closure<dyn FnMut(CloseEvent)>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some((socket, _)) = self.socket.take() {
            socket.set_onmessage(None);
            socket.set_onclose(None);
            // It fails only for codes that may not be sent.
            socket.close_with_code(1000).ok();
        }
    }
}

/// The conversation of the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) phase: RwSignal<Phase>,
    pub(super) lines: Lines,
    pub(super) log: Log,
    /// Something to know that does not end it.
    pub(super) notice: RwSignal<Option<String>>,
    pub(super) has_microphone: RwSignal<bool>,
    pub(super) muted: RwSignal<bool>,
    /// The other side hears me speak.
    pub(super) speaking: RwSignal<bool>,
    /// A response is being made.
    pub(super) answering: RwSignal<bool>,
    pub(super) my_level: RwSignal<f64>,
    pub(super) its_level: RwSignal<f64>,
    /// Milliseconds of its voice that were played.
    pub(super) played_ms: RwSignal<f64>,
    pub(super) latencies: RwSignal<Vec<f64>>,
    pub(super) started_ms: RwSignal<f64>,
    pub(super) ended_ms: RwSignal<Option<f64>>,
    /// Turns are ended by hand.
    pub(super) by_hand: RwSignal<bool>,
    /// The end of what was said last, on the stopwatch.
    pub(super) said_at: StoredValue<Option<f64>>,
    /// Milliseconds of sound sent, and when the last was.
    sent: StoredValue<(f64, f64)>,
    /// What comes of these items is not played any more.
    pub(super) silenced: StoredValue<Vec<String>>,
    serial: StoredValue<u32>,
    pub(super) asked: StoredValue<Option<Asked>>,
    open: StoredValue<Option<Open>, LocalStorage>,
    was_open: StoredValue<bool>,
}

impl Call {
    pub(super) fn new() -> Self {
        Self {
            phase: RwSignal::new(Phase::Idle),
            lines: Lines::new(),
            log: Log::new(),
            notice: RwSignal::new(None),
            has_microphone: RwSignal::new(false),
            muted: RwSignal::new(false),
            speaking: RwSignal::new(false),
            answering: RwSignal::new(false),
            my_level: RwSignal::new(0.0),
            its_level: RwSignal::new(0.0),
            played_ms: RwSignal::new(0.0),
            latencies: RwSignal::new(Vec::new()),
            started_ms: RwSignal::new(0.0),
            ended_ms: RwSignal::new(None),
            by_hand: RwSignal::new(false),
            said_at: StoredValue::new(None),
            sent: StoredValue::new((0.0, 0.0)),
            silenced: StoredValue::new(Vec::new()),
            serial: StoredValue::new(0),
            asked: StoredValue::new(None),
            open: StoredValue::new_local(None),
            was_open: StoredValue::new(false),
        }
    }

    /// It goes on. Reactive.
    pub(super) fn is_on(self) -> bool {
        self.phase.with(|phase| matches!(phase, Phase::Connecting | Phase::Open))
    }

    /// Begins a conversation.
    pub(super) fn start(self, gateway: Gateway, asked: Asked) {
        self.release();
        self.lines.clear();
        self.log.clear();
        self.notice.set(None);
        self.muted.set(false);
        self.played_ms.set(0.0);
        self.latencies.set(Vec::new());
        self.ended_ms.set(None);
        self.said_at.set_value(None);
        self.sent.set_value((0.0, 0.0));
        self.silenced.set_value(Vec::new());
        self.was_open.set_value(false);
        self.by_hand.set(asked.by_hand);
        self.asked.set_value(Some(asked.clone()));
        self.started_ms.set(clock::now_ms());
        self.phase.set(Phase::Connecting);
        spawn_local(async move {
            if let Err(failure) = self.connect(&gateway, &asked).await {
                self.release();
                if self.phase.try_get_untracked() == Some(Phase::Connecting) {
                    self.phase.try_set(Phase::Failed(failure));
                }
            }
        });
    }

    async fn connect(self, gateway: &Gateway, asked: &Asked) -> Result<(), Failure> {
        let secret = gateway.client_secret(&asked.session(true), SECRET_LIFE_S).await?;
        // Without sound one can still write and read.
        let (sounds, speaker, microphone) = self.sound(asked.microphone).await;
        if self.phase.try_get_untracked() != Some(Phase::Connecting) {
            return Ok(());
        }
        let path = format!("/v1/realtime?model={}", crate::api::wire::escaped(&asked.model));
        let protocols = ["realtime".to_owned(), format!("openai-insecure-api-key.{}", secret.value)];
        let protocols: Array = protocols.iter().map(|protocol| wasm_bindgen::JsValue::from_str(protocol)).collect();
        let socket = WebSocket::new_with_str_sequence(&gateway.socket_url(&path), &protocols);
        let socket = socket.map_err(|error| Failure::Network(format!("{error:?}")))?;
        let told = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            if let Some(text) = event.data().as_string() {
                hear(self, &text);
            }
        });
        let closed =
            Closure::<dyn FnMut(CloseEvent)>::new(move |event: CloseEvent| self.closed(event.code(), &event.reason()));
        socket.set_onmessage(Some(told.as_ref().unchecked_ref()));
        socket.set_onclose(Some(closed.as_ref().unchecked_ref()));
        self.has_microphone.try_set(microphone.is_some());
        self.open.try_set_value(Some(Open {
            socket: Some((socket, (told, closed))),
            speaker,
            _microphone: microphone,
            _sounds: sounds,
        }));
        Ok(())
    }

    async fn sound(self, wants_microphone: bool) -> (Option<Sounds>, Option<Speaker>, Option<Microphone>) {
        let told = |why: String| {
            self.notice.try_set(Some(format!("{why} You can still write.")));
        };
        let sounds = match Sounds::open().await {
            Ok(sounds) => sounds,
            Err(why) => {
                told(why);
                return (None, None, None);
            }
        };
        let speaker = Speaker::open(&sounds, RATE, BUFFER_MS, move |heard| self.heard(heard)).ok();
        if !wants_microphone {
            return (Some(sounds), speaker, None);
        }
        match Microphone::open(&sounds, RATE, PIECE_MS, move |piece| self.said(piece)).await {
            Ok(microphone) => (Some(sounds), speaker, Some(microphone)),
            Err(why) => {
                told(why);
                (Some(sounds), speaker, None)
            }
        }
    }

    /// The other side is ready.
    pub(super) fn opened(self) {
        self.was_open.try_set_value(true);
        if let Some(asked) = self.asked.try_get_value().flatten() {
            self.send(json!({"type": "session.update", "session": asked.session(false)}));
        }
        self.started_ms.try_set(clock::now_ms());
        self.phase.try_set(Phase::Open);
    }

    /// A piece from the microphone. What is muted is sent as silence, so that the other side still finds the end of a turn.
    fn said(self, piece: Piece) {
        if self.phase.try_with_untracked(|phase| *phase != Phase::Open).unwrap_or(true) {
            return;
        }
        let is_muted = self.muted.try_get_untracked().unwrap_or(true);
        self.my_level.try_set(if is_muted { 0.0 } else { piece.level });
        let audio = if is_muted { STANDARD.encode(vec![0; piece.pcm.len()]) } else { STANDARD.encode(&piece.pcm) };
        let is_late = self.open.try_with_value(|open| {
            let Some((socket, _)) = open.as_ref().and_then(|open| open.socket.as_ref()) else { return false };
            if socket.buffered_amount() > MOST_WAITING_BYTES {
                return true;
            }
            // Written by hand: it is said 25 times a second.
            socket.send_with_str(&format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#)).ok();
            false
        });
        if is_late == Some(true) {
            super::super::set_new(
                self.notice,
                Some("The connection is too slow for the microphone: parts of what you say are lost.".to_owned()),
            );
            return;
        }
        self.sent.try_update_value(|sent| *sent = (sent.0 + f64::from(PIECE_MS), clock::stopwatch_ms()));
        let bytes = piece.pcm.len();
        self.log.add(
            true,
            "input_audio_buffer.append",
            json!({"type": "input_audio_buffer.append", "audio": format!("({bytes} bytes of sound)")}),
        );
    }

    /// When what lies so many milliseconds from the begin of the sound was said, on the stopwatch.
    pub(super) fn when_said(self, at_ms: f64) -> f64 {
        let (sent_ms, sent_at) = self.sent.try_get_value().unwrap_or_default();
        if sent_at == 0.0 { clock::stopwatch_ms() } else { sent_at - (sent_ms - at_ms).max(0.0) }
    }

    fn heard(self, heard: Heard) {
        match heard {
            Heard::Began(item) => {
                if let Some(said_at) = self.said_at.try_update_value(Option::take).flatten() {
                    let ms = clock::stopwatch_ms() - said_at;
                    self.lines.answered_in(&item, ms);
                    self.latencies.try_update(|all| all.push(ms));
                }
            }
            Heard::Progress { heard_ms, level } => {
                self.its_level.try_set(level);
                self.played_ms.try_set(heard_ms);
            }
            Heard::Idle => {
                self.its_level.try_set(0.0);
            }
            Heard::Flushed { item, played_ms } => {
                self.its_level.try_set(0.0);
                if let Some(item) = item {
                    self.lines.cut(&item);
                    // The model is to know what was heard of it, and no more.
                    self.send(json!({"type": "conversation.item.truncate", "item_id": item, "content_index": 0,
                        "audio_end_ms": played_ms.floor() as u64}));
                }
            }
        }
    }

    /// Plays a piece of its voice.
    pub(super) fn play(self, item: &str, audio: &str) {
        let is_silenced = self.silenced.try_with_value(|silenced| silenced.iter().any(|one| one == item));
        if is_silenced != Some(false) {
            return;
        }
        let Ok(pcm) = STANDARD.decode(audio) else { return };
        self.with_speaker(|speaker| speaker.push(item, &pcm));
    }

    /// All of its voice is there.
    pub(super) fn whole(self) {
        self.with_speaker(Speaker::whole);
    }

    /// Playing stops at once, and what is still to come of these items is not played.
    pub(super) fn silence(self, items: Vec<String>) {
        self.silenced.try_update_value(|silenced| {
            silenced.extend(items);
            let surplus = silenced.len().saturating_sub(20);
            silenced.drain(..surplus);
        });
        self.with_speaker(Speaker::flush);
    }

    /// Stops the answer.
    pub(super) fn interrupt(self) {
        if self.answering.get_untracked() {
            self.send(json!({"type": "response.cancel"}));
        }
        self.silence(super::hear::present_items(self));
    }

    /// Says something in writing.
    pub(super) fn write(self, text: &str) {
        if self.answering.get_untracked() || self.its_level.get_untracked() > 0.0 {
            self.interrupt();
        }
        let serial = self.serial.try_update_value(|serial| {
            *serial += 1;
            *serial
        });
        let id = format!("item_written_{}", serial.unwrap_or_default());
        self.lines.set(&id, Who::Me, text);
        self.said_at.set_value(Some(clock::stopwatch_ms()));
        self.send(json!({"type": "conversation.item.create", "item": {"id": id, "type": "message", "role": "user",
            "content": [{"type": "input_text", "text": text}]}}));
        self.send(json!({"type": "response.create"}));
    }

    /// Ends one's turn, where that is done by hand.
    pub(super) fn commit(self) {
        self.said_at.set_value(Some(clock::stopwatch_ms()));
        self.send(json!({"type": "input_audio_buffer.commit"}));
        self.send(json!({"type": "response.create"}));
    }

    /// Ends the conversation.
    pub(super) fn end(self) {
        self.ended(End { code: 1000, reason: String::new(), was_refused: false, by_me: true });
    }

    fn closed(self, code: u16, reason: &str) {
        let was_refused = self.was_open.try_get_value() == Some(false);
        self.ended(End { code, reason: reason.to_owned(), was_refused, by_me: false });
    }

    fn ended(self, end: End) {
        self.ended_ms.try_set(Some(clock::now_ms()));
        self.phase.try_set(Phase::Ended(end));
        self.release();
    }

    /// Sends an event, and keeps it for the inspector.
    pub(super) fn send(self, event: Value) {
        let text = event.to_string();
        let sent = self.open.try_with_value(|open| {
            let (socket, _) = open.as_ref()?.socket.as_ref()?;
            (socket.ready_state() == WebSocket::OPEN).then(|| socket.send_with_str(&text).ok()).flatten()
        });
        if sent.flatten().is_some() {
            let kind = event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            self.log.add(true, &kind, event);
        }
    }

    /// Lets go of everything.
    pub(super) fn release(self) {
        super::super::set_new(self.has_microphone, false);
        super::super::set_new(self.speaking, false);
        super::super::set_new(self.answering, false);
        super::super::set_new(self.my_level, 0.0);
        super::super::set_new(self.its_level, 0.0);
        // Not dropped within the connection's own call to this page.
        if let Some(Some(open)) = self.open.try_update_value(Option::take) {
            set_timeout(move || drop(open), Duration::ZERO);
        }
    }

    fn with_speaker(self, say: impl FnOnce(&Speaker)) {
        self.open.try_with_value(|open| {
            if let Some(speaker) = open.as_ref().and_then(|open| open.speaker.as_ref()) {
                say(speaker);
            }
        });
    }
}
