//! Sign-ins: each is a family of refresh tokens, of which but for moments one is good at a time.
//!
//! A refresh token is exchanged once. Whoever shows one that was exchanged before ends the whole family,
//! for then two have it, and one of them should not. A browser does that by accident within moments: two of
//! its tabs cross, or it leaves a page before the answer with the next cookie is there. So for those moments
//! the token is exchanged again. Of the tokens that were given for one, the first to be exchanged uses up the
//! others: a thief who was quick enough to be given one is found out when the second of them is shown.
//!
//! Whatever ends or prolongs a user's sign-ins holds the lock of the user's row, so that none is prolonged
//! while it is ended.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::USER_AGENT;
use domain::ids::TenantId;
use domain::key::{KeyHash, format_as, is_well_formed_as};
use entities::{Id, refresh_token, user};
use sea_orm::DatabaseTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

use super::signing;
use crate::audit::{self, By, Change};
use crate::error::AdminError;
use crate::repositories::{refresh_tokens, stored, tenants, users};
use crate::{Control, http, random};

/// Prefix of refresh tokens.
const PREFIX: &str = "rt-ap-";
/// A browser that does not come back for so long must sign in again.
pub(crate) const IDLE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Everybody must after so long.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Two requests of one browser that cross.
const CROSSING: time::Duration = time::Duration::seconds(10);
/// Tokens of one sign-in that are good at a time; no browser has more requests that cross.
const MAX_GOOD: u64 = 16;
const MAX_USER_AGENT: usize = 300;

/// From where somebody signs in.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) request_id: Option<String>,
}

impl Origin {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let agent = request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Self {
            address: http::address(request),
            user_agent: agent.map(|agent| agent.chars().take(MAX_USER_AGENT).collect()),
            request_id: http::current_request_id(),
        }
    }

    /// As the audit log names `user`, who acts from here.
    pub(crate) fn by(&self, user: &user::Model) -> By {
        By {
            kind: "user",
            id: Some(user.id.to_string()),
            name: user.email.clone(),
            address: self.address.clone(),
            request_id: self.request_id.clone(),
        }
    }
}

/// What a browser is given.
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// How long the refresh token is good.
    pub(crate) lifetime: Duration,
}

/// Begins a sign-in of a user whose row the transaction has locked. Gives its id and its first refresh
/// token.
pub(crate) async fn begin(
    control: &Control,
    transaction: &DatabaseTransaction,
    user: &user::Model,
    origin: &Origin,
) -> Result<(Uuid, String), AdminError> {
    let now = OffsetDateTime::now_utc();
    refresh_tokens::forget(transaction, user.id, stored(now)).await?;
    let family = Uuid::now_v7();
    let refresh = next(control, transaction, user, family, origin, now + IDLE).await?;
    let tenant = user.tenant_id.map(|id| TenantId(id.0));
    let change = Change::of("sign_in", "user", user.id, tenant);
    audit::append(transaction, &origin.by(user), change).await?;
    Ok((family, refresh))
}

/// Exchanges a refresh token for the next one and an access token.
pub(crate) async fn refresh(control: &Control, token: &str, origin: &Origin) -> Result<Tokens, AdminError> {
    let hash = hash(control, token).ok_or(AdminError::Unauthenticated)?;
    let user = refresh_tokens::find(&control.database, &hash).await?.ok_or(AdminError::Unauthenticated)?.user_id;
    let transaction = control.begin().await?;
    let user = users::lock(&transaction, user).await?.ok_or(AdminError::Unauthenticated)?;
    let row = refresh_tokens::find(&transaction, &hash).await?.ok_or(AdminError::Unauthenticated)?;
    let now = stored(OffsetDateTime::now_utc());
    let is_over = row.revoked_at.is_some() || row.expires_at <= now || row.session_epoch != user.session_epoch;
    if is_over || !may_sign_in(&transaction, &user).await? {
        return Err(AdminError::Unauthenticated);
    }
    let family = row.family_id.0;
    match row.used_at {
        None => refresh_tokens::use_up(&transaction, user.id, family, now).await?,
        Some(used_at) if now - used_at >= CROSSING => return Err(end_stolen(transaction, &user, &row, origin).await?),
        Some(_) if refresh_tokens::good(&transaction, user.id, family).await? >= MAX_GOOD => {
            let detail = "This sign-in was refreshed many times within moments; try again.";
            return Err(AdminError::conflict("already_refreshed", detail));
        }
        Some(_) => {}
    }
    let longest = started_at(row.family_id.0).map_or(now, |start| start + LONGEST);
    let expires_at = (now + IDLE).min(longest);
    if expires_at <= now {
        return Err(AdminError::Unauthenticated);
    }
    let refresh = next(control, &transaction, &user, family, origin, expires_at).await?;
    transaction.commit().await?;
    let access = signing::sign(control, user.id.0, family, user.session_epoch).await?;
    Ok(Tokens { access, refresh, lifetime: (expires_at - now).try_into().unwrap_or_default() })
}

