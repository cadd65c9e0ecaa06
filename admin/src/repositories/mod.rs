//! The only SQL of the control plane. Every query takes the [`Scope`] of its caller.

pub(crate) mod access_tokens;
pub(crate) mod alerts;
pub mod audit;
pub(crate) mod credentials;
pub mod health;
pub mod keys;
pub(crate) mod login_failures;
pub mod models;
pub(crate) mod oidc_sign_ins;
pub(crate) mod one_time_links;
pub(crate) mod prices;
pub(crate) mod providers;
pub(crate) mod refresh_tokens;
pub(crate) mod reprice;
pub(crate) mod resource;
pub mod sessions;
pub mod tenants;
pub(crate) mod unpriced;
pub mod usage;
pub(crate) mod users;
pub mod voices;

use domain::ids::TenantId;
use entities::Id;
use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, DbErr};
use time::OffsetDateTime;

/// What a caller may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// One tenant's.
    Tenant(TenantId),
}

impl Scope {
    /// Only what is the caller's: `column` holds whose a row is.
    pub fn own(self, column: impl ColumnTrait) -> Condition {
        match self {
            Self::All => Condition::all(),
            Self::Tenant(tenant) => Condition::all().add(column.eq(Id(tenant.0))),
        }
    }

    /// As [`Self::own`], and the platform's, which every tenant sees.
    pub fn own_or_platform(self, column: impl ColumnTrait) -> Condition {
        match self {
            Self::All => Condition::all(),
            Self::Tenant(tenant) => Condition::any().add(column.eq(Id(tenant.0))).add(column.is_null()),
        }
    }

    /// What the caller sees of one tenant: everything of its own, nothing of another.
    #[must_use]
    pub fn narrow(self, tenant: Option<TenantId>) -> Option<Self> {
        match (self, tenant) {
            (scope, None) => Some(scope),
            (Self::All, Some(tenant)) => Some(Self::Tenant(tenant)),
            (Self::Tenant(own), Some(other)) => (own == other).then_some(self),
        }
    }
}

/// `column` contains `text`, whatever the case; what stands for anything in a pattern stands for itself.
pub(crate) fn contains(column: impl ColumnTrait, text: &str) -> Condition {
    let lower = text.to_lowercase();
    if text.is_ascii() {
        return Condition::any().add(like(column, &lower));
    }
    // SQLite lowers ASCII alone, and so does PostgreSQL in some locales: other letters are found as they are
    // written, and in capitals.
    let capital = |letter: char| if letter.is_ascii() { letter.into() } else { letter.to_uppercase().to_string() };
    let capitals: String = lower.chars().map(capital).collect();
    [lower, text.to_ascii_lowercase(), capitals].iter().fold(Condition::any(), |any, text| any.add(like(column, text)))
}

/// `column` in small letters contains `text`.
fn like(column: impl ColumnTrait, text: &str) -> SimpleExpr {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    let lower = sea_orm::sea_query::Func::lower(Expr::col(column.as_column_ref()));
    Expr::expr(lower).like(LikeExpr::new(pattern).escape('\\'))
}

/// Only the rows that have something in `column`, or only those that have nothing; nothing asked, all of them.
pub(crate) fn is_there(column: impl ColumnTrait, wanted: Option<bool>) -> Option<SimpleExpr> {
    wanted.map(|wanted| if wanted { column.is_not_null() } else { column.is_null() })
}

/// A column holds what no version of this program writes there.
pub(crate) fn unreadable(column: &str) -> DbErr {
    DbErr::Type(format!("{column} holds what this version cannot read"))
}

/// A moment as both databases hold it: UTC, to the microsecond.
pub(crate) fn stored(time: OffsetDateTime) -> OffsetDateTime {
    let time = time.to_offset(time::UtcOffset::UTC);
    time.replace_nanosecond(time.nanosecond() / 1000 * 1000).unwrap_or(time)
}
