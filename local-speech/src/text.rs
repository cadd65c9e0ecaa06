//! Text into sentences, so that the first is heard while the next is spoken.

/// A sentence longer than this is cut at a space, so that every child's work is bounded.
const MAX_CHARS: usize = 300;

/// Splits at the ends of sentences. Nothing but white space is lost.
pub(crate) fn sentences(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    let mut length = 0;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        // Control characters mean nothing to a voice, and NUL would end the text.
        let char = if char.is_control() { ' ' } else { char };
        current.push(char);
        length += 1;
        let space_next = chars.peek().is_none_or(|next| next.is_whitespace());
        let ends = matches!(char, '.' | '!' | '?' | ';' | '…') && space_next && length > 20;
        let too_long = length >= MAX_CHARS && char.is_whitespace() || length >= 2 * MAX_CHARS;
        if ends || too_long {
            keep(&mut found, &mut current);
            length = 0;
        }
    }
    keep(&mut found, &mut current);
    found
}

fn keep(found: &mut Vec<String>, current: &mut String) {
    let sentence = current.trim();
    if !sentence.is_empty() {
        found.push(sentence.to_owned());
    }
    current.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sentences_end_where_a_reader_would_pause() {
        assert_eq!(
            sentences("The price is 3.5 dollars today. Do you want to buy it? Yes!"),
            ["The price is 3.5 dollars today.", "Do you want to buy it?", "Yes!"]
        );
        assert!(sentences(" \n\t ").is_empty());
    }

    proptest! {
        #[test]
        fn no_letter_is_lost_and_no_piece_is_endless(text in "[a-z .!?\n]{0,2000}") {
            let pieces = sentences(&text);
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(squeeze(&pieces.concat()), squeeze(&text));
            prop_assert!(pieces.iter().all(|piece| piece.chars().count() <= 2 * MAX_CHARS));
        }
    }
}
