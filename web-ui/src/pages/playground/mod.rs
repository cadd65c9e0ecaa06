//! The playground: speech, transcription and conversations, tried out through the gateway as an app would.

mod access;
mod facts;
mod model;
mod realtime;
mod sound;
mod speech;
mod transcription;

use leptos::prelude::*;

use self::access::{Access, KeyCard, provide_access};
use self::speech::Take;
use crate::components::{Choice, PageHead, Stack, TabPanel, Tabs};
use crate::route::query_text_or;

const GROUP: &str = "playground";

/// The page.
#[component]
pub(super) fn Playground() -> impl IntoView {
    let access = provide_access();
    let tab = query_text_or("tab", "speech");
    let tabs = Choice::list(&[("speech", "Speech"), ("transcription", "Transcription"), ("realtime", "Realtime")]);
    // What is filled in, what is under way and what came of it outlive their tabs.
    let takes = RwSignal::new(Vec::<Take>::new());
    let (speech, transcription, realtime) = (speech::Draft::new(), transcription::Draft::new(), realtime::Draft::new());
    Effect::new(move |_| {
        if !access.is_ready() {
            speech.forget_key();
            transcription.forget_key();
            realtime.forget_key();
        }
    });
    Effect::new(move |_| {
        if !tab.with(|tab| matches!(tab.as_str(), "speech" | "transcription" | "realtime")) {
            tab.set("speech".to_owned());
        }
    });
    view! {
        <PageHead title="Playground" text="Try models and voices through the gateway, as your apps call it." />
        <Stack>
            <KeyCard access />
            <Show when=move || access.is_ready()>
                <Tabs label="What to try" group=GROUP selected=tab tabs=tabs.clone() />
                <TabPanel group=GROUP name="speech" selected=tab>
                    <speech::SpeechTab access draft=speech takes />
                </TabPanel>
                <TabPanel group=GROUP name="transcription" selected=tab>
                    <transcription::TranscriptionTab access draft=transcription />
                </TabPanel>
                <TabPanel group=GROUP name="realtime" selected=tab>
                    <realtime::RealtimeTab access draft=realtime />
                </TabPanel>
            </Show>
        </Stack>
    }
}

/// What everything here needs of the page.
type Of<T> = RwSignal<T>;

/// Puts what changes between renders into a signal only where it has changed.
fn set_new<T: PartialEq + Send + Sync + 'static>(signal: Of<T>, value: T) {
    if signal.try_with_untracked(|old| *old != value).unwrap_or(false) {
        signal.try_set(value);
    }
}

/// The access that the tabs have.
fn gateway_of(access: Access) -> Option<crate::api::data_plane::Gateway> {
    untrack(|| access.gateway())
}
