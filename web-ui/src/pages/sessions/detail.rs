//! One session: while it is open as it goes on, and afterwards what is recorded of it.

use admin_types::sessions::{Session, SessionDetails, SessionTurn};
use leptos::prelude::*;
use leptos::task::spawn_local;
use uuid::Uuid;

use super::feed::{ConnectionState, Known, find, known_sessions, names, seconds};
use super::terminate::{Ask, TerminateDialog};
use super::{Row, cost_text, duration_text, kind_name, model_of, state_view};
use crate::api::{Failure, Turns, sessions, use_client};
use crate::clock;
use crate::components::{
    Button, ButtonKind, Card, Column, DataTable, Detail, Details, Empty, Grid, LoadedLive, Notice, PageHead, Stack,
    Stat, Status, Tone,
};
use crate::format;
use crate::route::Page;
use crate::session::{Permission, use_session};

/// Turns are asked for again after such pauses: most are listed within a second, and all when the ledger is well.
const LISTED_AFTER_MS: [i32; 9] = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000, 120_000];
/// So many of them where nobody knows when the session has ended: it may have been a moment ago, or last year.
const FIRST_PAUSES: usize = 5;

/// The page.
#[component]
pub(in crate::pages) fn SessionPage(id: Uuid) -> impl IntoView {
    let client = use_client();
    let known = known_sessions();
    let live = Memo::new(move |_| find(known, id));
    // Turns are asked for when there are more of them, and when the session has ended; again until they are listed.
    let progress = Memo::new(move |_| live.with(|live| live.as_ref().map(|session| session.turns)));
    let ask = Ask::new();
    let was_seen = StoredValue::new(false);
    Effect::new(move |_| {
        if live.with(Option::is_some) {
            was_seen.set_value(true);
        }
    });
    let found = LocalResource::new(move || {
        progress.track();
        ask.done.track();
        async move {
            match sessions::get_session(&client, id).await {
                // It ended before anything was recorded of it.
                Err(failure) if failure.is_not_found() && was_seen.try_get_value() == Some(true) => {
                    Ok(SessionDetails { id, live: None, turns: Vec::new(), more_turns: false })
                }
                found => found,
            }
        }
    });
    let title = Signal::derive(move || live.with(|live| live.as_ref().map_or_else(|| "Session".to_owned(), model_of)));
    ask_until_listed(progress, found);
    let may_end = use_session().can_untracked(Permission::EndSessions);
    let can_end =
        move || may_end && live.with(|live| live.as_ref().is_some_and(|live| live.terminate_requested_at.is_none()));
    let terminate = move || live.with_untracked(|live| live.iter().for_each(|live| ask.about(live)));
    let back = (Page::Sessions.path().into_owned(), Page::Sessions.title().to_owned());
    view! {
        <PageHead title back>
            <ConnectionState feed=known.feed />
            <Show when=can_end>
                <Button kind=ButtonKind::Danger on_press=terminate>
                    "Terminate"
                </Button>
            </Show>
        </PageHead>
        <LoadedLive resource=found children=move |details| view! { <Content details live known /> } />
        <TerminateDialog ask />
    }
}

/// A turn is told of when it ends, and listed when its record is written, which may be later. After the session's end,
/// the last may not have been told of, nor on a page that is opened after it.
fn ask_until_listed(progress: Memo<Option<i64>>, found: LocalResource<Result<SessionDetails, Failure>>) {
    let turns = Turns::new();
    Effect::new(move |before: Option<Option<i64>>| {
        let told = progress.get();
        let turn = turns.begin();
        let was_never_open = told.is_none() && before.flatten().is_none();
        let pauses = if was_never_open { FIRST_PAUSES } else { LISTED_AFTER_MS.len() };
        spawn_local(async move {
            for pause_ms in LISTED_AFTER_MS.into_iter().take(pauses) {
                clock::sleep_ms(pause_ms).await;
                if !turn.is_last() || told.is_some_and(|told| lists(found, told)) {
                    return;
                }
                found.refetch();
            }
        });
        told
    });
}

/// Whether as many turns are listed, or more than are ever listed.
fn lists(found: LocalResource<Result<SessionDetails, Failure>>, told: i64) -> bool {
    let found = found.try_get_untracked().flatten();
    found.and_then(Result::ok).is_some_and(|found| found.more_turns || found.turns.len() as i64 >= told)
}

