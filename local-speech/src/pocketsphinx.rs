//! Transcription by `PocketSphinx` with its US English model.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use audio::{AudioError, pcm16_bytes};
use domain::audio::SampleRate;
use domain::transcription::{Segment, Transcript, Word};
use tempfile::NamedTempFile;
use tokio::sync::OwnedSemaphorePermit;

use crate::child::{command, failed, run, slot};
use crate::{EN_US, LocalError, POCKETSPHINX, Shared};

/// The rate the model was trained for.
pub(crate) const MODEL_RATE: SampleRate = SampleRate(16_000);

pub(crate) async fn transcribe(shared: &Shared, file: PathBuf, words: bool) -> Result<Transcript, LocalError> {
    let recogniser = Recogniser::find(shared)?;
    // A decoded file is far larger than the file: the slot bounds how many there are.
    let permit = slot(shared).await?;
    let max_ms = shared.limits.audio_ms;
    let decoding = tokio::task::spawn_blocking(move || (decode(&file, max_ms), permit));
    let (samples, permit) = decoding.await.map_err(failed)?;
    let mut transcript = recogniser.run(shared, samples?, permit).await?;
    if !words {
        transcript.words.clear();
    }
    Ok(transcript)
}

fn decode(file: &Path, max_ms: u64) -> Result<Vec<i16>, LocalError> {
    let file = File::open(file).map_err(failed)?;
    audio::decode_to_pcm16_mono(file, MODEL_RATE, max_ms).map_err(|error| match error {
        AudioError::Unsupported(_) => LocalError::Unsupported(error.to_string()),
        _ => LocalError::BadAudio(error.to_string()),
    })
}

/// Recognises samples at 16 kHz in one child.
pub(crate) async fn recognise(shared: &Shared, samples: Vec<i16>) -> Result<Transcript, LocalError> {
    let recogniser = Recogniser::find(shared)?;
    let permit = slot(shared).await?;
    recogniser.run(shared, samples, permit).await
}

/// The program and its model, both of which are there.
struct Recogniser<'a> {
    program: &'a Path,
    model: &'a Path,
}

impl<'a> Recogniser<'a> {
    fn find(shared: &'a Shared) -> Result<Self, LocalError> {
        let program = shared.programs.pocketsphinx.as_deref().ok_or(POCKETSPHINX)?;
        let model = shared.programs.model.as_deref().ok_or(EN_US)?;
        Ok(Self { program, model })
    }

    async fn run(
        &self,
        shared: &Shared,
        samples: Vec<i16>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Transcript, LocalError> {
        let duration_ms = samples.len() as u64 / 16;
        if samples.is_empty() {
            return Ok(Transcript { duration_ms: Some(0), ..Transcript::default() });
        }
        let raw = tokio::task::spawn_blocking(move || raw_file(&samples)).await.map_err(failed)??;
        let mut sphinx = command(shared, self.program);
        sphinx.arg("-infile").arg(raw.path()).args(["-time", "yes", "-logfn", "/dev/null"]);
        // Wider beams than the defaults: 2 instead of 5 wrong words of 95 in ten sentences of slt.
        sphinx.args(["-beam", "1e-60", "-wbeam", "1e-40"]);
        sphinx.arg("-hmm").arg(self.model.join("en-us"));
        sphinx.arg("-lm").arg(self.model.join("en-us.lm.bin"));
        sphinx.arg("-dict").arg(self.model.join("cmudict-en-us.dict"));
        let limit = shared.limits.child_time + Duration::from_millis(duration_ms * 2);
        let output = run(sphinx, limit).await?;
        drop(permit);
        let mut transcript = read_output(&String::from_utf8_lossy(&output));
        transcript.duration_ms = Some(duration_ms);
        Ok(transcript)
    }
}

/// Without the ending `.wav` the program reads plain little-endian samples.
fn raw_file(samples: &[i16]) -> Result<NamedTempFile, LocalError> {
    let file = tempfile::Builder::new().suffix(".raw").tempfile().map_err(failed)?;
    std::fs::write(file.path(), pcm16_bytes(samples)).map_err(failed)?;
    Ok(file)
}

/// Reads utterances: a line of text, then a line for each word with its start, end and
/// confidence. The text is built of the words, for only they tell fillers apart.
fn read_output(output: &str) -> Transcript {
    let mut transcript = Transcript { language: Some("en".to_owned()), ..Transcript::default() };
    let mut open = false;
    for line in output.lines() {
        let Some(word) = read_word(line) else {
            open = false;
            continue;
        };
        if is_filler(&word.word) {
            continue;
        }
        match transcript.segments.last_mut().filter(|_| open) {
            Some(segment) => {
                segment.text.push(' ');
                segment.text.push_str(&word.word);
                segment.end = word.end;
            }
            None => transcript.segments.push(Segment {
                id: transcript.segments.len() as u64,
                start: word.start,
                end: word.end,
                text: word.word.clone(),
                speaker: None,
            }),
        }
        open = true;
        transcript.words.push(word);
    }
    let texts: Vec<_> = transcript.segments.iter().map(|segment| segment.text.as_str()).collect();
    transcript.text = texts.join(" ");
    transcript
}

fn read_word(line: &str) -> Option<Word> {
    let mut fields = line.split_whitespace();
    let word = fields.next()?;
    let start: f64 = fields.next()?.parse().ok()?;
    let end: f64 = fields.next()?.parse().ok()?;
    let _confidence: f64 = fields.next()?.parse().ok()?;
    // A second pronunciation is written as `read(2)`.
    let spoken = word.split('(').next().unwrap_or(word);
    let plain = fields.next().is_none() && start.is_finite() && end.is_finite();
    plain.then(|| Word { word: spoken.to_owned(), start, end: end.max(start) })
}

/// `<s>`, `</s>`, `<sil>`, `[NOISE]` and `++UM++` are not words.
fn is_filler(word: &str) -> bool {
    word.is_empty() || word.starts_with(['<', '[', '+'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utterances_become_segments_without_fillers() {
        let output = "the lead\n<s> 0.000 0.140 0.999900\nthe 0.150 0.270 0.543421\n\
            <sil> 0.280 0.400 0.9\nlead(2) 0.410 0.700 0.197407\n</s> 0.710 0.800 1.000000\n\
            again\n<s> 1.000 1.100 1.0\n[NOISE] 1.100 1.200 1.0\nagain 1.200 1.500 0.9\n\n";
        let transcript = read_output(output);
        assert_eq!(transcript.text, "the lead again");
        let segments: Vec<_> = transcript
            .segments
            .iter()
            .map(|segment| (segment.id, segment.start, segment.end, segment.text.as_str()))
            .collect();
        assert_eq!(segments, [(0, 0.15, 0.7, "the lead"), (1, 1.2, 1.5, "again")]);
        assert_eq!(transcript.words.len(), 3);
    }
}
