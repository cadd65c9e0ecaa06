//! Sessions: who sees which, how one is ended, and how a dashboard follows them.

use admin_types::role::Role;
use domain::ids::SessionId;
use entities::{Id, access_token, audit_entry, gateway_instance, live_session, model, target_health, usage_record};
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::helpers::{TestApp, both};

const SESSIONS: &str = "/api/v1/sessions";

/// A gateway whose heart has last beaten so long ago.
pub(crate) async fn gateway(app: &TestApp, name: &str, ago: Duration) -> Uuid {
    let (id, now) = (Uuid::now_v7(), OffsetDateTime::now_utc());
    let row = gateway_instance::ActiveModel {
        id: Set(Id(id)),
        name: Set(name.to_owned()),
        version: Set("1.2.3".to_owned()),
        started_at: Set(now),
        heartbeat_at: Set(now - ago),
        draining: Set(false),
        open_sessions: Set(7),
        journal_records: Set(42),
    };
    gateway_instance::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
    id
}

/// A session at a gateway, changed by `change`.
pub(crate) async fn session(
    app: &TestApp,
    gateway: Uuid,
    tenant: Uuid,
    change: impl FnOnce(&mut live_session::ActiveModel),
) -> Uuid {
    let (id, now) = (Uuid::now_v7(), OffsetDateTime::now_utc());
    let mut row = live_session::ActiveModel {
        id: Set(Id(id)),
        gateway_id: Set(Id(gateway)),
        request_id: Set(Id(Uuid::now_v7())),
        tenant_id: Set(Id(tenant)),
        key_id: Set(Id(Uuid::nil())),
        operation: Set("realtime".to_owned()),
        kind: Set("realtime".to_owned()),
        model_asked: Set("talk".to_owned()),
        provider: Set(Some("openai".to_owned())),
        model_served: Set(Some("gpt-realtime".to_owned())),
        started_at: Set(now),
        last_seen_at: Set(now),
        turns: Set(0),
        audio_in_ms: Set(0),
        audio_out_ms: Set(0),
        cost_nano_usd: Set(Some(0)),
        ..Default::default()
    };
    change(&mut row);
    live_session::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
    id
}

/// One turn of a session.
async fn turn(app: &TestApp, session: Uuid, tenant: Uuid, sequence: i64, cost_nano_usd: Option<i64>) {
    let now = OffsetDateTime::now_utc();
    let row = usage_record::Model {
        id: Id(Uuid::now_v7()),
        request_id: Id(Uuid::now_v7()),
        session_id: Some(Id(session)),
        sequence,
        tenant_id: Id(tenant),
        key_id: Id(Uuid::nil()),
        user_tag: None,
        tags: None,
        operation: "realtime".to_owned(),
        model_asked: "talk".to_owned(),
        provider: "openai".to_owned(),
        model_served: "gpt-realtime".to_owned(),
        audio_in_ms: 1_000,
        audio_out_ms: 2_000,
        characters: 0,
        text_tokens_in: 0,
        text_tokens_out: 0,
        audio_tokens_in: 0,
        audio_tokens_out: 0,
        cached_tokens: 0,
        surcharge_percent: 0,
        usage_source: "reported".to_owned(),
        cost_nano_usd,
        price_id: None,
        status: "ok".to_owned(),
        attempts: 1,
        failed_attempts: None,
        routing: None,
        cache: None,
        ttfb_ms: Some(120),
        latency_ms: 900,
        started_at: now,
        ended_at: now,
    };
    let row: usage_record::ActiveModel = row.into();
    usage_record::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
}

/// The ids on a page.
fn ids(page: &Value) -> Vec<Uuid> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().parse().unwrap()).collect()
}

