//! The request that makes a call, and the address in its answer.

use std::collections::BTreeMap;

use dialects::conversation::abilities::Ability;
use dialects::conversation::agent::Billing;
use dialects::conversation::setup::{Medium, Role, Setup, Tool, ToolChoice, Transcription};
use dialects::live::settings::Turns;
use domain::audio::{PCM_24K, RealtimeFormat};
use serde_json::{Value, json};

use super::{Story, made, opener, said_before, setup, tool};

fn refused(setup: &Setup) -> String {
    let refusal = opener().plan(setup).unwrap_err();
    format!("{}: {}", refusal.param.unwrap(), refusal.message)
}

fn with_tool(parameters: Value) -> Setup {
    Setup { tools: vec![tool("f", parameters)], ..setup() }
}

/// The parameters of the only function of a call.
fn parameters(schema: Value) -> Value {
    let (_, mut body) = made(&with_tool(schema));
    body.pointer_mut("/selectedTools/0/temporaryTool/dynamicParameters").unwrap().take()
}

#[test]
fn a_rich_configuration_is_the_body_of_the_request() {
    let rich = Setup {
        instructions: "Be brief.".to_owned(),
        options: BTreeMap::from([("voice".to_owned(), "Jessica".to_owned())]),
        voice: Some("Mark".to_owned()),
        temperature: Some(1.2),
        output: Medium::Text,
        tools: vec![
            tool(
                "get_weather",
                json!({
                    "type": "object", "additionalProperties": false, "required": ["city", "unit"],
                    "properties": {
                        "city": {"type": "string", "description": "Where."},
                        "unit": {"anyOf": [{"$ref": "#/$defs/Unit"}, {"type": "null"}], "description": "How."},
                        "days": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "$defs": {"Unit": {"enum": ["C", "F"]}},
                }),
            ),
            Tool { description: String::new(), ..tool("hang-up_2", Value::Null) },
        ],
        input_format: RealtimeFormat::Pcmu,
        turns: Some(Turns::Silence { threshold: 0.75, prefix_padding_ms: 0, silence_duration_ms: 700 }),
        transcription: Some(Transcription { languages: vec!["de-AT".to_owned()], ..Transcription::default() }),
        history: vec![
            said_before(Role::System, "The user is called Ada."),
            said_before(Role::User, "Hello."),
            said_before(Role::Assistant, "Hello Ada."),
            said_before(Role::User, "This is answered when it is asked for."),
        ],
        ..setup()
    };
    let (path, body) = made(&rich);
    insta::assert_snapshot!("ultravox_rich_call", format!("POST {path}\n{body:#}"));
    let plan = opener().plan(&rich).unwrap();
    assert_eq!(plan.input, RealtimeFormat::Pcm16(domain::audio::SampleRate(8_000)), "telephone audio stays as it is");
    assert_eq!(plan.output, RealtimeFormat::Pcm16(PCM_24K));
}

#[test]
fn a_target_may_name_a_voice_and_an_agent_of_the_account() {
    let options = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let body = made(&Setup { options: options(&[("voice", "Jessica")]), ..setup() }).1;
    assert_eq!(body["voice"], "Jessica");
    let template = Setup {
        options: options(&[("agent_id", "a/b?c")]),
        instructions: "Be brief.".to_owned(),
        ..with_tool(Value::Null)
    };
    let (path, body) = made(&template);
    insta::assert_snapshot!("ultravox_agents_call", format!("POST {path}\n{body:#}"));
    let mut story = Story::with(&template);
    story.open();
    story.shows("ultravox_agents_instructions");
}

#[test]
fn turns_end_after_silence_in_whole_frames_of_the_vendors() {
    let delay = |turns| made(&Setup { turns, ..setup() }).1["vadSettings"].take();
    let silence = |silence_duration_ms, threshold| {
        delay(Some(Turns::Silence { threshold, prefix_padding_ms: 300, silence_duration_ms }))
    };
    assert_eq!(silence(500, 0.5), json!({"turnEndpointDelay": "0.512s"}));
    assert_eq!(silence(0, 0.2), json!({"turnEndpointDelay": "0.032s"}));
    assert_eq!(silence(10_000, 1.0), json!({"turnEndpointDelay": "10.016s", "frameActivationThreshold": 1.0}));
    assert_eq!(delay(Some(Turns::Meaning("high"))), json!({"turnEndpointDelay": "0.256s"}));
    assert_eq!(delay(Some(Turns::Meaning("auto"))), json!({"turnEndpointDelay": "0.384s"}));
    let manual = opener().agent(&setup()).habits();
    assert_eq!(delay(None), json!({"turnEndpointDelay": "0.768s"}));
    assert!(manual.turn_end_silence_ms > Some(768) && manual.continuous, "the silence is heard as an end");
}

#[test]
fn schemas_become_parameters_with_a_type_each() {
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let schema = |given: Value| parameters(object(json!({"p": given})))[0]["schema"].take();
    assert_eq!(parameters(Value::Null), json!([]));
    assert_eq!(parameters(json!({})), json!([]));
    assert_eq!(schema(json!({"enum": [1, 2]})), json!({"enum": [1, 2], "type": "number"}));
    assert_eq!(schema(json!({"const": "x"})), json!({"const": "x", "type": "string"}));
    assert_eq!(schema(json!({"items": {}})), json!({"items": {}, "type": "array"}));
    assert_eq!(
        schema(json!({"anyOf": [{"type": "string"}, {"enum": ["x"]}]})),
        json!({"anyOf": [{"type": "string"}, {"enum": ["x"], "type": "string"}], "type": "string"})
    );
    let shared = json!({
        "allOf": [{"$ref": "#/definitions/Base"}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}],
        "definitions": {"Base": {"type": "object", "properties": {"a": {"$ref": "#/definitions/A"}}},
            "A": {"type": "array", "items": {"$ref": "#/definitions/Item"}}, "Item": {"type": "integer"}},
    });
    insta::assert_snapshot!("ultravox_shared_schema", format!("{:#}", parameters(shared)));
}

