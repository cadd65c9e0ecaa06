//! What the installation is, and how it is now.

use admin_types::health::{AskHealth, Breaker, GatewayHealth, Health, TargetHealth};
use admin_types::instance::Instance;
use leptos::prelude::*;

use super::pair::pair;
use crate::api::{health, use_client};
use crate::clock;
use crate::components::{
    Button, Card, Column, CopyField, DataTable, Detail, Details, Empty, Grid, Icon, IconName, LoadedLive, Loading,
    Notice, PageHead, Stack, Status, Tone,
};
use crate::format;
use crate::session::use_session;

/// The page.
#[component]
pub(super) fn Settings() -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move { health::get_health(&client, &AskHealth::default()).await });
    view! {
        <PageHead title="Settings" text="What this installation is, and how it is now.">
            <Button icon=IconName::Refresh on_press=move || found.refetch()>"Refresh"</Button>
        </PageHead>
        <Stack>
            <Grid>
                <Installation />
                <Interfaces />
            </Grid>
            <LoadedLive resource=found rows=6 children=move |health| view! { <Dependencies health /> } />
        </Stack>
    }
}

#[component]
fn Installation() -> impl IntoView {
    let session = use_session();
    let content = move || match session.instance() {
        None => view! { <Loading rows=3 /> }.into_any(),
        Some(instance) => view! { <About instance /> }.into_any(),
    };
    view! { <Card title="Installation">{content}</Card> }
}

#[component]
fn About(instance: Instance) -> impl IntoView {
    let ways = match (instance.sign_in.oidc, instance.sign_in.oidc_name) {
        (false, _) => "Password".to_owned(),
        (true, Some(name)) => format!("Password, or {name}"),
        (true, None) => "Password, or an identity provider".to_owned(),
    };
    let gateway = match instance.gateway_url {
        Some(url) => {
            view! { <CopyField label="Gateway" value=url hint="Where your programs send their calls." /> }.into_any()
        }
        None => view! {
            <Notice tone=Tone::Warn title="The gateway's address is not configured">
                "Examples cannot name it until the operator sets it."
            </Notice>
        }
        .into_any(),
    };
    view! {
        <Details>
            {pair("Version", instance.version)}
            {pair("Sign-in", ways)}
        </Details>
        {gateway}
        <CopyField label="Dashboard and admin API" value=origin() />
    }
}

/// For programs that manage the installation.
#[component]
fn Interfaces() -> impl IntoView {
    view! {
        <Card title="Admin API" text="All that this dashboard does, programs can do as well, with a personal access token.">
            <Details>
                <Detail label="Swagger UI">
                    <Outside href="/docs/" text="Read and try it" />
                </Detail>
                <Detail label="OpenAPI document">
                    <Outside href="/api/v1/openapi.json" text="openapi.json" />
                </Detail>
                <Detail label="Tokens">
                    <a href="/account">"Your account"</a>
                </Detail>
            </Details>
        </Card>
    }
}

/// A link to what is no page of the dashboard.
#[component]
fn Outside(href: &'static str, text: &'static str) -> impl IntoView {
    view! {
        <a class="outside-link" href=href target="_blank" rel="external noopener">
            <span>{text}</span>
            <Icon name=IconName::External />
            <span class="visually-hidden">"(opens in another tab)"</span>
        </a>
    }
}

#[component]
fn Dependencies(health: Signal<Health>) -> impl IntoView {
    let session = use_session();
    let database = move || {
        let (kind, ms) = health.with(|health| (health.database.kind == "postgresql", health.database.latency_ms));
        let kind = if kind { "PostgreSQL" } else { "SQLite" };
        let answers = format!("{kind}, answers in {}", format::duration_ms(i128::from(ms)));
        view! {
            <Details>
                {pair("Admin plane", view! { <Status tone=Tone::Good>"Answers"</Status> })}
                {pair("Database", view! { <Status tone=Tone::Good>{answers}</Status> })}
            </Details>
        }
    };
    let gateways = Signal::derive(move || health.with(|health| health.gateways.clone()));
    let targets = Signal::derive(move || health.with(|health| health.targets.clone()));
    let more = move || health.with(|health| health.more_targets);
    view! {
        <Card title="Admin plane and database">{database}</Card>
        {move || session.sees_all_tenants().then(|| view! {
            <Card title="Gateways" text="Processes that have said of late that they live." flush=true>
                <Gateways gateways />
            </Card>
        })}
        <Card title="Targets" text="What each gateway knows of each provider's model that it has asked." flush=true>
            <Targets health targets />
            <Show when=more>
                <Notice>"There are more targets than these. The API tells of each with a filter."</Notice>
            </Show>
        </Card>
    }
}

