//! The one way in which rows of the control plane are sealed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::seal::{KeyId, SealingKey, key_id_of};
use entities::setting;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait};

use crate::error::AdminError;
use crate::random;

/// Row of `settings` that is sealed under the present master key from the first start on.
const SEALED_SETTING: &str = "key_pepper";

/// Seals what the transaction writes to this place, which begins with its table.
///
/// # Errors
/// 409 where the master key was rotated while this process ran: what it seals could be opened by nobody. The
/// database's; the system gives no random bytes.
pub(crate) async fn seal(
    transaction: &DatabaseTransaction,
    key: &SealingKey,
    place: &str,
    secret: &[u8],
) -> Result<Vec<u8>, AdminError> {
    // A rotation locks the table: one that is under way is waited for, and the next one waits for this
    // transaction. On SQLite a writing transaction is alone anyway.
    if transaction.get_database_backend() == DbBackend::Postgres {
        let table = place.split('|').next().unwrap_or_default();
        transaction.execute_unprepared(&format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE")).await?;
    }
    check_present(transaction, key.key_id()).await?;
    Ok(key.seal(secret, place, random()?))
}

async fn check_present(transaction: &DatabaseTransaction, ours: KeyId) -> Result<(), AdminError> {
    let Some(row) = setting::Entity::find_by_id(SEALED_SETTING).one(transaction).await? else { return Ok(()) };
    let present = STANDARD.decode(row.value).ok().and_then(|sealed| key_id_of(&sealed));
    if present == Some(ours) {
        return Ok(());
    }
    tracing::error!("the master key was rotated: restart this process with the present one");
    let detail = "The master key was rotated: this server must be restarted with the present one first.";
    Err(AdminError::conflict("master_key_rotated", detail))
}
