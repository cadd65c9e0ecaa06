//! Walks the chains of the audit log and names the first bad entry of each.
//!
//! What it finds: entries that were altered, taken out, put in, or cut off at the end. Whoever can write
//! the whole database can still write a whole chain anew; a copy of an end's hash kept elsewhere shows that.

use admin_types::audit::{AuditFault, AuditVerification, FaultKind};
use entities::{audit_entry, audit_head};
use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{GENESIS, hash};
use crate::repositories::Scope;

/// Rows that are held at once.
const BATCH: u64 = 500;
/// Faults that are told.
const MAX_FAULTS: usize = 1000;

/// Walks every chain that the caller may see, some hundred entries at a time.
///
/// # Errors
/// The database's.
pub async fn verify(db: &impl ConnectionTrait, scope: Scope) -> Result<AuditVerification, DbErr> {
    let mut report = AuditVerification::default();
    match scope {
        Scope::Tenant(tenant) => walk(db, &tenant.to_string(), &mut report).await?,
        Scope::All => {
            let mut after = String::new();
            loop {
                let chains = chains(db, &after).await?;
                let Some(last) = chains.last().cloned() else { break };
                for chain in chains {
                    walk(db, &chain, &mut report).await?;
                }
                after = last;
            }
            walk_orphans(db, &mut report).await?;
        }
    }
    report.valid = report.faults.is_empty();
    Ok(report)
}

async fn chains(db: &impl ConnectionTrait, after: &str) -> Result<Vec<String>, DbErr> {
    audit_head::Entity::find()
        .select_only()
        .column(audit_head::Column::Chain)
        .filter(audit_head::Column::Chain.gt(after))
        .order_by_asc(audit_head::Column::Chain)
        .limit(BATCH)
        .into_tuple()
        .all(db)
        .await
}

/// Chains whose end is recorded nowhere.
async fn walk_orphans(db: &impl ConnectionTrait, report: &mut AuditVerification) -> Result<(), DbErr> {
    let known = Query::select().column(audit_head::Column::Chain).from(audit_head::Entity).to_owned();
    let orphans: Vec<String> = audit_entry::Entity::find()
        .select_only()
        .column(audit_entry::Column::Chain)
        .filter(audit_entry::Column::Chain.not_in_subquery(known))
        .group_by(audit_entry::Column::Chain)
        .limit(BATCH)
        .into_tuple()
        .all(db)
        .await?;
    for chain in orphans {
        walk(db, &chain, report).await?;
    }
    Ok(())
}

/// What is known of a chain while it is walked.
struct Walk {
    next: i64,
    previous: String,
}

async fn walk(db: &impl ConnectionTrait, chain: &str, report: &mut AuditVerification) -> Result<(), DbErr> {
    // In this order: what is appended meanwhile lies behind the last entry, never behind the end.
    let last = last_of(db, chain).await?;
    let head = audit_head::Entity::find_by_id(chain).one(db).await?;
    if last.is_none() && head.is_none() {
        return Ok(());
    }
    report.chains += 1;
    let (end, end_hash) = head.map_or_else(|| (0, GENESIS.to_owned()), |head| (head.sequence, head.hash));
    let mut walk = Walk { next: 1, previous: GENESIS.to_owned() };
    let mut fault = None;
    let mut after = i64::MIN;
    while fault.is_none() {
        let rows = batch(db, chain, after, end).await?;
        let Some(last) = rows.last() else { break };
        after = last.sequence;
        for row in &rows {
            fault = walk.step(row);
            if fault.is_some() {
                break;
            }
            report.entries += 1;
        }
    }
    let fault = fault.or_else(|| walk.finish(end, &end_hash, last));
    if let Some((sequence, entry, fault)) = fault
        && report.faults.len() < MAX_FAULTS
    {
        report.faults.push(AuditFault { chain: chain.to_owned(), sequence, entry_id: entry, fault });
    }
    Ok(())
}

type Found = (i64, Option<uuid::Uuid>, FaultKind);

impl Walk {
    fn step(&mut self, row: &audit_entry::Model) -> Option<Found> {
        let id = Some(row.id.0);
        if row.sequence > self.next {
            return Some((self.next, None, FaultKind::Missing));
        }
        if row.sequence < self.next || row.previous_hash != self.previous {
            return Some((row.sequence, id, FaultKind::Unlinked));
        }
        if hash(row) != row.hash {
            return Some((row.sequence, id, FaultKind::Altered));
        }
        self.next += 1;
        self.previous.clone_from(&row.hash);
        None
    }

    /// Every entry up to the end has been walked; `last` is the place and id of the last one there is.
    fn finish(&self, end: i64, end_hash: &str, last: Option<(i64, uuid::Uuid)>) -> Option<Found> {
        if self.next <= end {
            return Some((self.next, None, FaultKind::CutOff));
        }
        match last {
            Some((sequence, id)) if sequence > end => Some((sequence, Some(id), FaultKind::BehindTheEnd)),
            // The last one was altered, and its own hash with it.
            Some((sequence, id)) if self.previous != end_hash => Some((sequence, Some(id), FaultKind::Altered)),
            _ => None,
        }
    }
}

async fn last_of(db: &impl ConnectionTrait, chain: &str) -> Result<Option<(i64, uuid::Uuid)>, DbErr> {
    let last: Option<(i64, entities::Id)> = audit_entry::Entity::find()
        .select_only()
        .column(audit_entry::Column::Sequence)
        .column(audit_entry::Column::Id)
        .filter(audit_entry::Column::Chain.eq(chain))
        .order_by_desc(audit_entry::Column::Sequence)
        .into_tuple()
        .one(db)
        .await?;
    Ok(last.map(|(sequence, id)| (sequence, id.0)))
}

async fn batch(db: &impl ConnectionTrait, chain: &str, after: i64, end: i64) -> Result<Vec<audit_entry::Model>, DbErr> {
    audit_entry::Entity::find()
        .filter(audit_entry::Column::Chain.eq(chain))
        .filter(audit_entry::Column::Sequence.gt(after))
        .filter(audit_entry::Column::Sequence.lte(end))
        .order_by_asc(audit_entry::Column::Sequence)
        .limit(BATCH)
        .all(db)
        .await
}
