//! How databases are spoken to.

use domain::ids::{TenantId, VirtualKeyId};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::super::{connect, usage};
use super::{NOW, record, sqlite};

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
async fn what_sqlite_has_committed_survives_a_loss_of_power() {
    let (_folder, db) = sqlite().await;
    let statement = sea_orm::Statement::from_string(db.get_database_backend(), "PRAGMA synchronous");
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<i32>(0).unwrap(), 2, "FULL: the journal lets go of records then");
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
