//! Conversations with Gemini Live: one setup message, then JSON both ways, in text or binary frames.
//!
//! Gemini finds the user's turns itself, or takes them between `activityStart` and `activityEnd`. Text is
//! appended to the conversation as `clientContent`, which breaks off whatever is being said, so it waits
//! until nothing is. Instructions and functions change within a session; everything else by a new
//! connection that goes on with the conversation, by a handle that Gemini tells between turns. The same
//! is done when Gemini leaves, which it does every ten minutes.
//!
//! Source: the Gemini Live API reference, Google's SDKs, and what public issue threads quote, read
//! 2026-11-21.

mod abilities;
mod close;
mod orders;
mod read;
mod setup;
mod turn;
mod usage;
mod wire;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::audio::{PCM_24K, RealtimeFormat};

use self::turn::Turn;
use crate::contract::Endpoint;
use crate::conversation::abilities::Abilities;
use crate::conversation::agent::{Agent, AgentOpener, Billing, Habits, Incoming, Order, Plan, Said, Way};
use crate::conversation::setup::{Role, Setup};
use crate::live::events::Refusal;
use crate::live::{Frame, LiveFault, bytes_in};

/// The method, below the host.
const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
/// What Gemini speaks.
const OUTPUT: RealtimeFormat = RealtimeFormat::Pcm16(PCM_24K);
/// Behind the audio in its message.
const AFTER_AUDIO: &str = "\"}}}";
/// A stream that brings nothing for so long has paused.
const PAUSE_MS: u64 = 1_000;
/// Less than this was hardly a user's turn.
const LEAST_TURN_MS: u64 = 500;
/// The session has so long to find a moment between turns in which it changes the connection.
const RENEWAL_MS: u64 = 30_000;
/// A turn that Gemini still plays is waited for so long: its handle knows of it.
const PLAYED_MS: u64 = 10_000;
/// So long before Gemini leaves, the session is told whatever happens.
const NOTICE_MS: u64 = 6_000;

/// Opens conversations with Gemini Live.
#[derive(Debug)]
pub struct GoogleAgent;

impl AgentOpener for GoogleAgent {
    fn abilities(&self) -> &'static Abilities {
        &abilities::ABILITIES
    }

    fn billing(&self) -> Billing {
        Billing::Tokens
    }

    fn plan(&self, setup: &Setup) -> Result<Plan, Refusal> {
        setup::check(setup)?;
        Ok(plan(setup))
    }

    fn agent(&self, setup: &Setup) -> Box<dyn Agent> {
        Box::new(Gemini::new(setup))
    }
}

fn plan(setup: &Setup) -> Plan {
    Plan { way: Way::Socket(Endpoint::at(PATH)), input: setup::input(setup), output: OUTPUT }
}

/// Audio of the user, as it comes.
#[derive(Debug, Default)]
struct Stream {
    /// It runs: Gemini was not told that it paused.
    flows: bool,
    /// Something came since the last look.
    fresh: bool,
    looked_at: u64,
    /// Bytes since the model last began a turn.
    bytes: u64,
}

/// A change that only a new connection brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Renewal {
    #[default]
    None,
    /// As soon as nothing is being said.
    Wanted { since: u64 },
    /// The session was told to leave.
    Told,
}

/// One conversation, over its sockets.
#[derive(Debug)]
struct Gemini {
    setup: Setup,
    /// The message around audio, up to it.
    before_audio: String,
    now: u64,
    turn: Turn,
    stream: Stream,
    /// Calls whose outputs are waited for.
    calls: Vec<String>,
    /// Calls of a connection that is gone: their outputs are told as text.
    lost_calls: Vec<String>,
    /// What was written while Gemini was at an answer.
    texts: Vec<(Role, String)>,
    /// The last text that Gemini was told is the user's, and not answered.
    unanswered: bool,
    /// An activity was begun (turns are the client's).
    activity: bool,
    /// The instructions of a response stand in for the session's.
    lent: bool,
    /// Pieces of the user's words came since the model last began a turn.
    heard: bool,
    /// What the user says is being written down.
    writes_down: bool,
    /// Gemini tells when the user speaks.
    tells_activity: bool,
    handle: Option<String>,
    /// The next setup goes on with the conversation of the handle.
    resumes: bool,
    renewal: Renewal,
    /// Gemini leaves then, and the session does not know yet.
    leaves_at: Option<u64>,
    /// A change is in force, and the session is to be told.
    configured: bool,
}

