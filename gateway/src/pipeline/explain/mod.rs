//! Why a call would be served by which target: the decision that [`decide`] and [`choose`] make for a call,
//! made for a described one, with the reasons noted on the way.
//!
//! Nothing is taken by it: no probe of a breaker, no turn of a weighted route, no budget. What is found out
//! only while a provider is asked is not in it, such as a voice that an account lists under an id.

use std::collections::BTreeSet;

use domain::audio::{AudioFile, Container, SampleRate, SpeechFormat};
use domain::error::ErrorKind;
use domain::ids::TenantId;
use domain::money::NanoUsd;
use domain::provider::{Operation, ProviderKind};
use domain::routing::{Draws, Seen, Strategies, Target};
use domain::speech::{SpeechRequest, StreamFormat, Voice};
use domain::transcription::{TranscriptFormat, TranscriptionRequest};
use serde_json::json;
use time::OffsetDateTime;

use crate::error::GatewayError;
use crate::pipeline::admit::{Planned, decide};
use crate::pipeline::authenticate::Principal;
use crate::pipeline::estimate;
use crate::pipeline::health::{Breaker, Health};
use crate::pipeline::resolve::targets;
use crate::pipeline::route::{Candidate, Dropped, Question, Watch, candidate};
use crate::pipeline::transcription::Length;
use crate::pipeline::{json as chat, speech, transcription};
use crate::realtime::open::choose;
use crate::snapshot::{Key, Snapshot};

/// Longest text that is imagined; providers take less in one request.
const MAX_CHARACTERS: u64 = 100_000;
/// Text of a call of which no length is told.
const CHARACTERS: u64 = 100;
/// Audio of a call of which no length is told.
const AUDIO_MS: u64 = 60_000;
/// A voice that every server of `OpenAI`'s language knows, for targets of which no voice is known here.
const ANY_VOICE: &str = "alloy";

/// A call that nobody has made.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    /// The name that is asked for.
    pub model: String,
    /// As `x-antiphon-region` names it.
    pub region: Option<String>,
    /// As `x-antiphon-strategy` names it.
    pub strategy: Option<Strategies>,
    /// `response_format`, of speech or of a transcript.
    pub format: Option<String>,
    /// Language of the audio, ISO 639-1.
    pub language: Option<String>,
    /// The answer is wanted while it is made.
    pub streaming: bool,
    /// Length of the text that is to be spoken or read.
    pub characters: Option<u64>,
    /// Length of the audio.
    pub audio_ms: Option<u64>,
    /// Who is to speak. `None` asks each target for a voice that it has.
    pub voice: Option<String>,
    /// The realtime session is one that transcribes.
    pub transcription_session: bool,
}

/// For whom a decision is explained.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Whose routes and prices hold.
    pub tenant: TenantId,
    /// Whose policy holds; `None` for a key that may do everything.
    pub key: Option<&'a Key>,
}

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// How the targets are ordered; `None` where the name means nothing.
    pub strategy: Option<Strategies>,
    /// Every target of the route: the kept ones in the order in which they are tried, then the others in that
    /// of the route.
    pub targets: Vec<Verdict>,
    /// Why the call as a whole is refused; `None` where the first kept target serves it.
    pub refused: Option<Refused>,
}

/// The answer that a caller would have instead of a served call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// As `error.code` has it.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
}

/// What becomes of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The target as configured.
    pub target: Target,
    /// Its provider's kind, where there is such a provider.
    pub kind: Option<ProviderKind>,
    /// What is decided.
    pub outcome: Outcome,
}

/// What is decided about one target.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is tried when those before it have failed.
    Kept(Kept),
    /// It is not tried.
    Dropped(Reason),
}

/// What decided the place of a target; weight, priority and quality are the target's own.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Kept {
    /// Its place in the order, from 1.
    pub place: usize,
    /// Whether its next call finds out if it is well again.
    pub half_open: bool,
    /// Whether it fails and is tried all the same, because too few others are left.
    pub ejected: bool,
    /// Whether it goes first to be measured, and not because it is the best.
    pub measures: bool,
    /// Typical time to first byte in this process; `None` while unmeasured.
    pub ttfb_ms: Option<f64>,
    /// 95th percentile of it; `None` while too little is measured.
    pub p95_ms: Option<f64>,
    /// Share of calls that failed of late, from 0 to 1.
    pub failed_share: f64,
    /// What the call is expected to cost there; `None` while unpriced.
    pub cost: Option<NanoUsd>,
    /// Whether it is in the region that was asked for.
    pub in_region: bool,
}

