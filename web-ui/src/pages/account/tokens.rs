//! Personal access tokens: how one's programs sign in.

use admin_types::tokens::{CreateToken, CreatedToken, ListTokens, Token, TokenSort};
use leptos::prelude::*;
use uuid::Uuid;

use super::role_name;
use crate::api::{Failure, submit_form, tokens, use_client};
use crate::clock;
use crate::components::{
    Button, ButtonKind, Card, Choice, Column, CopyField, DataTable, Dialog, Empty, Form, FormButtons, IconName,
    LoadedLive, Notice, SelectField, TextField, Tone, field_error,
};
use crate::format;
use crate::pages::ask_first::AskFirst;
use crate::session::use_session;

#[component]
pub(super) fn Tokens() -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let own_id = Memo::new(move |_| session.me().map(|me| me.user.id));
    let found = LocalResource::new(move || {
        let user_id = own_id.get();
        async move {
            let query = ListTokens {
                user_id,
                sort: Some(TokenSort::CreatedAtDescending),
                limit: Some(200),
                ..ListTokens::default()
            };
            tokens::list_tokens(&client, &query).await.map(|page| page.data)
        }
    });
    let creating = RwSignal::new(false);
    let asked = RwSignal::new(None::<Uuid>);
    let removing = RwSignal::new(false);
    let ask = move |id| {
        asked.set(Some(id));
        removing.set(true);
    };
    let remove = move || {
        let id = asked.get_untracked()?;
        Some(async move { tokens::delete_token(&client, id).await })
    };
    view! {
        <Card
            title="Personal access tokens"
            text="With one, a program calls this installation's API as you."
            actions=move || view! { <Button icon=IconName::Plus on_press=move || creating.set(true)>"Create token"</Button> }
            flush=true
        >
            <LoadedLive resource=found children=move |rows| view! { <Table rows ask=Callback::new(ask) /> } />
        </Card>
        <Dialog open=creating title="Create token">
            <Create open=creating on_created=move || found.refetch() />
        </Dialog>
        <AskFirst
            open=removing
            title="Remove this token?"
            text="Programs that use it are refused from then on."
            action="Remove token"
            danger=true
            call=remove
            done="Token removed"
            on_done=move || found.refetch()
        />
    }
}

#[component]
fn Table(rows: Signal<Vec<Token>>, ask: Callback<Uuid>) -> impl IntoView {
    let now = clock::now();
    let columns = vec![
        Column::new("Name", |row: &Token| row.name.clone()).sorted("name", |row: &Token| row.name.to_lowercase()),
        Column::new("Token", |row: &Token| view! { <code>{row.redacted.clone()}</code> }),
        Column::new("May act as", |row: &Token| role_name(row.role)).spare(),
        Column::new("Last used", move |row: &Token| {
            row.last_used_at.map_or_else(|| "Never".to_owned(), |at| format::ago(at, now))
        }),
        Column::new("Ends", move |row: &Token| row.expires_at.map_or_else(|| "Never".to_owned(), format::date)).spare(),
        Column::actions(move |row: &Token| {
            let id = row.id;
            view! { <Button kind=ButtonKind::Ghost on_press=move || ask.run(id)>"Remove"</Button> }
        }),
    ];
    view! {
        <DataTable label="Personal access tokens" columns rows key=|row: &Token| row.id.to_string()>
            <Empty title="No tokens" text="Create one for a script or a pipeline." icon=IconName::Key />
        </DataTable>
    }
}

#[component]
fn Create(open: RwSignal<bool>, #[prop(into)] on_created: Callback<()>) -> impl IntoView {
    let created = RwSignal::new(None::<CreatedToken>);
    move || match created.get() {
        Some(token) => view! { <Secret token open /> }.into_any(),
        None => view! { <CreateForm created on_created /> }.into_any(),
    }
}

#[component]
fn CreateForm(created: RwSignal<Option<CreatedToken>>, on_created: Callback<()>) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let own = untrack(|| session.me()).map(|me| me.role);
    let name = RwSignal::new(String::new());
    let role = RwSignal::new(own.map(|role| role.as_str().to_owned()).unwrap_or_default());
    let days = RwSignal::new("90".to_owned());
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let roles = admin_types::role::Role::ALL.into_iter().filter(|role| own.is_some_and(|own| *role <= own)).rev();
    // A token that is not a platform administrator's is bound to a tenant, which must then be chosen.
    let tenant_id = session.tenant_untracked();
    let roles =
        roles.filter(|role| Some(*role) == own || tenant_id.is_some() || !untrack(|| session.sees_all_tenants()));
    let roles: Vec<Choice> = roles.map(|role| Choice::new(role.as_str(), role_name(role))).collect();
    let lives =
        Choice::list(&[("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "A year"), ("never", "Never")]);
    let send = move || {
        failure.set(None);
        let chosen = role.get_untracked().parse().ok();
        let ends = days.get_untracked().parse::<i64>().ok().map(|days| clock::now() + time::Duration::days(days));
        let create = CreateToken {
            name: name.get_untracked().trim().to_owned(),
            role: chosen,
            tenant_id: tenant_id.filter(|_| chosen != Some(admin_types::role::Role::PlatformAdmin)),
            // Whole seconds are enough.
            expires_at: ends.and_then(|at| at.replace_nanosecond(0).ok()),
        };
        submit_form(busy, failure, async move { tokens::create_token(&client, &create).await }, move |token| {
            created.try_set(Some(token));
            on_created.try_run(());
        });
    };
    view! {
        <Form on_submit=send failure>
            <TextField
                label="Name"
                value=name
                hint="What it is for, such as the name of the script."
                error=field_error(failure, "name")
                required=true
                autofocus=true
            />
            <SelectField label="May act as" value=role options=roles required=true />
            <SelectField label="Ends after" value=days options=lives required=true />
            <FormButtons action="Create token" busy />
        </Form>
    }
}

/// The token, this once.
#[component]
fn Secret(token: CreatedToken, open: RwSignal<bool>) -> impl IntoView {
    view! {
        <Notice tone=Tone::Warn title="Copy it now">"It is shown this once and kept nowhere."</Notice>
        <CopyField label="Token" value=token.token.clone() />
        <div class="form-actions">
            <Button kind=ButtonKind::Primary on_press=move || open.set(false)>
                "Done"
            </Button>
        </div>
    }
}
