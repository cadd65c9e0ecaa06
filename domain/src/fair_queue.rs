//! A short queue that is fair to those who wait in it: they are served in turn, whoever has how many waiting.
//!
//! It knows no time and wakes nobody: whoever keeps it does.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

/// What waits, by whose it is. Within one owner the oldest goes first.
#[derive(Debug)]
pub struct FairQueue<K, T> {
    /// By ticket, which are given in order.
    waiting: HashMap<K, BTreeMap<u64, T>>,
    /// The owners with something waiting, each once; the first is served next.
    turns: VecDeque<K>,
    tickets: u64,
    len: usize,
}

/// A place in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// What became of somebody who wanted a place.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed<T> {
    /// They have one.
    Placed(Ticket),
    /// They have one, and the newest of the owner with the most waiting lost its own.
    InsteadOf(Ticket, T),
    /// There is no room: nobody has more waiting than they would have.
    Full(T),
}

impl<K, T> Default for FairQueue<K, T> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), turns: VecDeque::new(), tickets: 0, len: 0 }
    }
}

impl<K: Hash + Eq + Clone, T> FairQueue<K, T> {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `item` behind the others of `owner`. Where `most` wait already, the owner with the most waiting gives up
    /// a place to one who would still have fewer: nobody fills the queue for all.
    pub fn push(&mut self, owner: K, item: T, most: usize) -> Pushed<T> {
        let mut lost = None;
        if self.len >= most {
            let own = self.waiting.get(&owner).map_or(0, BTreeMap::len);
            match self.take_from_the_largest(own + 1) {
                Some(newest) => lost = Some(newest),
                None => return Pushed::Full(item),
            }
        }
        let ticket = self.tickets;
        self.tickets += 1;
        self.len += 1;
        let of_owner = self.waiting.entry(owner.clone()).or_default();
        if of_owner.is_empty() {
            self.turns.push_back(owner);
        }
        of_owner.insert(ticket, item);
        match lost {
            Some(lost) => Pushed::InsteadOf(Ticket(ticket), lost),
            None => Pushed::Placed(Ticket(ticket)),
        }
    }

