//! The first page: what is spent and served, compared with the time before, and what needs somebody's attention.
//!
//! Everything is asked for at once, and everything has its place before its answer is there.

mod attention;
mod budgets;
mod first_steps;
mod groups;
mod live;
mod tiles;
mod trend;

use admin_types::usage::{AggregateUsage, UsageAggregates, UsageBucket};
use leptos::prelude::*;

use crate::api::{Failure, usage, use_client};
use crate::clock;
use crate::components::{PageHead, Range, RangePicker, Split, Stack};
use crate::format;
use crate::pages::usage::measure::{bucket_of, whole, whole_before};
use crate::route::query_text_or;
use crate::session::{Session, use_session};

/// Sums, on their way or there.
type Found = LocalResource<Result<UsageAggregates, Failure>>;

/// The page.
#[component]
pub(super) fn Overview() -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let range = query_text_or("range", "24h");
    let time = Memo::new(move |_| Range::parse(&range.get()));
    let now = LocalResource::new(move || {
        let query = question(session, time.get(), None);
        async move { usage::aggregate_usage(&client, &query).await }
    });
    let before = LocalResource::new(move || {
        let (from, to) = whole_before(time.get(), clock::now());
        let bucket = Some(UsageBucket::None);
        let query = AggregateUsage { from, to, bucket, ..question(session, time.get(), None) };
        async move { usage::aggregate_usage(&client, &query).await }
    });
    let since = move || {
        let (from, _) = whole(time.get(), clock::now());
        format!("Since {}, compared with the time before.", format::date_time(from))
    };
    view! {
        <PageHead title="Overview">
            <RangePicker value=range />
        </PageHead>
        <div class="overview">
            <Stack>
                <p class="overview-since">{since}</p>
                <tiles::Tiles now before />
                <Split>
                    <trend::Trend now time />
                    <Stack>
                        <attention::Attention now time />
                        <live::Live />
                    </Stack>
                </Split>
                <groups::Groups time range />
                <first_steps::StepsLeft now />
            </Stack>
        </div>
    }
}

/// Everything in a time, by its steps, told apart by one thing or by nothing.
fn question(session: Session, range: Range, group_by: Option<&str>) -> AggregateUsage {
    let now = clock::now();
    let (from, to) = whole(range, now);
    AggregateUsage {
        group_by: group_by.map(str::to_owned),
        bucket: Some(bucket_of(range, now)),
        tenant_id: session.tenant(),
        limit: Some(8),
        percentiles: Some(group_by.is_none()),
        ..usage::everything(from, to)
    }
}
