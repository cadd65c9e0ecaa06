//! What may be done with users: who invites, changes and removes whom, and how the first one comes to be.

use actix_web::HttpResponse;
use admin_types::role::Role;
use admin_types::users::{CreateUser, OneTimeLink, UpdateUser};
use domain::ids::TenantId;
use domain::key::format_as;
use entities::{Id, user};
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::{self, By, Change};
use crate::auth::login::normalised;
use crate::auth::passwords::Passwords;
use crate::auth::{Actor, links};
use crate::error::AdminError;
use crate::repositories::resource::{self, owner};
use crate::repositories::{access_tokens, one_time_links, stored, tenants, users};
use crate::resource::One;
use crate::{Control, random};

const MAX_NAME: usize = 200;
const MAX_EMAIL_BYTES: usize = 254;
/// Of the first administrator, where nobody says another.
const FIRST_EMAIL: &str = "admin@localhost";

/// Makes somebody who has no password yet, and the link with which they set one.
pub(crate) async fn invite(
    control: &Control,
    transaction: &DatabaseTransaction,
    actor: &Actor,
    asked: CreateUser,
) -> Result<(user::Model, OneTimeLink), AdminError> {
    let email = checked_email(&asked.email)?;
    let name = asked.name.unwrap_or_else(|| email.clone());
    check_name(&name)?;
    may_give(actor, asked.role)?;
    let tenant = actor.owner(asked.tenant_id)?;
    check_tenant(transaction, asked.role, tenant).await?;
    let row = users::fresh(email, name, asked.role, tenant.map(|tenant| tenant.0), OffsetDateTime::now_utc());
    let row = resource::insert(transaction, row).await?;
    let link = links::make(control, transaction, row.id, links::Purpose::Invitation).await?;
    let change = Change::of("invite", "user", row.id, tenant).after(&users::view(&row)?);
    audit::append(transaction, &actor.by(), change).await?;
    Ok((row, link))
}

/// Changes a user.
pub(crate) async fn change(one: &One, asked: UpdateUser) -> Result<HttpResponse, AdminError> {
    let transaction = one.control.begin().await?;
    let admins = lock_admins(&transaction, &one.actor).await?;
    let before = one.lock::<user::Entity>(&transaction).await?;
    let mut row = before.clone();
    edit(&transaction, &one.actor, &mut row, &admins, asked).await?;
    let row = resource::update::<user::Entity>(&transaction, row, OffsetDateTime::now_utc()).await?;
    audit::append_all(&transaction, &one.actor.by(), updated(&before, &row)?).await?;
    let answer = one.answer::<user::Entity>(&transaction, row).await?;
    one.commit::<user::Entity>(transaction).await?;
    Ok(answer)
}

async fn edit(
    transaction: &DatabaseTransaction,
    actor: &Actor,
    row: &mut user::Model,
    admins: &[Id],
    asked: UpdateUser,
) -> Result<(), AdminError> {
    let before = row.clone();
    if let Some(name) = asked.name {
        check_name(&name)?;
        row.name = name;
    }
    if asked.role.is_some() || asked.tenant_id.is_some() {
        let role = asked.role.unwrap_or(users::role(row)?);
        may_give(actor, role)?;
        let tenant = new_tenant(actor, row, role, asked.tenant_id)?;
        check_tenant(transaction, role, tenant).await?;
        row.role = role.as_str().to_owned();
        row.tenant_id = tenant.map(|tenant| Id(tenant.0));
    }
    row.disabled_at = match asked.disabled {
        Some(true) => row.disabled_at.or(Some(stored(OffsetDateTime::now_utc()))),
        Some(false) => None,
        None => row.disabled_at,
    };
    let stays = row.role == Role::PlatformAdmin.as_str() && row.disabled_at.is_none();
    keep_one(admins, &before, stays)?;
    if (&row.role, row.tenant_id) != (&before.role, before.tenant_id) {
        void_given(transaction, row).await?;
    } else if row.disabled_at != before.disabled_at {
        row.session_epoch += 1;
    }
    Ok(())
}

/// Voids what was given for an account that becomes another: its sign-ins, one-time links and access tokens.
pub(crate) async fn void_given(transaction: &DatabaseTransaction, row: &mut user::Model) -> Result<(), DbErr> {
    row.session_epoch += 1;
    one_time_links::delete_of(transaction, row.id).await?;
    access_tokens::delete_of(transaction, row.id).await
}

