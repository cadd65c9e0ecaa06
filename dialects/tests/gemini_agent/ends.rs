//! How turns and connections end, what they used, and what has a bound.

use dialects::conversation::agent::{Incoming, Order, Said};
use dialects::conversation::setup::Setup;
use domain::usage::Usage;
use serde_json::{Value, json};

use super::{Story, opener, setup, used};

#[test]
fn reasons_for_which_a_turn_ends() {
    let reasons = [
        "NEED_MORE_INPUT",
        "GENERATED_AUDIO_SAFETY",
        "PROHIBITED_INPUT_CONTENT",
        "BLOCKLIST",
        "RESPONSE_REJECTED",
        "MALFORMED_FUNCTION_CALL",
        "MAX_REGENERATION_REACHED",
        "MAX_TOKENS",
        "SOMETHING_NEW",
    ];
    let mut lines = Vec::new();
    for reason in reasons {
        let mut story = Story::ready(&setup());
        story.respond();
        story.content(json!({"turnComplete": true, "turnCompleteReason": reason}));
        lines.push(format!("{reason}: {:?}", story.said.last().unwrap()));
    }
    insta::assert_snapshot!("gemini_reasons", lines.join("\n"));
}

#[test]
fn closes_by_their_reason() {
    let cases = [
        (1000, ""),
        (1006, ""),
        (1007, "Request contains an invalid argument."),
        (1007, "API key not valid. Please pass a valid API key."),
        (1007, "The context window of the session is exhausted."),
        (1008, "models/gemini-9 is not found for API version v1beta, or is not supported for bidiGenerateContent."),
        (1008, "Operation is not implemented, or supported, or enabled."),
        (1008, "Permission denied."),
        (1008, "Policy."),
        (1011, "You exceeded your current quota, please check your plan and billing details."),
        (1011, "Resource has been exhausted."),
        (1011, "Deadline expired before operation could complete."),
        (1011, "Request key=AIzaSyD-1234567890abcdefghijklmnopqrstu failed"),
    ];
    let agent = opener().agent(&setup());
    let line = |(code, reason): &(u16, &str)| format!("{code} {reason} -> {:?}", agent.closed(*code, reason));
    insta::assert_snapshot!("gemini_closes", cases.iter().map(line).collect::<Vec<_>>().join("\n"));
}

#[test]
fn tokens_are_counted_by_what_they_are() {
    let usage = |told: Value| {
        let mut story = Story::ready(&setup());
        story.hears(json!({"usageMetadata": told}));
        let used = story.said.iter().find_map(|said| match said {
            Said::Usage(used) => Some(*used),
            _ => None,
        });
        used.unwrap_or_default()
    };
    let told = json!({
        "promptTokenCount": 522, "responseTokenCount": 42, "thoughtsTokenCount": 136, "toolUsePromptTokenCount": "7",
        "cachedContentTokenCount": 300,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 332}, {"modality": "AUDIO", "tokenCount": 165}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 100}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}],
    });
    let counted = Usage {
        text_tokens_in: 364,
        audio_tokens_in: 165,
        cached_text_tokens: 200,
        cached_audio_tokens: 100,
        text_tokens_out: 138,
        audio_tokens_out: 40,
        ..Usage::default()
    };
    assert_eq!(usage(told), counted);
    let bare = usage(json!({"promptTokenCount": 100, "candidatesTokenCount": 10}));
    assert_eq!((bare.audio_tokens_in, bare.audio_tokens_out), (100, 10), "what is not told is the dearer");
    assert_eq!(usage(json!({"promptTokenCount": "many", "responseTokenCount": -5})), Usage::default());
}

#[test]
fn what_is_not_reported_yet_is_estimated_and_made_up_for() {
    let told = |story: &mut Story| {
        let used = story.said.drain(..).filter_map(|said| match said {
            Said::Usage(used) => Some((used.text_tokens_in, used.audio_tokens_in, used.audio_tokens_out)),
            _ => None,
        });
        used.collect::<Vec<_>>()
    };
    let mut story = Story::ready(&Setup { instructions: "x".repeat(80), ..setup() });
    story.audio(2_000);
    for _ in 0..8 {
        story.speaks();
    }
    story.made();
    story.wait(1_500);
    assert_eq!(told(&mut story), [(20, 50, 2)], "2 s heard, 80 ms spoken");
    // Gemini counts more of one and less of the other.
    story.hears(json!({"serverContent": {"turnComplete": true}, "usageMetadata": used(60, 5)}));
    assert_eq!(told(&mut story), [(0, 0, 3)]);
    story.audio(1_000);
    story.speaks();
    story.content(json!({"interrupted": true}));
    assert_eq!(told(&mut story), [(20, 60, 0)], "70 are read, of which 10 were told too early");
    story.hears(json!({"serverContent": {"turnComplete": true}, "usageMetadata": used(100, 5)}));
    let all = (20 + 20, 40 + 80, 10);
    let before = (20 + 20, 50 + 60, 5);
    let rest = told(&mut story);
    assert_eq!(rest, [(all.0 - before.0, all.1 - before.1, all.2 - before.2)], "in the end all is told");
}

#[test]
fn text_that_waits_has_a_bound() {
    let mut story = Story::ready(&setup());
    story.respond();
    let long = "x".repeat(200 * 1024);
    let mut out = Vec::new();
    assert!(story.agent.order(Order::UserText(&long), 0, &mut out).is_ok());
    assert!(story.agent.order(Order::UserText(&long), 0, &mut out).is_err());
    assert!(out.is_empty(), "it waits, or was not taken");
}

#[test]
fn names_with_escapes_and_parts_of_unknown_shape_are_read() {
    let mut story = Story::ready(&setup());
    let frame = r#"{"serverContent":{"modelTurn":{"parts":[{"executableCode":{}},{"inlineData":{"mimeType":"audio\/pcm","data":"AQI\u003d"}}]},"generationComplete":"yes","new":1},"alsoNew":[]}"#;
    let (mut said, mut out) = (Vec::new(), Vec::new());
    story.agent.read(Incoming::Text(frame), 5, &mut said, &mut out);
    assert_eq!(said, [Said::ResponseStarted, Said::Audio(vec![1, 2])]);
}
