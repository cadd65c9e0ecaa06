//! Usage: what is listed, summed, exported and compared comes to the same.

use std::collections::{BTreeMap, BTreeSet};

use admin::usage::retention::{Retention, sweep};
use admin_types::role::Role;
use entities::{Id, usage_record};
use http::Method;
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use usage_store::retain::Deleted;
use uuid::Uuid;

use crate::helpers::{Answer, TestApp, both};

const START: OffsetDateTime = datetime!(2026-10-31 22:00 UTC);
/// Whole days around all of the records.
const ALL: &str = "from=2026-10-31T00:00:00Z&to=2026-11-03T00:00:00Z";

/// As gateways write it down.
const ROUTING: &str = r#"{"strategy":["geographic","cost"],"candidates":[
    {"provider":"groq","model":"whisper","ttfb_ms":90,"expected_cost":1200},
    {"provider":"openai","model":"tts-1","dropped":"breaker_open"}]}"#;

pub(crate) fn record(number: u128, tenant: Uuid) -> usage_record::Model {
    let n = i64::try_from(number).unwrap();
    let pick = |names: [&str; 3]| names[usize::try_from(number % 3).unwrap()].to_owned();
    usage_record::Model {
        id: Id(Uuid::from_u128(number + 1)),
        request_id: Id(Uuid::from_u128(10_000 + number)),
        session_id: number.is_multiple_of(10).then(|| Id(Uuid::from_u128(20_000 + number))),
        sequence: 0,
        tenant_id: Id(tenant),
        key_id: Id(Uuid::from_u128(100 + number % 4)),
        user_tag: Some(format!("user {}", number % 7)),
        tags: Some(if number.is_multiple_of(2) { "team=a, env=x" } else { "team=ab" }.to_owned()),
        operation: pick(["speech", "transcription", "realtime"]),
        model_asked: "fast".to_owned(),
        provider: pick(["openai", "groq", "groq"]),
        model_served: pick(["tts-1", "whisper", "live"]),
        audio_in_ms: n * 100,
        audio_out_ms: n,
        characters: 11,
        text_tokens_in: 1,
        text_tokens_out: 2,
        audio_tokens_in: 3,
        audio_tokens_out: 4,
        cached_tokens: 1,
        surcharge_percent: 0,
        usage_source: "measured".to_owned(),
        cost_nano_usd: (!number.is_multiple_of(9)).then_some(1_234_567 * n + 1),
        price_id: None,
        status: pick(["ok", "ok", "upstream_error"]),
        attempts: 2,
        failed_attempts: Some(r#"[{"provider":"groq","model":"whisper","error":"upstream_timeout"}]"#.to_owned()),
        routing: Some(ROUTING.to_owned()),
        cache: None,
        ttfb_ms: Some(20),
        latency_ms: 1 + n,
        // Some on whole seconds and some not, over three days.
        started_at: START + Duration::milliseconds(n * 700_500),
        ended_at: START + Duration::milliseconds(n * 700_500 + 1),
    }
}

/// 120 records of one tenant and 30 of another.
async fn fill(app: &TestApp) -> (Uuid, Uuid) {
    let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
    let owner = |number: u128| if number.is_multiple_of(5) { other } else { acme };
    let records: Vec<_> = (0..150).map(|number| record(number, owner(number))).collect();
    usage_store::insert_new(&app.database, &records).await.unwrap();
    (acme, other)
}

fn cost(entry: &Value) -> i64 {
    entry["cost_nano_usd"].as_i64().unwrap_or(0)
}

/// Every record of a list, page by page.
async fn listed(app: &TestApp, token: &str, query: &str) -> Vec<Value> {
    let mut entries: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = app.get(&format!("/api/v1/usage/records?{query}{cursor}"), token).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let page = answer.json();
        entries.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return entries };
        cursor = format!("&cursor={next}");
    }
}

async fn summed(app: &TestApp, token: &str, query: &str) -> Value {
    let answer = app.get(&format!("/api/v1/usage/aggregates?{query}"), token).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()
}

async fn exported(app: &TestApp, token: &str, query: &str) -> Answer {
    let answer = app.get(&format!("/api/v1/usage/export?{query}"), token).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer
}