impl Gemini {
    fn new(setup: &Setup) -> Self {
        Self {
            before_audio: before_audio(setup),
            setup: setup.clone(),
            now: 0,
            turn: Turn::default(),
            stream: Stream::default(),
            calls: Vec::new(),
            lost_calls: Vec::new(),
            texts: Vec::new(),
            unanswered: false,
            activity: false,
            lent: false,
            heard: false,
            writes_down: false,
            tells_activity: false,
            handle: None,
            resumes: false,
            renewal: Renewal::None,
            leaves_at: None,
            configured: false,
        }
    }

    /// Turns are the client's.
    fn manual(&self) -> bool {
        self.setup.turns.is_none()
    }

    /// Whether what is written has to wait: Gemini would break off its answer for it, or give up a call.
    fn busy(&self) -> bool {
        self.turn.busy() || !self.calls.is_empty()
    }

    /// What waited for the end of an answer.
    fn catch_up(&mut self, out: &mut Vec<Frame>) {
        if self.busy() {
            return;
        }
        if std::mem::take(&mut self.lent) {
            orders::send(&orders::instructions(&self.setup.instructions), out);
        }
        if !self.texts.is_empty() && !self.activity {
            self.tell(false, out);
        }
    }

    /// A pause of the user's stream is told, since Gemini hears silence only where it is sent.
    fn look_at_stream(&mut self, out: &mut Vec<Frame>) {
        if self.now < self.stream.looked_at + PAUSE_MS || !self.stream.flows || self.manual() {
            return;
        }
        self.stream.looked_at = self.now;
        if !std::mem::take(&mut self.stream.fresh) {
            self.pause(out);
        }
    }

