//! Live sessions from transcripts of both sides: what comes out, and what holds whatever comes in.
//!
//! The transcripts are written by hand after the vendors' references and what public issue threads quote.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dialects::conversation::agent::Incoming;
use dialects::live::session::LiveSession;
use dialects::live::{Converter, Frame, bytes_in};
use dialects::translation::{Effect, Translation};
use domain::audio::RealtimeFormat;
use domain::provider::ProviderKind;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::golden::{fixture, row};

const COMPLETED: &str = "conversation.item.input_audio_transcription.completed";
const DELTA: &str = "conversation.item.input_audio_transcription.delta";

/// Keeps the length of audio and nothing else of it.
pub(crate) struct Length {
    from: RealtimeFormat,
    to: RealtimeFormat,
    taken: u64,
    given: u64,
}

impl Length {
    pub(crate) fn make(from: RealtimeFormat, to: RealtimeFormat) -> Result<Box<dyn Converter>, String> {
        Ok(Box::new(Self { from, to, taken: 0, given: 0 }))
    }
}

impl Converter for Length {
    fn convert(&mut self, audio: &[u8]) -> Result<Vec<u8>, String> {
        self.taken += audio.len() as u64;
        let due = self.taken * bytes_in(self.to, 1) / bytes_in(self.from, 1);
        let due = due - due % if matches!(self.to, RealtimeFormat::Pcm16(_)) { 2 } else { 1 };
        let fresh = due - self.given;
        self.given = due;
        Ok(vec![0; fresh as usize])
    }

    fn flush(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }
}

/// A session with its vendor's socket, which opens at once.
struct Played {
    session: LiveSession,
    format: RealtimeFormat,
    open: bool,
    ended: bool,
    lines: Vec<String>,
    events: Vec<Value>,
    /// Bytes of audio in a millisecond on the vendor's socket.
    rate: u64,
    /// Audio that the vendor has had, in 1/48 of a millisecond.
    audio: u64,
}

impl Played {
    fn new(kind: ProviderKind, model: &str) -> Self {
        let session = LiveSession::new(row(kind).live.unwrap(), model, "t", Length::make).unwrap();
        let format = RealtimeFormat::Pcm16(domain::audio::PCM_24K);
        let mut played =
            Self { session, format, open: false, ended: false, lines: vec![], events: vec![], rate: 1, audio: 0 };
        played.act(0, |session, _, effects| session.start(effects));
        played
    }

