//! Every page and every path, and what of a page stands in its address.

use std::borrow::Cow;

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// A page of the dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    Overview,
    Playground,
    Keys,
    Key(Uuid),
    Models,
    NewModel,
    Model(Uuid),
    Providers,
    Provider(Uuid),
    Voices,
    Usage,
    UsageRecord(Uuid),
    InvoiceComparison,
    Sessions,
    Session(Uuid),
    Alerts,
    Audit,
    Prices,
    Users,
    Tenants,
    Tenant(Uuid),
    Settings,
    Account,
    SignIn,
    Accept,
    NotFound,
}

impl Page {
    /// The page at a path.
    pub(crate) fn at(path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let found = match parts.as_slice() {
            [] => Some(Self::Overview),
            ["playground"] => Some(Self::Playground),
            ["keys"] => Some(Self::Keys),
            ["keys", id] => id.parse().ok().map(Self::Key),
            ["models"] => Some(Self::Models),
            ["models", "new"] => Some(Self::NewModel),
            ["models", id] => id.parse().ok().map(Self::Model),
            ["providers"] => Some(Self::Providers),
            ["providers", id] => id.parse().ok().map(Self::Provider),
            ["voices"] => Some(Self::Voices),
            ["usage"] => Some(Self::Usage),
            ["usage", "records", id] => id.parse().ok().map(Self::UsageRecord),
            ["usage", "compare"] => Some(Self::InvoiceComparison),
            ["sessions"] => Some(Self::Sessions),
            ["sessions", id] => id.parse().ok().map(Self::Session),
            ["alerts"] => Some(Self::Alerts),
            ["audit"] => Some(Self::Audit),
            ["prices"] => Some(Self::Prices),
            ["users"] => Some(Self::Users),
            ["tenants"] => Some(Self::Tenants),
            ["tenants", id] => id.parse().ok().map(Self::Tenant),
            ["settings"] => Some(Self::Settings),
            ["account"] => Some(Self::Account),
            // The server's own links lead to these two.
            ["login"] => Some(Self::SignIn),
            ["accept"] => Some(Self::Accept),
            _ => None,
        };
        found.unwrap_or(Self::NotFound)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> Cow<'static, str> {
        match self {
            Self::Overview | Self::NotFound => "/".into(),
            Self::Playground => "/playground".into(),
            Self::Keys => "/keys".into(),
            Self::Key(id) => format!("/keys/{id}").into(),
            Self::Models => "/models".into(),
            Self::NewModel => "/models/new".into(),
            Self::Model(id) => format!("/models/{id}").into(),
            Self::Providers => "/providers".into(),
            Self::Provider(id) => format!("/providers/{id}").into(),
            Self::Voices => "/voices".into(),
            Self::Usage => "/usage".into(),
            Self::UsageRecord(id) => format!("/usage/records/{id}").into(),
            Self::InvoiceComparison => "/usage/compare".into(),
            Self::Sessions => "/sessions".into(),
            Self::Session(id) => format!("/sessions/{id}").into(),
            Self::Alerts => "/alerts".into(),
            Self::Audit => "/audit".into(),
            Self::Prices => "/prices".into(),
            Self::Users => "/users".into(),
            Self::Tenants => "/tenants".into(),
            Self::Tenant(id) => format!("/tenants/{id}").into(),
            Self::Settings => "/settings".into(),
            Self::Account => "/account".into(),
            Self::SignIn => "/login".into(),
            Self::Accept => "/accept".into(),
        }
    }

    /// Its name in the navigation.
    pub(crate) const fn title(&self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Playground => "Playground",
            Self::Keys => "Keys",
            Self::Key(_) => "Key",
            Self::Models => "Models",
            Self::NewModel => "New model",
            Self::Model(_) => "Model",
            Self::Providers => "Providers",
            Self::Provider(_) => "Provider",
            Self::Voices => "Voices",
            Self::Usage => "Usage",
            Self::UsageRecord(_) => "Usage record",
            Self::InvoiceComparison => "Invoice comparison",
            Self::Sessions => "Sessions",
            Self::Session(_) => "Session",
            Self::Alerts => "Alerts",
            Self::Audit => "Audit log",
            Self::Prices => "Prices",
            Self::Users => "Users",
            Self::Tenants => "Tenants",
            Self::Tenant(_) => "Tenant",
            Self::Settings => "Settings",
            Self::Account => "Account",
            Self::SignIn => "Sign in",
            Self::Accept => "Choose a password",
            Self::NotFound => "Not found",
        }
    }

    /// The page in the navigation that it belongs to.
    pub(crate) const fn section(&self) -> Self {
        match self {
            Self::Key(_) => Self::Keys,
            Self::Model(_) | Self::NewModel => Self::Models,
            Self::Provider(_) => Self::Providers,
            Self::UsageRecord(_) | Self::InvoiceComparison => Self::Usage,
            Self::Session(_) => Self::Sessions,
            Self::Tenant(_) => Self::Tenants,
            Self::Overview => Self::Overview,
            Self::Playground => Self::Playground,
            Self::Keys => Self::Keys,
            Self::Models => Self::Models,
            Self::Providers => Self::Providers,
            Self::Voices => Self::Voices,
            Self::Usage => Self::Usage,
            Self::Sessions => Self::Sessions,
            Self::Alerts => Self::Alerts,
            Self::Audit => Self::Audit,
            Self::Prices => Self::Prices,
            Self::Users => Self::Users,
            Self::Tenants => Self::Tenants,
            Self::Settings => Self::Settings,
            Self::Account => Self::Account,
            Self::SignIn => Self::SignIn,
            Self::Accept => Self::Accept,
            Self::NotFound => Self::NotFound,
        }
    }

    /// Whether it is shown without signing in.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::SignIn | Self::Accept)
    }
}

