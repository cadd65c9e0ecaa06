//! Sessions that are open now, as they come and go.

mod detail;
mod feed;
mod terminate;

use admin_types::sessions::{Session, SessionKind};
use leptos::prelude::*;

pub(super) use self::detail::SessionPage;
use self::feed::{ConnectionState, Known, Names, known_sessions, names, open_count, seconds};
use self::terminate::{Ask, TerminateDialog};
use crate::components::{
    Button, ButtonKind, Choice, Column, DataTable, Empty, Failed, FilterSelect, IconName, LinkButton, Loading, More,
    Notice, PageHead, SearchBox, Stack, Status, Tone, Toolbar,
};
use crate::format;
use crate::route::{Page, query_text, query_text_or};
use crate::session::{Permission, use_session};

/// The page.
#[component]
pub(super) fn Sessions() -> impl IntoView {
    let known = known_sessions();
    view! {
        <PageHead title="Sessions" text="Realtime conversations that are open on any gateway, as they come and go.">
            <ConnectionState feed=known.feed />
        </PageHead>
        {move || match (known.is_there.get(), known.refusal()) {
            (true, _) => view! { <Listed known /> }.into_any(),
            (false, Some(failure)) => view! { <Failed failure on_retry=move || known.again() /> }.into_any(),
            (false, None) => view! { <Loading rows=6 /> }.into_any(),
        }}
    }
}

#[component]
fn Listed(known: Known) -> impl IntoView {
    let names = names(known);
    let (search, kind, provider) = (query_text("q"), query_text("kind"), query_text("provider"));
    let order = query_text_or("sort", "duration");
    let all = Memo::new(move |_| known.all());
    let more = known.more(all);
    let rows = Signal::derive(move || {
        let (words, kind, provider) = (search.get().to_lowercase(), kind.get(), provider.get());
        all.with(|rows| {
            let fits = |row: &&Row| {
                (kind.is_empty() || row.session.kind.as_str() == kind)
                    && (provider.is_empty() || row.session.provider.as_deref() == Some(&provider))
                    && names.with(|names| has(&row.session, names, &words))
            };
            let mut rows: Vec<Row> = rows.iter().filter(fits).cloned().collect();
            order.with(|order| sort(&mut rows, order));
            rows
        })
    });
    let providers = Signal::derive(move || {
        let mut all: Vec<String> =
            all.with(|rows| rows.iter().filter_map(|row| row.session.provider.clone()).collect());
        all.sort_unstable();
        all.dedup();
        all.into_iter().map(Choice::plain).collect::<Vec<_>>()
    });
    let kinds =
        Choice::list(&[("realtime", "Realtime"), ("transcription", "Transcription"), ("vendor", "Vendor's own")]);
    let is_narrowed = move || {
        search.with(|text| !text.is_empty())
            || kind.with(|text| !text.is_empty())
            || provider.with(|text| !text.is_empty())
    };
    let many = move || {
        let (told, total) = (known.rows.with(|rows| open_count(rows)), known.total.get());
        (total > told).then(|| {
            let (total, told) = (format::count(i128::from(total)), format::count(i128::from(told)));
            let text = if known.older.with(Vec::is_empty) {
                format!(
                    "{total} sessions are open; the newest {told} are shown. Load more below them, or choose a tenant at the top to see fewer."
                )
            } else {
                format!(
                    "{total} sessions are open; the newest {told} are shown as they go on, the others as they were when they were loaded."
                )
            };
            view! { <Notice>{text}</Notice> }
        })
    };
    let ask = Ask::new();
    view! {
        <Stack>
            <Toolbar>
                <SearchBox value=search label="Search model, key, address or tag" />
                <FilterSelect label="Kind" value=kind options=kinds />
                <FilterSelect label="Provider" value=provider options=providers />
            </Toolbar>
            {many}
            <SessionTable rows order names ask more>
                {move || if is_narrowed() { nothing_fits().into_any() } else { nothing().into_any() }}
            </SessionTable>
        </Stack>
        <TerminateDialog ask />
    }
}

fn nothing() -> impl IntoView {
    view! {
        <Empty title="No session is open" text="One appears here as soon as an app opens it." icon=IconName::Session>
            <LinkButton href=format!("{}?tab=realtime", Page::Playground.path())>"Try one in the playground"</LinkButton>
        </Empty>
    }
}

fn nothing_fits() -> impl IntoView {
    view! { <Empty title="No session fits" text="Take a filter away to see others." icon=IconName::Filter /> }
}

/// A session, and when it was found to have ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) session: Session,
    pub(super) ended_at_ms: Option<i64>,
}

