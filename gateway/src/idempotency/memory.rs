//! What is remembered of requests with an idempotency key: bounded for each virtual key and in all, so that
//! nobody's repeats push out another's, and for a day.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use domain::ids::VirtualKeyId;

/// How long the end of a request is remembered.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// Bytes of an answer that is kept.
pub(super) const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// What an entry takes beside its answer's body, roughly.
const ENTRY_BYTES: usize = 512;

/// SHA-256 over whatever makes two requests the same.
pub(super) type Digest = [u8; 32];

/// How much may be remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Requests that have ended.
    pub(super) entries: usize,
    /// Bytes of their answers.
    pub(super) bytes: usize,
}

/// For one virtual key.
pub(super) const PER_KEY: Bounds = Bounds { entries: 10_000, bytes: 8 * 1024 * 1024 };
/// For all of them.
pub(super) const IN_ALL: Bounds = Bounds { entries: 100_000, bytes: 64 * 1024 * 1024 };

/// Which request it is: of which virtual key, and a digest of its path and its idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) key: VirtualKeyId,
    pub(super) request: Digest,
}

/// An answer that is given again.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

impl Answer {
    fn bytes(&self) -> usize {
        self.body.len() + ENTRY_BYTES
    }
}

/// What is known of a request that was made before.
#[derive(Debug)]
pub(super) enum Before {
    /// Nothing: it is running from now on.
    New,
    /// It was another request.
    Other,
    /// It is running.
    Running,
    /// It was served, and its answer is gone.
    Spent,
    /// It was answered with this.
    Answered(Answer),
}

#[derive(Debug)]
struct Entry {
    /// What was asked.
    asked: Digest,
    /// `None` while it runs.
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Ended {
    /// Its place among those that have ended.
    turn: u64,
    at: Instant,
    answer: Option<Answer>,
}

/// Requests that have ended, oldest first.
#[derive(Debug, Default)]
struct Order {
    entries: BTreeMap<u64, Scope>,
    /// Those of them whose answer is kept.
    answers: BTreeMap<u64, Scope>,
    bytes: usize,
}

impl Order {
    /// Which is to be forgotten first, where there are too many.
    fn surplus(&self, bounds: Bounds) -> Option<Scope> {
        let oldest = self.entries.first_key_value().map(|(_, scope)| *scope);
        oldest.filter(|_| self.entries.len() > bounds.entries)
    }

    /// Whose answer is to be dropped first, where they are too large together.
    fn heaviest_past(&self, bounds: Bounds) -> Option<Scope> {
        let oldest = self.answers.first_key_value().map(|(_, scope)| *scope);
        oldest.filter(|_| self.bytes > bounds.bytes)
    }

    fn add(&mut self, turn: u64, scope: Scope, answer: Option<&Answer>) {
        self.entries.insert(turn, scope);
        if let Some(answer) = answer {
            self.answers.insert(turn, scope);
            self.bytes += answer.bytes();
        }
    }

