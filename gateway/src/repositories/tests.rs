//! Every repository on both databases.

use std::collections::BTreeMap;

use domain::ids::{CredentialId, ProviderId, RequestId, SessionId, TenantId, UsageRecordId, VirtualKeyId};
use domain::key::KeyHash;
use domain::money::NanoUsd;
use domain::provider::{Operation, ProviderKind};
use domain::routing::{Strategy, Target};
use domain::seal::{OpenError, SEAL_RANDOM_BYTES, SealingKey, credential_binding};
use domain::usage::{Usage, UsageSource, UsageStatus};
use entities::{Id, provider, provider_credential, tenant, virtual_key};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, TransactionTrait,
};
use secrecy::{ExposeSecret, SecretString};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::keys::{StoredKey, all_active_keys, find_key, list_keys, revoke_key, revoke_undeclared_keys, upsert_key};
use super::tenants::{find_tenant_by_name, upsert_tenant};
use super::{ManagedBy, connect, models, prices, providers, usage};
use crate::ledger::{InsertError, JournalLimits, Ledger, Sink, UsageRecord};
use crate::snapshot::load::load;
use crate::snapshot::{Budget, BudgetWindow, Key, PriceList, ProviderAccount, Route, Snapshot};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:00.123456 UTC);
const DAY: OffsetDateTime = datetime!(2026-11-21 0:00 UTC);
const MONTH: OffsetDateTime = datetime!(2026-11-01 0:00 UTC);

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
    let acme = upsert_tenant(db, "acme", false, ManagedBy::File, NOW).await.unwrap();
    let other = upsert_tenant(db, "other", false, ManagedBy::Api, NOW).await.unwrap();
    a_tenant_keeps_its_id(db, acme).await;
    keys_keep_their_policy_and_their_tenant(db, acme, other).await;
    a_revoked_key_stays_revoked_unless_the_file_did_it(db, acme).await;
    records_are_written_once(db, acme).await;
    a_turn_recorded_twice_does_not_hold_up_others(db, acme).await;
    of_two_records_with_one_id_the_first_stays(db, acme).await;
    spending_counts_from_the_first_moment_of_the_window(db, acme).await;
    what_the_database_refuses_is_told_from_a_database_that_is_away(db, acme).await;
    the_view_has_all_of_it(db, acme).await;
    a_suspended_tenant_has_no_key(db).await;
    a_rotated_key_is_good_by_both_secrets_for_a_while(db, acme).await;
}

async fn view(db: &DatabaseConnection) -> Snapshot {
    let mut view = Snapshot::default();
    for (hash, key) in all_active_keys(db).await.unwrap() {
        view.insert_key(hash, key);
    }
    view
}

async fn a_suspended_tenant_has_no_key(db: &DatabaseConnection) {
    let suspended = upsert_tenant(db, "suspended", false, ManagedBy::Api, NOW).await.unwrap();
    let its = key(suspended, 21, ManagedBy::Api);
    super::keys::insert_key(db, &its).await.unwrap();
    let set = async |at: Option<OffsetDateTime>| {
        let row = tenant::Entity::find_by_id(Id(suspended.0)).one(db).await.unwrap().unwrap();
        tenant::ActiveModel { suspended_at: Set(at), ..row.into() }.update(db).await.unwrap();
    };
    assert!(view(db).await.keys.contains_key(&its.hash));
    let others = view(db).await.keys.len() - 1;
    set(Some(NOW)).await;
    let now = view(db).await;
    assert!(!now.keys.contains_key(&its.hash) && now.key_by_id(its.key.id).is_none());
    assert_eq!(now.keys.len(), others, "nobody else is");
    set(None).await;
    assert!(view(db).await.keys.contains_key(&its.hash), "it is back");
}

