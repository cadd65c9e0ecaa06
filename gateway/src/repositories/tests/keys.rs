//! Tenants and their keys.

use domain::ids::TenantId;
use domain::key::KeyHash;
use entities::{Id, tenant, virtual_key};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DatabaseConnection, EntityTrait};
use time::{Duration, OffsetDateTime};

use super::super::ManagedBy;
use super::super::keys::{
    all_active_keys, find_key, insert_key, list_keys, revoke_key, revoke_undeclared_keys, upsert_key,
};
use super::super::tenants::{find_tenant_by_name, release_undeclared_tenants, upsert_tenant};
use super::{NOW, key};
use crate::snapshot::Snapshot;

async fn view(db: &DatabaseConnection) -> Snapshot {
    let mut view = Snapshot::default();
    for (hash, key) in all_active_keys(db).await.unwrap() {
        view.insert_key(hash, key);
    }
    view
}

pub(super) async fn a_tenant_keeps_its_id(db: &DatabaseConnection, acme: TenantId) {
    assert_eq!(upsert_tenant(db, "acme", Some(true), ManagedBy::File, NOW).await.unwrap(), acme);
    assert!(find_tenant_by_name(db, "acme").await.unwrap().unwrap().refuse_unpriced);
    upsert_tenant(db, "acme", None, ManagedBy::File, NOW).await.unwrap();
    assert!(find_tenant_by_name(db, "acme").await.unwrap().unwrap().refuse_unpriced, "the file says nothing of it");
    upsert_tenant(db, "acme", Some(false), ManagedBy::File, NOW).await.unwrap();
    let row = async || tenant::Entity::find_by_id(Id(acme.0)).one(db).await.unwrap().unwrap();
    let version = row().await.version;
    upsert_tenant(db, "acme", Some(false), ManagedBy::File, NOW).await.unwrap();
    assert_eq!(row().await.version, version, "nothing has changed");
    assert_eq!(release_undeclared_tenants(db, &["acme"], NOW).await.unwrap(), 0);
    assert_eq!(release_undeclared_tenants(db, &["other"], NOW).await.unwrap(), 1);
    assert_eq!((row().await.managed_by.as_str(), row().await.version), ("api", version + 1));
    upsert_tenant(db, "acme", None, ManagedBy::File, NOW).await.unwrap();
}

pub(super) async fn keys_keep_their_policy_and_their_tenant(db: &DatabaseConnection, acme: TenantId, other: TenantId) {
    let new = key(acme, 1, ManagedBy::Api);
    insert_key(db, &new).await.unwrap();
    assert!(insert_key(db, &new).await.is_err(), "a secret exists once");
    let found = find_key(db, acme, new.key.id).await.unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{new:?}"));
    assert_eq!(found.hash, new.hash);
    assert!(find_key(db, other, new.key.id).await.unwrap().is_none(), "not another tenant's");
    assert!(list_keys(db, other).await.unwrap().is_empty());
    assert!(!revoke_key(db, Some(other), new.key.id, ManagedBy::Api, NOW).await.unwrap());
    let stolen = key(other, 1, ManagedBy::File);
    assert!(upsert_key(db, &stolen).await.is_err(), "a secret of one tenant cannot be declared by another");
}

pub(super) async fn a_revoked_key_stays_revoked_unless_the_file_did_it(db: &DatabaseConnection, acme: TenantId) {
    let active = async || all_active_keys(db).await.unwrap().into_iter().map(|(hash, _)| hash).collect::<Vec<_>>();
    let first = key(acme, 2, ManagedBy::File);
    let id = upsert_key(db, &first).await.unwrap();
    let mut again = key(acme, 2, ManagedBy::File);
    again.key.requests_per_minute = None;
    assert_eq!(upsert_key(db, &again).await.unwrap(), id, "the row is kept, and so is what it spent");
    assert_eq!(find_key(db, acme, id).await.unwrap().unwrap().key.requests_per_minute, None);

    let row = async || virtual_key::Entity::find_by_id(Id(id.0)).one(db).await.unwrap().unwrap();
    let version = row().await.version;
    upsert_key(db, &again).await.unwrap();
    assert_eq!(row().await.version, version, "a start that changes nothing");
    assert_eq!(revoke_undeclared_keys(db, &[], NOW).await.unwrap(), 1);
    assert!(!active().await.contains(&first.hash));
    let released = row().await;
    assert_eq!((released.managed_by.as_str(), released.updated_at), ("api", Some(NOW)), "nothing declares it");
    assert!(released.version > version, "whoever has read it must read it again");
    upsert_key(db, &again).await.unwrap();
    assert!(active().await.contains(&first.hash), "declared again");
    assert_eq!(revoke_undeclared_keys(db, &[first.hash], NOW).await.unwrap(), 0);

    let set_removed = async |at: Option<OffsetDateTime>| {
        virtual_key::ActiveModel { deleted_at: Set(at), ..row().await.into() }.update(db).await.unwrap();
        upsert_key(db, &again).await.unwrap();
    };
    revoke_undeclared_keys(db, &[], NOW).await.unwrap();
    set_removed(Some(NOW)).await;
    assert!(!active().await.contains(&first.hash), "somebody removed it meanwhile");
    set_removed(None).await;

    let version = row().await.version;
    assert!(revoke_key(db, None, id, ManagedBy::Cli, NOW).await.unwrap());
    assert_eq!(row().await.version, version + 1);
    assert!(!revoke_key(db, None, id, ManagedBy::Cli, NOW).await.unwrap(), "once");
    upsert_key(db, &again).await.unwrap();
    assert!(!active().await.contains(&first.hash), "a restart does not bring a leaked key back");
}

pub(super) async fn a_suspended_tenant_has_no_key(db: &DatabaseConnection) {
    let suspended = upsert_tenant(db, "suspended", Some(false), ManagedBy::Api, NOW).await.unwrap();
    let its = key(suspended, 21, ManagedBy::Api);
    insert_key(db, &its).await.unwrap();
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

pub(super) async fn a_rotated_key_is_good_by_both_secrets_for_a_while(db: &DatabaseConnection, acme: TenantId) {
    let new = key(acme, 22, ManagedBy::Api);
    insert_key(db, &new).await.unwrap();
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
