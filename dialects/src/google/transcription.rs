//! Transcription: JSON with the file in base64, to Cloud Speech-to-Text or Gemini.

use domain::audio::{AudioFile, Container};
use domain::language::Language;
use domain::provider::Operation;
use domain::transcription::{TranscriptFormat, TranscriptionRequest};
use domain::usage::Usage;
use serde_json::{Map, Value, json};

use super::extension::{self, Field, Kind, field};
use super::models::{self, Hearer, Hears};
use super::{answer, gemini_answer};
use crate::contract::{Endpoint, Reply, TranscriptionDialect, UploadBody, UploadRequest, UpstreamModel};
use crate::error::DialectError;
use crate::openai::unsupported;

/// Letters of one phrase that recognition is biased to, and how many of them there may be.
const MAX_PHRASE_CHARS: usize = 100;
const MAX_PHRASES: usize = 500;
/// Languages besides the first.
const MAX_ALTERNATIVES: usize = 3;
/// Version 2's way to hear every channel.
const SEPARATE: &str = "SEPARATE_RECOGNITION_PER_CHANNEL";
/// Rates of Opus.
const OPUS_RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

/// Transcription by whichever of Google's services has the model.
#[derive(Debug)]
pub struct GoogleTranscription;

impl TranscriptionDialect for GoogleTranscription {
    fn request(
        &self,
        operation: Operation,
        request: &TranscriptionRequest,
        file: &AudioFile,
        model: &UpstreamModel,
    ) -> Result<UploadRequest, DialectError> {
        if operation == Operation::Translation {
            return Err(unsupported(model, "model", "translation"));
        }
        let can = models::hears(model)?;
        refuse(request, model, &can)?;
        refuse_length(file, model, &can)?;
        let asked = Asked { request, file, model, can };
        let (endpoint, body) = match can.service {
            Hearer::V1 => asked.first_version()?,
            Hearer::V2 => asked.second_version()?,
            Hearer::Gemini => asked.gemini()?,
        };
        Ok(UploadRequest { endpoint, body, streams: false })
    }

    fn reply(
        &self,
        operation: Operation,
        request: &TranscriptionRequest,
        model: &UpstreamModel,
        _content_type: &str,
        body: &[u8],
    ) -> Result<Reply, DialectError> {
        match models::hears(model)?.service {
            Hearer::Gemini => gemini_answer::reply(operation, request, model, body),
            Hearer::V1 | Hearer::V2 => answer::reply(operation, request, model, body),
        }
    }

    /// Channels that are heard apart are billed each.
    fn billed(&self, request: &TranscriptionRequest, file: &AudioFile, _model: &UpstreamModel, length: Usage) -> Usage {
        let sent = |name: &str| request.extensions.get("google").and_then(|google| google.get(name));
        let apart = sent("enableSeparateRecognitionPerChannel") == Some(&Value::Bool(true))
            || sent("multiChannelMode").and_then(Value::as_str) == Some(SEPARATE);
        let channels = file.channels.filter(|_| apart).map_or(1, u64::from).max(1);
        Usage { audio_in_ms: length.audio_in_ms.saturating_mul(channels), ..length }
    }
}

