//! Versions of what can be changed, as `ETag` and `If-Match` tell them.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderValue, IF_MATCH};

use crate::error::AdminError;

/// The tag of a version.
pub(crate) fn tag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Which versions a caller expects. Without the header, whichever there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IfMatch {
    /// Its versions; `None` for whichever there is.
    tags: Option<Vec<String>>,
    /// `*`: there is one.
    exists: bool,
}

impl IfMatch {
    /// As the request says.
    ///
    /// # Errors
    /// [`AdminError::Malformed`] where the header is no list of entity tags.
    pub(crate) fn of(request: &HttpRequest) -> Result<Self, AdminError> {
        let mut tags = Vec::new();
        for value in request.headers().get_all(IF_MATCH) {
            tags.extend(read(value).ok_or_else(|| AdminError::Malformed("If-Match has no entity tags".to_owned()))?);
        }
        let exists = tags.iter().any(|tag| tag == "*");
        let tags = Some(tags).filter(|tags| !tags.is_empty() && !exists);
        Ok(Self { tags, exists })
    }

    /// As [`Self::check`], where there may be nothing yet: that is version 0.
    ///
    /// # Errors
    /// [`AdminError::Stale`].
    pub(crate) fn check_any(&self, version: Option<i64>) -> Result<(), AdminError> {
        match version {
            Some(version) => self.check(version),
            None if self.exists => Err(AdminError::Stale),
            None => self.check(0),
        }
    }

    /// # Errors
    /// [`AdminError::Stale`] where `version` is not what the caller expects.
    pub(crate) fn check(&self, version: i64) -> Result<(), AdminError> {
        match &self.tags {
            Some(tags) if !tags.contains(&tag(version)) => Err(AdminError::Stale),
            _ => Ok(()),
        }
    }
}

fn read(value: &HeaderValue) -> Option<Vec<String>> {
    let tags = value.to_str().ok()?.split(',').map(str::trim);
    tags.map(|tag| {
        let quoted = tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"');
        // A weak tag never matches strongly, but it is one.
        (quoted || tag == "*" || tag.starts_with("W/\"")).then(|| tag.to_owned())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_the_version_that_was_read_may_be_changed() {
        let check = |header: &'static str, version| {
            let request = TestRequest::default().insert_header((IF_MATCH, header)).to_http_request();
            IfMatch::of(&request).unwrap().check(version).is_ok()
        };
        let absent = |header: &'static str| {
            let request = TestRequest::default().insert_header((IF_MATCH, header)).to_http_request();
            IfMatch::of(&request).unwrap().check_any(None).is_ok()
        };
        assert!(!absent("*") && !absent("\"1\"") && absent("\"0\""), "nothing is there");
        assert!(check("\"3\"", 3) && check("\"2\", \"3\"", 3) && check("*", 9));
        assert!(!check("\"3\"", 4) && !check("W/\"3\"", 3));
        let request = TestRequest::default().to_http_request();
        assert!(IfMatch::of(&request).unwrap().check(7).is_ok(), "nothing is expected");
        let request = TestRequest::default().insert_header((IF_MATCH, "3")).to_http_request();
        assert!(matches!(IfMatch::of(&request), Err(AdminError::Malformed(_))));
    }
}
