//! Providers of tenants' own, and providers with several credentials.

use bytes::Bytes;
use domain::ids::{CredentialId, ProviderId, TenantId};
use domain::provider::ProviderKind;
use gateway::snapshot::{Credential, Pool, ProviderAccount};
use http_body_util::BodyExt;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::helpers::{KEY, Said, Setup, TestApp, Vendor, get, read_answer, soon, speech, target};

const ACME: TenantId = TenantId(Uuid::from_u128(2));
const OTHER: TenantId = TenantId(Uuid::from_u128(3));
const ACME_KEY: &str = "sk-ap-the-key-of-acme";
const OTHER_KEY: &str = "sk-ap-the-key-of-other";

/// Credentials are named by their texts.
fn account(tenant: Option<TenantId>, kind: ProviderKind, name: &str, base_url: &str, key: &str) -> ProviderAccount {
    ProviderAccount {
        id: ProviderId(Uuid::now_v7()),
        tenant,
        name: name.to_owned(),
        kind,
        base_url: base_url.to_owned(),
        api_key: Some(SecretString::from(key)),
        credential: None,
        region: None,
        // Scripted upstreams are on this machine. No tenant's is, once it comes out of a database.
        allow_insecure: true,
    }
}

/// A provider of the platform with these credentials: text, weight, how often at once.
fn pool(name: &str, base_url: &str, credentials: &[(&str, u32, Option<u32>)]) -> Pool {
    let provider = account(None, ProviderKind::Openai, name, base_url, "");
    let accounts = credentials.iter().map(|(key, weight, max_concurrent)| ProviderAccount {
        api_key: Some(SecretString::from(*key)),
        credential: Some(Credential {
            id: CredentialId(Uuid::now_v7()),
            weight: *weight,
            max_concurrent: *max_concurrent,
        }),
        ..provider.clone()
    });
    Pool::new(accounts).unwrap()
}

/// What the vendor is paid with.
async fn paid_with(vendor: &mut Vendor) -> String {
    vendor.next().await.header("authorization").to_owned()
}

fn spoken() -> Said {
    Said::whole(200, "audio/mpeg", Bytes::from_static(b"ID3 sound"))
}

#[tokio::test]
async fn a_tenant_s_own_provider_is_used_by_it_and_seen_by_nobody_else() {
    let (mut acmes, mut others) = (Vendor::start().await, Vendor::start().await);
    let mut setup = Setup::new().await;
    setup.key(ACME_KEY, |key| key.tenant = ACME);
    setup.key(OTHER_KEY, |key| key.tenant = OTHER);
    for (tenant, vendor, key) in [(ACME, &acmes, "of-acme"), (OTHER, &others, "of-other")] {
        for name in ["mine", "one"] {
            setup.snapshot.insert_provider(account(Some(tenant), ProviderKind::Openai, name, &vendor.base_url, key));
        }
    }
    let app = setup.start().await;
    for _ in 0..2 {
        // `tts` is the platform's route to `one`, of which each tenant has its own.
        for model in ["mine/tts-1", "tts"] {
            acmes.say(spoken());
            others.say(spoken());
            assert_eq!(app.call(speech(ACME_KEY, model, "Hello")).await.status, 200);
            assert_eq!(paid_with(&mut acmes).await, "Bearer of-acme");
            assert!(others.is_idle());
            assert_eq!(app.call(speech(OTHER_KEY, model, "Hello")).await.status, 200);
            assert_eq!(paid_with(&mut others).await, "Bearer of-other");
            assert!(acmes.is_idle());
        }
    }
    app.call(speech(KEY, "mine/tts-1", "Hello")).await.assert_error(404, "model_not_found");
    app.call(get("/v1/models/mine%2Ftts-1", KEY)).await.assert_error(404, "model_not_found");
    assert_eq!(app.call(speech(KEY, "tts", "Hello")).await.status, 200);
    assert!(acmes.is_idle() && others.is_idle(), "the platform's own was asked");
    for (key, lists) in [(KEY, false), (ACME_KEY, true)] {
        let models = app.call(get("/v1/models", key)).await.text();
        assert_eq!(models.contains("mine/"), lists, "{models}");
    }
}

