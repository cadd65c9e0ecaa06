//! Files: taken from the reader, and given.

use leptos::ev::DragEvent;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, File, FileList};

use super::field::unique_id;
use super::{Icon, IconName};

/// Takes a file that is dropped or chosen.
#[component]
pub(crate) fn FileDrop(
    /// Such as `Drop a recording here, or choose one`.
    #[prop(into)]
    label: String,
    #[prop(optional, into)] hint: String,
    /// As in `<input accept>`: `audio/*`, `.csv,.json`.
    #[prop(optional, into)]
    accept: String,
    #[prop(into)] on_file: UnsyncCallback<(File,)>,
) -> impl IntoView {
    let id = unique_id("file");
    let over = RwSignal::new(false);
    let take = move |files: Option<FileList>| {
        if let Some(file) = files.and_then(|files| files.item(0)) {
            on_file.run((file,));
        }
    };
    let dropped = move |event: DragEvent| {
        event.prevent_default();
        over.set(false);
        take(event.data_transfer().and_then(|data| data.files()));
    };
    let dragged = move |event: DragEvent| {
        event.prevent_default();
        over.set(true);
    };
    view! {
        <div
            class="file-drop"
            class:over=move || over.get()
            on:dragover=dragged
            on:dragleave=move |_| over.set(false)
            on:drop=dropped
        >
            <input
                id=id.clone()
                type="file"
                class="visually-hidden"
                accept=(!accept.is_empty()).then_some(accept)
                on:change:target=move |event| {
                    take(event.target().files());
                    event.target().set_value("");
                }
            />
            <label for=id>
                <Icon name=IconName::Upload />
                <span class="file-drop-label">{label}</span>
                {(!hint.is_empty()).then(|| view! { <span class="hint">{hint}</span> })}
            </label>
        </div>
    }
}

/// Gives a file to the reader, as a download.
pub(crate) fn save_file(name: &str, media_type: &str, content: &[u8]) {
    let Some(url) = blob_url(content, media_type) else { return };
    let anchor =
        document().create_element("a").ok().and_then(|made| made.dyn_into::<web_sys::HtmlAnchorElement>().ok());
    if let Some(anchor) = anchor {
        anchor.set_href(&url);
        anchor.set_download(name);
        anchor.click();
    }
    // The download has the content by then.
    set_timeout(move || forget_url(&url), std::time::Duration::from_secs(60));
}

/// An address under which the page itself finds these bytes.
pub(super) fn blob_url(content: &[u8], media_type: &str) -> Option<String> {
    let parts = js_sys::Array::of1(&js_sys::Uint8Array::from(content));
    let options = BlobPropertyBag::new();
    options.set_type(media_type);
    let blob = Blob::new_with_u8_array_sequence_and_options(&JsValue::from(parts), &options).ok()?;
    web_sys::Url::create_object_url_with_blob(&blob).ok()
}

/// Frees what an address stands for.
pub(super) fn forget_url(url: &str) {
    // It fails only for what is no address.
    web_sys::Url::revoke_object_url(url).ok();
}
