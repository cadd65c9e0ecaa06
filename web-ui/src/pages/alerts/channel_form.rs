//! The form of a channel, new or as it is.

use admin_types::alerts::{AlertChannel, AlertChannelKind, ChannelSettings, CreateAlertChannel, UpdateAlertChannel};
use js_sys::{Function, Reflect, Uint8Array};
use leptos::prelude::*;
use uuid::Uuid;
use wasm_bindgen::JsCast;

use crate::api::{Failure, Versioned, alerts, submit_form, use_client};
use crate::components::{
    AreaField, Button, CheckField, Choice, Form, FormButtons, Loaded, Segments, TextField, field_error, use_toasts,
};
use crate::pages::stale::Stale;
use crate::session::use_session;

/// Letters of a secret that is made here.
const SECRET_LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What is written, before it is sent.
#[derive(Debug, Clone, Copy)]
struct Draft {
    owner: Option<Uuid>,
    name: RwSignal<String>,
    kind: RwSignal<String>,
    url: RwSignal<String>,
    secret: RwSignal<String>,
    allow_insecure: RwSignal<bool>,
    to: RwSignal<String>,
    enabled: RwSignal<bool>,
    busy: RwSignal<bool>,
    failure: RwSignal<Option<Failure>>,
}

impl Draft {
    fn new(owner: Option<Uuid>) -> Self {
        let text = |text: &str| RwSignal::new(text.to_owned());
        Self {
            owner,
            name: text(""),
            kind: text(AlertChannelKind::Webhook.as_str()),
            url: text(""),
            secret: text(""),
            allow_insecure: RwSignal::new(false),
            to: text(""),
            enabled: RwSignal::new(true),
            busy: RwSignal::new(false),
            failure: RwSignal::new(None),
        }
    }

    fn of(channel: &AlertChannel) -> Self {
        let text = |text: &str| RwSignal::new(text.to_owned());
        Self {
            name: text(&channel.name),
            kind: text(channel.kind.as_str()),
            allow_insecure: RwSignal::new(channel.allow_insecure),
            to: text(&channel.to.join("\n")),
            enabled: RwSignal::new(channel.enabled),
            ..Self::new(channel.tenant_id)
        }
    }

    fn kind(self) -> AlertChannelKind {
        self.kind.with(|kind| AlertChannelKind::named(kind)).unwrap_or(AlertChannelKind::Webhook)
    }

    fn settings(self) -> ChannelSettings {
        let url = self.url.with_untracked(|url| url.trim().to_owned());
        let allow_insecure = self.allow_insecure.get_untracked();
        match untrack(|| self.kind()) {
            AlertChannelKind::Webhook => ChannelSettings::Webhook {
                url,
                secret: self.secret.with_untracked(|secret| secret.trim().to_owned()),
                allow_insecure,
            },
            AlertChannelKind::Slack => ChannelSettings::Slack { url, allow_insecure },
            AlertChannelKind::Email => {
                let addresses = self.to.get_untracked();
                let addresses =
                    addresses.split([',', ';', '\n', ' ']).map(str::trim).filter(|address| !address.is_empty());
                ChannelSettings::Email { to: addresses.map(str::to_owned).collect() }
            }
        }
    }

    fn name(self) -> String {
        self.name.with_untracked(|name| name.trim().to_owned())
    }
}

#[component]
pub(super) fn CreateChannel(open: RwSignal<bool>, on_done: Callback<()>) -> impl IntoView {
    let (client, session, toasts) = (use_client(), use_session(), use_toasts());
    let own = untrack(|| session.me()).and_then(|me| me.tenant_id);
    let owner = own.or_else(|| session.tenant_untracked());
    let draft = Draft::new(owner);
    let send = move || {
        draft.failure.set(None);
        let create = CreateAlertChannel {
            name: draft.name(),
            tenant_id: owner,
            settings: draft.settings(),
            enabled: draft.enabled.get_untracked(),
        };
        submit_form(
            draft.busy,
            draft.failure,
            async move { alerts::create_channel(&client, &create).await },
            move |_| {
                toasts.done("Channel created");
                open.try_set(false);
                on_done.try_run(());
            },
        );
    };
    let kinds = Choice::list(&[("webhook", "Webhook"), ("slack", "Slack"), ("email", "E-mail")]);
    view! {
        <Form on_submit=send failure=draft.failure>
            <NameField draft />
            <Segments label="Kind" value=draft.kind options=kinds />
            <SettingsFields draft />
            <CheckField label="On" value=draft.enabled hint="Off, nothing is told through it." switch=true />
            <FormButtons action="Create channel" busy=draft.busy cancel=open />
        </Form>
    }
}

