//! A provider that is added, or changed.

use admin_types::providers::{CreateCredential, CreateProvider, Provider, UpdateProvider};
use leptos::prelude::*;

use crate::api::{Client, Failure, Versioned, providers, submit_form, use_client};
use crate::components::{
    AreaField, CheckField, Form, FormButtons, FormRow, FormSection, SelectField, TextField, field_error, use_toasts,
};
use crate::pages::catalogue::words::{Owners, kind, kind_choices};
use crate::pages::found::{Found, put};
use crate::pages::stale::Stale;
use crate::pages::way::Way;
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
        submit_form(
            busy,
            failure,
            async move { create_both(&client, &create, secret).await },
            move |(provider, refused)| {
                match refused {
                    None => toasts.done(format!("{} is added", provider.name)),
                    Some(why) => toasts.failed(&why),
                }
                open.try_set(false);
                go.to(&Page::Provider(provider.id));
            },
        );
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
            let options = owners.choices();
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
pub(super) fn EditForm(provider: Versioned<Provider>, open: RwSignal<bool>, found: Found<Provider>) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let id = provider.id;
    let is_platforms = provider.tenant_id.is_none();
    let [name, address, region] = [(); 3].map(|()| RwSignal::new(String::new()));
    let insecure = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let show = move |provider: &Provider| {
        name.set(provider.name.clone());
        address.set(provider.base_url.clone().unwrap_or_default());
        region.set(provider.region.clone().unwrap_or_default());
        insecure.set(provider.allow_insecure);
        failure.set(None);
    };
    show(&provider);
    let base = StoredValue::new(provider);
    let send = move || {
        failure.set(None);
        let Versioned { value: before, version } = base.get_value();
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
        let change = async move { providers::update_provider(&client, id, &change, version.as_deref()).await };
        submit_form(busy, failure, change, move |now| {
            toasts.done("Provider changed");
            open.try_set(false);
            put(found, now);
        });
    };
    let reload = move || {
        submit_form(busy, failure, async move { providers::get_provider(&client, id).await }, move |provider| {
            show(&provider);
            base.try_set_value(provider.clone());
            put(found, provider);
        });
    };
    view! {
        <Form on_submit=send failure>
            <Stale failure on_reload=reload busy />
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
