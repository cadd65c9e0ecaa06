//! A form that is read as it arrives: fields in any order, the file into a spool.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ContentDisposition};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use domain::error::ErrorKind;
use domain::limits::{MAX_FORM_FIELD_BYTES, MAX_FORM_PARTS, MAX_FORM_TEXT_BYTES};
use domain::transcription::{FormField, TranscriptFormat, TranscriptionRequest};
use futures_util::{Stream, StreamExt};

use crate::Gateway;
use crate::error::GatewayError;
use crate::http::extensions::{self, scalar};
use crate::http::watched::{Watched, payload_error};
use crate::pipeline::spool::Spool;

/// Room in a form beside its file.
const FORM_OVERHEAD_BYTES: u64 = MAX_FORM_TEXT_BYTES as u64 + 64 * 1024;

/// A form on its way in.
pub struct Upload {
    form: Multipart,
    /// Set when the body has ended.
    ended: Rc<Cell<bool>>,
    open_file: Option<Field>,
    file_seen: bool,
    model_is_set: bool,
    complete: bool,
    fields: Vec<FormField>,
    text_bytes: usize,
    parts: usize,
    file_name: String,
    content_type: String,
    spool: Spool,
    max_file_bytes: u64,
    content_length: Option<u64>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("fields", &self.fields.len()).field("spool", &self.spool).finish_non_exhaustive()
    }
}

impl Upload {
    /// Prepares to read a request's form.
    ///
    /// # Errors
    /// The headers say that it is encoded, no form, or too long.
    pub fn open(
        gateway: &Gateway,
        max_file_bytes: u64,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Self, GatewayError> {
        if request.headers().contains_key(CONTENT_ENCODING) {
            let message = "Request bodies with a content encoding are not accepted here.";
            return Err(GatewayError::caller(ErrorKind::UnsupportedAudio, message));
        }
        let content_type =
            request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !content_type.to_ascii_lowercase().starts_with("multipart/form-data") {
            return Err(GatewayError::invalid("file", "Send the audio as multipart/form-data."));
        }
        let content_length = request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok());
        if content_length.is_some_and(|length: u64| length > max_file_bytes + FORM_OVERHEAD_BYTES) {
            return Err(too_large(max_file_bytes, content_length));
        }
        let watched = Watched::new(payload, gateway.timeouts().body_idle);
        let ended = Rc::clone(&watched.ended);
        Ok(Self {
            form: Multipart::new(request.headers(), watched),
            ended,
            open_file: None,
            file_seen: false,
            model_is_set: false,
            complete: false,
            fields: Vec::new(),
            text_bytes: 0,
            parts: 0,
            file_name: String::new(),
            content_type: String::new(),
            spool: Spool::new(&gateway.settings.data_dir.join("spool"), content_length),
            max_file_bytes,
            content_length,
        })
    }

    /// Reads fields up to the file and its first `bytes` bytes; a shorter form to its end.
    ///
    /// # Errors
    /// The form is malformed, too long or too slow.
    pub async fn receive_head(&mut self, bytes: usize) -> Result<(), GatewayError> {
        if !self.file_seen {
            self.receive_fields().await?;
        }
        while self.open_file.is_some() && self.spool.len() < bytes as u64 {
            self.receive_chunk().await?;
        }
        if self.open_file.is_none() && !self.complete {
            self.receive_fields().await?;
        }
        Ok(())
    }

    /// Reads what is left.
    ///
    /// # Errors
    /// The form is malformed, too long or too slow.
    pub async fn receive_rest(&mut self) -> Result<(), GatewayError> {
        while self.receive_chunk().await?.is_some() {}
        while !self.complete {
            self.receive_fields().await?;
            while self.receive_chunk().await?.is_some() {}
        }
        Ok(())
    }

    /// The next piece of the file, which is also kept; `None` at its end.
    ///
    /// # Errors
    /// The form is malformed, too long or too slow.
    pub async fn receive_chunk(&mut self) -> Result<Option<Bytes>, GatewayError> {
        let Some(file) = &mut self.open_file else { return Ok(None) };
        match next_item(file, &self.ended).await {
            None => {
                self.open_file = None;
                Ok(None)
            }
            Some(Err(error)) => Err(error),
            Some(Ok(chunk)) => {
                if self.spool.len() + chunk.len() as u64 > self.max_file_bytes {
                    return Err(too_large(self.max_file_bytes, None));
                }
                self.spool.push(chunk.clone()).await?;
                Ok(Some(chunk))
            }
        }
    }

