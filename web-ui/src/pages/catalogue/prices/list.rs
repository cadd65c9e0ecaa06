//! The list of prices, with its filters, and the lists that are given out.

use admin_types::prices::{ExportPrices, ListFormat, ListPrices, Price, PriceSort};
use leptos::prelude::*;

use super::form::Task;
use super::{Editing, is_ahead};
use crate::api::stream::Progress;
use crate::api::{Failure, if_unchanged, prices, submit, use_client};
use crate::clock;
use crate::components::{
    Badge, Choice, Column, Empty, FilterSelect, IconName, Menu, MenuItem, SearchBox, Stack, Tone, Toolbar, use_toasts,
};
use crate::format;
use crate::pages::ask_first::AskFirst;
use crate::pages::catalogue::words::{
    Origin, Owners, all_kind_choices, kind_name, operation_choices, operation_name, unit_choices, unit_name,
};
use crate::pages::paged::{Paged, PagedTable};
use crate::route::{given, query_text, query_text_or};
use crate::session::{Permission, Session, use_session};

/// What narrows the list, as it stands in the address.
#[derive(Clone, Copy)]
struct Filters {
    q: RwSignal<String>,
    kind: RwSignal<String>,
    operation: RwSignal<String>,
    unit: RwSignal<String>,
    whose: RwSignal<String>,
    origin: RwSignal<String>,
    when: RwSignal<String>,
}

impl Filters {
    fn new() -> Self {
        let [q, kind, operation, unit, whose, origin, when] =
            ["q", "kind", "operation", "unit", "whose", "origin", "when"].map(query_text);
        Self { q, kind, operation, unit, whose, origin, when }
    }

    /// The same for a list that is given out. Reactive.
    fn export(self, session: Session, format: ListFormat) -> ExportPrices {
        ExportPrices {
            tenant_id: session.tenant().filter(|_| given(self.whose).as_deref() != Some("platform")),
            platform: given(self.whose).map(|whose| whose == "platform"),
            provider_kind: given(self.kind),
            model: None,
            operation: given(self.operation),
            unit: given(self.unit),
            in_force_at: given(self.when).and_then(|_| clock::now().replace_nanosecond(0).ok()),
            managed_by: given(self.origin),
            q: given(self.q),
            format: Some(format),
        }
    }

    /// Reactive.
    fn list(self, session: Session, sort: &str, cursor: Option<String>) -> ListPrices {
        let ExportPrices {
            tenant_id, platform, provider_kind, model, operation, unit, in_force_at, managed_by, q, ..
        } = self.export(session, ListFormat::Csv);
        ListPrices {
            tenant_id,
            platform,
            provider_kind,
            model,
            operation,
            unit,
            in_force_at,
            managed_by,
            q,
            sort: PriceSort::named(sort),
            limit: Some(200),
            cursor,
        }
    }
}

#[component]
pub(super) fn PriceList(editing: Editing, owners: Owners) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let filters = Filters::new();
    let sort = query_text_or("sort", "model");
    // A cursor is of the list that it came with, and so is the moment in it.
    let moment = StoredValue::new(None);
    let list = Paged::new(move |cursor| {
        editing.changes.track();
        let mut query = filters.list(session, &sort.get(), cursor);
        if query.cursor.is_some() {
            query.in_force_at = moment.get_value();
        }
        moment.set_value(query.in_force_at);
        async move { prices::list_prices(&client, &query).await }
    });
    view! {
        <Stack>
            <Toolbar>
                <SearchBox value=filters.q label="Search models and sources" />
                <FilterSelect label="Provider" value=filters.kind options=all_kind_choices() />
                <FilterSelect label="Operation" value=filters.operation options=operation_choices() />
                <FilterSelect label="Unit" value=filters.unit options=unit_choices() />
                <FilterSelect label="When" value=filters.when options=Choice::list(&[("now", "In force now")]) all="Ever" />
                <FilterSelect
                    label="Whose"
                    value=filters.whose
                    options=Choice::list(&[("platform", "The platform's"), ("tenants", "Tenants' own")])
                />
                <FilterSelect
                    label="From"
                    value=filters.origin
                    options=Choice::list(&[("seed", "Built in"), ("api", "Dashboard or API"), ("cli", "Command line")])
                    all="Anywhere"
                />
                <Export filters />
            </Toolbar>
            <Table list sort editing owners />
        </Stack>
    }
}

#[component]
fn Export(filters: Filters) -> impl IntoView {
    let (client, session, toasts) = (use_client(), use_session(), use_toasts());
    let progress = Progress::new();
    let busy = RwSignal::new(false);
    let save = move |format| {
        let query = untrack(|| filters.export(session, format));
        submit(busy, async move { prices::export_prices(&client, &query, progress).await }, move |done| match done {
            Ok(()) => toasts.done("Prices exported"),
            Err(Failure::Cancelled) => {}
            Err(failure) => toasts.failed(&failure),
        });
    };
    view! {
        <Menu label="Export" icon=IconName::Download labelled=true>
            <MenuItem icon=IconName::File disabled=busy on_press=move || save(ListFormat::Csv)>"As CSV"</MenuItem>
            <MenuItem icon=IconName::File disabled=busy on_press=move || save(ListFormat::Json)>"As JSON"</MenuItem>
        </Menu>
    }
}

