//! `Idempotency-Key`: a request that is sent again is not served and billed again.
//!
//! A key stands for one request to one path by one virtual key. While that request runs, a repeat is told to
//! come back; afterwards it gets the same answer, at no cost, where that was small and whole. Audio and
//! streams are not kept: a repeat is told so rather than billed. What failed was not billed, and may be sent
//! again. All of it is in this process's memory ([`memory`]); requests without the header never see it.

mod memory;

use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use domain::error::ErrorKind;
use ring::digest::{Context, SHA256};

use crate::error::GatewayError;
use crate::http::extract::Caller;
use crate::http::upload::Upload;
use crate::pipeline::call::Call;
use crate::pipeline::meter::CallFacts;
use crate::pipeline::progress::Progress;
use crate::{Gateway, Worker};

use self::memory::{Answer, Before, Digest, MAX_ANSWER_BYTES, Memory, Scope};

/// The header that carries a key.
static HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key.
const MAX_KEY_BYTES: usize = 255;
/// Seconds until a repeat of a request that is running should come back.
const COME_BACK_S: u64 = 1;
/// What stays of the head of an answer that is kept.
const KEPT_HEADERS: [HeaderName; 3] =
    [CONTENT_TYPE, HeaderName::from_static("x-antiphon-provider"), HeaderName::from_static("x-antiphon-model")];

/// What repeated requests are answered with.
#[derive(Debug, Default)]
pub struct Idempotency(Mutex<Memory>);

impl Idempotency {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's path and idempotency key.
#[derive(Debug)]
pub struct Named(Digest);

/// What makes a request with an idempotency key this one, where it has one. A header that is sent twice counts
/// once, as its first value.
///
/// # Errors
/// It is empty, too long or not plain text.
pub fn named(request: &HttpRequest) -> Result<Option<Named>, GatewayError> {
    let Some(value) = request.headers().get(&HEADER) else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| !key.is_empty() && key.len() <= MAX_KEY_BYTES);
    let key = key.ok_or_else(|| {
        let message = format!("An idempotency key has 1 to {MAX_KEY_BYTES} visible ASCII characters.");
        GatewayError::invalid(HEADER.as_str(), message)
    })?;
    Ok(Some(Named(digest([request.path().as_bytes(), key.as_bytes()]))))
}

/// What a request asks.
#[derive(Debug)]
pub struct Asked(Digest);

impl Asked {
    /// A JSON body.
    #[must_use]
    pub fn json(body: &[u8]) -> Self {
        Self(digest([body]))
    }

    /// A form, which is received whole for that: its fields, and the file with its name. How the form is cut
    /// into parts differs from one try to the next, and says nothing.
    ///
    /// # Errors
    /// The form is malformed, too long or too slow, or cannot be read back.
    pub async fn form(upload: &mut Upload) -> Result<Self, GatewayError> {
        upload.receive_rest().await?;
        // What is refused anyway is told before anything is remembered.
        upload.request()?;
        let mut context = Context::new(&SHA256);
        for (name, value) in upload.fields() {
            add(&mut context, name.as_bytes());
            add(&mut context, value.as_bytes());
        }
        add(&mut context, upload.file_name().as_bytes());
        add(&mut context, upload.content_type().as_bytes());
        let mut file = upload.spool_mut().reader().await?;
        let hashed = tokio::task::spawn_blocking(move || {
            std::io::copy(&mut file, &mut Hasher(&mut context)).map(|_| finish(context))
        });
        Ok(Self(hashed.await.map_err(|error| GatewayError::internal(&error))??))
    }
}

struct Hasher<'a>(&'a mut Context);

impl std::io::Write for Hasher<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Parts are told apart by their lengths.
fn add(context: &mut Context, part: &[u8]) {
    context.update(&(part.len() as u64).to_le_bytes());
    context.update(part);
}

fn finish(context: Context) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        add(&mut context, part);
    }
    finish(context)
}

