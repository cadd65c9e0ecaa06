//! What stands in `Authorization`: a personal access token. Only a keyed digest of it is ever looked up.

use admin_types::role::Role;
use domain::ids::TenantId;
use domain::key::{self, KeyHash};
use entities::access_token;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Control;
use crate::error::AdminError;

/// What a token says of its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Whose it is.
    pub(crate) user: Uuid,
    /// Its row, for a personal access token.
    pub(crate) token: Option<Uuid>,
    /// At most this role; `None` for the user's own.
    pub(crate) role: Option<Role>,
    /// Bound to this tenant; `None` for the user's own.
    pub(crate) tenant: Option<TenantId>,
}

/// What a token says; `None` for one that is not valid, for whatever reason.
pub(crate) async fn find(control: &Control, token: &str) -> Result<Option<Claim>, AdminError> {
    if !key::is_well_formed_as(key::ACCESS_TOKEN_PREFIX, token) {
        return Ok(None);
    }
    let hash = KeyHash::of(&control.secrets.token_pepper, token);
    let row = access_token::Entity::find()
        .filter(access_token::Column::Hash.eq(hash.0.to_vec()))
        .one(&control.database)
        .await?;
    let now = OffsetDateTime::now_utc();
    let is_good = |row: &access_token::Model| row.revoked_at.is_none() && row.expires_at.is_none_or(|at| at > now);
    let Some(row) = row.filter(is_good) else { return Ok(None) };
    Ok(Some(Claim {
        user: row.user_id.0,
        token: Some(row.id.0),
        role: Some(row.role.parse().map_err(|error| AdminError::internal(&error))?),
        tenant: row.tenant_id.map(|id| TenantId(id.0)),
    }))
}