fn lines(csv: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
}

both! {
    async fn records_sums_and_exports_are_equal_to_the_nano_dollar(app: &TestApp) {
        let (acme, other) = fill(app).await;
        let platform = app.platform().await;
        for token in [&platform, &app.token(Role::TenantViewer, Some(acme)).await, &app.token(Role::TenantAdmin, Some(other)).await] {
            for filter in ["", "&key_id=00000000-0000-0000-0000-000000000065", "&provider=groq", "&operation=speech", "&user=user%203", "&tag=team%3Da"] {
                let records = listed(app, token, &format!("limit=7{filter}")).await;
                let total: i64 = records.iter().map(cost).sum();
                assert!(!records.is_empty() && total > 0, "{filter}");

                let answer = exported(app, token, &format!("format=csv{filter}")).await;
                let csv = lines(&answer.text);
                assert_eq!(answer.headers["x-total-estimate"], records.len().to_string(), "{filter}");
                assert_eq!(csv.len(), records.len(), "{filter}");
                let nano = csv.iter().filter_map(|line| line["cost_nano_usd"].parse::<i64>().ok()).sum::<i64>();
                assert_eq!(nano, total, "{filter}");
                let json: Value = exported(app, token, &format!("format=json{filter}")).await.json();
                let mut listed: Vec<&Value> = records.iter().rev().collect();
                let exported: Vec<&Value> = json.as_array().unwrap().iter().collect();
                // Newest and oldest first, but for what began at one moment.
                listed.sort_by_key(|entry| entry["id"].as_str());
                let mut sorted = exported.clone();
                sorted.sort_by_key(|entry| entry["id"].as_str());
                assert_eq!(sorted, listed, "{filter}");

                for by in ["", "&group_by=model,operation", "&bucket=day", "&bucket=month&group_by=key&limit=1", "&bucket=day&group_by=provider,tenant&limit=2"] {
                    let sums = summed(app, token, &format!("{ALL}{filter}{by}")).await;
                    let rows = sums["data"].as_array().unwrap().iter().chain(sums["other"].as_array().unwrap());
                    assert_eq!(rows.map(cost).sum::<i64>(), total, "{filter} {by}: {sums}");
                    assert_eq!(cost(&sums["total"]), total, "{filter} {by}");
                    assert_eq!(sums["total"]["requests"], records.len(), "{filter} {by}");
                    let unpriced = records.iter().filter(|entry| entry["cost_nano_usd"].is_null()).count();
                    assert_eq!(sums["total"]["unpriced"], unpriced, "{filter} {by}");
                    assert_eq!(sums["complete"], true);
                }
            }
        }
    }
}

both! {
    async fn nobody_sees_what_another_tenant_used(app: &TestApp) {
        let (acme, other) = fill(app).await;
        let viewer = app.token(Role::TenantViewer, Some(acme)).await;
        let mine = listed(app, &viewer, "").await;
        assert_eq!(mine.len(), 120);
        assert!(mine.iter().all(|entry| entry["tenant_id"] == acme.to_string()));
        assert!(listed(app, &viewer, &format!("tenant_id={other}")).await.is_empty());
        let theirs = Uuid::from_u128(1);
        assert_eq!(app.get(&format!("/api/v1/usage/records/{theirs}"), &viewer).await.problem(), "not_found");
        assert_eq!(app.get(&format!("/api/v1/usage/records/{theirs}"), &app.platform().await).await.status, 200);
        let sums = summed(app, &viewer, &format!("{ALL}&tenant_id={other}")).await;
        assert_eq!(sums["total"]["requests"], 0);
        let sums = summed(app, &viewer, &format!("{ALL}&group_by=tenant")).await;
        let tenants: Vec<_> = sums["data"].as_array().unwrap().iter().map(|row| &row["group"][0]).collect();
        assert_eq!((tenants.len(), tenants[0]["name"].as_str()), (1, Some("acme")));
        assert_eq!(lines(&exported(app, &viewer, &format!("tenant_id={other}")).await.text).len(), 0);
        let invoice = b"month,model,amount_usd\n2026-11,whisper,1\n".to_vec();
        let path = format!("/api/v1/usage/compare?provider=groq&tenant_id={other}");
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        let compared = app.send_bytes(Method::POST, &path, &admin, &[("content-type", "text/csv")], invoice).await;
        assert_eq!((compared.status, &compared.json()["ours_usd"]), (200, &Value::from("0")));
    }
}

