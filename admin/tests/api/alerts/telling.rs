//! That channels hear of alerts.

use std::time::Duration as StdDuration;

use admin::alerts::Alerts;
use admin_types::role::Role;
use domain::seal::{SEAL_RANDOM_BYTES, binding};
use entities::{Id, alert_channel, alert_delivery, alert_rule};
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use metrics_exporter_prometheus::PrometheusBuilder;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::fixtures::{NOON, after, alerts, breaker, look, make};
use super::receiver::{Received, Receiver};
use crate::helpers::{TestApp, both};

const SECRET: &str = "a-secret-of-the-tests";

fn webhook(url: &str) -> Value {
    let settings = json!({ "kind": "webhook", "url": url, "secret": SECRET, "allow_insecure": true });
    json!({ "name": "hook", "settings": settings })
}

/// A rule of the platform that fires while a breaker is open, told through `channel`.
async fn watched(app: &TestApp, token: &str, channel: &str) -> String {
    let condition = json!({ "kind": "breaker", "open_seconds": 0 });
    let body = json!({ "name": "<targets>", "condition": condition, "channel_ids": [channel] });
    make(app, "/api/v1/alerts/rules", token, body).await
}

/// What a receiver does to trust a message.
fn verified(received: &Received) -> Value {
    let signature = &received.headers["x-antiphon-signature"];
    let (time, digits) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.{}", received.body).as_bytes());
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digits, expected);
    let body: Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!(received.headers["x-antiphon-event"], body["event"].as_str().unwrap());
    assert_eq!(received.headers["x-antiphon-delivery"], body["id"].as_str().unwrap());
    body
}

async fn deliveries(app: &TestApp, token: &str) -> Vec<Value> {
    let list = app.get("/api/v1/alerts/deliveries?sort=created_at", token).await;
    assert_eq!(list.status, 200, "{list:?}");
    list.json()["data"].as_array().unwrap().clone()
}

both! {
    async fn a_webhook_that_fails_twice_gets_the_same_signed_message_a_third_time(app: &TestApp) {
        let platform = app.platform().await;
        let mut receiver = Receiver::start(&["500 Oops", "302 Found\r\nlocation: http://127.0.0.1:1/"]).await;
        let channel = make(app, "/api/v1/alerts/channels", &platform, webhook(&receiver.url)).await;
        watched(app, &platform, &channel).await;
        breaker(app, None, "openai", "open").await;
        look(app, NOON).await;
        let sender = alerts(app);
        assert_eq!(sender.deliver(|| NOON).await.unwrap(), 1);
        let first = receiver.next().await;
        let message = verified(&first);
        assert_eq!((&message["event"], &message["alert"]["subject"]), (&json!("alert.firing"), &json!("openai/tts-1")));
        let waiting = deliveries(app, &platform).await;
        assert_eq!((&waiting[0]["status"], &waiting[0]["attempts"]), (&json!("pending"), &json!(1)));
        assert_eq!(waiting[0]["http_status"], 500);
        assert_eq!(waiting[0]["answer"].as_str().unwrap().len(), 4096, "what is kept of an answer is bounded");

        assert_eq!(sender.deliver(|| after(5)).await.unwrap(), 0, "not yet");
        assert_eq!(sender.deliver(|| after(15)).await.unwrap(), 1);
        assert_eq!(verified(&receiver.next().await), message, "a redirection is an answer, and no more");
        assert_eq!(sender.deliver(|| after(80)).await.unwrap(), 1);
        let third = receiver.next().await;
        assert_eq!(verified(&third), message);
        assert_ne!(third.headers["x-antiphon-signature"], first.headers["x-antiphon-signature"], "signed anew");
        let done = deliveries(app, &platform).await;
        assert_eq!((&done[0]["status"], &done[0]["attempts"]), (&json!("delivered"), &json!(3)));
        assert_eq!((&done[0]["http_status"], &done[0]["error"]), (&json!(200), &Value::Null));
        assert_eq!(sender.deliver(|| after(100_000)).await.unwrap(), 0);

        breaker(app, None, "openai", "closed").await;
        look(app, after(120)).await;
        assert_eq!(sender.deliver(|| after(120)).await.unwrap(), 1);
        let over = verified(&receiver.next().await);
        assert_eq!((&over["event"], &over["alert"]["state"]), (&json!("alert.resolved"), &json!("resolved")));
        assert_eq!(over["alert"]["id"], message["alert"]["id"]);
        assert!(receiver.nothing_more() && receiver.answers_left() == 0);
    }
}