    async fn receive_fields(&mut self) -> Result<(), GatewayError> {
        loop {
            let Some(field) = next_item(&mut self.form, &self.ended).await else {
                self.complete = true;
                return Ok(());
            };
            let field = field?;
            self.parts += 1;
            if self.parts > MAX_FORM_PARTS {
                return Err(GatewayError::invalid("file", format!("The form has more than {MAX_FORM_PARTS} parts.")));
            }
            // `model[]` is `model`, here as where the fields are read: a second one is refused.
            let name = field.name().unwrap_or_default().trim_end_matches("[]").to_owned();
            if name == "file" {
                if self.file_seen {
                    return Err(GatewayError::invalid("file", "The form has more than one file."));
                }
                self.file_seen = true;
                self.file_name = field.content_disposition().and_then(file_name).unwrap_or_else(|| "audio".to_owned());
                self.content_type =
                    field.content_type().map_or_else(|| "application/octet-stream".to_owned(), ToString::to_string);
                self.open_file = Some(field);
                return Ok(());
            }
            let value = self.receive_text(field, &name).await?;
            if name == "model" && self.model_is_set {
                continue;
            }
            if name == "model" && self.fields.iter().any(|(other, _)| other == "model") {
                return Err(GatewayError::invalid("model", "The field `model` was sent twice."));
            }
            self.fields.push((name, value));
        }
    }

    async fn receive_text(&mut self, mut field: Field, name: &str) -> Result<String, GatewayError> {
        let mut text = BytesMut::new();
        while let Some(chunk) = next_item(&mut field, &self.ended).await {
            let chunk = chunk?;
            self.text_bytes += chunk.len();
            if text.len() + chunk.len() > MAX_FORM_FIELD_BYTES || self.text_bytes > MAX_FORM_TEXT_BYTES {
                return Err(GatewayError::invalid(name, format!("The field `{name}` is too long.")));
            }
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text.to_vec())
            .map_err(|_| GatewayError::invalid(name, format!("The field `{name}` is not UTF-8.")))
    }

    /// Whether the whole form is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether the field that decides the route has come.
    #[must_use]
    pub fn names_model(&self) -> bool {
        self.fields.iter().any(|(name, _)| name == "model")
    }

    /// Takes the model from elsewhere: what the form says of it is not read.
    pub fn set_model(&mut self, model: &str) {
        self.fields.push(("model".to_owned(), model.to_owned()));
        self.model_is_set = true;
    }

    /// The text fields that have come, in their order.
    #[must_use]
    pub fn fields(&self) -> &[FormField] {
        &self.fields
    }

    /// Whether the file has come, or has begun to.
    #[must_use]
    pub fn has_file(&self) -> bool {
        self.file_seen
    }

    /// Fields that have come.
    #[must_use]
    pub fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// The file so far.
    #[must_use]
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// The file so far.
    pub fn spool_mut(&mut self) -> &mut Spool {
        &mut self.spool
    }

    /// The file's name as the client gave it; never used as a path.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The file's content type as the client gave it.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Bytes of the file: exact when it is here, else at most what the request announced.
    #[must_use]
    pub fn file_bytes_expected(&self) -> Option<u64> {
        if self.complete { Some(self.spool.len()) } else { self.content_length }
    }

    /// The fields as a request.
    ///
    /// # Errors
    /// A field is missing or has a value it cannot have.
    pub fn request(&self) -> Result<TranscriptionRequest, GatewayError> {
        if !self.file_seen {
            return Err(GatewayError::invalid("file", "The form has no `file`."));
        }
        if self.complete && self.spool.is_empty() {
            return Err(GatewayError::invalid("file", "The file is empty."));
        }
        parse_fields(&self.fields)
    }
}

fn parse_fields(fields: &[FormField]) -> Result<TranscriptionRequest, GatewayError> {
    let mut request = TranscriptionRequest::default();
    let mut strategy = serde_json::Map::new();
    for (name, value) in fields {
        let value = value.clone();
        match name.trim_end_matches("[]") {
            "model" => request.model = value,
            "language" => request.language = Some(value),
            "languages" => request.languages.push(value),
            "keywords" => request.keywords.push(value),
            "prompt" => request.prompt = Some(value),
            "response_format" => {
                let format: TranscriptFormat = value.parse().map_err(|_| {
                    GatewayError::invalid("response_format", format!("`{value}` is not a response_format: use json, text, srt, verbose_json, vtt or diarized_json."))
                })?;
                request.response_format = Some(format);
            }
            "temperature" => {
                let good = value.parse::<f64>().is_ok_and(|number| (0.0..=1.0).contains(&number));
                if !good {
                    return Err(GatewayError::invalid("temperature", "`temperature` must be a number from 0 to 1."));
                }
                request.temperature = Some(value);
            }
            "timestamp_granularities" => match value.as_str() {
                "word" => request.word_timestamps = true,
                "segment" => request.segment_timestamps = true,
                _ => {
                    let message = "`timestamp_granularities[]` takes `word` and `segment`.";
                    return Err(GatewayError::invalid("timestamp_granularities", message));
                }
            },
            "include" => request.include.push(value),
            "stream" => request.stream = boolean("stream", &value)?,
            "chunking_strategy" => request.chunking_strategy = Some(chunking(&value)?),
            "known_speaker_names" => request.known_speaker_names.push(value),
            "known_speaker_references" => request.known_speaker_references.push(value),
            other => {
                // An object as the SDKs flatten it: `chunking_strategy[threshold]`.
                let part = other.strip_prefix("chunking_strategy[").and_then(|rest| rest.strip_suffix(']'));
                match part {
                    Some(part) => drop(strategy.insert(part.to_owned(), scalar(&value))),
                    None => extensions::add(&mut request.extensions, other, &value)?,
                }
            }
        }
    }
    if !strategy.is_empty() {
        request.chunking_strategy = Some(serde_json::Value::Object(strategy).to_string());
    }
    if request.model.is_empty() {
        return Err(GatewayError::invalid("model", "The form has no `model`."));
    }
    Ok(request)
}

