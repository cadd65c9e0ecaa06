//! Which of a provider's credentials a call uses: drawn by weight among those that have room, and that the
//! provider has not just refused.
//!
//! A call or session takes a seat at its credential right before the provider is asked, and gives it back
//! when the last part of it is dropped, however it ends. What is counted outlives views of the
//! configuration. A provider with one credential and no bound has no seats: nothing is counted for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use domain::ids::{CredentialId, ProviderId};

use crate::pipeline::queue::{Handed, Line};
use crate::snapshot::{Credential, Pool, ProviderAccount, Snapshot};

/// For how long a credential is left alone that the provider has refused.
pub const REFUSED_FOR: Duration = Duration::from_secs(60);

/// The seats of every credential, in this process.
#[derive(Debug, Default)]
pub struct Seats {
    credentials: DashMap<CredentialId, Arc<State>>,
    lines: DashMap<ProviderId, Arc<Line>>,
    draws: AtomicU64,
}

/// What is known of one credential.
#[derive(Debug)]
pub(super) struct State {
    taken: AtomicU32,
    /// Those who wait for a seat at the provider.
    line: Arc<Line>,
    since: Instant,
    /// Milliseconds after `since` until which it is left alone.
    aside_until_ms: AtomicU64,
}

impl State {
    fn new(line: Arc<Line>) -> Self {
        Self { taken: AtomicU32::new(0), line, since: Instant::now(), aside_until_ms: AtomicU64::new(0) }
    }

    /// Whoever waits has what is free.
    fn has_room(&self, most: Option<u32>) -> bool {
        self.line.is_empty() && most.is_none_or(|most| self.taken.load(Ordering::Relaxed) < most)
    }

    /// One more, where there is room.
    fn take(&self, most: Option<u32>) -> bool {
        let room = |taken: u32| most.is_none_or(|most| taken < most).then(|| taken.saturating_add(1));
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_ok()
    }

    /// One less, which is for whoever waits.
    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if !self.line.is_empty() {
            self.line.serve();
        }
    }

    /// How long it is still left alone; nothing where it is not.
    pub(super) fn aside_ms(&self, now: Instant) -> u64 {
        let past = u64::try_from(now.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX);
        self.aside_until_ms.load(Ordering::Relaxed).saturating_sub(past)
    }
}

/// A call's seat at one credential.
#[derive(Debug)]
pub struct Seat {
    credential: CredentialId,
    state: Arc<State>,
    most: Option<u32>,
    taken: AtomicBool,
    /// Another credential of this provider can take over.
    is_one_of_several: bool,
    /// Shared with the other credentials of the target: the provider itself failed, whoever asks it.
    provider_failed: Arc<AtomicBool>,
}

impl Seat {
    /// Takes the seat; `false` where the credential is in use as often as it may be, or the provider has
    /// just failed another of its credentials. Taking it again changes nothing.
    #[must_use]
    pub fn take(&self) -> bool {
        if self.provider_failed.load(Ordering::Relaxed) {
            return false;
        }
        if self.taken.swap(true, Ordering::Relaxed) {
            return true;
        }
        let took = self.state.take(self.most);
        self.taken.store(took, Ordering::Relaxed);
        took
    }

    /// Gives the seat back before the call ends.
    pub fn give_back(&self) {
        if self.taken.swap(false, Ordering::Relaxed) {
            self.state.give_back();
        }
    }

    /// A seat that is taken, where there is room.
    pub(super) fn taken(credential: Credential, state: Arc<State>, is_one_of_several: bool) -> Option<Self> {
        let most = credential.max_concurrent;
        let provider_failed = Arc::new(AtomicBool::new(false));
        state.take(most).then(|| {
            let taken = AtomicBool::new(true);
            Self { credential: credential.id, state, most, taken, is_one_of_several, provider_failed }
        })
    }