/// Why a target is not tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// One of a closed list, for programs.
    pub code: &'static str,
    /// One sentence, for people.
    pub message: String,
}

/// Explains what would be decided about `scenario` at `at`.
///
/// # Errors
/// `InvalidRequest`: the scenario describes no call that could be made.
pub fn explain(
    snapshot: &Snapshot,
    health: &Health,
    asker: Asker<'_>,
    operation: Operation,
    scenario: &Scenario,
    at: OffsetDateTime,
) -> Result<Explanation, GatewayError> {
    let question = question(snapshot, health, asker, operation, scenario, at);
    let mut reasons = Reasons::default();
    let decided = match asker.key.map_or(Ok(()), |key| permitted(key, &question)) {
        Err(refusal) => Err(refuse_all(&question, refusal, &mut reasons)),
        Ok(()) => order(&question, scenario, &mut reasons)?,
    };
    Ok(reasons.into_explanation(&question, decided))
}

/// The names of models whose prices [`explain`] asks for, for whoever loads no others.
#[must_use]
pub fn priced_models(
    snapshot: &Snapshot,
    health: &Health,
    tenant: TenantId,
    operation: Operation,
    scenario: &Scenario,
    at: OffsetDateTime,
) -> BTreeSet<String> {
    let question = question(snapshot, health, Asker { tenant, key: None }, operation, scenario, at);
    let targets = targets(&question).map(|(_, targets)| targets).unwrap_or_default();
    let candidates: Vec<Candidate> = targets.iter().filter_map(|target| candidate(&question, 0, target)).collect();
    candidates.iter().flat_map(estimate::priced_names).map(str::to_owned).collect()
}

fn question<'a>(
    snapshot: &'a Snapshot,
    health: &'a Health,
    asker: Asker<'_>,
    operation: Operation,
    scenario: &'a Scenario,
    at: OffsetDateTime,
) -> Question<'a> {
    Question {
        snapshot,
        health,
        tenant: asker.tenant,
        operation,
        model: &scenario.model,
        pinned: None,
        region: scenario.region.as_deref(),
        strategy: scenario.strategy,
        conversation: None,
        at,
        refuses_unpriced: asker.key.is_some_and(|key| key.refuse_unpriced),
        handed: None,
    }
}

fn permitted(key: &Key, question: &Question<'_>) -> Result<(), GatewayError> {
    let principal = Principal { key: std::sync::Arc::new(key.clone()), grant: None };
    if question.strategy.is_some() {
        principal.may_order()?;
    }
    principal.require(question.operation, question.model)
}

/// A key that may not ask gets no target at all.
fn refuse_all(question: &Question<'_>, refusal: GatewayError, reasons: &mut Reasons) -> GatewayError {
    if let Ok((strategy, targets)) = targets(question) {
        reasons.resolved(strategy, &targets);
        let message = refusal.message();
        reasons.dropped.fill_with(|| Some(Reason { code: "key_not_allowed", message: message.to_owned() }));
    }
    refusal
}

/// The places of the targets in the order in which they are tried, or the refusal that a caller would have.
type Decided = Result<Vec<usize>, GatewayError>;

/// # Errors
/// The scenario describes no call.
fn order(question: &Question<'_>, scenario: &Scenario, reasons: &mut Reasons) -> Result<Decided, GatewayError> {
    let decided = match question.operation {
        Operation::Transcription | Operation::Translation => transcribed(question, scenario, reasons)?,
        Operation::Speech => spoken(question, scenario, reasons)?,
        Operation::Chat | Operation::Embeddings => written(question, scenario, reasons)?,
        Operation::Realtime => {
            let found = choose(question, scenario.transcription_session, reasons);
            found.map(|kept| kept.iter().map(|candidate| candidate.place).collect())
        }
        Operation::Passthrough => {
            let message = "A path of a vendor's own is served by that vendor's accounts, not by a route.";
            return Err(GatewayError::invalid("operation", message));
        }
    };
    Ok(decided)
}

