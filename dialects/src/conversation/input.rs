//! What is on its way to the agent: audio, and orders that keep their place in it.
//!
//! Audio is held as the client sent it and converted when it is passed on. Positions are bytes since the
//! session began and never go back; a change of the client's format moves them to where the same audio is.

use std::collections::VecDeque;

use bytes::BytesMut;
use domain::audio::RealtimeFormat;

use super::agent::Order;
use super::link::{CONFIGURED_WITHIN_MS, Stage};
use super::session::ConversationSession;
use super::setup::Role;
use crate::live::events::Refusal;
use crate::live::{Converter, NewConverter, TICKS_PER_MS, bytes_in, silence, ticks};
use crate::translation::Effect;

/// Audio in one frame, and where it is paced.
const FRAME_MS: u64 = 100;
const PACED_FRAME_MS: u64 = 20;
/// Audio that is passed on in one go: a long append keeps nobody else waiting.
const STEP_MS: u64 = 1_000;
/// Audio that may wait for the agent before the client is left to wait.
const MAX_WAITING_BYTES: u64 = 1024 * 1024;
/// Orders that may wait before the client is left to wait.
const MAX_JOBS: usize = 64;
/// Audio that may wait for a commit or for `response.create`.
const MAX_HELD_BYTES: usize = 4 * 1024 * 1024;
/// Audio that usually waits takes no more than this.
const GROWN_BYTES: usize = 64 * 1024;
/// The client's audio may come so much late before silence stands in.
const LATE_MS: u64 = 60;

/// An order that waits for the audio before it.
#[derive(Debug, PartialEq)]
pub(super) enum Job {
    Say { role: Role, text: String },
    EndTurn,
    Respond { instructions: Option<String>, event_id: Option<String> },
    Tool { call_id: String, name: String, output: String },
}

/// The way to the agent.
pub(super) struct Input {
    client: RealtimeFormat,
    agent: RealtimeFormat,
    converter: Option<Box<dyn Converter>>,
    tape: BytesMut,
    /// The tape has grown beyond what usually waits.
    grown: bool,
    /// Position of the first byte on the tape: what is before it was passed on.
    start: u64,
    /// Position up to which it may be passed on.
    released: u64,
    /// Position up to which the client has committed it.
    committed: u64,
    /// Half a sample at the end of an append.
    odd: Option<u8>,
    /// Orders and their positions, in order.
    jobs: VecDeque<(u64, Job)>,
    /// The client's audio: all of it, what was passed on, and what is part of items. In ticks.
    pub(super) appended_ticks: u64,
    pub(super) passed_ticks: u64,
    pub(super) itemed_ticks: u64,
    /// Up to when the agent has audio to hear, in ticks.
    plays_to: u64,
    /// An utterance was committed and its end was not told.
    pub(super) utterance: bool,
    /// More can be passed on at once.
    pub(super) more: bool,
}

impl Input {
    pub(super) fn new(client: RealtimeFormat, agent: RealtimeFormat) -> Self {
        Self {
            client,
            agent,
            converter: None,
            tape: BytesMut::new(),
            grown: false,
            start: 0,
            released: 0,
            committed: 0,
            odd: None,
            jobs: VecDeque::new(),
            appended_ticks: 0,
            passed_ticks: 0,
            itemed_ticks: 0,
            plays_to: 0,
            utterance: false,
            more: false,
        }
    }

    fn end(&self) -> u64 {
        self.start + self.tape.len() as u64
    }

    pub(super) fn wants_more(&self) -> bool {
        self.released.min(self.end()).saturating_sub(self.start) < MAX_WAITING_BYTES && self.jobs.len() < MAX_JOBS
    }

    /// The agent takes this from now on.
    pub(super) fn connect(&mut self, agent: RealtimeFormat, now: u64, new: NewConverter) -> Result<(), String> {
        self.agent = agent;
        self.converter = converter(self.client, agent, new)?;
        self.plays_to = now * TICKS_PER_MS;
        Ok(())
    }

    /// The client sends this from now on.
    pub(super) fn reformat(&mut self, client: RealtimeFormat, new: NewConverter) -> Result<(), String> {
        let before = std::mem::replace(&mut self.client, client);
        self.odd = None;
        let held = std::mem::take(&mut self.tape);
        let mut brought = new(before, client)?;
        let mut audio = brought.convert(&held)?;
        audio.extend(brought.flush()?);
        self.tape = BytesMut::from(audio.as_slice());
        let (start, end) = (self.start, self.end());
        let moved = |position: u64| {
            let behind = before.duration_ms(position.saturating_sub(start));
            start.saturating_add(bytes_in(client, behind)).min(end)
        };
        // What was free to go or committed as a whole stays so.
        let whole = start + held.len() as u64;
        let moved = |position: u64| if position >= whole { end } else { moved(position) };
        self.released = moved(self.released);
        self.committed = moved(self.committed);
        for (position, _) in &mut self.jobs {
            *position = moved(*position);
        }
        self.converter = converter(client, self.agent, new)?;
        Ok(())
    }

