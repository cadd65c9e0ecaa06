//! The navigation: the pages that there are and that one may see, in groups.

use leptos::prelude::*;

use super::CurrentPage;
use crate::components::{Icon, IconName};
use crate::route::Page;
use crate::session::{Permission, Session, use_session};

/// A page of the navigation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) page: Page,
    pub(super) icon: IconName,
    /// After `g`.
    pub(super) letter: char,
    needs: Option<Permission>,
}

const fn entry(page: Page, icon: IconName, letter: char) -> Entry {
    Entry { page, icon, letter, needs: None }
}

const fn needs(page: Page, icon: IconName, letter: char, needs: Permission) -> Entry {
    Entry { page, icon, letter, needs: Some(needs) }
}

/// Every group with its pages.
const GROUPS: &[(&str, &[Entry])] = &[
    ("", &[entry(Page::Overview, IconName::Overview, 'o')]),
    (
        "Build",
        &[
            entry(Page::Playground, IconName::Playground, 'g'),
            entry(Page::Keys, IconName::Key, 'k'),
            entry(Page::Models, IconName::Model, 'm'),
            entry(Page::Providers, IconName::Provider, 'p'),
            entry(Page::Voices, IconName::Speaker, 'v'),
        ],
    ),
    (
        "Observe",
        &[
            entry(Page::Usage, IconName::Usage, 'u'),
            entry(Page::Sessions, IconName::Session, 's'),
            entry(Page::Alerts, IconName::Alert, 'a'),
            needs(Page::Audit, IconName::Audit, 'l', Permission::SeeAudit),
        ],
    ),
    ("Money", &[entry(Page::Prices, IconName::Price, 'c')]),
    (
        "Organisation",
        &[
            needs(Page::Users, IconName::User, 'e', Permission::ManageUsers),
            needs(Page::Tenants, IconName::Tenant, 't', Permission::ManageTenants),
            entry(Page::Settings, IconName::Settings, ','),
        ],
    ),
];

/// The pages of the navigation that one may see. Reactive.
pub(super) fn entries(session: Session) -> Vec<&'static Entry> {
    GROUPS.iter().flat_map(|(_, entries)| seen(session, entries)).collect()
}

fn seen(session: Session, entries: &'static [Entry]) -> Vec<&'static Entry> {
    let may = |entry: &&Entry| entry.needs.is_none_or(|needs| session.can(needs));
    entries.iter().filter(may).collect()
}

/// The links.
#[component]
pub(super) fn Navigation() -> impl IntoView {
    let session = use_session();
    let groups = move || {
        let groups = GROUPS.iter().map(|(title, entries)| (*title, seen(session, entries)));
        groups
            .filter(|(_, entries)| !entries.is_empty())
            .map(|(title, entries)| view! { <Group title entries /> })
            .collect_view()
    };
    view! {
        <nav aria-label="Main" class="nav">
            {groups}
        </nav>
    }
}

#[component]
fn Group(title: &'static str, entries: Vec<&'static Entry>) -> impl IntoView {
    let links = entries.into_iter().map(|entry| view! { <Link entry /> }).collect_view();
    view! {
        <div class="nav-group">
            {(!title.is_empty()).then(|| view! { <p class="nav-title">{title}</p> })}
            <ul>{links}</ul>
        </div>
    }
}

#[component]
fn Link(entry: &'static Entry) -> impl IntoView {
    let current = use_context::<CurrentPage>();
    let is_current = move || {
        current.and_then(|current| {
            let page = current.0.get();
            (page == entry.page).then_some("page").or_else(|| (page.section() == entry.page).then_some("true"))
        })
    };
    view! {
        <li>
            <a class="nav-link" href=entry.page.path() aria-current=is_current>
                <Icon name=entry.icon />
                <span>{entry.page.title()}</span>
            </a>
        </li>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_has_a_letter_of_its_own() {
        let mut letters: Vec<char> =
            GROUPS.iter().flat_map(|(_, entries)| entries.iter()).map(|entry| entry.letter).collect();
        let count = letters.len();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), count);
    }
}
