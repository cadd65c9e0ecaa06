//! What handlers take: bodies and queries that are checked, ids that are ids.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use actix_web::web::{self, Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use admin_types::problem::FieldProblem;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use utoipa::IntoParams;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

use crate::Control;
use crate::error::AdminError;

/// Bytes of a JSON body.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Bytes that a body brings in a second at least.
const LEAST_A_SECOND: u128 = 1024;

/// A JSON body of at most [`MAX_BODY_BYTES`] that has the fields of `T` and no others.
#[derive(Debug)]
pub(crate) struct Body<T> {
    /// What it says.
    pub(crate) value: T,
    /// SHA-256 of its bytes, by which a repeated request is recognised.
    pub(crate) digest: [u8; 32],
}

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = AdminError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, AdminError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let declared = declared(request);
        let pieces = Pieces::new(request, payload.take(), MAX_BODY_BYTES);
        Box::pin(async move {
            declared?;
            let bytes = pieces?.all().await?;
            Ok(Self { value: read_json(&bytes)?, digest: Sha256::digest(&bytes).into() })
        })
    }
}

fn declared(request: &HttpRequest) -> Result<(), AdminError> {
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(AdminError::UnsupportedMediaType("Bodies are taken without a content encoding.".to_owned()));
    }
    let is_json = request.content_type().eq_ignore_ascii_case("application/json");
    if request.headers().contains_key(CONTENT_TYPE) && !is_json {
        return Err(AdminError::UnsupportedMediaType("The body must be application/json.".to_owned()));
    }
    Ok(())
}

/// A body that may not be larger than told, and must keep coming.
pub(crate) struct Pieces {
    payload: Payload,
    most: usize,
    total: usize,
    in_window: usize,
    window: Duration,
    ends: Instant,
    at_last: Option<(Instant, Duration)>,
}

impl Pieces {
    /// Of a request.
    ///
    /// # Errors
    /// The server was built without its control.
    pub(crate) fn new(request: &HttpRequest, payload: Payload, most: usize) -> Result<Self, AdminError> {
        let control = request.app_data::<web::Data<Control>>();
        let control = control.ok_or_else(|| AdminError::internal(&"the server was built without its control"))?;
        let window = control.settings.body_idle;
        Ok(Self { payload, most, total: 0, in_window: 0, window, ends: Instant::now() + window, at_last: None })
    }

    /// The body must also end in so long, however well it comes.
    pub(crate) fn within(mut self, longest: Duration) -> Self {
        self.at_last = Some((Instant::now() + longest, longest));
        self
    }

    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// The body is too large, comes too slowly or breaks off.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, AdminError> {
        let piece = loop {
            let ends = match self.at_last {
                Some((at_last, longest)) if at_last <= Instant::now() => return Err(AdminError::not_within(longest)),
                Some((at_last, _)) => at_last.min(self.ends),
                None => self.ends,
            };
            match tokio::time::timeout_at(ends, self.payload.next()).await {
                Ok(None) => return Ok(None),
                Ok(Some(piece)) => break piece.map_err(|error| AdminError::Malformed(error.to_string()))?,
                Err(_) if ends < self.ends => {}
                Err(_) if self.is_too_slow() => {
                    return Err(AdminError::TooSlow("the body has stopped arriving".to_owned()));
                }
                Err(_) => (self.in_window, self.ends) = (0, Instant::now() + self.window),
            }
        };
        self.total += piece.len();
        self.in_window += piece.len();
        if self.total > self.most {
            return Err(AdminError::TooLarge(self.most));
        }
        Ok(Some(piece))
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Self::next`]'s.
    pub(crate) async fn all(mut self) -> Result<Bytes, AdminError> {
        let mut bytes = BytesMut::new();
        while let Some(piece) = self.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    fn is_too_slow(&self) -> bool {
        let least = self.window.as_millis() * LEAST_A_SECOND / 1000;
        u128::try_from(self.in_window).is_ok_and(|bytes| bytes < least)
    }
}

/// An object. JSON that is broken is malformed; JSON that says something else than `T` names the field.
pub(crate) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, AdminError> {
    // A list would be taken for the fields in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(AdminError::field("body", "must be an object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if cause.is_data() {
            return field_error(&path, &cause.to_string());
        }
        AdminError::Malformed(format!("the body is not JSON: {cause}"))
    })?;
    reader.end().map_err(|error| AdminError::Malformed(format!("the body is not JSON: {error}")))?;
    // PostgreSQL's text holds no NUL, and no name needs one.
    if bytes.windows(6).any(|window| window == b"\\u0000") {
        return Err(AdminError::Malformed("the body holds the character U+0000".to_owned()));
    }
    Ok(value)
}

/// A field by its path, without the place in the text, which says nothing of the field.
fn field_error(path: &str, cause: &str) -> AdminError {
    let cause = cause.rsplit_once(" at line ").map_or(cause, |(cause, _)| cause);
    let named = cause.split('`').nth(1).unwrap_or_default();
    let named_by = ["missing field", "unknown field", "duplicate field"];
    let is_named = named_by.iter().any(|start| cause.starts_with(start));
    let path = if path == "." { "" } else { path };
    let field = match (is_named, path.is_empty()) {
        // The path of an unknown field ends with its name already.
        (true, false) if path == named || path.ends_with(&format!(".{named}")) => path.to_owned(),
        (true, false) => format!("{path}.{named}"),
        (true, true) => named.to_owned(),
        (false, true) => "body".to_owned(),
        (false, false) => path.to_owned(),
    };
    AdminError::Invalid(vec![FieldProblem { field, detail: cause.to_owned() }])
}

