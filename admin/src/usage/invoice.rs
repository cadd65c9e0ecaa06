//! A provider's invoice beside what was recorded.
//!
//! The invoice is CSV with the columns `date` (2026-11-22) or `month` (2026-11), `model`, `amount_usd`, and
//! `unit` and `quantity` where it has them. Lines that cannot be read are named and not counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use admin_types::usage::{CompareUsage, InvoiceComparison, InvoiceDifference, InvoiceProblem, InvoiceQuantity};
use domain::money::NanoUsd;
use rust_decimal::Decimal;
use sea_orm::ConnectionTrait;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};
use usage_store::aggregate::{AnswerRow, Bucket, Filter, GroupBy, Question, aggregate};
use usage_store::{Measures, retain};

use super::sums::{refused, tenant};
use crate::error::AdminError;
use crate::repositories::Scope;

/// Bytes of an invoice.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of a cell.
const MAX_CELL_BYTES: usize = 1_024;
/// Problems that are told one by one.
const MAX_PROBLEMS: usize = 1_000;
/// Lines of models, periods and units that are told apart.
const MAX_LINES: usize = 20_000;
/// Models told apart.
const MAX_MODELS: usize = 500;
/// Amounts and quantities beyond this are mistakes, and sums of them would not hold.
const MAX_AMOUNT: i64 = 1_000_000_000_000_000;

/// By what an invoice goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Day,
    Month,
}

/// What an invoice says of one model in one period.
#[derive(Debug, Default)]
struct Line {
    amount: Decimal,
    quantities: BTreeMap<String, Decimal>,
}

/// An invoice that has been read.
#[derive(Debug)]
struct Invoice {
    period: Period,
    lines: BTreeMap<(Date, String), Line>,
    problems: Vec<InvoiceProblem>,
    problem_count: u64,
}

/// Compares `text`, the invoice, with what the caller may see.
///
/// # Errors
/// 422 for an invoice without its columns; the database's.
pub(crate) async fn compare(
    db: &impl ConnectionTrait,
    scope: Scope,
    asked: &CompareUsage,
    text: &[u8],
) -> Result<InvoiceComparison, AdminError> {
    let mut invoice = Invoice::read(text)?;
    let recorded = recorded(db, scope, asked, &invoice).await?;
    let names: BTreeSet<(Date, String)> = invoice.lines.keys().chain(recorded.keys()).cloned().collect();
    let (mut ours, mut theirs) = (Decimal::ZERO, Decimal::ZERO);
    let mut data = Vec::with_capacity(names.len());
    for name in names {
        let line = invoice.lines.remove(&name);
        let sums = recorded.get(&name);
        let our_usd = sums.map(|sums| NanoUsd(sums.cost_nano_usd).to_usd());
        let their_usd = line.as_ref().map(|line| line.amount);
        ours += our_usd.unwrap_or_default();
        theirs += their_usd.unwrap_or_default();
        data.push(InvoiceDifference {
            period: invoice.period.name(name.0)?,
            model: name.1,
            ours_usd: our_usd.map(amount),
            theirs_usd: their_usd.map(amount),
            difference_usd: amount(their_usd.unwrap_or_default() - our_usd.unwrap_or_default()),
            requests: sums.map_or(0, |sums| sums.requests),
            unpriced: sums.map_or(0, |sums| sums.unpriced),
            quantities: line.map(Line::quantities).unwrap_or_default(),
        });
    }
    Ok(InvoiceComparison {
        provider: asked.provider.clone(),
        period: if invoice.period == Period::Day { "day" } else { "month" }.to_owned(),
        data,
        ours_usd: amount(ours),
        theirs_usd: amount(theirs),
        difference_usd: amount(theirs - ours),
        problems: invoice.problems,
        problem_count: invoice.problem_count,
    })
}

/// What was recorded in the periods that the invoice names.
async fn recorded(
    db: &impl ConnectionTrait,
    scope: Scope,
    asked: &CompareUsage,
    invoice: &Invoice,
) -> Result<BTreeMap<(Date, String), Measures>, AdminError> {
    let periods: BTreeSet<Date> = invoice.lines.keys().map(|(date, _)| *date).collect();
    let (Some(first), Some(last)) = (periods.first(), periods.last()) else { return Ok(BTreeMap::new()) };
    let question = Question {
        from: first.midnight().assume_utc().unix_timestamp(),
        to: invoice.period.end(*last).midnight().assume_utc().unix_timestamp(),
        group_by: vec![GroupBy::Model],
        bucket: if invoice.period == Period::Day { Bucket::Day } else { Bucket::Month },
        filter: Filter {
            tenant: tenant(scope, asked.tenant_id),
            provider: Some(asked.provider.clone()),
            ..Filter::default()
        },
        limit: MAX_MODELS,
        times: false,
    };
    let answer = aggregate(db, &question, retain::hours_since(db).await?).await.map_err(refused)?;
    if !answer.other.is_empty() {
        return Err(AdminError::field("body", format!("more than {MAX_MODELS} models were used: compare less time")));
    }
    let rows = answer.rows.into_iter().filter_map(|row| {
        let AnswerRow { bucket, group, sums } = row;
        let date = OffsetDateTime::from_unix_timestamp(bucket?).ok()?.date();
        let model = group.into_iter().next()?;
        periods.contains(&date).then_some(((date, model), sums.measures))
    });
    Ok(rows.collect())
}

/// Where the columns stand.
struct Columns {
    period: Period,
    date: usize,
    model: usize,
    amount: usize,
    unit: Option<usize>,
    quantity: Option<usize>,
}

