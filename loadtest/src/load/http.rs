//! Workers over HTTP/1.1: one kept-alive connection each.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Options, Scenario, Seen, micros};

const BOUNDARY: &str = "loadtest-boundary-7MA4YWxk";

/// A body that may be sent slowly.
pub type Upload = UnsyncBoxBody<Bytes, std::io::Error>;

/// One connection; reopened by its owner when it broke.
#[derive(Debug)]
pub struct Connection(SendRequest<Upload>);

impl Connection {
    /// Connects and starts to drive the connection.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(target: std::net::SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target).await.context("connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Sends one request and gives the head of its answer, whose body is still to come.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Upload,
    ) -> anyhow::Result<Response<Incoming>> {
        self.0.ready().await?;
        let mut request = Request::builder().method(method).uri(path).header("host", "loadtest");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(self.0.send_request(request.body(body)?).await?)
    }

    /// Whether it takes a request at once.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// Sends one request and reads its answer to the end: status, body bytes, microseconds to the first one.
    ///
    /// # Errors
    /// When the connection breaks, the answer included.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Upload,
    ) -> anyhow::Result<(u16, usize, u64)> {
        let started = Instant::now();
        let mut response = self.ask(method, path, headers, body).await?;
        let (mut bytes, mut first) = (0, None);
        while let Some(frame) = response.frame().await {
            if let Some(data) = frame?.data_ref() {
                first.get_or_insert_with(|| micros(started));
                bytes += data.len();
            }
        }
        Ok((response.status().as_u16(), bytes, first.unwrap_or_else(|| micros(started))))
    }
}

/// A body of one piece.
#[must_use]
pub fn one_piece(bytes: Bytes) -> Upload {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The content type of [`form`].
#[must_use]
pub fn form_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// A transcription form, `model` first and the file last, as the official SDKs send it.
#[must_use]
pub fn form(model: &str, file: &[u8]) -> Bytes {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--{BOUNDARY}\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/x-wav\r\n\r\n"
    );
    let mut form = head.into_bytes();
    form.extend_from_slice(file);
    form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    form.into()
}

/// Repeats the operation until `end`.
pub(crate) async fn worker(options: &Options, form: &Bytes, end: Instant) -> anyhow::Result<Seen> {
    let mut seen = Seen::new()?;
    let mut connection = None;
    let workers = f64::from(u32::try_from(options.concurrency)?);
    let pause = options.rate.filter(|rate| *rate > 0.0).map(|rate| Duration::from_secs_f64(workers / rate));
    while Instant::now() < end {
        let started = Instant::now();
        match once(options, form, &mut connection).await {
            Ok(first_byte) => {
                seen.units += 1;
                seen.total.saturating_record(micros(started).max(1));
                seen.first_byte.saturating_record(first_byte.max(1));
            }
            Err(error) => {
                connection = None;
                seen.fail(&error);
                // A target that is down is asked again, not hammered.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause.saturating_sub(started.elapsed())).await;
        }
    }
    Ok(seen)
}

async fn once(options: &Options, form: &Bytes, slot: &mut Option<Connection>) -> anyhow::Result<u64> {
    if slot.is_none() {
        *slot = Some(Connection::open(options.target).await?);
    }
    let connection = slot.as_mut().context("no connection")?;
    let bearer = format!("Bearer {}", options.key);
    let (path, kind, body) = if options.scenario == Scenario::Speech {
        ("/v1/audio/speech", "application/json".to_owned(), speech(options))
    } else {
        ("/v1/audio/transcriptions", form_type(), form.clone())
    };
    let headers = [("authorization", bearer.as_str()), ("content-type", kind.as_str())];
    let (status, bytes, first_byte) = connection.call(Method::POST, path, &headers, one_piece(body)).await?;
    ensure!(status == 200, "status {status}");
    let short = options.scenario == Scenario::Speech && bytes != options.bytes;
    ensure!(!short, "{bytes} bytes of speech instead of {}", options.bytes);
    Ok(first_byte)
}

fn speech(options: &Options) -> Bytes {
    let input = format!("Measure me. script:bytes={} script:chunk_bytes=16384", options.bytes);
    serde_json::json!({"model": options.model, "voice": "alloy", "input": input, "response_format": "pcm"})
        .to_string()
        .into()
}
