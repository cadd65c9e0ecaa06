//! Sign-ins that wait for an identity provider. They are found by a digest of their state.

use entities::oidc_sign_in::{self, Column};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter};
use time::OffsetDateTime;

/// Keeps one.
pub(crate) async fn insert(db: &impl ConnectionTrait, row: oidc_sign_in::Model) -> Result<(), DbErr> {
    let row: oidc_sign_in::ActiveModel = row.into();
    oidc_sign_in::Entity::insert(row.reset_all()).exec_without_returning(db).await.map(drop)
}

/// Takes one away: of two that come with the same state, one gets it.
pub(crate) async fn take(db: &impl ConnectionTrait, id: &str) -> Result<Option<oidc_sign_in::Model>, DbErr> {
    let Some(row) = oidc_sign_in::Entity::find_by_id(id).one(db).await? else { return Ok(None) };
    let taken = oidc_sign_in::Entity::delete_by_id(id).exec(db).await?;
    Ok((taken.rows_affected == 1).then_some(row))
}

/// How many wait.
pub(crate) async fn count(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    oidc_sign_in::Entity::find().count(db).await
}

/// Drops those whose time is over.
pub(crate) async fn forget(db: &impl ConnectionTrait, now: OffsetDateTime) -> Result<(), DbErr> {
    oidc_sign_in::Entity::delete_many().filter(Column::ExpiresAt.lt(now)).exec(db).await.map(drop)
}
