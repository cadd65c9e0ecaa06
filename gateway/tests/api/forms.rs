//! Forms as odd clients send them.

use domain::pricing::Unit;
use domain::provider::Operation;
use loadtest::upstream::{self, Fault, Rule};
use tokio::io::AsyncWriteExt;

use crate::helpers::{
    BOUNDARY, KEY, Part, Setup, TestApp, budget, form, form_body, get, post, soon, target, two_seconds,
};

/// The last form that the first provider read to its end. One that was cut, because fields followed,
/// may be noted after the one that was sent in its place.
fn last_form(app: &TestApp) -> upstream::Request {
    app.one.requests().into_iter().rfind(|request| request.file.is_some()).unwrap()
}

#[tokio::test]
async fn fields_may_come_before_or_after_the_file() {
    let app = TestApp::new().await;
    let audio = two_seconds();
    let last = form(KEY, &[Part::File("a.wav", &audio), Part::Field("model", "stt"), Part::Field("language", "en")]);
    assert_eq!(app.call(last).await.status, 200);
    assert_eq!(app.one.requests()[0].field("language"), Some("en"));

    // So large that it is sent on while it arrives: what follows it must still count.
    let large = loadtest::wav::sample(3 * 1024 * 1024);
    let both = [Part::Field("model", "stt"), Part::File("a.wav", &large), Part::Field("response_format", "srt")];
    let answer = app.call(form(KEY, &both)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains(" --> "), "{}", answer.text());
    let request = last_form(&app);
    assert_eq!(request.file.unwrap().bytes, large.len() as u64);
    assert_eq!(app.billed(&answer).await.0, Some((large.len() as i64 - 44) * 1000 / 32_000 * 100));
}

/// So large that it is sent on while it arrives.
fn large() -> Vec<u8> {
    loadtest::wav::sample(3 * 1024 * 1024)
}

#[tokio::test]
async fn fields_behind_a_streamed_file_choose_the_target_and_are_no_attempt() {
    let mut setup = Setup::new().await;
    // The first has no times for captions, which is known only when the format comes.
    setup.route("captions", vec![target("one", "gpt-4o-transcribe", 0), target("two", "whisper-1", 1)]);
    let app = setup.start().await;
    let large = large();
    for (model, provider) in [("stt", "one"), ("captions", "two")] {
        let parts = [Part::Field("model", model), Part::File("a.wav", &large), Part::Field("response_format", "srt")];
        let answer = app.call(form(KEY, &parts)).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        assert!(answer.text().contains(" --> "), "{model}: {}", answer.text());
        let served = (answer.header("x-antiphon-provider"), answer.header("x-antiphon-attempts"));
        assert_eq!(served, (provider, "1"), "{model}");
        assert_eq!(app.records(&answer).await[0].attempts, 1, "{model}");
    }
    assert_eq!(app.one.counts().of("audio/transcriptions").whole.answers, 1, "each was transcribed once");
    assert_eq!(app.two.counts().of("audio/transcriptions").whole.answers, 1, "each was transcribed once");
}

#[tokio::test]
async fn fields_behind_the_file_count_for_the_next_target_too() {
    let app = TestApp::new().await;
    // Seen or not before the last field, the refusal comes again when the whole form is sent.
    let fault = Fault { status: Some(503), early: true, ..Fault::default() };
    app.one.script(Rule { times: 2, ..Rule::once("", fault) });
    let large = large();
    let parts = [Part::Field("model", "both-stt"), Part::File("a.wav", &large), Part::Field("response_format", "srt")];
    let answer = app.call(form(KEY, &parts)).await;
    assert!(answer.text().contains(" --> "), "{}", answer.text());
    assert_eq!((answer.header("x-antiphon-provider"), answer.header("x-antiphon-attempts")), ("two", "2"));
    assert_eq!(app.two.requests()[0].field("response_format"), Some("srt"));
}

