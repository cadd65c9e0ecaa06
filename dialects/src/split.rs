//! Text in parts, for vendors that speak only so much at once.

use unicode_segmentation::UnicodeSegmentation;

/// How much one part may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Unicode scalar values.
    Characters(usize),
    /// Bytes of UTF-8.
    Bytes(usize),
}

/// Parts of `text` within `limit`, in order. Sentences stay whole where they fit, else words do, else
/// what a reader sees as one letter. White space at a cut is left out; everything else is kept.
///
/// There is always a part, and a part always has at least one character, whatever the limit. Of a text
/// of white space alone the part is as much as fits.
#[must_use]
pub fn split(text: &str, limit: Limit) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(cut) = cut(rest, limit) {
        let (part, behind) = rest.split_at_checked(cut).unwrap_or((rest, ""));
        parts.extend(Some(part.trim_end()).filter(|part| !part.is_empty()));
        rest = behind.trim_start();
    }
    if !rest.is_empty() || text.is_empty() {
        parts.push(rest);
    }
    if parts.is_empty() {
        parts.extend(text.get(..fitting(text, limit)));
    }
    parts
}

/// Where a text that is too long is cut; `None` where it fits.
fn cut(text: &str, limit: Limit) -> Option<usize> {
    let fits = fitting(text, limit);
    let (_, behind) = text.split_at_checked(fits)?;
    if behind.is_empty() {
        return None;
    }
    // White space behind a cut is dropped, so it need not fit.
    let reach = text.len() - behind.trim_start().len();
    let last = |ends: &mut dyn Iterator<Item = usize>| ends.take_while(|end| *end <= reach).last();
    let sentences = &mut text.split_sentence_bound_indices().map(|(at, sentence)| at + sentence.len());
    let letters = || text.grapheme_indices(true).map(|(at, letter)| (at + letter.len(), letter));
    let spaces = &mut letters().filter(|(_, letter)| letter.chars().all(char::is_whitespace)).map(|(end, _)| end);
    let ends = &mut letters().map(|(end, _)| end);
    last(sentences).or_else(|| last(spaces)).or_else(|| last(ends)).or(Some(reach))
}

/// Bytes of the longest start of `text` within `limit`, at least its first character.
fn fitting(text: &str, limit: Limit) -> usize {
    let ends = text.char_indices().map(|(at, letter)| at + letter.len_utf8());
    let most = match limit {
        Limit::Characters(count) => ends.take(count).last(),
        Limit::Bytes(count) => ends.take_while(|end| *end <= count).last(),
    };
    most.unwrap_or_else(|| text.chars().next().map_or(0, char::len_utf8))
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "a cut within a character fails the test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_stay_whole_where_they_fit() {
        let text = "One two. Three four! Five six seven?  Eight.";
        assert_eq!(split(text, Limit::Characters(20)), ["One two. Three four!", "Five six seven?", "Eight."]);
        assert_eq!(split(text, Limit::Characters(text.len())), [text]);
        assert_eq!(split("今日は。明日は。", Limit::Bytes(12)), ["今日は。", "明日は。"]);
        assert_eq!(split("First line\nSecond line", Limit::Characters(12)), ["First line", "Second line"]);
    }

    #[test]
    fn a_long_sentence_is_cut_at_words_and_a_long_word_between_letters() {
        assert_eq!(split("one two three four", Limit::Characters(9)), ["one two", "three", "four"]);
        assert_eq!(split("abcdefgh", Limit::Characters(3)), ["abc", "def", "gh"]);
        assert_eq!(split("ää", Limit::Bytes(3)), ["ä", "ä"]);
        let family = "👨‍👩‍👧";
        assert_eq!(split(&[family, family].concat(), Limit::Characters(7)), [family, family]);
        assert_eq!(split("e\u{301}e\u{301}", Limit::Characters(3)), ["e\u{301}", "e\u{301}"]);
    }

    #[test]
    fn there_is_always_a_part() {
        assert_eq!(split("", Limit::Characters(5)), [""]);
        assert_eq!(split("   \n\n   ", Limit::Characters(2)), ["  "]);
        assert_eq!(split("ä", Limit::Bytes(1)), ["ä"]);
        assert_eq!(split("ab", Limit::Characters(0)), ["a", "b"]);
    }

    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-z]{1,12}",
            Just(". ".to_owned()),
            Just(" ".to_owned()),
            Just("\n".to_owned()),
            Just("。".to_owned()),
            Just("👩‍🚀".to_owned()),
            Just("\u{301}".to_owned()),
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_character_is_lost_or_doubled_and_every_part_fits(text in text(), limit in 4_usize..60, bytes: bool) {
            let limit = if bytes { Limit::Bytes(limit) } else { Limit::Characters(limit) };
            let parts = split(&text, limit);
            let mut rest = text.as_str();
            for part in &parts {
                prop_assert!(fitting(part, limit) == part.len() && (!part.is_empty() || text.is_empty()));
                let at = rest.find(part).unwrap();
                prop_assert!(rest[..at].chars().all(char::is_whitespace), "lost: {:?}", &rest[..at]);
                rest = &rest[at + part.len()..];
            }
            prop_assert!(rest.chars().all(char::is_whitespace), "lost: {rest:?}");
        }

        #[test]
        fn letters_that_fit_are_never_cut(text in text(), limit in 16_usize..60) {
            let longest = text.graphemes(true).map(|letter| letter.chars().count()).max().unwrap_or(0);
            prop_assume!(longest <= limit);
            let mut at = 0;
            for part in split(&text, Limit::Characters(limit)) {
                at += text[at..].find(part).unwrap() + part.len();
                let behind = &text[at..];
                let is_edge = behind.is_empty()
                    || behind.starts_with(char::is_whitespace)
                    || text.grapheme_indices(true).any(|(edge, _)| edge == at);
                prop_assert!(is_edge, "cut at {at} of {text:?}");
            }
        }
    }
}
