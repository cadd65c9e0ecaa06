//! A conversation with a realtime model, by microphone and in writing.

mod call;
mod close;
mod hear;
mod lines;
mod log;
mod settings;

use std::time::Duration;

use leptos::prelude::*;

use self::call::{Call, Phase};
use self::lines::Transcript;
use self::log::Inspector;
pub(super) use self::settings::Draft;
use self::settings::SettingsFields;
use super::access::Access;
use super::facts::ms_text;
use super::transcription::LevelMeter;
use crate::clock;
use crate::components::{
    Badge, Button, ButtonKind, Card, Detail, Details, Form, FormError, IconName, Notice, Split, TextField, Tone,
};
use crate::format;

/// The tab.
#[component]
pub(super) fn RealtimeTab(access: Access, draft: Draft) -> impl IntoView {
    let call = Call::new();
    // Leaving ends it: nothing listens or sounds behind one's back.
    on_cleanup(move || {
        call.release();
        access.called();
    });
    Effect::new(move |before: Option<bool>| {
        let is_on = call.is_on();
        if before == Some(true) && !is_on {
            access.called();
        }
        is_on
    });
    view! {
        <Split>
            <Transcript lines=call.lines>
                <Writing call />
            </Transcript>
            <Show when=move || call.is_on() fallback=move || view! { <Before access call draft /> }>
                <During call />
            </Show>
        </Split>
        <Inspector log=call.log />
    }
}

/// What is settled before, and how the last one ended.
#[component]
fn Before(access: Access, call: Call, draft: Draft) -> impl IntoView {
    let start = move || {
        if let Some(gateway) = super::gateway_of(access) {
            call.start(gateway, draft.asked());
        }
    };
    let failure = Signal::derive(move || match call.phase.get() {
        Phase::Failed(failure) => Some(failure),
        _ => None,
    });
    let ended = move || match call.phase.get() {
        Phase::Ended(end) => Some(view! { <Ended call end /> }),
        _ => None,
    };
    view! {
        <Card title="Session">
            {ended}
            <FormError failure />
            <Form on_submit=start>
                <SettingsFields access draft />
                <div class="form-actions">
                    <Button kind=ButtonKind::Primary submit=true icon=IconName::Mic>
                        "Start conversation"
                    </Button>
                </div>
            </Form>
        </Card>
    }
}

#[component]
fn Ended(call: Call, end: close::End) -> impl IntoView {
    let tone = if end.is_good() { Tone::Neutral } else { Tone::Bad };
    let told = (!end.by_me).then(|| view! { <p><code class="break">{end.told()}</code></p> });
    let notice = move || call.notice.get().map(|text| view! { <p>{text}</p> });
    view! {
        <div role="status">
            <Notice tone title="The conversation is over">
                <p>{end.meaning()}</p>
                {told} {notice}
                <Numbers call />
            </Notice>
        </div>
    }
}

/// The conversation that goes on.
#[component]
fn During(call: Call) -> impl IntoView {
    let state = move || match (call.phase.get(), call.speaking.get(), call.answering.get()) {
        (Phase::Connecting, ..) => ("Connecting", Tone::Neutral),
        (_, true, _) => ("You speak", Tone::Accent),
        (_, _, true) => ("The model answers", Tone::Good),
        _ => ("Listening", Tone::Good),
    };
    let badge = move || {
        let (text, tone) = state();
        view! { <Badge tone dot=true>{text}</Badge> }
    };
    let mute_label = move || if call.muted.get() { "Unmute" } else { "Mute" };
    let can_interrupt = move || call.answering.get() || call.its_level.get() > 0.0;
    view! {
        <Card title="Session">
            <div class="call">
                <p class="call-state" role="status">{badge}</p>
                {move || call.notice.get().map(|text| view! { <div role="alert"><Notice tone=Tone::Warn>{text}</Notice></div> })}
                <Show when=move || call.has_microphone.get()>
                    <div class="call-level">
                        <span>"You"</span>
                        <LevelMeter label="Loudness of the microphone" level=call.my_level />
                    </div>
                </Show>
                <div class="call-level">
                    <span>"Model"</span>
                    <LevelMeter label="Loudness of the model" level=call.its_level />
                </div>
                <Numbers call />
                <div class="form-actions">
                    <Show when=move || call.has_microphone.get()>
                        <Button icon=IconName::MicOff on_press=move || call.muted.update(|muted| *muted = !*muted)>
                            {mute_label}
                        </Button>
                    </Show>
                    <Show when=move || call.by_hand.get() && call.has_microphone.get()>
                        <Button icon=IconName::Up on_press=move || call.commit()>"Send"</Button>
                    </Show>
                    <Button icon=IconName::Stop disabled=Signal::derive(move || !can_interrupt()) on_press=move || call.interrupt()>
                        "Interrupt"
                    </Button>
                    <Button kind=ButtonKind::Danger on_press=move || call.end()>"End conversation"</Button>
                </div>
            </div>
        </Card>
    }
}

/// How long, how much was heard, and how quick it was.
#[component]
fn Numbers(call: Call) -> impl IntoView {
    let now = RwSignal::new(clock::now_ms());
    if let Ok(ticking) = set_interval_with_handle(move || now.set(clock::now_ms()), Duration::from_secs(1)) {
        on_cleanup(move || ticking.clear());
    }
    let length = move || {
        let end = call.ended_ms.get().unwrap_or_else(|| now.get());
        format::audio_ms((end - call.started_ms.get()).max(0.0) as i128)
    };
    let last = move || call.latencies.with(|all| all.last().map_or_else(|| "—".to_owned(), |ms| ms_text(*ms)));
    let middle = move || call.latencies.with(|all| median(all).map_or_else(|| "—".to_owned(), ms_text));
    view! {
        <Details>
            <Detail label="Length">{length}</Detail>
            <Detail label="Audio played">{move || format::audio_ms(call.played_ms.get() as i128)}</Detail>
            <Detail label="Last latency">{last}</Detail>
            <Detail label="Median latency">{middle}</Detail>
        </Details>
    }
}

fn median(all: &[f64]) -> Option<f64> {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Writing instead of speaking.
#[component]
fn Writing(call: Call) -> impl IntoView {
    let text = RwSignal::new(String::new());
    let send = move || {
        let said = text.with_untracked(|text| text.trim().to_owned());
        if !said.is_empty() {
            call.write(&said);
            text.set(String::new());
        }
    };
    let is_closed = Signal::derive(move || call.phase.with(|phase| *phase != Phase::Open));
    view! {
        <Form on_submit=send>
            <div class="writing">
                <TextField label="Message" value=text required=true disabled=is_closed placeholder="Write instead of speaking" />
                <Button submit=true disabled=Signal::derive(move || is_closed.get() || text.with(|text| text.trim().is_empty()))>
                    "Send message"
                </Button>
            </div>
        </Form>
    }
}
