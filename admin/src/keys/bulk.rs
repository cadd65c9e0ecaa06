//! Many keys from one file: read as it arrives, checked row by row, and made all together or not at all.

use std::collections::{HashMap, HashSet};

use admin_types::keys::{Budget, BudgetWindow, CreateKey, RowProblem};
use admin_types::problem::FieldProblem;
use domain::ids::TenantId;
use sea_orm::ConnectionTrait;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::error::AdminError;
use crate::extract::Pieces;
use crate::keys::policy::Policy;
use crate::repositories::{Scope, keys};
use crate::sheet::{Record, Records};

/// Keys of one file.
const MAX_ROWS: u64 = 10_000;
/// Bytes of one file. What is behind a fault is read to here, so that the sender can read the answer.
pub(crate) const MAX_BYTES: usize = 256 * 1024 * 1024;
/// Problems that are told.
const MAX_PROBLEMS: usize = 1000;
/// Columns that a file may have.
const COLUMNS: [&str; 10] = [
    "name",
    "tenant",
    "operations",
    "models",
    "rpm",
    "sessions",
    "budget_usd",
    "budget_window",
    "expires_at",
    "allow_strategy",
];

/// A file, as far as it can be judged without the database.
#[derive(Debug)]
pub(crate) struct Sheet {
    now: OffsetDateTime,
    columns: Option<Vec<&'static str>>,
    /// The row that was read last, as a spreadsheet counts.
    row: u64,
    /// The keys that it asks for.
    asked: Vec<Asked>,
    /// What is wrong with it.
    pub(crate) problems: Vec<RowProblem>,
    /// Nothing more is read.
    ended: bool,
}

#[derive(Debug)]
struct Asked {
    row: u64,
    tenant: Option<String>,
    policy: Policy,
}

/// A key that can be made.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Whose it will be.
    pub(crate) tenant: TenantId,
    /// What it may be.
    pub(crate) policy: Policy,
}

/// Reads a file to its end; gives the digest of its bytes too.
///
/// # Errors
/// As [`Pieces::next`]'s.
pub(crate) async fn read(mut file: Pieces, now: OffsetDateTime) -> Result<(Sheet, Sha256), AdminError> {
    let mut sheet = Sheet { now, columns: None, row: 0, asked: Vec::new(), problems: Vec::new(), ended: false };
    let mut records = Records::new();
    let mut digest = Sha256::new();
    while let Some(chunk) = file.next().await? {
        digest.update(&chunk);
        if sheet.ended {
            continue;
        }
        if let Err(error) = records.feed(&chunk, &mut |record| sheet.take(record)) {
            sheet.end(error.to_string());
        }
    }
    if !sheet.ended
        && let Err(error) = records.finish(&mut |record| sheet.take(record))
    {
        sheet.end(error.to_string());
    }
    if sheet.columns.is_none() && sheet.problems.is_empty() {
        sheet.end("the file has no header; its columns may be ".to_owned() + &COLUMNS.join(", "));
    }
    Ok((sheet, digest))
}

impl Sheet {
    /// How many keys it asks for.
    pub(crate) fn rows(&self) -> u64 {
        self.row.saturating_sub(1)
    }

