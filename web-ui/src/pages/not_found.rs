//! An address that leads nowhere.

use leptos::prelude::*;

use crate::components::{ButtonKind, Empty, IconName, LinkButton, PageHead};

#[component]
pub(crate) fn NotFound() -> impl IntoView {
    view! {
        <PageHead title="Page not found" />
        <Empty title="Nothing is here" text="The address may be mistyped, or what it named is gone." icon=IconName::Search>
            <LinkButton href="/" kind=ButtonKind::Primary>
                "Go to the start page"
            </LinkButton>
        </Empty>
    }
}
