//! How much of their budgets keys have spent: by one question for each window, however many keys there are.

use std::collections::HashMap;

use admin_types::keys::{BudgetWindow, KeyState, ListKeys, VirtualKey};
use admin_types::usage::{AggregateUsage, UsageBucket};
use leptos::prelude::*;
use rust_decimal::Decimal;
use time::{Duration, OffsetDateTime, Time};
use uuid::Uuid;

use crate::api::{Client, Failure, keys, usage, use_client};
use crate::clock;
use crate::session::use_session;

/// Pages of keys that are looked at, and keys of a page.
const PAGES: usize = 4;
const KEYS: u16 = 500;
/// From which share of its budget on a key is near its end.
const NEAR: f64 = 0.8;

/// What a key has spent of its budget.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spent {
    pub(super) key_id: Uuid,
    pub(super) name: String,
    pub(super) window: BudgetWindow,
    pub(super) usd: Decimal,
    pub(super) limit: Decimal,
}

impl Spent {
    pub(super) fn share(&self) -> f64 {
        let share = self.usd.checked_div(self.limit).unwrap_or_default();
        rust_decimal::prelude::ToPrimitive::to_f64(&share).unwrap_or(0.0)
    }

    pub(super) fn is_near(&self) -> bool {
        self.share() >= NEAR
    }

    pub(super) const fn window_words(&self) -> &'static str {
        match self.window {
            BudgetWindow::Total => "Budget of its whole life",
            BudgetWindow::Daily => "Budget of today",
            BudgetWindow::Monthly => "Budget of this month",
        }
    }
}

/// Every active key with a budget, whose share is largest first.
pub(super) fn use_budgets() -> LocalResource<Result<Vec<Spent>, Failure>> {
    let (client, session) = (use_client(), use_session());
    LocalResource::new(move || {
        let tenant_id = session.tenant();
        async move { spent(&client, tenant_id).await }
    })
}

async fn spent(client: &Client, tenant_id: Option<Uuid>) -> Result<Vec<Spent>, Failure> {
    let keys = budgeted(client, tenant_id).await?;
    let mut all = Vec::new();
    for window in BudgetWindow::ALL {
        let of_window: Vec<&VirtualKey> = keys.iter().filter(|key| window_of(key) == Some(window)).collect();
        if of_window.is_empty() {
            continue;
        }
        let sums = sums(client, tenant_id, window).await?;
        all.extend(of_window.into_iter().filter_map(|key| {
            let limit = key.budget.as_ref()?.usd.parse().ok()?;
            let usd = sums.get(&key.id.to_string()).copied().unwrap_or_default();
            Some(Spent { key_id: key.id, name: key.name.clone(), window, usd, limit })
        }));
    }
    all.sort_by(|a, b| b.share().total_cmp(&a.share()));
    Ok(all)
}

fn window_of(key: &VirtualKey) -> Option<BudgetWindow> {
    key.budget.as_ref().map(|budget| budget.window)
}

async fn budgeted(client: &Client, tenant_id: Option<Uuid>) -> Result<Vec<VirtualKey>, Failure> {
    let mut found = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES {
        let query =
            ListKeys { tenant_id, state: Some(KeyState::Active), limit: Some(KEYS), cursor, ..ListKeys::default() };
        let page = keys::list_keys(client, &query).await?;
        found.extend(page.data.into_iter().filter(|key| key.budget.is_some()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(found)
}

/// What each key has spent in the window that is now.
async fn sums(
    client: &Client,
    tenant_id: Option<Uuid>,
    window: BudgetWindow,
) -> Result<HashMap<String, Decimal>, Failure> {
    let now = clock::now();
    let today = now.replace_time(Time::MIDNIGHT);
    let from = match window {
        BudgetWindow::Total => OffsetDateTime::UNIX_EPOCH + Duration::days(365 * 50),
        BudgetWindow::Daily => today,
        BudgetWindow::Monthly => today.replace_day(1).unwrap_or(today),
    };
    let query = AggregateUsage {
        group_by: Some("key".to_owned()),
        bucket: Some(UsageBucket::None),
        tenant_id,
        limit: Some(500),
        ..usage::everything(from, now + Duration::HOUR)
    };
    let found = usage::aggregate_usage(client, &query).await?;
    let sums = found.data.into_iter().filter_map(|sum| {
        let usd = Decimal::try_from_i128_with_scale(sum.cost_nano_usd.into(), 9).ok()?;
        sum.group.into_iter().next().map(|group| (group.value, usd))
    });
    Ok(sums.collect())
}
