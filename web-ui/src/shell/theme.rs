//! Light or dark: as the system is, or as one chose. `start.js` does the same before anything is seen.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use crate::components::IconName;
use crate::tabs;

const REMEMBERED: &str = "antiphon.theme";

/// What one chose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Theme {
    /// As the system is.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub(super) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }

    pub(super) const fn icon(self) -> IconName {
        match self {
            Self::System => IconName::Monitor,
            Self::Light => IconName::Sun,
            Self::Dark => IconName::Moon,
        }
    }

    fn remembered() -> Self {
        match tabs::remembered(REMEMBERED).as_deref() {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    fn remember(self) {
        tabs::remember(
            REMEMBERED,
            match self {
                Self::System => None,
                Self::Light => Some("light"),
                Self::Dark => Some("dark"),
            },
        );
    }
}

/// The theme, in a context of everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Themes(RwSignal<Theme>);

impl Themes {
    pub(super) fn chosen(self) -> Theme {
        self.0.get()
    }

    pub(super) fn choose(self, theme: Theme) {
        theme.remember();
        self.0.set(theme);
    }
}

/// For the application, once.
pub(super) fn provide_theme() {
    let theme = RwSignal::new(Theme::remembered());
    provide_context(Themes(theme));
    let system_is_dark = system_is_dark();
    Effect::new(move |_| {
        let dark = match theme.get() {
            Theme::System => system_is_dark.get(),
            Theme::Light => false,
            Theme::Dark => true,
        };
        if let Some(root) = document().document_element() {
            // It fails for names that are none.
            root.set_attribute("data-theme", if dark { "dark" } else { "light" }).ok();
        }
    });
}

/// For everything in the application.
pub(super) fn use_themes() -> Themes {
    use_context().unwrap_or_else(|| Themes(RwSignal::new(Theme::System)))
}

fn system_is_dark() -> RwSignal<bool> {
    let Ok(Some(query)) = window().match_media("(prefers-color-scheme: dark)") else { return RwSignal::new(false) };
    let dark = RwSignal::new(query.matches());
    let changed = Closure::<dyn Fn(web_sys::MediaQueryListEvent)>::new(move |event: web_sys::MediaQueryListEvent| {
        dark.set(event.matches());
    });
    query.set_onchange(Some(changed.as_ref().unchecked_ref()));
    // Both are wanted for as long as the page is open.
    changed.forget();
    std::mem::forget(query);
    dark
}
