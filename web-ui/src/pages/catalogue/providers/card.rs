//! One provider among the others.

use admin_types::providers::Provider;
use leptos::prelude::*;

use super::health::{Day, Watched, condition};
use crate::chart::Sparkline;
use crate::components::{Badge, Status};
use crate::format;
use crate::pages::catalogue::words::{Origin, Owners, kind_name};
use crate::route::Page;

#[component]
pub(super) fn ProviderCard(provider: Provider, watched: Watched, owners: Owners) -> impl IntoView {
    let name = provider.name.clone();
    let day = Memo::new(move |_| watched.day(&name).unwrap_or_default());
    let course = Signal::derive(move || day.with(|day| day.course.clone()));
    let state = {
        let provider = provider.clone();
        move || {
            let (tone, word) = condition(&provider, &watched.targets(provider.id));
            view! { <Status tone>{word}</Status> }
        }
    };
    let place = provider.region.clone().map(|region| format!(" · {region}"));
    let owner = provider.tenant_id;
    view! {
        <li class="card provider-card">
            <div class="provider-card-head">
                <h2>
                    <a class="row-link" href=Page::Provider(provider.id).path()>
                        {provider.name}
                    </a>
                </h2>
                <Badge>{kind_name(&provider.kind)}</Badge>
            </div>
            <div class="provider-card-state">{state} <span class="muted">{move || day.with(words)}</span></div>
            <div class="provider-card-course">
                {move || course.with(|course| course.len() > 1).then(|| view! { <Sparkline values=course /> })}
            </div>
            <div class="provider-card-foot muted">
                <span>{move || owners.name(owner)} {place.clone()}</span>
                <Origin managed_by=provider.managed_by />
            </div>
        </li>
    }
}

fn words(day: &Day) -> String {
    if day.requests == 0 {
        return "No calls in 24 h".to_owned();
    }
    let calls = if day.requests == 1 { "1 call".to_owned() } else { format!("{} calls", format::count(day.requests)) };
    match day.ttfb_ms {
        Some(ms) => format!("{calls} in 24 h · first byte {}", format::duration_ms(ms)),
        None => format!("{calls} in 24 h"),
    }
}
