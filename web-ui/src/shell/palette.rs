//! The palette: write a few letters, go anywhere. A combobox: the focus stays in the field, and the arrows move
//! through what was found.

use std::time::Duration;

use leptos::ev::KeyboardEvent;
use leptos::html;
use leptos::prelude::*;

use super::search::{Hit, Target, hits};
use super::theme::use_themes;
use crate::api::submit;
use crate::components::{Icon, IconName, use_toasts};
use crate::route::{Page, use_go, use_go_instead};
use crate::session::use_session;

/// How long after the last letter objects are searched.
const PAUSE: Duration = Duration::from_millis(200);
const LIST: &str = "palette-list";

#[component]
pub(super) fn Palette(open: RwSignal<bool>) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        let (Some(dialog), open) = (dialog.get(), open.get()) else { return };
        if open && !dialog.open() {
            // It fails only for one that is gone from the page.
            dialog.show_modal().ok();
        } else if !open && dialog.open() {
            dialog.close();
        }
    });
    let close_beside = move |event: leptos::ev::MouseEvent| {
        if event.target() == event.current_target() {
            open.set(false);
        }
    };
    view! {
        <dialog
            node_ref=dialog
            class="palette"
            aria-label="Search pages, things and actions"
            on:close=move |_| open.set(false)
            on:click=close_beside
        >
            {move || open.get().then(|| view! { <Search open /> })}
        </dialog>
    }
}

#[component]
fn Search(open: RwSignal<bool>) -> impl IntoView {
    let text = RwSignal::new(String::new());
    let searched = RwSignal::new(String::new());
    let mut search = debounce(PAUSE, move |text: String| {
        searched.try_set(text);
    });
    let active = RwSignal::new(0_usize);
    let found = hits(text, Memo::new(move |_| searched.get()));
    let count = Memo::new(move |_| found.with(Vec::len));
    let act = use_act(open);
    let choose = {
        let act = act.clone();
        move |place: usize| {
            if let Some(hit) = found.with_untracked(|found| found.get(place).cloned()) {
                act(hit.target);
            }
        }
    };
    let keys = {
        let choose = choose.clone();
        move |event: KeyboardEvent| {
            let (last, now) = (count.get_untracked().saturating_sub(1), active.get_untracked());
            match event.key().as_str() {
                "ArrowDown" => active.set(if now >= last { 0 } else { now + 1 }),
                "ArrowUp" => active.set(now.checked_sub(1).unwrap_or(last)),
                "Enter" => choose(now),
                _ => return,
            }
            event.prevent_default();
            show(active.get_untracked());
        }
    };
    let written = move |written: String| {
        active.set(0);
        text.set(written.clone());
        search(written);
    };
    let mut written = written;
    let field = NodeRef::<html::Input>::new();
    Effect::new(move |_| {
        if let Some(field) = field.get() {
            field.focus().ok();
        }
    });
    view! {
        <div class="palette-frame">
            <div class="palette-field">
                <Icon name=IconName::Search />
                <input
                    node_ref=field
                    type="text"
                    role="combobox"
                    aria-label="Search pages, things and actions"
                    aria-expanded="true"
                    aria-controls=LIST
                    aria-autocomplete="list"
                    aria-activedescendant=move || (count.get() > 0).then(|| option_id(active.get()))
                    autocomplete="off"
                    spellcheck="false"
                    placeholder="Where to?"
                    prop:value=move || text.get()
                    on:input:target=move |event| written(event.target().value())
                    on:keydown=keys
                />
            </div>
            <Options found active choose=Callback::new(choose) />
            <p class="visually-hidden" role="status">
                {move || match count.get() {
                    0 => "Nothing found".to_owned(),
                    1 => "1 result".to_owned(),
                    count => format!("{count} results"),
                }}
            </p>
        </div>
    }
}

#[component]
fn Options(found: Memo<Vec<Hit>>, active: RwSignal<usize>, choose: Callback<usize>) -> impl IntoView {
    let groups = move || {
        let found = found.get();
        let mut groups: Vec<(&'static str, Vec<(usize, Hit)>)> = Vec::new();
        for (place, hit) in found.into_iter().enumerate() {
            match groups.last_mut() {
                Some((group, hits)) if *group == hit.group => hits.push((place, hit)),
                _ => groups.push((hit.group, vec![(place, hit)])),
            }
        }
        groups
            .into_iter()
            .map(|(group, hits)| {
                let hits = hits.into_iter().map(|(place, hit)| view! { <HitRow place hit active choose /> });
                view! {
                    <div role="group" aria-label=group>
                        <p class="palette-group" aria-hidden="true">
                            {group}
                        </p>
                        {hits.collect_view()}
                    </div>
                }
            })
            .collect_view()
    };
    view! {
        <div id=LIST class="palette-list" role="listbox" aria-label="Results" tabindex="-1">
            {groups}
        </div>
        {move || {
            found
                .with(Vec::is_empty)
                .then(|| view! { <p class="palette-nothing">"Nothing found. Try fewer letters of its name."</p> })
        }}
    }
}

#[component]
fn HitRow(place: usize, hit: Hit, active: RwSignal<usize>, choose: Callback<usize>) -> impl IntoView {
    let is_active = move || active.get() == place;
    view! {
        <div
            id=option_id(place)
            role="option"
            class="palette-hit"
            class:active=is_active
            aria-selected=move || is_active().to_string()
            on:click=move |_| choose.run(place)
            on:pointermove=move |_| {
                if active.get_untracked() != place {
                    active.set(place);
                }
            }
        >
            <Icon name=hit.icon />
            <span class="palette-label">{hit.label}</span>
            <span class="palette-note">{hit.note}</span>
        </div>
    }
}

/// Does what was chosen.
fn use_act(open: RwSignal<bool>) -> impl Fn(Target) + Clone + Send + Sync + 'static {
    let (session, themes, toasts) = (use_session(), use_themes(), use_toasts());
    let go = StoredValue::new_local(use_go());
    let go_instead = StoredValue::new_local(use_go_instead());
    move |target| {
        open.set(false);
        match target {
            Target::Path(path) => go.with_value(|go| go(&path)),
            Target::Theme(theme) => themes.choose(theme),
            Target::Tenant(tenant) => session.choose_tenant(tenant),
            Target::SignOut => {
                let go_instead = go_instead.get_value();
                submit(RwSignal::new(false), async move { session.sign_out().await }, move |done| match done {
                    Ok(()) => go_instead(&Page::SignIn.path()),
                    Err(failure) => toasts.failed(&failure),
                });
            }
        }
    }
}

fn option_id(place: usize) -> String {
    format!("palette-hit-{place}")
}

/// Scrolls to what is chosen.
fn show(place: usize) {
    request_animation_frame(move || {
        if let Some(option) = document().get_element_by_id(&option_id(place)) {
            let options = web_sys::ScrollIntoViewOptions::new();
            options.set_block(web_sys::ScrollLogicalPosition::Nearest);
            option.scroll_into_view_with_scroll_into_view_options(&options);
        }
    });
}
