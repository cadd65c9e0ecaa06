//! Transcription and translation: authenticated and parsed up to the file by the handler, then
//! admit → forward while the upload still arrives → render → meter.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use audio::probe;
use bytes::Bytes;
use dialects::contract::{Reply, TranscriptionDialect, UploadRequest};
use dialects::error::DialectError;
use dialects::openai::transcription::{TranscriptSse, render};
use domain::audio::AudioFile;
use domain::error::ErrorKind;
use domain::limits::MAX_UPSTREAM_JSON_BYTES;
use domain::provider::Operation;
use domain::transcription::TranscriptionRequest;
use domain::usage::{Usage, UsageSource};

use crate::error::GatewayError;
use crate::http::upload::Upload;
use crate::pipeline::admit::{Written, admit, admit_again, cannot, nothing_left};
use crate::pipeline::call::Call;
use crate::pipeline::estimate::Input;
use crate::pipeline::meter::{CallFacts, Meter};
use crate::pipeline::route::Candidate;
use crate::pipeline::send_form::{Sending, Sent, send_form};
use crate::pipeline::streamed::{Begun, Tap, streamed};
use crate::pipeline::tries::{Then, Tries};
use crate::pipeline::{estimate, forward};

/// Bytes looked at to know what an upload is.
const PROBE_BYTES: usize = 64 * 1024;
/// Length that is reserved where nothing tells one.
const UNKNOWN_LENGTH_MS: u64 = 60_000;

/// Serves one transcription or translation.
///
/// # Errors
/// Whatever keeps it from being served, after every target that could help was tried.
pub async fn transcribe(call: Call, mut facts: CallFacts, mut upload: Upload) -> Result<HttpResponse, GatewayError> {
    upload.receive_head(PROBE_BYTES).await?;
    if !upload.is_complete() && !upload.names_model() {
        upload.receive_rest().await?;
    }
    let mut request = upload.request()?;
    let operation = facts.operation;
    facts.model_asked.clone_from(&request.model);
    call.principal.require(operation, &request.model)?;
    let mut fields = upload.field_count();
    let length = Length::of(&call, &mut upload).await?;
    if upload.field_count() != fields {
        fields = upload.field_count();
        request = upload.request()?;
    }
    let expected = estimate::transcription(length.reserved_ms());
    let (mut planned, mut meter) =
        admit(&call, facts, &request.model, &expected, |candidate| write(candidate, operation, &request, length))
            .await?;

    let mut last: Option<GatewayError> = None;
    let mut next = 0;
    let mut asked = None;
    let mut tries = Tries::default();
    while let Some(target) = planned.get(next) {
        let candidate = &target.candidate;
        // Who was asked already may be asked again, also for a form that changed on its way.
        let askable = |_: &&Form| asked == Some(next) || call.may_ask(candidate);
        let Some(form) = target.request.as_ref().filter(askable) else {
            next += 1;
            continue;
        };
        asked = Some(next);
        let serving = Serving { call: &call, candidate, form, request: &request, length };
        tries.asks(&call, &mut meter, candidate);
        match serving.serve(&mut upload, &mut meter).await {
            Ok(Served::Whole(reply)) => return Ok(respond(&call, reply, candidate, meter)),
            Ok(Served::Stream(answer, tap)) => return Ok(respond_stream(&call, candidate, answer, tap, meter)),
            Ok(Served::FieldsFollowed) => tries.take_back(&mut meter),
            Err(error) => {
                let others = planned.get(next + 1..).unwrap_or_default();
                if let Then::Another(error) = tries.after(&call, &mut meter, candidate, error, others).await? {
                    last = Some(error);
                    next += 1;
                }
                upload.receive_rest().await?;
            }
        }
        if upload.field_count() != fields {
            fields = upload.field_count();
            request = upload.request()?;
            if let Some(left) = planned.get_mut(next..).filter(|left| !left.is_empty()) {
                admit_again(&call, &mut meter, left, &expected, |candidate| {
                    write(candidate, operation, &request, length)
                })
                .await?;
            }
        }
    }
    Err(last.unwrap_or_else(nothing_left))
}

/// A form in a provider's words, and who reads the answer to it.
pub(super) struct Form {
    dialect: &'static dyn TranscriptionDialect,
    request: UploadRequest,
    /// What it will use as this provider bills it.
    expected: Usage,
}

impl Written for Form {
    fn expected(&self) -> Option<&Usage> {
        Some(&self.expected)
    }
}

/// The form for a target.
///
/// # Errors
/// It cannot serve what is asked.
pub(super) fn write(
    candidate: &Candidate,
    operation: Operation,
    request: &TranscriptionRequest,
    length: Length,
) -> Result<Form, DialectError> {
    let dialect = candidate.row.transcription.ok_or_else(|| cannot("transcribe"))?;
    let form = dialect.request(operation, request, &length.file(), &candidate.model)?;
    let reserved = estimate::transcription(length.reserved_ms());
    let expected = dialect.billed(request, &length.file(), &candidate.model, reserved);
    Ok(Form { dialect, request: form, expected })
}

