//! One object of each resource, for tests that ask for everything: whoever adds a resource whose paths hold
//! an id adds a line to [`of_tenant`].

use admin_types::role::Role;
use entities::{Id, alert_event, refresh_token};
use http::Method;
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::helpers::TestApp;
use crate::{prices, sessions, usage};

/// A path below which an id stands, and the id of one object there.
pub(crate) type Object = (&'static str, String);

/// One object of each resource, all of them this tenant's.
pub(crate) async fn of_tenant(app: &TestApp, tenant: Uuid) -> Vec<Object> {
    let admin = app.token(Role::TenantAdmin, Some(tenant)).await;
    let mut objects = vec![("/api/v1/tenants", tenant.to_string())];
    // What its administrator makes, and how.
    let provider = app.provider_of(Some(tenant), "theirs", "openai").await;
    objects.push(("/api/v1/providers", provider.to_string()));
    for (path, body) in [
        ("/api/v1/users", json!({ "email": "theirs@example.com", "role": "tenant_viewer" })),
        ("/api/v1/keys", json!({ "name": "theirs" })),
        ("/api/v1/models", json!({ "name": "theirs", "targets": [{ "provider": "theirs", "model": "m" }] })),
        ("/api/v1/alerts/rules", json!({ "name": "theirs", "condition": { "kind": "unpriced" } })),
        (
            "/api/v1/alerts/channels",
            json!({ "name": "theirs", "settings": { "kind": "slack", "url": "https://hooks.example.com/x" } }),
        ),
    ] {
        let made = app.post(path, &admin, body).await;
        assert_eq!(made.status, 201, "{path}: {made:?}");
        objects.push((path, made.json()["id"].as_str().unwrap().to_owned()));
    }
    // What the platform makes for it.
    let made = app.post("/api/v1/prices", &app.platform().await, prices::of(tenant, prices::minute("1"))).await;
    assert_eq!(made.status, 201, "{made:?}");
    objects.push(("/api/v1/prices", made.json()["id"].as_str().unwrap().to_owned()));
    let (_, user) = find(&objects, "/api/v1/users/{id}");
    let sign_in = sign_in(app, user.parse().unwrap()).await;
    objects.push(("/api/v1/auth/sessions", sign_in.to_string()));
    // Voices are the platform's, and everybody's to see: there are none of another tenant.
    objects.push(("/api/v1/voices", Uuid::now_v7().to_string()));
    // What gateways and time make.
    let gateway = sessions::gateway(app, "gateway", Duration::ZERO).await;
    let session = sessions::session(app, gateway, tenant, |_| {}).await;
    objects.push(("/api/v1/sessions", session.to_string()));
    usage_store::insert_new(&app.database, &[usage::record(1, tenant)]).await.unwrap();
    let (_, rule) = find(&objects, "/api/v1/alerts/rules/{id}");
    alert(app, tenant, rule).await;
    // The paths that list what is the tenant's by now.
    for path in ["/api/v1/tokens", "/api/v1/audit", "/api/v1/usage/records", "/api/v1/alerts"] {
        let list = app.get(path, &admin).await;
        assert_eq!(list.status, 200, "{path}: {list:?}");
        objects.push((path, list.json()["data"][0]["id"].as_str().unwrap().to_owned()));
    }
    objects
}

/// A sign-in of a user.
async fn sign_in(app: &TestApp, user: Uuid) -> Uuid {
    let (family, now) = (Uuid::now_v7(), OffsetDateTime::now_utc());
    let row = refresh_token::ActiveModel {
        id: Set(Id(Uuid::now_v7())),
        family_id: Set(Id(family)),
        user_id: Set(Id(user)),
        hash: Set(family.as_bytes().to_vec()),
        session_epoch: Set(0),
        address: Set("127.0.0.1".to_owned()),
        created_at: Set(now),
        expires_at: Set(now + Duration::DAY),
        ..Default::default()
    };
    refresh_token::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
    family
}

/// An alert of a rule.
async fn alert(app: &TestApp, tenant: Uuid, rule: &str) {
    let row = alert_event::ActiveModel {
        id: Set(Id(Uuid::now_v7())),
        rule_id: Set(rule.parse().unwrap()),
        rule_name: Set("theirs".to_owned()),
        tenant_id: Set(Some(Id(tenant))),
        kind: Set("unpriced".to_owned()),
        severity: Set("warning".to_owned()),
        subject: Set("openai/m".to_owned()),
        subject_name: Set("openai/m".to_owned()),
        state: Set("firing".to_owned()),
        value: Set("1".to_owned()),
        threshold: Set("1".to_owned()),
        started_at: Set(OffsetDateTime::now_utc()),
        ..Default::default()
    };
    alert_event::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
}

/// The object that a path with an id means.
pub(crate) fn find<'a>(objects: &'a [Object], pattern: &str) -> &'a Object {
    let of = objects.iter().filter(|(path, _)| pattern.strip_prefix(path).is_some_and(|rest| rest.starts_with("/{")));
    of.max_by_key(|(path, _)| path.len()).unwrap_or_else(|| panic!("{pattern} has no object in tests/api/objects.rs"))
}

/// The least body that an operation takes, by its document; `None` where it takes none.
pub(crate) fn body(document: &Value, method: &Method, pattern: &str) -> Option<Value> {
    let operation = &document["paths"][pattern][method.as_str().to_lowercase()];
    let schema = operation["requestBody"]["content"]["application/json"].get("schema")?;
    Some(least(document, schema))
}

fn least(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return least(document, document.pointer(reference.trim_start_matches('#')).unwrap());
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(part) = ["oneOf", "anyOf", "allOf"].iter().find_map(|of| schema[of].get(0)) {
        return least(document, part);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("object");
    match kind {
        "string" if schema["format"] == "uuid" => json!(Uuid::nil()),
        "string" if schema["format"] == "date-time" => json!("2100-01-01T00:00:00Z"),
        "string" => json!("x".repeat(usize::try_from(schema["minLength"].as_u64().unwrap_or(1)).unwrap())),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(false),
        "array" => json!([]),
        _ => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let fields = required.iter().map(|name| {
                let name = name.as_str().unwrap();
                (name.to_owned(), least(document, &schema["properties"][name]))
            });
            Value::Object(fields.collect())
        }
    }
}
