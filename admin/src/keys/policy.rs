//! What a key may be: every field checked before anything is written.

use admin_types::keys::{Budget, CreateKey, MAX_MODEL_CHARS, MAX_MODELS, MAX_NAME_CHARS, MAX_UPLOAD_BYTES, UpdateKey};
use admin_types::problem::FieldProblem;
use domain::provider::Operation;
use entities::virtual_key;
use time::{OffsetDateTime, UtcOffset};

use crate::auth::Actor;
use crate::error::AdminError;
use crate::repositories::stored;

/// Digits of a budget on either side of the point: it fits into nano-dollars whatever they are.
const BUDGET_DIGITS: usize = 9;
/// Names of operations in one list.
const MAX_OPERATIONS: usize = 100;

/// Fields that have been checked; [`Policy::write`] puts them into a row. `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    name: Option<String>,
    operations: Option<Vec<Operation>>,
    models: Option<Vec<String>>,
    rpm: Option<Option<u32>>,
    sessions: Option<Option<u32>>,
    budget: Option<Option<(i64, &'static str)>>,
    max_upload_bytes: Option<Option<u64>>,
    refuse_unpriced: Option<bool>,
    passthrough: Option<bool>,
    allow_strategy: Option<bool>,
    expires_at: Option<Option<OffsetDateTime>>,
}

impl Policy {
    /// Of a key to be made.
    ///
    /// # Errors
    /// Every field that cannot be used.
    pub(crate) fn of(asked: CreateKey, now: OffsetDateTime) -> Result<Self, Vec<FieldProblem>> {
        let asked = UpdateKey {
            name: Some(asked.name),
            operations: Some(asked.operations),
            models: Some(asked.models),
            requests_per_minute: Some(asked.requests_per_minute),
            max_concurrent_sessions: Some(asked.max_concurrent_sessions),
            budget: Some(asked.budget),
            max_upload_bytes: Some(asked.max_upload_bytes),
            refuse_unpriced: Some(asked.refuse_unpriced),
            passthrough: Some(asked.passthrough),
            allow_strategy: Some(asked.allow_strategy),
            expires_at: Some(asked.expires_at),
        };
        Self::changed(asked, now)
    }

    /// Of a change.
    ///
    /// # Errors
    /// Every field that cannot be used.
    pub(crate) fn changed(asked: UpdateKey, now: OffsetDateTime) -> Result<Self, Vec<FieldProblem>> {
        let mut problems = Problems::default();
        if let Some(name) = &asked.name {
            problems.check("name", check_text(name, MAX_NAME_CHARS));
        }
        if asked.operations.as_ref().is_some_and(|list| list.len() > MAX_OPERATIONS) {
            problems.add("operations", format!("has more than {MAX_OPERATIONS} entries"));
        }
        problems.check_models(asked.models.as_deref().unwrap_or_default());
        if asked.max_upload_bytes.flatten().is_some_and(|bytes| bytes == 0 || bytes > MAX_UPLOAD_BYTES) {
            problems.add("max_upload_bytes", format!("must be from 1 to {MAX_UPLOAD_BYTES}"));
        }
        let budget = asked.budget.map(|budget| problems.budget(budget.as_ref()));
        let expires_at = asked.expires_at.map(|moment| problems.expiry(moment, now));
        if !problems.0.is_empty() {
            return Err(problems.0);
        }
        Ok(Self {
            name: asked.name,
            operations: asked.operations.map(without_repeats),
            models: asked.models.map(without_repeats),
            rpm: asked.requests_per_minute,
            sessions: asked.max_concurrent_sessions,
            budget,
            max_upload_bytes: asked.max_upload_bytes,
            refuse_unpriced: asked.refuse_unpriced,
            passthrough: asked.passthrough,
            allow_strategy: asked.allow_strategy,
            expires_at,
        })
    }