    fn act(&mut self, now: u64, act: impl FnOnce(&mut LiveSession, u64, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        act(&mut self.session, now, &mut effects);
        for effect in effects {
            self.carry_out(now, effect);
        }
    }

    fn carry_out(&mut self, now: u64, effect: Effect) {
        assert!(!self.ended || effect == Effect::Leave, "an ended session does nothing: {effect:?}");
        match effect {
            Effect::ToClient(event) => {
                let event: Value = serde_json::from_str(&event).unwrap();
                if let Some(format) = event.pointer("/session/audio/input/format/type") {
                    self.format = match format.as_str().unwrap() {
                        "audio/pcmu" => RealtimeFormat::Pcmu,
                        "audio/pcma" => RealtimeFormat::Pcma,
                        _ => RealtimeFormat::Pcm16(domain::audio::PCM_24K),
                    };
                }
                self.lines.push(format!("{now} client <- {}", brief(&event)));
                self.events.push(event);
            }
            Effect::Open(endpoint) => {
                assert!(!self.open, "one socket at a time");
                self.open = true;
                self.rate = rate(&endpoint.path);
                self.lines.push(format!("{now} open {}", endpoint.path));
                self.act(now, LiveSession::opened);
            }
            Effect::ToVendor(frame) => {
                assert!(self.open, "a frame without a socket: {frame:?}");
                let frame = self.frame(frame);
                self.lines.push(format!("{now} vendor <- {frame}"));
            }
            Effect::Leave => {
                self.open = false;
                self.lines.push(format!("{now} leave"));
            }
            Effect::End(code, reason) => {
                self.ended = true;
                self.lines.push(format!("{now} end {code} {reason}"));
            }
            Effect::Ask { .. } | Effect::Join(_) => panic!("nothing is asked beside the socket"),
        }
    }

    fn frame(&mut self, frame: Frame) -> String {
        match frame {
            Frame::Ping => "ping".to_owned(),
            Frame::Binary(bytes) => {
                assert!(!bytes.is_empty(), "an empty binary frame ends the stream");
                self.heard(bytes.len());
                "audio".to_owned()
            }
            Frame::Text(text) => {
                let mut value: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
                for place in ["/audio_base_64", "/realtimeInput/audio/data"] {
                    if let Some(data) = value.pointer_mut(place) {
                        let bytes = STANDARD.decode(data.as_str().unwrap()).unwrap().len();
                        self.heard(bytes);
                        *data = json!(format!("{bytes} bytes"));
                    }
                }
                value.to_string()
            }
        }
    }

    fn heard(&mut self, bytes: usize) {
        self.audio += bytes as u64 * 48 / self.rate;
    }

    fn pass_time(&mut self, until: u64) {
        while let Some(due) = self.session.next_tick().filter(|due| *due <= until) {
            self.act(due, LiveSession::tick);
        }
    }

    fn append(&mut self, now: u64, ms: u64) {
        let audio = STANDARD.encode(vec![0; bytes_in(self.format, ms) as usize]);
        let event = json!({"type": "input_audio_buffer.append", "audio": audio}).to_string();
        self.act(now, |session, now, effects| session.client(&event, now, effects));
        while self.session.busy() {
            self.act(now, LiveSession::work);
        }
    }

    fn close(&mut self, now: u64, code: u16, reason: &str) {
        if std::mem::take(&mut self.open) {
            self.act(now, |session, now, effects| session.lost(code, reason, now, effects));
        }
    }

    fn upstream(&mut self, now: u64, frame: &str) {
        if self.open {
            self.act(now, |session, now, effects| session.vendor(Incoming::Text(frame), now, effects));
        }
    }

    fn play(&mut self, line: &Line) {
        let now = line.t_ms;
        self.pass_time(now);
        self.lines.push(format!("{now} {} {}", line.from, line.shown()));
        if let Some(ms) = line.append_ms {
            self.append(now, ms);
        } else if let Some(code) = line.close {
            self.close(now, code, line.reason.as_deref().unwrap_or_default());
        } else if line.from == "client" {
            let text = line.frame();
            self.act(now, |session, now, effects| session.client(&text, now, effects));
        } else {
            self.upstream(now, &line.frame());
        }
    }

    /// What the completed items told, and the seconds they billed, in milliseconds.
    fn billed_ms(&self) -> u64 {
        let completed = self.events.iter().filter(|event| event["type"] == COMPLETED);
        completed
            .map(|event| (event.pointer("/usage/seconds").unwrap().as_f64().unwrap() * 1000.0).round() as u64)
            .sum()
    }
}

/// Bytes of audio in a millisecond, as the URL of a vendor's socket says.
fn rate(path: &str) -> u64 {
    let rates = [("linear16", 48), ("mulaw", 8), ("alaw", 8), ("pcm_24000", 48), ("pcm_8000", 16), ("ulaw", 8)];
    rates.iter().find(|(name, _)| path.contains(name)).map_or(32, |(_, rate)| *rate)
}

/// One line of a transcript.
#[derive(Deserialize)]
struct Line {
    t_ms: u64,
    from: String,
    text: Option<String>,
    bytes_b64: Option<String>,
    append_ms: Option<u64>,
    close: Option<u16>,
    reason: Option<String>,
}

impl Line {
    fn frame(&self) -> String {
        match (&self.text, &self.bytes_b64) {
            (Some(text), _) => text.clone(),
            (None, Some(bytes)) => String::from_utf8(STANDARD.decode(bytes).unwrap()).unwrap(),
            (None, None) => String::new(),
        }
    }

