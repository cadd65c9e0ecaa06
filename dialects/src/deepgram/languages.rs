//! Which language is spoken: one, a mixture, or whatever Deepgram finds out.

use domain::language::Language;
use domain::transcription::TranscriptionRequest;

use super::extension::{Options, invalid};
use super::models::Capabilities;
use super::query::Query;
use crate::contract::UpstreamModel;
use crate::error::DialectError;
use crate::openai::unsupported;

/// The language of several at once.
pub(super) const MULTI: &str = "multi";

/// Whether a client asks for several languages at once by Deepgram's own name.
pub(super) fn is_multi(named: &str) -> bool {
    named.trim().eq_ignore_ascii_case(MULTI)
}

/// What Deepgram is told of the language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spoken {
    /// This one.
    One(String),
    /// Several, which may change within a sentence.
    Mixed,
    /// One of these.
    Among(Vec<String>),
    /// Whichever it finds out.
    Any,
    /// Nothing: the model has English alone, or finding out was switched off.
    Untold,
}

impl Spoken {
    pub(super) fn write(&self, query: &mut Query) {
        match self {
            Self::One(tag) => query.push("language", tag),
            Self::Mixed => query.push("language", MULTI),
            Self::Among(tags) => tags.iter().for_each(|tag| query.push("detect_language", tag)),
            Self::Any => query.push("detect_language", "true"),
            Self::Untold => {}
        }
    }

    /// The language of an answer that tells none.
    pub(super) fn told(&self) -> Option<&str> {
        match self {
            Self::One(tag) => Some(tag),
            Self::Untold => Some("en"),
            Self::Mixed | Self::Among(_) | Self::Any => None,
        }
    }
}

/// One language as it is, several as a mixture where the model knows them all, else as candidates.
/// Without any, the model is asked to find out, if it has more than English.
///
/// # Errors
/// [`DialectError`] names the field that asks for what the model does not have.
pub(super) fn chosen(
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    can: &Capabilities,
    options: &Options<'_>,
) -> Result<Spoken, DialectError> {
    let named = request.language.iter().map(|name| ("language", name));
    let named = named.chain(request.languages.iter().map(|name| ("languages", name)));
    let mut tags: Vec<String> = Vec::new();
    for (param, name) in named {
        let tag = tag(name).ok_or_else(|| unsupported(model, param, &format!("the language `{}`", short(name))))?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if options.get("detect_language").is_some() && !tags.is_empty() {
        let name = "deepgram.detect_language";
        return Err(invalid(name, format!("`{name}` cannot be combined with a language")));
    }
    let english = |tag: &String| base(tag) == "en";
    match tags.as_slice() {
        [] => Ok(detected(can, options)),
        several if several.iter().any(|tag| tag == MULTI) && can.mixes.is_empty() => {
            Err(unsupported(model, "language", "`language` multi"))
        }
        [only] if only == MULTI => Ok(Spoken::Mixed),
        [only] if can.detects || english(only) => Ok(Spoken::One(only.clone())),
        [_] => Err(unsupported(model, "language", "a `language` other than English")),
        several if several.iter().all(english) => Ok(Spoken::One("en".to_owned())),
        several if several.iter().all(|tag| tag == MULTI || can.mixes.contains(&base(tag))) => Ok(Spoken::Mixed),
        several if can.detects && several.iter().all(|tag| tag != MULTI) => {
            Ok(Spoken::Among(several.iter().map(|tag| base(tag).to_owned()).collect()))
        }
        _ => Err(unsupported(model, "languages", "these `languages` together")),
    }
}

fn detected(can: &Capabilities, options: &Options<'_>) -> Spoken {
    let candidates = options.texts("detect_language").into_iter().filter(|text| text.parse::<bool>().is_err());
    let candidates: Vec<String> = candidates.map(str::to_owned).collect();
    match options.get("detect_language") {
        Some(_) if !candidates.is_empty() => Spoken::Among(candidates),
        Some(_) if options.is_on("detect_language") => Spoken::Any,
        None if can.detects => Spoken::Any,
        _ => Spoken::Untold,
    }
}

/// What Deepgram calls a language: the short code, with a region or script where Deepgram knows that one.
/// Any other region means the language itself.
fn tag(named: &str) -> Option<String> {
    let named = named.trim();
    if is_multi(named) {
        return Some(MULTI.to_owned());
    }
    let subtags: Vec<&str> = named.split(['-', '_']).collect();
    let first = subtags.first().copied().unwrap_or_default();
    let code = match Language::find(named) {
        // Deepgram's name of Cantonese is that of Hong Kong's Chinese.
        Some(Language { code: "yue", .. }) => return Some("zh-HK".to_owned()),
        Some(Language { code: "fil", .. }) => "tl".to_owned(),
        Some(language) => language.code.to_owned(),
        // A code that is not known here may be known there.
        None if matches!(first.len(), 2 | 3) && first.chars().all(|c| c.is_ascii_alphabetic()) => {
            first.to_ascii_lowercase()
        }
        None => return None,
    };
    let is_known = |tag: &&&str| {
        let rest = tag.strip_prefix(code.as_str()).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| subtags.iter().skip(1).any(|subtag| subtag.eq_ignore_ascii_case(rest)))
    };
    let known = REGIONS.iter().rev().find(is_known).map(|tag| (*tag).to_owned());
    Some(known.unwrap_or(code))
}

/// Tags with a region or script that are languages of their own there. Of two that fit, the later one
/// stands: a region says more than a script.
const REGIONS: &[&str] = &[
    "da-DK", "de-CH", "en-AU", "en-GB", "en-IN", "en-NZ", "en-US", "es-419", "fr-CA", "hi-Latn", "ko-KR", "nl-BE",
    "pt-BR", "pt-PT", "sv-SE", "th-TH", "zh-Hans", "zh-Hant", "zh-CN", "zh-TW", "zh-HK",
];

fn base(tag: &str) -> &str {
    tag.split('-').next().unwrap_or(tag)
}

fn short(name: &str) -> String {
    name.chars().take(40).collect()
}
