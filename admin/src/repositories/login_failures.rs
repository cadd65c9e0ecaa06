//! Failed guesses of passwords.

use entities::login_failure::{self, Column};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
};
use time::OffsetDateTime;

use super::resource::locked;

/// The counts of these subjects that there are; locked until the transaction ends, where they are for a
/// change.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    subjects: &[&str],
    for_change: bool,
) -> Result<Vec<login_failure::Model>, DbErr> {
    let find = login_failure::Entity::find()
        .filter(Column::Subject.is_in(subjects.iter().copied()))
        .order_by_asc(Column::Subject);
    let find = if for_change { locked(db, find) } else { find };
    find.all(db).await
}

/// Makes counts of nothing for subjects that have none.
pub(crate) async fn prepare(db: &impl ConnectionTrait, subjects: &[&str], now: OffsetDateTime) -> Result<(), DbErr> {
    for subject in subjects {
        let row = login_failure::ActiveModel {
            subject: Set((*subject).to_owned()),
            failures: Set(0),
            blocked_until: Set(None),
            updated_at: Set(now),
        };
        let nothing = OnConflict::new().do_nothing().to_owned();
        match login_failure::Entity::insert(row).on_conflict(nothing).exec_without_returning(db).await {
            Ok(_) | Err(DbErr::RecordNotInserted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes a count.
pub(crate) async fn update(db: &impl ConnectionTrait, row: login_failure::Model) -> Result<(), DbErr> {
    login_failure::ActiveModel::from(row).reset_all().update(db).await.map(drop)
}

/// Drops counts that nothing was added to since `before`.
pub(crate) async fn forget(db: &impl ConnectionTrait, before: OffsetDateTime) -> Result<(), DbErr> {
    login_failure::Entity::delete_many().filter(Column::UpdatedAt.lt(before)).exec(db).await.map(drop)
}
