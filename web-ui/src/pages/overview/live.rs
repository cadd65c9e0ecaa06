//! Sessions that are open now.

use std::time::Duration;

use admin_types::page::Page as ListPage;
use admin_types::sessions::{ListSessions, Session};
use leptos::prelude::*;

use crate::api::{sessions, use_client};
use crate::clock;
use crate::components::{Card, LoadedLive};
use crate::format;
use crate::route::Page;
use crate::session::use_session;

/// How often they are looked at again.
const EVERY: Duration = Duration::from_secs(10);
/// Sessions that are counted.
const COUNTED: u16 = 100;
/// Sessions that are named.
const NAMED: usize = 4;

#[component]
pub(super) fn Live() -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let found = LocalResource::new(move || {
        let query = ListSessions { tenant_id: session.tenant(), limit: Some(COUNTED), ..ListSessions::default() };
        async move { sessions::list_sessions(&client, &query).await }
    });
    let looking = set_interval_with_handle(
        move || {
            if !document().hidden() {
                found.refetch();
            }
        },
        EVERY,
    );
    on_cleanup(move || {
        if let Ok(looking) = looking {
            looking.clear();
        }
    });
    view! {
        <Card
            title="Live sessions"
            actions=|| view! { <a href=Page::Sessions.path()>"All sessions"</a> }
        >
            <div class="overview-live">
                <LoadedLive resource=found rows=3 children=move |page| view! { <Open page /> } />
            </div>
        </Card>
    }
}

#[component]
fn Open(page: Signal<ListPage<Session>>) -> impl IntoView {
    let count = move || {
        page.with(|page| {
            let more = if page.next_cursor.is_some() { "+" } else { "" };
            format!("{}{more}", format::count(page.data.len() as i128))
        })
    };
    let rows = move || {
        let now = clock::now();
        let row = |session: Session| {
            let served = session.model_served.unwrap_or(session.model_asked);
            view! {
                <li>
                    <a href=Page::Session(session.id).path()>{served}</a>
                    <span class="overview-note">{format!("begun {}", format::ago(session.started_at, now))}</span>
                </li>
            }
        };
        page.get().data.into_iter().take(NAMED).map(row).collect_view()
    };
    view! {
        <p class="overview-count">
            {count} <span class="overview-note">" open now"</span>
        </p>
        <ul class="overview-list">{rows}</ul>
    }
}