    fn pause(&mut self, out: &mut Vec<Frame>) {
        if std::mem::take(&mut self.stream.flows) {
            out.push(Frame::Text(r#"{"realtimeInput":{"audioStreamEnd":true}}"#.to_owned()));
        }
    }

    /// Whether enough was sent for a turn of the user's.
    fn could_have_spoken(&self) -> bool {
        self.stream.bytes >= bytes_in(setup::input(&self.setup), LEAST_TURN_MS)
    }

    /// When a connection that other settings need may be opened.
    fn renews_at(&self) -> Option<u64> {
        let Renewal::Wanted { since } = self.renewal else { return None };
        let waits = if self.turn.playing() { PLAYED_MS } else { 0 };
        (!self.busy()).then_some(since + waits)
    }

    /// Gemini's leave is told at a good moment: nobody knows whether the user is speaking, but with a new
    /// handle a turn has just ended, and a stream that pauses brings nothing.
    fn take_leave(&mut self, new_handle: bool, said: &mut Vec<Said>) {
        let Some(at) = self.leaves_at else { return };
        let good = !self.busy() && (new_handle || !self.stream.flows);
        if good || at <= self.now + NOTICE_MS {
            self.leaves_at = None;
            said.push(Said::Leaving { within_ms: at.saturating_sub(self.now) });
        }
    }
}

/// The rate is declared with every piece.
fn before_audio(setup: &Setup) -> String {
    let rate = match setup::input(setup) {
        RealtimeFormat::Pcm16(rate) => rate,
        RealtimeFormat::Pcmu | RealtimeFormat::Pcma => PCM_24K,
    };
    format!(r#"{{"realtimeInput":{{"audio":{{"mimeType":"audio/pcm;rate={}","data":""#, rate.0)
}

impl Agent for Gemini {
    fn habits(&self) -> Habits {
        Habits {
            greets_within_ms: 10_000,
            keep_alive_ms: 10_000,
            pace_ahead_ms: None,
            continuous: false,
            turn_end_silence_ms: None,
        }
    }

    fn opened(&mut self, now: u64, out: &mut Vec<Frame>) {
        self.now = now;
        let handle = self.handle.as_deref().filter(|_| self.resumes);
        let message = setup::message(&self.setup, handle);
        if handle.is_none() {
            self.turn.meter.read(self.setup.instructions.len() + setup::tools(&self.setup).to_string().len());
        }
        self.turn.meter.listen_at(bytes_in(setup::input(&self.setup), 1_000), bytes_in(OUTPUT, 1_000));
        out.push(Frame::Text(message.to_string()));
    }

    fn audio(&mut self, bytes: &[u8], out: &mut Vec<Frame>) {
        if self.manual() && !self.activity {
            // An answer that is only being played would hold up the next one.
            if self.turn.late() {
                self.break_off(out);
            }
            self.activity = true;
            out.push(Frame::Text(r#"{"realtimeInput":{"activityStart":{}}}"#.to_owned()));
        }
        self.stream.flows = true;
        self.stream.fresh = true;
        self.stream.bytes = self.stream.bytes.saturating_add(bytes.len() as u64);
        self.turn.meter.hear(bytes.len());
        let encoded = bytes.len().div_ceil(3) * 4;
        let mut text = String::with_capacity(self.before_audio.len() + encoded + AFTER_AUDIO.len());
        text.push_str(&self.before_audio);
        STANDARD.encode_string(bytes, &mut text);
        text.push_str(AFTER_AUDIO);
        out.push(Frame::Text(text));
    }

    fn order(&mut self, order: Order<'_>, now: u64, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        self.now = now;
        self.carry_out(order, out)
    }

    fn read(&mut self, frame: Incoming<'_>, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        self.now = now;
        self.understand(frame, said, out);
        self.catch_up(out);
    }

    fn next_tick(&self) -> Option<u64> {
        let look = (self.stream.flows && !self.manual()).then(|| self.stream.looked_at + PAUSE_MS);
        let now = self.configured.then_some(self.now);
        let leave = self.leaves_at.map(|at| at.saturating_sub(NOTICE_MS));
        [now, look, leave, self.renews_at(), self.turn.next_tick()].into_iter().flatten().min()
    }

    fn tick(&mut self, now: u64, said: &mut Vec<Said>, out: &mut Vec<Frame>) {
        self.now = now;
        self.turn.tick(now, said);
        self.look_at_stream(out);
        self.catch_up(out);
        if std::mem::take(&mut self.configured) {
            said.push(Said::Configured);
        }
        self.take_leave(false, said);
        if self.renews_at().is_some_and(|at| at <= now) {
            self.renewal = Renewal::Told;
            said.push(Said::Leaving { within_ms: RENEWAL_MS });
        }
    }

    fn keep_alive(&mut self, out: &mut Vec<Frame>) {
        out.push(Frame::Ping);
    }

    fn resumed(&mut self, setup: &Setup) -> Option<Plan> {
        self.handle.as_ref()?;
        setup::check(setup).ok()?;
        self.resumes = true;
        self.setup = setup.clone();
        self.before_audio = before_audio(setup);
        self.lost_calls.append(&mut self.calls);
        self.turn.lose();
        self.leaves_at = None;
        self.stream = Stream::default();
        self.activity = false;
        self.lent = false;
        self.heard = false;
        self.writes_down = false;
        Some(plan(setup))
    }

    fn closed(&self, code: u16, reason: &str) -> Option<LiveFault> {
        close::fault(code, reason)
    }
}
