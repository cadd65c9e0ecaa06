//! What a usage record tells of the routing decision behind it.

use std::borrow::Cow;

use dialects::error::DialectError;
use domain::money::NanoUsd;
use domain::routing::{Seen, Strategies, Target};

use crate::ledger::{RoutedCandidate, Routing};
use crate::pipeline::health::Breaker;
use crate::pipeline::route::{Candidate, Dropped, Question, Watch};
use crate::snapshot::Pool;

/// Sees a decision for the usage record. A route with one target leaves nothing to decide: nothing is noted of it,
/// and nothing is spent.
#[derive(Debug)]
pub struct Noting<'a, W> {
    /// Who else sees it.
    beside: &'a mut W,
    strategy: Option<Strategies>,
    /// By the places of the targets in their route.
    candidates: Vec<RoutedCandidate>,
}

impl<'a, W> Noting<'a, W> {
    /// Sees what another one sees as well.
    pub fn beside(beside: &'a mut W) -> Self {
        Self { beside, strategy: None, candidates: Vec::new() }
    }

    /// What was decided. `order` has the places of those that can serve, in the order in which they are tried.
    #[must_use]
    pub fn routing(self, order: impl Iterator<Item = usize>) -> Option<Box<Routing>> {
        let strategy = self.strategy?;
        let mut left: Vec<Option<RoutedCandidate>> = self.candidates.into_iter().map(Some).collect();
        let mut candidates: Vec<RoutedCandidate> = Vec::with_capacity(left.len());
        // A target is tried with one credential after the other, and is told once.
        candidates.extend(order.filter_map(|place| left.get_mut(place)?.take()));
        candidates.extend(left.into_iter().flatten());
        Some(Box::new(Routing { strategy, candidates }))
    }
}

impl<W: Watch> Watch for Noting<'_, W> {
    fn resolved(&mut self, strategy: Strategies, targets: &[Target]) {
        self.beside.resolved(strategy, targets);
        if targets.len() < 2 {
            return;
        }
        let candidate = |target: &Target| RoutedCandidate {
            provider: target.provider.clone(),
            model: target.model.clone(),
            dropped: None,
            ttfb_ms: None,
            expected_cost: None,
            to_measure: false,
            ejected: false,
        };
        self.strategy = Some(strategy);
        self.candidates = targets.iter().map(candidate).collect();
    }

    fn dropped(&mut self, place: usize, why: Dropped<'_>) {
        self.beside.dropped(place, why);
        if let Some(candidate) = self.candidates.get_mut(place) {
            candidate.dropped = Some(Cow::Borrowed(why.code()));
        }
    }

    fn in_use(&mut self, pool: &Pool) {
        self.beside.in_use(pool);
    }

    fn measured(&mut self, question: &Question<'_>, candidate: &Candidate, seen: &Seen) {
        self.beside.measured(question, candidate, seen);
        let Some(noted) = self.candidates.get_mut(candidate.place) else { return };
        noted.ttfb_ms = seen.timing.typical_ms.map(rounded);
        noted.expected_cost = seen.cost_nano_usd.map(NanoUsd);
        noted.to_measure = candidate.measures.is_some();
        noted.ejected = candidate.look.breaker == Breaker::Open;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast to an integer saturates")]
fn rounded(ms: f64) -> u32 {
    ms.round() as u32
}

impl Dropped<'_> {
    /// The reason for programs, one of a closed list.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::ProviderMissing => "provider_missing",
            Self::OperationUnsupported => "operation_unsupported",
            Self::BreakerOpen => "breaker_open",
            Self::InUse => "credentials_in_use",
            Self::Unwritable(error) => unwritable(error),
            Self::Unheld(_) => "session_unsupported",
        }
    }
}

/// The code of what cannot be said in a provider's words, by the field that is in the way.
fn unwritable(error: &DialectError) -> &'static str {
    let param = match error {
        DialectError::Unsupported { param, .. } | DialectError::Invalid { param, .. } => *param,
        DialectError::Audio(_) => return "audio_unsupported",
        DialectError::Upstream(_) => return "request_unsupported",
    };
    match param {
        "model" => "operation_unsupported",
        "response_format" => "format_unsupported",
        "language" | "languages" | "languages[]" => "language_unsupported",
        "stream" | "stream_format" => "streaming_unsupported",
        "voice" => "voice_unsupported",
        "input" => "text_unsupported",
        _ => "request_unsupported",
    }
}