fn transcribed(question: &Question<'_>, scenario: &Scenario, reasons: &mut Reasons) -> Result<Decided, GatewayError> {
    let duration_ms = Some(scenario.audio_ms.unwrap_or(AUDIO_MS).max(1));
    let (sample_rate, channels) = (Some(SampleRate(16_000)), Some(1));
    let length = Length::told(AudioFile { container: Container::Wav, sample_rate, channels, duration_ms });
    let request = TranscriptionRequest {
        model: scenario.model.clone(),
        language: scenario.language.clone(),
        response_format: format::<TranscriptFormat>(scenario)?,
        stream: scenario.streaming,
        ..TranscriptionRequest::default()
    };
    let expected = estimate::transcription(length.reserved_ms());
    let write = |candidate: &Candidate| transcription::write(candidate, question.operation, &request, length);
    Ok(kept(decide(question, &expected, write, reasons)))
}

fn spoken(question: &Question<'_>, scenario: &Scenario, reasons: &mut Reasons) -> Result<Decided, GatewayError> {
    let mut request = SpeechRequest {
        model: scenario.model.clone(),
        input: text(scenario)?,
        voice: Voice::Name(scenario.voice.clone().unwrap_or_default()),
        instructions: None,
        response_format: format::<SpeechFormat>(scenario)?,
        speed: None,
        stream_format: scenario.streaming.then_some(StreamFormat::Sse),
        extensions: domain::provider::Extensions::new(),
    };
    let expected = estimate::speech(request.characters());
    let write = |candidate: &Candidate| {
        if scenario.voice.is_none() {
            request.voice = Voice::Name(a_voice(candidate).to_owned());
        }
        speech::write(question.snapshot, candidate, &request)
    };
    Ok(kept(decide(question, &expected, write, reasons)))
}

fn written(question: &Question<'_>, scenario: &Scenario, reasons: &mut Reasons) -> Result<Decided, GatewayError> {
    let text = text(scenario)?;
    let body = match question.operation {
        Operation::Chat => json!({"model": scenario.model, "stream": scenario.streaming,
            "messages": [{"role": "user", "content": text}]}),
        _ => json!({"model": scenario.model, "input": text}),
    };
    let body = body.to_string().into_bytes();
    let expected = estimate::json(question.operation, body.len() as u64, None, 1);
    let write = |candidate: &Candidate| chat::write(candidate, question.operation, &body);
    Ok(kept(decide(question, &expected, write, reasons)))
}

fn kept<R>(decided: Result<(Vec<Planned<R>>, Option<NanoUsd>), GatewayError>) -> Decided {
    let (planned, _) = decided?;
    Ok(planned.iter().filter(|target| target.request.is_some()).map(|target| target.candidate.place).collect())
}

/// A text of the scenario's length.
fn text(scenario: &Scenario) -> Result<String, GatewayError> {
    let characters = scenario.characters.unwrap_or(CHARACTERS);
    if !(1..=MAX_CHARACTERS).contains(&characters) {
        let message = format!("`characters` goes from 1 to {MAX_CHARACTERS}.");
        return Err(GatewayError::invalid("characters", message));
    }
    let length = usize::try_from(characters).unwrap_or(usize::MAX);
    Ok("word ".chars().cycle().take(length.saturating_sub(1)).chain(['.']).collect())
}

fn format<F: std::str::FromStr<Err = domain::error::UnknownName>>(
    scenario: &Scenario,
) -> Result<Option<F>, GatewayError> {
    let parsed = scenario.format.as_deref().map(str::parse::<F>).transpose();
    parsed.map_err(|error| GatewayError::invalid("format", format!("There is no such format: {error}.")))
}

/// A voice that a target has.
pub(crate) fn a_voice(candidate: &Candidate) -> &'static str {
    let has = |models: &[&str]| models.is_empty() || models.contains(&candidate.model.model.as_str());
    candidate.row.voices.iter().find(|voice| has(voice.models)).map_or(ANY_VOICE, |voice| voice.name)
}

/// What is seen of a decision.
#[derive(Debug, Default)]
struct Reasons {
    strategy: Option<Strategies>,
    targets: Vec<Target>,
    dropped: Vec<Option<Reason>>,
    measures: Vec<Kept>,
}

