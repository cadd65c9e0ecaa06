//! Speech by flite: sentence after sentence, so that the first bytes leave early.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use audio::{AudioError, Resampler, pcm16_bytes, wav_header};
use bytes::Bytes;
use domain::audio::{PCM_24K, SampleRate, SpeechFormat};
use domain::speech::SpeechRequest;
use futures_util::stream::{self, Stream};

use crate::child::{command, failed, run, slot};
use crate::{FLITE, LocalError, Shared, text};

/// The voices of flite that sound well enough, with who they are.
pub const VOICES: [(&str, &str); 4] = [
    ("slt", "US English, female"),
    ("rms", "US English, male"),
    ("awb", "Scottish English, male"),
    ("kal16", "US English, synthetic"),
];

/// `OpenAI`'s voices by the flite voice that stands in for them.
const STAND_INS: [(&str, &str); 13] = [
    ("alloy", "slt"),
    ("coral", "slt"),
    ("marin", "slt"),
    ("nova", "slt"),
    ("sage", "slt"),
    ("shimmer", "slt"),
    ("ash", "rms"),
    ("cedar", "rms"),
    ("echo", "rms"),
    ("onyx", "rms"),
    ("ballad", "awb"),
    ("fable", "awb"),
    ("verse", "awb"),
];

/// Samples of one sentence at most, ten minutes at 16 kHz: a bound on what a file can bring in.
const MAX_SENTENCE_BYTES: u64 = 600 * 32_000;

/// The bytes of a speech as they are made.
pub type SpeechBody = Pin<Box<dyn Stream<Item = Result<Bytes, LocalError>> + Send>>;

/// A speech that has begun.
pub struct SpeechOutput {
    /// Content type of the body.
    pub content_type: &'static str,
    /// Format of the body: `wav` or `pcm`.
    pub format: SpeechFormat,
    /// Samples per second of the body.
    pub sample_rate: SampleRate,
    /// The audio. An error ends it; dropping it stops the work.
    pub body: SpeechBody,
}

impl fmt::Debug for SpeechOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpeechOutput").field("format", &self.format).finish_non_exhaustive()
    }
}

/// What is still to be said, and by whom.
struct Speaker {
    shared: Arc<Shared>,
    program: PathBuf,
    voice: &'static str,
    stretch: f64,
    left: VecDeque<String>,
    resampler: Option<Resampler>,
}

