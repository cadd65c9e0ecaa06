//! Buttons, and links that look like them.

use leptos::prelude::*;

use super::{Icon, IconName};

/// How much a button stands out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ButtonKind {
    /// One of several.
    #[default]
    Secondary,
    /// What the page or form is for; one at a time.
    Primary,
    /// What cannot be undone.
    Danger,
    /// Among other things, without a border.
    Ghost,
}

impl ButtonKind {
    const fn class(self) -> &'static str {
        match self {
            Self::Secondary => "button",
            Self::Primary => "button primary",
            Self::Danger => "button danger",
            Self::Ghost => "button ghost",
        }
    }
}

/// A button; while it is busy it spins and takes no press.
#[component]
pub(crate) fn Button(
    #[prop(optional)] kind: ButtonKind,
    #[prop(optional, into)] disabled: Signal<bool>,
    #[prop(optional, into)] busy: Signal<bool>,
    /// It submits the form around it.
    #[prop(optional)]
    submit: bool,
    #[prop(optional, into)] icon: Option<IconName>,
    #[prop(optional, into)] on_press: Option<Callback<()>>,
    children: Children,
) -> impl IntoView {
    let press = move |_| {
        if let Some(on_press) = on_press.filter(|_| !busy.get_untracked()) {
            on_press.run(());
        }
    };
    view! {
        <button
            type=if submit { "submit" } else { "button" }
            class=kind.class()
            class:busy=move || busy.get()
            disabled=move || disabled.get() || busy.get()
            aria-busy=move || busy.get().then_some("true")
            on:click=press
        >
            {icon.map(|name| view! { <Icon name /> })}
            <span>{children()}</span>
        </button>
    }
}

/// A button that is only an icon; the label is read and shown on hover.
#[component]
pub(crate) fn IconButton(
    name: IconName,
    #[prop(into)] label: Signal<String>,
    #[prop(optional, into)] disabled: Signal<bool>,
    #[prop(into)] on_press: Callback<()>,
) -> impl IntoView {
    view! {
        <button
            type="button"
            class="icon-button"
            aria-label=move || label.get()
            title=move || label.get()
            disabled=move || disabled.get()
            on:click=move |_| on_press.run(())
        >
            <Icon name />
        </button>
    }
}

/// A link that looks like a button.
#[component]
pub(crate) fn LinkButton(
    #[prop(into)] href: String,
    #[prop(optional)] kind: ButtonKind,
    #[prop(optional, into)] icon: Option<IconName>,
    children: Children,
) -> impl IntoView {
    view! {
        <a class=kind.class() href=href>
            {icon.map(|name| view! { <Icon name /> })}
            <span>{children()}</span>
        </a>
    }
}
