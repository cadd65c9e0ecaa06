//! Where alerts are told.

use admin_types::alerts::{AlertChannel, AlertChannelKind, AlertSort, ChannelSettings, ListAlertChannels};
use admin_types::page::Page;
use domain::ids::TenantId;
use domain::seal::{SealingKey, binding};
use entities::Id;
use entities::alert_channel::{Column, Entity, Model};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::resource::{Head, Resource, owner};
use super::super::{Scope, contains, stored, unreadable};
use crate::error::AdminError;
use crate::paging::Position;
use crate::sealing;

/// Where a channel leads, its secrets opened.
pub(crate) enum Leads {
    /// To a URL that checks signatures.
    Webhook {
        /// Where it is.
        url: String,
        /// What signs.
        secret: Vec<u8>,
    },
    /// To a URL as Slack's.
    Slack {
        /// Where it is.
        url: String,
    },
    /// To people.
    Email {
        /// Their addresses.
        to: Vec<String>,
    },
}

/// A row as it is shown.
///
/// # Errors
/// The row holds what no version of this program writes there.
pub(crate) fn view(row: Model) -> Result<AlertChannel, DbErr> {
    let kind = AlertChannelKind::named(&row.kind).ok_or_else(|| unreadable("alert_channels.kind"))?;
    let is_email = kind == AlertChannelKind::Email;
    Ok(AlertChannel {
        id: row.id.0,
        tenant_id: row.tenant_id.map(|id| id.0),
        name: row.name,
        kind,
        to: if is_email {
            addresses(&row.target).ok_or_else(|| unreadable("alert_channels.target"))?
        } else {
            Vec::new()
        },
        url: (!is_email).then(|| masked(&row.target)),
        allow_insecure: row.allow_insecure,
        enabled: row.enabled,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn addresses(target: &str) -> Option<Vec<String>> {
    serde_json::from_str(target).ok()
}

/// A row that is not written yet.
pub(crate) fn new_row(name: String, owner: Option<TenantId>, enabled: bool, now: OffsetDateTime) -> Model {
    Model {
        id: Id(Uuid::now_v7()),
        tenant_id: owner.map(|tenant| Id(tenant.0)),
        name,
        kind: String::new(),
        target: String::new(),
        sealed: None,
        allow_insecure: false,
        enabled,
        version: 1,
        created_at: stored(now),
        updated_at: stored(now),
    }
}

/// Lets a row lead where `settings` say, which must have been checked.
///
/// # Errors
/// As [`sealing::seal`]'s.
pub(crate) async fn lead(
    transaction: &DatabaseTransaction,
    row: &mut Model,
    settings: ChannelSettings,
    key: &SealingKey,
) -> Result<(), AdminError> {
    let place = place(row.id);
    let seal = async |secret: &str| sealing::seal(transaction, key, &place, secret.as_bytes()).await;
    match settings {
        ChannelSettings::Webhook { url, secret, allow_insecure } => {
            row.kind = AlertChannelKind::Webhook.as_str().to_owned();
            let sealed = seal(&format!("{url}\n{secret}")).await?;
            (row.target, row.sealed, row.allow_insecure) = (masked(&url), Some(sealed), allow_insecure);
        }
        ChannelSettings::Slack { url, allow_insecure } => {
            row.kind = AlertChannelKind::Slack.as_str().to_owned();
            (row.target, row.sealed, row.allow_insecure) = (masked(&url), Some(seal(&url).await?), allow_insecure);
        }
        ChannelSettings::Email { to } => {
            row.kind = AlertChannelKind::Email.as_str().to_owned();
            let target = serde_json::to_string(&to).map_err(|error| AdminError::internal(&error))?;
            (row.target, row.sealed, row.allow_insecure) = (target, None, false);
        }
    }
    Ok(())
}

/// A URL without what stands behind its host.
fn masked(url: &str) -> String {
    let url = url::Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| url.host_str().map(|host| (url.scheme(), host)));
    host.map_or_else(|| "…".to_owned(), |(scheme, host)| format!("{scheme}://{host}/…"))
}

fn place(id: Id) -> String {
    binding("alert_channels", &[&id.to_string()])
}

/// Where a row leads.
///
/// # Errors
/// What is wrong with the row, fit to be shown.
pub(crate) fn open(sealing: &SealingKey, row: &Model) -> Result<Leads, &'static str> {
    if row.kind == AlertChannelKind::Email.as_str() {
        let to = addresses(&row.target).ok_or("the channel's addresses are damaged")?;
        return Ok(Leads::Email { to });
    }
    let sealed = row.sealed.as_deref().ok_or("the channel has no secret")?;
    let secret = sealing.open(sealed, &place(row.id)).map_err(|_| "the channel's secret cannot be opened")?;
    let text = String::from_utf8(secret).map_err(|_| "the channel's secret is damaged")?;
    if row.kind != AlertChannelKind::Webhook.as_str() {
        return Ok(Leads::Slack { url: text });
    }
    // Rows of before have their URL beside the secret that is sealed, and no secret has a line's end.
    let (url, secret) = text.rsplit_once('\n').unwrap_or((&row.target, &text));
    Ok(Leads::Webhook { url: url.to_owned(), secret: secret.as_bytes().to_vec() })
}

/// Seals the URLs of webhooks that were written when these stood in the open.
///
/// # Errors
/// The database's; the system gives no random bytes.
pub(crate) async fn seal_urls(db: &impl ConnectionTrait, sealing: &SealingKey) -> Result<(), AdminError> {
    let webhooks = Entity::find().filter(Column::Kind.eq(AlertChannelKind::Webhook.as_str()));
    for row in webhooks.all(db).await? {
        if masked(&row.target) == row.target {
            continue;
        }
        // What cannot be opened stays as it is, and says so when it is used.
        let Ok(Leads::Webhook { url, secret }) = open(sealing, &row) else { continue };
        let Ok(secret) = String::from_utf8(secret) else { continue };
        let sealed = sealing.seal(format!("{url}\n{secret}").as_bytes(), &place(row.id), crate::random()?);
        Entity::update_many()
            .col_expr(Column::Target, Expr::value(masked(&url)))
            .col_expr(Column::Sealed, Expr::value(sealed))
            .filter(Column::Id.eq(row.id))
            .filter(Column::Version.eq(row.version))
            .exec(db)
            .await?;
    }
    Ok(())
}

impl Resource for Entity {
    const KIND: &'static str = "alert_channel";
    const ANNOUNCED: bool = false;
    type View = AlertChannel;

    fn visible(scope: Scope) -> Condition {
        scope.own(Column::TenantId)
    }

    fn head(row: &Model) -> Head {
        Head { id: row.id, owner: owner(row.tenant_id), version: row.version, is_declared: false }
    }

    fn renew(row: &mut Model, now: OffsetDateTime) {
        row.version += 1;
        row.updated_at = now;
    }

    async fn view(_: &impl ConnectionTrait, row: Model, _: Scope) -> Result<AlertChannel, AdminError> {
        Ok(view(row)?)
    }
}

/// One page of the channels that the caller may see.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    list: &ListAlertChannels,
) -> Result<Page<AlertChannel>, AdminError> {
    let sort = list.sort.unwrap_or_default();
    let by = matches!(sort, AlertSort::Name | AlertSort::NameDescending).then_some(Column::Name);
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), by)?;
    let asked = Condition::all()
        .add_option(list.tenant_id.map(|tenant| Column::TenantId.eq(Id(tenant))))
        .add_option(list.q.as_deref().map(|text| contains(Column::Name, text)))
        .add_option(list.kind.map(|kind| Column::Kind.eq(kind.as_str())));
    let select = Entity::find().filter(Entity::visible(scope)).filter(asked);
    Ok(position.page(db, select, Column::Id).await?.try_map(view)?)
}
