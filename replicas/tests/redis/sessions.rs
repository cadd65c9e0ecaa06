//! The list of open sessions, and what gateways tell each other.

use std::time::Duration;

use domain::ids::{SessionId, TenantId, VirtualKeyId};
use replicas::{LiveSession, LocalShare};
use uuid::Uuid;

use super::helpers::{Server, any_gateway, any_key, eventually, gateway, settings, shared_url};

fn session(tenant: TenantId, key: VirtualKeyId, about: &str) -> LiveSession {
    LiveSession { id: SessionId(Uuid::now_v7()), tenant, key, about: about.to_owned() }
}

#[tokio::test]
async fn sessions_are_listed_by_tenant_and_by_key_a_page_at_a_time() {
    let replicas = any_gateway().await;
    let (tenant, other) = (TenantId(Uuid::now_v7()), TenantId(Uuid::now_v7()));
    let (key, second) = (any_key(), any_key());
    let all: Vec<LiveSession> = (0..250)
        .map(|at| session(tenant, if at % 5 == 0 { second } else { key }, "{\"model\":\"a b\"}"))
        .chain([session(other, key, "theirs")])
        .collect();
    let tenants = [tenant, other];
    replicas.beat(Uuid::now_v7(), &tenants).await.unwrap();
    assert_eq!(replicas.beat_sessions(&all).await.unwrap(), []);
    let mut known = replicas.tenants_with_sessions().await.unwrap();
    known.sort();
    assert_eq!(known, tenants);

    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = replicas.list_sessions(tenant, None, after, 100).await.unwrap();
        after = page.last().map(|session| session.id);
        assert!(page.len() <= 100);
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, all[..250]);
    let of_key = replicas.list_sessions(tenant, Some(second), None, 30).await.unwrap();
    assert_eq!(of_key.len(), 30);
    let rest = replicas.list_sessions(tenant, Some(second), of_key.last().map(|session| session.id), 30).await.unwrap();
    assert_eq!(rest.len(), 20);
    assert!(of_key.iter().chain(&rest).all(|session| session.key == second));

    replicas.end_sessions(&all[..249]).await.unwrap();
    assert_eq!(replicas.list_sessions(tenant, None, None, 100).await.unwrap(), all[249..250]);
    assert_eq!(replicas.list_sessions(other, None, None, 100).await.unwrap(), all[250..]);
}

#[tokio::test]
async fn a_dead_gateways_sessions_are_forgotten_and_so_is_the_gateway() {
    let mut settings = settings(&shared_url());
    settings.lease_ttl = Duration::from_millis(700);
    let replicas = gateway(&settings).await;
    let (tenant, key) = (TenantId(Uuid::now_v7()), any_key());
    let (dead, living) = (session(tenant, key, ""), session(tenant, key, ""));
    replicas.beat_sessions(&[dead.clone(), living.clone()]).await.unwrap();
    replicas.beat(Uuid::now_v7(), &[tenant]).await.unwrap();
    let me = Uuid::now_v7();
    assert_eq!(replicas.beat(me, &[]).await.unwrap(), 2);
    assert_eq!(replicas.local_share(), LocalShare::of(2));
    eventually("the dead one is gone", async || {
        replicas.beat_sessions(std::slice::from_ref(&living)).await.unwrap();
        replicas.list_sessions(tenant, Some(key), None, 10).await.unwrap() == [living.clone()]
    })
    .await;
    assert_eq!(replicas.counts().dead_sessions, 1);
    eventually("one gateway is left", async || replicas.beat(me, &[]).await.unwrap() == 1).await;
    eventually("its tenant is forgotten", async || {
        replicas.beat(me, &[]).await.unwrap();
        replicas.tenants_with_sessions().await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_tenant_whose_gateways_all_died_is_looked_after_by_another() {
    let mut settings = settings(&shared_url());
    settings.lease_ttl = Duration::from_millis(700);
    let (dead, other) = (gateway(&settings).await, gateway(&settings).await);
    let tenant = TenantId(Uuid::now_v7());
    let sessions = [session(tenant, any_key(), ""), session(tenant, any_key(), "")];
    dead.beat_sessions(&sessions).await.unwrap();
    dead.beat(Uuid::now_v7(), &[tenant]).await.unwrap();
    let me = Uuid::now_v7();
    eventually("its sessions are found", async || {
        other.beat(me, &[]).await.unwrap();
        other.counts().dead_sessions == 2
    })
    .await;
    assert!(!other.terminate(tenant, sessions[0].id, "too late").await.unwrap());
}

#[tokio::test]
async fn a_session_is_ended_by_message_and_by_note() {
    let settings = settings(&shared_url());
    let (admin, owner) = (gateway(&settings).await, gateway(&settings).await);
    let messages = owner.listen().unwrap();
    let (mut terminations, mut changes) = (messages.terminations(), messages.changes());
    // The first wake says that it listens.
    changes.wait_for(|count| *count > 0).await.unwrap();
    let open = session(TenantId(Uuid::now_v7()), any_key(), "");
    owner.beat_sessions(std::slice::from_ref(&open)).await.unwrap();
    assert!(admin.terminate(open.tenant, open.id, "by an administrator").await.unwrap());
    let told = terminations.recv().await.unwrap();
    assert_eq!((told.session, told.reason.as_str()), (open.id, "by an administrator"));
    // Who did not hear finds it noted, until the session is gone.
    assert_eq!(owner.beat_sessions(std::slice::from_ref(&open)).await.unwrap(), [told]);
    owner.end_sessions(std::slice::from_ref(&open)).await.unwrap();
    assert!(!admin.terminate(open.tenant, open.id, "again").await.unwrap());
}

#[tokio::test]
async fn changes_wake_also_after_redis_was_away() {
    let server = Server::start();
    let mut settings = settings(&server.url);
    settings.call_timeout = Duration::from_secs(3);
    let (teller, hearer) = (gateway(&settings).await, gateway(&settings).await);
    let messages = hearer.listen().unwrap();
    let mut changes = messages.changes();
    changes.wait_for(|count| *count > 0).await.unwrap();
    changes.mark_unchanged();
    teller.tell_change("a mark").await.unwrap();
    changes.changed().await.unwrap();

    changes.mark_unchanged();
    server.kill();
    eventually("it is noticed", async || teller.tell_change("unheard").await.is_err()).await;
    server.start_again();
    // The connection itself is a wake, since something may have been missed.
    changes.changed().await.unwrap();
    eventually("messages arrive again", async || {
        changes.mark_unchanged();
        teller.tell_change("another").await.is_ok()
            && tokio::time::timeout(Duration::from_millis(200), changes.changed()).await.is_ok()
    })
    .await;
}