/// What no model here takes, and what this one lacks.
fn refuse(request: &TranscriptionRequest, model: &UpstreamModel, can: &Hears) -> Result<(), DialectError> {
    use TranscriptFormat::{DiarizedJson, Json, Text};
    let format = request.format();
    let has = match format {
        Json | Text => true,
        DiarizedJson => can.speakers && can.words,
        _ => can.words || can.stretches,
    };
    if !has {
        return Err(unsupported(model, "response_format", &format!("`response_format` {format}")));
    }
    if format == TranscriptFormat::VerboseJson && request.word_timestamps && !can.words {
        return Err(unsupported(model, "timestamp_granularities", "`timestamp_granularities` word"));
    }
    let temperature = request.temperature.as_deref().unwrap_or("0").trim();
    if temperature.parse::<f64>() != Ok(0.0) {
        return Err(unsupported(model, "temperature", "a `temperature` other than 0"));
    }
    let given: [(&'static str, bool); 4] = [
        ("include", !request.include.is_empty()),
        ("known_speaker_names", !request.known_speaker_names.is_empty()),
        ("known_speaker_references", !request.known_speaker_references.is_empty()),
        ("chunking_strategy", request.chunking_strategy.as_deref().is_some_and(|it| it.trim_matches('"') != "auto")),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(unsupported(model, name, &format!("`{name}`"))),
        None => Ok(()),
    }
}

fn refuse_length(file: &AudioFile, model: &UpstreamModel, can: &Hears) -> Result<(), DialectError> {
    let length = file.duration_ms.unwrap_or(0);
    if length <= can.longest_ms {
        return Ok(());
    }
    let (most, is) = (can.longest_ms / 1000, length.div_ceil(1000));
    Err(unsupported(model, "file", &format!("audio of more than {most} seconds (this has {is})")))
}

const BOTH: &[Field] = &[
    field!("profanityFilter", Kind::Flag),
    field!("enableAutomaticPunctuation", Kind::Flag),
    field!("enableSpokenPunctuation", Kind::Flag),
    field!("enableSpokenEmojis", Kind::Flag),
    field!("minSpeakerCount", Kind::Count(1, 10)),
    field!("maxSpeakerCount", Kind::Count(1, 10)),
    field!("adaptation", Kind::Object),
];
const FIRST: &[Field] = &[field!("useEnhanced", Kind::Flag), field!("enableSeparateRecognitionPerChannel", Kind::Flag)];
const SECOND: &[Field] = &[
    field!("multiChannelMode", Kind::OneOf(&["MULTI_CHANNEL_MODE_UNSPECIFIED", SEPARATE])),
    field!("customPromptConfig", Kind::Object),
    field!("denoiserConfig", Kind::Object),
];
const GEMINI: &[Field] = &[field!("mode", Kind::OneOf(&["VERBATIM", "SMART"]))];

struct Asked<'a> {
    request: &'a TranscriptionRequest,
    file: &'a AudioFile,
    model: &'a UpstreamModel,
    can: Hears,
}

