//! Vendors' own paths over HTTP: what passes through, and what is billed for it.

use bytes::Bytes;
use domain::pricing::Unit;
use domain::provider::{Operation, ProviderKind};
use domain::usage::{UsageSource, UsageStatus};
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;

use crate::helpers::{BOUNDARY, KEY, Part, SECRET, Said, Setup, TestApp, Vendor, budget, form_body, soon, two_seconds};

async fn start(change: impl FnOnce(&mut Setup)) -> (TestApp, Vendor) {
    let vendor = Vendor::start().await;
    let mut setup = Setup::new().await;
    for kind in [ProviderKind::Deepgram, ProviderKind::Elevenlabs] {
        setup.vendor(kind, kind.as_str(), &vendor.base_url);
        for model in ["aura-2", "eleven_flash_v2_5", "eleven_multilingual_v2"] {
            setup.vendor_price(kind, model, Operation::Speech, Unit::MillionCharacters, "30");
        }
        for model in ["nova-3", "scribe_v2"] {
            setup.vendor_price(kind, model, Operation::Transcription, Unit::AudioMinute, "0.006");
        }
    }
    change(&mut setup);
    (setup.start().await, vendor)
}

fn deepgram(path: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder().method("POST").uri(format!("/deepgram{path}")).header("host", "gateway");
    let request = request.header("authorization", format!("Token {KEY}")).header("content-type", content_type);
    request.body(Full::new(body.into())).unwrap()
}

fn elevenlabs(path: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder().method("POST").uri(format!("/elevenlabs{path}")).header("host", "gateway");
    let request = request.header("xi-api-key", KEY).header("content-type", content_type);
    request.body(Full::new(body.into())).unwrap()
}

const JSON: &str = "application/json";

#[tokio::test]
async fn speech_flows_as_it_is_made_and_is_billed_by_its_characters() {
    let (app, mut vendor) = start(|_| {}).await;
    let (said, pieces) = Said::piecemeal("audio/mpeg");
    vendor.say(said.with("request-id", "r1").with("x-hidden", "of the vendor"));
    pieces.send(Bytes::from_static(b"first")).unwrap();
    let body = r#"{"text":"Grüße 👋","model_id":"eleven_flash_v2_5","unknown":{"passes":[1,2]}}"#;
    let path = "/v1/text-to-speech/voice1/stream?output_format=pcm_24000&optimize=%26";
    let response = app.open(elevenlabs(path, JSON, body)).await;
    assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (200, "audio/mpeg"));
    assert_eq!(response.headers()["request-id"], "r1");
    assert_eq!(response.headers()["x-antiphon-provider"], "elevenlabs");
    assert_eq!(response.headers()["x-antiphon-cost-usd"], "0.00021");
    assert!(!response.headers().contains_key("x-hidden"));
    let id = response.headers()["x-request-id"].to_str().unwrap().parse().unwrap();
    let mut sound = response.into_body();
    let first = soon(sound.frame()).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first", "while the vendor still speaks");
    pieces.send(Bytes::from_static(b"second")).unwrap();
    drop(pieces);
    assert_eq!(soon(sound.collect()).await.unwrap().to_bytes(), "second");
    let mut seen = vendor.next().await;
    assert_eq!(seen.target, path, "as the client wrote it");
    assert_eq!(seen.whole().await, body.as_bytes());
    let record = app.records_of(KEY, id).await.remove(0);
    assert_eq!((record.usage.characters, record.cost.unwrap().0), (7, 210_000));
    assert_eq!((record.status, record.usage_source), (UsageStatus::Ok, UsageSource::Measured));
    assert_eq!((record.model_asked.as_str(), record.provider.as_str()), ("eleven_flash_v2_5", "elevenlabs"));
}

