//! Lists by keyset: a page begins behind the last entry of the one before, so that rows that come and go
//! meanwhile are neither shown twice nor left out.

use admin_types::page::{DEFAULT_LIMIT, MAX_LIMIT, Page};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{
    ColumnTrait, ColumnType, Condition, ConnectionTrait, DbBackend, EntityTrait, ModelTrait, Order, QueryFilter,
    QueryOrder, QuerySelect, Select, Value,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::AdminError;

/// Where a list stands: what a caller asked of it.
#[derive(Debug, Clone)]
pub(crate) struct Position<C> {
    limit: u64,
    after: Option<Cursor>,
    sort: &'static str,
    by: Option<C>,
}

/// The last entry of a page: what it is sorted by, and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    #[serde(rename = "s")]
    sort: String,
    #[serde(rename = "k")]
    key: Key,
    #[serde(rename = "i")]
    id: String,
}

/// What an entry is sorted by, before its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    /// By the id alone.
    Id,
    /// By a number.
    Number(i64),
    /// By a moment, as tables hold it.
    Moment {
        /// Microseconds since 1970.
        micros: i64,
    },
    /// By a text.
    Text(String),
}

impl Key {
    /// What a row holds in a column; `None` for a kind of value that no list is sorted by.
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::BigInt(Some(number)) => Some(Self::Number(number)),
            Value::String(Some(text)) => Some(Self::Text(text)),
            Value::TimeDateTimeWithTimeZone(Some(time)) => {
                i64::try_from(time.unix_timestamp_nanos() / 1_000).ok().map(|micros| Self::Moment { micros })
            }
            _ => None,
        }
    }

    /// Whether a column of this kind can hold it; `None` is the order by id alone.
    fn is_of(&self, kind: Option<&ColumnType>) -> bool {
        match (self, kind) {
            (Self::Id, None) => true,
            (Self::Number(_), Some(kind)) => matches!(kind, ColumnType::BigInteger),
            (Self::Text(_), Some(kind)) => is_text(kind),
            (Self::Moment { micros }, Some(ColumnType::TimestampWithTimeZone)) => {
                let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(*micros) * 1_000);
                // What no table holds PostgreSQL may not even be asked about.
                moment.is_ok_and(|moment| (0..=9999).contains(&moment.year()))
            }
            _ => false,
        }
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Id => None,
            Self::Number(number) => Some((*number).into()),
            Self::Moment { micros } => {
                OffsetDateTime::from_unix_timestamp_nanos(i128::from(*micros) * 1_000).ok().map(Value::from)
            }
            Self::Text(text) => Some(text.clone().into()),
        }
    }
}

/// Entries of a page.
///
/// # Errors
/// 422 for a limit that is no number of entries.
pub(crate) fn limit(asked: Option<u16>) -> Result<u16, AdminError> {
    let limit = asked.unwrap_or(DEFAULT_LIMIT);
    if limit == 0 || limit > MAX_LIMIT {
        return Err(AdminError::field("limit", format!("must be from 1 to {MAX_LIMIT}")));
    }
    Ok(limit)
}

impl<C: ColumnTrait> Position<C> {
    /// `sort` is what the order is called on the wire, where `-` begins a descending one; a cursor of another
    /// order is refused. `by` is the column that it goes by, which may not be null in any row of the list;
    /// `None` for the id alone, and ids are made in the order of time.
    ///
    /// # Errors
    /// A limit that is no number of entries, a cursor that this list has not given.
    pub(crate) fn new(
        asked: Option<u16>,
        cursor: Option<&str>,
        sort: &'static str,
        by: Option<C>,
    ) -> Result<Self, AdminError> {
        let kind = by.map(|by| by.def().get_column_type().clone());
        let after = cursor.map(|cursor| read(cursor, sort, kind.as_ref())).transpose()?;
        Ok(Self { limit: limit(asked)?.into(), after, sort, by })
    }

    /// The rows of the page. `id` is a column of text that tells every row from the others.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn page<E: EntityTrait<Column = C>>(
        &self,
        db: &impl ConnectionTrait,
        select: Select<E>,
        id: C,
    ) -> Result<Page<E::Model>, AdminError> {
        self.rows(db, select.filter(self.behind(db.get_database_backend(), id)), id).await
    }

    /// As [`page`](Self::page), of a selection that begins with [`behind`](Self::behind).
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn rows<E: EntityTrait<Column = C>>(
        &self,
        db: &impl ConnectionTrait,
        mut select: Select<E>,
        id: C,
    ) -> Result<Page<E::Model>, AdminError> {
        let order = if self.is_descending() { Order::Desc } else { Order::Asc };
        if let Some(by) = self.by {
            select = select.order_by(ordered(db.get_database_backend(), by), order.clone());
        }
        // One more row tells whether there is a next page.
        let mut data = select.order_by(id, order).limit(self.limit + 1).all(db).await?;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = data.len() > limit;
        data.truncate(limit);
        let last = data.last().filter(|_| more);
        let next_cursor = last.map(|row| self.cursor(row, id)).transpose()?;
        Ok(Page { data, next_cursor })
    }

    /// The rows behind the page before; all of them for the first page. Where the rows are many and the list
    /// is also bounded in what it is sorted by, this has to be the first condition: of two bounds SQLite walks
    /// its index from the one that it reads first.
    pub(crate) fn behind(&self, backend: DbBackend, id: C) -> Condition {
        let Some(after) = &self.after else { return Condition::all() };
        let last = SimpleExpr::from(after.id.as_str());
        let (row, place) = match (self.by, after.key.value()) {
            (Some(by), Some(key)) => {
                let row = Expr::tuple([ordered(backend, by), id.into_expr()]);
                (row, Expr::tuple([SimpleExpr::from(key), last]))
            }
            _ => (id.into_expr(), last),
        };
        Condition::all().add(if self.is_descending() { row.lt(place) } else { row.gt(place) })
    }

    fn is_descending(&self) -> bool {
        self.sort.starts_with('-')
    }

    fn cursor<M: ModelTrait<Entity: EntityTrait<Column = C>>>(&self, row: &M, id: C) -> Result<String, AdminError> {
        let unfit = || AdminError::internal(&format!("the list cannot be sorted by {}", self.sort));
        let key = self.by.map_or(Some(Key::Id), |by| Key::of(row.get(by))).ok_or_else(unfit)?;
        let Some(Key::Text(id)) = Key::of(row.get(id)) else { return Err(unfit()) };
        Cursor { sort: self.sort.to_owned(), key, id }.write()
    }
}