#[component]
pub(super) fn EditChannel(id: Uuid, open: RwSignal<bool>, on_done: Callback<()>) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let found = LocalResource::new(move || async move { alerts::get_channel(&client, id).await });
    let form = move |channel: Versioned<AlertChannel>| {
        let draft = Draft::of(&channel.value);
        let version = StoredValue::new(channel.version);
        // Where it leads is given as a whole, with its secret; what is not given stays.
        let leads_elsewhere = RwSignal::new(false);
        let send = move || {
            draft.failure.set(None);
            let change = UpdateAlertChannel {
                name: Some(draft.name()),
                settings: leads_elsewhere.get_untracked().then(|| draft.settings()),
                enabled: Some(draft.enabled.get_untracked()),
            };
            let version = version.get_value();
            let call = async move { alerts::update_channel(&client, id, &change, version.as_deref()).await };
            submit_form(draft.busy, draft.failure, call, move |_| {
                toasts.done("Channel saved");
                open.try_set(false);
                on_done.try_run(());
            });
        };
        view! {
            <Form on_submit=send failure=draft.failure>
                <Stale failure=draft.failure on_reload=move || found.refetch() />
                <NameField draft />
                <CheckField
                    label="Change where it leads"
                    value=leads_elsewhere
                    hint="Secrets are not shown again: give the address and its secret anew."
                />
                <Show when=move || leads_elsewhere.get()>
                    <SettingsFields draft />
                </Show>
                <CheckField label="On" value=draft.enabled hint="Off, nothing is told through it." switch=true />
                <FormButtons action="Save" busy=draft.busy cancel=open />
            </Form>
        }
    };
    view! { <Loaded resource=found rows=5 children=form /> }
}

#[component]
fn NameField(draft: Draft) -> impl IntoView {
    view! {
        <TextField label="Name" value=draft.name error=field_error(draft.failure, "name") required=true autofocus=true />
    }
}

/// The fields of the kind that is chosen.
#[component]
fn SettingsFields(draft: Draft) -> impl IntoView {
    let session = use_session();
    let kind = Memo::new(move |_| draft.kind());
    let url_error = field_error(draft.failure, "settings.url");
    let address_error = Signal::derive(move || {
        draft.failure.with(|failure| {
            let failure = failure.as_ref()?;
            failure
                .field("settings.to")
                .or_else(|| (0..10).find_map(|place| failure.field(&format!("settings.to[{place}]"))))
        })
    });
    // Plain http and private networks are for the platform's own channels.
    let insecure = move || {
        (draft.owner.is_none() && session.sees_all_tenants()).then(|| {
            view! {
                <CheckField
                    label="Allow plain http and private addresses"
                    value=draft.allow_insecure
                    hint="For receivers in your own network."
                />
            }
        })
    };
    view! {
        {move || match kind.get() {
            AlertChannelKind::Webhook => {
                view! {
                    <TextField
                        label="URL"
                        value=draft.url
                        kind="url"
                        placeholder="https://"
                        hint="Only its host is shown again."
                        error=url_error
                        required=true
                    />
                    <TextField
                        label="Signing secret"
                        value=draft.secret
                        hint="Each message is signed with it (HMAC-SHA-256). 16 characters at least; keep a copy, it is not shown again."
                        error=field_error(draft.failure, "settings.secret")
                        required=true
                        mono=true
                    />
                    <div>
                        <Button on_press=move || draft.secret.set(new_secret())>"Generate a secret"</Button>
                    </div>
                    {insecure()}
                }
                    .into_any()
            }
            AlertChannelKind::Slack => {
                view! {
                    <TextField
                        label="Webhook URL"
                        value=draft.url
                        kind="url"
                        placeholder="https://hooks.slack.com/services/…"
                        hint="An incoming webhook of Slack, or of what takes the same messages. Only its host is shown again."
                        error=url_error
                        required=true
                    />
                    {insecure()}
                }
                    .into_any()
            }
            AlertChannelKind::Email => {
                view! {
                    <AreaField label="Addresses" value=draft.to rows=3 hint="One a line, ten at most." error=address_error required=true />
                }
                    .into_any()
            }
        }}
    }
}

/// Hard to guess: 32 letters by the browser's source of random numbers. Empty where it has none.
fn new_secret() -> String {
    let bytes = Uint8Array::new_with_length(32);
    let filled = Reflect::get(&window(), &"crypto".into()).ok().and_then(|crypto| {
        let fill: Function = Reflect::get(&crypto, &"getRandomValues".into()).ok()?.dyn_into().ok()?;
        fill.call1(&crypto, &bytes).ok()
    });
    let letter = |byte: u8| SECRET_LETTERS.get(usize::from(byte % 32)).copied().map(char::from);
    filled.map(|_| bytes.to_vec().into_iter().filter_map(letter).collect()).unwrap_or_default()
}