#[tokio::test]
async fn fields_behind_the_file_that_make_it_dearer_are_reserved_too() {
    // Captions come from the cheap target alone; in another format the dear one may be tried as well.
    let mut setup = Setup::new().await;
    setup.route("grows", vec![target("one", "whisper-1", 0), target("two", "gpt-4o-mini-transcribe", 1)]);
    for unit in [Unit::TextIn, Unit::TextOut, Unit::AudioIn] {
        setup.price("gpt-4o-mini-transcribe", Operation::Transcription, unit, "100");
    }
    setup.key("sk-ap-cannot-pay-the-dear-one", |key| key.budget = budget(20_000_000));
    setup.key("sk-ap-can-pay-the-dear-one-too", |key| key.budget = budget(2_000_000_000));
    let app = setup.start().await;
    let large = large();
    let parts = [
        Part::Field("model", "grows"),
        Part::Field("response_format", "srt"),
        Part::File("a.wav", &large),
        Part::Field("response_format", "json"),
    ];
    let refused = app.call(form("sk-ap-cannot-pay-the-dear-one", &parts)).await;
    refused.assert_error(429, "budget_exceeded");
    assert_eq!(app.one.counts().of("audio/transcriptions").whole.answers, 0);
    let usage = app.call(get("/v1/usage", "sk-ap-cannot-pay-the-dear-one")).await.json();
    assert_eq!((usage["reserved_usd"].as_str(), usage["spent_usd"].as_str()), (Some("0"), Some("0")), "{usage}");
    let served = app.call(form("sk-ap-can-pay-the-dear-one-too", &parts)).await;
    assert_eq!((served.status, served.header("x-antiphon-attempts")), (200, "1"), "{}", served.text());
}

#[tokio::test]
async fn a_thousand_parts_are_too_many() {
    let app = TestApp::new().await;
    let mut many: Vec<Part<'_>> = (0..1000).map(|_| Part::Field("x", "y")).collect();
    many.insert(0, Part::Field("model", "stt"));
    app.call(form(KEY, &many)).await.assert_error(400, "invalid_request");
    assert_eq!(app.one.requests(), []);
}

/// A form part by hand: what stands after `form-data` and before the content.
fn part(disposition: &str, content: &[u8]) -> Vec<u8> {
    let mut part = format!("--{BOUNDARY}\r\ncontent-disposition: form-data{disposition}\r\n\r\n").into_bytes();
    part.extend_from_slice(content);
    part.extend_from_slice(b"\r\n");
    part
}

fn by_hand(parts: &[Vec<u8>]) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let mut body = parts.concat();
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    post("/v1/audio/transcriptions", KEY, body, &format!("multipart/form-data; boundary={BOUNDARY}"))
}

/// The bytes of temporary files that have a name, and the number of those that have none any more but
/// are still open in this process.
fn spooled(app: &TestApp) -> (usize, usize) {
    let folder = app.spool();
    let named = std::fs::read_dir(&folder).unwrap().count();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let unnamed = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    (named, unnamed.filter(|target| target.starts_with(&folder)).count())
}

