//! Credentials towards providers: a key in a header, or the token that a Google service account is
//! exchanged for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use dashmap::DashMap;
use dialects::registry::AuthStyle;
use domain::error::ErrorKind;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use url::Url;

use crate::error::GatewayError;
use crate::pipeline::forward;
use crate::pipeline::route::Candidate;
use crate::snapshot::{AccountKey, ProviderAccount};
use crate::telemetry::names;
use crate::upstream::Outbound;
use crate::upstream::client::UpstreamClient;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// A token is renewed so long before its end, so that none ends on its way.
const MARGIN: Duration = Duration::from_secs(60);
/// For how long an assertion asks, and what holds where the answer names no time. Seconds.
const LIFETIME_S: u64 = 3600;
/// After a failure nobody asks again for so long: callers that waited for it would each wait in turn.
const PAUSE: Duration = Duration::from_secs(1);
/// No token is believed to last longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The credential header of a candidate.
///
/// # Errors
/// The configured credential cannot be sent, or there is no token for it.
pub async fn credential(
    from: &impl Outbound,
    candidate: &Candidate,
) -> Result<Option<(HeaderName, HeaderValue)>, GatewayError> {
    let account = &candidate.account;
    let (name, before, key) = match (candidate.row.auth, &account.api_key) {
        (AuthStyle::None, _) | (_, None) => return Ok(None),
        (AuthStyle::KeyOrServiceAccount(_), Some(key)) if is_service_account(key) => {
            let token = from.tokens().of(from, account, key).await?;
            return Ok(Some((AUTHORIZATION, token)));
        }
        (AuthStyle::KeyOrServiceAccount(name), Some(key)) => (name, "", key),
        (AuthStyle::Header(name, before), Some(key)) => (name, before, key),
    };
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap_or(AUTHORIZATION);
    Ok(Some((name, secret_header(&format!("{before}{}", key.expose_secret()))?)))
}

fn secret_header(text: &str) -> Result<HeaderValue, GatewayError> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| GatewayError::internal(&"a provider's credential is no header value"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// No API key begins like an object.
fn is_service_account(key: &SecretString) -> bool {
    key.expose_secret().trim_start().starts_with('{')
}

/// Why a credential cannot be one for a provider that takes it so, without asking anybody.
///
/// # Errors
/// One sentence, without the credential.
pub fn check(style: AuthStyle, key: &SecretString, insecure: bool) -> Result<(), &'static str> {
    match style {
        AuthStyle::KeyOrServiceAccount(_) if is_service_account(key) => {
            let holder = ServiceAccount::read(key, insecure)?;
            let signed = assertion(&holder, holder.address(), 0);
            signed.map(drop).ok_or(UNSIGNED)
        }
        AuthStyle::KeyOrServiceAccount(_) if key.expose_secret().trim_end().ends_with(".json") => {
            Err("a service account is given as the JSON text itself, not as the path of its file")
        }
        _ => Ok(()),
    }
}

const UNSIGNED: &str = "the private_key of the service account is no RSA key";

/// The tokens of all accounts that have to be exchanged for one.
#[derive(Default)]
pub struct Tokens {
    /// Whoever renews a token holds its lock; the others wait for what comes of it.
    held: DashMap<AccountKey, Arc<Mutex<Option<Held>>>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(…)")
    }
}

/// What came of the last exchange.
struct Held {
    /// For which credential: an operator may change it.
    key: SecretString,
    /// `None` where it failed.
    token: Option<HeaderValue>,
    until: Instant,
}

impl Tokens {
    /// A token was refused: the next call asks for another.
    pub fn forget(&self, account: AccountKey) {
        self.held.remove(&account);
    }

    /// The token of an account as it goes out.
    async fn of(
        &self,
        from: &impl Outbound,
        account: &ProviderAccount,
        key: &SecretString,
    ) -> Result<HeaderValue, GatewayError> {
        let slot = Arc::clone(&self.held.entry(account.key()).or_default());
        let mut held = slot.lock().await;
        if let Some(known) = held.as_ref().filter(|known| known.holds(key, Instant::now())) {
            return known.token.clone().ok_or_else(|| none("The provider gives the gateway no token."));
        }
        let exchanged = exchange(from, account, key).await;
        *held = Some(Held::of(key, exchanged.as_ref().ok(), Instant::now()));
        exchanged.map(|(token, _)| token)
    }
}