both! {
    async fn the_list_has_what_is_open_in_every_order_and_by_every_filter(app: &TestApp) {
        let admin = app.platform().await;
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let (east, west) = (gateway(app, "east", Duration::ZERO).await, gateway(app, "west", Duration::ZERO).await);
        let dead = gateway(app, "dead", Duration::seconds(16)).await;
        let key = Uuid::now_v7();
        let first = session(app, east, acme, |row| row.turns = Set(5)).await;
        let second = session(app, west, other, |row| {
            row.turns = Set(1);
            row.kind = Set("transcription".to_owned());
            row.provider = Set(Some("deepgram".to_owned()));
        }).await;
        let third = session(app, east, acme, |row| {
            row.turns = Set(3);
            row.key_id = Set(Id(key));
            row.model_served = Set(Some("it's %".to_owned()));
            row.cost_nano_usd = Set(None);
        }).await;
        session(app, dead, acme, |_| ()).await;

        let of = async |query: &str| ids(&app.get(&format!("{SESSIONS}?{query}"), &admin).await.json());
        assert_eq!(of("").await, [third, second, first], "newest first, and none of a gateway that died");
        assert_eq!(of("sort=started_at").await, [first, second, third]);
        assert_eq!(of("sort=turns").await, [second, third, first]);
        assert_eq!(of("sort=-turns").await, [first, third, second]);
        assert_eq!(of(&format!("tenant_id={other}")).await, [second]);
        assert_eq!(of(&format!("key_id={key}")).await, [third]);
        assert_eq!(of(&format!("gateway_id={east}&sort=started_at")).await, [first, third]);
        assert_eq!(of("provider=deepgram").await, [second]);
        assert_eq!(of("kind=transcription").await, [second]);
        assert_eq!(of("model=talk").await.len(), 3, "as asked");
        assert_eq!(of("model=it%27s%20%25").await, [third], "as served");
        assert_eq!(of("provider=%27%20OR%201%3D1--").await, Vec::<Uuid>::new());
        let page = app.get(&format!("{SESSIONS}?sort=-turns&limit=2"), &admin).await.json();
        let cursor = page["next_cursor"].as_str().unwrap();
        assert_eq!(ids(&page), [first, third]);
        assert_eq!(of(&format!("sort=-turns&limit=2&cursor={cursor}")).await, [second]);
        let shown = &app.get(&format!("{SESSIONS}?key_id={key}"), &admin).await.json()["data"][0];
        assert_eq!((&shown["gateway"], &shown["cost_usd"]), (&json!("east"), &Value::Null), "unknown is not zero");
        for bad in ["kind=x", "tenant_id=x", "sort=x", "colour=red"] {
            let answer = app.get(&format!("{SESSIONS}?{bad}"), &admin).await;
            assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{bad}");
        }
    }
}

both! {
    async fn a_tenant_sees_and_ends_its_own_sessions_and_no_others(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let gateway = gateway(app, "east", Duration::ZERO).await;
        let (own, foreign) = (session(app, gateway, acme, |_| ()).await, session(app, gateway, other, |_| ()).await);
        turn(app, foreign, other, 0, Some(1)).await;
        let viewer = app.token(Role::TenantViewer, Some(acme)).await;
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        assert_eq!(ids(&app.get(SESSIONS, &viewer).await.json()), [own]);
        assert_eq!(ids(&app.get(&format!("{SESSIONS}?tenant_id={other}"), &viewer).await.json()), Vec::<Uuid>::new());
        assert_eq!(app.get(&format!("{SESSIONS}/{own}"), &viewer).await.status, 200);
        let reason = json!({ "reason": "enough" });
        for id in [foreign, Uuid::now_v7()] {
            assert_eq!(app.get(&format!("{SESSIONS}/{id}"), &admin).await.problem(), "not_found");
            let answer = app.post(&format!("{SESSIONS}/{id}/terminate"), &admin, reason.clone()).await;
            assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"));
        }
        let path = format!("{SESSIONS}/{own}/terminate");
        assert_eq!(app.post(&path, &viewer, reason.clone()).await.status, 403);
        assert_eq!(app.post(&path, &admin, reason).await.status, 202);
        let told = live_session::Entity::find_by_id(Id(foreign)).one(&app.database).await.unwrap().unwrap();
        assert_eq!(told.terminate_requested_at, None);
    }
}