async fn no_file_stays(app: &TestApp) {
    soon(async {
        while spooled(app) != (0, 0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn fields_and_file_in_every_order_and_size() {
    let app = TestApp::new().await;
    let fields = [("model", "stt"), ("language", "en"), ("response_format", "verbose_json")];
    for size in [40_000, 200_000, 1_500_000] {
        let audio = loadtest::wav::sample(size);
        let file = Part::File("a.wav", &audio);
        let [model, language, format] = fields.map(|(name, value)| Part::Field(name, value));
        let orders: [[Part<'_>; 4]; 8] = [
            [model, language, format, file],
            [language, format, model, file],
            [model, language, file, format],
            [model, file, language, format],
            [language, file, model, format],
            [file, model, language, format],
            [file, format, language, model],
            [format, file, language, model],
        ];
        for (at, order) in orders.iter().enumerate() {
            let answer = app.call(form(KEY, order.as_slice())).await;
            let case = format!("order {at}, {size} bytes");
            assert_eq!(answer.status, 200, "{case}: {}", answer.text());
            assert!(answer.json()["segments"].is_array(), "{case}: {}", answer.text());
            let seen = last_form(&app);
            assert_eq!((seen.field("model"), seen.field("language")), (Some("whisper-1"), Some("en")), "{case}");
            let file = seen.file.unwrap();
            assert_eq!((file.bytes, file.crc32), (audio.len() as u64, crc(&audio)), "{case}");
            assert_eq!(app.records(&answer).await.len(), 1, "{case}");
        }
    }
    no_file_stays(&app).await;
    assert_eq!(app.one.counts().violations, Vec::<String>::new());
}

fn crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes);
    hasher.finalize()
}

#[tokio::test]
async fn no_temporary_file_outlives_its_call() {
    let setup = Setup::new().await;
    let spool = setup.settings.data_dir.join("spool");
    std::fs::create_dir(&spool).unwrap();
    std::fs::write(spool.join("of-a-gateway-that-was-killed"), "audio").unwrap();
    let app = setup.start().await;
    no_file_stays(&app).await;
    let large = loadtest::wav::sample(3 * 1024 * 1024);
    let parts = [Part::Field("model", "stt"), Part::File("a.wav", &large)];
    assert_eq!(app.call(form(KEY, &parts)).await.status, 200);
    no_file_stays(&app).await;
    app.one.script(Rule::once("audio/transcriptions", Fault { status: Some(500), ..Fault::default() }));
    app.call(form(KEY, &parts)).await.assert_error(502, "upstream_error");
    no_file_stays(&app).await;
    // The file comes first, so that all of it is spooled before it is known that nothing can be done.
    let unknown = [Part::File("a.wav", &large), Part::Field("model", "no-such-model")];
    app.call(form(KEY, &unknown)).await.assert_error(404, "model_not_found");
    no_file_stays(&app).await;

    let body = form_body(&[Part::File("a.wav", &large), Part::Field("model", "stt")]);
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = app.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..2 * 1024 * 1024]).await.unwrap();
    soon(async {
        while spooled(&app).1 == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(stream);
    no_file_stays(&app).await;
}

#[tokio::test]
async fn names_from_a_form_cannot_write_into_the_provider_s() {
    let app = TestApp::new().await;
    let audio = two_seconds();
    for (name, sent) in [
        ("../../../etc/passwd.wav", "......etcpasswd.wav"),
        ("C:\\\\audio\\\\a.wav", "C:audioa.wav"),
        ("a\\\"; name=\\\"model.wav", "a name=model.wav"),
        ("a%0d%0aX-Evil: 1.wav", "a%0d%0aX-Evil: 1.wav"),
        ("naïve 名前.wav", "naïve 名前.wav"),
        ("", "audio"),
        ("..", "audio"),
    ] {
        let file = part(&format!("; name=\"file\"; filename=\"{name}\"\r\ncontent-type: audio/wav"), &audio);
        let answer = app.call(by_hand(&[part("; name=\"model\"", b"stt"), file])).await;
        assert_eq!(answer.status, 200, "{name:?}: {}", answer.text());
        let seen = last_form(&app);
        assert_eq!(seen.fields.iter().filter(|(name, _)| name == "model").count(), 1, "{name:?}: {:?}", seen.fields);
        let file = seen.file.unwrap();
        assert_eq!((file.name.as_str(), file.bytes), (sent, audio.len() as u64), "{name:?}");
    }
    let file = part("; name=\"file\"; filename*=UTF-8''na%C3%AFve.wav\r\ncontent-type: audio/wav", &audio);
    assert_eq!(app.call(by_hand(&[part("; name=\"model\"", b"stt"), file])).await.status, 200);
    assert_eq!(last_form(&app).file.unwrap().name, "naïve.wav");
    let long = format!("{}.wav", "a".repeat(3000));
    app.call(form(KEY, &[Part::Field("model", "stt"), Part::File(&long, &audio)])).await;
    let kept = last_form(&app).file.unwrap().name;
    assert!(kept.len() <= 128 && kept.ends_with(".wav"), "{kept}");
    // Names and content types that would end their line.
    let sent = app.one.counts().of("audio/transcriptions").requests;
    for rest in [
        "filename=\"a.wav\"\r\ncontent-type: audio/wav;\u{b}x=1",
        "filename=\"a\r\nX-Evil: 1.wav\"\r\ncontent-type: audio/wav",
        "filename=\"a\r\n\r\nX-Evil: 1.wav\"\r\ncontent-type: audio/wav",
        "filename=\"a\rb.wav\"\r\ncontent-type: audio/wav",
        "filename=\"a\nb.wav\"\r\ncontent-type: audio/wav",
    ] {
        let file = part(&format!("; name=\"file\"; {rest}"), &audio);
        let answer = app.call(by_hand(&[part("; name=\"model\"", b"stt"), file])).await;
        answer.assert_error(400, "invalid_request");
        assert_eq!(answer.json()["error"]["param"], "file", "{rest:?}");
    }
    assert_eq!(app.one.counts().of("audio/transcriptions").requests, sent, "none of them reached the provider");
    assert_eq!(app.one.counts().violations, Vec::<String>::new());
    assert_eq!(spooled(&app), (0, 0), "no name of a client's becomes one on disk");
}

#[tokio::test]
async fn forms_that_cannot_be_read_name_what_is_wrong() {
    let app = TestApp::new().await;
    let audio = two_seconds();
    let file = || part("; name=\"file\"; filename=\"a.wav\"\r\ncontent-type: audio/wav", &audio);
    let model = || part("; name=\"model\"", b"stt");
    let deep = [b"{\"type\":".as_slice(), &b"[".repeat(10_000)].concat();
    let long = vec![b'a'; 2 * 1024 * 1024];
    let mut zip = b"PK\x03\x04".to_vec();
    zip.resize(100_000, 7);
    let zip = part("; name=\"file\"; filename=\"song.mp3\"\r\ncontent-type: audio/mpeg", &zip);
    let cases: Vec<(&str, Vec<Vec<u8>>, u16, &str)> = vec![
        ("two models", vec![model(), model(), file()], 400, "model"),
        ("two models, one as an array", vec![model(), file(), part("; name=\"model[]\"", b"tts")], 400, "model"),
        ("NUL behind a provider", vec![part("; name=\"model\"", b"one/x\0y"), file()], 404, "model"),
        ("two files", vec![model(), file(), file()], 400, "file"),
        ("no file", vec![model()], 400, "file"),
        (
            "a file under another name",
            vec![model(), part("; name=\"audio\"; filename=\"a.wav\"", b"RIFF")],
            400,
            "file",
        ),
        ("an empty file", vec![model(), part("; name=\"file\"; filename=\"a.wav\"", b"")], 400, "file"),
        ("a zip", vec![model(), zip], 415, "file"),
        ("NUL in a name", vec![model(), part("; name=\"file\"; filename=\"a\0b.wav\"", &audio)], 400, "file"),
        ("NUL in the model", vec![part("; name=\"model\"", b"st\0t"), file()], 404, "model"),
        ("a model that is not UTF-8", vec![part("; name=\"model\"", b"\xff\xfe"), file()], 400, "model"),
        ("deep JSON", vec![model(), part("; name=\"chunking_strategy\"", &deep), file()], 400, "chunking_strategy"),
        ("a long field", vec![model(), part("; name=\"prompt\"", &long), file()], 400, "prompt"),
        (
            "many long fields",
            {
                let mut parts = vec![model()];
                parts.extend((0..12).map(|_| part("; name=\"x\"", &long[..1_000_000])));
                parts.push(file());
                parts
            },
            400,
            "x",
        ),
    ];
    for (what, parts, status, param) in cases {
        let answer = app.call(by_hand(&parts)).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert_eq!(answer.json()["error"]["param"], param, "{what}: {}", answer.text());
    }
    app.call(by_hand(&[model(), part("", b"x"), file()])).await.assert_error(400, "invalid_request");
    // An empty name is an unknown one.
    assert_eq!(app.call(by_hand(&[model(), part("; name=\"\"", b"x"), file()])).await.status, 200);
    let path = "/v1/audio/transcriptions";
    let body = form_body(&[Part::Field("model", "stt"), Part::File("a.wav", &audio)]);
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
        "text/plain",
        "",
    ] {
        let answer = app.call(post(path, KEY, body.clone(), content_type)).await;
        assert_eq!(answer.status, 400, "{content_type}: {}", answer.text());
    }
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let whole = app.one.counts().of("audio/transcriptions").whole.answers;
    // Wherever it breaks off, it is not taken for whole.
    for cut in (0..body.len() - 1).step_by(6001).chain(body.len() - 60..body.len() - 5) {
        let answer = app.call(post(path, KEY, body[..cut].to_vec(), &content_type)).await;
        answer.assert_error(400, "invalid_request");
    }
    assert_eq!(app.one.counts().of("audio/transcriptions").whole.answers, whole);
}

#[tokio::test]
async fn unknown_fields_and_chunked_uploads_are_taken() {
    let app = TestApp::new().await;
    let audio = two_seconds();
    let parts = [
        Part::Field("x_unknown", "1"),
        Part::Field("model", "stt"),
        Part::Field("timestamp_granularities[]", "word"),
        Part::Field("metadata[team]", "a"),
        Part::File("a.wav", &audio),
        Part::Field("another", ""),
    ];
    let answer = app.call(form(KEY, &parts)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(last_form(&app).fields.iter().all(|(name, _)| name != "x_unknown" && name != "another"));

    let large = loadtest::wav::sample(2 * 1024 * 1024);
    for audio in [&audio, &large] {
        let body = form_body(&[Part::Field("model", "stt"), Part::File("a.wav", audio)]);
        let mut request = format!(
            "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\
             content-type: multipart/form-data; boundary={BOUNDARY}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        .into_bytes();
        for chunk in body.chunks(9973) {
            request.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            request.extend_from_slice(chunk);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
        let answer = app.raw(&request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(last_form(&app).file.unwrap().crc32, crc(audio));
    }
}
