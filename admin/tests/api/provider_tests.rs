//! Trying providers out.

use admin_types::role::Role;
use domain::provider::Operation;
use entities::audit_entry;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};

use crate::helpers::{TestApp, both};

both! {
    async fn a_provider_is_tried_out_by_those_whose_it_is(app: &TestApp) {
        let id = app.provider("deepgram", "deepgram").await;
        let path = format!("/api/v1/providers/{id}/test");
        let admin = app.platform().await;
        let told = app.post(&path, &admin, json!({})).await;
        assert_eq!((told.status, &told.json()["ok"]), (200, &json!(true)), "{told:?}");
        let tried = std::mem::take(&mut *app.data_plane.tried.lock().unwrap());
        let operations: Vec<_> = tried.iter().map(|trial| (trial.provider.0, trial.operation)).collect();
        let expected = [Operation::Transcription, Operation::Speech, Operation::Realtime];
        assert_eq!(operations, expected.map(|operation| (id, operation)), "what its kind does");
        assert_eq!(told.json()["results"][2]["operation"], "realtime");

        let one = json!({ "operations": ["speech"], "model": "aura-1", "voice": "thalia" });
        assert_eq!(app.post(&path, &admin, one).await.json()["results"].as_array().unwrap().len(), 1);
        let trial = app.data_plane.tried.lock().unwrap().pop().unwrap();
        assert_eq!((trial.model.as_deref(), trial.voice.as_deref()), (Some("aura-1"), Some("thalia")));

        let key = json!({ "label": "next", "secret": "dg-0123456789abcdef" });
        let key = app.post(&format!("/api/v1/providers/{id}/credentials"), &admin, key).await.json()["id"].clone();
        let told = app.post(&path, &admin, json!({ "operations": ["speech"], "credential_id": key })).await;
        assert_eq!(told.json()["results"][0]["credential_id"], key, "{told:?}");
        let trial = app.data_plane.tried.lock().unwrap().pop().unwrap();
        assert_eq!(trial.credential.map(|id| json!(id.0)), Some(key.clone()), "the one that was named is tried");
        let groq = app.provider("groq", "groq").await;
        let others = app.post(&format!("/api/v1/providers/{groq}/test"), &admin, json!({ "credential_id": key })).await;
        assert_eq!((others.status, &others.json()["errors"][0]["field"]), (422, &json!("credential_id")), "{others:?}");

        for (bad, field) in [
            (json!({ "operations": [] }), "operations"),
            (json!({ "operations": ["speech", "speech"] }), "operations"),
            (json!({ "operations": ["passthrough"] }), "operations"),
            (json!({ "model": "m" }), "model"),
            (json!({ "operations": ["speech"], "model": "" }), "model"),
            (json!({ "colour": 1 }), "colour"),
        ] {
            let answer = app.post(&path, &admin, bad).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &json!(field)), "{answer:?}");
        }
        let acme = app.tenant("acme").await;
        let tenant = app.token(Role::TenantAdmin, Some(acme)).await;
        assert_eq!(app.post(&path, &tenant, json!({})).await.status, 403, "it costs the platform's money");
        let own = app.provider_of(Some(acme), "own", "groq").await;
        let own_path = format!("/api/v1/providers/{own}/test");
        assert_eq!(app.post(&own_path, &tenant, json!({ "operations": ["chat"] })).await.status, 200);
        app.data_plane.tried.lock().unwrap().clear();
        let other = app.token(Role::TenantAdmin, Some(app.tenant("other").await)).await;
        assert_eq!(app.post(&own_path, &other, json!({})).await.status, 404);
        let nobody = "/api/v1/providers/01900000-0000-7000-8000-000000000000/test";
        assert_eq!(app.post(nobody, &admin, json!({})).await.status, 404);
        assert!(app.data_plane.tried.lock().unwrap().is_empty());
        assert_eq!(app.changes(), 1, "a credential is new, and nothing else has changed for gateways");

        let entries = audit_entry::Entity::find().filter(audit_entry::Column::Action.eq("test"));
        let entries = entries.all(&app.database).await.unwrap();
        assert_eq!(entries.len(), 4);
        let after: Value = serde_json::from_str(entries[0].after.as_deref().unwrap()).unwrap();
        assert_eq!(after["provider"], "deepgram");
    }
}

both! {
    async fn tests_are_throttled_for_each_user(app: &TestApp) {
        let id = app.provider("openai", "openai").await;
        let path = format!("/api/v1/providers/{id}/test");
        let (one, two) = (app.platform().await, app.platform().await);
        let ask = async |token: &str| app.post(&path, token, json!({ "operations": ["chat"] })).await;
        for _ in 0..6 {
            assert_eq!(ask(&one).await.status, 200);
        }
        let refused = ask(&one).await;
        assert_eq!((refused.status, refused.problem().as_str()), (429, "too_many"), "{refused:?}");
        assert_eq!(refused.headers["retry-after"], "60");
        assert_eq!(ask(&two).await.status, 200, "another user is another count");
        assert_eq!(app.data_plane.tried.lock().unwrap().len(), 7);
    }
}