    fn drop_answer(&mut self, turn: u64, bytes: usize) {
        if self.answers.remove(&turn).is_some() {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

/// All that is remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    entries: HashMap<Scope, Entry>,
    all: Order,
    by_key: HashMap<VirtualKeyId, Order>,
    turns: u64,
}

impl Memory {
    /// What is known of a request; one that is new is running from now on, until [`Self::end`] or
    /// [`Self::forget`].
    pub(super) fn claim(&mut self, scope: Scope, asked: Digest, now: Instant) -> Before {
        self.expire(now);
        let Some(entry) = self.entries.get(&scope) else {
            self.entries.insert(scope, Entry { asked, ended: None });
            return Before::New;
        };
        if entry.asked != asked {
            return Before::Other;
        }
        match &entry.ended {
            None => Before::Running,
            Some(Ended { answer: Some(answer), .. }) => Before::Answered(answer.clone()),
            Some(_) => Before::Spent,
        }
    }

    /// A request that was claimed has been served.
    pub(super) fn end(&mut self, scope: Scope, answer: Option<Answer>, now: Instant) {
        let Some(entry) = self.entries.get_mut(&scope) else { return };
        self.turns += 1;
        let order = self.by_key.entry(scope.key).or_default();
        for order in [&mut self.all, order] {
            order.add(self.turns, scope, answer.as_ref());
        }
        entry.ended = Some(Ended { turn: self.turns, at: now, answer });
        self.keep_within(scope.key);
    }

    /// A request that was claimed has come to nothing, or one that ended is too old.
    pub(super) fn forget(&mut self, scope: Scope) {
        self.drop_answer(scope);
        let Some(Entry { ended: Some(ended), .. }) = self.entries.remove(&scope) else { return };
        self.all.entries.remove(&ended.turn);
        if let Some(order) = self.by_key.get_mut(&scope.key) {
            order.entries.remove(&ended.turn);
            if order.entries.is_empty() {
                self.by_key.remove(&scope.key);
            }
        }
    }

    fn drop_answer(&mut self, scope: Scope) {
        let Some(Entry { ended: Some(ended), .. }) = self.entries.get_mut(&scope) else { return };
        let Some(answer) = ended.answer.take() else { return };
        self.all.drop_answer(ended.turn, answer.bytes());
        if let Some(order) = self.by_key.get_mut(&scope.key) {
            order.drop_answer(ended.turn, answer.bytes());
        }
    }

    /// The virtual key gives up of its own first.
    fn keep_within(&mut self, key: VirtualKeyId) {
        while let Some(scope) = self.by_key.get(&key).and_then(|order| order.heaviest_past(PER_KEY)) {
            self.drop_answer(scope);
        }
        while let Some(scope) = self.by_key.get(&key).and_then(|order| order.surplus(PER_KEY)) {
            self.forget(scope);
        }
        while let Some(scope) = self.all.heaviest_past(IN_ALL) {
            self.drop_answer(scope);
        }
        while let Some(scope) = self.all.surplus(IN_ALL) {
            self.forget(scope);
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(scope) = self.all.entries.first_key_value().map(|(_, scope)| *scope) {
            let ended = self.entries.get(&scope).and_then(|entry| entry.ended.as_ref());
            if ended.is_some_and(|ended| now.saturating_duration_since(ended.at) < KEPT_FOR) {
                return;
            }
            self.forget(scope);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn scope(key: u128, request: u32) -> Scope {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&request.to_le_bytes());
        Scope { key: VirtualKeyId(Uuid::from_u128(key)), request: digest }
    }

    fn answer(bytes: usize) -> Option<Answer> {
        Some(Answer { headers: Vec::new(), body: Bytes::from(vec![b'a'; bytes]) })
    }

    fn ended(memory: &mut Memory, scope: Scope, answer: Option<Answer>, now: Instant) {
        assert!(matches!(memory.claim(scope, [1; 32], now), Before::New));
        memory.end(scope, answer, now);
    }

    #[test]
    fn a_repeat_learns_how_far_the_first_is_and_another_request_is_refused() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        assert!(matches!(memory.claim(scope(1, 1), [1; 32], now), Before::New));
        assert!(matches!(memory.claim(scope(1, 1), [1; 32], now), Before::Running));
        assert!(matches!(memory.claim(scope(1, 1), [2; 32], now), Before::Other));
        assert!(matches!(memory.claim(scope(2, 1), [2; 32], now), Before::New), "another virtual key's");
        memory.end(scope(1, 1), answer(3), now);
        let Before::Answered(again) = memory.claim(scope(1, 1), [1; 32], now) else { panic!("it is kept") };
        assert_eq!(again.body, "aaa");
        assert!(matches!(memory.claim(scope(1, 1), [2; 32], now), Before::Other));
        memory.forget(scope(2, 1));
        assert!(matches!(memory.claim(scope(2, 1), [3; 32], now), Before::New), "what came to nothing is free");
    }

    #[test]
    fn a_day_later_nothing_is_left() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        ended(&mut memory, scope(1, 1), answer(3), now);
        ended(&mut memory, scope(1, 2), None, now + Duration::from_secs(1));
        assert!(matches!(memory.claim(scope(1, 1), [1; 32], now + KEPT_FOR), Before::New));
        assert!(matches!(memory.claim(scope(1, 2), [1; 32], now + KEPT_FOR), Before::Spent));
        memory.forget(scope(1, 1));
        assert!(matches!(memory.claim(scope(1, 2), [1; 32], now + 2 * KEPT_FOR), Before::New));
        memory.forget(scope(1, 2));
        assert_eq!((memory.entries.len(), memory.by_key.len(), memory.all.bytes), (0, 0, 0));
    }

    #[test]
    fn a_virtual_key_that_keeps_much_loses_its_own_oldest_answers_and_nobody_else_s() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        ended(&mut memory, scope(1, 0), answer(1000), now);
        for request in 0..9 {
            ended(&mut memory, scope(2, request), answer(MAX_ANSWER_BYTES), now);
        }
        assert!(matches!(memory.claim(scope(2, 0), [1; 32], now), Before::Spent), "known, and not made twice");
        assert!(matches!(memory.claim(scope(2, 8), [1; 32], now), Before::Answered(_)));
        assert!(matches!(memory.claim(scope(1, 0), [1; 32], now), Before::Answered(_)));
        for request in 0..u32::try_from(PER_KEY.entries).unwrap() {
            ended(&mut memory, scope(2, 100 + request), None, now);
        }
        assert!(matches!(memory.claim(scope(2, 8), [1; 32], now), Before::New), "the oldest are forgotten");
        assert!(matches!(memory.claim(scope(1, 0), [1; 32], now), Before::Answered(_)));
    }

    #[test]
    fn many_virtual_keys_share_what_there_is_in_all() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for key in 0..65 {
            ended(&mut memory, scope(key, 0), answer(MAX_ANSWER_BYTES), now);
        }
        assert!(memory.all.bytes <= IN_ALL.bytes);
        assert!(matches!(memory.claim(scope(0, 0), [1; 32], now), Before::Spent));
        assert!(matches!(memory.claim(scope(64, 0), [1; 32], now), Before::Answered(_)));
    }
}
