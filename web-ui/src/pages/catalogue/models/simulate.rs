//! A call that nobody makes: which target would serve it, and why the others would not.

use admin_types::models::{Simulate, SimulatedMeasures, SimulatedTarget, Simulation};
use domain::provider::Operation;
use leptos::prelude::*;
use uuid::Uuid;

use crate::api::{Failure, models, submit, use_client};
use crate::components::{
    Badge, Button, ButtonKind, CheckField, Form, FormActions, IconName, Notice, SelectField, TextField, Tone,
    field_error, fraction, number,
};
use crate::format;
use crate::pages::catalogue::words::{operation_choices, strategies_text, strategy_choices};
use crate::route::{given_untracked, meant};
use crate::session::use_session;

/// The form, and what it gives. Without a model the form asks for a name.
#[component]
pub(super) fn Simulator(#[prop(optional)] id: Option<Uuid>) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let asked = Asked::new();
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let told = RwSignal::new(None::<Simulation>);
    let send = move || {
        failure.set(None);
        let simulate = match asked.simulate(session.tenant_untracked().filter(|_| id.is_none())) {
            Ok(simulate) => simulate,
            Err(why) => return failure.set(Some(why)),
        };
        let call = async move {
            match id {
                Some(id) => models::simulate_model(&client, id, &simulate).await,
                None => models::simulate(&client, &simulate).await,
            }
        };
        submit(busy, call, move |done| match done {
            Ok(simulation) => {
                told.try_set(Some(simulation));
            }
            Err(why) => {
                told.try_set(None);
                failure.try_set(Some(why));
            }
        });
    };
    view! {
        <Form on_submit=send failure>
            <Fields asked failure named=id.is_none() />
            <FormActions>
                <Button kind=ButtonKind::Primary submit=true busy icon=IconName::Play>
                    "Simulate"
                </Button>
            </FormActions>
        </Form>
        <div aria-live="polite">{move || told.get().map(|simulation| view! { <Told simulation /> })}</div>
    }
}

/// The fields of the form.
#[derive(Clone, Copy)]
struct Asked {
    model: RwSignal<String>,
    operation: RwSignal<String>,
    language: RwSignal<String>,
    region: RwSignal<String>,
    strategy: RwSignal<String>,
    format: RwSignal<String>,
    voice: RwSignal<String>,
    characters: RwSignal<String>,
    seconds: RwSignal<String>,
    streaming: RwSignal<bool>,
    transcribes: RwSignal<bool>,
}

impl Asked {
    fn new() -> Self {
        let text = || RwSignal::new(String::new());
        Self {
            model: text(),
            operation: RwSignal::new("speech".to_owned()),
            language: text(),
            region: text(),
            strategy: text(),
            format: text(),
            voice: text(),
            characters: text(),
            seconds: text(),
            streaming: RwSignal::new(false),
            transcribes: RwSignal::new(false),
        }
    }

    fn simulate(self, tenant_id: Option<Uuid>) -> Result<Simulate, Failure> {
        let operation = meant(&self.operation.get_untracked()).unwrap_or(Operation::Speech);
        let speaks = operation == Operation::Speech;
        let strategy = given_untracked(self.strategy).and_then(|strategy| meant(&strategy));
        // Of the two lengths only the one that is shown is told.
        let hears = untrack(|| self.hears());
        Ok(Simulate {
            model: given_untracked(self.model),
            operation,
            tenant_id,
            key_id: None,
            region: given_untracked(self.region),
            strategy,
            format: given_untracked(self.format),
            language: given_untracked(self.language),
            streaming: self.streaming.get_untracked(),
            characters: if hears { None } else { number(self.characters, "characters")? },
            audio_seconds: if hears { fraction(self.seconds, "audio_seconds")? } else { None },
            voice: given_untracked(self.voice).filter(|_| speaks),
            transcription_session: self.transcribes.get_untracked() && operation == Operation::Realtime,
        })
    }

    /// Its length is that of sound. Reactive.
    fn hears(self) -> bool {
        [Operation::Transcription, Operation::Translation, Operation::Realtime].into_iter().any(|one| self.is(one))
    }

    fn is(self, operation: Operation) -> bool {
        self.operation.with(|name| name == operation.as_str())
    }
}

