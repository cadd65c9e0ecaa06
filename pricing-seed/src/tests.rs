use std::time::Duration;

use domain::ids::PriceId;
use domain::money::NanoUsd;
use domain::pricing::{Cost, Price, cost};
use domain::provider::{Operation, ProviderKind};
use domain::usage::Usage;
use entities::price;
use sea_orm::prelude::Uuid;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, Database, DatabaseConnection, EntityTrait,
    PaginatorTrait, QueryFilter,
};
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
        (good, "line 3: unit: overlaps line 2: same tenant, model"),
        ("m,transcription,audio_hour,1,0,0,2026-01-01,page,2026-11-21\n", "line 3: unit: overlaps line 2: audio_hour"),
        ("n,transcription,audio_minute,1,0,0,2026-01-01T00:00:00.5Z,page,2026-11-21\n", "line 3: effective_from: "),
        ("n,transcription,audio_minute,12345678901234567890123456789,0,0,2026-01-01,page,2026-11-21\n", "28 digits"),
        ("n,speech,million_characters,1,10,0,2026-01-01,page,2026-11-21\n", "line 3: minimum_ms"),
        ("n,transcription,audio_minute\n", "line 3: "),
    ];
    for (line, message) in cases {
        let error = rows::read("x.csv", &format!("{HEADER}{good}{line}"), ProviderKind::Openai).unwrap_err();
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

/// Imports a whole list, and commits what was applied.
async fn import(db: &DatabaseConnection, list: impl AsRef<[u8]>, options: Options) -> Result<ImportReport, SeedError> {
    let transaction = database::begin(db).await.unwrap();
    let report = import_from(&transaction, "own.csv", list.as_ref(), options, |_| {}).await;
    match &report {
        Ok(report) if report.applied => transaction.commit().await.unwrap(),
        _ => transaction.rollback().await.unwrap(),
    }
    report
}

fn options() -> Options {
    Options::of_command_line(NOW)
}

async fn exported(db: &DatabaseConnection, format: Format) -> String {
    let mut export = Export::new(format, Condition::all());
    let mut text = Vec::new();
    while let Some(piece) = export.next(db).await.unwrap() {
        text.extend(piece);
    }
    String::from_utf8(text).unwrap()
}

fn counts(report: &ImportReport) -> [u64; 5] {
    [report.rows, report.inserted, report.updated, report.unchanged, report.refused]
}

async fn tenant(db: &DatabaseConnection, name: &str) -> Uuid {
    let id = Uuid::now_v7();
    let row = entities::tenant::ActiveModel {
        id: Set(entities::Id(id)),
        name: Set(name.to_owned()),
        refuse_unpriced: Set(false),
        managed_by: Set("cli".to_owned()),
        created_at: Set(NOW),
        ..Default::default()
    };
    entities::tenant::Entity::insert(row).exec_without_returning(db).await.unwrap();
    id
}

#[tokio::test]
async fn a_price_set_by_a_person_outlives_the_next_seeding() {
    let db = database().await;
    seed(&db, NOW).await.unwrap();
    let mine = format!(
        "provider,{HEADER}openai,whisper-1,transcription,audio_minute,0.0051,0,1000,2026-01-01,=our contract,2026-11-21\n"
    );
    assert_eq!(counts(&import(&db, mine, options()).await.unwrap()), [1, 0, 1, 0, 0]);
    assert_eq!(seed(&db, NOW).await.unwrap().kept, 1);

    let all = u64::try_from(shipped_prices().unwrap().len()).unwrap();
    let list = exported(&db, Format::Csv).await;
    assert!(list.contains(",0.0051,0,1000,2026-01-01,'=our contract,"), "a formula is neutralised");
    assert_eq!(counts(&import(&db, list, options()).await.unwrap()), [all, 0, 0, all, 0], "an export imports as it is");
    let list = exported(&db, Format::Json).await;
    let json = Options { format: Format::Json, ..options() };
    assert_eq!(counts(&import(&db, list, json).await.unwrap()), [all, 0, 0, all, 0], "in JSON too");
}

#[tokio::test]
async fn a_tenants_own_prices_go_out_and_in_by_its_name() {
    let db = database().await;
    seed(&db, NOW).await.unwrap();
    let own = format!(
        "tenant,provider,{HEADER}acme,openai,whisper-1,transcription,audio_minute,0.0051,0,1000,2026-01-01,page,2026-11-21\n"
    );
    let refused = import(&db, &own, options()).await.unwrap();
    assert_eq!((refused.applied, refused.problems[0].line), (false, 2));
    assert_eq!(refused.problems[0].reason, "tenant: there is no tenant \"acme\"");

    tenant(&db, "acme").await;
    assert_eq!(import(&db, &own, options()).await.unwrap().inserted, 1, "beside the platform's, not over it");
    let list = exported(&db, Format::Csv).await;
    let of_whisper = |tenant: &str| {
        let start = format!("{tenant},openai,whisper-1,transcription,audio_minute,");
        list.lines().filter(|line| line.starts_with(&start)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(of_whisper("acme")[0].contains(",0.0051,") && of_whisper("")[0].contains(",0.006,"), "{list}");
    let again = import(&db, &list, options()).await.unwrap();
    assert_eq!((again.applied, again.rows), (true, again.unchanged), "what went out");
    let cheaper = list.replace(",0.0051,", ",0.0049,");
    assert_eq!(import(&db, &cheaper, options()).await.unwrap().updated, 1, "its row and not the platform's");
    assert_eq!(seed(&db, NOW).await.unwrap().kept, 0, "the shipped lists are the platform's");
}

#[tokio::test]
async fn each_row_that_cannot_be_used_is_told_and_keeps_the_list_out_unless_it_may_be_skipped() {
    let db = database().await;
    let mut list = b"\xef\xbb\xbfprovider,".to_vec();
    list.extend(HEADER.as_bytes());
    let row = |model: &str| format!("openai,{model},speech,million_characters,9,0,0,2026-01-01,page,2026-11-21\r\n");
    list.extend(row("first").as_bytes());
    list.extend(b"openai,\xff\xfe,speech,million_characters,9,0,0,2026-01-01,page,2026-11-21\n");
    list.extend(row(&"x".repeat(3_000_000)).as_bytes());
    list.extend(row("first").as_bytes());
    list.extend(b"openai,h,transcription,audio_hour,9,0,0,2026-01-01,page,2026-11-21\n");
    list.extend(b"openai,h,transcription,audio_second,9,0,0,2026-01-01,page,2026-11-21\n");
    list.extend(b"openai,\"two\tparts\",speech,million_characters,-9,0,0,2026-01-01,page,2026-11-21\n");
    list.extend(b"openai,nul\0,speech,million_characters,9,0,0,2026-01-01,page,2026-11-21\n");
    list.extend(row("last").as_bytes());
    let whole = import(&db, &list, options()).await.unwrap();
    assert!(!whole.applied);
    let told: Vec<_> = whole.problems.iter().map(|problem| (problem.line, problem.reason.as_str())).collect();
    let expected = [
        (3, "the row is not UTF-8"),
        (4, "the row is longer than 16384 bytes or has more than 32 cells"),
        (5, "unit: overlaps line 2: same tenant, model, operation, unit and date"),
        (7, "unit: overlaps line 6: audio_second beside audio_hour"),
        (8, "model: holds a control character"),
        (9, "model: holds a control character"),
    ];
    assert_eq!(told, expected);
    assert_eq!(entities::price::Entity::find().count(&db).await.unwrap(), 0);

    let dry = import(&db, &list, Options { skip_bad: true, dry_run: true, ..options() }).await.unwrap();
    assert_eq!((dry.applied, counts(&dry)), (false, [9, 3, 0, 0, 6]));
    let skipping = import(&db, &list, Options { skip_bad: true, ..options() }).await.unwrap();
    assert_eq!((skipping.applied, counts(&skipping)), (true, [9, 3, 0, 0, 6]));
    assert_eq!(entities::price::Entity::find().count(&db).await.unwrap(), 3);
    let beside = format!("provider,{HEADER}openai,h,transcription,audio_minute,9,0,0,2026-01-01,page,2026-11-21\n");
    let beside = import(&db, beside, options()).await.unwrap();
    assert!(beside.problems[0].reason.starts_with("unit: overlaps a price"), "{beside:?}");
}

#[tokio::test]
async fn a_quotation_mark_that_is_not_closed_swallows_no_rows() {
    let db = database().await;
    let row = |model: &str, source: &str| {
        format!("openai,{model},speech,million_characters,9,0,0,2026-01-01,{source},2026-11-21\n")
    };
    let begin = format!("provider,{HEADER}{}", row("first", "\"a \"\"page\"\"\""));
    let last = row("last", "page");
    for rows in [
        format!("{}{last}", row("open", "\"page")),
        format!("{}{}{last}", row("open", "\"page"), row("closes", "\"page\"")),
        format!("{}{last}", row("open", "\"\"\"page\"\"")),
        format!("{}{last}", row("open", "\"of two\nlines\"")),
        format!("{}{last}", row("open", "\"of two\rlines\"")),
        row("open", "\"page").trim_end().to_owned(),
    ] {
        for skip_bad in [false, true] {
            let answer = import(&db, format!("{begin}{rows}"), Options { skip_bad, ..options() }).await;
            let Err(SeedError::Line { line: 3, reason, .. }) = answer else { panic!("{rows}: {answer:?}") };
            assert!(reason.contains("quotation mark"), "{reason}");
        }
    }
    let inches = format!("{begin}{}{last}", row("a 5\" model", "\"page\" 7"));
    assert_eq!(import(&db, inches, options()).await.unwrap().inserted, 3, "inside a cell it is a letter");
    assert_eq!(entities::price::Entity::find().count(&db).await.unwrap(), 3);
    let json = r#"{"provider":"openai","model":"m","operation":"speech","unit":"request","price_usd":"9","effective_from":"2026-01-01","source":"of two\nlines","read_on":"d"}"#;
    let told = import(&db, json, Options { format: Format::Json, ..options() }).await.unwrap();
    assert_eq!(told.problems[0].reason, "source: holds a control character");
}

#[tokio::test]
async fn no_cell_of_an_export_is_a_formula_and_each_comes_back() {
    let db = database().await;
    let names = ["=1+1", "+1", "-1", "@x", "＝1", "＋1", "－1", "＠x", "'=1", "' ＝1", "plain", "it's"];
    let row = |name: &str| format!("openai,'{name},speech,million_characters,9,0,0,2026-01-01,'{name},'{name}\n");
    let of_names: String = names[..10].iter().map(|name| row(name)).collect();
    let plain: String = names[10..].iter().map(|name| row(name).replace(",'", ",")).collect();
    let told = import(&db, format!("provider,{HEADER}{of_names}{plain}"), options()).await.unwrap();
    assert_eq!(told.inserted, 12, "{told:?}");
    let kept = entities::price::Entity::find().all(&db).await.unwrap();
    let kept: std::collections::BTreeSet<_> = kept.iter().map(|row| row.model.as_str()).collect();
    assert_eq!(kept, std::collections::BTreeSet::from(names));
    let list = exported(&db, Format::Csv).await;
    let runs = |cell: &str| cell.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    assert!(!list.lines().flat_map(|line| line.split(',')).any(runs), "{list}");
    assert_eq!(counts(&import(&db, list, options()).await.unwrap()), [12, 0, 0, 12, 0]);
}

#[tokio::test]
async fn a_list_reads_alike_in_pieces_of_any_size() {
    let db = database().await;
    let csv =
        format!("\u{feff}provider,{HEADER}openai,\"a,\"\"b\",speech,million_characters,9,0,0,2026-01-01,page,d\r\n");
    let object = r#"{"provider":"openai","model":"a,\"b","operation":"speech","unit":"million_characters","price_usd":"9","effective_from":"2026-01-01","source":"page","read_on":"d"}"#;
    let lists = [
        (Format::Csv, csv.clone(), 2),
        (Format::Csv, csv.replace("\r\n", ""), 2),
        (Format::Json, format!("[{object} ,\n{{\"colour\":1}}]"), 1),
        (Format::Json, format!("\u{feff}{object}\n7\n"), 1),
    ];
    for (format, list, line) in lists {
        for size in [1, 2, 7, 10_000] {
            let mut rows = rows::Rows::new(format, None);
            let mut parsed = Vec::new();
            for piece in list.as_bytes().chunks(size) {
                parsed.extend(rows.feed(piece).unwrap());
            }
            parsed.extend(rows.finish().unwrap());
            assert_eq!(parsed[0].price.as_ref().unwrap().model, "a,\"b", "{list}");
            assert_eq!(parsed[0].line, line, "{list}");
            assert!(parsed.iter().skip(1).all(|row| row.line == 2 && row.price.is_err()), "{parsed:?}");
        }
    }
    let json = Options { format: Format::Json, ..options() };
    let nothing = ["colour\n1", "", "model,model\n", "model\n"];
    for (list, options) in nothing.map(|list| (list, options())).into_iter().chain([("7", json), ("[{}", json)]) {
        assert!(matches!(import(&db, list, options).await, Err(SeedError::Line { line: 1, .. })), "{list}");
    }
}

#[tokio::test]
async fn a_price_that_decided_a_cost_is_not_changed_by_a_list() {
    let db = database().await;
    let list = format!("provider,{HEADER}openai,m,speech,million_characters,9,0,0,2026-01-01,page,2026-11-21\n");
    import(&db, &list, options()).await.unwrap();
    let price = entities::price::Entity::find().one(&db).await.unwrap().unwrap();
    let record = format!(
        "INSERT INTO usage_records (id, request_id, sequence, tenant_id, key_id, operation, model_asked, provider,
            model_served, audio_in_ms, audio_out_ms, characters, text_tokens_in, text_tokens_out, audio_tokens_in,
            audio_tokens_out, cached_tokens, usage_source, cost_nano_usd, price_id, status, attempts, latency_ms,
            started_at, ended_at)
        VALUES ('r', 'q', 0, 't', 'k', 'speech', 'm', 'openai', 'm', 0, 0, 9, 0, 0, 0, 0, 0, 'measured', 81, '{}',
            'ok', 1, 1, '2026-06-01T00:00:00Z', '2026-06-01T00:00:00Z')",
        price.id
    );
    db.execute_unprepared(&record).await.unwrap();
    let dearer = list.replace(",9,", ",10,");
    let refused = import(&db, &dearer, options()).await.unwrap();
    assert!(!refused.applied && refused.problems[0].reason.contains("costs were decided"), "{refused:?}");
    let later = dearer.replace("2026-01-01", "2026-12-01");
    assert_eq!(import(&db, &later, options()).await.unwrap().inserted, 1, "a later row is the way");
    let elsewhere = list.replace(",page,", ",another page,");
    assert_eq!(import(&db, &elsewhere, options()).await.unwrap().updated, 1, "where it was read may be corrected");
}

#[tokio::test]
async fn a_price_that_no_record_names_any_more_is_told_by_the_sums() {
    let db = database().await;
    let acme = tenant(&db, "acme").await;
    let row = |tenant: &str, model: &str, operation: &str, usd: &str| {
        format!("{tenant},openai,{model},{operation},audio_minute,{usd},0,0,2026-01-01,page,2026-11-21\n")
    };
    let list = |usd: &str| {
        let rows = [
            ("", "billed", "realtime"),
            ("", "heard", "transcription"),
            ("", "unpriced", "realtime"),
            ("", "before", "realtime"),
            ("", "azures", "realtime"),
            ("acme", "own", "realtime"),
            ("acme", "billed", "realtime"),
        ];
        let rows: String = rows.iter().map(|(tenant, model, operation)| row(tenant, model, operation, usd)).collect();
        format!("tenant,provider,{HEADER}{rows}")
    };
    assert_eq!(import(&db, list("1"), options()).await.unwrap().inserted, 7);
    let provider = "INSERT INTO providers (id, name, kind, base_url, managed_by, created_at, updated_at)
        VALUES ('p', 'cloud', 'azure', 'https://example.com', 'api', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')";
    db.execute_unprepared(provider).await.unwrap();
    let day = |date: time::Date| date.midnight().assume_utc().unix_timestamp();
    let (first, before) = (day(time::macros::date!(2026 - 01 - 01)), day(time::macros::date!(2025 - 12 - 31)));
    for (day, operation, provider, model, unpriced) in [
        (first, "realtime", "gone", "billed", 1),
        (first, "realtime", "gone", "heard", 0),
        (first, "realtime", "gone", "unpriced", 2),
        (before, "realtime", "gone", "before", 0),
        (first, "realtime", "cloud", "azures", 0),
    ] {
        let sum = format!(
            "INSERT INTO usage_daily_all (bucket_start, shard, operation, provider, model_served, model_asked, requests, unpriced)
            VALUES ({day}, 0, '{operation}', '{provider}', '{model}', 'm', 2, {unpriced})"
        );
        db.execute_unprepared(&sum).await.unwrap();
    }
    let sum = format!(
        "INSERT INTO usage_daily (bucket_start, tenant_id, key_id, operation, provider, model_served, model_asked, requests)
        VALUES ({first}, '{acme}', 'k', 'realtime', 'gone', 'own', 'm', 2)"
    );
    db.execute_unprepared(&sum).await.unwrap();
    let told = import(&db, list("2"), options()).await.unwrap();
    assert_eq!(told.problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [2, 3, 7], "{told:?}");
    for price in entities::price::Entity::find().all(&db).await.unwrap() {
        let is_kept =
            matches!((price.tenant_id.is_some(), price.model.as_str()), (false, "billed" | "heard") | (true, "own"));
        assert_eq!(decided_costs(&db, &price).await.unwrap(), is_kept, "{price:?}");
    }
    let dearer = |row: price::Model| price::ActiveModel { usd: Set("77".to_owned()), ..row.into() };
    seed(&db, NOW).await.unwrap();
    let shipped = price::Entity::find().filter(price::Column::Model.eq("gpt-live-1")).one(&db).await.unwrap().unwrap();
    price::Entity::update(price::ActiveModel { id: Set(shipped.id), ..dearer(shipped.clone()) })
        .exec(&db)
        .await
        .unwrap();
    assert_eq!((seed(&db, NOW).await.unwrap().updated, seed(&db, NOW).await.unwrap().updated), (1, 0));
    price::Entity::update(price::ActiveModel { id: Set(shipped.id), ..dearer(shipped.clone()) })
        .exec(&db)
        .await
        .unwrap();
    let sum = format!(
        "INSERT INTO usage_daily_all (bucket_start, shard, operation, provider, model_served, model_asked, requests)
        VALUES ({first}, 0, 'realtime', 'gone', 'gpt-live-1', 'm', 1)"
    );
    db.execute_unprepared(&sum).await.unwrap();
    let again = seed(&db, NOW).await.unwrap();
    assert_eq!((again.updated, again.kept), (0, 1), "what was billed by it stays as it was");
}

#[tokio::test]
async fn a_list_that_arrives_slowly_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let connect = async || {
        let url = format!("sqlite://{}/x.db?mode=rwc", folder.path().display());
        let mut options = sea_orm::ConnectOptions::new(url);
        options.map_sqlx_sqlite_opts(|sqlite| sqlite.pragma("journal_mode", "WAL").busy_timeout(Duration::ZERO));
        Database::connect(options).await.unwrap()
    };
    let (db, beside) = (connect().await, connect().await);
    migration::up(&db).await.unwrap();
    let transaction = database::begin(&db).await.unwrap();
    let mut import = Import::begin(&transaction, options()).await.unwrap();
    import.feed(format!("tenant,provider,{HEADER}").as_bytes()).await.unwrap();
    for row in 0..2000 {
        let line = format!("acme,openai,m{row},speech,million_characters,9,0,0,2026-01-01,page,2026-11-21\n");
        import.feed(line.as_bytes()).await.unwrap();
    }
    tenant(&beside, "acme").await;
    let report = import.finish(|_| {}).await.unwrap();
    assert_eq!((report.applied, report.inserted), (true, 2000), "what was written meanwhile is seen");
    clear(&transaction).await.unwrap();
    transaction.commit().await.unwrap();
}