    /// Turns are found by the agent from now on, or by the client.
    pub(super) fn change_hands(&mut self, by_agent: bool) {
        self.utterance = false;
        self.committed = self.end();
        self.released = self.end();
        self.itemed_ticks = if by_agent { self.itemed_ticks.max(self.passed_ticks) } else { self.appended_ticks };
    }

    /// Time of the session, counted by the audio that the agent has had.
    pub(super) fn clock_ms(&self) -> u64 {
        self.passed_ticks / TICKS_PER_MS
    }

    /// An order behind all audio that may go.
    pub(super) fn push(&mut self, job: Job) {
        self.jobs.push_back((self.released.min(self.end()), job));
    }

    /// An order that waits for no audio.
    pub(super) fn push_at_once(&mut self, job: Job) {
        let at = self.jobs.iter().take_while(|(_, job)| matches!(job, Job::Tool { .. })).count();
        self.jobs.insert(at, (self.start, job));
    }

    /// Takes back a question that was not put yet.
    pub(super) fn unask(&mut self) -> bool {
        let before = self.jobs.len();
        let ended = self.jobs.iter().any(|(_, job)| *job == Job::EndTurn);
        self.jobs.retain(|(_, job)| !matches!(job, Job::Respond { .. } | Job::EndTurn));
        self.utterance |= ended;
        self.jobs.len() != before
    }

