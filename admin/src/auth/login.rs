//! Signing in with a password, and changing it.

use admin_types::auth::{ChangePassword, Login};
use domain::ids::TenantId;
use entities::{Id, user};
use sea_orm::DatabaseTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

use super::links::with_password;
use super::passwords::Verdict;
use super::sessions::{self, Origin, Tokens};
use super::{Actor, signing, throttle};
use crate::audit::{self, Change};
use crate::error::AdminError;
use crate::repositories::{one_time_links, refresh_tokens, resource, stored, users};
use crate::{Control, auth};

/// Bytes of an address that are looked at.
const MAX_EMAIL_BYTES: usize = 254;
/// Characters of a password that are looked at: more than any that can be set.
const MAX_PASSWORD: usize = admin_types::auth::MAX_PASSWORD;

/// An address as it is kept and compared.
pub(crate) fn normalised(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Signs in. The answer and its time tell nobody whether there is such an account.
///
/// # Errors
/// 401 in one form for whatever is wrong; 429 after too many failures.
pub(crate) async fn sign_in(
    control: &Control,
    login: &Login,
    device: Option<&str>,
    origin: &Origin,
) -> Result<Tokens, AdminError> {
    if login.email.len() > MAX_EMAIL_BYTES {
        return Err(AdminError::field("email", format!("must have at most {MAX_EMAIL_BYTES} characters")));
    }
    if login.password.chars().count() > MAX_PASSWORD {
        return Err(AdminError::field("password", format!("must have at most {MAX_PASSWORD} characters")));
    }
    let email = normalised(&login.email);
    let from = throttle::From { address: origin.address.as_deref(), device };
    let guess = throttle::claim(control, &email, from).await?;
    tokio::time::sleep(guess.later).await;
    let found = users::find_by_email(&control.database, &email).await?;
    let stored_hash = found.as_ref().and_then(|user| user.password_hash.as_deref());
    let verdict = control.auth.passwords.verify(stored_hash, &login.password).await?;
    let Some(found) = found.filter(|_| verdict != Verdict::Wrong) else { return Err(AdminError::WrongCredentials) };
    let newer_hash = match verdict {
        Verdict::RightButOld => Some(control.auth.passwords.hash("password", &login.password).await?),
        _ => None,
    };
    let transaction = control.begin().await?;
    let user = users::lock(&transaction, found.id).await?;
    // The password that was compared must still be the one in force.
    let mut user = user.filter(|user| user.password_hash == found.password_hash).ok_or(AdminError::WrongCredentials)?;
    if !sessions::may_sign_in(&transaction, &user).await? {
        return Err(AdminError::WrongCredentials);
    }
    if newer_hash.is_some() {
        user.password_hash = newer_hash;
    }
    let tokens = welcome(control, transaction, user, origin).await?;
    throttle::was_right(control, guess).await?;
    Ok(tokens)
}

/// Gives a user whose row the transaction has locked, and who has proved who they are, their tokens.
pub(crate) async fn welcome(
    control: &Control,
    transaction: DatabaseTransaction,
    mut user: user::Model,
    origin: &Origin,
) -> Result<Tokens, AdminError> {
    user.last_login_at = Some(stored(OffsetDateTime::now_utc()));
    let user = users::note(&transaction, user).await?;
    let (session, refresh) = sessions::begin(control, &transaction, &user, origin).await?;
    transaction.commit().await?;
    let access = signing::sign(control, user.id.0, session, user.session_epoch).await?;
    Ok(Tokens { access, refresh, lifetime: sessions::IDLE })
}

/// Changes the caller's password. The sign-in that asks goes on, with a new access token; every other is
/// ended, and links for a new password are void.
///
/// # Errors
/// 422 for a wrong old password or a new one that cannot be; 429 after too many wrong ones; 403 with a
/// personal access token.
pub(crate) async fn change_password(
    control: &Control,
    actor: &Actor,
    session: Uuid,
    asked: &ChangePassword,
    device: Option<&str>,
    origin: &Origin,
) -> Result<String, AdminError> {
    auth::passwords::check_length("new_password", &asked.new_password)?;
    let from = throttle::From { address: origin.address.as_deref(), device };
    let guess = throttle::claim(control, &actor.email, from).await?;
    let found = users::lock(&control.database, Id(actor.user)).await?.ok_or(AdminError::Unauthenticated)?;
    let verdict = control.auth.passwords.verify(found.password_hash.as_deref(), &asked.old_password).await?;
    if verdict == Verdict::Wrong {
        return Err(AdminError::field("old_password", "is not the password that is in force"));
    }
    let hashed = control.auth.passwords.hash("new_password", &asked.new_password).await?;
    let transaction = control.begin().await?;
    let user = users::lock(&transaction, found.id).await?.ok_or(AdminError::Unauthenticated)?;
    if user.password_hash != found.password_hash || user.session_epoch != found.session_epoch {
        return Err(AdminError::Stale);
    }
    let now = OffsetDateTime::now_utc();
    let user = resource::update::<user::Entity>(&transaction, with_password(user, hashed, now), now).await?;
    one_time_links::delete_of(&transaction, user.id).await?;
    refresh_tokens::keep_family(&transaction, &user, session).await?;
    let change = Change::of("change_password", "user", user.id, user.tenant_id.map(|id| TenantId(id.0)));
    audit::append(&transaction, &actor.by(), change).await?;
    transaction.commit().await?;
    throttle::was_right(control, guess).await?;
    signing::sign(control, user.id.0, session, user.session_epoch).await
}
