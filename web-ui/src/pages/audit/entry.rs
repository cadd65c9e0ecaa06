//! One entry: who, where, when, and what became what.

use admin_types::audit::AuditEntry;
use leptos::prelude::*;
use uuid::Uuid;

use super::diff::{Kind, Line, lines};
use super::words::{action_name, action_tone, kind_name};
use super::{moment, object_name};
use crate::components::{Badge, Details, Empty, Stack};
use crate::format;
use crate::pages::pair::pair;
use crate::pages::tenants::TenantNames;
use crate::route::Page;

/// The panel's content.
#[component]
pub(super) fn Entry(entry: AuditEntry, names: TenantNames) -> impl IntoView {
    let at = moment(&entry.at).map_or_else(|| entry.at.clone(), format::date_time_exact);
    let title = format!("{} {}", kind_name(&entry.object_kind), object_name(&entry).unwrap_or_default());
    let name = action_name(&entry.action);
    let differences = lines(entry.before.as_ref(), entry.after.as_ref());
    let page = object_page(&entry);
    let id = entry.object_id.clone().map(|id| {
        let shown = match page {
            Some(path) => view! { <a href=path>{id}</a> }.into_any(),
            None => view! { <code>{id}</code> }.into_any(),
        };
        pair("Id", shown)
    });
    let owner = entry.tenant_id;
    let owner = move || owner.map_or_else(|| "The platform".to_owned(), |id| names.of(id));
    let address = entry.address.clone().map(|address| pair("From", address));
    let request = entry.request_id.clone().map(|id| pair("Request", view! { <code>{id}</code> }));
    view! {
        <Stack>
            <Details>
                {pair("Action", view! { <Badge tone=action_tone(&entry.action)>{name}</Badge> })}
                {pair("Resource", title)}
                {id}
                {pair("When", at)}
                {pair("Actor", format!("{} ({})", entry.actor_name, entry.actor_kind.replace('_', " ")))}
                {address}
                {request}
                {pair("Of", owner)}
                {pair("Place in its chain", format::count(entry.sequence))}
                {pair("Hash", view! { <code>{entry.hash.clone()}</code> })}
            </Details>
            <Differences lines=differences />
        </Stack>
    }
}

#[component]
fn Differences(lines: Vec<Line>) -> impl IntoView {
    if lines.is_empty() {
        return view! { <Empty title="It changed no fields" /> }.into_any();
    }
    let (same, different): (Vec<Line>, Vec<Line>) = lines.into_iter().partition(|line| line.kind() == Kind::Same);
    let rest = (!same.is_empty()).then(|| {
        let title = if same.len() == 1 {
            "1 field that stayed".to_owned()
        } else {
            format!("{} fields that stayed", same.len())
        };
        view! {
            <details class="diff-same">
                <summary>{title}</summary>
                <DiffTable lines=same label="Fields that stayed" />
            </details>
        }
    });
    view! {
        <div>
            <h3 class="diff-title">"What changed"</h3>
            <DiffTable lines=different label="What changed" />
            {rest}
        </div>
    }
    .into_any()
}

#[component]
fn DiffTable(lines: Vec<Line>, label: &'static str) -> impl IntoView {
    let row = |line: Line| {
        let kind = line.kind();
        let (class, word) = match kind {
            Kind::Added => ("diff-row added", "Added"),
            Kind::Removed => ("diff-row removed", "Removed"),
            Kind::Changed => ("diff-row changed", "Changed"),
            Kind::Same => ("diff-row", ""),
        };
        let before = line.before.filter(|_| kind != Kind::Same).map(|text| view! { <del>{text}</del> });
        let after = line.after.map(|text| match kind {
            Kind::Same => text.into_any(),
            _ => view! { <ins>{text}</ins> }.into_any(),
        });
        view! {
            <tr class=class>
                <th scope="row">
                    {line.path}
                    <span class="visually-hidden">{word}</span>
                </th>
                <td>{before} {after}</td>
            </tr>
        }
    };
    view! {
        <table class="diff">
            <caption class="visually-hidden">{label}</caption>
            <thead class="visually-hidden">
                <tr>
                    <th scope="col">"Field"</th>
                    <th scope="col">"Before and after"</th>
                </tr>
            </thead>
            <tbody>{lines.into_iter().map(row).collect_view()}</tbody>
        </table>
    }
}

/// Where the object is, if it has a page.
fn object_page(entry: &AuditEntry) -> Option<String> {
    let id: Uuid = entry.object_id.as_ref()?.parse().ok()?;
    let page = match entry.object_kind.as_str() {
        "key" => Page::Key(id),
        "model" => Page::Model(id),
        "provider" => Page::Provider(id),
        "session" => Page::Session(id),
        "tenant" => Page::Tenant(id),
        _ => return None,
    };
    // What is removed has a page no more.
    (entry.action != "delete").then(|| page.path().into_owned())
}
