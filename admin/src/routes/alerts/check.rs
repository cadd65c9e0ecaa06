//! What the types of alerts cannot refuse.

use admin_types::alerts::{ChannelSettings, Condition};
use domain::ids::TenantId;
use entities::{Id, virtual_key};
use lettre::Address;
use rust_decimal::Decimal;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::error::AdminError;
use crate::outgoing::check_url;
use crate::repositories::resource::Resource;
use crate::repositories::{Scope, resource};

const MAX_NAME_CHARS: usize = 100;
const MAX_FILTER_CHARS: usize = 200;
const MAX_CHANNELS: usize = 20;
/// Rules, and channels, of a tenant or of the platform.
const MAX_OF_OWNER: i64 = 100;
const MAX_ADDRESSES: usize = 10;
/// Minutes of a window: a day.
const MAX_WINDOW: u32 = 1_440;
const MAX_USD: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);

pub(super) fn name(name: &str) -> Result<(), AdminError> {
    let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count());
    if fits && !name.starts_with(char::is_whitespace) && !name.contains(char::is_control) {
        return Ok(());
    }
    let detail = format!("must have 1 to {MAX_NAME_CHARS} characters, no control characters and no space before it");
    Err(AdminError::field("name", detail))
}

pub(super) fn channel_ids(ids: &[Uuid]) -> Result<(), AdminError> {
    if ids.len() > MAX_CHANNELS {
        return Err(AdminError::field("channel_ids", format!("must not have more than {MAX_CHANNELS} entries")));
    }
    Ok(())
}

/// An owner has room for one more rule, or one more channel. `column` holds whose a row is.
pub(super) async fn room<R: Resource>(
    db: &impl ConnectionTrait,
    owner: Option<TenantId>,
    column: R::Column,
) -> Result<(), AdminError> {
    let own = owner.map_or_else(|| column.is_null(), |tenant| column.eq(Id(tenant.0)));
    let count: Option<i64> =
        R::find().select_only().expr(Expr::cust("COUNT(*)")).filter(own).into_tuple().one(db).await?;
    if count.is_none_or(|count| count < MAX_OF_OWNER) {
        return Ok(());
    }
    let (code, what) = match R::KIND {
        "alert_rule" => ("too_many_alert_rules", "rules"),
        _ => ("too_many_alert_channels", "channels"),
    };
    Err(AdminError::conflict(code, format!("An owner has at most {MAX_OF_OWNER} {what} of alerts.")))
}

/// The numbers and names of a condition.
pub(super) fn condition(condition: &Condition) -> Result<(), AdminError> {
    match condition {
        Condition::BudgetShare { percent, .. } => within("percent", *percent, 1, 100),
        Condition::SpendRate { usd, window_minutes, .. } => {
            let fits = usd.is_sign_positive() && *usd < MAX_USD && usd.normalize().scale() <= 9;
            if !fits {
                let detail = "must be from 0 to 999999999 with at most 9 places";
                return Err(AdminError::field("condition.usd", detail));
            }
            within("window_minutes", *window_minutes, 1, MAX_WINDOW)
        }
        Condition::ErrorRate { percent, window_minutes, minimum_requests, provider, operation } => {
            within("percent", *percent, 1, 100)?;
            within("window_minutes", *window_minutes, 1, MAX_WINDOW)?;
            within("minimum_requests", *minimum_requests, 1, 1_000_000)?;
            filters(&[("provider", provider), ("operation", operation)])
        }
        Condition::Latency { p95_ms, window_minutes, minimum_requests, provider, operation } => {
            within("p95_ms", *p95_ms, 1, 10_000)?;
            within("window_minutes", *window_minutes, 1, MAX_WINDOW)?;
            within("minimum_requests", *minimum_requests, 1, 1_000_000)?;
            filters(&[("provider", provider), ("operation", operation)])
        }
        Condition::Breaker { open_seconds, provider, model } => {
            within("open_seconds", *open_seconds, 0, 86_400)?;
            filters(&[("provider", provider), ("model", model)])
        }
        Condition::Unpriced { window_minutes, provider, model } => {
            within("window_minutes", *window_minutes, 1, MAX_WINDOW)?;
            filters(&[("provider", provider), ("model", model)])
        }
    }
}

fn within(field: &str, value: u32, least: u32, most: u32) -> Result<(), AdminError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(AdminError::field(format!("condition.{field}"), format!("must be from {least} to {most}")))
}

fn filters(filters: &[(&str, &Option<String>)]) -> Result<(), AdminError> {
    for (field, filter) in filters {
        let chars = filter.as_ref().map_or(1, |text| text.chars().count());
        if !(1..=MAX_FILTER_CHARS).contains(&chars) {
            let detail = format!("must have 1 to {MAX_FILTER_CHARS} characters");
            return Err(AdminError::field(format!("condition.{field}"), detail));
        }
    }
    Ok(())
}

/// A key that a condition names must be the owner's.
pub(super) async fn key(
    db: &impl ConnectionTrait,
    owner: Option<TenantId>,
    condition: &Condition,
) -> Result<(), AdminError> {
    let (Condition::BudgetShare { key_id: Some(key), .. } | Condition::SpendRate { key_id: Some(key), .. }) = condition
    else {
        return Ok(());
    };
    let scope = owner.map_or(Scope::All, Scope::Tenant);
    match resource::find::<virtual_key::Entity>(db, scope, *key).await {
        Err(AdminError::NotFound) => Err(AdminError::field("condition.key_id", "there is no such key")),
        found => found.map(drop),
    }
}

/// Where a channel of `owner` may lead.
pub(super) fn settings(settings: &ChannelSettings, owner: Option<TenantId>, has_mail: bool) -> Result<(), AdminError> {
    match settings {
        ChannelSettings::Webhook { url, secret, allow_insecure } => {
            let printable = secret.bytes().all(|byte| byte.is_ascii_graphic());
            if !printable || !(16..=200).contains(&secret.len()) {
                let detail = "must have 16 to 200 printable ASCII characters without spaces";
                return Err(AdminError::field("settings.secret", detail));
            }
            address(url, *allow_insecure, owner)
        }
        ChannelSettings::Slack { url, allow_insecure } => address(url, *allow_insecure, owner),
        ChannelSettings::Email { to } => {
            if !(1..=MAX_ADDRESSES).contains(&to.len()) {
                return Err(AdminError::field("settings.to", format!("must have 1 to {MAX_ADDRESSES} addresses")));
            }
            if let Some(index) = to.iter().position(|address| address.parse::<Address>().is_err()) {
                return Err(AdminError::field(format!("settings.to[{index}]"), "is not an e-mail address"));
            }
            if !has_mail {
                let detail = "The configuration names no mail server (`smtp`), so no e-mail can be sent.";
                return Err(AdminError::conflict("no_mail_server", detail));
            }
            Ok(())
        }
    }
}

fn address(url: &str, allow_insecure: bool, owner: Option<TenantId>) -> Result<(), AdminError> {
    if allow_insecure && owner.is_some() {
        let detail = "is for channels of the platform only";
        return Err(AdminError::field("settings.allow_insecure", detail));
    }
    check_url(url, allow_insecure).map(drop).map_err(|detail| AdminError::field("settings.url", detail))
}
