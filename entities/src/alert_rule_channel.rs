//! Which rule is told where.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `alert_rule_channels`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_rule_channels")]
pub struct Model {
    /// The rule.
    #[sea_orm(primary_key, auto_increment = false)]
    pub rule_id: Id,
    /// The channel.
    #[sea_orm(primary_key, auto_increment = false)]
    pub channel_id: Id,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
