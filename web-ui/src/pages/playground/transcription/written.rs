//! What was written down, out of every format that it comes in.

use serde_json::Value;

use crate::format;

/// One stretch of what was said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stretch {
    /// Seconds.
    pub(super) begin: f64,
    pub(super) end: f64,
    pub(super) speaker: Option<String>,
    pub(super) text: String,
}

/// A transcript.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) language: Option<String>,
    pub(super) seconds: Option<f64>,
    pub(super) stretches: Vec<Stretch>,
}

impl Written {
    /// Reads an answer in the format that was asked for.
    pub(super) fn read(format: &str, body: &str) -> Self {
        match format {
            "text" => Self { text: body.trim().to_owned(), ..Self::default() },
            "srt" | "vtt" => Self::of_subtitles(body),
            _ => serde_json::from_str(body)
                .map_or_else(|_| Self { text: body.to_owned(), ..Self::default() }, |json| Self::of_json(&json)),
        }
    }

    /// Reads the events of a stream.
    pub(super) fn of_events(body: &str) -> Self {
        let mut written = Self::default();
        for data in body.lines().filter_map(|line| line.strip_prefix("data:")) {
            written.take_event(data.trim());
        }
        written
    }

    /// An event of a stream.
    pub(super) fn take_event(&mut self, data: &str) {
        let Ok(event) = serde_json::from_str::<Value>(data) else { return };
        match event.get("type").and_then(Value::as_str) {
            Some("transcript.text.delta") => self.text.push_str(text(&event, "delta").unwrap_or_default()),
            Some("transcript.text.segment") => self.stretches.extend(stretch(&event)),
            Some("transcript.text.done") => {
                if let Some(whole) = text(&event, "text") {
                    whole.clone_into(&mut self.text);
                }
            }
            _ => {}
        }
    }

    fn of_json(json: &Value) -> Self {
        let segments = json.get("segments").and_then(Value::as_array);
        Self {
            text: text(json, "text").unwrap_or_default().trim().to_owned(),
            language: text(json, "language").map(str::to_owned),
            seconds: json.get("duration").and_then(seconds),
            stretches: segments.into_iter().flatten().filter_map(stretch).collect(),
        }
    }

    fn of_subtitles(body: &str) -> Self {
        let body = body.replace("\r\n", "\n");
        let stretches: Vec<Stretch> = body.split("\n\n").filter_map(cue).collect();
        let text = stretches.iter().map(|stretch| stretch.text.as_str()).collect::<Vec<_>>().join(" ");
        Self { text, seconds: stretches.last().map(|last| last.end), stretches, ..Self::default() }
    }
}

fn text<'a>(json: &'a Value, name: &str) -> Option<&'a str> {
    json.get(name).and_then(Value::as_str)
}

/// A number, also where it is written as a text.
fn seconds(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str().and_then(format::fraction))
}

fn stretch(json: &Value) -> Option<Stretch> {
    Some(Stretch {
        begin: json.get("start").and_then(seconds)?,
        end: json.get("end").and_then(seconds)?,
        speaker: text(json, "speaker").map(str::to_owned),
        text: text(json, "text")?.trim().to_owned(),
    })
}

/// A block of SRT or VTT.
fn cue(block: &str) -> Option<Stretch> {
    let mut lines = block.lines().skip_while(|line| !line.contains("-->"));
    let (begin, end) = lines.next()?.split_once("-->")?;
    let text = lines.collect::<Vec<_>>().join(" ");
    Some(Stretch {
        begin: clock_seconds(begin)?,
        end: clock_seconds(end)?,
        speaker: None,
        text: text.trim().to_owned(),
    })
}

/// `00:01:02,500`, `01:02.500`, with settings behind.
fn clock_seconds(text: &str) -> Option<f64> {
    let time = text.split_whitespace().next()?.replace(',', ".");
    time.split(':').try_fold(0.0, |sum, part| format::fraction(part).map(|part| sum * 60.0 + part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_read() {
        let verbose = r#"{"task":"transcribe","language":"en","duration":2.5,"text":" Hello there.","segments":[{"id":0,"start":0.0,"end":2.5,"text":" Hello there."}]}"#;
        let diarized = r#"{"text":"Hello there.","segments":[{"type":"transcript.text.segment","speaker":"A","start":0,"end":2.5,"text":"Hello there."}]}"#;
        let srt = "1\r\n00:00:00,000 --> 00:00:02,500\r\nHello\r\nthere.\r\n\r\n";
        let vtt = "WEBVTT\n\n00:00.000 --> 00:02.500 align:start\nHello there.\n";
        for (format, body) in [("verbose_json", verbose), ("diarized_json", diarized), ("srt", srt), ("vtt", vtt)] {
            let written = Written::read(format, body);
            assert_eq!(written.text, "Hello there.", "{format}");
            let [stretch] = written.stretches.as_slice() else { panic!("{format}") };
            assert_eq!((stretch.begin, stretch.end, stretch.text.as_str()), (0.0, 2.5, "Hello there."), "{format}");
            assert_eq!(stretch.speaker.as_deref(), (format == "diarized_json").then_some("A"));
        }
        assert_eq!(Written::read("json", r#"{"text":"Hello."}"#).text, "Hello.");
        assert_eq!(Written::read("text", "Hello.\n").text, "Hello.");
    }

    #[test]
    fn a_stream_comes_to_the_same() {
        let body = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Hel\"}\n\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\"lo.\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"Hello.\"}\n\n";
        assert_eq!(Written::of_events(body).text, "Hello.");
    }
}
