//! `redis`: limits that several gateways share; optional.

use std::time::Duration;

use gateway::limits::shared::{SharedSettings, WhenAway};
use replicas::{Replicas, ReplicasError, Settings};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// What a URL of Redis begins with.
const SCHEMES: [&str; 6] =
    ["redis://", "rediss://", "redis-cluster://", "rediss-cluster://", "redis-sentinel://", "rediss-sentinel://"];

/// One Redis, which all gateways share. Prefix and lease must be the same at all of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisConfig {
    /// `redis://…`, or `redis-cluster://…` or `redis-sentinel://…`, with `rediss` for TLS; its password is part of it.
    pub(crate) url: SecretString,
    /// Connections to each server. Default 4.
    #[serde(default = "defaults::connections")]
    pub(crate) connections: usize,
    /// To open a connection. Default `3s`.
    #[serde(default = "defaults::connect_timeout", deserialize_with = "super::value::duration")]
    pub(crate) connect_timeout: Duration,
    /// For one answer, after which the gateway goes on as `when_away` says. Default `250ms`.
    #[serde(default = "defaults::call_timeout", deserialize_with = "super::value::duration")]
    pub(crate) call_timeout: Duration,
    /// What every name in Redis begins with. Default `antiphon`.
    #[serde(default = "defaults::prefix")]
    pub(crate) prefix: String,
    /// How long what a dead gateway held stays taken. Default `30s`.
    #[serde(default = "defaults::lease_ttl", deserialize_with = "super::value::duration")]
    pub(crate) lease_ttl: Duration,
    /// What holds for keys with limits while Redis is away. Default `local_share`.
    #[serde(default)]
    pub(crate) when_away: Away,
}

/// As the gateway has it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Away {
    /// Each gateway gives its part of each limit.
    #[default]
    LocalShare,
    /// Nothing is limited.
    Open,
    /// Nothing is admitted that a limit is set for.
    Closed,
}

impl From<Away> for WhenAway {
    fn from(away: Away) -> Self {
        match away {
            Away::LocalShare => Self::LocalShare,
            Away::Open => Self::Open,
            Away::Closed => Self::Closed,
        }
    }
}

/// The crate's own, whatever the URL.
mod defaults {
    use super::{Duration, Settings};

    fn settings() -> Settings {
        Settings::new(String::new().into())
    }

    pub(super) fn connections() -> usize {
        settings().connections
    }

    pub(super) fn connect_timeout() -> Duration {
        settings().connect_timeout
    }

    pub(super) fn call_timeout() -> Duration {
        settings().call_timeout
    }

    pub(super) fn prefix() -> String {
        settings().prefix
    }

    pub(super) fn lease_ttl() -> Duration {
        settings().lease_ttl
    }
}

impl RedisConfig {
    /// What is wrong with it, in words for whoever wrote it; never with the URL, which may hold a password.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let url = self.url.expose_secret();
        if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            return Err(
                "redis.url: expected redis://…, redis-cluster://… or redis-sentinel://…, or the same with rediss",
            );
        }
        if self.connections == 0 || self.connections > 64 {
            return Err("redis.connections: expected 1 to 64");
        }
        if self.prefix.is_empty() || self.prefix.contains(['{', '}']) {
            return Err("redis.prefix: expected a text without braces");
        }
        if self.call_timeout.is_zero() || self.connect_timeout.is_zero() {
            return Err("redis: call_timeout and connect_timeout must be more than nothing");
        }
        if self.lease_ttl < Duration::from_secs(3) || self.lease_ttl < self.call_timeout.saturating_mul(6) {
            return Err("redis.lease_ttl: expected at least 3s, and six times redis.call_timeout");
        }
        Ok(())
    }

    /// One connection, for whoever only tells gateways of what happens, or asks what is open.
    ///
    /// # Errors
    /// It cannot be used as it is configured.
    pub(crate) fn teller(&self) -> Result<Replicas, ReplicasError> {
        Replicas::connect(Settings { connections: 1, ..self.to_gateway().redis })
    }

    /// As the gateway takes it.
    pub(crate) fn to_gateway(&self) -> SharedSettings {
        let redis = Settings {
            connections: self.connections,
            connect_timeout: self.connect_timeout,
            call_timeout: self.call_timeout,
            prefix: self.prefix.clone(),
            lease_ttl: self.lease_ttl,
            ..Settings::new(self.url.clone())
        };
        SharedSettings { redis, when_away: self.when_away.into() }
    }
}
