//! What narrows usage: bound to the address, so that a link, a reload and the back button bring it back.

use admin_types::keys::{KeySort, ListKeys};
use admin_types::providers::ListProviders;
use admin_types::tenants::ListTenants;
use admin_types::usage::{AggregateUsage, ExportFormat, ExportUsage, ListUsage, UsageBucket};
use leptos::prelude::*;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::measure::whole;
use super::words;
use crate::api::{keys, providers, tenants, usage, use_client};
use crate::clock;
use crate::components::{Button, ButtonKind, Choice, FilterSelect, IconName, Range, RangePicker, SearchBox, Toolbar};
use crate::route::{Page, meant, query_text, query_text_or, use_go_instead};
use crate::session::{Session, use_session};

/// Entries of a list to choose from.
const MOST: u16 = 200;

/// Every filter, by its text in the address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filters {
    session: Session,
    pub(super) range: RwSignal<String>,
    pub(super) tenant: RwSignal<String>,
    pub(super) key: RwSignal<String>,
    pub(super) user: RwSignal<String>,
    pub(super) tag: RwSignal<String>,
    pub(super) provider: RwSignal<String>,
    pub(super) model: RwSignal<String>,
    pub(super) operation: RwSignal<String>,
    pub(super) status: RwSignal<String>,
    pub(super) priced: RwSignal<String>,
    pub(super) of_session: RwSignal<String>,
    pub(super) request: RwSignal<String>,
}

/// The filters of this page's address.
pub(super) fn use_filters() -> Filters {
    Filters {
        session: use_session(),
        range: query_text_or("range", "24h"),
        tenant: query_text("tenant"),
        key: query_text("key"),
        user: query_text("user"),
        tag: query_text("tag"),
        provider: query_text("provider"),
        model: query_text("model"),
        operation: query_text("operation"),
        status: query_text("status"),
        priced: query_text("priced"),
        of_session: query_text("session"),
        request: query_text("request"),
    }
}

impl Filters {
    /// Over which time. Reactive.
    pub(super) fn range(self) -> Range {
        Range::parse(&self.range.get())
    }

    fn tenant(self) -> Option<Uuid> {
        self.tenant.with(|text| meant(text)).or_else(|| self.session.tenant())
    }

    /// What is listed: whole hours or days as in the sums, but what somebody chose to the minute.
    fn listed_bounds(self) -> (OffsetDateTime, OffsetDateTime) {
        match self.range() {
            Range::Custom(from, to) => (from, to),
            range => whole(range, clock::now()),
        }
    }

    /// Records. Reactive.
    pub(super) fn list(self) -> ListUsage {
        let (from, to) = self.listed_bounds();
        ListUsage {
            tenant_id: self.tenant(),
            key_id: self.key.with(|text| meant(text)),
            user: told(self.user),
            tag: told(self.tag),
            provider: told(self.provider),
            model: told(self.model),
            operation: told(self.operation),
            status: told(self.status),
            session_id: self.of_session.with(|text| meant(text)),
            request_id: self.request.with(|text| meant(text)),
            priced: self.priced.with(|text| text.parse().ok()),
            from: Some(from),
            to: Some(to),
            ..ListUsage::default()
        }
    }

    /// The same records, as a file.
    pub(super) fn export(self, format: ExportFormat) -> ExportUsage {
        let list = self.list();
        ExportUsage {
            format: Some(format),
            tenant_id: list.tenant_id,
            key_id: list.key_id,
            user: list.user,
            tag: list.tag,
            provider: list.provider,
            model: list.model,
            operation: list.operation,
            status: list.status,
            session_id: list.session_id,
            request_id: list.request_id,
            priced: list.priced,
            from: list.from,
            to: list.to,
        }
    }

    /// Sums, which are told apart neither by how calls ended nor by session or request. Reactive.
    pub(super) fn sums(self, group_by: &str, bucket: UsageBucket, percentiles: bool) -> AggregateUsage {
        let (from, to) = whole(self.range(), clock::now());
        AggregateUsage {
            from,
            to,
            group_by: Some(group_by.to_owned()).filter(|text| !text.is_empty()),
            bucket: Some(bucket),
            tenant_id: self.tenant(),
            key_id: self.key.with(|text| meant(text)),
            user: told(self.user),
            tag: told(self.tag),
            provider: told(self.provider),
            model: told(self.model),
            model_asked: None,
            operation: told(self.operation),
            limit: Some(if bucket == UsageBucket::None { 200 } else { 20 }),
            percentiles: Some(percentiles),
        }
    }

    /// Whether the records are narrowed by what sums do not know. Reactive.
    pub(super) fn is_beyond_sums(self) -> bool {
        [self.status, self.priced, self.of_session, self.request]
            .iter()
            .any(|filter| filter.with(|text| !text.is_empty()))
    }

    /// Whether anything but the time narrows. Reactive.
    fn is_narrowed(self) -> bool {
        let more = [self.tenant, self.key, self.user, self.tag, self.provider, self.model, self.operation];
        self.is_beyond_sums() || more.iter().any(|filter| filter.with(|text| !text.is_empty()))
    }

    /// Whether the range is short enough to be sorted by cost or duration. Reactive.
    pub(super) fn is_short(self) -> bool {
        let (from, to) = self.listed_bounds();
        to - from <= Duration::DAY * 7
    }
}