both! {
    async fn a_session_that_is_ended_has_a_reason_and_an_entry_in_the_audit_log(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        let east = gateway(app, "east", Duration::ZERO).await;
        let id = session(app, east, acme, |_| ()).await;
        let path = format!("{SESSIONS}/{id}/terminate");
        for bad in [json!({}), json!({ "reason": " " }), json!({ "reason": "x".repeat(201) }), json!({ "reason": "a\nb" }),
            json!({ "reason": "a", "force": true })] {
            let answer = app.post(&path, &admin, bad.clone()).await;
            assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{bad}");
        }
        let before = app.changes();
        let ended = app.post(&path, &admin, json!({ "reason": " it went on for hours " })).await;
        assert_eq!((ended.status, &ended.json()["terminate_reason"]), (202, &json!("it went on for hours")));
        assert_eq!(app.changes(), before + 1, "its gateway is woken");
        let again = app.post(&path, &admin, json!({ "reason": "another" })).await.json();
        assert_eq!(again, ended.json(), "the first reason stands");
        let told = (SessionId(id), "it went on for hours".to_owned());
        assert_eq!(app.terminated(), [told.clone(), told], "its gateway is told besides, each time");

        let row = live_session::Entity::find_by_id(Id(id)).one(&app.database).await.unwrap().unwrap();
        assert_eq!(row.terminate_reason.as_deref(), Some("it went on for hours"));
        assert!(row.terminate_requested_at.is_some() && row.terminated_by.unwrap().ends_with("@example.com"));
        let entries = audit_entry::Entity::find().filter(audit_entry::Column::ObjectKind.eq("session"));
        let entries = entries.all(&app.database).await.unwrap();
        let told: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.tenant_id, entry.object_id.clone())).collect();
        assert_eq!(told, [("terminate", Some(Id(acme)), Some(id.to_string()))], "once");
        assert!(entries[0].after.as_ref().unwrap().contains("it went on for hours"));

        live_session::Entity::delete_by_id(Id(id)).exec(&app.database).await.unwrap();
        assert_eq!(app.post(&path, &admin, json!({ "reason": "late" })).await.status, 404, "it has ended");
    }
}

both! {
    async fn the_details_of_a_session_outlive_it(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let viewer = app.token(Role::TenantViewer, Some(acme)).await;
        let east = gateway(app, "east", Duration::ZERO).await;
        let id = session(app, east, acme, |row| row.turns = Set(2)).await;
        turn(app, id, acme, 1, None).await;
        turn(app, id, acme, 0, Some(1_500_000)).await;
        let path = format!("{SESSIONS}/{id}");
        let details = app.get(&path, &viewer).await.json();
        assert_eq!((&details["live"]["turns"], &details["more_turns"]), (&json!(2), &json!(false)));
        let turns: Vec<_> = details["turns"].as_array().unwrap().iter().map(|turn| (&turn["sequence"], &turn["cost_usd"])).collect();
        assert_eq!(turns, [(&json!(0), &json!("0.0015")), (&json!(1), &Value::Null)]);
        live_session::Entity::delete_by_id(Id(id)).exec(&app.database).await.unwrap();
        let after = app.get(&path, &viewer).await.json();
        assert_eq!((&after["live"], &after["turns"]), (&Value::Null, &details["turns"]));
    }
}

/// The data of the next event of this stream; `None` at its end.
async fn next(stream: &mut Incoming) -> Option<Value> {
    let mut text = String::new();
    loop {
        let frame = tokio::time::timeout(std::time::Duration::from_secs(20), stream.frame()).await.expect("in time");
        let Some(Ok(frame)) = frame else { return None };
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap_or_default()).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some(data) = event.strip_prefix("event: sessions\ndata: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
            assert!(event.starts_with(':'), "{event}");
            text = rest.to_owned();
        }
    }
}

both! {
    async fn a_dashboard_is_told_of_every_change_until_its_token_is_revoked(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let viewer = app.token(Role::TenantViewer, Some(acme)).await;
        let east = gateway(app, "east", Duration::ZERO).await;
        let own = session(app, east, acme, |_| ()).await;
        session(app, east, other, |_| ()).await;
        let path = format!("{SESSIONS}/events");
        let answer = app.open(&path, &viewer, &[("accept", "text/event-stream")]).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let mut stream = answer.into_body();
        let told = next(&mut stream).await.unwrap();
        assert_eq!((&told["total"], &told["sessions"][0]["id"]), (&json!(1), &json!(own)), "its own alone");
        live_session::Entity::update_many()
            .col_expr(live_session::Column::Turns, Expr::value(9))
            .filter(live_session::Column::Id.eq(Id(own)))
            .exec(&app.database)
            .await
            .unwrap();
        assert_eq!(next(&mut stream).await.unwrap()["sessions"][0]["turns"], 9);
        live_session::Entity::delete_by_id(Id(own)).exec(&app.database).await.unwrap();
        assert_eq!(next(&mut stream).await.unwrap(), json!({ "sessions": [], "total": 0 }));
        let revoke = Expr::value(OffsetDateTime::now_utc());
        access_token::Entity::update_many().col_expr(access_token::Column::RevokedAt, revoke).exec(&app.database).await.unwrap();
        assert_eq!(next(&mut stream).await, None, "it ends with the token");
    }
}

