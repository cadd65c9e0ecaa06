//! What rows with an id and a version have alike: one that the caller may see, and its change and removal.

use domain::ids::TenantId;
use entities::Id;
use sea_orm::{
    ActiveModelTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, IntoActiveModel, ModelTrait,
    PrimaryKeyTrait, QueryFilter, QuerySelect, Select,
};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Scope, stored};
use crate::error::AdminError;

/// A table whose rows are shown, changed and removed one by one.
pub(crate) trait Resource:
    EntityTrait<
        Model: IntoActiveModel<<Self as EntityTrait>::ActiveModel>,
        ActiveModel: Send,
        PrimaryKey: PrimaryKeyTrait<ValueType = Id>,
    >
{
    /// What the audit log calls a row.
    const KIND: &'static str;
    /// Whether gateways go by these rows, so that they are told of a change.
    const ANNOUNCED: bool;
    /// A row as it is shown.
    type View: Serialize;

    /// The rows that the caller may see.
    fn visible(scope: Scope) -> Condition;

    /// What a row is, whatever it holds beside.
    fn head(row: &Self::Model) -> Head;

    /// Raises the version of a row that is changed at `now`.
    fn renew(row: &mut Self::Model, now: OffsetDateTime);

    /// A row as a caller of this scope is shown it.
    ///
    /// # Errors
    /// The row holds what no version of this program writes there; the database's, where it lies in more than
    /// one table.
    async fn view(db: &impl ConnectionTrait, row: Self::Model, scope: Scope) -> Result<Self::View, AdminError>;
}

/// What every such row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Which one it is.
    pub(crate) id: Id,
    /// Whose it is; `None` for the platform's.
    pub(crate) owner: Option<TenantId>,
    /// Raised by each change.
    pub(crate) version: i64,
    /// It is changed where it was declared, and not here.
    pub(crate) is_declared: bool,
}

/// Whose a row is whose table has the platform's beside the tenants'.
pub(crate) fn owner(tenant: Option<Id>) -> Option<TenantId> {
    tenant.map(|id| TenantId(id.0))
}

/// One row that the caller may see.
///
/// # Errors
/// The database's, [`AdminError::NotFound`].
pub(crate) async fn find<R: Resource>(
    db: &impl ConnectionTrait,
    scope: Scope,
    id: Uuid,
) -> Result<R::Model, AdminError> {
    by_id::<R>(scope, id).one(db).await?.ok_or(AdminError::NotFound)
}

/// As [`find`], and nobody else changes the row until the transaction ends.
///
/// # Errors
/// As [`find`]'s.
pub(crate) async fn lock<R: Resource>(
    db: &impl ConnectionTrait,
    scope: Scope,
    id: Uuid,
) -> Result<R::Model, AdminError> {
    locked(db, by_id::<R>(scope, id)).one(db).await?.ok_or(AdminError::NotFound)
}

fn by_id<R: Resource>(scope: Scope, id: Uuid) -> Select<R> {
    R::find_by_id(Id(id)).filter(R::visible(scope))
}

/// The same rows, which nobody else changes until the transaction ends. SQLite has one writer anyway.
pub(crate) fn locked<E: EntityTrait>(db: &impl ConnectionTrait, select: Select<E>) -> Select<E> {
    if db.get_database_backend() == DbBackend::Postgres { select.lock_exclusive() } else { select }
}

/// Adds a row.
///
/// # Errors
/// The database's; there is one of its name.
pub(crate) async fn insert<M>(db: &impl ConnectionTrait, row: M) -> Result<M, DbErr>
where
    M: ModelTrait<Entity: EntityTrait<Model = M, ActiveModel: Send>>
        + IntoActiveModel<<<M as ModelTrait>::Entity as EntityTrait>::ActiveModel>,
{
    row.into_active_model().reset_all().insert(db).await
}

/// Writes what has changed of a row and raises its version.
///
/// # Errors
/// The database's; there is another one of its name.
pub(crate) async fn update<R: Resource>(
    db: &impl ConnectionTrait,
    mut row: R::Model,
    now: OffsetDateTime,
) -> Result<R::Model, DbErr> {
    R::renew(&mut row, stored(now));
    row.into_active_model().reset_all().update(db).await
}

/// Removes a row with what is its own.
///
/// # Errors
/// The database's.
pub(crate) async fn delete<R: Resource>(db: &impl ConnectionTrait, id: Id) -> Result<(), DbErr> {
    R::delete_by_id(id).exec(db).await.map(drop)
}
