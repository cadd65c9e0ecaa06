//! What was asked, and by whom: the path and query below a vendor's prefix without the key in them.

use std::borrow::Cow;

use actix_web::HttpRequest;
use actix_web::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use dialects::surface::{KeyPlace, Query, Surface};
use domain::error::ErrorKind;
use domain::provider::Operation;

use crate::Worker;
use crate::error::GatewayError;
use crate::http::extract::{Caller, caller_by};
use crate::pipeline::authenticate::{Principal, check_expiry, recognise};
use crate::vendor::passes::Passes;

/// A request below a vendor's prefix.
#[derive(Debug)]
pub(super) struct Asked {
    /// Its method.
    pub(super) method: http::Method,
    /// The vendor's path, as the client wrote it.
    pub(super) path: String,
    /// The parameters of the query, decoded.
    pub(super) query: Query,
    /// The query as the client wrote it, without keys.
    pub(super) raw_query: String,
    /// Content type of the body.
    pub(super) content_type: Option<String>,
    /// What the client takes.
    pub(super) accept: Option<String>,
    /// It is a WebSocket handshake.
    pub(super) is_socket: bool,
}

impl Asked {
    /// Reads a request's head.
    ///
    /// # Errors
    /// The path leads elsewhere for some readers than for others.
    pub(super) fn read(surface: &Surface, request: &HttpRequest) -> Result<Self, GatewayError> {
        let path = request.uri().path();
        let path = path.strip_prefix('/').and_then(|path| path.strip_prefix(surface.prefix)).unwrap_or_default();
        if steps_up(path) {
            return Err(GatewayError::caller(ErrorKind::NotFound, "There is nothing at this path."));
        }
        let is_key = |name: &str| surface.keys.contains(&KeyPlace::Query(known(surface, name)));
        let (mut raw_query, mut query) = (String::new(), Vec::new());
        for pair in request.query_string().split('&').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = decoded(pair) else { continue };
            if is_key(&name) {
                continue;
            }
            if !raw_query.is_empty() {
                raw_query.push('&');
            }
            raw_query.push_str(pair);
            query.push((name.into_owned(), value.into_owned()));
        }
        let method = http::Method::from_bytes(request.method().as_str().as_bytes());
        Ok(Self {
            method: method.map_err(|error| GatewayError::internal(&error))?,
            path: path.to_owned(),
            query: Query(query),
            raw_query,
            content_type: text(request, &CONTENT_TYPE),
            accept: text(request, &ACCEPT),
            is_socket: text(request, &UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket")),
        })
    }

    /// Whether the body says that it is JSON.
    pub(super) fn is_json(&self) -> bool {
        self.content_type.as_deref().is_some_and(|kind| kind.to_ascii_lowercase().contains("json"))
    }
}

fn decoded(pair: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    url::form_urlencoded::parse(pair.as_bytes()).next()
}

/// The table's own text for a name, which is what its places are compared by.
fn known(surface: &Surface, name: &str) -> &'static str {
    let places = surface.keys.iter().filter_map(|place| match place {
        KeyPlace::Query(known) => Some(*known),
        _ => None,
    });
    places.into_iter().find(|known| *known == name).unwrap_or_default()
}

/// Whether some part of a path is a step to the folder above, however it is written.
fn steps_up(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace('\\', "/");
    path.split('/').any(|part| part == ".." || part == ".")
}

fn text(request: &HttpRequest, name: &HeaderName) -> Option<String> {
    request.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// The caller, by the key that stands where the vendor's SDKs put it, and whether a short-lived token stands
/// for it.
///
/// # Errors
/// `InvalidApiKey`.
pub(super) fn caller(
    surface: &'static Surface,
    worker: &Worker,
    request: &HttpRequest,
    asked: &Asked,
    operation: Operation,
) -> Result<(Caller, bool), GatewayError> {
    let mut by_token = false;
    let caller = caller_by(worker, request, operation, |snapshot, now| {
        let gateway = &worker.gateway;
        let credential = credential(surface, request, asked.is_socket).ok_or_else(GatewayError::unauthenticated)?;
        by_token = Passes::is_token(&credential);
        if by_token {
            let pass = gateway.passes.open(&credential, now).filter(|pass| pass.session.is_none());
            let pass = pass.filter(|pass| pass.vendor == surface.prefix).ok_or_else(GatewayError::unauthenticated)?;
            let key = snapshot.key_by_id(pass.key).ok_or_else(GatewayError::unauthenticated)?;
            return check_expiry(Principal { key: key.clone(), grant: None }, now);
        }
        let principal = recognise(snapshot, &gateway.pepper, &gateway.secrets, &credential, now)?;
        // A client secret is for `/v1/realtime`.
        if principal.grant.is_some() { Err(GatewayError::unauthenticated()) } else { Ok(principal) }
    })?;
    Ok((caller, by_token))
}

/// The credential of a request. Keys are taken from the query of a socket alone; elsewhere only tokens are.
fn credential(surface: &Surface, request: &HttpRequest, is_socket: bool) -> Option<String> {
    let found = surface.keys.iter().filter_map(|place| match place {
        KeyPlace::Header(name) => header(request, name),
        KeyPlace::Scheme(scheme) => {
            let value = header(request, AUTHORIZATION.as_str())?;
            let (named, rest) = value.split_once(' ')?;
            named.eq_ignore_ascii_case(scheme).then(|| rest.trim().to_owned())
        }
        KeyPlace::Subprotocol(label) => subprotocols(request).skip_while(|offered| offered != label).nth(1),
        KeyPlace::Query(name) => {
            let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
            let value = pairs.into_iter().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())?;
            let value = value.strip_prefix("Bearer ").map(str::to_owned).unwrap_or(value);
            (is_socket || Passes::is_token(&value)).then_some(value)
        }
    });
    found.into_iter().find(|credential| !credential.is_empty())
}