    /// Without a header that can be used, there are no rows to tell anything of.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.rows() == 0 && !self.problems.is_empty()
    }

    fn add(&mut self, column: Option<&str>, detail: impl Into<String>) {
        let column = column.map(str::to_owned);
        self.problem(RowProblem { row: self.row, column, detail: detail.into() });
    }

    fn problem(&mut self, problem: RowProblem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    /// The next row cannot be told from what follows.
    fn end(&mut self, detail: String) {
        self.row += 1;
        self.add(None, detail);
        self.ended = true;
    }

    fn take(&mut self, record: Record) {
        if self.ended {
            return;
        }
        if self.row > MAX_ROWS {
            return self.end(format!("a file asks for {MAX_ROWS} keys at most"));
        }
        self.row += 1;
        let Some(cells) = record else {
            return self.add(None, "is not UTF-8 text, or holds the character U+0000");
        };
        match self.columns.take() {
            None => self.take_header(&cells),
            Some(columns) => {
                self.take_row(&columns, cells);
                self.columns = Some(columns);
            }
        }
    }

    fn take_header(&mut self, cells: &[String]) {
        let mut columns = Vec::with_capacity(cells.len());
        for cell in cells {
            let named = COLUMNS.into_iter().find(|column| *column == cell.trim());
            match named {
                Some(column) if columns.contains(&column) => self.add(Some(column), "stands in the header twice"),
                Some(column) => columns.push(column),
                None => {
                    let shown: String = cell.chars().take(64).collect();
                    self.add(Some(&shown), format!("is no column; they are {}", COLUMNS.join(", ")));
                }
            }
        }
        if !columns.contains(&"name") && self.problems.is_empty() {
            self.add(Some("name"), "must stand in the header");
        }
        // Without its header no row can be read.
        self.ended = !self.problems.is_empty();
        self.columns = Some(columns);
    }

    fn take_row(&mut self, columns: &[&'static str], cells: Vec<String>) {
        if cells.len() != columns.len() {
            return self.add(None, format!("has {} cells, the header {}", cells.len(), columns.len()));
        }
        let row = Row(columns.iter().copied().zip(cells).collect());
        let tenant = row.get("tenant").map(str::to_owned);
        let asked = match row.asked() {
            Ok(asked) => asked,
            Err(problems) => return problems.into_iter().for_each(|(column, detail)| self.add(Some(column), detail)),
        };
        match Policy::of(asked, self.now) {
            Ok(policy) => self.asked.push(Asked { row: self.row, tenant, policy }),
            Err(problems) => {
                for problem in problems {
                    self.add(Some(column_of(&problem.field)), problem.detail);
                }
            }
        }
    }

    /// The keys that can be made, each of a tenant that the caller may make keys for. What is wrong is
    /// added to the problems.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn resolve(
        &mut self,
        db: &impl ConnectionTrait,
        scope: Scope,
        owner: Option<TenantId>,
    ) -> Result<Vec<Wanted>, AdminError> {
        let mut tenants: HashMap<String, Option<TenantId>> = HashMap::new();
        let mut names: HashMap<TenantId, HashMap<String, u64>> = HashMap::new();
        let mut wanted = Vec::with_capacity(self.asked.len());
        for asked in std::mem::take(&mut self.asked) {
            let tenant = match &asked.tenant {
                None => owner,
                Some(text) => match tenants.get(text) {
                    Some(known) => *known,
                    None => {
                        let found = keys::tenant_called(db, scope, text).await?;
                        *tenants.entry(text.clone()).or_insert(found)
                    }
                },
            };
            let Some(tenant) = tenant else {
                let detail = if asked.tenant.is_some() { "there is no such tenant" } else { "a key needs a tenant" };
                self.problem(RowProblem {
                    row: asked.row,
                    column: Some("tenant".to_owned()),
                    detail: detail.to_owned(),
                });
                continue;
            };
            let name = asked.policy.name().to_owned();
            if let Some(first) = names.entry(tenant).or_default().get(&name) {
                let detail = format!("row {first} has the same name");
                self.problem(RowProblem { row: asked.row, column: Some("name".to_owned()), detail });
                continue;
            }
            names.entry(tenant).or_default().insert(name, asked.row);
            wanted.push(Wanted { tenant, policy: asked.policy });
        }
        for (tenant, names) in names {
            let texts: Vec<&str> = names.keys().map(String::as_str).collect();
            let taken: HashSet<String> = keys::names_taken(db, tenant, &texts).await?;
            for (name, row) in names.into_iter().filter(|(name, _)| taken.contains(name)) {
                let detail = format!("a key named {name:?} exists already");
                self.problem(RowProblem { row, column: Some("name".to_owned()), detail });
            }
        }
        self.problems.sort_by_key(|problem| problem.row);
        Ok(wanted)
    }

    /// What is wrong, as the fields of a request that cannot be used.
    pub(crate) fn refusal(&self) -> AdminError {
        let field = |problem: &RowProblem| match &problem.column {
            Some(column) => format!("row {}, {column}", problem.row),
            None => format!("row {}", problem.row),
        };
        let errors = self.problems.iter();
        let errors = errors.map(|problem| FieldProblem { field: field(problem), detail: problem.detail.clone() });
        AdminError::Invalid(errors.collect())
    }
}

