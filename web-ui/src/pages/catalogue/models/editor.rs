//! Makes a model, or changes one.

use admin_types::models::{CreateModel, Model, ReplaceModel};
use admin_types::providers::{ListProviders, ProviderSort};
use domain::routing::{Strategies, Strategy};
use leptos::prelude::*;
use uuid::Uuid;

use super::draft::Draft;
use super::target::TargetFields;
use crate::api::{Client, Failure, Versioned, models, providers, submit_form, use_client};
use crate::components::{
    Button, ButtonKind, Card, CheckField, Choice, Form, FormActions, IconButton, IconName, LinkButton, SelectField,
    SortableList, Stack, TextField, field_error, use_toasts,
};
use crate::pages::catalogue::words::{Owners, strategy_words};
use crate::pages::stale::Stale;
use crate::route::meant;
use crate::session::use_session;

#[component]
pub(super) fn Editor(
    /// The one that is changed; none makes one.
    #[prop(optional_no_strip)]
    model: Option<Versioned<Model>>,
    /// It is kept, and this is how it is now.
    #[prop(into)]
    on_kept: Callback<Versioned<Model>>,
    /// Asks for it as it is now, where somebody else has changed it.
    #[prop(into)]
    on_reload: Callback<()>,
    #[prop(into)] cancel: String,
) -> impl IntoView {
    let (client, session, toasts) = (use_client(), use_session(), use_toasts());
    let draft = Draft::new(model.as_deref());
    let owner = RwSignal::new(session.tenant_untracked().map(|id| id.to_string()).unwrap_or_default());
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let strategy_error = RwSignal::new(None::<String>);
    let is_new = model.is_none();
    let known = model.map(|model| (model.id, model.version));
    let send = move || {
        failure.set(None);
        strategy_error.set(None);
        let strategies = match Strategies::new(draft.strategies.get_untracked()) {
            Ok(strategies) => strategies,
            Err(why) => return strategy_error.set(Some(why.to_string())),
        };
        let replace = match draft.model(strategies) {
            Ok(replace) => replace,
            Err(why) => return failure.set(Some(why)),
        };
        let (known, tenant_id) = (known.clone(), meant(&owner.get_untracked()));
        submit_form(busy, failure, async move { keep(&client, known, tenant_id, replace).await }, move |kept| {
            toasts.done(format!("{} is kept", kept.name));
            on_kept.try_run(kept);
        });
    };
    view! {
        <Form on_submit=send failure>
            <Stale failure on_reload />
            <Stack>
                <Card title="Name">
                    <div class="editor-fields">
                        <TextField
                            label="Name"
                            value=draft.name
                            mono=true
                            hint="What clients send as model."
                            error=field_error(failure, "name")
                            required=true
                            autofocus=true
                        />
                        {is_new.then(|| view! { <Owner owner failure /> })}
                    </div>
                </Card>
                <StrategyCard draft error=strategy_error />
                <TargetsCard draft failure />
                <HedgeCard draft failure />
            </Stack>
            <FormActions>
                <LinkButton href=cancel>"Cancel"</LinkButton>
                <Button kind=ButtonKind::Primary submit=true busy>
                    {if is_new { "Create model" } else { "Save" }}
                </Button>
            </FormActions>
        </Form>
    }
}

async fn keep(
    client: &Client,
    known: Option<(Uuid, Option<String>)>,
    tenant_id: Option<Uuid>,
    replace: ReplaceModel,
) -> Result<Versioned<Model>, Failure> {
    if let Some((id, version)) = known {
        return models::replace_model(client, id, &replace, version.as_deref()).await;
    }
    let ReplaceModel { name, strategy, targets, hedge } = replace;
    models::create_model(client, &CreateModel { name, tenant_id, strategy, targets, hedge }).await
}

#[component]
fn Owner(owner: RwSignal<String>, failure: RwSignal<Option<Failure>>) -> impl IntoView {
    let session = use_session();
    let owners = Owners::new();
    let options = owners.choices();
    move || {
        session.sees_all_tenants().then(|| {
            view! {
                <SelectField label="Whose it is" value=owner options error=field_error(failure, "tenant_id") required=true />
            }
        })
    }
}