async fn a_rotated_key_is_good_by_both_secrets_for_a_while(db: &DatabaseConnection, acme: TenantId) {
    let new = key(acme, 22, ManagedBy::Api);
    super::keys::insert_key(db, &new).await.unwrap();
    let rotate = async |until: OffsetDateTime| {
        let row = virtual_key::Entity::find_by_id(Id(new.key.id.0)).one(db).await.unwrap().unwrap();
        let mut row: virtual_key::ActiveModel = row.into();
        row.previous_hash = Set(Some(vec![23; 32]));
        row.previous_expires_at = Set(Some(until));
        row.update(db).await.unwrap();
        view(db).await
    };
    let now = rotate(NOW + Duration::HOUR).await;
    let (current, previous) = (&now.keys[&new.hash], &now.keys[&KeyHash([23; 32])]);
    assert_eq!((current.id, previous.id), (new.key.id, new.key.id), "one key, and one budget");
    assert_eq!((current.expires_at, previous.expires_at), (new.key.expires_at, Some(NOW + Duration::HOUR)));
    let known = now.key_by_id(new.key.id).unwrap();
    assert_eq!(known.expires_at, new.key.expires_at, "sessions live on when the previous secret is over");
    let now = rotate(NOW + Duration::WEEK).await;
    assert_eq!(now.keys[&KeyHash([23; 32])].expires_at, new.key.expires_at, "no longer than the key");
    assert!(revoke_key(db, None, new.key.id, ManagedBy::Api, NOW).await.unwrap());
    let now = view(db).await;
    assert!(!now.keys.contains_key(&new.hash) && !now.keys.contains_key(&KeyHash([23; 32])), "both are revoked");
}

async fn a_tenant_keeps_its_id(db: &DatabaseConnection, acme: TenantId) {
    assert_eq!(upsert_tenant(db, "acme", true, ManagedBy::File, NOW).await.unwrap(), acme);
    assert!(find_tenant_by_name(db, "acme").await.unwrap().unwrap().refuse_unpriced);
    upsert_tenant(db, "acme", false, ManagedBy::File, NOW).await.unwrap();
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

async fn keys_keep_their_policy_and_their_tenant(db: &DatabaseConnection, acme: TenantId, other: TenantId) {
    let new = key(acme, 1, ManagedBy::Api);
    super::keys::insert_key(db, &new).await.unwrap();
    assert!(super::keys::insert_key(db, &new).await.is_err(), "a secret exists once");
    let found = find_key(db, acme, new.key.id).await.unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{new:?}"));
    assert_eq!(found.hash, new.hash);
    assert!(find_key(db, other, new.key.id).await.unwrap().is_none(), "not another tenant's");
    assert!(list_keys(db, other).await.unwrap().is_empty());
    assert!(!revoke_key(db, Some(other), new.key.id, ManagedBy::Api, NOW).await.unwrap());
    let stolen = key(other, 1, ManagedBy::File);
    assert!(upsert_key(db, &stolen).await.is_err(), "a secret of one tenant cannot be declared by another");
}

async fn a_revoked_key_stays_revoked_unless_the_file_did_it(db: &DatabaseConnection, acme: TenantId) {
    let active = async || all_active_keys(db).await.unwrap().into_iter().map(|(hash, _)| hash).collect::<Vec<_>>();
    let first = key(acme, 2, ManagedBy::File);
    let id = upsert_key(db, &first).await.unwrap();
    let mut again = key(acme, 2, ManagedBy::File);
    again.key.requests_per_minute = None;
    assert_eq!(upsert_key(db, &again).await.unwrap(), id, "the row is kept, and so is what it spent");
    assert_eq!(find_key(db, acme, id).await.unwrap().unwrap().key.requests_per_minute, None);

    assert_eq!(revoke_undeclared_keys(db, &[], NOW).await.unwrap(), 1);
    assert!(!active().await.contains(&first.hash));
    upsert_key(db, &again).await.unwrap();
    assert!(active().await.contains(&first.hash), "declared again");
    assert_eq!(revoke_undeclared_keys(db, &[first.hash], NOW).await.unwrap(), 0);

    assert!(revoke_key(db, None, id, ManagedBy::Cli, NOW).await.unwrap());
    assert!(!revoke_key(db, None, id, ManagedBy::Cli, NOW).await.unwrap(), "once");
    upsert_key(db, &again).await.unwrap();
    assert!(!active().await.contains(&first.hash), "a restart does not bring a leaked key back");
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
        cache: None,
        ttfb_ms: Some(12),
        latency_ms: 34,
        started_at,
        ended_at: started_at,
    }
}