/// A line that cannot be counted: the column at fault, and why.
type Fault = (Option<&'static str>, String);

impl Invoice {
    fn read(text: &[u8]) -> Result<Self, AdminError> {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
        let header = reader.byte_headers().map_err(|error| AdminError::Malformed(error.to_string()))?;
        let columns = Columns::find(header)?;
        let mut invoice =
            Self { period: columns.period, lines: BTreeMap::new(), problems: Vec::new(), problem_count: 0 };
        // Which line has said this of a model already.
        let mut seen: HashMap<(Date, String, String), u64> = HashMap::new();
        let mut record = csv::ByteRecord::new();
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(invoice),
                Err(error) => return Err(AdminError::Malformed(error.to_string())),
            }
            // The line of the names is the first.
            let row = record.position().map_or(0, csv::Position::record) + 1;
            if seen.len() >= MAX_LINES {
                let detail = format!("is beyond {MAX_LINES} lines: compare less time at once");
                return Err(AdminError::field(format!("row {row}"), detail));
            }
            if let Err((column, detail)) = invoice.take(&columns, &record, row, &mut seen) {
                invoice.problem_count += 1;
                if invoice.problems.len() < MAX_PROBLEMS {
                    invoice.problems.push(InvoiceProblem { row, column: column.map(str::to_owned), detail });
                }
            }
        }
    }

    fn take(
        &mut self,
        columns: &Columns,
        record: &csv::ByteRecord,
        row: u64,
        seen: &mut HashMap<(Date, String, String), u64>,
    ) -> Result<(), Fault> {
        let cell = |name: &'static str, place: usize| cell(record, name, place);
        let name = columns.period.column();
        let date = columns.period.parse(cell(name, columns.date)?);
        let date = date.ok_or_else(|| (Some(name), format!("is not like {}", columns.period.example())))?;
        let model = cell("model", columns.model)?;
        if model.is_empty() {
            return Err((Some("model"), "is empty".to_owned()));
        }
        let amount = number("amount_usd", cell("amount_usd", columns.amount)?)?;
        let unit = columns.unit.map_or(Ok(""), |place| cell("unit", place))?;
        let quantity = columns.quantity.map_or(Ok(""), |place| cell("quantity", place))?;
        let quantity = if quantity.is_empty() { None } else { Some(number("quantity", quantity)?) };
        if let Some(before) = seen.insert((date, model.to_owned(), unit.to_owned()), row) {
            seen.insert((date, model.to_owned(), unit.to_owned()), before);
            return Err((None, format!("says again what line {before} says, and is not counted")));
        }
        let line = self.lines.entry((date, model.to_owned())).or_default();
        line.amount += amount;
        if let Some(quantity) = quantity {
            *line.quantities.entry(unit.to_owned()).or_default() += quantity;
        }
        Ok(())
    }
}

impl Columns {
    fn find(header: &csv::ByteRecord) -> Result<Self, AdminError> {
        let place = |name: &str| header.iter().position(|cell| cell.trim_ascii().eq_ignore_ascii_case(name.as_bytes()));
        let needed = |name: &str| {
            place(name).ok_or_else(|| AdminError::field("body", format!("the first line has no column `{name}`")))
        };
        let (period, date) = match (place("date"), place("month")) {
            (Some(date), None) => (Period::Day, date),
            (None, Some(month)) => (Period::Month, month),
            _ => return Err(AdminError::field("body", "the first line must have a column `date` or one `month`")),
        };
        Ok(Self {
            period,
            date,
            model: needed("model")?,
            amount: needed("amount_usd")?,
            unit: place("unit"),
            quantity: place("quantity"),
        })
    }
}

impl Line {
    fn quantities(self) -> Vec<InvoiceQuantity> {
        let shown = |(unit, quantity)| InvoiceQuantity { unit, quantity: amount(quantity) };
        self.quantities.into_iter().map(shown).collect()
    }
}

impl Period {
    const fn column(self) -> &'static str {
        match self {
            Self::Day => "date",
            Self::Month => "month",
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Day => "2026-11-22",
            Self::Month => "2026-11",
        }
    }

    fn parse(self, text: &str) -> Option<Date> {
        let day = match self {
            Self::Day => text.to_owned(),
            Self::Month => format!("{text}-01"),
        };
        let date = Date::parse(&day, format_description!("[year]-[month]-[day]")).ok()?;
        (1970..=9000).contains(&date.year()).then_some(date)
    }

    /// The day behind the period that begins at `date`.
    fn end(self, date: Date) -> Date {
        let length = match self {
            Self::Day => 1,
            Self::Month => date.month().length(date.year()),
        };
        date.saturating_add(Duration::days(length.into()))
    }

    fn name(self, date: Date) -> Result<String, AdminError> {
        let text = match self {
            Self::Day => date.format(format_description!("[year]-[month]-[day]")),
            Self::Month => date.format(format_description!("[year]-[month]")),
        };
        text.map_err(|error| AdminError::internal(&error))
    }
}

fn cell<'r>(record: &'r csv::ByteRecord, name: &'static str, place: usize) -> Result<&'r str, Fault> {
    let bytes = record.get(place).ok_or_else(|| (Some(name), "is missing".to_owned()))?;
    if bytes.len() > MAX_CELL_BYTES {
        return Err((Some(name), format!("is longer than {MAX_CELL_BYTES} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| (Some(name), "is not UTF-8".to_owned()))?;
    Ok(text.trim())
}

fn number(name: &'static str, text: &str) -> Result<Decimal, Fault> {
    let number = text.parse::<Decimal>().map_err(|_| (Some(name), "is not a number such as 12.34".to_owned()))?;
    if number.abs() > Decimal::from(MAX_AMOUNT) {
        return Err((Some(name), "is too large".to_owned()));
    }
    Ok(number)
}

fn amount(usd: Decimal) -> String {
    usd.normalize().to_string()
}
