//! Ultravox's own paths: a call is made over REST and joined over a WebSocket.
//!
//! Source: Ultravox's `OpenAPI` document, API reference and SDKs, read 2026-11-21.

use domain::provider::Operation;
use serde_json::{Map, Value, json};

use crate::surface::{Address, AtFault, KeyPlace, Method, ModelAt, Place, Refused, Route, Surface, Work};

/// The model of a call that names none.
const DEFAULT_MODEL: &str = "ultravox-v0.7";

pub(crate) static SURFACE: Surface = Surface {
    prefix: "ultravox",
    in_base: "/api",
    openai_at: &[],
    keys: &[KeyPlace::Header("x-api-key"), KeyPlace::Header("x-unsafe-api-key"), KeyPlace::Scheme("bearer")],
    routes: ROUTES,
    headers: &[],
    characters_header: None,
    key_fields: &[],
    error,
    event: None,
    error_header: None,
    priced_as,
};

const NO_MODEL: ModelAt = ModelAt { place: Place::Nowhere, default: None };
const JOIN: Work = Work::Address(Address { field: "joinUrl", check });

const fn route(method: Method, path: &'static str, model: ModelAt, work: Work) -> Route {
    Route { method, path, origin: None, operation: Operation::Realtime, model, work }
}

const ROUTES: &[Route] = &[
    route(Method::Post, "/api/calls", ModelAt { place: Place::Json("model"), default: Some(DEFAULT_MODEL) }, JOIN),
    route(Method::Post, "/api/agents/{}/calls", ModelAt { place: Place::Path, default: None }, JOIN),
    route(Method::Get, "/api/models", NO_MODEL, Work::Free),
    route(Method::Get, "/api/voices", NO_MODEL, Work::Free),
    route(Method::Get, "/api/voices/{}", NO_MODEL, Work::Free),
    route(Method::Get, "/api/voices/{}/preview", NO_MODEL, Work::Free),
];

/// Only the sound of a `serverWebSocket` call passes through here; that of every other kind goes around
/// this gateway, which could neither count nor end it.
fn check(body: &Map<String, Value>) -> Result<(), AtFault> {
    let is_socket = body.get("medium").is_some_and(|medium| medium.get("serverWebSocket").is_some());
    let others = body.get("medium").and_then(Value::as_object).map_or(0, Map::len);
    if !is_socket || others != 1 {
        return Err(("medium", "Only `serverWebSocket` calls pass through this gateway."));
    }
    if body.get("dataConnection").is_some_and(|connection| !connection.is_null()) {
        return Err(("dataConnection", "A second connection does not pass through this gateway."));
    }
    Ok(())
}

/// Errors as Django REST Framework writes them: of a field under its name, others as `detail`.
fn error(refused: &Refused<'_>) -> Value {
    match refused.param {
        Some(param) if refused.status == 400 => json!({ param: [refused.message], "code": refused.code }),
        _ => json!({ "detail": refused.message, "code": refused.code }),
    }
}

/// Every model has the same price, and the model of an agent's call is its template's business.
fn priced_as(_: &str) -> Option<&'static str> {
    Some(DEFAULT_MODEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_whose_sound_passes_through_here_are_made() {
        let good = json!({ "medium": { "serverWebSocket": { "inputSampleRate": 8000 } } });
        assert!(check(good.as_object().unwrap()).is_ok());
        for bad in [
            json!({}),
            json!({ "medium": { "webRtc": {} } }),
            json!({ "medium": { "twilio": {}, "serverWebSocket": {} } }),
            json!({ "medium": { "serverWebSocket": {} }, "dataConnection": { "websocketUrl": "wss://x" } }),
        ] {
            assert!(check(bad.as_object().unwrap()).is_err(), "{bad}");
        }
    }
}
