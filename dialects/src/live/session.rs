//! A transcription session in OpenAI's words over a vendor's live transcription: the client's side.
//!
//! The vendor's socket is in `link.rs`, what it hears in `hear.rs`.

use bytes::Bytes;
use domain::audio::RealtimeFormat;
use serde_json::{Map, Value, json};

use super::events::{ClientEvent, Refusal, read};
use super::items::{Item, Items, Waiting};
use super::link::Link;
use super::settings::Settings;
use super::tape::Tape;
use super::writer::Writer;
use super::{Converter, LiveFault, LiveOpener, NewConverter, Plan, TICKS_PER_MS, bytes_in, ticks};
use crate::conversation::agent::Incoming;
use crate::translation::{Effect, Progress, Translation};

/// The shortest buffer that may be committed.
const MIN_COMMIT_MS: u64 = 100;
/// Commits that may wait for the vendor before the client is left to wait.
const MAX_WAITING: usize = 16;
/// Audio that is converted in one go: a long append keeps nobody else waiting.
const STEP_MS: u64 = 1_000;
/// Audio that may wait for a socket before the client is left to wait.
const MAX_UNSENT_BYTES: u64 = 1024 * 1024;

/// One session.
pub struct LiveSession {
    pub(super) opener: &'static dyn LiveOpener,
    pub(super) new_converter: NewConverter,
    pub(super) settings: Settings,
    /// How a socket is opened for the settings.
    pub(super) plan: Plan,
    pub(super) writer: Writer,
    pub(super) items: Items,
    pub(super) tape: Tape,
    pub(super) link: Link,
    converter: Box<dyn Converter>,
    /// What of an append is not converted yet.
    inbox: Bytes,
    /// Half a sample at the end of an append.
    odd: Option<u8>,
    /// Audio that the client has appended.
    appended_ticks: u64,
    /// Of it, what is part of no item yet.
    uncommitted_ticks: u64,
    /// Audio that the vendor was sent, with silence and what was sent again.
    pub(super) sent_ticks: u64,
    /// Milliseconds of it that completed items have told.
    settled_ms: u64,
    /// Bytes of all transcripts.
    transcript_bytes: u64,
    pub(super) now: u64,
}

impl std::fmt::Debug for LiveSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveSession")
            .field("settings", &self.settings)
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

impl LiveSession {
    /// A session with a model; `prefix` makes its ids its own.
    ///
    /// # Errors
    /// The model cannot be served.
    pub fn new(
        opener: &'static dyn LiveOpener,
        model: &str,
        prefix: &str,
        new_converter: NewConverter,
    ) -> Result<Self, Refusal> {
        let settings = Settings::new(model);
        let plan = opener.plan(&settings)?;
        let converter = new_converter(settings.format, plan.audio).map_err(internal)?;
        Ok(Self {
            opener,
            new_converter,
            writer: Writer::new(prefix),
            items: Items::default(),
            tape: Tape::new(plan.audio),
            link: Link::new(opener.transcriber(&settings), plan.clone()),
            settings,
            plan,
            converter,
            inbox: Bytes::new(),
            odd: None,
            appended_ticks: 0,
            uncommitted_ticks: 0,
            sent_ticks: 0,
            settled_ms: 0,
            transcript_bytes: 0,
            now: 0,
        })
    }

    fn handle(&mut self, event: ClientEvent, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        match event {
            ClientEvent::Update(session) => self.update(&session, effects),
            ClientEvent::Append(audio) => self.append(audio, effects),
            ClientEvent::Commit => self.commit(effects),
            ClientEvent::Clear => self.clear(effects),
        }
    }

    fn update(&mut self, session: &Map<String, Value>, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let next = self.settings.merged(session)?;
        let plan = self.opener.plan(&next)?;
        if next.format != self.settings.format {
            let rest = self.converter.flush().map_err(internal)?;
            self.tape.push(&rest);
            self.converter = (self.new_converter)(next.format, self.tape.format()).map_err(internal)?;
            self.odd = None;
        }
        self.settings = next;
        self.plan = plan;
        let shown = self.settings.shown(&self.writer.session_id());
        self.writer.event("session.updated", json!({"session": shown}), effects);
        self.renew(effects);
        Ok(())
    }

    fn append(&mut self, audio: Vec<u8>, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        self.inbox = self.whole_samples(audio).into();
        self.step(effects)
    }

    fn step(&mut self, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let most = usize::try_from(bytes_in(self.settings.format, STEP_MS)).unwrap_or(usize::MAX);
        let audio = self.inbox.split_to(self.inbox.len().min(most));
        if audio.is_empty() || self.link.ended() {
            self.inbox.clear();
            return Ok(());
        }
        let appended = ticks(self.settings.format, audio.len() as u64);
        self.appended_ticks += appended;
        self.uncommitted_ticks += appended;
        let converted = self.converter.convert(&audio).map_err(internal)?;
        self.tape.push(&converted);
        self.pump(effects);
        Ok(())
    }

