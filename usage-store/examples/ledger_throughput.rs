//! How many records a second a database takes, with and without roll-ups.
//!
//! `cargo run -p usage-store --example ledger_throughput -- 'sqlite:///tmp/x.db?mode=rwc' [BATCHES]`
//! The database is brought up to date and gets records of its own, of 40 keys and 6 models: 500 in a
//! statement alone, and with roll-ups as many in a transaction as the gateway writes when it has them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for one's own machine")]

use std::time::Instant;

use entities::{Id, usage_record};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectOptions, Database, DatabaseConnection, EntityTrait, IntoActiveModel};
use time::OffsetDateTime;
use uuid::Uuid;

const BATCH: usize = 2_000;
const STATEMENT: usize = 500;

fn record(number: usize, now: OffsetDateTime) -> usage_record::Model {
    let n = i64::try_from(number).unwrap();
    usage_record::Model {
        id: Id(Uuid::now_v7()),
        request_id: Id(Uuid::now_v7()),
        session_id: None,
        sequence: 0,
        tenant_id: Id(Uuid::from_u128(number as u128 % 8)),
        key_id: Id(Uuid::from_u128(number as u128 % 40)),
        user_tag: number.is_multiple_of(5).then(|| format!("user {}", number % 20)),
        tags: number.is_multiple_of(2).then(|| "team=a".to_owned()),
        operation: "speech".to_owned(),
        model_asked: format!("model {}", number % 3),
        provider: "openai".to_owned(),
        model_served: format!("model {}", number % 2),
        audio_in_ms: 0,
        audio_out_ms: n,
        characters: n % 500,
        text_tokens_in: 0,
        text_tokens_out: 0,
        audio_tokens_in: 0,
        audio_tokens_out: 0,
        cached_tokens: 0,
        surcharge_percent: 0,
        usage_source: "measured".to_owned(),
        cost_nano_usd: Some(n * 1_000),
        price_id: None,
        status: "ok".to_owned(),
        attempts: 1,
        failed_attempts: None,
        routing: None,
        cache: None,
        ttfb_ms: Some(80 + n % 300),
        latency_ms: 300 + n % 2_000,
        started_at: now,
        ended_at: now,
    }
}

async fn records_alone(db: &DatabaseConnection, batch: &[usage_record::Model]) {
    for rows in batch.chunks(STATEMENT) {
        let rows = rows.iter().cloned().map(IntoActiveModel::into_active_model);
        let nothing = OnConflict::new().do_nothing().to_owned();
        usage_record::Entity::insert_many(rows).on_conflict(nothing).exec_without_returning(db).await.unwrap();
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap();
    let batches: usize = arguments.next().map_or(25, |count| count.parse().unwrap());
    let mut options = ConnectOptions::new(url.clone());
    options.sqlx_logging(false);
    if url.starts_with("sqlite") {
        options.map_sqlx_sqlite_opts(|sqlite| sqlite.pragma("journal_mode", "WAL").pragma("synchronous", "FULL"));
    }
    let db = Database::connect(options).await.unwrap();
    migration::up(&db).await.unwrap();
    // In turns, so that what else the machine does falls on both alike.
    let mut spent = [std::time::Duration::ZERO; 2];
    for number in 0..batches {
        for (with_rollups, spent) in [false, true].into_iter().zip(&mut spent) {
            let now = OffsetDateTime::now_utc();
            let batch: Vec<_> = (0..BATCH).map(|place| record(number * BATCH + place * 7, now)).collect();
            let begun = Instant::now();
            if with_rollups {
                drop(usage_store::insert_new(&db, &batch).await.unwrap());
            } else {
                records_alone(&db, &batch).await;
            }
            *spent += begun.elapsed();
        }
    }
    for (name, spent) in ["records alone", "records and roll-ups"].into_iter().zip(spent) {
        let rows = u32::try_from(batches * BATCH).unwrap();
        println!("{name}: {:.0} records/s", f64::from(rows) / spent.as_secs_f64());
    }
}
