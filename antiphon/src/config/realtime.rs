//! `realtime`: what is done with sessions beside holding them.

use std::path::PathBuf;

use serde::Deserialize;

/// Realtime sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RealtimeConfig {
    /// Folder into which every session is recorded, for debugging. Not for production: what people say is
    /// on the disk then. Default: none.
    pub(crate) record_dir: Option<PathBuf>,
}
