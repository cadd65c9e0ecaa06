//! A provider's invoice beside what was recorded.

use admin_types::usage::{CompareUsage, InvoiceComparison, InvoiceDifference, InvoiceProblem};
use leptos::prelude::*;
use rust_decimal::Decimal;

use super::filters::use_providers;
use crate::api::{Failure, Turns, usage, use_client};
use crate::components::{
    Card, CheckField, Choice, Code, Column, DataTable, Empty, FileDrop, FormError, Grid, IconName, Notice, PageHead,
    SelectField, Stack, Stat, Tone,
};
use crate::format;
use crate::route::{Page, query_text};
use crate::session::{Permission, use_session};

const EXAMPLE: &str = "date,model,amount_usd,unit,quantity\n2026-11-21,whisper-1,1.26,minutes,210\n2026-11-21,tts-1,0.45,characters,30000";

/// The page.
#[component]
pub(in crate::pages) fn Compare() -> impl IntoView {
    let session = use_session();
    let back = (Page::Usage.path().into_owned(), "Usage".to_owned());
    view! {
        <PageHead
            title="Compare invoice"
            text="Holds a provider's invoice against what was recorded, by day or month and model."
            back
        />
        <Show
            when=move || session.can(Permission::CompareInvoices)
            fallback=|| {
                view! {
                    <Empty
                        title="Administrators compare invoices"
                        text="Ask an administrator of your tenant to do it, or to give you the role."
                        icon=IconName::Lock
                    />
                }
            }
        >
            <Comparison />
        </Show>
    }
}

#[component]
fn Comparison() -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let providers = use_providers();
    let provider = query_text("provider");
    let file_name = RwSignal::new(None::<String>);
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let found = RwSignal::new(None::<InvoiceComparison>);
    // What is shown is of the file that is named, and of the provider and tenant that are chosen.
    let turns = Turns::new();
    Effect::new(move |before: Option<()>| {
        provider.track();
        let _of_another_tenant = session.tenant();
        if before.is_some() {
            let _earlier_are_over = turns.begin();
            busy.set(false);
            failure.set(None);
            found.set(None);
            file_name.set(None);
        }
    });
    let compare = move |file: web_sys::File| {
        failure.set(None);
        found.set(None);
        file_name.set(Some(file.name()));
        let query = CompareUsage { provider: provider.get_untracked(), tenant_id: session.tenant_untracked() };
        // A blob without a type of its own, since browsers guess others for `.csv`.
        let csv = wasm_bindgen::JsValue::from(file);
        let call = async move { usage::compare_usage(&client, &query, csv).await };
        turns.begin().submit(busy, call, move |done| match done {
            Ok(comparison) => {
                found.try_set(Some(comparison));
            }
            Err(why) => {
                failure.try_set(Some(why));
            }
        });
    };
    let options = Signal::derive(move || providers.get());
    view! {
        <Stack>
            <Card title="Invoice">
                <div class="compare-form">
                    <Show
                        when=move || options.with(|options: &Vec<Choice>| !options.is_empty())
                        fallback=|| view! { <p class="hint">"There is no provider yet whose invoice could be compared."</p> }
                    >
                        <SelectField label="Provider" value=provider options required=true />
                        <FileDrop
                            label="Drop the invoice here, or choose a file"
                            hint="CSV with the columns date or month, model and amount_usd, and unit and quantity if you have them"
                            accept=".csv,text/csv"
                            on_file=compare
                        />
                    </Show>
                    <FormError failure />
                    <p role="status" class="hint">
                        {move || match (busy.get(), file_name.get()) {
                            (true, Some(name)) => format!("Comparing {name}…"),
                            (false, Some(name)) if found.with(Option::is_some) => format!("Compared {name}."),
                            _ => String::new(),
                        }}
                    </p>
                </div>
            </Card>
            {move || match found.get() {
                Some(comparison) => view! { <Differences comparison /> }.into_any(),
                None => view! { <Code language="Example of an invoice" text=EXAMPLE.to_owned() /> }.into_any(),
            }}
        </Stack>
    }
}

