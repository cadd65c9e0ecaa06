//! Languages by all the names that providers have for them: ISO 639-1 and 639-3 codes, BCP-47 tags and
//! English names.

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language {
    /// ISO 639-1, or 639-3 where there is no shorter code: what `OpenAI` takes as `language`.
    pub code: &'static str,
    /// ISO 639-3.
    pub three: &'static str,
    /// The English name in lower case, as `verbose_json` tells it.
    pub name: &'static str,
    /// BCP-47 with the region that is meant where none is named.
    pub tag: &'static str,
}

impl Language {
    /// The language that is meant by a code, a tag or an English name, in any case. A region or a script
    /// behind the code is left out of account.
    #[must_use]
    pub fn find(named: &str) -> Option<&'static Self> {
        let named = named.trim().to_ascii_lowercase();
        let first = named.split(['-', '_']).next().unwrap_or_default();
        let first = ALIASES.iter().find(|(alias, _)| *alias == first).map_or(first, |(_, code)| code);
        LANGUAGES.iter().find(|language| [language.code, language.three].contains(&first) || language.name == named)
    }

    /// The tag to send where a provider wants a region: the one that was named, where it is one, else the usual.
    #[must_use]
    pub fn tag_for(named: &str) -> Option<String> {
        let (language, named) = (Self::find(named)?, named.trim());
        let letters = named.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_tag = letters && named.contains('-') && named.len() <= 16;
        Some(if is_tag { named.to_owned() } else { language.tag.to_owned() })
    }
}

/// Codes that mean a language under another of its codes.
const ALIASES: &[(&str, &str)] = &[
    ("cmn", "zh"),
    ("ger", "de"),
    ("fre", "fr"),
    ("chi", "zh"),
    ("dut", "nl"),
    ("gre", "el"),
    ("cze", "cs"),
    ("per", "fa"),
    ("rum", "ro"),
    ("slo", "sk"),
    ("alb", "sq"),
    ("arm", "hy"),
    ("baq", "eu"),
    ("bur", "my"),
    ("geo", "ka"),
    ("ice", "is"),
    ("mac", "mk"),
    ("mao", "mi"),
    ("may", "ms"),
    ("tib", "bo"),
    ("wel", "cy"),
    ("nb", "no"),
    ("nob", "no"),
    ("iw", "he"),
    ("in", "id"),
    ("arb", "ar"),
    ("pes", "fa"),
    ("zsm", "ms"),
    ("swh", "sw"),
    ("lvs", "lv"),
    ("ekk", "et"),
];

const fn language(code: &'static str, three: &'static str, name: &'static str, tag: &'static str) -> Language {
    Language { code, three, name, tag }
}