    /// An append may end in the middle of a sample.
    fn whole_samples(&mut self, mut audio: Vec<u8>) -> Vec<u8> {
        if !matches!(self.settings.format, RealtimeFormat::Pcm16(_)) {
            return audio;
        }
        if let Some(odd) = self.odd.take() {
            audio.insert(0, odd);
        }
        if audio.len() % 2 == 1 {
            self.odd = audio.pop();
        }
        audio
    }

    fn commit(&mut self, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let held = self.uncommitted_ticks / TICKS_PER_MS;
        if held < MIN_COMMIT_MS {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least \
                 {MIN_COMMIT_MS}ms of audio, but buffer only has {held}ms of audio."
            );
            return Err(Refusal::new("input_audio_buffer_commit_empty", message, None));
        }
        let item = match self.items.open.take() {
            Some(item) => item,
            None => Item::new(self.writer.item_id()),
        };
        if item.announced {
            let stopped = json!({"audio_end_ms": self.clock_ms(), "item_id": item.id});
            self.writer.event("input_audio_buffer.speech_stopped", stopped, effects);
        }
        self.writer.committed(&item.id, effects);
        self.ask(Some(item), effects)
    }

    /// Puts a question to the vendor behind all audio so far.
    fn ask(&mut self, item: Option<Item>, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        self.uncommitted_ticks = 0;
        let rest = self.converter.flush().map_err(internal)?;
        self.tape.push(&rest);
        self.items.waiting.push_back(Waiting { item, mark: self.tape.end(), asked: None });
        self.pump(effects);
        Ok(())
    }

    /// Sent audio cannot be taken back, so its text is forgotten when it comes.
    fn clear(&mut self, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        self.odd = None;
        drop(self.converter.flush().map_err(internal)?);
        let had_unsent = self.tape.unsent() > 0 && self.items.waiting.is_empty();
        if had_unsent {
            self.tape.drop_unsent();
        }
        let heard = self.items.open.take().is_some();
        let pending = self.uncommitted_ticks > 0 && self.link.streaming();
        self.writer.event("input_audio_buffer.cleared", json!({}), effects);
        // In the silence between turns there is nothing to forget.
        if heard || (pending && self.settings.turns.is_none()) {
            return self.ask(None, effects);
        }
        self.uncommitted_ticks = 0;
        Ok(())
    }

    /// The item is complete: its usage is all audio since the last that was, up to `sent`.
    pub(super) fn complete(&mut self, item: Item, sent_ticks: u64, effects: &mut Vec<Effect>) {
        let (rest, transcript) = item.transcript.finish();
        self.writer.delta(&item.id, rest, effects);
        let sent_ms = sent_ticks.min(self.sent_ticks) / TICKS_PER_MS;
        let ms = sent_ms.saturating_sub(self.settled_ms);
        self.settled_ms += ms;
        self.transcript_bytes += transcript.len() as u64;
        self.writer.completed(&item.id, &transcript, ms, effects);
    }

    /// The vendor ended the turn that is open, when it had this much audio.
    pub(super) fn end_turn(&mut self, at_ms: Option<u64>, sent_ticks: u64, effects: &mut Vec<Effect>) {
        if let Some(item) = self.close_turn(at_ms, effects) {
            self.complete(item, sent_ticks, effects);
        }
    }

    /// The turn that is open becomes an item.
    pub(super) fn close_turn(&mut self, at_ms: Option<u64>, effects: &mut Vec<Effect>) -> Option<Item> {
        let item = self.items.open.take()?;
        let at_ms = at_ms.unwrap_or(u64::MAX).min(self.clock_ms());
        // What was appended behind the turn belongs to the next item.
        self.uncommitted_ticks = self.uncommitted_ticks.min(self.appended_ticks - at_ms * TICKS_PER_MS);
        if item.announced {
            let stopped = json!({"audio_end_ms": at_ms, "item_id": item.id});
            self.writer.event("input_audio_buffer.speech_stopped", stopped, effects);
        }
        self.writer.committed(&item.id, effects);
        Some(item)
    }

    /// The open item; a turn that begins is announced.
    pub(super) fn open_item(&mut self, at_ms: Option<u64>, effects: &mut Vec<Effect>) -> &mut Item {
        let clock_ms = self.clock_ms();
        let writer = &mut self.writer;
        let item = self.items.open.get_or_insert_with(|| Item::new(writer.item_id()));
        if !item.announced && self.settings.turns.is_some() {
            item.announced = true;
            let at_ms = at_ms.unwrap_or(u64::MAX).min(clock_ms);
            let started = json!({"audio_start_ms": at_ms, "item_id": item.id});
            writer.event("input_audio_buffer.speech_started", started, effects);
        }
        item
    }

    /// The session cannot go on.
    pub(super) fn fail(&mut self, fault: &LiveFault, effects: &mut Vec<Effect>) {
        for waiting in std::mem::take(&mut self.items.waiting) {
            if let Some(item) = waiting.item {
                self.writer.failed(&item.id, fault, effects);
            }
        }
        self.writer.fault(fault, effects);
        self.link.end();
        effects.push(Effect::Leave);
        effects.push(Effect::End(1011, fault.message.clone()));
    }

    /// Makes the tape one of the socket's format.
    pub(super) fn retune(&mut self, format: RealtimeFormat) -> Result<(), String> {
        if format == self.tape.format() {
            return Ok(());
        }
        let rest = self.converter.flush()?;
        self.tape.push(&rest);
        let (before, start) = (self.tape.format(), self.tape.start());
        self.tape.reformat(format, self.new_converter)?;
        self.converter = (self.new_converter)(self.settings.format, format)?;
        for waiting in &mut self.items.waiting {
            waiting.mark = bytes_in(format, before.duration_ms(waiting.mark.saturating_sub(start)));
        }
        Ok(())
    }

    /// Time of the session, counted by its audio.
    fn clock_ms(&self) -> u64 {
        self.appended_ticks / TICKS_PER_MS
    }
}

