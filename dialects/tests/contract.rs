//! One list of checks for every row of the table.

use dialects::conversation::abilities::{Ability, Support};
use dialects::multipart;
use dialects::registry::{AuthStyle, PROVIDERS};
use domain::error::{ErrorKind, Retry};
use domain::provider::{Operation, ProviderKind};

use crate::golden::{fixture, row, upstream};

#[test]
fn every_kind_has_one_row() {
    for kind in ProviderKind::ALL {
        assert_eq!(PROVIDERS.iter().filter(|row| row.kind == *kind).count(), 1, "{kind}");
    }
}

#[test]
fn credentials_go_where_the_vendor_wants_them() {
    for row in PROVIDERS {
        let expected = match row.kind {
            ProviderKind::Azure => AuthStyle::Header("api-key", ""),
            ProviderKind::Deepgram => AuthStyle::Header("authorization", "Token "),
            ProviderKind::Elevenlabs => AuthStyle::Header("xi-api-key", ""),
            ProviderKind::Google => AuthStyle::KeyOrServiceAccount("x-goog-api-key"),
            ProviderKind::Ultravox => AuthStyle::Header("x-api-key", ""),
            ProviderKind::Local => AuthStyle::None,
            _ => AuthStyle::Header("authorization", "Bearer "),
        };
        assert_eq!(row.auth, expected, "{}", row.kind);
        assert_eq!(row.in_process, row.auth == AuthStyle::None, "{}", row.kind);
    }
}

#[test]
fn well_known_models_only_do_what_the_row_can() {
    for row in PROVIDERS {
        for model in row.models {
            for operation in model.operations {
                let can = match operation {
                    Operation::Transcription | Operation::Translation => row.transcription.is_some(),
                    Operation::Speech => row.speech.is_some(),
                    Operation::Realtime => row.realtime.is_some() || row.live.is_some() || row.agent.is_some(),
                    Operation::Chat | Operation::Embeddings => row.json.is_some(),
                    Operation::Passthrough => row.surface.is_some(),
                };
                assert!(can, "{} {} {operation}", row.kind, model.name);
            }
        }
        for voice in row.voices {
            for model in voice.models {
                assert!(row.models.iter().any(|known| known.name == *model), "{}: {model}", voice.name);
            }
        }
    }
}

