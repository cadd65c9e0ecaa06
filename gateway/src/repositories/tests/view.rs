//! What a gateway goes by: providers with their credentials, models, voices and prices.

use std::collections::BTreeMap;

use domain::ids::{CredentialId, ProviderId, TenantId};
use domain::key::KeyHash;
use domain::provider::{Operation, ProviderKind};
use domain::routing::{Hedge, Strategy, Target};
use domain::seal::{OpenError, SEAL_RANDOM_BYTES, SealingKey, credential_binding};
use entities::{Id, provider, provider_credential};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DatabaseConnection, EntityTrait};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use super::super::tenants::{set_when_away, upsert_tenant};
use super::super::{ManagedBy, models, prices, providers};
use super::NOW;
use crate::limits::shared::WhenAway;
use crate::snapshot::load::{load, load_account};
use crate::snapshot::{PriceList, ProviderAccount, Route};

pub(super) async fn the_view_has_all_of_it(db: &DatabaseConnection, acme: TenantId) {
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
        let route = Route {
            name: name.into(),
            tenant,
            strategy: Strategy::Latency.into(),
            targets: vec![target.clone()],
            hedge: Some(Hedge { unmeasured_ms: 800 }),
        };
        models::upsert_model(db, &route, ManagedBy::File, NOW).await.unwrap();
        models::upsert_model(db, &route, ManagedBy::File, NOW).await.unwrap();
    }
    let declared = [("fast".to_owned(), None), ("fast".to_owned(), Some(acme)), ("mine".to_owned(), Some(acme))];
    assert_eq!(models::delete_undeclared_models(db, ManagedBy::File, &declared).await.unwrap(), 1);
    let voice = BTreeMap::from([("local".to_owned(), "slt".to_owned())]);
    models::upsert_voice(db, "narrator", &voice, ManagedBy::File).await.unwrap();
    upsert_tenant(db, "acme", Some(true), ManagedBy::File, NOW).await.unwrap();
    set_when_away(db, acme, Some(WhenAway::Closed)).await.unwrap();
    let view = load(db, &nothing_sealed).await.unwrap();
    assert_eq!(view.when_away, [(acme, WhenAway::Closed)].into(), "nobody else has any");
    set_when_away(db, acme, None).await.unwrap();

    let view = load(db, &nothing_sealed).await.unwrap();
    assert!(view.when_away.is_empty());
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
    a_name_of_a_tenant_never_means_the_platforms(db, acme).await;
    a_deployment_is_named_at_the_tenants_own_provider(db, acme).await;
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
    let ids: Vec<CredentialId> = pool.accounts().map(|account| account.credential.unwrap().id).collect();
    let tried = async |named: Option<CredentialId>| {
        let account = load_account(db, &open, groq, named).await.unwrap();
        account.map(|account| account.api_key.as_ref().unwrap().expose_secret().to_owned())
    };
    assert_eq!(tried(Some(ids[1])).await.as_deref(), Some("gsk-4"));
    assert_eq!(tried(None).await.as_deref(), Some("gsk-1"), "the oldest of those that weigh the same");
    db.execute_unprepared("UPDATE provider_credentials SET weight = 0 WHERE label = 'first'").await.unwrap();
    assert_eq!(tried(None).await.as_deref(), Some("gsk-4"), "one of weight 0 comes last");
    assert_eq!(tried(Some(ids[0])).await.as_deref(), Some("gsk-1"), "and can be named");
    assert_eq!(tried(Some(CredentialId(Uuid::now_v7()))).await, None);
    let all = providers::list_providers(db).await.unwrap();
    let off = all.iter().flat_map(|stored| &stored.credentials).find(|stored| stored.label == "off").unwrap();
    assert_eq!(tried(Some(off.credential.id)).await.as_deref(), Some("gsk-2"), "before it is switched on");
    db.execute_unprepared("UPDATE provider_credentials SET weight = 2").await.unwrap();
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

async fn a_name_of_a_tenant_never_means_the_platforms(db: &DatabaseConnection, acme: TenantId) {
    let owned = async |sql: &str| {
        let sql = format!("UPDATE {sql}");
        db.execute_unprepared(&sql).await.unwrap();
        let view = load(db, &open).await.unwrap();
        let stranger = TenantId(Uuid::now_v7());
        assert!(view.provider(stranger, "groq").is_some(), "it is there for everybody else");
        (view.provider(acme, "groq").is_some(), view.providers_of(acme).count())
    };
    assert_eq!(owned("providers SET enabled = FALSE WHERE tenant_id IS NOT NULL").await, (false, 0), "switched off");
    assert_eq!(owned("providers SET enabled = TRUE").await, (true, 1));
    let off = "provider_credentials SET enabled = FALSE WHERE tenant_id IS NOT NULL";
    assert_eq!(owned(off).await, (false, 0), "without a credential");
    owned("provider_credentials SET enabled = TRUE WHERE tenant_id IS NOT NULL").await;
}

async fn a_deployment_is_named_at_the_tenants_own_provider(db: &DatabaseConnection, acme: TenantId) {
    let target = |provider: &str| -> Target {
        let text = format!(r#"{{"provider":"{provider}","model":"whisper-1","options":{{"deployment":"dear"}}}}"#);
        serde_json::from_str(&text).unwrap()
    };
    let targets = async |managed_by: ManagedBy| {
        let targets = vec![target("groq"), target("theirs")];
        let route = Route {
            name: "deployed".into(),
            tenant: Some(acme),
            strategy: Strategy::Priority.into(),
            targets,
            hedge: None,
        };
        models::upsert_model(db, &route, managed_by, NOW).await.unwrap();
        let view = load(db, &open).await.unwrap();
        let targets = view.route(acme, "deployed").unwrap().targets.iter();
        targets.map(|target| target.provider.clone()).collect::<Vec<_>>()
    };
    assert_eq!(targets(ManagedBy::Api).await, ["groq"], "at the platform's, another model would run than is billed");
    assert_eq!(targets(ManagedBy::File).await, ["groq", "theirs"], "the operator knows");
    models::delete_undeclared_models(db, ManagedBy::File, &[]).await.unwrap();
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
    assert_eq!(providers::delete_undeclared_providers(db, ManagedBy::File, &declared, NOW).await.unwrap(), 0);
    let back = stored("groq").await.unwrap();
    assert_eq!((back.managed_by, back.credentials.len()), (ManagedBy::Api, 4), "its credentials are not lost");
    assert_eq!(providers::delete_undeclared_providers(db, ManagedBy::File, &[], NOW).await.unwrap(), 1);
    assert!(stored("plain").await.is_none());
    let view = load(db, &open).await.unwrap();
    assert!(view.provider(acme, "groq").unwrap().account().tenant.is_some(), "a tenant's own is nobody's file's");
}

async fn prices_are_the_tenants_own_where_it_has_some(db: &DatabaseConnection, acme: TenantId) {
    let list = "tenant,provider,model,operation,unit,price_usd,minimum_ms,rounding_ms,effective_from,source,read_on\n\
        acme,groq,whisper-large-v3-turbo,transcription,audio_hour,0.09,0,0,2026-04-01,our first contract,2026-11-21\n\
        acme,groq,whisper-large-v3-turbo,transcription,audio_hour,0.03,0,0,2026-06-01,our contract,2026-11-21\n\
        acme,groq,whisper-large-v3-turbo,transcription,audio_hour,0.02,0,0,2026-11-21,our next contract,2026-11-21\n";
    let transaction = database::begin(db).await.unwrap();
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