#[component]
fn Content(details: Signal<SessionDetails>, live: Memo<Option<Session>>, known: Known) -> impl IntoView {
    // What is told of an open session as it goes on; after its end the last of it.
    let last = Memo::new(move |before: Option<&Option<Row>>| {
        let open = live.get().map(|session| Row { session, ended_at_ms: None });
        open.or_else(|| {
            let before = before.cloned().flatten().or_else(|| {
                details.with(|details| details.live.clone()).map(|session| Row { session, ended_at_ms: None })
            });
            // Before the stream has told anything, the session is as it was found.
            before.map(|row| {
                let ended_at_ms = row.ended_at_ms.or_else(|| known.is_there.get().then(|| clock::now_ms() as i64));
                Row { ended_at_ms, ..row }
            })
        })
    });
    let is_known = Memo::new(move |_| last.with(Option::is_some));
    view! {
        <Stack>
            {move || {
                if is_known.get() {
                    view! { <Open last known /> }.into_any()
                } else {
                    view! { <Recorded details /> }.into_any()
                }
            }}
            <Turns details />
        </Stack>
    }
}

/// What is known of it as a session.
#[component]
fn Open(last: Memo<Option<Row>>, known: Known) -> impl IntoView {
    let now = seconds();
    let names = names(known);
    let of = move |tell: fn(&Session) -> String| {
        move || last.with(|last| last.as_ref().map(|row| tell(&row.session)).unwrap_or_default())
    };
    let stat = move |tell: fn(&Session) -> String| Signal::derive(of(tell));
    let duration = Signal::derive(move || {
        last.with(|last| last.as_ref().map(|row| duration_text(row, now.get())).unwrap_or_default())
    });
    let key = move || {
        last.with(|last| last.as_ref().map(|row| names.with(|names| names.key(row.session.key_id))).unwrap_or_default())
    };
    let state = move || last.with(|last| last.as_ref().map(state_view));
    let ending = move || {
        let why = last.with(|last| last.as_ref().and_then(|row| told_end(&row.session)));
        why.map(|why| view! { <Notice tone=Tone::Warn title="Terminated">{why}</Notice> })
    };
    view! {
        {ending}
        <Grid small=true>
            <Stat label="Duration" value=duration />
            <Stat label="Cost so far" value=stat(|session| cost_text(session.cost_usd.as_deref())) />
            <Stat label="Turns" value=stat(|session| format::count(i128::from(session.turns))) />
            <Stat label="Audio in" value=stat(|session| format::audio_ms(i128::from(session.audio_in_ms))) />
            <Stat label="Audio out" value=stat(|session| format::audio_ms(i128::from(session.audio_out_ms))) />
        </Grid>
        <Card title="About">
            <Details>
                <Detail label="State">{state}</Detail>
                <Detail label="Kind">{of(|session| kind_name(session.kind).to_owned())}</Detail>
                <Detail label="Model asked">{of(model_of)}</Detail>
                <Detail label="Served by">{of(served)}</Detail>
                <Detail label="Key">{key}</Detail>
                <Detail label="Opened">{of(|session| format::date_time(session.started_at))}</Detail>
                <Detail label="Client's address">{of(|session| or_dash(session.client_address.as_deref()))}</Detail>
                <Detail label="User">{of(|session| or_dash(session.user_tag.as_deref()))}</Detail>
                <Detail label="Tags">{of(|session| or_dash(session.tags.as_deref()))}</Detail>
                <Detail label="Gateway">{of(|session| session.gateway.clone())}</Detail>
                <Detail label="Request">
                    <code class="break">{of(|session| session.request_id.to_string())}</code>
                </Detail>
            </Details>
        </Card>
    }
}

fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("—").to_owned()
}

fn served(session: &Session) -> String {
    match (&session.provider, &session.model_served) {
        (Some(provider), Some(model)) => format!("{provider} · {model}"),
        (Some(provider), None) => provider.clone(),
        (None, _) => "Not chosen yet".to_owned(),
    }
}

fn told_end(session: &Session) -> Option<String> {
    session.terminate_requested_at?;
    let by = session.terminated_by.as_deref().unwrap_or("somebody");
    Some(format!("By {by}: {}", session.terminate_reason.as_deref().unwrap_or("no reason told")))
}

