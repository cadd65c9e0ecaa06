//! Bodies that are sent on while they arrive: audio as it is, and forms, of which the fields are read.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::Payload;
use audio::{Probe, probe};
use bytes::Bytes;
use dialects::multipart;
use domain::error::ErrorKind;
use domain::transcription::FormField;
use futures_util::StreamExt;
use uuid::Uuid;

use crate::Gateway;
use crate::error::GatewayError;
use crate::http::upload::Upload;
use crate::http::watched::{Watched, payload_error};
use crate::pipeline::spool::Spool;
use crate::upstream::client::Body;

/// Bytes looked at to know how long an upload is.
const PROBE_BYTES: usize = 64 * 1024;

/// A body on its way in.
pub(super) enum Arriving {
    /// As it is.
    Raw(Box<Raw>),
    /// A form, which is written anew in the order in which it came.
    Form(Box<Form>),
}

/// A body that nobody reads here but for its beginning.
pub(super) struct Raw {
    body: Watched,
    spool: Spool,
    received: u64,
    announced: Option<u64>,
    limit: u64,
    ended: bool,
}

/// A form, and how far it has been sent on.
pub(super) struct Form {
    upload: Upload,
    boundary: String,
    fields_sent: usize,
    /// A field by which something was decided: it must stay the only one of its name.
    decided_by: Option<&'static str>,
}

impl std::fmt::Debug for Arriving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Raw(_) => "Raw",
            Self::Form(_) => "Form",
        })
    }
}

impl Arriving {
    /// Prepares to read a request's body of at most `limit` bytes.
    ///
    /// # Errors
    /// The headers say that it is encoded or too long.
    pub(super) fn raw(
        gateway: &Gateway,
        limit: u64,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Self, GatewayError> {
        if request.headers().contains_key(CONTENT_ENCODING) {
            let message = "Request bodies with a content encoding are not accepted here.";
            return Err(GatewayError::caller(ErrorKind::UnsupportedAudio, message));
        }
        let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let announced = length.and_then(|value| value.parse().ok());
        if announced.is_some_and(|length: u64| length > limit) {
            return Err(too_large(limit));
        }
        Ok(Self::Raw(Box::new(Raw {
            body: Watched::new(payload, gateway.timeouts().body_idle),
            spool: Spool::new(&gateway.settings.data_dir.join("spool"), announced),
            received: 0,
            announced,
            limit,
            ended: false,
        })))
    }

    /// Prepares to read a request's form with a file of at most `limit` bytes.
    ///
    /// # Errors
    /// The headers say that it is encoded, no form, or too long.
    pub(super) fn form(
        gateway: &Gateway,
        limit: u64,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Self, GatewayError> {
        let upload = Upload::open(gateway, limit, request, payload)?;
        let boundary = format!("antiphon-{}", Uuid::now_v7().simple());
        Ok(Self::Form(Box::new(Form { upload, boundary, fields_sent: 0, decided_by: None })))
    }

    /// Receives enough to know what the file is.
    ///
    /// # Errors
    /// The body is malformed, too long or too slow.
    pub(super) async fn receive_head(&mut self) -> Result<(), GatewayError> {
        match self {
            Self::Raw(raw) => raw.receive(PROBE_BYTES as u64).await,
            Self::Form(form) => form.upload.receive_head(PROBE_BYTES).await,
        }
    }

    /// Receives what is left.
    ///
    /// # Errors
    /// As [`Arriving::receive_head`]'s.
    pub(super) async fn receive_rest(&mut self) -> Result<(), GatewayError> {
        match self {
            Self::Raw(raw) => raw.receive(u64::MAX).await,
            Self::Form(form) => {
                form.upload.receive_rest().await?;
                form.decided_by.map_or(Ok(()), |name| form.once(name))
            }
        }
    }

    /// The value of a field of the form, once it has come. A field that decides something and comes twice
    /// would be read differently by others, so a second one is refused here, and behind the file too.
    ///
    /// # Errors
    /// It came twice.
    pub(super) async fn field(&mut self, name: &'static str) -> Result<Option<String>, GatewayError> {
        let Self::Form(form) = self else { return Ok(None) };
        form.decided_by = Some(name);
        if form.count(name) == 0 {
            form.upload.receive_rest().await?;
        }
        form.once(name)?;
        Ok(form.upload.fields().iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
    }

    /// The length of the audio in milliseconds where its head tells it, and whether for certain.
    pub(super) fn length_ms(&self) -> (Option<u64>, bool) {
        self.probed().map_or((None, false), |probed| (probed.duration_ms, probed.exact))
    }

    /// Channels of the audio, where its head tells them.
    pub(super) fn channels(&self) -> u64 {
        self.probed().and_then(|probed| probed.channels).map_or(1, |channels| u64::from(channels).max(1))
    }

    /// The fields of a form that have come.
    pub(super) fn fields(&self) -> Option<&[FormField]> {
        match self {
            Self::Raw(_) => None,
            Self::Form(form) => Some(form.upload.fields()),
        }
    }

    fn probed(&self) -> Option<Probe> {
        let (head, expected) = match self {
            Self::Raw(raw) => (raw.spool.head(PROBE_BYTES), if raw.ended { Some(raw.received) } else { raw.announced }),
            Self::Form(form) => (form.upload.spool().head(PROBE_BYTES), form.upload.file_bytes_expected()),
        };
        probe(&head, expected)
    }

    /// The length of a body that is here whole; unknown where it is no audio that can be measured.
    pub(super) async fn measured_ms(&mut self) -> Option<u64> {
        let spool = match self {
            Self::Raw(raw) => &mut raw.spool,
            Self::Form(form) => form.upload.spool_mut(),
        };
        let reader =
            spool.reader().await.inspect_err(|error| tracing::error!(%error, "a spool cannot be read")).ok()?;
        tokio::task::spawn_blocking(move || audio::measure(reader)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a body could not be measured");
            None
        })
    }

    /// Whether all of it is here.
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Raw(raw) => raw.ended,
            Self::Form(form) => form.upload.is_complete(),
        }
    }

