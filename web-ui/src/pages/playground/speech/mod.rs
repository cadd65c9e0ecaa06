//! Text to speech: what is to be said, how, and what came of it.

mod player;
mod takes;
mod voices;

use js_sys::Uint8Array;
use leptos::prelude::*;
use leptos::task::spawn_local;

use self::player::Player;
pub(super) use self::takes::Take;
use self::takes::{Takes, sound_of};
use self::voices::VoiceField;
use super::access::Access;
use super::facts::ask_cost;
use super::model::ModelField;
use super::sound::RATE;
use crate::api::Failure;
use crate::api::data_plane::{Gateway, Speech};
use crate::clock;
use crate::components::{
    AreaField, Button, ButtonKind, Card, CheckField, Choice, Form, FormRow, IconName, SelectField, Split, TextField,
    field_error, fraction,
};

const FORMATS: [(&str, &str); 6] =
    [("wav", "WAV"), ("mp3", "MP3"), ("opus", "Opus"), ("aac", "AAC"), ("flac", "FLAC"), ("pcm", "PCM, 24 kHz")];
const FIRST_TEXT: &str = "Hello. This is how I sound.";

/// What is filled in. It is the page's, and so outlives a tab that is left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft {
    text: RwSignal<String>,
    model: RwSignal<String>,
    voice: RwSignal<String>,
    format: RwSignal<String>,
    speed: RwSignal<String>,
    instructions: RwSignal<String>,
    at_once: RwSignal<bool>,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            text: RwSignal::new(FIRST_TEXT.to_owned()),
            model: RwSignal::new(String::new()),
            voice: RwSignal::new(String::new()),
            format: RwSignal::new("wav".to_owned()),
            speed: RwSignal::new(String::new()),
            instructions: RwSignal::new(String::new()),
            at_once: RwSignal::new(true),
        }
    }

    /// Another key may have other models, and these other voices.
    pub(super) fn forget_key(self) {
        self.model.set(String::new());
        self.voice.set(String::new());
    }

    fn speech(self) -> Result<Speech, Failure> {
        let instructions = self.instructions.with_untracked(|text| text.trim().to_owned());
        Ok(Speech {
            model: self.model.get_untracked(),
            input: self.text.get_untracked(),
            voice: self.voice.with_untracked(|voice| voice.trim().to_owned()),
            response_format: self.format.get_untracked(),
            speed: fraction(self.speed, "speed")?,
            instructions: (!instructions.is_empty()).then_some(instructions),
        })
    }
}

/// The tab.
#[component]
pub(super) fn SpeechTab(access: Access, draft: Draft, takes: RwSignal<Vec<Take>>) -> impl IntoView {
    let busy = RwSignal::new(false);
    let stop = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let note = RwSignal::new(String::new());
    let player = Player::new();
    on_cleanup(move || {
        stop.try_set(true);
        player.silence();
    });
    let speak = move || {
        let Some(gateway) = super::gateway_of(access).filter(|_| !busy.get_untracked()) else { return };
        failure.set(None);
        note.set(String::new());
        let speech = match draft.speech() {
            Ok(speech) => speech,
            Err(why) => return failure.set(Some(why)),
        };
        stop.set(false);
        busy.set(true);
        let at_once = draft.at_once.get_untracked();
        spawn_local(async move {
            let made = make(&gateway, speech, player, at_once, stop, access).await;
            busy.try_set(false);
            match made {
                Ok(take) => {
                    takes.try_update(|takes| takes.insert(0, take));
                }
                Err(Failure::Cancelled) => {
                    note.try_set("Stopped.".to_owned());
                    access.called();
                }
                Err(why) => {
                    failure.try_set(Some(why));
                }
            }
        });
    };
    let end = move || {
        stop.set(true);
        player.silence();
    };
    view! {
        <Split>
            <Card title="Speech">
                <Form on_submit=speak failure>
                    <Fields access draft failure />
                    <div class="form-actions">
                        <span class="muted" role="status">{move || note.get()}</span>
                        <Show when=move || busy.get() || player.is_sounding()>
                            <Button icon=IconName::Stop on_press=end>"Stop"</Button>
                        </Show>
                        <Button kind=ButtonKind::Primary submit=true icon=IconName::Play busy>
                            "Speak"
                        </Button>
                    </div>
                </Form>
            </Card>
            <Takes takes />
        </Split>
    }
}

#[component]
fn Fields(access: Access, draft: Draft, failure: RwSignal<Option<Failure>>) -> impl IntoView {
    let Draft { text, model, voice, format, speed, instructions, at_once } = draft;
    let hint = move || format!("{} characters", text.with(|text| crate::format::count(text.chars().count() as i128)));
    view! {
        <AreaField label="Text" value=text rows=5 required=true error=field_error(failure, "input") />
        <p class="hint">{hint}</p>
        <ModelField access operation="speech" model />
        <VoiceField access model voice error=field_error(failure, "voice") />
        <FormRow>
            <SelectField
                label="Format"
                value=format
                options=Choice::list(&FORMATS)
                required=true
                error=field_error(failure, "response_format")
            />
            <TextField
                label="Speed"
                value=speed
                kind="number"
                min="0.25".to_owned()
                max="4".to_owned()
                step="0.05".to_owned()
                placeholder="1"
                error=field_error(failure, "speed")
            />
        </FormRow>
        <AreaField
            label="Instructions"
            value=instructions
            rows=2
            hint="How it is to be said, for models that can be told."
            error=field_error(failure, "instructions")
        />
        <CheckField label="Play at once" value=at_once hint="WAV and PCM while they come, other formats when they are there." />
    }
}

/// Calls, plays what comes, and keeps it.
async fn make(
    gateway: &Gateway,
    speech: Speech,
    player: Player,
    at_once: bool,
    stop: RwSignal<bool>,
    access: Access,
) -> Result<Take, Failure> {
    let begin = clock::stopwatch_ms();
    player.silence();
    let comes = at_once && matches!(speech.response_format.as_str(), "wav" | "pcm");
    if comes {
        player.begin(speech.response_format == "pcm").await;
    }
    let mut bytes: Vec<u8> = Vec::new();
    let facts = gateway
        .speech(&speech, |piece: Uint8Array| {
            let piece = piece.to_vec();
            player.push(&piece);
            bytes.extend_from_slice(&piece);
            !stop.try_get_untracked().unwrap_or(true)
        })
        .await;
    player.whole();
    if facts.is_err() {
        player.silence();
    }
    let facts = facts?;
    let cost = ask_cost(gateway.clone(), facts.request_id.clone(), access);
    let sound = sound_of(bytes, &speech.response_format, facts.content_type.as_deref(), RATE);
    Ok(Take::new(speech, sound, facts, cost, at_once && !comes, player.first_sound(), begin))
}
