//! The errors of the admin API, and the only place that knows their statuses.

use std::fmt::Display;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use admin_types::problem::{FieldProblem, Problem};
use sea_orm::{DbErr, RuntimeErr, SqlErr, SqlxError};

/// How long a caller should wait for a database that is away.
const DATABASE_RETRY: Duration = Duration::from_secs(5);

/// Why a request is not answered as asked. Variants differ in what the caller does about them.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The request cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// Fields that cannot be used.
    #[error("the request has fields that cannot be used")]
    Invalid(Vec<FieldProblem>),
    /// Nobody, or nobody known.
    #[error("sign in first: the access token is missing, unknown or expired")]
    Unauthenticated,
    /// The e-mail address or the password is not right; nobody is told which.
    #[error("the e-mail address or the password is wrong, or the account may not sign in")]
    WrongCredentials,
    /// Somebody who may not.
    #[error("{0}")]
    Forbidden(String),
    /// Not there, or not the caller's: nobody can tell which.
    #[error("there is nothing here that you may see")]
    NotFound,
    /// The path is there, but not for this method.
    #[error("this path does not take this method")]
    MethodNotAllowed(String),
    /// It does not fit what is there. The code says why.
    #[error("{detail}")]
    Conflict {
        /// What a program decides by.
        code: &'static str,
        /// For a person.
        detail: String,
    },
    /// Somebody else changed it first.
    #[error("it has been changed since you read it; read it again")]
    Stale,
    /// The body is larger than this route takes.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body has stopped arriving, comes too slowly, or has not arrived within the time for it.
    #[error("{0}")]
    TooSlow(String),
    /// The body is not of a type that this route takes.
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// Too often.
    #[error("{detail}")]
    TooMany {
        /// For a person.
        detail: String,
        /// When another try may succeed.
        retry_after: Duration,
    },
    /// Something that was asked for us has failed elsewhere.
    #[error("{0}")]
    Upstream(String),
    /// This program cannot do it where it runs.
    #[error("{0}")]
    NotImplemented(&'static str),
    /// The database does not answer.
    #[error("the database does not answer")]
    Unavailable,
    /// A fault of ours; it has been logged.
    #[error("the server failed; the request id leads to the reason in its log")]
    Internal,
}

impl AdminError {
    /// 408 for a body that has not arrived in time.
    pub(crate) fn not_within(time: Duration) -> Self {
        Self::TooSlow(format!("the body has not arrived within {} minutes", time.as_secs() / 60))
    }

    /// One field that cannot be used.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldProblem { field: field.into(), detail: detail.into() }])
    }

    /// Something that does not fit what is there.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { code, detail: detail.into() }
    }

    /// What the configuration file declares is changed there alone.
    #[must_use]
    pub fn managed_by_file() -> Self {
        Self::conflict("managed_by_file", "The configuration declares this, so it is changed there.")
    }

    /// A fault of ours: logged here, and told to nobody.
    pub fn internal(error: &dyn Display) -> Self {
        tracing::error!(error = %error, "a request of the admin API failed");
        Self::Internal
    }

    /// Status, code and title.
    fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed", "The request cannot be read"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Fields cannot be used"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "Not signed in"),
            Self::WrongCredentials => (StatusCode::UNAUTHORIZED, "wrong_credentials", "Not signed in"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden", "Not permitted"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found"),
            Self::MethodNotAllowed(_) => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed")
            }
            Self::Conflict { code, .. } => (StatusCode::CONFLICT, code, "It does not fit what is there"),
            Self::Stale => (StatusCode::PRECONDITION_FAILED, "stale", "Changed meanwhile"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is too large"),
            Self::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "too_slow", "The body comes too slowly"),
            Self::UnsupportedMediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body's type is not taken")
            }
            Self::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many", "Too often"),
            Self::Upstream(_) => (StatusCode::BAD_GATEWAY, "upstream", "A service that was asked has failed"),
            Self::NotImplemented(_) => (StatusCode::NOT_IMPLEMENTED, "not_implemented", "It cannot be done here"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The database does not answer"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed"),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { retry_after, .. } => Some(*retry_after),
            Self::Unavailable => Some(DATABASE_RETRY),
            _ => None,
        }
    }
}