impl Row {
    pub(super) fn is_open(&self) -> bool {
        self.ended_at_ms.is_none()
    }
}

#[component]
fn SessionTable(
    rows: Signal<Vec<Row>>,
    order: RwSignal<String>,
    names: Memo<Names>,
    ask: Ask,
    more: More,
    children: ChildrenFn,
) -> impl IntoView {
    let may_end = use_session().can_untracked(Permission::EndSessions);
    let now = seconds();
    let mut columns = vec![
        Column::new("Model", |row: &Row| model_of(&row.session))
            .server_sorted("model")
            .link(|row: &Row| Page::Session(row.session.id).path().into_owned()),
        Column::new("State", state_view).width(120),
        Column::new("Key", move |row: &Row| names.with(|names| names.key(row.session.key_id))).spare(),
        Column::new("Provider", |row: &Row| row.session.provider.clone().unwrap_or_else(|| "—".to_owned()))
            .server_sorted("provider")
            .spare(),
        Column::new("Duration", move |row: &Row| {
            let row = row.clone();
            move || duration_text(&row, now.get())
        })
        .end()
        .width(108)
        .server_sorted("duration"),
        Column::new("Turns", |row: &Row| format::count(i128::from(row.session.turns)))
            .end()
            .width(72)
            .server_sorted("turns"),
        Column::new("Cost", |row: &Row| cost_text(row.session.cost_usd.as_deref())).end().width(104),
    ];
    if may_end {
        columns.push(Column::actions(move |row: &Row| {
            let session = row.session.clone();
            let can_end = row.is_open() && session.terminate_requested_at.is_none();
            can_end.then(|| {
                view! { <Button kind=ButtonKind::Ghost on_press=move || ask.about(&session)>"Terminate"</Button> }
            })
        }));
    }
    view! {
        <DataTable label="Sessions" columns rows key=|row: &Row| row.session.id.to_string() server_order=order more>
            {children()}
        </DataTable>
    }
}

/// What stands for how it is.
pub(super) fn state_view(row: &Row) -> AnyView {
    let (tone, text) = match (row.is_open(), row.session.terminate_requested_at) {
        (false, _) => (Tone::Neutral, "Ended"),
        (true, Some(_)) => (Tone::Warn, "Ending"),
        (true, None) => (Tone::Good, "Open"),
    };
    view! { <Status tone>{text}</Status> }.into_any()
}

/// By the column that the address names; those that have ended stand behind those that are open.
fn sort(rows: &mut [Row], order: &str) {
    let (key, falling) = order.strip_prefix('-').map_or((order, false), |key| (key, true));
    rows.sort_by(|a, b| {
        let ordering = match key {
            "model" => model_of(&a.session).cmp(&model_of(&b.session)),
            "provider" => a.session.provider.cmp(&b.session.provider),
            "turns" => a.session.turns.cmp(&b.session.turns),
            // The newest is the shortest.
            _ => b.session.started_at.cmp(&a.session.started_at),
        };
        b.is_open().cmp(&a.is_open()).then(if falling { ordering.reverse() } else { ordering })
    });
}

pub(super) fn model_of(session: &Session) -> String {
    let asked = session.model_asked.as_str();
    if asked.is_empty() { session.operation.clone() } else { asked.to_owned() }
}

pub(super) fn cost_text(cost: Option<&str>) -> String {
    cost.map_or_else(|| "unpriced".to_owned(), format::usd_text)
}

/// How long it is open, or was.
pub(super) fn duration_text(row: &Row, now_ms: i64) -> String {
    let begin = (row.session.started_at.unix_timestamp_nanos() / 1_000_000) as i64;
    let length = (row.ended_at_ms.unwrap_or(now_ms) - begin).max(0);
    format::audio_ms(i128::from(length / 1000 * 1000))
}

pub(super) const fn kind_name(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Realtime => "Realtime",
        SessionKind::Transcription => "Transcription",
        SessionKind::Vendor => "Vendor's own",
    }
}

fn has(session: &Session, names: &Names, words: &str) -> bool {
    if words.is_empty() {
        return true;
    }
    let key = names.key(session.key_id);
    let id = session.id.to_string();
    let fields = [
        Some(session.model_asked.as_str()),
        session.model_served.as_deref(),
        session.provider.as_deref(),
        session.client_address.as_deref(),
        session.user_tag.as_deref(),
        session.tags.as_deref(),
        Some(session.gateway.as_str()),
        Some(key.as_str()),
        Some(id.as_str()),
    ];
    let text = fields.into_iter().flatten().collect::<Vec<_>>().join(" ").to_lowercase();
    words.split_whitespace().all(|word| text.contains(word))
}
