//! Who may call what: the one table of routes. What does not stand here is refused.
//!
//! The rule for what a caller may not do: a role that may never call a route is told 403, before anything
//! is looked up; an object of another tenant is 404, like one that is not there.

use actix_web::HttpRequest;
use actix_web::http::Method;
use admin_types::role::Role;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without signing in.
    Open,
    /// Whoever has this role or one above it.
    AtLeast(Role),
}

const VIEWER: Access = Access::AtLeast(Role::TenantViewer);
const ADMIN: Access = Access::AtLeast(Role::TenantAdmin);
const PLATFORM: Access = Access::AtLeast(Role::PlatformAdmin);

/// Method, pattern of the path, who.
pub const ROUTES: &[(Method, &str, Access)] = &[
    (Method::GET, "/api/v1/openapi.json", Access::Open),
    (Method::GET, "/api/v1/instance", Access::Open),
    // signing in, and one's own account
    (Method::POST, "/api/v1/auth/login", Access::Open),
    (Method::POST, "/api/v1/auth/refresh", Access::Open),
    (Method::POST, "/api/v1/auth/logout", Access::Open),
    (Method::POST, "/api/v1/auth/accept", Access::Open),
    (Method::GET, "/api/v1/auth/oidc/start", Access::Open),
    (Method::GET, "/api/v1/auth/oidc/callback", Access::Open),
    (Method::POST, "/api/v1/auth/password", VIEWER),
    (Method::GET, "/api/v1/auth/me", VIEWER),
    (Method::GET, "/api/v1/auth/sessions", VIEWER),
    (Method::DELETE, "/api/v1/auth/sessions/{id}", VIEWER),
    // personal access tokens
    (Method::GET, "/api/v1/tokens", VIEWER),
    (Method::POST, "/api/v1/tokens", VIEWER),
    (Method::GET, "/api/v1/tokens/{id}", VIEWER),
    (Method::DELETE, "/api/v1/tokens/{id}", VIEWER),
    // users
    (Method::GET, "/api/v1/users", ADMIN),
    (Method::POST, "/api/v1/users", ADMIN),
    (Method::GET, "/api/v1/users/{id}", ADMIN),
    (Method::PATCH, "/api/v1/users/{id}", ADMIN),
    (Method::DELETE, "/api/v1/users/{id}", ADMIN),
    (Method::POST, "/api/v1/users/{id}/reset-password", ADMIN),
    // tenants
    (Method::GET, "/api/v1/tenants", VIEWER),
    (Method::POST, "/api/v1/tenants", PLATFORM),
    (Method::GET, "/api/v1/tenants/{id}", VIEWER),
    (Method::PATCH, "/api/v1/tenants/{id}", PLATFORM),
    (Method::DELETE, "/api/v1/tenants/{id}", PLATFORM),
    (Method::POST, "/api/v1/tenants/{id}/suspend", PLATFORM),
    (Method::POST, "/api/v1/tenants/{id}/resume", PLATFORM),
    // keys
    (Method::GET, "/api/v1/keys", VIEWER),
    (Method::POST, "/api/v1/keys", ADMIN),
    (Method::POST, "/api/v1/keys/bulk", ADMIN),
    (Method::GET, "/api/v1/keys/{id}", VIEWER),
    (Method::PATCH, "/api/v1/keys/{id}", ADMIN),
    (Method::DELETE, "/api/v1/keys/{id}", ADMIN),
    (Method::POST, "/api/v1/keys/{id}/rotate", ADMIN),
    (Method::POST, "/api/v1/keys/{id}/revoke", ADMIN),
    (Method::GET, "/api/v1/keys/{id}/usage", VIEWER),
    // the audit log
    (Method::GET, "/api/v1/audit", ADMIN),
    (Method::GET, "/api/v1/audit/verify", ADMIN),
    (Method::GET, "/api/v1/audit/export", ADMIN),
    (Method::GET, "/api/v1/audit/{id}", ADMIN),
    // sessions
    (Method::GET, "/api/v1/sessions", VIEWER),
    (Method::GET, "/api/v1/sessions/events", VIEWER),
    (Method::GET, "/api/v1/sessions/{id}", VIEWER),
    (Method::POST, "/api/v1/sessions/{id}/terminate", ADMIN),
    // health
    (Method::GET, "/api/v1/health", VIEWER),
    // the process that answers
    (Method::GET, "/api/v1/log-level", PLATFORM),
    (Method::PUT, "/api/v1/log-level", PLATFORM),
    (Method::DELETE, "/api/v1/log-level", PLATFORM),
    (Method::GET, "/api/v1/debug/profile", PLATFORM),
    // prices: what is billed on the platform's accounts is the platform's to set
    (Method::GET, "/api/v1/prices", VIEWER),
    (Method::POST, "/api/v1/prices", PLATFORM),
    (Method::GET, "/api/v1/prices/export", VIEWER),
    (Method::POST, "/api/v1/prices/import", PLATFORM),
    (Method::GET, "/api/v1/prices/unpriced", VIEWER),
    (Method::POST, "/api/v1/prices/reprice", PLATFORM),
    (Method::GET, "/api/v1/prices/{id}", VIEWER),
    (Method::PATCH, "/api/v1/prices/{id}", PLATFORM),
    (Method::DELETE, "/api/v1/prices/{id}", PLATFORM),
    // usage
    (Method::GET, "/api/v1/usage", VIEWER),
    (Method::GET, "/api/v1/usage/records", VIEWER),
    (Method::GET, "/api/v1/usage/records/{id}", VIEWER),
    (Method::GET, "/api/v1/usage/aggregates", VIEWER),
    (Method::GET, "/api/v1/usage/export", VIEWER),
    (Method::POST, "/api/v1/usage/compare", ADMIN),
    // alerts
    (Method::GET, "/api/v1/alerts", VIEWER),
    (Method::GET, "/api/v1/alerts/deliveries", VIEWER),
    (Method::GET, "/api/v1/alerts/{id}", VIEWER),
    (Method::POST, "/api/v1/alerts/{id}/acknowledge", ADMIN),
    (Method::GET, "/api/v1/alerts/rules", VIEWER),
    (Method::POST, "/api/v1/alerts/rules", ADMIN),
    (Method::GET, "/api/v1/alerts/rules/{id}", VIEWER),
    (Method::PATCH, "/api/v1/alerts/rules/{id}", ADMIN),
    (Method::DELETE, "/api/v1/alerts/rules/{id}", ADMIN),
    (Method::POST, "/api/v1/alerts/rules/{id}/mute", ADMIN),
    (Method::POST, "/api/v1/alerts/rules/{id}/unmute", ADMIN),
    (Method::GET, "/api/v1/alerts/channels", VIEWER),
    (Method::POST, "/api/v1/alerts/channels", ADMIN),
    (Method::GET, "/api/v1/alerts/channels/{id}", VIEWER),
    (Method::PATCH, "/api/v1/alerts/channels/{id}", ADMIN),
    (Method::DELETE, "/api/v1/alerts/channels/{id}", ADMIN),
    (Method::POST, "/api/v1/alerts/channels/{id}/test", ADMIN),
    // models and voices
    (Method::GET, "/api/v1/models", VIEWER),
    (Method::POST, "/api/v1/models", ADMIN),
    (Method::POST, "/api/v1/models/simulate", VIEWER),
    (Method::GET, "/api/v1/models/{id}", VIEWER),
    (Method::PUT, "/api/v1/models/{id}", ADMIN),
    (Method::PATCH, "/api/v1/models/{id}", ADMIN),
    (Method::DELETE, "/api/v1/models/{id}", ADMIN),
    (Method::POST, "/api/v1/models/{id}/simulate", VIEWER),
    (Method::GET, "/api/v1/voices", VIEWER),
    (Method::GET, "/api/v1/voices/{name}", VIEWER),
    (Method::PUT, "/api/v1/voices/{name}", PLATFORM),
    (Method::DELETE, "/api/v1/voices/{name}", PLATFORM),
    // providers
    (Method::GET, "/api/v1/providers", VIEWER),
    (Method::POST, "/api/v1/providers", ADMIN),
    (Method::GET, "/api/v1/providers/{id}", VIEWER),
    (Method::PATCH, "/api/v1/providers/{id}", ADMIN),
    (Method::DELETE, "/api/v1/providers/{id}", ADMIN),
    (Method::POST, "/api/v1/providers/{id}/test", ADMIN),
    (Method::GET, "/api/v1/providers/{id}/credentials", ADMIN),
    (Method::POST, "/api/v1/providers/{id}/credentials", ADMIN),
    (Method::GET, "/api/v1/providers/{id}/credentials/{credential}", ADMIN),
    (Method::PATCH, "/api/v1/providers/{id}/credentials/{credential}", ADMIN),
    (Method::DELETE, "/api/v1/providers/{id}/credentials/{credential}", ADMIN),
];

/// Who may call this route; `None` for a route that is in no table.
#[must_use]
pub fn of(method: &str, pattern: &str) -> Option<Access> {
    let row = ROUTES.iter().find(|(of, path, _)| of.as_str() == method && *path == pattern);
    row.map(|(.., access)| *access)
}

/// The pattern that a request is routed by. Routing decodes the path, which `match_pattern` does not before it.
pub(crate) fn pattern(request: &HttpRequest) -> Option<String> {
    request.resource_map().match_pattern(path(request))
}

/// The path that a request is routed by.
pub(crate) fn path(request: &HttpRequest) -> &str {
    request.match_info().as_str()
}

/// The methods that a path takes, for `Allow`.
#[must_use]
pub fn methods(pattern: &str) -> Vec<&'static str> {
    ROUTES.iter().filter(|(_, path, _)| *path == pattern).map(|(method, ..)| method.as_str()).collect()
}