/// Goes to a path, as a link does.
pub(crate) fn use_go() -> impl Fn(&str) + Clone + 'static {
    let navigate = use_navigate();
    move |path: &str| navigate(path, NavigateOptions::default())
}

/// Goes to a path in the place of the one that is shown, which the back button then skips.
pub(crate) fn use_go_instead() -> impl Fn(&str) + Clone + 'static {
    let navigate = use_navigate();
    move |path: &str| navigate(path, NavigateOptions { replace: true, ..NavigateOptions::default() })
}

/// A text that stands in the page's address as `?name=text`, so that a link and the back button bring it back.
/// Empty is absent.
pub(crate) fn query_text(name: &'static str) -> RwSignal<String> {
    query_text_or(name, "")
}

/// As [`query_text`], where another text than the empty one is meant by being absent.
pub(crate) fn query_text_or(name: &'static str, default: &'static str) -> RwSignal<String> {
    let location = use_location();
    let navigate = use_navigate();
    let here = location.pathname.get_untracked();
    let query = location.query;
    let told = move || query.with(|query| query.get(name).unwrap_or_else(|| default.to_owned()));
    let value = RwSignal::new(untrack(told));
    let is_here = {
        let pathname = location.pathname;
        move || pathname.with_untracked(|path| *path == here)
    };
    // A page that is about to go does not follow the next one's address.
    let follows = is_here.clone();
    Effect::new(move |_| {
        let told = told();
        if follows() && value.with_untracked(|value| *value != told) {
            value.set(told);
        }
    });
    Effect::new(move |before: Option<()>| {
        let wanted = value.get();
        if before.is_none() || !is_here() || untrack(told) == wanted {
            return;
        }
        let mut params = query.get_untracked();
        params.remove(name);
        if wanted != default {
            params.insert(name, wanted);
        }
        let path = location.pathname.get_untracked();
        let to = format!("{path}{}", params.to_query_string());
        navigate(&to, NavigateOptions { replace: true, scroll: false, resolve: false, ..NavigateOptions::default() });
    });
    value
}

/// Whether `?name=1` stands in the page's address. As the `open` of a dialog it makes the dialog a place that a link
/// leads to.
pub(crate) fn query_flag(name: &'static str) -> RwSignal<bool> {
    let text = query_text(name);
    let flag = RwSignal::new(text.with_untracked(|text| !text.is_empty()));
    Effect::new(move |_| {
        let told = text.with(|text| !text.is_empty());
        if flag.get_untracked() != told {
            flag.set(told);
        }
    });
    Effect::new(move |before: Option<()>| {
        let wanted = flag.get();
        if before.is_some() && text.with_untracked(String::is_empty) == wanted {
            text.set(if wanted { "1".to_owned() } else { String::new() });
        }
    });
    flag
}

/// A field of an optional text: nothing where it is empty.
pub(crate) fn given(text: RwSignal<String>) -> Option<String> {
    text.with(|text| Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// As [`given`], where nothing follows it.
pub(crate) fn given_untracked(text: RwSignal<String>) -> Option<String> {
    untrack(|| given(text))
}

/// What a text stands for in a query of the API: a word of a closed list, an id, or a plain text. `None` where it is
/// empty or stands for nothing.
pub(crate) fn meant<T: DeserializeOwned>(text: &str) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()
}

/// What `text` stands for, as it changes.
pub(crate) fn meaning<T>(text: RwSignal<String>) -> Memo<Option<T>>
where
    T: DeserializeOwned + PartialEq + Send + Sync + 'static,
{
    Memo::new(move |_| text.with(|text| meant(text)))
}

/// The path behind `next`, unless it leads elsewhere than into the dashboard.
pub(crate) fn safe_next(next: &str) -> Option<&str> {
    let inside = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    let is_page = Page::at(next.split(['?', '#']).next().unwrap_or_default()) != Page::SignIn;
    (inside && is_page && !next.chars().any(char::is_control)).then_some(next)
}

#[cfg(test)]
mod tests {
    use admin_types::keys::KeyState;

    use super::*;

    #[test]
    fn every_page_is_where_it_says() {
        let id = Uuid::from_u128(7);
        let pages = [
            Page::Overview,
            Page::Playground,
            Page::Keys,
            Page::Key(id),
            Page::Models,
            Page::NewModel,
            Page::Model(id),
            Page::Providers,
            Page::Provider(id),
            Page::Voices,
            Page::Usage,
            Page::UsageRecord(id),
            Page::InvoiceComparison,
            Page::Sessions,
            Page::Session(id),
            Page::Alerts,
            Page::Audit,
            Page::Prices,
            Page::Users,
            Page::Tenants,
            Page::Tenant(id),
            Page::Settings,
            Page::Account,
            Page::SignIn,
            Page::Accept,
        ];
        for page in pages {
            assert_eq!(Page::at(&page.path()), page);
        }
        assert_eq!(Page::at("/keys/7"), Page::NotFound);
        assert_eq!(Page::at("/keys/"), Page::Keys);
    }

    #[test]
    fn one_is_sent_back_into_the_dashboard_alone() {
        assert_eq!(safe_next("/keys?q=a"), Some("/keys?q=a"));
        for elsewhere in ["//evil.example", "https://evil.example", "/\\evil.example", "keys", "/login?next=/", ""] {
            assert_eq!(safe_next(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn words_are_read_as_the_api_writes_them() {
        assert_eq!(meant::<KeyState>("revoked"), Some(KeyState::Revoked));
        assert_eq!(meant::<KeyState>("x"), None);
        assert_eq!(meant::<Uuid>(""), None);
    }
}
