//! How a page is laid out: its head, cards, columns, and pairs of label and value.

use leptos::prelude::*;

/// The one heading of a page, with what can be done on it.
#[component]
pub(crate) fn PageHead(
    #[prop(into)] title: Signal<String>,
    #[prop(optional, into)] text: String,
    /// The page above, as path and name.
    #[prop(optional, into)]
    back: Option<(String, String)>,
    #[prop(optional)] children: Option<Children>,
) -> impl IntoView {
    Effect::new(move |_| document().set_title(&format!("{} · Antiphon", title.get())));
    view! {
        <header class="page-head">
            <div class="page-head-text">
                {back
                    .map(|(href, name)| {
                        view! {
                            <a class="back-link" href=href>
                                {name}
                            </a>
                        }
                    })}
                <h1>{move || title.get()}</h1>
                {(!text.is_empty()).then(|| view! { <p>{text}</p> })}
            </div>
            {children.map(|children| view! { <div class="page-actions">{children()}</div> })}
        </header>
    }
}

/// What belongs together, with a heading of the second level.
#[component]
pub(crate) fn Card(
    #[prop(optional, into)] title: String,
    #[prop(optional, into)] text: String,
    /// At the end of its head.
    #[prop(optional, into)]
    actions: Option<ViewFn>,
    /// No space around the content, as for tables.
    #[prop(optional)]
    flush: bool,
    children: Children,
) -> impl IntoView {
    let actions = actions.map(|actions| view! { <div class="card-actions">{actions.run()}</div> });
    let head = (!title.is_empty() || actions.is_some()).then(|| {
        view! {
            <header class="card-head">
                <div>
                    <h2>{title}</h2>
                    {(!text.is_empty()).then(|| view! { <p>{text}</p> })}
                </div>
                {actions}
            </header>
        }
    });
    view! {
        <section class="card" class:flush=flush>
            {head}
            <div class="card-body">{children()}</div>
        </section>
    }
}

/// Cards beside each other, as many as there is room for.
#[component]
pub(crate) fn Grid(
    /// For small things such as `Stat`.
    #[prop(optional)]
    small: bool,
    children: Children,
) -> impl IntoView {
    view! { <div class=if small { "grid small" } else { "grid" }>{children()}</div> }
}

/// A wide column and a narrow one; one below the other where there is no room.
#[component]
pub(crate) fn Split(children: Children) -> impl IntoView {
    view! { <div class="split">{children()}</div> }
}

/// One thing below the other.
#[component]
pub(crate) fn Stack(children: Children) -> impl IntoView {
    view! { <div class="stack">{children()}</div> }
}

/// Filters and buttons above a table.
#[component]
pub(crate) fn Toolbar(children: Children) -> impl IntoView {
    view! { <div class="toolbar">{children()}</div> }
}

/// Pairs of label and value; made of `Detail`.
#[component]
pub(crate) fn Details(children: Children) -> impl IntoView {
    view! { <dl class="details">{children()}</dl> }
}

/// One pair of `Details`.
#[component]
pub(crate) fn Detail(#[prop(into)] label: String, children: Children) -> impl IntoView {
    view! {
        <div>
            <dt>{label}</dt>
            <dd>{children()}</dd>
        </div>
    }
}
