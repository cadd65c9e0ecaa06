//! Which way a target holds a session: its provider speaks OpenAI's language, or is translated.

use std::collections::BTreeMap;

use dialects::contract::RealtimeOpener;
use dialects::conversation::agent::AgentOpener;
use dialects::conversation::session::{ConversationSession, Target};
use dialects::live::LiveOpener;
use dialects::live::events::Refusal;
use dialects::live::session::LiveSession;
use dialects::live::settings::Settings;

use crate::error::GatewayError;
use crate::pipeline::route::Candidate;
use crate::realtime::convert::converter;
use crate::realtime::tab::Tariff;
use crate::realtime::translated::Translator;
use crate::snapshot::Snapshot;

/// How a session is held.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// By the recogniser on this machine.
    Local,
    /// Frames pass as they are.
    Passed(&'static dyn RealtimeOpener),
    /// A transcription session is translated.
    Live(&'static dyn LiveOpener),
    /// A conversation is translated.
    Agent(&'static dyn AgentOpener),
}

/// The way of a target.
///
/// # Errors
/// It does not hold sessions of this kind.
pub(crate) fn way(candidate: &Candidate, transcription: bool) -> Result<Way, GatewayError> {
    let found = if transcription { transcribes(candidate) } else { converses(candidate) };
    found.map_err(|message| GatewayError::invalid("model", message))
}

/// Whether a target holds sessions of this kind.
///
/// # Errors
/// Why it does not.
pub(super) fn holds(snapshot: &Snapshot, candidate: &Candidate, transcription: bool) -> Result<(), GatewayError> {
    match way(candidate, transcription)? {
        Way::Agent(opener) => converser(snapshot, candidate, opener, "").map(drop),
        Way::Local | Way::Passed(_) | Way::Live(_) => Ok(()),
    }
}

fn transcribes(candidate: &Candidate) -> Result<Way, String> {
    if candidate.row.in_process {
        return Ok(Way::Local);
    }
    if let Some(opener) = live_opener(candidate) {
        opener.plan(&Settings::new(&candidate.model.wire_name)).map_err(|refusal| refusal.message)?;
        return Ok(Way::Live(opener));
    }
    let passed = candidate.row.realtime.map(Way::Passed);
    passed.ok_or_else(|| "The model cannot hold transcription sessions.".to_owned())
}

fn converses(candidate: &Candidate) -> Result<Way, String> {
    let passed = candidate.row.realtime.map(Way::Passed);
    if candidate.row.in_process {
        return Err("The local provider holds transcription sessions only (`intent=transcription`).".to_owned());
    }
    if let Some(opener) = candidate.row.agent {
        // A vendor may speak OpenAI's language beside its own, for some models or where the target says so.
        let speaks = candidate.row.realtime.filter(|opener| opener.speaks(&candidate.model));
        return Ok(speaks.map_or(Way::Agent(opener), Way::Passed));
    }
    if live_opener(candidate).is_some() {
        return Err("The model holds transcription sessions only (`intent=transcription`).".to_owned());
    }
    passed.ok_or_else(|| "The model cannot hold realtime sessions.".to_owned())
}

/// Who translates a transcription session. A server that may speak OpenAI's language has its utterances cut
/// here only where its target says so.
fn live_opener(candidate: &Candidate) -> Option<&'static dyn LiveOpener> {
    let cut = candidate.target.options.get("live").is_some_and(|live| live == "utterances");
    candidate.row.live.filter(|opener| cut || !opener.by_utterance() || candidate.row.realtime.is_none())
}

/// Translates a transcription session.
///
/// # Errors
/// The vendor does not transcribe with this model.
pub(crate) fn transcriber(
    candidate: &Candidate,
    opener: &'static dyn LiveOpener,
    prefix: &str,
) -> Result<Translator, GatewayError> {
    let session = LiveSession::new(opener, &candidate.model.wire_name, prefix, converter).map_err(refused)?;
    let (tariff, by_utterance) = (Tariff::of_live(opener), opener.by_utterance());
    Ok(Translator { session: Box::new(session), tariff, by_utterance })
}

/// Translates a conversation.
///
/// # Errors
/// The vendor holds none with this model.
pub(crate) fn converser(
    snapshot: &Snapshot,
    candidate: &Candidate,
    opener: &'static dyn AgentOpener,
    prefix: &str,
) -> Result<Translator, GatewayError> {
    let target = Target { model: candidate.model.clone(), voices: voices(snapshot, candidate) };
    let session = ConversationSession::new(opener, target, prefix, converter).map_err(refused)?;
    let tariff = Tariff::of_conversation(opener.billing());
    Ok(Translator { session: Box::new(session), tariff, by_utterance: false })
}

/// What the names of voices mean at a target.
fn voices(snapshot: &Snapshot, candidate: &Candidate) -> BTreeMap<String, String> {
    let (account, kind) = (&candidate.account.name, candidate.account.kind.as_str());
    let here = |map: &BTreeMap<String, String>| map.get(account).or_else(|| map.get(kind)).cloned();
    snapshot.voices.iter().filter_map(|(name, map)| Some((name.clone(), here(map)?))).collect()
}

fn refused(refusal: Refusal) -> GatewayError {
    GatewayError::invalid("model", refusal.message)
}