    /// An append may end in the middle of a sample.
    fn whole_samples(&mut self, mut audio: Vec<u8>) -> Vec<u8> {
        if !matches!(self.client, RealtimeFormat::Pcm16(_)) {
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

    /// Bytes that may go now.
    fn sendable(&self, now: u64, ahead: Option<u64>) -> u64 {
        let until = self.jobs.front().map_or(u64::MAX, |(position, _)| *position);
        let waiting = self.released.min(until).min(self.end()).saturating_sub(self.start);
        match ahead {
            Some(ahead) if self.plays_to > now.saturating_add(ahead) * TICKS_PER_MS => 0,
            Some(_) => waiting.min(bytes_in(self.client, PACED_FRAME_MS)),
            None => waiting.min(bytes_in(self.client, FRAME_MS)),
        }
    }

    /// When paced audio goes on, or silence is due.
    pub(super) fn due(&self, ahead: Option<u64>, continuous: bool) -> Option<u64> {
        let plays_to = self.plays_to / TICKS_PER_MS + 1;
        let waits = self.sendable(u64::MAX / (2 * TICKS_PER_MS), ahead) > 0;
        let paced = ahead.filter(|_| waits).map(|ahead| plays_to.saturating_sub(ahead));
        let silence = (continuous && !waits).then_some(plays_to + LATE_MS);
        paced.or(silence)
    }
}

fn converter(
    from: RealtimeFormat,
    to: RealtimeFormat,
    new: NewConverter,
) -> Result<Option<Box<dyn Converter>>, String> {
    if from == to { Ok(None) } else { new(from, to).map(Some) }
}

impl ConversationSession {
    /// Takes audio of the client.
    pub(super) fn append(&mut self, audio: Vec<u8>) -> Result<(), Refusal> {
        let manual = self.settings.turns.is_none();
        if manual && self.input.tape.len() + audio.len() > MAX_HELD_BYTES {
            let message = format!("The input audio buffer holds at most {MAX_HELD_BYTES} bytes between commits.");
            return Err(Refusal::value("audio", message));
        }
        let input = &mut self.input;
        let audio = input.whole_samples(audio);
        input.appended_ticks += ticks(input.client, audio.len() as u64);
        input.tape.extend_from_slice(&audio);
        input.grown |= input.tape.len() > GROWN_BYTES;
        if !manual {
            input.released = input.end();
            if self.link.stage == Stage::Idle && self.link.open_at.is_none() {
                self.link.open_at = Some(self.now.saturating_add(CONFIGURED_WITHIN_MS));
            }
        }
        Ok(())
    }

    /// Lets go what the client has committed. Where silence would end the utterance it waits for
    /// `response.create`, since the agent answers then.
    pub(super) fn release_committed(&mut self) {
        let silence_ends = self.habits().is_some_and(|habits| habits.turn_end_silence_ms.is_some());
        self.input.committed = self.input.end();
        self.input.utterance = true;
        if !silence_ends && self.link.stage != Stage::Idle {
            self.input.released = self.input.committed;
        }
    }

    /// The utterance that was committed is over: its end is told behind its audio.
    pub(super) fn end_utterance(&mut self) -> bool {
        let input = &mut self.input;
        input.utterance = false;
        let held = input.tape.split_off(usize::try_from(input.committed.saturating_sub(input.start)).unwrap_or(0));
        let silence_ms = self.link.agent.as_ref().and_then(|agent| agent.habits().turn_end_silence_ms);
        let input = &mut self.input;
        if let Some(ms) = silence_ms {
            let quiet = silence(input.client, ms);
            input.tape.extend_from_slice(&quiet);
        }
        input.released = input.end();
        input.committed = input.released;
        input.tape.unsplit(held);
        if silence_ms.is_none() {
            input.push(Job::EndTurn);
        }
        silence_ms.is_some()
    }

    /// Forgets the audio that is not committed, or not passed on where nobody commits.
    pub(super) fn drop_uncommitted(&mut self) {
        let input = &mut self.input;
        let kept = if self.settings.turns.is_none() { input.committed.max(input.start) } else { input.start };
        let dropped = input.end().saturating_sub(kept);
        input.tape.truncate(usize::try_from(kept - input.start).unwrap_or(0));
        input.appended_ticks = input.appended_ticks.saturating_sub(ticks(input.client, dropped));
        input.odd = None;
        input.released = input.released.min(input.end());
        for (position, _) in &mut input.jobs {
            *position = (*position).min(kept);
        }
    }

    pub(super) fn habits(&self) -> Option<super::agent::Habits> {
        self.link.agent.as_ref().map(|agent| agent.habits())
    }

    /// Moves audio and orders to the agent.
    pub(super) fn pump(&mut self, effects: &mut Vec<Effect>) {
        self.input.more = false;
        let Some(habits) = self.habits() else { return };
        let mut left = bytes_in(self.input.client, STEP_MS);
        while self.link.live() {
            if let Some((_, job)) = self.input.jobs.pop_front_if(|(position, _)| *position <= self.input.start) {
                self.carry_out(job, effects);
                continue;
            }
            let count = self.input.sendable(self.now, habits.pace_ahead_ms);
            if count == 0 {
                return;
            }
            if left == 0 {
                self.input.more = true;
                return;
            }
            let count = count.min(left);
            left -= count;
            let late = if habits.continuous { LATE_MS } else { 0 };
            self.pass_on(count, late, effects);
        }
    }

    fn pass_on(&mut self, count: u64, late: u64, effects: &mut Vec<Effect>) {
        let input = &mut self.input;
        let audio = input.tape.split_to(usize::try_from(count).unwrap_or(0));
        // What a long append took is given back.
        if input.tape.is_empty() && std::mem::take(&mut input.grown) {
            input.tape = BytesMut::new();
        }
        input.start += audio.len() as u64;
        let passed = ticks(input.client, audio.len() as u64);
        // Silence that was added behind an utterance is not the client's.
        let heard = passed.min(input.appended_ticks.saturating_sub(input.passed_ticks));
        input.passed_ticks += heard;
        self.passed.heard_ticks += heard;
        input.plays_to = input.plays_to.max(self.now.saturating_sub(late) * TICKS_PER_MS) + passed;
        match &mut self.input.converter {
            None => self.post_audio(&audio, effects),
            Some(converter) => match converter.convert(&audio) {
                Ok(converted) => self.post_audio(&converted, effects),
                Err(message) => self.fail(&crate::live::LiveFault::upstream(message), effects),
            },
        }
    }

    /// Stands in for a client that sends nothing.
    pub(super) fn fill_with_silence(&mut self, effects: &mut Vec<Effect>) {
        let now = self.now.saturating_sub(LATE_MS) * TICKS_PER_MS;
        let frame = PACED_FRAME_MS * TICKS_PER_MS;
        let input = &mut self.input;
        // After a long pause of the whole process nothing is made up for.
        input.plays_to = input.plays_to.max(now.saturating_sub(10 * frame));
        let quiet = silence(input.agent, PACED_FRAME_MS);
        while self.input.plays_to < now {
            self.input.plays_to += frame;
            self.post_audio(&quiet, effects);
        }
    }

    /// Puts what the converter holds behind the audio of an utterance.
    fn flush_input(&mut self, effects: &mut Vec<Effect>) {
        let Some(converter) = &mut self.input.converter else { return };
        match converter.flush() {
            Ok(rest) => self.post_audio(&rest, effects),
            Err(message) => self.fail(&crate::live::LiveFault::upstream(message), effects),
        }
    }

    fn carry_out(&mut self, job: Job, effects: &mut Vec<Effect>) {
        let mut event = None;
        let done = match job {
            Job::Say { role, text } => {
                self.passed.read_bytes += text.len() as u64;
                match role {
                    Role::User => self.order(Order::UserText(&text), effects),
                    Role::System => self.order(Order::SystemText(&text), effects),
                    Role::Assistant => self.order(Order::AssistantText(&text), effects),
                }
            }
            Job::EndTurn => {
                self.flush_input(effects);
                self.order(Order::EndTurn, effects)
            }
            Job::Respond { instructions, event_id } => {
                event = event_id;
                self.output.asked_at = Some(self.now);
                self.order(Order::Respond { instructions: instructions.as_deref() }, effects)
            }
            Job::Tool { call_id, name, output } => {
                self.passed.read_bytes += output.len() as u64;
                self.output.asked_at = Some(self.now);
                let order = Order::ToolOutput { call_id: &call_id, name: &name, output: &output };
                self.order(order, effects)
            }
        };
        if let Err(refusal) = done {
            self.writer.refusal(event.as_deref(), &refusal, effects);
            self.give_up(&refusal, effects);
        }
    }
}
