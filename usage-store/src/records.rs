//! Records into their table, and what is new of them into the roll-ups, in one transaction.

use std::collections::{BTreeMap, HashSet};

use database::blocks::{SIZES, blocks};
use entities::{Id, usage_record};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    QuerySelect, QueryTrait,
};

use crate::tally::Tally;
use crate::{rebuild, write};

/// A server that hears no more of us, since the network between has vanished, would keep our locks for hours, and the
/// same records would wait for them over their next connection.
const LET_GO: &str = "SET LOCAL idle_in_transaction_session_timeout = '20s'";

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inserted {
    /// Records that were not there before.
    pub new: u64,
    /// Records whose turn of a session another record has: they would be refused for ever.
    pub left_out: Vec<Id>,
}

/// Inserts what is not there yet, and adds exactly that to the roll-ups: a replayed journal adds
/// nothing a second time. All of it is written or nothing.
///
/// # Errors
/// The database's. [`DbErr::RecordNotInserted`] where a record that is not there is of a day whose records are
/// deleted: whether its sums have it already, nobody knows.
pub async fn insert_new(db: &DatabaseConnection, records: &[usage_record::Model]) -> Result<Inserted, DbErr> {
    let mut inserted = Inserted::default();
    if records.is_empty() {
        return Ok(inserted);
    }
    let transaction = database::begin(db).await?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared(LET_GO).await?;
    }
    let mut tally = Tally::default();
    let mut first = i64::MAX;
    // In order, so that two processes that replay the same records do not wait for each other in a ring.
    let mut records: Vec<&usage_record::Model> = records.iter().collect();
    records.sort_by_key(|record| record.id);
    for chunk in blocks(&records, &SIZES) {
        let mut new = insert_chunk(&transaction, chunk).await?;
        inserted.new += u64::try_from(new.len()).unwrap_or(u64::MAX);
        let all_are_new = new.len() == chunk.len();
        // Of two records with one id in a batch the first is the one that was written.
        for record in chunk.iter().filter(|record| new.remove(&record.id)) {
            tally.count(record);
            first = first.min(record.started_at.unix_timestamp());
        }
        if !all_are_new {
            inserted.left_out.extend(missing(&transaction, chunk).await?);
        }
    }
    // Asked after the first write: SQLite lets none become a writer that has read. The mark is there before the
    // first record of its days goes, so one that was deleted before it could be found above is told by it.
    if inserted.new > 0 && rebuild::kept_since(&transaction).await?.is_some_and(|kept_since| first < kept_since) {
        transaction.rollback().await?;
        return Err(DbErr::RecordNotInserted);
    }
    write::add(&transaction, &tally).await?;
    transaction.commit().await?;
    Ok(inserted)
}

/// Inserts one statement's worth and gives the ids of what was new.
async fn insert_chunk(db: &impl ConnectionTrait, chunk: &[&usage_record::Model]) -> Result<HashSet<Id>, DbErr> {
    let rows = chunk.iter().map(|&record| record.clone().into_active_model());
    let nothing = OnConflict::new().do_nothing().to_owned();
    let mut insert = usage_record::Entity::insert_many(rows).on_conflict(nothing).into_query();
    insert.returning_col(usage_record::Column::Id);
    db.query_all(&insert).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Those of `chunk` that are not in the table, each once.
async fn missing(db: &impl ConnectionTrait, chunk: &[&usage_record::Model]) -> Result<Vec<Id>, DbErr> {
    let mut ids: BTreeMap<Id, ()> = chunk.iter().map(|record| (record.id, ())).collect();
    let present: Vec<Id> = usage_record::Entity::find()
        .select_only()
        .column(usage_record::Column::Id)
        .filter(usage_record::Column::Id.is_in(ids.keys().copied()))
        .into_tuple()
        .all(db)
        .await?;
    for id in present {
        ids.remove(&id);
    }
    Ok(ids.into_keys().collect())
}
