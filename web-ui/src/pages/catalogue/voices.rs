//! Voices: one name for every provider's own.

use std::collections::BTreeMap;

use admin_types::providers::{ListProviders, ProviderSort};
use admin_types::voices::{ListVoices, PutVoice, Voice, VoiceSort};
use domain::provider::ProviderKind;
use leptos::prelude::*;

use super::words::{Origin, is_declared};
use crate::api::{Failure, Versioned, if_unchanged, providers, submit_form, use_client, voices};
use crate::components::{
    Button, ButtonKind, Column, Dialog, Empty, Form, FormButtons, IconButton, IconName, Loaded, Menu, MenuItem, Notice,
    PageHead, SearchBox, Stack, TextField, Toolbar, field_error, use_toasts,
};
use crate::pages::ask_first::AskFirst;
use crate::pages::paged::{Paged, PagedTable};
use crate::pages::stale::Stale;
use crate::route::{given, query_text, query_text_or};
use crate::session::{Permission, use_session};

/// What is asked about which voice.
#[derive(Clone, Copy)]
struct Asked {
    /// As the list shows it; `None` is a new one.
    which: RwSignal<Option<Voice>>,
    editing: RwSignal<bool>,
    removing: RwSignal<bool>,
}

/// The page.
#[component]
pub(in crate::pages) fn Voices() -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let q = query_text("q");
    let sort = query_text_or("sort", "name");
    let list = Paged::new(move |cursor| {
        let query = ListVoices { q: given(q), sort: VoiceSort::named(&sort.get()), limit: Some(100), cursor };
        async move { voices::list_voices(&client, &query).await }
    });
    let asked = Asked { which: RwSignal::new(None), editing: RwSignal::new(false), removing: RwSignal::new(false) };
    let may = move || session.can(Permission::ManageVoices);
    view! {
        <PageHead title="Voices" text="One name for every provider's own voice, so that a call can go to any of them.">
            {move || may().then(|| view! { <Add asked primary=true /> })}
        </PageHead>
        <Stack>
            <Toolbar>
                <SearchBox value=q label="Search voices" />
            </Toolbar>
            <Table list sort asked />
        </Stack>
        <Dialog open=asked.editing title="Voice">
            <EditVoice asked list />
        </Dialog>
        <Remove asked list />
    }
}

#[component]
fn Add(asked: Asked, #[prop(optional)] primary: bool) -> impl IntoView {
    let add = move || {
        asked.which.set(None);
        asked.editing.set(true);
    };
    let kind = if primary { ButtonKind::Primary } else { ButtonKind::Secondary };
    view! { <Button kind icon=IconName::Plus on_press=add>"Add voice"</Button> }
}

#[component]
fn Table(list: Paged<Voice>, sort: RwSignal<String>, asked: Asked) -> impl IntoView {
    let session = use_session();
    let may = move || session.can(Permission::ManageVoices);
    let columns = move || {
        vec![
            Column::new("Name", |row: &Voice| view! { <strong>{row.name.clone()}</strong> }).server_sorted("name"),
            Column::new("Means", |row: &Voice| {
                let pairs = row.map.iter().map(|(provider, voice)| format!("{provider}: {voice}"));
                let all = pairs.collect::<Vec<_>>().join(", ");
                view! { <span title=all.clone()>{all.clone()}</span> }
            }),
            Column::new("Declared", |row: &Voice| view! { <Origin managed_by=row.managed_by.clone() /> }).spare(),
            Column::actions(move |row: &Voice| {
                let declared = is_declared(&row.managed_by);
                let row = StoredValue::new(row.clone());
                let ask = move |open: RwSignal<bool>| {
                    asked.which.set(Some(row.get_value()));
                    open.set(true);
                };
                move || {
                    (may() && !declared).then(|| {
                    view! {
                        <Menu label=format!("Actions for {}", row.with_value(|row| row.name.clone()))>
                            <MenuItem icon=IconName::Edit on_press=move || ask(asked.editing)>"Edit"</MenuItem>
                            <MenuItem icon=IconName::Trash danger=true on_press=move || ask(asked.removing)>"Delete"</MenuItem>
                        </Menu>
                    }
                })
                }
            }),
        ]
    };
    view! {
        <PagedTable
            list
            label="Voices"
            columns
            key=|row: &Voice| row.name.clone()
            server_order=sort
        >
            <Empty
                title="No voices"
                text="Without any, a call names a voice of the provider that serves it."
                icon=IconName::Speaker
            >
                {move || may().then(|| view! { <Add asked /> })}
            </Empty>
        </PagedTable>
    }
}