/// How long the audio is, as far as that is known before it was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    file: AudioFile,
    exact_ms: Option<u64>,
    guessed_ms: Option<u64>,
}

impl Length {
    /// As a file says of itself that tells everything.
    pub(super) fn told(file: AudioFile) -> Self {
        Self { file, exact_ms: file.duration_ms, guessed_ms: None }
    }

    /// Reads it out of the file's head. A budget is held exactly where the length is known, so a file
    /// whose header does not tell it is received and measured before the provider sees any of it.
    async fn of(call: &Call, upload: &mut Upload) -> Result<Self, GatewayError> {
        let probed = probe(&upload.spool().head(PROBE_BYTES), upload.file_bytes_expected()).ok_or_else(|| {
            let message = "The file is not audio in a format that is known here.";
            GatewayError::caller(ErrorKind::UnsupportedAudio, message).with_param("file")
        })?;
        let mut exact_ms = probed.duration_ms.filter(|_| probed.exact);
        if exact_ms.is_none() && call.principal.key.budget.is_some() {
            upload.receive_rest().await?;
            exact_ms = measure(upload).await;
        }
        Ok(Self { file: probed.file(), exact_ms, guessed_ms: probed.duration_ms })
    }

    /// The file, with the best length that is known.
    fn file(self) -> AudioFile {
        AudioFile { duration_ms: self.exact_ms.or(self.guessed_ms), ..self.file }
    }

    /// What is reserved for; never nothing, which would count as unpriced.
    pub(super) fn reserved_ms(self) -> u64 {
        self.exact_ms.or(self.guessed_ms).unwrap_or(UNKNOWN_LENGTH_MS).max(1)
    }

    /// What goes in, as far as it is known now. An unknown length is no quantity: unpriced, not free.
    fn input(self) -> Input {
        let nothing = Usage { requests: 1, ..Usage::default() };
        let known = self.exact_ms.or(self.guessed_ms);
        Input {
            counted: self.exact_ms.map(|audio_in_ms| Usage { audio_in_ms, ..nothing }),
            estimated: known.map_or(nothing, |ms| estimate::undelivered(&estimate::transcription(ms))),
        }
    }

    /// The length to bill by, measured where the head did not tell it.
    async fn billed(mut self, upload: &mut Upload) -> Self {
        if self.exact_ms.is_none() {
            self.exact_ms = measure(upload).await;
        }
        self
    }

    /// Milliseconds, and how they are known.
    fn used(self) -> (u64, UsageSource) {
        match (self.exact_ms, self.guessed_ms) {
            (Some(exact), _) => (exact, UsageSource::Measured),
            (None, guessed) => (guessed.unwrap_or_default(), UsageSource::Estimated),
        }
    }
}

/// The length of a file that is here whole. A file that cannot be measured fails no call.
async fn measure(upload: &mut Upload) -> Option<u64> {
    let reader = match upload.spool_mut().reader().await {
        Ok(reader) => reader,
        Err(error) => {
            tracing::error!(%error, "a spooled upload could not be read back");
            return None;
        }
    };
    tokio::task::spawn_blocking(move || audio::measure(reader)).await.unwrap_or_else(|error| {
        tracing::error!(%error, "an upload could not be measured");
        None
    })
}

/// What a target made of the call.
enum Served {
    Whole(Reply),
    Stream(Begun, EventTap),
    /// Fields after the file change what is asked; the provider has done nothing yet.
    FieldsFollowed,
}

struct Serving<'a> {
    call: &'a Call,
    candidate: &'a Candidate,
    form: &'a Form,
    request: &'a TranscriptionRequest,
    length: Length,
}

