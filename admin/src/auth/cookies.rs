//! The cookies of a browser that is signed in: the refresh token, and the proof that it has signed in
//! before. Scripts read neither, and both go to `/api/v1/auth` alone.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{COOKIE, HOST, HeaderValue};
use domain::key::{KeyHash, Pepper};
use subtle::ConstantTimeEq;

use crate::error::AdminError;
use crate::settings::AdminSettings;
use crate::{http, random};

/// Holds the refresh token.
pub(crate) const REFRESH: &str = "antiphon_refresh";
/// Proves that the browser has signed in before.
pub(crate) const DEVICE: &str = "antiphon_device";
/// A request that a page of another site makes cannot carry it without being asked for first.
pub(crate) const CONFIRMATION: &str = "x-antiphon-refresh";
/// How long a browser is known.
const KNOWN_FOR: Duration = Duration::from_secs(365 * 24 * 3600);
const PATH: &str = "/api/v1/auth";

/// The value of a cookie of this request.
pub(crate) fn read<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let pairs = request.headers().get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(of, _)| *of == name).map(|(_, value)| value)
}

/// Sets a cookie, for as long as told.
pub(crate) fn set(name: &str, value: &str, lifetime: Duration, same_site: &str, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let seconds = lifetime.as_secs();
    let text = format!("{name}={value}; Path={PATH}; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("antiphon_refresh=; Max-Age=0"))
}

/// The cookie of a known browser: `account` has signed in with it.
pub(crate) fn known_device(pepper: &Pepper, account: &str, secure: bool) -> Result<HeaderValue, AdminError> {
    let id: String = random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let value = format!("{id}.{}", proof(pepper, account, &id));
    Ok(set(DEVICE, &value, KNOWN_FOR, "Strict", secure))
}

/// Which browser this is, where it has signed in to `account` before.
pub(crate) fn device<'a>(pepper: &Pepper, account: &str, request: &'a HttpRequest) -> Option<&'a str> {
    let (id, told) = read(request, DEVICE)?.split_once('.')?;
    let expected = proof(pepper, account, id);
    bool::from(expected.as_bytes().ct_eq(told.as_bytes())).then_some(id)
}

fn proof(pepper: &Pepper, account: &str, id: &str) -> String {
    let digest = KeyHash::of(pepper, &format!("known device\n{account}\n{id}")).0;
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the request carries the header by which a page of ours confirms that it means it.
pub(crate) fn is_confirmed(request: &HttpRequest) -> bool {
    request.headers().get(CONFIRMATION).is_some_and(|value| value == "1")
}

/// Browsers send cookies marked `Secure` over TLS alone. Without it there is one case: a browser on the
/// machine itself.
pub(crate) fn must_be_secure(settings: &AdminSettings, request: &HttpRequest) -> bool {
    let behind_tls = settings.public_url.as_ref().is_some_and(|url| url.starts_with("https:"));
    let from_here = http::client(request).is_some_and(|client| client.is_loopback());
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    behind_tls || !from_here || !is_loopback(host)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn cookies_travel_in_the_clear_on_this_machine_alone() {
        let settings = |public_url: Option<&str>| AdminSettings {
            public_url: public_url.map(str::to_owned),
            ..AdminSettings::at("127.0.0.1:0".parse().unwrap())
        };
        let secure = |url, peer: &str, host: &str| {
            let request = TestRequest::default().peer_addr(peer.parse().unwrap()).insert_header((HOST, host));
            must_be_secure(&settings(url), &request.to_http_request())
        };
        assert!(!secure(None, "127.0.0.1:5", "localhost:8081") && !secure(None, "[::1]:5", "[::1]:8081"));
        assert!(secure(None, "127.0.0.1:5", "antiphon.example.com"), "a proxy on this machine");
        assert!(secure(None, "192.0.2.1:5", "localhost"));
        assert!(secure(Some("https://a.example"), "127.0.0.1:5", "127.0.0.1:8081"));
    }

    #[test]
    fn a_browser_is_known_to_the_account_that_it_signed_in_to() {
        let pepper = Pepper::new(&[1; 32]);
        let cookie = known_device(&pepper, "a@example.com", true).unwrap();
        let (pair, attributes) = cookie.to_str().unwrap().split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/api/v1/auth; Max-Age=31536000; HttpOnly; SameSite=Strict; Secure");
        let request = TestRequest::default().insert_header((COOKIE, format!("x=1; {pair}"))).to_http_request();
        assert!(device(&pepper, "a@example.com", &request).is_some());
        assert!(device(&pepper, "b@example.com", &request).is_none());
        assert!(device(&Pepper::new(&[2; 32]), "a@example.com", &request).is_none());
    }
}
