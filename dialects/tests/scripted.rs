//! An agent that says what a script tells it, in frames that hold it as JSON, and writes down its orders.

use std::collections::BTreeMap;

use dialects::contract::{Endpoint, UpstreamModel};
use dialects::conversation::abilities::{Abilities, Ability, Support};
use dialects::conversation::agent::{Agent, AgentOpener, Billing, Cut, Habits, Incoming, Order, Plan, Said, Way};
use dialects::conversation::session::Target;
use dialects::conversation::setup::Setup;
use dialects::live::events::Refusal;
use dialects::live::{Frame, LiveFault, bytes_in};
use domain::audio::{RealtimeFormat, SampleRate};
use domain::usage::Usage;
use serde_json::Value;

const AUDIO: RealtimeFormat = RealtimeFormat::Pcm16(SampleRate(16_000));

/// The vendors of the tests.
#[derive(Debug)]
pub(crate) struct Scripted {
    abilities: Abilities,
    billing: Billing,
    habits: Habits,
    asked: bool,
    resumes: bool,
}

const HABITS: Habits = Habits {
    greets_within_ms: 5_000,
    keep_alive_ms: 30_000,
    pace_ahead_ms: None,
    continuous: false,
    turn_end_silence_ms: None,
};

macro_rules! all {
    ($support:expr; $($ability:ident)*) => { &[$((Ability::$ability, $support)),*] };
}

const ALL: &[(Ability, Support)] = all!(Support::Native;
    ManualTurns SemanticTurns TurnTuning IdleTimeout NoAutomaticResponse NoInterruption InputTranscription TextOutput
    Voice Speed Temperature MaxOutputTokens Tools ToolChoice ChangeInstructions ChangeTools ChangeVoice ChangeTurns
    ChangeOutput ChangeTranscription UserText UserAudio SystemText AssistantText ToolOutput InsertItem DeleteItem
    Truncate Respond ResponseInstructions Cancel
);

/// Does all that can be asked, and is paid by tokens.
pub(crate) static ABLE: Scripted = Scripted {
    abilities: Abilities { vendor: "Able", table: ALL },
    billing: Billing::Tokens,
    habits: HABITS,
    asked: false,
    resumes: false,
};

/// Does the same, on a socket that is asked for, goes on elsewhere, and is paid by the time.
pub(crate) static RESUMING: Scripted = Scripted {
    abilities: Abilities { vendor: "Resuming", table: ALL },
    billing: Billing::Connected { step_ms: 6_000 },
    habits: HABITS,
    asked: true,
    resumes: true,
};

/// Hears a stream that never pauses, at the speed of speech, and ends turns by silence.
pub(crate) static STEADY: Scripted = Scripted {
    abilities: Abilities { vendor: "Steady", table: ALL },
    billing: Billing::Connected { step_ms: 1 },
    habits: Habits { pace_ahead_ms: Some(200), continuous: true, turn_end_silence_ms: Some(600), ..HABITS },
    asked: false,
    resumes: false,
};

/// Does hardly more than talk.
pub(crate) static STUBBORN: Scripted = Scripted {
    abilities: Abilities {
        vendor: "Stubborn",
        table: &[
            (Ability::InputTranscription, Support::Native),
            (Ability::SemanticTurns, Support::Ignored("it finds turns in its own way")),
            (Ability::Speed, Support::Ignored("it has one speed")),
            (Ability::Tools, Support::Native),
            (Ability::ToolOutput, Support::Native),
            (Ability::ChangeTools, Support::Refused("functions are fixed when the conversation begins")),
            (Ability::UserText, Support::Native),
            (Ability::Cancel, Support::Ignored("it talks on")),
            (Ability::Voice, Support::Native),
        ],
    },
    billing: Billing::Tokens,
    habits: HABITS,
    asked: false,
    resumes: false,
};

/// Where the tests' conversations go.
pub(crate) fn target() -> Target {
    let model = UpstreamModel {
        wire_name: "agent-1".to_owned(),
        model: "agent-1".to_owned(),
        provider: "mine".to_owned(),
        options: BTreeMap::new(),
    };
    Target { model, voices: BTreeMap::from([("alloy".to_owned(), "voice-7".to_owned())]) }
}

impl AgentOpener for Scripted {
    fn abilities(&self) -> &'static Abilities {
        let all = [&ABLE, &RESUMING, &STEADY, &STUBBORN];
        &all.into_iter().find(|one| one.abilities.vendor == self.abilities.vendor).unwrap().abilities
    }

    fn billing(&self) -> Billing {
        self.billing
    }

    fn plan(&self, setup: &Setup) -> Result<Plan, Refusal> {
        if setup.instructions == "unplanned" {
            return Err(Refusal::value("session.instructions", "There is no plan for this."));
        }
        let endpoint = Endpoint::at("/talk");
        let way = if self.asked { Way::Asked { endpoint, body: Some(vec![b' '; 3]) } } else { Way::Socket(endpoint) };
        Ok(Plan { way, input: AUDIO, output: AUDIO })
    }

    fn agent(&self, setup: &Setup) -> Box<dyn Agent> {
        Box::new(Actor {
            habits: self.habits,
            resumes: self.resumes,
            greeting: told(setup),
            restless: setup.instructions == "restless",
        })
    }
}

struct Actor {
    habits: Habits,
    resumes: bool,
    greeting: String,
    /// It wants to be told the time all the time.
    restless: bool,
}

