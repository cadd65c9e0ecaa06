//! Why a conversation ended, in words.

/// How a connection was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// As the WebSocket says; 1006 without a word of the other side.
    pub(super) code: u16,
    pub(super) reason: String,
    /// It was never open.
    pub(super) was_refused: bool,
    /// One has ended it oneself.
    pub(super) by_me: bool,
}

impl End {
    /// It went as one would wish.
    pub(super) fn is_good(&self) -> bool {
        self.by_me || self.code == 1000
    }

    /// What the code means, and what to do.
    pub(super) fn meaning(&self) -> &'static str {
        match self.code {
            _ if self.by_me => "You ended the conversation.",
            _ if self.was_refused => {
                "The gateway refused the connection, or something on the way does not let WebSockets through. Check that the model has a provider that works, and that no limit of the key is reached."
            }
            1000 => "The conversation ended as usual.",
            1001 => "The gateway is about to stop, or the provider's time for one session is over. Start again.",
            1002 => "The other side did not follow the protocol.",
            1003 | 1007 => "Something was sent that cannot be read.",
            1006 => "The connection broke. Check your network and start again.",
            1008 => "The gateway ended it by a rule: a limit, the budget, the key, or an administrator.",
            1009 => "A message was too large.",
            1011 => "The provider failed or was lost. Start again, or try another model.",
            1012 => "The server starts anew. Start again in a moment.",
            1013 => "The provider is overloaded. Start again in a moment.",
            3000 | 4000..=4999 => "The provider refused the session.",
            _ => "The other side closed the connection.",
        }
    }

    /// `Closed with 1008: the budget is spent`
    pub(super) fn told(&self) -> String {
        match self.reason.as_str() {
            "" => format!("Closed with {}", self.code),
            reason => format!("Closed with {}: {reason}", self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_what_it_means() {
        let end = |code, was_refused, by_me| End { code, reason: "the budget is spent".to_owned(), was_refused, by_me };
        assert!(end(1008, false, false).meaning().contains("budget"));
        assert_eq!(end(1008, false, false).told(), "Closed with 1008: the budget is spent");
        assert!(end(1006, true, false).meaning().contains("refused"));
        assert!(end(1006, false, false).meaning().contains("network"));
        assert!(
            end(1000, false, false).is_good() && end(1006, false, true).is_good() && !end(1011, false, false).is_good()
        );
    }
}
