//! SQL with bound values, in the placeholders of either database.

use entities::usage_record;
use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement, Value};
use time::OffsetDateTime;
use time::macros::format_description;

/// A statement that grows: text from this program, values bound.
#[derive(Debug, Clone)]
pub struct Sql {
    backend: DbBackend,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// Begins with `text`.
    pub fn new(backend: DbBackend, text: impl Into<String>) -> Self {
        Self { backend, text: text.into(), values: Vec::new() }
    }

    /// The database it is written for.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.backend
    }

    /// Adds text, never anything that came from outside.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a placeholder and its value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        if self.backend == DbBackend::Postgres {
            self.text.push('$');
            self.text.push_str(&self.values.len().to_string());
        } else {
            self.text.push('?');
        }
        self
    }

    /// Adds placeholders and their values, with commas between.
    pub fn bind_list<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.text.push_str(", ");
            }
            self.bind(value);
        }
        self
    }

    /// The statement.
    #[must_use]
    pub fn build(self) -> Statement {
        Statement::from_sql_and_values(self.backend, self.text, self.values)
    }

    /// Runs it.
    ///
    /// # Errors
    /// The database's.
    pub async fn execute(self, db: &impl ConnectionTrait) -> Result<ExecResult, DbErr> {
        db.execute_raw(self.build()).await
    }

    /// Runs it for its rows.
    ///
    /// # Errors
    /// The database's.
    pub async fn all(self, db: &impl ConnectionTrait) -> Result<Vec<QueryResult>, DbErr> {
        db.query_all_raw(self.build()).await
    }

    /// Runs it for its first row.
    ///
    /// # Errors
    /// The database's.
    pub async fn one(self, db: &impl ConnectionTrait) -> Result<Option<QueryResult>, DbErr> {
        db.query_one_raw(self.build()).await
    }
}

/// Records that began at or after `second`, since 1970.
///
/// # Errors
/// There is no such moment.
pub fn since(backend: DbBackend, second: i64) -> Result<SimpleExpr, DbErr> {
    Ok(started_at().gte(moment(backend, second)?))
}

/// Records that began before `second`, since 1970.
///
/// # Errors
/// There is no such moment.
pub fn until(backend: DbBackend, second: i64) -> Result<SimpleExpr, DbErr> {
    Ok(started_at().lt(moment(backend, second)?))
}

fn started_at() -> Expr {
    Expr::col((usage_record::Entity, usage_record::Column::StartedAt))
}

/// A whole second as `started_at` is compared with it. SQLite compares text, in which `…:00.5Z` stands
/// before `…:00Z`; without the final letter the bound stands before both.
pub(crate) fn moment(backend: DbBackend, second: i64) -> Result<Value, DbErr> {
    let time = OffsetDateTime::from_unix_timestamp(second).map_err(|error| DbErr::Custom(error.to_string()))?;
    if backend == DbBackend::Postgres {
        return Ok(time.into());
    }
    let shape = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let text = time.format(shape).map_err(|error| DbErr::Custom(format!("a time cannot be written: {error}")))?;
    Ok(text.into())
}
