//! One model: what serves it, its editor, and a call to it that nobody makes.

use admin_types::models::{Model, ModelTarget};
use leptos::prelude::*;
use uuid::Uuid;

use super::draft::options_text;
use super::editor::Editor;
use super::simulate::Simulator;
use crate::api::{Versioned, models, submit, use_client};
use crate::components::{
    Button, ButtonKind, Card, Column, DataTable, Detail, Details, IconName, LoadedLive, Notice, PageHead, Stack,
    use_toasts,
};
use crate::format;
use crate::pages::ask_first::AskFirst;
use crate::pages::catalogue::words::{Origin, Owners, is_declared, strategies_text};
use crate::pages::found::{Found, put};
use crate::pages::way::Way;
use crate::route::{Page, query_flag};
use crate::session::{Permission, use_session};

fn back() -> (String, String) {
    (Page::Models.path().into_owned(), "Models".to_owned())
}

/// The page that makes one.
#[component]
pub(in crate::pages) fn NewModel() -> impl IntoView {
    let way = Way::new();
    let kept = Callback::new(move |made: Versioned<Model>| way.to(&Page::Model(made.id)));
    view! {
        <PageHead title="New model" back=back() />
        <Editor on_kept=kept on_reload=|()| () cancel=Page::Models.path() />
    }
}

/// The page of one.
#[component]
pub(in crate::pages) fn ModelPage(id: Uuid) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move { models::get_model(&client, id).await });
    let editing = query_flag("edit");
    view! { <LoadedLive resource=found rows=8 children=move |model| view! { <Whole id model found editing /> } /> }
}

#[component]
fn Whole(id: Uuid, model: Signal<Versioned<Model>>, found: Found<Model>, editing: RwSignal<bool>) -> impl IntoView {
    let session = use_session();
    let declared = Memo::new(move |_| model.with(|model| is_declared(&model.managed_by)));
    let owner = Memo::new(move |_| model.with(|model| model.tenant_id));
    let may = Memo::new(move |_| !declared.get() && session.can_change(Permission::ManageModels, owner.get()));
    let title = Signal::derive(move || model.with(|model| model.name.clone()));
    let actions = move || {
        (may.get() && !editing.get()).then(|| {
            view! {
                <Button icon=IconName::Edit on_press=move || editing.set(true)>"Edit"</Button>
                <Delete id model found />
            }
        })
    };
    let content = move || {
        if may.get() && editing.get() {
            view! { <Edited id model found editing /> }.into_any()
        } else {
            view! { <Shown id model declared owner /> }.into_any()
        }
    };
    view! {
        <PageHead title back=back()>
            {actions}
        </PageHead>
        {content}
    }
}

/// Its editor begins with what is there. What comes later is not put over what is typed, unless that is asked for.
#[component]
fn Edited(id: Uuid, model: Signal<Versioned<Model>>, found: Found<Model>, editing: RwSignal<bool>) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let base = RwSignal::new(model.get_untracked());
    let busy = RwSignal::new(false);
    let kept = Callback::new(move |now| {
        put(found, now);
        editing.try_set(false);
    });
    let reload = Callback::new(move |()| {
        submit(busy, async move { models::get_model(&client, id).await }, move |done| match done {
            Ok(now) => {
                put(found, now.clone());
                base.try_set(now);
            }
            Err(failure) => toasts.failed(&failure),
        });
    });
    let cancel = Page::Model(id).path();
    move || view! { <Editor model=Some(base.get()) on_kept=kept on_reload=reload cancel=cancel.clone() /> }
}

#[component]
fn Shown(id: Uuid, model: Signal<Versioned<Model>>, declared: Memo<bool>, owner: Memo<Option<Uuid>>) -> impl IntoView {
    let owners = Owners::new();
    let about = move || {
        let model = model.get().value;
        let hedge = model.hedge.map_or_else(
            || "Off".to_owned(),
            |hedge| format!("On; {} while unmeasured", format::duration_ms(hedge.unmeasured_ms)),
        );
        view! {
            <Details>
                <Detail label="Strategy">{strategies_text(model.strategy.as_slice())}</Detail>
                <Detail label="Hedging">{hedge}</Detail>
                <Detail label="Whose">{move || owners.name(owner.get())}</Detail>
                <Detail label="Made">
                    {format::date_time(model.created_at)} " " <Origin managed_by=model.managed_by />
                </Detail>
                <Detail label="Changed">{format::date_time(model.updated_at)}</Detail>
            </Details>
        }
    };
    view! {
        <Stack>
            <Show when=move || declared.get()>
                <Notice title="Declared in the configuration">"It is changed there alone."</Notice>
            </Show>
            <Card title="About">{about}</Card>
            <Targets model />
            <Card title="Simulate" text="Which target would serve a call now, and why. Nobody is called.">
                <Simulator id />
            </Card>
        </Stack>
    }
}

#[component]
fn Targets(model: Signal<Versioned<Model>>) -> impl IntoView {
    let rows =
        Signal::derive(move || model.with(|model| model.targets.iter().cloned().enumerate().collect::<Vec<_>>()));
    let columns = vec![
        Column::new(
            "Target",
            |(_, row): &(usize, ModelTarget)| view! { <code>{format!("{}/{}", row.provider, row.model)}</code> },
        ),
        Column::new("Priority", |(_, row): &(usize, ModelTarget)| format::count(row.priority)).end(),
        Column::new("Weight", |(_, row): &(usize, ModelTarget)| format::count(row.weight)).end(),
        Column::new("Quality", |(_, row): &(usize, ModelTarget)| {
            row.quality.map_or_else(|| "–".to_owned(), |quality| quality.to_string())
        })
        .end(),
        Column::new("Region", |(_, row): &(usize, ModelTarget)| {
            row.region.clone().unwrap_or_else(|| "Its provider's".to_owned())
        })
        .spare(),
        Column::new("Options", |(_, row): &(usize, ModelTarget)| options_text(&row.options).replace('\n', ", "))
            .spare(),
    ];
    view! {
        <Card title="Targets" flush=true>
            <DataTable label="Targets" columns rows key=|(place, _): &(usize, ModelTarget)| place.to_string() />
        </Card>
    }
}

#[component]
fn Delete(id: Uuid, model: Signal<Versioned<Model>>, found: Found<Model>) -> impl IntoView {
    let (client, way) = (use_client(), Way::new());
    let open = RwSignal::new(false);
    let text = Signal::derive(move || {
        model.with(|model| format!("Calls that ask for {} are refused from then on.", model.name))
    });
    let remove = move || {
        let version = model.with_untracked(|model| model.version.clone());
        Some(async move { models::delete_model(&client, id, version.as_deref()).await })
    };
    view! {
        <Button kind=ButtonKind::Danger icon=IconName::Trash on_press=move || open.set(true)>"Delete"</Button>
        <AskFirst
            open
            title="Delete this model?"
            text
            action="Delete model"
            danger=true
            call=remove
            done="Model deleted"
            on_done=move || way.to(&Page::Models)
            on_stale=move || found.refetch()
        />
    }
}
