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

    /// Every format that a client or a vendor speaks.
    fn formats() -> Vec<RealtimeFormat> {
        let rates = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000];
        let samples = rates.map(|rate| RealtimeFormat::Pcm16(SampleRate(rate)));
        samples.into_iter().chain([RealtimeFormat::Pcmu, RealtimeFormat::Pcma]).collect()
    }

    fn sine(hertz: f64, rate: u32, seconds: f64) -> Vec<i16> {
        let step = hertz / f64::from(rate) * std::f64::consts::TAU;
        (0..(f64::from(rate) * seconds) as u32).map(|n| ((f64::from(n) * step).sin() * 16_000.0) as i16).collect()
    }

    /// What is left of a tone when the tone itself is taken out, whatever its phase: the ratio of their powers in
    /// decibels, and the loudest sample of what is left. The beginning and the end are left out.
    fn purity(samples: &[i16], hertz: f64, rate: u32) -> (f64, f64) {
        let margin = rate as usize / 10;
        let heard = &samples[margin..samples.len() - margin];
        let step = hertz / f64::from(rate) * std::f64::consts::TAU;
        let wave: Vec<(f64, f64)> = (0..heard.len()).map(|n| (n as f64 * step).sin_cos()).collect();
        // The least squares fit of a sine and a cosine.
        let sum = |f: &dyn Fn(usize) -> f64| (0..heard.len()).map(f).sum::<f64>();
        let (ss, cc, sc) =
            (sum(&|n| wave[n].0 * wave[n].0), sum(&|n| wave[n].1 * wave[n].1), sum(&|n| wave[n].0 * wave[n].1));
        let (xs, xc) = (sum(&|n| f64::from(heard[n]) * wave[n].0), sum(&|n| f64::from(heard[n]) * wave[n].1));
        let det = ss * cc - sc * sc;
        let (a, b) = ((xs * cc - xc * sc) / det, (xc * ss - xs * sc) / det);
        let tone = |n: usize| a * wave[n].0 + b * wave[n].1;
        let left = |n: usize| f64::from(heard[n]) - tone(n);
        let power = |f: &dyn Fn(usize) -> f64| sum(&|n| f(n) * f(n));
        let loudest = (0..heard.len()).map(|n| left(n).abs()).fold(0.0, f64::max);
        (10.0 * (power(&tone) / power(&left).max(1.0)).log10(), loudest)
    }

    /// G.711 keeps eight bits, so a tone is no purer than its code: 37 decibels and a bit. Everything else keeps
    /// more than 40, and no frame's edge is heard: nothing that is left is louder than the noise of the code.
    #[test]
    fn a_tone_stays_pure_through_every_path_and_over_every_edge() {
        let coded = |format| matches!(format, RealtimeFormat::Pcmu | RealtimeFormat::Pcma);
        for from in formats() {
            for to in formats() {
                let half = f64::from(rate(from).0.min(rate(to).0)) / 2.0;
                for part in [0.05, 0.45, 0.8] {
                    let hertz = half * part;
                    let sent = encode(from, &sine(hertz, rate(from).0, 0.5));
                    let mut converter = converter(from, to).unwrap();
                    let mut got = Vec::new();
                    // Frames of 20 ms, and some of other lengths between; each holds whole samples.
                    let frame = bytes_of(from, rate(from).0 / 50);
                    let (mut rest, mut turn) = (sent.as_slice(), 0);
                    while !rest.is_empty() {
                        turn += 1;
                        let wanted = if turn % 7 == 0 { bytes_of(from, 37) } else { frame };
                        let (now, later) = rest.split_at(wanted.min(rest.len()));
                        got.extend(converter.convert(now).unwrap());
                        rest = later;
                    }
                    got.extend(converter.flush().unwrap());
                    let (decibels, loudest) = purity(&decode(to, &got), hertz, rate(to).0);
                    let (least, most) = if coded(from) || coded(to) { (33.0, 1_100.0) } else { (40.0, 160.0) };
                    assert!(decibels > least, "{from:?} to {to:?} at {hertz} Hz: {decibels:.1} dB");
                    assert!(loudest < most, "{from:?} to {to:?} at {hertz} Hz: an edge of {loudest:.0}");
                }
            }
        }
    }

    fn bytes_of(format: RealtimeFormat, samples: u32) -> usize {
        samples as usize * if matches!(format, RealtimeFormat::Pcm16(_)) { 2 } else { 1 }
    }
}
