//! The calls that an agent has made and the client has not answered.

use std::collections::VecDeque;

use super::input::Job;
use super::session::ConversationSession;

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
    /// Outputs that the agent has not been given.
    pub(super) given: Vec<Job>,
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
        (!call.withdrawn).then_some(call.name)
    }
}

impl ConversationSession {
    /// Gives the agent the outputs of its calls. A client may answer a call as soon as it is told, but the agent
    /// goes on when it has the output: so that its answer is another response, the one with the calls ends first.
    pub(super) fn pass_on_outputs(&mut self) {
        if self.output.open.as_ref().is_some_and(|open| open.calls) || self.tools.given.is_empty() {
            return;
        }
        for output in std::mem::take(&mut self.tools.given) {
            self.input.push_at_once(output);
        }
        self.tools.pending = true;
    }
}