#[component]
fn Remove(asked: Asked, list: Paged<Voice>) -> impl IntoView {
    let client = use_client();
    let text = Signal::derive(move || {
        let name = asked.which.with(|which| which.as_ref().map(|which| which.name.clone())).unwrap_or_default();
        format!("Calls that ask for {name} are served only by providers that have a voice of that name themselves.")
    });
    let remove = move || {
        let shown = asked.which.get_untracked()?;
        Some(async move {
            let found = voices::get_voice(&client, &shown.name);
            let delete = async |version: Option<&str>| voices::delete_voice(&client, &shown.name, version).await;
            if_unchanged(&shown, found, delete).await
        })
    };
    view! {
        <AskFirst
            open=asked.removing
            title="Delete this voice?"
            text
            action="Delete voice"
            danger=true
            call=remove
            done="Voice deleted"
            on_done=move || list.refetch()
            on_stale=move || list.refetch()
        />
    }
}

/// The form, with the voice as it is now where there is one.
#[component]
fn EditVoice(asked: Asked, list: Paged<Voice>) -> impl IntoView {
    let client = use_client();
    match asked.which.get_untracked() {
        None => view! { <VoiceForm asked list on_reload=|()| () /> }.into_any(),
        Some(Voice { name, .. }) => {
            let found = LocalResource::new(move || {
                let name = name.clone();
                async move { voices::get_voice(&client, &name).await }
            });
            let on_reload = Callback::new(move |()| {
                found.refetch();
                list.refetch();
            });
            view! { <Loaded resource=found children=move |voice| view! { <VoiceForm voice asked list on_reload /> } /> }
                .into_any()
        }
    }
}

/// One provider and its voice, while they are edited.
#[derive(Debug, Clone, Copy)]
struct Pair {
    id: usize,
    provider: RwSignal<String>,
    voice: RwSignal<String>,
}

impl Pair {
    fn new(id: usize, provider: &str, voice: &str) -> Self {
        Self { id, provider: RwSignal::new(provider.to_owned()), voice: RwSignal::new(voice.to_owned()) }
    }
}

