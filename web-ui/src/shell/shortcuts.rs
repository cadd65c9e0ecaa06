//! Keys that work on every page: Ctrl-K or ⌘-K for the palette, `g` and a letter for a page.

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, KeyboardEvent};

use super::navigation::entries;
use crate::clock;
use crate::route::use_go;
use crate::session::use_session;

/// How soon the letter must follow.
const PATIENCE_MS: f64 = 1500.0;

/// Listens for as long as the dashboard is shown.
pub(super) fn listen(palette: RwSignal<bool>) {
    let session = use_session();
    let go = use_go();
    let begun_at = StoredValue::new(f64::MIN);
    let handle = window_event_listener(ev::keydown, move |event| {
        if event.key().eq_ignore_ascii_case("k") && (event.ctrl_key() || event.meta_key()) {
            event.prevent_default();
            palette.update(|open| *open = !*open);
            return;
        }
        if event.ctrl_key() || event.meta_key() || event.alt_key() || is_writing(&event) {
            return;
        }
        let follows = clock::now_ms() - begun_at.get_value() < PATIENCE_MS;
        if follows {
            begun_at.set_value(f64::MIN);
            let letter = event.key();
            let entry = untrack(|| entries(session)).into_iter().find(|entry| letter == entry.letter.to_string());
            if let Some(entry) = entry {
                event.prevent_default();
                go(&entry.page.path());
            }
        } else if event.key() == "g" {
            begun_at.set_value(clock::now_ms());
        }
    });
    on_cleanup(move || handle.remove());
}

/// Whether the key is meant for a field, or for a dialog that lies over the page.
fn is_writing(event: &KeyboardEvent) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    target.is_some_and(|target| {
        matches!(target.closest("input, textarea, select, dialog, [contenteditable]"), Ok(Some(_)))
    })
}

/// As the reader's keyboard names them.
pub(super) fn palette_keys() -> &'static str {
    let is_apple = window().navigator().platform().is_ok_and(|name| name.starts_with("Mac") || name.starts_with("iP"));
    if is_apple { "⌘K" } else { "Ctrl K" }
}