#[component]
fn Gateways(gateways: Signal<Vec<GatewayHealth>>) -> impl IntoView {
    let columns = vec![
        Column::new("Machine", |row: &GatewayHealth| row.name.clone())
            .sorted("name", |row: &GatewayHealth| row.name.clone()),
        Column::new("State", |row: &GatewayHealth| {
            if row.draining {
                view! { <Status tone=Tone::Warn>"Draining"</Status> }
            } else {
                view! { <Status tone=Tone::Good>"Serves"</Status> }
            }
        }),
        Column::new("Version", |row: &GatewayHealth| row.version.clone()),
        Column::new("Sessions", |row: &GatewayHealth| format::count(row.open_sessions)).end(),
        Column::new("Records to write", |row: &GatewayHealth| format::count(row.journal_records)).end().spare(),
        Column::new("Started", |row: &GatewayHealth| format::ago(row.started_at, clock::now())).spare(),
        Column::new("Last sign of life", |row: &GatewayHealth| format::ago(row.heartbeat_at, clock::now())),
    ];
    view! {
        <DataTable label="Gateways" columns rows=gateways key=|row: &GatewayHealth| row.id.to_string()>
            <Empty title="No gateway lives" text="Start one: nothing is served meanwhile." icon=IconName::Warning />
        </DataTable>
    }
}

#[component]
fn Targets(health: Signal<Health>, targets: Signal<Vec<TargetHealth>>) -> impl IntoView {
    let machine = move |row: &TargetHealth| {
        let id = row.gateway_id;
        health
            .with(|health| health.gateways.iter().find(|gateway| gateway.id == id).map(|gateway| gateway.name.clone()))
    };
    let columns = vec![
        Column::new("Provider", |row: &TargetHealth| row.provider.clone())
            .sorted("provider", |row: &TargetHealth| row.provider.clone()),
        Column::new("Model", |row: &TargetHealth| row.model.clone())
            .sorted("model", |row: &TargetHealth| row.model.clone()),
        Column::new("State", |row: &TargetHealth| breaker_view(row.breaker))
            .sorted("state", |row: &TargetHealth| row.breaker.as_str()),
        Column::new("Failures in a row", |row: &TargetHealth| format::count(row.failures)).end(),
        Column::new("First byte", |row: &TargetHealth| first_bytes(row)).spare(),
        Column::new("Gateway", move |row: &TargetHealth| machine(row).unwrap_or_else(|| "–".to_owned())).spare(),
        Column::new("Known since", |row: &TargetHealth| format::ago(row.updated_at, clock::now())).spare(),
    ];
    let key = |row: &TargetHealth| format!("{}-{}-{}", row.gateway_id, row.provider_id, row.model);
    view! {
        <DataTable label="Targets" columns rows=targets key order="provider">
            <Empty title="No target was asked yet" text="Each is listed after its first call." icon=IconName::Provider />
        </DataTable>
    }
}

fn breaker_view(breaker: Breaker) -> impl IntoView {
    match breaker {
        Breaker::Closed => view! { <Status tone=Tone::Good>"Is asked"</Status> },
        Breaker::HalfOpen => view! { <Status tone=Tone::Warn>"Is tried again"</Status> },
        Breaker::Open => view! { <Status tone=Tone::Bad>"Is not asked"</Status> },
    }
}

/// The typical time by operation.
fn first_bytes(target: &TargetHealth) -> String {
    let times =
        target.ttfb_ms.iter().map(|(operation, ms)| format!("{operation} {}", format::duration_ms(i128::from(*ms))));
    let text = times.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "–".to_owned() } else { text }
}

/// Where this page comes from.
fn origin() -> String {
    window().location().origin().unwrap_or_default()
}
