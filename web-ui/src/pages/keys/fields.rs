//! The fields of a key, for making and for changing one.

use admin_types::keys::{Budget, BudgetWindow, CreateKey, UpdateKey, VirtualKey};
use domain::provider::Operation;
use leptos::prelude::*;
use time::OffsetDateTime;

use super::words::{operation_choices, window_choices};
use crate::api::Failure;
use crate::components::{AreaField, CheckField, ChoiceSet, FormRow, FormSection, SelectField, TextField};
use crate::format;
use crate::route::meant;
use crate::session::use_session;

/// Bytes of a megabyte.
const MEGABYTE: u64 = 1_000_000;

/// What stands in the fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) name: RwSignal<String>,
    operations: RwSignal<Vec<String>>,
    models: RwSignal<String>,
    requests: RwSignal<String>,
    sessions: RwSignal<String>,
    budget: RwSignal<String>,
    window: RwSignal<String>,
    upload_mb: RwSignal<String>,
    expires: RwSignal<String>,
    refuse_unpriced: RwSignal<bool>,
    passthrough: RwSignal<bool>,
    allow_strategy: RwSignal<bool>,
    /// What the server said.
    pub(super) failure: RwSignal<Option<Failure>>,
    /// What is wrong before it is asked, by field.
    problems: RwSignal<Vec<(&'static str, String)>>,
}

/// What the fields say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    name: String,
    operations: Vec<Operation>,
    models: Vec<String>,
    requests_per_minute: Option<u32>,
    max_concurrent_sessions: Option<u32>,
    budget: Option<Budget>,
    max_upload_bytes: Option<u64>,
    expires_at: Option<OffsetDateTime>,
    refuse_unpriced: bool,
    passthrough: bool,
    allow_strategy: bool,
}

impl Fields {
    /// Of a new key.
    pub(super) fn new() -> Self {
        let text = || RwSignal::new(String::new());
        Self {
            name: text(),
            operations: RwSignal::new(Vec::new()),
            models: text(),
            requests: text(),
            sessions: text(),
            budget: text(),
            window: RwSignal::new(BudgetWindow::Monthly.as_str().to_owned()),
            upload_mb: text(),
            expires: text(),
            refuse_unpriced: RwSignal::new(false),
            passthrough: RwSignal::new(false),
            allow_strategy: RwSignal::new(false),
            failure: RwSignal::new(None),
            problems: RwSignal::new(Vec::new()),
        }
    }

    /// Of a key that there is.
    pub(super) fn of(key: &VirtualKey) -> Self {
        let fields = Self::new();
        fields.show(key);
        fields
    }

    /// Shows a key as it is.
    pub(super) fn show(self, key: &VirtualKey) {
        let number = |value: Option<u32>| value.map(|value| value.to_string()).unwrap_or_default();
        self.name.set(key.name.clone());
        self.operations.set(key.operations.iter().map(|operation| operation.as_str().to_owned()).collect());
        self.models.set(key.models.join("\n"));
        self.requests.set(number(key.requests_per_minute));
        self.sessions.set(number(key.max_concurrent_sessions));
        self.budget.set(key.budget.as_ref().map(|budget| budget.usd.clone()).unwrap_or_default());
        if let Some(budget) = &key.budget {
            self.window.set(budget.window.as_str().to_owned());
        }
        self.upload_mb.set(key.max_upload_bytes.map(megabytes).unwrap_or_default());
        self.expires.set(key.expires_at.map(format::to_input).unwrap_or_default());
        self.refuse_unpriced.set(key.refuse_unpriced);
        self.passthrough.set(key.passthrough);
        self.allow_strategy.set(key.allow_strategy);
        self.failure.set(None);
        self.problems.set(Vec::new());
    }

