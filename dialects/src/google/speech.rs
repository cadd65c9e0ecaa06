//! Speech: Cloud Text-to-Speech answers with a whole clip in JSON, Gemini with events of samples.

use domain::audio::{PCM_24K, SpeechFormat};
use domain::speech::{SpeechRequest, Voice};
use serde_json::{Map, Value, json};

use super::decoders::{ClipDecoder, SampleDecoder};
use super::extension::{self, Field, Kind, field};
use super::models::{self, Family, Speaker};
use crate::contract::{
    Endpoint, JsonRequest, SpeechAnswer, SpeechAudio, SpeechDecoder, SpeechDialect, SpeechPart, SpeechPlan,
    UpstreamModel,
};
use crate::error::DialectError;
use crate::openai::{speech, unsupported};
use crate::split::{Limit, split};

/// Bytes of text in one request to Cloud Text-to-Speech.
const MAX_CLOUD_BYTES: usize = 5_000;

/// Speech by whichever of Google's services has the model.
#[derive(Debug)]
pub struct GoogleSpeech;

impl SpeechDialect for GoogleSpeech {
    fn request(&self, request: &SpeechRequest, model: &UpstreamModel) -> Result<SpeechPlan, DialectError> {
        speech::validate(request)?;
        let speaker = models::speaks(model)?;
        if let Voice::Id { .. } = request.voice {
            return Err(unsupported(model, "voice", "custom voices"));
        }
        let asked = Asked { request, model };
        match speaker {
            Speaker::Gemini => asked.gemini(),
            Speaker::Cloud(family) => asked.cloud(Some(family)),
            Speaker::CloudGemini => asked.cloud(None),
        }
    }
}

const LANGUAGE: &[Field] = &[field!("languageCode", Kind::Text)];
const GEMINI: &[Field] = &[field!("temperature", Kind::Number(0.0, 2.0))];
const AUDIO: &[Field] = &[field!("volumeGainDb", Kind::Number(-96.0, 16.0)), field!("effectsProfileId", Kind::Texts)];
const CLASSIC: &[Field] =
    &[field!("pitch", Kind::Number(-20.0, 20.0)), field!("input", Kind::OneOf(&["text", "ssml"]))];
const CHIRP_3: &[Field] = &[field!("input", Kind::OneOf(&["text", "markup"]))];

struct Asked<'a> {
    request: &'a SpeechRequest,
    model: &'a UpstreamModel,
}