#[component]
fn VoiceForm(
    #[prop(optional)] voice: Option<Versioned<Voice>>,
    asked: Asked,
    list: Paged<Voice>,
    #[prop(into)] on_reload: Callback<()>,
) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let is_new = voice.is_none();
    let name = RwSignal::new(voice.as_ref().map(|voice| voice.name.clone()).unwrap_or_default());
    let known = voice.as_ref().map(|voice| voice.map.clone()).unwrap_or_default();
    let mut first: Vec<Pair> =
        known.iter().enumerate().map(|(id, (provider, voice))| Pair::new(id, provider, voice)).collect();
    if first.is_empty() {
        first.push(Pair::new(0, "", ""));
    }
    let pairs = RwSignal::new(first);
    let version = voice.map_or_else(|| Some(voices::NOT_THERE.to_owned()), |voice| voice.version);
    let busy = RwSignal::new(false);
    let failure = RwSignal::new(None::<Failure>);
    let twice = RwSignal::new(None::<String>);
    let send = move || {
        failure.set(None);
        twice.set(None);
        let map = match map_of(&pairs.get_untracked()) {
            Ok(map) => map,
            Err(why) => return twice.set(Some(why)),
        };
        let (name, version) = (name.get_untracked().trim().to_owned(), version.clone());
        let put = PutVoice { map };
        submit_form(
            busy,
            failure,
            async move { voices::put_voice(&client, &name, &put, version.as_deref()).await },
            move |_| {
                toasts.done(if is_new { "Voice added" } else { "Voice changed" });
                asked.editing.try_set(false);
                list.refetch();
            },
        );
    };
    let add = move || {
        pairs.update(|pairs| {
            let next = pairs.iter().map(|pair| pair.id + 1).max().unwrap_or(0);
            pairs.push(Pair::new(next, "", ""));
        });
    };
    let names = provider_names();
    let said = field_error(failure, "name");
    let name_error = Signal::derive(move || {
        let taken = is_new && failure.with(|failure| failure.as_ref().is_some_and(Failure::is_stale));
        taken.then(|| "There is a voice of this name already.".to_owned()).or_else(|| said.get())
    });
    view! {
        <Form on_submit=send failure>
            <Show when=move || !is_new>
                <Stale failure on_reload />
            </Show>
            <TextField
                label="Name"
                value=name
                hint="What clients send as voice."
                error=name_error
                disabled=Signal::from(!is_new)
                required=true
            />
            <ul class="pairs" aria-label="What it means">
                <For
                    each=move || pairs.get()
                    key=|pair| pair.id
                    children=move |pair| view! { <PairFields pair pairs failure names /> }
                />
            </ul>
            {move || {
                let why = twice.get().or_else(|| field_error(failure, "map").get());
                why.map(|why| view! { <Notice>{why}</Notice> })
            }}
            <div class="row">
                <Button icon=IconName::Plus on_press=add>"Add provider"</Button>
            </div>
            <FormButtons action=if is_new { "Add voice" } else { "Save" } busy cancel=asked.editing />
        </Form>
    }
}

#[component]
fn PairFields(
    pair: Pair,
    pairs: RwSignal<Vec<Pair>>,
    failure: RwSignal<Option<Failure>>,
    names: Signal<Vec<String>>,
) -> impl IntoView {
    let error = Signal::derive(move || {
        let field = format!("map.{}", pair.provider.get().trim());
        failure.with(|failure| failure.as_ref().and_then(|failure| failure.field(&field)))
    });
    let remove = move || pairs.update(|pairs| pairs.retain(|other| other.id != pair.id));
    view! {
        <li class="pair">
            <TextField label="Provider or kind" value=pair.provider suggestions=names error required=true />
            <TextField label="Its voice" value=pair.voice required=true />
            <div class="pair-remove" hidden=move || pairs.with(Vec::len) < 2>
                <IconButton name=IconName::Trash label="Remove this provider" on_press=remove />
            </div>
        </li>
    }
}

/// What can stand at the left: configured providers, and kinds of them.
fn provider_names() -> Signal<Vec<String>> {
    let client = use_client();
    let found = LocalResource::new(move || async move {
        let query = ListProviders { sort: Some(ProviderSort::Name), limit: Some(500), ..ListProviders::default() };
        let page = providers::list_providers(&client, &query).await;
        page.map(|page| page.data.into_iter().map(|provider| provider.name).collect::<Vec<_>>()).unwrap_or_default()
    });
    Signal::derive(move || {
        let mut names = found.get().unwrap_or_default();
        names.extend(ProviderKind::ALL.iter().map(|kind| kind.as_str().to_owned()));
        names.sort_unstable();
        names.dedup();
        names
    })
}

/// What the rows say; rows with nothing in them are left out.
fn map_of(pairs: &[Pair]) -> Result<BTreeMap<String, String>, String> {
    let mut map = BTreeMap::new();
    for pair in pairs {
        let (provider, voice) = (pair.provider.get_untracked(), pair.voice.get_untracked());
        let (provider, voice) = (provider.trim().to_owned(), voice.trim().to_owned());
        if provider.is_empty() && voice.is_empty() {
            continue;
        }
        if map.contains_key(&provider) {
            return Err(format!("{provider} stands there twice."));
        }
        map.insert(provider, voice);
    }
    Ok(map)
}