fn told(setup: &Setup) -> String {
    let tools: Vec<&str> = setup.tools.iter().map(|tool| tool.name.as_str()).collect();
    let history: Vec<String> = setup.history.iter().map(|said| format!("{:?}: {}", said.role, said.text)).collect();
    format!(
        "instructions {:?} voice {:?} speed {} {:?} tools {tools:?} turns {:?} transcription {} history {history:?}",
        setup.instructions,
        setup.voice,
        setup.speed,
        setup.output,
        setup.turns,
        setup.transcription.is_some(),
    )
}

impl Agent for Actor {
    fn habits(&self) -> Habits {
        self.habits
    }

    fn invited(&mut self, body: &[u8]) -> Result<String, LiveFault> {
        match std::str::from_utf8(body) {
            Ok(address) if !address.is_empty() => Ok(address.to_owned()),
            _ => Err(LiveFault::upstream("There is no address.")),
        }
    }

    fn opened(&mut self, _now: u64, out: &mut Vec<Frame>) {
        out.push(Frame::Text(self.greeting.clone()));
    }

    fn audio(&mut self, bytes: &[u8], out: &mut Vec<Frame>) {
        assert!(!bytes.is_empty() && bytes.len().is_multiple_of(2));
        out.push(Frame::Binary(bytes.to_vec()));
    }

    fn order(&mut self, order: Order<'_>, _now: u64, out: &mut Vec<Frame>) -> Result<(), Refusal> {
        if let Order::UserText("impossible") = order {
            return Err(Refusal::value("item", "This cannot be said."));
        }
        out.push(Frame::Text(match order {
            Order::Configure(setup) => format!("configure {}", told(setup)),
            other => format!("{other:?}"),
        }));
        Ok(())
    }

    fn read(&mut self, frame: Incoming<'_>, _now: u64, said: &mut Vec<Said>, _out: &mut Vec<Frame>) {
        let Incoming::Text(text) = frame else { return };
        let lines: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
        said.extend(lines.iter().filter_map(read));
    }

    fn next_tick(&self) -> Option<u64> {
        self.restless.then_some(0)
    }

    fn keep_alive(&mut self, out: &mut Vec<Frame>) {
        out.push(Frame::Text("alive".to_owned()));
    }

    fn goodbye(&mut self, out: &mut Vec<Frame>) {
        out.push(Frame::Text("goodbye".to_owned()));
    }

    fn resumed(&mut self, setup: &Setup) -> Option<Plan> {
        self.greeting = format!("again {}", told(setup));
        let way = Way::Socket(Endpoint::at("/talk/again"));
        self.resumes.then_some(Plan { way, input: AUDIO, output: AUDIO })
    }

    fn closed(&self, code: u16, reason: &str) -> Option<LiveFault> {
        (code != 1000).then(|| LiveFault::upstream(format!("closed with {code} {reason}")))
    }
}

/// One thing that is said, as `"Name"` or `{"Name": value}`.
fn read(line: &Value) -> Option<Said> {
    let (name, value) = match line {
        Value::String(name) => (name.as_str(), &Value::Null),
        Value::Object(fields) => fields.iter().next().map(|(name, value)| (name.as_str(), value))?,
        _ => return None,
    };
    let text = || value.as_str().unwrap_or_default().to_owned();
    let number = |field: &str| value[field].as_u64().unwrap_or_default();
    Some(match name {
        "Ready" => Said::Ready { input: None, output: None },
        "Configured" => Said::Configured,
        "SpeechStarted" => Said::SpeechStarted,
        "SpeechStopped" => Said::SpeechStopped,
        "Heard" => Said::Heard(text()),
        "HeardAll" => Said::HeardAll(text()),
        "ResponseStarted" => Said::ResponseStarted,
        "Text" => Said::Text(text()),
        "TextAll" => Said::TextAll(text()),
        "TextCorrected" => Said::TextCorrected(text()),
        "Audio" => Said::Audio(vec![0; bytes_in(AUDIO, value.as_u64().unwrap_or_default()) as usize]),
        "Bytes" => Said::Audio(vec![0; value.as_u64().unwrap_or_default() as usize]),
        "ToolCall" => Said::ToolCall {
            call_id: value["id"].as_str()?.to_owned(),
            name: "weather".to_owned(),
            arguments: "{\"city\":\"Oslo\"}".to_owned(),
        },
        "ToolCallsEnded" => Said::ToolCallsEnded,
        "ToolCallWithdrawn" => Said::ToolCallWithdrawn { call_id: text() },
        "ResponseEnded" => Said::ResponseEnded,
        "ResponseCut" => Said::ResponseCut(match value.as_str() {
            Some("tokens") => Cut::MaxOutputTokens,
            Some("filter") => Cut::ContentFilter,
            _ => Cut::Failed(LiveFault::upstream("It failed.")),
        }),
        "Interrupted" => Said::Interrupted,
        "Usage" => Said::Usage(Usage {
            text_tokens_in: number("text_in"),
            audio_tokens_in: number("audio_in"),
            text_tokens_out: number("text_out"),
            audio_tokens_out: number("audio_out"),
            ..Usage::default()
        }),
        "Complaint" => Said::Complaint(LiveFault::upstream(text())),
        "Leaving" => Said::Leaving { within_ms: value.as_u64().unwrap_or_default() },
        "Ended" => Said::Ended,
        "Failed" => Said::Failed(LiveFault::upstream(text())),
        _ => return None,
    })
}
