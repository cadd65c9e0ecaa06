//! A list of prices that is brought in: first it is seen what would become of every row.

use admin_types::prices::{ImportMode, ImportPrices, ImportReport, ListFormat};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::Editing;
use super::preview::{Preview, Row, rows_of_text};
use crate::api::prices::{ImportLine, import_prices};
use crate::api::{Failure, Turn, Turns, submit, use_client};
use crate::components::{
    Button, ButtonKind, Card, Choice, FileDrop, FormError, Notice, Progress, Segments, Stack, Tone, use_toasts,
};
use crate::format;

/// A list that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chosen {
    name: String,
    text: String,
}

impl Chosen {
    fn format(&self) -> ListFormat {
        let name = self.name.to_lowercase();
        if [".json", ".jsonl", ".ndjson"].iter().any(|ending| name.ends_with(ending)) {
            ListFormat::Json
        } else {
            ListFormat::Csv
        }
    }
}

/// What came of it, tried or done.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    list: Chosen,
    report: ImportReport,
    rows: Vec<Row>,
    /// One row at fault keeps the others out.
    by: ImportMode,
}

#[component]
pub(super) fn Import(editing: Editing) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let mode = RwSignal::new("all_or_nothing".to_owned());
    let chosen = RwSignal::new(None::<Chosen>);
    let told = RwSignal::new(None::<Told>);
    let read = RwSignal::new(0_u64);
    let [checking, writing] = [(); 2].map(|()| RwSignal::new(false));
    let busy = Signal::derive(move || checking.get() || writing.get());
    let failure = RwSignal::new(None::<Failure>);
    // What is seen, and can be written, is what the last that was asked has told, of the last file that was chosen.
    let (files, turns) = (Turns::new(), Turns::new());
    let call = move |turn: Turn, list: Chosen, by: ImportMode, dry_run: bool| {
        failure.set(None);
        read.set(0);
        async move {
            let options =
                ImportPrices { mode: Some(by), dry_run: Some(dry_run), format: Some(list.format()), report: None };
            let mut rows = rows_of_text(&list.text, list.format());
            let report = import_prices(&client, &options, list.text.clone(), |line| match line {
                ImportLine::Progress { rows, .. } if turn.is_last() => {
                    read.try_set(rows);
                }
                ImportLine::Progress { .. } => {}
                ImportLine::Row { row, outcome, detail } => rows.tell(row, outcome, detail),
            });
            let report = report.await?;
            Ok(Told { list, report, rows: rows.told, by })
        }
    };
    let show = move |done: Result<Told, Failure>| match done {
        Ok(now) => {
            told.try_set(Some(now));
        }
        Err(why) => {
            told.try_set(None);
            failure.try_set(Some(why));
        }
    };
    let check = move || {
        let Some(list) = chosen.get_untracked() else { return };
        let turn = turns.begin();
        let by = if mode.get_untracked() == "skip_bad" { ImportMode::SkipBad } else { ImportMode::AllOrNothing };
        turn.submit(checking, call(turn, list, by, true), show);
    };
    let write = move || {
        let Some(Told { list, by, .. }) = told.get_untracked() else { return };
        let turn = turns.begin();
        submit(writing, call(turn, list, by, false), move |done| {
            match &done {
                Ok(now) if now.report.applied => {
                    let written = now.report.inserted + now.report.updated;
                    toasts.done(format!("{} prices written", format::count(written)));
                    editing.changed();
                }
                Err(why) if !turn.is_last() => toasts.failed(why),
                _ => {}
            }
            if turn.is_last() {
                show(done);
            }
        });
    };
    // Another mode gives another fate to the same rows.
    Effect::new(move |before: Option<()>| {
        mode.track();
        if before.is_some() {
            check();
        }
    });
    let take = move |(file,): (File,)| {
        let (last_file, _earlier_are_over) = (files.begin(), turns.begin());
        chosen.set(None);
        told.set(None);
        failure.set(None);
        checking.set(true);
        spawn_local(async move {
            let text = JsFuture::from(file.text()).await.ok().and_then(|text| text.as_string());
            if !last_file.is_last() {
                return;
            }
            if let Some(text) = text {
                chosen.try_set(Some(Chosen { name: file.name(), text }));
                return check();
            }
            checking.try_set(false);
            failure.try_set(Some(Failure::Unreadable("the file is no text".to_owned())));
        });
    };
    let progress = move || {
        busy.get().then(|| {
            let label = move || format!("{} rows read", format::count(read.get()));
            view! {
                <Progress label="Looking at the list" share=Signal::stored(None::<f64>) />
                <p class="muted">{label}</p>
            }
        })
    };
    view! {
        <Stack>
            <Card title="Import prices" text="A CSV or JSON list as the export gives it. Nothing is written before you have seen it.">
                <div class="import-form">
                    <Segments
                        label="Rows that cannot be used"
                        value=mode
                        options=Choice::list(&[("all_or_nothing", "Keep the whole list out"), ("skip_bad", "Are left out")])
                        // What is written now has its mode, and its report is still to come.
                        disabled=writing
                    />
                    <FileDrop
                        label="Drop a list here, or choose one"
                        hint="CSV, JSON, or one JSON object a line"
                        accept=".csv,.json,.jsonl,.ndjson,text/csv,application/json"
                        on_file=take
                    />
                    <FormError failure />
                    {progress}
                </div>
            </Card>
            {move || told.get().map(|told| view! { <Fate told busy on_import=write /> })}
        </Stack>
    }
}

/// What would become of the list, or has.
#[component]
fn Fate(told: Told, busy: Signal<bool>, #[prop(into)] on_import: Callback<()>) -> impl IntoView {
    let Told { list, report, rows, by } = told;
    let written = report.inserted + report.updated;
    let stopped = report.refused > 0 && by == ImportMode::AllOrNothing;
    let notice = if report.applied {
        view! {
            <Notice tone=Tone::Good title="The list is in">
                {format!("{} of {} rows were written.", format::count(written), format::count(report.rows))}
            </Notice>
        }
        .into_any()
    } else if stopped {
        view! {
            <Notice tone=Tone::Bad title="Nothing can be written">
                "Mend the rows that are refused and choose the list again, or leave such rows out."
            </Notice>
        }
        .into_any()
    } else if written == 0 {
        view! { <Notice title="Nothing to write">"Every price of the list is there already."</Notice> }.into_any()
    } else {
        view! {
            <div class="row">
                <Button kind=ButtonKind::Primary busy on_press=on_import>
                    {if written == 1 { "Write 1 price".to_owned() } else { format!("Write {} prices", format::count(written)) }}
                </Button>
            </div>
        }
        .into_any()
    };
    view! { <Preview title=list.name report rows>{notice}</Preview> }
}
