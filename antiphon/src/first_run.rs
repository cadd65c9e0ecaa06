//! What a machine with no configuration gets: a tenant, a key that is shown once, and a line to paste.

use std::net::SocketAddr;

use anyhow::Result;
use domain::key::Pepper;
use entities::virtual_key;
use gateway::repositories::keys;
use sea_orm::{DatabaseConnection, EntityTrait, PaginatorTrait};

use crate::cli::{tenant_of, unlimited_key};
use crate::config::Config;
use crate::store;

const TENANT: &str = "default";

/// Makes the demo key where nobody has declared or made one; gives it to be shown.
pub(crate) async fn demo_key(config: &Config, db: &DatabaseConnection, pepper: &Pepper) -> Result<Option<String>> {
    if !config.declares_nothing() || virtual_key::Entity::find().count(db).await? > 0 {
        return Ok(None);
    }
    let tenant = tenant_of(db, TENANT).await?;
    let (secret, stored) = unlimited_key(pepper, tenant, "demo")?;
    keys::insert_key(db, &stored).await?;
    store::announce_change(db).await?;
    Ok(Some(secret))
}

/// What is printed once the gateway listens.
pub(crate) fn welcome(address: SocketAddr, key: &str) -> String {
    format!(
        "\nAntiphon is ready.\n\n  URL  http://{address}/v1\n  key  {key}   (demo key, shown this once)\n\n\
         Try it:\n\n  \
         curl http://{address}/v1/audio/speech \\\n    \
         -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\\n    \
         -d '{{\"model\":\"local/flite\",\"voice\":\"slt\",\"input\":\"Hello from Antiphon.\",\"response_format\":\"wav\"}}' \\\n    \
         -o hello.wav\n"
    )
}