/// The audit entries of a user that was changed. One who goes over to another tenant has one in the chain of each,
/// and neither tells of the other.
pub(crate) fn updated(before: &user::Model, row: &user::Model) -> Result<Vec<Change>, AdminError> {
    let (was, is) = (users::view(before)?, users::view(row)?);
    let of = |tenant| Change::of("update", "user", row.id, owner(tenant));
    if before.tenant_id == row.tenant_id {
        return Ok(vec![of(row.tenant_id).before(&was).after(&is)]);
    }
    Ok(vec![of(before.tenant_id).before(&was), of(row.tenant_id).after(&is)])
}

/// Removes a user.
pub(crate) async fn remove(one: &One) -> Result<HttpResponse, AdminError> {
    let transaction = one.control.begin().await?;
    let admins = lock_admins(&transaction, &one.actor).await?;
    let row = one.lock::<user::Entity>(&transaction).await?;
    keep_one(&admins, &row, false)?;
    one.erase::<user::Entity>(&transaction, row).await?;
    one.commit::<user::Entity>(transaction).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Makes a link with which a user sets a new password.
pub(crate) async fn reset_password(control: &Control, actor: &Actor, id: Uuid) -> Result<OneTimeLink, AdminError> {
    // With it one becomes that user for good, which is more than a token is for.
    actor.signed_in()?;
    if id == actor.user {
        return Err(AdminError::Forbidden("Change your own password at /api/v1/auth/password.".to_owned()));
    }
    let transaction = control.begin().await?;
    let row = resource::lock::<user::Entity>(&transaction, actor.scope(), id).await?;
    let purpose = if row.password_hash.is_some() { links::Purpose::PasswordReset } else { links::Purpose::Invitation };
    let link = links::make(control, &transaction, row.id, purpose).await?;
    let change = Change::of("reset_password", "user", row.id, owner(row.tenant_id));
    audit::append(&transaction, &actor.by(), change).await?;
    transaction.commit().await?;
    Ok(link)
}

/// The platform administrators there are, whom nobody else changes until the transaction ends. Locked before
/// the user who is changed, always, so that two changes do not wait for each other.
async fn lock_admins(transaction: &DatabaseTransaction, actor: &Actor) -> Result<Vec<Id>, AdminError> {
    match actor.tenant {
        None => Ok(users::lock_platform_admins(transaction).await?),
        Some(_) => Ok(Vec::new()),
    }
}

/// Somebody must be left who can manage everything.
pub(crate) fn keep_one(admins: &[Id], changed: &user::Model, stays: bool) -> Result<(), AdminError> {
    if stays || admins != [changed.id] {
        return Ok(());
    }
    let detail = "This is the last platform administrator who can sign in; make another one first.";
    Err(AdminError::conflict("last_platform_admin", detail))
}

fn may_give(actor: &Actor, role: Role) -> Result<(), AdminError> {
    if role <= actor.role {
        return Ok(());
    }
    Err(AdminError::Forbidden("Platform administrators are made by platform administrators.".to_owned()))
}

/// Whose a user is whose role or tenant changes.
fn new_tenant(
    actor: &Actor,
    row: &user::Model,
    role: Role,
    asked: Option<Uuid>,
) -> Result<Option<TenantId>, AdminError> {
    match (role, asked) {
        (Role::PlatformAdmin, None) => Ok(None),
        (_, None) => Ok(owner(row.tenant_id)),
        (_, asked) => actor.owner(asked),
    }
}

/// A platform administrator is of no tenant, everybody else of one that there is.
async fn check_tenant(
    transaction: &DatabaseTransaction,
    role: Role,
    tenant: Option<TenantId>,
) -> Result<(), AdminError> {
    match (role, tenant) {
        (Role::PlatformAdmin, Some(_)) => {
            Err(AdminError::field("tenant_id", "a platform administrator is of no tenant"))
        }
        (Role::PlatformAdmin, None) => Ok(()),
        (_, None) => Err(AdminError::field("tenant_id", "is needed for this role")),
        (_, tenant) => tenants::check_owner(transaction, tenant).await,
    }
}

fn check_name(name: &str) -> Result<(), AdminError> {
    if (1..=MAX_NAME).contains(&name.chars().count()) {
        return Ok(());
    }
    Err(AdminError::field("name", format!("must have 1 to {MAX_NAME} characters")))
}

/// An address in lower case, of the form that the API's document promises to take.
pub(crate) fn checked_email(email: &str) -> Result<String, AdminError> {
    let is_local = |letter: char| letter.is_ascii_alphanumeric() || "._%+'-".contains(letter);
    let is_domain = |letter: char| letter.is_ascii_alphanumeric() || ".-".contains(letter);
    let fits = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && local.chars().all(is_local)
            && domain.starts_with(|letter: char| letter.is_ascii_alphanumeric())
            && domain.chars().all(is_domain)
    });
    if fits && email.len() <= MAX_EMAIL_BYTES {
        return Ok(normalised(email));
    }
    Err(AdminError::field("email", "must be an address such as ada@example.com"))
}