/// Every language that one of the providers transcribes or speaks under a code of its own.
pub static LANGUAGES: &[Language] = &[
    language("af", "afr", "afrikaans", "af-ZA"),
    language("am", "amh", "amharic", "am-ET"),
    language("ar", "ara", "arabic", "ar-XA"),
    language("as", "asm", "assamese", "as-IN"),
    language("az", "aze", "azerbaijani", "az-AZ"),
    language("ba", "bak", "bashkir", "ba-RU"),
    language("be", "bel", "belarusian", "be-BY"),
    language("bg", "bul", "bulgarian", "bg-BG"),
    language("bn", "ben", "bengali", "bn-IN"),
    language("bo", "bod", "tibetan", "bo-CN"),
    language("br", "bre", "breton", "br-FR"),
    language("bs", "bos", "bosnian", "bs-BA"),
    language("ca", "cat", "catalan", "ca-ES"),
    language("cs", "ces", "czech", "cs-CZ"),
    language("cy", "cym", "welsh", "cy-GB"),
    language("da", "dan", "danish", "da-DK"),
    language("de", "deu", "german", "de-DE"),
    language("el", "ell", "greek", "el-GR"),
    language("en", "eng", "english", "en-US"),
    language("es", "spa", "spanish", "es-ES"),
    language("et", "est", "estonian", "et-EE"),
    language("eu", "eus", "basque", "eu-ES"),
    language("fa", "fas", "persian", "fa-IR"),
    language("fi", "fin", "finnish", "fi-FI"),
    language("fil", "fil", "filipino", "fil-PH"),
    language("fo", "fao", "faroese", "fo-FO"),
    language("fr", "fra", "french", "fr-FR"),
    language("ga", "gle", "irish", "ga-IE"),
    language("gl", "glg", "galician", "gl-ES"),
    language("gu", "guj", "gujarati", "gu-IN"),
    language("ha", "hau", "hausa", "ha-NG"),
    language("haw", "haw", "hawaiian", "haw-US"),
    language("he", "heb", "hebrew", "he-IL"),
    language("hi", "hin", "hindi", "hi-IN"),
    language("hr", "hrv", "croatian", "hr-HR"),
    language("ht", "hat", "haitian creole", "ht-HT"),
    language("hu", "hun", "hungarian", "hu-HU"),
    language("hy", "hye", "armenian", "hy-AM"),
    language("id", "ind", "indonesian", "id-ID"),
    language("ig", "ibo", "igbo", "ig-NG"),
    language("is", "isl", "icelandic", "is-IS"),
    language("it", "ita", "italian", "it-IT"),
    language("ja", "jpn", "japanese", "ja-JP"),
    language("jv", "jav", "javanese", "jv-ID"),
    language("ka", "kat", "georgian", "ka-GE"),
    language("kk", "kaz", "kazakh", "kk-KZ"),
    language("km", "khm", "khmer", "km-KH"),
    language("kn", "kan", "kannada", "kn-IN"),
    language("ko", "kor", "korean", "ko-KR"),
    language("ku", "kur", "kurdish", "ku-TR"),
    language("ky", "kir", "kyrgyz", "ky-KG"),
    language("la", "lat", "latin", "la-VA"),
    language("lb", "ltz", "luxembourgish", "lb-LU"),
    language("ln", "lin", "lingala", "ln-CD"),
    language("lo", "lao", "lao", "lo-LA"),
    language("lt", "lit", "lithuanian", "lt-LT"),
    language("lv", "lav", "latvian", "lv-LV"),
    language("mg", "mlg", "malagasy", "mg-MG"),
    language("mi", "mri", "maori", "mi-NZ"),
    language("mk", "mkd", "macedonian", "mk-MK"),
    language("ml", "mal", "malayalam", "ml-IN"),
    language("mn", "mon", "mongolian", "mn-MN"),
    language("mr", "mar", "marathi", "mr-IN"),
    language("ms", "msa", "malay", "ms-MY"),
    language("mt", "mlt", "maltese", "mt-MT"),
    language("my", "mya", "burmese", "my-MM"),
    language("ne", "nep", "nepali", "ne-NP"),
    language("nl", "nld", "dutch", "nl-NL"),
    language("nn", "nno", "nynorsk", "nn-NO"),
    language("no", "nor", "norwegian", "no-NO"),
    language("oc", "oci", "occitan", "oc-FR"),
    language("pa", "pan", "punjabi", "pa-IN"),
    language("pl", "pol", "polish", "pl-PL"),
    language("ps", "pus", "pashto", "ps-AF"),
    language("pt", "por", "portuguese", "pt-PT"),
    language("ro", "ron", "romanian", "ro-RO"),
    language("ru", "rus", "russian", "ru-RU"),
    language("sa", "san", "sanskrit", "sa-IN"),
    language("sd", "snd", "sindhi", "sd-PK"),
    language("si", "sin", "sinhala", "si-LK"),
    language("sk", "slk", "slovak", "sk-SK"),
    language("sl", "slv", "slovenian", "sl-SI"),
    language("sn", "sna", "shona", "sn-ZW"),
    language("so", "som", "somali", "so-SO"),
    language("sq", "sqi", "albanian", "sq-AL"),
    language("sr", "srp", "serbian", "sr-RS"),
    language("su", "sun", "sundanese", "su-ID"),
    language("sv", "swe", "swedish", "sv-SE"),
    language("sw", "swa", "swahili", "sw-KE"),
    language("ta", "tam", "tamil", "ta-IN"),
    language("te", "tel", "telugu", "te-IN"),
    language("tg", "tgk", "tajik", "tg-TJ"),
    language("th", "tha", "thai", "th-TH"),
    language("tk", "tuk", "turkmen", "tk-TM"),
    language("tl", "tgl", "tagalog", "fil-PH"),
    language("tr", "tur", "turkish", "tr-TR"),
    language("tt", "tat", "tatar", "tt-RU"),
    language("uk", "ukr", "ukrainian", "uk-UA"),
    language("ur", "urd", "urdu", "ur-PK"),
    language("uz", "uzb", "uzbek", "uz-UZ"),
    language("vi", "vie", "vietnamese", "vi-VN"),
    language("wo", "wol", "wolof", "wo-SN"),
    language("xh", "xho", "xhosa", "xh-ZA"),
    language("yi", "yid", "yiddish", "yi-001"),
    language("yo", "yor", "yoruba", "yo-NG"),
    language("yue", "yue", "cantonese", "yue-Hant-HK"),
    language("zh", "zho", "chinese", "cmn-Hans-CN"),
    language("zu", "zul", "zulu", "zu-ZA"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_found_by_any_of_its_names() {
        for named in ["de", "DE", "deu", "ger", "german", "German", "de-DE", "de_AT"] {
            assert_eq!(Language::find(named).map(|language| language.code), Some("de"), "{named}");
        }
        assert_eq!(Language::find("zh-CN").map(|language| language.three), Some("zho"));
        assert_eq!(Language::find("cmn-Hans-CN").map(|language| language.name), Some("chinese"));
        assert_eq!(Language::find("haitian creole").map(|language| language.code), Some("ht"));
        assert!(Language::find("").is_none() && Language::find("klingon").is_none());
    }

    #[test]
    fn a_region_that_was_named_is_kept() {
        assert_eq!(Language::tag_for("en").as_deref(), Some("en-US"));
        assert_eq!(Language::tag_for("en-GB").as_deref(), Some("en-GB"));
        assert_eq!(Language::tag_for(" de-AT ").as_deref(), Some("de-AT"));
        assert_eq!(Language::tag_for("de-?").as_deref(), Some("de-DE"), "what is no tag is none that was named");
        assert_eq!(Language::tag_for("english").as_deref(), Some("en-US"));
        assert_eq!(Language::tag_for("xx"), None);
    }

    #[test]
    fn no_code_means_two_languages() {
        for (index, language) in LANGUAGES.iter().enumerate() {
            for other in LANGUAGES.iter().skip(index + 1) {
                let names = [language.code, language.three, language.name];
                assert!(!names.contains(&other.code) && !names.contains(&other.three), "{language:?} {other:?}");
            }
        }
    }
}
