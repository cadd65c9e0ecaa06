//! How many calls are made again, so that a provider that fails is not asked for more than before.
//!
//! There is one budget for each provider's account. A call pays into the budget of the account that its route chose
//! first, and whatever is done for it again is paid from there: another try, a try at another provider, a second
//! provider that is asked beside a slow first one. So what a provider's failures add to the load, wherever it lands,
//! is a share of the calls that were meant for it. One budget for the whole gateway would let a provider that fails,
//! perhaps one tenant's own, use up what the calls of all others need; one for each target would multiply what a
//! provider that is down has to bear by the number of its models.
//!
//! Budgets are kept by the provider's row and outlive views of the configuration. A call that goes well touches
//! one of them once, for a few instructions behind a lock of that provider alone.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use domain::ids::ProviderId;
use domain::routing::retry::{self, Failure, Left, Next, RetryBudget};

use crate::clock;
use crate::pipeline::route::Candidate;
use crate::snapshot::{Pool, Snapshot};

/// The budgets of this process.
#[derive(Debug)]
pub struct Retries {
    started: Instant,
    budgets: DashMap<ProviderId, RetryBudget>,
    draws: AtomicU64,
}

impl Default for Retries {
    fn default() -> Self {
        Self { started: clock::mono(), budgets: DashMap::new(), draws: AtomicU64::new(0) }
    }
}

impl Retries {
    /// A call is about to ask its first target. Gives the account from whose budget it is made again.
    pub fn called(&self, candidate: &Candidate) -> ProviderId {
        let (home, now) = (candidate.account.id, self.now());
        match self.budgets.get_mut(&home) {
            Some(mut budget) => budget.called(now),
            None => self.budgets.entry(home).or_insert_with(|| RetryBudget::starting(now)).called(now),
        }
        home
    }

    /// What is done after a failure of a call that pays from the budget of `home`.
    #[must_use]
    pub fn next(&self, home: ProviderId, failure: Failure, left: Left) -> Next {
        let now = self.now();
        let draw = self.draw();
        retry::next(failure, left, &mut self.of(home, now), now, draw)
    }

    /// Takes what one more call costs; `false` where the budget is used up.
    #[must_use]
    pub fn take(&self, home: ProviderId) -> bool {
        let now = self.now();
        self.of(home, now).take(now)
    }

    /// Forgets the budgets of providers that are in no view any more.
    pub fn keep(&self, snapshot: &Snapshot) {
        let pools = snapshot.providers.values().chain(snapshot.tenant_providers.values().flat_map(|own| own.values()));
        let known: HashSet<ProviderId> = pools.flat_map(Pool::accounts).map(|account| account.id).collect();
        self.budgets.retain(|id, _| known.contains(id));
    }

    fn of(&self, home: ProviderId, now: Duration) -> dashmap::mapref::one::RefMut<'_, ProviderId, RetryBudget> {
        self.budgets.entry(home).or_insert_with(|| RetryBudget::starting(now))
    }

    fn now(&self) -> Duration {
        clock::mono().saturating_duration_since(self.started)
    }

    /// The next number from 0 to 1, spread evenly: calls that fail together do not come back together.
    fn draw(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "only the fraction matters")]
        let step = (self.draws.fetch_add(1, Ordering::Relaxed) % 1_000_003) as f64;
        (step * 0.618_033_988_749_894_9).fract()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::provider::ProviderKind;
    use uuid::Uuid;

    use super::*;
    use crate::pipeline::route::of_account;
    use crate::snapshot::ProviderAccount;

    fn account(id: u128) -> ProviderAccount {
        ProviderAccount {
            id: ProviderId(Uuid::from_u128(id)),
            tenant: None,
            name: format!("p{id}"),
            kind: ProviderKind::Openai,
            base_url: String::new(),
            api_key: None,
            credential: None,
            region: None,
            allow_insecure: false,
        }
    }

    #[test]
    fn an_account_has_its_own_budget_for_as_long_as_it_is_configured() {
        let retries = Retries::default();
        let mut view = Snapshot::default();
        view.insert_provider(account(1));
        let row = dialects::registry::provider(ProviderKind::Openai).unwrap();
        let [one, two] = [1, 2].map(|id| retries.called(&of_account(&Arc::new(account(id)), row)));
        let spend = |home| (0..1_000).filter(|_| retries.take(home)).count();
        assert!(spend(one) < 100, "some are saved up, and no more");
        retries.keep(&view);
        assert!(spend(one) < 10, "another view of it fills nothing");
        assert_eq!(retries.budgets.len(), 1, "the other one is gone, and forgotten");
        assert!(spend(two) >= 10, "one that comes anew begins as all do");
    }
}
