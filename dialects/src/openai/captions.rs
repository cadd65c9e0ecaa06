//! `SubRip` and `WebVTT` captions from segments or words.

use domain::transcription::{Segment, Transcript};

use crate::segments::{SpokenWord, segments};

/// Captions in `SubRip`; `None` when the transcript has text but no times.
#[must_use]
pub fn srt(transcript: &Transcript) -> Option<String> {
    let mut out = String::new();
    for (index, cue) in cues(transcript)?.iter().enumerate() {
        let (start, end) = (clock(cue.start, ','), clock(cue.end, ','));
        out.push_str(&format!("{}\n{start} --> {end}\n{}\n\n", index + 1, one_paragraph(&cue.text)));
    }
    Some(out)
}

/// Captions in `WebVTT`; `None` when the transcript has text but no times.
#[must_use]
pub fn vtt(transcript: &Transcript) -> Option<String> {
    let mut out = String::from("WEBVTT\n\n");
    for cue in cues(transcript)? {
        let text = one_paragraph(&cue.text).replace("-->", "→");
        let (start, end) = (clock(cue.start, '.'), clock(cue.end, '.'));
        out.push_str(&format!("{start} --> {end}\n{text}\n\n"));
    }
    Some(out)
}

fn cues(transcript: &Transcript) -> Option<Vec<Segment>> {
    if !transcript.segments.is_empty() {
        return Some(transcript.segments.iter().filter(|segment| !segment.text.trim().is_empty()).cloned().collect());
    }
    if !transcript.words.is_empty() {
        let words: Vec<SpokenWord> = transcript.words.iter().map(SpokenWord::from).collect();
        return Some(segments(&words));
    }
    transcript.text.trim().is_empty().then(Vec::new)
}

/// An empty line would end the caption early.
fn one_paragraph(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn clock(seconds: f64, separator: char) -> String {
    let ms = super::usage::milliseconds(seconds).unwrap_or(0);
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    format!("{hours:02}:{minutes:02}:{:02}{separator}{:03}", ms / 1000 % 60, ms % 1000)
}
