//! Words with times become segments: what captions show at once and what `verbose_json` and
//! `diarized_json` list. Shared by the providers that tell words and no segments.
//!
//! A segment ends where the speaker changes, at a pause, with a sentence, and when it is full; a full one
//! is cut behind a comma where there is one in its second half.

use domain::transcription::{Segment, Word};

/// Letters of one segment: two lines of 42, as subtitling guides have it.
const LONGEST: usize = 84;
/// Seconds of silence that end a segment.
const PAUSE: f64 = 1.0;
/// Shortened words after which a sentence goes on.
const SHORTENED: [&str; 9] = ["mr", "mrs", "ms", "dr", "prof", "st", "vs", "jr", "sr"];

/// A word as a provider tells it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpokenWord {
    /// The word with its punctuation, without spaces around it.
    pub text: String,
    /// Seconds from the start of the audio.
    pub start: f64,
    /// Seconds from the start of the audio.
    pub end: f64,
    /// Whatever the provider calls the speaker.
    pub speaker: Option<String>,
    /// It follows the word before it without a space, as in Chinese.
    pub glued: bool,
}

impl From<&Word> for SpokenWord {
    fn from(word: &Word) -> Self {
        Self { text: word.word.trim().to_owned(), start: word.start, end: word.end, ..Self::default() }
    }
}

impl From<&SpokenWord> for Word {
    fn from(word: &SpokenWord) -> Self {
        Self { word: word.text.clone(), start: word.start, end: word.end }
    }
}

/// The segments of these words, in their order. Speakers are called `A`, `B`, … in the order in which they
/// are first heard; a word whose speaker is not told belongs to the one before it.
#[must_use]
pub fn segments(words: &[SpokenWord]) -> Vec<Segment> {
    let heard = speakers(words);
    // What is said before a speaker is told is the first one's.
    let mut current = (!heard.is_empty()).then_some(0);
    let mut out = Vec::new();
    let mut rest = words;
    while !rest.is_empty() {
        let (segment, after) = rest.split_at(length(rest));
        rest = after;
        let text = joined(segment);
        let (Some(first), Some(last)) = (segment.first(), segment.last()) else { break };
        let told = segment.iter().find_map(|word| word.speaker.as_deref());
        current = told.map_or(current, |told| heard.iter().position(|heard| *heard == told));
        if text.is_empty() {
            continue;
        }
        let (id, end) = (out.len() as u64, last.end.max(first.start));
        out.push(Segment { id, start: first.start, end, text, speaker: current.map(speaker_label) });
    }
    out
}

/// The provider's names of the speakers, in the order in which they are first heard.
#[must_use]
pub fn speakers(words: &[SpokenWord]) -> Vec<&str> {
    let mut heard: Vec<&str> = Vec::new();
    for speaker in words.iter().filter_map(|word| word.speaker.as_deref()) {
        if !heard.contains(&speaker) {
            heard.push(speaker);
        }
    }
    heard
}

/// The text of some words.
#[must_use]
pub fn joined(words: &[SpokenWord]) -> String {
    let mut text = String::with_capacity(words.iter().map(|word| word.text.len() + 1).sum());
    for word in words {
        if !word.glued && !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&word.text);
    }
    text.trim().to_owned()
}

/// How `OpenAI` calls the speaker that is heard as the `index`th, counted from 0: `A` to `Z`, then `AA`.
#[must_use]
pub fn speaker_label(index: usize) -> String {
    let letter = |index: usize| char::from(b'A' + u8::try_from(index % 26).unwrap_or_default());
    match (index / 26).checked_sub(1) {
        None => letter(index).to_string(),
        Some(before) => format!("{}{}", speaker_label(before), letter(index)),
    }
}

/// How many of the words make the first segment; at least one.
fn length(words: &[SpokenWord]) -> usize {
    let mut letters = 0;
    for (index, word) in words.iter().enumerate() {
        let more = word.text.chars().count() + usize::from(!word.glued && index > 0);
        let before = index.checked_sub(1).and_then(|before| words.get(before));
        if let Some(before) = before {
            if parts(before, word) {
                return index;
            }
            if letters + more > LONGEST {
                return behind_comma(words, index);
            }
        }
        letters += more;
    }
    words.len()
}

