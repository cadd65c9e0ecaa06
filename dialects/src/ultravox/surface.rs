//! Ultravox's own paths: a call is made over REST and joined over a WebSocket, which carries the sound or, of
//! a WebRTC call, tells the room that does.
//!
//! Source: Ultravox's `OpenAPI` document, API reference and SDKs, read 2026-11-21.

use domain::provider::Operation;
use serde_json::{Map, Value, json};

use super::DEFAULT_MODEL;
use crate::surface::{
    Address, AtFault, Followed, KeyPlace, Method, ModelAt, Passage, Place, Refused, Route, Surface, Told, Work,
    seconds_to_ms,
};

/// How long a call lasts at most that does not say it.
const DEFAULT_LASTS_MS: u64 = 3_600_000;
/// Calls are billed in steps of so many milliseconds.
const STEP_MS: u64 = 6000;
/// Ends of calls for which nothing is billed.
const FREE: [&str; 2] = ["BILLING_STATUS_FREE_ZERO_EFFECTIVE_DURATION", "BILLING_STATUS_FREE_SYSTEM_ERROR"];

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
const JOIN: Work = Work::Address(Address { field: "joinUrl", check, followed: Some(&FOLLOWED) });

static FOLLOWED: Followed = Followed {
    id: "callId",
    told_at: "/api/calls/{}",
    read,
    ended_at: "/api/calls/{}/send_data_message",
    end: || json!({ "type": "hang_up" }),
    bind,
    step_ms: STEP_MS,
};

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

/// Calls that are joined over a WebSocket: with their sound on it, or in a room that it tells. The telephone's
/// have no such socket, and so nothing that could be counted or cut here.
fn check(body: &Map<String, Value>) -> Result<Passage, AtFault> {
    if body.get("dataConnection").is_some_and(|connection| !connection.is_null()) {
        return Err(("dataConnection", "A second connection does not pass through this gateway."));
    }
    let said = body.get("medium").filter(|medium| !medium.is_null());
    let media = said.map(|medium| medium.as_object().map(|kinds| kinds.keys().map(String::as_str).collect::<Vec<_>>()));
    match media.as_ref().map(Option::as_deref) {
        Some(Some(["serverWebSocket"])) => Ok(Passage::Whole),
        None | Some(Some([] | ["webRtc"])) => lasts_ms(body).map(Passage::WithoutSound),
        Some(_) => Err(("medium", "Only `webRtc` and `serverWebSocket` calls are made through this gateway.")),
    }
}

/// How long a request lets its call last.
fn lasts_ms(body: &Map<String, Value>) -> Result<u64, AtFault> {
    match body.get("maxDuration").filter(|value| !value.is_null()) {
        None => Ok(DEFAULT_LASTS_MS),
        Some(value) => duration_ms(value).ok_or(("maxDuration", "This is not a duration such as `600s`.")),
    }
}

/// Milliseconds of a duration such as `"0.384s"`.
fn duration_ms(value: &Value) -> Option<u64> {
    let seconds = value.as_str()?.strip_suffix('s')?.parse::<f64>().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then(|| seconds_to_ms(seconds))
}

/// A WebRTC call that lasts no longer than this. Its medium is said even where it is the vendor's default:
/// an agent's template or an earlier call would else decide it.
fn bind(body: &mut Map<String, Value>, most_ms: u64) {
    let medium = body.entry("medium").or_insert(Value::Null);
    if medium.as_object().is_none_or(Map::is_empty) {
        *medium = json!({ "webRtc": {} });
    }
    let duration = match (most_ms / 1000, most_ms % 1000) {
        (seconds, 0) => format!("{seconds}s"),
        (seconds, ms) => format!("{seconds}.{ms:03}s"),
    };
    body.insert("maxDuration".to_owned(), Value::from(duration));
}

/// How far a call is. A length of nothing is believed only of calls that cost nothing: minutes that the
/// account has for free are used up all the same.
fn read(call: &Map<String, Value>) -> Told {
    if call.get("ended").is_none_or(Value::is_null) {
        return Told::Runs;
    }
    match call.get("billedDuration").and_then(duration_ms) {
        Some(ms) if ms > 0 => Told::Billed(ms),
        _ if call.get("billingStatus").and_then(Value::as_str).is_some_and(|status| FREE.contains(&status)) => {
            Told::Billed(0)
        }
        _ => Told::Ended,
    }
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

    fn fields(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn calls_without_a_join_socket_are_not_made() {
        let socket = json!({ "medium": { "serverWebSocket": { "inputSampleRate": 8000 } } });
        assert_eq!(check(&fields(&socket)), Ok(Passage::Whole));
        for (good, lasts) in [
            (json!({}), 3_600_000),
            (json!({ "medium": null, "maxDuration": null }), 3_600_000),
            (json!({ "medium": {}, "maxDuration": "90.5s" }), 90_500),
            (json!({ "medium": { "webRtc": { "dataMessages": {} } }, "maxDuration": "7200s" }), 7_200_000),
        ] {
            assert_eq!(check(&fields(&good)), Ok(Passage::WithoutSound(lasts)), "{good}");
        }
        for bad in [
            json!({ "medium": { "twilio": {} } }),
            json!({ "medium": { "sip": {} } }),
            json!({ "medium": { "twilio": {}, "serverWebSocket": {} } }),
            json!({ "medium": { "webRtc": {}, "sip": {} } }),
            json!({ "medium": "webRtc" }),
            json!({ "maxDuration": 60 }),
            json!({ "maxDuration": "-6s" }),
            json!({ "maxDuration": "1h" }),
            json!({ "medium": { "serverWebSocket": {} }, "dataConnection": { "websocketUrl": "wss://x" } }),
            json!({ "dataConnection": { "websocketUrl": "wss://x" } }),
        ] {
            assert!(check(&fields(&bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bound_call_says_its_medium_and_its_length() {
        for (asked, medium) in [
            (json!({}), json!({ "webRtc": {} })),
            (json!({ "medium": null }), json!({ "webRtc": {} })),
            (
                json!({ "medium": { "webRtc": { "dataMessages": { "debug": true } } }, "maxDuration": "9000s" }),
                json!({ "webRtc": { "dataMessages": { "debug": true } } }),
            ),
        ] {
            let mut body = fields(&asked);
            bind(&mut body, 36_000);
            assert_eq!(Value::Object(body), json!({ "medium": medium, "maxDuration": "36s" }));
        }
        let mut body = Map::new();
        bind(&mut body, 1_050);
        assert_eq!(body.get("maxDuration"), Some(&json!("1.050s")));
    }

    #[test]
    fn what_a_call_is_billed_is_what_its_vendor_settled() {
        let ended = "2026-11-21T09:00:37Z";
        for (told, expected) in [
            (json!({ "ended": null, "billedDuration": null }), Told::Runs),
            (json!({ "ended": ended, "billedDuration": null, "billingStatus": "BILLING_STATUS_PENDING" }), Told::Ended),
            (json!({ "ended": ended, "billedDuration": "42s" }), Told::Billed(42_000)),
            (
                json!({ "ended": ended, "billedDuration": "0s", "billingStatus": "BILLING_STATUS_FREE_MINUTES" }),
                Told::Ended,
            ),
            (
                json!({ "ended": ended, "billedDuration": null, "billingStatus": "BILLING_STATUS_FREE_SYSTEM_ERROR" }),
                Told::Billed(0),
            ),
        ] {
            assert_eq!(read(&fields(&told)), expected, "{told}");
        }
    }
}
