//! Alerts: a rule, what it was found of, and since when.

use sea_orm::entity::prelude::*;

use crate::Id;

/// One row of `alert_events`.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_events")]
pub struct Model {
    /// `UUIDv7`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Id,
    /// The rule, which may be gone.
    pub rule_id: Id,
    /// What it was called.
    pub rule_name: String,
    /// Whose rule it was; null for the platform's.
    pub tenant_id: Option<Id>,
    /// Such as `budget_share`.
    pub kind: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// What it is about: the id of a key or tenant, or names of a provider and its model.
    pub subject: String,
    /// As people call that.
    pub subject_name: String,
    /// `pending` (not long enough yet), `firing` or `resolved`.
    pub state: String,
    /// Decimal text: what was found.
    pub value: String,
    /// Decimal text: what it was held against.
    pub threshold: String,
    /// Since when.
    pub started_at: TimeDateTimeWithTimeZone,
    /// When the channels were told that it fires.
    pub notified_at: Option<TimeDateTimeWithTimeZone>,
    /// When it was over.
    pub resolved_at: Option<TimeDateTimeWithTimeZone>,
    /// Who has taken note.
    pub acknowledged_by: Option<String>,
    /// When.
    pub acknowledged_at: Option<TimeDateTimeWithTimeZone>,
}

/// No relations: rows are joined by their ids where a query needs it.
#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
