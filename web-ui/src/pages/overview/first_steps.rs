//! What a new installation wants done first, each ticked off by what exists.

use admin_types::keys::ListKeys;
use admin_types::providers::ListProviders;
use admin_types::usage::ListUsage;
use leptos::prelude::*;

use super::Found;
use crate::api::{keys, providers, usage, use_client};
use crate::components::{Button, ButtonKind, Card, Icon, IconName, LinkButton};
use crate::route::Page;
use crate::session::{Permission, use_session};
use crate::tabs;

/// Where a browser remembers that its reader has seen enough of them.
const HIDDEN: &str = "antiphon.first-steps-hidden";

/// What exists; `None` where it could not be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Exists {
    key: bool,
    call: bool,
    provider: bool,
}

impl Exists {
    const fn is_all(self) -> bool {
        self.key && self.call && self.provider
    }
}

fn use_exists() -> LocalResource<Option<bool>> {
    let (client, session) = (use_client(), use_session());
    LocalResource::new(move || {
        let query = ListUsage { tenant_id: session.tenant(), limit: Some(1), ..ListUsage::default() };
        async move { usage::list_usage(&client, &query).await.ok().map(|page| !page.data.is_empty()) }
    })
}

/// Keys and providers; asked for side by side.
fn use_things() -> (LocalResource<Option<bool>>, LocalResource<Option<bool>>) {
    let (client, session) = (use_client(), use_session());
    let key = LocalResource::new(move || {
        let query = ListKeys { tenant_id: session.tenant(), limit: Some(1), ..ListKeys::default() };
        async move { keys::list_keys(&client, &query).await.ok().map(|page| !page.data.is_empty()) }
    });
    let provider = LocalResource::new(move || {
        let query = ListProviders { limit: Some(50), ..ListProviders::default() };
        async move {
            let found = providers::list_providers(&client, &query).await.ok()?;
            Some(found.data.iter().any(|provider| provider.kind != "local"))
        }
    });
    (key, provider)
}

/// The steps in the place of the chart, until something was called.
#[component]
pub(super) fn FirstSteps(is_quiet: Memo<Option<bool>>, children: ChildrenFn) -> impl IntoView {
    let call = use_exists();
    let (key, provider) = use_things();
    let is_new = Memo::new(move |_| is_quiet.get() == Some(true) && call.get().flatten() == Some(false));
    let exists = move || Exists {
        key: key.get().flatten().unwrap_or(false),
        call: false,
        provider: provider.get().flatten().unwrap_or(false),
    };
    move || {
        if is_new.get() {
            view! {
                <Card title="First steps" text="From nothing to a voice in a few minutes.">
                    {move || view! { <StepRows exists=exists() /> }}
                </Card>
            }
            .into_any()
        } else {
            children().into_any()
        }
    }
}

/// The steps that are left, at the end of the page, once something was called.
#[component]
pub(super) fn StepsLeft(now: Found) -> impl IntoView {
    let session = use_session();
    let hidden = RwSignal::new(tabs::remembered(HIDDEN).is_some());
    let has_calls = Memo::new(move |_| now.with(|found| matches!(found, Some(Ok(sums)) if sums.total.requests > 0)));
    let hide = move || {
        tabs::remember(HIDDEN, Some("1"));
        hidden.set(true);
    };
    let content = move || {
        let (key, provider) = use_things();
        move || {
            let exists = Exists { key: key.get().flatten()?, call: true, provider: provider.get().flatten()? };
            (!exists.is_all()).then(|| {
                view! {
                    <Card
                        title="First steps"
                        actions=move || view! { <Button kind=ButtonKind::Ghost on_press=hide>"Hide"</Button> }
                    >
                        <StepRows exists />
                    </Card>
                }
            })
        }
    };
    let is_shown = move || has_calls.get() && !hidden.get() && session.can(Permission::ManageKeys);
    view! { <Show when=is_shown>{content()}</Show> }
}

#[component]
fn StepRows(exists: Exists) -> impl IntoView {
    let session = use_session();
    view! {
        <ol class="first-steps">
            <StepRow
                done=exists.key
                title="Make a key"
                text="Programs sign in with it, and its limits and budget are yours to set."
                href="/keys?new=1"
                action="Make a key"
                may=session.can(Permission::ManageKeys)
            />
            <StepRow
                done=exists.call
                title="Try the playground"
                text="Hear a voice or transcribe a recording, right in this page."
                href=Page::Playground.path().into_owned()
                action="Open the playground"
                may=true
            />
            <StepRow
                done=exists.provider
                title="Add a provider"
                text="Speech on this machine works already; add an account of yours for more voices and models."
                href="/providers?new=1"
                action="Add a provider"
                may=session.can(Permission::ManageProviders)
            />
        </ol>
    }
}

#[component]
fn StepRow(
    done: bool,
    title: &'static str,
    text: &'static str,
    #[prop(into)] href: String,
    action: &'static str,
    /// Whether the reader may do it.
    may: bool,
) -> impl IntoView {
    let state = if done { "Done" } else { "To do" };
    view! {
        <li class="first-step" class:done=done>
            <span class="first-step-mark" aria-hidden="true">
                {done.then(|| view! { <Icon name=IconName::Check /> })}
            </span>
            <div>
                <h3>{title} <span class="visually-hidden">{format!(" ({state})")}</span></h3>
                <p>{text}</p>
            </div>
            {(!done && may).then(|| view! { <LinkButton href=href>{action}</LinkButton> })}
        </li>
    }
}