#[test]
fn refusals_are_classified_alike() {
    use ErrorKind::{
        FileTooLarge, InvalidRequest, UnsupportedAudio, UpstreamError, UpstreamRateLimited, UpstreamTimeout,
    };
    let classes = [
        (400, InvalidRequest, Retry::No, false),
        (422, InvalidRequest, Retry::No, false),
        (401, UpstreamError, Retry::NextTarget, true),
        (403, UpstreamError, Retry::NextTarget, true),
        (404, UpstreamError, Retry::NextTarget, false),
        (408, UpstreamTimeout, Retry::NextTarget, false),
        (413, FileTooLarge, Retry::No, false),
        (415, UnsupportedAudio, Retry::No, false),
        (429, UpstreamRateLimited, Retry::NextTarget, false),
        (498, UpstreamError, Retry::NextTarget, false),
        (500, UpstreamError, Retry::NextTarget, false),
        (503, UpstreamError, Retry::NextTarget, false),
    ];
    for row in PROVIDERS {
        for (status, kind, retry, credential) in classes {
            let fault = (row.fault)(status, br#"{"error":{"message":"no","param":"model"}}"#);
            assert_eq!((fault.kind, fault.retry, fault.credential_refused), (kind, retry, credential), "{status}");
            assert_eq!((fault.message.as_str(), fault.param.as_deref()), ("no", Some("model")));
        }
    }
}

#[test]
fn no_refusal_carries_a_secret() {
    let secrets = [
        ("sk-proj-abcdefghijkl", "key sk-proj-abcdefghijkl is wrong"),
        ("gsk_abcdef123456", "Invalid key 'gsk_abcdef123456'"),
        ("ek_68af296e8e408191", "secret \"ek_68af296e8e408191\" expired"),
        ("opaque-token", "header Authorization: Bearer opaque-token refused"),
        ("abcdef0123456789", "GET https://host/openai?api-key=abcdef0123456789 failed"),
        ("topsecret", "see https://user:topsecret@host/path"),
        ("hunter22", "api_key=hunter22&x=1"),
        ("upstream-key", "Incorrect API key provided: upstream-key."),
        ("0123456789abcdef0123456789abcdef", "key 0123456789abcdef0123456789abcdef unknown"),
    ];
    for row in PROVIDERS {
        for (secret, message) in secrets {
            let body = serde_json::json!({ "error": { "message": message, "param": message } }).to_string();
            let fault = format!("{:?}", (row.fault)(400, body.as_bytes()));
            assert!(!fault.contains(secret), "{}: {fault}", row.kind);
        }
        let page = (row.fault)(502, &fixture("handwritten/error-page.html"));
        assert_eq!(page.message, "the provider answered with status 502");
        let long = serde_json::json!({ "error": { "message": "word ".repeat(1000) } }).to_string();
        assert_eq!((row.fault)(500, long.as_bytes()).message.chars().count(), 500);
    }
}

#[test]
fn vendors_own_refusals() {
    let fault = |kind, status, path: &str| (row(kind).fault)(status, &fixture(path));
    let openai = fault(ProviderKind::Openai, 401, "openai/error-401.json");
    assert_eq!(
        openai.message,
        "Incorrect API key provided: [redacted] You can find your API key at https://platform.openai.com/account/api-keys?[redacted]"
    );
    assert_eq!(fault(ProviderKind::Openai, 400, "openai/error-400.json").param.as_deref(), Some("response_format"));
    let apim = fault(ProviderKind::Azure, 401, "azure/error-apim-401.json");
    assert!(apim.credential_refused);
    assert_eq!(apim.message, "Access denied due to invalid subscription key or wrong API endpoint.");
    assert_eq!(fault(ProviderKind::Azure, 429, "azure/error-429.json").kind, ErrorKind::UpstreamRateLimited);
    assert_eq!(fault(ProviderKind::Azure, 400, "azure/error-400-operation.json").retry, Retry::NextTarget);
    let tokens = fault(ProviderKind::Groq, 413, "groq/error-413-tokens.json");
    assert_eq!((tokens.kind, tokens.retry), (ErrorKind::UpstreamRateLimited, Retry::No));
    assert_eq!(fault(ProviderKind::Groq, 400, "groq/error-400-terms.json").retry, Retry::NextTarget);
}

#[test]
fn realtime_paths_name_the_deployment() {
    for row in PROVIDERS {
        let Some(realtime) = row.realtime else { continue };
        let model = upstream(row.kind, "my dep/1");
        if row.kind == ProviderKind::Elevenlabs {
            assert_eq!(realtime.path(&model, false), "/v1/convai/realtime?model=my%20dep%2F1");
            continue;
        }
        assert!(realtime.speaks(&model), "{}", row.kind);
        assert_eq!(realtime.path(&model, false), "/realtime?model=my%20dep%2F1");
        assert_eq!(realtime.path(&model, true), "/realtime?intent=transcription");
    }
}

#[test]
fn agents_tell_of_every_ability_what_they_do_with_it() {
    for row in PROVIDERS {
        let Some(agent) = row.agent else { continue };
        let table = agent.abilities().table;
        assert!(table.iter().map(|(ability, _)| *ability).is_sorted_by(|a, b| a < b), "{}: in order, once", row.kind);
        assert_eq!(table.len(), Ability::Cancel as usize + 1, "{}: all of them", row.kind);
        for (ability, support) in table {
            let (Support::Emulated(reason) | Support::Ignored(reason) | Support::Refused(reason)) = support else {
                continue;
            };
            assert!(reason.len() > 20 && !reason.ends_with('.'), "{}: {ability:?}: {reason}", row.kind);
        }
    }
}

#[test]
fn a_form_is_written_as_browsers_write_it_and_its_file_name_cannot_break_out() {
    let fields = [("model".to_owned(), "whisper-1".to_owned())];
    let mut form = multipart::preamble("b", &fields, "../a\"\r\nX: y.wav", "audio/x-wav");
    form.extend_from_slice(b"RIFF");
    form.extend_from_slice(&multipart::trailer("b"));
    assert_eq!(
        String::from_utf8(form).unwrap(),
        "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"..aX: y.wav\"\r\n\
         Content-Type: audio/x-wav\r\n\r\nRIFF\r\n--b--\r\n"
    );
    let nameless = multipart::preamble("b", &[], "//", "evil\r\nX: y");
    let nameless = String::from_utf8(nameless).unwrap();
    assert!(nameless.contains("filename=\"audio\"") && !nameless.contains("\r\nX"), "{nameless}");
}