    /// Whoever is served next; they stay in the queue.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        let of_owner = self.waiting.get(self.turns.front()?)?;
        of_owner.first_key_value().map(|(_, item)| item)
    }

    /// Serves the next; their owner's turn comes again after all others'.
    pub fn pop(&mut self) -> Option<T> {
        let owner = self.turns.pop_front()?;
        let of_owner = self.waiting.get_mut(&owner)?;
        let (_, item) = of_owner.pop_first()?;
        self.len -= 1;
        if of_owner.is_empty() {
            self.waiting.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        Some(item)
    }

    /// Takes out one who does not wait any more; nothing where they were served already.
    pub fn remove(&mut self, owner: &K, ticket: Ticket) -> Option<T> {
        let of_owner = self.waiting.get_mut(owner)?;
        let item = of_owner.remove(&ticket.0)?;
        let is_last = of_owner.is_empty();
        self.forget(owner, is_last);
        Some(item)
    }

    /// The newest of the owner with the most waiting, where these are more than `than`.
    fn take_from_the_largest(&mut self, than: usize) -> Option<T> {
        let owner = self.turns.iter().max_by_key(|owner| self.waiting.get(owner).map_or(0, BTreeMap::len))?.clone();
        let of_owner = self.waiting.get_mut(&owner).filter(|items| items.len() > than)?;
        let (_, item) = of_owner.pop_last()?;
        let is_last = of_owner.is_empty();
        self.forget(&owner, is_last);
        Some(item)
    }

    /// One of an owner's is gone, and with the last of them their turn.
    fn forget(&mut self, owner: &K, is_last: bool) {
        self.len -= 1;
        if is_last {
            self.waiting.remove(owner);
            self.turns.retain(|other| other != owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOMY: usize = 100_000;

    #[test]
    fn one_with_a_thousand_waiting_does_not_starve_one_with_one() {
        let mut queue = FairQueue::default();
        for number in 0..1_000 {
            queue.push("many", ("many", number), ROOMY);
        }
        queue.push("one", ("one", 0), ROOMY);
        queue.push("two", ("two", 0), ROOMY);
        queue.push("two", ("two", 1), ROOMY);
        let served: Vec<_> = std::iter::from_fn(|| queue.pop()).take(6).collect();
        assert_eq!(served, [("many", 0), ("one", 0), ("two", 0), ("many", 1), ("two", 1), ("many", 2)]);
    }

    #[test]
    fn a_full_queue_takes_from_whoever_has_most_and_refuses_them_alone() {
        let mut queue = FairQueue::default();
        for number in 0..4 {
            queue.push("many", number, 4);
        }
        assert_eq!(queue.push("many", 4, 4), Pushed::Full(4));
        assert!(matches!(queue.push("one", 10, 4), Pushed::InsteadOf(_, 3)), "the newest of theirs");
        assert!(matches!(queue.push("one", 11, 4), Pushed::InsteadOf(_, 2)));
        assert_eq!(queue.push("one", 12, 4), Pushed::Full(12), "both have two by now");
        assert_eq!(queue.len(), 4);
    }

    #[test]
    fn who_leaves_is_not_served_and_leaves_no_turn_behind() {
        let mut queue = FairQueue::default();
        let Pushed::Placed(first) = queue.push("a", 1, ROOMY) else { panic!() };
        queue.push("b", 2, ROOMY);
        assert_eq!((queue.remove(&"a", first), queue.remove(&"a", first)), (Some(1), None));
        assert_eq!((queue.front().copied(), queue.pop(), queue.pop()), (Some(2), Some(2), None));
        assert!(queue.is_empty() && queue.turns.is_empty() && queue.waiting.is_empty());
    }

    proptest! {
        /// Whatever is done, each item leaves once and in its owner's order, and while an owner waits no other is
        /// served twice.
        #[test]
        fn all_are_served_in_turn(steps in prop::collection::vec((0_u8..4, 0_usize..5), 0..200)) {
            let (mut queue, mut next) = (FairQueue::default(), 0_u32);
            let mut inside: Vec<(usize, u32, Ticket)> = Vec::new();
            // How often each was served while another waited.
            let mut served = [[0; 5]; 5];
            for (step, owner) in steps {
                match step {
                    0 | 1 => {
                        let Pushed::Placed(ticket) = queue.push(owner, (owner, next), ROOMY) else { panic!() };
                        inside.push((owner, next, ticket));
                        next += 1;
                    }
                    2 => {
                        let popped = queue.pop();
                        prop_assert_eq!(popped.is_none(), inside.is_empty());
                        let Some((owner, number)) = popped else { continue };
                        let oldest = inside.iter().find(|(other, ..)| *other == owner).map(|(_, number, _)| *number);
                        prop_assert_eq!(oldest, Some(number));
                        inside.retain(|(_, other, _)| *other != number);
                        served[owner] = [0; 5];
                        for waiting in (0..5).filter(|waiting| *waiting != owner) {
                            served[waiting][owner] += 1;
                        }
                    }
                    _ => {
                        let Some(at) = inside.iter().position(|(other, ..)| *other == owner) else { continue };
                        let (_, number, ticket) = inside.remove(at);
                        prop_assert_eq!(queue.remove(&owner, ticket), Some((owner, number)));
                    }
                }
                for (owner, served) in served.iter_mut().enumerate() {
                    if !inside.iter().any(|(other, ..)| *other == owner) {
                        *served = [0; 5];
                    }
                    prop_assert!(served.iter().all(|times| *times <= 1), "{owner} was passed over");
                }
                prop_assert_eq!(queue.len(), inside.len());
            }
        }
    }
}
