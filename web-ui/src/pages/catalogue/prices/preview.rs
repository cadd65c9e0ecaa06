//! What becomes of every row of a list.

use admin_types::prices::{ImportReport, ListFormat};
use leptos::prelude::*;

use crate::components::{Card, Choice, Column, DataTable, Empty, Grid, Segments, Stack, Stat, Status, Tone};
use crate::format;

/// One row, and its fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) row: u64,
    /// `inserted`, `updated`, `unchanged` or `refused`.
    pub(super) outcome: String,
    pub(super) detail: String,
    /// As it stands in the list.
    pub(super) text: String,
}

/// Rows as they are told of, with their texts.
#[derive(Debug, Default)]
pub(super) struct Rows {
    texts: Vec<String>,
    pub(super) told: Vec<Row>,
}

impl Rows {
    pub(super) fn tell(&mut self, row: u64, outcome: String, detail: Option<String>) {
        let place = usize::try_from(row).unwrap_or(0).checked_sub(1);
        let text = place.and_then(|place| self.texts.get(place)).cloned().unwrap_or_default();
        self.told.push(Row { row, outcome, detail: detail.unwrap_or_default(), text });
    }
}

/// The texts of the rows as the server counts them: lines of a CSV list, objects of a JSON one.
pub(super) fn rows_of_text(text: &str, format: ListFormat) -> Rows {
    let list = match format {
        ListFormat::Csv => None,
        ListFormat::Json => serde_json::from_str::<Vec<serde_json::Value>>(text).ok(),
    };
    let texts = match list {
        Some(list) => list.iter().map(object_text).collect(),
        None => text.lines().map(str::to_owned).collect(),
    };
    Rows { texts, told: Vec::new() }
}

fn object_text(object: &serde_json::Value) -> String {
    let field = |name: &str| match object.get(name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let names = ["provider", "provider_kind", "model", "operation", "unit", "price_usd", "effective_from"];
    names.map(field).into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
}

/// The fate of a row for people.
fn fate(outcome: &str) -> (Tone, &'static str) {
    match outcome {
        "inserted" => (Tone::Good, "New"),
        "updated" => (Tone::Accent, "Changes one"),
        "unchanged" => (Tone::Neutral, "There already"),
        "refused" => (Tone::Bad, "Refused"),
        _ => (Tone::Warn, "Left out"),
    }
}

#[component]
pub(super) fn Preview(title: String, report: ImportReport, rows: Vec<Row>, children: Children) -> impl IntoView {
    let shown = RwSignal::new(String::new());
    let all = StoredValue::new(rows);
    let rows = Signal::derive(move || {
        let shown = shown.get();
        all.with_value(|all| {
            all.iter().filter(|row| shown.is_empty() || row.outcome == shown).cloned().collect::<Vec<_>>()
        })
    });
    let outcomes = [
        ("", "All"),
        ("inserted", "New"),
        ("updated", "Change one"),
        ("unchanged", "There already"),
        ("refused", "Refused"),
    ];
    let columns = vec![
        Column::new("Row", |row: &Row| format::count(row.row)).end().width(72),
        Column::new("Fate", |row: &Row| {
            let (tone, word) = fate(&row.outcome);
            view! { <Status tone>{word}</Status> }
        })
        .width(150),
        Column::new("Why", |row: &Row| view! { <span title=row.detail.clone()>{row.detail.clone()}</span> }),
        Column::new("In the list", |row: &Row| view! { <code title=row.text.clone()>{row.text.clone()}</code> }),
    ];
    let count = |number: u64| Signal::stored(format::count(number));
    let refused = if report.refused > 0 { Tone::Bad } else { Tone::Neutral };
    view! {
        <Card title>
            <Stack>
                {children()} <Grid small=true>
                    <Stat label="New" value=count(report.inserted) />
                    <Stat label="Change one" value=count(report.updated) />
                    <Stat label="There already" value=count(report.unchanged) />
                    <Stat label="Refused" value=count(report.refused) tone=refused />
                </Grid> <Segments label="Rows shown" value=shown options=Choice::list(&outcomes) quiet=true />
                <DataTable label="Rows of the list" columns rows key=|row: &Row| row.row.to_string()>
                    <Empty title="No such rows" />
                </DataTable>
            </Stack>
        </Card>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_their_texts() {
        let mut rows = rows_of_text("provider,model\nopenai,tts-1\n", ListFormat::Csv);
        rows.tell(2, "inserted".to_owned(), None);
        assert_eq!(rows.told.first().map(|row| row.text.as_str()), Some("openai,tts-1"));
        let json = r#"[{"provider":"openai","model":"tts-1","price_usd":"15"}]"#;
        let mut rows = rows_of_text(json, ListFormat::Json);
        rows.tell(1, "refused".to_owned(), Some("unit: is none".to_owned()));
        assert_eq!(rows.told.first().map(|row| row.text.as_str()), Some("openai, tts-1, 15"));
    }
}
