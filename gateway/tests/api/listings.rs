//! What a key is told that there is: models and voices, and never more than it may use.

use std::collections::BTreeMap;

use domain::provider::Operation;
use serde_json::{Value, json};

use crate::helpers::{KEY, Setup, TestApp, get, target};

const SPEAKS: &str = "sk-ap-may-speak-and-no-more";
const LISTENS: &str = "sk-ap-may-only-transcribe";

impl TestApp {
    async fn listed(&self, path: &str, key: &str) -> Vec<Value> {
        let list = self.call(get(path, key)).await.json();
        assert_eq!(list["object"], "list", "{list}");
        list["data"].as_array().unwrap().clone()
    }
}

fn ids(list: &[Value]) -> Vec<&str> {
    list.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_key_sees_the_models_that_it_may_use_and_what_it_may_do_with_them() {
    let mut setup = Setup::new().await;
    setup.key(SPEAKS, |key| {
        key.operations = vec![Operation::Speech];
        key.models = ["tts", "stt", "stt-stream", "unpriced"].map(str::to_owned).to_vec();
    });
    setup.key("sk-ap-may-hold-sessions", |key| {
        key.operations = vec![Operation::Realtime];
        key.models = vec!["stt-*".to_owned()];
    });
    let app = setup.start().await;
    let speaks = app.listed("/v1/models", SPEAKS).await;
    assert_eq!(ids(&speaks), ["tts", "unpriced"], "what nobody knows of may be able to speak");
    let price = json!({"provider": "one", "operation": "speech", "unit": "million_characters", "usd": "15"});
    assert_eq!(speaks[0]["antiphon"], json!({"operations": ["speech"], "providers": ["one"], "prices": [price]}));
    app.call(get("/v1/models/stt", SPEAKS)).await.assert_error(404, "model_not_found");
    assert_eq!(app.call(get("/v1/models/tts", SPEAKS)).await.json(), speaks[0]);
    // The model can transcribe uploads too, which this key may not.
    let sessions = app.listed("/v1/models", "sk-ap-may-hold-sessions").await;
    assert_eq!(ids(&sessions), ["stt-stream"]);
    assert_eq!(sessions[0]["antiphon"]["operations"], json!(["realtime"]));
}

#[tokio::test]
async fn a_key_sees_the_voices_of_the_models_that_it_may_let_speak() {
    let mut setup = Setup::new().await;
    setup.route("newest", vec![target("two", "gpt-4o-mini-tts", 0)]);
    setup.key(SPEAKS, |key| {
        key.operations = vec![Operation::Speech];
        key.models = vec!["tts".to_owned()];
    });
    setup.key("sk-ap-speaks-with-the-newest", |key| key.models = vec!["newest".to_owned()]);
    setup.key(LISTENS, |key| key.operations = vec![Operation::Transcription]);
    let map = [("one", "onyx"), ("two", "marin"), ("deepgram", "aura-2-thalia-en")];
    let map: BTreeMap<String, String> = map.map(|(who, voice)| (who.to_owned(), voice.to_owned())).into();
    setup.snapshot.voices.insert("narrator".to_owned(), map);
    let app = setup.start().await;
    let voices = app.listed("/v1/audio/voices", SPEAKS).await;
    let narrator = json!({"id": "narrator", "name": "narrator", "provider": null, "language": null, "gender": null,
        "preview_url": null, "map": {"one": "onyx"}});
    let onyx = json!({"id": "onyx", "name": "onyx", "provider": "one", "language": null, "gender": null,
        "preview_url": null, "models": ["tts-1"]});
    assert_eq!(voices[0], narrator);
    assert!(voices.contains(&onyx), "{voices:?}");
    let old = ["narrator", "alloy", "ash", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer"];
    assert_eq!(ids(&voices), old, "tts-1 lacks the others");
    assert!(voices[1..].iter().all(|voice| voice["provider"] == "one"), "{voices:?}");

    let newest = app.listed("/v1/audio/voices", "sk-ap-speaks-with-the-newest").await;
    assert!(ids(&newest).contains(&"marin") && newest[0]["map"] == json!({"two": "marin"}), "{newest:?}");
    assert!(newest[1..].iter().all(|voice| voice["provider"] == "two"), "{newest:?}");
    let every = app.listed("/v1/audio/voices", KEY).await;
    assert_eq!(every.iter().filter(|voice| voice["id"] == "alloy").count(), 2, "one of each provider");
    assert_eq!(app.listed("/v1/audio/voices", LISTENS).await, [] as [Value; 0]);
}
