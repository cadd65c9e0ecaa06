//! Fields with a choice: one of several, several of many, yes or no.

use leptos::prelude::*;

use super::field::{FieldFrame, described_by, invalid, unique_id};

/// One of what can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// What is sent.
    pub(crate) value: String,
    /// What is read.
    pub(crate) label: String,
}

impl Choice {
    pub(crate) fn new(value: impl Into<String>, label: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.into() }
    }

    /// One whose value is read as it is.
    pub(crate) fn plain(value: impl Into<String>) -> Self {
        let value = value.into();
        Self { label: value.clone(), value }
    }

    /// Several, from pairs of value and label.
    pub(crate) fn list(pairs: &[(&str, &str)]) -> Vec<Self> {
        pairs.iter().map(|(value, label)| Self::new(*value, *label)).collect()
    }
}

/// One of several, in a list that drops down. With a placeholder nothing need be chosen.
#[component]
pub(crate) fn SelectField(
    #[prop(into)] label: String,
    value: RwSignal<String>,
    #[prop(into)] options: Signal<Vec<Choice>>,
    #[prop(optional, into)] hint: String,
    #[prop(optional, into)] error: Signal<Option<String>>,
    #[prop(optional)] required: bool,
    #[prop(optional, into)] placeholder: String,
    #[prop(optional, into)] disabled: Signal<bool>,
) -> impl IntoView {
    let id = unique_id("field");
    let may_be_empty = !placeholder.is_empty();
    take_the_first(value, options, may_be_empty);
    view! {
        <FieldFrame id=id.clone() label hint=hint.clone() error required=required || !may_be_empty>
            <select
                id=id.clone()
                class="input select"
                on:change:target=move |event| value.set(event.target().value())
                disabled=move || disabled.get()
                aria-describedby=described_by(&id, &hint)
                aria-invalid=invalid(error)
            >
                {may_be_empty
                    .then(|| {
                        view! {
                            <option value="" prop:selected=move || value.with(String::is_empty)>
                                {placeholder}
                            </option>
                        }
                    })}
                <Options value options />
            </select>
        </FieldFrame>
    }
}

/// What a list shows as chosen is chosen, also before anybody touched it. What is chosen stays, also where its option
/// has not come yet.
fn take_the_first(value: RwSignal<String>, options: Signal<Vec<Choice>>, may_be_empty: bool) {
    Effect::new(move |_| {
        if may_be_empty || !value.with(String::is_empty) {
            return;
        }
        if let Some(first) = options.with(|options| options.first().map(|option| option.value.clone()))
            && !first.is_empty()
        {
            value.set(first);
        }
    });
}

/// The options of a list; each knows whether it is the chosen one, so that they may come later than the value. A chosen
/// one that is not among them is shown as what it is: nothing else is sent.
#[component]
pub(super) fn Options(#[prop(into)] value: Signal<String>, options: Signal<Vec<Choice>>) -> impl IntoView {
    let unlisted = Memo::new(move |_| unlisted(&value.get(), &options.get()));
    move || {
        let option = |option: Choice| {
            let own = option.value.clone();
            let chosen = move || value.with(|value| *value == own);
            view! {
                <option value=option.value prop:selected=chosen>
                    {option.label}
                </option>
            }
        };
        options.get().into_iter().chain(unlisted.get()).map(option).collect_view()
    }
}

/// The choice that a list does not have.
fn unlisted(value: &str, options: &[Choice]) -> Option<Choice> {
    let is_listed = value.is_empty() || options.iter().any(|option| option.value == value);
    (!is_listed).then(|| Choice::plain(value))
}