#[tokio::test]
async fn a_voice_is_priced_as_its_family_and_the_vendor_s_own_count_goes_first() {
    let (app, vendor) = start(|_| {}).await;
    vendor.say(Said::whole(200, "audio/wav", "RIFF").with("dg-char-count", "9").with("dg-request-id", "d1"));
    let answer = app.call(deepgram("/v1/speak?model=aura-2-thalia-en", JSON, r#"{"text":"Hello"}"#)).await;
    assert_eq!((answer.status, answer.header("dg-request-id"), answer.text().as_str()), (200, "d1", "RIFF"));
    let record = app.records(&answer).await.remove(0);
    assert_eq!((record.usage.characters, record.cost.unwrap().0), (9, 270_000));
    assert_eq!((record.model_asked.as_str(), record.usage_source), ("aura-2-thalia-en", UsageSource::Reported));
    let answer = app.call(elevenlabs("/v1/text-to-speech/v", JSON, r#"{"text":"Hello"}"#)).await;
    let record = app.records(&answer).await.remove(0);
    assert_eq!(
        (record.model_asked.as_str(), record.cost.unwrap().0),
        ("eleven_multilingual_v2", 150_000),
        "the default"
    );
}

#[tokio::test]
async fn a_recording_is_sent_on_while_it_arrives_and_billed_as_the_answer_says() {
    let (app, mut vendor) = start(|_| {}).await;
    let said = json!({"metadata": {"duration": 30.0, "channels": 1}, "results": {"channels": [{}]}}).to_string();
    vendor.say(Said::whole(200, JSON, said.clone()).with("dg-request-id", "d2"));
    let sound = vec![7; 400_000];
    let (sender, body) = hyper_body();
    let request = Request::builder().method("POST").uri("/deepgram/v1/listen?model=nova-3&keyterm=a&keyterm=b");
    let request = request.header("host", "gateway").header("authorization", format!("Token {KEY}"));
    let answering = tokio::spawn({
        let stream = app.connect().await;
        let request = request.header("content-type", "audio/basic").body(body).unwrap();
        async move {
            let io = hyper_util::rt::TokioIo::new(stream);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(async move { drop(connection.await) });
            sender.send_request(request).await.unwrap()
        }
    });
    sender.send(Bytes::copy_from_slice(&sound[..200_000])).unwrap();
    let mut seen = vendor.next().await;
    let mut heard = 0;
    while heard < 100_000 {
        heard += soon(seen.body.recv()).await.unwrap().len();
    }
    sender.send(Bytes::copy_from_slice(&sound[200_000..])).unwrap();
    drop(sender);
    let response = soon(answering).await.unwrap();
    assert_eq!(seen.target, "/v1/listen?model=nova-3&keyterm=a&keyterm=b");
    assert_eq!((heard + seen.whole().await.len(), seen.header("content-type")), (400_000, "audio/basic"));
    assert_eq!(response.headers()["dg-request-id"], "d2");
    let id = response.headers()["x-request-id"].to_str().unwrap().parse().unwrap();
    assert_eq!(soon(response.into_body().collect()).await.unwrap().to_bytes(), said);
    let record = app.records_of(KEY, id).await.remove(0);
    assert_eq!((record.usage.audio_in_ms, record.cost.unwrap().0), (30_000, 3_510_000), "terms cost a sixth more");
    assert_eq!(record.usage_source, UsageSource::Reported);
}

type Sent = tokio::sync::mpsc::UnboundedSender<Bytes>;

fn hyper_body() -> (Sent, http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let pieces = futures_util::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|piece| piece.map(|piece| Ok(hyper::body::Frame::data(piece))))
    });
    (sender, http_body_util::StreamBody::new(pieces).boxed_unsync())
}

#[tokio::test]
async fn what_the_vendor_does_not_tell_is_measured_or_unknown_and_never_free() {
    let (app, vendor) = start(|_| {}).await;
    let later = || Said::whole(200, JSON, r#"{"request_id":"later"}"#);
    vendor.say(later());
    let path = "/v1/listen?model=nova-3&callback=https%3A%2F%2Fclient.example";
    let answer = app.call(deepgram(path, "audio/wav", two_seconds())).await;
    let record = app.records(&answer).await.remove(0);
    assert_eq!((record.usage.audio_in_ms, record.cost.unwrap().0), (2_000, 200_000));
    assert_eq!(record.usage_source, UsageSource::Measured);
    vendor.say(later());
    let answer = app.call(deepgram(path, JSON, r#"{"url":"https://elsewhere.example/a.wav"}"#)).await;
    assert_eq!((answer.status, app.billed(&answer).await.0), (200, None));
}

#[tokio::test]
async fn a_form_keeps_its_order_whichever_field_comes_first() {
    let (app, mut vendor) = start(|_| {}).await;
    let sound = two_seconds();
    let said = r#"{"language_code":"eng","text":"Hi.","audio_duration_secs":2.0,"words":[]}"#;
    let model = Part::Field("model_id", "scribe_v2");
    let file = Part::File("a.wav", &sound);
    let terms = [Part::Field("keyterms", "one"), Part::Field("keyterms", "two")];
    for parts in [vec![model, terms[0], file, terms[1]], vec![file, terms[0], model, terms[1]]] {
        vendor.say(Said::whole(200, JSON, said));
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let answer =
            app.call(elevenlabs("/v1/speech-to-text?enable_logging=true", &content_type, form_body(&parts))).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, said));
        let mut seen = vendor.next().await;
        let boundary = seen.header("content-type").split_once("boundary=").unwrap().1.to_owned();
        let body = seen.whole().await;
        let text = String::from_utf8_lossy(&body).into_owned();
        let names: Vec<&str> = text.split("name=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let names: Vec<&str> = names.into_iter().filter(|name| *name != "a.wav").collect();
        assert_eq!(names.iter().filter(|name| **name == "keyterms").count(), 2, "{names:?}");
        assert!(names.contains(&"model_id") && names.contains(&"file"), "{names:?}");
        assert!(text.ends_with(&format!("--{boundary}--\r\n")) && body.windows(sound.len()).any(|part| part == sound));
        let record = app.records(&answer).await.remove(0);
        assert_eq!((record.usage.audio_in_ms, record.cost.unwrap().0), (2_000, 240_000));
        assert_eq!(record.usage.surcharge_percent, 20, "terms cost more, wherever they stand");
    }
    // The second one is told before the file or behind it, when the vendor has had most of a long one.
    let long = [&sound[..44], &vec![0; 400_000]].concat();
    let other = Part::Field("model_id", "other");
    for twice in [[model, other, file], [model, Part::File("a.wav", &long), other]] {
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let answer = app.call(elevenlabs("/v1/speech-to-text", &content_type, form_body(&twice))).await;
        assert_eq!((answer.status, answer.json()["detail"]["param"].as_str()), (400, Some("model_id")));
    }
}

#[tokio::test]
async fn a_refusal_of_the_vendor_passes_as_it_is_without_our_credential_and_costs_nothing() {
    let (app, vendor) = start(|_| {}).await;
    let said =
        json!({"err_code": "Bad Request", "err_msg": format!("not with {SECRET}"), "request_id": "x"}).to_string();
    vendor.say(Said::whole(400, JSON, said.clone()).with("dg-error", "no").with("retry-after", "3"));
    let answer = app.call(deepgram("/v1/speak?model=aura-2-thalia-en", JSON, r#"{"text":"Hello"}"#)).await;
    assert_eq!((answer.status, answer.text()), (400, said.replace(SECRET, "[redacted]")));
    assert_eq!((answer.header("dg-error"), answer.header("retry-after")), ("no", "3"));
    assert_eq!(app.all_records().await.len(), 0);
}

#[tokio::test]
async fn what_clients_ask_wrongly_closes_no_vendor_to_others_and_what_the_vendor_fails_does() {
    let (app, vendor) = start(|_| {}).await;
    let ask = || elevenlabs("/v1/text-to-speech/v", JSON, r#"{"text":"Hello"}"#);
    for status in [404, 503] {
        for _ in 0..6 {
            vendor.say(Said::whole(status, JSON, r#"{"detail":{"status":"x"}}"#));
        }
        let answers = [app.call(ask()).await, app.call(ask()).await, app.call(ask()).await, app.call(ask()).await];
        assert!(answers.iter().all(|answer| answer.status == status));
        assert_eq!(app.call(ask()).await.status, status);
        let sixth = app.call(ask()).await;
        assert_eq!(
            (sixth.status, sixth.json()["detail"]["status"].as_str()),
            if status == 404 { (404, Some("x")) } else { (503, Some("no_healthy_target")) }
        );
    }
}

#[tokio::test]
async fn our_refused_credential_is_a_502_in_the_vendor_s_shape() {
    let (app, vendor) = start(|_| {}).await;
    vendor.say(Said::whole(401, JSON, format!(r#"{{"detail":{{"message":"Invalid API key {SECRET}"}}}}"#)));
    let answer = app.call(elevenlabs("/v1/text-to-speech/v", JSON, r#"{"text":"Hello"}"#)).await;
    assert_eq!((answer.status, answer.json()["detail"]["code"].as_str()), (502, Some("upstream_error")));
    assert!(!answer.text().contains(SECRET));
    assert_eq!(app.all_records().await.len(), 0);
    let mut setup = Setup::new().await;
    setup.vendor(ProviderKind::Elevenlabs, "gone", "http://127.0.0.1:9");
    let app = setup.start().await;
    let answer = app.call(elevenlabs("/v1/text-to-speech/v", JSON, r#"{"text":"Hello"}"#)).await;
    assert_eq!((answer.status, answer.json()["detail"]["code"].as_str()), (502, Some("upstream_error")));
}

#[tokio::test]
async fn bodies_are_bounded_here_too() {
    let (app, mut vendor) = start(|setup| setup.key(KEY, |key| key.max_upload_bytes = Some(1000))).await;
    let answer = app.call(deepgram("/v1/listen?model=nova-3", "audio/wav", vec![0; 1001])).await;
    assert_eq!((answer.status, answer.json()["err_code"].as_str()), (413, Some("FILE_TOO_LARGE")));
    let mut encoded = deepgram("/v1/listen?model=nova-3", "audio/wav", vec![0; 10]);
    encoded.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(app.call(encoded).await.status, 415);
    let broken = app.call(elevenlabs("/v1/text-to-speech/v", JSON, "{")).await;
    assert_eq!(broken.status, 400);
    assert!(vendor.is_idle());
}

#[tokio::test]
async fn a_client_that_hangs_up_is_billed_for_what_the_vendor_makes() {
    let (app, mut vendor) = start(|setup| setup.key(KEY, |key| key.budget = budget(1_000_000_000))).await;
    let (said, pieces) = Said::piecemeal(JSON);
    vendor.say(said);
    let stream = app.send(deepgram("/v1/listen?model=nova-3", "audio/wav", two_seconds())).await;
    let mut seen = vendor.next().await;
    assert_eq!(seen.whole().await.len(), two_seconds().len());
    stream.set_zero_linger().unwrap();
    drop(stream);
    pieces.send(Bytes::from_static(br#"{"metadata":{"duration":60.0},"results":{"channels":[{}]}}"#)).unwrap();
    drop(pieces);
    let record = soon(async {
        loop {
            if let Some(record) = app.all_records().await.into_iter().next() {
                return record;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((record.cost_nano_usd, record.status.as_str()), (Some(6_000_000), "client_closed"));
    assert_eq!(record.usage_source, "reported");
}

#[tokio::test]
async fn the_account_that_a_route_names_serves_its_model() {
    let mut second = Vendor::start().await;
    let (app, mut vendor) = start(|setup| {
        setup.vendor(ProviderKind::Deepgram, "second", &second.base_url);
        let target = crate::helpers::target("second", "nova-9", 0);
        setup.route("stt-nine", vec![target]);
    })
    .await;
    app.call(deepgram("/v1/listen?model=nova-9", "audio/wav", two_seconds())).await;
    assert_eq!(second.next().await.target, "/v1/listen?model=nova-9");
    assert!(vendor.is_idle());
    app.call(deepgram("/v1/listen?model=nova-3", "audio/wav", two_seconds())).await;
    assert_eq!(vendor.next().await.target, "/v1/listen?model=nova-3");
}
