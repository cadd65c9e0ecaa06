//! The setup message, and what it is refused for.

use dialects::conversation::abilities::Ability;
use dialects::conversation::agent::{Billing, Way};
use dialects::conversation::setup::{Role, Setup, ToolChoice, Transcription};
use dialects::live::Frame;
use dialects::live::settings::Turns;
use domain::audio::{PCM_24K, RealtimeFormat, SampleRate};
use serde_json::{Value, json};

use crate::agent_setup::BY_SILENCE;

use super::{message, opener, options, setup, with_weather};

fn first_message(setup: &Setup) -> Value {
    let mut out = Vec::new();
    opener().agent(setup).opened(0, &mut out);
    let [Frame::Text(text)] = out.as_slice() else { panic!("one message sets all up") };
    serde_json::from_str(text).unwrap()
}

fn refused(setup: &Setup) -> String {
    let refusal = opener().plan(setup).unwrap_err();
    format!("{}: {}", refusal.param.unwrap(), refusal.message)
}

#[test]
fn everything_is_set_up_with_the_first_message() {
    let rich = Setup {
        voice: Some("kore".to_owned()),
        temperature: Some(0.8),
        max_output_tokens: Some(512),
        interrupt_response: false,
        turns: Some(Turns::Silence { threshold: 0.8, prefix_padding_ms: 100, silence_duration_ms: 700 }),
        transcription: Some(Transcription {
            languages: vec!["de".to_owned()],
            keywords: vec!["Antiphon".to_owned()],
            prompt: None,
        }),
        history: vec![message(Role::User, "Hello.")],
        ..with_weather()
    };
    insta::assert_snapshot!("gemini_rich_setup", format!("{:#}", first_message(&rich)));
    let plan = opener().plan(&rich).unwrap();
    let Way::Socket(endpoint) = plan.way else { panic!("the socket is known") };
    assert!(endpoint.origin.is_none() && endpoint.path.ends_with(".GenerativeService.BidiGenerateContent"));
    assert_eq!((plan.input, plan.output), (RealtimeFormat::Pcm16(PCM_24K), RealtimeFormat::Pcm16(PCM_24K)));
    assert_eq!(opener().billing(), Billing::Tokens);
}

#[test]
fn telephone_audio_is_decoded_and_not_resampled() {
    let phone = Setup { input_format: RealtimeFormat::Pcmu, ..setup() };
    assert_eq!(opener().plan(&phone).unwrap().input, RealtimeFormat::Pcm16(SampleRate(8_000)));
    let mut out = Vec::new();
    opener().agent(&phone).audio(&[0, 1, 2, 3], &mut out);
    let message = r#"{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=8000","data":"AAECAw=="}}}"#;
    assert_eq!(out, [Frame::Text(message.to_owned())]);
}

#[test]
fn what_decides_turns_and_functions_is_in_the_setup() {
    let of = |setup: Setup, place: &str| first_message(&setup).pointer(place).cloned().unwrap_or_default();
    let hearing = |turns| of(Setup { turns, ..setup() }, "/setup/realtimeInputConfig");
    assert_eq!(hearing(Some(BY_SILENCE)), json!({"automaticActivityDetection": {"silenceDurationMs": 500}}));
    let by_hand = json!({"automaticActivityDetection": {"disabled": true}, "activityHandling": "NO_INTERRUPTION"});
    assert_eq!(hearing(None), by_hand);
    let eager = json!({"automaticActivityDetection": {"endOfSpeechSensitivity": "END_SENSITIVITY_HIGH"}});
    assert_eq!(hearing(Some(Turns::Meaning("high"))), eager);
    let behavior = "/setup/tools/0/functionDeclarations/0/behavior";
    assert_eq!(of(with_weather(), behavior), "BLOCKING");
    let beside = Setup { options: options(&[("tool_behavior", "non_blocking")]), ..with_weather() };
    assert_eq!(of(beside, behavior), "NON_BLOCKING");
    let thinking = Setup { model: "gemini-3.8-live-extended-thinking".to_owned(), ..with_weather() };
    assert_eq!(of(thinking, behavior), "NON_BLOCKING", "it knows nothing else");
    assert_eq!(of(Setup { tool_choice: ToolChoice::None, ..with_weather() }, "/setup/tools"), Value::Null);
    let window = |value| of(Setup { options: options(&[("context_tokens", value)]), ..setup() }, COMPRESSION);
    assert_eq!(of(setup(), COMPRESSION), json!({"slidingWindow": {}}));
    assert_eq!(window("25600"), json!({"triggerTokens": "25600", "slidingWindow": {}}));
    assert_eq!(window("unbounded"), Value::Null);
}

const COMPRESSION: &str = "/setup/contextWindowCompression";

#[test]
fn what_gemini_cannot_be_set_up_with_is_refused_by_name() {
    let choice = |tool_choice| Setup { tool_choice, ..with_weather() };
    let transcription = Transcription { prompt: Some("A call.".to_owned()), ..Transcription::default() };
    let cases = [
        choice(ToolChoice::Required),
        choice(ToolChoice::Function("get_weather".to_owned())),
        Setup { transcription: Some(transcription), ..setup() },
        Setup { model: "gemini-3.5-transcribe-live".to_owned(), ..setup() },
        Setup { options: options(&[("tool_behavior", "sometimes")]), ..setup() },
        Setup { options: options(&[("tool_scheduling", "later")]), ..setup() },
        Setup { options: options(&[("context_tokens", "many")]), ..setup() },
    ];
    insta::assert_snapshot!("gemini_refused_setups", cases.iter().map(refused).collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_table_tells_of_every_ability_once() {
    let table = opener().abilities().table;
    assert!(table.iter().enumerate().all(|(place, (ability, _))| *ability as usize == place));
    assert_eq!(table.len(), Ability::Cancel as usize + 1);
}
