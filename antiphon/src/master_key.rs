//! The one secret of the server, and those derived from it.
//!
//! It comes from the configuration, or on SQLite from a file that the first start makes. The database
//! keeps a check value, so that a lost or exchanged master key is an error at start and not a set of
//! keys that silently stop working.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::key::{KeyHash, Pepper};
use domain::seal::SealingKey;
use sea_orm::DatabaseConnection;
use secrecy::{ExposeSecret, SecretString};

use crate::config::Config;
use crate::store;

/// Version of the pepper that is derived below; stored with every key.
pub(crate) const PEPPER_VERSION: u32 = 1;
const FILE: &str = "master.key";
const CHECK: &str = "master_key_check";

/// 32 secret bytes. Never shown, never stored in the database.
pub(crate) struct MasterKey([u8; 32]);

impl MasterKey {
    /// The pepper under which virtual keys are hashed.
    pub(crate) fn pepper(&self) -> Pepper {
        Pepper::new(&self.derive("antiphon key pepper v1"))
    }

    /// The key that signs client secrets.
    pub(crate) fn client_secret_key(&self) -> [u8; 32] {
        self.derive("antiphon client secrets v1")
    }

    /// What the control plane derives its secrets from.
    pub(crate) fn admin_secrets(&self) -> admin::Secrets {
        admin::Secrets {
            key_pepper: self.pepper(),
            key_pepper_version: PEPPER_VERSION,
            token_pepper: Pepper::new(&self.derive("antiphon admin tokens v1")),
            sealing: self.sealing_key(),
        }
    }

    /// The key under which secrets are sealed in the database.
    pub(crate) fn sealing_key(&self) -> SealingKey {
        SealingKey::new(&self.derive("antiphon sealing v1"))
    }

    /// HMAC-SHA-256 of a label: each label gives a key of its own, and none leads to another.
    fn derive(&self, label: &str) -> [u8; 32] {
        KeyHash::of(&Pepper::new(&self.0), label).0
    }

    fn parse(text: &SecretString) -> Result<Self> {
        let bytes = STANDARD.decode(text.expose_secret().trim()).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).context("the master key must be 32 bytes in base64 (openssl rand -base64 32)")
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Refuses a configuration that must name a master key and does not, before anything is opened.
pub(crate) fn require(config: &Config) -> Result<()> {
    if config.secrets.master_key.is_none() && config.database.is_postgres() {
        bail!("secrets.master_key is missing: on PostgreSQL it must be set (ANTIPHON_SECRETS__MASTER_KEY)");
    }
    Ok(())
}

/// The master key that belongs to this database.
///
/// # Errors
/// None is configured for PostgreSQL; it is malformed; it is not the one the database was made with.
pub(crate) async fn obtain(config: &Config, db: &DatabaseConnection) -> Result<MasterKey> {
    require(config)?;
    let key = match &config.secrets.master_key {
        Some(text) => MasterKey::parse(text).context("secrets.master_key")?,
        None => from_file(&config.data_dir())?,
    };
    let check = STANDARD.encode(key.derive("antiphon master key check v1"));
    match store::read_setting(db, CHECK).await? {
        None => store::write_setting(db, CHECK, &check).await?,
        Some(stored) if stored == check => {}
        Some(_) => bail!("the master key is not the one this database was made with"),
    }
    Ok(key)
}

/// Reads the generated key, or generates it. Of two processes that start together one wins, and both
/// use its key.
fn from_file(folder: &Path) -> Result<MasterKey> {
    let file = folder.join(FILE);
    if !file.exists() {
        generate(folder, &file).with_context(|| format!("{} cannot be made", file.display()))?;
    }
    let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    MasterKey::parse(&SecretString::from(text)).with_context(|| file.display().to_string())
}

fn generate(folder: &Path, file: &Path) -> Result<()> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).context("the system gives no random bytes")?;
    fs::create_dir_all(folder)?;
    // Written whole under another name first: a link appears with its content or not at all.
    let draft = folder.join(format!("{FILE}.{}", std::process::id()));
    let mut draft_file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(draft_file, "{}", STANDARD.encode(random))?;
    draft_file.sync_all()?;
    let linked = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_generated_key_is_kept_and_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let first = from_file(&data).unwrap();
        assert_eq!(from_file(&data).unwrap().0, first.0);
        let mode = fs::metadata(data.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn labels_give_unrelated_keys() {
        let key = MasterKey([7; 32]);
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_ne!(key.derive("a"), MasterKey([8; 32]).derive("a"));
        assert_eq!(format!("{key:?}"), "MasterKey(…)");
    }

    #[test]
    fn what_is_not_32_bytes_in_base64_is_refused_without_being_shown() {
        for text in ["", "hunter2hunter2", "c2hvcnQ="] {
            let error = MasterKey::parse(&SecretString::from(text.to_owned())).unwrap_err();
            assert!(format!("{error:#}").contains("32 bytes in base64"));
        }
    }
}