both! {
    async fn a_list_keeps_its_order_and_takes_what_is_asked(app: &TestApp) {
        fill(app).await;
        let token = app.platform().await;
        for (sort, key) in [("time", "started_at"), ("-time", "started_at")] {
            let records = listed(app, &token, &format!("limit=1&sort={sort}")).await;
            let times: Vec<_> = records.iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect();
            let mut ordered = times.clone();
            ordered.sort();
            if sort == "-time" {
                ordered.reverse();
            }
            assert_eq!((times.len(), &times), (150, &ordered), "{sort}: each once");
        }
        let dearest = listed(app, &token, &format!("{ALL}&limit=20&sort=-cost")).await;
        assert!(dearest.len() == 133 && dearest.is_sorted_by_key(|entry| -cost(entry)), "{}", dearest.len());
        let slowest = listed(app, &token, &format!("{ALL}&limit=150&sort=-latency")).await;
        assert!(slowest.len() == 150 && slowest.is_sorted_by_key(|entry| -entry["latency_ms"].as_i64().unwrap()));

        let count = async |query: &str| listed(app, &token, &format!("limit=500&{query}")).await.len();
        assert_eq!(count("from=2026-11-01T00:00:00Z").await, 139, "the eleventh began at 2026-11-01T00:08:34Z");
        assert_eq!(count("to=2026-11-01T00:00:00Z").await, 11);
        assert_eq!(count("priced=false").await, 17);
        assert_eq!(count("status=upstream_error").await, 50);
        assert_eq!(count("model=whisper").await, 50);
        assert_eq!(count("model=fast").await, 150);
        assert_eq!(count("tag=team%3Da").await, 75, "and not team=ab");
        assert_eq!(count("tag=env%3Dx").await, 75);
        assert_eq!(count(&format!("session_id={}", Uuid::from_u128(20_010))).await, 1);
        assert_eq!(count(&format!("request_id={}", Uuid::from_u128(10_011))).await, 1);
        for injected in ["' OR 1=1 --", "%", "_", "{{7*7}}", "a\r\nx: y", "\\"] {
            let text: String = injected.bytes().map(|byte| format!("%{byte:02X}")).collect();
            for field in ["user", "tag", "provider", "model"] {
                assert_eq!(count(&format!("{field}={text}")).await, 0, "{field}={injected}");
                let sums = summed(app, &token, &format!("{ALL}&{field}={text}")).await;
                assert_eq!(sums["total"]["requests"], 0, "{field}={injected}");
            }
        }
        let detail = app.get(&format!("/api/v1/usage/records/{}", Uuid::from_u128(12)), &token).await.json();
        assert_eq!(detail["failed_attempts"][0]["error"], "upstream_timeout");
        let (kept, dropped) = (&detail["routing"]["candidates"][0], &detail["routing"]["candidates"][1]);
        assert_eq!(detail["routing"]["strategy"], json!(["geographic", "cost"]));
        assert_eq!((&kept["ttfb_ms"], &kept["expected_cost_nano_usd"]), (&json!(90), &json!(1200)));
        assert_eq!((&kept["dropped"], &dropped["dropped"]), (&Value::Null, &json!("breaker_open")));
        assert_eq!(detail["cost_usd"], "0.013580238");

        for (query, field) in [
            ("sort=-cost", "sort"),
            ("sort=-latency&from=2026-10-01T00:00:00Z&to=2026-11-01T00:00:00Z", "sort"),
            ("operation=singing", "operation"),
            ("status=fine", "status"),
            ("from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", "from"),
            ("from=yesterday", "from"),
            ("limit=0", "limit"),
            ("cursor=e30", "cursor"),
            ("colour=red", "colour"),
        ] {
            let answer = app.get(&format!("/api/v1/usage/records?{query}"), &token).await;
            assert_eq!((answer.status, answer.json()["errors"][0]["field"].as_str()), (422, Some(field)), "{query}");
        }
    }
}

