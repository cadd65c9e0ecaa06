//! Models: routes and their targets, and simulations.

use admin_types::role::Role;
use domain::ids::{TenantId, VirtualKeyId};
use entities::{Id, audit_entry, model, virtual_key};
use http::Method;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::helpers::{Answer, TestApp, both};

const MODELS: &str = "/api/v1/models";

fn target(provider: &str, model: &str) -> Value {
    json!({ "provider": provider, "model": model })
}

fn body(name: &str) -> Value {
    json!({ "name": name, "targets": [target("openai", "whisper-1")] })
}

fn names(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

fn fields(answer: &Answer) -> Vec<String> {
    assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{answer:?}");
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

/// A model as the configuration file declares one.
async fn declared(app: &TestApp, name: &str) -> Uuid {
    let id = Uuid::now_v7();
    let row = model::ActiveModel {
        id: Set(Id(id)),
        name: Set(name.to_owned()),
        tenant_id: Set(None),
        strategy: Set("priority".to_owned()),
        targets: Set(json!([target("openai", "whisper-1")]).to_string()),
        managed_by: Set("file".to_owned()),
        created_at: Set(OffsetDateTime::now_utc()),
        ..Default::default()
    };
    model::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
    id
}

/// A virtual key of a tenant.
async fn key(app: &TestApp, tenant: Uuid) -> Uuid {
    let id = Uuid::now_v7();
    let row = virtual_key::ActiveModel {
        id: Set(Id(id)),
        tenant_id: Set(Id(tenant)),
        name: Set("k".to_owned()),
        hash: Set(id.as_bytes().to_vec()),
        pepper_version: Set(1),
        redacted: Set("sk-ap-…".to_owned()),
        operations: Set("[]".to_owned()),
        models: Set("[]".to_owned()),
        refuse_unpriced: Set(false),
        managed_by: Set("api".to_owned()),
        created_at: Set(OffsetDateTime::now_utc()),
        ..Default::default()
    };
    virtual_key::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
    id
}

async fn audited(app: &TestApp) -> Vec<(String, Option<String>)> {
    let rows = audit_entry::Entity::find().filter(audit_entry::Column::ObjectKind.eq("model"));
    let mut rows = rows.all(&app.database).await.unwrap();
    rows.sort_by_key(|row| row.id.0);
    rows.into_iter().map(|row| (row.action, row.tenant_id.map(|id| id.0.to_string()))).collect()
}

both! {
    async fn a_model_is_made_changed_replaced_and_removed(app: &TestApp) {
        app.provider("openai", "openai").await;
        app.provider("groq", "groq").await;
        let admin = app.platform().await;
        let whole = json!({
            "name": "stt", "strategy": "weighted", "hedge": { "unmeasured_ms": 800 }, "targets": [
                { "provider": "openai", "model": "whisper-1", "weight": 3, "priority": -1, "quality": 0.5,
                  "region": "eu", "options": { "deployment": "d" } },
                target("groq", "whisper-large-v3"),
            ],
        });
        let made = app.post(MODELS, &admin, whole.clone()).await;
        assert_eq!((made.status, made.headers["etag"].as_str()), (201, "\"1\""), "{made:?}");
        let (path, shown) = (made.headers["location"].clone(), made.json());
        assert_eq!(shown["targets"][0], whole["targets"][0]);
        let second = json!({ "provider": "groq", "model": "whisper-large-v3", "weight": 1, "priority": 0,
            "quality": null, "region": null, "options": {} });
        assert_eq!(shown["targets"][1], second, "what is not said has its default");
        assert_eq!((&shown["tenant_id"], &shown["managed_by"]), (&Value::Null, &json!("api")));
        assert_eq!(shown["hedge"], whole["hedge"]);
        assert_eq!(app.get(&path, &admin).await.json(), shown);
        assert_eq!(app.post(MODELS, &admin, whole).await.problem(), "already_exists");

        let patched = app.patch(&path, &admin, json!({ "strategy": "latency" })).await;
        assert_eq!((patched.status, patched.headers["etag"].as_str()), (200, "\"2\""), "{patched:?}");
        assert_eq!((&patched.json()["strategy"], &patched.json()["targets"]), (&json!("latency"), &shown["targets"]));
        assert_eq!(patched.json()["hedge"], shown["hedge"], "what is not said stays");
        let put = json!({ "name": "stt-2", "strategy": "cost", "targets": [target("groq", "whisper-large-v3")] });
        let with = |tag: &'static str| [("if-match", tag)];
        let stale = app.send(Method::PUT, &path, &admin, &with("\"1\""), Some(put.clone())).await;
        assert_eq!((stale.status, stale.problem().as_str()), (412, "stale"));
        let replaced = app.send(Method::PUT, &path, &admin, &with("\"2\""), Some(put)).await.json();
        assert_eq!((&replaced["name"], replaced["targets"].as_array().unwrap().len()), (&json!("stt-2"), 1));
        assert_eq!(replaced["hedge"], Value::Null, "said anew without it");
        assert_eq!(app.changes(), 3, "gateways are told of each");
        for (hedge, shown) in
            [(json!({}), json!({ "unmeasured_ms": 1000 })), (json!({ "unmeasured_ms": 10 }), json!({ "unmeasured_ms": 10 })), (Value::Null, Value::Null)]
        {
            assert_eq!(app.patch(&path, &admin, json!({ "hedge": hedge })).await.json()["hedge"], shown);
        }
        assert_eq!(app.send(Method::DELETE, &path, &admin, &with("\"2\""), None).await.problem(), "stale");
        assert_eq!(app.delete(&path, &admin).await.status, 204);
        assert_eq!(app.get(&path, &admin).await.status, 404);
        let done = ["create", "update", "update", "update", "update", "update", "delete"].map(|action| (action.to_owned(), None));
        assert_eq!(audited(app).await, done);
    }
}

both! {
    async fn a_tenants_model_names_deployments_at_its_own_providers(app: &TestApp) {
        app.provider("azure", "azure").await;
        let acme = app.tenant("acme").await;
        app.provider_of(Some(acme), "mine", "azure").await;
        let at = |provider: &str, tenant: Option<Uuid>| {
            let target = json!({ "provider": provider, "model": "whisper", "options": { "deployment": "dear" } });
            json!({ "name": format!("at-{provider}"), "tenant_id": tenant, "targets": [target] })
        };
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        let refused = app.post(MODELS, &admin, at("azure", None)).await;
        let field = "targets[0].options.deployment";
        assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (422, &json!(field)), "{refused:?}");
        assert_eq!(app.post(MODELS, &app.platform().await, at("azure", Some(acme))).await.status, 422);
        assert_eq!(app.post(MODELS, &admin, at("mine", None)).await.status, 201);
        assert_eq!(app.post(MODELS, &app.platform().await, at("azure", None)).await.status, 201, "the platform's own");
    }
}

both! {
    async fn every_field_at_fault_is_named(app: &TestApp) {
        app.provider("openai", "openai").await;
        let admin = app.platform().await;
        let ok = target("openai", "whisper-1");
        for (bad, expected) in [
            (json!({ "name": "", "targets": [ok] }), vec!["name"]),
            (json!({ "name": "no spaces", "targets": [ok] }), vec!["name"]),
            (json!({ "name": "a", "targets": [] }), vec!["targets"]),
            (json!({ "name": "a", "targets": vec![ok.clone(); 65] }), vec!["targets"]),
            (json!({ "name": "a", "targets": [ok, target("nobody", "m"), ok] }), vec!["targets[2]", "targets[1].provider"]),
            (json!({ "name": "a", "targets": [{ "provider": "openai", "model": "", "quality": 1.5 }] }),
                vec!["targets[0].model", "targets[0].quality"]),
            (json!({ "name": "a", "targets": [{ "provider": "openai", "model": "m", "quality": -0.1 }] }),
                vec!["targets[0].quality"]),
            (json!({ "name": "a", "strategy": "weighted", "targets": [{ "provider": "openai", "model": "m", "weight": 0 }] }),
                vec!["targets"]),
            (json!({ "name": "a", "targets": [{ "provider": "openai", "model": "m", "region": "", "options": { "": "x" } }] }),
                vec!["targets[0].region", "targets[0].options"]),
            (json!({ "name": "a", "strategy": "best", "targets": [ok] }), vec!["strategy"]),
            (json!({ "name": "a", "hedge": { "unmeasured_ms": 9 }, "targets": [ok] }), vec!["hedge.unmeasured_ms"]),
            (json!({ "name": "a", "hedge": { "after": 9 }, "targets": [ok] }), vec!["hedge.after"]),
            (json!({ "name": "a", "strategy": ["cost", "cost"], "targets": [ok] }), vec!["strategy"]),
            (json!({ "name": "a", "strategy": [], "targets": [ok] }), vec!["strategy"]),
            (json!({ "name": "a", "targets": [{ "provider": "openai", "model": "m", "colour": 1 }] }), vec!["targets[0].colour"]),
            (json!({ "name": "a", "targets": [{ "provider": "openai" }] }), vec!["targets[0].model"]),
            (json!({ "name": "a", "tenant_id": Uuid::nil(), "targets": [ok] }), vec!["tenant_id"]),
        ] {
            assert_eq!(fields(&app.post(MODELS, &admin, bad.clone()).await), expected, "{bad}");
        }
        let made = app.post(MODELS, &admin, body("a")).await;
        let path = &made.headers["location"];
        assert_eq!(fields(&app.patch(path, &admin, json!({ "targets": [target("nobody", "m")] })).await), ["targets[0].provider"]);
        assert_eq!(fields(&app.patch(path, &admin, json!({ "tenant_id": Uuid::nil() })).await), ["tenant_id"]);
    }
}

both! {
    async fn a_tenant_has_its_own_models_beside_the_platform_s(app: &TestApp) {
        app.provider("openai", "openai").await;
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let admin = app.platform().await;
        let own = app.token(Role::TenantAdmin, Some(acme)).await;
        let foreign = app.token(Role::TenantAdmin, Some(other)).await;
        let viewer = app.token(Role::TenantViewer, Some(acme)).await;
        let shared = app.post(MODELS, &admin, body("shared")).await.headers["location"].clone();
        app.provider_of(Some(other), "theirs-alone", "groq").await;
        let elsewhere = json!({ "name": "x", "targets": [target("theirs-alone", "m")] });
        assert_eq!(fields(&app.post(MODELS, &own, elsewhere.clone()).await), ["targets[0].provider"]);
        assert_eq!(fields(&app.post(MODELS, &admin, elsewhere).await), ["targets[0].provider"]);
        let made = app.post(MODELS, &own, body("shared")).await;
        assert_eq!((made.status, &made.json()["tenant_id"]), (201, &json!(acme)), "a name of the platform's is free");
        let path = made.headers["location"].clone();
        let mut for_other = body("theirs");
        for_other["tenant_id"] = json!(other);
        assert_eq!(fields(&app.post(MODELS, &own, for_other.clone()).await), ["tenant_id"]);
        assert_eq!(app.post(MODELS, &admin, for_other).await.json()["tenant_id"], json!(other));

        assert_eq!(names(&app.get(MODELS, &viewer).await.json()), ["shared", "shared"]);
        assert_eq!(names(&app.get(MODELS, &foreign).await.json()), ["shared", "theirs"]);
        assert_eq!(names(&app.get(MODELS, &admin).await.json()), ["shared", "shared", "theirs"]);
        let of = |tenant: Uuid| format!("{MODELS}?tenant_id={tenant}");
        assert_eq!(names(&app.get(&of(other), &admin).await.json()), ["theirs"]);
        assert_eq!(names(&app.get(&of(acme), &viewer).await.json()), ["shared"]);
        assert_eq!(names(&app.get(&of(other), &viewer).await.json()), Vec::<&str>::new());

        assert_eq!(app.get(&path, &foreign).await.status, 404);
        assert_eq!(app.patch(&path, &foreign, json!({ "strategy": "cost" })).await.status, 404);
        assert_eq!(app.delete(&path, &foreign).await.status, 404);
        assert_eq!(app.get(&shared, &own).await.status, 200, "what it may name it may see");
        assert_eq!(app.patch(&shared, &own, json!({ "strategy": "cost" })).await.problem(), "forbidden");
        assert_eq!(app.delete(&shared, &own).await.problem(), "forbidden");
        assert_eq!(app.patch(&path, &own, json!({ "strategy": "cost" })).await.status, 200);
        assert_eq!(app.patch(&path, &viewer, json!({ "strategy": "cost" })).await.status, 403);
        let whose: Vec<_> = audited(app).await.into_iter().map(|(_, tenant)| tenant).collect();
        assert_eq!(whose, [None, Some(acme.to_string()), Some(other.to_string()), Some(acme.to_string())]);
    }
}

both! {
    async fn what_the_file_declares_is_read_only(app: &TestApp) {
        app.provider("openai", "openai").await;
        let admin = app.platform().await;
        let path = format!("{MODELS}/{}", declared(app, "from-file").await);
        assert_eq!(app.get(&path, &admin).await.json()["managed_by"], "file");
        for answer in [
            app.patch(&path, &admin, json!({ "strategy": "cost" })).await,
            app.send(Method::PUT, &path, &admin, &[], Some(json!({ "name": "x", "strategy": "cost", "targets": [target("openai", "m")] }))).await,
            app.delete(&path, &admin).await,
        ] {
            assert_eq!((answer.status, answer.problem().as_str()), (409, "managed_by_file"));
        }
        assert_eq!(app.changes(), 0);
    }
}

both! {
    async fn several_strategies_are_a_list(app: &TestApp) {
        app.provider("openai", "openai").await;
        let admin = app.platform().await;
        let both = json!(["geographic", "cost"]);
        for (name, told) in [("a", both.clone()), ("b", json!("geographic, cost"))] {
            let made = app.post(MODELS, &admin, json!({ "name": name, "strategy": told, "targets": [target("openai", "m")] })).await;
            assert_eq!((made.status, &made.json()["strategy"]), (201, &both), "{told}");
            let path = format!("{MODELS}/{}", made.json()["id"].as_str().unwrap());
            let one = app.patch(&path, &admin, json!({ "strategy": ["latency"] })).await;
            assert_eq!(one.json()["strategy"], "latency", "one alone is a text");
        }
    }
}

both! {
    async fn models_are_filtered_sorted_and_paged(app: &TestApp) {
        app.provider("openai", "openai").await;
        let admin = app.platform().await;
        for (name, strategy) in [("b", "cost"), ("c", "quality,cost"), ("a", "cost")] {
            let made = json!({ "name": name, "strategy": strategy, "targets": [target("openai", "m")] });
            assert_eq!(app.post(MODELS, &admin, made).await.status, 201);
        }
        declared(app, "d").await;
        let of = async |query: &str| {
            let page = app.get(&format!("{MODELS}?{query}"), &admin).await.json();
            names(&page).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(of("strategy=cost&sort=name").await, ["a", "b"]);
        assert_eq!(of("strategy=quality,cost").await, ["c"]);
        assert_eq!(of("managed_by=file").await, ["d"]);
        assert_eq!(of("q=B").await, ["b"]);
        assert_eq!(of("sort=-name").await, ["d", "c", "b", "a"]);
        assert_eq!(of("sort=-created_at").await, ["d", "a", "c", "b"]);
        let first = app.get(&format!("{MODELS}?sort=name&limit=3"), &admin).await.json();
        let cursor = first["next_cursor"].as_str().unwrap();
        assert_eq!(of(&format!("sort=name&limit=3&cursor={cursor}")).await, ["d"]);
        for bad in ["strategy=best", "sort=colour", "limit=0", "tenant_id=x", "colour=red"] {
            let answer = app.get(&format!("{MODELS}?{bad}"), &admin).await;
            assert_eq!(fields(&answer), [bad.split('=').next().unwrap()], "{bad}");
        }
    }
}

both! {
    async fn a_simulation_is_of_the_caller_s_own_world(app: &TestApp) {
        app.provider("openai", "openai").await;
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let (own_key, other_key) = (key(app, acme).await, key(app, other).await);
        let admin = app.platform().await;
        let viewer = app.token(Role::TenantViewer, Some(acme)).await;
        let of_other = app.post(MODELS, &app.token(Role::TenantAdmin, Some(other)).await, body("theirs")).await;
        let shared = app.post(MODELS, &admin, body("shared")).await.headers["location"].clone();
        let simulate = format!("{MODELS}/simulate");
        let ask = |more: Value| {
            let mut asked = json!({ "model": "shared", "operation": "speech" });
            asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            asked
        };
        let told = app.post(&simulate, &viewer, ask(json!({ "characters": 7, "key_id": own_key, "voice": "v" }))).await;
        assert_eq!((told.status, &told.json()["model"]), (200, &json!("shared")), "{told:?}");
        let asked = app.data_plane.simulated.lock().unwrap().pop().unwrap();
        assert_eq!((asked.tenant, asked.key), (TenantId(acme), Some(VirtualKeyId(own_key))));
        assert_eq!((asked.model.as_str(), asked.call.characters, asked.call.streaming), ("shared", Some(7), false));
        let tenants = async |token: &str, asked: Value| {
            let told = app.post(&simulate, token, asked).await;
            assert_eq!(told.status, 200, "{told:?}");
            app.data_plane.simulated.lock().unwrap().pop().unwrap().tenant.0
        };
        assert_eq!(tenants(&admin, ask(json!({}))).await, Uuid::nil(), "the platform's alone");
        assert_eq!(tenants(&admin, ask(json!({ "tenant_id": other }))).await, other);
        assert_eq!(tenants(&admin, ask(json!({ "key_id": other_key }))).await, other);

        for (token, asked, field) in [
            (&viewer, ask(json!({ "key_id": other_key })), "key_id"),
            (&viewer, ask(json!({ "tenant_id": other })), "tenant_id"),
            (&admin, ask(json!({ "tenant_id": acme, "key_id": other_key })), "tenant_id"),
            (&admin, ask(json!({ "tenant_id": Uuid::now_v7() })), "tenant_id"),
            (&admin, ask(json!({ "operation": "dance" })), "operation"),
            (&admin, ask(json!({ "operation": "passthrough" })), "operation"),
            (&admin, ask(json!({ "characters": 0 })), "characters"),
            (&admin, ask(json!({ "audio_seconds": -1 })), "audio_seconds"),
            (&admin, ask(json!({ "colour": 1 })), "colour"),
            (&admin, ask(json!({ "model": "" })), "model"),
            (&admin, json!({ "operation": "speech" }), "model"),
        ] {
            assert_eq!(fields(&app.post(&simulate, token, asked.clone()).await), [field], "{asked}");
        }
        let foreign = format!("{}/simulate", of_other.headers["location"]);
        assert_eq!(app.post(&foreign, &viewer, json!({ "operation": "speech" })).await.status, 404);
        let by_id = format!("{shared}/simulate");
        assert_eq!(app.post(&by_id, &viewer, json!({ "operation": "speech" })).await.json()["model"], "shared");
        assert_eq!(fields(&app.post(&by_id, &viewer, ask(json!({}))).await), ["model"]);
        app.post(MODELS, &app.token(Role::TenantAdmin, Some(acme)).await, body("shared")).await;
        assert_eq!(app.post(&by_id, &viewer, json!({ "operation": "speech" })).await.problem(), "shadowed");
        assert_eq!(app.changes(), 3, "only what was made is a change");
    }
}
