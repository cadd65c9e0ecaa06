//! What stands where there is nothing yet, nothing at all, or something wrong.

use leptos::prelude::*;

use super::{Button, Icon, IconName};
use crate::api::Failure;

/// There is nothing: why, and what to do about it.
#[component]
pub(crate) fn Empty(
    #[prop(into)] title: String,
    #[prop(optional, into)] text: String,
    #[prop(optional, into)] icon: Option<IconName>,
    /// What to do: a button or a link.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    view! {
        <div class="empty">
            {icon.map(|name| view! { <span class="empty-icon"><Icon name /></span> })}
            <p class="empty-title">{title}</p>
            {(!text.is_empty()).then(|| view! { <p class="empty-text">{text}</p> })}
            {children.map(|children| view! { <div class="empty-actions">{children()}</div> })}
        </div>
    }
}

/// It could not be shown: why, and another try.
#[component]
pub(crate) fn Failed(failure: Failure, #[prop(optional, into)] on_retry: Option<Callback<()>>) -> impl IntoView {
    let request = failure.request_id().map(|id| format!("Request {id}"));
    view! {
        <div class="empty failed" role="alert">
            <span class="empty-icon"><Icon name=IconName::Warning /></span>
            <p class="empty-title">{failure.title()}</p>
            <p class="empty-text">{failure.detail()}</p>
            {request.map(|request| view! { <p class="empty-note">{request}</p> })}
            {on_retry
                .map(|retry| {
                    view! {
                        <div class="empty-actions">
                            <Button icon=IconName::Refresh on_press=retry>"Try again"</Button>
                        </div>
                    }
                })}
        </div>
    }
}

/// It is on its way: grey lines where the content will be.
#[component]
pub(crate) fn Loading(#[prop(default = 4)] rows: usize) -> impl IntoView {
    view! {
        <div class="skeleton" role="status">
            <span class="visually-hidden">"Loading"</span>
            {(0..rows).map(|_| view! { <div class="skeleton-line"></div> }).collect_view()}
        </div>
    }
}

#[derive(Clone, PartialEq)]
enum Phase {
    Loading,
    Ready,
    Failed(Failure),
}

/// Shows what a resource gives; the view is made anew whenever that changes.
#[component]
pub(crate) fn Loaded<T, F, V>(
    resource: LocalResource<Result<T, Failure>>,
    /// Lines of the skeleton.
    #[prop(default = 4)]
    rows: usize,
    children: F,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
    F: Fn(T) -> V + Clone + Send + Sync + 'static,
    V: IntoView + 'static,
{
    let children = move |value: Signal<T>| {
        let children = children.clone();
        move || children(value.get())
    };
    view! { <LoadedLive resource rows children /> }
}

/// Shows what a resource gives; the view is made once and follows the signal, so that it keeps its place and its focus.
#[component]
pub(crate) fn LoadedLive<T, F, V>(
    resource: LocalResource<Result<T, Failure>>,
    #[prop(default = 4)] rows: usize,
    children: F,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
    F: Fn(Signal<T>) -> V + Clone + Send + Sync + 'static,
    V: IntoView + 'static,
{
    let phase = Memo::new(move |_| {
        resource.with(|found| match found {
            None => Phase::Loading,
            Some(Ok(_)) => Phase::Ready,
            Some(Err(failure)) => Phase::Failed(failure.clone()),
        })
    });
    let latest = Memo::new(move |before: Option<&Option<T>>| {
        let found = resource.with(|found| found.as_ref().and_then(|found| found.as_ref().ok().cloned()));
        found.or_else(|| before.cloned().flatten())
    });
    move || match phase.get() {
        Phase::Loading => view! { <Loading rows /> }.into_any(),
        Phase::Failed(failure) => view! { <Failed failure on_retry=move || resource.refetch() /> }.into_any(),
        Phase::Ready => latest
            .get_untracked()
            .map(|first| children(Signal::derive(move || latest.get().unwrap_or_else(|| first.clone()))))
            .into_any(),
    }
}