both! {
    async fn sums_come_by_time_and_group_with_percentiles(app: &TestApp) {
        fill(app).await;
        let token = app.platform().await;
        let hours = summed(app, &token, "from=2026-10-31T23:10:00Z&to=2026-11-01T02:00:00Z&bucket=hour").await;
        assert_eq!(hours["from"], "2026-10-31T23:00:00Z", "what is not a whole hour is rounded outwards");
        let counts: Vec<_> = hours["data"].as_array().unwrap().iter().map(|row| &row["requests"]).collect();
        assert_eq!(counts, [5, 5, 5]);
        // The hours at either end and the day between them.
        let ends = summed(app, &token, "from=2026-10-31T23:00:00Z&to=2026-11-02T01:00:00Z").await;
        let whole = listed(app, &token, "limit=500&from=2026-10-31T23:00:00Z&to=2026-11-02T01:00:00Z").await;
        assert_eq!(ends["total"]["requests"], whole.len());
        assert_eq!(cost(&ends["total"]), whole.iter().map(cost).sum::<i64>());
        let months = summed(app, &token, &format!("{ALL}&bucket=month")).await;
        let starts: Vec<_> = months["data"].as_array().unwrap().iter().map(|row| &row["bucket_start"]).collect();
        assert_eq!(starts, ["2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"]);
        let latency = &months["total"]["latency"];
        let p95 = latency["p95_ms"].as_i64().unwrap();
        assert!((130..=178).contains(&p95), "of 1 to 150: {latency}");
        assert_eq!(latency["mean_ms"], 75);
        assert_eq!(months["total"]["sessions"], 15);

        let users = summed(app, &token, &format!("{ALL}&group_by=user&limit=3")).await;
        assert_eq!(users["data"].as_array().unwrap().len(), 3);
        assert!(cost(&users["other"][0]) > 0 && users["total"]["latency"].is_null());
        let teams = summed(app, &token, &format!("{ALL}&group_by=tag:team")).await;
        let values: BTreeSet<_> =
            teams["data"].as_array().unwrap().iter().map(|row| row["group"][0]["value"].as_str().unwrap()).collect();
        assert_eq!(values, BTreeSet::from(["a", "ab"]));
        for (query, field) in [
            ("&group_by=user,tag:team", "query"),
            ("&group_by=tag:team,tag:env", "query"),
            ("&group_by=user&bucket=hour", "query"),
            ("&user=a&model_asked=fast", "query"),
            ("&group_by=colour", "group_by"),
            ("&group_by=key,key", "group_by"),
            ("&limit=501", "limit"),
        ] {
            let answer = app.get(&format!("/api/v1/usage/aggregates?{ALL}{query}"), &token).await;
            assert_eq!((answer.status, answer.json()["errors"][0]["field"].as_str()), (422, Some(field)), "{query}");
        }
        let long = "from=2025-01-01T00:00:00Z&to=2026-01-01T00:00:00Z&bucket=hour";
        assert_eq!(app.get(&format!("/api/v1/usage/aggregates?{long}"), &token).await.status, 422);
    }
}

both! {
    async fn an_export_runs_nothing_in_a_spreadsheet(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let mut odd = record(1, acme);
        odd.user_tag = Some("=HYPERLINK(\"http://x\")".to_owned());
        odd.tags = Some("@a,\"b\"\nc".to_owned());
        odd.model_asked = "+1".to_owned();
        usage_store::insert_new(&app.database, &[odd]).await.unwrap();
        let token = app.token(Role::TenantViewer, Some(acme)).await;
        let answer = exported(app, &token, "").await;
        assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
        let line = &lines(&answer.text)[0];
        assert_eq!(line["user_tag"], "'=HYPERLINK(\"http://x\")");
        assert_eq!((line["tags"].as_str(), line["model_asked"].as_str()), ("'@a,\"b\"\nc", "'+1"));
        let jsonl = exported(app, &token, "format=jsonl").await.text;
        let object: Value = serde_json::from_str(jsonl.trim_end()).unwrap();
        assert_eq!(object["model_asked"], "+1", "JSON is not changed");
        let nothing = exported(app, &token, "format=json&provider=nobody").await.json();
        assert_eq!(nothing, serde_json::json!([]));
    }
}

