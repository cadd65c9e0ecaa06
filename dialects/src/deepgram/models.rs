//! What each transcription model takes.
//!
//! Source: Deepgram's API reference and its pages on models, keyterms, keywords and language detection,
//! read 2026-11-21.

/// How words are biased to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terms {
    /// `keyterm`.
    Keyterm,
    /// `keywords`.
    Keywords,
    /// Not at all.
    None,
}

/// What one model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// Transcribes files; the others are for live sessions alone.
    pub(super) files: bool,
    /// Has more languages than English, and `detect_language` among them.
    pub(super) detects: bool,
    /// Languages between which speakers may change in one recording (`language=multi`).
    pub(super) mixes: &'static [&'static str],
    /// How words are biased to.
    pub(super) terms: Terms,
}

const NOVA_3: Capabilities = Capabilities {
    files: true,
    detects: true,
    mixes: &["en", "es", "fr", "de", "hi", "ru", "pt", "ja", "it", "nl"],
    terms: Terms::Keyterm,
};
const NOVA_3_ENGLISH: Capabilities = Capabilities { detects: false, mixes: &[], ..NOVA_3 };
const NOVA_2: Capabilities = Capabilities { mixes: &["en", "es"], terms: Terms::Keywords, ..NOVA_3 };
const OLDER: Capabilities = Capabilities { mixes: &[], ..NOVA_2 };
const OLDER_ENGLISH: Capabilities = Capabilities { detects: false, ..OLDER };
const WHISPER: Capabilities = Capabilities { terms: Terms::None, ..OLDER };
const LIVE: Capabilities = Capabilities { files: false, ..NOVA_3_ENGLISH };

/// The row of a model. One that is not known here is taken for one of the newest, and Deepgram judges.
pub(super) fn capabilities(model: &str) -> Capabilities {
    match model {
        "nova-3-medical" => NOVA_3_ENGLISH,
        "nova-2" | "nova-2-general" => NOVA_2,
        "nova" | "nova-general" | "enhanced" | "enhanced-general" | "base" | "base-general" => OLDER,
        "meeting" | "phonecall" | "finance" | "conversationalai" | "voicemail" | "video" => OLDER_ENGLISH,
        _ if model == "whisper" || model.starts_with("whisper-") => WHISPER,
        _ if model.starts_with("flux-") => LIVE,
        _ if ["nova-2-", "nova-phonecall", "nova-medical", "enhanced-", "base-"]
            .iter()
            .any(|family| model.starts_with(family)) =>
        {
            OLDER_ENGLISH
        }
        _ => NOVA_3,
    }
}
