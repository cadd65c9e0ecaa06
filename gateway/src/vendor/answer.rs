//! A vendor's answers on their way to the client: as they are, without our credential in them.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::{Bytes, BytesMut};
use dialects::surface::Surface;
use domain::usage::{Usage, UsageSource};
use http::Response;
use http::response::Parts;
use hyper::body::Incoming;
use memchr::memmem;
use secrecy::{ExposeSecret, SecretString};

use crate::Gateway;
use crate::error::GatewayError;
use crate::pipeline::call::Call;
use crate::pipeline::forward::{collect, refused};
use crate::pipeline::route::Candidate;
use crate::pipeline::streamed::Tap;
use crate::telemetry::names;

/// Bytes read of a refusal.
pub(super) const MAX_REFUSAL_BYTES: usize = 256 * 1024;
/// Stands where our credential was.
const MASK: &[u8] = b"[redacted]";

/// What a vendor made of a request.
pub(super) enum Verdict {
    /// It answers.
    Good(Response<Incoming>),
    /// It refuses, in its own words; the failure is how we see it.
    Refused(HttpResponse, GatewayError),
}

/// Judges an answer by its head. A refusal of our credential is none of the client's business.
///
/// # Errors
/// Our credential was refused, or the refusal cannot be read.
pub(super) async fn judge(
    call: &Call,
    surface: &Surface,
    candidate: &Candidate,
    answer: Response<Incoming>,
) -> Result<Verdict, GatewayError> {
    if answer.status().is_success() {
        return Ok(Verdict::Good(answer));
    }
    let (head, body) = answer.into_parts();
    let body = collect(body, MAX_REFUSAL_BYTES, call.gateway().timeouts().idle).await?;
    let (response, error) = refusal(call.gateway(), surface, candidate, &head, body)?;
    Ok(Verdict::Refused(response, error))
}

/// A vendor's refusal as the client gets it, and how we see it.
///
/// # Errors
/// Our credential was refused.
pub(super) fn refusal(
    gateway: &Gateway,
    surface: &Surface,
    candidate: &Candidate,
    head: &Parts,
    body: Bytes,
) -> Result<(HttpResponse, GatewayError), GatewayError> {
    let is_ours = (candidate.row.fault)(head.status.as_u16(), &body).credential_refused;
    let error = refused(gateway, candidate, head.status, &head.headers, &body);
    if is_ours || head.status == http::StatusCode::UNAUTHORIZED {
        return Err(error);
    }
    names::failed(error.kind());
    tracing::info!(provider = %candidate.account.name, status = head.status.as_u16(), %error, "refused by the vendor");
    let mut response = begin(surface, head);
    Ok((response.body(scrubbed(candidate.account.api_key.as_ref(), body)), error))
}

/// The beginning of an answer: the vendor's status and those of its headers that mean something to its
/// SDKs.
pub(super) fn begin(surface: &Surface, head: &Parts) -> HttpResponseBuilder {
    let status = StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    for (name, value) in &head.headers {
        let name = name.as_str();
        let known = [CONTENT_TYPE.as_str(), RETRY_AFTER.as_str(), "location", "content-disposition"];
        let passes = known.contains(&name)
            || surface
                .headers
                .iter()
                .any(|wanted| *wanted == name || (wanted.ends_with('-') && name.starts_with(wanted)));
        if passes {
            response.append_header((name, value.as_bytes()));
        }
    }
    response
}

/// Characters that an answer says it bills.
pub(super) fn billed_characters(surface: &Surface, head: &Parts) -> Option<u64> {
    head.headers.get(surface.characters_header?)?.to_str().ok()?.trim().parse().ok()
}

/// A whole body without our credential.
pub(super) fn scrubbed(secret: Option<&SecretString>, body: Bytes) -> Bytes {
    let Some(mut scrubber) = Scrubber::new(secret) else { return body };
    if memmem::find(&body, &scrubber.secret).is_none() {
        return body;
    }
    let mut clean = BytesMut::from(&scrubber.feed(body)[..]);
    clean.extend_from_slice(&scrubber.finish());
    clean.freeze()
}

/// Takes our credential out of what passes. Only as much is held back as may be its beginning.
pub(super) struct Scrubber {
    secret: Vec<u8>,
    held: BytesMut,
}

impl Scrubber {
    /// `None` where there is no credential to be found.
    pub(super) fn new(secret: Option<&SecretString>) -> Option<Self> {
        let secret = secret.map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty())?;
        Some(Self { secret: secret.as_bytes().to_vec(), held: BytesMut::new() })
    }

    fn feed(&mut self, chunk: Bytes) -> Bytes {
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(&chunk);
        let mut from = 0;
        // The mask is not looked through: a credential may be a word in it.
        while let Some(at) = memmem::find(text.get(from..).unwrap_or_default(), &self.secret).map(|at| from + at) {
            let rest = text.split_off(at + self.secret.len());
            text.truncate(at);
            text.extend_from_slice(MASK);
            from = text.len();
            text.extend_from_slice(&rest);
        }
        let longest = self.secret.len().saturating_sub(1).min(text.len() - from);
        let begun = |length: &usize| self.secret.starts_with(text.get(text.len() - length..).unwrap_or_default());
        let held = (1..=longest).rev().find(begun).unwrap_or(0);
        self.held = text.split_off(text.len() - held);
        text.freeze()
    }

    fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.held).freeze()
    }
}

/// Passes an answer on; what it used is known before.
pub(super) struct Passing {
    pub(super) usage: Usage,
    pub(super) source: UsageSource,
    pub(super) scrubber: Option<Scrubber>,
}

impl Passing {
    /// For an answer of this kind. Sound is not looked through: nobody writes a credential into it.
    pub(super) fn new(candidate: &Candidate, head: &Parts, usage: Usage, source: UsageSource) -> Self {
        let kind = head.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_sound = kind.is_some_and(|kind| kind.starts_with("audio/"));
        let scrubber = if is_sound { None } else { Scrubber::new(candidate.account.api_key.as_ref()) };
        Self { usage, source, scrubber }
    }
}

impl Tap for Passing {
    fn feed(&mut self, chunk: Bytes) -> Result<Bytes, GatewayError> {
        Ok(match &mut self.scrubber {
            Some(scrubber) => scrubber.feed(chunk),
            None => chunk,
        })
    }

    fn finish(&mut self) -> Result<Bytes, GatewayError> {
        Ok(self.scrubber.as_mut().map(Scrubber::finish).unwrap_or_default())
    }

    fn usage(&self) -> (Usage, UsageSource) {
        (self.usage, self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_taken_out_wherever_the_pieces_break_and_nothing_else_waits() {
        let secret = SecretString::from("abcab-key");
        let text = b"x abcab-key y abcabcab-key abca";
        for size in 1..text.len() {
            let mut scrubber = Scrubber::new(Some(&secret)).unwrap();
            let mut out = Vec::new();
            for piece in text.chunks(size) {
                out.extend_from_slice(&scrubber.feed(Bytes::copy_from_slice(piece)));
            }
            out.extend_from_slice(&scrubber.finish());
            assert_eq!(String::from_utf8(out).unwrap(), "x [redacted] y abc[redacted] abca", "{size}");
        }
        let word = SecretString::from("red");
        assert_eq!(scrubbed(Some(&word), Bytes::from_static(b"a red rose")), "a [redacted] rose", "it comes to an end");
        let mut scrubber = Scrubber::new(Some(&secret)).unwrap();
        assert_eq!(scrubber.feed(Bytes::from_static(b"{\"a\":1}\n")), "{\"a\":1}\n", "a line does not wait");
    }
}
