//! A price that is added, follows another, or is corrected.

use admin_types::prices::{CreatePrice, Price, UpdatePrice};
use leptos::prelude::*;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Editing;
use crate::api::{Client, Failure, if_unchanged, prices, submit_form, use_client};
use crate::clock;
use crate::components::{
    Form, FormButtons, FormRow, Notice, SelectField, TextField, field_error, required_number, use_toasts,
};
use crate::format;
use crate::pages::catalogue::words::{
    Owners, all_kind_choices, kind_name, operation_choices, operation_name, unit_choices, unit_name,
};
use crate::pages::stale::Stale;
use crate::route::meant;
use crate::session::use_session;

/// What a form is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Task {
    /// A new price.
    #[default]
    Add,
    /// A price for something that was used without one.
    For {
        kind: String,
        model: String,
        operation: String,
        /// From its first use on.
        since: OffsetDateTime,
    },
    /// Another price for the same, which ends this one.
    Follow(Price),
    /// The same price, as long as it has decided nothing.
    Change(Price),
}

impl Task {
    const fn price(&self) -> Option<&Price> {
        match self {
            Self::Follow(price) | Self::Change(price) => Some(price),
            Self::Add | Self::For { .. } => None,
        }
    }
}

/// The fields of the form.
#[derive(Clone, Copy)]
struct Fields {
    kind: RwSignal<String>,
    model: RwSignal<String>,
    operation: RwSignal<String>,
    unit: RwSignal<String>,
    usd: RwSignal<String>,
    minimum_ms: RwSignal<String>,
    rounding_ms: RwSignal<String>,
    from: RwSignal<String>,
    source: RwSignal<String>,
    owner: RwSignal<String>,
}

impl Fields {
    fn new(task: &Task, tenant: Option<Uuid>) -> Self {
        let text = |told: &str| RwSignal::new(told.to_owned());
        let fresh = |kind: &str, model: &str, operation: &str, from| Self {
            kind: text(kind),
            model: text(model),
            operation: text(operation),
            unit: text(usual_unit(operation)),
            usd: text(""),
            minimum_ms: text("0"),
            rounding_ms: text("0"),
            from: text(&format::to_input(from)),
            source: text(""),
            owner: text(&tenant.map(|id| id.to_string()).unwrap_or_default()),
        };
        match task {
            Task::Add => fresh("openai", "", "speech", clock::now()),
            Task::For { kind, model, operation, since } => {
                fresh(kind, model, operation, *since - time::Duration::minutes(1))
            }
            Task::Follow(price) | Task::Change(price) => {
                let from = if matches!(task, Task::Change(_)) { price.effective_from } else { clock::now() };
                Self {
                    kind: text(&price.provider_kind),
                    model: text(&price.model),
                    operation: text(&price.operation),
                    unit: text(&price.unit),
                    usd: text(&price.price_usd),
                    minimum_ms: text(&price.minimum_ms.to_string()),
                    rounding_ms: text(&price.rounding_ms.to_string()),
                    from: text(&format::to_input(from)),
                    source: text(&price.source),
                    owner: text(&price.tenant_id.map(|id| id.to_string()).unwrap_or_default()),
                }
            }
        }
    }

    fn create(self, effective_from: OffsetDateTime) -> Result<CreatePrice, Failure> {
        let by_length = untrack(|| self.is_by_length());
        let length = |text, path| if by_length { required_number(text, path) } else { Ok(0) };
        Ok(CreatePrice {
            tenant_id: meant(&self.owner.get_untracked()),
            provider_kind: self.kind.get_untracked(),
            model: self.model.get_untracked().trim().to_owned(),
            operation: self.operation.get_untracked(),
            unit: self.unit.get_untracked(),
            price_usd: self.usd.get_untracked().trim().to_owned(),
            minimum_ms: length(self.minimum_ms, "minimum_ms")?,
            rounding_ms: length(self.rounding_ms, "rounding_ms")?,
            effective_from,
            source: self.source.get_untracked().trim().to_owned(),
            read_on: None,
        })
    }

    /// Only lengths of audio are rounded. Reactive.
    fn is_by_length(self) -> bool {
        self.unit.with(|unit| unit.starts_with("audio_"))
    }
}

/// What an operation is usually billed by.
fn usual_unit(operation: &str) -> &'static str {
    match operation {
        "speech" => "million_characters",
        "transcription" | "translation" => "audio_minute",
        "realtime" => "million_tokens_audio_in",
        _ => "million_tokens_text_in",
    }
}

async fn keep(client: &Client, task: &Task, price: CreatePrice) -> Result<(), Failure> {
    let Task::Change(before) = task else { return prices::create_price(client, &price).await.map(drop) };
    // What the form shows to the minute only is sent where it was changed.
    let same = format::to_input(before.effective_from) == format::to_input(price.effective_from);
    let change = UpdatePrice {
        price_usd: Some(price.price_usd),
        minimum_ms: Some(price.minimum_ms),
        rounding_ms: Some(price.rounding_ms),
        effective_from: (!same).then_some(price.effective_from),
        source: Some(price.source),
        read_on: None,
    };
    let found = prices::get_price(client, before.id);
    let update =
        async |version: Option<&str>| prices::update_price(client, before.id, &change, version).await.map(drop);
    if_unchanged(before, found, update).await
}

