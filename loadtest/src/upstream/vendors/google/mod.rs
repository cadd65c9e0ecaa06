//! Google: Cloud Speech-to-Text, Cloud Text-to-Speech and Gemini on one address, and the token endpoint.
//!
//! The odd ones are kept: a bad API key is a 400, what is zero is left out, durations are texts and counts of 64 bits
//! too, LINEAR16 has a WAVE header while PCM has none, speakers come in a last result that repeats every word.
//! Source: Google's API references and SDKs, read 2026-11-21.
#![expect(clippy::indexing_slicing, reason = "reading a JSON value by name gives null where it is absent")]

mod recognition;
mod speech;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Method, Response, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use crate::upstream::{
    Kind, Request, Shared,
    answer::{self, Refusal},
    body::ScriptBody,
    routes::{Call, early, unknown_path},
};

/// What every token of this upstream begins with.
const TOKEN: &str = "ya29.scripted-";
/// Answers one request.
pub(in crate::upstream) async fn answer(
    shared: &Shared,
    record: &mut Request,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<ScriptBody>, Refusal> {
    let path = parts.uri.path();
    if let Some(fault) = shared.take_rule(path, None, true) {
        return early(Kind::Google, &fault).await;
    }
    let mut call = Call { shared, kind: Kind::Google, path: "token", parts, request: record };
    if parts.method != Method::POST {
        return Err(unknown_path(&parts.method, path));
    }
    if path == "/token" {
        return token(&mut call, body).await;
    }
    check_credential(&call, path)?;
    if let Some((model, method)) = path.strip_prefix("/v1beta/models/").and_then(|rest| rest.split_once(':')) {
        return match method {
            "generateContent" => recognition::hear(&mut call, model, body).await,
            "streamGenerateContent" if parts.uri.query() == Some("alt=sse") => {
                speech::say(&mut call, model, body).await
            }
            _ => Err(unknown_path(&parts.method, path)),
        };
    }
    match path {
        "/v1/speech:recognize" | "/v1p1beta1/speech:recognize" => recognition::recognize_1(&mut call, body).await,
        "/v1/text:synthesize" => speech::synthesize(&mut call, body).await,
        _ if path.starts_with("/v2/projects/") && path.ends_with("/recognizers/_:recognize") => {
            recognition::recognize_2(&mut call, body).await
        }
        _ => Err(unknown_path(&parts.method, path)),
    }
}

/// A refusal as `google.rpc.Status`.
pub(in crate::upstream) fn refuse(refusal: &Refusal) -> Response<ScriptBody> {
    let status = match (refusal.status, refusal.code) {
        (400, Some("FAILED_PRECONDITION")) => "FAILED_PRECONDITION",
        (401, _) => "UNAUTHENTICATED",
        (403, _) => "PERMISSION_DENIED",
        (404, _) => "NOT_FOUND",
        (429, _) => "RESOURCE_EXHAUSTED",
        (503, _) => "UNAVAILABLE",
        (504, _) => "DEADLINE_EXCEEDED",
        (500.., _) => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    };
    let mut error = json!({ "code": refusal.status, "message": refusal.message, "status": status });
    if let Some(reason @ "API_KEY_INVALID") = refusal.code {
        let info = "type.googleapis.com/google.rpc.ErrorInfo";
        error["details"] = json!([{ "@type": info, "reason": reason, "domain": "googleapis.com" }]);
    }
    if refusal.status == 429 {
        error["details"] = json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s" }]);
    }
    answer::json_answer(refusal.status, &json!({ "error": error }))
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "INVALID_ARGUMENT", message)
}

/// An API key, or a token of this upstream. Version 2 of Speech-to-Text takes tokens alone.
fn check_credential(call: &Call<'_>, path: &str) -> Result<(), Refusal> {
    let header = |name: &str| call.parts.headers.get(name).and_then(|value| value.to_str().ok());
    let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let key = header("x-goog-api-key");
    if call.parts.headers.contains_key("authorization") && key.is_some() {
        call.shared.violation("both authorization and x-goog-api-key");
    }
    match (token, key) {
        (Some(token), _) if token.starts_with(TOKEN) => Ok(()),
        (Some(_), _) => Err(Refusal::new(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")),
        (None, Some(_)) if path.starts_with("/v2/") => {
            Err(Refusal::new(401, "UNAUTHENTICATED", "API keys are not supported by this API."))
        }
        (None, Some(key)) if call.shared.config.api_key.as_deref().is_none_or(|known| known == key) => Ok(()),
        (None, Some(_)) => Err(Refusal::new(400, "API_KEY_INVALID", "API key not valid. Please pass a valid API key.")),
        (None, None) => Err(Refusal::new(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")),
    }
}

/// Exchanges an assertion. Its signature is not looked at, its claims are.
async fn token(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    let form = body.collect().await.map_err(|error| bad(error.to_string()))?.to_bytes();
    let line = call.line("token");
    let fault = call.fault("token", &[]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let form = String::from_utf8_lossy(&form).into_owned();
    let field = |name: &str| form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let granted = field("grant_type") == Some("urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
    match field("assertion").filter(|_| granted).and_then(claims) {
        Some(claims) if fits(&claims) => {
            let token = format!("{TOKEN}{}", call.shared.next_serial());
            Ok(answer::json_answer(200, &json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" })))
        }
        _ => {
            let refused = json!({ "error": "invalid_grant", "error_description": "Invalid JWT Signature." });
            Ok(answer::json_answer(400, &refused))
        }
    }
}

fn claims(assertion: &str) -> Option<Value> {
    let mut parts = assertion.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let header: Value = serde_json::from_slice(&parts.next()??).ok()?;
    let claims = serde_json::from_slice(&parts.next()??).ok()?;
    let signature = parts.next()??;
    (header["alg"] == "RS256" && signature.len() >= 256 && parts.next().is_none()).then_some(claims)
}

fn fits(claims: &Value) -> bool {
    let issuer = claims["iss"].as_str().unwrap_or_default();
    let lasts = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(end, start)| end - start);
    issuer.contains('@')
        && !issuer.starts_with("revoked")
        && claims["scope"].as_str().is_some_and(|scope| scope.contains("cloud-platform"))
        && claims["aud"].as_str().is_some_and(|audience| audience.ends_with("/token"))
        && lasts.is_some_and(|seconds| (1..=3600).contains(&seconds))
}

/// Refuses names that Google does not have, as it does.
fn only(value: &Value, names: &[&str]) -> Result<(), Refusal> {
    let unknown = value.as_object().into_iter().flat_map(Map::keys).find(|name| !names.contains(&name.as_str()));
    match unknown {
        Some(name) => Err(bad(format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."))),
        None => Ok(()),
    }
}