#[test]
fn what_a_call_cannot_be_made_with_is_refused_by_name() {
    let object = |schema: Value| with_tool(json!({"type": "object", "properties": {"p": schema}}));
    let listens = |transcription| Setup { transcription: Some(transcription), ..setup() };
    let endless = json!({"type": "object", "properties": {"p": {"$ref": "#/$defs/T"}},
        "$defs": {"T": {"type": "object", "properties": {"t": {"$ref": "#/$defs/T"}}}}});
    let agent = BTreeMap::from([("agent_id".to_owned(), "a".to_owned())]);
    let cases = [
        Setup { tools: vec![tool("no spaces", Value::Null)], ..setup() },
        Setup { tools: vec![tool(&"x".repeat(65), Value::Null)], ..setup() },
        object(json!({})),
        object(json!(true)),
        object(json!({"anyOf": [{"type": "string"}, {"type": "integer"}]})),
        object(json!({"type": ["string", "integer"]})),
        object(json!({"$ref": "https://example.com/schema"})),
        with_tool(json!({"type": "array"})),
        with_tool(json!({"anyOf": [{"type": "object"}, {"type": "object"}]})),
        with_tool(json!("object")),
        with_tool(endless),
        Setup { tool_choice: ToolChoice::Required, ..with_tool(Value::Null) },
        Setup { tool_choice: ToolChoice::Function("f".to_owned()), ..with_tool(Value::Null) },
        listens(Transcription { keywords: vec!["Antiphon".to_owned()], ..Transcription::default() }),
        listens(Transcription { prompt: Some("About ships.".to_owned()), ..Transcription::default() }),
        listens(Transcription { languages: vec!["x".repeat(17)], ..Transcription::default() }),
        Setup { options: agent, temperature: Some(0.5), ..setup() },
    ];
    let lines: Vec<String> = cases.iter().map(refused).collect();
    insta::assert_snapshot!("ultravox_refused_calls", lines.join("\n"));
    let without = Setup { tool_choice: ToolChoice::None, ..with_tool(Value::Null) };
    assert_eq!(made(&without).1.get("selectedTools"), None, "an agent without functions calls none");
}

#[test]
fn the_address_of_a_call_keeps_its_query_and_leads_to_a_socket() {
    let invited = |body: Value| opener().agent(&setup()).invited(body.to_string().as_bytes());
    let joined = |url: &str| invited(json!({"callId": "c", "joinUrl": url})).unwrap();
    assert_eq!(joined("wss://h/calls/c"), "wss://h/calls/c?apiVersion=1&clientVersion=antiphon");
    assert_eq!(joined("ws://h/c?token=a%20b&x"), "ws://h/c?token=a%20b&x&apiVersion=1&clientVersion=antiphon");
    assert_eq!(joined("wss://h/c?"), "wss://h/c?apiVersion=1&clientVersion=antiphon");
    for url in
        ["https://h/c", "wss://h/c#f", "wss://h/c d", "wss://h/\r\nx", "", &format!("wss://{}", "h".repeat(9_000))]
    {
        let fault = invited(json!({"joinUrl": url})).unwrap_err();
        assert!(url.is_empty() || !fault.message.contains(url), "the address is a secret");
    }
    assert!(invited(json!({"joinUrl": null})).is_err() && invited(json!([])).is_err());
    assert!(opener().agent(&setup()).invited(b"\xff").is_err());
}

#[test]
fn calls_are_billed_by_the_tenth_of_a_minute() {
    assert_eq!(opener().billing(), Billing::Connected { step_ms: 6_000 });
}

#[test]
fn the_table_tells_of_everything_that_a_client_may_ask() {
    let table = opener().abilities().table;
    let places: Vec<usize> = table.iter().map(|(ability, _)| *ability as usize).collect();
    assert_eq!(places, (0..=Ability::Cancel as usize).collect::<Vec<_>>(), "one entry each, in order");
}
