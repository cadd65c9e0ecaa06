//! The vendors' own paths: which are known, where each has its model, what it is billed by, where the
//! vendor's SDKs put their key, and how a refusal looks there. Tables and small readers; who speaks to
//! sockets is the gateway.

use std::fmt;

use domain::provider::Operation;
use domain::usage::{Usage, UsageSource};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

pub use crate::sessions::{Address, Followed, Passage, Told};

/// What a vendor's SDK finds below the vendor's prefix.
#[expect(missing_debug_implementations, reason = "a table of functions")]
pub struct Surface {
    /// First part of every path here, as in `/deepgram/v1/listen`.
    pub prefix: &'static str,
    /// The beginning of the vendor's paths that stands in the account's base URL already.
    pub in_base: &'static str,
    /// Where OpenAI's paths stand that are served as such, by this vendor's accounts alone. `{deployment}`
    /// stands for a model that is named by the path.
    pub openai_at: &'static [&'static str],
    /// Where a key is looked for, in this order.
    pub keys: &'static [KeyPlace],
    /// Paths that are known. Others need a key with `passthrough`.
    pub routes: &'static [Route],
    /// Headers of the vendor's answers that the client gets; a name that ends with `-` stands for all
    /// that begin so.
    pub headers: &'static [&'static str],
    /// The header in which an answer tells the characters that it bills.
    pub characters_header: Option<&'static str>,
    /// Fields of a socket's messages that carry a key, which goes no further.
    pub key_fields: &'static [&'static str],
    /// Body of a refusal of ours.
    pub error: fn(&Refused<'_>) -> Value,
    /// The message by which a session learns why it is ended, where the vendor has such.
    pub event: Option<fn(&Refused<'_>) -> Value>,
    /// A header that repeats the message of a refusal, where the vendor's SDKs read one.
    pub error_header: Option<&'static str>,
    /// Under which name a model is priced that has no price of its own.
    pub priced_as: fn(&str) -> Option<&'static str>,
}

/// Where a key may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// The whole value of this header.
    Header(&'static str),
    /// `Authorization`, behind this scheme.
    Scheme(&'static str),
    /// The WebSocket subprotocol that follows this one, as browsers send it.
    Subprotocol(&'static str),
    /// A query parameter, which is taken out before anything is forwarded. Browsers' WebSockets know no
    /// other way at some vendors.
    Query(&'static str),
}

/// Methods of known paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Does.
    Post,
    /// A WebSocket handshake.
    Socket,
}

/// One known path.
#[derive(Debug)]
pub struct Route {
    /// How it is asked.
    pub method: Method,
    /// The vendor's path; `{}` stands for one part of it.
    pub path: &'static str,
    /// `scheme://host` where the vendor serves it elsewhere than at its base URL.
    pub origin: Option<&'static str>,
    /// Which permission it needs and under which operation it is priced.
    pub operation: Operation,
    /// Where its model stands.
    pub model: ModelAt,
    /// What it does and is billed by.
    pub work: Work,
}

/// Where a model stands in a request, and what the vendor takes where none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelAt {
    /// The place.
    pub place: Place,
    /// The vendor's default; `None` where it has none.
    pub default: Option<&'static str>,
}

/// A place in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A query parameter.
    Query(&'static str),
    /// A field of the JSON body.
    Json(&'static str),
    /// A field of the form.
    Form(&'static str),
    /// The first part of the path that is not fixed.
    Path,
    /// Nowhere: the default is the model.
    Nowhere,
}

/// What a path does.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// Tells what is no tenant's own; costs nothing.
    Free,
    /// Speaks the text in its body, of which these are the characters.
    Speech(fn(&Map<String, Value>) -> u64),
    /// Transcribes its body, or what a JSON body points to, with options in the query.
    Recording(Recording),
    /// Transcribes the file of a form, whose other fields are options.
    Form(Recording),
    /// Makes a short-lived token for a browser: ours, since the vendor's would go around this gateway.
    Token(Token),
    /// Makes the address of a session, which is rewritten so that the session passes through here.
    Address(Address),
    /// Is a session, counted by this.
    Socket(fn(&Query) -> Box<dyn SocketMeter>),
}

/// How a transcription is billed.
#[derive(Debug, Clone, Copy)]
pub struct Recording {
    /// The length that an answer tells, of every channel that is billed.
    pub reported: fn(&[u8]) -> Option<Usage>,
    /// The option that has each channel transcribed, and billed, for itself.
    pub by_channel: &'static str,
    /// What a use is billed as under these options and for this model.
    pub billed: fn(&Query, &str, Usage) -> Usage,
}

/// How short-lived tokens are asked for and told.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    /// Seconds that the body asks for.
    pub seconds: fn(&Map<String, Value>) -> u64,
    /// The answer, of a token and its seconds.
    pub answer: fn(&str, u64) -> Value,
}

/// A field of a request, and what is wrong with it.
pub type AtFault = (&'static str, &'static str);

/// Counts what a session uses. It reads no clock.
pub trait SocketMeter: Send {
    /// A text message of the client.
    fn client_text(&mut self, text: &str);
    /// A binary message of the client.
    fn client_binary(&mut self, bytes: &[u8]);
    /// A text message of the vendor.
    fn vendor_text(&mut self, text: &str);
    /// What was used until now, `connected_ms` after the session was opened.
    fn usage(&self, connected_ms: u64) -> (Usage, UsageSource);
}

/// Bills the time for which a session was connected.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connected;

impl SocketMeter for Connected {
    fn client_text(&mut self, _: &str) {}
    fn client_binary(&mut self, _: &[u8]) {}
    fn vendor_text(&mut self, _: &str) {}
    fn usage(&self, connected_ms: u64) -> (Usage, UsageSource) {
        // However soon it ended, it was connected.
        (Usage { audio_in_ms: connected_ms.max(1), requests: 1, ..Usage::default() }, UsageSource::Measured)
    }
}

/// Bills the time for which a call was connected, once the vendor has begun it. One that it refuses, such
/// as a second to join, costs nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Called {
    begun: bool,
}

impl SocketMeter for Called {
    fn client_text(&mut self, _: &str) {}
    fn client_binary(&mut self, _: &[u8]) {}

    fn vendor_text(&mut self, _: &str) {
        self.begun = true;
    }

    fn usage(&self, connected_ms: u64) -> (Usage, UsageSource) {
        if self.begun { Connected.usage(connected_ms) } else { (Usage::default(), UsageSource::Measured) }
    }
}

/// [`Called`] as a table wants it.
#[must_use]
pub fn called(_: &Query) -> Box<dyn SocketMeter> {
    Box::new(Called::default())
}

/// The parameters of a query, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// How often a name occurs.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(known, _)| known == name).count()
    }
}

