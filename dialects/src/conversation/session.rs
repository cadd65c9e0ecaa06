//! A conversation in `OpenAI`'s words over a vendor's voice agent: the client's side.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::agent::{AgentOpener, Billing, Incoming};
use super::client::{Event, read};
use super::create::Texts;
use super::gate::Gate;
use super::hearing::Hearing;
use super::input::Input;
use super::items::Items;
use super::link::{Link, Stage};
use super::output::Output;
use super::settings::Settings;
use super::setup::Setup;
use super::tools::Tools;
use super::usage::Passed;
use super::writer::Writer;
use crate::contract::UpstreamModel;
use crate::live::events::Refusal;
use crate::live::{LiveFault, NewConverter};
use crate::translation::{Effect, Progress, Translation};

/// Where a conversation goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The provider's model or agent.
    pub model: UpstreamModel,
    /// The client's names of voices, and the provider's.
    pub voices: BTreeMap<String, String>,
}

/// One conversation.
pub struct ConversationSession {
    pub(super) opener: &'static dyn AgentOpener,
    pub(super) new_converter: NewConverter,
    pub(super) target: Target,
    pub(super) settings: Settings,
    pub(super) writer: Writer,
    pub(super) items: Items,
    pub(super) texts: Texts,
    pub(super) input: Input,
    pub(super) hearing: Hearing,
    pub(super) output: Output,
    pub(super) tools: Tools,
    pub(super) passed: Passed,
    pub(super) link: Link,
    pub(super) now: u64,
}

impl std::fmt::Debug for ConversationSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConversationSession")
            .field("target", &self.target)
            .field("settings", &self.settings)
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

impl ConversationSession {
    /// A session with a target; `prefix` makes its ids its own.
    ///
    /// # Errors
    /// The target cannot be served.
    pub fn new(
        opener: &'static dyn AgentOpener,
        target: Target,
        prefix: &str,
        new_converter: NewConverter,
    ) -> Result<Self, Refusal> {
        let settings = Settings::new(&target.model.wire_name);
        let plan = opener.plan(&settings.setup(&target))?;
        Ok(Self {
            opener,
            new_converter,
            input: Input::new(settings.input_format, plan.input),
            output: Output::new(plan.output, settings.output_format),
            settings,
            target,
            writer: Writer::new(prefix),
            items: Items::default(),
            texts: Texts::default(),
            hearing: Hearing::default(),
            tools: Tools::default(),
            passed: Passed::default(),
            link: Link::default(),
            now: 0,
        })
    }

    pub(super) fn gate(&self) -> Gate<'_> {
        Gate { abilities: self.opener.abilities(), model: &self.target.model.model }
    }

    fn handle(&mut self, event_id: Option<&str>, event: Event, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        match event {
            Event::Update(session) => self.update(&session, effects),
            Event::Append(audio) => self.append(audio),
            Event::Commit => self.commit(effects),
            Event::Clear => self.clear(effects),
            Event::Create { item, previous } => self.create_item(&item, previous.as_deref(), effects),
            Event::Retrieve(item) => self.retrieve_item(&item, effects),
            Event::Delete(item) => self.delete_item(&item, effects),
            Event::Truncate { item, content_index, audio_end_ms } => {
                self.truncate_item(&item, content_index, audio_end_ms, effects)
            }
            Event::Respond(response) => self.respond(&response, event_id, effects),
            Event::Cancel(response) => self.cancel(response.as_deref(), effects),
        }
    }

    /// Changes the configuration: all of it or nothing.
    fn update(&mut self, session: &Map<String, Value>, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let opened = self.link.stage != Stage::Idle;
        let gate = self.gate();
        let mut next = self.settings.merged(session, &self.target.voices, &gate)?;
        gate.admit(&self.settings, &mut next, opened)?;
        let setup = next.setup(&self.target);
        // An update of what no agent has, such as `tracing`, is not yet the configuration: some clients send it
        // first. One that names nothing asks for the conversation as it is.
        let idle_talk = !opened && session.len() > 1 && setup == self.settings.setup(&self.target);
        if !self.link.live() {
            drop(self.opener.plan(&setup)?);
        } else if self.differs(&setup) {
            next.agent_transcribes.clone_from(&setup.transcription);
            self.configure(setup, effects)?;
        }
        self.apply(next, effects);
        if self.link.stage == Stage::Ended {
            return Ok(());
        }
        if idle_talk || (self.link.live() && !self.link.configuring) {
            self.tell_updated(effects);
        } else {
            self.link.updates = self.link.updates.saturating_add(1);
            self.open(effects);
        }
        Ok(())
    }

    /// The settings are these from now on.
    fn apply(&mut self, next: Settings, effects: &mut Vec<Effect>) {
        let input = self.settings.input_format;
        if next.turns.is_some() != self.settings.turns.is_some() {
            if self.hearing.speaking() {
                self.end_turn(effects);
            }
            self.input.change_hands(next.turns.is_some());
        }
        self.settings = next;
        if input != self.settings.input_format
            && let Err(message) = self.input.reformat(self.settings.input_format, self.new_converter)
        {
            self.fail(&LiveFault::upstream(message), effects);
        }
    }

    /// Whether an agent would have to be told. The client's formats are not its business.
    pub(super) fn differs(&self, setup: &Setup) -> bool {
        let Some(known) = &self.link.setup else { return false };
        let like = Setup {
            input_format: known.input_format,
            output_format: known.output_format,
            history: known.history.clone(),
            ..setup.clone()
        };
        like != *known
    }

    /// Tells the configuration. Speech is in its format from here on.
    pub(super) fn tell_updated(&mut self, effects: &mut Vec<Effect>) {
        if self.output.client != self.settings.output_format {
            self.flush_speech(effects);
            if let Err(message) = self.output.convert_to(self.settings.output_format, self.new_converter) {
                return self.fail(&LiveFault::upstream(message), effects);
            }
        }
        let shown = self.settings.shown(&self.writer.session_id());
        self.writer.event("session.updated", json!({"session": shown}), effects);
    }

    /// Takes note of the time; `false` where the session is over.
    fn goes_on(&mut self, now: u64) -> bool {
        self.now = now.max(self.now);
        self.link.stage != Stage::Ended
    }

    /// After anything that has happened: what can go to the agent goes, and a socket that is to be changed is
    /// changed where nothing is being said.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        self.pump(effects);
        self.renew(effects);
    }
}