impl Translation for LiveSession {
    fn start(&mut self, effects: &mut Vec<Effect>) {
        let shown = self.settings.shown(&self.writer.session_id());
        self.writer.event("session.created", json!({"session": shown}), effects);
    }

    fn client(&mut self, text: &str, now: u64, effects: &mut Vec<Effect>) {
        self.now = now.max(self.now);
        if self.link.ended() {
            return;
        }
        let (event_id, event) = read(text);
        let handled = event.and_then(|event| {
            while !self.inbox.is_empty() {
                self.step(effects)?;
            }
            self.handle(event, effects)
        });
        if let Err(refusal) = handled {
            self.writer.refusal(event_id.as_deref(), &refusal, effects);
        }
    }

    fn wants_client(&self) -> bool {
        self.inbox.is_empty() && self.tape.unsent() < MAX_UNSENT_BYTES && self.items.waiting.len() < MAX_WAITING
    }

    fn busy(&self) -> bool {
        !self.inbox.is_empty() && self.tape.unsent() < MAX_UNSENT_BYTES
    }

    /// Goes on with a long append.
    fn work(&mut self, now: u64, effects: &mut Vec<Effect>) {
        self.now = now.max(self.now);
        if let Err(refusal) = self.step(effects) {
            self.writer.refusal(None, &refusal, effects);
        }
    }

    /// No vendor of live transcription is asked anything beside its socket.
    fn answered(&mut self, _body: &[u8], now: u64, _effects: &mut Vec<Effect>) {
        self.now = now.max(self.now);
    }

    fn opened(&mut self, now: u64, effects: &mut Vec<Effect>) {
        self.now = now.max(self.now);
        self.link_opened(effects);
    }

    fn refused(&mut self, fault: &LiveFault, again: bool, now: u64, effects: &mut Vec<Effect>) {
        self.now = now.max(self.now);
        self.link_refused(fault, again, effects);
    }

    fn lost(&mut self, code: u16, reason: &str, now: u64, effects: &mut Vec<Effect>) {
        self.now = now.max(self.now);
        self.link_lost(code, reason, effects);
    }

    fn vendor(&mut self, frame: Incoming<'_>, now: u64, effects: &mut Vec<Effect>) {
        self.now = now.max(self.now);
        match frame {
            Incoming::Text(text) => self.listen(text, effects),
            // Some send their JSON as bytes.
            Incoming::Binary(bytes) => {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    self.listen(text, effects);
                }
            }
        }
    }

    fn next_tick(&self) -> Option<u64> {
        self.link_due()
    }

    fn tick(&mut self, now: u64, effects: &mut Vec<Effect>) {
        self.now = now.max(self.now);
        self.link_tick(effects);
    }

    fn finish(&mut self, effects: &mut Vec<Effect>) {
        self.link_finish(effects);
    }

    fn progress(&self, _now: u64) -> Progress {
        Progress {
            billed_ms: self.sent_ticks / TICKS_PER_MS,
            surcharge_percent: self.opener.surcharge_percent(&self.settings),
            transcript_bytes: self.transcript_bytes,
        }
    }
}

fn internal(message: String) -> Refusal {
    Refusal::new("server_error", message, None)
}
