//! The virtual key with which the playground calls: pasted, or made for a few hours. It is in memory alone.

use std::cell::RefCell;

use admin_types::keys::{Budget, BudgetWindow, CreateKey, KeyWithSecret};
use admin_types::tenants::ListTenants;
use leptos::prelude::*;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::api::data_plane::{Gateway, GatewayModel, KeySpend};
use crate::api::{Client, Failure, keys, submit, tenants, use_client};
use crate::clock;
use crate::components::{
    Badge, Button, ButtonKind, Card, Choice, Form, FormError, Icon, IconName, Loading, Notice, SelectField, TextField,
    Tone, use_toasts,
};
use crate::format;
use crate::session::{Permission, Session, use_session};

/// How long a key lives that was made here, and what it may spend.
const LIFE: Duration = Duration::hours(4);
const BUDGET_USD: &str = "1.00";
/// A key is in force everywhere within a second or so after it was made.
const TRIES: u32 = 40;
const PAUSE_MS: i32 = 200;

/// A key in use, and whose page it is.
#[derive(Clone, PartialEq)]
struct Held {
    user: Uuid,
    secret: String,
    /// Where it was made here.
    ends_at: Option<OffsetDateTime>,
}

thread_local! {
    // It outlives the page, so that one can look at another and come back, but no reload and no change of user.
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// The key in use and what it may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    session: Session,
    secret: RwSignal<Option<String>>,
    ends_at: RwSignal<Option<OffsetDateTime>>,
    models: RwSignal<Vec<GatewayModel>>,
    checking: RwSignal<bool>,
    failure: RwSignal<Option<Failure>>,
    /// Counts calls, after each of which there is less to spend.
    calls: RwSignal<u32>,
}

/// The access of this page; it takes up a key that was used before.
pub(super) fn provide_access() -> Access {
    let access = Access {
        session: use_session(),
        secret: RwSignal::new(None),
        ends_at: RwSignal::new(None),
        models: RwSignal::new(Vec::new()),
        checking: RwSignal::new(false),
        failure: RwSignal::new(None),
        calls: RwSignal::new(0),
    };
    // Where the gateways are is told a moment after the page's start.
    Effect::new(move |done: Option<bool>| {
        if done == Some(true) || access.base().is_none() {
            return done.unwrap_or(false);
        }
        let user = access.user();
        let held = HELD.with_borrow(|held| held.clone().filter(|held| Some(held.user) == user));
        if let Some(held) = held.filter(|held| held.ends_at.is_none_or(|at| at > clock::now())) {
            access.take(held.secret, held.ends_at, 1);
        }
        true
    });
    access
}

impl Access {
    /// A key is in use. Reactive.
    pub(super) fn is_ready(self) -> bool {
        self.secret.with(Option::is_some)
    }

    /// The gateway with the key. Reactive.
    pub(super) fn gateway(self) -> Option<Gateway> {
        let base = self.base()?;
        self.secret.with(|secret| secret.as_ref().map(|secret| Gateway::new(&base, secret)))
    }

    /// Models that the key may use. Reactive.
    pub(super) fn models(self) -> Vec<GatewayModel> {
        self.models.get()
    }

    /// The page has not been left.
    pub(super) fn is_there(self) -> bool {
        self.calls.try_get_untracked().is_some()
    }

    /// A call is over.
    pub(super) fn called(self) {
        self.calls.try_update(|calls| *calls = calls.wrapping_add(1));
    }

    fn base(self) -> Option<String> {
        self.session.instance().and_then(|instance| instance.gateway_url)
    }

    fn user(self) -> Option<Uuid> {
        untrack(|| self.session.me()).map(|me| me.user.id)
    }

    /// Uses a key if the gateway knows it.
    fn take(self, secret: String, ends_at: Option<OffsetDateTime>, tries: u32) {
        let (Some(base), Some(user)) = (untrack(|| self.base()), self.user()) else { return };
        let gateway = Gateway::new(&base, &secret);
        submit(self.checking, async move { models_once_known(&gateway, tries).await }, move |found| match found {
            Ok(models) => {
                HELD.set(Some(Held { user, secret: secret.clone(), ends_at }));
                self.models.try_set(models);
                self.ends_at.try_set(ends_at);
                self.secret.try_set(Some(secret));
            }
            Err(failure) => {
                self.failure.try_set(Some(failure));
            }
        });
    }

    fn forget(self) {
        HELD.set(None);
        self.secret.set(None);
        self.failure.set(None);
    }
}

async fn models_once_known(gateway: &Gateway, tries: u32) -> Result<Vec<GatewayModel>, Failure> {
    let mut left = tries;
    loop {
        left = left.saturating_sub(1);
        match gateway.models().await {
            Err(failure) if failure.status() == Some(401) && left > 0 => clock::sleep_ms(PAUSE_MS).await,
            done => return done,
        }
    }
}

/// The key in use, or the ways to one.
#[component]
pub(super) fn KeyCard(access: Access) -> impl IntoView {
    move || {
        if access.is_ready() {
            return view! { <InUse access /> }.into_any();
        }
        match access.session.instance() {
            None => view! { <Loading rows=2 /> }.into_any(),
            Some(instance) if instance.gateway_url.is_none() => no_gateway().into_any(),
            Some(_) => view! { <Ways access /> }.into_any(),
        }
    }
}

