//! The vendors' own dialects: below `/deepgram/…` and its like stand the vendor's own paths, so that
//! its SDKs work with another base URL and a virtual key.
//!
//! What a vendor serves and how it is billed is in its table in `dialects`. Requests and answers pass
//! through as they are: only the key is ours, and refusals of ours have the vendor's shape.

mod account;
mod answer;
mod arriving;
mod asked;
mod followed;
mod join;
mod leg;
pub mod passes;
mod relay;
mod rest;
mod send;
mod socket;

use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use dialects::registry::{PROVIDERS, Provider};
use dialects::surface::{Found, Method, Surface, Work};
use domain::error::ErrorKind;
use domain::provider::Operation;

use self::asked::Asked;
use self::rest::Taken;
use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::{Arrival, PinnedTo};
use crate::overload;
use crate::startup::operations;

/// Everything below the vendors' prefixes.
pub fn routes(config: &mut web::ServiceConfig) {
    for row in PROVIDERS {
        let Some(surface) = row.surface else { continue };
        let vendor = Vendor { row, surface };
        let handler = move |worker, request, payload| handle(vendor, worker, request, payload);
        for below in surface.openai_at {
            let scope = web::scope(&format!("/{}{below}", surface.prefix)).app_data(PinnedTo(row.kind));
            config.service(scope.configure(operations).default_service(web::to(handler)));
        }
        config.service(web::resource(format!("/{}/{{path:.*}}", surface.prefix)).to(handler));
    }
}

/// A provider kind with paths of its own.
#[derive(Clone, Copy)]
struct Vendor {
    row: &'static Provider,
    surface: &'static Surface,
}

async fn handle(
    vendor: Vendor,
    worker: Data<Worker>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, GatewayError> {
    let id = Arrival::of(&request).request_id;
    serve(vendor, worker, request, payload).await.map_err(|error| error.in_shape_of(vendor.surface, id))
}

async fn serve(
    vendor: Vendor,
    worker: Data<Worker>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, GatewayError> {
    let asked = Asked::read(vendor.surface, &request)?;
    if asked.is_socket && asked.path == join::PATH {
        return join::enter(vendor, worker, &request, payload, &asked).await;
    }
    let method = match asked.method.as_str() {
        "GET" if asked.is_socket => Some(Method::Socket),
        "GET" => Some(Method::Get),
        "POST" => Some(Method::Post),
        _ => None,
    };
    let found = method.and_then(|method| vendor.surface.find(method, &asked.path));
    let operation = found.map_or(Operation::Passthrough, |found| found.route.operation);
    let (caller, by_token) = asked::caller(vendor.surface, &worker, &request, &asked, operation)?;
    let only_reads = found.as_ref().is_some_and(|found| matches!(found.route.work, Work::Free));
    if !only_reads {
        let work = if asked.is_socket { overload::Work::Session } else { overload::work(&request, operation) };
        worker.pace.admit(work)?;
    }
    let Some(Found { route, part }) = found else {
        if caller.principal.key.passthrough && !by_token {
            return if asked.is_socket {
                socket::pass(vendor, worker, caller, &request, payload, asked).await
            } else {
                rest::pass(vendor, worker, caller, &request, payload, asked).await
            };
        }
        let message = "This path is not known here; a key with `passthrough` may call it.";
        return Err(GatewayError::caller(ErrorKind::NotFound, message));
    };
    let part = part.map(str::to_owned);
    let taken = Taken { vendor, worker, caller, asked, route };
    match route.work {
        Work::Free => rest::read(taken).await,
        Work::Speech(count) => rest::speak(taken, &request, payload, count).await,
        Work::Recording(how) | Work::Form(how) => rest::transcribe(taken, &request, payload, how).await,
        Work::Token(_) if by_token => {
            Err(GatewayError::caller(ErrorKind::OperationNotAllowed, "A token cannot make another."))
        }
        Work::Token(token) => rest::issue(taken, &request, payload, token).await,
        Work::Address(address) => join::make(taken, part, &request, payload, address).await,
        Work::Socket(counter) => {
            let counter = counter(&taken.asked.query);
            socket::open(taken, part, &request, payload, counter).await
        }
    }
}