impl Serving<'_> {
    async fn serve(&self, upload: &mut Upload, meter: &mut Meter) -> Result<Served, GatewayError> {
        if self.candidate.row.in_process {
            return self.serve_locally(upload, meter).await;
        }
        let (call, candidate, form) = (self.call, self.candidate, &self.form.request);
        let input = self.length.input().map(|usage| self.as_billed(usage));
        let sending = Sending { call, candidate, form, input: &input };
        let response = match send_form(sending, upload, meter).await? {
            Sent::Answered(response) => response,
            Sent::FieldsFollowed => return Ok(Served::FieldsFollowed),
        };
        meter.heard();
        upload.receive_rest().await?;
        let content_type = forward::content_type_of(&response).to_owned();
        if form.streams && content_type.starts_with("text/event-stream") {
            let answer = Begun::wait(call, response.into_body()).await?;
            meter.heard();
            meter.served_by(&call.snapshot, candidate);
            let tap = EventTap::new(self.length.billed(upload).await, meter);
            return Ok(Served::Stream(answer, tap));
        }
        let body = forward::collect(response.into_body(), MAX_UPSTREAM_JSON_BYTES, call.pace()).await?;
        let operation = meter.facts().operation;
        let reply = self.form.dialect.reply(operation, self.request, &candidate.model, &content_type, &body)?;
        meter.served_by(&call.snapshot, candidate);
        let (usage, source) = self.settle(&reply, upload).await;
        meter.set_usage(usage, source);
        Ok(Served::Whole(reply))
    }

    /// What is billed: the provider's own count where it gives one, else its length, else ours. A length of
    /// nothing is no count: the file was not empty.
    async fn settle(&self, reply: &Reply, upload: &mut Upload) -> (Usage, UsageSource) {
        let reported = reply.usage.unwrap_or_default();
        let audio_in_ms = reported.audio_in_ms.max(reply.duration_ms.unwrap_or_default());
        if audio_in_ms > 0 {
            return (Usage { audio_in_ms, requests: 1, ..reported }, UsageSource::Reported);
        }
        let (audio_in_ms, source) = self.length.billed(upload).await.used();
        let source = if reported.has_tokens() { UsageSource::Reported } else { source };
        let usage = Usage { audio_in_ms, requests: 1, ..reported };
        (self.as_billed(usage), source)
    }

    /// This much audio as the provider bills it.
    fn as_billed(&self, usage: Usage) -> Usage {
        self.form.dialect.billed(self.request, &self.length.file(), &self.candidate.model, usage)
    }

    /// Transcription on this machine.
    async fn serve_locally(&self, upload: &mut Upload, meter: &mut Meter) -> Result<Served, GatewayError> {
        let fields = upload.field_count();
        upload.receive_rest().await?;
        if upload.field_count() != fields {
            return Ok(Served::FieldsFollowed);
        }
        let file = upload.spool_mut().to_named_file().await?;
        let transcript = self.call.gateway().local.transcribe(file.path().to_owned(), true).await?;
        let reply = render(meter.facts().operation, self.request, &transcript)
            .ok_or_else(|| GatewayError::invalid("response_format", "The local provider has no speakers."))?;
        meter.served_by(&self.call.snapshot, self.candidate);
        let audio_in_ms = transcript.duration_ms.unwrap_or_default();
        meter.set_usage(Usage { audio_in_ms, requests: 1, ..Usage::default() }, UsageSource::Measured);
        Ok(Served::Whole(reply))
    }
}

fn respond(call: &Call, reply: Reply, candidate: &Candidate, mut meter: Meter) -> HttpResponse {
    meter.first_byte();
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, reply.content_type));
    crate::http::headers::served(&mut response, candidate, &meter);
    meter.finish(call.progress.ending());
    response.body(reply.body)
}

fn respond_stream(call: &Call, candidate: &Candidate, answer: Begun, tap: EventTap, meter: Meter) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/event-stream")).insert_header((CACHE_CONTROL, "no-cache"));
    crate::http::headers::served(&mut response, candidate, &meter);
    response.streaming(streamed(answer, tap, meter, call.flowing()))
}

/// Passes events on as they are and reads the usage of the last.
struct EventTap {
    sniffer: TranscriptSse,
    audio_in_ms: u64,
    /// What is billed where the provider reports nothing.
    unreported: (Usage, UsageSource),
}

impl EventTap {
    /// For audio of this length, in the account of who serves it.
    fn new(length: Length, meter: &mut Meter) -> Self {
        let (audio_in_ms, source) = length.used();
        let counted = Usage { audio_in_ms, requests: 1, ..Usage::default() };
        meter.set_usage(counted, source);
        // Where time alone has no price the model is billed by tokens, of which nobody knows any yet. An
        // unknown length stays unknown.
        let unreported = if meter.cost().is_some() || audio_in_ms == 0 {
            (counted, source)
        } else {
            (estimate::undelivered(&estimate::transcription(audio_in_ms)), UsageSource::Estimated)
        };
        Self { sniffer: TranscriptSse::new(), audio_in_ms, unreported }
    }
}

impl Tap for EventTap {
    fn feed(&mut self, chunk: Bytes) -> Result<Bytes, GatewayError> {
        self.sniffer.feed(&chunk);
        Ok(chunk)
    }

    fn finish(&mut self) -> Result<Bytes, GatewayError> {
        if self.sniffer.finish().complete { Ok(Bytes::new()) } else { Err(forward::cut(&"no transcript.text.done")) }
    }

    fn usage(&self) -> (Usage, UsageSource) {
        match (self.sniffer.reported(), self.unreported) {
            (Some(usage), _) if usage.has_tokens() || usage.audio_in_ms > 0 => {
                let audio_in_ms = if usage.audio_in_ms > 0 { usage.audio_in_ms } else { self.audio_in_ms };
                (Usage { audio_in_ms, requests: 1, ..usage }, UsageSource::Reported)
            }
            // A delta is about one token.
            (_, (usage, source)) if usage.has_tokens() => {
                (Usage { text_tokens_out: self.sniffer.deltas(), ..usage }, source)
            }
            (_, unreported) => unreported,
        }
    }
}
