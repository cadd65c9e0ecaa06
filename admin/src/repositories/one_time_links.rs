//! One-time links. They are found by their secret, and name their user.

use entities::Id;
use entities::one_time_link::{self, Column};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use time::OffsetDateTime;

/// Keeps a link in place of every other one of its user.
pub(crate) async fn replace(db: &impl ConnectionTrait, row: one_time_link::Model) -> Result<(), DbErr> {
    delete_of(db, row.user_id).await?;
    let row: one_time_link::ActiveModel = row.into();
    one_time_link::Entity::insert(row.reset_all()).exec_without_returning(db).await.map(drop)
}

/// The link of this digest.
pub(crate) async fn find(db: &impl ConnectionTrait, hash: &[u8]) -> Result<Option<one_time_link::Model>, DbErr> {
    one_time_link::Entity::find().filter(Column::Hash.eq(hash.to_vec())).one(db).await
}

/// Marks a link as used.
pub(crate) async fn use_up(
    db: &impl ConnectionTrait,
    row: one_time_link::Model,
    now: OffsetDateTime,
) -> Result<(), DbErr> {
    let mut row: one_time_link::ActiveModel = row.into();
    row.used_at = Set(Some(now));
    row.update(db).await.map(drop)
}

/// Drops the links of a user.
pub(crate) async fn delete_of(db: &impl ConnectionTrait, user: Id) -> Result<(), DbErr> {
    one_time_link::Entity::delete_many().filter(Column::UserId.eq(user)).exec(db).await.map(drop)
}
