//! The text of one utterance while it is being understood, and how much of it may be told.
//!
//! What a client has been told cannot be taken back, so only words are told that are settled, or on which
//! two interim results in a row agree, except for the last ones. Where a vendor revises even those, no more
//! is told until the transcript is complete.

/// Words at the end of an interim text that more audio may still change.
const UNSTABLE_WORDS: usize = 2;

/// The words of one utterance.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    settled: String,
    interim: String,
    told: String,
}

impl Transcript {
    /// Takes what follows the settled text and gives what may be told now.
    pub(crate) fn interim(&mut self, text: &str) -> Option<String> {
        let sure = agreed(&self.interim, text);
        self.interim = text.to_owned();
        let sure = text.get(..sure).unwrap_or_default();
        self.tell(&format!("{}{sure}", self.settled))
    }

    /// Takes text that changes no more.
    pub(super) fn settle(&mut self, text: &str) -> Option<String> {
        self.settled.push_str(text);
        self.interim.clear();
        let whole = self.settled.clone();
        self.tell(&whole)
    }

    /// The interim text is all there will be.
    pub(super) fn settle_interim(&mut self) {
        let interim = std::mem::take(&mut self.interim);
        self.settled.push_str(&interim);
    }

    pub(super) fn has_interim(&self) -> bool {
        !self.interim.trim().is_empty()
    }

    pub(super) fn has_settled(&self) -> bool {
        !self.settled.trim().is_empty()
    }

    /// A new socket hears the interim words again.
    pub(super) fn forget_interim(&mut self) {
        self.interim.clear();
    }

    /// What is still to be told, and the whole.
    pub(super) fn finish(mut self) -> (Option<String>, String) {
        let whole = std::mem::take(&mut self.settled);
        let rest = self.tell(&whole);
        (rest, whole.trim().to_owned())
    }

    fn tell(&mut self, whole: &str) -> Option<String> {
        let whole = whole.trim();
        let fresh = whole.strip_prefix(&self.told).filter(|fresh| !fresh.is_empty())?.to_owned();
        whole.clone_into(&mut self.told);
        Some(fresh)
    }
}

/// Bytes of `next` on whose words `before` agrees, without the last words of `next`.
fn agreed(before: &str, next: &str) -> usize {
    let words = words(next);
    let same = words.iter().zip(self::words(before)).take_while(|((a, _), (b, _))| a == b).count();
    let sure = same.min(words.len().saturating_sub(UNSTABLE_WORDS));
    sure.checked_sub(1).and_then(|last| words.get(last)).map_or(0, |(_, end)| *end)
}

/// Words and where they end.
fn words(text: &str) -> Vec<(&str, usize)> {
    let mut at = 0;
    let word = |piece: &'_ str| (piece.trim_end().len(), piece.len());
    let mut words = Vec::new();
    for piece in text.split_inclusive(char::is_whitespace) {
        let (length, whole) = word(piece);
        if length > 0 {
            words.push((piece.trim_end(), at + length));
        }
        at += whole;
    }
    words
}

/// Text with the space before it that its language writes between words.
pub(crate) fn spaced(text: &str) -> String {
    match text.chars().next() {
        None => String::new(),
        // Kana, CJK ideographs and full-width punctuation stand without spaces.
        Some('\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}') => text.to_owned(),
        Some(first) if first.is_whitespace() => text.to_owned(),
        Some(_) => format!(" {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_once_two_results_agree_on_them_and_never_twice() {
        let mut transcript = Transcript::default();
        assert_eq!(transcript.interim(" the cat"), None);
        assert_eq!(transcript.interim(" the cat sat down"), Some("the cat".to_owned()));
        assert_eq!(transcript.interim(" the cat sat on a"), Some(" sat".to_owned()));
        assert_eq!(transcript.settle(" The cat sat on a mat."), None, "what was told was revised");
        assert_eq!(transcript.finish(), (None, "The cat sat on a mat.".to_owned()));
    }

    #[test]
    fn settled_pieces_are_told_whole_and_joined() {
        let mut transcript = Transcript::default();
        assert_eq!(transcript.settle(" Hello there."), Some("Hello there.".to_owned()));
        assert_eq!(transcript.interim(" how are"), None);
        assert_eq!(transcript.settle(" How are you?"), Some(" How are you?".to_owned()));
        assert_eq!(transcript.finish(), (None, "Hello there. How are you?".to_owned()));
    }

    #[test]
    fn spaces_stand_where_the_script_has_them() {
        assert_eq!((spaced("word"), spaced("日本"), spaced(" x")), (" word".into(), "日本".into(), " x".into()));
    }
}
