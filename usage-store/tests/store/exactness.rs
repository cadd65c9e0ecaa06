//! Whatever happens, roll-ups are the sums of the records, to the nano-dollar.

use entities::usage_record;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample;
use proptest::test_runner::{Config, TestRunner};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DbBackend, EntityTrait};
use usage_store::tables::{DAILY, DAILY_ALL, HOURLY, HOURLY_ALL, LABELS, MONTHLY_LABELS};
use usage_store::{Repriced, Sql, insert_new, reprice_rollups};

use super::databases::TestDatabase;
use super::{LATE, id, record};

/// What can happen to the ledger.
#[derive(Debug, Clone)]
enum Step {
    /// A batch, with what is there already and twins among it.
    Insert(Vec<u32>),
    /// Two gateways at once.
    Both(Vec<u32>, Vec<u32>),
    /// The database fails in the middle, and the batch comes again.
    Fail(&'static str, Vec<u32>),
    /// Records without a cost get one.
    Price(i64),
    /// As Price, and the transaction does not come to its end.
    PriceInVain,
    /// The days are summed anew while a batch comes in.
    Rebuild(Vec<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    let batch = || vec(0..60_u32, 1..40);
    prop_oneof![
        4 => batch().prop_map(Step::Insert),
        2 => (batch(), batch()).prop_map(|(one, other)| Step::Both(one, other)),
        2 => (sample::select(vec![HOURLY, DAILY, LABELS, HOURLY_ALL, DAILY_ALL, MONTHLY_LABELS]), batch()).prop_map(|(table, batch)| Step::Fail(table, batch)),
        1 => (1..1_000_000_i64).prop_map(Step::Price),
        1 => Just(Step::PriceInVain),
        1 => batch().prop_map(Step::Rebuild),
    ]
}

fn batch(numbers: &[u32]) -> Vec<usage_record::Model> {
    numbers.iter().map(|number| record(*number)).collect()
}

async fn price(test: &TestDatabase, cost: i64, commit: bool) {
    let transaction = database::begin(&test.db).await.unwrap();
    let unpriced: Vec<_> = usage_record::Entity::find()
        .all(&transaction)
        .await
        .unwrap()
        .into_iter()
        .filter(|record| record.cost_nano_usd.is_none())
        .collect();
    for record in &unpriced {
        let mut row: usage_record::ActiveModel = record.clone().into();
        row.cost_nano_usd = Set(Some(cost));
        row.update(&transaction).await.unwrap();
    }
    let changes: Vec<_> = unpriced.iter().map(|record| Repriced { record, cost_nano_usd: Some(cost) }).collect();
    reprice_rollups(&transaction, &changes).await.unwrap();
    if commit { transaction.commit().await.unwrap() } else { transaction.rollback().await.unwrap() }
}

async fn take(test: &TestDatabase, step: &Step) {
    let db = &test.db;
    match step {
        Step::Insert(numbers) => drop(insert_new(db, &batch(numbers)).await.unwrap()),
        Step::Both(one, other) => {
            let (one, other) = (batch(one), batch(other));
            let (one, other) = tokio::join!(insert_new(db, &one), insert_new(db, &other));
            one.unwrap();
            other.unwrap();
        }
        Step::Fail(table, numbers) => {
            test.break_table(table, true).await;
            // A batch of nothing new has nothing to add, and does not fail.
            drop(insert_new(db, &batch(numbers)).await);
            test.break_table(table, false).await;
            assert_sums(test).await;
            insert_new(db, &batch(numbers)).await.unwrap();
        }
        Step::Price(cost) => price(test, *cost, true).await,
        Step::PriceInVain => price(test, 1, false).await,
        Step::Rebuild(numbers) => {
            let numbers = batch(numbers);
            let days = usage_store::rebuild::rebuild(db, LATE, LATE + time::Duration::DAY);
            let (rebuilt, inserted) = tokio::join!(days, insert_new(db, &numbers));
            rebuilt.unwrap();
            inserted.unwrap();
        }
    }
}

/// Compares with the records by plain SQL, which knows nothing of how roll-ups are written.
async fn assert_sums(test: &TestDatabase) {
    for (rollup, records) in [
        ("SUM(requests)", "COUNT(*)"),
        ("SUM(cost_nano_usd)", "SUM(cost_nano_usd)"),
        ("SUM(unpriced)", "SUM(CASE WHEN cost_nano_usd IS NULL THEN 1 ELSE 0 END)"),
        ("SUM(errors)", "SUM(CASE WHEN status IN ('upstream_error', 'refused_late') THEN 1 ELSE 0 END)"),
        ("SUM(sessions)", "COUNT(DISTINCT CASE WHEN sequence = 0 THEN session_id END)"),
        ("SUM(audio_in_ms)", "SUM(audio_in_ms)"),
        ("SUM(cached_tokens)", "SUM(cached_tokens)"),
        ("SUM(latency_ms_sum)", "SUM(latency_ms)"),
        ("SUM(ttfb_ms_sum)", "SUM(ttfb_ms)"),
        ("SUM(latency_00)", "SUM(CASE WHEN latency_ms <= 6 THEN 1 ELSE 0 END)"),
        ("SUM(ttfb_08)", "SUM(CASE WHEN ttfb_ms > 316 AND ttfb_ms <= 562 THEN 1 ELSE 0 END)"),
    ] {
        for filter in ["1 = 1".to_owned(), format!("key_id = '{}'", id(12)), "model_asked = 'good'".to_owned()] {
            let truth = test.number(&format!("SELECT {records} FROM usage_records WHERE {filter}")).await;
            let is_of_a_key = filter.starts_with("key_id");
            let all = [HOURLY_ALL, DAILY_ALL].into_iter().filter(|_| !is_of_a_key);
            for table in [HOURLY, DAILY].into_iter().chain(all) {
                let sum = test.number(&format!("SELECT {rollup} FROM {table} WHERE {filter}")).await;
                assert_eq!(sum, truth, "{rollup} of {table} where {filter}");
            }
        }
    }
    for (label, filter) in [
        ("label_kind = 'user' AND label = 'user 4'", "user_tag = 'user 4'"),
        ("label_kind = 'tag' AND label = 'team=a'", "tags LIKE '%team=a%'"),
        ("label_kind = 'tag' AND label = 'env=b'", "tags LIKE '%env = b%'"),
    ] {
        let truth = test.number(&format!("SELECT SUM(cost_nano_usd) FROM usage_records WHERE {filter}")).await;
        for table in [LABELS, MONTHLY_LABELS] {
            let sum = test.number(&format!("SELECT SUM(cost_nano_usd) FROM {table} WHERE {label}")).await;
            assert_eq!(sum, truth, "{label} of {table}");
        }
    }
}

fn random_lives(cases: u32, database: impl Future<Output = TestDatabase>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let test = runtime.block_on(database);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 30, ..Config::default() };
    let lives = TestRunner::new(config).run(&vec(step(), 1..12), |steps| {
        runtime.block_on(async {
            test.clear().await;
            for step in &steps {
                take(&test, step).await;
                assert_sums(&test).await;
            }
            let grown = test.rollups().await;
            usage_store::rebuild::rebuild(&test.db, LATE, LATE + time::Duration::DAY).await.unwrap();
            // What added up bit by bit is what the records say when they are read again.
            prop_assert_eq!(grown, test.rollups().await);
            Ok(())
        })
    });
    runtime.block_on(test.remove());
    lives.unwrap();
}

#[test]
fn sums_stay_exact_on_sqlite() {
    random_lives(16, TestDatabase::sqlite());
}

#[test]
fn sums_stay_exact_on_postgresql() {
    random_lives(8, TestDatabase::postgres());
}

#[tokio::test]
async fn a_transaction_that_nobody_ends_keeps_no_lock_for_long() {
    let database = TestDatabase::postgres().await;
    let tells = "CREATE TABLE told (patience text);
        CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO told VALUES (current_setting('idle_in_transaction_session_timeout'));
            RETURN NULL;
        END $$;
        CREATE TRIGGER tell AFTER INSERT ON usage_records FOR EACH STATEMENT EXECUTE FUNCTION tell()";
    database.db.execute_unprepared(tells).await.unwrap();
    insert_new(&database.db, &[record(1)]).await.unwrap();
    let asked = Sql::new(DbBackend::Postgres, "SELECT patience FROM told".to_owned());
    let patience: String = asked.one(&database.db).await.unwrap().unwrap().try_get_by_index(0).unwrap();
    assert_eq!(patience, "20s", "less than the ledger waits before it tries over another connection");
    database.remove().await;
}

#[tokio::test]
async fn batches_of_any_size_keep_few_statements_in_the_server() {
    let database = TestDatabase::postgres_over(1).await;
    let kept = "SELECT count(*) FROM pg_prepared_statements";
    let before = database.number(kept).await;
    let mut numbers = 0..;
    for size in (1..=40).chain([120, 480]) {
        let batch: Vec<_> = numbers.by_ref().take(size).map(record).collect();
        insert_new(&database.db, &batch).await.unwrap();
    }
    let written = database.number("SELECT count(*) FROM usage_records").await;
    assert_eq!(written, i64::from(numbers.start));
    let more = database.number(kept).await - before;
    assert!(more < 30, "{more} statements, each with room for all its values");
    database.remove().await;
}