    fn shown(&self) -> String {
        match (self.append_ms, self.close) {
            (Some(ms), _) => format!("appends {ms} ms"),
            (None, Some(code)) => format!("closes {code} {}", self.reason.as_deref().unwrap_or_default()),
            (None, None) => format!("-> {}", self.frame().chars().take(100).collect::<String>()),
        }
    }
}

/// An event without its own id, and sessions without what never changes.
fn brief(event: &Value) -> String {
    let mut event = event.clone();
    if let Some(fields) = event.as_object_mut() {
        fields.remove("event_id");
    }
    event.to_string()
}

/// Runs of the same line are one line with a count.
fn folded(lines: &[String]) -> String {
    let mut out: Vec<(String, usize)> = Vec::new();
    for line in lines {
        match out.last_mut().filter(|(last, _)| last == line) {
            Some((_, count)) => *count += 1,
            None => out.push((line.clone(), 1)),
        }
    }
    let line = |(line, count): (String, usize)| if count == 1 { line } else { format!("{line} ({count} times)") };
    out.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

fn transcript(kind: ProviderKind, model: &str, path: &str) -> Played {
    let mut played = Played::new(kind, model);
    for line in String::from_utf8(fixture(path)).unwrap().lines() {
        played.play(&serde_json::from_str(line).unwrap());
    }
    played.lines.push(format!(
        "billed {} ms of {} ms that the vendor has had",
        played.billed_ms(),
        played.session.progress(0).billed_ms
    ));
    played
}

macro_rules! golden {
    ($($name:ident: $kind:ident $model:literal $path:literal;)*) => {$(
        #[test]
        fn $name() {
            let played = transcript(ProviderKind::$kind, $model, $path);
            check_items(&played.events);
            insta::assert_snapshot!(folded(&played.lines));
        }
    )*};
}

golden! {
    deepgram_turns: Deepgram "nova-3" "deepgram/live-turns.jsonl";
    deepgram_commits: Deepgram "nova-3" "deepgram/live-manual.jsonl";
    deepgram_drops: Deepgram "nova-3" "deepgram/live-drop.jsonl";
    deepgram_is_renewed: Deepgram "nova-3" "deepgram/live-renewed.jsonl";
    deepgram_refusals: Deepgram "nova-3" "deepgram/live-refused.jsonl";
    flux_turns: Deepgram "flux-general-en" "deepgram/live-flux-turns.jsonl";
    flux_commits: Deepgram "flux-general-en" "deepgram/live-flux-manual.jsonl";
    scribe_turns: Elevenlabs "scribe_v2_realtime" "elevenlabs/live-turns.jsonl";
    scribe_commits: Elevenlabs "scribe_v3_live" "elevenlabs/live-manual.jsonl";
    groq_utterances: Groq "whisper-large-v3-turbo" "groq/live-utterances.jsonl";
    gemini_turns: Google "gemini-3.5-transcribe-live" "google/live-turns.jsonl";
    gemini_commits: Google "gemini-3.5-transcribe-live" "google/live-manual.jsonl";
}

/// Every item is completed or failed at most once, after it was committed; what was told of it is the
/// beginning of its transcript or was revised by the vendor.
fn check_items(events: &[Value]) {
    let of = |kind: &str, id: &Value| {
        events
            .iter()
            .enumerate()
            .filter(|(_, e)| e["type"] == kind && e["item_id"] == *id)
            .map(|(n, _)| n)
            .collect::<Vec<_>>()
    };
    for (at, event) in events.iter().enumerate().filter(|(_, event)| event["type"] == COMPLETED) {
        let id = &event["item_id"];
        assert_eq!(of(COMPLETED, id), [at]);
        let committed = of("input_audio_buffer.committed", id);
        assert!(matches!(committed.as_slice(), [committed] if *committed < at), "{id}");
        let deltas = of(DELTA, id);
        assert!(deltas.iter().all(|delta| *delta < at), "no delta after the transcript");
        let (started, stopped) =
            (of("input_audio_buffer.speech_started", id), of("input_audio_buffer.speech_stopped", id));
        assert_eq!(started.len(), stopped.len());
        assert!(started.iter().zip(&stopped).all(|(started, stopped)| started < stopped));
    }
}

fn told(events: &[Value], id: &Value) -> String {
    let deltas = events.iter().filter(|event| event["type"] == DELTA && event["item_id"] == *id);
    deltas.map(|event| event["delta"].as_str().unwrap()).collect()
}

const VENDORS: [(ProviderKind, &str); 4] = [
    (ProviderKind::Deepgram, "nova-3"),
    (ProviderKind::Deepgram, "flux-general-en"),
    (ProviderKind::Elevenlabs, "scribe_v2_realtime"),
    (ProviderKind::Google, "gemini-3.5-transcribe-live"),
];

/// One thing that happens in a random session.
#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    Client(String),
    Upstream(String),
    Close(u16),
    Wait(u64),
}

fn vendor_frame() -> impl Strategy<Value = String> {
    let text = prop_oneof![Just(String::new()), "[a-c ]{0,12}", Just("日本 語".to_owned())];
    let number =
        prop_oneof![Just(json!(null)), (0..90_u32).prop_map(|n| json!(f64::from(n) / 2.0)), Just(json!(-1e300))];
    (0..16_usize, text, number, any::<bool>(), any::<bool>()).prop_map(|(kind, text, number, a, b)| {
        let words = json!([{"start": number}]);
        match kind {
            0..=3 => json!({"type": "Results", "start": number, "duration": 1.0, "is_final": a, "speech_final": b,
                "from_finalize": kind == 0, "channel": {"alternatives": [{"transcript": text, "words": words}]}}),
            4 => json!({"type": "SpeechStarted", "timestamp": number}),
            5 => json!({"type": "UtteranceEnd", "last_word_end": number}),
            6 => json!({"type": "Connected"}),
            7 | 8 => json!({"type": "TurnInfo", "event": if a { "EndOfTurn" } else { "Update" }, "transcript": text,
                "words": words, "audio_window_end": number}),
            9 => json!({"message_type": "session_started"}),
            10 => json!({"message_type": if a { "partial_transcript" } else { "committed_transcript" }, "text": text}),
            11 => json!({"message_type": "commit_throttled", "error": text}),
            12 => json!({"setupComplete": {}}),
            13 => json!({"serverContent": {"interimInputTranscription": {"text": text}, "turnComplete": b}}),
            14 => {
                json!({"serverContent": {"inputTranscription": {"text": text, "endOffset": "1.5s"}, "turnComplete": b}})
            }
            _ => json!({"goAway": {"timeLeft": "9s"}, "other": text}),
        }
        .to_string()
    })
}

fn client_frame() -> impl Strategy<Value = String> {
    let format = prop_oneof![Just(json!({"type": "audio/pcmu"})), Just(json!({"type": "audio/pcm", "rate": 24000}))];
    let turns = prop_oneof![Just(json!(null)), Just(json!({"type": "server_vad"}))];
    let input = prop_oneof![
        format.prop_map(|format| json!({"format": format})),
        turns.prop_map(|turns| json!({"turn_detection": turns})),
        "[a-z]{2}".prop_map(|language| json!({"transcription": {"language": language}})),
    ];
    prop_oneof![
        3 => Just(json!({"type": "input_audio_buffer.commit"}).to_string()),
        1 => Just(json!({"type": "input_audio_buffer.clear"}).to_string()),
        1 => input.prop_map(|input| json!({"type": "session.update",
            "session": {"type": "transcription", "audio": {"input": input}}}).to_string()),
        1 => Just(json!({"type": "input_audio_buffer.append", "audio": "AAAA"}).to_string()),
        1 => "\\PC{0,40}",
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..3000_u64).prop_map(Step::Append),
        3 => client_frame().prop_map(Step::Client),
        8 => vendor_frame().prop_map(Step::Upstream),
        1 => "\\PC{0,60}".prop_map(Step::Upstream),
        1 => prop_oneof![Just(1000), Just(1006), Just(1011)].prop_map(Step::Close),
        2 => (1..20_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_items_are_completed_once_and_audio_is_billed_once(
        vendor in 0..VENDORS.len(), steps in prop::collection::vec(step(), 1..60)
    ) {
        let (kind, model) = VENDORS[vendor];
        let mut played = Played::new(kind, model);
        let mut now = 0;
        for step in steps {
            if played.ended {
                break;
            }
            match step {
                Step::Append(ms) => played.append(now, ms),
                Step::Client(frame) => played.act(now, |s, now, effects| s.client(&frame, now, effects)),
                Step::Upstream(frame) => played.upstream(now, &frame),
                Step::Close(code) => played.close(now, code, ""),
                Step::Wait(ms) => {
                    now += ms;
                    played.pass_time(now);
                }
            }
            prop_assert!(played.billed_ms() <= played.session.progress(0).billed_ms);
        }
        check_items(&played.events);
        let before = played.events.len();
        played.act(now, |session, _, effects| session.finish(effects));
        prop_assert_eq!(played.events.len(), before, "nobody is told anything after the end");
        prop_assert_eq!(played.audio / 48, played.session.progress(0).billed_ms, "what is billed is what the vendor has had");
    }

    /// A vendor that only ever adds words: the client gets each, in order, however results are cut.
    #[test]
    fn nothing_that_the_vendor_says_is_lost(cuts in prop::collection::vec((1..5_usize, any::<bool>(), any::<bool>()), 1..30)) {
        let mut played = Played::new(ProviderKind::Deepgram, "nova-3");
        played.append(0, 60_000);
        let (mut said, mut piece, mut at) = (Vec::new(), Vec::new(), 0.0);
        for (index, (words, last, ends)) in cuts.iter().enumerate() {
            piece.extend((0..*words).map(|word| format!("w{index}x{word}")));
            let frame = json!({"type": "Results", "start": at, "duration": 0.5, "is_final": last, "speech_final": *last && *ends,
                "channel": {"alternatives": [{"transcript": piece.join(" "), "words": [{"start": at}]}]}});
            played.upstream(index as u64, &frame.to_string());
            if *last {
                at += 0.5;
                said.append(&mut piece);
            }
        }
        played.act(100, |s, now, effects| s.client(r#"{"type":"input_audio_buffer.commit"}"#, now, effects));
        let last = json!({"type": "Results", "is_final": true, "from_finalize": true,
            "channel": {"alternatives": [{"transcript": piece.join(" ")}]}});
        played.upstream(101, &last.to_string());
        said.append(&mut piece);
        let completed: Vec<_> = played.events.iter().filter(|event| event["type"] == COMPLETED).collect();
        let heard = completed.iter().map(|event| event["transcript"].as_str().unwrap()).filter(|text| !text.is_empty());
        prop_assert_eq!(heard.collect::<Vec<_>>().join(" "), said.join(" "));
        for event in &completed {
            prop_assert_eq!(told(&played.events, &event["item_id"]), event["transcript"].as_str().unwrap());
        }
        prop_assert_eq!(played.billed_ms(), 60_000);
        prop_assert_eq!(played.audio / 48, 60_000);
    }
}
