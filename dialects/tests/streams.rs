//! Streams on their way through: what is forwarded, what is read, how a cut one is told from a whole.

use dialects::error::DialectError;
use dialects::openai::json::{ChatSse, chat_stream_wants_usage};
use dialects::openai::speech::SpeechTranscoder;
use dialects::openai::transcription::TranscriptSse;
use domain::speech::StreamFormat::{Audio, Sse};
use domain::usage::Usage;

use crate::golden::fixture;

fn chat(path: &str, wants_usage: bool) -> (String, dialects::sse::StreamEnd) {
    let (mut chat, mut out) = (ChatSse::new(wants_usage), Vec::new());
    chat.feed(&fixture(path), &mut out).unwrap();
    let end = chat.finish(&mut out);
    (String::from_utf8(out).unwrap(), end)
}

#[test]
fn chat_usage_is_read_and_hidden_from_clients_that_did_not_ask() {
    let whole = String::from_utf8(fixture("openai/chat-stream.sse")).unwrap();
    let (asked, end) = chat("openai/chat-stream.sse", true);
    assert_eq!(asked, whole);
    let expected = Usage {
        text_tokens_in: 7,
        audio_tokens_in: 2,
        text_tokens_out: 9,
        audio_tokens_out: 3,
        cached_text_tokens: 4,
        ..Usage::default()
    };
    assert_eq!((end.complete, end.usage), (true, Some(expected)));
    let (hidden, end) = chat("openai/chat-stream.sse", false);
    assert!(!hidden.contains("prompt_tokens") && hidden.ends_with("data: [DONE]\n\n"), "{hidden}");
    assert_eq!(end.usage, Some(expected));
    assert!(chat_stream_wants_usage(br#"{"stream_options":{"include_usage":true}}"#));
    assert!(!chat_stream_wants_usage(br#"{"stream_options":null}"#));
}

#[test]
fn azure_filter_chunks_pass_and_groq_usage_counts_once() {
    let (azure, end) = chat("azure/chat-stream.sse", false);
    assert!(azure.contains("prompt_filter_results") && !azure.contains("\"usage\""), "{azure}");
    assert_eq!(end.usage.map(|usage| usage.text_tokens_in), Some(5));
    let (groq, end) = chat("groq/chat-stream.sse", false);
    assert!(groq.contains("finish_reason"), "a chunk with a choice is never dropped: {groq}");
    let usage = end.usage.unwrap();
    assert_eq!((usage.text_tokens_in, usage.text_tokens_out), (5, 2));
}

#[test]
fn a_cut_or_failed_chat_stream_is_not_complete() {
    for stream in ["data: {\"choices\":[]}\n\n", "data: {\"error\":{\"message\":\"x\"}}\n\ndata: [DONE]\n\n"] {
        let (mut chat, mut out) = (ChatSse::new(true), Vec::new());
        chat.feed(stream.as_bytes(), &mut out).unwrap();
        assert!(!chat.finish(&mut out).complete, "{stream}");
        assert_eq!(out, stream.as_bytes());
    }
}

#[test]
fn a_transcript_stream_tells_usage_and_whether_it_was_cut() {
    let stream = fixture("openai/transcription-stream.sse");
    let mut listener = TranscriptSse::new();
    listener.feed(&stream);
    let end = listener.finish();
    let usage = end.usage.unwrap();
    assert_eq!((end.complete, usage.audio_tokens_in, usage.text_tokens_out), (true, 14, 5));
    let mut cut = TranscriptSse::new();
    cut.feed(&stream[..stream.len() / 2]);
    assert!(!cut.finish().complete);
}

#[test]
fn speech_events_become_audio_with_their_exact_usage() {
    let (mut speech, mut out) = (SpeechTranscoder::new(Sse, Audio), Vec::new());
    speech.feed(&fixture("openai/speech-stream.sse"), &mut out).unwrap();
    let usage = speech.finish(&Usage::default(), &mut out).unwrap().unwrap();
    assert_eq!(out, b"RIFF\x01\x02\x03");
    assert_eq!((usage.text_tokens_in, usage.audio_tokens_out), (14, 101));
}

#[test]
fn audio_becomes_events_that_each_decode_for_themselves() {
    let (mut speech, mut out) = (SpeechTranscoder::new(Audio, Sse), Vec::new());
    for piece in [&b"RI"[..], b"FF\x01", b"\x02"] {
        speech.feed(piece, &mut out).unwrap();
    }
    let usage = Usage { text_tokens_in: 3, audio_tokens_out: 4, ..Usage::default() };
    assert_eq!(speech.finish(&usage, &mut out).unwrap(), None);
    insta::assert_snapshot!("speech_audio_to_events", String::from_utf8(out.clone()).unwrap());
    let (mut back, mut audio) = (SpeechTranscoder::new(Sse, Audio), Vec::new());
    back.feed(&out, &mut audio).unwrap();
    assert_eq!(back.finish(&Usage::default(), &mut audio).unwrap(), Some(usage));
    assert_eq!(audio, b"RIFF\x01\x02");
}

#[test]
fn speech_that_is_cut_or_fails_is_an_error() {
    let stream = fixture("openai/speech-stream.sse");
    for wanted in [Audio, Sse] {
        let (mut speech, mut out) = (SpeechTranscoder::new(Sse, wanted), Vec::new());
        speech.feed(&stream[..60], &mut out).unwrap();
        assert!(matches!(speech.finish(&Usage::default(), &mut out), Err(DialectError::Upstream(_))));
        let failed = b"data: {\"type\":\"error\",\"error\":{\"message\":\"bad key sk-abcdefgh\"}}\n\n";
        let error = SpeechTranscoder::new(Sse, wanted).feed(failed, &mut out).unwrap_err();
        assert_eq!(error, DialectError::Upstream("bad key [redacted]".to_owned()));
    }
}