both! {
    async fn a_message_that_nobody_takes_is_given_up(app: &TestApp) {
        let platform = app.platform().await;
        let channel = make(app, "/api/v1/alerts/channels", &platform, webhook("http://127.0.0.1:1/")).await;
        watched(app, &platform, &channel).await;
        breaker(app, None, "openai", "open").await;
        look(app, NOON).await;
        let sender = alerts(app);
        let mut attempts = 0;
        for hour in 0..24 * 12 {
            attempts += sender.deliver(|| after(hour * 300)).await.unwrap();
        }
        assert_eq!(attempts, 8);
        let failed = deliveries(app, &platform).await;
        assert_eq!((&failed[0]["status"], &failed[0]["attempts"]), (&json!("failed"), &json!(8)));
        assert_eq!(failed[0]["error"], "127.0.0.1 could not be reached");
    }
}

both! {
    async fn attempts_are_counted_by_what_came_of_them(app: &TestApp) {
        // Of this thread alone: other tests deliver as well.
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let platform = app.platform().await;
        let receiver = Receiver::start(&["500 Oops"]).await;
        let channel = make(app, "/api/v1/alerts/channels", &platform, webhook(&receiver.url)).await;
        watched(app, &platform, &channel).await;
        breaker(app, None, "openai", "open").await;
        look(app, NOON).await;
        let sender = alerts(app);
        sender.deliver(|| NOON).await.unwrap();
        sender.deliver(|| after(15)).await.unwrap();
        breaker(app, None, "openai", "closed").await;
        look(app, after(120)).await;
        let off = app.patch(&format!("/api/v1/alerts/channels/{channel}"), &platform, json!({ "enabled": false })).await;
        assert_eq!(off.status, 200, "{off:?}");
        sender.deliver(|| after(120)).await.unwrap();
        let told = recorder.handle().render();
        for outcome in ["again", "delivered", "failed"] {
            let line = format!("antiphon_alert_deliveries_total{{channel=\"webhook\",outcome=\"{outcome}\"}} 1");
            assert!(told.lines().any(|told| told == line), "{line}: {told}");
        }
    }
}

both! {
    async fn a_muted_rule_is_looked_at_and_tells_nobody_until_it_is_heard_again(app: &TestApp) {
        let platform = app.platform().await;
        let mut receiver = Receiver::start(&[]).await;
        let channel = make(app, "/api/v1/alerts/channels", &platform, webhook(&receiver.url)).await;
        let rule = format!("/api/v1/alerts/rules/{}", watched(app, &platform, &channel).await);
        breaker(app, None, "openai", "open").await;
        let until = alert_rule::Column::MutedUntil;
        let mute = alert_rule::Entity::update_many().col_expr(until, Expr::value(after(300)));
        mute.exec(&app.database).await.unwrap();
        look(app, NOON).await;
        look(app, after(299)).await;
        assert_eq!(app.get("/api/v1/alerts?state=firing", &platform).await.json()["data"][0]["notified_at"], Value::Null);
        assert_eq!(deliveries(app, &platform).await, [] as [Value; 0]);
        look(app, after(301)).await;
        alerts(app).deliver(|| after(301)).await.unwrap();
        assert_eq!(verified(&receiver.next().await)["event"], "alert.firing", "it still fires when the time is over");

        // What began and ended while nobody was to hear of it stays untold.
        let minutes = app.post(&format!("{rule}/mute"), &platform, json!({ "minutes": 525_600 })).await;
        assert_eq!(minutes.status, 200);
        breaker(app, None, "openai", "closed").await;
        look(app, after(315)).await;
        let heard = app.send(Method::POST, &format!("{rule}/unmute"), &platform, &[], None).await;
        assert_eq!(heard.json()["muted_until"], Value::Null);
        look(app, after(330)).await;
        assert_eq!(deliveries(app, &platform).await.len(), 1);
    }
}