impl Translation for ConversationSession {
    fn start(&mut self, effects: &mut Vec<Effect>) {
        let shown = self.settings.shown(&self.writer.session_id());
        self.writer.event("session.created", json!({"session": shown}), effects);
    }

    fn client(&mut self, text: &str, now: u64, effects: &mut Vec<Effect>) {
        if !self.goes_on(now) {
            return;
        }
        let (event_id, event) = read(text);
        let handled = event.and_then(|event| self.handle(event_id.as_deref(), event, effects));
        if let Err(refusal) = handled {
            self.writer.refusal(event_id.as_deref(), &refusal, effects);
        }
        self.settle(effects);
    }

    fn wants_client(&self) -> bool {
        self.input.wants_more()
    }

    fn busy(&self) -> bool {
        self.link.live() && self.input.more
    }

    fn work(&mut self, now: u64, effects: &mut Vec<Effect>) {
        if self.goes_on(now) {
            self.settle(effects);
        }
    }

    fn answered(&mut self, body: &[u8], now: u64, effects: &mut Vec<Effect>) {
        if self.goes_on(now) {
            self.invited(body, effects);
        }
    }

    fn opened(&mut self, now: u64, effects: &mut Vec<Effect>) {
        if self.goes_on(now) {
            self.joined(effects);
        }
    }

    fn refused(&mut self, fault: &LiveFault, again: bool, now: u64, effects: &mut Vec<Effect>) {
        if self.goes_on(now) {
            self.not_opened(fault, again, effects);
        }
    }

    fn lost(&mut self, code: u16, reason: &str, now: u64, effects: &mut Vec<Effect>) {
        if self.goes_on(now) {
            self.dropped(code, reason, effects);
        }
    }

    fn vendor(&mut self, frame: Incoming<'_>, now: u64, effects: &mut Vec<Effect>) {
        if self.goes_on(now) {
            self.hear_agent(frame, effects);
            self.settle(effects);
        }
    }

    fn next_tick(&self) -> Option<u64> {
        self.due()
    }

    fn tick(&mut self, now: u64, effects: &mut Vec<Effect>) {
        if self.goes_on(now) {
            self.pass_time(effects);
            self.settle(effects);
        }
    }

    fn finish(&mut self, effects: &mut Vec<Effect>) {
        self.say_goodbye(effects);
        effects.push(Effect::Leave);
    }

    fn progress(&self, now: u64) -> Progress {
        let billed_ms = match self.opener.billing() {
            Billing::Tokens => 0,
            Billing::Connected { step_ms } => {
                let connected = self.link.connected_ms(now.max(self.now));
                connected.div_ceil(step_ms.max(1)).saturating_mul(step_ms.max(1))
            }
        };
        Progress { billed_ms, ..Progress::default() }
    }
}
