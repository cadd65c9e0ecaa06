//! The form of a rule, new or as it is.

use admin_types::alerts::{AlertRule, Condition, CreateAlertRule, Severity, UpdateAlertRule};
use leptos::prelude::*;
use uuid::Uuid;

use super::condition::{ConditionFields, Fields};
use super::{ChannelList, words};
use crate::api::{Failure, Versioned, alerts, submit_form, use_client};
use crate::components::{
    CheckField, Choice, ChoiceSet, Form, FormButtons, Loaded, SelectField, TextField, field_error, use_toasts,
};
use crate::pages::stale::Stale;
use crate::session::use_session;

/// What is written, before it is sent.
#[derive(Debug, Clone, Copy)]
struct Draft {
    /// Whose it is.
    owner: Option<Uuid>,
    name: RwSignal<String>,
    fields: Fields,
    severity: RwSignal<String>,
    channel_ids: RwSignal<Vec<String>>,
    enabled: RwSignal<bool>,
    busy: RwSignal<bool>,
    failure: RwSignal<Option<Failure>>,
    wrong: RwSignal<Option<&'static str>>,
}

impl Draft {
    fn new(owner: Option<Uuid>) -> Self {
        Self {
            owner,
            name: RwSignal::new(String::new()),
            fields: Fields::new(),
            severity: RwSignal::new(Severity::Warning.as_str().to_owned()),
            channel_ids: RwSignal::new(Vec::new()),
            enabled: RwSignal::new(true),
            busy: RwSignal::new(false),
            failure: RwSignal::new(None),
            wrong: RwSignal::new(None),
        }
    }

    fn of(rule: &AlertRule) -> Self {
        Self {
            name: RwSignal::new(rule.name.clone()),
            fields: Fields::of(&rule.condition),
            severity: RwSignal::new(rule.severity.as_str().to_owned()),
            channel_ids: RwSignal::new(rule.channel_ids.iter().map(ToString::to_string).collect()),
            enabled: RwSignal::new(rule.enabled),
            ..Self::new(rule.tenant_id)
        }
    }

    /// The condition, unless a field is no number, which is then said beside it.
    fn condition(self) -> Option<Condition> {
        self.failure.set(None);
        self.wrong.set(None);
        match self.fields.condition() {
            Ok(condition) => Some(condition),
            Err(field) => {
                self.wrong.set(Some(field));
                None
            }
        }
    }

    fn severity(self) -> Severity {
        self.severity.with_untracked(|text| Severity::named(text)).unwrap_or(Severity::Warning)
    }

    fn channels(self) -> Vec<Uuid> {
        self.channel_ids.with_untracked(|ids| ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    fn name(self) -> String {
        self.name.with_untracked(|name| name.trim().to_owned())
    }
}

#[component]
pub(super) fn CreateRule(open: RwSignal<bool>, channels: ChannelList, on_done: Callback<()>) -> impl IntoView {
    let (client, session, toasts) = (use_client(), use_session(), use_toasts());
    // A platform administrator makes the platform's rules, or those of the tenant that is chosen above.
    let own = untrack(|| session.me()).and_then(|me| me.tenant_id);
    let owner = own.or_else(|| session.tenant_untracked());
    let draft = Draft::new(owner);
    let send = move || {
        let Some(condition) = draft.condition() else { return };
        let create = CreateAlertRule {
            name: draft.name(),
            tenant_id: owner,
            condition,
            severity: draft.severity(),
            enabled: draft.enabled.get_untracked(),
            channel_ids: draft.channels(),
        };
        submit_form(draft.busy, draft.failure, async move { alerts::create_rule(&client, &create).await }, move |_| {
            toasts.done("Rule created");
            open.try_set(false);
            on_done.try_run(());
        });
    };
    view! { <RuleFields draft channels on_send=send action="Create rule" open /> }
}

#[component]
pub(super) fn EditRule(id: Uuid, open: RwSignal<bool>, channels: ChannelList, on_done: Callback<()>) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let found = LocalResource::new(move || async move { alerts::get_rule(&client, id).await });
    let form = move |rule: Versioned<AlertRule>| {
        let draft = Draft::of(&rule.value);
        let version = StoredValue::new(rule.version);
        let send = move || {
            let Some(condition) = draft.condition() else { return };
            let change = UpdateAlertRule {
                name: Some(draft.name()),
                condition: Some(condition),
                severity: Some(draft.severity()),
                enabled: Some(draft.enabled.get_untracked()),
                channel_ids: Some(draft.channels()),
            };
            let version = version.get_value();
            let call = async move { alerts::update_rule(&client, id, &change, version.as_deref()).await };
            submit_form(draft.busy, draft.failure, call, move |_| {
                toasts.done("Rule saved");
                open.try_set(false);
                on_done.try_run(());
            });
        };
        view! {
            <RuleFields draft channels on_send=send action="Save" open>
                <Stale failure=draft.failure on_reload=move || found.refetch() />
            </RuleFields>
        }
    };
    view! { <Loaded resource=found rows=8 children=form /> }
}

#[component]
fn RuleFields(
    draft: Draft,
    channels: ChannelList,
    #[prop(into)] on_send: Callback<()>,
    action: &'static str,
    open: RwSignal<bool>,
    /// Above the fields.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    // Channels of the same owner alone.
    let options = Signal::derive(move || {
        let all = channels.get().and_then(Result::ok).unwrap_or_default();
        let own = all.into_iter().filter(|channel| channel.tenant_id == draft.owner);
        own.map(|channel| Choice::new(channel.id.to_string(), channel.name)).collect::<Vec<_>>()
    });
    let has_channels = move || options.with(|options: &Vec<Choice>| !options.is_empty());
    view! {
        <Form on_submit=on_send failure=draft.failure>
            {children.map(|children| children())}
            <TextField
                label="Name"
                value=draft.name
                error=field_error(draft.failure, "name")
                required=true
                autofocus=true
            />
            <ConditionFields fields=draft.fields failure=draft.failure wrong=draft.wrong />
            <SelectField label="Severity" value=draft.severity options=words::severities() required=true />
            <Show
                when=has_channels
                fallback=|| view! { <p class="hint">"There is no channel yet: alerts are raised, and nobody is told."</p> }
            >
                <ChoiceSet
                    label="Tells"
                    value=draft.channel_ids
                    options
                    error=field_error(draft.failure, "channel_ids")
                />
            </Show>
            <CheckField label="On" value=draft.enabled hint="Off, it is not looked at." switch=true />
            <FormButtons action busy=draft.busy cancel=open />
        </Form>
    }
}
