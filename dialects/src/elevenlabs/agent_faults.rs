//! Why a conversation with one of `ElevenLabs`' agents cannot go on, in `OpenAI`'s words.
//!
//! Source: `ElevenLabs`' `AsyncAPI` document of agents (2026-08-22) and issue threads of its SDKs, read
//! 2026-11-21.

use crate::live::LiveFault;

/// What a fault is, by its own name or by what the text says where there is no name.
///
/// An override that the agent does not allow is the most usual one, and says in the vendor's words nothing
/// about where it is allowed.
pub(super) fn fault(kind: &str, text: &str) -> LiveFault {
    let lower = text.to_ascii_lowercase();
    let says = |word: &str| lower.contains(word);
    let told = [text, kind, "the conversation failed"].into_iter().find(|told| !told.is_empty()).unwrap_or_default();
    if kind == "override_error" || says("override") {
        return LiveFault::invalid(format!(
            "ElevenLabs' agent does not allow what the session overrides ({told}). Allow it in the agent's security \
             settings, or let the target's option 'overrides' name only what is allowed ('none' for nothing)."
        ));
    }
    if says("quota") || says("max_active_conversations") || says("concurren") || says("rate limit") {
        return LiveFault::limited(format!("ElevenLabs: {told}"));
    }
    match kind {
        "missing_dynamic_variable" | "missing_dynamic_variable_transfer" => LiveFault::invalid(format!(
            "ElevenLabs: {told}. The agent has dynamic variables without a value: give them one on the agent."
        )),
        "transport_receive_timeout" => LiveFault::upstream("ElevenLabs heard nothing for too long."),
        _ if says("api key") || says("unauthori") || says("authenticat") || says("signature") => {
            LiveFault::credential()
        }
        _ => LiveFault::upstream(format!("ElevenLabs: {told}")),
    }
}

/// What a close means; `None` for the end of the conversation: the agent hung up, or its time was over.
pub(super) fn closed(code: u16, reason: &str) -> Option<LiveFault> {
    match code {
        1000 => None,
        1002 | 1008 | 1011 if !reason.is_empty() => Some(fault("", reason)),
        _ => Some(LiveFault::upstream(format!("ElevenLabs closed the connection: {code} {reason}"))),
    }
}
