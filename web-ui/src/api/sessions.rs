//! `/api/v1/sessions`: those that are open now, and what is recorded of others.

use admin_types::page::Page;
use admin_types::sessions::{ListSessions, OpenSessions, Session, SessionDetails, TerminateSession, WatchSessions};
use leptos::prelude::*;
use uuid::Uuid;

use super::stream::{Feed, watch};
use super::wire::with_query;
use super::{Client, Failure};

const PATH: &str = "/api/v1/sessions";

pub(crate) async fn list_sessions(client: &Client, query: &ListSessions) -> Result<Page<Session>, Failure> {
    client.list(PATH, query).await
}

pub(crate) async fn get_session(client: &Client, id: Uuid) -> Result<SessionDetails, Failure> {
    client.get(&format!("{PATH}/{id}")).await
}

/// Ends it; its client is told the reason.
pub(crate) async fn terminate_session(client: &Client, id: Uuid, why: &TerminateSession) -> Result<Session, Failure> {
    client.post(&format!("{PATH}/{id}/terminate"), why).await
}

/// Tells what is open whenever that changes, until the owner ends.
pub(crate) fn watch_sessions(
    client: Client,
    query: WatchSessions,
    feed: RwSignal<Feed>,
    told: impl Fn(OpenSessions) + 'static,
) {
    let path = move || with_query(&format!("{PATH}/events"), &query);
    watch(client, path, feed, move |event| {
        if event.name == "sessions"
            && let Ok(open) = serde_json::from_str(&event.data)
        {
            told(open);
        }
    });
}