/// A query string that has the parameters of `T` and no others, as long as their document has them.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned + IntoParams> FromRequest for Query<T> {
    type Error = AdminError;
    type Future = std::future::Ready<Result<Self, AdminError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(read_query(request.query_string()).map(Self))
    }
}

/// # Errors
/// 422 that names the parameters that are shorter or longer than the document of `T` has them, in characters.
fn check_lengths<T: IntoParams>(parts: &[(String, String)]) -> Result<(), AdminError> {
    let mut problems = Vec::new();
    for parameter in T::into_params(|| Some(ParameterIn::Query)) {
        let Some(RefOr::T(Schema::Object(schema))) = &parameter.schema else { continue };
        let Some((name, value)) = parts.iter().find(|(name, _)| *name == parameter.name) else { continue };
        let characters = value.chars().count();
        if let Some(most) = schema.max_length.filter(|most| characters > *most) {
            problems.push(FieldProblem { field: name.clone(), detail: format!("has more than {most} characters") });
        }
        if let Some(least) = schema.min_length.filter(|least| characters < *least) {
            problems.push(FieldProblem { field: name.clone(), detail: format!("has fewer than {least} characters") });
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(AdminError::Invalid(problems)) }
}

/// The parameters of a query string.
fn read_query<T: DeserializeOwned + IntoParams>(text: &str) -> Result<T, AdminError> {
    if text.contains("%00") {
        return Err(AdminError::Malformed("the query holds the character U+0000".to_owned()));
    }
    let parts = url_parts(text)?;
    check_lengths::<T>(&parts)?;
    let reader = serde::de::value::MapDeserializer::<_, serde::de::value::Error>::new(
        parts.iter().map(|(name, value)| (name.as_str(), Part(value))),
    );
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        field_error(&path, &error.into_inner().to_string())
    })
}

fn url_parts(text: &str) -> Result<Vec<(String, String)>, AdminError> {
    let parts = web::Query::<Vec<(String, String)>>::from_query(text);
    parts.map(web::Query::into_inner).map_err(|error| AdminError::Malformed(error.to_string()))
}

/// A parameter's text, read as whatever the field wants.
struct Part<'a>(&'a str);

macro_rules! parsed {
    ($($method:ident $visit:ident $what:literal),+ $(,)?) => {$(
        fn $method<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            let value = self.0.parse().map_err(|_| serde::de::Error::custom(concat!("is not ", $what)))?;
            visitor.$visit(value)
        }
    )+};
}

