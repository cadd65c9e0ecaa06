//! Voices.

use admin_types::role::Role;
use entities::voice;
use http::Method;
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::json;

use crate::helpers::{TestApp, both};

const VOICES: &str = "/api/v1/voices";

both! {
    async fn a_voice_is_made_changed_and_removed(app: &TestApp) {
        app.provider("my-azure", "azure").await;
        let admin = app.platform().await;
        let path = format!("{VOICES}/narrator");
        let put = async |headers: &[(&str, &str)], map: serde_json::Value| {
            app.send(Method::PUT, &path, &admin, headers, Some(json!({ "map": map }))).await
        };
        assert_eq!(app.get(&path, &admin).await.status, 404);
        let early = put(&[("if-match", "\"1\"")], json!({ "openai": "marin" })).await;
        assert_eq!((early.status, early.problem().as_str()), (412, "stale"), "nobody has read what is not there");
        assert_eq!(put(&[("if-match", "*")], json!({ "openai": "marin" })).await.status, 412, "there is none yet");
        let made = put(&[], json!({ "openai": "marin", "my-azure": "alloy" })).await;
        assert_eq!((made.status, made.headers["etag"].as_str()), (201, "\"1\""), "{made:?}");
        assert_eq!(made.json(), json!({ "name": "narrator", "map": { "openai": "marin", "my-azure": "alloy" }, "managed_by": "api" }));
        let changed = put(&[("if-match", "\"1\"")], json!({ "openai": "cedar" })).await;
        assert_eq!((changed.status, changed.headers["etag"].as_str()), (200, "\"2\""));
        assert_eq!(app.get(&path, &admin).await.json()["map"], json!({ "openai": "cedar" }));
        assert_eq!(put(&[("if-match", "\"1\"")], json!({ "openai": "ash" })).await.status, 412);
        assert_eq!(put(&[("if-match", "*")], json!({ "openai": "cedar" })).await.status, 200);
        assert_eq!(app.changes(), 3);
        assert_eq!(app.delete(&path, &admin).await.status, 204);
        assert_eq!(app.delete(&path, &admin).await.status, 404);
        assert_eq!(app.changes(), 4);
    }
}

both! {
    async fn voices_are_checked_listed_and_the_platform_s_to_change(app: &TestApp) {
        let admin = app.platform().await;
        let acme = app.tenant("acme").await;
        let tenant = app.token(Role::TenantAdmin, Some(acme)).await;
        let put = async |token: &str, name: &str, map: serde_json::Value| {
            app.send(Method::PUT, &format!("{VOICES}/{name}"), token, &[], Some(json!({ "map": map }))).await
        };
        for (name, map, field) in [
            ("a", json!({}), "map"),
            ("a", json!({ "nobody": "x" }), "map.nobody"),
            ("a", json!({ "openai": "" }), "map.openai"),
            ("%07", json!({ "openai": "x" }), "name"),
        ] {
            let answer = put(&admin, name, map).await;
            assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &json!(field)), "{answer:?}");
        }
        for name in ["b", "c", "a"] {
            assert_eq!(put(&admin, name, json!({ "openai": "marin" })).await.status, 201);
        }
        let row = voice::ActiveModel {
            name: Set("d".to_owned()),
            map: Set("{}".to_owned()),
            managed_by: Set("file".to_owned()),
            version: Set(1),
        };
        voice::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
        assert_eq!(put(&admin, "d", json!({ "openai": "marin" })).await.problem(), "managed_by_file");
        assert_eq!(app.delete(&format!("{VOICES}/d"), &admin).await.problem(), "managed_by_file");
        assert_eq!(put(&tenant, "b", json!({ "openai": "ash" })).await.status, 403);
        assert_eq!(app.get(&format!("{VOICES}/b"), &tenant).await.status, 200);

        let mut found = Vec::new();
        let mut path = format!("{VOICES}?limit=3&sort=-name");
        loop {
            let page = app.get(&path, &tenant).await.json();
            found.extend(page["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("{VOICES}?limit=3&sort=-name&cursor={cursor}");
        }
        assert_eq!(found, ["d", "c", "b", "a"]);
        let searched = app.get(&format!("{VOICES}?q=B"), &tenant).await.json();
        assert_eq!(searched["data"].as_array().unwrap().len(), 1);
    }
}
