//! Answers that are read while they come: downloads, server-sent events and lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use js_sys::{Array, Reflect, Uint8Array};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, Blob, BlobPropertyBag, HtmlAnchorElement, ReadableStreamDefaultReader, Url};

use super::client::Client;
use super::failure::Failure;
use super::request::{Answer, Call, Leash};
use crate::clock;

/// Longest pause before a stream that ended is opened again.
const LONGEST_PAUSE_MS: i32 = 15_000;

/// The body of an answer, piece by piece.
#[derive(Debug)]
pub(crate) struct Pieces {
    reader: Option<ReadableStreamDefaultReader>,
    leash: Leash,
}

impl Pieces {
    pub(crate) fn of(answer: Answer) -> Self {
        let (body, leash) = answer.body();
        let reader = body.and_then(|body| body.get_reader().dyn_into().ok());
        Self { reader, leash }
    }

    /// Ends it.
    pub(crate) fn controller(&self) -> AbortController {
        self.leash.controller()
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&self) -> Result<Option<Uint8Array>, Failure> {
        let Some(reader) = &self.reader else { return Ok(None) };
        let failed = |error: JsValue| {
            if self.leash.controller().signal().aborted() {
                Failure::Cancelled
            } else {
                Failure::Network(format!("{error:?}"))
            }
        };
        let read = JsFuture::from(reader.read()).await.map_err(failed)?;
        let field = |name: &str| Reflect::get(&read, &JsValue::from_str(name)).ok();
        if field("done").and_then(|done| done.as_bool()).unwrap_or(true) {
            return Ok(None);
        }
        Ok(field("value").and_then(|value| value.dyn_into::<Uint8Array>().ok()))
    }
}

/// How far a download is, and the way to stop it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    bytes: RwSignal<Option<u64>>,
    controller: StoredValue<Option<AbortController>, LocalStorage>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { bytes: RwSignal::new(None), controller: StoredValue::new_local(None) }
    }

    /// Bytes that came; `None` while nothing is downloaded.
    pub(crate) fn bytes(self) -> Option<u64> {
        self.bytes.get()
    }

    /// Stops the download, which fails with `Failure::Cancelled`.
    pub(crate) fn stop(self) {
        self.controller.with_value(|controller| {
            if let Some(controller) = controller {
                controller.abort();
            }
        });
    }
}

/// Downloads what a path gives into a file of the reader's.
pub(crate) async fn download(client: &Client, path: &str, name: &str, progress: Progress) -> Result<(), Failure> {
    progress.bytes.try_set(Some(0));
    let done = fetch_file(client, Call::get(path), name, progress).await;
    progress.bytes.try_set(None);
    progress.controller.try_set_value(None);
    done
}

async fn fetch_file(client: &Client, call: Call, name: &str, progress: Progress) -> Result<(), Failure> {
    let answer = client.send(call).await?;
    let kind = answer.header("content-type").unwrap_or_default();
    let name =
        answer.header("content-disposition").and_then(|told| file_name(&told)).unwrap_or_else(|| name.to_owned());
    let pieces = Pieces::of(answer);
    progress.controller.try_set_value(Some(pieces.controller()));
    let (all, mut bytes) = (Array::new(), 0_u64);
    while let Some(piece) = pieces.next().await? {
        bytes += u64::from(piece.length());
        all.push(&piece);
        progress.bytes.try_set(Some(bytes));
    }
    save(&all, &kind, &name)
}

/// Gives the reader a file made of these pieces.
pub(crate) fn save(pieces: &Array, kind: &str, name: &str) -> Result<(), Failure> {
    let broken = |error: JsValue| Failure::Unreadable(format!("{error:?}"));
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    let blob = Blob::new_with_u8_array_sequence_and_options(pieces, &options).map_err(broken)?;
    save_blob(&blob, name)
}

/// Gives the reader this as a file.
pub(crate) fn save_blob(blob: &Blob, name: &str) -> Result<(), Failure> {
    let broken = |error: JsValue| Failure::Unreadable(format!("{error:?}"));
    let url = Url::create_object_url_with_blob(blob).map_err(broken)?;
    let anchor = document().create_element("a").map_err(broken)?;
    if let Ok(anchor) = anchor.dyn_into::<HtmlAnchorElement>() {
        anchor.set_href(&url);
        anchor.set_download(name);
        anchor.click();
    }
    // Later: some browsers read it after the click.
    set_timeout(move || drop(Url::revoke_object_url(&url)), std::time::Duration::from_secs(30));
    Ok(())
}

/// Gives the reader this text as a file.
pub(crate) fn save_text(text: &str, kind: &str, name: &str) -> Result<(), Failure> {
    save(&Array::of1(&Uint8Array::from(text.as_bytes())), kind, name)
}

/// The name in `attachment; filename="x.csv"`.
fn file_name(disposition: &str) -> Option<String> {
    let (_, name) = disposition.split_once("filename=")?;
    let name = name.trim().trim_matches('"');
    (!name.is_empty()).then(|| name.to_owned())
}

/// Cuts bytes into what stands before each mark.
#[derive(Debug)]
pub(crate) struct Cutter {
    mark: &'static [u8],
    rest: Vec<u8>,
}

