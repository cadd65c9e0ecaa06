//! What the upstream is told to do wrong, or slowly: rules sent to `/_script`, and `script:` words inside a model
//! name, a prompt or an input, so that one request can carry its own fault.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How one answer deviates from the normal one. Every field is optional and they combine.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Answer with this status and, without `body`, an error in the kind's own shape.
    pub status: Option<u16>,
    /// Headers to add to the answer, replacing those of the same name.
    pub headers: BTreeMap<String, String>,
    /// Body to send instead of the usual one; with `status` or alone (then with 200).
    pub body: Option<String>,
    /// Answer before the request's body was read; only a `status`, `body`, `html` or `hang` makes sense then.
    pub early: bool,
    /// Wait this long before the first byte of the answer (WebSocket: before the first event), in milliseconds.
    pub delay_ms: Option<u64>,
    /// Break the connection after this many bytes of the answer's body.
    pub cut_after_bytes: Option<usize>,
    /// The same, only where the body is audio: what was billed of events that break off, nobody has told.
    pub cut_audio_bytes: Option<usize>,
    /// Answer 200 with an HTML page, as a misconfigured proxy does.
    pub html: bool,
    /// Never answer (WebSocket: never read again).
    pub hang: bool,
    /// End a WebSocket session after some frames from the client.
    pub close_ws: Option<CloseWs>,
    /// Send this many bytes instead of the normal answer (WebSocket: one message of this size).
    pub huge_bytes: Option<usize>,
    /// Length of a spoken answer in bytes, header included.
    pub bytes: Option<usize>,
    /// Size of the pieces in which an answer is sent.
    pub chunk_bytes: Option<usize>,
    /// Pause between the pieces, in milliseconds.
    pub chunk_ms: Option<u64>,
    /// The transcript or the assistant's words, instead of the usual sentence.
    pub text: Option<String>,
    /// Realtime: send an `output_audio.delta` back for every n-th appended frame.
    pub echo: Option<u32>,
    /// Realtime: a raw text frame to send after `session.created`.
    pub frame: Option<String>,
    /// Realtime: `response.done` and completed transcripts carry no `usage`.
    pub no_usage: bool,
    /// Realtime: stop in the middle of a response, before this event would be sent; pings are still answered.
    pub stall_before: Option<String>,
    /// Realtime: close with 1011 once so many turns have been answered.
    pub close_after_turns: Option<u32>,
}

/// How a WebSocket session is ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CloseWs {
    /// Close code; 1005 sends a close frame without one, 1006 breaks the connection without a frame.
    pub code: u16,
    /// Reason in the close frame.
    #[serde(default)]
    pub reason: String,
    /// Frames to read from the client first.
    #[serde(default)]
    pub after_frames: u64,
}

/// One rule of the script: the next `times` requests that match are answered with `fault`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// End of the path, such as `audio/speech`; empty matches every path.
    #[serde(default)]
    pub path: String,
    /// Only requests for this model; absent matches every model.
    #[serde(default)]
    pub model: Option<String>,
    /// How many requests the rule is good for.
    #[serde(default = "once")]
    pub times: u64,
    /// What to do with them.
    pub fault: Fault,
}

fn once() -> u64 {
    1
}

impl Rule {
    /// A rule for the next request whose path ends in `path`.
    #[must_use]
    pub fn once(path: &str, fault: Fault) -> Self {
        Self { path: path.to_owned(), model: None, times: 1, fault }
    }

    fn matches(&self, path: &str, model: Option<&str>, early: bool) -> bool {
        self.times > 0
            && self.fault.early == early
            && path.ends_with(&self.path)
            && (self.model.is_none() || self.model.as_deref() == model)
    }
}

/// Takes the first rule that matches and uses it up by one.
pub(super) fn take(rules: &mut Vec<Rule>, path: &str, model: Option<&str>, early: bool) -> Option<Fault> {
    let at = rules.iter().position(|rule| rule.matches(path, model, early))?;
    let rule = rules.get_mut(at)?;
    rule.times -= 1;
    let fault = rule.fault.clone();
    if rule.times == 0 {
        rules.remove(at);
    }
    Some(fault)
}

/// Reads `script:name=value` words (ended by white space, `;` or `,`) out of any text of the request, such as
/// `script:status=429 script:retry_after=2` or `script:bytes=65536`. Unknown names are ignored.
#[must_use]
pub fn from_text(text: &str) -> Option<Fault> {
    let mut fault = Fault::default();
    let mut found = false;
    for piece in text.split("script:").skip(1) {
        let word = piece.split([' ', '\t', '\r', '\n', ';', ',']).next().unwrap_or_default();
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        found |= apply(&mut fault, name, value);
    }
    found.then_some(fault)
}

fn apply(fault: &mut Fault, name: &str, value: &str) -> bool {
    match name {
        "status" => fault.status = value.parse().ok(),
        "retry_after" => drop(fault.headers.insert("retry-after".to_owned(), value.to_owned())),
        "delay_ms" => fault.delay_ms = value.parse().ok(),
        "cut_after_bytes" => fault.cut_after_bytes = value.parse().ok(),
        "html" => fault.html = true,
        "hang" => fault.hang = true,
        "huge_bytes" => fault.huge_bytes = value.parse().ok(),
        "bytes" => fault.bytes = value.parse().ok(),
        "chunk_bytes" => fault.chunk_bytes = value.parse().ok(),
        "chunk_ms" => fault.chunk_ms = value.parse().ok(),
        "no_usage" => fault.no_usage = true,
        "stall_before" => fault.stall_before = Some(value.to_owned()),
        "echo" => fault.echo = value.parse().ok(),
        "close_ws" => {
            fault.close_ws = value.parse().ok().map(|code| CloseWs { code, reason: String::new(), after_frames: 0 });
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_a_text_become_a_fault() {
        let fault = from_text("Say it. script:status=429 script:retry_after=2; and script:chunk_ms=20,").unwrap();
        assert_eq!(fault.status, Some(429));
        assert_eq!(fault.headers.get("retry-after").map(String::as_str), Some("2"));
        assert_eq!(fault.chunk_ms, Some(20));
        assert_eq!(from_text("A manuscript: nothing to see"), None);
    }

    #[test]
    fn a_rule_is_used_up() {
        let mut rules = vec![Rule { path: "audio/speech".into(), model: None, times: 2, fault: Fault::default() }];
        assert!(take(&mut rules, "/v1/audio/speech", None, false).is_some());
        assert!(take(&mut rules, "/v1/models", None, false).is_none());
        assert!(take(&mut rules, "/v1/audio/speech", Some("tts-1"), false).is_some());
        assert!(take(&mut rules, "/v1/audio/speech", None, false).is_none());
    }
}
