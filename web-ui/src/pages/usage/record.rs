//! One record: what was asked, who served it, what it used and cost, and where its time went.

use admin_types::usage::UsageRecord;
use leptos::prelude::*;
use uuid::Uuid;

use super::record_parts::{Cost, Decision, Units};
use super::record_time::{Timings, Turns};
use super::words;
use crate::api::{keys, tenants, usage, use_client};
use crate::components::{Badge, Card, CopyField, Detail, Details, Grid, Loaded, PageHead, Stack};
use crate::format;
use crate::route::Page;

/// The page.
#[component]
pub(in crate::pages) fn Record(id: Uuid) -> impl IntoView {
    let client = use_client();
    let found = LocalResource::new(move || async move { usage::get_usage_record(&client, id).await });
    let back = (Page::Usage.path().into_owned() + "?view=records", "Usage".to_owned());
    view! {
        <PageHead title="Usage record" back />
        <Loaded resource=found rows=10 children=|record: UsageRecord| view! { <Whole record /> } />
    }
}

#[component]
fn Whole(record: UsageRecord) -> impl IntoView {
    let session = record.session_id.map(|session| view! { <Turns session own=record.id /> });
    let (call, cost, units, time) = (record.clone(), record.clone(), record.clone(), record.clone());
    view! {
        <Stack>
            <Grid>
                <Call record=call />
                <Stack>
                    <Cost record=cost />
                    <Units record=units />
                </Stack>
            </Grid>
            <Timings record=time />
            {session}
            <Decision record />
        </Stack>
    }
}

#[component]
fn Call(record: UsageRecord) -> impl IntoView {
    let client = use_client();
    let (key_id, tenant_id) = (record.key_id, record.tenant_id);
    // Names are a help: without them the ids say it.
    let key =
        LocalResource::new(move || async move { keys::get_key(&client, key_id).await.ok().map(|key| key.value.name) });
    let tenant = LocalResource::new(move || async move {
        tenants::get_tenant(&client, tenant_id).await.ok().map(|tenant| tenant.value.name)
    });
    let name = |found: LocalResource<Option<String>>, id: Uuid| {
        move || found.get().flatten().unwrap_or_else(|| id.to_string())
    };
    let (status, tone) = words::status(&record.status);
    let session = record.session_id.map(|id| {
        view! {
            <Detail label="Session">
                <a href=Page::Session(id).path()>{format!("Turn {}", record.sequence)}</a>
            </Detail>
        }
    });
    let optional =
        |label: &'static str, value: Option<String>| value.map(|value| view! { <Detail label>{value}</Detail> });
    view! {
        <Card title="Call">
            <Details>
                <Detail label="Status">
                    <Badge tone dot=true>
                        {status}
                    </Badge>
                </Detail>
                <Detail label="Operation">{words::operation(&record.operation)}</Detail>
                <Detail label="Model asked for">{record.model_asked}</Detail>
                <Detail label="Served by">{format!("{}/{}", record.provider, record.model_served)}</Detail>
                <Detail label="Key">
                    <a href=Page::Key(key_id).path()>{name(key, key_id)}</a>
                </Detail>
                <Detail label="Tenant">{name(tenant, tenant_id)}</Detail>
                {session}
                {optional("User", record.user_tag)}
                {optional("Tags", record.tags)}
                {optional("Cache", record.cache.map(|cache| words::plain(&cache)))}
                <Detail label="Begun">{format::date_time_exact(record.started_at)}</Detail>
                <Detail label="Ended">{format::date_time_exact(record.ended_at)}</Detail>
            </Details>
            <CopyField label="Request id" value=record.request_id.to_string() />
        </Card>
    }
}
