//! Fields of forms: each with its label, a hint and what is wrong with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use js_sys::Reflect;
use leptos::prelude::*;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::api::Failure;

/// An id that no other element has.
pub(crate) fn unique_id(prefix: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a failure says about one field.
pub(crate) fn field_error(failure: impl Into<Signal<Option<Failure>>>, field: &'static str) -> Signal<Option<String>> {
    let failure = failure.into();
    Signal::derive(move || failure.with(|failure| failure.as_ref().and_then(|failure| failure.field(field))))
}

/// What stands in a field for a number; nothing where it is empty.
///
/// # Errors
/// It is no number of this kind, which is told of the field at `path` in the body.
pub(crate) fn number<N: std::str::FromStr>(text: RwSignal<String>, path: &str) -> Result<Option<N>, Failure> {
    let text = text.get_untracked();
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Failure::Field(path.to_owned(), "This number cannot be used here."))
}

/// As [`number`], where one must be there.
pub(crate) fn required_number<N: std::str::FromStr>(text: RwSignal<String>, path: &str) -> Result<N, Failure> {
    number(text, path)?.ok_or_else(|| Failure::Field(path.to_owned(), "Write a number."))
}

/// As [`number`], with a fraction.
pub(crate) fn fraction(text: RwSignal<String>, path: &str) -> Result<Option<f64>, Failure> {
    Ok(number::<Decimal>(text, path)?.and_then(|number| number.to_f64()))
}

/// The value of a field for a number with something in it that is none: browsers tell nothing of what it is.
const UNREADABLE: &str = "\u{fffd}";

/// What was typed into a control.
fn typed(input: &web_sys::HtmlInputElement) -> String {
    let validity = Reflect::get(input, &"validity".into());
    let is_bad = validity.and_then(|validity| Reflect::get(&validity, &"badInput".into()));
    if is_bad.is_ok_and(|is_bad| is_bad.is_truthy()) { UNREADABLE.to_owned() } else { input.value() }
}

/// Label, hint and error around a control with this id.
#[component]
pub(super) fn FieldFrame(
    id: String,
    label: String,
    hint: String,
    error: Signal<Option<String>>,
    required: bool,
    children: Children,
) -> impl IntoView {
    let note = note_id(&id);
    let error_id = format!("{id}-error");
    view! {
        <div class="field" class:invalid=move || error.with(Option::is_some)>
            <label for=id>{label} {(!required).then(|| view! { <span class="optional">"optional"</span> })}</label>
            {children()}
            {(!hint.is_empty()).then(|| view! { <p class="hint" id=note>{hint}</p> })}
            <p class="field-error" id=error_id aria-live="polite">{move || error.get()}</p>
        </div>
    }
}

/// Ids of what describes the control: the error always has its place, so both are named at once.
pub(super) fn described_by(id: &str, hint: &str) -> String {
    if hint.is_empty() { format!("{id}-error") } else { format!("{id}-error {}", note_id(id)) }
}

fn note_id(id: &str) -> String {
    format!("{id}-hint")
}

/// `true` where there is something wrong, and no attribute else.
pub(super) fn invalid(error: Signal<Option<String>>) -> impl Fn() -> Option<&'static str> + Clone + Send + 'static {
    move || error.with(|error| error.as_ref().map(|_| "true"))
}

/// One line of text, or whatever else `kind` makes of it.
#[component]
pub(crate) fn TextField(
    #[prop(into)] label: String,
    value: RwSignal<String>,
    /// `text` unless told: `password`, `email`, `number`, `date`, `datetime-local`, `url`, `search`.
    #[prop(optional, into)]
    kind: String,
    #[prop(optional, into)] hint: String,
    #[prop(optional, into)] error: Signal<Option<String>>,
    #[prop(optional)] required: bool,
    #[prop(optional, into)] autocomplete: String,
    #[prop(optional, into)] placeholder: String,
    #[prop(optional, into)] disabled: Signal<bool>,
    /// It has the focus when its dialog opens.
    #[prop(optional)]
    autofocus: bool,
    /// Of fixed width, for identifiers and code.
    #[prop(optional)]
    mono: bool,
    #[prop(optional, into)] min: Option<String>,
    #[prop(optional, into)] max: Option<String>,
    #[prop(optional, into)] step: Option<String>,
    /// Suggestions.
    #[prop(optional, into)]
    suggestions: Signal<Vec<String>>,
) -> impl IntoView {
    let id = unique_id("field");
    let list = format!("{id}-list");
    let kind = if kind.is_empty() { "text".to_owned() } else { kind };
    // What cannot be read stays as it was typed.
    let shown = Memo::new(move |before: Option<&String>| {
        let value = value.get();
        if value == UNREADABLE { before.cloned().unwrap_or_default() } else { value }
    });
    let has_suggestions = move || suggestions.with(|all| !all.is_empty());
    view! {
        <FieldFrame id=id.clone() label hint=hint.clone() error required>
            <input
                id=id.clone()
                type=kind
                class="input"
                class:mono=mono
                prop:value=move || shown.get()
                on:input:target=move |event| value.set(typed(&event.target()))
                autocomplete=if autocomplete.is_empty() { "off".to_owned() } else { autocomplete }
                placeholder=(!placeholder.is_empty()).then_some(placeholder)
                disabled=move || disabled.get()
                required=required
                min=min
                max=max
                step=step
                spellcheck="false"
                data-autofocus=autofocus.then_some("true")
                list={
                    let list = list.clone();
                    move || has_suggestions().then(|| list.clone())
                }
                aria-describedby=described_by(&id, &hint)
                aria-invalid=invalid(error)
            />
            <datalist id=list>
                {move || suggestions.get().into_iter().map(|text| view! { <option value=text></option> }).collect_view()}
            </datalist>
        </FieldFrame>
    }
}

/// Several lines of text.
#[component]
pub(crate) fn AreaField(
    #[prop(into)] label: String,
    value: RwSignal<String>,
    #[prop(optional, into)] hint: String,
    #[prop(optional, into)] error: Signal<Option<String>>,
    #[prop(optional)] required: bool,
    #[prop(optional, into)] placeholder: String,
    #[prop(optional, into)] disabled: Signal<bool>,
    #[prop(default = 4)] rows: u32,
    #[prop(optional)] mono: bool,
) -> impl IntoView {
    let id = unique_id("field");
    view! {
        <FieldFrame id=id.clone() label hint=hint.clone() error required>
            <textarea
                id=id.clone()
                class="input"
                class:mono=mono
                rows=rows.to_string()
                prop:value=move || value.get()
                on:input:target=move |event| value.set(event.target().value())
                placeholder=(!placeholder.is_empty()).then_some(placeholder)
                disabled=move || disabled.get()
                required=required
                aria-describedby=described_by(&id, &hint)
                aria-invalid=invalid(error)
            ></textarea>
        </FieldFrame>
    }
}
