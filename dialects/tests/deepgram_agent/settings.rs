//! What a session is configured with, as Deepgram is told it.

use dialects::conversation::abilities::{Ability, Support};
use dialects::conversation::agent::{Billing, Incoming, Way};
use dialects::conversation::setup::{Message, Role, Setup, Tool, ToolChoice, Transcription};
use dialects::live::Frame;
use dialects::live::settings::{Settings, Turns};
use domain::audio::RealtimeFormat;
use domain::provider::ProviderKind;
use serde_json::{Value, json};

use super::{Played, listens, opener, option, setup, weather, with};
use crate::golden::row;

pub(super) fn settings(setup: &Setup) -> Value {
    let mut played = Played::new(setup);
    assert!(played.lines.is_empty(), "the agent speaks first");
    let (mut said, mut out) = (Vec::new(), Vec::new());
    played.agent.read(Incoming::Text(r#"{"type":"Welcome","request_id":"r"}"#), 0, &mut said, &mut out);
    let [Frame::Text(text)] = out.as_slice() else { panic!("{out:?} {said:?}") };
    let settings = serde_json::from_str(text).unwrap();
    check_settings(&settings);
    settings
}

/// Only fields that the vendor lists, in their places, with the values that it takes.
fn check_settings(settings: &Value) {
    let only = |place: &str, known: &[&str]| {
        let Some(value) = settings.pointer(place) else { return };
        for name in value.as_object().unwrap_or_else(|| panic!("{place} is no object: {value}")).keys() {
            assert!(known.contains(&name.as_str()), "{place} has no {name}: {value}");
        }
    };
    let at = |place: &str| settings.pointer(place).unwrap_or(&Value::Null);
    assert_eq!(at("/type"), "Settings");
    only("", &["type", "tags", "experimental", "flags", "mip_opt_out", "audio", "agent"]);
    only("/flags", &["history"]);
    only("/audio", &["input", "output"]);
    only("/audio/input", &["encoding", "sample_rate"]);
    only("/audio/output", &["encoding", "sample_rate", "bitrate", "container"]);
    only("/agent", &["language", "context", "listen", "think", "speak", "greeting"]);
    only("/agent/listen", &["provider"]);
    only("/agent/speak", &["provider", "endpoint"]);
    only("/agent/speak/provider", &["type", "version", "model", "speed"]);
    only("/agent/think", &["provider", "endpoint", "functions", "prompt", "context_length"]);
    only("/agent/think/provider", &["type", "version", "model", "temperature", "reasoning_mode"]);
    let flux = ["type", "version", "model", "language_hints", "eot_threshold", "eot_timeout_ms", "keyterms"];
    let nova = ["type", "version", "model", "language", "keyterms", "smart_format"];
    only("/agent/listen/provider", if at("/agent/listen/provider/version") == "v2" { &flux } else { &nova });
    for part in ["listen", "think", "speak"] {
        assert!(at(&format!("/agent/{part}/provider/model")).is_string(), "every provider has a model: {settings}");
        assert!(at(&format!("/agent/{part}/provider/endpoint")).is_null());
    }
    if let Some(threshold) = at("/agent/listen/provider/eot_threshold").as_f64() {
        assert!((0.5..=1.0).contains(&threshold));
        assert!((500..=60_000).contains(&at("/agent/listen/provider/eot_timeout_ms").as_u64().unwrap()));
    }
    let hinted = at("/agent/listen/provider/language_hints").is_array();
    assert_eq!(hinted, at("/agent/listen/provider/model") == "flux-general-multi", "{settings}");
    for nth in 0..at("/agent/think/functions").as_array().map_or(0, Vec::len) {
        only(&format!("/agent/think/functions/{nth}"), &["name", "description", "parameters", "defer_until_eot"]);
    }
    for nth in 0..at("/agent/context/messages").as_array().map_or(0, Vec::len) {
        let message = at(&format!("/agent/context/messages/{nth}"));
        assert_eq!(message.as_object().unwrap().len(), 3);
        assert!(message["type"] == "History" && ["user", "assistant"].contains(&message["role"].as_str().unwrap()));
    }
    assert!(at("/agent/think/prompt").as_str().unwrap_or_default().chars().count() <= 25_000);
    assert!(at("/agent/greeting").is_null(), "nobody asked for one");
}

#[test]
fn everything_that_a_session_can_be_configured_with_is_told() {
    let rich = with(|setup| {
        setup.options = [("think_provider", "anthropic"), ("think_model", "claude"), ("think_reasoning", "low")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        setup.instructions = "Be brief.".to_owned();
        setup.voice = Some("Celeste".to_owned());
        setup.speed = 1.2;
        setup.temperature = Some(0.6);
        setup.tools = vec![weather(), Tool { name: "hang_up".to_owned(), description: String::new(), ..weather() }];
        setup.input_format = RealtimeFormat::Pcmu;
        setup.output_format = RealtimeFormat::Pcma;
        setup.turns = Some(Turns::Meaning("low"));
        setup.transcription = listens(&["es", "en-US"], &["Antiphon"]);
        setup.history = [(Role::System, "It is May."), (Role::User, "Hi."), (Role::Assistant, "Hello.")]
            .map(|(role, text)| Message { role, text: text.to_owned() })
            .into();
    });
    insta::assert_snapshot!("settings", serde_json::to_string_pretty(&settings(&rich)).unwrap());
    let plan = opener().plan(&rich).unwrap();
    assert_eq!((plan.input, plan.output), (RealtimeFormat::Pcmu, RealtimeFormat::Pcma), "nothing is converted");
    let Way::Socket(endpoint) = plan.way else { panic!("{:?}", plan.way) };
    assert_eq!(endpoint.origin.as_deref(), Some("https://agent.deepgram.com"));
    assert_eq!(endpoint.path, "/v1/agent/converse");
    assert_eq!(opener().billing(), Billing::Connected { step_ms: 1 });
}

#[test]
fn who_says_nothing_gets_the_usual_agent() {
    let settings = settings(&setup());
    assert_eq!(
        settings["agent"],
        json!({
            "listen": {"provider": {"type": "deepgram", "version": "v2", "model": "flux-general-en",
                "eot_threshold": 0.7, "eot_timeout_ms": 500, "keyterms": []}},
            "think": {"provider": {"type": "open_ai", "model": "gpt-4o-mini"}},
            "speak": {"provider": {"type": "deepgram", "version": "v1", "model": "aura-2-thalia-en"}},
        })
    );
    assert_eq!(settings["audio"]["input"], json!({"encoding": "linear16", "sample_rate": 24_000}));
}

#[test]
fn turns_and_languages_decide_how_the_agent_listens() {
    let listen = |change: &dyn Fn(&mut Setup)| settings(&with(|setup| change(setup)))["agent"]["listen"].clone();
    let provider = |change: &dyn Fn(&mut Setup)| listen(change)["provider"].clone();
    let silence = |silence_duration_ms| Turns::Silence { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms };
    for (turns, threshold, timeout_ms) in [
        (Some(silence(200)), 0.7, 500),
        (Some(silence(1_200)), 0.7, 1_200),
        (Some(Turns::Meaning("high")), 0.55, 5_000),
        (Some(Turns::Meaning("low")), 0.85, 5_000),
        (Some(Turns::Meaning("auto")), 0.7, 5_000),
        (None, 1.0, 1_000),
    ] {
        let provider = provider(&|setup| setup.turns = turns);
        assert_eq!(provider["eot_threshold"], threshold, "{turns:?}");
        assert_eq!(provider["eot_timeout_ms"], timeout_ms, "{turns:?}");
    }
    let multi = provider(&|setup| setup.transcription = listens(&["de-CH", "de", "en"], &[]));
    assert_eq!(multi["language_hints"], json!(["de", "en"]));
    let other = provider(&|setup| setup.transcription = listens(&["sv"], &["Åsa"]));
    assert_eq!(
        other,
        json!({"type": "deepgram", "version": "v1", "model": "nova-3", "language": "sv", "keyterms": ["Åsa"],
            "smart_format": true})
    );
    let german = with(|setup| setup.transcription = listens(&["de"], &[]));
    assert_eq!(settings(&german)["agent"]["speak"]["provider"]["model"], "aura-2-aurelia-de");
}

#[test]
fn what_the_agent_cannot_be_is_refused_by_the_name_of_its_field() {
    let refused = |setup: &Setup| {
        let refusal = opener().plan(setup).unwrap_err();
        format!("{}: {}", refusal.param.unwrap_or_default(), refusal.message)
    };
    let lines = [
        refused(&with(|setup| setup.model = "nova-3".to_owned())),
        refused(&with(|setup| setup.voice = Some("nobody".to_owned()))),
        refused(&with(|setup| setup.speed = 1.6)),
        refused(&with(|setup| (setup.speed, setup.voice) = (1.2, Some("flux-kit-en".to_owned())))),
        refused(&with(|setup| setup.instructions = "é".repeat(25_001))),
        refused(&with(|setup| setup.tool_choice = ToolChoice::Required)),
        refused(&option("think_provider", "google")),
        refused(&Setup { transcription: listens(&["fr"], &[]), ..option("listen_model", "flux-general-en") }),
        refused(&Setup { turns: Some(Turns::Meaning("auto")), ..option("listen_model", "nova-3") }),
        refused(&with(|setup| {
            setup.transcription = Some(Transcription { prompt: Some("A call.".to_owned()), ..Default::default() });
        })),
    ];
    insta::assert_snapshot!("refusals", lines.join("\n"));
    assert!(opener().plan(&with(|setup| setup.instructions = "é".repeat(25_000))).is_ok());
    let live = row(ProviderKind::Deepgram).live.unwrap();
    assert!(live.plan(&Settings::new("voice-agent")).is_err(), "it transcribes for nobody");
}

#[test]
fn the_table_has_every_ability_once_and_in_order() {
    let table = opener().abilities().table;
    for (nth, (ability, support)) in table.iter().enumerate() {
        assert_eq!(*ability as usize, nth, "{ability:?}");
        let (Support::Emulated(reason) | Support::Ignored(reason) | Support::Refused(reason)) = support else {
            continue;
        };
        assert!(reason.len() > 20 && !reason.ends_with('.') && !reason.contains("  "), "{ability:?}: {reason}");
    }
    assert_eq!(table.len(), Ability::Cancel as usize + 1);
}
