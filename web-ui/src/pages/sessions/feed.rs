//! What is open, told by the server whenever it changes, and what has ended since the page was opened.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use admin_types::keys::ListKeys;
use admin_types::page::Page;
use admin_types::sessions::{ListSessions, MAX_EVENT_SESSIONS, OpenSessions, Session, WatchSessions};
use leptos::prelude::*;
use uuid::Uuid;

use super::Row;
use crate::api::sessions::{list_sessions, watch_sessions};
use crate::api::stream::Feed;
use crate::api::{Client, Failure, keys, submit, use_client};
use crate::clock;
use crate::components::{Badge, More, Tone, use_toasts};
use crate::session::use_session;

/// Sessions that ended are shown so many at most.
const MOST_ENDED: usize = 100;

/// The sessions that are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) rows: RwSignal<Vec<Row>>,
    pub(super) total: RwSignal<u64>,
    /// Sessions beyond those that are told of, as they were when somebody asked for them.
    pub(super) older: RwSignal<Vec<Session>>,
    /// Behind the last of them.
    older_end: RwSignal<Option<String>>,
    /// The server has told them once.
    pub(super) is_there: RwSignal<bool>,
    pub(super) feed: RwSignal<Feed>,
    round: RwSignal<u32>,
}

impl Known {
    /// Why nothing can be shown. Reactive.
    pub(super) fn refusal(self) -> Option<Failure> {
        match self.feed.get() {
            Feed::Broken(failure) => Some(failure),
            Feed::Opening | Feed::Live => None,
        }
    }

    /// Asks again.
    pub(super) fn again(self) {
        self.round.update(|round| *round = round.wrapping_add(1));
    }

    /// All that is known: what is told, and behind it what is older. Reactive.
    pub(super) fn all(self) -> Vec<Row> {
        let mut rows = self.rows.get();
        let told: HashSet<Uuid> = rows.iter().map(|row| row.session.id).collect();
        let older = self.older.get().into_iter().filter(|session| !told.contains(&session.id));
        rows.extend(older.map(|session| Row { session, ended_at_ms: None }));
        rows
    }

    /// The way to the older ones.
    pub(super) fn more(self, all: Memo<Vec<Row>>) -> More {
        let (client, session, toasts) = (use_client(), use_session(), use_toasts());
        let busy = RwSignal::new(false);
        let load = move |()| {
            let (tenant_id, from) = (session.tenant_untracked(), self.older_end.get_untracked());
            let is_begin = from.is_none();
            submit(busy, async move { older_page(&client, tenant_id, from).await }, move |page| match page {
                // Those of another tenant are not among them.
                _ if session.tenant_untracked() != tenant_id => {}
                Ok(page) => {
                    self.older.try_update(|older| {
                        if is_begin {
                            older.clear();
                        }
                        older.extend(page.data);
                    });
                    self.older_end.try_set(page.next_cursor);
                }
                Err(failure) => toasts.failed(&failure),
            });
        };
        let is_there = Signal::derive(move || self.total.get() > all.with(|all| open_count(all)));
        More { is_there, busy: busy.into(), on_more: Callback::new(load) }
    }

    fn forget_older(self) {
        if self.older.try_with_untracked(Vec::is_empty) == Some(false) {
            self.older.try_set(Vec::new());
        }
        self.older_end.try_set(None);
    }

    fn take(self, open: OpenSessions) {
        self.total.try_set(open.total);
        if open.total == open.sessions.len() as u64 {
            self.forget_older();
        }
        let ended_at = clock::now_ms() as i64;
        self.rows.try_update(|rows| *rows = merged(std::mem::take(rows), open, ended_at));
        set_there(self.is_there);
    }
}

/// How many of them are open.
pub(super) fn open_count(rows: &[Row]) -> u64 {
    rows.iter().filter(|row| row.is_open()).count() as u64
}

/// The page behind a cursor; without one, that behind the newest, which are told of anyway.
async fn older_page(
    client: &Client,
    tenant_id: Option<Uuid>,
    cursor: Option<String>,
) -> Result<Page<Session>, Failure> {
    let ask = |cursor| ListSessions { tenant_id, limit: Some(MAX_EVENT_SESSIONS), cursor, ..ListSessions::default() };
    let cursor = match cursor {
        Some(cursor) => Some(cursor),
        None => list_sessions(client, &ask(None)).await?.next_cursor,
    };
    match cursor {
        Some(cursor) => list_sessions(client, &ask(Some(cursor))).await,
        None => Ok(Page { data: Vec::new(), next_cursor: None }),
    }
}

fn set_there(is_there: RwSignal<bool>) {
    if is_there.try_get_untracked() == Some(false) {
        is_there.try_set(true);
    }
}

/// What is open now, and behind it what was open before.
fn merged(before: Vec<Row>, open: OpenSessions, now_ms: i64) -> Vec<Row> {
    // Beyond the newest that are told, nothing is known of older ones.
    let is_all = open.total == open.sessions.len() as u64;
    let ids: Vec<Uuid> = open.sessions.iter().map(|session| session.id).collect();
    let gone = before.into_iter().filter(|row| !ids.contains(&row.session.id) && (is_all || !row.is_open()));
    let ended = gone.map(|row| Row { ended_at_ms: row.ended_at_ms.or(Some(now_ms)), ..row });
    let ended: Vec<Row> = ended.take(MOST_ENDED).collect();
    let open = open.sessions.into_iter().map(|session| Row { session, ended_at_ms: None });
    open.chain(ended).collect()
}

