//! `antiphon key`: virtual keys. A running gateway takes a change over within a second.

use admin::audit::{self, By, Change};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use domain::ids::{TenantId, VirtualKeyId};
use domain::key::{KeyHash, Pepper};
use domain::money::NanoUsd;
use domain::provider::Operation;
use entities::{Id, virtual_key};
use gateway::repositories::keys::{self, StoredKey};
use gateway::repositories::{ManagedBy, tenants};
use gateway::snapshot::{Budget, Key as Policy};
use rust_decimal::Decimal;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, EntityTrait};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Common, output};
use crate::config::{Config, Window};
use crate::{master_key, store};

/// `antiphon key …`
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key and print it: it is shown this once
    Create(Create),
    /// List the keys of a tenant, revoked ones too
    List {
        /// The tenant
        #[arg(long)]
        tenant: String,
    },
    /// Refuse a key from now on
    Revoke {
        /// The key's id, as list shows it
        id: VirtualKeyId,
    },
}

/// `antiphon key create …`
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Whose it is; the tenant is made when it is new
    #[arg(long)]
    tenant: String,
    /// What people call it
    #[arg(long)]
    name: String,
    /// What it may do, repeatable; everything unless told
    #[arg(long = "operation", value_name = "OPERATION")]
    operations: Vec<Operation>,
    /// Models it may use, as patterns with *, repeatable; every model unless told
    #[arg(long = "model", value_name = "PATTERN")]
    models: Vec<String>,
    /// Requests per minute
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rpm: Option<u32>,
    /// Realtime sessions at once
    #[arg(long)]
    sessions: Option<u32>,
    /// Budget in US dollars
    #[arg(long, value_name = "USD")]
    budget_usd: Option<Decimal>,
    /// When the budget starts anew, in UTC
    #[arg(long, value_enum, default_value = "total", requires = "budget_usd")]
    budget_window: Window,
    /// The moment from which it is refused, such as 2027-06-30T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires_at: Option<OffsetDateTime>,
    /// It may call paths of a vendor that are not known here; they are recorded as unpriced
    #[arg(long)]
    passthrough: bool,
    /// Its calls may say by x-antiphon-strategy how targets are ordered
    #[arg(long)]
    allow_strategy: bool,
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "expected a moment such as 2027-06-30T00:00:00Z".to_owned())
}

/// Runs the command.
pub(super) async fn run(command: Key, common: &Common) -> Result<()> {
    let config = common.load(Vec::new())?;
    if matches!(command, Key::Create(_)) {
        master_key::require(&config)?;
    }
    let db = store::open(&config.database).await?;
    match command {
        Key::Create(create) => print_created(create, &config, &db, common.json).await,
        Key::List { tenant } => print_keys(&tenant, &db, common.json).await,
        Key::Revoke { id } => revoke(id, &db, common.json).await,
    }
}

async fn print_created(create: Create, config: &Config, db: &DatabaseConnection, as_json: bool) -> Result<()> {
    let pepper = master_key::obtain(config, db).await?.pepper(db).await?;
    let tenant_name = create.tenant.clone();
    let transaction = database::begin_writing(db).await?;
    let tenant = audited_tenant(&transaction, &By::command_line(), &tenant_name).await?;
    let (secret, stored) = make_key(&pepper, tenant, create)?;
    insert_audited(&transaction, &By::command_line(), &stored).await?;
    transaction.commit().await?;
    if as_json {
        let mut shown = describe(&stored)?;
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("tenant".to_owned(), Value::from(tenant_name));
            fields.insert("key".to_owned(), Value::from(secret));
        }
        return output::json(&shown);
    }
    output::line(&format!("key {} for {tenant_name}, shown this once:\n{secret}", stored.key.id))
}

/// The tenant of this name, made where it is new.
pub(crate) async fn tenant_of(db: &impl ConnectionTrait, name: &str) -> Result<TenantId> {
    if let Some(tenant) = tenants::find_tenant_by_name(db, name).await? {
        return Ok(tenant.id);
    }
    Ok(tenants::upsert_tenant(db, name, None, ManagedBy::Cli, OffsetDateTime::now_utc()).await?)
}

/// As [`tenant_of`]; the audit log tells of one that is new.
pub(crate) async fn audited_tenant(transaction: &DatabaseTransaction, by: &By, name: &str) -> Result<TenantId> {
    let is_new = tenants::find_tenant_by_name(transaction, name).await?.is_none();
    let tenant = tenant_of(transaction, name).await?;
    if is_new {
        let change = Change::of("create", "tenant", tenant, Some(tenant)).after(&json!({ "name": name }));
        audit::append(transaction, by, change).await?;
    }
    Ok(tenant)
}

/// Adds a key with its entry in the audit log, and tells running gateways.
pub(crate) async fn insert_audited(transaction: &DatabaseTransaction, by: &By, key: &StoredKey) -> Result<()> {
    keys::insert_key(transaction, key).await?;
    let change = Change::of("create", "key", key.key.id, Some(key.key.tenant)).after(&describe(key)?);
    audit::append(transaction, by, change).await?;
    Ok(changes::announce(transaction).await?)
}

