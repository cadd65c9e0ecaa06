//! The credentials of a provider. What they are is told to nobody, once they are given.

use admin_types::providers::{CreateCredential, Credential, ListCredentials, UpdateCredential};
use leptos::prelude::*;
use uuid::Uuid;

use super::health::Enabled;
use crate::api::{Client, Failure, providers, submit, use_client};
use crate::components::{
    AreaField, Button, Card, CheckField, Column, Confirm, DataTable, Dialog, Empty, Form, FormButtons, FormRow,
    IconName, LoadedLive, Menu, MenuItem, TextField, field_error, use_toasts,
};
use crate::format;
use crate::route::given_untracked;

/// What is asked about which credential.
#[derive(Clone, Copy)]
struct Asked {
    which: RwSignal<Option<Credential>>,
    editing: RwSignal<bool>,
    removing: RwSignal<bool>,
}

#[component]
pub(super) fn Credentials(provider: Uuid, declared: bool) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move {
        let query = ListCredentials { limit: Some(500), cursor: None };
        providers::list_credentials(&client, provider, &query).await.map(|page| page.data)
    });
    let asked = Asked { which: RwSignal::new(None), editing: RwSignal::new(false), removing: RwSignal::new(false) };
    let refetch = Callback::new(move |()| found.refetch());
    let add = move || {
        asked.which.set(None);
        asked.editing.set(true);
    };
    let actions =
        move || (!declared).then(|| view! { <Button icon=IconName::Plus on_press=add>"Add credential"</Button> });
    view! {
        <Card
            title="Credentials"
            text="Calls are shared among them by weight. They are kept encrypted and never shown again."
            actions
            flush=true
        >
            <LoadedLive resource=found children=move |rows| view! { <Table rows declared asked refetch /> } />
        </Card>
        <Dialog open=asked.editing title="Credential">
            <CredentialForm provider asked refetch />
        </Dialog>
        <Remove provider asked refetch />
    }
}

#[component]
fn Table(rows: Signal<Vec<Credential>>, declared: bool, asked: Asked, refetch: Callback<()>) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let busy = RwSignal::new(false);
    let turn = move |row: &Credential| {
        let (provider, id) = (row.provider_id, row.id);
        let change = UpdateCredential { enabled: Some(!row.enabled), ..UpdateCredential::default() };
        let call = async move { providers::update_credential(&client, provider, id, &change, None).await };
        submit(busy, call, move |done| {
            match done {
                Ok(now) => toasts.done(if now.enabled { "Credential enabled" } else { "Credential disabled" }),
                Err(failure) => toasts.failed(&failure),
            }
            refetch.try_run(());
        });
    };
    let mut columns = vec![
        Column::new("Label", |row: &Credential| row.label.clone())
            .sorted("label", |row: &Credential| row.label.clone()),
        Column::new("Ends in", |row: &Credential| {
            let shown = if row.last4.is_empty() { "hidden".to_owned() } else { format!("…{}", row.last4) };
            view! { <code title=format!("Fingerprint {}", row.fingerprint)>{shown}</code> }
        }),
        Column::new("Weight", |row: &Credential| format::count(row.weight)).end(),
        Column::new("At once", |row: &Credential| {
            row.max_concurrent.map_or_else(|| "Unlimited".to_owned(), format::count)
        })
        .end(),
        Column::new("Use", |row: &Credential| view! { <Enabled enabled=row.enabled /> }),
        Column::new("Changed", |row: &Credential| format::date_time(row.updated_at)).spare(),
    ];
    if !declared {
        columns.push(Column::actions(move |row: &Credential| {
            let row = StoredValue::new(row.clone());
            let ask = move |open: RwSignal<bool>| {
                asked.which.set(Some(row.get_value()));
                open.set(true);
            };
            let word = if row.with_value(|row| row.enabled) { "Disable" } else { "Enable" };
            view! {
                <Menu label=format!("Actions for {}", row.with_value(|row| row.label.clone()))>
                    <MenuItem icon=IconName::Edit on_press=move || ask(asked.editing)>"Edit"</MenuItem>
                    <MenuItem icon=IconName::Bolt on_press=move || row.with_value(turn)>{word}</MenuItem>
                    <MenuItem icon=IconName::Trash danger=true on_press=move || ask(asked.removing)>"Remove"</MenuItem>
                </Menu>
            }
        }));
    }
    view! {
        <DataTable label="Credentials" columns rows key=|row: &Credential| row.id.to_string()>
            <Empty
                title="No credentials"
                text="Add one, unless the server takes none."
                icon=IconName::Key
            />
        </DataTable>
    }
}

