use domain::ids::PriceId;
use domain::money::NanoUsd;
use domain::pricing::{Cost, Price, cost};
use domain::provider::{Operation, ProviderKind};
use domain::usage::Usage;
use sea_orm::prelude::Uuid;
use sea_orm::{Database, DatabaseConnection, EntityTrait, PaginatorTrait};
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
const HEADER: &str = "model,operation,unit,price_usd,minimum_ms,rounding_ms,effective_from,source,read_on\n";

async fn database() -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).min_connections(1);
    let db = Database::connect(options).await.unwrap();
    migration::up(&db).await.unwrap();
    db
}

fn shipped_cost(kind: ProviderKind, model: &str, operation: Operation, usage: &Usage) -> Cost {
    let rows = shipped_prices().unwrap();
    let prices: Vec<Price> = rows
        .iter()
        .filter(|row| row.kind == kind && row.model == model && row.operation == operation)
        .map(|row| Price {
            id: PriceId(Uuid::nil()),
            unit: row.unit,
            usd: row.usd,
            minimum_ms: row.minimum_ms,
            rounding_ms: row.rounding_ms,
        })
        .collect();
    cost(usage, &prices)
}

#[test]
fn shipped_lists_cost_what_the_providers_bill() {
    let audio = |ms| Usage { audio_in_ms: ms, ..Usage::default() };
    let characters = Usage { characters: 1_000, ..Usage::default() };
    let tokens = Usage { text_tokens_in: 100, audio_tokens_out: 1_000, ..Usage::default() };
    let heard = Usage { audio_tokens_in: 1_000, text_tokens_out: 100, ..Usage::default() };
    let turn = Usage {
        text_tokens_in: 119,
        cached_text_tokens: 64,
        audio_tokens_in: 13,
        text_tokens_out: 30,
        audio_tokens_out: 91,
        ..Usage::default()
    };
    use Operation::{Realtime, Speech, Transcription, Translation};
    use ProviderKind::{Azure, Deepgram, Elevenlabs, Google, Groq, Local, Openai, Ultravox};
    let cases = [
        // 8.47 s are billed as 9 s at 0.006 a minute.
        (Openai, "whisper-1", Transcription, audio(8_470), 900_000),
        (Openai, "whisper-1", Translation, audio(60_000), 6_000_000),
        (Openai, "gpt-transcribe", Transcription, audio(60_000), 4_500_000),
        (Openai, "tts-1", Speech, characters, 15_000_000),
        // 100 text tokens at 0.60 and 1000 audio tokens at 12.00 a million.
        (Openai, "gpt-4o-mini-tts", Speech, tokens, 12_060_000),
        (Openai, "gpt-realtime-2.1", Realtime, turn, 7_205_600),
        (Openai, "gpt-live-transcribe", Realtime, audio(30_000), 8_500_000),
        (Azure, "whisper", Transcription, audio(60_000), 6_000_000),
        (Azure, "tts-hd", Speech, characters, 33_000_000),
        (Google, "latest_long", Transcription, audio(2_500), 1_200_000),
        (Google, "gemini-3.5-transcribe", Transcription, heard, 3_200_000),
        (Google, "gemini-3.8-flash-tts", Speech, tokens, 9_050_000),
        (Google, "chirp3-hd", Speech, characters, 30_000_000),
        // 119 text tokens at 0.75 and 13 of audio at 3.00, cached or not; 30 at 4.50 and 91 at 12.00.
        (Google, "gemini-3.8-live", Realtime, turn, 1_355_250),
        // Ten seconds at least.
        (Groq, "whisper-large-v3-turbo", Transcription, audio(1_000), 111_111),
        (Elevenlabs, "eleven_flash_v2_5", Speech, characters, 50_000_000),
        (Elevenlabs, "scribe_v2", Transcription, audio(60_000), 3_666_667),
        // Key terms add a fifth.
        (Elevenlabs, "scribe_v2", Transcription, Usage { surcharge_percent: 20, ..audio(60_000) }, 4_400_000),
        // By the millisecond, and by the generation of the voice.
        (Deepgram, "nova-2", Transcription, audio(12_338), 884_223),
        (Deepgram, "aura-2", Speech, characters, 30_000_000),
        (Deepgram, "aura-asteria-en", Speech, characters, 15_000_000),
        // By the connection's time, in the tier of the name.
        (Deepgram, "voice-agent", Realtime, audio(60_001), 75_001_250),
        (Deepgram, "voice-agent-advanced", Realtime, audio(60_000), 163_000_000),
        // By the connection's time, whichever the agent is.
        (Elevenlabs, "agents", Realtime, audio(90_000), 120_000_000),
        // By the call's time, in steps of 6 s.
        (Ultravox, "ultravox-v0.7", Realtime, audio(37_000), 35_000_000),
        (Local, "pocketsphinx", Transcription, audio(1_000), 0),
        (Local, "flite", Speech, characters, 0),
    ];
    for (kind, model, operation, usage, nano) in cases {
        let cost = shipped_cost(kind, model, operation, &usage);
        assert_eq!(cost.known(), Some(NanoUsd(nano)), "{kind} {model} {operation}");
    }
}