impl Asked<'_> {
    fn first_version(&self) -> Result<(Endpoint, UploadBody), DialectError> {
        let mut sent = extension::read(&self.request.extensions, self.model, &[BOTH, FIRST])?;
        self.refuse_channels(sent.contains_key("enableSeparateRecognitionPerChannel"))?;
        let encoding = self.encoding()?;
        let endpoint = models::speech_to_text(self.model, Hearer::V1, encoding == Some("MP3"))?;
        let mut config = Map::new();
        put(&mut config, "encoding", encoding);
        put(&mut config, "sampleRateHertz", encoding.and(self.rate()));
        put(&mut config, "audioChannelCount", self.file.channels.filter(|channels| *channels > 1));
        let mut languages = self.languages()?.into_iter();
        put(&mut config, "languageCode", languages.next());
        let others: Vec<String> = languages.collect();
        if others.len() > MAX_ALTERNATIVES {
            return Err(unsupported(self.model, "languages", &format!("more than {} languages", MAX_ALTERNATIVES + 1)));
        }
        put(&mut config, "alternativeLanguageCodes", Some(others).filter(|others| !others.is_empty()));
        put(&mut config, "enableWordTimeOffsets", self.wants_words().then_some(true));
        config.insert("enableAutomaticPunctuation".to_owned(), json!(true));
        put(
            &mut config,
            "diarizationConfig",
            self.diarization(&mut sent, json!({ "enableSpeakerDiarization": true }))?,
        );
        let phrases = self.phrases()?;
        put(&mut config, "speechContexts", (!phrases.is_empty()).then(|| json!([{ "phrases": phrases }])));
        config.insert("model".to_owned(), json!(self.model.wire_name));
        config.append(&mut sent);
        Ok((endpoint, around(&json!({ "config": config }), r#""audio":{"content":""#, r#""}}"#)))
    }

    fn second_version(&self) -> Result<(Endpoint, UploadBody), DialectError> {
        if self.file.container == Container::Aac {
            return Err(self.no_such_file());
        }
        let mut sent = extension::read(&self.request.extensions, self.model, &[BOTH, SECOND])?;
        self.refuse_channels(sent.contains_key("multiChannelMode"))?;
        let endpoint = models::speech_to_text(self.model, Hearer::V2, false)?;
        let mut features = Map::new();
        features.insert("enableAutomaticPunctuation".to_owned(), json!(true));
        put(&mut features, "enableWordTimeOffsets", self.wants_words().then_some(true));
        let speakers = json!({ "minSpeakerCount": 1, "maxSpeakerCount": 6 });
        put(&mut features, "diarizationConfig", self.diarization(&mut sent, speakers)?);
        let mut config = Map::new();
        config.insert("autoDecodingConfig".to_owned(), json!({}));
        config.insert("languageCodes".to_owned(), json!(self.languages()?));
        config.insert("model".to_owned(), json!(self.model.wire_name));
        let phrases: Vec<Value> = self.phrases()?.into_iter().map(|phrase| json!({ "value": phrase })).collect();
        let set = || json!({ "phraseSets": [{ "inlinePhraseSet": { "phrases": phrases } }] });
        put(&mut config, "adaptation", (!phrases.is_empty()).then(set));
        for name in ["adaptation", "denoiserConfig"] {
            config.extend(sent.remove_entry(name));
        }
        features.append(&mut sent);
        config.insert("features".to_owned(), Value::Object(features));
        Ok((endpoint, around(&json!({ "config": config }), r#""content":""#, r#""}"#)))
    }

    fn gemini(&self) -> Result<(Endpoint, UploadBody), DialectError> {
        let sent = extension::read(&self.request.extensions, self.model, &[GEMINI])?;
        let endpoint = models::gemini(self.model, "generateContent")?;
        let mut config = Map::new();
        put(&mut config, "languageCodes", Some(self.languages()?).filter(|languages| !languages.is_empty()));
        // Times cost accuracy, so they are asked for only where the format shows them.
        put(&mut config, "wordTimestamp", self.wants_words().then_some(true));
        put(&mut config, "diarization", self.wants_speakers().then_some(true));
        put(&mut config, "customVocabulary", Some(self.phrases()?).filter(|phrases| !phrases.is_empty()));
        config.extend(sent);
        let kind = if self.file.container == Container::Mp3 { "audio/mp3" } else { self.file.container.content_type() };
        let open = format!(r#""contents":[{{"parts":[{{"inlineData":{{"mimeType":"{kind}","data":""#);
        let head = json!({ "generationConfig": { "audioTranscriptionConfig": config } });
        Ok((endpoint, around(&head, &open, r#""}}]}]}"#)))
    }

    fn wants_speakers(&self) -> bool {
        self.request.format() == TranscriptFormat::DiarizedJson
    }

    fn wants_words(&self) -> bool {
        self.can.words && self.request.format().needs_timing()
    }

    /// `None` where nobody asked for speakers; counts of the client's go before ours.
    fn diarization(&self, sent: &mut Map<String, Value>, mut ours: Value) -> Result<Option<Value>, DialectError> {
        let counts = ["minSpeakerCount", "maxSpeakerCount"].map(|name| sent.remove_entry(name));
        let counts: Vec<(String, Value)> = counts.into_iter().flatten().collect();
        if !self.wants_speakers() {
            let Some((name, _)) = counts.first() else { return Ok(None) };
            let message = format!("`google.{name}` means something with `response_format` diarized_json alone");
            return Err(DialectError::Invalid { param: "google", message });
        }
        if let Some(config) = ours.as_object_mut() {
            config.extend(counts);
        }
        Ok(Some(ours))
    }

    /// Google hears the first channel alone unless it is told otherwise, so somebody has to decide.
    fn refuse_channels(&self, decided: bool) -> Result<(), DialectError> {
        let several = self.file.channels.filter(|channels| *channels > 1 && !decided);
        let Some(channels) = several else { return Ok(()) };
        let (provider, name) = (&self.model.provider, &self.model.model);
        let field =
            if self.can.service == Hearer::V1 { "enableSeparateRecognitionPerChannel" } else { "multiChannelMode" };
        Err(DialectError::Audio(format!(
            "provider `{provider}` hears one channel of {channels} with model `{name}`; `google.{field}` decides"
        )))
    }

    /// Version 1 reads the heads of WAVE and FLAC by itself.
    fn encoding(&self) -> Result<Option<&'static str>, DialectError> {
        let rate = self.rate();
        let opus = rate.is_some_and(|rate| OPUS_RATES.contains(&rate));
        match self.file.container {
            Container::Wav | Container::Flac => Ok(None),
            Container::Mp3 if rate.is_some() => Ok(Some("MP3")),
            Container::Ogg if opus => Ok(Some("OGG_OPUS")),
            Container::WebM if opus => Ok(Some("WEBM_OPUS")),
            _ => Err(self.no_such_file()),
        }
    }

    /// The rate that goes with the encoding. Opus in `WebM` is at 48 kHz whatever was recorded.
    fn rate(&self) -> Option<u32> {
        let known = self.file.sample_rate.map(|rate| rate.0);
        if self.file.container == Container::WebM { known.or(Some(48_000)) } else { known }
    }

    fn no_such_file(&self) -> DialectError {
        let (provider, name, kind) = (&self.model.provider, &self.model.model, self.file.container);
        DialectError::Audio(format!("provider `{provider}` does not take this {kind} file with model `{name}`"))
    }

    /// Tags of the languages that may be spoken, the likeliest first.
    fn languages(&self) -> Result<Vec<String>, DialectError> {
        let mut tags = Vec::new();
        let named = self.request.language.iter().map(|it| ("language", it));
        for (param, language) in named.chain(self.request.languages.iter().map(|it| ("languages", it))) {
            let tag = tag(param, language)?;
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        match (tags.is_empty(), self.can.service) {
            (true, Hearer::V2) if self.can.detects_language => tags.push("auto".to_owned()),
            (true, Hearer::V1 | Hearer::V2) => tags.push(models::default_language(self.model).to_owned()),
            _ => {}
        }
        Ok(tags)
    }

    /// Keywords, and the terms that a prompt lists. A sentence is no term: nothing here takes one.
    fn phrases(&self) -> Result<Vec<String>, DialectError> {
        let prompt = self.request.prompt.as_deref().unwrap_or_default();
        let listed = prompt.split([',', ';', '\n', '、', '，']).map(|term| term.trim().trim_end_matches('.'));
        let keywords = self.request.keywords.iter().map(|keyword| ("keywords", keyword.trim()));
        let mut phrases: Vec<String> = Vec::new();
        for (param, phrase) in keywords.chain(listed.map(|term| ("prompt", term))).filter(|(_, it)| !it.is_empty()) {
            if phrase.chars().count() > MAX_PHRASE_CHARS {
                let what = format!("a `{param}` with more than {MAX_PHRASE_CHARS} characters between commas");
                return Err(unsupported(self.model, param, &what));
            }
            if phrases.iter().all(|known| known != phrase) {
                phrases.push(phrase.to_owned());
            }
        }
        if phrases.len() > MAX_PHRASES {
            return Err(unsupported(self.model, "keywords", &format!("more than {MAX_PHRASES} phrases")));
        }
        Ok(phrases)
    }
}

fn put(object: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    object.extend(value.map(|value| (name.to_owned(), value.into())));
}

/// The tag of a language; one that is not known here is the provider's to judge.
fn tag(param: &'static str, language: &str) -> Result<String, DialectError> {
    let plain = |text: &str| {
        let letters = text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
        letters && (2..=35).contains(&text.len())
    };
    match Language::tag_for(language) {
        Some(tag) => Ok(tag),
        None if plain(language) => Ok(language.to_owned()),
        None => Err(DialectError::Invalid { param, message: format!("`{language}` is no language") }),
    }
}

/// A body around the file: `head` is the rest of the object, `open` and `close` what holds the file in it.
fn around(head: &Value, open: &str, close: &str) -> UploadBody {
    let mut before = head.to_string();
    // The object goes on.
    before.pop();
    before.push(',');
    before.push_str(open);
    UploadBody::Base64 { before: before.into(), after: close.into() }
}
