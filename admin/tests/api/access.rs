//! Who may call what, for every route of the OpenAPI document.

use admin::access::{self, Access};
use admin_types::role::Role;
use http::Method;
use serde_json::json;

use crate::helpers::{TestApp, both};
use crate::objects;

/// An id that is nobody's.
const NOBODY: &str = "01900000-0000-7000-8000-000000000000";

/// Every operation of the document, with ids that are nobody's.
fn operations() -> Vec<(Method, String, String)> {
    let document = serde_json::to_value(admin::openapi::document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut operations = Vec::new();
    for (pattern, item) in paths {
        for method in item.as_object().unwrap().keys().filter(|key| key.as_str() != "parameters") {
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = pattern
                .split('/')
                .map(|part| if part.starts_with('{') { NOBODY } else { part })
                .collect::<Vec<_>>()
                .join("/");
            operations.push((method, pattern.clone(), path));
        }
    }
    operations
}

#[test]
fn every_operation_stands_in_the_table_of_routes_and_in_the_document() {
    let documented: Vec<_> = operations().into_iter().map(|(method, pattern, _)| (method, pattern)).collect();
    for (method, pattern) in &documented {
        assert!(access::of(method.as_str(), pattern).is_some(), "{method} {pattern} has no row: it would be refused");
    }
    for (method, pattern, _) in access::ROUTES {
        let is_documented = documented.iter().any(|(of, path)| of.as_str() == method.as_str() && path == pattern);
        assert!(is_documented, "{method} {pattern} is not documented");
    }
}

/// What a schema is said to be elsewhere in the document.
fn references<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(|to| to.as_str()));
            fields.values().for_each(|value| references(value, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn whatever_the_document_points_to_is_in_it() {
    let document = serde_json::to_value(admin::openapi::document()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100, "{}", found.len());
    for to in found {
        let place = to.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "nothing at {to}");
    }
}

both! {
    async fn nobody_calls_what_they_may_not(app: &TestApp) {
        let tenant = app.tenant("acme").await;
        let tokens = [
            (Role::TenantViewer, app.signed_in(Role::TenantViewer, Some(tenant)).await),
            (Role::TenantAdmin, app.signed_in(Role::TenantAdmin, Some(tenant)).await),
            (Role::PlatformAdmin, app.signed_in(Role::PlatformAdmin, None).await),
        ];
        for (method, pattern, path) in operations() {
            let Some(Access::AtLeast(least)) = access::of(method.as_str(), &pattern) else { continue };
            for bad in ["", "nonsense", "pat-ap-0000000000000000000000000000000000000000000000000"] {
                let answer = app.send(method.clone(), &path, bad, &[], None).await;
                assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"), "{method} {pattern}");
            }
            for (role, token) in &tokens {
                let body = (method != Method::GET && method != Method::DELETE).then(|| json!({}));
                let answer = app.send(method.clone(), &path, token, &[], body).await;
                assert_eq!(answer.status == 403, *role < least, "{method} {pattern} as {role:?}: {answer:?}");
                assert!(answer.status != 401 && answer.status < 500, "{method} {pattern} as {role:?}: {answer:?}");
            }
        }
    }
}

both! {
    async fn a_path_is_judged_as_it_is_routed_however_it_is_written(app: &TestApp) {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let told = async |method: &Method, path: &str| {
            let mut answer = app.send(method.clone(), path, "", &[], None).await;
            for differs in ["x-request-id", "date", "connection", "retry-after"] {
                answer.headers.remove(differs);
            }
            let code = (answer.status >= 400).then(|| answer.json()["code"].clone());
            (answer.status, code, answer.headers)
        };
        for (method, pattern, path) in operations() {
            let plain = told(&method, &path).await;
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let last = parts.last().unwrap();
            let but_last = path.strip_suffix(last).unwrap();
            let forms = [
                format!("{but_last}{}", encode(last)),
                path.replacen("/api/", &format!("/{}/", encode("api")), 1),
                path.replacen("/api/", "/%61pi/", 1).replacen("-", "%2D", 1),
                parts.iter().map(|part| format!("/{}", encode(part))).collect(),
            ];
            for form in forms {
                assert_eq!(told(&method, &form).await, plain, "{method} {pattern} as {form}");
            }
        }
        for nothing in ["/api/v1/nothing", "/%61pi/v1/nothing", "/api/v1/log%2Dlevels", "/api/", "/%61%70%69/"] {
            let answer = app.get(nothing, "").await;
            assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"), "{nothing}");
        }
    }
}

both! {
    async fn an_object_of_another_tenant_is_like_none(app: &TestApp) {
        let (own, other) = (app.tenant("acme").await, app.tenant("other").await);
        let tokens = [app.token(Role::TenantViewer, Some(own)).await, app.token(Role::TenantAdmin, Some(own)).await];
        let theirs = objects::of_tenant(app, other).await;
        let document = serde_json::to_value(admin::openapi::document()).unwrap();
        for (method, pattern, path) in operations().into_iter().filter(|(_, pattern, _)| pattern.contains('{')) {
            let (_, id) = objects::find(&theirs, &pattern);
            let body = objects::body(&document, &method, &pattern);
            for token in &tokens {
                let ask = async |id: &str| {
                    let mut answer = app.send(method.clone(), &path.replace(NOBODY, id), token, &[], body.clone()).await;
                    let status = answer.status;
                    assert!(status == 403 || status == 404, "{method} {pattern} with {body:?}: {answer:?}");
                    let mut problem = answer.json();
                    problem.as_object_mut().unwrap().remove("instance");
                    // The connection ends or not by whether the body has arrived when it is refused.
                    for differs in ["x-request-id", "date", "connection"] {
                        answer.headers.remove(differs);
                    }
                    (status, problem, answer.headers)
                };
                assert_eq!(ask(id).await, ask(NOBODY).await, "{method} {pattern}");
            }
        }
    }
}
