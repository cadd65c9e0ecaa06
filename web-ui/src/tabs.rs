//! What tabs of one browser share: words to each other, a turn that one has at a time, and small things that are
//! remembered. None of it is secret.

use js_sys::{Function, Promise, Reflect};
use leptos::prelude::window;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{BroadcastChannel, MessageEvent, Storage};

const CHANNEL: &str = "antiphon.session";
const TURN: &str = "antiphon.refresh";
/// How long a tab waits for its turn.
const LONGEST_WAIT_MS: i32 = 10_000;

/// What a tab tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Somebody has signed in.
    SignedIn,
    /// Somebody has signed out.
    SignedOut,
}

impl Word {
    const fn as_str(self) -> &'static str {
        match self {
            Self::SignedIn => "in",
            Self::SignedOut => "out",
        }
    }
}

/// Tells the other tabs.
pub(crate) fn tell(word: Word) {
    if let Ok(channel) = BroadcastChannel::new(CHANNEL) {
        drop(channel.post_message(&JsValue::from_str(word.as_str())));
        channel.close();
    }
}

/// Hears what other tabs tell, for as long as the page is open.
pub(crate) fn listen(heard: impl Fn(Word) + 'static) {
    let Ok(channel) = BroadcastChannel::new(CHANNEL) else { return };
    let hear =
        Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| match event.data().as_string().as_deref() {
            Some("in") => heard(Word::SignedIn),
            Some("out") => heard(Word::SignedOut),
            _ => {}
        });
    channel.set_onmessage(Some(hear.as_ref().unchecked_ref()));
    hear.forget();
    // A channel that nothing holds may be collected.
    std::mem::forget(channel);
}

/// A turn that one tab has at a time. It ends with this.
#[derive(Debug)]
pub(crate) struct Turn(Option<Function>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            drop(release.call0(&JsValue::NULL));
        }
    }
}

/// Waits until no other tab has the turn, where the browser can see to that, and at most for a while: a tab that
/// sleeps with the turn must not hold up the others.
pub(crate) async fn turn() -> Turn {
    let mut release = None;
    let granted = Promise::new(&mut |grant, _| {
        let held = Promise::new(&mut |resolve, _| release = Some(resolve));
        let granted = grant.clone();
        let job = Closure::once_into_js(move || {
            drop(granted.call0(&JsValue::NULL));
            held
        });
        let wait = if request_lock(&job).is_some() { LONGEST_WAIT_MS } else { 0 };
        drop(window().set_timeout_with_callback_and_timeout_and_arguments_0(&grant, wait));
    });
    drop(JsFuture::from(granted).await);
    Turn(release)
}

/// `navigator.locks.request(name, job)`; `None` where there are no locks, as on pages without TLS.
fn request_lock(job: &JsValue) -> Option<JsValue> {
    let locks = Reflect::get(&window().navigator(), &JsValue::from_str("locks")).ok()?;
    let request: Function = Reflect::get(&locks, &JsValue::from_str("request")).ok()?.dyn_into().ok()?;
    request.call2(&locks, &JsValue::from_str(TURN), job).ok()
}

/// Remembers something for all tabs, beyond the page's life; `None` forgets it.
pub(crate) fn remember(name: &str, value: Option<&str>) {
    put(window().local_storage().ok().flatten(), name, value);
}

/// What is remembered for all tabs.
pub(crate) fn remembered(name: &str) -> Option<String> {
    window().local_storage().ok().flatten()?.get_item(name).ok().flatten()
}

/// Whether something is remembered, or cannot be known to be not.
pub(crate) fn may_be_remembered(name: &str) -> bool {
    match window().local_storage() {
        Ok(Some(storage)) => !matches!(storage.get_item(name), Ok(None)),
        _ => true,
    }
}

/// Remembers something for this tab; `None` forgets it.
pub(crate) fn remember_here(name: &str, value: Option<&str>) {
    put(window().session_storage().ok().flatten(), name, value);
}

/// What is remembered for this tab.
pub(crate) fn remembered_here(name: &str) -> Option<String> {
    window().session_storage().ok().flatten()?.get_item(name).ok().flatten()
}

/// A browser that keeps nothing forgets it, and that is all.
fn put(storage: Option<Storage>, name: &str, value: Option<&str>) {
    let Some(storage) = storage else { return };
    drop(match value {
        Some(value) => storage.set_item(name, value),
        None => storage.remove_item(name),
    });
}
