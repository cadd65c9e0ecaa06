//! The models that transcribe what is said in a session: which the client may choose, and what they cost.

use std::sync::Arc;

use dialects::openai::realtime::Transcriber;
use domain::pricing::Price;
use domain::provider::Operation;

use crate::http::extract::Caller;
use crate::pipeline::authenticate::may_use;
use crate::pipeline::estimate;
use crate::pipeline::route::Candidate;

/// Models that may transcribe the input of a session at this provider: routes with a target there,
/// and the ones that the provider is known to have.
pub(super) fn permitted(caller: &Caller, candidate: &Candidate) -> Vec<Transcriber> {
    let transcribes = |operations: &[Operation]| operations.contains(&Operation::Transcription);
    let known = candidate.row.models.iter().filter(|known| transcribes(known.operations));
    let known = known.map(|known| (known.name.to_owned(), known.name.to_owned()));
    let declared = caller.snapshot.routes(caller.principal.key.tenant).flat_map(|route| {
        let here = route.targets.iter().filter(|target| target.provider == candidate.account.name);
        here.map(|target| {
            let wire = target.options.get("deployment").unwrap_or(&target.model).clone();
            (route.name.clone(), wire)
        })
    });
    let permitted = declared.chain(known).filter(|(asked, _)| is_permitted(caller, asked));
    permitted
        .map(|(asked, wire)| {
            let refused_unpriced = caller.principal.key.refuse_unpriced && !is_priced(caller, candidate, &wire);
            Transcriber { asked, wire, refused_unpriced }
        })
        .collect()
}

/// A client secret opens its own model and, beside a conversation, the transcriber that it was made for.
fn is_permitted(caller: &Caller, asked: &str) -> bool {
    let granted = caller.principal.grant.as_ref().is_none_or(|grant| grant.transcriber.as_deref() == Some(asked));
    granted && may_use(&caller.principal.key, asked)
}

fn is_priced(caller: &Caller, candidate: &Candidate, wire: &str) -> bool {
    let (_, prices) = billed(caller, candidate, wire);
    estimate::amount(&estimate::realtime_window(), &prices).is_some()
}

/// Under which model a transcript is recorded and priced that the provider's model `wire` has made: a
/// deployment is billed as the model behind it.
pub(super) fn billed(caller: &Caller, candidate: &Candidate, wire: &str) -> (String, Arc<[Price]>) {
    let mut of_model = candidate.clone();
    if wire != candidate.model.wire_name {
        let targets = caller.snapshot.routes(caller.facts.key.tenant).flat_map(|route| &route.targets);
        let mut here = targets.filter(|target| target.provider == candidate.account.name);
        let behind = here.find(|target| target.options.get("deployment").is_some_and(|name| name == wire));
        of_model.model.model = behind.map_or(wire, |target| &target.model).to_owned();
    }
    let facts = &caller.facts;
    let prices = estimate::prices(&caller.snapshot, facts.key.tenant, &of_model, Operation::Realtime, facts.started_at);
    (of_model.model.model, Arc::clone(prices))
}
