//! How Redis is reached, and the periods by which things are kept in it.

use std::fmt;
use std::time::Duration;

use fred::types::Builder;
use fred::types::config::{Config, ReconnectError, ReconnectPolicy};
use secrecy::{ExposeSecret, SecretString};

use crate::ReplicasError;

/// How Redis is reached, and for how long things are kept in it. All gateways of an installation must have the
/// same prefix and periods.
#[derive(Clone)]
pub struct Settings {
    /// `redis://`, `rediss://` (TLS); `redis-cluster://…?node=host:port`; and
    /// `redis-sentinel://…?sentinelServiceName=name&node=host:port`, each with or without the second s.
    pub url: SecretString,
    /// Connections to each server.
    pub connections: usize,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long one call may take, after which its caller falls back. Long enough for a slow moment, short enough
    /// that nobody on the phone notices.
    pub call_timeout: Duration,
    /// What every name in Redis begins with.
    pub prefix: String,
    /// How long a lease lives without being renewed, which is how long a dead gateway's slots and reservations stay
    /// taken. It is renewed each third of it.
    pub lease_ttl: Duration,
    /// How far behind now the horizon stays: more than any two clocks differ by.
    pub lag: Duration,
    /// How long records on their way into the database, and calls that are open, may hold the horizon back.
    pub max_lag: Duration,
    /// How often the past of a key in use is read from the database again.
    pub refresh: Duration,
}

impl Settings {
    /// The defaults, for the Redis at `url`.
    #[must_use]
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            connections: 4,
            connect_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_millis(250),
            prefix: "antiphon".to_owned(),
            lease_ttl: Duration::from_secs(30),
            lag: Duration::from_secs(300),
            max_lag: Duration::from_secs(3600),
            refresh: Duration::from_secs(300),
        }
    }

    /// A builder of clients, each of which connects in the background for as long as it takes.
    pub(crate) fn builder(&self) -> Result<Builder, ReplicasError> {
        use_ring();
        let mut config = Config::from_url(self.url.expose_secret()).map_err(|error| {
            // The parser's text can quote the URL: only its kind is told.
            ReplicasError::Settings { reason: format!("the URL cannot be used ({:?})", error.kind()) }
        })?;
        if self.connections == 0 {
            return Err(ReplicasError::Settings { reason: "connections must be at least 1".to_owned() });
        }
        config.fail_fast = false;
        let mut builder = Builder::from_config(config);
        builder.set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2)).with_connection_config(|connection| {
            connection.connection_timeout = self.connect_timeout;
            connection.internal_command_timeout = self.connect_timeout;
            // A command that is sent a second time by itself could be counted twice.
            connection.max_command_attempts = 1;
            connection.unresponsive.max_timeout = Some(self.connect_timeout);
            connection.unresponsive.interval = Duration::from_secs(1);
            connection.tcp.nodelay = Some(true);
            // A failover leaves connections to what is a replica now.
            connection.reconnect_errors = vec![
                ReconnectError::ReadOnly,
                ReconnectError::MasterDown,
                ReconnectError::ClusterDown,
                ReconnectError::Loading,
            ];
        });
        Ok(builder)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("prefix", &self.prefix)
            .field("connections", &self.connections)
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}

/// TLS to Redis takes the process's provider of cryptography. Where none was chosen it is the one that the rest
/// of the gateway uses.
fn use_ring() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may choose one at this moment, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}
