//! Many keys from a file: it is checked first, then made, and the secrets are given as a file.

use admin_types::keys::{BulkKeysOptions, KeyWithSecret, RowProblem};
use domain::sheet::guarded;
use leptos::prelude::*;
use leptos::task::spawn_local;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use crate::api::{Failure, Turns, keys, submit_form, use_client};
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

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chosen {
    name: String,
    csv: String,
}

/// A file that was checked, for the tenant that it was checked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Checked {
    file: Chosen,
    tenant_id: Option<Uuid>,
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
    let chosen = RwSignal::new(None::<Chosen>);
    let [checking, creating] = [(); 2].map(|()| RwSignal::new(false));
    let busy = Signal::derive(move || checking.get() || creating.get());
    let failure = RwSignal::new(None::<Failure>);
    // What is seen, and can be made, is what the last check has told, of the last file that was chosen.
    let (files, turns) = (Turns::new(), Turns::new());
    let check = move || {
        let Some(file) = chosen.get_untracked() else { return };
        failure.set(None);
        let tenant_id = meant(&tenant.get_untracked());
        let options = BulkKeysOptions { dry_run: Some(true), format: None, tenant_id };
        let call = async move {
            let report = keys::create_keys(&client, &options, &file.csv).await?;
            Ok(Checked { file, tenant_id, rows: report.rows, errors: report.errors })
        };
        turns.begin().submit(checking, call, move |done| match done {
            Ok(now) => {
                checked.try_set(Some(now));
            }
            Err(why) => {
                checked.try_set(None);
                failure.try_set(Some(why));
            }
        });
    };
    let take = move |(file,): (File,)| {
        let (last_file, _earlier_are_over) = (files.begin(), turns.begin());
        chosen.set(None);
        checked.set(None);
        checking.set(true);
        spawn_local(async move {
            let text = JsFuture::from(file.text()).await.ok().and_then(|text| text.as_string());
            if last_file.is_last() {
                chosen.try_set(Some(Chosen { name: file.name(), csv: text.unwrap_or_default() }));
                check();
            }
        });
    };
    let create = move || {
        let Some(Checked { file, tenant_id, .. }) = checked.get_untracked() else { return };
        failure.set(None);
        let options = BulkKeysOptions { dry_run: None, format: None, tenant_id };
        submit_form(
            creating,
            failure,
            async move { keys::create_keys(&client, &options, &file.csv).await },
            move |report| {
                made.try_set(report.keys);
                on_created.try_run(());
            },
        );
    };
    // Whose the keys are is part of what is checked.
    Effect::new(move |before: Option<()>| {
        tenant.track();
        if before.is_some() {
            check();
        }
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

/// Which rows can be used.
#[component]
fn Report(checked: Checked) -> impl IntoView {
    let rows = format::count(checked.rows);
    if checked.is_good() {
        let title = if checked.rows == 1 { "1 key can be made".to_owned() } else { format!("{rows} keys can be made") };
        return view! { <Notice tone=Tone::Good title>{format!("Every row of {} is fine.", checked.file.name)}</Notice> }
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
    let (errors, name) = (Signal::stored(checked.errors), checked.file.name);
    let key = |row: &RowProblem| format!("{}-{}-{}", row.row, row.column.as_deref().unwrap_or_default(), row.detail);
    view! {
        <Notice tone=Tone::Bad title="Nothing is made yet">
            {format!("Of {rows} rows in {name}, these cannot be used. Mend the file and choose it again.")}
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
    let cell = guarded(text);
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.into_owned() }
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