async fn records_are_written_once(db: &DatabaseConnection, acme: TenantId) {
    let key = VirtualKeyId(Uuid::now_v7());
    let records: Vec<_> = (0..1_203).map(|_| record(acme, key, NOW, Some(5))).collect();
    assert_eq!(usage::insert_batch(db, &records[..700]).await.unwrap(), 700);
    assert_eq!(usage::insert_batch(db, &records).await.unwrap(), 503, "a replay adds what is missing");
    assert_eq!(usage::insert_batch(db, &records).await.unwrap(), 0);
    assert_eq!(usage::insert_batch(db, &[]).await.unwrap(), 0);
    assert_eq!(usage::count(db).await.unwrap(), 1_203);
    assert_eq!(spent(db, key).await, [6_015, 6_015, 6_015]);

    let one = &records[42];
    let found = usage::find_by_request(db, key, one.request_id).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].cost, found[0].started_at), (one.id, one.cost, NOW));
    assert_eq!((found[0].usage, found[0].ttfb_ms), (one.usage, Some(12)));
    let stranger = VirtualKeyId(Uuid::now_v7());
    assert!(usage::find_by_request(db, stranger, one.request_id).await.unwrap().is_empty());
}

async fn what_the_database_refuses_is_told_from_a_database_that_is_away(db: &DatabaseConnection, acme: TenantId) {
    let key = VirtualKeyId(Uuid::now_v7());
    let good = record(acme, key, NOW, Some(5));
    let mut bad = record(acme, key, NOW, Some(5));
    if db.get_database_backend() == DbBackend::Postgres {
        bad.user_tag = Some("a\0b".into());
    } else {
        // SQLite takes any text: a constraint stands for what it does not take.
        db.execute_unprepared(
            "CREATE TRIGGER strict BEFORE INSERT ON usage_records WHEN length(new.user_tag) > 9 \
            BEGIN SELECT RAISE(ABORT, 'too long'); END",
        )
        .await
        .unwrap();
        bad.user_tag = Some("0123456789".into());
    }
    let refused = Sink::insert(db, &[good.clone(), bad.clone()]).await;
    assert!(matches!(refused, Err(InsertError::Refused(_))), "{refused:?}");

    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path(), JournalLimits::default(), db.clone()).unwrap();
    ledger.record(bad.clone()).unwrap();
    ledger.record(good.clone()).unwrap();
    ledger.flush().await;
    assert_eq!(usage::find_by_request(db, key, good.request_id).await.unwrap().len(), 1);
    assert!(usage::find_by_request(db, key, bad.request_id).await.unwrap().is_empty());
    let aside = std::fs::read_to_string(folder.path().join("refused.jsonl")).unwrap();
    assert!(aside.contains(&bad.id.to_string()) && !aside.contains(&good.id.to_string()), "{aside}");

    db.execute_unprepared("ALTER TABLE usage_records RENAME TO usage_records_elsewhere").await.unwrap();
    let away = Sink::insert(db, &[record(acme, key, NOW, Some(5))]).await;
    db.execute_unprepared("ALTER TABLE usage_records_elsewhere RENAME TO usage_records").await.unwrap();
    assert!(matches!(away, Err(InsertError::Away(_))), "{away:?}: a schema that is not there yet may come");
}

async fn a_turn_recorded_twice_does_not_hold_up_others(db: &DatabaseConnection, acme: TenantId) {
    let key = VirtualKeyId(Uuid::now_v7());
    let mut first = record(acme, key, NOW, Some(1));
    first.session_id = Some(SessionId(Uuid::now_v7()));
    let twin = UsageRecord { id: UsageRecordId(Uuid::now_v7()), ..first.clone() };
    let next = UsageRecord { id: UsageRecordId(Uuid::now_v7()), sequence: 1, ..first.clone() };
    assert_eq!(usage::insert_batch(db, &[first, twin, next]).await.unwrap(), 2);
    assert_eq!(spent(db, key).await[0], 2);
}