/// A user who was made beside the server, with a password.
#[derive(Debug)]
pub struct MadeUser {
    /// Their id.
    pub id: Uuid,
    /// Their e-mail address.
    pub email: String,
    /// The password, where it was made up here: to be shown once.
    pub generated: Option<SecretString>,
}

/// Makes the first platform administrator, where there is no user yet. Of several processes that start
/// together one does.
///
/// # Errors
/// The address or the password cannot be used; the database's.
pub async fn first_administrator(
    database: &DatabaseConnection,
    email: Option<&str>,
    password: Option<&SecretString>,
) -> Result<Option<MadeUser>, AdminError> {
    if !users::is_empty(database).await? {
        return Ok(None);
    }
    let by = By::system("first start");
    match create(database, &by, email.unwrap_or(FIRST_EMAIL), Role::PlatformAdmin, None, password).await {
        Err(AdminError::Conflict { code: "already_exists", .. }) => Ok(None),
        made => made.map(Some),
    }
}

/// Makes a user with a password: the one given, or one that is made up.
///
/// # Errors
/// The address, password or tenant cannot be used, or there is such a user; the database's.
pub async fn create(
    database: &DatabaseConnection,
    by: &By,
    email: &str,
    role: Role,
    tenant: Option<TenantId>,
    password: Option<&SecretString>,
) -> Result<MadeUser, AdminError> {
    let email = checked_email(email)?;
    let (password, generated) = given_or_generated(password)?;
    let hash = Passwords::default().hash("password", password.expose_secret()).await?;
    let transaction = database::begin_writing(database).await?;
    check_tenant(&transaction, role, tenant).await?;
    let now = OffsetDateTime::now_utc();
    let row = users::fresh(email.clone(), email, role, tenant.map(|tenant| tenant.0), now);
    let row = user::Model { password_hash: Some(hash), password_changed_at: Some(row.created_at), ..row };
    let row = resource::insert(&transaction, row).await?;
    let change = Change::of("create", "user", row.id, tenant).after(&users::view(&row)?);
    audit::append(&transaction, by, change).await?;
    transaction.commit().await?;
    Ok(MadeUser { id: row.id.0, email: row.email, generated })
}

/// Gives a user another password, which ends their sign-ins; `None` where there is no such user.
///
/// # Errors
/// The password cannot be used; the database's.
pub async fn set_password(
    database: &DatabaseConnection,
    by: &By,
    email: &str,
    password: Option<&SecretString>,
) -> Result<Option<MadeUser>, AdminError> {
    let (password, generated) = given_or_generated(password)?;
    let hash = Passwords::default().hash("password", password.expose_secret()).await?;
    let transaction = database::begin_writing(database).await?;
    let Some(found) = users::find_by_email(&transaction, &normalised(email)).await? else { return Ok(None) };
    let Some(row) = users::lock(&transaction, found.id).await? else { return Ok(None) };
    let now = OffsetDateTime::now_utc();
    one_time_links::delete_of(&transaction, row.id).await?;
    let row = resource::update::<user::Entity>(&transaction, links::with_password(row, hash, now), now).await?;
    audit::append(&transaction, by, Change::of("set_password", "user", row.id, owner(row.tenant_id))).await?;
    transaction.commit().await?;
    Ok(Some(MadeUser { id: row.id.0, email: row.email, generated }))
}

fn given_or_generated(given: Option<&SecretString>) -> Result<(SecretString, Option<SecretString>), AdminError> {
    if let Some(given) = given {
        return Ok((given.clone(), None));
    }
    // 24 of 43 base62 characters: 142 random bits.
    let made: String = format_as("", random()?).chars().take(24).collect();
    Ok((made.clone().into(), Some(made.into())))
}
