//! What keys have spent and when they were last used, beside a list of them.
//!
//! A list of keys does not tell this, so it is asked for the keys in sight: one sum for all of them, and one call more
//! for each that has a budget or was used.

use std::collections::HashMap;

use admin_types::keys::{KeyUsage, VirtualKey};
use admin_types::usage::{AggregateUsage, ListUsage, UsageBucket};
use leptos::prelude::*;
use leptos::task::spawn_local;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::words::window_words;
use crate::api::{Client, keys, usage, use_client};
use crate::clock;
use crate::components::Meter;
use crate::format;
use crate::session::use_session;

/// How far back it is looked for the last use.
const DAYS: i64 = 30;
/// Keys whose sums come in one answer.
const MOST: u16 = 500;

/// When a key was last used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastUse {
    At(OffsetDateTime),
    /// Longer ago than it is looked for, or never.
    NotOfLate,
}

/// What is known of keys so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    client: Client,
    spent: RwSignal<HashMap<Uuid, KeyUsage>>,
    last_use: RwSignal<HashMap<Uuid, LastUse>>,
    /// Keys that were asked for.
    asked: StoredValue<Vec<Uuid>>,
}

impl Numbers {
    /// Follows a list.
    pub(super) fn of(rows: Signal<Vec<VirtualKey>>) -> Self {
        let (client, session) = (use_client(), use_session());
        let numbers = Self {
            client,
            spent: RwSignal::new(HashMap::new()),
            last_use: RwSignal::new(HashMap::new()),
            asked: StoredValue::new(Vec::new()),
        };
        Effect::new(move |_| {
            let tenant = session.tenant();
            let new: Vec<VirtualKey> = rows.with(|rows| {
                let asked = |key: &&VirtualKey| numbers.asked.with_value(|asked| !asked.contains(&key.id));
                rows.iter().filter(asked).cloned().collect()
            });
            if !new.is_empty() {
                numbers.asked.update_value(|asked| asked.extend(new.iter().map(|key| key.id)));
                numbers.ask(new, tenant);
            }
        });
        numbers
    }

    fn ask(self, keys: Vec<VirtualKey>, tenant: Option<Uuid>) {
        for key in keys.iter().filter(|key| key.budget.is_some()) {
            self.ask_spent(key.id);
        }
        spawn_local(async move {
            let used = used_keys(&self.client, tenant).await;
            for key in keys {
                match &used {
                    Some(used) if !used.contains(&key.id) => self.note_use(key.id, LastUse::NotOfLate),
                    _ => self.ask_last_use(key.id),
                }
            }
        });
    }

    fn ask_spent(self, id: Uuid) {
        spawn_local(async move {
            if let Ok(found) = keys::get_key_usage(&self.client, id).await {
                self.spent.try_update(|all| all.insert(id, found));
            }
        });
    }

    fn ask_last_use(self, id: Uuid) {
        spawn_local(async move {
            if let Some(found) = last_use(&self.client, id).await {
                self.note_use(id, found);
            }
        });
    }

    fn note_use(self, id: Uuid, found: LastUse) {
        self.last_use.try_update(|all| all.insert(id, found));
    }

    /// The cell of the budget.
    pub(super) fn budget_view(self, key: &VirtualKey) -> AnyView {
        let id = key.id;
        if key.budget.is_none() {
            return view! { <span class="quiet">"No limit"</span> }.into_any();
        }
        let limit = key.budget.as_ref().map(|budget| format::usd_text(&budget.usd)).unwrap_or_default();
        let shown = move || {
            let found = self.spent.with(|all| all.get(&id).cloned());
            found.map_or_else(|| limit.clone().into_any(), |usage| budget_meter(&usage))
        };
        shown.into_any()
    }

    /// The cell of the last use.
    pub(super) fn last_use_view(self, key: &VirtualKey) -> impl IntoView + use<> {
        let (id, created_at) = (key.id, key.created_at);
        let now = clock::now();
        move || match self.last_use.with(|all| all.get(&id).copied()) {
            Some(LastUse::At(at)) => format::ago(at, now),
            Some(LastUse::NotOfLate) if created_at > now - Duration::days(DAYS) => "Never".to_owned(),
            Some(LastUse::NotOfLate) => format!("Over {DAYS} days ago"),
            None => "–".to_owned(),
        }
    }
}

/// A budget as a bar.
pub(super) fn budget_meter(usage: &KeyUsage) -> AnyView {
    let Some(budget) = &usage.budget else { return ().into_any() };
    let number = |text: &str| text.parse::<Decimal>().ok().and_then(|usd| usd.to_f64()).unwrap_or_default();
    let text = format!("{} of {}", format::usd_text(&usage.spent_usd), format::usd_text(&budget.usd));
    let label = format!("Spent of the budget {}", window_words(budget.window));
    view! { <Meter label used=number(&usage.spent_usd) limit=number(&budget.usd) text /> }.into_any()
}

/// The keys that were used of late; `None` where that is not known of all.
async fn used_keys(client: &Client, tenant_id: Option<Uuid>) -> Option<Vec<Uuid>> {
    let now = clock::now();
    let query = AggregateUsage {
        group_by: Some("key".to_owned()),
        bucket: Some(UsageBucket::None),
        tenant_id,
        limit: Some(MOST),
        ..usage::everything(now - Duration::days(DAYS), now)
    };
    let sums = usage::aggregate_usage(client, &query).await.ok()?;
    let ids = sums.data.iter().filter_map(|sum| sum.group.first()?.value.parse().ok());
    (sums.other.is_empty() && sums.complete).then(|| ids.collect())
}

async fn last_use(client: &Client, key: Uuid) -> Option<LastUse> {
    let query = ListUsage { key_id: Some(key), limit: Some(1), ..ListUsage::default() };
    let page = usage::list_usage(client, &query).await.ok()?;
    Some(page.data.first().map_or(LastUse::NotOfLate, |record| LastUse::At(record.started_at)))
}