/// As a kill leaves them: the call's record, and behind it in the journal what was noted when it began.
async fn of_two_records_with_one_id_the_first_stays(db: &DatabaseConnection, acme: TenantId) {
    let key = VirtualKeyId(Uuid::now_v7());
    let known = record(acme, key, NOW, Some(7));
    let noted = UsageRecord { cost: None, usage_source: UsageSource::Estimated, ..known.clone() };
    assert_eq!(usage::insert_batch(db, &[known.clone(), noted.clone()]).await.unwrap(), 1, "in one batch");
    assert_eq!(usage::insert_batch(db, &[noted]).await.unwrap(), 0, "and in a later one");
    let found = usage::find_by_request(db, key, known.request_id).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].cost, found[0].usage_source), (Some(NanoUsd(7)), UsageSource::Measured));
}

async fn spending_counts_from_the_first_moment_of_the_window(db: &DatabaseConnection, acme: TenantId) {
    let (key, idle) = (VirtualKeyId(Uuid::now_v7()), VirtualKeyId(Uuid::now_v7()));
    let records = [
        record(acme, key, MONTH - Duration::milliseconds(1), Some(1)),
        record(acme, key, MONTH - Duration::milliseconds(100), Some(2)),
        record(acme, key, MONTH, Some(10)),
        record(acme, key, MONTH + Duration::milliseconds(500), Some(20)),
        // The same moment as the second record, told in another zone.
        record(acme, key, datetime!(2026-11-01 1:59:59.9 +2), Some(4)),
        record(acme, key, NOW, None),
    ];
    usage::insert_batch(db, &records).await.unwrap();
    assert_eq!(spent(db, key).await, [37, 30, 0]);
    assert_eq!(spent(db, idle).await, [0, 0, 0]);

    // Records made from a moment on are another's to count.
    let bound = Uuid::now_v7();
    let today = DAY + Duration::milliseconds(1);
    usage::insert_batch(db, &[record(acme, key, today, Some(100)), record(acme, idle, today, Some(7))]).await.unwrap();
    assert_eq!(spent(db, key).await, [137, 130, 100]);
    let two = usage::spent_before(db, &[(key, bound), (idle, Uuid::max())], DAY, MONTH).await.unwrap();
    assert_eq!((two[&key].total, two[&key].day, two[&idle].day), (NanoUsd(37), NanoUsd::ZERO, NanoUsd(7)));

    // What was spent is not forgotten with the records of it.
    while usage_store::retain::delete_records(db, MONTH).await.unwrap() > 0 {}
    assert_eq!(spent(db, key).await, [137, 130, 100]);
}

/// What a key has spent: in all, this month, today.
async fn spent(db: &DatabaseConnection, key: VirtualKeyId) -> [i64; 3] {
    let past = usage::spent_before(db, &[(key, Uuid::max())], DAY, MONTH).await.unwrap();
    past.get(&key).map_or([0; 3], |past| [past.total.0, past.month.0, past.day.0])
}

