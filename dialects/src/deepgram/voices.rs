//! Deepgram's voices. A voice is a model there: `aura-2-thalia-en` is Thalia of Aura-2 in English.
//!
//! Source: Deepgram's API reference, read 2026-11-21. Nothing in it tells a voice's gender.

use crate::registry::WellKnownVoice;

/// A generation of voices, which has a path and limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Aura1,
    Aura2,
    Flux,
}

pub(super) const AURA_1: &str = "aura";
pub(super) const AURA_2: &str = "aura-2";
pub(super) const FLUX: &str = "flux";

impl Family {
    /// The family that a model's name is the name of.
    pub(super) fn named(model: &str) -> Option<Self> {
        match model {
            AURA_1 | "aura-1" => Some(Self::Aura1),
            AURA_2 => Some(Self::Aura2),
            FLUX => Some(Self::Flux),
            _ => None,
        }
    }

    /// The family and the speaker of a whole name such as `aura-2-thalia-en`.
    pub(super) fn of(id: &str) -> Option<(Self, &str)> {
        let families = [("aura-2-", Self::Aura2), ("flux-", Self::Flux), ("aura-", Self::Aura1)];
        let (rest, family) =
            families.into_iter().find_map(|(prefix, family)| Some((id.strip_prefix(prefix)?, family)))?;
        let (speaker, language) = rest.split_once('-')?;
        let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        (is_name(speaker) && is_name(language)).then_some((family, speaker))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Aura1 => AURA_1,
            Self::Aura2 => AURA_2,
            Self::Flux => FLUX,
        }
    }

    /// The whole name of a speaker that is known here.
    pub(super) fn id(self, speaker: &str) -> Option<String> {
        let speaker = speaker.to_ascii_lowercase();
        let is = |voice: &&WellKnownVoice| voice.name == speaker && voice.models.contains(&self.name());
        let language = VOICES.iter().find(is)?.language?;
        Some(format!("{}-{speaker}-{language}", self.name()))
    }
}

const fn voice(name: &'static str, language: &'static str, models: &'static [&'static str]) -> WellKnownVoice {
    WellKnownVoice { name, language: Some(language), gender: None, models }
}

const ONLY_AURA_2: &[&str] = &[AURA_2];
const ONLY_AURA_1: &[&str] = &[AURA_1];
const BOTH_AURAS: &[&str] = &[AURA_2, AURA_1];
const ONLY_FLUX: &[&str] = &[FLUX];