#[component]
fn Remove(provider: Uuid, asked: Asked, refetch: Callback<()>) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let busy = RwSignal::new(false);
    let remove = move || {
        let Some(id) = asked.which.with_untracked(|which| which.as_ref().map(|which| which.id)) else { return };
        submit(busy, async move { providers::delete_credential(&client, provider, id, None).await }, move |done| {
            asked.removing.try_set(false);
            match done {
                Ok(()) => toasts.done("Credential removed"),
                Err(failure) => toasts.failed(&failure),
            }
            refetch.try_run(());
        });
    };
    view! {
        <Confirm
            open=asked.removing
            title="Remove this credential?"
            text="Calls use the others from then on, and fail where there is none. It cannot be brought back."
            action="Remove credential"
            danger=true
            on_confirm=remove
            busy
        />
    }
}

#[component]
fn CredentialForm(provider: Uuid, asked: Asked, refetch: Callback<()>) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let before = asked.which.get_untracked();
    let is_new = before.is_none();
    let text = |told: Option<String>| RwSignal::new(told.unwrap_or_default());
    let label = text(before.as_ref().map(|before| before.label.clone()));
    let secret = text(None);
    let weight = text(Some(before.as_ref().map_or(1, |before| before.weight).to_string()));
    let most = text(before.as_ref().and_then(|before| before.max_concurrent).map(|most| most.to_string()));
    let enabled = RwSignal::new(before.as_ref().is_none_or(|before| before.enabled));
    let id = before.map(|before| before.id);
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let send = move || {
        failure.set(None);
        let told = Told {
            label: label.get_untracked().trim().to_owned(),
            secret: given_untracked(secret),
            weight: weight.get_untracked().trim().parse().unwrap_or(1),
            most: most.get_untracked().trim().parse().ok(),
            enabled: enabled.get_untracked(),
        };
        submit(busy, async move { told.keep(&client, provider, id).await }, move |done| match done {
            Ok(()) => {
                toasts.done(if is_new { "Credential added" } else { "Credential changed" });
                asked.editing.try_set(false);
                refetch.try_run(());
            }
            Err(why) => {
                failure.try_set(Some(why));
            }
        });
    };
    let hint = if is_new {
        "An API key, or the JSON of a service account. It is kept encrypted and never shown again."
    } else {
        "Only to put another in its place. What is there is never shown."
    };
    view! {
        <Form on_submit=send failure>
            <TextField label="Label" value=label error=field_error(failure, "label") required=true autofocus=true />
            <AreaField label="Credential" value=secret rows=2 mono=true hint error=field_error(failure, "secret") required=is_new />
            <FormRow>
                <TextField
                    label="Weight"
                    value=weight
                    kind="number"
                    min="0"
                    max="1000000"
                    hint="Its share of the calls; 0 is used when no other can be."
                    error=field_error(failure, "weight")
                    required=true
                />
                <TextField
                    label="Calls at once"
                    value=most
                    kind="number"
                    min="1"
                    hint="In each gateway; unlimited unless told."
                    error=field_error(failure, "max_concurrent")
                />
            </FormRow>
            <CheckField label="Enabled" value=enabled />
            <FormButtons action=if is_new { "Add credential" } else { "Save" } busy cancel=asked.editing />
        </Form>
    }
}

/// What a form says of a credential.
struct Told {
    label: String,
    secret: Option<String>,
    weight: u32,
    most: Option<u32>,
    enabled: bool,
}

impl Told {
    /// Adds it, or changes the one of this id.
    async fn keep(self, client: &Client, provider: Uuid, id: Option<Uuid>) -> Result<(), Failure> {
        let Self { label, secret, weight, most, enabled } = self;
        match id {
            None => {
                let secret = secret.unwrap_or_default();
                let create = CreateCredential { label, secret, weight, max_concurrent: most, enabled };
                providers::create_credential(client, provider, &create).await.map(drop)
            }
            Some(id) => {
                // No limit is said by 0.
                let change = UpdateCredential {
                    label: Some(label),
                    secret,
                    weight: Some(weight),
                    max_concurrent: Some(most.unwrap_or(0)),
                    enabled: Some(enabled),
                };
                providers::update_credential(client, provider, id, &change, None).await.map(drop)
            }
        }
    }
}
