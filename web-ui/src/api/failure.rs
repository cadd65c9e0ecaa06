//! Why a call did not give what was asked: for people, and for the field at fault.

use admin_types::problem::Problem;

/// What to do where somebody else was faster.
const WHEN_STALE: &str =
    "Somebody else has changed it since you opened it. Look at it as it is now, and repeat your change.";

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The admin API says so.
    Problem(Box<Problem>),
    /// The admin API says so, and when to come back.
    Wait(Box<Problem>, u64),
    /// The gateway says so.
    Gateway(Box<GatewayProblem>),
    /// Somebody else has changed it first, as this page found out by itself.
    Stale,
    /// A field, by its path in the body, cannot be sent as it stands, and why.
    Field(String, &'static str),
    /// Nothing answered.
    Network(String),
    /// Nothing answered in time.
    Timeout,
    /// Nobody is signed in, and nobody wanted to.
    SignedOut,
    /// What came cannot be read.
    Unreadable(String),
    /// Somebody stopped it.
    Cancelled,
}

/// An error in the shape that API clients of the gateway get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GatewayProblem {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Such as `model_not_found`.
    pub(crate) code: String,
    /// A sentence.
    pub(crate) message: String,
    /// The field at fault.
    pub(crate) param: Option<String>,
    /// As `x-request-id` said.
    pub(crate) request_id: Option<String>,
    /// Seconds to wait.
    pub(crate) retry_after: Option<u64>,
}

impl Failure {
    /// A few words.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Problem(problem) | Self::Wait(problem, _) => problem.title.clone(),
            Self::Gateway(problem) => match problem.status {
                401 => "The key is not accepted",
                403 => "The key may not do this",
                404 => "Not found",
                429 => "A limit is reached",
                400..=499 => "The request cannot be served",
                _ => "The call failed",
            }
            .to_owned(),
            Self::Stale => "Changed meanwhile".to_owned(),
            Self::Field(..) => "A field cannot be used".to_owned(),
            Self::Network(_) => "No connection".to_owned(),
            Self::Timeout => "No answer in time".to_owned(),
            Self::SignedOut => "You are signed out".to_owned(),
            Self::Unreadable(_) => "The answer cannot be read".to_owned(),
            Self::Cancelled => "Cancelled".to_owned(),
        }
    }

    /// What is wrong and what to do, in a sentence or two.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Wait(problem, seconds) => {
                format!("{} Try again in {}.", sentence(&problem.detail), wait_words(*seconds))
            }
            Self::Problem(problem) if problem.errors.len() > 1 => {
                let parts = problem.errors.iter().map(|error| format!("{}: {}", error.field, error.detail));
                sentence(&parts.collect::<Vec<_>>().join("; "))
            }
            Self::Problem(problem) if problem.code == "stale" => WHEN_STALE.to_owned(),
            Self::Stale => WHEN_STALE.to_owned(),
            Self::Field(_, why) => (*why).to_owned(),
            Self::Problem(problem) => sentence(&problem.detail),
            Self::Gateway(problem) => sentence(&problem.message),
            Self::Network(_) => "The server cannot be reached. Check your connection and try again.".to_owned(),
            Self::Timeout => "The server took too long. It may be busy: try again in a moment.".to_owned(),
            Self::SignedOut => "Sign in to go on.".to_owned(),
            Self::Unreadable(_) => {
                "The server and this page may be of different versions. Reload the page and try again.".to_owned()
            }
            Self::Cancelled => "It was stopped before it was done.".to_owned(),
        }
    }

    /// What is wrong with this field, by its path in the body.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        match self {
            Self::Problem(problem) => {
                let mut found = problem.errors.iter().filter(|error| error.field == name);
                found.next().map(|error| sentence(&error.detail))
            }
            Self::Gateway(problem) => {
                problem.param.as_deref().filter(|param| *param == name).map(|_| sentence(&problem.message))
            }
            Self::Field(path, why) => (path == name).then(|| (*why).to_owned()),
            _ => None,
        }
    }

    /// The HTTP status, where there was an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) | Self::Wait(problem, _) => Some(problem.status),
            Self::Gateway(problem) => Some(problem.status),
            _ => None,
        }
    }

    /// What a program decides by.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) | Self::Wait(problem, _) => Some(&problem.code),
            Self::Gateway(problem) => Some(&problem.code),
            _ => None,
        }
    }

    /// As the server's log names the request.
    pub(crate) fn request_id(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) | Self::Wait(problem, _) => problem.instance.as_deref(),
            Self::Gateway(problem) => problem.request_id.as_deref(),
            _ => None,
        }
    }

    /// Seconds to wait.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Wait(_, seconds) => Some(*seconds),
            Self::Gateway(problem) => problem.retry_after,
            _ => None,
        }
    }

    /// There is nothing of that name, or nothing that one may see.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// What is not there yet may come, and who does not answer now may answer later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Network(_) | Self::Timeout) || matches!(self.status(), Some(404 | 429 | 500..))
    }

    /// Somebody else has changed it first.
    pub(crate) fn is_stale(&self) -> bool {
        *self == Self::Stale || self.status() == Some(412)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.title(), self.detail())
    }
}

impl std::error::Error for Failure {}

/// A wait for people, rounded up.
pub(crate) fn wait_words(seconds: u64) -> String {
    match seconds {
        0 | 1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// With a capital at its begin and a point at its end.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return String::new() };
    // A field's own name stays as it is.
    let named = text.split_once(':').is_some_and(|(name, _)| !name.contains(' '));
    let mut whole = if named { first.to_string() } else { first.to_uppercase().collect() };
    whole.push_str(letters.as_str());
    if !whole.ends_with(['.', '!', '?', '…']) {
        whole.push('.');
    }
    whole
}

#[cfg(test)]
mod tests {
    use admin_types::problem::FieldProblem;

    use super::*;

    fn problem(code: &str, detail: &str, errors: &[(&str, &str)]) -> Box<Problem> {
        let errors = errors
            .iter()
            .map(|(field, detail)| FieldProblem { field: (*field).to_owned(), detail: (*detail).to_owned() });
        Box::new(Problem {
            kind: format!("urn:antiphon:problem:{code}"),
            title: "Fields cannot be used".to_owned(),
            status: 422,
            code: code.to_owned(),
            detail: detail.to_owned(),
            instance: None,
            errors: errors.collect(),
        })
    }

    #[test]
    fn a_failure_says_what_to_do() {
        let one = Failure::Problem(problem("invalid", "name: is empty", &[("name", "is empty")]));
        assert_eq!(one.field("name").as_deref(), Some("Is empty."));
        assert_eq!(one.field("email"), None);
        assert_eq!(one.detail(), "name: is empty.");
        let two = Failure::Problem(problem("invalid", "x", &[("a", "is empty"), ("b", "is no URL")]));
        assert_eq!(two.detail(), "a: is empty; b: is no URL.");
        let wait = Failure::Wait(problem("too_many", "too many have failed", &[]), 61);
        assert_eq!(wait.detail(), "Too many have failed. Try again in 61 seconds.");
        let own = Failure::Field("targets[1].weight".to_owned(), "Write a whole number.");
        assert_eq!((own.field("weight"), own.field("targets[1].weight")), (None, Some(own.detail())));
        assert!(Failure::Timeout.may_pass() && !wait.may_pass() && !Failure::SignedOut.may_pass());
        assert!(Failure::Stale.is_stale() && Failure::Stale.detail().contains("as it is now"));
        assert_eq!(Failure::Wait(problem("too_many", "x", &[]), 600).detail(), "X. Try again in 10 minutes.");
    }
}
