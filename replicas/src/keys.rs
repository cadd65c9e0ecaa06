//! The names of everything this crate keeps in Redis, and nothing else names it.
//!
//! What one script touches has one hash tag, the part in braces, so that a cluster keeps it in one slot.

use domain::ids::{TenantId, VirtualKeyId};

/// Names under one prefix, so that several installations can share a Redis.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Names that begin with `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Of one virtual key: its account, the ids of counted records, what is pending, its leases by their end, and
    /// what they hold.
    #[must_use]
    pub fn of_key(&self, key: VirtualKeyId) -> Vec<String> {
        self.tagged(&format!("key:{key}"), &["account", "ids", "pending", "leases", "held"])
    }

    /// Of one tenant's live sessions: by id, by key, by the end of their lives, what is told of them, and which of
    /// them shall end.
    #[must_use]
    pub fn of_sessions(&self, tenant: TenantId) -> Vec<String> {
        self.tagged(&format!("tenant:{tenant}"), &["sessions", "sessions-by-key", "beats", "told", "ending"])
    }

    /// The gateways that live, the tenants that have sessions, and who looks for dead ones among these.
    #[must_use]
    pub fn of_gateways(&self) -> Vec<String> {
        self.tagged("gateways", &["live", "tenants", "looking"])
    }

    /// The channel on which changes are told.
    #[must_use]
    pub fn changes_channel(&self) -> String {
        format!("{}:changes", self.prefix)
    }

    /// The channel on which gateways are told to end a session.
    #[must_use]
    pub fn terminate_channel(&self) -> String {
        format!("{}:terminate", self.prefix)
    }

    fn tagged(&self, tag: &str, parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| format!("{}:{{{tag}}}:{part}", self.prefix)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn all_names_of_one_script_have_one_hash_tag() {
        let keys = Keys::new("antiphon");
        let key = VirtualKeyId(Uuid::from_u128(1));
        let tenant = TenantId(Uuid::from_u128(2));
        for (names, tag) in [
            (keys.of_key(key), format!("{{key:{key}}}")),
            (keys.of_sessions(tenant), format!("{{tenant:{tenant}}}")),
            (keys.of_gateways(), "{gateways}".to_owned()),
        ] {
            assert!(names.iter().all(|name| name.starts_with("antiphon:") && name.matches(&tag).count() == 1));
        }
    }
}