    /// Puts what is given into a row.
    ///
    /// # Errors
    /// A fault of ours.
    pub(crate) fn write(self, row: &mut virtual_key::Model) -> Result<(), AdminError> {
        let json = |error: serde_json::Error| AdminError::internal(&error);
        if let Some(name) = self.name {
            row.name = name;
        }
        if let Some(operations) = self.operations {
            row.operations = serde_json::to_string(&operations).map_err(json)?;
        }
        if let Some(models) = self.models {
            row.models = serde_json::to_string(&models).map_err(json)?;
        }
        if let Some(rpm) = self.rpm {
            row.rpm = rpm.map(i64::from);
        }
        if let Some(sessions) = self.sessions {
            row.max_sessions = sessions.map(i64::from);
        }
        if let Some(budget) = self.budget {
            row.budget_nano_usd = budget.map(|(amount, _)| amount);
            row.budget_window = budget.map(|(_, window)| window.to_owned());
        }
        if let Some(bytes) = self.max_upload_bytes {
            row.max_upload_bytes = bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        row.refuse_unpriced = self.refuse_unpriced.unwrap_or(row.refuse_unpriced);
        row.passthrough = self.passthrough.unwrap_or(row.passthrough);
        row.allow_strategy = self.allow_strategy.unwrap_or(row.allow_strategy);
        if let Some(expires_at) = self.expires_at {
            row.expires_at = expires_at;
        }
        Ok(())
    }

    /// Whether somebody may grant this. `before` is the key as it is, where there is one.
    ///
    /// # Errors
    /// 403 where a tenant's people would open the platform's vendor accounts to their key.
    pub(crate) fn check_granted(&self, actor: &Actor, before: Option<&virtual_key::Model>) -> Result<(), AdminError> {
        let had = before.is_some_and(|row| row.passthrough);
        if actor.tenant.is_some() && self.passthrough == Some(true) && !had {
            let detail = "`passthrough` is granted by the platform's administrators.";
            return Err(AdminError::Forbidden(detail.to_owned()));
        }
        Ok(())
    }

    /// What people call the key.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

#[derive(Default)]
struct Problems(Vec<FieldProblem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldProblem { field: field.into(), detail: detail.into() });
    }

    fn check(&mut self, field: &str, checked: Result<(), String>) {
        if let Err(detail) = checked {
            self.add(field, detail);
        }
    }

    fn check_models(&mut self, models: &[String]) {
        if models.len() > MAX_MODELS {
            return self.add("models", format!("has more than {MAX_MODELS} entries"));
        }
        for (index, pattern) in models.iter().enumerate() {
            self.check(&format!("models[{index}]"), check_text(pattern, MAX_MODEL_CHARS));
        }
    }

    fn budget(&mut self, budget: Option<&Budget>) -> Option<(i64, &'static str)> {
        let budget = budget?;
        let amount = nano_usd(&budget.usd).filter(|amount| *amount > 0);
        if amount.is_none() {
            let detail = format!("must be decimal text above 0 with at most {BUDGET_DIGITS} digits on either side");
            self.add("budget.usd", detail);
        }
        amount.map(|amount| (amount, budget.window.as_str()))
    }

    fn expiry(&mut self, moment: Option<OffsetDateTime>, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let moment = moment?;
        match moment.checked_to_offset(UtcOffset::UTC) {
            // The calendar's last hours have no place in UTC.
            None => self.add("expires_at", "is further away than can be told"),
            Some(utc) if utc <= now => self.add("expires_at", "must lie in the future"),
            Some(utc) => return Some(stored(utc)),
        }
        None
    }
}

/// # Errors
/// What is wrong with a text that people read.
pub(crate) fn check_text(text: &str, most: usize) -> Result<(), String> {
    if text.is_empty() || text.chars().count() > most {
        return Err(format!("must have 1 to {most} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not hold control characters".to_owned());
    }
    Ok(())
}

/// Decimal text in nano-dollars, exactly; `None` where it is not in that form.
fn nano_usd(text: &str) -> Option<i64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let is_number = |digits: &str| digits.len() <= BUDGET_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let nano: i64 = format!("{fraction:0<BUDGET_DIGITS$}").parse().ok()?;
    Some(whole.parse::<i64>().ok()? * 1_000_000_000 + nano)
}

fn without_repeats<T: PartialEq>(list: Vec<T>) -> Vec<T> {
    let mut kept = Vec::with_capacity(list.len());
    for item in list {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use admin_types::keys::BudgetWindow;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn fields(asked: CreateKey) -> Vec<String> {
        let problems = Policy::of(asked, NOW).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn dollars_become_nano_dollars_without_a_float() {
        for (text, nano) in
            [("100.00", 100_000_000_000), ("0.000000001", 1), ("999999999.999999999", 999_999_999_999_999_999)]
        {
            assert_eq!(nano_usd(text), Some(nano), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1_000", "1.0000000001", "1000000000", " 1", "١", "1.2.3"]
        {
            assert_eq!(nano_usd(text), None, "{text}");
        }
    }

    #[test]
    fn each_field_that_cannot_be_used_is_named() {
        let asked = CreateKey {
            name: "a\nb".to_owned(),
            models: vec!["*".to_owned(), String::new(), "x".repeat(201)],
            budget: Some(Budget { usd: "0".to_owned(), window: BudgetWindow::Daily }),
            max_upload_bytes: Some(0),
            expires_at: Some(NOW),
            ..CreateKey::default()
        };
        assert_eq!(fields(asked), ["name", "models[1]", "models[2]", "max_upload_bytes", "budget.usd", "expires_at"]);
        let last_hours = datetime!(9999-12-31 23:00 -12);
        let asked = CreateKey { name: "k".to_owned(), expires_at: Some(last_hours), ..CreateKey::default() };
        assert_eq!(fields(asked), ["expires_at"]);
    }
}
