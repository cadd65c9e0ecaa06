//! What a browser takes, and what it has already.

use actix_web::HttpRequest;
use actix_web::http::header::{ACCEPT_ENCODING, HeaderName, IF_NONE_MATCH};

/// An encoding that files lie ready in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// As `Content-Encoding` names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What is added to a file's name.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gz",
        }
    }

    /// Those that the request accepts, the smallest first: browsers accept them alike, in no order.
    pub(super) fn accepted(request: &HttpRequest) -> Vec<Self> {
        let told = values(request, &ACCEPT_ENCODING);
        let is_accepted = |coding: &Self| {
            let exactly = told.iter().find(|value| named(value).eq_ignore_ascii_case(coding.name()));
            exactly.or_else(|| told.iter().find(|value| named(value) == "*")).is_some_and(|value| !is_refused(value))
        };
        [Self::Brotli, Self::Gzip].into_iter().filter(is_accepted).collect()
    }
}

fn named(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// Whether a weight of zero stands behind it.
fn is_refused(value: &str) -> bool {
    let weight = value.split(';').skip(1).find_map(|part| part.trim().strip_prefix("q="));
    weight.is_some_and(|weight| weight.trim().parse() == Ok(0.0))
}

/// The versions that a browser has.
pub(super) struct Known(Vec<String>);

impl Known {
    /// As the request says.
    pub(super) fn of(request: &HttpRequest) -> Self {
        Self(values(request, &IF_NONE_MATCH))
    }

    /// Whether this one is among them. What a proxy has made weak is as good here.
    pub(super) fn has(&self, tag: &str) -> bool {
        self.0.iter().any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
    }
}

/// The values of a header that is a list.
fn values(request: &HttpRequest, name: &HeaderName) -> Vec<String> {
    let texts = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(|value| value.trim().to_owned()).collect()
}