impl Cursor {
    fn write(&self) -> Result<String, AdminError> {
        let text = serde_json::to_vec(self).map_err(|error| AdminError::internal(&error))?;
        Ok(URL_SAFE_NO_PAD.encode(text))
    }
}

/// What a list goes by. Text goes by its bytes on PostgreSQL too, as it does on SQLite.
fn ordered<C: ColumnTrait>(backend: DbBackend, by: C) -> SimpleExpr {
    if backend == DbBackend::Postgres && is_text(by.def().get_column_type()) {
        return Expr::cust_with_expr("$1 COLLATE \"C\"", by.into_expr());
    }
    by.into_expr()
}

fn is_text(kind: &ColumnType) -> bool {
    matches!(kind, ColumnType::String(_) | ColumnType::Text | ColumnType::Char(_))
}

/// Reads the cursor of a list that goes by a column of this kind.
fn read(text: &str, sort: &str, kind: Option<&ColumnType>) -> Result<Cursor, AdminError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let cursor: Option<Cursor> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    // PostgreSQL's text holds no NUL.
    let has_nul =
        |cursor: &Cursor| cursor.id.contains('\0') || matches!(&cursor.key, Key::Text(text) if text.contains('\0'));
    cursor
        .filter(|cursor| cursor.sort == sort && cursor.key.is_of(kind) && !has_nul(cursor))
        .ok_or_else(|| AdminError::field("cursor", "is not one that this list has given"))
}

#[cfg(test)]
mod tests {
    use entities::tenant::Column;
    use sea_orm::QueryTrait;

    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_order_and_is_checked() {
        let cursor = |key: Key| Cursor { sort: "-name".to_owned(), key, id: "a".to_owned() };
        let kinds =
            [Some(ColumnType::Text), Some(ColumnType::TimestampWithTimeZone), Some(ColumnType::BigInteger), None];
        let keys = [Key::Text("b".to_owned()), Key::Moment { micros: -1 }, Key::Number(7), Key::Id];
        for (place, key) in keys.into_iter().enumerate() {
            let cursor = cursor(key);
            let text = cursor.write().unwrap();
            for (other, kind) in kinds.iter().enumerate() {
                let read = read(&text, "-name", kind.as_ref()).ok();
                assert_eq!(read, (place == other).then(|| cursor.clone()), "{cursor:?} {kind:?}");
            }
            assert!(read(&text, "name", kinds[place].as_ref()).is_err());
        }
        for micros in [i64::MIN, -300_000_000_000_000_000, 253_402_300_800_000_000, i64::MAX] {
            let far = cursor(Key::Moment { micros }).write().unwrap();
            assert!(read(&far, "-name", kinds[1].as_ref()).is_err(), "{micros}");
        }
        for forged in ["", "x", "e30", "%%%"] {
            assert!(read(forged, "name", None).is_err(), "{forged}");
        }
        let with_nul = Cursor { id: "a\0".to_owned(), ..cursor(Key::Id) };
        assert!(read(&with_nul.write().unwrap(), "-name", None).is_err());
        assert!(Position::<Column>::new(Some(0), None, "name", None).is_err());
        assert!(Position::<Column>::new(Some(501), None, "name", None).is_err());
    }

    #[test]
    fn text_goes_by_its_bytes_whatever_the_locale_of_the_database() {
        let after = Cursor { sort: "name".to_owned(), key: Key::Text("b".to_owned()), id: "a".to_owned() };
        let position = Position { limit: 1, after: Some(after), sort: "name", by: Some(Column::Name) };
        let sql = |backend: DbBackend| {
            let select = entities::tenant::Entity::find().filter(position.behind(backend, Column::Id));
            select.order_by(ordered(backend, Column::Name), Order::Asc).build(backend).to_string()
        };
        let postgres = sql(DbBackend::Postgres);
        assert_eq!(postgres.matches(r#""name" COLLATE "C""#).count(), 2, "{postgres}");
        let sqlite = sql(DbBackend::Sqlite);
        assert!(sqlite.contains("ORDER BY") && !sqlite.contains("COLLATE"), "{sqlite}");
    }
}
