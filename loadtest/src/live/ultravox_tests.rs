//! What a scripted conversation at Ultravox does, in a time that stands still.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::hearing::word_audio;
use super::mind::COMMANDS;
use super::ultravox_agent::open;
use super::ultravox_calls::{Calls, Wanted};
use super::{Say, Vendor, lock};

/// A client that sends audio without a pause, and what it hears.
struct Client {
    vendor: Box<dyn Vendor>,
    heard: Vec<String>,
    audio: usize,
}

impl Client {
    fn joins(instructions: &str) -> Self {
        let wanted = Wanted {
            instructions: instructions.to_owned(),
            input_rate: 8_000,
            output_rate: 8_000,
            ahead_ms: 200,
            turn_end_ms: 400,
            started: true,
            stopped: true,
            tools: [("get_weather".to_owned(), Duration::from_secs(2))].into(),
            ..Wanted::default()
        };
        let calls = Calls::default();
        let call = calls.make(wanted);
        let mut vendor = open(calls.get(&call).unwrap());
        let said = vendor.opened();
        let mut client = Self { vendor, heard: Vec::new(), audio: 0 };
        client.hear(said);
        client
    }

    fn hear(&mut self, said: Vec<Say>) {
        for say in said {
            match say {
                Say::Text(message) => {
                    let fields = ["type", "state", "role", "delta", "text", "toolName"];
                    let shown = fields.iter().filter_map(|field| message.get(field)?.as_str());
                    self.heard.push(shown.collect::<Vec<_>>().join(" "));
                }
                Say::Audio(audio) => self.audio += audio.len() / 16,
                Say::Final(_) => {}
                other => self.heard.push(format!("{other:?}")),
            }
        }
    }

    fn says(&mut self, message: &Value) {
        let said = self.vendor.text(&message.to_string());
        self.hear(said);
    }

    /// Audio in real time.
    async fn sends(&mut self, audio: &[u8]) {
        for frame in audio.chunks(320) {
            tokio::time::advance(Duration::from_millis(20)).await;
            let mut said = self.vendor.binary(frame);
            if self.vendor.due().is_some_and(|due| due <= Instant::now()) {
                said.extend(self.vendor.tick());
            }
            self.hear(said);
        }
    }

    async fn is_silent(&mut self, ms: usize) {
        self.sends(&vec![0; ms * 16]).await;
    }

    async fn speaks(&mut self, word: u32) {
        self.sends(&word_audio(word, 300, 8_000)).await;
    }

    fn heard(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heard)
    }
}

const BEGINNING: [&str; 2] = ["call_started", "state listening"];

#[tokio::test(start_paused = true)]
async fn a_turn_is_answered_and_written_down_late_and_the_user_may_break_in() {
    let mut client = Client::joins("");
    client.is_silent(500).await;
    client.speaks(7).await;
    client.is_silent(420).await;
    assert_eq!(
        client.heard().split_off(BEGINNING.len()),
        [
            "user_started_speaking",
            "user_stopped_speaking",
            "state thinking",
            "state speaking",
            "transcript agent You ",
            "transcript user w7",
            "transcript agent said w7.",
        ]
    );
    client.speaks(8).await;
    client.is_silent(100).await;
    let heard = client.heard();
    assert_eq!(heard[..2], ["user_started_speaking", "playback_clear_buffer"]);
    assert!(heard[2].starts_with("transcript agent") && heard[2].len() < "transcript agent You said w7.".len());
    assert_eq!(heard[3..], ["state listening"]);
    let audio = client.audio;
    client.is_silent(280).await;
    client.speaks(9).await;
    assert_eq!(client.audio - audio, 0, "an interrupted agent is silent, and so is one that is spoken to");
    client.is_silent(3_000).await;
    assert_eq!(client.heard().last().unwrap(), "state listening");
    assert!(client.audio > audio);
}

#[tokio::test(start_paused = true)]
async fn it_is_frozen_until_functions_have_answered_or_take_too_long() {
    let mut client = Client::joins("");
    client.is_silent(100).await;
    client.speaks(COMMANDS + 1).await;
    client.is_silent(420).await;
    let invocations = ["client_tool_invocation get_weather"; 2];
    assert_eq!(client.heard()[5..], [["transcript user w2001"].as_slice(), &invocations].concat());
    let result = |id: &str| json!({"type": "client_tool_result", "invocationId": id, "result": "rain"});
    client.says(&result("call-1"));
    client.speaks(7).await;
    client.is_silent(1_000).await;
    assert_eq!(client.heard(), [""; 0], "the other is awaited");
    client.is_silent(800).await;
    let heard = client.heard();
    assert_eq!(heard[0], "state speaking");
    assert!(heard.contains(&"transcript agent rain. Rome: it took too long.".to_owned()), "{heard:?}");
    client.says(&result("call-2"));
    assert_eq!(client.heard(), [""; 0], "a second result of a call is ignored");
    client.says(&result("call-9"));
    assert!(client.heard()[0].contains("was not called"));
}

#[tokio::test(start_paused = true)]
async fn texts_are_read_by_their_urgency() {
    let mut client = Client::joins("Please greet.");
    let text = |text: &str, urgency: &str| json!({"type": "user_text_message", "text": text, "urgency": urgency});
    client.says(&text("context", "later"));
    client.says(&text("<instruction>It is your turn.</instruction>", "soon"));
    assert_eq!(client.heard().last().unwrap(), "transcript agent Welcome.");
    client.says(&text("One.", "soon"));
    assert_eq!(client.heard(), ["transcript user One."], "it waits for its turn");
    client.is_silent(700).await;
    assert!(client.heard().contains(&"transcript agent said One..".to_owned()));
    client.says(&json!({"type": "user_text_message", "text": "", "urgency": "immediate", "deferResponse": true}));
    assert_eq!(client.heard().last().unwrap(), "state listening", "it is silenced, and answers nothing");
    client.says(&json!({"type": "set_output_medium", "medium": "text"}));
    client.says(&text("Two.", "immediate"));
    assert_eq!(
        client.heard()[2..],
        ["transcript agent You ", "transcript agent said Two..", "transcript agent You said Two..", "state listening"]
    );
    client.says(&json!({"type": "dance"}));
    assert!(client.heard()[0].contains("dance"));
}

#[tokio::test(start_paused = true)]
async fn audio_that_pauses_or_comes_too_fast_is_a_violation() {
    let mut client = Client::joins("");
    client.is_silent(2_000).await;
    // What comes late and is caught up with is not missing.
    tokio::time::advance(Duration::from_millis(300)).await;
    let said = client.vendor.binary(&[0; 300 * 16]);
    client.hear(said);
    client.is_silent(2_000).await;
    assert_eq!(client.heard(), BEGINNING);
    tokio::time::advance(Duration::from_millis(800)).await;
    client.is_silent(2_000).await;
    let heard = client.heard();
    assert!(heard.len() == 1 && heard[0].contains("audio are missing"), "{heard:?}");
    let said = client.vendor.binary(&[0; 2_000 * 16]);
    client.hear(said);
    assert!(client.heard()[0].contains("overflows"));
}

#[test]
fn a_call_that_was_left_has_ended() {
    let calls = Calls::default();
    let call = calls.get(&calls.make(Wanted { input_rate: 8_000, output_rate: 8_000, ..Wanted::default() })).unwrap();
    drop(open(Arc::clone(&call)));
    let call = lock(&call);
    assert!(call.joined.is_some() && call.ended.is_some());
}