/// A refusal of ours, for the vendor's shape.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// HTTP status.
    pub status: u16,
    /// Our code, such as `budget_exceeded`.
    pub code: &'static str,
    /// The sentence for the client.
    pub message: &'a str,
    /// The field at fault.
    pub param: Option<&'a str>,
    /// As `x-request-id` says.
    pub request_id: &'a str,
}

/// What `/deepgram/…` and its like lead to.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The row of the table.
    pub route: &'static Route,
    /// The first part of the path that is not fixed.
    pub part: Option<&'a str>,
}

impl Surface {
    /// The known path that this is, as the client wrote it below the prefix. Of two that fit, the first
    /// of the table is taken.
    #[must_use]
    pub fn find<'a>(&self, method: Method, path: &'a str) -> Option<Found<'a>> {
        let asked = self.routes.iter().filter(|route| route.method == method);
        asked.into_iter().find_map(|route| fit(route.path, path).map(|part| Found { route, part }))
    }

    /// How the vendor is asked about sessions that it made, where it can be.
    #[must_use]
    pub fn followed(&self) -> Option<&'static Followed> {
        self.routes.iter().find_map(|route| match route.work {
            Work::Address(address) => address.followed,
            _ => None,
        })
    }
}

/// A path of a vendor's for one thing, whose name fills the free part. There is none where the name would
/// not stay one part of it.
#[must_use]
pub fn path_of(template: &str, name: &str) -> Option<String> {
    is_plain(name).then(|| template.replace("{}", name))
}

/// Whether a path fits a template, and its first free part.
fn fit<'a>(template: &str, path: &'a str) -> Option<Option<&'a str>> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut part = None;
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(part),
            (Some("{}"), Some(text)) if is_plain(text) => part = part.or(Some(text)),
            (Some(fixed), Some(text)) if fixed == text => {}
            _ => return None,
        }
    }
}

/// A part that is one part to everybody: nothing in it is decoded to a slash or a step upwards.
fn is_plain(part: &str) -> bool {
    let letters = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'));
    letters && part.bytes().any(|byte| byte != b'.')
}

/// The fields of a JSON object. A field that stands in it twice would be read differently by others,
/// so such an object is none.
///
/// # Errors
/// It is no object, or has a field twice.
pub fn fields(body: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    serde_json::from_slice::<Fields>(body).map(|fields| fields.0)
}

struct Fields(Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Fields, A::Error> {
                let mut fields = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if fields.contains_key(&name) {
                        return Err(serde::de::Error::custom(format_args!("the field `{name}` stands in it twice")));
                    }
                    fields.insert(name, value);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Characters of a text, as vendors count them.
#[must_use]
pub fn characters(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

/// Characters of the field `text`.
#[must_use]
pub fn text_field(body: &Map<String, Value>) -> u64 {
    body.get("text").and_then(Value::as_str).map_or(0, characters)
}

/// Milliseconds of a number of seconds, rounded to the nearest.
#[must_use]
pub fn seconds_to_ms(seconds: f64) -> u64 {
    if !seconds.is_finite() || seconds <= 0.0 {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded before")]
    let ms = (seconds * 1000.0).min(1e15).round() as u64;
    ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fits_one_template_whole_and_its_parts_stay_parts() {
        let template = "/v1/text-to-speech/{}/stream";
        assert_eq!(fit(template, "/v1/text-to-speech/abc/stream"), Some(Some("abc")));
        assert_eq!(fit("/v1/models", "/v1/models"), Some(None));
        for path in [
            "/v1/text-to-speech/abc",
            "/v1/text-to-speech/abc/stream/",
            "/v1/text-to-speech//stream",
            "/v1/text-to-speech/../stream",
            "/v1/text-to-speech/a%2f..%2fb/stream",
            "/V1/text-to-speech/abc/stream",
        ] {
            assert_eq!(fit(template, path), None, "{path}");
        }
    }

    #[test]
    fn a_name_stays_one_part_of_a_path() {
        assert_eq!(path_of("/calls/{}/x", "a-1").as_deref(), Some("/calls/a-1/x"));
        for name in ["", "..", "a/b", "a%2fb", "a?b"] {
            assert_eq!(path_of("/calls/{}/x", name), None, "{name}");
        }
    }

    #[test]
    fn a_field_that_stands_twice_is_refused_however_it_is_written() {
        assert!(fields(br#"{"model_id":"a","text":"b"}"#).is_ok());
        assert!(fields(br#"{"model_id":"a","model_id":"b"}"#).is_err());
        assert!(fields(br#"{"model_id":"a","model\u005fid":"b"}"#).is_err());
        assert!(fields(b"[]").is_err());
    }
}
