//! Why Redis could not be asked.

/// What a caller falls back on. This crate never decides whether to go on without Redis.
#[derive(Debug, thiserror::Error)]
pub enum ReplicasError {
    /// The settings make no connection: to be told to whoever configured them.
    #[error("the Redis settings are wrong: {reason}")]
    Settings {
        /// What is wrong; without the URL, which may hold a password.
        reason: String,
    },
    /// Redis is not there, too slow, or cannot work now. What was asked may have been done all the same.
    #[error("Redis does not answer: {reason}")]
    Away {
        /// For the log.
        reason: String,
    },
    /// Redis answered, and refuses: a right is missing, its memory is full, or its version is too old.
    #[error("Redis refuses: {reason}")]
    Refused {
        /// For the log.
        reason: String,
    },
    /// Redis answered with something that none of the scripts gives.
    #[error("Redis gave an answer that is not understood: {answer}")]
    Answer {
        /// What came.
        answer: String,
    },
}

/// Errors that Redis itself gives while it cannot work, and soon will again.
const PASSING: [&str; 6] = ["LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY"];

impl ReplicasError {
    /// What Redis itself has said. It begins its errors with a word in capitals.
    pub(crate) fn said(text: &str) -> Self {
        Self::told(text, text.to_owned())
    }

    fn told(text: &str, reason: String) -> Self {
        let word = text.split(' ').next().unwrap_or_default();
        let by_redis = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
        if by_redis && !PASSING.contains(&word) { Self::Refused { reason } } else { Self::Away { reason } }
    }
}

impl From<fred::error::Error> for ReplicasError {
    fn from(error: fred::error::Error) -> Self {
        // What does not begin so comes from the connection.
        Self::told(error.details(), error.to_string())
    }
}
