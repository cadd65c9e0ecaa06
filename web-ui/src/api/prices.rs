//! `/api/v1/prices`: prices, lists of them, and use without a price.

use admin_types::page::Page;
use admin_types::prices::{
    CreatePrice, ExportPrices, ImportPrices, ImportReport, ImportTells, ListFormat, ListPrices, ListUnpriced, Price,
    Reprice, Repriced, UnpricedUse, UpdatePrice,
};
use admin_types::problem::Problem;
use serde::Deserialize;
use uuid::Uuid;
use wasm_bindgen::JsValue;

use super::request::{Call, LONG_PATIENCE_MS, failure_of};
use super::stream::{Cutter, Pieces, Progress, download};
use super::wire::with_query;
use super::{Client, Failure, Versioned};

const PATH: &str = "/api/v1/prices";

pub(crate) async fn list_prices(client: &Client, query: &ListPrices) -> Result<Page<Price>, Failure> {
    client.list(PATH, query).await
}

pub(crate) async fn get_price(client: &Client, id: Uuid) -> Result<Versioned<Price>, Failure> {
    client.get_versioned(&format!("{PATH}/{id}")).await
}

pub(crate) async fn create_price(client: &Client, create: &CreatePrice) -> Result<Price, Failure> {
    client.create(PATH, create).await
}

pub(crate) async fn update_price(
    client: &Client,
    id: Uuid,
    change: &UpdatePrice,
    version: Option<&str>,
) -> Result<Versioned<Price>, Failure> {
    client.patch(&format!("{PATH}/{id}"), change, version).await
}

pub(crate) async fn delete_price(client: &Client, id: Uuid, version: Option<&str>) -> Result<(), Failure> {
    client.delete(&format!("{PATH}/{id}"), version).await
}

/// Downloads the list.
pub(crate) async fn export_prices(client: &Client, query: &ExportPrices, progress: Progress) -> Result<(), Failure> {
    download(client, &with_query(&format!("{PATH}/export"), query), "prices", progress).await
}

pub(crate) async fn list_unpriced(client: &Client, query: &ListUnpriced) -> Result<Page<UnpricedUse>, Failure> {
    client.list(&format!("{PATH}/unpriced"), query).await
}

/// Gives records without a cost one. Where the answer has a cursor, ask again with it.
pub(crate) async fn reprice(client: &Client, asked: &Reprice) -> Result<Repriced, Failure> {
    let call = Call::post(format!("{PATH}/reprice")).json(asked)?;
    client.json(call.patience_ms(LONG_PATIENCE_MS)).await
}

/// One thing that an import tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImportLine {
    /// How far it is.
    Progress {
        /// Such as `reading` or `writing`.
        stage: String,
        /// Bytes read.
        bytes: u64,
        /// Rows read.
        rows: u64,
    },
    /// What becomes of one row.
    Row {
        /// Its line in the list.
        row: u64,
        /// `inserted`, `updated`, `unchanged` or `refused`.
        outcome: String,
        /// Why it is refused.
        detail: Option<String>,
    },
}

/// A line as it comes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Progress {
        progress: ProgressLine,
    },
    Row {
        row: u64,
        outcome: String,
        #[serde(default)]
        detail: Option<String>,
    },
    Report {
        report: ImportReport,
    },
    Problem {
        problem: Box<Problem>,
    },
}

#[derive(Deserialize)]
struct ProgressLine {
    stage: String,
    bytes: u64,
    rows: u64,
}

/// Imports a list, a text or a `File`, or tries it out; tells what becomes of every row on the way.
pub(crate) async fn import_prices(
    client: &Client,
    options: &ImportPrices,
    list: impl Into<JsValue>,
    mut told: impl FnMut(ImportLine),
) -> Result<ImportReport, Failure> {
    let options = ImportPrices { report: Some(ImportTells::Rows), ..options.clone() };
    let kind = match options.format.unwrap_or_default() {
        ListFormat::Csv => "text/csv",
        ListFormat::Json => "application/json",
    };
    let call = Call::post(with_query(&format!("{PATH}/import"), &options)).raw(Some(kind), list);
    let pieces = Pieces::of(client.send(call.patience_ms(LONG_PATIENCE_MS)).await?);
    let mut cutter = Cutter::lines();
    let mut report = None;
    while let Some(piece) = pieces.next().await? {
        for line in cutter.push(&piece.to_vec()) {
            report = read_line(&line, &mut told)?.or(report);
        }
    }
    let rest = cutter.rest();
    if !rest.trim().is_empty() {
        report = read_line(&rest, &mut told)?.or(report);
    }
    report.ok_or_else(|| Failure::Network("the import ended without a report".to_owned()))
}

/// The report, where the line is one.
fn read_line(line: &str, told: &mut impl FnMut(ImportLine)) -> Result<Option<ImportReport>, Failure> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    match serde_json::from_str(line).map_err(|error| Failure::Unreadable(error.to_string()))? {
        Line::Progress { progress: ProgressLine { stage, bytes, rows } } => {
            told(ImportLine::Progress { stage, bytes, rows });
            Ok(None)
        }
        Line::Row { row, outcome, detail } => {
            told(ImportLine::Row { row, outcome, detail });
            Ok(None)
        }
        Line::Report { report } => Ok(Some(report)),
        Line::Problem { problem } => Err(failure_of(*problem, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_tells_rows_and_then_a_report() {
        let mut lines = Vec::new();
        let mut read = |line: &str| read_line(line, &mut |line| lines.push(line));
        assert_eq!(read(r#"{"progress":{"stage":"reading","bytes":9,"rows":1}}"#), Ok(None));
        assert_eq!(read(r#"{"row":2,"outcome":"refused","detail":"unit: is none"}"#), Ok(None));
        let report = r#"{"report":{"applied":false,"dry_run":true,"rows":1,"inserted":0,"updated":0,"unchanged":0,"refused":1,"problems":[]}}"#;
        assert_eq!(read(report).unwrap().map(|report| report.refused), Some(1));
        let problem = r#"{"problem":{"type":"x","title":"T","status":422,"code":"invalid","detail":"no"}}"#;
        assert_eq!(read(problem).unwrap_err().status(), Some(422));
        assert_eq!(lines.len(), 2);
    }
}
