//! Where the sound comes from: the microphone, or a file.

use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::{Blob, BlobPropertyBag, File, Url};

use super::super::sound::{Microphone, RATE, Sounds, wav_file};
use super::Clip;
use crate::components::{Button, ButtonKind, FileDrop, IconButton, IconName, Notice, Tone};
use crate::format;

/// Milliseconds of a piece of what is recorded.
const PIECE_MS: u32 = 50;
/// A recording ends by itself, before it is larger than what gateways take.
const LONGEST_MS: u64 = 8 * 60 * 1000;

/// Records while it is on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorder {
    open: StoredValue<Option<(Microphone, Sounds)>, LocalStorage>,
    pcm: StoredValue<Vec<u8>>,
    is_on: RwSignal<bool>,
    ms: RwSignal<u64>,
    level: RwSignal<f64>,
    problem: RwSignal<Option<String>>,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self {
            open: StoredValue::new_local(None),
            pcm: StoredValue::new(Vec::new()),
            is_on: RwSignal::new(false),
            ms: RwSignal::new(0),
            level: RwSignal::new(0.0),
            problem: RwSignal::new(None),
        }
    }

    fn begin(self, done: RwSignal<Option<Clip>, LocalStorage>) {
        self.problem.set(None);
        self.pcm.set_value(Vec::new());
        self.ms.set(0);
        self.is_on.set(true);
        spawn_local(async move {
            let opened = self.listen(done).await;
            // It may have been stopped, or the page left, while the browser asked.
            let is_wanted = self.is_on.try_get_untracked().unwrap_or(false);
            match opened {
                Ok(open) if is_wanted => {
                    self.open.try_set_value(Some(open));
                }
                Ok(_) => {}
                Err(why) => {
                    self.is_on.try_set(false);
                    self.problem.try_set(Some(why));
                }
            }
        });
    }

    async fn listen(self, done: RwSignal<Option<Clip>, LocalStorage>) -> Result<(Microphone, Sounds), String> {
        let sounds = Sounds::open().await?;
        let heard = move |piece: super::super::sound::Piece| {
            self.pcm.try_update_value(|pcm| pcm.extend_from_slice(&piece.pcm));
            self.level.try_set(piece.level);
            let ms = self.ms.try_update(|ms| {
                *ms += u64::from(PIECE_MS);
                *ms
            });
            if ms.is_some_and(|ms| ms >= LONGEST_MS) {
                self.end(done);
            }
        };
        let microphone = Microphone::open(&sounds, RATE, PIECE_MS, heard).await?;
        Ok((microphone, sounds))
    }

    fn end(self, done: RwSignal<Option<Clip>, LocalStorage>) {
        self.release();
        let pcm = self.pcm.try_update_value(std::mem::take).unwrap_or_default();
        if pcm.is_empty() {
            self.problem.try_set(Some("Nothing was recorded. Press Record, speak, then press Stop.".to_owned()));
            return;
        }
        if let Some(blob) = blob_of(&wav_file(&pcm, RATE)) {
            done.try_set(Some(Clip { blob, name: "recording.wav".to_owned() }));
        }
    }

    /// Nothing listens behind one's back; what was heard until then is kept.
    fn leave(self, done: RwSignal<Option<Clip>, LocalStorage>) {
        if self.is_on.try_get_untracked() == Some(true) {
            self.end(done);
        } else {
            self.release();
        }
    }

    fn release(self) {
        self.is_on.try_set(false);
        self.level.try_set(0.0);
        // Not dropped within the microphone's own call to this page.
        if let Some(Some(open)) = self.open.try_update_value(Option::take) {
            set_timeout(move || drop(open), Duration::ZERO);
        }
    }
}

fn blob_of(bytes: &[u8]) -> Option<Blob> {
    let options = BlobPropertyBag::new();
    options.set_type("audio/wav");
    let parts = js_sys::Array::of1(&js_sys::Uint8Array::from(bytes));
    Blob::new_with_u8_array_sequence_and_options(&parts, &options).ok()
}

/// Recording, choosing a file, and what is there.
#[component]
pub(super) fn Source(clip: RwSignal<Option<Clip>, LocalStorage>) -> impl IntoView {
    let recorder = super::recorder();
    on_cleanup(move || recorder.leave(clip));
    let take = move |file: File| {
        let name = file.name();
        clip.set(Some(Clip { blob: file.into(), name }));
    };
    view! {
        <div class="record">
            <Show
                when=move || recorder.is_on.get()
                fallback=move || {
                    view! {
                        <Button icon=IconName::Mic on_press=move || recorder.begin(clip)>
                            "Record"
                        </Button>
                    }
                }
            >
                <Button kind=ButtonKind::Danger icon=IconName::Stop on_press=move || recorder.end(clip)>
                    "Stop"
                </Button>
                <LevelMeter label="Loudness of the microphone" level=recorder.level />
                <span class="number" role="timer">{move || format::audio_ms(recorder.ms.get() as i128)}</span>
            </Show>
        </div>
        {move || recorder.problem.get().map(|text| view! { <Notice tone=Tone::Bad>{text}</Notice> })}
        <FileDrop label="Drop a recording here, or choose one" accept="audio/*,video/*" hint="Up to 25 MB." on_file=take />
        {move || clip.get().map(|chosen| view! { <Chosen chosen clip /> })}
    }
}

#[component]
fn Chosen(chosen: Clip, clip: RwSignal<Option<Clip>, LocalStorage>) -> impl IntoView {
    let url = Url::create_object_url_with_blob(&chosen.blob).unwrap_or_default();
    on_cleanup({
        let url = url.clone();
        // It fails only for what is no address.
        move || drop(Url::revoke_object_url(&url))
    });
    let size = format::bytes(chosen.blob.size() as u64);
    view! {
        <div class="sound-row">
            <div class="sound-head">
                <strong class="break">{chosen.name.clone()}</strong>
                <span class="sound-note">{size}</span>
            </div>
            <div class="sound-body">
                <audio controls preload="metadata" aria-label=chosen.name src=url></audio>
                <IconButton name=IconName::Trash label="Remove recording" on_press=move || clip.set(None) />
            </div>
        </div>
    }
}

/// How loud it is, in steps that people hear: from -60 dB to 0.
#[component]
pub(in crate::pages::playground) fn LevelMeter(
    #[prop(into)] label: String,
    #[prop(into)] level: Signal<f64>,
) -> impl IntoView {
    let share = move || ((20.0 * level.get().max(0.001).log10() + 60.0) / 60.0).clamp(0.0, 1.0);
    let percent = move || (share() * 100.0).round();
    view! {
        <div
            class="level"
            role="meter"
            aria-label=label
            aria-valuemin="0"
            aria-valuemax="100"
            aria-valuenow=move || percent().to_string()
        >
            <div style:width=move || format!("{:.0}%", percent())></div>
        </div>
    }
}
