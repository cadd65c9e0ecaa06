//! Trying a provider out: one real call for each operation, to be seen and heard.

use admin_types::provider_tests::{OperationTest, ProviderTest, TestProvider, TestSpeech};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::provider::Operation;
use leptos::prelude::*;
use uuid::Uuid;

use crate::api::{Failure, providers, submit, use_client};
use crate::components::{
    Badge, Button, ButtonKind, Card, ChoiceSet, Code, Form, FormActions, FormRow, IconName, Notice, Sound, SoundRow,
    TextField, Tone, field_error,
};
use crate::format;
use crate::pages::catalogue::words::{operation_choices, operation_name};
use crate::route::{given_untracked, meant};

#[component]
pub(super) fn TrialCard(id: Uuid) -> impl IntoView {
    let client = use_client();
    let operations = RwSignal::new(Vec::<String>::new());
    let [model, voice] = [(); 2].map(|()| RwSignal::new(String::new()));
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let told = RwSignal::new(None::<ProviderTest>);
    let one = Memo::new(move |_| operations.with(Vec::len) == 1);
    let speaks = Memo::new(move |_| operations.with(|all| all.is_empty() || all.iter().any(|name| name == "speech")));
    let send = move || {
        failure.set(None);
        let named: Vec<Operation> =
            operations.with_untracked(|all| all.iter().filter_map(|name| meant(name)).collect());
        let test = TestProvider {
            credential_id: None,
            operations: Some(named).filter(|named| !named.is_empty()),
            model: given_untracked(model).filter(|_| one.get_untracked()),
            voice: given_untracked(voice).filter(|_| speaks.get_untracked()),
        };
        submit(busy, async move { providers::test_provider(&client, id, &test).await }, move |done| match done {
            Ok(test) => {
                told.try_set(Some(test));
            }
            Err(why) => {
                told.try_set(None);
                failure.try_set(Some(why));
            }
        });
    };
    let results = move || {
        told.get().map(|test| {
            let results = test.results.into_iter().map(|result| view! { <Tried result /> });
            view! { <ul class="trials" aria-label="What came of it">{results.collect_view()}</ul> }
        })
    };
    view! {
        <Card title="Test" text="Makes one real call for each operation, which costs a little.">
            <Form on_submit=send failure>
                <ChoiceSet
                    label="Operations"
                    value=operations
                    options=operation_choices()
                    hint="Everything that this kind does unless chosen."
                    error=field_error(failure, "operations")
                />
                <FormRow>
                    <TextField
                        label="Model"
                        value=model
                        mono=true
                        disabled=Signal::derive(move || !one.get())
                        hint="The provider's own name of it, for one operation; a cheap one unless told."
                        error=field_error(failure, "model")
                    />
                    <TextField
                        label="Voice"
                        value=voice
                        disabled=Signal::derive(move || !speaks.get())
                        hint="The provider's own name of it, for speech."
                        error=field_error(failure, "voice")
                    />
                </FormRow>
                <FormActions>
                    <Button kind=ButtonKind::Primary submit=true busy icon=IconName::Bolt>
                        "Test"
                    </Button>
                </FormActions>
            </Form>
            <div aria-live="polite">{results}</div>
        </Card>
    }
}

/// What came of one call.
#[component]
fn Tried(result: OperationTest) -> impl IntoView {
    let (tone, word) = if result.ok { (Tone::Good, "Works") } else { (Tone::Bad, "Failed") };
    let name = operation_name(result.operation.as_str());
    let times = times(&result);
    let model = result.model.clone().map(|model| view! { <code>{model}</code> });
    let text = result.text.clone().map(|text| {
        let language = if result.speech.is_some() { "Answer" } else { "What it said" };
        view! { <Code language text /> }
    });
    let speech = result.speech.clone().map(|speech| view! { <Heard speech name=name.clone() /> });
    let error = result.error.clone().map(|error| {
        view! {
            <Notice tone=Tone::Bad title=error.code>
                {error.message}
            </Notice>
        }
    });
    view! {
        <li class="trial">
            <div class="trial-head">
                <h3>{name}</h3>
                <Badge tone dot=true>{word}</Badge>
                {model}
                <span class="muted">{times}</span>
            </div>
            {text} {speech} {error}
        </li>
    }
}

fn times(result: &OperationTest) -> String {
    let mut parts = Vec::new();
    if let Some(ms) = result.first_byte_ms {
        parts.push(format!("first byte {}", format::duration_ms(ms)));
    }
    parts.push(format!("whole {}", format::duration_ms(result.total_ms)));
    if let Some(status) = result.http_status {
        parts.push(format!("HTTP {status}"));
    }
    parts.join(" · ")
}

#[component]
fn Heard(speech: TestSpeech, name: String) -> impl IntoView {
    let size = format!("{} · {}", speech.content_type, format::bytes(speech.length));
    let bytes = speech.base64.as_deref().and_then(|text| STANDARD.decode(text).ok());
    match bytes {
        Some(bytes) => {
            let ending = speech.content_type.rsplit('/').next().unwrap_or("bin").replace("mpeg", "mp3");
            let file_name = format!("test.{ending}");
            let sound = Sound { bytes: bytes.into(), media_type: speech.content_type, file_name };
            view! { <SoundRow label=format!("{name} that came") sound note=size /> }.into_any()
        }
        None => view! { <p class="muted">"The sound that came is too long to be played here: "{size}</p> }.into_any(),
    }
}
