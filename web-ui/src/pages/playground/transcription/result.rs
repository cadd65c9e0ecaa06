//! What was written down: to read, as it came, to copy and to keep.

use leptos::prelude::*;

use super::super::facts::{CallDetails, Cost};
use super::written::{Stretch, Written};
use crate::api::data_plane::{CallFacts, Transcript};
use crate::api::stream::save_text;
use crate::components::{
    Badge, Card, Choice, Code, Column, CopyButton, DataTable, Empty, IconButton, IconName, Loading, Segments,
    use_toasts,
};

/// What came of one transcription.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    format: String,
    is_stream: bool,
    body: String,
    written: Written,
    facts: CallFacts,
    cost: ArcRwSignal<Cost>,
}

impl Outcome {
    pub(super) fn new(format: &str, is_stream: bool, transcript: Transcript, cost: ArcRwSignal<Cost>) -> Self {
        let Transcript { body, facts } = transcript;
        let written = if is_stream { Written::of_events(&body) } else { Written::read(format, &body) };
        Self { format: format.to_owned(), is_stream, body, written, facts, cost }
    }

    /// Media type and ending of its file.
    fn kind(&self) -> (&'static str, &'static str) {
        match self.format.as_str() {
            _ if self.is_stream => ("text/plain", "events.txt"),
            "text" => ("text/plain", "txt"),
            "srt" => ("application/x-subrip", "srt"),
            "vtt" => ("text/vtt", "vtt"),
            _ => ("application/json", "json"),
        }
    }

    /// As it came; JSON with its lines.
    fn shown(&self) -> String {
        let json = serde_json::from_str::<serde_json::Value>(&self.body).ok().filter(|json| json.is_object());
        json.and_then(|json| serde_json::to_string_pretty(&json).ok()).unwrap_or_else(|| self.body.clone())
    }
}

#[component]
pub(super) fn ResultCard(
    outcome: RwSignal<Option<Outcome>>,
    live: RwSignal<Option<Written>>,
    busy: RwSignal<bool>,
) -> impl IntoView {
    let content = move || match outcome.get() {
        Some(outcome) => view! { <Finished outcome /> }.into_any(),
        None if live.with(Option::is_some) => view! { <Coming live busy /> }.into_any(),
        None if busy.get() => view! { <Loading rows=3 /> }.into_any(),
        None => view! {
            <Empty
                title="Nothing written down yet"
                text="Record something or choose a file, then press Transcribe."
                icon=IconName::Mic
            />
        }
        .into_any(),
    };
    view! { <Card title="Transcript">{content}</Card> }
}

/// The text of a stream, as far as it is there.
#[component]
fn Coming(live: RwSignal<Option<Written>>, busy: RwSignal<bool>) -> impl IntoView {
    let text = move || live.with(|live| live.as_ref().map(|live| live.text.clone()));
    view! {
        <p class="transcript" aria-live="polite" aria-busy=move || busy.get().to_string()>
            {text}
        </p>
    }
}

#[component]
fn Finished(outcome: Outcome) -> impl IntoView {
    let toasts = use_toasts();
    let view = RwSignal::new("read".to_owned());
    let outcome = StoredValue::new(outcome);
    let text = outcome.with_value(|outcome| outcome.written.text.clone());
    let shown = move || outcome.with_value(Outcome::shown);
    let to_copy = Signal::derive(move || if view.with(|view| view == "raw") { shown() } else { text.clone() });
    let keep = move || {
        let (kind, ending) = outcome.with_value(Outcome::kind);
        let saved = outcome.with_value(|outcome| save_text(&outcome.body, kind, &format!("transcript.{ending}")));
        if let Err(failure) = saved {
            toasts.failed(&failure);
        }
    };
    let views = Choice::list(&[("read", "Rendered"), ("raw", "Raw")]);
    let details = outcome.with_value(|outcome| {
        let (facts, cost) = (outcome.facts.clone(), outcome.cost.clone());
        view! { <CallDetails facts cost /> }
    });
    view! {
        <div class="result-head">
            <Segments label="How it is shown" value=view options=views quiet=true />
            <CopyButton text=to_copy label="Copy transcript" />
            <IconButton name=IconName::Download label="Download transcript" on_press=keep />
        </div>
        {move || {
            if view.with(|view| view == "raw") {
                view! { <Code language="As it came" text=shown() /> }.into_any()
            } else {
                let written = outcome.with_value(|outcome| outcome.written.clone());
                view! { <Rendered written /> }.into_any()
            }
        }}
        {details}
    }
}

#[component]
fn Rendered(written: Written) -> impl IntoView {
    let Written { text, language, seconds, stretches } = written;
    let has_speakers = stretches.iter().any(|stretch| stretch.speaker.is_some());
    let length = seconds.map(|seconds| crate::format::audio_ms((seconds * 1000.0) as i128));
    let nothing = text.is_empty().then(|| view! { <p class="muted">"No speech was found in it."</p> });
    view! {
        <p class="transcript">{text}</p>
        {nothing}
        <p class="badges">
            {language.map(|language| view! { <Badge>{language}</Badge> })} {length.map(|length| view! { <Badge>{length}</Badge> })}
        </p>
        {(!stretches.is_empty()).then(|| view! { <Stretches stretches has_speakers /> })}
    }
}

#[component]
fn Stretches(stretches: Vec<Stretch>, has_speakers: bool) -> impl IntoView {
    let rows: Vec<(usize, Stretch)> = stretches.into_iter().enumerate().collect();
    let mut columns = vec![
        Column::new("From", |row: &(usize, Stretch)| at(row.1.begin)).width(84),
        Column::new("To", |row: &(usize, Stretch)| at(row.1.end)).width(84).spare(),
    ];
    if has_speakers {
        columns
            .push(Column::new("Speaker", |row: &(usize, Stretch)| row.1.speaker.clone().unwrap_or_default()).width(96));
    }
    columns.push(Column::new("Text", |row: &(usize, Stretch)| row.1.text.clone()));
    view! {
        <DataTable label="Segments" columns rows=Signal::derive(move || rows.clone()) key=|row: &(usize, Stretch)| row.0.to_string() />
    }
}

/// `1:02.5`
fn at(seconds: f64) -> String {
    let tenths = (seconds * 10.0).round() as i64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}