#[tokio::test]
async fn one_tenant_s_provider_failing_says_nothing_about_another_s_of_its_name() {
    let (mut acmes, mut others) = (Vendor::start().await, Vendor::start().await);
    let mut setup = Setup::new().await;
    setup.key(ACME_KEY, |key| key.tenant = ACME);
    setup.key(OTHER_KEY, |key| key.tenant = OTHER);
    for (tenant, vendor) in [(ACME, &acmes), (OTHER, &others)] {
        setup.snapshot.insert_provider(account(Some(tenant), ProviderKind::Openai, "mine", &vendor.base_url, "k"));
    }
    let app = setup.start().await;
    let failing = async |acmes: &mut Vendor| {
        acmes.say(Said::whole(500, "application/json", "{}"));
        app.call(speech(ACME_KEY, "mine/tts-1", "Hello")).await
    };
    for _ in 0..5 {
        failing(&mut acmes).await.assert_error(502, "upstream_error");
        acmes.next().await;
    }
    failing(&mut acmes).await.assert_error(503, "no_healthy_target");
    others.say(spoken());
    assert_eq!(app.call(speech(OTHER_KEY, "mine/tts-1", "Hello")).await.status, 200);
    others.next().await;
}

#[tokio::test]
async fn the_voices_and_the_own_paths_of_a_vendor_are_those_of_the_tenant_s_account() {
    let (mut acmes, mut others) = (Vendor::start().await, Vendor::start().await);
    let mut setup = Setup::new().await;
    setup.key(ACME_KEY, |key| key.tenant = ACME);
    setup.key(OTHER_KEY, |key| key.tenant = OTHER);
    for (tenant, vendor) in [(ACME, &acmes), (OTHER, &others)] {
        let own = account(Some(tenant), ProviderKind::Elevenlabs, "mine", &vendor.base_url, "k");
        setup.snapshot.insert_provider(own);
    }
    let app = setup.start().await;
    for (key, vendor, voice) in [(ACME_KEY, &mut acmes, "Ann"), (OTHER_KEY, &mut others, "Ben")] {
        let list = json!({"voices": [{"voice_id": "v1", "name": voice}], "has_more": false});
        vendor.say(Said::whole(200, "application/json", list.to_string()));
        let voices = app.call(get("/v1/audio/voices", key)).await.json();
        let names: Vec<&Value> = voices["data"].as_array().unwrap().iter().map(|voice| &voice["name"]).collect();
        assert!(names.contains(&&json!(voice)), "{voices}");
        vendor.next().await;

        let request = http::Request::get("/elevenlabs/v1/voices").header("host", "x").header("xi-api-key", key);
        let request = request.body(http_body_util::Full::default()).unwrap();
        assert_eq!(app.call(request).await.status, 200);
        assert_eq!(vendor.next().await.header("xi-api-key"), "k");
    }
    let voices = app.call(get("/v1/audio/voices", KEY)).await.text();
    assert!(!voices.contains("Ann") && !voices.contains("Ben"), "{voices}");
    let request = http::Request::get("/elevenlabs/v1/voices").header("host", "x").header("xi-api-key", KEY);
    let refused = app.call(request.body(http_body_util::Full::default()).unwrap()).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(acmes.is_idle() && others.is_idle());
}

async fn with_credentials(credentials: &[(&str, u32, Option<u32>)]) -> (TestApp, Vendor) {
    let vendor = Vendor::start().await;
    let mut setup = Setup::new().await;
    setup.snapshot.insert_provider(pool("many", &vendor.base_url, credentials));
    setup.route("many-tts", vec![target("many", "tts-1", 0), target("two", "tts-1", 1)]);
    (setup.start().await, vendor)
}

