//! `database`: where tenants, keys, prices and usage live.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One database. SQLite for one process, PostgreSQL for several.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DatabaseConfig {
    /// `sqlite://PATH` (made when it is missing) or `postgres://USER:PASSWORD@HOST/NAME`. Default
    /// `sqlite://data/antiphon.db`.
    pub(crate) url: String,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: "sqlite://data/antiphon.db".to_owned() }
    }
}

impl DatabaseConfig {
    /// Whether several gateways can share it.
    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres://") || self.url.starts_with("postgresql://")
    }

    /// The SQLite file, where there is one (`sqlite::memory:` has none).
    pub(crate) fn sqlite_file(&self) -> Option<PathBuf> {
        let path = self.url.strip_prefix("sqlite://").or_else(|| self.url.strip_prefix("sqlite:"))?;
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(path))
    }

    /// The folder of the SQLite file.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.sqlite_file()?.parent().map(Path::to_path_buf)
    }
}

impl std::fmt::Debug for DatabaseConfig {
    /// The URL of a PostgreSQL database has its password inside.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = self.url.split_once(':').map_or("?", |(scheme, _)| scheme);
        f.debug_struct("DatabaseConfig").field("url", &format_args!("{scheme}:…")).finish()
    }
}
