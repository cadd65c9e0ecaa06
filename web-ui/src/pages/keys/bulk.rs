//! Many keys from a file: it is checked first, then made, and the secrets are given as a file.

use admin_types::keys::{BulkKeys, BulkKeysOptions, KeyWithSecret, RowProblem};
use leptos::prelude::*;
use leptos::task::spawn_local;
use time::format_description::well_known::Rfc3339;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use crate::api::{Failure, keys, submit, submit_form, use_client};
use crate::components::{
    Button, ButtonKind, Code, Column, DataTable, FileDrop, FormActions, FormError, IconName, Notice, SelectField, Tone,
    save_file,
};
use crate::format;
use crate::pages::tenants::use_tenant_names;
use crate::route::meant;
use crate::session::use_session;

/// A file that would do.
const EXAMPLE: &str = "name,operations,models,rpm,sessions,budget_usd,budget_window,expires_at\n\
    mobile app,speech;transcription,,600,,100.00,monthly,\n\
    call centre,realtime,agent-*,,20,500.00,daily,2027-12-31T00:00:00Z\n";

/// A file that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Checked {
    name: String,
    csv: String,
    rows: u64,
    errors: Vec<RowProblem>,
}

/// The dialog's content. The secrets are gone when it closes.
#[component]
pub(super) fn Bulk(open: RwSignal<bool>, #[prop(into)] on_created: Callback<()>) -> impl IntoView {
    let checked = RwSignal::new(None::<Checked>);
    let made = RwSignal::new(Vec::<KeyWithSecret>::new());
    move || {
        if made.with(Vec::is_empty) {
            view! { <Choose checked made open on_created /> }.into_any()
        } else {
            view! { <Made made open /> }.into_any()
        }
    }
}

#[component]
fn Choose(
    checked: RwSignal<Option<Checked>>,
    made: RwSignal<Vec<KeyWithSecret>>,
    open: RwSignal<bool>,
    on_created: Callback<()>,
) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let names = use_tenant_names();
    let tenant = RwSignal::new(session.tenant_untracked().map(|id| id.to_string()).unwrap_or_default());
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let options = move |dry_run| BulkKeysOptions {
        dry_run: Some(dry_run),
        format: None,
        tenant_id: meant(&tenant.get_untracked()),
    };
    let check = move |name: String, csv: String| {
        failure.set(None);
        let options = options(true);
        let sent = csv.clone();
        submit(busy, async move { keys::create_keys(&client, &options, &sent).await }, move |done| {
            note(done, checked, failure, name, csv);
        });
    };
    let take = move |(file,): (File,)| {
        spawn_local(async move {
            let text = JsFuture::from(file.text()).await.ok().and_then(|text| text.as_string());
            check(file.name(), text.unwrap_or_default());
        });
    };
    let create = move || {
        let Some(file) = checked.get_untracked() else { return };
        failure.set(None);
        let options = BulkKeysOptions { dry_run: None, ..options(false) };
        submit_form(
            busy,
            failure,
            async move { keys::create_keys(&client, &options, &file.csv).await },
            move |report| {
                made.try_set(report.keys);
                on_created.try_run(());
            },
        );
    };
    // Whose the keys are is part of what was checked.
    Effect::new(move |before: Option<String>| {
        let chosen = tenant.get();
        if let (Some(before), Some(file)) = (before, checked.get_untracked())
            && before != chosen
        {
            check(file.name, file.csv);
        }
        chosen
    });
    view! {
        <div class="form">
            <FormError failure />
            {session.sees_all_tenants().then(|| view! {
                <SelectField
                    label="Tenant"
                    value=tenant
                    options=names.choices()
                    placeholder="As the file's tenant column says"
                    hint="Of rows that name no tenant themselves."
                />
            })}
            <FileDrop
                label="Drop a CSV file here, or choose one"
                hint="Up to 10,000 keys. Nothing is made before you have seen the check."
                accept=".csv,text/csv"
                on_file=take
            />
            <Code language="Example" text=EXAMPLE.to_owned() />
            {move || checked.get().map(|checked| view! { <Report checked /> })}
            <FormActions>
                <Button on_press=move || open.set(false)>"Cancel"</Button>
                <Button
                    kind=ButtonKind::Primary
                    busy
                    disabled=Signal::derive(move || checked.with(|checked| !checked.as_ref().is_some_and(Checked::is_good)))
                    on_press=create
                >
                    "Create keys"
                </Button>
            </FormActions>
        </div>
    }
}