impl Held {
    /// What is held of an exchange that came to its end at `now`.
    fn of(key: &SecretString, exchanged: Option<&(HeaderValue, Duration)>, now: Instant) -> Self {
        let lasts = exchanged.map_or(PAUSE, |(_, lasts)| lasts.saturating_sub(MARGIN).min(LONGEST));
        Self { key: key.clone(), token: exchanged.map(|(token, _)| token.clone()), until: now + lasts }
    }

    /// Whether it still speaks for this credential.
    fn holds(&self, key: &SecretString, now: Instant) -> bool {
        self.key.expose_secret() == key.expose_secret() && now < self.until
    }
}

/// A key of a service account as Google's console gives it.
#[derive(Deserialize)]
struct ServiceAccount {
    client_email: String,
    private_key: SecretString,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default)]
    token_uri: Option<String>,
}

impl ServiceAccount {
    fn read(key: &SecretString, insecure: bool) -> Result<Self, &'static str> {
        let holder: Self = serde_json::from_str(key.expose_secret())
            .map_err(|_| "the service account is not JSON with client_email and private_key")?;
        if !may_be_asked(holder.address(), insecure) {
            return Err("the token_uri of the service account is not an https address of googleapis.com");
        }
        Ok(holder)
    }

    fn address(&self) -> &str {
        self.token_uri.as_deref().unwrap_or(TOKEN_URI)
    }
}

#[derive(Deserialize)]
struct Exchanged {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Exchanges a signed assertion for a token, and tells how long it holds.
async fn exchange(
    from: &impl Outbound,
    account: &ProviderAccount,
    key: &SecretString,
) -> Result<(HeaderValue, Duration), GatewayError> {
    let unusable = |why: &str| {
        tracing::error!(provider = %account.name, why, "the service account cannot be used");
        refused(account)
    };
    let holder = ServiceAccount::read(key, account.allow_insecure).map_err(unusable)?;
    let address = holder.address();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let assertion = assertion(&holder, address, now).ok_or_else(|| unusable(UNSIGNED))?;
    let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
    let body = Full::new(Bytes::from(form)).map_err(|never| match never {}).boxed_unsync();
    let request = Request::builder()
        .method(Method::POST)
        .uri(address)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
        .map_err(|error| GatewayError::internal(&error))?;

    let timeouts = from.timeouts();
    // Connections belong to the thread that made them, and the next renewal is an hour away.
    let client = UpstreamClient::new(timeouts.connect);
    let answer = tokio::time::timeout(timeouts.first_byte, client.send(account.allow_insecure, request)).await;
    let answer = answer.map_err(|_| {
        GatewayError::upstream(ErrorKind::UpstreamTimeout, "The provider did not give the gateway a token in time.")
    })??;
    let status = answer.status();
    let body = forward::collect(answer.into_body(), MAX_ANSWER_BYTES, timeouts.idle).await?;
    if status.is_client_error() {
        return Err(unusable(&reason(&body)));
    }
    let exchanged: Option<Exchanged> = serde_json::from_slice(&body).ok().filter(|_| status.is_success());
    let exchanged = exchanged.ok_or_else(|| {
        tracing::warn!(provider = %account.name, %status, "the token endpoint gave no token");
        none("The provider gave the gateway no token.")
    })?;
    let token = secret_header(&format!("Bearer {}", exchanged.access_token.expose_secret()))?;
    Ok((token, Duration::from_secs(exchanged.expires_in.unwrap_or(LIFETIME_S))))
}

/// An assertion is worth a token, so it goes to nobody else.
fn may_be_asked(address: &str, insecure: bool) -> bool {
    let Ok(url) = Url::parse(address) else { return false };
    let host = url.host_str().unwrap_or_default();
    let is_googles = host == "googleapis.com" || host.ends_with(".googleapis.com");
    insecure || (url.scheme() == "https" && is_googles)
}

/// The claims of a service account, signed; `None` where its key does not sign.
fn assertion(holder: &ServiceAccount, audience: &str, now: i64) -> Option<String> {
    let pem: String = holder.private_key.expose_secret().lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(pem.trim()).ok()?;
    let key = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)).ok()?;
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let (Some(id), Some(header)) = (&holder.private_key_id, header.as_object_mut()) {
        header.insert("kid".to_owned(), json!(id));
    }
    let expires = now.saturating_add_unsigned(LIFETIME_S);
    let claims = json!({ "iss": holder.client_email, "scope": SCOPE, "aud": audience, "iat": now, "exp": expires });
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).ok()?;
    Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// `invalid_grant` and its like, for the log alone.
fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let refusal = serde_json::from_slice::<Refusal>(body);
    let told = refusal.map(|refusal| format!("{}: {}", refusal.error, refusal.error_description));
    told.map_or_else(|_| "the token endpoint refused it".to_owned(), |told| dialects::openai::errors::clean(&told))
}

/// As when the provider itself refuses our credential.
fn refused(account: &ProviderAccount) -> GatewayError {
    names::credential_refused(&account.name);
    none("The provider refused the gateway's credential; the operator has been alerted.")
}

fn none(message: &str) -> GatewayError {
    GatewayError::upstream(ErrorKind::UpstreamError, message)
}

#[cfg(test)]
mod tests {
    use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    const PEM: &str = include_str!("../../tests/fixtures/nobodys-rsa-key.pem");

    fn holder(private_key: &str) -> ServiceAccount {
        let key = json!({ "client_email": "a@b.iam", "private_key": private_key, "private_key_id": "k1", "type": "service_account" });
        serde_json::from_value(key).unwrap()
    }

    #[test]
    fn an_assertion_is_signed_by_the_account_s_key() {
        let signed = assertion(&holder(PEM), TOKEN_URI, 1_000).unwrap();
        let (message, signature) = signed.rsplit_once('.').unwrap();
        let der = STANDARD.decode(PEM.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
        let key = RsaKeyPair::from_pkcs8(&der).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
        public.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let part = |index| {
            let part = message.split('.').nth(index).unwrap();
            serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(part(0), json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
        let claims = json!({ "iss": "a@b.iam", "scope": SCOPE, "aud": TOKEN_URI, "iat": 1_000, "exp": 4_600 });
        assert_eq!(part(1), claims);
        assert!(assertion(&holder("-----BEGIN PRIVATE KEY-----\nAAAA\n"), TOKEN_URI, 0).is_none());
    }

    #[test]
    fn a_token_is_kept_until_a_minute_before_its_end_and_a_failure_for_a_moment() {
        let (key, now) = (SecretString::from("{}"), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let token = |seconds| (HeaderValue::from_static("Bearer t"), Duration::from_secs(seconds));
        let held = Held::of(&key, Some(&token(3_599)), now);
        assert!(held.holds(&key, after(3_538)) && !held.holds(&key, after(3_539)));
        assert!(!held.holds(&SecretString::from("{ }"), now), "the operator has changed the credential");
        assert!(!Held::of(&key, Some(&token(60)), now).holds(&key, now));
        assert!(!Held::of(&key, Some(&token(u64::MAX)), now).holds(&key, after(24 * 3600)));
        let failed = Held::of(&key, None, now);
        assert!(failed.token.is_none() && failed.holds(&key, now) && !failed.holds(&key, after(1)));
    }

    #[test]
    fn an_account_that_cannot_work_is_known_before_it_is_used() {
        let style = AuthStyle::KeyOrServiceAccount("x-goog-api-key");
        let account = |key: &str, uri: &str| {
            json!({ "client_email": "a@b.iam", "private_key": key, "token_uri": uri }).to_string()
        };
        let checked = |text: &str, insecure| check(style, &SecretString::from(text), insecure);
        assert_eq!(checked(&account(PEM, TOKEN_URI), false), Ok(()));
        assert_eq!(checked("AIzaSyNobodysKey", false), Ok(()));
        let local = account(PEM, "http://127.0.0.1:9/token");
        assert!(checked(&local, false).unwrap_err().contains("token_uri") && checked(&local, true).is_ok());
        assert!(checked(&account("nonsense", TOKEN_URI), false).unwrap_err().contains("RSA"));
        assert!(checked("{\"type\":\"authorized_user\"}", false).unwrap_err().contains("client_email"));
        assert!(checked("/etc/google/account.json", false).unwrap_err().contains("path"));
    }

    #[test]
    fn assertions_go_to_google_alone() {
        assert!(may_be_asked(TOKEN_URI, false));
        for address in
            ["http://oauth2.googleapis.com/token", "https://evilgoogleapis.com/", "https://googleapis.com.evil/", "x"]
        {
            assert!(!may_be_asked(address, false), "{address}");
        }
        assert!(may_be_asked("http://127.0.0.1:9/token", true));
    }
}
