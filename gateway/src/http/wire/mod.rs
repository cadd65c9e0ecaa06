//! What stands between a client's socket and the HTTP server: heads with more than one reading are
//! refused before they are parsed for good, and no peer holds a connection without progress.
//!
//! The server's own parser accepts some heads that others read differently (a bare line feed), and
//! answers the rest without a body. [`stream::GuardedStream`] looks at each head as it passes, and puts
//! a request for `/.refused/…` in the place of a bad one: so the refusal is answered in its turn, with
//! the same body, headers and log line as every other.

pub mod chunks;
pub mod head;
pub mod stream;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Path;
use domain::error::ErrorKind;

use crate::error::GatewayError;
use crate::http::wire::head::HeadFault;

/// Seconds until a client should come back to a gateway that was stopping.
const COME_BACK_S: u64 = 2;

/// Answers for a head that was refused.
///
/// # Errors
/// Always: what was wrong with the head.
pub async fn get_refusal(reason: Path<String>) -> Result<HttpResponse, GatewayError> {
    let fault = HeadFault::named(&reason);
    let fault = fault.ok_or_else(|| GatewayError::caller(ErrorKind::NotFound, "There is nothing at this path."))?;
    let error = refusal(fault);
    if fault != HeadFault::TooLong {
        return Err(error);
    }
    let mut response = HttpResponse::from_error(error);
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Ok(response)
}

fn refusal(fault: HeadFault) -> GatewayError {
    let invalid = |message: &str| GatewayError::caller(ErrorKind::InvalidRequest, message);
    match fault {
        HeadFault::BareLineFeed => invalid("A line of the request's head ends without a carriage return."),
        HeadFault::Malformed => invalid("The request's head is not HTTP/1.1."),
        HeadFault::Underscore => invalid("A header's name has an underscore."),
        HeadFault::Length => invalid("The length of the request's body is not clear."),
        HeadFault::Host => invalid("A request has one `host` header."),
        HeadFault::TooLong => invalid("The request's headers are too long or too many."),
        HeadFault::TooSlow => {
            GatewayError::caller(ErrorKind::RequestTimeout, "The request's headers arrived too slowly.")
        }
        HeadFault::Draining => {
            GatewayError::caller(ErrorKind::Overloaded, "The gateway is stopping.").with_retry_after(COME_BACK_S)
        }
    }
}
