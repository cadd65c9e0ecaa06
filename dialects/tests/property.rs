//! What holds for any bytes.

use std::borrow::Cow;

use dialects::contract::{RealtimeDialect, SpeechAnswer, SpeechDecoder};
use dialects::openai::json::ChatSse;
use dialects::openai::mask::mask;
use dialects::openai::realtime::{Passthrough, PassthroughConfig};
use dialects::openai::scan::{event_type, only_event_type};
use dialects::openai::speech::SpeechTranscoder;
use dialects::openai::transcription::TranscriptSse;
use dialects::openai::usage::{self, json_usage};
use dialects::registry::PROVIDERS;
use dialects::sse::{Splitter, write_event};
use dialects::surface::{Query, Work, fields};
use domain::provider::{Operation, ProviderKind};
use domain::speech::StreamFormat;
use domain::transcription::{TranscriptFormat, TranscriptionRequest};
use domain::usage::Usage;
use proptest::prelude::*;
use serde_json::Value;

use crate::golden::{row, upstream};

type Events = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn split(pieces: &[&[u8]]) -> Events {
    let (mut splitter, mut events) = (Splitter::default(), Events::new());
    for piece in pieces {
        splitter
            .feed(piece, |event| {
                events.push((event.raw.to_vec(), event.data.as_ref().map(|data| data.to_vec())));
                Ok(())
            })
            .unwrap();
    }
    splitter
        .finish(|event| {
            events.push((event.raw.to_vec(), event.data.as_ref().map(|data| data.to_vec())));
            Ok(())
        })
        .unwrap();
    events
}

/// Bytes that look like a stream of events more often than chance would.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(&b"data: {\"usage\":{\"prompt_tokens\":3},\"choices\":[]}"[..]),
        Just(&b"data:x"[..]),
        Just(&b"data"[..]),
        Just(&b": ping"[..]),
        Just(&b"event: y"[..]),
        Just(&b"data: [DONE]"[..]),
        Just(&b"\xff\x00"[..]),
        Just(&b""[..]),
    ];
    let end = prop_oneof![Just(&b"\n"[..]), Just(&b"\r\n"[..]), Just(&b"\r"[..])];
    prop::collection::vec((line, end), 0..20)
        .prop_map(|lines| lines.into_iter().flat_map(|(line, end)| [line, end].concat()).collect())
}

pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop_oneof![Just("type".to_owned()), Just("usage".to_owned()), ".*"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_events(stream in stream(), cuts in prop::collection::vec(0_usize..400, 0..8)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let whole = split(&[&stream]);
        prop_assert_eq!(&split(&pieces), &whole);
        let raw: Vec<u8> = whole.into_iter().flat_map(|(raw, _)| raw).collect();
        prop_assert_eq!(&raw, &stream, "no byte is lost");
        let run = |pieces: &[&[u8]]| {
            let (mut chat, mut out) = (ChatSse::new(false), Vec::new());
            for piece in pieces {
                chat.feed(piece, &mut out).unwrap();
            }
            (chat.finish(&mut out), out)
        };
        prop_assert_eq!(run(&pieces), run(&[&stream]));
    }

    #[test]
    fn what_is_written_is_read(data in "[^\r]*") {
        let mut out = Vec::new();
        write_event(&mut out, data.as_bytes());
        prop_assert_eq!(split(&[&out]), vec![(out.clone(), Some(data.into_bytes()))]);
    }

    #[test]
    fn the_scanner_agrees_with_a_parser(value in json()) {
        let text = value.to_string();
        let expected = value.as_object().and_then(|object| object.get("type")).and_then(Value::as_str).map(str::to_owned);
        prop_assert_eq!(event_type(&text).map(Cow::into_owned), expected.clone());
        prop_assert_eq!(only_event_type(&text).map(Cow::into_owned), expected.clone());
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(event_type(&pretty).map(Cow::into_owned), expected.clone());
    }

    #[test]
    fn audio_survives_the_way_into_events_and_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10)) {
        let (mut there, mut events) = (SpeechTranscoder::new(StreamFormat::Audio, StreamFormat::Sse), Vec::new());
        for piece in &pieces {
            there.feed(piece, &mut events).unwrap();
        }
        there.finish(&Usage::default(), &mut events).unwrap();
        let (mut back, mut audio) = (SpeechTranscoder::new(StreamFormat::Sse, StreamFormat::Audio), Vec::new());
        back.feed(&events, &mut audio).unwrap();
        back.finish(&Usage::default(), &mut audio).unwrap();
        prop_assert_eq!(audio, pieces.concat());
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes: Vec<u8>, status: u16, text: String) {
        for row in PROVIDERS {
            drop((row.fault)(status, &bytes));
            drop((row.fault)(status, text.as_bytes()));
            let Some(dialect) = row.transcription else { continue };
            for format in TranscriptFormat::ALL {
                let request = TranscriptionRequest { response_format: Some(*format), ..Default::default() };
                for model in ["m", "gemini-3.5-transcribe"] {
                    drop(dialect.reply(Operation::Transcription, &request, &upstream(row.kind, model), "", &bytes));
                }
            }
        }
        let mut listener = TranscriptSse::new();
        listener.feed(&bytes);
        listener.finish();
        drop(event_type(&text));
        drop(mask(&text));
        for operation in Operation::ALL {
            prop_assert!(!bytes.is_empty() || json_usage(*operation, &bytes).is_none());
        }
    }

    #[test]
    fn any_json_is_judged_without_a_panic(value in json(), kind in "(session\\.update|session\\.created|response\\.done|response\\.create|error)") {
        for read in [usage::chat, usage::realtime, usage::transcript] {
            prop_assert!(value.is_object() || read(&value).is_none());
        }
        let mut actions = Vec::new();
        for transcription in [true, false] {
            let config = PassthroughConfig { transcription, ..Default::default() };
            let mut session = Passthrough::new(config);
            let frame = serde_json::json!({ "type": kind, "session": value, "response": value, "error": value }).to_string();
            session.client(&frame, &mut actions);
            session.upstream(&frame, &mut actions);
        }
        let body = serde_json::json!({ "text": "t", "segments": value, "words": value, "duration": value, "usage": value,
            "results": [{ "alternatives": [{ "words": [value] }] }, value], "metadata": value,
            "candidates": [{ "content": { "parts": [{ "audioTranscription": value, "text": "t" }] } }], "usageMetadata": value }).to_string();
        for row in PROVIDERS {
            let Some(dialect) = row.transcription else { continue };
            let request = TranscriptionRequest { response_format: Some(TranscriptFormat::Srt), ..Default::default() };
            for model in ["m", "gemini-3.5-transcribe"] {
                drop(dialect.reply(Operation::Transcription, &request, &upstream(row.kind, model), "", body.as_bytes()));
            }
        }
    }

    #[test]
    fn what_a_vendor_s_session_uses_is_counted_from_any_message(value in json(), text: String, options: Vec<(String, String)>) {
        let names = ["type", "text", "inputs", "audio_base_64", "start", "duration", "total_billable_character_count"];
        let message: serde_json::Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), value.clone())).collect();
        let message = Value::Object(message).to_string();
        for route in PROVIDERS.iter().filter_map(|row| row.surface).flat_map(|surface| surface.routes) {
            let query = Query(options.clone());
            match route.work {
                Work::Socket(counter) => {
                    let mut counter = counter(&query);
                    for text in [&message, &text] {
                        counter.client_text(text);
                        counter.vendor_text(text);
                        counter.client_binary(text.as_bytes());
                    }
                    prop_assert_eq!(counter.usage(1).0.requests, 1);
                }
                Work::Recording(how) | Work::Form(how) => {
                    prop_assert!((how.reported)(message.as_bytes()).is_none_or(|usage| usage.requests == 1));
                    prop_assert_eq!((how.billed)(&query, &text, Usage::default()).audio_in_ms, 0);
                }
                Work::Speech(count) => {
                    prop_assert!(count(&fields(message.as_bytes()).unwrap()) <= message.len() as u64);
                }
                Work::Free | Work::Token(_) | Work::Address(_) => {}
            }
        }
    }

    #[test]
    fn a_masked_text_stays_masked(text: String) {
        let once = mask(&text);
        prop_assert_eq!(mask(&once), once);
    }
}