both! {
    async fn slack_gets_text_that_cannot_mention_anybody(app: &TestApp) {
        let platform = app.platform().await;
        let mut receiver = Receiver::start(&[]).await;
        let settings = json!({ "kind": "slack", "url": receiver.url, "allow_insecure": true });
        let channel = make(app, "/api/v1/alerts/channels", &platform, json!({ "name": "s", "settings": settings })).await;
        watched(app, &platform, &channel).await;
        breaker(app, None, "<!channel>", "open").await;
        look(app, NOON).await;
        alerts(app).deliver(|| NOON).await.unwrap();
        let body = receiver.next().await.body;
        let message: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(message["text"], "Antiphon: warning: &lt;targets&gt;");
        assert!(!body.contains('<') && body.contains("&lt;!channel&gt;/tts-1"), "{body}");
    }
}

#[actix_web::test]
async fn a_webhook_whose_url_stands_in_the_open_still_works_and_is_sealed_at_the_start() {
    let app = TestApp::on_sqlite_with(|settings| settings.alerts_every = StdDuration::from_millis(20)).await;
    let platform = app.platform().await;
    let mut receiver = Receiver::start(&[]).await;
    let channel = make(&app, "/api/v1/alerts/channels", &platform, webhook(&receiver.url)).await;
    // As it was written before: the URL beside the sealed secret.
    let place = binding("alert_channels", &[&channel]);
    let sealed = app.secrets.sealing.seal(SECRET.as_bytes(), &place, [7; SEAL_RANDOM_BYTES]);
    let target = alert_channel::Column::Target;
    let old = alert_channel::Entity::update_many().col_expr(target, Expr::value(&receiver.url));
    old.col_expr(alert_channel::Column::Sealed, Expr::value(sealed)).exec(&app.database).await.unwrap();

    let shown = app.get(&format!("/api/v1/alerts/channels/{channel}"), &platform).await.json();
    assert_eq!(shown["url"], "http://127.0.0.1/…");
    let test = format!("/api/v1/alerts/channels/{channel}/test");
    app.send(Method::POST, &test, &platform, &[], None).await;
    verified(&receiver.next().await);

    alerts(&app).seal_urls().await.unwrap();
    let row = alert_channel::Entity::find().one(&app.database).await.unwrap().unwrap();
    assert_eq!(row.target, "http://127.0.0.1/…");
    app.send(Method::POST, &test, &platform, &[], None).await;
    verified(&receiver.next().await);
    app.stop().await;
}

both! {
    async fn a_channel_is_tried_out(app: &TestApp) {
        let platform = app.platform().await;
        let mut receiver = Receiver::start(&["200 OK", "403 Forbidden"]).await;
        let channel = make(app, "/api/v1/alerts/channels", &platform, webhook(&receiver.url)).await;
        let path = format!("/api/v1/alerts/channels/{channel}/test");
        let taken = app.send(Method::POST, &path, &platform, &[], None).await;
        assert_eq!((taken.status, &taken.json()["delivered"]), (200, &json!(true)), "{taken:?}");
        let message = verified(&receiver.next().await);
        assert_eq!((&message["event"], &message["id"]), (&json!("alert.test"), &taken.json()["delivery_id"]));
        let refused = app.send(Method::POST, &path, &platform, &[], None).await.json();
        assert_eq!((&refused["delivered"], &refused["http_status"]), (&json!(false), &json!(403)));
        assert_eq!(deliveries(app, &platform).await.len(), 2);
        for _ in 0..4 {
            assert_eq!(app.send(Method::POST, &path, &platform, &[], None).await.status, 200);
        }
        let refused = app.send(Method::POST, &path, &platform, &[], None).await;
        assert_eq!((refused.status, refused.problem().as_str()), (429, "too_many"), "{refused:?}");
        assert_eq!(deliveries(app, &platform).await.len(), 6, "nothing more was sent");
        let audit = app.get("/api/v1/audit?action=test&object_kind=alert_channel", &platform).await.json();
        let entries = audit["data"].as_array().unwrap();
        assert_eq!((entries.len(), &entries[0]["object_id"]), (6, &json!(channel)));
        assert_eq!(entries[0]["after"], json!({ "name": "hook", "kind": "webhook" }));
    }
}