impl ResponseError for AdminError {
    fn status_code(&self) -> StatusCode {
        self.parts().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code, title) = self.parts();
        let errors = if let Self::Invalid(errors) = self { errors.clone() } else { Vec::new() };
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", only.field, only.detail),
            _ => self.to_string(),
        };
        let problem = Problem {
            kind: format!("urn:antiphon:problem:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail,
            instance: crate::http::current_request_id(),
            errors,
        };
        let mut response = HttpResponse::build(status);
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        if let Some(wait) = self.retry_after() {
            // Rounded up: a client that comes back a little early would be refused again.
            response.insert_header((RETRY_AFTER, wait.as_millis().div_ceil(1000).max(1).to_string()));
        }
        match self {
            Self::Unauthenticated | Self::WrongCredentials => {
                response.insert_header((WWW_AUTHENTICATE, "Bearer"));
            }
            // The rest of the body is not waited for.
            Self::TooSlow(_) => {
                response.force_close();
            }
            Self::MethodNotAllowed(allowed) => {
                response.insert_header((ALLOW, allowed.as_str()));
            }
            _ => {}
        }
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        response.body(body)
    }
}

impl From<DbErr> for AdminError {
    /// A value that exists already and one that must exist and does not are the caller's to mend; a
    /// database that is away comes back.
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => {
                return Self::conflict("already_exists", "Something of this name or value exists already.");
            }
            Some(SqlErr::ForeignKeyConstraintViolation(_)) => {
                return Self::conflict("in_use", "It names something that is not there, or something else needs it.");
            }
            _ => {}
        }
        if is_away(&error) {
            tracing::warn!(error = %error, "the database does not answer the admin API");
            return Self::Unavailable;
        }
        Self::internal(&error)
    }
}

/// Whether the database is out of reach, rather than refusing what it was told.
fn is_away(error: &DbErr) -> bool {
    let cause = match error {
        DbErr::ConnectionAcquire(_) => return true,
        DbErr::Conn(cause) | DbErr::Exec(cause) | DbErr::Query(cause) => cause,
        _ => return false,
    };
    let RuntimeErr::SqlxError(cause) = cause else { return matches!(error, DbErr::Conn(_)) };
    match cause.as_ref() {
        SqlxError::Io(_) | SqlxError::Tls(_) | SqlxError::PoolTimedOut | SqlxError::PoolClosed => true,
        SqlxError::WorkerCrashed => true,
        SqlxError::Database(told) => told.code().is_some_and(|code| comes_back(&code)),
        _ => matches!(error, DbErr::Conn(_)),
    }
}

/// Whether what a database refuses by this code may be taken later.
fn comes_back(code: &str) -> bool {
    // PostgreSQL's have five letters: shutting down or starting, a full disk, out of memory or connections, a
    // server that only reads, two transactions in each other's way.
    if code.len() == 5 {
        return code.starts_with("57P") || matches!(code, "53100" | "53200" | "53300" | "25006" | "40P01");
    }
    // SQLite's say more in the bits above: busy, locked, read-only, an error of the disk, a full one, a file that
    // cannot be opened.
    code.parse::<i32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_status_and_tells_a_program_what_to_do() {
        let wait = Duration::from_millis(1200);
        let cases = [
            (AdminError::Malformed("x".into()), 400),
            (AdminError::field("name", "is empty"), 422),
            (AdminError::Unauthenticated, 401),
            (AdminError::WrongCredentials, 401),
            (AdminError::Forbidden("x".into()), 403),
            (AdminError::NotFound, 404),
            (AdminError::MethodNotAllowed("GET".into()), 405),
            (AdminError::managed_by_file(), 409),
            (AdminError::Stale, 412),
            (AdminError::TooLarge(1), 413),
            (AdminError::TooSlow("x".into()), 408),
            (AdminError::UnsupportedMediaType("x".into()), 415),
            (AdminError::TooMany { detail: "x".into(), retry_after: wait }, 429),
            (AdminError::Upstream("x".into()), 502),
            (AdminError::Unavailable, 503),
            (AdminError::Internal, 500),
        ];
        for (error, status) in cases {
            let response = error.error_response();
            assert_eq!(response.status().as_u16(), status, "{error}");
            assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), "application/problem+json");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 429 || status == 503);
        }
        let too_many = AdminError::TooMany { detail: "x".into(), retry_after: wait }.error_response();
        assert_eq!(too_many.headers().get(RETRY_AFTER).unwrap(), "2");
    }

    #[test]
    fn a_database_that_is_away_is_told_from_one_that_refuses() {
        let away = DbErr::Conn(RuntimeErr::SqlxError(SqlxError::PoolTimedOut.into()));
        assert!(matches!(AdminError::from(away), AdminError::Unavailable));
        let broken = DbErr::Query(RuntimeErr::SqlxError(SqlxError::RowNotFound.into()));
        assert!(matches!(AdminError::from(broken), AdminError::Internal));
        for code in ["57P01", "53100", "53200", "53300", "25006", "40P01", "5", "517", "8", "1032", "266", "13", "14"] {
            assert!(comes_back(code), "{code}");
        }
        for code in ["23505", "42P01", "1", "19", "2067", "22003", "00000"] {
            assert!(!comes_back(code), "{code}");
        }
    }
}
