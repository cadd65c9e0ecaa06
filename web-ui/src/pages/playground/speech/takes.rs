//! What was spoken in this visit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use leptos::prelude::*;

use super::super::facts::{CallDetails, Cost};
use super::super::sound::wav_file;
use crate::api::data_plane::{CallFacts, Speech};
use crate::components::{Button, ButtonKind, Card, Empty, IconName, Sound, SoundRow};
use crate::format;

/// More are not kept: each has its sound in memory.
const MOST: usize = 30;

/// One piece of speech.
#[derive(Debug, Clone)]
pub(in crate::pages::playground) struct Take {
    id: u32,
    speech: Speech,
    sound: Sound,
    facts: CallFacts,
    cost: ArcRwSignal<Cost>,
    autoplay: bool,
    /// On the stopwatch, as `begin`.
    first_sound: ArcRwSignal<Option<f64>>,
    begin: f64,
}

impl Take {
    pub(super) fn new(
        speech: Speech,
        sound: Sound,
        facts: CallFacts,
        cost: ArcRwSignal<Cost>,
        autoplay: bool,
        first_sound: ArcRwSignal<Option<f64>>,
        begin: f64,
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), speech, sound, facts, cost, autoplay, first_sound, begin }
    }
}

/// A sound that the browser plays and keeps; samples without a head get one.
pub(super) fn sound_of(bytes: Vec<u8>, asked: &str, told: Option<&str>, rate: u32) -> Sound {
    let media_type = told.and_then(|told| told.split(';').next()).filter(|told| told.starts_with("audio/"));
    let (bytes, media_type, ending) = match asked {
        "pcm" => (wav_file(&bytes, rate), "audio/wav", "wav"),
        "opus" => (bytes, media_type.unwrap_or("audio/ogg"), "ogg"),
        other => (bytes, media_type.unwrap_or("audio/mpeg"), other),
    };
    let file_name = format!("speech.{ending}");
    Sound { bytes: Arc::from(bytes), media_type: media_type.to_owned(), file_name }
}

/// The takes, the newest first.
#[component]
pub(super) fn Takes(takes: RwSignal<Vec<Take>>) -> impl IntoView {
    Effect::new(move |_| {
        if takes.with(|takes| takes.len() > MOST) {
            takes.update(|takes| takes.truncate(MOST));
        }
    });
    let empty = move || takes.with(Vec::is_empty);
    view! {
        <Card title="Takes" text="What was spoken in this visit; a reload forgets it.">
            <Show
                when=move || !empty()
                fallback=|| view! { <Empty title="Nothing spoken yet" text="Write a text, choose a voice and press Speak." icon=IconName::Speaker /> }
            >
                <ol class="takes">
                    <For each=move || takes.get() key=|take| take.id let:take>
                        <li>
                            <TakeView take takes />
                        </li>
                    </For>
                </ol>
            </Show>
        </Card>
    }
}

#[component]
fn TakeView(take: Take, takes: RwSignal<Vec<Take>>) -> impl IntoView {
    let Take { id, speech, sound, facts, cost, autoplay, first_sound, begin } = take;
    // It plays by itself when it is new, and not each time the tab is shown.
    takes.try_update_untracked(|takes| {
        takes.iter_mut().filter(|take| take.id == id).for_each(|take| take.autoplay = false)
    });
    let size = format::bytes(sound.bytes.len() as u64);
    let note = format!("{} · {} · {size}", speech.voice, speech.response_format.to_uppercase());
    let details = move || {
        let heard = first_sound.get().map(|at| at - begin);
        let (facts, cost) = (facts.clone(), cost.clone());
        match heard {
            Some(heard_ms) => view! { <CallDetails facts cost heard_ms /> }.into_any(),
            None => view! { <CallDetails facts cost /> }.into_any(),
        }
    };
    view! {
        <SoundRow label=speech.model sound note autoplay />
        <p class="take-text">{speech.input}</p>
        {details}
        <Button kind=ButtonKind::Ghost icon=IconName::Trash on_press=move || takes.update(|takes| takes.retain(|take| take.id != id))>
            "Remove"
        </Button>
    }
}
