//! The fields of what a rule watches, as they stand in its form.

use admin_types::alerts::{AlertKind, Condition};
use admin_types::keys::{KeySort, KeyState, ListKeys};
use leptos::prelude::*;
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;

use super::words;
use crate::api::{Failure, keys, use_client};
use crate::components::{Choice, FormRow, SelectField, TextField, field_error};
use crate::pages::usage::words as usage_words;
use crate::route::meant;
use crate::session::use_session;

/// Each field as text. A kind has some of them; the others keep what was written, for a change of mind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) kind: RwSignal<String>,
    percent: RwSignal<String>,
    usd: RwSignal<String>,
    p95_ms: RwSignal<String>,
    open_seconds: RwSignal<String>,
    window_minutes: RwSignal<String>,
    minimum_requests: RwSignal<String>,
    key_id: RwSignal<String>,
    provider: RwSignal<String>,
    model: RwSignal<String>,
    operation: RwSignal<String>,
}

impl Fields {
    /// Those of a new rule.
    pub(super) fn new() -> Self {
        let text = |text: &str| RwSignal::new(text.to_owned());
        Self {
            kind: text(AlertKind::BudgetShare.as_str()),
            percent: text("80"),
            usd: text("25"),
            p95_ms: text("2000"),
            open_seconds: text("60"),
            window_minutes: text("60"),
            minimum_requests: text("20"),
            key_id: text(""),
            provider: text(""),
            model: text(""),
            operation: text(""),
        }
    }

    /// Those of a rule that is.
    pub(super) fn of(condition: &Condition) -> Self {
        let fields = Self::new();
        fields.kind.set(condition.kind().as_str().to_owned());
        // Their names are those of the API.
        let Ok(serde_json::Value::Object(told)) = serde_json::to_value(condition) else { return fields };
        for (name, field) in fields.named() {
            match told.get(name) {
                Some(serde_json::Value::String(text)) => field.set(text.clone()),
                Some(serde_json::Value::Number(number)) => field.set(number.to_string()),
                _ => {}
            }
        }
        fields
    }

    fn named(self) -> [(&'static str, RwSignal<String>); 10] {
        [
            ("percent", self.percent),
            ("usd", self.usd),
            ("p95_ms", self.p95_ms),
            ("open_seconds", self.open_seconds),
            ("window_minutes", self.window_minutes),
            ("minimum_requests", self.minimum_requests),
            ("key_id", self.key_id),
            ("provider", self.provider),
            ("model", self.model),
            ("operation", self.operation),
        ]
    }

    /// What is watched. Reactive.
    pub(super) fn kind(self) -> Option<AlertKind> {
        self.kind.with(|kind| AlertKind::named(kind))
    }

    /// The condition, or the field that is no number.
    pub(super) fn condition(self) -> Result<Condition, &'static str> {
        let provider = optional(self.provider);
        Ok(match untrack(|| self.kind()).unwrap_or(AlertKind::BudgetShare) {
            AlertKind::BudgetShare => {
                Condition::BudgetShare { percent: number(self.percent, "percent")?, key_id: optional(self.key_id) }
            }
            AlertKind::SpendRate => Condition::SpendRate {
                usd: self.usd.with_untracked(|usd| usd.trim().parse::<Decimal>()).map_err(|_| "usd")?,
                window_minutes: number(self.window_minutes, "window_minutes")?,
                key_id: optional(self.key_id),
            },
            AlertKind::ErrorRate => Condition::ErrorRate {
                percent: number(self.percent, "percent")?,
                window_minutes: number(self.window_minutes, "window_minutes")?,
                minimum_requests: number(self.minimum_requests, "minimum_requests")?,
                provider,
                operation: optional(self.operation),
            },
            AlertKind::Latency => Condition::Latency {
                p95_ms: number(self.p95_ms, "p95_ms")?,
                window_minutes: number(self.window_minutes, "window_minutes")?,
                minimum_requests: number(self.minimum_requests, "minimum_requests")?,
                provider,
                operation: optional(self.operation),
            },
            AlertKind::Breaker => Condition::Breaker {
                open_seconds: number(self.open_seconds, "open_seconds")?,
                provider,
                model: optional(self.model),
            },
            AlertKind::Unpriced => Condition::Unpriced {
                window_minutes: number(self.window_minutes, "window_minutes")?,
                provider,
                model: optional(self.model),
            },
        })
    }
}

