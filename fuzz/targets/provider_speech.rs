//! Streamed speech of every provider: however an answer is cut into pieces, the audio is the same.
#![no_main]

use dialects::contract::{SpeechAnswer, SpeechDecoder, UpstreamModel};
use dialects::registry::PROVIDERS;
use domain::audio::SpeechFormat;
use domain::provider::Extensions;
use domain::speech::{SpeechRequest, Voice};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, u8, u8, &[u8])| {
    let (row, model, format, piece, answer) = input;
    let Some(row) = PROVIDERS.get(usize::from(row) % PROVIDERS.len()) else { return };
    let (Some(speech), false) = (row.speech, row.models.is_empty()) else { return };
    let Some(model) = row.models.get(usize::from(model) % row.models.len()) else { return };
    let model =
        UpstreamModel { wire_name: model.name.to_owned(), model: model.name.to_owned(), provider: "p".to_owned(), options: Default::default() };
    let request = SpeechRequest {
        model: model.model.clone(),
        input: "Hello.".to_owned(),
        voice: Voice::Name(row.voices.first().map_or("a-voice", |voice| voice.name).to_owned()),
        instructions: None,
        response_format: SpeechFormat::ALL.get(usize::from(format) % SpeechFormat::ALL.len()).copied(),
        speed: None,
        stream_format: None,
        extensions: Extensions::new(),
    };
    let Ok(plan) = speech.request(&request, &model) else { return };
    let SpeechAnswer::Wrapped(make) = plan.answer else { return };
    let whole = decode(make(), std::iter::once(answer));
    let pieces = decode(make(), answer.chunks(usize::from(piece).max(1)));
    assert_eq!(whole, pieces);
});

/// The audio of an answer; `None` where it is broken.
fn decode<'a>(mut decoder: Box<dyn SpeechDecoder>, pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut audio = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut audio).ok()?;
    }
    decoder.finish(&mut audio).ok()?;
    Some(audio)
}
