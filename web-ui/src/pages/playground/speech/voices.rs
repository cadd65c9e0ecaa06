//! Choosing a voice: those of the model's providers first, all others by a search.

use leptos::prelude::*;

use super::super::access::Access;
use crate::api::Failure;
use crate::api::data_plane::{GatewayModel, GatewayVoice};
use crate::components::{
    Button, Choice, Column, DataTable, Dialog, Empty, FilterSelect, IconName, LoadedLive, SearchBox, TextField, Toolbar,
};

/// The voice, by its name; a dialog has them all.
#[component]
pub(super) fn VoiceField(
    access: Access,
    model: RwSignal<String>,
    voice: RwSignal<String>,
    #[prop(into)] error: Signal<Option<String>>,
) -> impl IntoView {
    let found = LocalResource::new(move || {
        let gateway = access.gateway();
        async move {
            match gateway {
                Some(gateway) => gateway.voices().await,
                None => Ok(Vec::new()),
            }
        }
    });
    let voices = Memo::new(move |_| found.get().and_then(Result::ok).unwrap_or_default());
    let fitting = Memo::new(move |_| {
        let models = access.models();
        model.with(|model| voices.with(|voices| fitting_of(voices, &models, model)))
    });
    // Another model has other voices. What was written for this one stays, though no list may have it.
    Effect::new(move |chosen_for: Option<Option<String>>| {
        let (model, chosen_for) = (model.get(), chosen_for.flatten());
        let first = fitting.with(|fitting| fitting.first().map(|one| one.id.clone()));
        let Some(first) = first else { return chosen_for };
        let is_another = chosen_for.is_some_and(|before| before != model);
        let has = |list: Memo<Vec<GatewayVoice>>, id: &str| list.with(|list| list.iter().any(|one| one.id == id));
        let is_anothers = |id: &str| is_another && has(voices, id) && !has(fitting, id);
        if voice.with_untracked(|voice| voice.is_empty() || is_anothers(voice)) {
            voice.set(first);
        }
        Some(model)
    });
    let suggestions =
        Signal::derive(move || fitting.with(|all| all.iter().map(|one| one.id.clone()).collect::<Vec<_>>()));
    let open = RwSignal::new(false);
    view! {
        <div class="voice-field">
            <TextField label="Voice" value=voice required=true error suggestions mono=true />
            <Button icon=IconName::Search on_press=move || open.set(true)>"Browse voices"</Button>
        </div>
        <Dialog open title="Voices" wide=true>
            <Browse found voice open />
        </Dialog>
    }
}

/// Voices that the model's providers have; mapped names count where they lead to one of these.
fn fitting_of(voices: &[GatewayVoice], models: &[GatewayModel], model: &str) -> Vec<GatewayVoice> {
    let bare = model.split_once('/').map_or(model, |(_, name)| name);
    let providers = models.iter().find(|known| known.id == model).map(|known| known.antiphon.providers.as_slice());
    let providers = providers.unwrap_or_default();
    let fits = |voice: &&GatewayVoice| match &voice.provider {
        Some(provider) => {
            // A route's own name is no provider's model.
            let is_route = !model.contains('/') && !voice.models.iter().any(|known| known == bare);
            providers.contains(provider)
                && (voice.models.is_empty() || is_route || voice.models.iter().any(|known| known == bare))
        }
        None => voice.map.keys().any(|provider| providers.contains(provider)),
    };
    voices.iter().filter(fits).cloned().collect()
}

#[component]
fn Browse(
    found: LocalResource<Result<Vec<GatewayVoice>, Failure>>,
    voice: RwSignal<String>,
    open: RwSignal<bool>,
) -> impl IntoView {
    view! { <LoadedLive resource=found children=move |all| view! { <Table all voice open /> } /> }
}

