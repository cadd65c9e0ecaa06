//! What the database keeps sealed, and how all of it is brought under another master key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::seal::{
    OpenError, REWRAP_RANDOM_BYTES, SEAL_RANDOM_BYTES, SealingKey, binding, key_id_of, payload_of, setting_binding,
};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Order, Query};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult};
use secrecy::SecretString;

use crate::{master_key, store};

/// A column of sealed bytes.
struct SealedColumn {
    table: &'static str,
    id: &'static str,
    sealed: &'static str,
    /// What of its row it is bound to, in this order; nothing is written as `-`.
    bound_to: &'static [&'static str],
    /// A row is soon made again: one that no key opens is removed.
    transient: bool,
}

/// Every one there is. A table that is not here is lost when the master key is rotated.
const COLUMNS: &[SealedColumn] = &[
    sealed("provider_credentials", &["id", "provider_id", "tenant_id"]),
    sealed("alert_channels", &["id"]),
    transient("idempotency_keys", &["id"]),
    transient("oidc_sign_ins", &["id"]),
    transient("signing_keys", &["id"]),
];

/// Every table calls these columns alike.
const fn sealed(table: &'static str, bound_to: &'static [&'static str]) -> SealedColumn {
    SealedColumn { table, id: "id", sealed: "sealed", bound_to, transient: false }
}

const fn transient(table: &'static str, bound_to: &'static [&'static str]) -> SealedColumn {
    SealedColumn { transient: true, ..sealed(table, bound_to) }
}

/// Rows of `settings` whose value is sealed, in base64.
const SETTINGS: &[&str] = &[master_key::KEY_PEPPER, master_key::TOKEN_PEPPER];

/// Rows that are read at once.
const PAGE: u64 = 500;

/// A sealed row of `settings`; `None` where there is none.
///
/// # Errors
/// The database's; it cannot be opened.
pub(crate) async fn read_setting(db: &impl ConnectionTrait, key: &SealingKey, name: &str) -> Result<Option<Vec<u8>>> {
    let Some(text) = store::read_setting(db, name).await? else { return Ok(None) };
    let sealed = STANDARD.decode(text).with_context(|| format!("the setting {name} is damaged"))?;
    let opened = key.open(&sealed, &setting_binding(name));
    opened.map(Some).with_context(|| format!("the setting {name} cannot be opened"))
}

/// Writes a sealed row of `settings` where there is none yet.
///
/// # Errors
/// The database's; the system gives no random bytes.
pub(crate) async fn write_new_setting(
    db: &impl ConnectionTrait,
    key: &SealingKey,
    name: &str,
    secret: &[u8],
) -> Result<()> {
    let sealed = key.seal(secret, &setting_binding(name), random::<SEAL_RANDOM_BYTES>()?);
    Ok(store::write_new_setting(db, name, &STANDARD.encode(sealed)).await?)
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut random = [0; N];
    getrandom::fill(&mut random).context("the system gives no random bytes")?;
    Ok(random)
}

/// Brings everything that is sealed under `old` under `new`, within the caller's transaction; gives how much
/// that was. What is under `new` already stays as it is; what is transient and under neither is removed.
///
/// # Errors
/// The database's; something that must not be lost cannot be opened, and is named.
pub(crate) async fn rewrap_all(db: &impl ConnectionTrait, old: &SealingKey, new: &SealingKey) -> Result<u64> {
    lock(db).await?;
    let mut count = 0;
    for column in COLUMNS {
        count += rewrap_column(db, column, old, new).await?;
    }
    for name in SETTINGS {
        let Some(text) = store::read_setting(db, name).await? else { continue };
        let sealed = STANDARD.decode(text).with_context(|| format!("the setting {name} is damaged"))?;
        let again = rewrapped(&sealed, &setting_binding(name), old, new, random()?);
        if let Some(again) = again.with_context(|| format!("nothing was changed: the setting {name}"))? {
            store::write_setting(db, name, &STANDARD.encode(again)).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Nobody writes a sealed row meanwhile, which would be left behind. On SQLite a writing transaction is
/// alone anyway.
async fn lock(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    for table in COLUMNS.iter().map(|column| column.table).chain(["settings"]) {
        db.execute_unprepared(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await?;
    }
    Ok(())
}

async fn rewrap_column(
    db: &impl ConnectionTrait,
    column: &SealedColumn,
    old: &SealingKey,
    new: &SealingKey,
) -> Result<u64> {
    let (mut count, mut last) = (0, String::new());
    loop {
        let select = Query::select()
            .columns([column.id, column.sealed].into_iter().chain(column.bound_to.iter().copied()).map(Alias::new))
            .from(Alias::new(column.table))
            .and_where(Expr::col(Alias::new(column.id)).gt(last.as_str()))
            .and_where(Expr::col(Alias::new(column.sealed)).is_not_null())
            .order_by(Alias::new(column.id), Order::Asc)
            .limit(PAGE)
            .to_owned();
        let rows = db.query_all(&select).await?;
        if rows.is_empty() {
            return Ok(count);
        }
        for row in &rows {
            last = row.try_get_by_index(0)?;
            let sealed: Vec<u8> = row.try_get_by_index(1)?;
            let again = rewrapped(&sealed, &place(column, row)?, old, new, random()?);
            if let (true, Err(error)) = (column.transient, &again) {
                tracing::warn!(table = column.table, row = %last, %error, "neither key opens it: it is removed");
                let delete = Query::delete()
                    .from_table(Alias::new(column.table))
                    .and_where(Expr::col(Alias::new(column.id)).eq(last.as_str()))
                    .to_owned();
                db.execute(&delete).await?;
                continue;
            }
            let again = again.with_context(|| format!("nothing was changed: the row {last} of {}", column.table))?;
            let Some(again) = again else { continue };
            let update = Query::update()
                .table(Alias::new(column.table))
                .value(Alias::new(column.sealed), again)
                .and_where(Expr::col(Alias::new(column.id)).eq(last.as_str()))
                .to_owned();
            db.execute(&update).await?;
            count += 1;
        }
    }
}

fn place(column: &SealedColumn, row: &QueryResult) -> Result<String, DbErr> {
    let mut parts = Vec::with_capacity(column.bound_to.len());
    for index in 0..column.bound_to.len() {
        let part: Option<String> = row.try_get_by_index(index + 2)?;
        parts.push(part.unwrap_or_else(|| "-".to_owned()));
    }
    Ok(binding(column.table, &parts.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// `None` where the new key opens it already.
fn rewrapped(
    sealed: &[u8],
    binding: &str,
    old: &SealingKey,
    new: &SealingKey,
    random: [u8; REWRAP_RANDOM_BYTES],
) -> Result<Option<Vec<u8>>, OpenError> {
    if key_id_of(sealed) == Some(new.key_id()) {
        return Ok(None);
    }
    old.rewrap(new, sealed, binding, random).map(Some)
}

/// Opens what a view needs, and remembers it: a process whose master key has been rotated away goes on with
/// what it has opened before.
pub(crate) struct Opener {
    key: SealingKey,
    opened: Mutex<Opened>,
}

/// By the place it was sealed for: what no rotation changes of it, and what it is.
type Opened = HashMap<String, (Vec<u8>, SecretString)>;

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Opener {
    /// Opens under this key.
    pub(crate) fn new(key: SealingKey) -> Self {
        Self { key, opened: Mutex::default() }
    }

    /// Begins a view.
    pub(crate) fn begin(&self) -> Opening<'_> {
        let before = self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Opening { opener: self, before, opened: Mutex::default() }
    }
}

/// The secrets of one view.
pub(crate) struct Opening<'a> {
    opener: &'a Opener,
    before: Opened,
    opened: Mutex<Opened>,
}

impl Opening<'_> {
    /// Opens what was sealed for this place.
    pub(crate) fn open(&self, binding: &str, sealed: &[u8]) -> Result<SecretString, OpenError> {
        let payload = payload_of(sealed).unwrap_or_default();
        let secret = match self.opener.key.open(sealed, binding) {
            Ok(secret) => SecretString::from(String::from_utf8(secret).map_err(|_| OpenError::Damaged)?),
            Err(error @ OpenError::OtherKey(_)) => {
                tracing::error!(%error, "the master key was rotated: restart this process with the present one");
                let known = self.before.get(binding).filter(|(before, _)| before == payload);
                known.map(|(_, secret)| secret.clone()).ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.insert(binding.to_owned(), (payload.to_vec(), secret.clone()));
        Ok(secret)
    }

    /// The view is whole: what is not in it is forgotten.
    pub(crate) fn end(self) {
        let opened = self.opened.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.opener.opened.lock().unwrap_or_else(PoisonError::into_inner) = opened;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sea_orm::Statement;
    use secrecy::ExposeSecret;

    use super::*;

    #[tokio::test]
    async fn every_sealed_column_of_the_schema_is_brought_along() {
        let db = database::connect("sqlite::memory:").await.unwrap();
        migration::up(&db).await.unwrap();
        let sql = "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE c.name = 'sealed'";
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
        let schema: BTreeSet<String> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
        assert_eq!(schema, COLUMNS.iter().map(|column| column.table.to_owned()).collect());
        let (old, new) = (SealingKey::new(&[1; 32]), SealingKey::new(&[2; 32]));
        assert_eq!(rewrap_all(&db, &old, &new).await.unwrap(), 0, "every column is called as it is asked for");
    }

    #[test]
    fn a_process_whose_key_was_rotated_away_goes_on_with_what_it_has_opened() {
        let (old, new) = (SealingKey::new(&[1; 32]), SealingKey::new(&[2; 32]));
        let sealed = old.seal(b"sk-1", "here", [5; SEAL_RANDOM_BYTES]);
        let again = old.rewrap(&new, &sealed, "here", [6; REWRAP_RANDOM_BYTES]).unwrap();
        let other = new.seal(b"sk-2", "here", [7; SEAL_RANDOM_BYTES]);
        let opener = Opener::new(old);
        let opened = |sealed: &[u8], place: &str| {
            let opening = opener.begin();
            let opened = opening.open(place, sealed).map(|secret| secret.expose_secret().to_owned());
            opening.end();
            opened
        };
        assert!(opened(&again, "here").is_err(), "it was never opened");
        assert_eq!(opened(&sealed, "here").unwrap(), "sk-1");
        assert_eq!(opened(&again, "here").unwrap(), "sk-1");
        assert_eq!(opened(&again, "here").unwrap(), "sk-1", "at every later change too");
        assert!(opened(&other, "here").is_err(), "another secret is not the one it knows");
        assert!(opened(&again, "here").is_err(), "and what has left a view is forgotten");
    }
}