#[test]
fn of_conflicting_sources_the_higher_price_stands() {
    let usage = Usage { audio_tokens_in: 1_000_000, ..Usage::default() };
    let cost = shipped_cost(ProviderKind::Openai, "gpt-4o-transcribe", Operation::Transcription, &usage);
    assert_eq!(cost.known(), Some(NanoUsd(6_000_000_000)));
    let minute = Usage { audio_in_ms: 60_000, ..Usage::default() };
    let cost = shipped_cost(ProviderKind::Deepgram, "nova-3", Operation::Transcription, &minute);
    assert_eq!(cost.known(), Some(NanoUsd(7_700_000)));
}

#[test]
fn what_is_not_listed_is_unknown() {
    let usage = Usage { audio_in_ms: 1_000, ..Usage::default() };
    let turbo = shipped_cost(ProviderKind::Groq, "whisper-large-v3-turbo", Operation::Translation, &usage);
    assert_eq!(turbo, Cost::Unpriced);
    assert_eq!(shipped_cost(ProviderKind::Elevenlabs, "scribe_v3", Operation::Transcription, &usage), Cost::Unpriced);
    let flux = Usage { characters: 10, ..Usage::default() };
    assert_eq!(shipped_cost(ProviderKind::Deepgram, "flux", Operation::Speech, &flux), Cost::Unpriced);
    let cached = Usage { text_tokens_in: 10, cached_text_tokens: 5, ..Usage::default() };
    assert_eq!(shipped_cost(ProviderKind::Groq, "qwen/qwen3.8-27b", Operation::Chat, &cached), Cost::Unpriced);
}

#[test]
fn a_line_that_cannot_be_used_is_named() {
    let good = "m,transcription,audio_minute,0.006,0,0,2026-01-01,page,2026-11-21\n";
    let cases = [
        ("m,transcription,audio_minute,-1,0,0,2026-01-01,page,2026-11-21\n", "line 3: price_usd: -1 is negative"),
        ("n,transcription,audio_day,1,0,0,2026-01-01,page,2026-11-21\n", "line 3: unit: "),
        ("n,stt,audio_minute,1,0,0,2026-01-01,page,2026-11-21\n", "line 3: operation: "),
        ("n,transcription,audio_minute,1e3x,0,0,2026-01-01,page,2026-11-21\n", "line 3: price_usd: "),
        ("n,transcription,audio_minute,1,0,0,yesterday,page,2026-11-21\n", "line 3: effective_from: "),
        (good, "line 3: overlaps line 2: same tenant, model"),
        ("m,transcription,audio_hour,1,0,0,2026-01-01,page,2026-11-21\n", "line 3: overlaps line 2: audio_hour"),
        ("n,speech,million_characters,1,10,0,2026-01-01,page,2026-11-21\n", "line 3: minimum_ms"),
        ("n,transcription,audio_minute\n", "line 3: "),
    ];
    for (line, message) in cases {
        let error = read::read("x.csv", &format!("{HEADER}{good}{line}"), Some(ProviderKind::Openai)).unwrap_err();
        assert!(error.to_string().contains(message), "{error} should say {message}");
    }
}

