//! What the OpenAPI document says of every operation holds for it.

use http::Method;
use serde_json::{Map, Value};

use crate::helpers::{TestApp, both};
use crate::objects;

/// An id that is nobody's.
const NOBODY: &str = "01900000-0000-7000-8000-000000000000";
/// UTC has no year for them: `9999-12-31T23:59:59-12:00`, and twelve hours before the year 0.
const BEYOND: [&str; 2] = ["9999-12-31T23:59:59-12:00", "0000-01-01T00:00:00%2B12:00"];

fn document() -> Value {
    serde_json::to_value(admin::openapi::document()).unwrap()
}

/// Every operation with its method and path.
fn operations(document: &Value) -> Vec<(Method, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter().filter(|(key, _)| key.as_str() != "parameters");
        methods.map(move |(method, operation)| (method.to_uppercase().parse().unwrap(), path.as_str(), operation))
    });
    operations.collect()
}

/// A schema where it is written.
fn found<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    schema["$ref"].as_str().map_or(schema, |to| document.pointer(to.trim_start_matches('#')).unwrap())
}

/// What is asked for in the query.
fn parameters(operation: &Value) -> Vec<&Value> {
    let all = operation["parameters"].as_array().into_iter().flatten();
    all.filter(|parameter| parameter["in"] == "query").collect()
}

#[test]
fn every_list_is_sorted_as_asked_and_cut_into_pages() {
    let document = document();
    let mut lists = 0;
    for (_, path, operation) in operations(&document).into_iter().filter(|(method, ..)| method == Method::GET) {
        let schema = found(&document, &operation["responses"]["200"]["content"]["application/json"]["schema"]);
        if schema["properties"]["next_cursor"].is_null() {
            continue;
        }
        lists += 1;
        for name in ["sort", "limit", "cursor"] {
            assert!(parameters(operation).iter().any(|parameter| parameter["name"] == name), "{path} has no {name}");
        }
    }
    assert!(lists >= 18, "{lists}");
}

/// The moments among the fields of a body.
fn moments(document: &Value, operation: &Value) -> Vec<String> {
    let Some(schema) = operation["requestBody"]["content"]["application/json"].get("schema") else { return Vec::new() };
    let fields = found(document, schema)["properties"].as_object();
    let moments = fields.into_iter().flatten().filter(|(_, schema)| schema["format"] == "date-time");
    moments.map(|(name, _)| name.clone()).collect()
}

both! {
    async fn a_moment_beyond_the_calendar_is_refused_by_its_name(app: &TestApp) {
        let admin = app.platform().await;
        let document = document();
        let mut tried = Vec::new();
        for (method, path, operation) in operations(&document) {
            let asked = path.split('/').map(|part| if part.starts_with('{') { NOBODY } else { part });
            let asked = asked.collect::<Vec<_>>().join("/");
            for beyond in BEYOND {
                for parameter in parameters(operation).iter().filter(|of| of["schema"]["format"] == "date-time") {
                    let name = parameter["name"].as_str().unwrap();
                    let answer = app.send(method.clone(), &format!("{asked}?{name}={beyond}"), &admin, &[], None).await;
                    assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &name.into()), "{path} {name}");
                    tried.push(format!("{method} {path} {name}"));
                }
                for name in moments(&document, operation) {
                    let mut body = objects::body(&document, &method, path).unwrap_or_else(|| Map::new().into());
                    body[&name] = beyond.replace("%2B", "+").into();
                    let answer = app.send(method.clone(), &asked, &admin, &[], Some(body)).await;
                    assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &name.as_str().into()), "{path} {name}");
                    tried.push(format!("{method} {path} {name}"));
                }
            }
            // The last that the calendar has.
            for parameter in parameters(operation).iter().filter(|of| of["schema"]["format"] == "date-time") {
                let query = format!("{}=9999-12-31T23:59:59Z", parameter["name"].as_str().unwrap());
                let answer = app.send(method.clone(), &format!("{asked}?{query}"), &admin, &[], None).await;
                assert!(answer.status < 500, "{path} {query}: {answer:?}");
            }
        }
        for known in [
            "GET /api/v1/usage to", "GET /api/v1/usage/aggregates from", "GET /api/v1/usage/export from",
            "GET /api/v1/audit from", "GET /api/v1/audit/export to", "GET /api/v1/prices in_force_at",
            "GET /api/v1/prices/export in_force_at", "GET /api/v1/prices/unpriced to", "POST /api/v1/prices effective_from",
            "PATCH /api/v1/prices/{id} effective_from", "POST /api/v1/prices/reprice from", "POST /api/v1/tokens expires_at",
            "POST /api/v1/keys expires_at", "PATCH /api/v1/keys/{id} expires_at", "POST /api/v1/alerts/rules/{id}/mute until",
        ] {
            assert!(tried.iter().any(|tried| tried == known), "{known} is not among {tried:?}");
        }
    }
}