/// Ends one sign-in of a user. Says whether there was one.
pub(crate) async fn end(
    control: &Control,
    user: Id,
    family: Uuid,
    by: impl FnOnce(&user::Model) -> By,
) -> Result<bool, AdminError> {
    let transaction = control.begin().await?;
    let Some(user) = users::lock(&transaction, user).await? else { return Ok(false) };
    let now = stored(OffsetDateTime::now_utc());
    if !refresh_tokens::revoke_family(&transaction, user.id, family, now).await? {
        return Ok(false);
    }
    let change = Change::of("sign_out", "user", user.id, user.tenant_id.map(|id| TenantId(id.0)));
    audit::append(&transaction, &by(&user), change).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The user and the sign-in that a refresh token belongs to, whatever its state.
pub(crate) async fn owner(control: &Control, token: &str) -> Result<Option<(Id, Uuid)>, AdminError> {
    let Some(hash) = hash(control, token) else { return Ok(None) };
    let row = refresh_tokens::find(&control.database, &hash).await?;
    Ok(row.map(|row| (row.user_id, row.family_id.0)))
}

/// Whether a user is let in at all: neither they nor their tenant is shut out.
pub(crate) async fn may_sign_in(db: &DatabaseTransaction, user: &user::Model) -> Result<bool, AdminError> {
    if user.disabled_at.is_some() {
        return Ok(false);
    }
    match user.tenant_id {
        Some(tenant) => Ok(tenants::is_served(db, TenantId(tenant.0)).await?),
        None => Ok(true),
    }
}

/// When a sign-in began: its id is made in the order of time.
pub(crate) fn started_at(family: Uuid) -> Option<OffsetDateTime> {
    let (seconds, nanoseconds) = family.get_timestamp()?.to_unix();
    let start = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    Some(start + time::Duration::nanoseconds(nanoseconds.into()))
}

async fn next(
    control: &Control,
    transaction: &DatabaseTransaction,
    user: &user::Model,
    family: Uuid,
    origin: &Origin,
    expires_at: OffsetDateTime,
) -> Result<String, AdminError> {
    let token = format_as(PREFIX, random()?);
    let row = refresh_token::Model {
        id: Id(Uuid::now_v7()),
        family_id: Id(family),
        user_id: user.id,
        hash: KeyHash::of(&control.secrets.token_pepper, &token).0.to_vec(),
        session_epoch: user.session_epoch,
        address: origin.address.clone().unwrap_or_default(),
        user_agent: origin.user_agent.clone(),
        created_at: stored(OffsetDateTime::now_utc()),
        expires_at: stored(expires_at),
        used_at: None,
        revoked_at: None,
    };
    refresh_tokens::insert(transaction, row).await?;
    Ok(token)
}

/// Ends a family of which a token was shown twice.
async fn end_stolen(
    transaction: DatabaseTransaction,
    user: &user::Model,
    row: &refresh_token::Model,
    origin: &Origin,
) -> Result<AdminError, AdminError> {
    tracing::warn!(user = %user.id, session = %row.family_id, "a refresh token was used twice; its sign-in is ended");
    let now = stored(OffsetDateTime::now_utc());
    refresh_tokens::revoke_family(&transaction, user.id, row.family_id.0, now).await?;
    let change = Change::of("end_stolen_sign_in", "user", user.id, user.tenant_id.map(|id| TenantId(id.0)));
    let by = By { address: origin.address.clone(), request_id: origin.request_id.clone(), ..By::system("sign-in") };
    audit::append(&transaction, &by, change).await?;
    transaction.commit().await?;
    Ok(AdminError::Unauthenticated)
}

fn hash(control: &Control, token: &str) -> Option<Vec<u8>> {
    is_well_formed_as(PREFIX, token).then(|| KeyHash::of(&control.secrets.token_pepper, token).0.to_vec())
}
