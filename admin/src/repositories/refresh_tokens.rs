//! Sign-ins and their refresh tokens. A user's own, so every query names the user or the secret.

use admin_types::auth::{ListSignIns, SignIn};
use admin_types::page::Page;
use entities::refresh_token::{self, Column};
use entities::{Id, user};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::contains;
use crate::auth::sessions::started_at;
use crate::error::AdminError;
use crate::paging::Position;

/// Keeps a token.
pub(crate) async fn insert(db: &impl ConnectionTrait, row: refresh_token::Model) -> Result<(), DbErr> {
    let row: refresh_token::ActiveModel = row.into();
    refresh_token::Entity::insert(row.reset_all()).exec_without_returning(db).await.map(drop)
}

/// The token of this digest.
pub(crate) async fn find(db: &impl ConnectionTrait, hash: &[u8]) -> Result<Option<refresh_token::Model>, DbErr> {
    refresh_token::Entity::find().filter(Column::Hash.eq(hash.to_vec())).one(db).await
}

/// Marks every token of a sign-in as exchanged that is still to be.
pub(crate) async fn use_up(
    db: &impl ConnectionTrait,
    user: Id,
    family: Uuid,
    now: OffsetDateTime,
) -> Result<(), DbErr> {
    refresh_token::Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(now))
        .filter(good_of(user, family))
        .exec(db)
        .await
        .map(drop)
}

/// Tokens of a sign-in that are still to be exchanged.
pub(crate) async fn good(db: &impl ConnectionTrait, user: Id, family: Uuid) -> Result<u64, DbErr> {
    refresh_token::Entity::find().filter(good_of(user, family)).count(db).await
}

fn good_of(user: Id, family: Uuid) -> Condition {
    let family = Column::FamilyId.eq(Id(family));
    Condition::all().add(Column::UserId.eq(user)).add(family).add(Column::UsedAt.is_null())
}

/// Ends a sign-in. Says whether it was not ended before.
pub(crate) async fn revoke_family(
    db: &impl ConnectionTrait,
    user: Id,
    family: Uuid,
    now: OffsetDateTime,
) -> Result<bool, DbErr> {
    let revoked = refresh_token::Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .filter(Column::FamilyId.eq(Id(family)))
        .filter(Column::UserId.eq(user))
        .filter(Column::RevokedAt.is_null())
        .exec(db)
        .await?;
    Ok(revoked.rows_affected > 0)
}

/// Takes a sign-in over into the user's new epoch, in which all the others are void.
pub(crate) async fn keep_family(db: &impl ConnectionTrait, user: &user::Model, family: Uuid) -> Result<(), DbErr> {
    refresh_token::Entity::update_many()
        .col_expr(Column::SessionEpoch, Expr::value(user.session_epoch))
        .filter(Column::FamilyId.eq(Id(family)))
        .filter(Column::UserId.eq(user.id))
        .exec(db)
        .await
        .map(drop)
}

/// Whether a sign-in has not been ended.
pub(crate) async fn is_alive(db: &impl ConnectionTrait, user: Id, family: Uuid) -> Result<bool, DbErr> {
    let found = refresh_token::Entity::find()
        .filter(Column::FamilyId.eq(Id(family)))
        .filter(Column::UserId.eq(user))
        .filter(Column::RevokedAt.is_null())
        .count(db)
        .await?;
    Ok(found > 0)
}

/// Drops tokens that are over.
pub(crate) async fn forget(db: &impl ConnectionTrait, user: Id, before: OffsetDateTime) -> Result<(), DbErr> {
    refresh_token::Entity::delete_many()
        .filter(Column::UserId.eq(user))
        .filter(Column::ExpiresAt.lt(before))
        .exec(db)
        .await
        .map(drop)
}

/// One page of the sign-ins of a user; `current` is the one that asks.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    user: &user::Model,
    current: Uuid,
    list: &ListSignIns,
    now: OffsetDateTime,
) -> Result<Page<SignIn>, AdminError> {
    let sort = list.sort.unwrap_or_default();
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), None)?;
    // Each sign-in has a token that is still to be exchanged; where requests crossed it has several, of which the
    // newest stands for it. Ids are made in the order of time.
    let newest = Query::select()
        .expr(Column::Id.max())
        .from(refresh_token::Entity)
        .and_where(Column::UserId.eq(user.id))
        .and_where(Column::UsedAt.is_null())
        .group_by_col(Column::FamilyId)
        .to_owned();
    let text = list
        .q
        .as_deref()
        .map(|text| Condition::any().add(contains(Column::Address, text)).add(contains(Column::UserAgent, text)));
    let select = refresh_token::Entity::find().filter(
        Condition::all()
            .add_option(text)
            .add(Column::Id.in_subquery(newest))
            .add(Column::SessionEpoch.eq(user.session_epoch))
            .add(Column::RevokedAt.is_null())
            .add(Column::ExpiresAt.gt(now)),
    );
    let show = |row: refresh_token::Model| SignIn {
        id: row.family_id.0,
        address: row.address,
        user_agent: row.user_agent,
        started_at: started_at(row.family_id.0).unwrap_or(row.created_at),
        refreshed_at: row.created_at,
        expires_at: row.expires_at,
        current: current == row.family_id.0,
    };
    Ok(position.page(db, select, Column::FamilyId).await?.map(show))
}
