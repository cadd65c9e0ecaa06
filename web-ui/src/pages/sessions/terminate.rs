//! Ending a session, with a reason that its client is told.

use admin_types::sessions::{Session, TerminateSession};
use leptos::prelude::*;
use uuid::Uuid;

use super::model_of;
use crate::api::{Failure, sessions, submit_form, use_client};
use crate::components::{Dialog, Form, FormButtons, TextField, field_error, use_toasts};

/// The question before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    open: RwSignal<bool>,
    session: RwSignal<Option<(Uuid, String)>>,
    /// Counts what was done.
    pub(super) done: RwSignal<u32>,
}

impl Ask {
    pub(super) fn new() -> Self {
        Self { open: RwSignal::new(false), session: RwSignal::new(None), done: RwSignal::new(0) }
    }

    /// Asks.
    pub(super) fn about(self, session: &Session) {
        self.session.set(Some((session.id, model_of(session))));
        self.open.set(true);
    }
}

#[component]
pub(super) fn TerminateDialog(ask: Ask) -> impl IntoView {
    view! {
        <Dialog open=ask.open title="Terminate this session?">
            {move || ask.session.get().map(|(id, model)| view! { <Question ask id model /> })}
        </Dialog>
    }
}

#[component]
fn Question(ask: Ask, id: Uuid, model: String) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let reason = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let send = move || {
        failure.set(None);
        let why = TerminateSession { reason: reason.with_untracked(|reason| reason.trim().to_owned()) };
        submit_form(busy, failure, async move { sessions::terminate_session(&client, id, &why).await }, move |_| {
            toasts.done("The session is being ended");
            ask.open.try_set(false);
            ask.done.try_update(|done| *done = done.wrapping_add(1));
        });
    };
    view! {
        <p class="dialog-text">{format!("The conversation with {model} ends within a second, in mid-sentence. Its client is told why.")}</p>
        <Form on_submit=send failure>
            <TextField
                label="Reason"
                value=reason
                required=true
                autofocus=true
                hint="At most 200 characters; the client reads it."
                error=field_error(failure, "reason")
            />
            <FormButtons action="Terminate session" danger=true busy cancel=ask.open disabled=Signal::derive(move || reason.with(|text| text.trim().is_empty())) />
        </Form>
    }
}
