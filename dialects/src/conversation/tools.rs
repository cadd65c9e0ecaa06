//! The calls that an agent has made and the client has not answered.

use std::collections::VecDeque;

/// The calls that may be open.
const MAX_OPEN: usize = 256;

/// A call.
#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    /// The agent does not want its output any more.
    withdrawn: bool,
}

/// The open calls, and what became of those that were answered.
#[derive(Debug, Default)]
pub(super) struct Tools {
    open: VecDeque<Call>,
    /// Outputs were given since the client last asked for a response: its next question is about them.
    pub(super) unasked: bool,
    /// The agent has outputs and has not gone on yet.
    pub(super) pending: bool,
    /// The last output was one that nobody wants.
    pub(super) unwanted: bool,
}

impl Tools {
    pub(super) fn called(&mut self, id: &str, name: &str) {
        if self.knows(id) {
            return;
        }
        if self.open.len() >= MAX_OPEN {
            self.open.pop_front();
        }
        self.open.push_back(Call { id: id.to_owned(), name: name.to_owned(), withdrawn: false });
    }

    pub(super) fn withdraw(&mut self, id: &str) {
        if let Some(call) = self.open.iter_mut().find(|call| call.id == id) {
            call.withdrawn = true;
        }
    }

    /// Whether the agent waits for a function.
    pub(super) fn waits(&self) -> bool {
        self.open.iter().any(|call| !call.withdrawn)
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.open.iter().any(|call| call.id == id)
    }

    /// The function of a call that is answered now; `None` where nobody wants its output.
    pub(super) fn answer(&mut self, id: &str) -> Option<String> {
        let at = self.open.iter().position(|call| call.id == id)?;
        let call = self.open.remove(at)?;
        self.unasked = true;
        self.unwanted = call.withdrawn;
        self.pending |= !call.withdrawn;
        (!call.withdrawn).then_some(call.name)
    }
}
