//! Prices: one by one, as lists, and for what was used without one.

use std::time::Duration;

use admin_types::role::Role;
use entities::{Id, price, provider, usage_correction, usage_record};
use http::Method;
use pricing_seed::{Import, Options};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, Statement};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use crate::helpers::{Answer, TestApp, both};

const HEADER: &str =
    "tenant,provider,model,operation,unit,price_usd,minimum_ms,rounding_ms,effective_from,source,read_on\n";

pub(crate) fn minute(usd: &str) -> Value {
    json!({
        "provider_kind": "openai", "model": "m", "operation": "transcription", "unit": "audio_minute",
        "price_usd": usd, "effective_from": "2026-01-01T00:00:00Z", "source": "page", "read_on": "2026-11-21",
    })
}

fn with(mut price: Value, field: &str, value: impl Into<Value>) -> Value {
    price[field] = value.into();
    price
}

/// A tenant's own.
pub(crate) fn of(tenant: Uuid, price: Value) -> Value {
    with(price, "tenant_id", json!(tenant))
}

async fn import(app: &TestApp, token: &str, query: &str, list: impl Into<Vec<u8>>) -> Answer {
    let path = format!("/api/v1/prices/import?{query}");
    app.send_bytes(Method::POST, &path, token, &[("content-type", "text/csv")], list.into()).await
}

