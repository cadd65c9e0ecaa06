//! One provider: what it is, how it does, its credentials, and trying it out.

use admin_types::providers::{DeleteProvider, Provider, UpdateProvider};
use leptos::prelude::*;
use uuid::Uuid;

use super::credentials::Credentials;
use super::form::EditForm;
use super::health::{Enabled, TargetsCard, Watched, condition};
use super::trial::TrialCard;
use crate::api::{Failure, Versioned, providers, submit, use_client};
use crate::components::{
    Button, ButtonKind, Card, Confirm, Detail, Details, Dialog, Grid, IconName, Loaded, Notice, PageHead, Stack, Stat,
    Status, use_toasts,
};
use crate::format;
use crate::pages::catalogue::words::{Origin, Owners, is_declared, kind_name};
use crate::pages::way::Way;
use crate::route::Page;
use crate::session::{Permission, use_session};

/// The page.
#[component]
pub(in crate::pages) fn ProviderPage(id: Uuid) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move { providers::get_provider(&client, id).await });
    view! { <Loaded resource=found rows=8 children=move |provider| view! { <Whole provider found /> } /> }
}

type Found = LocalResource<Result<Versioned<Provider>, Failure>>;

#[component]
fn Whole(provider: Versioned<Provider>, found: Found) -> impl IntoView {
    let session = use_session();
    let owners = Owners::new();
    let watched = Watched::new(Some(provider.name.clone()));
    let (id, owner) = (provider.id, provider.tenant_id);
    let declared = is_declared(&provider.managed_by);
    let may = Memo::new(move |_| session.can_change(Permission::ManageProviders, owner));
    let title = provider.name.clone();
    let back = (Page::Providers.path().into_owned(), "Providers".to_owned());
    let versioned = provider.clone();
    let actions = move || (may.get() && !declared).then(|| view! { <Actions provider=versioned.clone() found /> });
    let credentials = move || may.get().then(|| view! { <Credentials provider=id declared /> });
    let tried = provider.value.clone();
    let trial = move || may.get().then(|| view! { <TrialCard provider=tried.clone() /> });
    view! {
        <PageHead title back>
            {actions}
        </PageHead>
        <Stack>
            {declared
                .then(|| {
                    view! {
                        <Notice title="Declared in the configuration">
                            "It is changed there alone. You can try it out here."
                        </Notice>
                    }
                })}
            <Day name=provider.name.clone() watched />
            <About provider=provider.value owners watched />
            {trial}
            {credentials}
            <TargetsCard provider=id watched />
        </Stack>
    }
}

#[component]
fn Day(name: String, watched: Watched) -> impl IntoView {
    let day = Memo::new(move |_| watched.day(&name).unwrap_or_default());
    let failed = move || match day.with(|day| (day.errors, day.requests)) {
        (_, 0) => "–".to_owned(),
        (errors, requests) => format::percent(errors as f64 / requests as f64),
    };
    let first_byte = move || day.with(|day| day.ttfb_ms.map_or_else(|| "–".to_owned(), format::duration_ms));
    view! {
        <Grid small=true>
            <Stat label="Calls in 24 h" value=Signal::derive(move || day.with(|day| format::count(day.requests))) />
            <Stat label="Failed" value=Signal::derive(failed) />
            <Stat
                label="Mean time to first byte"
                value=Signal::derive(first_byte)
                course=Signal::derive(move || day.with(|day| day.course.clone()))
            />
        </Grid>
    }
}

