//! What a machine with no configuration gets: a tenant, a key that is shown once, and a line to paste.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use admin::audit::By;
use anyhow::Result;
use domain::key::Pepper;
use entities::virtual_key;
use sea_orm::{DatabaseConnection, EntityTrait, PaginatorTrait};

use crate::cli::{audited_tenant, insert_audited, unlimited_key};
use crate::config::Config;

const TENANT: &str = "default";

/// Makes the demo key where nobody has declared or made one; gives it to be shown.
pub(crate) async fn demo_key(config: &Config, db: &DatabaseConnection, pepper: &Pepper) -> Result<Option<String>> {
    if !config.declares_nothing() || virtual_key::Entity::find().count(db).await? > 0 {
        return Ok(None);
    }
    let by = By::system("first start");
    let transaction = admin::begin(db).await?;
    let tenant = audited_tenant(&transaction, &by, TENANT).await?;
    let (secret, stored) = unlimited_key(pepper, tenant, "demo")?;
    insert_audited(&transaction, &by, &stored).await?;
    transaction.commit().await?;
    Ok(Some(secret))
}

/// What is printed once the gateway listens: its lines can be pasted as they are.
pub(crate) fn welcome(address: SocketAddr, key: &str) -> String {
    let address = reachable(address);
    format!(
        "\nAntiphon is ready.\n\n  URL  http://{address}/v1\n  key  {key}   (demo key, shown this once)\n\n\
         Try it: say a sentence, and read it back.\n\n  \
         curl http://{address}/v1/audio/speech \\\n    \
         -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\\n    \
         -d '{{\"model\":\"local/flite\",\"voice\":\"slt\",\"input\":\"Hello from Antiphon.\",\"response_format\":\"wav\"}}' \\\n    \
         -o hello.wav\n  \
         curl http://{address}/v1/audio/transcriptions \\\n    \
         -H 'Authorization: Bearer {key}' -F model=local/pocketsphinx -F file=@hello.wav\n"
    )
}

/// Where a client on this machine reaches a listener on every address.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
