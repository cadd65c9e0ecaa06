//! Personal access tokens.

use admin_types::page::Page;
use admin_types::role::Role;
use admin_types::tokens::{ListTokens, Token, TokenSort};
use domain::ids::TenantId;
use entities::access_token::{self, Column};
use entities::{Id, user};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Scope, contains};
use crate::error::AdminError;
use crate::paging::Position;

/// Whose tokens a caller may see: their own, and those of the users whom they manage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// The caller.
    pub(crate) user: Uuid,
    /// What the token may do that they ask with: of their own they see those that may do no more. `None` where they
    /// have signed in.
    pub(crate) narrowed: Option<(Role, Option<TenantId>)>,
    /// The users whom they manage; `None` for nobody.
    pub(crate) manages: Option<Scope>,
}

impl Reach {
    fn condition(self) -> Condition {
        let mut own = Condition::all().add(Column::UserId.eq(Id(self.user)));
        if let Some((most, tenant)) = self.narrowed {
            let roles = Role::ALL.into_iter().filter(|role| *role <= most).map(Role::as_str);
            let within = tenant.map_or(Column::TenantId.is_null(), |tenant| Column::TenantId.eq(Id(tenant.0)));
            own = own.add(Column::Role.is_in(roles)).add(within);
        }
        let Some(scope) = self.manages else { return own };
        let managed = user::Entity::find()
            .select_only()
            .column(user::Column::Id)
            .filter(scope.own(user::Column::TenantId))
            .into_query();
        Condition::any().add(own).add(Column::UserId.in_subquery(managed))
    }
}

/// A row as it is shown.
pub(crate) fn view(row: &access_token::Model) -> Result<Token, AdminError> {
    Ok(Token {
        id: row.id.0,
        user_id: row.user_id.0,
        name: row.name.clone(),
        redacted: row.redacted.clone(),
        role: row.role.parse().map_err(|error| AdminError::internal(&error))?,
        tenant_id: row.tenant_id.map(|id| id.0),
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        created_at: row.created_at,
    })
}

/// One page of the tokens within reach.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    reach: Reach,
    list: &ListTokens,
) -> Result<Page<Token>, AdminError> {
    let sort = list.sort.unwrap_or_default();
    let by = matches!(sort, TokenSort::Name | TokenSort::NameDescending).then_some(Column::Name);
    let position = Position::new(list.limit, list.cursor.as_deref(), sort.as_str(), by)?;
    let asked = Condition::all()
        .add(Column::RevokedAt.is_null())
        .add_option(list.q.as_deref().map(|text| contains(Column::Name, text)))
        .add_option(list.user_id.map(|user| Column::UserId.eq(Id(user))));
    let select = access_token::Entity::find().filter(reach.condition()).filter(asked);
    position.page(db, select, Column::Id).await?.try_map(|row| view(&row))
}

/// One token within reach.
pub(crate) async fn find(db: &impl ConnectionTrait, reach: Reach, id: Uuid) -> Result<access_token::Model, AdminError> {
    let find = access_token::Entity::find_by_id(Id(id)).filter(reach.condition()).filter(Column::RevokedAt.is_null());
    find.one(db).await?.ok_or(AdminError::NotFound)
}

/// The token of this digest.
pub(crate) async fn find_by_hash(db: &impl ConnectionTrait, hash: &[u8]) -> Result<Option<access_token::Model>, DbErr> {
    access_token::Entity::find().filter(Column::Hash.eq(hash.to_vec())).one(db).await
}

/// Keeps a token.
pub(crate) async fn insert(db: &impl ConnectionTrait, row: access_token::Model) -> Result<access_token::Model, DbErr> {
    access_token::ActiveModel::from(row).reset_all().insert(db).await
}

/// Removes a token.
pub(crate) async fn delete(db: &impl ConnectionTrait, id: Id) -> Result<(), DbErr> {
    access_token::Entity::delete_by_id(id).exec(db).await.map(drop)
}

/// Removes the tokens of a user.
pub(crate) async fn delete_of(db: &impl ConnectionTrait, user: Id) -> Result<(), DbErr> {
    access_token::Entity::delete_many().filter(Column::UserId.eq(user)).exec(db).await.map(drop)
}

/// Notes that a token was used, where nobody has within this minute.
pub(crate) async fn note_use(db: &impl ConnectionTrait, id: Id, minute: OffsetDateTime) -> Result<(), DbErr> {
    let before = Condition::any().add(Column::LastUsedAt.is_null()).add(Column::LastUsedAt.lt(minute));
    access_token::Entity::update_many()
        .col_expr(Column::LastUsedAt, Expr::value(minute))
        .filter(Column::Id.eq(id))
        .filter(before)
        .exec(db)
        .await
        .map(drop)
}
