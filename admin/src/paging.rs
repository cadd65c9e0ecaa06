//! Lists by keyset: a page begins behind the last entry of the one before, so that rows that come and go
//! meanwhile are neither shown twice nor left out.

use admin_types::page::{DEFAULT_LIMIT, MAX_LIMIT, Page};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entities::Id;
use sea_orm::sea_query::{ExprTrait, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Select, Value};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::AdminError;

/// Where a list stands: what a caller asked of it.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    limit: u64,
    after: Option<Cursor>,
    sort: &'static str,
    descending: bool,
}

/// The last entry of a page: what it is sorted by, and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    #[serde(rename = "s")]
    sort: String,
    #[serde(rename = "k")]
    key: Key,
    #[serde(rename = "i")]
    id: Uuid,
}

/// What an entry is sorted by, beside its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Key {
    /// By the id alone: ids are made in the order of time.
    Id,
    /// By a number.
    Number(i64),
    /// By a moment.
    Moment {
        /// Microseconds since 1970.
        micros: i64,
    },
    /// By a text.
    Text(String),
    /// By a moment.
    Time {
        /// Which.
        #[serde(rename = "t", with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
}

impl Key {
    /// By a moment as tables hold it, to the microsecond.
    pub(crate) fn moment(time: OffsetDateTime) -> Self {
        Self::Moment { micros: i64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX) }
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Id => None,
            Self::Number(number) => Some((*number).into()),
            Self::Moment { micros } => {
                OffsetDateTime::from_unix_timestamp_nanos(i128::from(*micros) * 1_000).ok().map(Value::from)
            }
            Self::Text(text) => Some(text.clone().into()),
            Self::Time { at } => Some((*at).into()),
        }
    }
}

impl Position {
    /// `sort` is what the order is called on the wire; a cursor of another order is refused.
    ///
    /// # Errors
    /// A limit that is no number of entries, a cursor that this list has not given.
    pub(crate) fn new(
        limit: Option<u16>,
        cursor: Option<&str>,
        sort: &'static str,
        descending: bool,
    ) -> Result<Self, AdminError> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 || limit > MAX_LIMIT {
            return Err(AdminError::field("limit", format!("must be from 1 to {MAX_LIMIT}")));
        }
        let after = cursor.map(|cursor| read(cursor, sort)).transpose()?;
        Ok(Self { limit: limit.into(), after, sort, descending })
    }

    /// The rows of the page and one more, which tells whether there is a next one. `column` is what
    /// [`Key`] holds; `None` where it is [`Key::Id`]. It may not be null.
    pub(crate) fn apply<E, C>(&self, select: Select<E>, column: Option<C>, id: C) -> Select<E>
    where
        E: EntityTrait<Column = C>,
        C: ColumnTrait,
    {
        let order = if self.descending { Order::Desc } else { Order::Asc };
        let mut select = select;
        if let Some(after) = &self.after {
            select = select.filter(self.beyond(after, column, id));
        }
        if let Some(column) = column {
            select = select.order_by(column, order.clone());
        }
        select.order_by(id, order).limit(self.limit + 1)
    }

    /// As [`Self::apply`], for rows that have a unique text in the place of an id.
    pub(crate) fn apply_by_name<E, C>(&self, select: Select<E>, name: C) -> Select<E>
    where
        E: EntityTrait<Column = C>,
        C: ColumnTrait,
    {
        let order = if self.descending { Order::Desc } else { Order::Asc };
        let after = self.after.as_ref().and_then(|after| after.key.value());
        let select = match after {
            Some(value) if self.descending => select.filter(name.lt(value)),
            Some(value) => select.filter(name.gt(value)),
            None => select,
        };
        select.order_by(name, order).limit(self.limit + 1)
    }

    /// The page of these rows, as [`Self::apply_by_name`] selected them.
    pub(crate) fn page_by_name<R, T>(
        &self,
        rows: Vec<R>,
        name: impl Fn(&R) -> String,
        show: impl FnMut(R) -> T,
    ) -> Page<T> {
        self.page(rows, |row| (Key::Text(name(row)), Uuid::nil()), show)
    }

    fn beyond<C: ColumnTrait>(&self, after: &Cursor, column: Option<C>, id: C) -> Condition {
        let past = |column: C, value: Value| -> SimpleExpr {
            if self.descending { column.lt(value) } else { column.gt(value) }
        };
        let last_id: Value = Id(after.id).into();
        let by_id = past(id, last_id);
        match (column, after.key.value()) {
            (Some(column), Some(value)) => {
                Condition::any().add(past(column, value.clone())).add(column.eq(value).and(by_id))
            }
            _ => Condition::all().add(by_id),
        }
    }

    /// The page of these rows, as [`Self::apply`] selected them.
    pub(crate) fn page<R, T>(
        &self,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> (Key, Uuid),
        show: impl FnMut(R) -> T,
    ) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more).map(key);
        let next_cursor = last.map(|(key, id)| Cursor { sort: self.sort.to_owned(), key, id }.write());
        Page { data: rows.into_iter().map(show).collect(), next_cursor }
    }
}

impl Cursor {
    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

fn read(text: &str, sort: &str) -> Result<Cursor, AdminError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let cursor: Option<Cursor> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    cursor
        .filter(|cursor| cursor.sort == sort && !matches!(&cursor.key, Key::Text(text) if text.contains('\0')))
        .ok_or_else(|| AdminError::field("cursor", "is not one that this list has given"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_order_and_is_checked() {
        let cursor = Cursor { sort: "-name".to_owned(), key: Key::Text("b".to_owned()), id: Uuid::nil() };
        assert_eq!(read(&cursor.write(), "-name").unwrap(), cursor);
        let moment = Cursor { key: Key::Moment { micros: -1 }, ..cursor.clone() };
        assert_eq!(read(&moment.write(), "-name").unwrap(), moment);
        assert!(read(&cursor.write(), "name").is_err());
        for forged in ["", "x", "e30", "%%%"] {
            assert!(read(forged, "name").is_err(), "{forged}");
        }
        assert!(Position::new(Some(0), None, "name", false).is_err());
        assert!(Position::new(Some(501), None, "name", false).is_err());
    }
}
