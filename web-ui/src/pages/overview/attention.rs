//! What needs somebody: open alerts, budgets near their end, usage without a price.

use admin_types::alerts::{Alert, AlertState, ListAlerts, Severity};
use leptos::prelude::*;

use super::Found;
use super::budgets::{Spent, use_budgets};
use super::tiles::latest;
use crate::api::{alerts, use_client};
use crate::clock;
use crate::components::{Card, Failed, Icon, IconName, Loading, Meter, Range};
use crate::format;
use crate::route::Page;
use crate::session::use_session;

/// Alerts and budgets that are shown, each.
const MOST: u16 = 4;

#[component]
pub(super) fn Attention(now: Found, time: Memo<Range>) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let firing = LocalResource::new(move || {
        let query = ListAlerts {
            state: Some(AlertState::Firing),
            tenant_id: session.tenant(),
            limit: Some(MOST),
            ..ListAlerts::default()
        };
        async move { alerts::list_alerts(&client, &query).await.map(|page| page.data) }
    });
    let budgets = use_budgets();
    let sums = latest(now);
    let unpriced = move || sums.with(|sums| sums.as_ref().map(|sums| sums.total.unpriced));
    let content = move || {
        let (firing_now, spent) = match (firing.get(), budgets.get()) {
            (Some(Ok(firing)), Some(Ok(spent))) => (firing, spent),
            (Some(Err(failure)), _) => {
                return view! { <Failed failure on_retry=move || firing.refetch() /> }.into_any();
            }
            (_, Some(Err(failure))) => {
                return view! { <Failed failure on_retry=move || budgets.refetch() /> }.into_any();
            }
            _ => return view! { <Loading rows=5 /> }.into_any(),
        };
        let near: Vec<Spent> = spent.into_iter().filter(Spent::is_near).take(MOST.into()).collect();
        let unpriced = unpriced().unwrap_or(0);
        if firing_now.is_empty() && near.is_empty() && unpriced == 0 {
            return view! {
                <p class="overview-fine">
                    <Icon name=IconName::Check />
                    "No open alerts, no budget near its end, and everything has a price."
                </p>
            }
            .into_any();
        }
        let alerts = firing_now.into_iter().map(|alert| view! { <AlertRow alert /> }).collect_view();
        let budgets = near.into_iter().map(|spent| view! { <BudgetRow spent /> }).collect_view();
        view! {
            <ul class="overview-list">
                {alerts} {budgets} {(unpriced > 0).then(|| view! { <UnpricedRow count=unpriced time /> })}
            </ul>
        }
        .into_any()
    };
    view! {
        <Card title="Needs attention" actions=|| view! { <a href=Page::Alerts.path()>"Alerts"</a> }>
            <div class="overview-attention">{content}</div>
        </Card>
    }
}

#[component]
fn AlertRow(alert: Alert) -> impl IntoView {
    let tone = match alert.severity {
        Severity::Critical => "attention bad",
        Severity::Warning => "attention warn",
        Severity::Info => "attention",
    };
    view! {
        <li class=tone>
            <Icon name=IconName::Alert />
            <div>
                <a href=format!("{}?alert={}", Page::Alerts.path(), alert.id)>{alert.rule_name}</a>
                <p>{alert.summary}</p>
                <p class="overview-note">{format!("Begun {}", format::ago(alert.started_at, clock::now()))}</p>
            </div>
        </li>
    }
}

#[component]
fn BudgetRow(spent: Spent) -> impl IntoView {
    let text = format!("{} of {}", format::money(spent.usd), format::money(spent.limit));
    let tone = if spent.share() < 1.0 { "attention warn" } else { "attention bad" };
    view! {
        <li class=tone>
            <Icon name=IconName::Key />
            <div>
                <a href=Page::Key(spent.key_id).path()>{spent.name.clone()}</a>
                <p class="overview-note">{spent.window_words()}</p>
                <Meter label=format!("Budget of {}", spent.name) used=spent.share() limit=1.0 text />
            </div>
        </li>
    }
}

#[component]
fn UnpricedRow(count: i64, time: Memo<Range>) -> impl IntoView {
    let href = move || {
        let range = crate::api::wire::escaped(&time.get().name());
        format!("{}?view=records&priced=false&range={range}", Page::Usage.path())
    };
    let text = match count {
        1 => "1 record without a price".to_owned(),
        count => format!("{} records without a price", format::count(count)),
    };
    view! {
        <li class="attention warn">
            <Icon name=IconName::Price />
            <div>
                <a href=href>{text}</a>
                <p>
                    "Their cost is not known and counts in no sum. " <a href=Page::Prices.path()>"Add prices"</a>
                </p>
            </div>
        </li>
    }
}
