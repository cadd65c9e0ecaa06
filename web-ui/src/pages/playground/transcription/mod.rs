//! Speech to text: a recording or a file, how it is to be written down, and what came of it.

mod recorder;
mod result;
mod written;

use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::Blob;

pub(super) use self::recorder::LevelMeter;
use self::recorder::{Recorder, Source};
use self::result::{Outcome, ResultCard};
use self::written::Written;
use super::access::Access;
use super::facts::ask_cost;
use super::model::ModelField;
use crate::api::Failure;
use crate::api::data_plane::{Gateway, Transcript};
use crate::components::{
    Button, ButtonKind, Card, CheckField, Choice, Form, FormRow, IconName, SelectField, Split, TextField, field_error,
};

const FORMATS: [(&str, &str); 6] = [
    ("json", "JSON"),
    ("verbose_json", "Verbose JSON, with times"),
    ("diarized_json", "Diarized JSON, with speakers"),
    ("text", "Text"),
    ("srt", "SRT subtitles"),
    ("vtt", "VTT subtitles"),
];
/// Those that can come while they are written.
const STREAMED: [&str; 3] = ["json", "text", "diarized_json"];

/// Sound to be written down.
#[derive(Debug, Clone)]
struct Clip {
    blob: Blob,
    name: String,
}

/// What is filled in, and what comes of it. It is the page's, and so outlives a tab that is left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft {
    clip: RwSignal<Option<Clip>, LocalStorage>,
    model: RwSignal<String>,
    language: RwSignal<String>,
    format: RwSignal<String>,
    streamed: RwSignal<bool>,
    busy: RwSignal<bool>,
    failure: RwSignal<Option<Failure>>,
    outcome: RwSignal<Option<Outcome>>,
    /// As far as a stream has come.
    live: RwSignal<Option<Written>>,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            clip: RwSignal::new_local(None),
            model: RwSignal::new(String::new()),
            language: RwSignal::new(String::new()),
            format: RwSignal::new("json".to_owned()),
            streamed: RwSignal::new(false),
            busy: RwSignal::new(false),
            failure: RwSignal::new(None),
            outcome: RwSignal::new(None),
            live: RwSignal::new(None),
        }
    }

    /// Another key may have other models, and what one was refused another may be allowed.
    pub(super) fn forget_key(self) {
        self.model.set(String::new());
        self.failure.set(None);
    }
}

/// The tab.
#[component]
pub(super) fn TranscriptionTab(access: Access, draft: Draft) -> impl IntoView {
    let Draft { clip, model, language, format, streamed, busy, failure, outcome, live } = draft;
    let may_stream = Signal::derive(move || format.with(|format| STREAMED.contains(&format.as_str())));
    let send = move || {
        let (Some(gateway), Some(clip)) = (super::gateway_of(access), clip.get_untracked()) else { return };
        if busy.get_untracked() {
            return;
        }
        failure.set(None);
        outcome.set(None);
        let asked = Asked {
            model: model.get_untracked(),
            language: language.with_untracked(|language| language.trim().to_owned()),
            format: format.get_untracked(),
            streamed: streamed.get_untracked() && may_stream.get_untracked(),
        };
        live.set(asked.streamed.then(Written::default));
        busy.set(true);
        spawn_local(async move {
            let done = write_down(&gateway, &clip, &asked, live).await;
            busy.try_set(false);
            match done {
                Ok(transcript) => {
                    let cost = ask_cost(gateway, transcript.facts.request_id.clone(), access);
                    outcome.try_set(Some(Outcome::new(&asked.format, asked.streamed, transcript, cost)));
                    live.try_set(None);
                }
                Err(why) => {
                    failure.try_set(Some(why));
                }
            }
        });
    };
    let nothing = Signal::derive(move || clip.with(Option::is_none));
    view! {
        <Split>
            <Card title="Transcription">
                <Form on_submit=send failure>
                    <Source clip />
                    <ModelField access operation="transcription" model />
                    <FormRow>
                        <SelectField label="Response format" value=format options=Choice::list(&FORMATS) required=true />
                        <TextField
                            label="Language"
                            value=language
                            placeholder="en"
                            hint="Two letters; without them the model finds out."
                            error=field_error(failure, "language")
                        />
                    </FormRow>
                    <CheckField
                        label="Stream the text as it comes"
                        value=streamed
                        disabled=Signal::derive(move || !may_stream.get())
                        hint="For JSON, text and diarized JSON."
                    />
                    <div class="form-actions">
                        <Button kind=ButtonKind::Primary submit=true busy disabled=nothing icon=IconName::File>
                            "Transcribe"
                        </Button>
                    </div>
                </Form>
            </Card>
            <ResultCard outcome live busy />
        </Split>
    }
}

struct Asked {
    model: String,
    language: String,
    format: String,
    streamed: bool,
}

async fn write_down(
    gateway: &Gateway,
    clip: &Clip,
    asked: &Asked,
    live: RwSignal<Option<Written>>,
) -> Result<Transcript, Failure> {
    let mut fields = vec![("model", asked.model.as_str()), ("response_format", asked.format.as_str())];
    if !asked.language.is_empty() {
        fields.push(("language", asked.language.as_str()));
    }
    if asked.format == "diarized_json" {
        fields.push(("chunking_strategy", "auto"));
    }
    if !asked.streamed {
        return gateway.transcribe(&clip.blob, &clip.name, &fields).await;
    }
    fields.push(("stream", "true"));
    gateway
        .transcribe_as_it_comes(&clip.blob, &clip.name, &fields, |event| {
            live.try_update(|live| live.get_or_insert_default().take_event(event));
        })
        .await
}

/// For the recorder's card.
fn recorder() -> Recorder {
    Recorder::new()
}