impl Asked<'_> {
    fn gemini(&self) -> Result<SpeechPlan, DialectError> {
        let mut sent = extension::read(&self.request.extensions, self.model, &[LANGUAGE, GEMINI])?;
        if !matches!(self.request.format(), SpeechFormat::Wav | SpeechFormat::Pcm) {
            return Err(self.no_format("wav and pcm"));
        }
        if self.speed().is_some() {
            return Err(unsupported(self.model, "speed", "`speed`"));
        }
        let mut part = Map::from_iter([("text".to_owned(), json!(self.request.input))]);
        if let Some(style) = self.style() {
            part.insert("speechMetadata".to_owned(), json!({ "style": style }));
        }
        let mut speech = Map::new();
        speech.insert("voiceConfig".to_owned(), json!({ "voice": self.prebuilt()? }));
        speech.extend(sent.remove_entry("languageCode"));
        let mut config = Map::new();
        config.insert("responseModalities".to_owned(), json!(["AUDIO"]));
        config.insert("speechConfig".to_owned(), Value::Object(speech));
        config.append(&mut sent);
        let body = json!({ "contents": [{ "role": "user", "parts": [part] }], "generationConfig": config });
        let endpoint = models::gemini(self.model, "streamGenerateContent?alt=sse")?;
        let part = self::part(endpoint, &body, &self.request.input);
        let make: fn() -> Box<dyn SpeechDecoder> = || Box::new(SampleDecoder::default());
        Ok(SpeechPlan { parts: vec![part], answer: SpeechAnswer::Wrapped(make), audio: SpeechAudio::Pcm(PCM_24K) })
    }

    /// By a family of voices, or by a Gemini model behind the same service.
    fn cloud(&self, family: Option<Family>) -> Result<SpeechPlan, DialectError> {
        let taken: &[&[Field]] = match family {
            Some(family) if family.classic => &[LANGUAGE, AUDIO, CLASSIC],
            Some(Family { model: "chirp3-hd", .. }) => &[LANGUAGE, AUDIO, CHIRP_3],
            _ => &[LANGUAGE, AUDIO],
        };
        let mut sent = extension::read(&self.request.extensions, self.model, taken)?;
        let language = sent.remove("languageCode").and_then(|it| it.as_str().map(str::to_owned));
        let input = sent.remove("input").and_then(|it| it.as_str().map(str::to_owned));
        let voice = match family {
            Some(family) => self.voice_of(family, language)?,
            None => {
                let language = language.unwrap_or_else(|| models::default_language(self.model).to_owned());
                json!({ "languageCode": language, "name": self.prebuilt()?, "modelName": self.model.wire_name })
            }
        };
        if family.is_some() && self.style().is_some() {
            return Err(unsupported(self.model, "instructions", "`instructions`"));
        }
        let mut config = self.audio_config()?;
        config.append(&mut sent);
        let input = input.as_deref().unwrap_or("text");
        let texts = self.texts(input)?;
        let endpoint = models::text_to_speech(self.model)?;
        let ask = |text: &&str| {
            let mut said = Map::from_iter([(input.to_owned(), json!(text))]);
            said.extend(self.style().map(|style| ("prompt".to_owned(), json!(style))));
            let body = json!({ "input": said, "voice": voice, "audioConfig": config });
            part(endpoint.clone(), &body, text)
        };
        let parts: Vec<SpeechPart> = texts.iter().map(ask).collect();
        // Every clip of LINEAR16 has a header of its own.
        let joined = parts.len() > 1 && self.request.format() == SpeechFormat::Wav;
        let make: fn() -> Box<dyn SpeechDecoder> = || Box::new(ClipDecoder::default());
        let audio = if joined { SpeechAudio::Wav } else { SpeechAudio::AsAsked };
        Ok(SpeechPlan { parts, answer: SpeechAnswer::Wrapped(make), audio })
    }

    /// The text in as many parts as it takes. Only samples can be joined, and only of plain text.
    fn texts(&self, input: &str) -> Result<Vec<&str>, DialectError> {
        let texts = split(&self.request.input, Limit::Bytes(MAX_CLOUD_BYTES));
        let is_samples = matches!(self.request.format(), SpeechFormat::Wav | SpeechFormat::Pcm);
        if texts.len() == 1 || (is_samples && input == "text") {
            return Ok(texts);
        }
        let (format, wanted) = (self.request.format(), if input == "text" { "" } else { " of plain text" });
        let what = format!("an `input` of more than {MAX_CLOUD_BYTES} bytes as {format} (only wav and pcm{wanted})");
        Err(unsupported(self.model, "input", &what))
    }

    /// What is the default is left out: some voices refuse fields even with their default.
    fn audio_config(&self) -> Result<Map<String, Value>, DialectError> {
        let encoding = match self.request.format() {
            SpeechFormat::Mp3 => "MP3",
            SpeechFormat::Opus => "OGG_OPUS",
            SpeechFormat::Wav => "LINEAR16",
            SpeechFormat::Pcm => "PCM",
            SpeechFormat::Aac | SpeechFormat::Flac => return Err(self.no_format("mp3, opus, wav and pcm")),
        };
        let mut config = Map::from_iter([("audioEncoding".to_owned(), json!(encoding))]);
        if matches!(self.request.format(), SpeechFormat::Wav | SpeechFormat::Pcm) {
            config.insert("sampleRateHertz".to_owned(), json!(PCM_24K.0));
        }
        if let Some(speed) = self.speed() {
            if speed > 2.0 {
                return Err(unsupported(self.model, "speed", "a `speed` above 2.0"));
            }
            config.insert("speakingRate".to_owned(), json!(speed));
        }
        Ok(config)
    }

    /// A voice of a family by its whole name, or by what stands behind the family in it.
    fn voice_of(&self, family: Family, language: Option<String>) -> Result<Value, DialectError> {
        let (asked, mark) = (self.request.voice.as_str(), family.mark);
        let refused = || unsupported(self.model, "voice", &format!("the voice `{asked}`"));
        if !asked.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-') {
            return Err(refused());
        }
        let lower = asked.to_ascii_lowercase();
        if let Some((spoken, _)) = lower.split_once(&format!("-{}-", mark.to_ascii_lowercase())) {
            let of_voice = asked.get(..spoken.len()).unwrap_or_default();
            let language = language.unwrap_or_else(|| of_voice.to_owned());
            return Ok(json!({ "languageCode": language, "name": asked }));
        }
        let short = if family.model == "chirp3-hd" { models::prebuilt(asked) } else { Some(asked) };
        // A whole name of another family is billed otherwise.
        let short = short.filter(|short| !short.contains('-')).ok_or_else(refused)?;
        let language = language.unwrap_or_else(|| models::default_language(self.model).to_owned());
        Ok(json!({ "languageCode": language, "name": format!("{language}-{mark}-{short}") }))
    }

    fn prebuilt(&self) -> Result<&'static str, DialectError> {
        let asked = self.request.voice.as_str();
        models::prebuilt(asked).ok_or_else(|| unsupported(self.model, "voice", &format!("the voice `{asked}`")))
    }

    fn style(&self) -> Option<&str> {
        self.request.instructions.as_deref().filter(|style| !style.is_empty())
    }

    fn speed(&self) -> Option<f64> {
        self.request.speed.filter(|speed| (speed - 1.0).abs() > f64::EPSILON)
    }

    fn no_format(&self, has: &str) -> DialectError {
        let format = self.request.format();
        unsupported(self.model, "response_format", &format!("`response_format` {format} (only {has})"))
    }
}

fn part(endpoint: Endpoint, body: &Value, text: &str) -> SpeechPart {
    let request = JsonRequest { endpoint, body: body.to_string().into_bytes() };
    SpeechPart { request, characters: text.chars().count() as u64 }
}
