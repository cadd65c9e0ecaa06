//! Users.

use admin_types::page::Page;
use admin_types::role::Role;
use admin_types::users::{ListUsers, User, UserSort};
use entities::{Id, user};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::resource::{self, Head, Resource, owner};
use super::{Scope, contains, is_there, stored};
use crate::error::AdminError;
use crate::paging::Position;

/// A row as it is shown.
pub(crate) fn view(row: &user::Model) -> Result<User, AdminError> {
    Ok(User {
        id: row.id.0,
        email: row.email.clone(),
        name: row.name.clone(),
        role: role(row)?,
        tenant_id: row.tenant_id.map(|id| id.0),
        disabled_at: row.disabled_at,
        has_password: row.password_hash.is_some(),
        single_sign_on: row.oidc_subject.is_some(),
        last_login_at: row.last_login_at,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// The role of a row.
pub(crate) fn role(row: &user::Model) -> Result<Role, AdminError> {
    row.role.parse().map_err(|error| AdminError::internal(&error))
}

/// Somebody who is not kept yet, and can neither sign in nor be told from others by more than the e-mail
/// address.
pub(crate) fn fresh(email: String, name: String, role: Role, tenant: Option<Uuid>, now: OffsetDateTime) -> user::Model {
    let now = stored(now);
    user::Model {
        id: Id(Uuid::now_v7()),
        email,
        name,
        password_hash: None,
        role: role.as_str().to_owned(),
        tenant_id: tenant.map(Id),
        disabled_at: None,
        session_epoch: 0,
        oidc_issuer: None,
        oidc_subject: None,
        last_login_at: None,
        password_changed_at: None,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

impl Resource for user::Entity {
    const KIND: &'static str = "user";
    const ANNOUNCED: bool = false;
    type View = User;

    fn visible(scope: Scope) -> Condition {
        scope.own(user::Column::TenantId)
    }

    fn head(row: &user::Model) -> Head {
        Head { id: row.id, owner: owner(row.tenant_id), version: row.version, is_declared: false }
    }

    fn renew(row: &mut user::Model, now: OffsetDateTime) {
        row.version += 1;
        row.updated_at = now;
    }

    async fn view(_: &impl ConnectionTrait, row: user::Model, _: Scope) -> Result<User, AdminError> {
        view(&row)
    }
}

/// One page of the users that the caller may see.
pub(crate) async fn list(db: &impl ConnectionTrait, scope: Scope, list: &ListUsers) -> Result<Page<User>, AdminError> {
    let sort = list.sort.unwrap_or_default();
    let by = matches!(sort, UserSort::Email | UserSort::EmailDescending).then_some(user::Column::Email);
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), by)?;
    let text = |text| Condition::any().add(contains(user::Column::Email, text)).add(contains(user::Column::Name, text));
    let asked = Condition::all()
        .add_option(list.q.as_deref().map(text))
        .add_option(list.role.map(|role| user::Column::Role.eq(role.as_str())))
        .add_option(list.tenant_id.map(|tenant| user::Column::TenantId.eq(Id(tenant))))
        .add_option(is_there(user::Column::DisabledAt, list.disabled));
    let select = user::Entity::find().filter(user::Entity::visible(scope)).filter(asked);
    position.page(db, select, user::Column::Id).await?.try_map(|row| view(&row))
}

/// Whoever signs in with this address, which is in lower case.
pub(crate) async fn find_by_email(db: &impl ConnectionTrait, email: &str) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find().filter(user::Column::Email.eq(email)).one(db).await
}

/// Whom an identity provider knows by this name.
pub(crate) async fn find_by_subject(
    db: &impl ConnectionTrait,
    issuer: &str,
    subject: &str,
) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find()
        .filter(user::Column::OidcIssuer.eq(issuer))
        .filter(user::Column::OidcSubject.eq(subject))
        .one(db)
        .await
}

/// A user whose sign-ins nobody else changes until the transaction ends.
pub(crate) async fn lock(db: &impl ConnectionTrait, id: Id) -> Result<Option<user::Model>, DbErr> {
    resource::locked(db, user::Entity::find_by_id(id)).one(db).await
}

/// The platform administrators who can sign in, none of whom anybody else changes until the transaction
/// ends.
pub(crate) async fn lock_platform_admins(db: &impl ConnectionTrait) -> Result<Vec<Id>, DbErr> {
    let can_sign_in =
        Condition::any().add(user::Column::PasswordHash.is_not_null()).add(user::Column::OidcSubject.is_not_null());
    let find = user::Entity::find()
        .filter(user::Column::Role.eq(Role::PlatformAdmin.as_str()))
        .filter(user::Column::DisabledAt.is_null())
        .filter(can_sign_in)
        .order_by_asc(user::Column::Id);
    Ok(resource::locked(db, find).all(db).await?.into_iter().map(|row| row.id).collect())
}

/// Whether there is nobody yet.
pub(crate) async fn is_empty(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(user::Entity::find().count(db).await? == 0)
}

/// Writes what nobody has changed on purpose, such as when somebody signed in: the version stays.
pub(crate) async fn note(db: &impl ConnectionTrait, row: user::Model) -> Result<user::Model, DbErr> {
    user::ActiveModel::from(row).reset_all().update(db).await
}