#[component]
fn About(provider: Provider, owners: Owners, watched: Watched) -> impl IntoView {
    let owner = provider.tenant_id;
    let (id, enabled) = (provider.id, provider.enabled);
    let state = {
        let provider = provider.clone();
        move || {
            let (tone, word) = condition(&provider, &watched.targets(id));
            view! { <Status tone>{word}</Status> }
        }
    };
    let address = provider.base_url.unwrap_or_else(|| "The platform's".to_owned());
    view! {
        <Card title="About">
            <Details>
                <Detail label="Kind">{kind_name(&provider.kind)}</Detail>
                <Detail label="Address">{address}</Detail>
                <Detail label="Region">{provider.region.unwrap_or_else(|| "Not told".to_owned())}</Detail>
                <Detail label="Use">
                    <Enabled enabled />
                </Detail>
                <Detail label="Health">{state}</Detail>
                <Detail label="Whose">{move || owners.name(owner)}</Detail>
                {provider.allow_insecure.then(|| view! { <Detail label="Network">"May be private and without TLS"</Detail> })}
                <Detail label="Added">
                    {format::date_time(provider.created_at)} " " <Origin managed_by=provider.managed_by />
                </Detail>
            </Details>
        </Card>
    }
}

#[component]
fn Actions(provider: Versioned<Provider>, found: Found) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let enabled = provider.enabled;
    let editing = RwSignal::new(false);
    let disabling = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let (id, version) = (provider.id, provider.version.clone());
    let turn = move || {
        let (change, version) =
            (UpdateProvider { enabled: Some(!enabled), ..UpdateProvider::default() }, version.clone());
        let change = async move { providers::update_provider(&client, id, &change, version.as_deref()).await };
        submit(busy, change, move |done| {
            disabling.try_set(false);
            match done {
                Ok(_) => toasts.done(if enabled { "Provider disabled" } else { "Provider enabled" }),
                Err(failure) => toasts.failed(&failure),
            }
            found.refetch();
        });
    };
    let turn = Callback::new(move |()| turn());
    let toggle = move || if enabled { disabling.set(true) } else { turn.run(()) };
    let own = provider.clone();
    view! {
        <Button icon=IconName::Edit on_press=move || editing.set(true)>"Edit"</Button>
        <Button busy on_press=toggle>{if enabled { "Disable" } else { "Enable" }}</Button>
        <Delete provider=provider.clone() found />
        <Dialog open=editing title="Edit provider">
            <EditForm provider=own.clone() open=editing on_changed=Callback::new(move |()| found.refetch()) />
        </Dialog>
        <Confirm
            open=disabling
            title="Disable this provider?"
            text="Calls go to the other targets of their models from then on, and fail where there is none."
            action="Disable"
            danger=true
            on_confirm=turn
            busy
        />
    }
}

#[component]
fn Delete(provider: Versioned<Provider>, found: Found) -> impl IntoView {
    let (client, toasts, go) = (use_client(), use_toasts(), Way::new());
    let asking = RwSignal::new(false);
    let insisting = RwSignal::new(false);
    let named_by = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let remove = move |force| {
        let (id, version) = (provider.id, provider.version.clone());
        let options = DeleteProvider { force };
        let call = async move { providers::delete_provider(&client, id, &options, version.as_deref()).await };
        submit(busy, call, move |done| {
            asking.try_set(false);
            insisting.try_set(false);
            match done {
                Ok(()) => {
                    toasts.done("Provider deleted");
                    go.to(&Page::Providers);
                }
                Err(failure) if failure.code() == Some("named_by_routes") => {
                    named_by.try_set(models_of(&failure));
                    insisting.try_set(true);
                }
                Err(failure) => {
                    toasts.failed(&failure);
                    found.refetch();
                }
            }
        });
    };
    let remove = Callback::new(remove);
    view! {
        <Button kind=ButtonKind::Danger icon=IconName::Trash on_press=move || asking.set(true)>"Delete"</Button>
        <Confirm
            open=asking
            title="Delete this provider?"
            text="Its credentials are deleted with it. What was used there stays in the usage."
            action="Delete provider"
            danger=true
            on_confirm=move |()| remove.run(false)
            busy
        />
        <Confirm
            open=insisting
            title="Models have targets there"
            text=named_by
            action="Delete it all the same"
            danger=true
            on_confirm=move |()| remove.run(true)
            busy
        />
    }
}

/// What a refusal says of the models, without what a program would send to insist.
fn models_of(failure: &Failure) -> String {
    let detail = failure.detail();
    let models = detail.split_once(" `force").map_or(detail.as_str(), |(models, _)| models);
    format!("{models} Those targets are skipped from then on.")
}