pub(crate) async fn speak(shared: Arc<Shared>, request: &SpeechRequest) -> Result<SpeechOutput, LocalError> {
    let format = format_of(request)?;
    let mut speaker = Speaker::new(shared, request)?;
    let first = speaker.next_samples().await?.unwrap_or_default();
    let single = speaker.left.is_empty() && speaker.resampler.is_none();
    let mut head = Vec::new();
    if format == SpeechFormat::Wav {
        let known = single.then(|| u32::try_from(first.len() * 2).ok()).flatten();
        head.extend(wav_header(PCM_24K, known));
    }
    head.extend(pcm16_bytes(&first));
    let rest = stream::unfold(Some(speaker), |speaker| async {
        let mut speaker = speaker?;
        match speaker.next_samples().await {
            Ok(Some(samples)) => Some((Ok(Bytes::from(pcm16_bytes(&samples))), Some(speaker))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    let first = stream::iter([Ok(Bytes::from(head))]);
    Ok(SpeechOutput {
        content_type: format.content_type(),
        format,
        sample_rate: PCM_24K,
        body: Box::pin(futures_util::StreamExt::chain(first, rest)),
    })
}

/// A client that names no format gets `wav`, for the `mp3` of `OpenAI`'s default cannot be made
/// here and the content type tells what it is.
fn format_of(request: &SpeechRequest) -> Result<SpeechFormat, LocalError> {
    match request.response_format {
        None | Some(SpeechFormat::Wav) => Ok(SpeechFormat::Wav),
        Some(SpeechFormat::Pcm) => Ok(SpeechFormat::Pcm),
        Some(_) => Err(LocalError::Unsupported(
            "the local provider speaks wav and pcm; set response_format to one of them".to_owned(),
        )),
    }
}

fn voice_of(name: &str) -> Result<&'static str, LocalError> {
    let own = VOICES.iter().map(|(voice, _)| (*voice, *voice));
    own.chain(STAND_INS).find(|(known, _)| *known == name).map(|(_, voice)| voice).ok_or_else(|| {
        let names: Vec<_> = VOICES.iter().map(|(voice, _)| *voice).collect();
        LocalError::Unsupported(format!("the local provider has no voice of that name; it has {}", names.join(", ")))
    })
}

fn stretch_of(speed: Option<f64>) -> Result<f64, LocalError> {
    let speed = speed.unwrap_or(1.0);
    if (0.25..=4.0).contains(&speed) {
        Ok(1.0 / speed)
    } else {
        Err(LocalError::Unsupported("speed must be between 0.25 and 4.0".to_owned()))
    }
}

impl Speaker {
    fn new(shared: Arc<Shared>, request: &SpeechRequest) -> Result<Self, LocalError> {
        let voice = voice_of(request.voice.as_str())?;
        let stretch = stretch_of(request.speed)?;
        let most = shared.limits.text_chars;
        if request.input.chars().count() > most {
            let message = format!("the local provider speaks at most {most} characters at once");
            return Err(LocalError::Unsupported(message));
        }
        let left: VecDeque<_> = text::sentences(&request.input).into();
        if left.is_empty() {
            return Err(LocalError::Unsupported("there is no text to speak".to_owned()));
        }
        let program = shared.programs.flite.clone().ok_or(FLITE)?;
        Ok(Self { shared, program, voice, stretch, left, resampler: None })
    }

    /// The samples of the next sentence at 24 kHz; with the last one comes the tail of the
    /// resampler.
    async fn next_samples(&mut self) -> Result<Option<Vec<i16>>, LocalError> {
        let Some(sentence) = self.left.pop_front() else { return Ok(None) };
        let wave = self.synthesise(&sentence).await?;
        let (rate, samples) = read_wave(&wave).ok_or_else(|| failed("flite wrote no audio"))?;
        let mut resampler = match self.resampler.take() {
            Some(resampler) => resampler,
            None => Resampler::new(rate, PCM_24K).map_err(internal)?,
        };
        let mut out = resampler.push(&samples).map_err(internal)?;
        if self.left.is_empty() {
            out.extend(resampler.finish().map_err(internal)?);
        } else {
            self.resampler = Some(resampler);
        }
        Ok(Some(out))
    }

    /// The text goes by a file and never by an argument, where it could be taken for an option.
    async fn synthesise(&self, sentence: &str) -> Result<Vec<u8>, LocalError> {
        let permit = slot(&self.shared).await?;
        let dir = tempfile::tempdir().map_err(failed)?;
        let (input, output) = (dir.path().join("text"), dir.path().join("speech.wav"));
        tokio::fs::write(&input, sentence).await.map_err(failed)?;
        let mut flite = command(&self.shared, &self.program);
        flite.arg("-voice").arg(self.voice);
        flite.arg("--setf").arg(format!("duration_stretch={:.4}", self.stretch));
        flite.arg("-f").arg(&input).arg("-o").arg(&output);
        run(flite, self.shared.limits.child_time).await?;
        drop(permit);
        let size = tokio::fs::metadata(&output).await.map_err(failed)?.len();
        if size > MAX_SENTENCE_BYTES {
            return Err(failed("flite spoke for too long"));
        }
        tokio::fs::read(&output).await.map_err(failed)
    }
}

/// The rate and the samples of the plain mono file that flite writes.
fn read_wave(wave: &[u8]) -> Option<(SampleRate, Vec<i16>)> {
    let rate = u32::from_le_bytes(*wave.get(24..28)?.first_chunk()?);
    Some((SampleRate(rate), audio::encode::pcm16_samples(wave.get(44..)?)))
}

fn internal(error: AudioError) -> LocalError {
    failed(error)
}