    /// What they say; `None` where something in them cannot be read, which then stands beside it.
    pub(super) fn read(self) -> Option<Limits> {
        self.failure.set(None);
        self.problems.set(Vec::new());
        let lines =
            |text: String| text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        let budget = self.budget.get_untracked().trim().trim_start_matches('$').to_owned();
        let window = meant(&self.window.get_untracked()).unwrap_or_default();
        let limits = Limits {
            name: self.name.get_untracked().trim().to_owned(),
            operations: self.operations.get_untracked().iter().filter_map(|name| meant(name)).collect(),
            models: lines(self.models.get_untracked()),
            requests_per_minute: self.number("requests_per_minute", self.requests),
            max_concurrent_sessions: self.number("max_concurrent_sessions", self.sessions),
            budget: (!budget.is_empty()).then_some(Budget { usd: budget, window }),
            max_upload_bytes: self.upload(),
            expires_at: self.moment(),
            refuse_unpriced: self.refuse_unpriced.get_untracked(),
            passthrough: self.passthrough.get_untracked(),
            allow_strategy: self.allow_strategy.get_untracked(),
        };
        self.problems.with_untracked(Vec::is_empty).then_some(limits)
    }

    /// What is wrong with a field, or with one of its entries.
    pub(super) fn error(self, field: &'static str) -> Signal<Option<String>> {
        Signal::derive(move || {
            let own = self.problems.with(|all| all.iter().find(|(of, _)| *of == field).map(|(_, text)| text.clone()));
            own.or_else(|| self.failure.with(|failure| failure.as_ref().and_then(|failure| said(failure, field))))
        })
    }

    fn wrong(self, field: &'static str, text: &str) {
        self.problems.update(|all| all.push((field, text.to_owned())));
    }

    fn number(self, field: &'static str, text: RwSignal<String>) -> Option<u32> {
        let text = text.get_untracked();
        let text = text.trim();
        let read = text.parse().ok();
        if read.is_none() && !text.is_empty() {
            self.wrong(field, "Write a whole number, or nothing for no limit.");
        }
        read
    }

    fn upload(self) -> Option<u64> {
        let text = self.upload_mb.get_untracked();
        let read = bytes_of(&text);
        if read.is_none() && !text.trim().is_empty() {
            self.wrong("max_upload_bytes", "Write a number of megabytes, such as 25 or 0.5.");
        }
        read
    }

    fn moment(self) -> Option<OffsetDateTime> {
        let text = self.expires.get_untracked();
        let read = format::from_input(&text);
        if read.is_none() && !text.is_empty() {
            self.wrong("expires_at", "Choose a day and a time.");
        }
        read
    }
}

impl Limits {
    /// For a new key.
    pub(super) fn create(self, tenant_id: Option<uuid::Uuid>) -> CreateKey {
        CreateKey {
            tenant_id,
            name: self.name,
            operations: self.operations,
            models: self.models,
            requests_per_minute: self.requests_per_minute,
            max_concurrent_sessions: self.max_concurrent_sessions,
            budget: self.budget,
            max_upload_bytes: self.max_upload_bytes,
            refuse_unpriced: self.refuse_unpriced,
            passthrough: self.passthrough,
            allow_strategy: self.allow_strategy,
            expires_at: self.expires_at,
        }
    }

    /// What of a key becomes another one.
    pub(super) fn change(self, key: &VirtualKey) -> UpdateKey {
        // Fields tell moments to the minute, so what shows the same is the same.
        let shown = |at: Option<OffsetDateTime>| at.map(format::to_input);
        let expires_anew = shown(self.expires_at) != shown(key.expires_at);
        UpdateKey {
            name: (self.name != key.name).then_some(self.name),
            operations: (self.operations != key.operations).then_some(self.operations),
            models: (self.models != key.models).then_some(self.models),
            requests_per_minute: (self.requests_per_minute != key.requests_per_minute)
                .then_some(self.requests_per_minute),
            max_concurrent_sessions: (self.max_concurrent_sessions != key.max_concurrent_sessions)
                .then_some(self.max_concurrent_sessions),
            budget: (self.budget != key.budget).then_some(self.budget),
            max_upload_bytes: (self.max_upload_bytes != key.max_upload_bytes).then_some(self.max_upload_bytes),
            refuse_unpriced: (self.refuse_unpriced != key.refuse_unpriced).then_some(self.refuse_unpriced),
            passthrough: (self.passthrough != key.passthrough).then_some(self.passthrough),
            allow_strategy: (self.allow_strategy != key.allow_strategy).then_some(self.allow_strategy),
            expires_at: expires_anew.then_some(self.expires_at),
        }
    }
}

