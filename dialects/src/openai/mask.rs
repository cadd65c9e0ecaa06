//! Takes credentials out of text that a provider wrote.

const MASK: &str = "[redacted]";
/// What credentials of known vendors begin with.
const PREFIXES: &[&str] = &["sk-", "sk_", "gsk_", "ek_", "ek-", "xai-", "aiza"];
/// Words that are followed by a credential after `:` or `=`.
const LABELS: &[&str] = &[
    "authorization",
    "subscription-key",
    "key provided",
    "api-key",
    "api_key",
    "apikey",
    "api key",
    "access_token",
    "client_secret",
    "password",
];
const SCHEMES: &[&str] = &["https://", "http://", "wss://", "ws://"];
/// Letters and digits in one run that are taken for a credential, such as Azure's keys of 32 and 84.
const OPAQUE_LEN: usize = 32;

/// `text` with everything that looks like a credential replaced, and URLs without user and query.
#[must_use]
pub fn mask(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let lower: Vec<char> = letters.iter().map(char::to_ascii_lowercase).collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut boundary = true;
    while let Some(letter) = letters.get(at) {
        if boundary && let Some((end, written)) = secret(&letters, &lower, at) {
            out.push_str(&written);
            at = end;
            boundary = true;
            continue;
        }
        out.push(*letter);
        boundary = !letter.is_ascii_alphanumeric();
        at += 1;
    }
    out
}

/// The end of the secret that begins at `at`, and what is written for it.
fn secret(letters: &[char], lower: &[char], at: usize) -> Option<(usize, String)> {
    if let Some(scheme) = SCHEMES.iter().find(|scheme| starts_with(lower, at, scheme)) {
        return Some(url(letters, at, at + scheme.len()));
    }
    if let Some(label) = LABELS.iter().find(|label| starts_with(lower, at, label)) {
        return labelled(letters, lower, at, at + label.len());
    }
    if starts_with(lower, at, "bearer") {
        let value = skip(letters, at + 6, |letter| letter.is_whitespace());
        let end = skip(letters, value, is_token);
        return (value > at + 6 && end > value).then(|| (end, written(letters, at, value)));
    }
    let end = skip(letters, at, is_token);
    if PREFIXES.iter().any(|prefix| starts_with(lower, at, prefix) && end >= at + prefix.len() + 4) {
        return Some((end, MASK.to_owned()));
    }
    let end = skip(letters, at, |letter| letter.is_ascii_alphanumeric() || letter == '_');
    let run = letters.get(at..end)?;
    let is_opaque =
        run.len() >= OPAQUE_LEN && run.iter().any(char::is_ascii_digit) && run.iter().any(char::is_ascii_alphabetic);
    is_opaque.then(|| (end, MASK.to_owned()))
}

fn labelled(letters: &[char], lower: &[char], at: usize, after: usize) -> Option<(usize, String)> {
    let is_separator = |letter: char| matches!(letter, ':' | '=' | '"' | '\'' | '\\' | ' ');
    let mut value = skip(letters, after, is_separator);
    if !letters.get(after..value)?.iter().any(|letter| matches!(letter, ':' | '=')) {
        return None;
    }
    for scheme in ["bearer ", "basic ", "token "] {
        if starts_with(lower, value, scheme) {
            value = skip(letters, value + scheme.len(), |letter| letter == ' ');
        }
    }
    let end = skip(letters, value, is_token);
    (end > value).then(|| (end, written(letters, at, value)))
}

fn url(letters: &[char], at: usize, host: usize) -> (usize, String) {
    let ends = |letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | '<' | '>' | '`' | ')');
    let end = skip(letters, host, |letter| !ends(letter));
    let rest: String = letters.get(host..end).into_iter().flatten().collect();
    let (place, query) = rest.split_once(['?', '#']).map_or((rest.as_str(), ""), |(place, _)| (place, "?[redacted]"));
    let (authority, path) = place.split_once('/').map_or((place, None), |(authority, path)| (authority, Some(path)));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let mut out: String = letters.get(at..host).into_iter().flatten().collect();
    out.push_str(authority);
    if let Some(path) = path {
        out.push('/');
        out.push_str(path);
    }
    out.push_str(query);
    (end, out)
}

fn written(letters: &[char], from: usize, value: usize) -> String {
    let mut text: String = letters.get(from..value).into_iter().flatten().collect();
    text.push_str(MASK);
    text
}

fn starts_with(lower: &[char], at: usize, word: &str) -> bool {
    let mut letters = lower.iter().skip(at);
    word.chars().all(|wanted| letters.next() == Some(&wanted))
}

fn skip(letters: &[char], from: usize, keep: impl Fn(char) -> bool) -> usize {
    from + letters.iter().skip(from).take_while(|letter| keep(**letter)).count()
}

/// Letters of keys, and the stars and dots with which vendors shorten them.
fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '*' | '.' | '…' | '+' | '/' | '~')
}