/// The cells of a row by their columns.
struct Row(HashMap<&'static str, String>);

impl Row {
    /// A cell that holds something.
    fn get(&self, column: &str) -> Option<&str> {
        self.0.get(column).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
    }

    fn parse<T>(
        &self,
        column: &'static str,
        problems: &mut Vec<(&'static str, String)>,
        what: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.get(column)?;
        let value = read(text);
        if value.is_none() {
            problems.push((column, format!("must be {what}")));
        }
        value
    }

    fn list(&self, column: &str) -> impl Iterator<Item = &str> {
        self.get(column).into_iter().flat_map(|cell| cell.split(';')).map(str::trim).filter(|item| !item.is_empty())
    }

    fn asked(&self) -> Result<CreateKey, Vec<(&'static str, String)>> {
        let mut problems = Vec::new();
        let mut operations = Vec::new();
        for name in self.list("operations") {
            match name.parse() {
                Ok(operation) => operations.push(operation),
                Err(_) => problems.push(("operations", "names of operations are separated by `;`".to_owned())),
            }
        }
        let number = |text: &str| text.parse::<u32>().ok();
        let rpm = self.parse("rpm", &mut problems, "a whole number", number);
        let sessions = self.parse("sessions", &mut problems, "a whole number", number);
        let window = self.parse("budget_window", &mut problems, "total, daily or monthly", |text| {
            BudgetWindow::ALL.into_iter().find(|window| window.as_str() == text)
        });
        let moment = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
        let expires_at = self.parse("expires_at", &mut problems, "a moment such as 2027-06-30T00:00:00Z", moment);
        let allow_strategy = self.parse("allow_strategy", &mut problems, "true or false", |text| text.parse().ok());
        if window.is_some() && self.get("budget_usd").is_none() {
            problems.push(("budget_usd", "must stand beside budget_window".to_owned()));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(CreateKey {
            name: self.get("name").unwrap_or_default().to_owned(),
            operations,
            models: self.list("models").map(str::to_owned).collect(),
            requests_per_minute: rpm,
            max_concurrent_sessions: sessions,
            budget: self
                .get("budget_usd")
                .map(|usd| Budget { usd: usd.to_owned(), window: window.unwrap_or_default() }),
            expires_at,
            allow_strategy: allow_strategy.unwrap_or_default(),
            ..CreateKey::default()
        })
    }
}

/// The column that a field of a key stands in.
fn column_of(field: &str) -> &str {
    match field {
        "budget.usd" => "budget_usd",
        _ if field.starts_with("models") => "models",
        _ => field,
    }
}

/// Whose the keys are whose row names no tenant.
///
/// # Errors
/// 422 for a tenant that is not the caller's, as for one that is not there.
pub(crate) async fn default_tenant(
    db: &impl ConnectionTrait,
    scope: Scope,
    asked: Option<Uuid>,
) -> Result<Option<TenantId>, AdminError> {
    match (scope, asked) {
        (Scope::Tenant(own), None) => Ok(Some(own)),
        (Scope::All, None) => Ok(None),
        (_, Some(asked)) => {
            let found = keys::tenant_called(db, scope, &asked.to_string()).await?;
            found.map(Some).ok_or_else(|| AdminError::field("tenant_id", "there is no such tenant"))
        }
    }
}
