//! What the palette finds: pages, things to do, and objects by their names.

use admin_types::keys::ListKeys;
use admin_types::models::ListModels;
use admin_types::providers::ListProviders;
use admin_types::tenants::ListTenants;
use admin_types::users::ListUsers;
use leptos::prelude::*;
use uuid::Uuid;

use super::navigation::entries;
use super::theme::Theme;
use crate::api::wire::escaped;
use crate::api::{Client, keys, models, providers, tenants, use_client, users};
use crate::components::IconName;
use crate::route::Page;
use crate::session::{Permission, Session, use_session};

/// Objects of one kind.
const MOST: u16 = 5;

/// What is done with what was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    Path(String),
    Theme(Theme),
    Tenant(Option<Uuid>),
    SignOut,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hit {
    pub(super) group: &'static str,
    pub(super) label: String,
    pub(super) note: String,
    pub(super) icon: IconName,
    pub(super) target: Target,
}

fn hit(group: &'static str, icon: IconName, label: impl Into<String>, target: Target) -> Hit {
    Hit { group, label: label.into(), note: String::new(), icon, target }
}

fn path(page: &Page) -> Target {
    Target::Path(page.path().into_owned())
}

/// Pages and things to do that fit the text, and objects whose names contain `searched`.
pub(super) fn hits(text: RwSignal<String>, searched: Memo<String>) -> Memo<Vec<Hit>> {
    let session = use_session();
    let client = use_client();
    let objects = [
        found(searched, move |q| keys_named(client, session, q)),
        found(searched, move |q| models_named(client, session, q)),
        found(searched, move |q| providers_named(client, session, q)),
        found(searched, move |q| tenants_named(client, session, q)),
        found(searched, move |q| users_named(client, session, q)),
    ];
    Memo::new(move |_| {
        let words = text.with(|text| text.to_lowercase());
        let fits = |hit: &Hit| words.split_whitespace().all(|word| hit.label.to_lowercase().contains(word));
        let mut all: Vec<Hit> = pages(session).into_iter().chain(actions(session)).filter(fits).collect();
        if !words.trim().is_empty() {
            all.extend(objects.iter().flat_map(|kind| kind.get().unwrap_or_default()));
        }
        all
    })
}

fn pages(session: Session) -> Vec<Hit> {
    let mut all: Vec<Hit> = entries(session)
        .into_iter()
        .map(|entry| hit("Pages", entry.icon, entry.page.title(), path(&entry.page)))
        .collect();
    all.push(hit("Pages", IconName::User, "Your account", path(&Page::Account)));
    all
}

/// Each needs the right to do it. Lists open their form for something new at `?new=1`.
fn actions(session: Session) -> Vec<Hit> {
    let new = [
        ("Create key", "/keys?new=1", Permission::ManageKeys),
        ("Create model", "/models/new", Permission::ManageModels),
        ("Add provider", "/providers?new=1", Permission::ManageProviders),
        ("Add price", "/prices?new=1", Permission::ManagePrices),
        ("Invite user", "/users?new=1", Permission::ManageUsers),
        ("Create tenant", "/tenants?new=1", Permission::ManageTenants),
    ];
    let new = new.into_iter().filter(|(_, _, needs)| session.can(*needs));
    let mut all: Vec<Hit> =
        new.map(|(label, to, _)| hit("Actions", IconName::Plus, label, Target::Path(to.to_owned()))).collect();
    if session.sees_all_tenants() && session.tenant().is_some() {
        all.push(hit("Actions", IconName::Tenant, "Show all tenants", Target::Tenant(None)));
    }
    for theme in Theme::ALL {
        let label = match theme {
            Theme::System => "Theme: as the system",
            Theme::Light => "Theme: light",
            Theme::Dark => "Theme: dark",
        };
        all.push(hit("Actions", theme.icon(), label, Target::Theme(theme)));
    }
    all.push(hit("Actions", IconName::SignOut, "Sign out", Target::SignOut));
    all
}

/// Asks for objects whenever what is searched changes.
fn found<F>(searched: Memo<String>, ask: impl Fn(String) -> F + 'static) -> LocalResource<Vec<Hit>>
where
    F: Future<Output = Option<Vec<Hit>>> + 'static,
{
    LocalResource::new(move || {
        let q = searched.get();
        // `None` asks nobody: there is nothing to search, or nothing that one may see.
        let asked = (q.trim().chars().count() >= 2).then(|| ask(q.trim().to_owned()));
        async move {
            match asked {
                Some(asked) => asked.await.unwrap_or_default(),
                None => Vec::new(),
            }
        }
    })
}

async fn keys_named(client: Client, session: Session, q: String) -> Option<Vec<Hit>> {
    let tenant_id = session.tenant_untracked();
    let query = ListKeys { q: Some(q), tenant_id, limit: Some(MOST), ..ListKeys::default() };
    let page = keys::list_keys(&client, &query).await.ok()?;
    let hits = page.data.into_iter().map(|key| {
        let target = path(&Page::Key(key.id));
        Hit { note: key.redacted, ..hit("Keys", IconName::Key, key.name, target) }
    });
    Some(hits.collect())
}

async fn models_named(client: Client, session: Session, q: String) -> Option<Vec<Hit>> {
    let tenant_id = session.tenant_untracked();
    let query = ListModels { q: Some(q), tenant_id, limit: Some(MOST), ..ListModels::default() };
    let page = models::list_models(&client, &query).await.ok()?;
    let hits =
        page.data.into_iter().map(|model| hit("Models", IconName::Model, model.name, path(&Page::Model(model.id))));
    Some(hits.collect())
}

async fn providers_named(client: Client, session: Session, q: String) -> Option<Vec<Hit>> {
    let tenant_id = session.tenant_untracked();
    let query = ListProviders { q: Some(q), tenant_id, limit: Some(MOST), ..ListProviders::default() };
    let page = providers::list_providers(&client, &query).await.ok()?;
    let hits = page.data.into_iter().map(|provider| {
        let target = path(&Page::Provider(provider.id));
        Hit { note: provider.kind, ..hit("Providers", IconName::Provider, provider.name, target) }
    });
    Some(hits.collect())
}

/// Those are looked at by being chosen.
async fn tenants_named(client: Client, session: Session, q: String) -> Option<Vec<Hit>> {
    if !session.can_untracked(Permission::ManageTenants) {
        return None;
    }
    let query = ListTenants { q: Some(q), limit: Some(MOST), ..ListTenants::default() };
    let page = tenants::list_tenants(&client, &query).await.ok()?;
    let hits = page.data.into_iter().map(|tenant| Hit {
        note: "look at this tenant".to_owned(),
        ..hit("Tenants", IconName::Tenant, tenant.name, Target::Tenant(Some(tenant.id)))
    });
    Some(hits.collect())
}

async fn users_named(client: Client, session: Session, q: String) -> Option<Vec<Hit>> {
    if !session.can_untracked(Permission::ManageUsers) {
        return None;
    }
    let tenant_id = session.tenant_untracked();
    let query = ListUsers { q: Some(q), tenant_id, limit: Some(MOST), ..ListUsers::default() };
    let page = users::list_users(&client, &query).await.ok()?;
    let hits = page.data.into_iter().map(|user| {
        let target = Target::Path(format!("{}?q={}", Page::Users.path(), escaped(&user.email)));
        Hit { note: user.name, ..hit("Users", IconName::User, user.email, target) }
    });
    Some(hits.collect())
}