#[component]
fn StrategyCard(draft: Draft, error: RwSignal<Option<String>>) -> impl IntoView {
    let chosen = draft.strategies;
    let added = RwSignal::new(String::new());
    Effect::new(move |_| {
        if let Ok(strategy) = added.get().parse::<Strategy>() {
            chosen.update(|chosen| chosen.push(strategy));
            added.set(String::new());
        }
    });
    let left = Signal::derive(move || {
        let left = Strategy::ALL.iter().filter(|one| chosen.with(|chosen| !chosen.contains(one)));
        left.map(|one| Choice::new(one.as_str(), strategy_words(*one).0)).collect::<Vec<_>>()
    });
    let row = move |strategy: Strategy| {
        let (name, text) = strategy_words(strategy);
        let remove = move || chosen.update(|chosen| chosen.retain(|one| *one != strategy));
        let alone = move || chosen.with(Vec::len) < 2;
        view! {
            <div class="strategy">
                <div>
                    <strong>{name}</strong>
                    <p class="hint">{text}</p>
                </div>
                <div hidden=alone>
                    <IconButton name=IconName::Close label=format!("Remove {name}") on_press=remove />
                </div>
            </div>
        }
    };
    view! {
        <Card title="Strategy" text="The first decides; what it leaves about equal, the next one does.">
            <SortableList
                label="Strategies"
                items=chosen
                key=|strategy: &Strategy| strategy.as_str().to_owned()
                name=|strategy: &Strategy| strategy_words(*strategy).0.to_owned()
                children=row
            />
            <p class="field-error" aria-live="polite">{move || error.get()}</p>
            <Show when=move || left.with(|left| !left.is_empty())>
                <div class="editor-add">
                    <SelectField label="Then by" value=added options=left placeholder="Choose" />
                </div>
            </Show>
        </Card>
    }
}

#[component]
fn TargetsCard(draft: Draft, failure: RwSignal<Option<Failure>>) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move {
        let query = ListProviders { sort: Some(ProviderSort::Name), limit: Some(500), ..ListProviders::default() };
        let page = providers::list_providers(&client, &query).await;
        page.map(|page| page.data.into_iter().map(|provider| provider.name).collect::<Vec<_>>()).unwrap_or_default()
    });
    let names = Signal::derive(move || found.get().unwrap_or_default());
    let by_priority = move || draft.goes_by(Strategy::Priority);
    view! {
        <Card title="Targets" text="What serves it. Targets that are equal by the strategy go in this order.">
            <SortableList
                label="Targets"
                items=draft.targets
                key=|target: &super::draft::TargetDraft| target.id.to_string()
                name=move |target: &super::draft::TargetDraft| draft.name_of(*target)
                children=move |target| view! { <TargetFields target draft failure providers=names /> }
            />
            <p class="field-error" aria-live="polite">
                {move || field_error(failure, "targets").get()}
            </p>
            <div class="row editor-add">
                <Button icon=IconName::Plus on_press=move || draft.add_target()>"Add target"</Button>
                <Show when=by_priority>
                    <Button on_press=move || draft.number_priorities()>"Set priorities by this order"</Button>
                </Show>
            </div>
        </Card>
    }
}

#[component]
fn HedgeCard(draft: Draft, failure: RwSignal<Option<Failure>>) -> impl IntoView {
    view! {
        <Card title="Hedging">
            <div class="editor-fields">
                <CheckField
                    label="Ask a second target when the first is slow to begin"
                    value=draft.hedged
                    hint="The first that speaks is heard; both may be billed."
                />
                <Show when=move || draft.hedged.get()>
                    <TextField
                        label="Patience while unmeasured (ms)"
                        value=draft.unmeasured_ms
                        kind="number"
                        min="10"
                        max="60000"
                        hint="How long the first has while too few of its times are known."
                        error=field_error(failure, "hedge.unmeasured_ms")
                        required=true
                    />
                </Show>
            </div>
        </Card>
    }
}