/// Whether the next word begins a segment whatever the length.
fn parts(before: &SpokenWord, next: &SpokenWord) -> bool {
    let speaker_changes = next.speaker.is_some() && before.speaker.is_some() && next.speaker != before.speaker;
    speaker_changes || next.start - before.end > PAUSE || ends_sentence(&before.text)
}

fn ends_sentence(word: &str) -> bool {
    let word = word.trim_end_matches(['"', '\'', '”', '’', '»', ')', ']']);
    if word.ends_with(['!', '?', '…', '。', '！', '？', '।']) {
        return true;
    }
    let Some(stem) = word.strip_suffix('.') else { return false };
    let stem = stem.trim_start_matches(|letter: char| !letter.is_alphanumeric());
    let initial = stem.chars().count() == 1 && stem.chars().all(char::is_alphabetic);
    !initial && !SHORTENED.iter().any(|short| stem.eq_ignore_ascii_case(short))
}

/// A full segment of `full` words is cut behind its last comma, if that leaves at least half of them.
fn behind_comma(words: &[SpokenWord], full: usize) -> usize {
    let comma = |index: &usize| {
        words.get(*index).is_some_and(|word| word.text.ends_with([',', ';', ':', '，', '、', '；', '—', '–']))
    };
    (full / 2..full).rev().find(comma).map_or(full, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of half a second, one behind the other; `|` is a silence of two seconds, `A:` a speaker.
    fn said(text: &str) -> Vec<SpokenWord> {
        let (mut now, mut speaker, mut words) = (0.0, None, Vec::new());
        for token in text.split(' ') {
            if token == "|" {
                now += 2.0;
            } else if let Some(name) = token.strip_suffix("::") {
                speaker = (!name.is_empty()).then(|| name.to_owned());
            } else {
                let text = token.to_owned();
                words.push(SpokenWord { text, start: now, end: now + 0.5, speaker: speaker.clone(), glued: false });
                now += 0.5;
            }
        }
        words
    }

    fn texts(words: &[SpokenWord]) -> Vec<String> {
        let name = |segment: Segment| match segment.speaker {
            Some(speaker) => format!("{speaker}: {}", segment.text),
            None => segment.text,
        };
        segments(words).into_iter().map(name).collect()
    }

    #[test]
    fn sentences_pauses_and_speakers_end_a_segment() {
        assert_eq!(texts(&said("Hello there. How are | you?")), ["Hello there.", "How are", "you?"]);
        assert_eq!(texts(&said("Dr. J. Smith paid 3. He left.")), ["Dr. J. Smith paid 3.", "He left."]);
        assert_eq!(
            texts(&said(":: So x:: it y:: is x:: z:: done :: maybe")),
            ["A: So it", "B: is", "C: done maybe"],
            "who is not told goes on"
        );
    }

    #[test]
    fn times_are_those_of_the_first_and_the_last_word() {
        let made = segments(&said("One two. Three"));
        assert_eq!((made[0].start, made[0].end, made[1].id), (0.0, 1.0, 1));
        assert_eq!((made[1].start, made[1].end), (1.0, 1.5));
    }

    #[test]
    fn what_is_too_long_is_cut_behind_a_comma_or_when_full() {
        let long = format!("{}so, {}", "word ".repeat(10), "more ".repeat(8));
        let cut = texts(&said(long.trim()));
        assert!(cut[0].ends_with("so,") && cut.len() == 2, "{cut:?}");
        let even = texts(&said("word ".repeat(40).trim()));
        assert!(even.iter().all(|text| text.chars().count() <= LONGEST), "{even:?}");
        assert_eq!(even.join(" "), "word ".repeat(40).trim(), "no word is lost");
        assert_eq!(texts(&said(&"x".repeat(200))), ["x".repeat(200)], "a word is never cut");
    }

    #[test]
    fn words_without_spaces_stay_together() {
        let glued = |text: &str| SpokenWord { text: text.to_owned(), glued: true, ..SpokenWord::default() };
        assert_eq!(texts(&[glued("你"), glued("好。"), glued("再"), glued("见")]), ["你好。", "再见"]);
        assert!(segments(&[]).is_empty());
    }

    #[test]
    fn speakers_are_called_by_letters() {
        let labels: Vec<String> = [0, 1, 25, 26, 27, 702].into_iter().map(speaker_label).collect();
        assert_eq!(labels, ["A", "B", "Z", "AA", "AB", "AAA"]);
    }
}