impl<'de> serde::Deserializer<'de> for Part<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        use serde::de::IntoDeserializer;
        visitor.visit_enum(self.0.into_deserializer())
    }

    parsed! {
        deserialize_bool visit_bool "true or false",
        deserialize_u8 visit_u8 "a whole number that fits",
        deserialize_u16 visit_u16 "a whole number that fits",
        deserialize_u32 visit_u32 "a whole number that fits",
        deserialize_u64 visit_u64 "a whole number that fits",
        deserialize_i32 visit_i32 "a whole number that fits",
        deserialize_i64 visit_i64 "a whole number that fits",
        deserialize_f64 visit_f64 "a number",
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

impl<'de> serde::de::IntoDeserializer<'de, serde::de::value::Error> for Part<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

/// The id in a path. What is no id names nothing, so it is not found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathId(pub(crate) Uuid);

impl FromRequest for PathId {
    type Error = AdminError;
    type Future = std::future::Ready<Result<Self, AdminError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("id").and_then(|text| Uuid::try_parse(text).ok());
        std::future::ready(id.map(Self).ok_or(AdminError::NotFound))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::error::PayloadError;
    use admin_types::tenants::{CreateTenant, ListTenants, TenantSort};
    use futures_util::{Stream, stream};

    use super::*;

    fn fields<T: std::fmt::Debug>(read: Result<T, AdminError>) -> Vec<String> {
        match read {
            Err(AdminError::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_names_the_field_at_fault() {
        let read = |text: &str| read_json::<CreateTenant>(text.as_bytes());
        assert_eq!(read(r#"{"name":"acme"}"#).unwrap().name, "acme");
        assert_eq!(fields(read(r#"{"name":"acme","colour":1}"#)), ["colour"]);
        assert_eq!(fields(read(r#"{"name":7}"#)), ["name"]);
        assert_eq!(fields(read("{}")), ["name"]);
        assert_eq!(fields(read("[]")), ["body"]);
        for broken in ["", "{", r#"{"name":"a"} x"#, r#"{"name":"a\u0000"}"#] {
            assert!(matches!(read(broken), Err(AdminError::Malformed(_))), "{broken}");
        }
    }

    #[test]
    fn a_query_names_the_parameter_at_fault() {
        let read = read_query::<ListTenants>;
        let list = read("q=a%20b&suspended=true&sort=-name&limit=7").unwrap();
        assert_eq!((list.q.as_deref(), list.suspended, list.limit), (Some("a b"), Some(true), Some(7)));
        assert_eq!(list.sort, Some(TenantSort::NameDescending));
        assert_eq!(fields(read("colour=red")), ["colour"]);
        assert_eq!(fields(read("limit=many")), ["limit"]);
        assert_eq!(fields(read("sort=colour")), ["sort"]);
        assert_eq!(fields(read("limit=1&limit=2")), ["limit"]);
        assert_eq!(read(&format!("q={}", "ä".repeat(200))).unwrap().q.unwrap().len(), 400);
        assert_eq!(fields(read(&format!("q={}", "a".repeat(201)))), ["q"]);
    }

    #[actix_web::test]
    async fn a_body_that_keeps_trickling_is_ended() {
        let trickling = || stream::repeat_with(|| Ok(Bytes::from_static(b"x")));
        let mut body = pieces(trickling(), Duration::from_secs(60));
        assert_eq!(body.next().await.unwrap().as_deref(), Some(&b"x"[..]));
        let late = pieces(trickling(), Duration::ZERO).next().await;
        assert!(matches!(late, Err(AdminError::TooSlow(_))), "bytes that are there do not help");
        let late = pieces(stream::pending(), Duration::from_millis(1)).next().await;
        assert!(matches!(late, Err(AdminError::TooSlow(why)) if why.contains("within")), "and not after its window");
    }

    fn pieces(stream: impl Stream<Item = Result<Bytes, PayloadError>> + 'static, longest: Duration) -> Pieces {
        let (window, ends) = (Duration::from_secs(30), Instant::now() + Duration::from_secs(30));
        let payload: Payload = Payload::Stream { payload: Box::pin(stream) };
        Pieces { payload, most: 9, total: 0, in_window: 0, window, ends, at_last: None }.within(longest)
    }
}
