//! What a running process does not take over from a configuration that is loaded again.

use secrecy::{ExposeSecret, SecretString};

use super::{Config, OidcConfig, OtlpConfig, SmtpConfig};

/// The fields that differ and need a restart.
pub(super) fn differing(started: &Config, newer: &Config) -> Vec<&'static str> {
    let (old, new) = (started, newer);
    let redis = |config: &Config| config.redis.as_ref().map(|redis| redis.url.clone());
    let same = [
        ("server.gateway", old.server.gateway == new.server.gateway),
        ("server.admin", old.server.admin == new.server.admin),
        ("server.metrics", old.server.metrics == new.server.metrics),
        ("server.data_dir", old.server.data_dir == new.server.data_dir),
        ("database", old.database.url == new.database.url),
        ("redis", same_secret(redis(old).as_ref(), redis(new).as_ref())),
        ("secrets.master_key", same_secret(old.secrets.master_key.as_ref(), new.secrets.master_key.as_ref())),
        ("realtime.record_dir", old.realtime == new.realtime),
        ("timeouts.connect", old.timeouts.connect == new.timeouts.connect),
        ("smtp", both(old.smtp.as_ref(), new.smtp.as_ref(), same_smtp)),
        ("telemetry.format", old.telemetry.format == new.telemetry.format),
        ("telemetry.otlp", both(old.telemetry.otlp.as_ref(), new.telemetry.otlp.as_ref(), same_otlp)),
        ("oidc", both(old.oidc.as_ref(), new.oidc.as_ref(), same_oidc)),
        ("usage", old.usage == new.usage),
    ];
    same.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
}

fn both<T>(old: Option<&T>, new: Option<&T>, same: impl Fn(&T, &T) -> bool) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => same(old, new),
        (None, None) => true,
        _ => false,
    }
}

fn same_secret(old: Option<&SecretString>, new: Option<&SecretString>) -> bool {
    old.map(ExposeSecret::expose_secret) == new.map(ExposeSecret::expose_secret)
}

fn same_smtp(old: &SmtpConfig, new: &SmtpConfig) -> bool {
    let SmtpConfig { host, port, username, password, from, tls } = old;
    (host, port, username, from, tls) == (&new.host, &new.port, &new.username, &new.from, &new.tls)
        && same_secret(password.as_ref(), new.password.as_ref())
}

fn same_otlp(old: &OtlpConfig, new: &OtlpConfig) -> bool {
    let OtlpConfig {
        endpoint,
        protocol,
        headers,
        timeout,
        sample,
        follow_callers,
        propagate_to,
        metrics,
        interval,
        resource,
    } = old;
    let same_header = |(name, value): (&String, &SecretString)| same_secret(Some(value), new.headers.get(name));
    (endpoint, protocol, timeout, follow_callers) == (&new.endpoint, &new.protocol, &new.timeout, &new.follow_callers)
        && (propagate_to, metrics, interval) == (&new.propagate_to, &new.metrics, &new.interval)
        && (sample.to_bits(), resource) == (new.sample.to_bits(), &new.resource)
        && headers.len() == new.headers.len()
        && headers.iter().all(same_header)
}

fn same_oidc(old: &OidcConfig, new: &OidcConfig) -> bool {
    let OidcConfig { issuer, client_id, client_secret, scopes, role_claim, roles, allow_insecure } = old;
    (issuer, client_id, scopes, role_claim) == (&new.issuer, &new.client_id, &new.scopes, &new.role_claim)
        && (roles, allow_insecure) == (&new.roles, &new.allow_insecure)
        && same_secret(client_secret.as_ref(), new.client_secret.as_ref())
}
