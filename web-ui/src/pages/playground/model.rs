//! Which model is asked: one of those that the key may use, or any other by its name.

use leptos::prelude::*;

use super::access::Access;
use crate::components::{Choice, SelectField, TextField};

const OTHER: &str = "\u{1}other";

/// A model that can do `operation`; `model` is what is sent.
#[component]
pub(super) fn ModelField(access: Access, operation: &'static str, model: RwSignal<String>) -> impl IntoView {
    let options = Memo::new(move |_| {
        let mut options: Vec<Choice> = able(access, operation).into_iter().map(Choice::plain).collect();
        options.push(Choice::new(OTHER, "Another, by its name"));
        options
    });
    let known = options
        .with_untracked(|options| options.iter().any(|option| model.with_untracked(|model| *model == option.value)));
    let first =
        options.with_untracked(|options| options.first().map(|option| option.value.clone()).unwrap_or_default());
    let begin = match model.get_untracked() {
        name if known => name,
        name if name.is_empty() => first,
        _ => OTHER.to_owned(),
    };
    let chosen = RwSignal::new(begin);
    let written = RwSignal::new(if chosen.with_untracked(|chosen| chosen == OTHER) {
        model.get_untracked()
    } else {
        String::new()
    });
    Effect::new(move |_| {
        let name = if chosen.with(|chosen| chosen == OTHER) {
            written.with(|name| name.trim().to_owned())
        } else {
            chosen.get()
        };
        super::set_new(model, name);
    });
    view! {
        <SelectField label="Model" value=chosen options required=true />
        <Show when=move || chosen.with(|chosen| chosen == OTHER)>
            <TextField label="Name of the model" value=written required=true placeholder="provider/model" mono=true />
        </Show>
    }
}

/// Names of models that can do it, as far as anybody knows; routes of one's own before providers' models.
fn able(access: Access, operation: &str) -> Vec<String> {
    let models = access.models();
    let can = |operations: &[String]| operations.is_empty() || operations.iter().any(|name| name == operation);
    let mut names: Vec<String> =
        models.into_iter().filter(|model| can(&model.antiphon.operations)).map(|model| model.id).collect();
    names.sort_by_key(|name| (name.contains('/'), name.to_lowercase()));
    names
}
