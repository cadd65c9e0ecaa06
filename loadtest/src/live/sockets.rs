//! The vendors' sessions beside what else a scripted upstream answers.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::net::TcpStream;

use super::{Config, Medium, PATHS, Said, Seen, Shared, eleven_agent, lock, peek, serve, ultravox};

/// The vendors' sessions on the port on which a scripted upstream answers requests: a vendor has one host.
#[derive(Debug, Clone)]
pub(crate) struct Sockets(Arc<Shared>);

impl Sockets {
    /// Sessions for whoever has this key.
    pub(crate) fn new(api_key: String) -> Self {
        Self(Arc::new(Shared::new(Config { api_key, ..Config::default() })))
    }

    /// Signs an address of an agent.
    pub(crate) fn sign(&self, agent: &str) -> String {
        eleven_agent::signature(&self.0, agent)
    }

    /// A call was made, for at most so long; it may be joined once.
    pub(crate) fn expect(&self, call: String, medium: Medium, lasts: Duration) {
        self.0.calls.expect(call, medium, lasts);
    }

    /// What is told of a call.
    pub(crate) fn tell(&self, call: &str) -> Option<Value> {
        self.0.calls.tell(call)
    }

    /// Whether a call is active; `None` where there is no such call.
    pub(crate) fn is_active(&self, call: &str) -> Option<bool> {
        self.0.calls.is_active(call)
    }

    /// Ends a call, and says as [`Self::is_active`] whether there was one.
    pub(crate) fn hang_up(&self, call: &str) -> Option<bool> {
        self.0.calls.hang_up(call)
    }

    /// Calls in rooms are led to this address with this token.
    pub(crate) fn lead_to(&self, url: &str, token: &str) {
        self.0.calls.lead_to(url, token);
    }

    /// What broke the vendors' rules.
    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.0.seen).violations.clone()
    }

    /// Forgets what came.
    pub(crate) fn forget(&self) {
        *lock(&self.0.seen) = Seen::default();
        *lock(&self.0.said) = Said::default();
    }

    /// Holds the session that a connection begins with, or tells of those before; gives any other connection back.
    pub(crate) async fn hold(&self, stream: TcpStream) -> Option<TcpStream> {
        let head = peek(&stream).await.unwrap_or_default();
        let path = head.strip_prefix("GET ").and_then(|rest| rest.split(['?', ' ']).next());
        let ours = |path: &str| PATHS.contains(&path) || path.starts_with(ultravox::PATH) || path == "/_live";
        if !path.is_some_and(ours) {
            return Some(stream);
        }
        serve(Arc::clone(&self.0), stream).await;
        None
    }
}