pub(super) const VOICES: &[WellKnownVoice] = &[
    voice("thalia", "en", ONLY_AURA_2),
    voice("andromeda", "en", ONLY_AURA_2),
    voice("apollo", "en", ONLY_AURA_2),
    voice("arcas", "en", BOTH_AURAS),
    voice("asteria", "en", BOTH_AURAS),
    voice("athena", "en", BOTH_AURAS),
    voice("atlas", "en", ONLY_AURA_2),
    voice("aurora", "en", ONLY_AURA_2),
    voice("draco", "en", ONLY_AURA_2),
    voice("helena", "en", ONLY_AURA_2),
    voice("hera", "en", BOTH_AURAS),
    voice("hermes", "en", ONLY_AURA_2),
    voice("hyperion", "en", ONLY_AURA_2),
    voice("iris", "en", ONLY_AURA_2),
    voice("janus", "en", ONLY_AURA_2),
    voice("juno", "en", ONLY_AURA_2),
    voice("jupiter", "en", ONLY_AURA_2),
    voice("luna", "en", BOTH_AURAS),
    voice("mars", "en", ONLY_AURA_2),
    voice("minerva", "en", ONLY_AURA_2),
    voice("neptune", "en", ONLY_AURA_2),
    voice("odysseus", "en", ONLY_AURA_2),
    voice("ophelia", "en", ONLY_AURA_2),
    voice("orion", "en", BOTH_AURAS),
    voice("orpheus", "en", BOTH_AURAS),
    voice("pandora", "en", ONLY_AURA_2),
    voice("phoebe", "en", ONLY_AURA_2),
    voice("pluto", "en", ONLY_AURA_2),
    voice("saturn", "en", ONLY_AURA_2),
    voice("selene", "en", ONLY_AURA_2),
    voice("theia", "en", ONLY_AURA_2),
    voice("vesta", "en", ONLY_AURA_2),
    voice("zeus", "en", BOTH_AURAS),
    voice("amalthea", "en", ONLY_AURA_2),
    voice("aries", "en", ONLY_AURA_2),
    voice("callista", "en", ONLY_AURA_2),
    voice("cora", "en", ONLY_AURA_2),
    voice("cordelia", "en", ONLY_AURA_2),
    voice("delia", "en", ONLY_AURA_2),
    voice("electra", "en", ONLY_AURA_2),
    voice("harmonia", "en", ONLY_AURA_2),
    voice("agustina", "es", ONLY_AURA_2),
    voice("alvaro", "es", ONLY_AURA_2),
    voice("antonia", "es", ONLY_AURA_2),
    voice("aquila", "es", ONLY_AURA_2),
    voice("carina", "es", ONLY_AURA_2),
    voice("celeste", "es", ONLY_AURA_2),
    voice("diana", "es", ONLY_AURA_2),
    voice("estrella", "es", ONLY_AURA_2),
    voice("gloria", "es", ONLY_AURA_2),
    voice("javier", "es", ONLY_AURA_2),
    voice("luciano", "es", ONLY_AURA_2),
    voice("nestor", "es", ONLY_AURA_2),
    voice("olivia", "es", ONLY_AURA_2),
    voice("selena", "es", ONLY_AURA_2),
    voice("silvia", "es", ONLY_AURA_2),
    voice("sirio", "es", ONLY_AURA_2),
    voice("valerio", "es", ONLY_AURA_2),
    voice("aurelia", "de", ONLY_AURA_2),
    voice("elara", "de", ONLY_AURA_2),
    voice("fabian", "de", ONLY_AURA_2),
    voice("julius", "de", ONLY_AURA_2),
    voice("kara", "de", ONLY_AURA_2),
    voice("lara", "de", ONLY_AURA_2),
    voice("viktoria", "de", ONLY_AURA_2),
    voice("beatrix", "nl", ONLY_AURA_2),
    voice("cornelia", "nl", ONLY_AURA_2),
    voice("daphne", "nl", ONLY_AURA_2),
    voice("hestia", "nl", ONLY_AURA_2),
    voice("lars", "nl", ONLY_AURA_2),
    voice("leda", "nl", ONLY_AURA_2),
    voice("rhea", "nl", ONLY_AURA_2),
    voice("roman", "nl", ONLY_AURA_2),
    voice("sander", "nl", ONLY_AURA_2),
    voice("agathe", "fr", ONLY_AURA_2),
    voice("hector", "fr", ONLY_AURA_2),
    voice("cesare", "it", ONLY_AURA_2),
    voice("cinzia", "it", ONLY_AURA_2),
    voice("demetra", "it", ONLY_AURA_2),
    voice("dionisio", "it", ONLY_AURA_2),
    voice("elio", "it", ONLY_AURA_2),
    voice("flavio", "it", ONLY_AURA_2),
    voice("livia", "it", ONLY_AURA_2),
    voice("maia", "it", ONLY_AURA_2),
    voice("melia", "it", ONLY_AURA_2),
    voice("ama", "ja", ONLY_AURA_2),
    voice("ebisu", "ja", ONLY_AURA_2),
    voice("fujin", "ja", ONLY_AURA_2),
    voice("izanami", "ja", ONLY_AURA_2),
    voice("uzume", "ja", ONLY_AURA_2),
    voice("stella", "en", ONLY_AURA_1),
    voice("perseus", "en", ONLY_AURA_1),
    voice("angus", "en", ONLY_AURA_1),
    voice("helios", "en", ONLY_AURA_1),
    voice("haley", "en", ONLY_FLUX),
    voice("kit", "en", ONLY_FLUX),
    voice("alexis", "en", ONLY_FLUX),
    voice("heather", "en", ONLY_FLUX),
    voice("cole", "en", ONLY_FLUX),
    voice("priya", "en", ONLY_FLUX),
    voice("jack", "en", ONLY_FLUX),
    voice("bruce", "en", ONLY_FLUX),
    voice("rufus", "en", ONLY_FLUX),
    voice("drew", "en", ONLY_FLUX),
    voice("renee", "en", ONLY_FLUX),
    voice("marcus", "en", ONLY_FLUX),
    voice("sharon", "en", ONLY_FLUX),
];