fn number(field: RwSignal<String>, name: &'static str) -> Result<u32, &'static str> {
    field.with_untracked(|text| text.trim().parse()).map_err(|_| name)
}

fn optional<T: DeserializeOwned>(field: RwSignal<String>) -> Option<T> {
    field.with_untracked(|text| meant(text.trim()))
}

/// The fields of the kind that is chosen.
#[component]
pub(super) fn ConditionFields(
    fields: Fields,
    failure: RwSignal<Option<Failure>>,
    /// The field that is no number.
    wrong: RwSignal<Option<&'static str>>,
) -> impl IntoView {
    let kind = Memo::new(move |_| fields.kind());
    let number = move |label: &'static str, value: RwSignal<String>, name: &'static str, path: &'static str| {
        let told = field_error(failure, path);
        let error = Signal::derive(move || {
            let own = wrong.with(|wrong| *wrong == Some(name)).then(|| "Must be a number.".to_owned());
            own.or_else(|| told.get())
        });
        view! { <TextField label value kind="number" min="0" error required=true /> }
    };
    let providers = crate::pages::usage::provider_names();
    let suggestions =
        Signal::derive(move || providers.get().into_iter().map(|choice| choice.value).collect::<Vec<_>>());
    let provider = move || {
        view! {
            <TextField
                label="Provider"
                value=fields.provider
                hint="By its name; leave it empty for each."
                suggestions
                error=field_error(failure, "condition.provider")
            />
        }
    };
    let window =
        move || number("Minutes looked back on", fields.window_minutes, "window_minutes", "condition.window_minutes");
    let least = move || {
        number("Requests needed at least", fields.minimum_requests, "minimum_requests", "condition.minimum_requests")
    };
    let operation = move || {
        view! { <SelectField label="Operation" value=fields.operation options=usage_words::operations() placeholder="Each" /> }
    };
    let model = move || {
        view! {
            <TextField
                label="Model"
                value=fields.model
                hint="The provider's own name; leave it empty for each."
                error=field_error(failure, "condition.model")
            />
        }
    };
    let percent = move |label: &'static str| number(label, fields.percent, "percent", "condition.percent");
    view! {
        <SelectField label="Watches" value=fields.kind options=words::kinds() required=true />
        {move || match kind.get() {
            None => ().into_any(),
            Some(AlertKind::BudgetShare) => {
                view! {
                    {percent("Percent of the budget")}
                    <KeyField fields failure />
                }
                    .into_any()
            }
            Some(AlertKind::SpendRate) => {
                view! {
                    <FormRow>{number("US dollars", fields.usd, "usd", "condition.usd")} {window()}</FormRow>
                    <KeyField fields failure />
                }
                    .into_any()
            }
            Some(AlertKind::ErrorRate) => {
                view! {
                    <FormRow>{percent("Percent of requests")} {window()}</FormRow>
                    {least()}
                    <FormRow>{provider()} {operation()}</FormRow>
                }
                    .into_any()
            }
            Some(AlertKind::Latency) => {
                view! {
                    <FormRow>{number("Milliseconds, p95", fields.p95_ms, "p95_ms", "condition.p95_ms")} {window()}</FormRow>
                    {least()}
                    <FormRow>{provider()} {operation()}</FormRow>
                }
                    .into_any()
            }
            Some(AlertKind::Breaker) => {
                view! {
                    {number("Seconds left out", fields.open_seconds, "open_seconds", "condition.open_seconds")}
                    <FormRow>{provider()} {model()}</FormRow>
                }
                    .into_any()
            }
            Some(AlertKind::Unpriced) => view! { {window()} <FormRow>{provider()} {model()}</FormRow> }.into_any(),
        }}
    }
}

#[component]
fn KeyField(fields: Fields, failure: RwSignal<Option<Failure>>) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let keys = LocalResource::new(move || {
        let query = ListKeys {
            tenant_id: session.tenant(),
            state: Some(KeyState::Active),
            sort: Some(KeySort::Name),
            limit: Some(500),
            ..ListKeys::default()
        };
        async move {
            let found = keys::list_keys(&client, &query).await.map(|page| page.data).unwrap_or_default();
            found.into_iter().map(|key| Choice::new(key.id.to_string(), key.name)).collect::<Vec<_>>()
        }
    });
    let options = Signal::derive(move || keys.get().unwrap_or_default());
    view! {
        <SelectField
            label="Key"
            value=fields.key_id
            options
            placeholder="Each"
            error=field_error(failure, "condition.key_id")
        />
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_goes_through_its_fields() {
        let owner = Owner::new();
        owner.set();
        let conditions = [
            Condition::SpendRate {
                usd: Decimal::new(125, 1),
                window_minutes: 15,
                key_id: Some(uuid::Uuid::from_u128(7)),
            },
            Condition::Latency {
                p95_ms: 900,
                window_minutes: 5,
                minimum_requests: 3,
                provider: Some("groq".to_owned()),
                operation: None,
            },
            Condition::Breaker { open_seconds: 0, provider: None, model: Some("whisper-1".to_owned()) },
        ];
        for condition in conditions {
            assert_eq!(Fields::of(&condition).condition(), Ok(condition));
        }
        let fields = Fields::new();
        fields.percent.set("many".to_owned());
        assert_eq!(fields.condition(), Err("percent"));
    }
}
