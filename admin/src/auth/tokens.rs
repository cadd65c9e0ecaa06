//! What stands in `Authorization`: a personal access token, or the access token of somebody who is signed
//! in. Only a keyed digest of the former is ever looked up.

use admin_types::role::Role;
use domain::ids::TenantId;
use domain::key::{self, KeyHash};
use entities::access_token;
use time::OffsetDateTime;
use uuid::Uuid;

use super::signing;
use crate::Control;
use crate::error::AdminError;
use crate::repositories::{access_tokens, stored};

/// What a token says of its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Whose it is.
    pub(crate) user: Uuid,
    /// Its row, for a personal access token.
    pub(crate) token: Option<Uuid>,
    /// The sign-in and the user's epoch, for somebody who is signed in.
    pub(crate) session: Option<(Uuid, i64)>,
    /// At most this role; `None` for the user's own.
    pub(crate) role: Option<Role>,
    /// Bound to this tenant; `None` for the user's own.
    pub(crate) tenant: Option<TenantId>,
}

/// What a token says; `None` for one that is not valid, for whatever reason.
pub(crate) async fn find(control: &Control, token: &str) -> Result<Option<Claim>, AdminError> {
    if token.starts_with(key::ACCESS_TOKEN_PREFIX) {
        personal(control, token).await
    } else {
        signed(control, token).await
    }
}

async fn signed(control: &Control, token: &str) -> Result<Option<Claim>, AdminError> {
    let claims = signing::verify(control, token).await?;
    Ok(claims.map(|claims| Claim {
        user: claims.sub,
        token: None,
        session: Some((claims.sid, claims.epoch)),
        role: None,
        tenant: None,
    }))
}

async fn personal(control: &Control, token: &str) -> Result<Option<Claim>, AdminError> {
    if !key::is_well_formed_as(key::ACCESS_TOKEN_PREFIX, token) {
        return Ok(None);
    }
    let hash = KeyHash::of(&control.secrets.token_pepper, token);
    let row = access_tokens::find_by_hash(&control.database, &hash.0).await?;
    let now = OffsetDateTime::now_utc();
    let is_good = |row: &access_token::Model| row.revoked_at.is_none() && row.expires_at.is_none_or(|at| at > now);
    let Some(row) = row.filter(is_good) else { return Ok(None) };
    note_use(control, &row, now).await;
    Ok(Some(Claim {
        user: row.user_id.0,
        token: Some(row.id.0),
        session: None,
        role: Some(row.role.parse().map_err(|error| AdminError::internal(&error))?),
        tenant: row.tenant_id.map(|id| TenantId(id.0)),
    }))
}

/// At most one write in a minute, and none that a request fails for.
async fn note_use(control: &Control, row: &access_token::Model, now: OffsetDateTime) {
    let minute = stored(now) - time::Duration::seconds(now.second().into());
    let minute = minute.replace_nanosecond(0).unwrap_or(minute);
    if row.last_used_at.is_some_and(|at| at >= minute) {
        return;
    }
    if let Err(error) = access_tokens::note_use(&control.database, row.id, minute).await {
        tracing::warn!(token = %row.id, error = %error, "the use of an access token cannot be noted");
    }
}
