//! The control endpoints below `/_`: script, behaviour, counts, requests, the room of calls, hanging up.

use std::time::Duration;

use http::{Method, Response, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::{
    Rule, Shared,
    answer::json_answer,
    behaviour::{Behaviour, Dice},
    body::ScriptBody,
    lock,
};

const BEFORE_HANGING_UP: Duration = Duration::from_millis(50);

/// One rule or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Rules {
    Many(Vec<Rule>),
    One(Box<Rule>),
}

/// Answers one control request.
pub(super) async fn handle(shared: &Shared, parts: &Parts, body: Incoming) -> Response<ScriptBody> {
    match (&parts.method, parts.uri.path()) {
        (&Method::POST, "/_script") => add(shared, body).await,
        (&Method::DELETE, "/_script") => {
            lock(&shared.rules).clear();
            json_answer(200, &json!({"rules": 0}))
        }
        (&Method::GET, "/_counts") => json_answer(200, &json!(shared.counts())),
        (&Method::DELETE, "/_counts") => {
            shared.reset_counts();
            json_answer(200, &json!(shared.counts()))
        }
        (&Method::POST, "/_room") => lead(shared, body).await,
        (&Method::POST, "/_behaviour") => behave(shared, body).await,
        (&Method::POST, "/_hang_up") => {
            let hang_up = std::sync::Arc::clone(&shared.hang_up);
            tokio::spawn(async move {
                // Who asks has the answer first.
                tokio::time::sleep(BEFORE_HANGING_UP).await;
                hang_up.notify_waiters();
            });
            json_answer(200, &json!({}))
        }
        (&Method::GET, "/_behaviour") => {
            let drawn = lock(&shared.behaviour).as_ref().map(|dice| dice.drawn().clone());
            json_answer(200, &json!({"drawn": drawn.unwrap_or_default()}))
        }
        (&Method::GET, "/_requests") => json_answer(200, &json!(*lock(&shared.requests))),
        _ => json_answer(404, &json!({"error": "no such control endpoint"})),
    }
}

/// Where calls in rooms are led.
#[derive(Deserialize)]
struct Room {
    url: String,
    token: String,
}

async fn behave(shared: &Shared, body: Incoming) -> Response<ScriptBody> {
    let Ok(raw) = body.collect().await else {
        return json_answer(400, &json!({"error": "the body broke off"}));
    };
    match serde_json::from_slice::<Behaviour>(&raw.to_bytes()) {
        Ok(behaviour) => *lock(&shared.behaviour) = Some(Dice::new(behaviour)),
        Err(error) => return json_answer(400, &json!({"error": format!("not a behaviour: {error}")})),
    }
    json_answer(200, &json!({}))
}

async fn lead(shared: &Shared, body: Incoming) -> Response<ScriptBody> {
    let Ok(raw) = body.collect().await else {
        return json_answer(400, &json!({"error": "the body broke off"}));
    };
    match serde_json::from_slice::<Room>(&raw.to_bytes()) {
        Ok(room) => shared.sockets.lead_to(&room.url, &room.token),
        Err(error) => return json_answer(400, &json!({"error": format!("not a room: {error}")})),
    }
    json_answer(200, &json!({}))
}

async fn add(shared: &Shared, body: Incoming) -> Response<ScriptBody> {
    let Ok(raw) = body.collect().await else {
        return json_answer(400, &json!({"error": "the body broke off"}));
    };
    match serde_json::from_slice(&raw.to_bytes()) {
        Ok(Rules::One(rule)) => lock(&shared.rules).push(*rule),
        Ok(Rules::Many(more)) => lock(&shared.rules).extend(more),
        Err(error) => return json_answer(400, &json!({"error": format!("not a rule: {error}")})),
    }
    json_answer(200, &json!({"rules": lock(&shared.rules).len()}))
}