#[component]
fn Differences(comparison: InvoiceComparison) -> impl IntoView {
    let only = RwSignal::new(true);
    let period = if comparison.period == "month" { "Month" } else { "Day" };
    let all = StoredValue::new(comparison.data);
    let rows = Signal::derive(move || {
        let only = only.get();
        all.with_value(|all| all.iter().filter(|row| !only || differs(row)).cloned().collect::<Vec<_>>())
    });
    let usd = |usd: Option<&String>| usd.map_or_else(|| "–".to_owned(), |usd| exact(usd));
    let columns = vec![
        Column::new(period, |row: &InvoiceDifference| row.period.clone())
            .sorted("period", |row: &InvoiceDifference| row.period.clone()),
        Column::new("Model", |row: &InvoiceDifference| row.model.clone())
            .sorted("model", |row: &InvoiceDifference| row.model.clone()),
        Column::new("Recorded", move |row: &InvoiceDifference| usd(row.ours_usd.as_ref())).end(),
        Column::new("Invoice", move |row: &InvoiceDifference| usd(row.theirs_usd.as_ref())).end(),
        Column::new("Difference", |row: &InvoiceDifference| {
            let class = if differs(row) { "difference" } else { "" };
            view! { <span class=class>{signed(&row.difference_usd)}</span> }
        })
        .end()
        .sorted("difference", |row: &InvoiceDifference| {
            row.difference_usd.parse::<Decimal>().unwrap_or_default().abs()
        }),
        Column::new("Requests", |row: &InvoiceDifference| format::count(row.requests)).end().spare(),
        Column::new("Unpriced", |row: &InvoiceDifference| format::count(row.unpriced)).end().spare(),
        Column::new("Invoiced quantities", |row: &InvoiceDifference| {
            let quantities = row.quantities.iter().map(|quantity| format!("{} {}", quantity.quantity, quantity.unit));
            let text = quantities.collect::<Vec<_>>().join(", ");
            if text.is_empty() { "–".to_owned() } else { text }
        })
        .spare(),
    ];
    let tone = if comparison.difference_usd.parse().is_ok_and(|usd: Decimal| usd.is_zero()) {
        Tone::Neutral
    } else {
        Tone::Bad
    };
    let problems = comparison.problems;
    let problem_count = comparison.problem_count;
    view! {
        <Grid small=true>
            <Stat label="Recorded" value=exact(&comparison.ours_usd) />
            <Stat label="Invoice" value=exact(&comparison.theirs_usd) />
            <Stat label="Difference" value=signed(&comparison.difference_usd) tone note="invoice less recorded".to_owned() />
        </Grid>
        {(problem_count > 0).then(|| view! { <Problems problems count=problem_count /> })}
        <Card
            title="Differences"
            actions=move || view! { <CheckField label="Only what differs" value=only switch=true /> }
            flush=true
        >
            <DataTable
                label="Differences"
                columns
                rows
                key=|row: &InvoiceDifference| format!("{} {}", row.period, row.model)
                order="-difference"
            >
                <Empty title="Nothing differs" text="The invoice says what was recorded." icon=IconName::Check />
            </DataTable>
        </Card>
    }
}

#[component]
fn Problems(problems: Vec<InvoiceProblem>, count: u64) -> impl IntoView {
    let title = match count {
        1 => "One line is not counted".to_owned(),
        count => format!("{} lines are not counted", format::count(count)),
    };
    let line = |problem: &InvoiceProblem| {
        let column = problem.column.as_ref().map(|column| format!(", column {column}")).unwrap_or_default();
        view! { <li>{format!("Line {}{column}: {}", problem.row, problem.detail)}</li> }
    };
    let lines = problems.iter().take(10).map(line).collect_view();
    view! {
        <Notice tone=Tone::Warn title>
            <ul class="plain-list">{lines}</ul>
        </Notice>
    }
}

fn differs(row: &InvoiceDifference) -> bool {
    !row.difference_usd.parse::<Decimal>().is_ok_and(|usd| usd.is_zero())
}

fn exact(usd: &str) -> String {
    usd.parse().map_or_else(|_| usd.to_owned(), format::money_exact)
}

/// With a sign where the invoice asks for more.
fn signed(usd: &str) -> String {
    let more = usd.parse().is_ok_and(|usd: Decimal| usd > Decimal::ZERO);
    if more { format!("+{}", exact(usd)) } else { exact(usd) }
}
