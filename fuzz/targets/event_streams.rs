//! Server-sent events: any split gives the same events, and their readers take anything.
#![no_main]

use dialects::openai::json::ChatSse;
use dialects::openai::speech::SpeechTranscoder;
use dialects::openai::transcription::TranscriptSse;
use dialects::sse::Splitter;
use domain::speech::StreamFormat;
use domain::usage::Usage;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (piece, wants_usage, stream) = input;
    let pieces = || stream.chunks(usize::from(piece).max(1));
    assert_eq!(events(std::iter::once(stream)), events(pieces()));

    let (mut chat, mut transcript, mut out) = (ChatSse::new(wants_usage), TranscriptSse::new(), Vec::new());
    let mut speech = SpeechTranscoder::new(StreamFormat::Sse, StreamFormat::Audio);
    let mut speech_ended = false;
    for part in pieces() {
        drop(chat.feed(part, &mut out));
        transcript.feed(part);
        speech_ended |= speech.feed(part, &mut out).is_err();
    }
    drop(chat.finish(&mut out));
    drop(transcript.finish());
    if !speech_ended {
        drop(speech.finish(&Usage::default(), &mut out));
    }
});

/// The data of each event; `None` where the stream is refused.
fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Option<Vec<u8>>>> {
    let (mut splitter, mut events) = (Splitter::default(), Vec::new());
    for piece in pieces {
        splitter
            .feed(piece, |event| {
                events.push(event.data.as_ref().map(|data| data.to_vec()));
                Ok(())
            })
            .ok()?;
    }
    splitter
        .finish(|event| {
            events.push(event.data.as_ref().map(|data| data.to_vec()));
            Ok(())
        })
        .ok()?;
    Some(events)
}