/// Runs a call as [`Call::attend`] does, unless it was made before.
///
/// # Errors
/// `IdempotencyKeyReused` for another request, `IdempotencyConflict` for one that is running or whose answer is
/// not kept; else `run`'s.
pub async fn once<F>(
    worker: Data<Worker>,
    caller: Caller,
    (Named(request), Asked(asked)): (Named, Asked),
    run: impl FnOnce(Call, CallFacts) -> F,
) -> Result<HttpResponse, GatewayError>
where
    F: Future<Output = Result<HttpResponse, GatewayError>> + 'static,
{
    let scope = Scope { key: caller.principal.key.id, request };
    let before = worker.gateway.idempotency.memory().claim(scope, asked, Instant::now());
    match before {
        Before::New => {}
        Before::Answered(answer) => return Ok(replayed(answer)),
        Before::Other => return Err(reused()),
        Before::Running => return Err(running()),
        Before::Spent => return Err(spent()),
    }
    let claim =
        Claim { gateway: Arc::clone(&worker.gateway), scope, progress: Rc::clone(&caller.progress), is_settled: false };
    Call::attend(worker, caller, |call, facts| {
        let running = run(call, facts);
        async move {
            let outcome = running.await;
            claim.settle(outcome)
        }
    })
    .await
}

fn replayed(answer: Answer) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    for header in answer.headers {
        response.insert_header(header);
    }
    response.insert_header(("idempotent-replayed", "true")).body(answer.body)
}

fn reused() -> GatewayError {
    let message = "This idempotency key was used for another request: send a new key with this one.";
    GatewayError::caller(ErrorKind::IdempotencyKeyReused, message).with_param(HEADER.as_str())
}

fn running() -> GatewayError {
    let message = "The first request with this idempotency key is still running.";
    GatewayError::caller(ErrorKind::IdempotencyConflict, message)
        .with_param(HEADER.as_str())
        .with_retry_after(COME_BACK_S)
}

fn spent() -> GatewayError {
    let message = "A request with this idempotency key was served and billed, and its answer is not kept: audio, \
                   streams and long answers are not. Send it with a new key to have it served, and billed, again.";
    GatewayError::caller(ErrorKind::IdempotencyConflict, message).with_param(HEADER.as_str())
}

/// A request that runs. However it ends, its repeats know.
struct Claim {
    gateway: Arc<Gateway>,
    scope: Scope,
    progress: Rc<Progress>,
    is_settled: bool,
}

impl Claim {
    /// Remembers how it ended. What was refused or failed was not billed, and is forgotten.
    fn settle(mut self, outcome: Result<HttpResponse, GatewayError>) -> Result<HttpResponse, GatewayError> {
        self.is_settled = true;
        let memory = &self.gateway.idempotency;
        let response = outcome.inspect_err(|_| memory.memory().forget(self.scope))?;
        let (response, answer) = kept(response);
        memory.memory().end(self.scope, answer, Instant::now());
        Ok(response)
    }
}

impl Drop for Claim {
    /// The call was given up: a provider that had it bills it.
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let mut memory = self.gateway.idempotency.memory();
        if self.progress.is_dispatched() {
            memory.end(self.scope, None, Instant::now());
        } else {
            memory.forget(self.scope);
        }
    }
}

/// An answer and what is kept of it: nothing of audio, of streams and of what is long.
fn kept(response: HttpResponse) -> (HttpResponse, Option<Answer>) {
    let of_audio = response.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"audio/"));
    let is_small = matches!(response.body().size(), BodySize::Sized(bytes) if bytes <= MAX_ANSWER_BYTES as u64);
    if of_audio || !is_small || response.status() != StatusCode::OK {
        return (response, None);
    }
    let (response, body) = response.into_parts();
    let body = match body.try_into_bytes() {
        Ok(body) => body,
        Err(body) => return (response.set_body(body), None),
    };
    let headers = response.headers();
    let headers = KEPT_HEADERS.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect();
    // A copy: the bytes may be a piece of a far larger buffer.
    let answer = Answer { headers, body: Bytes::copy_from_slice(&body) };
    (response.set_body(BoxBody::new(body)), Some(answer))
}
