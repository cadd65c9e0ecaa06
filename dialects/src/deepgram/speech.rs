//! Speech: the voice is the model, the format stands in the query, the text in the body.

use domain::audio::{PCM_24K, SpeechFormat};
use domain::speech::SpeechRequest;
use serde_json::json;

use super::extension::{Kind, Known, Options, invalid};
use super::query::Query;
use super::voices::Family;
use crate::contract::{JsonRequest, SpeechAnswer, SpeechAudio, SpeechDialect, SpeechPart, SpeechPlan, UpstreamModel};
use crate::error::DialectError;
use crate::openai::{speech, unsupported};
use crate::split::{Limit, split};

/// Speech by Aura and Flux.
#[derive(Debug)]
pub struct DeepgramSpeech;

/// Characters of one request.
const MAX_PART_CHARS: usize = 2000;

/// What `deepgram` may hold with speech.
static OPTIONS: &[Known] = &[
    Known::new("deepgram.bit_rate", Kind::Number(4_000.0, 650_000.0)),
    Known::new("deepgram.expressivity", Kind::Number(-2.0, 2.0)),
    Known::new("deepgram.tag", Kind::Texts),
    Known::new("deepgram.mip_opt_out", Kind::Switch),
];

impl SpeechDialect for DeepgramSpeech {
    fn request(&self, request: &SpeechRequest, model: &UpstreamModel) -> Result<SpeechPlan, DialectError> {
        speech::validate(request)?;
        if request.instructions.as_deref().is_some_and(|text| !text.trim().is_empty()) {
            return Err(unsupported(model, "instructions", "`instructions`"));
        }
        let (family, wire_model) = wire_model(request.voice.as_str(), model)?;
        let options = Options::read(&request.extensions, OPTIONS)?;
        let texts = split(&request.input, Limit::Characters(MAX_PART_CHARS));
        let audio = audio(request.format(), texts.len(), model)?;
        let path = if family == Family::Flux { "/v2/speak" } else { "/v1/speak" };
        let mut query = Query::new(path, "model", &wire_model);
        format(request.format(), audio, &mut query);
        speed(request, family, model, &mut query)?;
        extension(request.format(), family, model, &options)?;
        options.write_but(&mut query, &[]);
        let endpoint = query.endpoint("deepgram")?;
        let part = |text: &str| SpeechPart {
            request: JsonRequest { endpoint: endpoint.clone(), body: json!({ "text": text }).to_string().into_bytes() },
            characters: text.chars().count() as u64,
        };
        Ok(SpeechPlan { parts: texts.into_iter().map(part).collect(), answer: SpeechAnswer::Audio, audio })
    }
}

/// The voice as Deepgram wants it, from a family and a speaker or from a whole name in either place.
fn wire_model(voice: &str, model: &UpstreamModel) -> Result<(Family, String), DialectError> {
    let no_voice = || {
        let voice: String = voice.chars().take(64).collect();
        unsupported(model, "voice", &format!("the `voice` `{voice}`"))
    };
    if let Some(family) = Family::named(&model.model) {
        // A voice that is newer than the list here is taken by its whole name.
        let whole = Family::of(voice).filter(|(of, _)| *of == family).map(|_| voice.to_owned());
        let id = whole.or_else(|| family.id(voice)).ok_or_else(no_voice)?;
        return Ok((family, id));
    }
    let (family, speaker) = Family::of(&model.model).ok_or_else(|| unsupported(model, "model", "speech"))?;
    if voice != model.model && !voice.eq_ignore_ascii_case(speaker) {
        return Err(no_voice());
    }
    Ok((family, model.wire_name.clone()))
}

/// What comes back. The parts of a long text are joined where the frames or samples of one part may
/// follow those of another; Ogg and FLAC have one head for the whole.
fn audio(format: SpeechFormat, parts: usize, model: &UpstreamModel) -> Result<SpeechAudio, DialectError> {
    match format {
        _ if parts <= 1 => Ok(SpeechAudio::AsAsked),
        SpeechFormat::Mp3 => Ok(SpeechAudio::AsAsked),
        SpeechFormat::Wav | SpeechFormat::Pcm => Ok(SpeechAudio::Pcm(PCM_24K)),
        SpeechFormat::Opus | SpeechFormat::Aac | SpeechFormat::Flac => {
            let what = format!(
                "`response_format` {format} for an `input` of more than {MAX_PART_CHARS} characters (mp3, wav or pcm)"
            );
            Err(unsupported(model, "response_format", &what))
        }
    }
}

fn format(format: SpeechFormat, audio: SpeechAudio, query: &mut Query) {
    let (encoding, container) = match format {
        SpeechFormat::Mp3 => ("mp3", None),
        SpeechFormat::Opus => ("opus", Some("ogg")),
        SpeechFormat::Aac => ("aac", None),
        SpeechFormat::Flac => ("flac", None),
        SpeechFormat::Wav if audio == SpeechAudio::AsAsked => ("linear16", Some("wav")),
        SpeechFormat::Wav | SpeechFormat::Pcm => ("linear16", Some("none")),
    };
    query.push("encoding", encoding);
    if let Some(container) = container {
        query.push("container", container);
    }
    if encoding == "linear16" {
        query.push("sample_rate", &PCM_24K.0.to_string());
    }
}

fn speed(
    request: &SpeechRequest,
    family: Family,
    model: &UpstreamModel,
    query: &mut Query,
) -> Result<(), DialectError> {
    #[expect(clippy::float_cmp, reason = "the default is written as 1 and nothing else")]
    let Some(speed) = request.speed.filter(|speed| *speed != 1.0) else { return Ok(()) };
    let slowest = if family == Family::Flux { 0.5 } else { 0.7 };
    if !(slowest..=1.5).contains(&speed) {
        return Err(unsupported(model, "speed", &format!("a `speed` outside {slowest} to 1.5")));
    }
    let steps = speed / 0.05;
    if family == Family::Flux && (steps - steps.round()).abs() > 1e-6 {
        return Err(unsupported(model, "speed", "a `speed` between steps of 0.05"));
    }
    query.push("speed", &speed.to_string());
    Ok(())
}

fn extension(
    format: SpeechFormat,
    family: Family,
    model: &UpstreamModel,
    options: &Options<'_>,
) -> Result<(), DialectError> {
    if options.get("expressivity").is_some() && family != Family::Flux {
        return Err(unsupported(model, "deepgram.expressivity", "`deepgram.expressivity`"));
    }
    let has_bit_rate = matches!(format, SpeechFormat::Mp3 | SpeechFormat::Opus | SpeechFormat::Aac);
    if options.get("bit_rate").is_some() && !has_bit_rate {
        let name = "deepgram.bit_rate";
        return Err(invalid(name, format!("`{name}` is for mp3, opus and aac, not for {format}")));
    }
    Ok(())
}
