//! `server`: where the planes listen.

use std::path::PathBuf;

use serde::Deserialize;

/// Listeners and the folder for local files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerConfig {
    /// The data plane. Default `127.0.0.1:8080`.
    pub(crate) gateway: Listener<8080>,
    /// The admin plane. Default `127.0.0.1:8081`.
    pub(crate) admin: Listener<8081>,
    /// Prometheus scrape. Default `127.0.0.1:9464`.
    pub(crate) metrics: Listener<9464>,
    /// Folder for the usage journal, spooled uploads and the generated master key. Default: the
    /// folder of the SQLite file, or `data`.
    pub(crate) data_dir: Option<PathBuf>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { gateway: Listener::default(), admin: Listener::default(), metrics: Listener::default(), data_dir: None }
    }
}

/// One listener; `PORT` is its default port.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listener<const PORT: u16> {
    /// Address and port; port 0 takes a free one.
    pub(crate) bind: String,
}

impl<const PORT: u16> Default for Listener<PORT> {
    fn default() -> Self {
        Self { bind: format!("127.0.0.1:{PORT}") }
    }
}