    /// The provider refuses this credential for a while. Without another one there is nothing better to do
    /// than to ask again, so nothing is remembered then.
    pub fn set_aside(&self, time: Duration) {
        if self.is_one_of_several {
            let until = (self.state.since.elapsed() + time).as_millis();
            self.state.aside_until_ms.fetch_max(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Whether the credential is left alone: then a failure is its own, and not the provider's.
    #[must_use]
    pub fn is_aside(&self) -> bool {
        self.state.aside_ms(Instant::now()) > 0
    }

    /// The provider failed, whichever credential is used.
    pub fn provider_failed(&self) {
        self.provider_failed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A credential that may be used, with the seat at it.
pub type Place = (Arc<ProviderAccount>, Option<Arc<Seat>>);

impl Seats {
    /// Whether some credential of this provider has room.
    #[must_use]
    pub fn has_room(&self, pool: &Pool) -> bool {
        pool.is_plain() || pool.accounts().any(|account| self.room_at(account))
    }

    /// Places that are taken in queues for seats.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lines.iter().map(|line| line.len()).sum()
    }

    fn room_at(&self, account: &ProviderAccount) -> bool {
        let Some(credential) = account.credential else { return true };
        let state = self.credentials.get(&credential.id);
        state.is_none_or(|state| state.has_room(credential.max_concurrent))
    }

    /// The credentials of a provider that have room, in the order in which they are tried: the first is
    /// drawn by weight. Those that the provider has just refused are left out while there are others; where
    /// there are none, the one is tried whose time ends first. The seat that the call was `handed`, where it is at
    /// this provider, comes before all.
    #[must_use]
    pub fn places(&self, pool: &Pool, handed: Option<&Handed>) -> Vec<Place> {
        if pool.is_plain() {
            return vec![(Arc::clone(pool.account()), None)];
        }
        let handed = handed.filter(|handed| handed.is_at(pool)).map(|handed| &handed.seat);
        let now = Instant::now();
        let mut open: Vec<(&Arc<ProviderAccount>, Credential, Arc<State>)> = Vec::new();
        let mut aside = Vec::new();
        for account in pool.accounts() {
            let Some(credential) = account.credential else { continue };
            if handed.is_some_and(|seat| seat.credential == credential.id) {
                continue;
            }
            let state = self.state(account.id, credential.id);
            if !state.has_room(credential.max_concurrent) {
                continue;
            }
            match state.aside_ms(now) {
                0 => open.push((account, credential, state)),
                left => aside.push((left, (account, credential, state))),
            }
        }
        if open.is_empty() {
            open.extend(aside.into_iter().min_by_key(|(left, _)| *left).map(|(_, place)| place));
        }
        let weights = open.iter().map(|(_, credential, _)| u64::from(credential.weight));
        if let Some(first) = drawn(weights, || self.draw()) {
            let first = open.remove(first);
            // A weight of nothing is for when no other can be used.
            open.sort_by_key(|(_, credential, _)| credential.weight == 0);
            open.insert(0, first);
        }
        let is_one_of_several = pool.accounts().nth(1).is_some();
        let provider_failed = handed.map_or_else(Arc::default, |seat| Arc::clone(&seat.provider_failed));
        let seat = |credential: Credential, state| Seat {
            credential: credential.id,
            state,
            most: credential.max_concurrent,
            taken: AtomicBool::new(false),
            is_one_of_several,
            provider_failed: Arc::clone(&provider_failed),
        };
        let place = |(account, credential, state): (&Arc<ProviderAccount>, Credential, Arc<State>)| {
            (Arc::clone(account), Some(Arc::new(seat(credential, state))))
        };
        let with = |seat: &Arc<Seat>| {
            let account = pool.accounts().find(|account| account.key().1 == Some(seat.credential))?;
            Some((Arc::clone(account), Some(Arc::clone(seat))))
        };
        handed.and_then(with).into_iter().chain(open.into_iter().map(place)).collect()
    }

    /// The credentials of a provider, with what is known of each.
    pub(super) fn credentials_of(&self, pool: &Pool) -> Vec<(Credential, Arc<State>)> {
        let counted = pool.accounts().filter_map(|account| Some((account.id, account.credential?)));
        counted.map(|(provider, credential)| (credential, self.state(provider, credential.id))).collect()
    }

    /// Those who wait at a provider.
    pub(super) fn line(&self, provider: ProviderId) -> Arc<Line> {
        Arc::clone(&self.lines.entry(provider).or_insert_with(|| Arc::new(Line::new(provider))))
    }

    /// Forgets credentials that are in no view any more and in nobody's use. Whoever waits may be served by what is
    /// new in the view.
    pub fn keep(&self, snapshot: &Snapshot) {
        let pools = snapshot.providers.values().chain(snapshot.tenant_providers.values().flat_map(|own| own.values()));
        let known: std::collections::HashSet<CredentialId> =
            pools.flat_map(Pool::accounts).filter_map(|account| account.credential).map(|row| row.id).collect();
        self.credentials.retain(|id, state| known.contains(id) || Arc::strong_count(state) > 1);
        self.lines.retain(|_, line| Arc::strong_count(line) > 1);
        let waiting: Vec<Arc<Line>> = self.lines.iter().map(|line| Arc::clone(&line)).collect();
        waiting.iter().filter(|line| !line.is_empty()).for_each(|line| line.serve());
    }

    fn state(&self, provider: ProviderId, id: CredentialId) -> Arc<State> {
        if let Some(state) = self.credentials.get(&id) {
            return Arc::clone(&state);
        }
        let line = self.line(provider);
        Arc::clone(&self.credentials.entry(id).or_insert_with(|| Arc::new(State::new(line))))
    }

    /// The next number from 0 to 1: shares come out exact over few calls as well.
    fn draw(&self) -> f64 {
        let step = self.draws.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "only the fraction matters")]
        let turn = (step % 1_000_003) as f64 * 0.618_033_988_749_894_9;
        turn.fract()
    }
}

/// Which of these weights is drawn; the first where all are nothing, none where there are none.
fn drawn(weights: impl ExactSizeIterator<Item = u64> + Clone, draw: impl FnOnce() -> f64) -> Option<usize> {
    if weights.len() < 2 {
        return (weights.len() == 1).then_some(0);
    }
    let total: u64 = weights.clone().sum();
    #[expect(clippy::cast_precision_loss, reason = "a share, not an amount")]
    let mut left = draw() * total as f64;
    let mut weights = weights;
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    let found = weights.position(|weight| {
        left -= weight as f64;
        left < 0.0
    });
    found.or(Some(0))
}

#[cfg(test)]
mod tests {
    use domain::ids::ProviderId;
    use domain::provider::ProviderKind;
    use secrecy::SecretString;
    use uuid::Uuid;

    use super::*;

    fn pool(credentials: &[(u128, u32, Option<u32>)]) -> Pool {
        let accounts = credentials.iter().map(|(id, weight, max_concurrent)| ProviderAccount {
            id: ProviderId(Uuid::from_u128(1)),
            tenant: None,
            name: "p".to_owned(),
            kind: ProviderKind::Openai,
            base_url: String::new(),
            api_key: Some(SecretString::from("sk")),
            credential: Some(Credential {
                id: CredentialId(Uuid::from_u128(*id)),
                weight: *weight,
                max_concurrent: *max_concurrent,
            }),
            region: None,
            allow_insecure: false,
        });
        Pool::new(accounts).unwrap()
    }

    fn ids(places: &[Place]) -> Vec<u128> {
        places.iter().map(|(account, _)| account.credential.unwrap().id.0.as_u128()).collect()
    }

    #[test]
    fn credentials_are_used_by_their_weight_and_one_without_weight_comes_last() {
        let (seats, pool) = (Seats::default(), pool(&[(1, 0, None), (2, 1, None), (3, 3, None)]));
        let firsts: Vec<u128> = (0..400).map(|_| ids(&seats.places(&pool, None))[0]).collect();
        let count = |id| firsts.iter().filter(|first| **first == id).count();
        assert_eq!(count(1), 0);
        assert!((95..=105).contains(&count(2)) && (295..=305).contains(&count(3)), "{} {}", count(2), count(3));
        assert_eq!(ids(&seats.places(&pool, None)).last(), Some(&1));
    }

    #[test]
    fn a_seat_is_taken_once_and_free_again_when_its_last_holder_is_gone() {
        let (seats, pool) = (Seats::default(), pool(&[(1, 1, Some(1))]));
        let places = seats.places(&pool, None);
        let waiting = seats.places(&pool, None);
        let seat = places[0].1.clone().unwrap();
        assert!(seats.has_room(&pool) && seat.take() && seat.take(), "looking takes nothing; taking twice takes one");
        assert!(!seats.has_room(&pool) && seats.places(&pool, None).is_empty());
        assert!(!waiting[0].1.as_ref().unwrap().take(), "whoever was drawn meanwhile finds it taken");
        drop(places);
        assert!(!seats.has_room(&pool), "the session still has it");
        drop(seat);
        assert!(seats.has_room(&pool) && waiting[0].1.as_ref().unwrap().take());
    }

    #[test]
    fn what_a_provider_refuses_is_left_alone_while_there_are_others() {
        let (seats, two, one) = (Seats::default(), pool(&[(1, 1, None), (2, 1, None)]), pool(&[(3, 1, Some(9))]));
        let set_aside = |id: u128, time| {
            let pool = if id == 3 { &one } else { &two };
            let places = seats.places(pool, None);
            let place = places.iter().find(|(account, _)| account.credential.unwrap().id.0.as_u128() == id);
            place.unwrap().1.as_ref().unwrap().set_aside(time);
        };
        set_aside(1, Duration::from_secs(600));
        assert_eq!(ids(&seats.places(&two, None)), [2]);
        set_aside(2, Duration::from_secs(60));
        assert_eq!(ids(&seats.places(&two, None)), [2], "none is left: whose time ends first");
        set_aside(3, Duration::from_secs(60));
        assert!(!seats.places(&one, None)[0].1.as_ref().unwrap().is_aside(), "the only one is asked again");
    }

    #[test]
    fn a_provider_that_fails_one_credential_is_not_asked_with_the_next() {
        let (seats, pool) = (Seats::default(), pool(&[(1, 1, None), (2, 1, None)]));
        let places = seats.places(&pool, None);
        places[0].1.as_ref().unwrap().provider_failed();
        assert!(!places[1].1.as_ref().unwrap().take());
        assert!(seats.places(&pool, None)[0].1.as_ref().unwrap().take(), "another call is not concerned");
    }

    #[test]
    fn what_is_in_use_is_counted_on_when_the_configuration_changes() {
        let (seats, pool) = (Seats::default(), pool(&[(1, 1, Some(1))]));
        let seat = seats.places(&pool, None).remove(0).1.unwrap();
        assert!(seat.take());
        seats.keep(&Snapshot::default());
        assert!(!seats.has_room(&pool));
        drop(seat);
        seats.keep(&Snapshot::default());
        assert!(seats.credentials.is_empty());
    }
}
