//! The sessions that are open on any gateway: listed by tenant and by key, ended from outside, and forgotten when
//! their gateway died.

use domain::ids::{SessionId, TenantId, VirtualKeyId};
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value};

use crate::connection::{Count, Replicas};
use crate::messages::Termination;
use crate::{ReplicasError, script};

/// Sessions of one script.
const AT_ONCE: usize = 200;

/// One open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSession {
    /// Its id; lists are in the order of these, which is the order in which sessions were opened.
    pub id: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// By which key.
    pub key: VirtualKeyId,
    /// What is shown of it, in the gateway's own form. Written again with each beat, so it should be short.
    pub about: String,
}

impl Replicas {
    /// Notes that `sessions` live, for the time of a lease; to be called each third of it. Gives those that shall
    /// end, with the reason: this finds what a message on the channel failed to tell.
    ///
    /// # Errors
    /// `Away`.
    pub async fn beat_sessions(&self, sessions: &[LiveSession]) -> Result<Vec<Termination>, ReplicasError> {
        let ttl = self.settings().lease_ttl.as_millis().to_string();
        let mut ends = Vec::new();
        for (tenant, some) in by_tenant(sessions) {
            let mut args = vec![ttl.clone()];
            for session in some {
                args.extend([
                    session.id.to_string(),
                    session.key.to_string(),
                    format!("{} {}", session.key, session.about),
                ]);
            }
            let answer = self.run(&script::LIVE_BEAT, self.keys().of_sessions(tenant), args).await?;
            for pair in self.without_dead(&answer).chunks_exact(2) {
                let [session, reason] = pair else { continue };
                if let Ok(session) = session.parse() {
                    ends.push(Termination { session, reason: reason.clone() });
                }
            }
        }
        Ok(ends)
    }

    /// Forgets sessions that have ended.
    ///
    /// # Errors
    /// `Away`: they are forgotten after the time of a lease.
    pub async fn end_sessions(&self, sessions: &[LiveSession]) -> Result<(), ReplicasError> {
        for (tenant, some) in by_tenant(sessions) {
            let args = some.iter().flat_map(|session| [session.id.to_string(), session.key.to_string()]).collect();
            let answer = self.run(&script::LIVE_END, self.keys().of_sessions(tenant), args).await?;
            self.without_dead(&answer);
        }
        Ok(())
    }

    /// A page of a tenant's sessions, or of one of its keys', behind the session `after`.
    ///
    /// # Errors
    /// `Away`.
    pub async fn list_sessions(
        &self,
        tenant: TenantId,
        key: Option<VirtualKeyId>,
        after: Option<SessionId>,
        most: u32,
    ) -> Result<Vec<LiveSession>, ReplicasError> {
        let text = |id: Option<String>| id.unwrap_or_default();
        let args = vec![text(key.map(|key| key.to_string())), text(after.map(|id| id.to_string())), most.to_string()];
        let answer = self.run(&script::LIVE_LIST, self.keys().of_sessions(tenant), args).await?;
        Ok(self.without_dead(&answer).chunks_exact(2).filter_map(|pair| told(tenant, pair)).collect())
    }

    /// The tenants that have sessions, in no order.
    ///
    /// # Errors
    /// `Away`.
    pub async fn tenants_with_sessions(&self) -> Result<Vec<TenantId>, ReplicasError> {
        let [_, tenants, _] = self.keys().of_gateways().try_into().unwrap_or_default();
        let words: Vec<Value> = vec![tenants.into(), "0".into(), "-1".into()];
        let range = CustomCommand::new_static("ZRANGE", ClusterHash::FirstKey, false);
        let answer = async { Ok(self.client()?.custom(range, words).await?) };
        let all: Vec<String> = self.in_time(answer).await?;
        Ok(all.iter().filter_map(|tenant| tenant.parse().ok()).collect())
    }

    /// Asks for the end of a session: its gateway is told at once, and finds it noted should it not hear. Gives
    /// whether the session is open.
    ///
    /// # Errors
    /// `Away`. Where the note was written and the message was not sent, the session ends with its next beat.
    pub async fn terminate(&self, tenant: TenantId, session: SessionId, reason: &str) -> Result<bool, ReplicasError> {
        let args = vec![session.to_string(), reason.to_owned()];
        let answer = self.run(&script::LIVE_TERMINATE, self.keys().of_sessions(tenant), args).await?;
        if self.without_dead(&answer).first().is_none_or(|lives| lives != "1") {
            return Ok(false);
        }
        self.tell_termination(&Termination { session, reason: reason.to_owned() }).await?;
        Ok(true)
    }

    /// Looks at every tenant's sessions, which forgets the dead ones.
    pub(crate) async fn forget_dead_sessions(&self) -> Result<(), ReplicasError> {
        for tenant in self.tenants_with_sessions().await? {
            self.list_sessions(tenant, None, None, 0).await?;
        }
        Ok(())
    }

    /// Counts the dead sessions that a script has forgotten, which it says first, and gives the rest of its answer.
    fn without_dead<'a>(&self, answer: &'a [String]) -> &'a [String] {
        let Some((dead, rest)) = answer.split_first() else { return &[] };
        let dead = dead.parse().unwrap_or(0);
        if dead > 0 {
            self.add(Count::DeadSessions, dead);
            tracing::warn!(sessions = dead, "sessions of a gateway that died were forgotten");
        }
        rest
    }
}

/// Sessions in pieces of one tenant each.
fn by_tenant(sessions: &[LiveSession]) -> Vec<(TenantId, Vec<&LiveSession>)> {
    let mut all: Vec<&LiveSession> = sessions.iter().collect();
    all.sort_by_key(|session| (session.tenant, session.id));
    all.chunk_by(|one, next| one.tenant == next.tenant)
        .flat_map(|of_tenant| of_tenant.chunks(AT_ONCE))
        .filter_map(|some| some.first().map(|first| (first.tenant, some.to_vec())))
        .collect()
}

fn told(tenant: TenantId, pair: &[String]) -> Option<LiveSession> {
    let [id, told] = pair else { return None };
    let (key, about) = told.split_once(' ')?;
    Some(LiveSession { id: id.parse().ok()?, tenant, key: key.parse().ok()?, about: about.to_owned() })
}
