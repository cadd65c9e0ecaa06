//! `antiphon config`: looks at the configuration without starting anything.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::{Common, output};
use crate::config::{self, environment};

/// `antiphon config …`
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check a file together with the environment; say the first thing that is wrong
    Check {
        /// The file
        file: PathBuf,
    },
}

/// Runs the command.
pub(super) fn run(command: &Config, common: &Common) -> Result<()> {
    let Config::Check { file } = command;
    let config = config::Config::load(Some(file), &environment(), &[])?;
    let keys: usize = config.tenants.iter().map(|tenant| tenant.keys.len()).sum();
    if common.json {
        return output::json(&json!({
            "valid": true,
            "providers": config.providers.iter().map(|provider| &provider.name).collect::<Vec<_>>(),
            "models": config.models.iter().map(|model| &model.name).collect::<Vec<_>>(),
            "tenants": config.tenants.iter().map(|tenant| &tenant.name).collect::<Vec<_>>(),
            "keys": keys,
            "notes": config.notes(),
        }));
    }
    let (providers, models, tenants) = (config.providers.len(), config.models.len(), config.tenants.len());
    for note in config.notes() {
        output::line(&format!("{}: note: {note}", file.display()))?;
    }
    output::line(&format!(
        "{}: valid: {providers} providers, {models} models, {tenants} tenants, {keys} keys",
        file.display()
    ))
}