/// Watches the sessions of the chosen tenant, or of all, until the page is left.
pub(super) fn known_sessions() -> Known {
    let (client, session) = (use_client(), use_session());
    let known = Known {
        rows: RwSignal::new(Vec::new()),
        total: RwSignal::new(0),
        older: RwSignal::new(Vec::new()),
        older_end: RwSignal::new(None),
        is_there: RwSignal::new(false),
        feed: RwSignal::new(Feed::Opening),
        round: RwSignal::new(0),
    };
    // The stream ends with the effect's turn, and with the page.
    Effect::new(move |_| {
        known.round.track();
        let query = WatchSessions { tenant_id: session.tenant() };
        known.is_there.set(false);
        known.rows.set(Vec::new());
        known.forget_older();
        watch_sessions(client, query, known.feed, move |open| known.take(open));
    });
    known
}

/// Whether the list is live.
#[component]
pub(super) fn ConnectionState(feed: RwSignal<Feed>) -> impl IntoView {
    let state = move || match feed.get() {
        Feed::Live => (Tone::Good, "Live"),
        Feed::Opening => (Tone::Neutral, "Connecting"),
        Feed::Broken(_) => (Tone::Warn, "Connection lost, trying again"),
    };
    view! {
        <span role="status" aria-label="Connection">
            {move || {
                let (tone, text) = state();
                view! { <Badge tone dot=true>{text}</Badge> }
            }}
        </span>
    }
}

/// Milliseconds since 1970, told every second.
pub(super) fn seconds() -> ReadSignal<i64> {
    let (now, set_now) = signal(clock::now_ms() as i64);
    if let Ok(ticking) = set_interval_with_handle(move || set_now.set(clock::now_ms() as i64), Duration::from_secs(1)) {
        on_cleanup(move || ticking.clear());
    }
    now
}

/// Names of keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Names(BTreeMap<Uuid, String>);

impl Names {
    /// The key's name, or the begin of its id where the name is not known.
    pub(super) fn key(&self, id: Uuid) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| id.to_string().chars().take(8).collect())
    }
}

/// The names of the keys that one may see, asked for again where a session's key is new.
pub(super) fn names(known: Known) -> Memo<Names> {
    let (client, session) = (use_client(), use_session());
    let in_use = Memo::new(move |_| {
        let mut ids: Vec<Uuid> = known.rows.with(|rows| rows.iter().map(|row| row.session.key_id).collect());
        ids.sort_unstable();
        ids.dedup();
        ids
    });
    let found = LocalResource::new(move || {
        // It is read, since a memo that nobody reads follows nothing.
        in_use.with(|_| ());
        let query = ListKeys { tenant_id: session.tenant(), limit: Some(500), ..ListKeys::default() };
        async move { keys::list_keys(&client, &query).await.map(|page| page.data).unwrap_or_default() }
    });
    Memo::new(move |_| Names(found.get().unwrap_or_default().into_iter().map(|key| (key.id, key.name)).collect()))
}

/// The one session among those that are open.
pub(super) fn find(known: Known, id: Uuid) -> Option<Session> {
    known.rows.with(|rows| rows.iter().find(|row| row.session.id == id && row.is_open()).map(|row| row.session.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: u128) -> Session {
        let id = Uuid::from_u128(id);
        serde_json::from_value(serde_json::json!({"id": id, "gateway_id": id, "gateway": "here", "request_id": id,
            "tenant_id": id, "key_id": id, "operation": "realtime", "kind": "realtime", "model_asked": "agent",
            "provider": null, "model_served": null, "client_address": null, "user_tag": null, "tags": null,
            "started_at": "2026-11-22T12:00:00Z", "last_seen_at": "2026-11-22T12:00:00Z", "turns": 0,
            "audio_in_ms": 0, "audio_out_ms": 0, "cost_usd": null, "terminate_requested_at": null,
            "terminate_reason": null, "terminated_by": null}))
        .unwrap()
    }

    #[test]
    fn what_is_gone_has_ended_and_stays() {
        let open = |ids: &[u128], total| OpenSessions { sessions: ids.iter().map(|id| session(*id)).collect(), total };
        let ends =
            |rows: &[Row]| rows.iter().map(|row| (row.session.id.as_u128(), row.ended_at_ms)).collect::<Vec<_>>();
        let rows = merged(Vec::new(), open(&[2, 1], 2), 5);
        let rows = merged(rows, open(&[2], 1), 7);
        assert_eq!(ends(&rows), [(2, None), (1, Some(7))]);
        let rows = merged(rows, open(&[3], 1), 9);
        assert_eq!(ends(&rows), [(3, None), (2, Some(9)), (1, Some(7))]);
        // Who is not among the newest of many may well be open.
        assert_eq!(ends(&merged(rows, open(&[4], 900), 11)), [(4, None), (2, Some(9)), (1, Some(7))]);
    }
}
