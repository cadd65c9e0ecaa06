//! What is done to tenants: made, changed, suspended.

use admin_types::tenants::{CreateTenant, SuspendTenant, Tenant, UpdateTenant, WhenAway};
use leptos::prelude::*;
use uuid::Uuid;

use crate::api::{Failure, Versioned, submit_form, tenants, use_client};
use crate::components::{CheckField, Choice, Form, FormButtons, SelectField, TextField, field_error, use_toasts};
use crate::pages::found::{Found, put};
use crate::pages::stale::Stale;
use crate::pages::way::Way;
use crate::route::{Page, meant};

/// What stands in the fields.
#[derive(Debug, Clone, Copy)]
struct Fields {
    name: RwSignal<String>,
    refuse_unpriced: RwSignal<bool>,
    when_away: RwSignal<String>,
    failure: RwSignal<Option<Failure>>,
}

impl Fields {
    fn new() -> Self {
        Self {
            name: RwSignal::new(String::new()),
            refuse_unpriced: RwSignal::new(false),
            when_away: RwSignal::new(String::new()),
            failure: RwSignal::new(None),
        }
    }

    fn show(self, tenant: &Tenant) {
        self.name.set(tenant.name.clone());
        self.refuse_unpriced.set(tenant.refuse_unpriced);
        self.when_away.set(tenant.when_away.map(|when| when.as_str().to_owned()).unwrap_or_default());
        self.failure.set(None);
    }

    fn trimmed_name(self) -> String {
        self.name.get_untracked().trim().to_owned()
    }

    fn chosen_when_away(self) -> Option<WhenAway> {
        meant(&self.when_away.get_untracked())
    }
}

#[component]
fn Inputs(fields: Fields) -> impl IntoView {
    view! {
        <TextField
            label="Name"
            value=fields.name
            hint="Letters, digits, - _ and . such as acme or acme-eu."
            error=field_error(fields.failure, "name")
            required=true
            autofocus=true
        />
        <CheckField
            label="Refuse what has no price"
            value=fields.refuse_unpriced
            hint="For every key of the tenant. Otherwise models without a price are served and recorded as unpriced."
        />
        <SelectField
            label="While gateways cannot count together"
            value=fields.when_away
            options=away_choices()
            placeholder="As the gateways are configured"
            hint="What holds for its keys with limits while the gateways' Redis is away."
            error=field_error(fields.failure, "when_away")
        />
    }
}

/// A new tenant.
#[component]
pub(super) fn Create(open: RwSignal<bool>, #[prop(into)] on_created: Callback<()>) -> impl IntoView {
    let (client, toasts, way) = (use_client(), use_toasts(), Way::new());
    let fields = Fields::new();
    let busy = RwSignal::new(false);
    let send = move || {
        fields.failure.set(None);
        let create = CreateTenant {
            name: fields.trimmed_name(),
            refuse_unpriced: fields.refuse_unpriced.get_untracked(),
            when_away: fields.chosen_when_away(),
        };
        submit_form(busy, fields.failure, async move { tenants::create_tenant(&client, &create).await }, move |made| {
            // The page is left, and its dialog with it.
            toasts.done("Tenant created");
            on_created.try_run(());
            way.to(&Page::Tenant(made.id));
        });
    };
    view! {
        <Form on_submit=send failure=fields.failure>
            <Inputs fields />
            <FormButtons action="Create tenant" busy cancel=open />
        </Form>
    }
}

/// Another name, other rules.
#[component]
pub(super) fn Edit(tenant: Versioned<Tenant>, open: RwSignal<bool>, found: Found<Tenant>) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let id = tenant.id;
    let fields = Fields::new();
    fields.show(&tenant);
    let base = StoredValue::new(tenant);
    let busy = RwSignal::new(false);
    let send = move || {
        fields.failure.set(None);
        let (change, version) = base.with_value(|base| (change(fields, base), base.version.clone()));
        submit_form(
            busy,
            fields.failure,
            async move { tenants::update_tenant(&client, id, &change, version.as_deref()).await },
            move |now| {
                open.try_set(false);
                toasts.done("Tenant changed");
                put(found, now);
            },
        );
    };
    let reload = move || {
        submit_form(busy, fields.failure, async move { tenants::get_tenant(&client, id).await }, move |tenant| {
            fields.show(&tenant);
            base.try_set_value(tenant.clone());
            put(found, tenant);
        });
    };
    view! {
        <Form on_submit=send failure=fields.failure>
            <Stale failure=fields.failure on_reload=reload busy />
            <Inputs fields />
            <FormButtons action="Save changes" busy cancel=open />
        </Form>
    }
}

fn change(fields: Fields, base: &Tenant) -> UpdateTenant {
    let name = fields.trimmed_name();
    let refuse_unpriced = fields.refuse_unpriced.get_untracked();
    let when_away = fields.chosen_when_away();
    UpdateTenant {
        name: (name != base.name).then_some(name),
        refuse_unpriced: (refuse_unpriced != base.refuse_unpriced).then_some(refuse_unpriced),
        when_away: (when_away != base.when_away).then_some(when_away),
    }
}

/// Nobody of it is served from then on.
#[component]
pub(super) fn Suspend(id: Uuid, open: RwSignal<bool>, found: Found<Tenant>) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let reason = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let send = move || {
        failure.set(None);
        let why = SuspendTenant { reason: reason.get_untracked().trim().to_owned() };
        submit_form(busy, failure, async move { tenants::suspend_tenant(&client, id, &why).await }, move |now| {
            open.try_set(false);
            toasts.done("Tenant suspended");
            put(found, now);
        });
    };
    view! {
        <Form on_submit=send failure>
            <p class="dialog-text">
                "Its keys are refused and its sessions ended on every gateway at once, and its people cannot sign in. Nothing is deleted: resuming brings all of it back."
            </p>
            <TextField
                label="Reason"
                value=reason
                hint="Shown here and in the audit log, such as: unpaid invoices."
                error=field_error(failure, "reason")
                required=true
                autofocus=true
            />
            <FormButtons action="Suspend tenant" busy cancel=open danger=true />
        </Form>
    }
}

fn away_choices() -> Vec<Choice> {
    [WhenAway::LocalShare, WhenAway::Open, WhenAway::Closed]
        .map(|when| Choice::new(when.as_str(), away_words(when)))
        .into()
}

/// What holds then, for people.
pub(super) const fn away_words(when: WhenAway) -> &'static str {
    match when {
        WhenAway::LocalShare => "Each gateway gives its part of each limit",
        WhenAway::Open => "Nothing is limited; what is spent counts later",
        WhenAway::Closed => "Nothing with a limit is served",
    }
}