impl Cutter {
    /// Lines.
    pub(crate) fn lines() -> Self {
        Self { mark: b"\n", rest: Vec::new() }
    }

    /// Server-sent events.
    pub(crate) fn events() -> Self {
        Self { mark: b"\n\n", rest: Vec::new() }
    }

    /// What is complete after these bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let mut complete = Vec::new();
        while let Some(at) = self.rest.windows(self.mark.len()).position(|window| window == self.mark) {
            let after = self.rest.split_off(at + self.mark.len());
            let whole = std::mem::replace(&mut self.rest, after);
            let text = whole.get(..at).map(String::from_utf8_lossy);
            complete.extend(text.map(std::borrow::Cow::into_owned));
        }
        complete
    }

    /// What stands behind the last mark.
    pub(crate) fn rest(self) -> String {
        String::from_utf8_lossy(&self.rest).into_owned()
    }
}

/// A server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerEvent {
    pub(crate) name: String,
    pub(crate) data: String,
}

/// `None` for comments.
pub(crate) fn event_of(text: &str) -> Option<ServerEvent> {
    let (mut name, mut data) = ("message".to_owned(), Vec::new());
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => data.push(value),
            _ => {}
        }
    }
    (!data.is_empty()).then(|| ServerEvent { name, data: data.join("\n") })
}

/// How a stream of events is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Feed {
    /// It is being opened.
    Opening,
    /// It is open.
    Live,
    /// It has ended, and is opened again in a moment.
    Broken(Failure),
}

/// Reads server-sent events until the owner ends, and opens the stream again where it breaks. It is read by
/// `fetch` and not by an `EventSource`, which sends no bearer.
pub(crate) fn watch(
    client: Client,
    path: impl Fn() -> String + 'static,
    feed: RwSignal<Feed>,
    told: impl Fn(ServerEvent) + 'static,
) {
    let alive = Arc::new(AtomicBool::new(true));
    let controller = StoredValue::new_local(None::<AbortController>);
    on_cleanup({
        let alive = Arc::clone(&alive);
        move || {
            alive.store(false, Ordering::Relaxed);
            controller.try_with_value(|open| open.as_ref().map(AbortController::abort));
        }
    });
    spawn_local(async move {
        let mut pause_ms = 500;
        while alive.load(Ordering::Relaxed) {
            feed.try_set(Feed::Opening);
            let call = Call::get(path()).header("Accept", "text/event-stream");
            let ended = match client.send(call).await {
                Ok(answer) if alive.load(Ordering::Relaxed) => {
                    let pieces = Pieces::of(answer);
                    controller.try_set_value(Some(pieces.controller()));
                    feed.try_set(Feed::Live);
                    read_events(&pieces, &alive, || pause_ms = 500, &told).await
                }
                Ok(_) => return,
                Err(failure) => failure,
            };
            if !alive.load(Ordering::Relaxed) {
                return;
            }
            let is_final = matches!(ended, Failure::SignedOut) || ended.status() == Some(403);
            feed.try_set(Feed::Broken(ended));
            if is_final {
                return;
            }
            clock::sleep_ms(pause_ms).await;
            pause_ms = (pause_ms * 2).min(LONGEST_PAUSE_MS);
        }
    });
}

/// Why it has ended.
async fn read_events(
    pieces: &Pieces,
    alive: &AtomicBool,
    mut came: impl FnMut(),
    told: &impl Fn(ServerEvent),
) -> Failure {
    let mut cutter = Cutter::events();
    loop {
        match pieces.next().await {
            Ok(Some(piece)) => {
                came();
                for event in cutter.push(&piece.to_vec()).iter().filter_map(|text| event_of(text)) {
                    if !alive.load(Ordering::Relaxed) {
                        return Failure::Cancelled;
                    }
                    told(event);
                }
            }
            Ok(None) => return Failure::Network("the stream has ended".to_owned()),
            Err(failure) => return failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_are_cut() {
        let text = "event: sessions\ndata: {\"a\":\"ä\"}\n\n: nothing new\n\ndata: x\ndata: y\n\n";
        for size in 1..text.len() {
            let mut cutter = Cutter::events();
            let texts: Vec<String> = text.as_bytes().chunks(size).flat_map(|piece| cutter.push(piece)).collect();
            let events: Vec<ServerEvent> = texts.iter().filter_map(|text| event_of(text)).collect();
            let expected = [("sessions", "{\"a\":\"ä\"}"), ("message", "x\ny")];
            let expected = expected.map(|(name, data)| ServerEvent { name: name.to_owned(), data: data.to_owned() });
            assert_eq!(events, expected, "{size}");
        }
    }

    #[test]
    fn lines_have_a_rest() {
        let mut cutter = Cutter::lines();
        assert_eq!(cutter.push(b"a\nb\nc"), ["a", "b"]);
        assert_eq!(cutter.rest(), "c");
    }

    #[test]
    fn a_download_has_the_name_that_is_told() {
        assert_eq!(file_name("attachment; filename=\"usage.csv\"").as_deref(), Some("usage.csv"));
        assert_eq!(file_name("attachment"), None);
    }
}
