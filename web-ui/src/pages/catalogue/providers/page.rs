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
    Button, ButtonKind, Card, Confirm, Detail, Details, Dialog, Grid, IconName, LoadedLive, Notice, PageHead, Stack,
    Stat, Status, use_toasts,
};
use crate::format;
use crate::pages::catalogue::words::{Origin, Owners, is_declared, kind_name};
use crate::pages::found::{Found, put};
use crate::pages::way::Way;
use crate::route::Page;
use crate::session::{Permission, use_session};

/// The page.
#[component]
pub(in crate::pages) fn ProviderPage(id: Uuid) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move { providers::get_provider(&client, id).await });
    view! { <LoadedLive resource=found rows=8 children=move |provider| view! { <Whole id provider found /> } /> }
}

#[component]
fn Whole(id: Uuid, provider: Signal<Versioned<Provider>>, found: Found<Provider>) -> impl IntoView {
    let session = use_session();
    let owners = Owners::new();
    let name = Memo::new(move |_| provider.with(|provider| provider.name.clone()));
    let watched = Watched::new(move || Some(name.get()));
    let owner = Memo::new(move |_| provider.with(|provider| provider.tenant_id));
    let declared = Memo::new(move |_| provider.with(|provider| is_declared(&provider.managed_by)));
    let may = Memo::new(move |_| session.can_change(Permission::ManageProviders, owner.get()));
    let back = (Page::Providers.path().into_owned(), "Providers".to_owned());
    let actions = move || (may.get() && !declared.get()).then(|| view! { <Actions id provider found /> });
    let credentials = move || may.get().then(|| view! { <Credentials provider=id declared=declared.get() /> });
    let trial = move || may.get().then(|| view! { <TrialCard id /> });
    view! {
        <PageHead title=name back>
            {actions}
        </PageHead>
        <Stack>
            <Show when=move || declared.get()>
                <Notice title="Declared in the configuration">
                    "It is changed there alone. You can try it out here."
                </Notice>
            </Show>
            <Day name watched />
            <About provider owners watched />
            {trial}
            {credentials}
            <TargetsCard provider=id watched />
        </Stack>
    }
}

#[component]
fn Day(name: Memo<String>, watched: Watched) -> impl IntoView {
    let day = Memo::new(move |_| watched.day(&name.get()).unwrap_or_default());
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
fn About(provider: Signal<Versioned<Provider>>, owners: Owners, watched: Watched) -> impl IntoView {
    let details = move || {
        let provider = provider.get().value;
        let (owner, enabled) = (provider.tenant_id, provider.enabled);
        let state = {
            let provider = provider.clone();
            move || {
                let (tone, word) = condition(&provider, &watched.targets(provider.id));
                view! { <Status tone>{word}</Status> }
            }
        };
        let address = provider.base_url.unwrap_or_else(|| "The platform's".to_owned());
        view! {
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
        }
    };
    view! { <Card title="About">{details}</Card> }
}

#[component]
fn Actions(id: Uuid, provider: Signal<Versioned<Provider>>, found: Found<Provider>) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let enabled = Memo::new(move |_| provider.with(|provider| provider.enabled));
    let editing = RwSignal::new(false);
    let disabling = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let turn = move |()| {
        let (on, version) = provider.with_untracked(|provider| (!provider.enabled, provider.version.clone()));
        let change = UpdateProvider { enabled: Some(on), ..UpdateProvider::default() };
        let change = async move { providers::update_provider(&client, id, &change, version.as_deref()).await };
        submit(busy, change, move |done| {
            disabling.try_set(false);
            match done {
                Ok(now) => {
                    put(found, now);
                    toasts.done(if on { "Provider enabled" } else { "Provider disabled" });
                }
                Err(failure) => {
                    toasts.failed(&failure);
                    found.refetch();
                }
            }
        });
    };
    let turn = Callback::new(turn);
    let toggle = move || if enabled.get_untracked() { disabling.set(true) } else { turn.run(()) };
    view! {
        <Button icon=IconName::Edit disabled=busy on_press=move || editing.set(true)>"Edit"</Button>
        <Button busy on_press=toggle>{move || if enabled.get() { "Disable" } else { "Enable" }}</Button>
        <Delete id provider found />
        <Dialog open=editing title="Edit provider">
            <EditForm provider=provider.get_untracked() open=editing found />
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
fn Delete(id: Uuid, provider: Signal<Versioned<Provider>>, found: Found<Provider>) -> impl IntoView {
    let (client, toasts, go) = (use_client(), use_toasts(), Way::new());
    let asking = RwSignal::new(false);
    let insisting = RwSignal::new(false);
    let named_by = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let remove = move |force| {
        let version = provider.with_untracked(|provider| provider.version.clone());
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
