//! Where one is signed in, and the way to end that.

use admin_types::auth::{ListSignIns, SignIn};
use leptos::prelude::*;
use uuid::Uuid;

use crate::api::{auth, use_client};
use crate::clock;
use crate::components::{Badge, Button, ButtonKind, Card, Column, DataTable, Empty, LoadedLive, Tone};
use crate::format;
use crate::pages::ask_first::AskFirst;

#[component]
pub(super) fn SignIns() -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move {
        let query = ListSignIns { limit: Some(200), ..ListSignIns::default() };
        auth::list_sign_ins(&client, &query).await.map(|page| page.data)
    });
    let asked = RwSignal::new(None::<Uuid>);
    let open = RwSignal::new(false);
    let ask = move |id| {
        asked.set(Some(id));
        open.set(true);
    };
    let end = move || {
        let id = asked.get_untracked()?;
        Some(async move { auth::end_sign_in(&client, id).await })
    };
    view! {
        <Card title="Where you are signed in" text="End those that you do not know." flush=true>
            <LoadedLive resource=found children=move |rows| view! { <Table rows ask=Callback::new(ask) /> } />
        </Card>
        <AskFirst
            open
            title="End this sign-in?"
            text="The browser that it belongs to must sign in again."
            action="End sign-in"
            danger=true
            call=end
            done="Sign-in ended"
            on_done=move || found.refetch()
        />
    }
}

#[component]
fn Table(rows: Signal<Vec<SignIn>>, ask: Callback<Uuid>) -> impl IntoView {
    let now = clock::now();
    let columns = vec![
        Column::new("Browser", |row: &SignIn| {
            let name = row.user_agent.as_deref().map_or_else(|| "Unknown".to_owned(), browser_name);
            let here = row.current.then(|| view! { <Badge tone=Tone::Accent>"This one"</Badge> });
            view! { <span title=row.user_agent.clone()>{name}</span> " " {here} }
        }),
        Column::new("Address", |row: &SignIn| row.address.clone()),
        Column::new("Since", |row: &SignIn| format::date_time(row.started_at)).spare(),
        Column::new("Last seen", move |row: &SignIn| format::ago(row.refreshed_at, now)),
        Column::actions(move |row: &SignIn| {
            let id = row.id;
            (!row.current).then(|| view! { <Button kind=ButtonKind::Ghost on_press=move || ask.run(id)>"End"</Button> })
        }),
    ];
    view! {
        <DataTable label="Where you are signed in" columns rows key=|row: &SignIn| row.id.to_string()>
            <Empty title="Nowhere else" />
        </DataTable>
    }
}

/// The browser and system that a user agent names.
fn browser_name(agent: &str) -> String {
    const BROWSERS: [(&str, &str); 6] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ];
    let named =
        |names: &[(&str, &'static str)]| names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    match (named(&BROWSERS), named(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => agent.chars().take(40).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_named_for_people() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36";
        assert_eq!(browser_name(chrome), "Chrome on Linux");
        assert_eq!(browser_name("curl/8.1"), "curl");
        assert_eq!(browser_name("mine"), "mine");
    }
}