impl Watch for Reasons {
    fn resolved(&mut self, strategy: Strategies, targets: &[Target]) {
        self.strategy = Some(strategy);
        self.targets = targets.to_vec();
        self.dropped.resize(targets.len(), None);
        self.measures.resize(targets.len(), Kept::default());
    }

    fn dropped(&mut self, place: usize, why: Dropped<'_>) {
        if let (Some(dropped), Some(target)) = (self.dropped.get_mut(place), self.targets.get(place)) {
            *dropped = Some(reason(target, why));
        }
    }

    fn measured(&mut self, question: &Question<'_>, candidate: &Candidate, seen: &Seen) {
        if let Some(measured) = self.measures.get_mut(candidate.place) {
            let breaker = candidate.look.breaker;
            *measured = Kept {
                place: 0,
                half_open: breaker == Breaker::HalfOpen,
                ejected: breaker == Breaker::Open,
                measures: candidate.measures.is_some(),
                ttfb_ms: seen.timing.typical_ms,
                p95_ms: seen.timing.p95_ms,
                failed_share: seen.timing.failed,
                cost: seen.cost_nano_usd.map(NanoUsd),
                in_region: question.is_in_region(candidate),
            };
        }
    }

    fn measures_all(&self) -> bool {
        true
    }

    fn draws(&self, health: &Health) -> Draws {
        health.next_draws()
    }
}

fn reason(target: &Target, why: Dropped<'_>) -> Reason {
    let Target { provider, model, .. } = target;
    let message = match why {
        Dropped::ProviderMissing => format!("There is no provider `{provider}`."),
        Dropped::OperationUnsupported => format!("The model `{model}` of `{provider}` does not do this."),
        Dropped::BreakerOpen => {
            format!("`{provider}` has failed with `{model}` too often of late and is left alone.")
        }
        Dropped::InUse => format!("The credentials of `{provider}` are in use as often as they may be."),
        Dropped::Unwritable(error) => error.to_string(),
        Dropped::Unheld(error) => error.message().to_owned(),
    };
    Reason { code: why.code(), message }
}

impl Reasons {
    fn into_explanation(mut self, question: &Question<'_>, decided: Decided) -> Explanation {
        let (mut order, refused) = match decided {
            Ok(order) => (order, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let unpriced = refused.as_ref().is_some_and(|error| error.kind() == ErrorKind::ModelUnpriced);
        if unpriced {
            self.blame_unpriced();
        }
        // A target is tried with one credential after the other.
        order.dedup();
        let mut kept: Vec<Verdict> = Vec::with_capacity(self.targets.len());
        for (index, place) in order.into_iter().enumerate() {
            kept.extend(self.kept(question, place, index + 1));
        }
        let left = self.targets.iter().zip(&self.dropped);
        let dropped = left.filter_map(|(target, reason)| {
            let kind = kind(question, target);
            Some(Verdict { target: target.clone(), kind, outcome: Outcome::Dropped(reason.clone()?) })
        });
        kept.extend(dropped);
        let refused = refused.map(|error| {
            let (status, _, code) = error.kind().facts();
            Refused { status, code, message: error.message().to_owned() }
        });
        Explanation { strategy: self.strategy, targets: kept, refused }
    }

    /// One target without a price is enough for a refusal: it might have to serve the call. The others are
    /// not tried either.
    fn blame_unpriced(&mut self) {
        for (dropped, measured) in self.dropped.iter_mut().zip(&self.measures) {
            let reason = match measured.cost {
                None => Reason {
                    code: "unpriced_refused",
                    message: "No price is known for it, and the key refuses what cannot be priced.".to_owned(),
                },
                Some(_) => Reason {
                    code: "other_target_unpriced",
                    message: "Another target of the route has no price, and the key refuses such routes.".to_owned(),
                },
            };
            dropped.get_or_insert(reason);
        }
    }

    fn kept(&self, question: &Question<'_>, index: usize, place: usize) -> Option<Verdict> {
        let (target, measured) = (self.targets.get(index)?, self.measures.get(index)?);
        let outcome = Outcome::Kept(Kept { place, ..*measured });
        Some(Verdict { target: target.clone(), kind: kind(question, target), outcome })
    }
}

fn kind(question: &Question<'_>, target: &Target) -> Option<ProviderKind> {
    question.snapshot.provider(question.tenant, &target.provider).map(|pool| pool.account().kind)
}

#[cfg(test)]
mod tests;