/// A fresh key with no limits, as the first start makes it.
pub(crate) fn unlimited_key(pepper: &Pepper, tenant: TenantId, name: &str) -> Result<(String, StoredKey)> {
    let create = Create {
        tenant: String::new(),
        name: name.to_owned(),
        operations: Vec::new(),
        models: Vec::new(),
        rpm: None,
        sessions: None,
        budget_usd: None,
        budget_window: Window::Total,
        expires_at: None,
        passthrough: false,
        allow_strategy: false,
    };
    make_key(pepper, tenant, create)
}

fn make_key(pepper: &Pepper, tenant: TenantId, create: Create) -> Result<(String, StoredKey)> {
    if create.budget_usd.is_some_and(|usd| usd <= Decimal::ZERO) {
        bail!("--budget-usd must be above 0");
    }
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).context("the system gives no random bytes")?;
    let secret = domain::key::format_key(random);
    let budget =
        create.budget_usd.map(|usd| Budget { amount: NanoUsd::from_usd(usd), window: create.budget_window.into() });
    let stored = StoredKey {
        key: Policy {
            id: VirtualKeyId(uuid::Uuid::now_v7()),
            tenant,
            name: create.name,
            operations: create.operations,
            models: create.models,
            requests_per_minute: create.rpm,
            max_concurrent_sessions: create.sessions,
            budget,
            max_upload_bytes: None,
            expires_at: create.expires_at,
            refuse_unpriced: false,
            passthrough: create.passthrough,
            allow_strategy: create.allow_strategy,
        },
        hash: KeyHash::of(pepper, &secret),
        pepper_version: master_key::PEPPER_VERSION,
        redacted: domain::key::redact(&secret),
        managed_by: ManagedBy::Cli,
        revoked_at: None,
        created_at: OffsetDateTime::now_utc(),
    };
    Ok((secret, stored))
}

async fn print_keys(tenant: &str, db: &DatabaseConnection, as_json: bool) -> Result<()> {
    let found = tenants::find_tenant_by_name(db, tenant).await?;
    let tenant = found.with_context(|| format!("there is no tenant {tenant:?}"))?;
    let keys = keys::list_keys(db, tenant.id).await?;
    if as_json {
        return output::json(&keys.iter().map(describe).collect::<Result<Vec<_>>>()?);
    }
    for stored in keys {
        let state = match (stored.revoked_at, stored.key.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(expiry)) if expiry <= OffsetDateTime::now_utc() => "expired",
            _ => "active",
        };
        output::line(&format!("{}  {state:<8} {:<14} {}", stored.key.id, stored.redacted, stored.key.name))?;
    }
    Ok(())
}

async fn revoke(id: VirtualKeyId, db: &DatabaseConnection, as_json: bool) -> Result<()> {
    let transaction = database::begin_writing(db).await?;
    let row = virtual_key::Entity::find_by_id(Id(id.0)).one(&transaction).await?;
    let owner = row.map(|row| TenantId(row.tenant_id.0));
    let stored = async || match owner {
        Some(tenant) => keys::find_key(&transaction, tenant, id).await,
        None => Ok(None),
    };
    let before = stored().await?;
    if !keys::revoke_key(&transaction, None, id, ManagedBy::Cli, OffsetDateTime::now_utc()).await? {
        bail!("there is no key {id} that is not revoked already");
    }
    let (before, after) = before.zip(stored().await?).with_context(|| format!("the key {id} is gone"))?;
    let change = Change::of("revoke", "key", id, owner).before(&describe(&before)?).after(&describe(&after)?);
    audit::append(&transaction, &By::command_line(), change).await?;
    changes::announce(&transaction).await?;
    transaction.commit().await?;
    if as_json {
        return output::json(&json!({ "id": id.to_string(), "revoked": true }));
    }
    output::line(&format!("key {id} is revoked"))
}

/// A key without its secret.
fn describe(stored: &StoredKey) -> Result<Value> {
    let text = |time: Option<OffsetDateTime>| time.map(|time| time.format(&Rfc3339)).transpose();
    let key = &stored.key;
    Ok(json!({
        "id": key.id.to_string(),
        "name": key.name,
        "redacted": stored.redacted,
        "operations": key.operations,
        "models": key.models,
        "requests_per_minute": key.requests_per_minute,
        "max_concurrent_sessions": key.max_concurrent_sessions,
        "budget": key.budget.map(|budget| json!({
            "usd": budget.amount.to_string(),
            "window": Window::from(budget.window).as_str(),
        })),
        "max_upload_bytes": key.max_upload_bytes,
        "passthrough": key.passthrough,
        "allow_strategy": key.allow_strategy,
        "expires_at": text(key.expires_at)?,
        "revoked_at": text(stored.revoked_at)?,
        "created_at": text(Some(stored.created_at))?,
        "managed_by": stored.managed_by.as_str(),
    }))
}
