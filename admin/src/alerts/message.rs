//! What channels are told, in the form of each.

use admin_types::alerts::{Alert, AlertKind, AlertMessage, AlertState, AlertUnit, MessageKind};
use hmac::{Hmac, KeyInit, Mac};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sha2::Sha256;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Characters of a line.
const MAX_LINE_CHARS: usize = 480;

/// An alert in one sentence.
pub(crate) fn summary(kind: AlertKind, subject: &str, value: Decimal, threshold: Decimal) -> String {
    let (value, limit) = (with_unit(value, kind.unit()), with_unit(threshold, kind.unit()));
    match kind {
        AlertKind::BudgetShare => format!("The key {subject} has spent {value} of its budget; the rule says {limit}."),
        AlertKind::SpendRate => {
            format!("{subject} has spent {value} within the window of the rule, which says {limit}.")
        }
        AlertKind::ErrorRate => format!("{value} of the requests to {subject} failed; the rule says {limit}."),
        AlertKind::Latency => {
            format!("5 of 100 answers of {subject} took {value} or more to their first byte; the rule says {limit}.")
        }
        AlertKind::Breaker => {
            format!("{subject} fails and is left out, by now for {value}; the rule says {limit}.")
        }
        AlertKind::Unpriced => format!("{subject} was used without a price, so the cost of {value} is unknown."),
    }
}

fn with_unit(value: Decimal, unit: AlertUnit) -> String {
    let value = value.normalize();
    match unit {
        AlertUnit::Percent => format!("{value} %"),
        AlertUnit::Usd => format!("{value} US dollars"),
        AlertUnit::Ms => format!("{value} ms"),
        AlertUnit::Seconds => format!("{value} s"),
        AlertUnit::Records if value == Decimal::ONE => "1 record".to_owned(),
        AlertUnit::Records => format!("{value} records"),
    }
}

/// What `x-antiphon-signature` says of `body` under `secret`.
pub(crate) fn signature(secret: &[u8], seconds: i64, body: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(secret) else { return String::new() };
    mac.update(format!("{seconds}.{body}").as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={digits}")
}

/// The headline of a message, in one line.
pub(crate) fn headline(message: &AlertMessage) -> String {
    let Some(alert) = &message.alert else { return "Antiphon: a test message".to_owned() };
    let name = one_line(&alert.rule_name);
    match message.event {
        MessageKind::Resolved => format!("Antiphon: over: {name}"),
        _ => format!("Antiphon: {}: {name}", alert.severity.as_str()),
    }
}

/// The body of an e-mail.
pub(crate) fn plain_text(message: &AlertMessage) -> String {
    let Some(alert) = &message.alert else {
        return "This message tries an alert channel of Antiphon out. Nothing is wrong.\n".to_owned();
    };
    let mut lines = vec![one_line(&alert.summary), String::new()];
    lines.extend(facts(alert).into_iter().map(|(name, value)| format!("{name}: {value}")));
    lines.push(String::new());
    lines.join("\n")
}

/// The body of a Slack-compatible webhook's request.
pub(crate) fn slack(message: &AlertMessage) -> Value {
    let headline = escaped(&headline(message));
    let section = |text: String| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let mut blocks = vec![section(format!("*{headline}*"))];
    if let Some(alert) = &message.alert {
        blocks.push(section(escaped(&one_line(&alert.summary))));
        let facts: Vec<String> =
            facts(alert).into_iter().map(|(name, value)| format!("{name}: {}", escaped(&value))).collect();
        blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": facts.join("  ·  ") }] }));
    }
    json!({ "text": headline, "blocks": blocks })
}

fn facts(alert: &Alert) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Rule", one_line(&alert.rule_name)),
        ("Severity", alert.severity.as_str().to_owned()),
        ("About", one_line(&alert.subject_name)),
        ("Since", moment(alert.started_at)),
    ];
    if let Some(at) = alert.resolved_at.filter(|_| alert.state == AlertState::Resolved) {
        facts.push(("Over since", moment(at)));
    }
    facts.push(("Alert", alert.id.to_string()));
    facts
}

fn moment(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}

/// Names are other people's text: without control characters they can neither begin a line nor a header, and
/// without characters that turn the direction of writing they read as they are.
fn one_line(text: &str) -> String {
    let is_hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut line: String = text.chars().map(|letter| if is_hidden(letter) { ' ' } else { letter }).collect();
    if let Some((end, _)) = line.char_indices().nth(MAX_LINE_CHARS) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// As Slack wants it: these three would begin links and mentions.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use admin_types::alerts::Severity;
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;

    fn message(rule: &str, subject: &str) -> AlertMessage {
        let kind = AlertKind::BudgetShare;
        let (value, threshold) = (Decimal::new(852, 1), Decimal::from(80));
        let alert = Alert {
            id: Uuid::nil(),
            rule_id: Uuid::nil(),
            rule_name: rule.to_owned(),
            tenant_id: None,
            kind,
            severity: Severity::Critical,
            state: AlertState::Firing,
            subject: "k".to_owned(),
            subject_name: subject.to_owned(),
            value,
            threshold,
            unit: kind.unit(),
            summary: summary(kind, subject, value, threshold),
            started_at: datetime!(2026-11-22 12:00 UTC),
            resolved_at: None,
            notified_at: None,
            acknowledged_by: None,
            acknowledged_at: None,
        };
        let created_at = datetime!(2026-11-22 12:00:01 UTC);
        AlertMessage { id: Uuid::nil(), event: MessageKind::Firing, created_at, alert: Some(alert) }
    }

    #[test]
    fn a_signature_is_the_hmac_of_time_and_body() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac sixteen-letters!
        let signed = signature(b"sixteen-letters!", 1_700_000_000, r#"{"a":1}"#);
        assert_eq!(signed, "t=1700000000,v1=d8d2fb79298a27920a90659fac94d80a2bda255b34018fa8dbfd795ba110542e");
    }

    #[test]
    fn names_cannot_begin_lines_links_or_mentions() {
        let hostile = message("a\r\nBcc: b@example.com", "<!channel> & <https://evil.example|here>\nSince: never");
        let headline = headline(&hostile);
        assert_eq!(headline, "Antiphon: critical: a  Bcc: b@example.com");
        let text = plain_text(&hostile);
        assert_eq!(text.lines().filter(|line| line.starts_with("Since:")).count(), 1, "{text}");
        let slack = slack(&hostile).to_string();
        assert!(!slack.contains('<') && slack.contains("&lt;!channel&gt; &amp; &lt;https"), "{slack}");
    }

    #[test]
    fn a_long_name_is_cut() {
        assert!(headline(&message(&"ä".repeat(100_000), "k")).chars().count() < 1_000);
    }
}
