//! What the scripted vendors understand: a word is a stretch of samples of one level, and the level is the
//! number of the word. So what a vendor writes down is decided by the audio that reaches it, and a test can
//! tell whether any was lost, sent twice or put out of order.

/// The level of word 0, and the distance between levels.
const FIRST_LEVEL: i16 = 2_000;
const STEP: i16 = 8;
/// How many words there are.
pub const WORDS: u32 = 3_000;
/// Below this is silence.
const SILENCE: i16 = 500;
/// The shortest word.
const LEAST_WORD_MS: u64 = 100;

/// A word that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
}

/// Headerless 16-bit little-endian audio of one word.
#[must_use]
pub fn word_audio(number: u32, ms: u32, rate: u32) -> Vec<u8> {
    let step = i16::try_from(number % WORDS).unwrap_or(0) * STEP;
    let sample = (FIRST_LEVEL + step).to_le_bytes();
    sample.repeat((rate / 1000 * ms) as usize)
}

/// The word of a number as the vendors write it.
#[must_use]
pub fn word_text(number: u32) -> String {
    format!("w{}", number % WORDS)
}

/// How the audio of a connection is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Linear,
    Ulaw,
    Alaw,
}

/// Listens to one connection.
#[derive(Debug)]
pub(super) struct Hearing {
    encoding: Encoding,
    samples_per_ms: u64,
    half: Option<u8>,
    samples: u64,
    /// The word that is being heard, and since when.
    run: Option<(i16, u64)>,
    silent_since: u64,
}

impl Hearing {
    pub(super) fn new(encoding: Encoding, rate: u32) -> Self {
        let samples_per_ms = u64::from(rate / 1000).max(1);
        Self { encoding, samples_per_ms, half: None, samples: 0, run: None, silent_since: 0 }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.samples / self.samples_per_ms
    }

    /// Milliseconds of silence up to now.
    pub(super) fn silent_ms(&self) -> u64 {
        if self.run.is_some() { 0 } else { (self.samples - self.silent_since) / self.samples_per_ms }
    }

    /// Samples of a step: 20 ms, so that silence and words are judged as they come.
    pub(super) fn step_len(&self) -> usize {
        usize::try_from(20 * self.samples_per_ms).unwrap_or(1)
    }

    /// Listens to a step and gives the word that ended in it.
    pub(super) fn listen(&mut self, step: &[i16]) -> Option<Word> {
        let mut ended = None;
        for sample in step {
            ended = self.sample(*sample).or(ended);
        }
        ended
    }

    /// The word that is being heard ends here.
    pub(super) fn cut(&mut self) -> Option<Word> {
        let (level, since) = self.run.take()?;
        self.silent_since = self.samples;
        let long = (self.samples - since) / self.samples_per_ms >= LEAST_WORD_MS;
        long.then(|| Word {
            text: format!("w{level}"),
            start_ms: since / self.samples_per_ms,
            end_ms: self.samples / self.samples_per_ms,
        })
    }

    fn sample(&mut self, sample: i16) -> Option<Word> {
        let level = (sample > SILENCE).then(|| (sample - FIRST_LEVEL + STEP / 2) / STEP);
        let same = self.run.map(|(level, _)| level) == level;
        let ended = if same { None } else { self.cut() };
        if let Some(level) = level
            && self.run.is_none()
        {
            self.run = Some((level, self.samples));
        }
        self.samples += 1;
        ended
    }

    /// The samples of a frame.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Vec<i16> {
        match self.encoding {
            Encoding::Linear => {
                let mut whole: Vec<u8> = self.half.take().into_iter().collect();
                whole.extend_from_slice(bytes);
                if whole.len() % 2 == 1 {
                    self.half = whole.pop();
                }
                whole.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
            }
            Encoding::Ulaw => bytes.iter().map(|byte| ulaw(*byte)).collect(),
            Encoding::Alaw => bytes.iter().map(|byte| alaw(*byte)).collect(),
        }
    }
}

/// µ-law as ITU-T G.711 has it.
fn ulaw(byte: u8) -> i16 {
    let byte = !byte;
    let (exponent, mantissa) = ((byte >> 4) & 7, i16::from(byte & 15));
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

/// A-law as ITU-T G.711 has it.
fn alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = ((byte >> 4) & 7, i16::from(byte & 15));
    let magnitude = if exponent == 0 { (mantissa << 4) + 8 } else { ((mantissa << 4) + 0x108) << (exponent - 1) };
    if byte & 0x80 == 0 { -magnitude } else { magnitude }
}

/// The byte of µ-law that is nearest to a sample.
pub(super) fn to_ulaw(sample: i16) -> u8 {
    nearest(sample, ulaw)
}

/// The byte of A-law that is nearest to a sample.
pub(super) fn to_alaw(sample: i16) -> u8 {
    nearest(sample, alaw)
}

/// Slow and plainly right: the scripted vendors speak little.
fn nearest(sample: i16, decode: fn(u8) -> i16) -> u8 {
    (0..=u8::MAX).min_by_key(|byte| (i32::from(decode(*byte)) - i32::from(sample)).abs()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_heard_as_they_were_said_whatever_the_frames_are() {
        let mut audio = [word_audio(7, 300, 24_000), word_audio(2_999, 200, 24_000)].concat();
        audio.extend(vec![0; 9_600]);
        let mut hearing = Hearing::new(Encoding::Linear, 24_000);
        let mut heard = Vec::new();
        for frame in audio.chunks(961) {
            let samples = hearing.decode(frame);
            heard.extend(hearing.listen(&samples));
        }
        let texts: Vec<_> = heard.iter().map(|word| (word.text.as_str(), word.start_ms, word.end_ms)).collect();
        assert_eq!(texts, [("w7", 0, 300), ("w2999", 300, 500)]);
        assert_eq!((hearing.silent_ms(), hearing.now_ms()), (200, 700));
    }
}
