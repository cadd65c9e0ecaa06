//! A provider that is added, or changed.

use admin_types::providers::{CreateCredential, CreateProvider, Provider, UpdateProvider};
use leptos::prelude::*;

use crate::api::{Client, Failure, Versioned, providers, submit, use_client};
use crate::components::{
    AreaField, Button, CheckField, Choice, Form, FormButtons, FormRow, FormSection, Notice, SelectField, TextField,
    Tone, field_error, use_toasts,
};
use crate::pages::catalogue::way::Way;
use crate::pages::catalogue::words::{Owners, kind, kind_choices};
use crate::route::{Page, given_untracked, meant};
use crate::session::use_session;

#[component]
pub(super) fn CreateForm(open: RwSignal<bool>, owners: Owners) -> impl IntoView {
    let (client, session, toasts, go) = (use_client(), use_session(), use_toasts(), Way::new());
    let [name, address, region, secret] = [(); 4].map(|()| RwSignal::new(String::new()));
    let chosen = RwSignal::new("openai".to_owned());
    let owner = RwSignal::new(session.tenant_untracked().map(|id| id.to_string()).unwrap_or_default());
    let insecure = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let send = move || {
        failure.set(None);
        let create = CreateProvider {
            name: given_untracked(name).unwrap_or_else(|| chosen.get_untracked()),
            kind: chosen.get_untracked(),
            tenant_id: meant(&owner.get_untracked()),
            base_url: given_untracked(address),
            region: given_untracked(region),
            allow_insecure: insecure.get_untracked() && owner.with_untracked(String::is_empty),
            enabled: true,
        };
        let secret = given_untracked(secret);
        submit(busy, async move { create_both(&client, &create, secret).await }, move |done| match done {
            Ok((provider, refused)) => {
                match refused {
                    None => toasts.done(format!("{} is added", provider.name)),
                    Some(why) => toasts.failed(&why),
                }
                open.try_set(false);
                go.to(&Page::Provider(provider.id));
            }
            Err(why) => {
                failure.try_set(Some(why));
            }
        });
    };
    let fields = move || {
        let known = kind(&chosen.get());
        let needs_address = known.is_some_and(|kind| kind.address.is_none());
        let credential = known.map(|kind| kind.credential).unwrap_or_default();
        let placeholder = known.and_then(|kind| kind.address).unwrap_or("https://").to_owned();
        let hint = match chosen.get().as_str() {
            "azure" => "The endpoint of the resource, such as https://mine.openai.azure.com.",
            "openai-compatible" => "Where the server is, down to its /v1.",
            _ => "The vendor's own unless told.",
        };
        view! {
            <TextField
                label="Address"
                value=address
                kind="url"
                placeholder
                hint
                error=field_error(failure, "base_url")
                required=needs_address
            />
            <AreaField
                label="Credential"
                value=secret
                rows=if chosen.get() == "google" { 4 } else { 1 }
                mono=true
                hint=format!("{credential} It is kept encrypted and never shown again.")
            />
        }
    };
    let platform = move || {
        session.sees_all_tenants().then(|| {
            let options = Signal::derive(move || {
                [vec![Choice::new("", "The platform, for every tenant")], owners.choices()].concat()
            });
            view! {
                <SelectField label="Whose it is" value=owner options error=field_error(failure, "tenant_id") required=true />
                <Show when=move || owner.with(String::is_empty)>
                    <CheckField
                        label="May be on a private network"
                        value=insecure
                        hint="Permits plain http and private addresses, for servers of your own."
                    />
                </Show>
            }
        })
    };
    view! {
        <Form on_submit=send failure>
            <FormRow>
                <SelectField label="Kind" value=chosen options=kind_choices() error=field_error(failure, "kind") required=true />
                <TextField
                    label="Name"
                    value=name
                    hint="Models and provider/model call it so. Its kind unless told."
                    error=field_error(failure, "name")
                    autofocus=true
                />
            </FormRow>
            {fields}
            <TextField
                label="Region"
                value=region
                hint="Where it runs, for geographic routing: eu, us-east-1."
                error=field_error(failure, "region")
            />
            {platform}
            <FormButtons action="Add provider" busy cancel=open />
        </Form>
    }
}