#[component]
fn Table(list: Paged<Price>, sort: RwSignal<String>, editing: Editing, owners: Owners) -> impl IntoView {
    let asked = RwSignal::new(None::<Price>);
    let removing = RwSignal::new(false);
    let ask = move |price| {
        asked.set(Some(price));
        removing.set(true);
    };
    let ask = Callback::new(ask);
    view! {
        <PagedTable
            list
            label="Prices"
            rows=8
            columns=move || columns(owners, editing, ask)
            key=|row: &Price| row.id.to_string()
            server_order=sort
        >
            <Empty title="No prices" text="None fits these filters." icon=IconName::Price />
        </PagedTable>
        <Remove asked open=removing editing />
    }
}

fn columns(owners: Owners, editing: Editing, ask: Callback<Price>) -> Vec<Column<Price>> {
    let session = use_session();
    vec![
        Column::new("Model", |row: &Price| {
            let name = format!("{} · {}", kind_name(&row.provider_kind), row.model);
            view! { <span title=name>{row.model.clone()}</span> }
        })
        .server_sorted("model"),
        Column::new("Provider", |row: &Price| kind_name(&row.provider_kind)).width(110),
        Column::new("Operation", |row: &Price| operation_name(&row.operation)).spare().width(110),
        Column::new("Price", |row: &Price| exactly(&row.price_usd)).end().width(90),
        Column::new("Per", |row: &Price| view! { <span title=rounding(row)>{unit_name(&row.unit)}</span> }).width(200),
        Column::new("From", |row: &Price| {
            let ahead = is_ahead(row).then(|| view! { <Badge tone=Tone::Accent>"Ahead"</Badge> });
            view! { {format::date(row.effective_from)} " " {ahead} }
        })
        .server_sorted("effective_from")
        .width(120),
        Column::new("Whose", move |row: &Price| {
            let owner = row.tenant_id;
            let own = owner.is_some();
            move || {
                let name = owners.name(owner);
                if own { view! { <Badge tone=Tone::Warn>{name}</Badge> }.into_any() } else { name.into_any() }
            }
        })
        .spare()
        .width(100),
        Column::new("Source", |row: &Price| view! { <Source row=row.clone() /> }).spare().width(140),
        Column::actions(move |row: &Price| {
            let row = StoredValue::new(row.clone());
            move || {
                let may = session.can_change(Permission::ManagePrices, row.with_value(|row| row.tenant_id));
                may.then(|| view! { <RowMenu row editing ask /> })
            }
        })
        .width(68),
    ]
}

/// Where a price was read: a link where that is one.
#[component]
fn Source(row: Price) -> impl IntoView {
    let read = format!("Read on {}: {}", row.read_on, row.source);
    let is_link = row.source.starts_with("https://") && !row.source.contains(' ');
    let name = match row.source.strip_prefix("https://").and_then(|rest| rest.split('/').next()) {
        Some(host) if is_link => host.to_owned(),
        _ => row.source.clone(),
    };
    let source = if is_link {
        view! {
            <a href=row.source title=read target="_blank" rel="noreferrer">
                {name}
            </a>
        }
        .into_any()
    } else {
        view! { <span title=read>{name}</span> }.into_any()
    };
    view! { {source} " " <Origin managed_by=row.managed_by /> }
}

#[component]
fn RowMenu(row: StoredValue<Price>, editing: Editing, ask: Callback<Price>) -> impl IntoView {
    let begin = move |task: fn(Price) -> Task| editing.begin(task(row.get_value()));
    let label = row.with_value(|row| format!("Actions for {} {}", row.model, unit_name(&row.unit)));
    view! {
        <Menu label>
            <MenuItem icon=IconName::Calendar on_press=move || begin(Task::Follow)>"End with a new price"</MenuItem>
            <MenuItem icon=IconName::Edit on_press=move || begin(Task::Change)>"Correct"</MenuItem>
            <MenuItem icon=IconName::Trash danger=true on_press=move || ask.run(row.get_value())>
                "Delete"
            </MenuItem>
        </Menu>
    }
}

#[component]
fn Remove(asked: RwSignal<Option<Price>>, open: RwSignal<bool>, editing: Editing) -> impl IntoView {
    let client = use_client();
    let remove = move || {
        let price = asked.get_untracked()?;
        let found = async move { prices::get_price(&client, price.id).await };
        let delete = async move |version: Option<&str>| prices::delete_price(&client, price.id, version).await;
        Some(async move { if_unchanged(&price, found, delete).await })
    };
    view! {
        <AskFirst
            open
            title="Delete this price?"
            text="The one before it goes on in its place; without one, use is unpriced. A price that has decided a cost stays."
            action="Delete price"
            danger=true
            call=remove
            done="Price deleted"
            on_done=move || editing.changed()
            on_stale=move || editing.changed()
        />
    }
}

/// A price is never rounded.
pub(super) fn exactly(usd: &str) -> String {
    usd.parse().map_or_else(|_| usd.to_owned(), format::money_exact)
}

fn rounding(price: &Price) -> String {
    let mut parts = Vec::new();
    if price.minimum_ms > 0 {
        parts.push(format!("at least {} per request", format::audio_ms(price.minimum_ms)));
    }
    if price.rounding_ms > 0 {
        parts.push(format!("in steps of {}", format::audio_ms(price.rounding_ms)));
    }
    parts.join(", ")
}