#[tokio::test]
async fn a_credential_that_is_in_use_as_often_as_it_may_be_leaves_the_call_to_another() {
    let (app, mut vendor) = with_credentials(&[("first", 1, Some(1)), ("second", 0, Some(1))]).await;
    let (slow, first_sound) = Said::piecemeal("audio/mpeg");
    vendor.say(slow);
    first_sound.send(Bytes::from_static(b"ID3")).unwrap();
    let mut first = app.open(speech(KEY, "many/tts-1", "Hello")).await;
    assert_eq!(paid_with(&mut vendor).await, "Bearer first");

    let (slow, second_sound) = Said::piecemeal("audio/mpeg");
    vendor.say(slow);
    second_sound.send(Bytes::from_static(b"ID3")).unwrap();
    let second = app.open(speech(KEY, "many/tts-1", "Hello")).await;
    assert_eq!(paid_with(&mut vendor).await, "Bearer second");

    let refused = app.call(speech(KEY, "many/tts-1", "Hello")).await;
    refused.assert_error(503, "overloaded");
    assert_eq!(refused.header("retry-after"), "1");
    let other = app.call(speech(KEY, "many-tts", "Hello")).await;
    assert_eq!((other.status, other.header("x-antiphon-provider")), (200, "two"), "another target has room");

    drop(first_sound);
    while soon(first.body_mut().frame()).await.is_some() {}
    vendor.say(spoken());
    assert_eq!(app.call(speech(KEY, "many/tts-1", "Hello")).await.status, 200);
    assert_eq!(paid_with(&mut vendor).await, "Bearer first", "the call that had it has ended");
    drop((second, second_sound));
}

#[tokio::test]
async fn a_session_keeps_its_credential_until_it_ends() {
    let mut setup = Setup::new().await;
    let base_url = setup.one.base_url();
    setup.snapshot.insert_provider(pool("one", &base_url, &[("sk-upstream", 1, Some(1))]));
    let app = setup.start().await;
    let session = app.realtime("model=live", KEY).await.unwrap();
    assert_eq!(app.refused("model=live", KEY).await, (503, "overloaded".to_owned()));
    drop(session);
    // Its end is noticed when its socket is read.
    soon(async { while app.realtime("model=live", KEY).await.is_err() {} }).await;
}

#[tokio::test]
async fn a_credential_that_is_refused_or_exhausted_is_left_alone_and_the_next_one_used() {
    for (status, retry_after) in [(401, None), (403, None), (429, Some("30"))] {
        let (app, mut vendor) = with_credentials(&[("first", 1, None), ("second", 0, None)]).await;
        let refusal = Said::whole(status, "application/json", "{}");
        vendor.say(retry_after.into_iter().fold(refusal, |said, after| said.with("retry-after", after)));
        for (attempts, credentials) in [("2", &["first", "second"][..]), ("1", &["second"])] {
            vendor.say(spoken());
            let answer = app.call(speech(KEY, "many-tts", "Hello")).await;
            let served = (answer.status, answer.header("x-antiphon-provider"), answer.header("x-antiphon-attempts"));
            assert_eq!(served, (200, "many", attempts), "{status}: {}", answer.text());
            for credential in credentials {
                assert_eq!(paid_with(&mut vendor).await, format!("Bearer {credential}"), "{status}");
            }
        }
        assert!(vendor.is_idle());
    }
}

#[tokio::test]
async fn what_is_refused_under_the_only_credential_is_told_as_it_was() {
    let (app, mut vendor) = with_credentials(&[("only", 1, None)]).await;
    for _ in 0..2 {
        vendor.say(Said::whole(429, "application/json", "{}").with("retry-after", "30"));
        let answer = app.call(speech(KEY, "many/tts-1", "Hello")).await;
        answer.assert_error(429, "upstream_rate_limited");
        assert_eq!(answer.header("retry-after"), "30");
        assert_eq!(paid_with(&mut vendor).await, "Bearer only");
    }
}

#[tokio::test]
async fn a_provider_that_fails_is_not_asked_again_under_its_other_credential() {
    let (app, mut vendor) = with_credentials(&[("first", 1, None), ("second", 0, None)]).await;
    vendor.say(Said::whole(500, "application/json", "{}"));
    let answer = app.call(speech(KEY, "many-tts", "Hello")).await;
    assert_eq!((answer.status, answer.header("x-antiphon-provider")), (200, "two"));
    assert_eq!(paid_with(&mut vendor).await, "Bearer first");
    assert!(vendor.is_idle());
}

