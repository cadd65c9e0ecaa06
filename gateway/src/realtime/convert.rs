//! Audio of a live session on its way to a vendor: decoded, brought to another rate, encoded.

use audio::{Resampler, g711};
use dialects::live::Converter;
use domain::audio::{RealtimeFormat, SampleRate};

/// G.711 is eight thousand samples a second.
const TELEPHONE: SampleRate = SampleRate(8000);

/// From one format to another, as a stream.
struct Stream {
    from: RealtimeFormat,
    to: RealtimeFormat,
    /// `None` where the rates are the same.
    resampler: Option<Box<Resampler>>,
}

/// A converter, which costs nothing where the formats are the same.
///
/// # Errors
/// The rates cannot be converted.
pub(super) fn converter(from: RealtimeFormat, to: RealtimeFormat) -> Result<Box<dyn Converter>, String> {
    Ok(Box::new(Stream { from, to, resampler: resampler(from, to)? }))
}

fn resampler(from: RealtimeFormat, to: RealtimeFormat) -> Result<Option<Box<Resampler>>, String> {
    if rate(from) == rate(to) {
        return Ok(None);
    }
    let resampler = Resampler::new(rate(from), rate(to)).map_err(|error| error.to_string())?;
    Ok(Some(Box::new(resampler)))
}

fn rate(format: RealtimeFormat) -> SampleRate {
    match format {
        RealtimeFormat::Pcm16(rate) => rate,
        RealtimeFormat::Pcmu | RealtimeFormat::Pcma => TELEPHONE,
    }
}

fn decode(format: RealtimeFormat, bytes: &[u8]) -> Vec<i16> {
    match format {
        RealtimeFormat::Pcm16(_) => audio::encode::pcm16_samples(bytes),
        RealtimeFormat::Pcmu => bytes.iter().map(|byte| g711::ulaw_to_pcm16(*byte)).collect(),
        RealtimeFormat::Pcma => bytes.iter().map(|byte| g711::alaw_to_pcm16(*byte)).collect(),
    }
}

fn encode(format: RealtimeFormat, samples: &[i16]) -> Vec<u8> {
    match format {
        RealtimeFormat::Pcm16(_) => audio::encode::pcm16_bytes(samples),
        RealtimeFormat::Pcmu => samples.iter().map(|sample| g711::pcm16_to_ulaw(*sample)).collect(),
        RealtimeFormat::Pcma => samples.iter().map(|sample| g711::pcm16_to_alaw(*sample)).collect(),
    }
}

impl Converter for Stream {
    fn convert(&mut self, audio: &[u8]) -> Result<Vec<u8>, String> {
        if self.from == self.to {
            return Ok(audio.to_vec());
        }
        let samples = decode(self.from, audio);
        let Some(resampler) = &mut self.resampler else { return Ok(encode(self.to, &samples)) };
        let samples = resampler.push(&samples).map_err(|error| error.to_string())?;
        Ok(encode(self.to, &samples))
    }

    fn flush(&mut self) -> Result<Vec<u8>, String> {
        let Some(used) = self.resampler.take() else { return Ok(Vec::new()) };
        self.resampler = resampler(self.from, self.to)?;
        let rest = used.finish().map_err(|error| error.to_string())?;
        Ok(encode(self.to, &rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::audio::PCM_24K;

    const PCM: RealtimeFormat = RealtimeFormat::Pcm16(PCM_24K);
    const GEMINI: RealtimeFormat = RealtimeFormat::Pcm16(SampleRate(16_000));

    #[test]
    fn a_second_stays_a_second_in_pieces_of_any_size() {
        for (from, bytes, to, expected) in [
            (PCM, 48_000, GEMINI, 32_000),
            (PCM, 48_000, PCM, 48_000),
            (RealtimeFormat::Pcmu, 8_000, GEMINI, 32_000),
            (RealtimeFormat::Pcma, 8_000, RealtimeFormat::Pcm16(TELEPHONE), 16_000),
        ] {
            let mut converter = converter(from, to).unwrap();
            let mut length = 0;
            for piece in vec![0_u8; bytes].chunks(962) {
                length += converter.convert(piece).unwrap().len();
            }
            assert_eq!(length + converter.flush().unwrap().len(), expected, "{from:?} to {to:?}");
            assert_eq!(converter.flush().unwrap().len(), 0);
        }
    }

    #[test]
    fn what_telephones_say_is_said_alike() {
        let mut converter = converter(RealtimeFormat::Pcma, RealtimeFormat::Pcm16(TELEPHONE)).unwrap();
        let samples = converter.convert(&[g711::pcm16_to_alaw(12_000), g711::pcm16_to_alaw(-300)]).unwrap();
        let samples = audio::encode::pcm16_samples(&samples);
        assert!(
            matches!(samples.as_slice(), [a, b] if (a - 12_000).abs() < 400 && (b + 300).abs() < 20),
            "{samples:?}"
        );
    }
}
