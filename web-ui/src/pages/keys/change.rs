//! What is done to a key: changed, given another secret, ended, removed.

use admin_types::keys::{DEFAULT_OVERLAP_SECONDS, KeyWithSecret, RevokeKey, RotateKey, VirtualKey};
use leptos::prelude::*;

use super::fields::{Fields, LimitFields};
use super::secret::Secret;
use crate::api::{Failure, Versioned, keys, submit_form, use_client};
use crate::components::{Choice, Form, FormButtons, Notice, SelectField, TextField, Tone, field_error, use_toasts};
use crate::pages::stale::{Stale, look_again};

/// A key as the page behind a dialog shows it.
type Shown = Memo<Option<Versioned<VirtualKey>>>;

/// Another name, other limits.
#[component]
pub(super) fn Edit(
    key: Versioned<VirtualKey>,
    open: RwSignal<bool>,
    #[prop(into)] on_changed: Callback<Versioned<VirtualKey>>,
) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let id = key.id;
    let fields = Fields::of(&key);
    let base = StoredValue::new(key);
    let busy = RwSignal::new(false);
    let send = move || {
        let Some(limits) = fields.read() else { return };
        let (change, version) = base.with_value(|base| (limits.change(base), base.version.clone()));
        submit_form(
            busy,
            fields.failure,
            async move { keys::update_key(&client, id, &change, version.as_deref()).await },
            move |now| {
                open.try_set(false);
                toasts.done("Key changed");
                on_changed.try_run(now);
            },
        );
    };
    let reload = move || {
        submit_form(busy, fields.failure, async move { keys::get_key(&client, id).await }, move |key| {
            fields.show(&key);
            base.try_set_value(key.clone());
            on_changed.try_run(key);
        });
    };
    view! {
        <Form on_submit=send failure=fields.failure>
            <Stale failure=fields.failure on_reload=reload busy />
            <TextField label="Name" value=fields.name error=fields.error("name") required=true autofocus=true />
            <LimitFields fields />
            <FormButtons action="Save changes" busy cancel=open />
        </Form>
    }
}

/// Another secret, and for how long the old one is taken.
#[component]
pub(super) fn Rotate(
    key: Shown,
    open: RwSignal<bool>,
    #[prop(into)] on_changed: Callback<Versioned<VirtualKey>>,
    #[prop(into)] on_stale: Callback<()>,
) -> impl IntoView {
    let rotated = RwSignal::new(None::<KeyWithSecret>);
    move || match rotated.get() {
        Some(made) => view! { <Secret made open /> }.into_any(),
        None => view! { <RotateForm key rotated open on_changed on_stale /> }.into_any(),
    }
}

#[component]
fn RotateForm(
    key: Shown,
    rotated: RwSignal<Option<KeyWithSecret>>,
    open: RwSignal<bool>,
    on_changed: Callback<Versioned<VirtualKey>>,
    on_stale: Callback<()>,
) -> impl IntoView {
    let client = use_client();
    let overlap = RwSignal::new(DEFAULT_OVERLAP_SECONDS.to_string());
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let send = move || {
        failure.set(None);
        let Some(key) = key.get_untracked() else { return };
        let rotate = RotateKey { overlap_seconds: overlap.get_untracked().parse().ok() };
        submit_form(
            busy,
            failure,
            async move { keys::rotate_key(&client, key.id, &rotate, key.version.as_deref()).await },
            move |Versioned { value: made, version }| {
                let value = made.key.clone();
                rotated.try_set(Some(made));
                on_changed.try_run(Versioned { value, version });
            },
        );
    };
    let overlaps = Choice::list(&[
        ("0", "It ends at once"),
        ("3600", "An hour"),
        ("86400", "A day"),
        ("604800", "A week"),
        ("2592000", "30 days"),
    ]);
    let earlier = move || {
        let previous = key.get().and_then(|key| key.value.previous)?;
        Some(view! {
            <Notice tone=Tone::Warn title="An earlier secret still works">
                {format!("{} ends now when you rotate again.", previous.redacted)}
            </Notice>
        })
    };
    look_again(failure, on_stale);
    view! {
        <Form on_submit=send failure>
            <p class="dialog-text">
                "The key gets a new secret. Its limits, its budget and what it has spent stay as they are."
            </p>
            {earlier}
            <SelectField
                label="The old secret works for"
                value=overlap
                options=overlaps
                hint="So long you have to put the new one everywhere."
                error=field_error(failure, "overlap_seconds")
                required=true
            />
            <FormButtons action="Rotate secret" busy cancel=open />
        </Form>
    }
}

/// The end of a key.
#[component]
pub(super) fn Revoke(
    key: Shown,
    open: RwSignal<bool>,
    #[prop(into)] on_changed: Callback<Versioned<VirtualKey>>,
    #[prop(into)] on_stale: Callback<()>,
) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let reason = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    look_again(failure, on_stale);
    let send = move || {
        failure.set(None);
        let Some(key) = key.get_untracked() else { return };
        let why = RevokeKey { reason: reason.get_untracked().trim().to_owned() };
        submit_form(
            busy,
            failure,
            async move { keys::revoke_key(&client, key.id, &why, key.version.as_deref()).await },
            move |now| {
                open.try_set(false);
                toasts.done("Key revoked");
                on_changed.try_run(now);
            },
        );
    };
    view! {
        <Form on_submit=send failure>
            <p class="dialog-text">
                "Within seconds every gateway refuses it, and its open sessions end. This cannot be undone."
            </p>
            <TextField
                label="Reason"
                value=reason
                hint="Shown with the key and in the audit log, such as: leaked in a log."
                error=field_error(failure, "reason")
                required=true
                autofocus=true
            />
            <FormButtons action="Revoke key" busy cancel=open danger=true />
        </Form>
    }
}