impl Checked {
    fn is_good(&self) -> bool {
        self.errors.is_empty() && self.rows > 0
    }
}

/// What the check has found.
fn note(
    done: Result<BulkKeys, Failure>,
    checked: RwSignal<Option<Checked>>,
    failure: RwSignal<Option<Failure>>,
    name: String,
    csv: String,
) {
    match done {
        Ok(report) => {
            checked.try_set(Some(Checked { name, csv, rows: report.rows, errors: report.errors }));
        }
        Err(why) => {
            checked.try_set(None);
            failure.try_set(Some(why));
        }
    }
}

/// Which rows can be used.
#[component]
fn Report(checked: Checked) -> impl IntoView {
    let rows = format::count(checked.rows);
    if checked.is_good() {
        let title = if checked.rows == 1 { "1 key can be made".to_owned() } else { format!("{rows} keys can be made") };
        return view! { <Notice tone=Tone::Good title>{format!("Every row of {} is fine.", checked.name)}</Notice> }
            .into_any();
    }
    if checked.errors.is_empty() {
        return view! { <Notice tone=Tone::Warn title="The file has no rows">"Below the header, each row is a key."</Notice> }
            .into_any();
    }
    let columns = vec![
        Column::new("Row", |row: &RowProblem| row.row.to_string()).end().width(70),
        Column::new("Column", |row: &RowProblem| row.column.clone().unwrap_or_else(|| "–".to_owned())).width(140),
        Column::new("What is wrong", |row: &RowProblem| row.detail.clone()),
    ];
    let errors = Signal::stored(checked.errors);
    let key = |row: &RowProblem| format!("{}-{}-{}", row.row, row.column.as_deref().unwrap_or_default(), row.detail);
    view! {
        <Notice tone=Tone::Bad title="Nothing is made yet">
            {format!("Of {rows} rows in {}, these cannot be used. Mend the file and choose it again.", checked.name)}
        </Notice>
        <DataTable label="Rows that cannot be used" columns rows=errors key />
    }
    .into_any()
}

/// The keys are made; their secrets are in the file alone.
#[component]
fn Made(made: RwSignal<Vec<KeyWithSecret>>, open: RwSignal<bool>) -> impl IntoView {
    let count = made.with_untracked(Vec::len);
    let title =
        if count == 1 { "1 key is made".to_owned() } else { format!("{} keys are made", format::count(count as i64)) };
    let saved = RwSignal::new(false);
    let save = move || {
        save_file("keys.csv", "text/csv", made.with_untracked(|made| secrets_csv(made)).as_bytes());
        saved.set(true);
    };
    view! {
        <div class="form">
            <Notice tone=Tone::Good title>"Download their secrets now: they are given this once and kept nowhere."</Notice>
            <FormActions>
                <Button on_press=move || open.set(false)>
                    {move || if saved.get() { "Done" } else { "Close without the secrets" }}
                </Button>
                <Button kind=ButtonKind::Primary icon=IconName::Download on_press=save>"Download secrets"</Button>
            </FormActions>
        </div>
    }
}

/// As the API writes the file itself.
fn secrets_csv(made: &[KeyWithSecret]) -> String {
    let mut out = "id,tenant_id,name,secret,redacted,expires_at\r\n".to_owned();
    for KeyWithSecret { key, secret } in made {
        let expires_at = key.expires_at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
        let cells = [&key.id.to_string(), &key.tenant_id.to_string(), &key.name, secret, &key.redacted, &expires_at];
        out.push_str(&cells.map(|cell| csv_cell(cell)).join(","));
        out.push_str("\r\n");
    }
    out
}

/// A cell, in quotes where it must be; what a spreadsheet would run begins with `'`.
fn csv_cell(text: &str) -> String {
    let harmless =
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if harmless.contains([',', '"', '\n', '\r']) { format!("\"{}\"", harmless.replace('"', "\"\"")) } else { harmless }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_they_are() {
        for (text, cell) in [("a", "a"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("=1+1", "'=1+1")] {
            assert_eq!(csv_cell(text), cell);
        }
    }
}