fn header(request: &HttpRequest, name: &str) -> Option<String> {
    request.headers().get(name)?.to_str().ok().map(|value| value.trim().to_owned())
}

/// The WebSocket subprotocols that a client offers.
pub(super) fn subprotocols(request: &HttpRequest) -> impl Iterator<Item = String> {
    let values = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|offered| offered.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use dialects::registry::PROVIDERS;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_query_is_no_key_of_it_is_forwarded(
            pairs in prop::collection::vec(("token|single_use_token|%74oken|tok%65n|model_id|.{0,8}", ".{0,8}"), 0..6),
            raw in "[a-zA-Z0-9%&=+_~;]{0,40}",
        ) {
            let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let asis: Vec<String> = pairs.iter().filter(|(name, _)| name.contains("oken")).map(|(name, _)| format!("{name}=k")).collect();
            let uri = format!("/elevenlabs/v1/voices?{written}&{raw}&{}", asis.join("&"));
            prop_assume!(uri.parse::<http::Uri>().is_ok());
            let asked = Asked::read(surface("elevenlabs"), &TestRequest::with_uri(&uri).to_http_request()).unwrap();
            let forwarded: Vec<(String, String)> =
                url::form_urlencoded::parse(asked.raw_query.as_bytes()).into_owned().collect();
            prop_assert_eq!(&forwarded, &asked.query.0, "what is judged is what is forwarded");
            for (name, _) in forwarded {
                prop_assert!(!["token", "single_use_token", "authorization"].contains(&name.as_str()), "{}", uri);
            }
        }
    }

    fn surface(prefix: &str) -> &'static Surface {
        PROVIDERS.iter().filter_map(|row| row.surface).find(|surface| surface.prefix == prefix).unwrap()
    }

    #[test]
    fn a_key_is_found_where_each_vendor_s_sdk_puts_it() {
        for (prefix, name, value) in [
            ("deepgram", "authorization", "Token secret"),
            ("deepgram", "authorization", "bearer secret"),
            ("deepgram", "sec-websocket-protocol", "token, secret"),
            ("elevenlabs", "xi-api-key", "secret"),
            ("ultravox", "x-api-key", "secret"),
            ("ultravox", "x-unsafe-api-key", "secret"),
        ] {
            let request = TestRequest::default().insert_header((name, value)).to_http_request();
            assert_eq!(credential(surface(prefix), &request, true).as_deref(), Some("secret"), "{prefix} {value}");
        }
        let request = TestRequest::with_uri("/elevenlabs/v1/x?model_id=m&single_use_token=secret").to_http_request();
        assert_eq!(credential(surface("elevenlabs"), &request, true).as_deref(), Some("secret"));
        assert_eq!(credential(surface("elevenlabs"), &request, false), None, "not outside of a browser's socket");
    }

    #[test]
    fn what_is_forwarded_has_no_key_in_it_however_its_name_is_written() {
        let uri = "/elevenlabs/v1/voices/a%20b?model_id=m&%74oken=k&x=%26&authorization=k&token=k";
        let request = TestRequest::with_uri(uri).to_http_request();
        let asked = Asked::read(surface("elevenlabs"), &request).unwrap();
        assert_eq!((asked.path.as_str(), asked.raw_query.as_str()), ("/v1/voices/a%20b", "model_id=m&x=%26"));
        assert_eq!(asked.query.get("x"), Some("&"));
    }

    #[test]
    fn nobody_steps_out_of_a_vendor_s_paths() {
        for path in ["/v1/../x", "/v1/%2e%2E/x", "/v1/a%2f..%2fb", "/v1/..%5cx", "/.", "/v1/.."] {
            assert!(steps_up(path), "{path}");
        }
        assert!(!steps_up("/v1/a..b/...c"));
    }
}