#[component]
fn Fields(asked: Asked, failure: RwSignal<Option<Failure>>, named: bool) -> impl IntoView {
    let name = named.then(|| {
        view! {
            <TextField
                label="Model"
                value=asked.model
                mono=true
                hint="As a client sends it: a model's name, or provider/model."
                error=field_error(failure, "model")
                required=true
            />
        }
    });
    view! {
        <div class="simulate-fields">
            {name} <SelectField label="Operation" value=asked.operation options=operation_choices() required=true />
            <TextField label="Language" value=asked.language placeholder="en" error=field_error(failure, "language") />
            <TextField label="Region" value=asked.region placeholder="eu" error=field_error(failure, "region") />
            <SelectField
                label="Strategy"
                value=asked.strategy
                options=strategy_choices()
                placeholder="The model's own"
            />
            <TextField label="Format" value=asked.format placeholder="mp3" error=field_error(failure, "format") />
            <div hidden=move || !asked.is(Operation::Speech)>
                <TextField label="Voice" value=asked.voice error=field_error(failure, "voice") />
            </div>
            <div hidden=move || asked.hears()>
                <TextField
                    label="Characters"
                    value=asked.characters
                    kind="number"
                    min="1"
                    placeholder="100"
                    error=field_error(failure, "characters")
                />
            </div>
            <div hidden=move || !asked.hears()>
                <TextField
                    label="Seconds of audio"
                    value=asked.seconds
                    kind="number"
                    min="0.001"
                    step="any"
                    placeholder="60"
                    error=field_error(failure, "audio_seconds")
                />
            </div>
        </div>
        <CheckField label="Streaming: the answer is wanted while it is made" value=asked.streaming />
        <div hidden=move || !asked.is(Operation::Realtime)>
            <CheckField label="The session only transcribes" value=asked.transcribes />
        </div>
    }
}

#[component]
fn Told(simulation: Simulation) -> impl IntoView {
    let order = simulation.strategy.map(|strategy| format!("Ordered by {}.", strategies_text(strategy.as_slice())));
    let refused = simulation.refused.map(|refused| {
        view! {
            <Notice tone=Tone::Bad title=format!("The call is refused with {} {}", refused.status, refused.code)>
                {refused.message}
            </Notice>
        }
    });
    let live = (!simulation.live).then(|| {
        view! { <Notice tone=Tone::Warn>"No gateway runs here, so breakers and measured times are not known."</Notice> }
    });
    let targets = simulation.targets.into_iter().map(|target| view! { <Candidate target /> }).collect_view();
    view! {
        <div class="simulated">
            {refused} {live} <p class="muted">{order}</p>
            <ol class="candidates" aria-label="Candidates">
                {targets}
            </ol>
        </div>
    }
}

/// What becomes of one target, and why.
#[component]
fn Candidate(target: SimulatedTarget) -> impl IntoView {
    let name = format!("{}/{}", target.provider, target.model);
    let place = match (target.place, &target.dropped) {
        (Some(place), _) => view! { <Badge tone=Tone::Good>{format!("{place}. tried")}</Badge> }.into_any(),
        (None, Some(reason)) => {
            view! { <Badge tone=Tone::Bad>{format!("Dropped: {}", reason.code)}</Badge> }.into_any()
        }
        (None, None) => view! { <Badge>"Not reached"</Badge> }.into_any(),
    };
    let reason = target.dropped.map(|reason| view! { <p>{reason.message}</p> });
    view! {
        <li class="candidate">
            <div class="candidate-head">
                <code>{name}</code>
                {place}
            </div>
            {reason}
            <p class="muted">{measures(&target.measures)}</p>
        </li>
    }
}

fn measures(known: &SimulatedMeasures) -> String {
    let ms = |ms: f64| format::duration_ms(ms.round() as i128);
    let mut parts = vec![format!("priority {}", known.priority), format!("weight {}", known.weight)];
    parts.extend(known.quality.map(|quality| format!("quality {quality}")));
    if let Some(region) = &known.region {
        parts.push(format!("in {region}{}", if known.in_region { ", as asked" } else { "" }));
    }
    parts.push(known.ttfb_ms.map_or_else(|| "not measured yet".to_owned(), |time| format!("first byte {}", ms(time))));
    parts.extend(known.p95_ms.map(|time| format!("95 % within {}", ms(time))));
    if known.failed_share > 0.0 {
        parts.push(format!("{} failed of late", format::percent(known.failed_share)));
    }
    parts.extend(known.expected_cost_usd.as_deref().map(|usd| format!("costs about {}", format::usd_text(usd))));
    let notes = [
        (known.to_measure, "goes first to be measured"),
        (known.half_open, "is being tried again after failures"),
        (known.ejected, "fails, and is tried since too few are well"),
    ];
    parts.extend(notes.iter().filter(|(is, _)| *is).map(|(_, note)| (*note).to_owned()));
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_told() {
        let known = SimulatedMeasures {
            weight: 1,
            ttfb_ms: Some(120.4),
            in_region: true,
            region: Some("eu".to_owned()),
            ..SimulatedMeasures::default()
        };
        assert_eq!(measures(&known), "priority 0 · weight 1 · in eu, as asked · first byte 120 ms");
    }
}