#[component]
pub(super) fn PriceForm(task: Task, editing: Editing, owners: Owners) -> impl IntoView {
    let (client, session, toasts) = (use_client(), use_session(), use_toasts());
    let fields = Fields::new(&task, session.tenant_untracked());
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let no_date = RwSignal::new(None::<String>);
    let intro = intro(&task);
    let fixed = task.price().cloned();
    let known = fixed.as_ref().map(|price| price.id);
    let (action, done_words) = match &task {
        Task::Add | Task::For { .. } => ("Add price", "Price added"),
        Task::Follow(_) => ("Set the new price", "New price set"),
        Task::Change(_) => ("Save", "Price corrected"),
    };
    let send = move || {
        failure.set(None);
        let from = format::from_input(&fields.from.get_untracked());
        no_date.set(from.is_none().then(|| "Choose a day and a time.".to_owned()));
        let Some(from) = from else { return };
        let (task, price) = match fields.create(from) {
            Ok(price) => (task.clone(), price),
            Err(why) => return failure.set(Some(why)),
        };
        submit_form(busy, failure, async move { keep(&client, &task, price).await }, move |()| {
            toasts.done(done_words);
            editing.open.try_set(false);
            editing.changed();
        });
    };
    let reload = move || {
        let Some(id) = known else { return };
        submit_form(busy, failure, async move { prices::get_price(&client, id).await }, move |price| {
            editing.task.try_set(Task::Change(price.value));
            editing.changed();
        });
    };
    let from_error = {
        let told = field_error(failure, "effective_from");
        Signal::derive(move || no_date.get().or_else(|| told.get()))
    };
    let for_what = match fixed {
        Some(price) => view! { <p>{what(&price)}</p> }.into_any(),
        None => view! { <ForWhat fields failure owners /> }.into_any(),
    };
    view! {
        <Form on_submit=send failure>
            <Stale failure on_reload=reload busy />
            {intro.map(|text| view! { <Notice>{text}</Notice> })} {for_what}
            <FormRow>
                <TextField
                    label="Price in US dollars"
                    value=fields.usd
                    hint="For one unit, such as 0.006."
                    error=field_error(failure, "price_usd")
                    required=true
                />
                <TextField label="From" value=fields.from kind="datetime-local" error=from_error required=true />
            </FormRow>
            <Rounding fields failure />
            <TextField
                label="Source"
                value=fields.source
                hint="Where it was read, such as the address of the price list or a contract."
                error=field_error(failure, "source")
                required=true
            />
            <FormButtons action busy cancel=editing.open />
        </Form>
    }
}

fn intro(task: &Task) -> Option<&'static str> {
    match task {
        Task::Add => None,
        Task::For { .. } => Some("It begins before the first use, so that what was used can be priced with it."),
        Task::Follow(_) => Some("The price as it is holds until then; what it has decided stays."),
        Task::Change(_) => Some("For mistakes alone: a price that has decided a cost is not changed any more."),
    }
}

fn what(price: &Price) -> String {
    let kind = kind_name(&price.provider_kind);
    format!(
        "{kind} {}, {}, per {}",
        price.model,
        operation_name(&price.operation).to_lowercase(),
        unit_name(&price.unit)
    )
}

#[component]
fn ForWhat(fields: Fields, failure: RwSignal<Option<Failure>>, owners: Owners) -> impl IntoView {
    let session = use_session();
    let options = owners.choices();
    let owner = move || {
        session.sees_all_tenants().then(|| {
            view! {
                <SelectField
                    label="Whose"
                    value=fields.owner
                    options
                    hint="A tenant's own price goes before the platform's."
                    error=field_error(failure, "tenant_id")
                    required=true
                />
            }
        })
    };
    view! {
        <FormRow>
            <SelectField
                label="Kind of provider"
                value=fields.kind
                options=all_kind_choices()
                error=field_error(failure, "provider_kind")
                required=true
            />
            <TextField label="Model" value=fields.model mono=true error=field_error(failure, "model") required=true />
        </FormRow>
        <FormRow>
            <SelectField
                label="Operation"
                value=fields.operation
                options=operation_choices()
                error=field_error(failure, "operation")
                required=true
            />
            <SelectField
                label="Unit"
                value=fields.unit
                options=unit_choices()
                error=field_error(failure, "unit")
                required=true
            />
        </FormRow>
        {owner}
    }
}

#[component]
fn Rounding(fields: Fields, failure: RwSignal<Option<Failure>>) -> impl IntoView {
    view! {
        <div hidden=move || !fields.is_by_length()>
            <FormRow>
                <TextField
                    label="Least per request (ms)"
                    value=fields.minimum_ms
                    kind="number"
                    min="0"
                    error=field_error(failure, "minimum_ms")
                    required=true
                />
                <TextField
                    label="In steps of (ms)"
                    value=fields.rounding_ms
                    kind="number"
                    min="0"
                    hint="0 bills what was measured."
                    error=field_error(failure, "rounding_ms")
                    required=true
                />
            </FormRow>
        </div>
    }
}
