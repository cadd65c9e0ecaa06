//! Gemini's live transcription: one setup message, audio in base64, interim and final transcriptions.
//!
//! Frames are JSON with one member each and may come as binary. Nothing is sent before the setup is
//! complete, and it is sent once. Errors come as close codes with a reason alone.
//!
//! Source: the Gemini Live API reference, read 2026-11-21.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::audio::{RealtimeFormat, SampleRate};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::Endpoint;
use crate::live::events::Refusal;
use crate::live::settings::{Settings, Turns, param};
use crate::live::{Frame, Habits, Heard, LiveFault, LiveOpener, LiveTranscriber, Outgoing, Plan};
use crate::live::{milliseconds, silence, spaced};

/// The method, below the host.
const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
/// The rate that the model listens at.
const AUDIO: RealtimeFormat = RealtimeFormat::Pcm16(SampleRate(16_000));
/// Tokens that a second of audio is billed as.
const TOKENS_PER_SECOND: u32 = 25;

/// Opens Gemini's live transcription.
#[derive(Debug)]
pub struct GoogleLive;

impl LiveOpener for GoogleLive {
    fn plan(&self, settings: &Settings) -> Result<Plan, Refusal> {
        if settings.prompt.is_some() {
            let message = "Gemini's live transcription takes no prompt; name words in 'keywords'.";
            return Err(Refusal::value(param::PROMPT, message));
        }
        let detection = match settings.turns {
            None => json!({"disabled": true}),
            Some(Turns::Silence { prefix_padding_ms, silence_duration_ms, .. }) => json!({
                "disabled": false, "prefixPaddingMs": prefix_padding_ms, "silenceDurationMs": silence_duration_ms,
            }),
            Some(Turns::Meaning(_)) => {
                let message = format!("Google's '{}' finds turns by 'server_vad' only.", settings.model);
                return Err(Refusal::value(param::TURNS, message));
            }
        };
        let mut transcription = json!({});
        let languages: Vec<&String> = settings.spoken().collect();
        for (name, list) in [("languageCodes", json!(languages)), ("customVocabulary", json!(settings.keywords))] {
            if list.as_array().is_some_and(|list| !list.is_empty()) {
                set(&mut transcription, name, list);
            }
        }
        let setup = json!({"setup": {
            "model": format!("models/{}", settings.model),
            "generationConfig": {"responseModalities": ["TEXT"]},
            "realtimeInputConfig": {"automaticActivityDetection": detection},
            "inputAudioTranscription": transcription,
        }});
        Ok(Plan { endpoint: Endpoint::at(PATH), audio: AUDIO, greeting: Some(setup.to_string()) })
    }

    fn transcriber(&self, settings: &Settings) -> Box<dyn LiveTranscriber> {
        Box::new(Gemini { manual: settings.turns.is_none(), active: false })
    }

