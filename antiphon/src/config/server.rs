//! `server`: where the planes listen.

use std::path::PathBuf;

use serde::Deserialize;

/// Listeners and the folder for local files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerConfig {
    /// The data plane. Default `127.0.0.1:8080`.
    pub(crate) gateway: Listener,
    /// The admin plane. Default `127.0.0.1:8081`.
    pub(crate) admin: AdminListener,
    /// Prometheus scrape. Default `127.0.0.1:9464`.
    pub(crate) metrics: Listener,
    /// Folder for the usage journal, spooled uploads and the generated master key. Default: the
    /// folder of the SQLite file, or `data`.
    pub(crate) data_dir: Option<PathBuf>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let local = |port: u16| Listener { bind: format!("127.0.0.1:{port}") };
        let admin = AdminListener { bind: local(8081).bind, public_url: None };
        Self { gateway: local(8080), admin, metrics: local(9464), data_dir: None }
    }
}

/// The listener of the admin plane.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminListener {
    /// Address and port; port 0 takes a free one.
    pub(crate) bind: String,
    /// The address that browsers use, such as `https://antiphon.example.com`, for links and redirects.
    /// Default: the listener's own.
    #[serde(default)]
    pub(crate) public_url: Option<String>,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// Address and port; port 0 takes a free one.
    pub(crate) bind: String,
}