async fn queued(app: &TestApp, number: u64) {
    app.until(async || (app.call(get("/readyz", KEY)).await.json()["queued"] == number).then_some(())).await;
}

#[tokio::test]
async fn a_call_waits_for_a_credential_in_use_and_one_that_hangs_up_leaves_its_place() {
    let (app, mut vendor) = with_credentials(&[("only", 1, Some(1))]).await;
    let (slow, sound) = Said::piecemeal("audio/mpeg");
    vendor.say(slow);
    sound.send(Bytes::from_static(b"ID3")).unwrap();
    let mut first = app.open(speech(KEY, "many/tts-1", "Hello")).await;
    assert_eq!(first.headers()["server-timing"].to_str().unwrap().matches("dur=").count(), 2, "it has not waited");
    vendor.next().await;

    let gone = app.send(speech(KEY, "many/tts-1", "Never")).await;
    queued(&app, 1).await;
    drop(gone);
    queued(&app, 0).await;
    vendor.say(spoken());
    let waits = app.call(speech(KEY, "many/tts-1", "Later"));
    let ends = async {
        queued(&app, 1).await;
        drop(sound);
        while soon(first.body_mut().frame()).await.is_some() {}
    };
    let (served, ()) = tokio::join!(waits, ends);
    assert_eq!(served.status, 200, "{}", served.text());
    assert!(served.header("server-timing").contains(", queue;dur="), "{}", served.header("server-timing"));
    let asked = String::from_utf8(vendor.next().await.whole().await).unwrap();
    assert!(asked.contains("Later") && vendor.is_idle(), "who hung up cost nothing: {asked}");
    queued(&app, 0).await;
}

#[tokio::test]
async fn a_session_waits_for_a_credential_in_use() {
    let mut setup = Setup::new().await;
    let base_url = setup.one.base_url();
    setup.snapshot.insert_provider(pool("one", &base_url, &[("sk-upstream", 1, Some(1))]));
    let app = setup.start().await;
    let session = app.realtime("model=live", KEY).await.unwrap();
    let ends = async {
        queued(&app, 1).await;
        drop(session);
    };
    let (next, ()) = tokio::join!(app.realtime("model=live", KEY), ends);
    next.unwrap().until("session.created").await;
}

#[tokio::test]
async fn a_call_that_waits_when_the_gateway_stops_is_served_like_those_in_flight() {
    let (mut app, vendor) = with_credentials(&[("only", 1, Some(1))]).await;
    let (slow, sound) = Said::piecemeal("audio/mpeg");
    vendor.say(slow);
    sound.send(Bytes::from_static(b"ID3")).unwrap();
    let mut first = app.open(speech(KEY, "many/tts-1", "Hello")).await;
    let mut waits = app.send(speech(KEY, "many/tts-1", "Later")).await;
    queued(&app, 1).await;
    vendor.say(spoken());
    app.begin_drain();
    drop(sound);
    while soon(first.body_mut().frame()).await.is_some() {}
    let answer = read_answer(&mut waits).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    app.ended().await;
}

#[tokio::test]
async fn nobody_waits_where_that_is_switched_off() {
    let (app, vendor) = with_credentials(&[("only", 1, Some(1))]).await;
    let mut bounds = app.gateway.bounds();
    bounds.queue.longest = std::time::Duration::ZERO;
    app.gateway.adjust(bounds, app.gateway.timeouts());
    let (slow, sound) = Said::piecemeal("audio/mpeg");
    vendor.say(slow);
    sound.send(Bytes::from_static(b"ID3")).unwrap();
    let first = app.open(speech(KEY, "many/tts-1", "Hello")).await;
    let refused = app.call(speech(KEY, "many/tts-1", "Hello")).await;
    refused.assert_error(503, "overloaded");
    drop((first, sound));
}