both! {
    async fn an_invoice_shows_where_it_differs(app: &TestApp) {
        let (acme, _) = fill(app).await;
        let token = app.platform().await;
        let compare = async |query: &str, body: Vec<u8>| {
            let path = format!("/api/v1/usage/compare?{query}");
            app.send_bytes(Method::POST, &path, &token, &[("content-type", "text/csv")], body).await
        };
        let mut invoice = "\u{feff}Date, model ,unit,quantity,amount_usd\r\n".as_bytes().to_vec();
        invoice.extend_from_slice(b"2026-11-01,whisper,minute,12.5,1.25\r\n2026-11-01,whisper,request,3,0.05\r\n");
        invoice.extend_from_slice(b"2026-11-01,whisper,minute,12.5,1.25\r\n2026-11-01,unheard,minute,1,2\r\n");
        invoice.extend_from_slice(b"01.11.2026,whisper,,,1\r\n2026-11-01,\xff\xfe,,,1\r\n2026-11-01,live,,,$3\r\n");
        invoice.extend_from_slice(b"2026-11-01,");
        invoice.extend(std::iter::repeat_n(b'x', 200_000));
        invoice.extend_from_slice(b",,,1\r\n2026-11-01\r\n");
        let answer = compare("provider=groq", invoice).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let compared = answer.json();
        let rows = compared["data"].as_array().unwrap();
        let models: Vec<_> = rows.iter().map(|row| row["model"].as_str().unwrap()).collect();
        assert_eq!(models, ["live", "unheard", "whisper"]);
        assert!(rows[0]["theirs_usd"].is_null() && rows[1]["ours_usd"].is_null());
        assert_eq!((&rows[2]["theirs_usd"], &rows[2]["quantities"][0]["quantity"]), (&"1.3".into(), &"12.5".into()));
        let sums = summed(app, &token, "from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z&provider=groq&model=whisper").await;
        assert_eq!(rows[2]["ours_usd"], sums["total"]["cost_usd"]);
        assert_eq!(compared["theirs_usd"], "3.3");
        let rows: Vec<_> = compared["problems"].as_array().unwrap().iter().map(|problem| problem["row"].as_u64().unwrap()).collect();
        assert_eq!(rows, [4, 6, 7, 8, 9, 10], "{compared}");
        assert!(compared["problems"][0]["detail"].as_str().unwrap().contains("line 2"));
        assert_eq!(compared["problems"][3]["column"], "amount_usd");

        let monthly = compare(&format!("provider=groq&tenant_id={acme}"), b"month,model,amount_usd\n2026-11,live,1\n".to_vec()).await;
        assert_eq!(monthly.json()["data"][0]["period"], "2026-11");
        let mut long = b"month,model,amount_usd\n".to_vec();
        long.extend((0..20_001).flat_map(|line| format!("2026-11,m{line},1\n").into_bytes()));
        let refused = compare("provider=groq", long).await;
        assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (422, &json!("row 20002")), "{refused:?}");
        assert_eq!(compare("provider=groq", b"model,amount_usd\na,1\n".to_vec()).await.status, 422);
        assert_eq!(compare("provider=groq", Vec::new()).await.status, 422);
        assert_eq!(compare("provider=groq", vec![b'"'; 17 * 1024 * 1024]).await.status, 413);
        assert_eq!(app.post("/api/v1/usage/compare?provider=groq", &token, serde_json::json!({})).await.status, 415);
    }
}

