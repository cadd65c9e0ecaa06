//! The utterances of a session: the one that is being heard, and those that were committed and wait for
//! the vendor's answer. Each is completed once.

use std::collections::VecDeque;

use super::transcript::Transcript;

/// One utterance.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) transcript: Transcript,
    /// The client was told that speech began.
    pub(super) announced: bool,
    /// When text was settled last.
    pub(super) settled_at: Option<u64>,
}

impl Item {
    pub(super) fn new(id: String) -> Self {
        Self { id, transcript: Transcript::default(), announced: false, settled_at: None }
    }
}

/// A commit that the vendor has not answered.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The utterance; `None` where what was said is to be forgotten.
    pub(super) item: Option<Item>,
    /// Position on the tape up to which it reaches.
    pub(super) mark: u64,
    /// When the vendor was asked, and how much audio it had then, in ticks.
    pub(super) asked: Option<Asked>,
}

/// The question to the vendor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) at: u64,
    pub(super) sent_ticks: u64,
}

/// The utterances of a session.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) open: Option<Item>,
    pub(super) waiting: VecDeque<Waiting>,
}

impl Items {
    /// The commit that is asked next, where one is not asked yet.
    pub(super) fn unasked(&mut self) -> Option<&mut Waiting> {
        self.waiting.iter_mut().find(|waiting| waiting.asked.is_none())
    }

    /// A new socket is asked again; interim words are heard again.
    pub(super) fn begin_anew(&mut self) {
        for waiting in &mut self.waiting {
            waiting.asked = None;
        }
        let waiting = self.waiting.iter_mut().filter_map(|waiting| waiting.item.as_mut());
        for item in waiting.chain(self.open.as_mut()) {
            item.transcript.forget_interim();
        }
    }

    /// Nothing is being heard or waited for.
    pub(super) fn idle(&self) -> bool {
        self.open.is_none() && self.waiting.is_empty()
    }
}
