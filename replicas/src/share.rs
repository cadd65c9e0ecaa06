//! How many gateways live, and what part of a limit one of them may give while Redis is away.

use std::sync::atomic::Ordering;

use domain::ids::TenantId;
use domain::money::NanoUsd;
use uuid::Uuid;

use crate::admission::unexpected;
use crate::connection::Replicas;
use crate::{ReplicasError, script};

/// One gateway's part of every limit. All parts together are the limit, as long as the number of gateways is right,
/// except that nobody's part of a limit is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalShare {
    gateways: u32,
}

impl LocalShare {
    /// One part of as many as there are `gateways`.
    #[must_use]
    pub fn of(gateways: u32) -> Self {
        Self { gateways: gateways.max(1) }
    }

    /// How many gateways share.
    #[must_use]
    pub fn gateways(self) -> u32 {
        self.gateways
    }

    /// A part of a number of requests or sessions: at least 1, but 0 of 0.
    #[must_use]
    pub fn of_count(self, limit: u32) -> u32 {
        (limit / self.gateways).max(limit.min(1))
    }

    /// A part of an amount: what is left of a budget, for instance.
    #[must_use]
    pub fn of_money(self, amount: NanoUsd) -> NanoUsd {
        NanoUsd((amount.0 / i64::from(self.gateways)).max(amount.0.min(1)))
    }
}

impl Replicas {
    /// Says that `gateway` lives and has sessions of `tenants`, and gives how many gateways do; to be called each
    /// third of the time of a lease, after which a gateway that said nothing is forgotten. In that time one of
    /// those that call it forgets the sessions of gateways that died, and counts them.
    ///
    /// # Errors
    /// `Away`; the number that was heard last stays.
    pub async fn beat(&self, gateway: Uuid, tenants: &[TenantId]) -> Result<u32, ReplicasError> {
        let mut args = vec![self.settings().lease_ttl.as_millis().to_string(), gateway.to_string()];
        args.extend(tenants.iter().map(TenantId::to_string));
        let answer = self.run(&script::BEAT, self.keys().of_gateways(), args).await?;
        let live: u32 = answer.first().and_then(|live| live.parse().ok()).ok_or_else(|| unexpected(&answer))?;
        self.gateways().store(live.max(1), Ordering::Relaxed);
        if answer.get(1).is_some_and(|looks| looks == "1") {
            self.forget_dead_sessions().await?;
        }
        Ok(live)
    }

    /// What this gateway may give by itself, by the number of gateways that was heard last.
    #[must_use]
    pub fn local_share(&self) -> LocalShare {
        LocalShare::of(self.gateways().load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_limit_and_are_never_nothing_of_something() {
        let third = LocalShare::of(3);
        assert_eq!([0, 1, 2, 3, 10].map(|limit| third.of_count(limit)), [0, 1, 1, 1, 3]);
        assert_eq!([0, 2, 300].map(|amount| third.of_money(NanoUsd(amount)).0), [0, 1, 100]);
        assert_eq!(LocalShare::of(0).of_count(7), 7);
        assert_eq!(third.of_money(NanoUsd(-9)), NanoUsd(-3), "what is overspent stays so");
    }
}
