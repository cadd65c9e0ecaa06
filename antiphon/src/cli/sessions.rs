//! `antiphon sessions`: the sessions that are open on any gateway, as Redis has them. The database is not asked, so
//! that this works while it is away.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use domain::ids::{SessionId, TenantId, VirtualKeyId};
use replicas::{LiveSession, Replicas};
use serde_json::{Map, Value, json};

use super::{Common, output};

/// Sessions of one question.
const PAGE: u32 = 200;
/// How long Redis may take to be reached.
const PATIENCE: Duration = Duration::from_secs(5);

/// `antiphon sessions …`
#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List the sessions that are open on any gateway
    List {
        /// Those of this tenant, by its id
        #[arg(long, value_name = "ID")]
        tenant: Option<TenantId>,
        /// Those of this key, by its id
        #[arg(long, value_name = "ID")]
        key: Option<VirtualKeyId>,
    },
    /// End a session, on whichever gateway it is
    Terminate {
        /// The session's id, as list shows it
        id: SessionId,
        /// What its client is told
        #[arg(long, default_value = "asked for at the command line")]
        reason: String,
    },
}

/// Runs the command.
pub(super) async fn run(command: Sessions, common: &Common) -> Result<()> {
    let config = common.load(Vec::new())?;
    let redis = config.redis.as_ref();
    let redis = redis.context("the configuration has no redis; the admin API lists sessions without one")?.teller()?;
    if !redis.wait_until_up(PATIENCE).await {
        bail!("Redis does not answer");
    }
    let done = match command {
        Sessions::List { tenant, key } => list(&redis, tenant, key, common.json).await,
        Sessions::Terminate { id, reason } => terminate(&redis, id, &reason, common.json).await,
    };
    redis.close().await;
    done
}

async fn list(redis: &Replicas, tenant: Option<TenantId>, key: Option<VirtualKeyId>, as_json: bool) -> Result<()> {
    let tenants = match tenant {
        Some(tenant) => vec![tenant],
        None => redis.tenants_with_sessions().await?,
    };
    let mut shown = Vec::new();
    for tenant in tenants {
        let mut after = None;
        loop {
            let page = redis.list_sessions(tenant, key, after, PAGE).await?;
            after = page.last().map(|session| session.id);
            shown.extend(page.iter().map(describe));
            if page.is_empty() {
                break;
            }
        }
    }
    if as_json {
        return output::json(&shown);
    }
    for session in shown {
        let text = |name: &str| session.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let words = ["id", "started_at", "kind", "gateway", "key_id", "model_asked"].map(text);
        output::line(&words.join("  "))?;
    }
    Ok(())
}

/// Whose a session is, is not told by its id: each tenant that has any is asked.
async fn terminate(redis: &Replicas, id: SessionId, reason: &str, as_json: bool) -> Result<()> {
    for tenant in redis.tenants_with_sessions().await? {
        if redis.terminate(tenant, id, reason).await? {
            if as_json {
                return output::json(&json!({ "id": id.to_string(), "tenant_id": tenant.to_string() }));
            }
            return output::line(&format!("the gateway of session {id} has been told"));
        }
    }
    bail!("there is no session {id} that is open")
}

/// What its gateway tells of it, with whose it is. A gateway of another version may tell more or less.
fn describe(session: &LiveSession) -> Value {
    let mut told: Map<String, Value> = serde_json::from_str(&session.about).unwrap_or_default();
    told.insert("id".to_owned(), session.id.to_string().into());
    told.insert("tenant_id".to_owned(), session.tenant.to_string().into());
    told.insert("key_id".to_owned(), session.key.to_string().into());
    told.into()
}
