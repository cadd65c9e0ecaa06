//! What a transcription costs beside its length: channels, and add-ons that Deepgram bills by the minute.
//!
//! An add-on is told as a part of the model's price in percent, rounded up, so that it follows a price that
//! an operator has set. Source: the price list of this repository, whose sources name the same pages.

use domain::audio::AudioFile;
use domain::transcription::{TranscriptFormat, TranscriptionRequest};

use super::extension::Options;
use super::languages::Spoken;
use super::models::{Terms, capabilities};
use crate::surface::Query;

/// Hundredths of a cent that a minute costs more. Source: `LiteLLM` 1.109.1 citing deepgram.com/pricing,
/// read 2026-11-21; listed there for live audio, and taken for files as well.
const DIARIZATION: u64 = 20;
const REDACTION: u64 = 20;
const KEYTERMS: u64 = 13;
const ENTITIES: u64 = 17;
/// Nova-3 in several languages at once. Source: a survey of 2026-08-01 citing the vendor's page.
const MULTILINGUAL: u64 = 15;

/// Channels that Deepgram tells apart.
const MAX_CHANNELS: u64 = 20;

/// Hundredths of a cent that a minute of a model costs.
fn minute(model: &str) -> u64 {
    match model {
        "nova-3" | "nova-3-general" => 77,
        "nova-3-medical" => 52,
        _ if model.starts_with("whisper-") => 60,
        _ if model.starts_with("enhanced") => 145,
        _ if model.starts_with("base") => 125,
        _ => 43,
    }
}

/// What is asked beside the transcript, in percent of the model's price.
pub(super) fn surcharge_percent(
    request: &TranscriptionRequest,
    spoken: &Spoken,
    options: &Options<'_>,
    model: &str,
) -> u64 {
    let keyterms = capabilities(model).terms == Terms::Keyterm;
    let is_nova_3 = minute(model) == minute("nova-3");
    let multilingual = if is_nova_3 && *spoken == Spoken::Mixed { MULTILINGUAL } else { 0 };
    ((add_ons(request, options, keyterms) + multilingual) * 100).div_ceil(minute(model))
}

/// As [`surcharge_percent`], of a query in Deepgram's own words.
pub(super) fn asked_percent(query: &Query, model: &str) -> u64 {
    let is_on = |name: &str| {
        let mut values = query.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        values.any(|value| !matches!(value, "" | "false"))
    };
    let termed = capabilities(model).terms == Terms::Keyterm && is_on("keyterm");
    let multilingual = minute(model) == minute("nova-3") && query.get("language") == Some("multi");
    let asked = [
        (is_on("diarize") || is_on("diarize_model"), DIARIZATION),
        (is_on("redact"), REDACTION),
        (termed, KEYTERMS),
        (is_on("detect_entities"), ENTITIES),
        (multilingual, MULTILINGUAL),
    ];
    let sum: u64 = asked.into_iter().filter(|(asked, _)| *asked).map(|(_, price)| price).sum();
    (sum * 100).div_ceil(minute(model))
}

/// What a live configuration of nova-3 costs beside the audio, in percent of the model's price.
pub(super) fn live_surcharge_percent(model: &str, keyterms: bool, multilingual: bool) -> u64 {
    if minute(model) != minute("nova-3") {
        return 0;
    }
    let asked = [(keyterms, KEYTERMS), (multilingual, MULTILINGUAL)];
    let more: u64 = asked.iter().filter(|(asked, _)| *asked).map(|(_, price)| price).sum();
    (more * 100).div_ceil(minute(model))
}

/// How many times the length is billed.
pub(super) fn channels(options: &Options<'_>, file: &AudioFile) -> u64 {
    let channels = if options.is_on("multichannel") { file.channels.unwrap_or(1) } else { 1 };
    u64::from(channels).clamp(1, MAX_CHANNELS)
}

fn add_ons(request: &TranscriptionRequest, options: &Options<'_>, keyterms: bool) -> u64 {
    let diarized = request.format() == TranscriptFormat::DiarizedJson || options.is_on("diarize_model");
    let termed = keyterms && (!request.keywords.is_empty() || options.is_on("keyterm"));
    let asked = [
        (diarized, DIARIZATION),
        (options.is_on("redact"), REDACTION),
        (termed, KEYTERMS),
        (options.is_on("detect_entities"), ENTITIES),
    ];
    asked.into_iter().filter(|(asked, _)| *asked).map(|(_, price)| price).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_of_the_price_that_is_listed() {
        let list = include_str!("../../../pricing-seed/prices/deepgram.csv");
        let rows = list.lines().filter(|line| line.contains(",transcription,audio_minute,"));
        let mut count = 0;
        for row in rows {
            let mut fields = row.split(',');
            let (model, usd) = (fields.next().unwrap(), fields.nth(2).unwrap());
            let hundredths = usd.parse::<f64>().unwrap() * 10_000.0;
            assert!((hundredths - minute(model) as f64).abs() < 1e-6, "{model}");
            count += 1;
        }
        assert!(count > 10);
    }
}
