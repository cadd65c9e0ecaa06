//! Links that work once: with one, somebody who was invited or has forgotten theirs sets a password.

use std::time::Duration;

use admin_types::users::OneTimeLink;
use domain::ids::TenantId;
use domain::key::{KeyHash, format_as, is_well_formed_as};
use entities::{Id, one_time_link, user};
use sea_orm::DatabaseTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

use super::passwords::check_length;
use super::sessions::{Origin, may_sign_in};
use crate::audit::{self, Change};
use crate::error::AdminError;
use crate::repositories::{one_time_links, resource, stored, users};
use crate::{Control, random};

/// Prefix of a link's token.
const PREFIX: &str = "ot-ap-";

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Somebody new sets a first password.
    Invitation,
    /// Somebody sets a new one.
    PasswordReset,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::PasswordReset => "password_reset",
        }
    }

    const fn lifetime(self) -> Duration {
        match self {
            Self::Invitation => Duration::from_secs(7 * 24 * 3600),
            Self::PasswordReset => Duration::from_secs(3600),
        }
    }
}

/// Makes a link for a user; those before it work no more.
pub(crate) async fn make(
    control: &Control,
    transaction: &DatabaseTransaction,
    user: Id,
    purpose: Purpose,
) -> Result<OneTimeLink, AdminError> {
    let token = format_as(PREFIX, random()?);
    let now = OffsetDateTime::now_utc();
    let row = one_time_link::Model {
        id: Id(Uuid::now_v7()),
        user_id: user,
        purpose: purpose.as_str().to_owned(),
        hash: hash(control, &token),
        expires_at: stored(now + purpose.lifetime()),
        used_at: None,
        created_at: stored(now),
    };
    let expires_at = row.expires_at;
    one_time_links::replace(transaction, row).await?;
    // Behind `#`, which browsers send nowhere, so that it stands in no log on the way.
    let url = format!("{}/accept#token={token}", control.settings.origin());
    Ok(OneTimeLink { url, token, expires_at })
}

/// Sets the password that somebody chose with a link. Every sign-in of theirs is void then.
pub(crate) async fn accept(control: &Control, token: &str, password: &str, origin: &Origin) -> Result<(), AdminError> {
    check_length("password", password)?;
    // Before the password is hashed, which is dear and so only done for those who have a link.
    find(control, token, OffsetDateTime::now_utc()).await?;
    let hashed = control.auth.passwords.hash("password", password).await?;

    let transaction = control.begin().await?;
    let now = OffsetDateTime::now_utc();
    let link = one_time_links::find(&transaction, &hash(control, token)).await?.ok_or_else(unusable)?;
    let user = users::lock(&transaction, link.user_id).await?.ok_or_else(unusable)?;
    // Again, now that nobody else can use it.
    let link = one_time_links::find(&transaction, &link.hash).await?.filter(|link| is_good(link, now));
    let link = link.ok_or_else(unusable)?;
    if !may_sign_in(&transaction, &user).await? {
        return Err(unusable());
    }
    one_time_links::use_up(&transaction, link, stored(now)).await?;
    let before = users::view(&user)?;
    let user = resource::update::<user::Entity>(&transaction, with_password(user, hashed, now), now).await?;
    let tenant = user.tenant_id.map(|id| TenantId(id.0));
    let change = Change::of("set_password", "user", user.id, tenant).before(&before).after(&users::view(&user)?);
    audit::append(&transaction, &origin.by(&user), change).await?;
    transaction.commit().await?;
    Ok(())
}

/// A user with a new password; tokens given before it are void.
pub(crate) fn with_password(mut user: user::Model, hash: String, now: OffsetDateTime) -> user::Model {
    user.password_hash = Some(hash);
    user.password_changed_at = Some(stored(now));
    user.session_epoch += 1;
    user
}

async fn find(control: &Control, token: &str, now: OffsetDateTime) -> Result<(), AdminError> {
    if !is_well_formed_as(PREFIX, token) {
        return Err(unusable());
    }
    let link = one_time_links::find(&control.database, &hash(control, token)).await?;
    link.filter(|link| is_good(link, now)).map(drop).ok_or_else(unusable)
}

fn is_good(link: &one_time_link::Model, now: OffsetDateTime) -> bool {
    link.used_at.is_none() && link.expires_at > now
}

/// One answer for links that never were, were used, or are over.
fn unusable() -> AdminError {
    AdminError::field("token", "is of no link that can be used; ask for a new one")
}

fn hash(control: &Control, token: &str) -> Vec<u8> {
    KeyHash::of(&control.secrets.token_pepper, token).0.to_vec()
}
