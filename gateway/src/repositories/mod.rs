//! The only SQL of the data plane: functions from a connection to domain types.
//!
//! Times are kept in UTC, to the microsecond, which both databases hold.

pub mod keys;
pub mod models;
pub mod prices;
pub mod providers;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod usage;

use std::str::FromStr;

use sea_orm::DbErr;
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::{OffsetDateTime, UtcOffset};

/// Who made a row, and so who may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagedBy {
    /// The configuration file.
    File,
    /// The usual environment variables.
    Environment,
    /// The admin API.
    Api,
    /// The command line, and the first start.
    Cli,
}

impl ManagedBy {
    /// As it stands in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Environment => "environment",
            Self::Api => "api",
            Self::Cli => "cli",
        }
    }

    fn parse(text: &str) -> Result<Self, DbErr> {
        [Self::File, Self::Environment, Self::Api, Self::Cli]
            .into_iter()
            .find(|value| value.as_str() == text)
            .ok_or_else(|| corrupt("managed_by", text))
    }
}

/// A column holds what no version of this program writes there.
fn corrupt(column: &str, value: &str) -> DbErr {
    DbErr::Custom(format!("column {column} holds {value:?}, which is not known here"))
}

fn parse<T: FromStr>(column: &str, text: &str) -> Result<T, DbErr> {
    text.parse().map_err(|_| corrupt(column, text))
}

fn to_json<T: Serialize>(value: &T) -> Result<String, DbErr> {
    serde_json::to_string(value).map_err(|error| DbErr::Custom(error.to_string()))
}

fn from_json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, DbErr> {
    serde_json::from_str(text).map_err(|error| DbErr::Custom(format!("column {column}: {error}")))
}

/// In UTC and whole microseconds: PostgreSQL keeps no more, and SQLite compares text.
fn stored(time: OffsetDateTime) -> OffsetDateTime {
    let time = time.to_offset(UtcOffset::UTC);
    let whole = time.nanosecond() / 1_000 * 1_000;
    time.replace_nanosecond(whole).unwrap_or(time)
}

/// Counts above the range of a database's integer are held at its end.
fn to_i64<T: TryInto<i64>>(count: T) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Counts are never negative in a table that this program wrote.
fn to_count<T: TryFrom<i64>>(column: &str, value: i64) -> Result<T, DbErr> {
    T::try_from(value).map_err(|_| corrupt(column, &value.to_string()))
}