proptest! {
    #[test]
    fn wrapped_speech_comes_out_alike_however_it_is_cut(
        stream in stream(),
        audio in prop::collection::vec(any::<u8>(), 1..60),
        junk: Vec<u8>,
        piece in 1_usize..40,
    ) {
        let letters = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &audio);
        let clip = serde_json::json!({ "audioContent": letters, "z": 1 }).to_string().into_bytes();
        let sound = serde_json::json!({ "inlineData": { "data": letters } });
        let said = serde_json::json!({ "candidates": [{ "content": { "parts": [sound] }, "finishReason": "STOP" }] });
        let event = format!("data: {said}\n\n").into_bytes();
        for name in ["chirp3-hd", "gemini-3.8-flash-tts"] {
            let make = wrapped(name);
            let whole = unwrapped(make, &[&stream, &event], usize::MAX);
            prop_assert_eq!(unwrapped(make, &[&stream, &event], piece), whole);
            prop_assert_eq!(unwrapped(make, &[&junk], piece).is_ok(), unwrapped(make, &[&junk], usize::MAX).is_ok());
        }
        prop_assert_eq!(unwrapped(wrapped("chirp3-hd"), &[&clip], piece), Ok(audio.clone()));
        prop_assert_eq!(unwrapped(wrapped("gemini-3.8-flash-tts"), &[&event], piece), Ok(audio));
    }
}

type Make = fn() -> Box<dyn SpeechDecoder>;

/// The decoder of a model of Google's.
fn wrapped(model: &str) -> Make {
    let request = serde_json::json!({ "model": "m", "input": "Hi", "voice": "Kore", "response_format": "pcm" });
    let request = serde_json::from_value(request).unwrap();
    let row = row(ProviderKind::Google);
    let plan = row.speech.unwrap().request(&request, &upstream(row.kind, model)).unwrap();
    let SpeechAnswer::Wrapped(make) = plan.answer else { panic!("it is wrapped") };
    make
}

/// The audio in an answer, or that there is none.
fn unwrapped(make: Make, answer: &[&[u8]], piece: usize) -> Result<Vec<u8>, ()> {
    let (mut decoder, mut audio) = (make(), Vec::new());
    for bytes in answer.concat().chunks(piece) {
        decoder.feed(bytes, &mut audio).map_err(drop)?;
    }
    decoder.finish(&mut audio).map_err(drop)?;
    Ok(audio)
}