#[component]
fn Table(all: Signal<Vec<GatewayVoice>>, voice: RwSignal<String>, open: RwSignal<bool>) -> impl IntoView {
    let (search, provider, language) =
        (RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(String::new()));
    let rows = Signal::derive(move || {
        let words = search.get().to_lowercase();
        all.with(|all| {
            let fits = |one: &&GatewayVoice| {
                is(&one.provider, &provider.get()) && is(&one.language, &language.get()) && has(one, &words)
            };
            all.iter().filter(fits).cloned().collect::<Vec<_>>()
        })
    });
    let providers = Signal::derive(move || choices(all, |one| one.provider.clone()));
    let languages = Signal::derive(move || choices(all, |one| one.language.clone()));
    let choose = move |one: &GatewayVoice| {
        voice.set(one.id.clone());
        open.set(false);
    };
    let columns = vec![
        Column::new("Voice", |row: &GatewayVoice| row.name.clone())
            .sorted("name", |row| row.name.to_lowercase())
            .press(choose),
        Column::new("Provider", |row: &GatewayVoice| row.provider.clone().unwrap_or_else(|| mapped(row)))
            .sorted("provider", |row| row.provider.clone()),
        Column::new("Language", |row: &GatewayVoice| row.language.clone().unwrap_or_else(|| "—".to_owned()))
            .sorted("language", |row| row.language.clone()),
        Column::new("Gender", |row: &GatewayVoice| row.gender.clone().unwrap_or_else(|| "—".to_owned())).spare(),
    ];
    let key = |row: &GatewayVoice| format!("{} {}", row.provider.as_deref().unwrap_or_default(), row.id);
    view! {
        <Toolbar>
            <SearchBox value=search label="Search voices" />
            <FilterSelect label="Provider" value=provider options=providers />
            <FilterSelect label="Language" value=language options=languages />
        </Toolbar>
        <DataTable label="Voices" columns rows key>
            <Empty title="No such voice" text="Search for less, or write the voice's id into the field." />
        </DataTable>
    }
}

fn mapped(voice: &GatewayVoice) -> String {
    voice.map.keys().cloned().collect::<Vec<_>>().join(", ")
}

fn is(value: &Option<String>, wanted: &str) -> bool {
    wanted.is_empty() || value.as_deref() == Some(wanted)
}

fn has(voice: &GatewayVoice, words: &str) -> bool {
    let fields =
        [Some(&voice.name), Some(&voice.id), voice.provider.as_ref(), voice.language.as_ref(), voice.gender.as_ref()];
    let text = fields.into_iter().flatten().map(|field| field.to_lowercase()).collect::<Vec<_>>().join(" ");
    words.split_whitespace().all(|word| text.contains(word))
}

fn choices(all: Signal<Vec<GatewayVoice>>, of: impl Fn(&GatewayVoice) -> Option<String>) -> Vec<Choice> {
    let mut names: Vec<String> = all.with(|all| all.iter().filter_map(of).collect());
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(Choice::plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(id: &str, provider: &str, models: &[&str]) -> GatewayVoice {
        let models: Vec<String> = models.iter().map(|name| (*name).to_owned()).collect();
        serde_json::from_value(serde_json::json!({"id": id, "name": id, "provider": provider, "language": "en",
            "gender": null, "preview_url": null, "models": models}))
        .unwrap()
    }

    #[test]
    fn a_model_has_the_voices_of_its_providers() {
        let models: Vec<GatewayModel> = serde_json::from_value(serde_json::json!([
            {"id": "local/flite", "antiphon": {"providers": ["local"]}},
            {"id": "say", "antiphon": {"providers": ["openai"]}}]))
        .unwrap();
        let voices =
            [voice("slt", "local", &["flite"]), voice("alloy", "openai", &["tts-1"]), voice("x", "other", &[])];
        let of = |model: &str| fitting_of(&voices, &models, model).into_iter().map(|one| one.id).collect::<Vec<_>>();
        assert_eq!(of("local/flite"), ["slt"]);
        assert_eq!(of("say"), ["alloy"]);
        assert!(of("unknown").is_empty());
        assert!(has(&voices[1], "openai EN".to_lowercase().as_str()) && !has(&voices[1], "slt"));
    }
}
