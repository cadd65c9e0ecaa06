//! Who is calling: a virtual key, or a client secret that was made from one.

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use domain::error::ErrorKind;
use domain::key::{KeyHash, Pepper, SECRET_PREFIX};
use domain::provider::Operation;
use time::OffsetDateTime;

use crate::error::GatewayError;
use crate::realtime::secrets::{ClientSecrets, Grant};
use crate::snapshot::{Key, Snapshot};

/// The header by which a caller says how targets are ordered.
pub const STRATEGY: &str = "x-antiphon-strategy";

/// Longest credential that is looked at. Keys have 55 characters, client secrets a few hundred.
const MAX_CREDENTIAL_BYTES: usize = 4096;
/// How a browser's WebSocket carries its key, since it can send no header.
const SUBPROTOCOL_KEY: &str = "openai-insecure-api-key.";

/// A caller whose credential was good.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The key, with its policy.
    pub key: Arc<Key>,
    /// What a client secret narrows it to.
    pub grant: Option<Grant>,
}

impl Principal {
    /// Refuses what the key may not do.
    ///
    /// # Errors
    /// `OperationNotAllowed` or `ModelNotAllowed`.
    pub fn require(&self, operation: Operation, model: &str) -> Result<(), GatewayError> {
        if !self.may(operation) {
            let message = format!("This key may not be used for {operation}.");
            return Err(GatewayError::caller(ErrorKind::OperationNotAllowed, message));
        }
        if !self.may_use(model) {
            let message = format!("This key may not use the model `{model}`.");
            return Err(GatewayError::caller(ErrorKind::ModelNotAllowed, message).with_param("model"));
        }
        Ok(())
    }

    /// Refuses a caller that says how targets are ordered, where its key does not let it.
    ///
    /// # Errors
    /// `StrategyNotAllowed`.
    pub fn may_order(&self) -> Result<(), GatewayError> {
        if self.key.allow_strategy {
            return Ok(());
        }
        let message = format!("The header `{STRATEGY}` takes a key with `allow_strategy`.");
        Err(GatewayError::caller(ErrorKind::StrategyNotAllowed, message).with_param(STRATEGY))
    }

    /// Whether the caller may do this at all.
    #[must_use]
    pub fn may(&self, operation: Operation) -> bool {
        let granted = self.grant.is_none() || operation == Operation::Realtime;
        granted && (self.key.operations.is_empty() || self.key.operations.contains(&operation))
    }

    /// Whether the caller may name this model.
    #[must_use]
    pub fn may_use(&self, model: &str) -> bool {
        self.grant.as_ref().is_none_or(|grant| grant.model == model) && may_use(&self.key, model)
    }
}

/// Whether the key's patterns cover a model.
#[must_use]
pub fn may_use(key: &Key, model: &str) -> bool {
    key.models.is_empty() || key.models.iter().any(|pattern| matches(pattern, model))
}

/// Finds the caller by what the request carries.
///
/// # Errors
/// `InvalidApiKey`, the same for every reason.
pub fn authenticate(
    snapshot: &Snapshot,
    pepper: &Pepper,
    secrets: &ClientSecrets,
    headers: &HeaderMap,
    now: OffsetDateTime,
) -> Result<Principal, GatewayError> {
    let credential = credential(headers).ok_or_else(GatewayError::unauthenticated)?;
    recognise(snapshot, pepper, secrets, credential, now)
}

/// Finds the caller by its credential, wherever it stood.
///
/// # Errors
/// As [`authenticate`]'s.
pub fn recognise(
    snapshot: &Snapshot,
    pepper: &Pepper,
    secrets: &ClientSecrets,
    credential: &str,
    now: OffsetDateTime,
) -> Result<Principal, GatewayError> {
    if credential.len() > MAX_CREDENTIAL_BYTES {
        return Err(GatewayError::unauthenticated());
    }
    if credential.starts_with(SECRET_PREFIX) {
        let grant = secrets.redeem(credential, now).ok_or_else(GatewayError::unauthenticated)?;
        let key = snapshot.key_by_id(grant.key).ok_or_else(GatewayError::unauthenticated)?;
        return check_expiry(Principal { key: Arc::clone(key), grant: Some(grant) }, now);
    }
    // Only a keyed digest is ever looked up, so the time this takes says nothing about stored keys.
    let key = snapshot.keys.get(&KeyHash::of(pepper, credential)).ok_or_else(GatewayError::unauthenticated)?;
    check_expiry(Principal { key: Arc::clone(key), grant: None }, now)
}

/// Refuses a key whose time is over.
///
/// # Errors
/// As [`authenticate`]'s.
pub fn check_expiry(principal: Principal, now: OffsetDateTime) -> Result<Principal, GatewayError> {
    match principal.key.expires_at {
        Some(expires_at) if expires_at <= now => Err(GatewayError::unauthenticated()),
        _ => Ok(principal),
    }
}

/// The credential of a request. A header that is sent twice counts once, as its first value.
fn credential(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, rest) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
    });
    let api_key = || headers.get("api-key").and_then(|value| value.to_str().ok()).map(str::trim);
    bearer.or_else(api_key).or_else(|| subprotocol(headers)).filter(|credential| !credential.is_empty())
}

fn subprotocol(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).find_map(|protocol| protocol.trim().strip_prefix(SUBPROTOCOL_KEY))
}

/// Matches a name against a pattern in which each `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut last: Option<&str> = None;
    for part in parts {
        if let Some(middle) = last {
            let Some((_, after)) = rest.split_once(middle) else { return false };
            rest = after;
        }
        last = Some(part);
    }
    match last {
        None => rest.is_empty(),
        Some(end) => rest.ends_with(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name) in [("*", "x"), ("gpt-*", "gpt-4o"), ("a*b*c", "a1b2c"), ("whisper-1", "whisper-1")] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("gpt-*", "xgpt-4"), ("whisper", "whisper-1"), ("a*b*c", "acb"), ("", "x")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_key_is_found_wherever_a_client_puts_it() {
        for (name, value) in [
            ("authorization", "bearer  secret"),
            ("api-key", "secret"),
            ("sec-websocket-protocol", "realtime, openai-insecure-api-key.secret"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name.parse().unwrap(), HeaderValue::from_static(value));
            assert_eq!(credential(&headers), Some("secret"), "{name}");
        }
        assert_eq!(credential(&HeaderMap::new()), None);
    }
}
