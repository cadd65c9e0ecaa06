//! Forms: what is submitted together, and what was wrong with it.

use leptos::prelude::*;

use super::{Button, ButtonKind, Icon, IconName};
use crate::api::Failure;

/// A form that the page handles itself. What failed stands above its fields.
#[component]
pub(crate) fn Form(
    #[prop(into)] on_submit: Callback<()>,
    #[prop(optional, into)] failure: Signal<Option<Failure>>,
    children: Children,
) -> impl IntoView {
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        on_submit.run(());
    };
    view! {
        <form class="form" novalidate on:submit=submit>
            <FormError failure />
            {children()}
        </form>
    }
}

/// What failed, for a form.
#[component]
pub(crate) fn FormError(#[prop(into)] failure: Signal<Option<Failure>>) -> impl IntoView {
    view! {
        <div role="alert">
            {move || {
                failure
                    .get()
                    .map(|failure| {
                        view! {
                            <div class="notice bad">
                                <Icon name=IconName::Warning />
                                <div>
                                    <strong>{failure.title()}</strong>
                                    <p>{failure.detail()}</p>
                                </div>
                            </div>
                        }
                    })
            }}
        </div>
    }
}

/// Fields side by side where there is room.
#[component]
pub(crate) fn FormRow(children: Children) -> impl IntoView {
    view! { <div class="form-row">{children()}</div> }
}

/// A group of fields under a heading.
#[component]
pub(crate) fn FormSection(
    #[prop(into)] title: String,
    #[prop(optional, into)] text: String,
    children: Children,
) -> impl IntoView {
    view! {
        <fieldset class="form-section">
            <legend>{title}</legend>
            {(!text.is_empty()).then(|| view! { <p class="hint">{text}</p> })}
            {children()}
        </fieldset>
    }
}

/// The buttons under a form.
#[component]
pub(crate) fn FormActions(children: Children) -> impl IntoView {
    view! { <div class="form-actions">{children()}</div> }
}

/// The usual buttons under a form: what it does, and a way out of its dialog.
#[component]
pub(crate) fn FormButtons(
    #[prop(into)] action: String,
    #[prop(optional, into)] busy: Signal<bool>,
    #[prop(optional, into)] disabled: Signal<bool>,
    /// The dialog that "Cancel" closes.
    #[prop(optional, into)]
    cancel: Option<RwSignal<bool>>,
    #[prop(optional)] danger: bool,
) -> impl IntoView {
    let kind = if danger { ButtonKind::Danger } else { ButtonKind::Primary };
    view! {
        <FormActions>
            {cancel.map(|open| view! { <Button on_press=move || open.set(false)>"Cancel"</Button> })}
            <Button kind submit=true busy disabled>
                {action}
            </Button>
        </FormActions>
    }
}
