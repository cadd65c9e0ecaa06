//! What a machine with no configuration gets: a tenant, a key that is shown once, and a line to paste. And
//! what every installation gets that has no user yet: somebody who can manage it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use admin::audit::By;
use admin::error::AdminError;
use admin::users::{MadeUser, first_administrator};
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
    let transaction = database::begin_writing(db).await?;
    let tenant = audited_tenant(&transaction, &by, TENANT).await?;
    let (secret, stored) = unlimited_key(pepper, tenant, "demo")?;
    insert_audited(&transaction, &by, &stored).await?;
    transaction.commit().await?;
    Ok(Some(secret))
}

/// Makes the first administrator where there is no user yet; gives them to be shown.
pub(crate) async fn administrator(config: &Config, db: &DatabaseConnection) -> Result<Option<MadeUser>> {
    let told = config.first_administrator();
    let made = first_administrator(db, told.email.as_deref(), told.password.as_ref()).await;
    made.map_err(|error| refusal(&error).context("ANTIPHON_ADMIN_EMAIL and ANTIPHON_ADMIN_PASSWORD make no user"))
}

/// Why the control plane refuses, in one line.
pub(crate) fn refusal(error: &AdminError) -> anyhow::Error {
    match error {
        AdminError::Invalid(fields) => {
            let fields = fields.iter().map(|field| format!("{} {}", field.field, field.detail));
            anyhow::anyhow!("{}", fields.collect::<Vec<_>>().join(", "))
        }
        other => anyhow::anyhow!("{other}"),
    }
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