#[tokio::test]
async fn seeding_twice_changes_nothing() {
    let db = database().await;
    let all = u64::try_from(shipped_prices().unwrap().len()).unwrap();
    assert_eq!(seed(&db, NOW).await.unwrap(), SeedReport { inserted: all, ..SeedReport::default() });
    assert_eq!(seed(&db, NOW).await.unwrap(), SeedReport { unchanged: all, ..SeedReport::default() });
    assert_eq!(entities::price::Entity::find().count(&db).await.unwrap(), all);
}

#[tokio::test]
async fn a_price_set_by_a_person_outlives_the_next_seeding() {
    let db = database().await;
    seed(&db, NOW).await.unwrap();
    let mine = format!(
        "provider,{HEADER}openai,whisper-1,transcription,audio_minute,0.0051,0,1000,2026-01-01,=our contract,2026-11-21\n"
    );
    let report = import_csv(&db, "mine.csv", &mine).await.unwrap();
    assert_eq!(report, SeedReport { updated: 1, ..SeedReport::default() });
    assert_eq!(seed(&db, NOW).await.unwrap().kept, 1);

    let exported = export_csv(&db).await.unwrap();
    assert!(exported.contains(",0.0051,0,1000,2026-01-01,'=our contract,"), "a formula is neutralised");
    let again = import_csv(&db, "export.csv", &exported).await.unwrap();
    let all = u64::try_from(shipped_prices().unwrap().len()).unwrap();
    assert_eq!(again, SeedReport { unchanged: all, ..SeedReport::default() }, "an export imports as it is");
}

#[tokio::test]
async fn a_tenants_own_prices_go_out_and_in_by_its_name() {
    let db = database().await;
    seed(&db, NOW).await.unwrap();
    let own = format!(
        "tenant,provider,{HEADER}acme,openai,whisper-1,transcription,audio_minute,0.0051,0,1000,2026-01-01,page,2026-11-21\n"
    );
    let refused = import_csv(&db, "own.csv", &own).await.unwrap_err();
    assert_eq!(refused.to_string(), "own.csv, line 2: tenant: there is no tenant \"acme\"");

    let acme = entities::tenant::ActiveModel {
        id: sea_orm::Set(entities::Id(Uuid::now_v7())),
        name: sea_orm::Set("acme".to_owned()),
        refuse_unpriced: sea_orm::Set(false),
        managed_by: sea_orm::Set("cli".to_owned()),
        created_at: sea_orm::Set(NOW),
        ..Default::default()
    };
    entities::tenant::Entity::insert(acme).exec_without_returning(&db).await.unwrap();
    assert_eq!(import_csv(&db, "own.csv", &own).await.unwrap().inserted, 1, "beside the platform's, not over it");
    let exported = export_csv(&db).await.unwrap();
    let of_whisper = |tenant: &str| {
        let start = format!("{tenant},openai,whisper-1,transcription,audio_minute,");
        exported.lines().filter(|line| line.starts_with(&start)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(of_whisper("acme")[0].contains(",0.0051,") && of_whisper("")[0].contains(",0.006,"), "{exported}");
    let again = import_csv(&db, "export.csv", &exported).await.unwrap();
    assert_eq!((again.inserted, again.updated, again.kept), (0, 0, 0), "an export imports as it is");
    assert_eq!(seed(&db, NOW).await.unwrap().kept, 0, "the shipped lists are the platform's");
}
