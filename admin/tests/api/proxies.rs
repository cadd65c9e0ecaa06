//! Where a request comes from, behind proxies and without.

use admin::settings::TrustedProxies;
use admin_types::role::Role;
use http::Method;
use serde_json::json;

use crate::helpers::{Answer, PASSWORD, TestApp, client_from};

const ADA: &str = "ada@example.com";

/// A server that trusts a proxy on this machine, and a network of others.
async fn behind_proxies() -> TestApp {
    let proxies = ["127.0.0.1", "10.0.0.0/8", "2001:db8:ffff::/48"].map(str::to_owned);
    TestApp::on_sqlite_with(|settings| settings.trusted_proxies = TrustedProxies::parse(&proxies).unwrap()).await
}

/// Tries to sign in from an address of this machine, with these in `X-Forwarded-For`.
async fn login(app: &TestApp, from: &str, forwarded: &[&str], password: &str) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(forwarded.iter().map(|value| ("x-forwarded-for", *value)));
    let body = json!({ "email": ADA, "password": password }).to_string().into_bytes();
    app.send_through(&client_from(from), Method::POST, "/api/v1/auth/login", "", &headers, body).await
}

#[actix_web::test]
async fn only_a_proxy_that_is_trusted_says_where_a_request_comes_from() {
    let app = behind_proxies().await;
    app.person(ADA, Role::PlatformAdmin, None).await;
    for (from, forwarded, expected) in [
        ("127.0.0.1", &["203.0.113.7"][..], "203.0.113.7"),
        // Through two proxies; what stands before is the client's own word.
        ("127.0.0.1", &["198.51.100.1, 203.0.113.8, 10.1.2.3"], "203.0.113.8"),
        ("127.0.0.1", &["198.51.100.1,203.0.113.9", "2001:db8:ffff::1"], "203.0.113.9"),
        ("127.0.0.1", &["nonsense, 203.0.113.10"], "203.0.113.10"),
        ("127.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1"),
        ("127.0.0.1", &["203.0.113.11:1234, ::ffff:10.0.0.1"], "203.0.113.11"),
        ("127.0.0.1", &["10.0.0.5, 10.0.0.6"], "10.0.0.5"),
        // Of no proxy, of a header that says nothing, and of none.
        ("127.0.0.2", &["203.0.113.12"], "127.0.0.2"),
        ("127.0.0.1", &["203.0.113.13, nonsense"], "127.0.0.1"),
        ("127.0.0.1", &[""], "127.0.0.1"),
        ("127.0.0.1", &[], "127.0.0.1"),
    ] {
        let answer = login(&app, from, forwarded, PASSWORD).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let sign_ins = app.get("/api/v1/auth/sessions?limit=1", &token).await.json();
        assert_eq!(sign_ins["data"][0]["address"], expected, "{forwarded:?}");
        let entries = app.get("/api/v1/audit?action=sign_in&limit=1", &token).await.json();
        assert_eq!(entries["data"][0]["address"], expected, "{forwarded:?}");
    }
    app.stop().await;
}

#[actix_web::test]
async fn a_thousand_guesses_through_a_proxy_do_not_shut_out_who_comes_through_it_too() {
    let app = behind_proxies().await;
    app.person(ADA, Role::PlatformAdmin, None).await;
    let mut looked_at = 0;
    for number in 0..1000 {
        // The attacker says a new address each time, which the proxy writes its own word behind.
        let forwarded = format!("192.0.2.{}, 203.0.113.66", number % 256);
        match login(&app, "127.0.0.1", &[&forwarded], "a wrong guess at it").await.status {
            401 => looked_at += 1,
            429 => {}
            other => panic!("{other}"),
        }
    }
    assert!((5..=12).contains(&looked_at), "{looked_at} guesses were looked at");
    assert_eq!(login(&app, "127.0.0.1", &["203.0.113.66"], PASSWORD).await.status, 429);
    assert_eq!(login(&app, "127.0.0.1", &["203.0.113.7"], PASSWORD).await.status, 200);
    app.stop().await;
}

#[test]
fn proxies_are_addresses_and_networks() {
    let parse = |text: &str| TrustedProxies::parse(&[text.to_owned()]);
    for good in ["192.0.2.1", "10.0.0.0/8", "2001:db8::1", "fd00::/8", "::ffff:192.0.2.1"] {
        assert!(parse(good).is_ok(), "{good}");
    }
    for bad in ["", "proxy.example.com", "10.0.0.0/33", "10.0.0.0/", "10.0.0.1:80", "*"] {
        assert_eq!(parse(bad), Err(bad.to_owned()));
    }
    assert!(parse("::ffff:192.0.2.1").unwrap().has("192.0.2.1".parse().unwrap()));
}
