//! Usage: sums by whatever they are told apart by, the records behind them, and a provider's invoice beside them.

mod compare;
mod export;
mod filters;
pub(crate) mod measure;
mod record;
mod record_parts;
mod record_time;
mod records;
mod summary;
pub(crate) mod words;

use leptos::prelude::*;

pub(super) use self::compare::Compare;
pub(super) use self::filters::use_providers as provider_names;
use self::filters::{FilterBar, use_filters, use_keys};
pub(super) use self::record::Record;
use crate::components::{Choice, IconName, LinkButton, PageHead, Stack, TabPanel, Tabs};
use crate::route::{Page, query_text_or};
use crate::session::{Permission, use_session};

/// The page.
#[component]
pub(super) fn Usage() -> impl IntoView {
    let session = use_session();
    let filters = use_filters();
    let keys = use_keys();
    let view = query_text_or("view", "summary");
    let tabs = Choice::list(&[("summary", "Summary"), ("records", "Records")]);
    view! {
        <PageHead title="Usage" text="Every call and every turn of a session, with what it cost.">
            <Show when=move || session.can(Permission::CompareInvoices)>
                <LinkButton href=Page::InvoiceComparison.path() icon=IconName::Price>
                    "Compare invoice"
                </LinkButton>
            </Show>
            <export::ExportMenu filters />
        </PageHead>
        <Stack>
            <FilterBar filters keys view />
            <Tabs label="Usage" group="usage" selected=view tabs />
            <TabPanel group="usage" name="summary" selected=view>
                <summary::Summary filters view />
            </TabPanel>
            <TabPanel group="usage" name="records" selected=view>
                <records::Records filters keys />
            </TabPanel>
        </Stack>
    }
}
