//! What the words of the audit log are called for people.

use crate::components::{Choice, Tone};

/// What is done, as the log names it, and for people.
const ACTIONS: [(&str, &str); 23] = [
    ("create", "Created"),
    ("update", "Changed"),
    ("replace", "Replaced"),
    ("delete", "Removed"),
    ("rotate", "Rotated"),
    ("revoke", "Revoked"),
    ("suspend", "Suspended"),
    ("resume", "Resumed"),
    ("invite", "Invited"),
    ("import", "Imported"),
    ("reprice", "Repriced"),
    ("test", "Tested"),
    ("take", "Taken"),
    ("terminate", "Ended"),
    ("acknowledge", "Acknowledged"),
    ("sign_in", "Signed in"),
    ("sign_out", "Signed out"),
    ("change_password", "Changed password"),
    ("set_password", "Set password"),
    ("reset_password", "Made a reset link"),
    ("end_stolen_sign_in", "Ended a stolen sign-in"),
    ("mute", "Muted"),
    ("unmute", "Unmuted"),
];

/// Kinds of objects.
const KINDS: [(&str, &str); 15] = [
    ("key", "Key"),
    ("user", "User"),
    ("token", "Token"),
    ("tenant", "Tenant"),
    ("model", "Model"),
    ("provider", "Provider"),
    ("credential", "Credential"),
    ("price", "Price"),
    ("voice", "Voice"),
    ("session", "Session"),
    ("alert_rule", "Alert rule"),
    ("alert_channel", "Alert channel"),
    ("log_level", "Log level"),
    ("master_key", "Master key"),
    ("profile", "Profile"),
];

pub(super) fn action_choices() -> Vec<Choice> {
    Choice::list(&ACTIONS)
}

pub(super) fn kind_choices() -> Vec<Choice> {
    Choice::list(&KINDS)
}

/// An action; what is not known is told as it is.
pub(super) fn action_name(action: &str) -> String {
    named(&ACTIONS, action)
}

/// A kind of object.
pub(super) fn kind_name(kind: &str) -> String {
    named(&KINDS, kind)
}

fn named(all: &[(&str, &str)], word: &str) -> String {
    let found = all.iter().find(|(known, _)| *known == word);
    found.map_or_else(|| word.replace('_', " "), |(_, name)| (*name).to_owned())
}

/// What takes something away stands out.
pub(super) fn action_tone(action: &str) -> Tone {
    match action {
        "delete" | "revoke" | "suspend" | "terminate" | "end_stolen_sign_in" => Tone::Bad,
        "create" | "invite" | "resume" => Tone::Good,
        "update" | "replace" | "rotate" | "reprice" | "import" => Tone::Accent,
        _ => Tone::Neutral,
    }
}