/// The limits; the name stands above them.
#[component]
pub(super) fn LimitFields(fields: Fields) -> impl IntoView {
    let is_platform = use_session().sees_all_tenants();
    view! {
        <FormSection title="What it may do">
            <ChoiceSet
                label="Operations"
                value=fields.operations
                options=operation_choices()
                hint="Choose none to allow everything."
                error=fields.error("operations")
            />
            <AreaField
                label="Models"
                value=fields.models
                rows=2
                mono=true
                placeholder="tts-*"
                hint="One name or pattern with * a line. Empty allows every model."
                error=fields.error("models")
            />
        </FormSection>
        <FormSection title="What it may spend">
            <FormRow>
                <TextField
                    label="Budget in US dollars"
                    value=fields.budget
                    placeholder="No limit"
                    error=fields.error("budget")
                />
                <SelectField label="For" value=fields.window options=window_choices() required=true />
            </FormRow>
            <CheckField
                label="Refuse what has no price"
                value=fields.refuse_unpriced
                hint="Otherwise models without a price are served and recorded as unpriced, outside of the budget."
            />
        </FormSection>
        <FormSection title="How much at once">
            <FormRow>
                <TextField
                    label="Requests a minute"
                    value=fields.requests
                    kind="number"
                    min="0"
                    placeholder="No limit"
                    error=fields.error("requests_per_minute")
                />
                <TextField
                    label="Realtime sessions at once"
                    value=fields.sessions
                    kind="number"
                    min="0"
                    placeholder="No limit"
                    error=fields.error("max_concurrent_sessions")
                />
            </FormRow>
            <FormRow>
                <TextField
                    label="Largest upload in MB"
                    value=fields.upload_mb
                    placeholder="The gateway's limit"
                    error=fields.error("max_upload_bytes")
                />
                <TextField
                    label="Expires"
                    value=fields.expires
                    kind="datetime-local"
                    hint="Empty: never."
                    error=fields.error("expires_at")
                />
            </FormRow>
            <CheckField
                label="Let calls choose the strategy"
                value=fields.allow_strategy
                hint="By the header x-antiphon-strategy."
            />
            // The platform grants it.
            <Show when=move || is_platform>
                <CheckField
                    label="Forward unknown paths of vendors"
                    value=fields.passthrough
                    hint="Such calls are recorded as unpriced."
                />
            </Show>
        </FormSection>
    }
}

/// What a failure says of a field, or of an entry or part of it: `models[1]`, `budget.usd`.
fn said(failure: &Failure, field: &str) -> Option<String> {
    if let Some(whole) = failure.field(field) {
        return Some(whole);
    }
    let Failure::Problem(problem) = failure else { return None };
    let is_part = |name: &str| name.strip_prefix(field).is_some_and(|rest| rest.starts_with(['[', '.']));
    let part = problem.errors.iter().find(|error| is_part(&error.field))?;
    failure.field(&part.field)
}

/// A size in megabytes, exactly.
fn megabytes(bytes: u64) -> String {
    let whole = (bytes / MEGABYTE).to_string();
    let fraction = format!("{:06}", bytes % MEGABYTE);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") }
}

fn bytes_of(megabytes: &str) -> Option<u64> {
    let size: rust_decimal::Decimal = megabytes.trim().parse().ok()?;
    let bytes = size.checked_mul(MEGABYTE.into())?;
    u64::try_from(bytes.round()).ok().filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_kept_to_the_byte() {
        for (bytes, shown) in
            [(25_000_000, "25"), (500_000, "0.5"), (1_048_576, "1.048576"), (1 << 40, "1099511.627776")]
        {
            assert_eq!(megabytes(bytes), shown);
            assert_eq!(bytes_of(shown), Some(bytes));
        }
        for wrong in ["", "x", "-1", "0", "99999999999999999999999999999"] {
            assert_eq!(bytes_of(wrong), None, "{wrong}");
        }
    }
}