async fn names(app: &TestApp, token: &str, query: &str) -> Vec<String> {
    let answer = app.get(&format!("/api/v1/prices?{query}"), token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.json();
    let shown = |row: &Value| format!("{} {}", row["model"].as_str().unwrap(), row["price_usd"].as_str().unwrap());
    list["data"].as_array().unwrap().iter().map(shown).collect()
}

/// A record without a cost, as a gateway writes one.
fn record(tenant: Uuid, provider: &str, model: &str, at: OffsetDateTime) -> usage_record::Model {
    usage_record::Model {
        id: Id(Uuid::now_v7()),
        request_id: Id(Uuid::now_v7()),
        session_id: None,
        sequence: 0,
        tenant_id: Id(tenant),
        key_id: Id(Uuid::nil()),
        user_tag: None,
        tags: None,
        operation: "transcription".to_owned(),
        model_asked: model.to_owned(),
        provider: provider.to_owned(),
        model_served: model.to_owned(),
        audio_in_ms: 60_000,
        audio_out_ms: 0,
        characters: 0,
        text_tokens_in: 0,
        text_tokens_out: 0,
        audio_tokens_in: 0,
        audio_tokens_out: 0,
        cached_tokens: 0,
        surcharge_percent: 0,
        usage_source: "measured".to_owned(),
        cost_nano_usd: None,
        price_id: None,
        status: "ok".to_owned(),
        attempts: 1,
        failed_attempts: None,
        routing: None,
        cache: None,
        ttfb_ms: None,
        latency_ms: 5,
        started_at: at,
        ended_at: at,
    }
}

async fn write(app: &TestApp, records: &[usage_record::Model]) {
    usage_store::insert_new(&app.database, records).await.unwrap();
}

async fn openai(app: &TestApp) {
    let row = provider::ActiveModel {
        id: Set(Id(Uuid::now_v7())),
        name: Set("main".to_owned()),
        kind: Set("openai".to_owned()),
        base_url: Set("https://api.openai.com/v1".to_owned()),
        managed_by: Set("file".to_owned()),
        created_at: Set(OffsetDateTime::now_utc()),
        updated_at: Set(OffsetDateTime::now_utc()),
        ..Default::default()
    };
    provider::Entity::insert(row).exec_without_returning(&app.database).await.unwrap();
}

both! {
    async fn a_price_is_made_changed_and_removed_until_it_decides_a_cost(app: &TestApp) {
        let admin = app.platform().await;
        let made = app.post("/api/v1/prices", &admin, minute("0.0060")).await;
        assert_eq!(made.status, 201, "{made:?}");
        assert_eq!(made.json()["price_usd"], "0.006");
        let path = made.headers["location"].clone();
        assert_eq!((app.get(&path, &admin).await.json(), app.changes()), (made.json(), 1));
        for (other, code) in [
            (minute("7"), "overlaps"),
            (with(minute("7"), "unit", "audio_hour"), "overlaps"),
        ] {
            let answer = app.post("/api/v1/prices", &admin, other).await;
            assert_eq!((answer.status, answer.problem().as_str()), (409, code));
        }
        for (field, value) in [
            ("price_usd", json!("-1")),
            ("price_usd", json!("1e3")),
            ("price_usd", json!("0.12345678901234567890123456789")),
            ("provider_kind", json!("nobody")),
            ("operation", json!("stt")),
            ("unit", json!("audio_day")),
            ("model", json!(" ")),
            ("source", json!("")),
            ("minimum_ms", json!(90_000_000)),
            ("tenant_id", json!(Uuid::now_v7())),
            ("colour", json!("red")),
        ] {
            let answer = app.post("/api/v1/prices", &admin, with(minute("1"), field, value)).await;
            assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{field}: {answer:?}");
            assert_eq!(answer.json()["errors"][0]["field"], field);
        }
        let of_text = with(with(minute("1"), "unit", "million_characters"), "minimum_ms", 5);
        assert_eq!(app.post("/api/v1/prices", &admin, of_text).await.json()["errors"][0]["field"], "minimum_ms");

        let changed = app.send(Method::PATCH, &path, &admin, &[("if-match", "\"1\"")], Some(json!({ "price_usd": "0.007" }))).await;
        assert_eq!((changed.status, &changed.json()["price_usd"]), (200, &json!("0.007")));
        let stale = app.send(Method::PATCH, &path, &admin, &[("if-match", "\"1\"")], Some(json!({ "price_usd": "1" }))).await;
        assert_eq!((stale.status, stale.problem().as_str()), (412, "stale"));

        let id: Uuid = changed.json()["id"].as_str().unwrap().parse().unwrap();
        let mut billed = record(Uuid::now_v7(), "main", "m", datetime!(2026-05-01 0:00 UTC));
        (billed.cost_nano_usd, billed.price_id) = (Some(7_000_000), Some(Id(id)));
        write(app, &[billed]).await;
        for answer in [app.patch(&path, &admin, json!({ "price_usd": "1" })).await, app.delete(&path, &admin).await] {
            assert_eq!((answer.status, answer.problem().as_str()), (409, "in_use"));
        }
        let later = with(minute("0.008"), "effective_from", "2026-06-01T00:00:00Z");
        let later = app.post("/api/v1/prices", &admin, later).await.headers["location"].clone();
        assert_eq!(app.delete(&later, &admin).await.status, 204);
        assert_eq!(app.get(&later, &admin).await.status, 404);
    }
}

both! {
    async fn a_tenant_has_prices_of_its_own_which_the_platform_sets(app: &TestApp) {
        let admin = app.platform().await;
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let own = app.token(Role::TenantAdmin, Some(acme)).await;
        let platforms = app.post("/api/v1/prices", &admin, minute("6")).await.headers["location"].clone();
        let mine = app.post("/api/v1/prices", &admin, of(acme, minute("5"))).await;
        assert_eq!(mine.json()["tenant_id"], json!(acme), "{mine:?}");
        let mine = mine.headers["location"].clone();
        let foreign = app.post("/api/v1/prices", &admin, of(other, minute("4"))).await.headers["location"].clone();

        assert_eq!(names(app, &own, "").await, ["m 6", "m 5"]);
        assert_eq!(names(app, &own, &format!("tenant_id={other}")).await, Vec::<String>::new());
        assert_eq!(names(app, &admin, "").await, ["m 6", "m 5", "m 4"]);
        assert_eq!((app.get(&mine, &own).await.status, app.get(&foreign, &own).await.status), (200, 404));
        let list = app.get("/api/v1/prices/export", &own).await;
        assert_eq!(list.headers["content-type"], "text/csv; charset=utf-8");
        assert!(!list.text.contains("other"), "{}", list.text);

        // What is used on the platform's accounts is billed by prices that no tenant writes, be they its own.
        for path in [&platforms, &mine, &foreign] {
            assert_eq!(app.patch(path, &own, json!({ "price_usd": "0" })).await.status, 403);
            assert_eq!(app.delete(path, &own).await.status, 403);
        }
        for price in [minute("0"), of(acme, minute("0"))] {
            assert_eq!(app.post("/api/v1/prices", &own, price).await.status, 403);
        }
        assert_eq!(import(app, &own, "", list.text.clone()).await.status, 403);
        assert_eq!(app.post("/api/v1/prices/reprice", &own, json!({ "dry_run": true })).await.status, 403);

        let again = import(app, &admin, "", list.text.clone()).await;
        assert_eq!((again.status, &again.json()["unchanged"]), (200, &json!(2)), "{again:?}");
        assert_eq!(names(app, &admin, &format!("tenant_id={other}")).await, ["m 4"]);
    }
}

both! {
    async fn lists_are_filtered_and_sorted(app: &TestApp) {
        let admin = app.platform().await;
        let list = format!(
            "{HEADER},openai,b,transcription,audio_minute,1,0,0,2026-01-01,page,d\n\
             ,openai,b,transcription,audio_hour,2,0,0,2026-06-01,page,d\n\
             ,groq,a,speech,million_characters,3,0,0,2026-03-01T12:30:00Z,=cmd,d\n"
        );
        assert_eq!(import(app, &admin, "", list).await.json()["inserted"], 3);
        for (query, expected) in [
            ("", vec!["b 1", "b 2", "a 3"]),
            ("sort=-created_at", vec!["a 3", "b 2", "b 1"]),
            ("sort=effective_from", vec!["b 1", "a 3", "b 2"]),
            ("sort=-effective_from", vec!["b 2", "a 3", "b 1"]),
            ("sort=model", vec!["a 3", "b 1", "b 2"]),
            ("in_force_at=2026-05-01T00:00:00Z&sort=model", vec!["a 3", "b 1"]),
            ("in_force_at=2026-07-01T00:00:00Z&sort=model", vec!["a 3", "b 2"]),
            ("in_force_at=2025-07-01T00:00:00Z", vec![]),
            ("unit=audio_hour", vec!["b 2"]),
            ("provider_kind=groq&operation=speech&managed_by=api&platform=true", vec!["a 3"]),
            ("platform=false", vec![]),
            ("q=CMD", vec!["a 3"]),
            ("model=%27%20OR%201=1--", vec![]),
        ] {
            assert_eq!(names(app, &admin, query).await, expected, "{query}");
            let mut paged = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = app.get(&format!("/api/v1/prices?limit=1&{query}{cursor}"), &admin).await.json();
                paged.extend(page["data"].as_array().unwrap().iter().map(|row| row["price_usd"].as_str().unwrap().to_owned()));
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            let amounts: Vec<_> = expected.iter().map(|name| name.split(' ').nth(1).unwrap()).collect();
            assert_eq!(paged, amounts, "{query} in pages");
        }
        for bad in ["in_force_at=yesterday", "sort=colour", "limit=0", "cursor=x", "colour=red", "platform=perhaps"] {
            let answer = app.get(&format!("/api/v1/prices?{bad}"), &admin).await;
            assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{bad}");
        }
        let text = app.get("/api/v1/prices/export?model=a", &admin).await.text;
        assert_eq!(text, format!("{HEADER},groq,a,speech,million_characters,3,0,0,2026-03-01T12:30:00Z,'=cmd,d\n"));
        let json = app.get("/api/v1/prices/export?format=json", &admin).await;
        assert_eq!(json.json().as_array().unwrap().len(), 3);
        let again = app.send_bytes(Method::POST, "/api/v1/prices/import", &admin, &[("content-type", "application/json")], json.text.into()).await;
        assert_eq!(again.json()["unchanged"], 3, "{again:?}");
    }
}

both! {
    async fn a_list_is_taken_whole_or_row_by_row_and_every_row_is_told(app: &TestApp) {
        let admin = app.platform().await;
        let mut list = b"\xef\xbb\xbf".to_vec();
        list.extend(HEADER.as_bytes());
        list.extend(b",openai,good,speech,million_characters,9,0,0,2026-01-01,page,d\n");
        list.extend(b",openai,\xff,speech,million_characters,9,0,0,2026-01-01,page,d\n");
        list.extend(b",openai,");
        list.extend(vec![b'x'; 8 * 1024 * 1024]);
        list.extend(b",speech,million_characters,9,0,0,2026-01-01,page,d\n");
        list.extend(b",openai,good,speech,million_characters,8,0,0,2026-01-01,page,d\n");
        list.extend(b"nobody,openai,x,speech,million_characters,8,0,0,2026-01-01,page,d\n");
        let refused = import(app, &admin, "", list.clone()).await;
        assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid"));
        let fields: Vec<_> = refused.json()["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect();
        assert_eq!(fields, ["row 3", "row 4", "row 5, unit", "row 6, tenant"]);
        let dry = import(app, &admin, "dry_run=true", list.clone()).await.json();
        assert_eq!((&dry["applied"], &dry["inserted"], &dry["refused"]), (&json!(false), &json!(1), &json!(4)));
        assert_eq!((price::Entity::find().count(&app.database).await.unwrap(), app.changes()), (0, 0));

        let told = import(app, &admin, "mode=skip_bad&report=rows", list.clone()).await;
        assert_eq!(told.headers["content-type"], "application/x-ndjson");
        let lines: Vec<Value> = told.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines[0]["progress"]["bytes"].as_u64().unwrap() > 0, "{told:?}");
        let rows: Vec<_> = lines.iter().filter(|line| line["row"].is_u64()).map(|line| line["outcome"].as_str().unwrap()).collect();
        assert_eq!(rows, ["inserted", "refused", "refused", "refused", "refused"]);
        let last = &lines.last().unwrap()["report"];
        assert_eq!((&last["applied"], &last["rows"], &last["inserted"]), (&json!(true), &json!(5), &json!(1)));
        assert_eq!((names(app, &admin, "").await, app.changes()), (vec!["good 9".to_owned()], 1));
        let entry = entities::audit_entry::Entity::find().one(&app.database).await.unwrap().unwrap();
        assert_eq!((entry.action.as_str(), entry.object_kind.as_str()), ("import", "price"));

        let unknown = import(app, &admin, "", "model,colour\n").await;
        assert_eq!((unknown.status, unknown.problem().as_str()), (422, "invalid"));
        assert!(unknown.json()["detail"].as_str().unwrap().contains("colour"), "{unknown:?}");
        let xml = app.send_bytes(Method::POST, "/api/v1/prices/import", &admin, &[("content-type", "text/xml")], b"<a/>".to_vec()).await;
        assert_eq!(xml.status, 415);
        let streamed = app.send_bytes(Method::POST, "/api/v1/prices/import", &admin, &[("accept", "application/x-ndjson")], b"colour\n".to_vec()).await;
        assert_eq!((streamed.status, streamed.problem().as_str()), (422, "invalid"), "nothing was told yet");
        let both = app.send_bytes(Method::POST, "/api/v1/prices/import?format=json", &admin, &[("content-type", "text/csv")], list).await;
        assert_eq!((both.status, both.json()["errors"][0]["field"].as_str().unwrap()), (422, "format"));
    }
}

both! {
    async fn a_list_of_many_rows_is_written_in_one_piece(app: &TestApp) {
        let admin = app.platform().await;
        let mut list = HEADER.to_owned();
        for row in 0..3000 {
            list.push_str(&format!(",openai,m{row},speech,million_characters,{row}.5,0,0,2026-01-01,page,d\n"));
        }
        let done = import(app, &admin, "", list.clone()).await.json();
        assert_eq!((&done["applied"], &done["inserted"]), (&json!(true), &json!(3000)), "{done}");
        let exported = app.get("/api/v1/prices/export", &admin).await.text;
        let (mut sent, mut got): (Vec<_>, Vec<_>) = (list.lines().collect(), exported.lines().collect());
        sent.sort_unstable();
        got.sort_unstable();
        assert!(sent == got, "every row once, over the edges of pages");
        let again = import(app, &admin, "", exported).await.json();
        assert_eq!((&again["unchanged"], &again["rows"]), (&json!(3000), &json!(3000)));
    }
}

both! {
    async fn what_was_used_without_a_price_is_told_and_priced_once_there_is_one(app: &TestApp) {
        let admin = app.platform().await;
        let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
        let own = app.token(Role::TenantAdmin, Some(acme)).await;
        openai(app).await;
        let (may, june) = (datetime!(2026-05-01 10:00:00.25 UTC), datetime!(2026-06-01 10:00 UTC));
        let mut mixed = record(acme, "main", "tokens", june);
        (mixed.audio_in_ms, mixed.text_tokens_in, mixed.audio_tokens_in, mixed.cached_tokens) = (0, 100, 100, 10);
        let mut cached = record(acme, "main", "tokens", june);
        (cached.audio_in_ms, cached.text_tokens_in, cached.cached_tokens) = (0, 100, 40);
        let records = [
            record(acme, "main", "m", may),
            record(acme, "main", "m", june),
            record(other, "main", "m", june),
            record(acme, "gone", "m", june),
            record(acme, "main", "unlisted", june),
            mixed,
            cached,
        ];
        write(app, &records).await;

        let page = app.get("/api/v1/prices/unpriced?limit=2", &own).await.json();
        let next = app.get(&format!("/api/v1/prices/unpriced?cursor={}", page["next_cursor"].as_str().unwrap()), &own).await.json();
        let uses: Vec<Value> = [page, next].iter().flat_map(|page| page["data"].as_array().unwrap().clone()).collect();
        let shown: Vec<_> = uses
            .iter()
            .map(|each| format!("{} {} {} {}", each["provider"].as_str().unwrap(), each["model"].as_str().unwrap(), each["provider_kind"], each["records"]))
            .collect();
        assert_eq!(shown, ["gone m null 1", "main m \"openai\" 2", "main tokens \"openai\" 2", "main unlisted \"openai\" 1"]);
        assert_eq!((&uses[1]["audio_in_ms"], &uses[2]["cached_tokens"]), (&json!(120_000), &json!(50)));
        assert_eq!(uses[1]["first_used_at"], "2026-05-01T10:00:00.25Z");
        let sorted = async |sort: &str| {
            let mut uses = Vec::new();
            let mut path = format!("/api/v1/prices/unpriced?limit=1&sort={sort}");
            loop {
                let page = app.get(&path, &own).await.json();
                let each = &page["data"][0];
                uses.push(format!("{} {} {}", each["model"].as_str().unwrap(), each["provider"].as_str().unwrap(), each["records"]));
                let Some(cursor) = page["next_cursor"].as_str() else { return uses };
                path = format!("/api/v1/prices/unpriced?limit=1&sort={sort}&cursor={cursor}");
            }
        };
        for (sort, expected) in [
            ("tenant", ["m gone 1", "m main 2", "tokens main 2", "unlisted main 1"]),
            ("model", ["m gone 1", "m main 2", "tokens main 2", "unlisted main 1"]),
            ("records", ["m gone 1", "unlisted main 1", "m main 2", "tokens main 2"]),
        ] {
            assert_eq!(sorted(sort).await, expected, "{sort}");
            let backwards: Vec<_> = expected.into_iter().rev().collect();
            assert_eq!(sorted(&format!("-{sort}")).await, backwards, "-{sort}");
        }
        let of_another_order = app.get("/api/v1/prices/unpriced?limit=1&sort=records", &own).await.json();
        let cursor = of_another_order["next_cursor"].as_str().unwrap();
        assert_eq!(app.get(&format!("/api/v1/prices/unpriced?cursor={cursor}"), &own).await.status, 422);
        let of_may = app.get("/api/v1/prices/unpriced?to=2026-05-02T00:00:00Z&model=m", &admin).await.json();
        assert_eq!(of_may["data"][0]["records"], 1);

        let list = format!(
            "{HEADER},openai,m,transcription,audio_minute,6,0,0,2026-01-01,page,d\n\
             acme,openai,m,transcription,audio_minute,5,0,0,2026-05-15,page,d\n\
             ,openai,tokens,transcription,million_tokens_text_in,4,0,0,2026-01-01,page,d\n\
             ,openai,tokens,transcription,million_tokens_cached_text_in,1,0,0,2026-01-01,page,d\n\
             ,openai,tokens,transcription,million_tokens_audio_in,8,0,0,2026-01-01,page,d\n\
             ,openai,tokens,transcription,million_tokens_cached_audio_in,1,0,0,2026-01-01,page,d\n"
        );
        assert_eq!(import(app, &admin, "", list).await.json()["inserted"], 6);
        let reprice = async |token: &str, body: Value| app.post("/api/v1/prices/reprice", token, body).await.json();
        let dry = reprice(&admin, json!({ "dry_run": true, "tenant_id": acme })).await;
        // 6 and 5 dollars, and 60 tokens at 4 and 40 at 1 a million.
        assert_eq!((&dry["examined"], &dry["repriced"], &dry["cost_usd"]), (&json!(6), &json!(3), &json!("11.00028")), "{dry}");
        assert_eq!(usage_correction::Entity::find().count(&app.database).await.unwrap(), 0);
        let changes = app.changes();
        let done = reprice(&admin, json!({ "tenant_id": acme })).await;
        assert_eq!((&done["repriced"], &done["cost_usd"]), (&json!(3), &json!("11.00028")));
        let reasons: Vec<_> = done["left"].as_array().unwrap().iter().map(|left| format!("{} {}", left["model"].as_str().unwrap(), left["reason"].as_str().unwrap())).collect();
        assert_eq!(reasons, ["m unknown_provider", "tokens quantities_not_kept", "unlisted no_price"]);
        assert!(app.changes() > changes, "gateways are told");
        assert_eq!(reprice(&admin, json!({ "tenant_id": acme })).await["repriced"], 0, "once");
        assert_eq!(reprice(&admin, json!({ "tenant_id": other })).await["cost_usd"], "6", "the platform's price");

        for (before, cost) in records.iter().zip([Some(6_000_000_000), Some(5_000_000_000), Some(6_000_000_000), None, None, None, Some(280_000)]) {
            let after = usage_record::Entity::find_by_id(before.id).one(&app.database).await.unwrap().unwrap();
            assert_eq!((after.cost_nano_usd, after.price_id.is_some()), (cost, cost.is_some()));
            let untouched = usage_record::Model { cost_nano_usd: None, price_id: None, ..after };
            assert_eq!(&untouched, before, "nothing else of it changes");
        }
        let corrections = usage_correction::Entity::find().all(&app.database).await.unwrap();
        assert_eq!(corrections.iter().map(|row| row.cost_nano_usd).sum::<i64>(), 17_000_280_000);
        let days = usage_store::Sql::new(app.database.get_database_backend(), "SELECT CAST(SUM(cost_nano_usd) AS bigint) AS cost, CAST(SUM(unpriced) AS bigint) AS unpriced FROM usage_daily");
        let sums = days.one(&app.database).await.unwrap().unwrap();
        assert_eq!((sums.try_get::<i64>("", "cost").unwrap(), sums.try_get::<i64>("", "unpriced").unwrap()), (17_000_280_000, 3));
        let price = corrections[0].price_id.0;
        assert_eq!(app.delete(&format!("/api/v1/prices/{price}"), &admin).await.problem(), "in_use");
    }
}

both! {
    async fn records_get_the_prices_that_calls_are_billed_by(app: &TestApp) {
        let admin = app.platform().await;
        let acme = app.tenant("acme").await;
        openai(app).await;
        app.provider_of(Some(acme), "agents", "ultravox").await;
        let june = datetime!(2026-06-01 10:00 UTC);
        let of = |operation: &str, sequence: i64, audio_in_ms: i64, model: &str, provider: &str| {
            let mut record = record(acme, provider, model, june);
            (record.operation, record.sequence, record.audio_in_ms) = (operation.to_owned(), sequence, audio_in_ms);
            record.session_id = (operation == "realtime").then(|| Id(Uuid::now_v7()));
            record
        };
        let records = [
            of("translation", 0, 60_000, "m", "main"),
            of("realtime", 0, 60_500, "m", "main"),
            of("realtime", 1, 60_000, "m", "main"),
            of("realtime", 2, 60_500, "m", "main"),
            of("realtime", 3, 60_000, "one-of-ours", "agents"),
            of("chat", 0, 60_000, "m", "main"),
        ];
        write(app, &records).await;
        let list = format!(
            "{HEADER},openai,m,transcription,audio_minute,6,0,1000,2026-01-01,page,d\n\
             ,ultravox,ultravox-v0.7,realtime,audio_minute,0.05,0,6000,2026-01-01,page,d\n"
        );
        assert_eq!(import(app, &admin, "", list).await.json()["inserted"], 2);
        let done = app.post("/api/v1/prices/reprice", &admin, json!({})).await.json();
        let left: Vec<_> = done["left"].as_array().unwrap().iter().map(|left| (&left["operation"], &left["reason"])).collect();
        // What a step has of a part of a session depends on what was billed before.
        assert_eq!(left, [(&json!("chat"), &json!("no_price")), (&json!("realtime"), &json!("quantities_not_kept"))]);
        for (before, cost) in records.iter().zip([Some(6_000_000_000), Some(6_100_000_000), Some(6_000_000_000), None, Some(50_000_000), None]) {
            let after = usage_record::Entity::find_by_id(before.id).one(&app.database).await.unwrap().unwrap();
            assert_eq!(after.cost_nano_usd, cost, "{} {}", before.operation, before.sequence);
        }
    }
}

both! {
    async fn pricing_goes_on_where_a_request_has_stopped(app: &TestApp) {
        let admin = app.platform().await;
        let acme = app.tenant("acme").await;
        openai(app).await;
        app.post("/api/v1/prices", &admin, minute("6")).await;
        let begin = datetime!(2026-05-01 0:00 UTC);
        let records: Vec<_> = (0..10_020_u64).map(|index| record(acme, "main", "m", begin + Duration::from_millis(index * 300))).collect();
        write(app, &records).await;
        let first = app.post("/api/v1/prices/reprice", &admin, json!({})).await.json();
        assert_eq!(first["repriced"], 10_000);
        let second = app.post("/api/v1/prices/reprice", &admin, json!({ "cursor": first["next_cursor"] })).await.json();
        assert_eq!((&second["repriced"], &second["next_cursor"]), (&json!(20), &Value::Null));
    }
}

#[actix_web::test]
async fn a_list_keeps_few_statements_in_the_server() {
    let app = TestApp::on_postgresql().await;
    let transaction = database::begin(&app.database).await.unwrap();
    let options = Options::of_command_line(OffsetDateTime::now_utc());
    let mut import = Import::begin(&transaction, options).await.unwrap();
    let line = |row| format!(",openai,m{row},transcription,audio_minute,1,0,0,2026-01-01,page,2026-11-21\n");
    let list: String = std::iter::once(HEADER.to_owned()).chain((0..5_000).map(line)).collect();
    for piece in list.as_bytes().chunks(8_999) {
        import.feed(piece).await.unwrap();
    }
    assert_eq!(import.finish(|_| {}).await.unwrap().inserted, 5_000);
    let kept = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'INSERT INTO \"price_import\"%'";
    let kept = transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, kept)).await.unwrap().unwrap();
    assert_eq!(kept.try_get_by_index::<i64>(0).unwrap(), 2, "that of all pieces and that of the last");
    transaction.rollback().await.unwrap();
    app.stop().await;
}