/// What is left of a session that was over before the page was opened.
#[component]
fn Recorded(details: Signal<SessionDetails>) -> impl IntoView {
    let sum = move |of: fn(&SessionTurn) -> i64| details.with(|details| details.turns.iter().map(of).sum::<i64>());
    let length = move || {
        details.with(|details| {
            let begin = details.turns.iter().map(|turn| turn.started_at).min();
            let end = details.turns.iter().map(|turn| turn.ended_at).max();
            begin
                .zip(end)
                .map_or_else(|| "—".to_owned(), |(begin, end)| format::audio_ms((end - begin).whole_milliseconds()))
        })
    };
    let count = move || {
        details.with(|details| {
            let more = if details.more_turns { "+" } else { "" };
            format!("{}{more}", format::count(details.turns.len() as i128))
        })
    };
    view! {
        <Notice title="This session is over">"What is recorded of it stays for as long as its usage is kept."</Notice>
        <Grid small=true>
            <Stat label="Duration" value=Signal::derive(length) />
            <Stat label="Cost" value=Signal::derive(move || details.with(|details| cost_of(&details.turns))) />
            <Stat label="Turns" value=Signal::derive(count) />
            <Stat label="Audio in" value=Signal::derive(move || format::audio_ms(i128::from(sum(|turn| turn.audio_in_ms)))) />
            <Stat label="Audio out" value=Signal::derive(move || format::audio_ms(i128::from(sum(|turn| turn.audio_out_ms)))) />
        </Grid>
    }
}

/// The sum, unless a turn has no price.
fn cost_of(turns: &[SessionTurn]) -> String {
    let costs: Option<Vec<rust_decimal::Decimal>> =
        turns.iter().map(|turn| turn.cost_usd.as_ref().and_then(|cost| cost.parse().ok())).collect();
    costs.map_or_else(|| "unpriced".to_owned(), |costs| format::money(costs.into_iter().sum()))
}

#[component]
fn Turns(details: Signal<SessionDetails>) -> impl IntoView {
    let rows = Signal::derive(move || details.with(|details| details.turns.clone()));
    let more = move || {
        details.with(|details| details.more_turns).then(|| {
            view! { <Notice>"Only the first 1,000 turns are shown. The usage records have them all."</Notice> }
        })
    };
    let columns = vec![
        Column::new("Turn", |turn: &SessionTurn| format::count(i128::from(turn.sequence)))
            .link(|turn: &SessionTurn| Page::UsageRecord(turn.id).path().into_owned())
            .sorted("turn", |turn: &SessionTurn| turn.sequence)
            .width(72),
        Column::new("Ended", |turn: &SessionTurn| format::date_time_exact(turn.ended_at)),
        Column::new("Served by", |turn: &SessionTurn| format!("{} · {}", turn.provider, turn.model_served)).spare(),
        Column::new("Audio in", |turn: &SessionTurn| format::audio_ms(i128::from(turn.audio_in_ms))).end().spare(),
        Column::new("Audio out", |turn: &SessionTurn| format::audio_ms(i128::from(turn.audio_out_ms))).end().spare(),
        Column::new("Tokens", |turn: &SessionTurn| {
            let all = turn.text_tokens_in + turn.text_tokens_out + turn.audio_tokens_in + turn.audio_tokens_out;
            format::count(i128::from(all))
        })
        .end()
        .spare(),
        Column::new("First byte", |turn: &SessionTurn| {
            turn.ttfb_ms.map_or_else(|| "—".to_owned(), |ms| format::duration_ms(i128::from(ms)))
        })
        .end()
        .spare(),
        Column::new("Status", |turn: &SessionTurn| {
            let tone = if matches!(turn.status.as_str(), "ok" | "completed") { Tone::Good } else { Tone::Neutral };
            let status = turn.status.clone();
            view! { <Status tone>{status}</Status> }
        }),
        Column::new("Cost", |turn: &SessionTurn| cost_text(turn.cost_usd.as_deref())).end(),
    ];
    view! {
        <Card title="Turns" text="Each is a usage record of its own." flush=true>
            {more}
            <DataTable label="Turns" columns rows key=|turn: &SessionTurn| turn.id.to_string() order="turn">
                <Empty title="No turn is recorded yet" text="Each appears here a moment after its end." />
            </DataTable>
        </Card>
    }
}