/// Yes or no.
#[component]
pub(crate) fn CheckField(
    #[prop(into)] label: String,
    value: RwSignal<bool>,
    #[prop(optional, into)] hint: String,
    #[prop(optional, into)] disabled: Signal<bool>,
    /// It looks like a switch, for what takes effect at once.
    #[prop(optional)]
    switch: bool,
) -> impl IntoView {
    let id = unique_id("check");
    let hint_id = format!("{id}-hint");
    let described = (!hint.is_empty()).then(|| hint_id.clone());
    view! {
        <div class="check-field">
            <input
                id=id.clone()
                type="checkbox"
                class=if switch { "switch" } else { "check" }
                role=switch.then_some("switch")
                prop:checked=move || value.get()
                on:change:target=move |event| value.set(event.target().checked())
                disabled=move || disabled.get()
                aria-describedby=described
            />
            <div>
                <label for=id>{label}</label>
                {(!hint.is_empty()).then(|| view! { <p class="hint" id=hint_id>{hint}</p> })}
            </div>
        </div>
    }
}

/// Several of many.
#[component]
pub(crate) fn ChoiceSet(
    #[prop(into)] label: String,
    value: RwSignal<Vec<String>>,
    #[prop(into)] options: Signal<Vec<Choice>>,
    #[prop(optional, into)] hint: String,
    #[prop(optional, into)] error: Signal<Option<String>>,
    #[prop(optional, into)] disabled: Signal<bool>,
) -> impl IntoView {
    let id = unique_id("set");
    let described = described_by(&id, &hint);
    let (error_id, hint_id) = (format!("{id}-error"), format!("{id}-hint"));
    view! {
        <fieldset class="field choice-set" class:invalid=move || error.with(Option::is_some) aria-describedby=described>
            <legend>{label}</legend>
            <div class="choices">
                {move || {
                    let box_of = |option: Choice| view! { <ChoiceBox option value disabled /> };
                    options.get().into_iter().map(box_of).collect_view()
                }}
            </div>
            {(!hint.is_empty()).then(|| view! { <p class="hint" id=hint_id>{hint}</p> })}
            <p class="field-error" id=error_id aria-live="polite">{move || error.get()}</p>
        </fieldset>
    }
}

#[component]
fn ChoiceBox(option: Choice, value: RwSignal<Vec<String>>, disabled: Signal<bool>) -> impl IntoView {
    let own = option.value.clone();
    let checked = move || value.with(|value| value.contains(&own));
    let own = option.value;
    let change = move |on: bool| {
        value.update(|value| {
            value.retain(|other| *other != own);
            if on {
                value.push(own.clone());
            }
        });
    };
    view! {
        <label class="choice">
            <input
                type="checkbox"
                class="check"
                prop:checked=checked
                on:change:target=move |event| change(event.target().checked())
                disabled=move || disabled.get()
            />
            <span>{option.label}</span>
        </label>
    }
}

/// One of a few, all of them in sight.
#[component]
pub(crate) fn Segments(
    #[prop(into)] label: String,
    value: RwSignal<String>,
    #[prop(into)] options: Signal<Vec<Choice>>,
    /// The label is only read, not seen.
    #[prop(optional)]
    quiet: bool,
    #[prop(optional, into)] disabled: Signal<bool>,
) -> impl IntoView {
    let name = unique_id("segments");
    view! {
        <fieldset class="segments-field" disabled=move || disabled.get()>
            <legend class:visually-hidden=quiet>{label}</legend>
            <div class="segments">
                {move || {
                    let name = name.clone();
                    let segment = move |option: Choice| view! { <Segment option value name=name.clone() /> };
                    options.get().into_iter().map(segment).collect_view()
                }}
            </div>
        </fieldset>
    }
}

#[component]
fn Segment(option: Choice, value: RwSignal<String>, name: String) -> impl IntoView {
    let own = option.value.clone();
    let checked = move || value.with(|value| *value == own);
    let own = option.value.clone();
    view! {
        <label class="segment">
            <input
                type="radio"
                class="visually-hidden"
                name=name
                value=option.value
                prop:checked=checked
                on:change=move |_| value.set(own.clone())
            />
            <span>{option.label}</span>
        </label>
    }
}