/// The provider, and why its credential was refused.
async fn create_both(
    client: &Client,
    create: &CreateProvider,
    secret: Option<String>,
) -> Result<(Provider, Option<Failure>), Failure> {
    let provider = providers::create_provider(client, create).await?;
    let Some(secret) = secret else { return Ok((provider, None)) };
    let credential =
        CreateCredential { label: "main".to_owned(), secret, weight: 1, max_concurrent: None, enabled: true };
    let refused = providers::create_credential(client, provider.id, &credential).await.err();
    Ok((provider, refused))
}

#[component]
pub(super) fn EditForm(
    provider: Versioned<Provider>,
    open: RwSignal<bool>,
    /// It is another now, or was changed by somebody else.
    on_changed: Callback<()>,
) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let Versioned { value: provider, version } = provider;
    let name = RwSignal::new(provider.name.clone());
    let address = RwSignal::new(provider.base_url.clone().unwrap_or_default());
    let region = RwSignal::new(provider.region.clone().unwrap_or_default());
    let insecure = RwSignal::new(provider.allow_insecure);
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let is_platforms = provider.tenant_id.is_none();
    let before = provider.clone();
    let send = move || {
        failure.set(None);
        let changed = |now: Option<String>, before: Option<&str>| now.filter(|now| Some(now.as_str()) != before);
        let change = UpdateProvider {
            name: changed(Some(name.get_untracked().trim().to_owned()), Some(&before.name)),
            base_url: changed(given_untracked(address), before.base_url.as_deref()),
            region: changed(
                Some(region.get_untracked().trim().to_owned()),
                Some(before.region.as_deref().unwrap_or_default()),
            ),
            allow_insecure: Some(insecure.get_untracked()).filter(|now| *now != before.allow_insecure),
            enabled: None,
        };
        let (id, version) = (before.id, version.clone());
        let change = async move { providers::update_provider(&client, id, &change, version.as_deref()).await };
        submit(busy, change, move |done| match done {
            Ok(_) => {
                toasts.done("Provider changed");
                open.try_set(false);
                on_changed.try_run(());
            }
            Err(why) => {
                failure.try_set(Some(why));
            }
        });
    };
    view! {
        <Form on_submit=send failure>
            <Stale failure open on_reload=on_changed />
            <TextField
                label="Name"
                value=name
                hint="Models that name it are not changed with it."
                error=field_error(failure, "name")
                required=true
            />
            <TextField
                label="Address"
                value=address
                kind="url"
                hint="With another server here its credentials must be given again."
                error=field_error(failure, "base_url")
                required=true
            />
            <TextField label="Region" value=region error=field_error(failure, "region") />
            {is_platforms
                .then(|| {
                    view! {
                        <FormSection title="Network">
                            <CheckField
                                label="May be on a private network"
                                value=insecure
                                hint="Permits plain http and private addresses."
                            />
                        </FormSection>
                    }
                })}
            <FormButtons action="Save" busy cancel=open />
        </Form>
    }
}

/// The way on where somebody else was first.
#[component]
pub(in crate::pages::catalogue) fn Stale(
    failure: RwSignal<Option<Failure>>,
    open: RwSignal<bool>,
    on_reload: Callback<()>,
) -> impl IntoView {
    let reload = move || {
        open.set(false);
        on_reload.run(());
    };
    move || {
        failure.with(|failure| failure.as_ref().is_some_and(Failure::is_stale)).then(|| {
            view! {
                <Notice tone=Tone::Warn title="Load it as it is now?">
                    <p>"What you typed here is lost then."</p>
                    <Button on_press=reload>"Load again"</Button>
                </Notice>
            }
        })
    }
}