fn boolean(name: &str, value: &str) -> Result<bool, GatewayError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err(GatewayError::invalid(name, format!("`{name}` must be true or false."))),
    }
}

/// `auto`, `"auto"` or an object as JSON text.
fn chunking(value: &str) -> Result<String, GatewayError> {
    if value == "auto" {
        return Ok("\"auto\"".to_owned());
    }
    match serde_json::from_str::<serde_json::Value>(value) {
        Ok(json) if json.is_object() || json == "auto" => Ok(json.to_string()),
        _ => Err(GatewayError::invalid("chunking_strategy", "`chunking_strategy` must be `auto` or an object.")),
    }
}

/// The file's name, also where a client writes it in the extended form because it is not ASCII.
fn file_name(disposition: &ContentDisposition) -> Option<String> {
    let plain = disposition.get_filename().map(str::to_owned);
    plain.or_else(|| disposition.get_filename_ext().map(|name| String::from_utf8_lossy(&name.value).into_owned()))
}

fn too_large(limit: u64, sent: Option<u64>) -> GatewayError {
    let sent = sent.map(|bytes| format!(" ({bytes} bytes announced)")).unwrap_or_default();
    GatewayError::caller(ErrorKind::FileTooLarge, format!("Maximum content size limit ({limit}) exceeded{sent}."))
        .with_param("file")
}

/// The next item of a form or of a field. When the body ends inside what could be a boundary, the
/// parser goes on waiting for the rest of it, which will never come.
async fn next_item<T>(
    stream: &mut (impl Stream<Item = Result<T, MultipartError>> + Unpin),
    ended: &Cell<bool>,
) -> Option<Result<T, GatewayError>> {
    let broken = || GatewayError::invalid("file", "The form breaks off before its end.");
    std::future::poll_fn(|context| match stream.poll_next_unpin(context) {
        Poll::Ready(item) => Poll::Ready(item.map(|item| item.map_err(|error| form_error(&error)))),
        Poll::Pending if ended.get() => Poll::Ready(Some(Err(broken()))),
        Poll::Pending => Poll::Pending,
    })
    .await
}

fn form_error(error: &MultipartError) -> GatewayError {
    match error {
        MultipartError::Payload(payload) => payload_error(payload, "file"),
        other => GatewayError::invalid("file", format!("The form could not be read: {other}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Result<TranscriptionRequest, GatewayError> {
        let fields: Vec<FormField> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        parse_fields(&fields)
    }

    #[test]
    fn arrays_and_objects_come_in_every_spelling_of_the_sdks() {
        let request = fields(&[
            ("model", "m"),
            ("include[]", "logprobs"),
            ("timestamp_granularities", "word"),
            ("chunking_strategy[type]", "server_vad"),
            ("chunking_strategy[threshold]", "0.5"),
            ("stream", "True"),
            ("x_unknown", "1"),
        ])
        .unwrap();
        assert_eq!(request.include, ["logprobs"]);
        assert!(request.word_timestamps && request.stream);
        assert_eq!(request.chunking_strategy.as_deref(), Some(r#"{"threshold":0.5,"type":"server_vad"}"#));
        assert_eq!(
            fields(&[("model", "m"), ("chunking_strategy", "auto")]).unwrap().chunking_strategy.as_deref(),
            Some("\"auto\"")
        );
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        for (name, value) in
            [("response_format", "docx"), ("temperature", "2"), ("stream", "maybe"), ("chunking_strategy", "[")]
        {
            let error = fields(&[("model", "m"), (name, value)]).unwrap_err();
            assert_eq!(error.body()["error"]["param"], name);
        }
        assert_eq!(fields(&[]).unwrap_err().body()["error"]["param"], "model");
    }
}
