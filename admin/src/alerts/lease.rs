//! Of several processes one looks at the rules: whoever holds the lease.

use entities::lease::{ActiveModel, Column, Entity};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use time::{Duration, OffsetDateTime};

use crate::repositories::stored;

/// What the lease is for.
const NAME: &str = "alerts";
/// How long a process that says nothing more keeps it.
const TERM: Duration = Duration::seconds(60);

/// Takes the lease, or keeps it; `false` where another process has it.
pub(super) async fn take(db: &impl ConnectionTrait, holder: &str, now: OffsetDateTime) -> Result<bool, DbErr> {
    let (now, until) = (stored(now), stored(now + TERM));
    let free = Condition::any().add(Column::Holder.eq(holder)).add(Column::ExpiresAt.lt(now));
    let taken = Entity::update_many()
        .col_expr(Column::Holder, Expr::value(holder))
        .col_expr(Column::ExpiresAt, Expr::value(until))
        .filter(Column::Name.eq(NAME))
        .filter(free)
        .exec(db)
        .await?;
    if taken.rows_affected > 0 {
        return Ok(true);
    }
    let row = ActiveModel { name: Set(NAME.to_owned()), holder: Set(holder.to_owned()), expires_at: Set(until) };
    let nothing = OnConflict::new().do_nothing().to_owned();
    match Entity::insert(row).on_conflict(nothing).exec_without_returning(db).await {
        Ok(rows) => Ok(rows > 0),
        Err(DbErr::RecordNotInserted) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the lease back, so that another process need not wait.
pub(super) async fn release(db: &impl ConnectionTrait, holder: &str) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::Name.eq(NAME)).filter(Column::Holder.eq(holder)).exec(db).await.map(drop)
}
