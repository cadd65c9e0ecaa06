//! The one secret of the server, and those derived from it.
//!
//! It comes from the configuration, or on SQLite from a file that the first start makes. The database
//! keeps a check value, so that a lost or exchanged master key is an error at start and not a set of
//! keys that silently stop working. The pepper of virtual keys lies sealed in the database, so that they
//! stay valid when the master key is exchanged: see `sealed.rs`.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::key::{KeyHash, Pepper};
use domain::seal::SealingKey;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use secrecy::{ExposeSecret, SecretString};

use crate::config::Config;
use crate::{sealed, store};

/// Version of the pepper; stored with every key.
pub(crate) const PEPPER_VERSION: u32 = 1;
const FILE: &str = "master.key";
const CHECK: &str = "master_key_check";
/// Where the next master key lies while the database is brought under it.
const NEXT_FILE: &str = "master.key.next";
/// Rows of `settings` that hold peppers, sealed.
pub(crate) const KEY_PEPPER: &str = "key_pepper";
pub(crate) const TOKEN_PEPPER: &str = "token_pepper";

/// 32 secret bytes. Never shown, never stored in the database.
pub(crate) struct MasterKey([u8; 32]);

impl MasterKey {
    /// The pepper under which virtual keys are hashed.
    pub(crate) async fn pepper(&self, db: &impl ConnectionTrait) -> Result<Pepper> {
        Ok(Pepper::new(&self.kept(db, KEY_PEPPER, "antiphon key pepper v1").await?))
    }

    /// The pepper under which tokens of the control plane are hashed.
    pub(crate) async fn token_pepper(&self, db: &impl ConnectionTrait) -> Result<Pepper> {
        Ok(Pepper::new(&self.kept(db, TOKEN_PEPPER, "antiphon admin tokens v1").await?))
    }

    /// What the control plane keeps secrets with.
    pub(crate) async fn admin_secrets(&self, db: &impl ConnectionTrait) -> Result<admin::Secrets> {
        Ok(admin::Secrets {
            key_pepper: self.pepper(db).await?,
            key_pepper_version: PEPPER_VERSION,
            token_pepper: self.token_pepper(db).await?,
            sealing: self.sealing_key(),
        })
    }

    /// The key under which secrets are sealed in the database.
    pub(crate) fn sealing_key(&self) -> SealingKey {
        SealingKey::new(&self.derive("antiphon sealing v1"))
    }

    /// The key that signs client secrets.
    pub(crate) fn client_secret_key(&self) -> [u8; 32] {
        self.derive("antiphon client secrets v1")
    }

    /// A secret that outlives this master key: derived from the first one, and sealed in `settings` since.
    async fn kept(&self, db: &impl ConnectionTrait, name: &str, label: &str) -> Result<[u8; 32]> {
        let sealing_key = self.sealing_key();
        let kept = match sealed::read_setting(db, &sealing_key, name).await? {
            Some(kept) => kept,
            None => {
                sealed::write_new_setting(db, &sealing_key, name, &self.derive(label)).await?;
                // Of two processes that start together the first is believed.
                let kept = sealed::read_setting(db, &sealing_key, name).await?;
                kept.with_context(|| format!("the setting {name} is not there"))?
            }
        };
        <[u8; 32]>::try_from(kept).ok().with_context(|| format!("the setting {name} is not what was stored"))
    }

    /// HMAC-SHA-256 of a label: each label gives a key of its own, and none leads to another.
    fn derive(&self, label: &str) -> [u8; 32] {
        KeyHash::of(&Pepper::new(&self.0), label).0
    }

    /// What the database knows this key by.
    fn check(&self) -> String {
        STANDARD.encode(self.derive("antiphon master key check v1"))
    }

    /// From 32 bytes in base64.
    ///
    /// # Errors
    /// It is something else.
    pub(crate) fn parse(text: &SecretString) -> Result<Self> {
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
    let check = key.check();
    let stored = match store::read_setting(db, CHECK).await? {
        Some(stored) => stored,
        None => {
            store::write_new_setting(db, CHECK, &check).await?;
            store::read_setting(db, CHECK).await?.unwrap_or_default()
        }
    };
    if stored == check {
        return Ok(key);
    }
    if config.secrets.master_key.is_none()
        && let Some(next) = take_over(&config.data_dir(), &stored)?
    {
        return Ok(next);
    }
    bail!("the master key is not the one this database was made with")
}

/// Says in the database which master key it belongs to from now on.
///
/// # Errors
/// The database's.
pub(crate) async fn adopt(key: &MasterKey, db: &impl ConnectionTrait) -> Result<()> {
    Ok(store::write_setting(db, CHECK, &key.check()).await?)
}

/// Lays the next master key beside the generated one, before the database is brought under it.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn prepare_file(folder: &Path, next: &MasterKey) -> Result<()> {
    let file = folder.join(NEXT_FILE);
    write_secret(&file, &next.0).with_context(|| format!("{} cannot be made", file.display()))
}

/// Puts the next master key in the place of the generated one, once the database is under it.
///
/// # Errors
/// The file cannot be renamed; the next start does it then.
pub(crate) fn exchange_file(folder: &Path) -> Result<PathBuf> {
    let file = folder.join(FILE);
    fs::rename(folder.join(NEXT_FILE), &file).with_context(|| format!("{} cannot be replaced", file.display()))?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// The next master key, where a rotation got as far as the database and no further.
fn take_over(folder: &Path, check: &str) -> Result<Option<MasterKey>> {
    let Ok(text) = fs::read_to_string(folder.join(NEXT_FILE)) else { return Ok(None) };
    let Ok(next) = MasterKey::parse(&SecretString::from(text)) else { return Ok(None) };
    if next.check() != check {
        return Ok(None);
    }
    exchange_file(folder)?;
    Ok(Some(next))
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
    write_secret(&draft, &random)?;
    let linked = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes a key so that its owner alone reads it.
fn write_secret(file: &Path, bytes: &[u8; 32]) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    writeln!(file, "{}", STANDARD.encode(bytes))?;
    file.sync_all()?;
    Ok(())
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
