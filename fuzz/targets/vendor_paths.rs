//! The vendors' own paths: which row a path fits, what bodies and answers are billed as, and what is counted
//! of a session.
#![no_main]

use std::hint::black_box;

use dialects::registry::PROVIDERS;
use dialects::surface::{self, Found, Method, Query, Recording, Refused, Surface, Work};
use domain::usage::UsageSource;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

fuzz_target!(|input: (u8, u8, &str, Vec<(String, String)>, &str, &[u8], Vec<(u8, &str)>, u64)| {
    let (surface, row, path, query, text, body, frames, connected_ms) = input;
    let surfaces: Vec<&Surface> = PROVIDERS.iter().filter_map(|row| row.surface).collect();
    let Some(surface) = surfaces.get(usize::from(surface) % surfaces.len()) else { return };
    for method in [Method::Get, Method::Post, Method::Socket] {
        if let Some(found) = surface.find(method, path) {
            one_part_stays_one(&found, path);
        }
    }
    black_box((surface.priced_as)(text));
    tells(surface, text);
    let fields = surface::fields(body);
    if let Ok(fields) = &fields {
        assert_eq!(serde_json::from_slice::<Map<String, Value>>(body).ok().as_ref(), Some(fields));
    }
    let (fields, query) = (fields.unwrap_or_default(), Query(query));
    let Some(row) = surface.routes.get(usize::from(row) % surface.routes.len().max(1)) else { return };
    match row.work {
        Work::Free => {}
        Work::Speech(count) => assert!(count(&fields) <= body.len() as u64, "more characters than bytes"),
        Work::Recording(recording) | Work::Form(recording) => bill(&recording, &query, text, body),
        Work::Token(token) => {
            let seconds = (token.seconds)(&fields);
            assert!((1..=86_400).contains(&seconds), "{seconds}");
            assert!((token.answer)("vt-ap-x", seconds).to_string().contains("\"vt-ap-x\""));
        }
        Work::Address(address) => {
            black_box((address.check)(&fields).is_ok());
        }
        Work::Socket(meter) => {
            let (mut meter, mut sent) = (meter(&query), 0);
            for (from, frame) in frames {
                match from % 3 {
                    0 => meter.client_text(frame),
                    1 => meter.client_binary(frame.as_bytes()),
                    _ => meter.vendor_text(frame),
                }
                sent += frame.len() as u64;
                let (usage, source) = meter.usage(connected_ms);
                assert!(source == UsageSource::Reported || usage.characters <= sent, "more characters than bytes");
            }
        }
    }
});

/// The free part of a path is a part for everybody who reads the path.
fn one_part_stays_one(found: &Found<'_>, path: &str) {
    assert_eq!(found.route.path.split('/').count(), path.split('/').count());
    let part = found.part.unwrap_or("a");
    assert!(!part.contains(['/', '\\', '%', '?', '#']) && !part.trim_matches('.').is_empty(), "{part}");
}

/// Whatever a refusal of ours says reaches the client in the vendor's shape.
fn tells(surface: &Surface, message: &str) {
    for status in [400, 401, 403, 404, 429, 500, 502] {
        let refused = Refused { status, code: "budget_exceeded", message, param: Some("model"), request_id: "r" };
        let told = Value::from(message).to_string();
        assert!((surface.error)(&refused).to_string().contains(&told));
        assert!(surface.event.is_none_or(|event| event(&refused).to_string().contains(&told)));
    }
}

/// A bill is for the length that was reported at least.
fn bill(recording: &Recording, options: &Query, model: &str, answer: &[u8]) {
    let Some(reported) = (recording.reported)(answer) else { return };
    let billed = (recording.billed)(options, model, reported.clone());
    assert!(billed.audio_in_ms >= reported.audio_in_ms);
}