    fn tokens_per_second(&self) -> Option<u32> {
        Some(TOKENS_PER_SECOND)
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// One socket.
#[derive(Debug)]
struct Gemini {
    /// The client commits; otherwise the model finds the turns.
    manual: bool,
    /// An activity was begun and not ended.
    active: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    setup_complete: Option<Value>,
    server_content: Option<Content>,
    go_away: Option<GoAway>,
    voice_activity: Option<Activity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    interim_input_transcription: Option<Transcription>,
    input_transcription: Option<Transcription>,
    #[serde(default)]
    turn_complete: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transcription {
    #[serde(default)]
    text: String,
    start_offset: Option<String>,
    end_offset: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GoAway {
    time_left: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Activity {
    #[serde(default)]
    voice_activity_type: String,
    audio_offset: Option<String>,
}

/// A duration as `3.2s`.
fn duration_ms(text: Option<&str>) -> Option<u64> {
    milliseconds(text?.strip_suffix('s')?.parse().ok())
}

impl Gemini {
    fn chunk(bytes: &[u8], out: &mut Vec<Outgoing>) {
        let data = STANDARD.encode(bytes);
        let text = format!(r#"{{"realtimeInput":{{"audio":{{"data":"{data}","mimeType":"audio/pcm;rate=16000"}}}}}}"#);
        out.push(Outgoing { frame: Frame::Text(text), audio_bytes: bytes.len() });
    }

    fn begin(&mut self, out: &mut Vec<Outgoing>) {
        if self.manual && !self.active {
            self.active = true;
            out.push(Outgoing::text(r#"{"realtimeInput":{"activityStart":{}}}"#));
        }
    }
}

impl LiveTranscriber for Gemini {
    fn habits(&self) -> Habits {
        Habits {
            greets: true,
            keep_alive_ms: 10_000,
            commit_answer_ms: 8_000,
            drain_ms: 2_500,
            stall_ms: None,
            // The end of a turn is not always told.
            quiet_ms: Some(1_000),
            tail_ms: 1_000,
        }
    }

    fn audio(&mut self, bytes: Vec<u8>, out: &mut Vec<Outgoing>) {
        self.begin(out);
        Self::chunk(&bytes, out);
    }

    fn commit(&mut self, _pending: u64, out: &mut Vec<Outgoing>) {
        if !self.manual {
            out.push(Outgoing::text(r#"{"realtimeInput":{"audioStreamEnd":true}}"#));
            return;
        }
        if !self.active {
            self.begin(out);
            Self::chunk(&silence(AUDIO, 100), out);
        }
        self.active = false;
        out.push(Outgoing::text(r#"{"realtimeInput":{"activityEnd":{}}}"#));
    }

    fn keep_alive(&mut self, out: &mut Vec<Outgoing>) {
        out.push(Outgoing { frame: Frame::Ping, audio_bytes: 0 });
    }

    fn close(&mut self, out: &mut Vec<Outgoing>) {
        if !self.manual || self.active {
            self.commit(0, out);
        }
    }

    fn read(&mut self, frame: &str, heard: &mut Vec<Heard>) {
        let Ok(message) = serde_json::from_str::<Message>(frame) else { return };
        if message.setup_complete.is_some() {
            heard.push(Heard::Ready);
        }
        if let Some(activity) = message.voice_activity
            && activity.voice_activity_type == "ACTIVITY_START"
        {
            heard.push(Heard::Started { at_ms: duration_ms(activity.audio_offset.as_deref()) });
        }
        if let Some(content) = message.server_content {
            if let Some(interim) = content.interim_input_transcription {
                let from_ms = duration_ms(interim.start_offset.as_deref());
                heard.push(Heard::Interim { text: spaced(&interim.text), from_ms });
            }
            if let Some(settled) = content.input_transcription {
                heard.push(Heard::Settled {
                    text: spaced(&settled.text),
                    from_ms: duration_ms(settled.start_offset.as_deref()),
                    to_ms: duration_ms(settled.end_offset.as_deref()),
                });
            }
            if content.turn_complete {
                // The session knows whether a commit waits for this.
                heard.push(Heard::Committed);
            }
        }
        if let Some(go_away) = message.go_away {
            heard.push(Heard::Leaving { within_ms: duration_ms(go_away.time_left.as_deref()).unwrap_or(0) });
        }
    }

    fn closed(&self, code: u16, reason: &str) -> Option<LiveFault> {
        let lower = reason.to_ascii_lowercase();
        match code {
            1008 if lower.contains("api key") || lower.contains("permission") => Some(LiveFault::credential()),
            1007 => Some(LiveFault::invalid(format!("Google: {reason}"))),
            1011 if ["quota", "credit", "exhausted"].iter().any(|word| lower.contains(word)) => {
                Some(LiveFault::limited(format!("Google: {reason}")))
            }
            1002 | 1003 | 1008 | 1009 => Some(LiveFault::upstream(format!("Google: {reason}"))),
            _ => None,
        }
    }
}