both! {
    async fn what_has_had_its_time_goes_and_its_sums_stay(app: &TestApp) {
        fill(app).await;
        let token = app.platform().await;
        let before = summed(app, &token, &format!("{ALL}&bucket=day&group_by=key")).await;
        let retention = Retention { record_days: Some(1), hourly_days: Some(1) };
        let now = datetime!(2026-11-02 12:00 UTC);
        let unpriced = listed(app, &token, "limit=500&priced=false&to=2026-11-01T00:00:00Z").await.len();
        let (deleted, hours) = sweep(&app.database, retention, now).await.unwrap();
        assert!(deleted.records == 11 && hours > 0, "what began before the first of November: {deleted:?}, {hours}");
        assert!(unpriced > 0 && deleted.unpriced == unpriced as u64, "{deleted:?}");
        assert_eq!(listed(app, &token, "limit=500").await.len(), 139);
        assert_eq!(summed(app, &token, &format!("{ALL}&bucket=day&group_by=key")).await, before);
        let rebuilt = usage_store::rebuild::rebuild(&app.database, START, now).await.unwrap();
        assert_eq!(rebuilt.skipped, 1, "no day is summed anew that has lost records");
        assert_eq!(summed(app, &token, &format!("{ALL}&bucket=day&group_by=key")).await, before);

        let outwards = summed(app, &token, "from=2026-10-31T23:00:00Z&to=2026-11-02T01:00:00Z").await;
        assert_eq!((&outwards["from"], &outwards["to"]), (&"2026-10-31T00:00:00Z".into(), &"2026-11-02T01:00:00Z".into()));
        let hourly = "from=2026-10-31T20:00:00Z&to=2026-10-31T23:00:00Z&bucket=hour";
        assert_eq!(app.get(&format!("/api/v1/usage/aggregates?{hourly}"), &token).await.status, 422);
        assert_eq!(sweep(&app.database, retention, now).await.unwrap(), (Deleted::default(), 0));
    }
}

both! {
    async fn what_a_key_spent_stays_known_when_its_records_are_gone(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let admin = app.token(Role::TenantAdmin, Some(acme)).await;
        let budget = json!({ "usd": "100", "window": "total" });
        let key = app.post("/api/v1/keys", &admin, json!({ "name": "ci", "budget": budget })).await.json();
        let path = format!("/api/v1/keys/{}", key["id"].as_str().unwrap());
        let now = OffsetDateTime::now_utc();
        let used = |number: u128, started_at: OffsetDateTime, cost: Option<i64>| usage_record::Model {
            key_id: Id(key["id"].as_str().unwrap().parse().unwrap()),
            cost_nano_usd: cost,
            started_at,
            ..record(number, acme)
        };
        let records = [
            used(0, now - Duration::days(50), Some(95_000_000_000)),
            used(1, now - Duration::days(50), None),
            used(2, now, Some(5_000_000_000)),
            used(3, now, None),
        ];
        usage_store::insert_new(&app.database, &records).await.unwrap();
        let usage = async || app.get(&format!("{path}/usage"), &admin).await.json();
        let before = usage().await;
        assert_eq!((&before["spent_usd"], &before["remaining_usd"]), (&json!("100"), &json!("0")));
        assert_eq!((&before["records"], &before["unpriced_records"]), (&json!(4), &json!(2)));
        let retention = Retention { record_days: Some(40), hourly_days: None };
        let swept = sweep(&app.database, retention, now).await.unwrap();
        assert_eq!(swept, (Deleted { records: 2, unpriced: 1 }, 0));
        assert_eq!(usage().await, before);
        let daily = json!({ "budget": { "usd": "100", "window": "daily" } });
        assert_eq!(app.patch(&path, &admin, daily).await.status, 200);
        assert_eq!(usage().await["remaining_usd"], "95", "days gone by are not in the window");
    }
}

both! {
    async fn an_export_by_tag_is_json_where_no_record_of_its_first_page_is_meant(app: &TestApp) {
        let acme = app.tenant("acme").await;
        let tagged = |number: u128, tags: &str| usage_record::Model { tags: Some(tags.to_owned()), ..record(number, acme) };
        let mut records: Vec<_> = (0..201).map(|number| tagged(number, "env=production")).collect();
        records.extend([tagged(201, "env=prod"), tagged(202, "env=prod")]);
        usage_store::insert_new(&app.database, &records).await.unwrap();
        let token = app.token(Role::TenantViewer, Some(acme)).await;
        let json = exported(app, &token, "format=json&tag=env%3Dprod").await.json();
        assert_eq!(json.as_array().map(Vec::len), Some(2));
    }
}
