//! `antiphon keys`: the master key is exchanged, and virtual keys stay valid.

use std::path::PathBuf;

use admin::audit::{self, By, Change};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use domain::seal::SealingKey;
use secrecy::SecretString;
use serde_json::json;

use super::{Common, output};
use crate::config::environment;
use crate::master_key::{self, MasterKey};
use crate::{sealed, store};

/// `antiphon keys …`
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Bring everything that is sealed under another master key, and say what to do next
    RotateMaster(RotateMaster),
}

/// `antiphon keys rotate-master …`
#[derive(Debug, clap::Args)]
#[group(id = "new_key", required = true, multiple = false)]
pub(crate) struct RotateMaster {
    /// Environment variable that holds the new master key: 32 bytes in base64
    #[arg(long, value_name = "NAME", group = "new_key")]
    new_key_env: Option<String>,
    /// File that holds the new master key: 32 bytes in base64
    #[arg(long, value_name = "FILE", group = "new_key")]
    new_key_file: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(command: Keys, common: &Common) -> Result<()> {
    let Keys::RotateMaster(rotate) = command;
    rotate_master(rotate, common).await
}

async fn rotate_master(rotate: RotateMaster, common: &Common) -> Result<()> {
    let config = common.load(Vec::new())?;
    master_key::require(&config)?;
    let next = rotate.new_key()?;
    let db = store::open(&config.database).await?;
    let present = master_key::obtain(&config, &db).await?;
    let (old, new) = (present.sealing_key(), next.sealing_key());
    if old.key_id() == new.key_id() {
        bail!("the new master key is the present one");
    }
    // Sealed by now, whichever version made this database: from here on it depends on no master key.
    present.pepper(&db).await?;
    present.token_pepper(&db).await?;
    let generated = config.secrets.master_key.is_none().then(|| config.data_dir());
    if let Some(folder) = &generated {
        master_key::prepare_file(folder, &next)?;
    }
    let transaction = database::begin_writing(&db).await?;
    let rewrapped = sealed::rewrap_all(&transaction, &old, &new).await?;
    master_key::adopt(&next, &transaction).await?;
    let id = |key: &SealingKey| json!({ "key_id": key.key_id().to_string() });
    let change = Change { action: "rotate", kind: "master_key", ..Change::default() };
    let change = change.before(&id(&old)).after(&id(&new));
    audit::append(&transaction, &By::command_line(), change).await?;
    changes::announce(&transaction).await?;
    transaction.commit().await?;
    let file = generated.map(|folder| master_key::exchange_file(&folder)).transpose()?;
    if common.json {
        return output::json(&json!({ "rewrapped": rewrapped, "key_id": new.key_id().to_string(), "file": file }));
    }
    output::line(&format!("{rewrapped} sealed values are under the new master key {}", new.key_id()))?;
    output::line(&match file {
        Some(file) => format!("{} holds it; restart every process that runs", file.display()),
        None => "set secrets.master_key to it, and restart every process".to_owned(),
    })
}

impl RotateMaster {
    fn new_key(&self) -> Result<MasterKey> {
        if let Some(name) = &self.new_key_env {
            let environment = environment();
            let text = environment.get(name).with_context(|| format!("the variable {name} is not set"))?;
            return MasterKey::parse(&SecretString::from(text.clone())).with_context(|| name.clone());
        }
        let file = self.new_key_file.as_ref().context("no new master key is given")?;
        let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        MasterKey::parse(&SecretString::from(text)).with_context(|| file.display().to_string())
    }
}
