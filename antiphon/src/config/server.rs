//! `server`: where the planes listen.

use std::path::PathBuf;

use serde::Deserialize;

/// Listeners and the folder for local files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerConfig {
    /// The data plane. Default `127.0.0.1:8080`.
    pub(crate) gateway: GatewayListener,
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
        let (gateway, admin) = (GatewayListener::default(), AdminListener::default());
        Self { gateway, admin, metrics: Listener { bind: local(9464) }, data_dir: None }
    }
}

/// The listener of the data plane.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GatewayListener {
    /// Address and port; port 0 takes a free one.
    pub(crate) bind: String,
    /// The address that clients use, such as `https://voice.example.com`, which the dashboard shows and calls.
    /// Default: the listener's own, where both planes run in one process.
    pub(crate) public_url: Option<String>,
    /// The origins of pages whose scripts may call it, such as `https://antiphon.example.com`; `"*"` for every one.
    /// Default: that of `server.admin.public_url`, and the admin plane's listener's where it is in the same process.
    pub(crate) allowed_origins: Option<Vec<String>>,
}

impl Default for GatewayListener {
    fn default() -> Self {
        Self { bind: local(8080), public_url: None, allowed_origins: None }
    }
}

/// The listener of the admin plane.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminListener {
    /// Address and port; port 0 takes a free one.
    pub(crate) bind: String,
    /// The address that browsers use, such as `https://antiphon.example.com`, for links and redirects.
    /// Default: the listener's own.
    pub(crate) public_url: Option<String>,
    /// Addresses and networks, such as `10.0.0.0/8`, of the proxies whose `X-Forwarded-For` says where a request comes
    /// from, by which guesses at passwords are counted and the audit log names who did what. Default: none, then it is
    /// the peer of the connection.
    pub(crate) trusted_proxies: Vec<String>,
}

impl Default for AdminListener {
    fn default() -> Self {
        Self { bind: local(8081), public_url: None, trusted_proxies: Vec::new() }
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// Address and port; port 0 takes a free one.
    pub(crate) bind: String,
}
