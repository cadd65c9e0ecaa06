//! The words of alerts, for people.

use admin_types::alerts::{AlertChannelKind, AlertKind, AlertUnit, Condition, DeliveryStatus, MessageKind, Severity};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::components::{Choice, Tone};
use crate::format;

pub(super) const KINDS: [(AlertKind, &str); 6] = [
    (AlertKind::BudgetShare, "Share of a budget"),
    (AlertKind::SpendRate, "Spend in a while"),
    (AlertKind::ErrorRate, "Share of errors"),
    (AlertKind::Latency, "Slow first byte"),
    (AlertKind::Breaker, "Target left out"),
    (AlertKind::Unpriced, "Use without a price"),
];

pub(super) const SEVERITIES: [(Severity, &str); 3] =
    [(Severity::Info, "Info"), (Severity::Warning, "Warning"), (Severity::Critical, "Critical")];

pub(super) fn kind(kind: AlertKind) -> &'static str {
    KINDS.iter().find(|(other, _)| *other == kind).map_or("", |(_, title)| title)
}

pub(super) fn kinds() -> Vec<Choice> {
    KINDS.iter().map(|(kind, title)| Choice::new(kind.as_str(), *title)).collect()
}

pub(super) fn severities() -> Vec<Choice> {
    SEVERITIES.iter().map(|(severity, title)| Choice::new(severity.as_str(), *title)).collect()
}

pub(super) fn severity(severity: Severity) -> (&'static str, Tone) {
    match severity {
        Severity::Info => ("Info", Tone::Accent),
        Severity::Warning => ("Warning", Tone::Warn),
        Severity::Critical => ("Critical", Tone::Bad),
    }
}

pub(super) const fn channel_kind(kind: AlertChannelKind) -> &'static str {
    match kind {
        AlertChannelKind::Webhook => "Webhook",
        AlertChannelKind::Slack => "Slack",
        AlertChannelKind::Email => "E-mail",
    }
}

pub(super) const fn event(event: MessageKind) -> &'static str {
    match event {
        MessageKind::Firing => "Alert began",
        MessageKind::Resolved => "Alert is over",
        MessageKind::Test => "Test",
    }
}

pub(super) const fn delivery(status: DeliveryStatus) -> (&'static str, Tone) {
    match status {
        DeliveryStatus::Pending => ("Waiting", Tone::Warn),
        DeliveryStatus::Delivered => ("Delivered", Tone::Good),
        DeliveryStatus::Failed => ("Given up", Tone::Bad),
    }
}

/// A value of an alert.
pub(super) fn value(value: Decimal, unit: AlertUnit) -> String {
    let number = value.to_f64().unwrap_or(0.0);
    match unit {
        AlertUnit::Percent => format::percent(number / 100.0),
        AlertUnit::Usd => format::money(value),
        AlertUnit::Ms => format::duration_ms(number.round() as i64),
        AlertUnit::Seconds => format::duration_ms((number * 1000.0).round() as i64),
        AlertUnit::Records => match number.round() as i64 {
            1 => "1 record".to_owned(),
            count => format!("{} records", format::count(count)),
        },
    }
}

/// What must be so for a rule to fire, as a sentence without its end.
pub(super) fn condition(condition: &Condition) -> String {
    let of = |provider: &Option<String>, what: &Option<String>| match (provider, what) {
        (Some(provider), Some(what)) => format!(" of {provider}, {what}"),
        (Some(provider), None) => format!(" of {provider}"),
        (None, Some(what)) => format!(" of {what}"),
        (None, None) => " of any provider".to_owned(),
    };
    match condition {
        Condition::BudgetShare { percent, key_id } => {
            let whose = if key_id.is_some() { "one key" } else { "a key" };
            format!("{whose} has spent {percent}% of its budget")
        }
        Condition::SpendRate { usd, window_minutes, key_id } => {
            let whose = if key_id.is_some() { "one key" } else { "a tenant" };
            format!("{whose} has spent {} in {}", format::money(*usd), minutes(*window_minutes))
        }
        Condition::ErrorRate { percent, window_minutes, provider, operation, .. } => {
            format!("{percent}% of requests{} failed in {}", of(provider, operation), minutes(*window_minutes))
        }
        Condition::Latency { p95_ms, window_minutes, provider, operation, .. } => {
            let took = format::duration_ms(*p95_ms);
            format!("the p95 first byte{} took {took} in {}", of(provider, operation), minutes(*window_minutes))
        }
        Condition::Breaker { open_seconds, provider, model } => {
            format!("a target{} is left out for {}", of(provider, model), format::duration_ms(*open_seconds * 1000))
        }
        Condition::Unpriced { window_minutes, provider, model } => {
            format!("a model{} was used without a price in {}", of(provider, model), minutes(*window_minutes))
        }
    }
}

fn minutes(minutes: u32) -> String {
    match minutes {
        1 => "a minute".to_owned(),
        60 => "an hour".to_owned(),
        1_440 => "a day".to_owned(),
        minutes if minutes % 60 == 0 => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_reads_as_a_sentence() {
        let spend = Condition::SpendRate { usd: Decimal::new(25, 0), window_minutes: 60, key_id: None };
        assert_eq!(condition(&spend), "a tenant has spent $25.00 in an hour");
        let breaker = Condition::Breaker { open_seconds: 60, provider: Some("groq".to_owned()), model: None };
        assert_eq!(condition(&breaker), "a target of groq is left out for 1 min 00 s");
        assert_eq!(value(Decimal::new(852, 1), AlertUnit::Percent), "85.2%");
    }
}
