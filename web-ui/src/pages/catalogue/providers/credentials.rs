//! The credentials of a provider. What they are is told to nobody, once they are given.

use admin_types::providers::{CreateCredential, Credential, ListCredentials, UpdateCredential};
use leptos::prelude::*;
use uuid::Uuid;

use super::health::Enabled;
use crate::api::{Client, Failure, if_unchanged, providers, submit, submit_form, use_client};
use crate::components::{
    AreaField, Button, Card, CheckField, Column, DataTable, Dialog, Empty, Form, FormButtons, FormRow, IconName,
    LoadedLive, Menu, MenuItem, TextField, field_error, number, required_number, use_toasts,
};
use crate::format;
use crate::pages::ask_first::AskFirst;
use crate::pages::stale::Stale;
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
        let query = ListCredentials { limit: Some(500), ..ListCredentials::default() };
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
        let (row, provider, id) = (row.clone(), row.provider_id, row.id);
        let call = async move {
            let change = UpdateCredential { enabled: Some(!row.enabled), ..UpdateCredential::default() };
            let found = providers::get_credential(&client, provider, id);
            let turn = async |version: Option<&str>| {
                providers::update_credential(&client, provider, id, &change, version).await
            };
            if_unchanged(&row, found, turn).await
        };
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
    let client = use_client();
    let remove = move || {
        let shown = asked.which.get_untracked()?;
        let id = shown.id;
        let found = async move { providers::get_credential(&client, provider, id).await };
        let delete =
            async move |version: Option<&str>| providers::delete_credential(&client, provider, id, version).await;
        Some(async move { if_unchanged(&shown, found, delete).await })
    };
    view! {
        <AskFirst
            open=asked.removing
            title="Remove this credential?"
            text="Calls use the others from then on, and fail where there is none. It cannot be brought back."
            action="Remove credential"
            danger=true
            call=remove
            done="Credential removed"
            on_done=refetch
            on_stale=refetch
        />
    }
}

#[component]
fn CredentialForm(provider: Uuid, asked: Asked, refetch: Callback<()>) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let shown = asked.which.get_untracked();
    let is_new = shown.is_none();
    let fields = Fields::new();
    if let Some(shown) = &shown {
        fields.show(shown);
    }
    let Fields { label, secret, weight, most, enabled, failure } = fields;
    let base = StoredValue::new(shown);
    let busy = RwSignal::new(false);
    let send = move || {
        failure.set(None);
        let told = match fields.told() {
            Ok(told) => told,
            Err(why) => return failure.set(Some(why)),
        };
        let before = base.get_value();
        submit_form(busy, failure, async move { told.keep(&client, provider, before).await }, move |()| {
            toasts.done(if is_new { "Credential added" } else { "Credential changed" });
            asked.editing.try_set(false);
            refetch.try_run(());
        });
    };
    let reload = move || {
        let Some(id) = base.with_value(|base| base.as_ref().map(|base| base.id)) else { return };
        submit_form(busy, failure, async move { providers::get_credential(&client, provider, id).await }, move |now| {
            fields.show(&now);
            base.try_set_value(Some(now.value));
            refetch.try_run(());
        });
    };
    let hint = if is_new {
        "An API key, or the JSON of a service account. It is kept encrypted and never shown again."
    } else {
        "Only to put another in its place. What is there is never shown."
    };
    view! {
        <Form on_submit=send failure>
            <Stale failure on_reload=reload busy />
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

/// What stands in the fields.
#[derive(Debug, Clone, Copy)]
struct Fields {
    label: RwSignal<String>,
    secret: RwSignal<String>,
    weight: RwSignal<String>,
    most: RwSignal<String>,
    enabled: RwSignal<bool>,
    failure: RwSignal<Option<Failure>>,
}

impl Fields {
    /// Of a new one.
    fn new() -> Self {
        let text = |text: &str| RwSignal::new(text.to_owned());
        Self {
            label: text(""),
            secret: text(""),
            weight: text("1"),
            most: text(""),
            enabled: RwSignal::new(true),
            failure: RwSignal::new(None),
        }
    }

    fn show(self, credential: &Credential) {
        self.label.set(credential.label.clone());
        self.secret.set(String::new());
        self.weight.set(credential.weight.to_string());
        self.most.set(credential.max_concurrent.map(|most| most.to_string()).unwrap_or_default());
        self.enabled.set(credential.enabled);
        self.failure.set(None);
    }

    fn told(self) -> Result<Told, Failure> {
        Ok(Told {
            label: self.label.get_untracked().trim().to_owned(),
            secret: given_untracked(self.secret),
            weight: required_number(self.weight, "weight")?,
            most: number(self.most, "max_concurrent")?,
            enabled: self.enabled.get_untracked(),
        })
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
    /// Adds it, or changes the one that was shown.
    async fn keep(self, client: &Client, provider: Uuid, before: Option<Credential>) -> Result<(), Failure> {
        let Self { label, secret, weight, most, enabled } = self;
        match before {
            None => {
                let secret = secret.unwrap_or_default();
                let create = CreateCredential { label, secret, weight, max_concurrent: most, enabled };
                providers::create_credential(client, provider, &create).await.map(drop)
            }
            Some(before) => {
                // No limit is said by 0.
                let change = UpdateCredential {
                    label: Some(label),
                    secret,
                    weight: Some(weight),
                    max_concurrent: Some(most.unwrap_or(0)),
                    enabled: Some(enabled),
                };
                let found = providers::get_credential(client, provider, before.id);
                let update = async |version: Option<&str>| {
                    providers::update_credential(client, provider, before.id, &change, version).await.map(drop)
                };
                if_unchanged(&before, found, update).await
            }
        }
    }
}