both! {
    async fn streams_are_bounded_and_do_not_hold_up_the_end(app: &TestApp) {
        let path = format!("{SESSIONS}/events");
        let events = [("accept", "text/event-stream")];
        let mut open = Vec::new();
        for _ in 0..8 {
            let one = app.platform().await;
            for _ in 0..8 {
                open.push(app.open(&path, &one, &events).await);
            }
            assert_eq!(app.open(&path, &one, &events).await.status(), 429, "no more of one user");
        }
        assert!(open.iter().all(|answer| answer.status() == 200));
        let admin = app.platform().await;
        let refused = app.send(Method::GET, &path, &admin, &events, None).await;
        assert_eq!((refused.status, refused.problem().as_str()), (429, "too_many"));
        let once = app.get(&path, &admin).await;
        assert_eq!(once.text, "event: sessions\ndata: {\"sessions\":[],\"total\":0}\n\n", "and ends");
        // The streams are still open when the test stops the server, which waits for what is in flight.
        let drained = open.into_iter().map(|answer| tokio::spawn(answer.into_body().collect()));
        drop(drained.collect::<Vec<_>>());
    }
}

both! {
    async fn health_tells_operators_of_gateways_and_everybody_of_targets(app: &TestApp) {
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let viewer = app.token(Role::TenantViewer, Some(acme)).await;
        let admin = app.platform().await;
        let (east, dead) = (gateway(app, "east", Duration::ZERO).await, gateway(app, "dead", Duration::seconds(16)).await);
        for (gateway, provider, tenant, breaker) in [
            (east, "openai", None, "open"),
            (east, "secretive", None, "closed"),
            (east, "own", Some(acme), "closed"),
            (east, "theirs", Some(other), "half_open"),
            (dead, "openai", None, "closed"),
        ] {
            let row = target_health::ActiveModel {
                gateway_id: Set(Id(gateway)),
                provider_id: Set(Id(Uuid::now_v7())),
                model: Set("m".to_owned()),
                provider: Set(provider.to_owned()),
                tenant_id: Set(tenant.map(Id)),
                breaker: Set(breaker.to_owned()),
                failures: Set(5),
                ttfb_ms: Set(r#"{"speech":120}"#.to_owned()),
                updated_at: Set(OffsetDateTime::now_utc()),
            };
            target_health::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
        }
        let route = model::ActiveModel {
            id: Set(Id(Uuid::now_v7())),
            name: Set("talk".to_owned()),
            tenant_id: Set(None),
            strategy: Set("priority".to_owned()),
            targets: Set(r#"[{"provider":"openai","model":"m"}]"#.to_owned()),
            managed_by: Set("api".to_owned()),
            created_at: Set(OffsetDateTime::now_utc()),
            ..Default::default()
        };
        model::Entity::insert(route).exec_without_returning(&app.database).await.unwrap();
        let all = app.get("/api/v1/health", &admin).await.json();
        let gateways = all["gateways"].as_array().unwrap();
        assert_eq!((gateways.len(), &gateways[0]["name"], &gateways[0]["journal_records"]), (1, &json!("east"), &json!(42)));
        let providers = |answer: &Value| {
            let targets = answer["targets"].as_array().unwrap();
            targets.iter().map(|row| row["provider"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(providers(&all), ["openai", "own", "secretive", "theirs"]);
        assert_eq!((&all["targets"][0]["breaker"], &all["targets"][0]["ttfb_ms"]), (&json!("open"), &json!({ "speech": 120 })));
        assert!(["sqlite", "postgresql"].contains(&all["database"]["kind"].as_str().unwrap()));
        let own = app.get("/api/v1/health", &viewer).await.json();
        // What no route of theirs leads to may be another tenant's: models are named freely.
        assert_eq!((providers(&own), &own["gateways"]), (vec!["openai".to_owned(), "own".to_owned()], &json!([])));
        assert_eq!(providers(&app.get("/api/v1/health?breaker=half_open", &admin).await.json()), ["theirs"]);
        assert_eq!(providers(&app.get("/api/v1/health?provider=own", &admin).await.json()), ["own"]);
    }
}
