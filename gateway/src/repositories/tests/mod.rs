//! Every repository on both databases.

mod keys;
mod records;
mod view;

use database::connect;
use domain::ids::{RequestId, TenantId, UsageRecordId, VirtualKeyId};
use domain::key::KeyHash;
use domain::money::NanoUsd;
use domain::provider::{Operation, ProviderKind};
use domain::usage::{Usage, UsageSource, UsageStatus};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::ManagedBy;
use super::keys::StoredKey;
use super::tenants::upsert_tenant;
use crate::ledger::UsageRecord;
use crate::snapshot::{Budget, BudgetWindow, Key};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:00.123456 UTC);

async fn sqlite() -> (tempfile::TempDir, DatabaseConnection) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/not/there/yet.db", folder.path().display());
    let db = connect(&url).await.unwrap();
    migration::up(&db).await.unwrap();
    (folder, db)
}

/// A database of its own on the test server, and how to remove it.
async fn postgres() -> (DatabaseConnection, DatabaseConnection, String) {
    let url = std::env::var("ANTIPHON_TEST_POSTGRES_URL").expect(
        "ANTIPHON_TEST_POSTGRES_URL is not set: `make test` sets it, as does `scripts/postgres-for-tests.sh start`",
    );
    let name = format!("test_{}", Uuid::now_v7().simple());
    let server = connect(&url).await.unwrap();
    server.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (base, _) = url.rsplit_once('/').unwrap();
    let db = connect(&format!("{base}/{name}")).await.unwrap();
    migration::up(&db).await.unwrap();
    (db, server, name)
}

#[tokio::test]
async fn everything_on_sqlite() {
    let (_folder, db) = sqlite().await;
    check_all(&db).await;
}

#[tokio::test]
async fn everything_on_postgresql() {
    let (db, server, name) = postgres().await;
    check_all(&db).await;
    db.close().await.unwrap();
    server.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}

async fn check_all(db: &DatabaseConnection) {
    let acme = upsert_tenant(db, "acme", Some(false), ManagedBy::File, NOW).await.unwrap();
    let other = upsert_tenant(db, "other", Some(false), ManagedBy::Api, NOW).await.unwrap();
    keys::a_tenant_keeps_its_id(db, acme).await;
    keys::keys_keep_their_policy_and_their_tenant(db, acme, other).await;
    keys::a_revoked_key_stays_revoked_unless_the_file_did_it(db, acme).await;
    records::records_are_written_once(db, acme).await;
    records::a_turn_recorded_twice_does_not_hold_up_others(db, acme).await;
    records::of_two_records_with_one_id_the_first_stays(db, acme).await;
    records::spending_counts_from_the_first_moment_of_the_window(db, acme).await;
    records::what_the_database_refuses_is_told_from_a_database_that_is_away(db, acme).await;
    view::the_view_has_all_of_it(db, acme).await;
    keys::a_suspended_tenant_has_no_key(db).await;
    keys::a_rotated_key_is_good_by_both_secrets_for_a_while(db, acme).await;
}

fn key(tenant: TenantId, hash: u8, managed_by: ManagedBy) -> StoredKey {
    let key = Key {
        id: VirtualKeyId(Uuid::now_v7()),
        tenant,
        name: format!("key {hash}"),
        operations: vec![Operation::Speech],
        models: vec!["tts-*".into()],
        requests_per_minute: Some(600),
        max_concurrent_sessions: None,
        budget: Some(Budget { amount: NanoUsd(100_000_000_000), window: BudgetWindow::Monthly }),
        max_upload_bytes: Some(1 << 40),
        expires_at: Some(NOW + Duration::DAY),
        refuse_unpriced: false,
        passthrough: true,
        allow_strategy: true,
    };
    StoredKey {
        key,
        hash: KeyHash([hash; 32]),
        pepper_version: 1,
        redacted: "sk-ap-…last".into(),
        managed_by,
        revoked_at: None,
        created_at: NOW,
    }
}

fn record(tenant: TenantId, key: VirtualKeyId, started_at: OffsetDateTime, cost: Option<i64>) -> UsageRecord {
    UsageRecord {
        id: UsageRecordId(Uuid::now_v7()),
        request_id: RequestId(Uuid::now_v7()),
        session_id: None,
        sequence: 0,
        tenant_id: tenant,
        key_id: key,
        user_tag: Some("u".into()),
        tags: Some("team=a".into()),
        operation: Operation::Transcription,
        model_asked: "whisper-1".into(),
        provider_kind: ProviderKind::Openai,
        provider: "openai".into(),
        model_served: "whisper-1".into(),
        usage: Usage { audio_in_ms: 8_470, ..Usage::default() },
        usage_source: UsageSource::Measured,
        cost: cost.map(NanoUsd),
        price_id: None,
        status: UsageStatus::Ok,
        attempts: 1,
        failed_attempts: Vec::new(),
        routing: None,
        cache: None,
        ttfb_ms: Some(12),
        latency_ms: 34,
        started_at,
        ended_at: started_at,
    }
}
