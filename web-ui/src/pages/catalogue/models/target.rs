//! One target in the editor of a model.

use domain::routing::Strategy;
use leptos::prelude::*;

use super::draft::{Draft, TargetDraft};
use crate::api::Failure;
use crate::components::{AreaField, IconButton, IconName, TextField};

#[component]
pub(super) fn TargetFields(
    target: TargetDraft,
    draft: Draft,
    failure: RwSignal<Option<Failure>>,
    /// Names of providers that can be asked.
    providers: Signal<Vec<String>>,
) -> impl IntoView {
    let of = move |field: &'static str| Signal::derive(move || error_of(failure, target, field));
    let weighted = move || draft.goes_by(Strategy::Weighted);
    let alone = move || draft.targets.with(Vec::len) < 2;
    view! {
        <div class="target">
            <div class="target-fields">
                <TextField
                    label="Provider"
                    value=target.provider
                    suggestions=providers
                    error=of("provider")
                    required=true
                />
                <TextField label="Model" value=target.model mono=true error=of("model") required=true />
                <div hidden=move || !weighted()>
                    <TextField label="Weight" value=target.weight kind="number" min="0" error=of("weight") required=true />
                </div>
                <div hidden=move || !draft.goes_by(Strategy::Priority)>
                    <TextField label="Priority" value=target.priority kind="number" error=of("priority") required=true />
                </div>
                <div hidden=move || !draft.goes_by(Strategy::Quality)>
                    <TextField
                        label="Quality"
                        value=target.quality
                        kind="number"
                        min="0"
                        max="1"
                        step="0.01"
                        error=of("quality")
                    />
                </div>
                <div hidden=move || !draft.goes_by(Strategy::Geographic)>
                    <TextField label="Region" value=target.region error=of("region") />
                </div>
            </div>
            <details class="target-more">
                <summary>"Options"</summary>
                <AreaField
                    label="Options"
                    value=target.options
                    rows=2
                    mono=true
                    placeholder="deployment=our-realtime"
                    hint="What the provider wants beside a model: one name=value a line."
                    error=of("options")
                />
            </details>
            <p class="field-error" aria-live="polite">{move || of("").get()}</p>
        </div>
        <div hidden=alone>
            <IconButton
                name=IconName::Trash
                label=Signal::derive(move || format!("Remove {}", draft.name_of(target)))
                on_press=move || draft.remove_target(target.id)
            />
        </div>
    }
}

/// What was said of a field of this target, or of the whole of it.
fn error_of(failure: RwSignal<Option<Failure>>, target: TargetDraft, field: &str) -> Option<String> {
    let place = target.sent_at.get();
    let path = if field.is_empty() { format!("targets[{place}]") } else { format!("targets[{place}].{field}") };
    failure.with(|failure| failure.as_ref().and_then(|failure| failure.field(&path)))
}
