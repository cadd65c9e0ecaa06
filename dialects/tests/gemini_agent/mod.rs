//! Conversations with Gemini Live: what is sent for each order, and what each frame means.
//!
//! The frames are written by hand after Google's reference and what public issue threads quote.

mod ends;
mod random;
mod setups;
mod stories;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dialects::conversation::agent::{Agent, AgentOpener, Incoming, Order, Said};
use dialects::conversation::setup::{Message, Role, Setup, Tool, Transcription};
use dialects::live::Frame;
use domain::provider::ProviderKind;
use serde_json::{Value, json};

use crate::agent_setup;
use crate::golden::row;

fn opener() -> &'static dyn AgentOpener {
    row(ProviderKind::Google).agent.unwrap()
}

fn setup() -> Setup {
    let transcription = Some(Transcription::default());
    Setup { instructions: "Be brief.".to_owned(), transcription, ..agent_setup::of("gemini-3.8-live") }
}

fn weather() -> Tool {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    Tool { name: "get_weather".to_owned(), description: "Tells the weather.".to_owned(), parameters }
}

fn with_weather() -> Setup {
    Setup { tools: vec![weather()], ..setup() }
}

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn message(role: Role, text: &str) -> Message {
    Message { role, text: text.to_owned() }
}

/// A conversation as lines: what happens, and what comes of it.
struct Story {
    agent: Box<dyn Agent>,
    now: u64,
    lines: Vec<String>,
    said: Vec<Said>,
}

impl Story {
    fn with(setup: &Setup) -> Self {
        let mut story = Self { agent: opener().agent(setup), now: 0, lines: Vec::new(), said: Vec::new() };
        story.open();
        story
    }

    /// One whose setup is complete, and which can be resumed.
    fn ready(setup: &Setup) -> Self {
        let mut story = Self::with(setup);
        story.hears(json!({"setupComplete": {"sessionId": "s"}}));
        story.hears(json!({"sessionResumptionUpdate": {"newHandle": "h-1", "resumable": true}}));
        story
    }

    fn act(&mut self, what: String, act: impl FnOnce(&mut dyn Agent, u64, &mut Vec<Said>, &mut Vec<Frame>)) {
        self.lines.push(format!("{} {what}", self.now));
        let (mut said, mut out) = (Vec::new(), Vec::new());
        act(self.agent.as_mut(), self.now, &mut said, &mut out);
        self.lines.extend(said.iter().map(|said| format!("    says {}", shown(said))));
        self.lines.extend(out.iter().map(|frame| format!("    sends {}", sent(frame))));
        self.said.extend(said);
    }

    fn open(&mut self) {
        self.act("the socket is open".to_owned(), |agent, now, _, out| agent.opened(now, out));
    }

    fn hears(&mut self, message: Value) {
        let text = message.to_string();
        let brief: String = text.chars().take(160).collect();
        // As Google does, in bytes and with white space.
        let bytes = format!("{message:#}\n").into_bytes();
        self.act(brief, |agent, now, said, out| agent.read(Incoming::Binary(&bytes), now, said, out));
    }

    fn content(&mut self, content: Value) {
        self.hears(json!({"serverContent": content}));
    }

    fn speaks(&mut self) {
        let part = json!({"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": STANDARD.encode([1_u8; 480])}});
        self.content(json!({"modelTurn": {"role": "model", "parts": [part]}}));
    }

    fn made(&mut self) {
        self.content(json!({"generationComplete": true}));
    }

    fn complete(&mut self, prompt: u64, spoken: u64) {
        self.hears(json!({"serverContent": {"turnComplete": true, "interactionStatus": "IDLE"},
            "usageMetadata": used(prompt, spoken)}));
    }

    fn calls(&mut self, calls: &[(&str, &str)]) {
        let call = |(id, city): &(&str, &str)| json!({"id": id, "name": "get_weather", "args": {"city": city}});
        let calls: Vec<Value> = calls.iter().map(call).collect();
        self.hears(json!({"toolCall": {"functionCalls": calls}}));
    }

    fn order(&mut self, order: Order<'_>) {
        let what = format!("is told {}", named(&order));
        let mut refused = None;
        self.act(what, |agent, now, _, out| refused = agent.order(order, now, out).err());
        self.lines.extend(refused.map(|refusal| format!("    refuses {:?}: {}", refusal.param, refusal.message)));
    }

    fn respond(&mut self) {
        self.order(Order::Respond { instructions: None });
    }

    fn output(&mut self, call_id: &str, output: &str) {
        self.order(Order::ToolOutput { call_id, name: "get_weather", output });
    }

    fn audio(&mut self, ms: usize) {
        let bytes = vec![0; ms * 48];
        self.act(format!("is given {ms} ms"), |agent, _, _, out| agent.audio(&bytes, out));
    }

    /// Lets time pass, with all that becomes due.
    fn wait(&mut self, ms: u64) {
        let until = self.now + ms;
        for _ in 0..1_000 {
            let Some(due) = self.agent.next_tick().filter(|due| *due <= until) else { break };
            self.now = due.max(self.now);
            self.act("time passes".to_owned(), |agent, now, said, out| agent.tick(now, said, out));
        }
        self.now = until;
    }

    fn resume(&mut self, setup: &Setup) {
        let plan = self.agent.resumed(setup);
        self.lines.push(format!("{} is to go on elsewhere: {}", self.now, plan.is_some()));
    }

    fn shows(&self, name: &str) {
        insta::assert_snapshot!(format!("gemini_{name}"), self.lines.join("\n"));
    }
}

fn used(prompt: u64, spoken: u64) -> Value {
    json!({
        "promptTokenCount": prompt, "responseTokenCount": spoken, "totalTokenCount": prompt + spoken,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}, {"modality": "AUDIO", "tokenCount": prompt - 20}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": spoken}],
    })
}

fn named(order: &Order<'_>) -> String {
    match order {
        Order::Configure(_) => "another configuration".to_owned(),
        other => format!("{other:?}"),
    }
}

fn shown(said: &Said) -> String {
    match said {
        Said::Audio(audio) => format!("Audio({} bytes)", audio.len()),
        Said::Usage(used) => format!(
            "Usage(text {} in, {} out; audio {} in, {} out)",
            used.text_tokens_in, used.text_tokens_out, used.audio_tokens_in, used.audio_tokens_out
        ),
        other => format!("{other:?}"),
    }
}

fn sent(frame: &Frame) -> String {
    let Frame::Text(text) = frame else { return format!("{frame:?}") };
    let mut value: Value = serde_json::from_str(text).unwrap();
    if let Some(data) = value.pointer_mut("/realtimeInput/audio/data") {
        *data = json!(format!("{} bytes", STANDARD.decode(data.as_str().unwrap()).unwrap().len()));
    }
    value.to_string()
}