    /// Content type of the body as it is sent on.
    pub(super) fn content_type(&self, asked: Option<&str>) -> String {
        match self {
            Self::Raw(_) => asked.unwrap_or("application/octet-stream").to_owned(),
            Self::Form(form) => format!("multipart/form-data; boundary={}", form.boundary),
        }
    }

    /// The body that is here whole, and its length.
    ///
    /// # Errors
    /// The spool cannot be read back.
    pub(super) async fn whole(&mut self) -> Result<(Body, u64), GatewayError> {
        let before = self.before();
        let after = self.after();
        let spool = match self {
            Self::Raw(raw) => &mut raw.spool,
            Self::Form(form) => form.upload.spool_mut(),
        };
        Ok(spool.body(before, after).await?)
    }

    /// What is here of a body that still arrives.
    pub(super) fn begun(&mut self) -> Vec<Bytes> {
        let mut pieces = vec![Bytes::from(self.before())];
        match self {
            Self::Raw(raw) => pieces.extend(raw.spool.in_memory()),
            Self::Form(form) => pieces.extend(form.upload.spool_mut().in_memory()),
        }
        pieces
    }

    /// The next piece; `None` at the end of the file.
    ///
    /// # Errors
    /// As [`Arriving::receive_head`]'s.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, GatewayError> {
        match self {
            Self::Raw(raw) => raw.next().await,
            Self::Form(form) => form.upload.receive_chunk().await,
        }
    }

    fn before(&mut self) -> Vec<u8> {
        let Self::Form(form) = self else { return Vec::new() };
        let upload = &form.upload;
        form.fields_sent = upload.fields().len();
        if !upload.has_file() {
            return Vec::new();
        }
        multipart::preamble(&form.boundary, upload.fields(), upload.file_name(), upload.content_type())
    }

    /// Everything behind the file, which must be here whole.
    pub(super) fn after(&self) -> Vec<u8> {
        let Self::Form(form) = self else { return Vec::new() };
        let fields = form.upload.fields();
        if !form.upload.has_file() {
            return multipart::without_file(&form.boundary, fields);
        }
        multipart::ending(&form.boundary, fields.get(form.fields_sent..).unwrap_or_default())
    }
}

impl Form {
    fn count(&self, name: &str) -> usize {
        self.upload.fields().iter().filter(|(known, _)| known == name).count()
    }

    fn once(&self, name: &'static str) -> Result<(), GatewayError> {
        if self.count(name) > 1 {
            return Err(GatewayError::invalid(name, format!("The field `{name}` was sent twice.")));
        }
        Ok(())
    }
}

impl Raw {
    async fn receive(&mut self, bytes: u64) -> Result<(), GatewayError> {
        while self.received < bytes
            && let Some(chunk) = self.next().await?
        {
            self.spool.push(chunk).await?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, GatewayError> {
        let Some(chunk) = self.body.next().await else {
            self.ended = true;
            return Ok(None);
        };
        let chunk = chunk.map_err(|error| payload_error(&error, "body"))?;
        self.received += chunk.len() as u64;
        if self.received > self.limit {
            return Err(too_large(self.limit));
        }
        Ok(Some(chunk))
    }
}

fn too_large(limit: u64) -> GatewayError {
    GatewayError::caller(ErrorKind::FileTooLarge, format!("Maximum content size limit ({limit}) exceeded."))
}
