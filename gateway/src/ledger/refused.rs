//! Records that the database refuses for what is in them: kept for people to see, one JSON line each.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;

use super::UsageRecord;

const FILE: &str = "refused.jsonl";

#[derive(Serialize)]
struct Line<'a> {
    reason: &'a str,
    record: &'a UsageRecord,
}

/// Adds a record, and waits for the disk. After a crash in between it is added again, with the same id.
pub(super) fn append(dir: &Path, record: &UsageRecord, reason: &str) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Line { reason, record })?;
    line.push(b'\n');
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(dir.join(FILE))?;
    file.write_all(&line)?;
    file.sync_all()
}
