//! Sound that can be heard and kept.

use std::sync::Arc;

use leptos::prelude::*;

use super::file::{blob_url, forget_url};
use super::{Icon, IconName};

/// A piece of sound as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sound {
    pub(crate) bytes: Arc<[u8]>,
    /// Such as `audio/mpeg`.
    pub(crate) media_type: String,
    /// Under which it is kept.
    pub(crate) file_name: String,
}

/// Plays it, and gives it as a download.
#[component]
pub(crate) fn SoundRow(
    #[prop(into)] label: String,
    sound: Sound,
    /// Such as its length, cost and latency.
    #[prop(optional, into)]
    note: String,
    #[prop(optional)] autoplay: bool,
) -> impl IntoView {
    let url = blob_url(&sound.bytes, &sound.media_type).unwrap_or_default();
    on_cleanup({
        let url = url.clone();
        move || forget_url(&url)
    });
    view! {
        <div class="sound-row">
            <div class="sound-head">
                <strong>{label.clone()}</strong>
                <span class="sound-note">{note}</span>
            </div>
            <div class="sound-body">
                <audio controls preload="metadata" autoplay=autoplay aria-label=label src=url.clone()></audio>
                <a class="icon-button" href=url download=sound.file_name aria-label="Download" title="Download">
                    <Icon name=IconName::Download />
                </a>
            </div>
        </div>
    }
}