async fn the_view_has_all_of_it(db: &DatabaseConnection, acme: TenantId) {
    pricing_seed::seed(db, NOW).await.unwrap();
    let account = ProviderAccount {
        id: ProviderId(Uuid::now_v7()),
        tenant: None,
        name: "groq".into(),
        kind: ProviderKind::Groq,
        base_url: "https://api.groq.com/openai/v1".into(),
        api_key: None,
        credential: None,
        region: Some("us".into()),
        allow_insecure: false,
    };
    let id = providers::upsert_provider(db, &account, ManagedBy::File, NOW).await.unwrap();
    let changed = ProviderAccount { id: ProviderId(Uuid::now_v7()), region: None, ..account };
    assert_eq!(providers::upsert_provider(db, &changed, ManagedBy::File, NOW).await.unwrap(), id);
    let target: Target =
        serde_json::from_str(r#"{"provider":"groq","model":"whisper-large-v3-turbo","quality":0.9}"#).unwrap();
    for (name, tenant) in [("fast", None), ("fast", Some(acme)), ("mine", Some(acme)), ("old", None)] {
        let route =
            Route { name: name.into(), tenant, strategy: Strategy::Latency.into(), targets: vec![target.clone()] };
        models::upsert_model(db, &route, ManagedBy::File, NOW).await.unwrap();
        models::upsert_model(db, &route, ManagedBy::File, NOW).await.unwrap();
    }
    let declared = [("fast".to_owned(), None), ("fast".to_owned(), Some(acme)), ("mine".to_owned(), Some(acme))];
    assert_eq!(models::delete_undeclared_models(db, ManagedBy::File, &declared).await.unwrap(), 1);
    let voice = BTreeMap::from([("local".to_owned(), "slt".to_owned())]);
    models::upsert_voice(db, "narrator", &voice, ManagedBy::File).await.unwrap();
    upsert_tenant(db, "acme", true, ManagedBy::File, NOW).await.unwrap();

    let view = load(db, &nothing_sealed).await.unwrap();
    assert!(view.providers.is_empty(), "a vendor answers nobody without a key");
    let names = |tenant| view.routes(tenant).map(|route| (route.name.as_str(), route.tenant)).collect::<Vec<_>>();
    assert_eq!(names(acme), [("fast", Some(acme)), ("mine", Some(acme))], "its own goes before the platform's");
    let stranger = TenantId(Uuid::now_v7());
    assert_eq!(names(stranger), [("fast", None)]);
    assert_eq!(view.route(acme, "mine").unwrap().targets[0].quality, Some(0.9));
    assert!(view.route(stranger, "mine").is_none());
    assert_eq!(view.voices["narrator"], voice);
    assert!(view.keys[&KeyHash([1; 32])].refuse_unpriced, "the tenant's rule holds for its keys");
    prices_are_the_tenants_own_where_it_has_some(db, acme).await;
    credentials_are_opened_for_their_provider(db, id, acme).await;
    what_a_tenant_may_not_have_is_left_out(db, acme).await;
    providers_are_written_by_whom_they_belong_to(db, acme).await;
}

fn nothing_sealed(_: &str, _: &[u8]) -> Result<SecretString, OpenError> {
    panic!("nothing is sealed here");
}

/// A row of `provider_credentials`, sealed for its place.
async fn seal_credential(db: &DatabaseConnection, place: (ProviderId, Option<TenantId>), label: &str, secret: &str) {
    let (id, random) = (CredentialId(Uuid::now_v7()), [label.len() as u8; SEAL_RANDOM_BYTES]);
    let sealed = SealingKey::new(&[3; 32]).seal(secret.as_bytes(), &credential_binding(id, place.0, place.1), random);
    let row = provider_credential::ActiveModel {
        id: Set(Id(id.0)),
        provider_id: Set(Id(place.0.0)),
        tenant_id: Set(place.1.map(|tenant| Id(tenant.0))),
        label: Set(label.into()),
        sealed: Set(sealed),
        last4: Set(String::new()),
        fingerprint: Set(String::new()),
        weight: Set(2),
        max_concurrent: Set(Some(7)),
        enabled: Set(label != "off"),
        version: Set(1),
        created_at: Set(NOW),
        updated_at: Set(NOW),
    };
    provider_credential::Entity::insert(row).exec_without_returning(db).await.unwrap();
}

fn open(binding: &str, sealed: &[u8]) -> Result<SecretString, OpenError> {
    let opened = SealingKey::new(&[3; 32]).open(sealed, binding)?;
    Ok(SecretString::from(String::from_utf8(opened).unwrap()))
}

async fn credentials_are_opened_for_their_provider(db: &DatabaseConnection, groq: ProviderId, acme: TenantId) {
    for (label, secret) in [("first", "gsk-1"), ("off", "gsk-2"), ("moved", "gsk-3"), ("last", "gsk-4")] {
        seal_credential(db, (groq, None), label, secret).await;
    }
    // As if somebody had copied it from another row.
    db.execute_unprepared("UPDATE provider_credentials SET sealed = (SELECT sealed FROM provider_credentials WHERE label = 'first') WHERE label = 'moved'").await.unwrap();
    let view = load(db, &open).await.unwrap();
    let pool = view.provider(acme, "groq").unwrap();
    let keys: Vec<&str> = pool.accounts().map(|account| account.api_key.as_ref().unwrap().expose_secret()).collect();
    assert_eq!(keys, ["gsk-1", "gsk-4"], "neither what is switched off nor what was sealed for another row");
    let credential = pool.account().credential.unwrap();
    assert_eq!((credential.weight, credential.max_concurrent, pool.account().region.as_deref()), (2, Some(7), None));
    let closed = |_: &str, _: &[u8]| Err(OpenError::Damaged);
    let view = load(db, &closed).await.unwrap();
    assert!(view.providers.is_empty() && !view.keys.is_empty(), "everything else is there");
}

async fn what_a_tenant_may_not_have_is_left_out(db: &DatabaseConnection, acme: TenantId) {
    for (name, base_url, allow_insecure) in [
        ("groq", "https://api.groq.com/openai/v1", false),
        ("insecure", "https://api.groq.com", true),
        ("plain", "http://api.groq.com", false),
        ("inside", "https://10.0.0.1", false),
    ] {
        let id = ProviderId(Uuid::now_v7());
        let row = provider::ActiveModel {
            id: Set(Id(id.0)),
            tenant_id: Set(Some(Id(acme.0))),
            name: Set(name.into()),
            kind: Set("groq".into()),
            base_url: Set(base_url.into()),
            region: Set(None),
            allow_insecure: Set(allow_insecure),
            enabled: Set(true),
            managed_by: Set("api".into()),
            version: Set(1),
            created_at: Set(NOW),
            updated_at: Set(NOW),
        };
        provider::Entity::insert(row).exec_without_returning(db).await.unwrap();
        seal_credential(db, (id, Some(acme)), "own", &format!("{name}-own")).await;
    }
    let view = load(db, &open).await.unwrap();
    let secret = |tenant, name: &str| {
        let account = view.provider(tenant, name)?.account();
        Some(account.api_key.as_ref().unwrap().expose_secret().to_owned())
    };
    let stranger = TenantId(Uuid::now_v7());
    assert_eq!(secret(acme, "groq").as_deref(), Some("groq-own"), "its own goes before the platform's");
    assert_eq!(secret(stranger, "groq").as_deref(), Some("gsk-1"));
    let names = |tenant| view.providers_of(tenant).map(|pool| pool.account().name.clone()).collect::<Vec<_>>();
    assert_eq!((names(acme), names(stranger)), (vec!["groq".to_owned()], vec!["groq".to_owned()]));
}

/// What the file and the environment declare, and what was made by hand.
async fn providers_are_written_by_whom_they_belong_to(db: &DatabaseConnection, acme: TenantId) {
    let stored = async |name: &str| {
        let all = providers::list_providers(db).await.unwrap();
        all.into_iter().find(|stored| stored.account.name == name && stored.account.tenant.is_none())
    };
    let mut account = stored("groq").await.unwrap().account;
    account.base_url = "https://elsewhere.example".into();
    let groq = account.id;
    provider::Entity::update_many().col_expr(provider::Column::ManagedBy, Expr::value("api")).exec(db).await.unwrap();
    let by_environment = providers::upsert_provider(db, &account, ManagedBy::Environment, NOW).await.unwrap();
    assert_eq!(by_environment, groq);
    assert_eq!(stored("groq").await.unwrap().managed_by, ManagedBy::Api, "made by hand, and left as it is");

    providers::upsert_provider(db, &account, ManagedBy::File, NOW).await.unwrap();
    let plain = ProviderAccount { id: ProviderId(Uuid::now_v7()), name: "plain".into(), ..account.clone() };
    providers::upsert_provider(db, &plain, ManagedBy::File, NOW).await.unwrap();
    let taken = stored("groq").await.unwrap();
    assert_eq!((taken.managed_by, taken.account.base_url.as_str()), (ManagedBy::File, "https://elsewhere.example"));
    let declared = ["plain".to_owned()];
    assert_eq!(providers::delete_undeclared_providers(db, ManagedBy::File, &declared).await.unwrap(), 0);
    let back = stored("groq").await.unwrap();
    assert_eq!((back.managed_by, back.credentials.len()), (ManagedBy::Api, 4), "its credentials are not lost");
    assert_eq!(providers::delete_undeclared_providers(db, ManagedBy::File, &[]).await.unwrap(), 1);
    assert!(stored("plain").await.is_none());
    let view = load(db, &open).await.unwrap();
    assert!(view.provider(acme, "groq").unwrap().account().tenant.is_some(), "a tenant's own is nobody's file's");
}

async fn prices_are_the_tenants_own_where_it_has_some(db: &DatabaseConnection, acme: TenantId) {
    let list = "tenant,provider,model,operation,unit,price_usd,minimum_ms,rounding_ms,effective_from,source,read_on\n\
        acme,groq,whisper-large-v3-turbo,transcription,audio_hour,0.09,0,0,2026-04-01,our first contract,2026-11-21\n\
        acme,groq,whisper-large-v3-turbo,transcription,audio_hour,0.03,0,0,2026-06-01,our contract,2026-11-21\n\
        acme,groq,whisper-large-v3-turbo,transcription,audio_hour,0.02,0,0,2026-11-21,our next contract,2026-11-21\n";
    let transaction = db.begin().await.unwrap();
    let options = pricing_seed::Options::of_command_line(NOW);
    pricing_seed::import_from(&transaction, "own.csv", list.as_bytes(), options, |_| {}).await.unwrap();
    transaction.commit().await.unwrap();
    let rows = prices::list_prices(db, NOW).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.tenant.is_some()).count(), 2, "what nobody asks for any more is left out");
    let view = PriceList::new(rows);
    let usd = |tenant: TenantId, now: OffsetDateTime| {
        let prices = view.at(tenant, ProviderKind::Groq, "whisper-large-v3-turbo", Operation::Transcription, now);
        prices.iter().map(|price| price.usd.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(usd(acme, NOW), ["0.02"]);
    assert_eq!(usd(acme, NOW - time::Duration::DAY), ["0.03"], "a call of yesterday may still be priced");
    assert_eq!(usd(acme, datetime!(2026-05-31 23:59 UTC)), ["0.04"], "until its own begins");
    assert_eq!(usd(TenantId(Uuid::now_v7()), NOW), ["0.04"], "nobody else's");
}

#[tokio::test]
async fn sqlite_lets_readers_and_writers_work_side_by_side() {
    let (folder, db) = sqlite().await;
    let url = format!("sqlite://{}/not/there/yet.db", folder.path().display());
    let beside = connect(&url).await.unwrap();
    let tenant = TenantId(Uuid::now_v7());
    let key = VirtualKeyId(Uuid::now_v7());
    let batch = || (0..50).map(|_| record(tenant, key, NOW, None)).collect::<Vec<_>>();
    let (one, two, three, four) = (batch(), batch(), batch(), batch());
    let results = tokio::join!(
        usage::insert_batch(&db, &one),
        usage::insert_batch(&beside, &two),
        usage::insert_batch(&db, &three),
        usage::insert_batch(&beside, &four),
    );
    for result in [results.0, results.1, results.2, results.3] {
        assert_eq!(result.unwrap(), 50);
    }
    assert_eq!(usage::count(&beside).await.unwrap(), 200);
}

#[tokio::test]
async fn postgresql_is_spoken_to_over_tls_and_its_certificate_is_checked() {
    let variable = |name: &str| std::env::var(name).expect("`scripts/postgres-for-tests.sh start` sets it");
    let (url, ca) = (variable("ANTIPHON_TEST_POSTGRES_URL"), variable("ANTIPHON_TEST_POSTGRES_CA"));
    let is_encrypted = async |query: &str| {
        let db = connect(&format!("{url}?{query}")).await?;
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let statement = sea_orm::Statement::from_string(db.get_database_backend(), sql);
        db.query_one_raw(statement).await?.unwrap().try_get_by_index::<bool>(0)
    };
    assert!(is_encrypted("sslmode=require").await.unwrap());
    assert!(is_encrypted(&format!("sslmode=verify-full&sslrootcert={ca}")).await.unwrap());
    assert!(is_encrypted(&format!("sslmode=verify-ca&sslrootcert={ca}")).await.unwrap());
    assert!(!is_encrypted("sslmode=disable").await.unwrap());
    let refused = is_encrypted("sslmode=verify-full").await.unwrap_err().to_string();
    assert!(refused.contains("peer certificate") && !refused.contains('\n'), "{refused}");
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_an_error() {
    assert!(connect("sqlite:///proc/antiphon/x.db").await.is_err());
    assert!(connect("mysql://localhost/x").await.is_err());
}