fn no_gateway() -> impl IntoView {
    view! {
        <Notice tone=Tone::Warn title="The address of the gateways is not known">
            "Set server.gateway.public_url in the configuration file, so that this page can call them."
        </Notice>
    }
}

#[component]
fn InUse(access: Access) -> impl IntoView {
    let spend = LocalResource::new(move || {
        access.calls.track();
        let gateway = access.gateway();
        async move {
            match gateway {
                Some(gateway) => gateway.spend().await.ok(),
                None => None,
            }
        }
    });
    // Redacted as everywhere: the last four letters.
    let shown = move || {
        access.secret.with(|secret| {
            let letters: Vec<char> = secret.iter().flat_map(|secret| secret.chars()).collect();
            let last: String = letters.iter().skip(letters.len().saturating_sub(4)).collect();
            format!("…{last}")
        })
    };
    let ends = move || access.ends_at.get().map(|at| format!("ends {}", format::until(at, clock::now())));
    let left = move || spend.get().flatten().as_ref().map(spend_text);
    view! {
        <section class="key-in-use" aria-label="Key in use">
            <Icon name=IconName::Key />
            <span>"Calls use the key " <code>{shown}</code></span>
            {move || ends().map(|ends| view! { <Badge>{ends}</Badge> })}
            <span class="muted">{left}</span>
            <Button kind=ButtonKind::Ghost on_press=move || access.forget()>
                "Use another key"
            </Button>
        </section>
    }
}

fn spend_text(spend: &KeySpend) -> String {
    match &spend.budget {
        Some(budget) => {
            format!("{} of {} left", format::usd_text(&budget.remaining_usd), format::usd_text(&budget.usd))
        }
        None => format!("{} spent", format::usd_text(&spend.spent_usd)),
    }
}

/// Making a key for a few hours, and pasting one.
#[component]
fn Ways(access: Access) -> impl IntoView {
    let may_make = access.session.can_untracked(Permission::ManageKeys);
    let pasted = RwSignal::new(String::new());
    let send = move || {
        access.failure.set(None);
        let secret = pasted.with_untracked(|text| text.trim().to_owned());
        if !secret.is_empty() {
            access.take(secret, None, 1);
        }
    };
    view! {
        <Card
            title="A key to call with"
            text="What you try here goes through the gateway as an app's calls do, and is billed to a virtual key. The key stays in this page's memory."
        >
            <FormError failure=access.failure />
            <div class="key-ways" class:two=may_make>
                {may_make.then(|| view! { <MakeKey access /> })}
                <Form on_submit=send>
                    <TextField
                        label="Virtual key"
                        value=pasted
                        kind="password"
                        required=true
                        placeholder="sk-ap-…"
                        hint="Paste one that you have. It is sent to the gateway alone."
                    />
                    <div class="form-actions">
                        <Button submit=true busy=access.checking disabled=Signal::derive(move || pasted.with(|text| text.trim().is_empty()))>
                            "Use this key"
                        </Button>
                    </div>
                </Form>
            </div>
        </Card>
    }
}

/// One press, for those who may make keys; whoever sees all tenants says whose it is.
#[component]
fn MakeKey(access: Access) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let chosen = access.session.tenant_untracked();
    let must_choose = untrack(|| access.session.sees_all_tenants()) && chosen.is_none();
    let tenant = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let choices =
        LocalResource::new(move || async move { if must_choose { tenant_choices(&client).await } else { Vec::new() } });
    let options = Signal::derive(move || choices.get().unwrap_or_default());
    let make = move || {
        access.failure.set(None);
        let create = CreateKey {
            tenant_id: chosen.or_else(|| tenant.get_untracked().parse().ok()),
            name: "playground".to_owned(),
            budget: Some(Budget { usd: BUDGET_USD.to_owned(), window: BudgetWindow::Total }),
            // Whole seconds are enough.
            expires_at: (clock::now() + LIFE).replace_nanosecond(0).ok(),
            ..CreateKey::default()
        };
        submit(busy, async move { keys::create_key(&client, &create).await }, move |made: Result<KeyWithSecret, _>| {
            match made {
                Ok(made) => {
                    toasts.done("Key “playground” created");
                    access.take(made.secret, made.key.expires_at, TRIES);
                }
                Err(failure) => {
                    access.failure.try_set(Some(failure));
                }
            }
        });
    };
    let is_busy = Signal::derive(move || busy.get() || access.checking.get());
    let is_missing = Signal::derive(move || must_choose && tenant.with(String::is_empty));
    view! {
        <Form on_submit=make>
            {must_choose.then(|| view! { <SelectField label="Tenant" value=tenant options required=true hint="Whose key it is." /> })}
            <p class="muted">
                {format!("A key named “playground” that ends after {} hours and may spend ${BUDGET_USD}.", LIFE.whole_hours())}
            </p>
            <div class="form-actions">
                <Button kind=ButtonKind::Primary submit=true icon=IconName::Bolt busy=is_busy disabled=is_missing>
                    "Make a temporary key"
                </Button>
            </div>
        </Form>
    }
}

async fn tenant_choices(client: &Client) -> Vec<Choice> {
    let query = ListTenants { suspended: Some(false), limit: Some(500), ..ListTenants::default() };
    let found = tenants::list_tenants(client, &query).await.map(|page| page.data).unwrap_or_default();
    found.into_iter().map(|tenant| Choice::new(tenant.id.to_string(), tenant.name)).collect()
}