fn told(filter: RwSignal<String>) -> Option<String> {
    Some(filter.get()).filter(|text| !text.is_empty())
}

/// The bar of filters.
#[component]
pub(super) fn FilterBar(filters: Filters, keys: Signal<Vec<Choice>>, view: RwSignal<String>) -> impl IntoView {
    let session = use_session();
    let go = use_go_instead();
    let clear = move || {
        let (range, view) = (filters.range.get_untracked(), view.get_untracked());
        go(&format!("{}?range={range}&view={view}", Page::Usage.path()));
    };
    let clear = StoredValue::new_local(clear);
    let tenants = use_tenants();
    let providers = use_providers();
    let models = use_models(filters);
    let sees_tenants = move || session.sees_all_tenants() && session.tenant().is_none();
    let statuses = Choice::list(&words::STATUSES);
    let costs = Choice::list(&[("true", "Known"), ("false", "Unknown")]);
    view! {
        <Toolbar>
            <RangePicker value=filters.range />
        </Toolbar>
        <Toolbar>
            <Show when=sees_tenants>
                <FilterSelect label="Tenant" value=filters.tenant options=with_chosen(tenants, filters.tenant) />
            </Show>
            <FilterSelect label="Provider" value=filters.provider options=with_chosen(providers, filters.provider) />
            <FilterSelect label="Model" value=filters.model options=with_chosen(models, filters.model) />
            <FilterSelect label="Operation" value=filters.operation options=words::operations() />
            <FilterSelect label="Key" value=filters.key options=with_chosen(keys, filters.key) />
            <FilterSelect label="Status" value=filters.status options=statuses />
            <FilterSelect label="Cost" value=filters.priced options=costs />
            <SearchBox label="User" value=filters.user />
            <SearchBox label="Tag, as team=a" value=filters.tag />
            <Show when=move || filters.is_narrowed()>
                <Button kind=ButtonKind::Ghost icon=IconName::Close on_press=move || clear.with_value(|clear| clear())>
                    "Clear filters"
                </Button>
            </Show>
        </Toolbar>
    }
}

/// Choices with what is chosen, which may be none of them any more.
fn with_chosen(all: Signal<Vec<Choice>>, chosen: RwSignal<String>) -> Signal<Vec<Choice>> {
    Signal::derive(move || {
        let (mut all, chosen) = (all.get(), chosen.get());
        if !chosen.is_empty() && !all.iter().any(|choice| choice.value == chosen) {
            all.push(Choice::plain(chosen));
        }
        all
    })
}

fn choices(found: LocalResource<Vec<Choice>>) -> Signal<Vec<Choice>> {
    Signal::derive(move || found.get().unwrap_or_default())
}

/// Keys by their names. A list that fails leaves nothing to choose from, and the rest of the page as it is.
pub(super) fn use_keys() -> Signal<Vec<Choice>> {
    let (client, session) = (use_client(), use_session());
    choices(LocalResource::new(move || {
        let query = ListKeys {
            tenant_id: session.tenant(),
            sort: Some(KeySort::Name),
            limit: Some(500),
            ..ListKeys::default()
        };
        async move {
            let found = keys::list_keys(&client, &query).await.map(|page| page.data).unwrap_or_default();
            found.into_iter().map(|key| Choice::new(key.id.to_string(), key.name)).collect()
        }
    }))
}

/// Providers by their names.
pub(in crate::pages) fn use_providers() -> Signal<Vec<Choice>> {
    let client = use_client();
    choices(LocalResource::new(move || {
        let query = ListProviders { limit: Some(MOST), ..ListProviders::default() };
        async move {
            let found = providers::list_providers(&client, &query).await.map(|page| page.data).unwrap_or_default();
            let mut names: Vec<String> = found.into_iter().map(|provider| provider.name).collect();
            names.sort();
            names.dedup();
            names.into_iter().map(Choice::plain).collect()
        }
    }))
}

fn use_tenants() -> Signal<Vec<Choice>> {
    let (client, session) = (use_client(), use_session());
    choices(LocalResource::new(move || {
        let sees_all = session.sees_all_tenants();
        let query = ListTenants { limit: Some(MOST), ..ListTenants::default() };
        async move {
            if !sees_all {
                return Vec::new();
            }
            let found = tenants::list_tenants(&client, &query).await.map(|page| page.data).unwrap_or_default();
            found.into_iter().map(|tenant| Choice::new(tenant.id.to_string(), tenant.name)).collect()
        }
    }))
}

/// Models that were used in the time.
fn use_models(filters: Filters) -> Signal<Vec<Choice>> {
    let client = use_client();
    choices(LocalResource::new(move || {
        let (from, to) = whole(filters.range(), clock::now());
        let query = AggregateUsage {
            group_by: Some("model".to_owned()),
            tenant_id: filters.tenant(),
            limit: Some(MOST),
            ..usage::everything(from, to)
        };
        async move {
            let found = usage::aggregate_usage(&client, &query).await.map(|sums| sums.data).unwrap_or_default();
            let names = found.into_iter().filter_map(|sum| sum.group.into_iter().next());
            names.map(|group| Choice::plain(group.value)).filter(|choice| !choice.value.is_empty()).collect()
        }
    }))
}