both! {
    async fn a_tenants_url_is_judged_by_where_it_leads_when_it_is_used(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        // A name that is resolved to this machine, whatever it looks like.
        let settings = json!({ "kind": "slack", "url": "https://localhost.localdomain/" });
        let body = json!({ "name": "s", "settings": settings });
        let channel = make(app, "/api/v1/alerts/channels", &admin, body).await;
        let tried = app.send(Method::POST, &format!("/api/v1/alerts/channels/{channel}/test"), &admin, &[], None).await;
        assert_eq!((tried.status, &tried.json()["delivered"]), (200, &json!(false)));
        assert_eq!(tried.json()["error"], "localhost.localdomain could not be reached");
    }
}

/// Messages that are due at a channel.
async fn wait_for(app: &TestApp, channel: &str, tenant: Option<Uuid>, count: i64) {
    for place in 0..count {
        let id = Uuid::now_v7();
        let payload = json!({ "id": id, "event": "alert.test", "created_at": "2026-11-22T12:00:00Z", "alert": null });
        let row = alert_delivery::ActiveModel {
            id: Set(Id(id)),
            channel_id: Set(channel.parse().unwrap()),
            tenant_id: Set(tenant.map(Id)),
            message: Set("alert.test".to_owned()),
            payload: Set(payload.to_string()),
            attempts: Set(0),
            status: Set("pending".to_owned()),
            next_attempt_at: Set(Some(after(place - 1_000))),
            created_at: Set(NOON),
            ..Default::default()
        };
        alert_delivery::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
    }
}

both! {
    async fn receivers_that_do_not_answer_hold_up_their_owners_messages_alone(app: &TestApp) {
        let platform = app.platform().await;
        let acme = app.tenant("acme").await;
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut slow = webhook(&format!("http://{}/", silent.local_addr().unwrap()));
        slow["name"] = json!("slow");
        let slow = make(app, "/api/v1/alerts/channels", &platform, slow).await;
        let owner = alert_channel::Entity::update_many().col_expr(alert_channel::Column::TenantId, Expr::value(acme.to_string()));
        owner.exec(&app.database).await.unwrap();
        let mut receiver = Receiver::start(&[]).await;
        let quick = make(app, "/api/v1/alerts/channels", &platform, webhook(&receiver.url)).await;
        wait_for(app, &slow, Some(acme), 40).await;
        wait_for(app, &quick, None, 6).await;
        let sender = alerts(app);
        let all_of_the_quick = async {
            for _ in 0..6 {
                verified(&receiver.next().await);
            }
        };
        tokio::select! {
            sent = sender.deliver(|| NOON) => panic!("{sent:?} before the messages of another owner"),
            () = all_of_the_quick => {}
        }
        let of_acme = alert_delivery::Column::TenantId.eq(Id(acme));
        let rows = alert_delivery::Entity::find().filter(of_acme).all(&app.database).await.unwrap();
        let tried = rows.iter().filter(|row| row.attempts > 0).count();
        assert!((1..rows.len()).contains(&tried), "{tried} of {} that were due before", rows.len());
    }
}

both! {
    async fn messages_on_their_way_keep_no_connection_from_those_that_follow(app: &TestApp) {
        let platform = app.platform().await;
        let receiver = Receiver::start(&[]).await;
        let channel = make(app, "/api/v1/alerts/channels", &platform, webhook(&receiver.url)).await;
        wait_for(app, &channel, None, 24).await;
        let database = app.connection().await;
        let sender = Alerts::new(database.clone(), app.secrets.sealing.clone(), None).unwrap();
        assert_eq!(sender.deliver(|| NOON).await.unwrap(), 24);
        database.close().await.unwrap();
    }
}

#[actix_web::test]
async fn the_server_looks_and_tells_by_itself_and_stops_when_it_is_told() {
    let app = TestApp::on_sqlite_with(|settings| settings.alerts_every = StdDuration::from_millis(20)).await;
    let platform = app.platform().await;
    let mut receiver = Receiver::start(&[]).await;
    let channel = make(&app, "/api/v1/alerts/channels", &platform, webhook(&receiver.url)).await;
    watched(&app, &platform, &channel).await;
    breaker(&app, None, "openai", "open").await;
    assert_eq!(verified(&receiver.next().await)["event"], "alert.firing");
    app.stop().await;
}
