//! Signing in with OpenID Connect: the browser goes to the identity provider and comes back with a code,
//! which is exchanged for an identity that the provider has signed.
//!
//! State, nonce and code verifier are ours and used once: they lie sealed in `oidc_sign_ins` under a digest
//! of the state, for ten minutes. The browser holds the state in a cookie too, so that nobody can be signed
//! in with somebody else's answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::seal::binding;
use entities::oidc_sign_in;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IdTokenFields, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, StandardErrorResponse,
    StandardTokenResponse, TokenResponse, UserInfoClaims,
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use url::Url;

use super::throttle::{self, digest};
use crate::error::AdminError;
use crate::outgoing::{Outgoing, SendError};
use crate::repositories::{oidc_sign_ins, stored};
use crate::settings::OidcSettings;
use crate::{Control, random, sealing};

/// How long the provider's answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
/// Sign-ins that wait for an answer, at most: everybody may begin one.
const MAX_WAITING: u64 = 10_000;
/// How long what the provider tells of itself is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(60);
/// Where the provider sends the browser back to.
pub(crate) const CALLBACK: &str = "/api/v1/auth/oidc/callback";

/// Claims that have no field of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct More {
    #[serde(flatten)]
    all: BTreeMap<String, Value>,
}

impl AdditionalClaims for More {}

type Fields = IdTokenFields<
    More,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

type Client = openidconnect::Client<
    More,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What the provider was last told to be.
#[derive(Default)]
pub(crate) struct Provider {
    known: Mutex<Option<(Instant, CoreProviderMetadata)>>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provider(…)")
    }
}

/// Why a sign-in has failed. The code goes to the browser, the rest to the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The answer belongs to no sign-in of this browser, or came too late, or twice.
    #[error("the answer belongs to no sign-in that waits")]
    State,
    /// The provider refuses, or the user has.
    #[error("the identity provider refuses: {0}")]
    Refused(String),
    /// The provider cannot be asked, or what it says cannot be believed.
    #[error("{0}")]
    Provider(String),
    /// Somebody whom nobody has given a role.
    #[error("{0}")]
    NotPermitted(&'static str),
    /// Ours.
    #[error("the server failed")]
    Internal,
}

impl Failure {
    /// What the browser is told.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::State => "oidc_state",
            Self::Refused(_) => "oidc_refused",
            Self::Provider(_) => "oidc_provider",
            Self::NotPermitted(_) => "oidc_not_permitted",
            Self::Internal => "internal",
        }
    }
}

impl From<AdminError> for Failure {
    fn from(_: AdminError) -> Self {
        Self::Internal
    }
}

impl From<sea_orm::DbErr> for Failure {
    fn from(error: sea_orm::DbErr) -> Self {
        AdminError::from(error).into()
    }
}

/// Whom the provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) email: Option<String>,
    pub(crate) email_verified: Option<bool>,
    pub(crate) name: Option<String>,
    /// Values of the claim that gives roles.
    pub(crate) groups: Vec<String>,
}

/// What is kept until the answer comes.
#[derive(Serialize, Deserialize)]
struct Waiting {
    nonce: String,
    verifier: String,
}

/// Where to send a browser, and what it keeps meanwhile.
pub(crate) struct Start {
    pub(crate) url: Url,
    pub(crate) state: String,
}

/// Begins a sign-in from `address`.
///
/// # Errors
/// 429 where too many wait, of that network or of all; 502 where the provider does not answer.
pub(crate) async fn start(
    control: &Control,
    settings: &OidcSettings,
    address: Option<&str>,
) -> Result<Start, AdminError> {
    throttle::begin_elsewhere(control, address).await?;
    let client = client(control, settings).await.map_err(|error| AdminError::Upstream(error.to_string()))?;
    let (state, nonce, verifier) = (secret()?, secret()?, PkceCodeVerifier::new(secret()?));
    let waiting = Waiting { nonce: nonce.clone(), verifier: verifier.secret().clone() };
    keep(control, &state, &waiting).await?;
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    let (csrf, nonce) = (CsrfToken::new(state.clone()), Nonce::new(nonce));
    let scopes = settings.scopes.iter().filter(|scope| *scope != "openid").cloned().map(Scope::new);
    let (url, ..) = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || csrf, move || nonce)
        .add_scopes(scopes)
        .set_pkce_challenge(challenge)
        .url();
    Ok(Start { url, state })
}

/// Takes a sign-in that waits for this answer, once.
pub(crate) async fn finish(
    control: &Control,
    settings: &OidcSettings,
    state: &str,
    code: String,
) -> Result<Identity, Failure> {
    let waiting = take(control, state).await?;
    let client = client(control, settings).await.map_err(Failure::Provider)?;
    let http = http(control, settings);
    let fault = |what: &str, error: &dyn std::fmt::Display| Failure::Provider(format!("{what}: {error}"));
    let answer = client
        .exchange_code(AuthorizationCode::new(code))
        .map_err(|error| fault("it has no token endpoint", &error))?
        .set_pkce_verifier(PkceCodeVerifier::new(waiting.verifier))
        .request_async(&http)
        .await
        // What it answered may hold a token, so it is not told.
        .map_err(|_| Failure::Provider("the code was not exchanged".to_owned()))?;
    let id_token = answer.id_token().ok_or_else(|| Failure::Provider("it gave no ID token".to_owned()))?;
    let verifier = client.id_token_verifier();
    let claims = id_token
        .claims(&verifier, &Nonce::new(waiting.nonce))
        .map_err(|error| fault("its ID token is not valid", &error))?;
    if let Some(expected) = claims.access_token_hash() {
        let signed = id_token.signing_alg().map_err(|error| fault("its ID token is not valid", &error))?;
        let key = id_token.signing_key(&verifier).map_err(|error| fault("its ID token is not valid", &error))?;
        let actual = AccessTokenHash::from_token(answer.access_token(), signed, key)
            .map_err(|error| fault("its access token cannot be checked", &error))?;
        if actual != *expected {
            return Err(Failure::Provider("its access token is not the ID token's".to_owned()));
        }
    }
    let mut identity = Identity {
        issuer: claims.issuer().to_string(),
        subject: claims.subject().to_string(),
        email: claims.email().map(|email| email.to_string()),
        email_verified: claims.email_verified(),
        name: claims.name().and_then(|name| name.get(None)).map(|name| name.to_string()),
        groups: groups(&claims.additional_claims().all, &settings.role_claim),
    };
    let is_complete = identity.email.is_some() && !identity.groups.is_empty();
    if !is_complete && client.user_info_url().is_some() {
        // Many providers tell more there than in the ID token. The subject must be the same.
        let told: UserInfoClaims<More, CoreGenderClaim> = client
            .user_info(answer.access_token().clone(), Some(claims.subject().clone()))
            .map_err(|error| fault("it has no user info", &error))?
            .request_async(&http)
            .await
            .map_err(|_| Failure::Provider("it gave no user info".to_owned()))?;
        if identity.email.is_none() {
            identity.email = told.email().map(|email| email.to_string());
            identity.email_verified = told.email_verified();
        }
        identity.name =
            identity.name.or_else(|| told.name().and_then(|name| name.get(None)).map(|name| name.to_string()));
        identity.groups.extend(groups(&told.additional_claims().all, &settings.role_claim));
    }
    Ok(identity)
}

/// A claim that is one text, or a list of them.
fn groups(claims: &BTreeMap<String, Value>, name: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match claims.get(name) {
        Some(Value::Array(values)) => values.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

async fn client(control: &Control, settings: &OidcSettings) -> Result<Client, String> {
    let metadata = discover(control, settings).await?;
    let secret = settings.client_secret.as_ref().map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
    let redirect = RedirectUrl::new(format!("{}{CALLBACK}", control.settings.origin()));
    let redirect = redirect.map_err(|_| "server.admin.public_url is not a URL".to_owned())?;
    let id = ClientId::new(settings.client_id.clone());
    Ok(Client::from_provider_metadata(metadata, id, secret).set_redirect_uri(redirect))
}

async fn discover(control: &Control, settings: &OidcSettings) -> Result<CoreProviderMetadata, String> {
    let known = &control.auth.oidc.known;
    if let Some((at, metadata)) = &*known.lock().unwrap_or_else(PoisonError::into_inner)
        && at.elapsed() < BELIEVED_FOR
    {
        return Ok(metadata.clone());
    }
    let issuer = IssuerUrl::new(settings.issuer.clone()).map_err(|_| "oidc.issuer is not a URL".to_owned())?;
    let metadata = CoreProviderMetadata::discover_async(issuer, &http(control, settings)).await.map_err(|error| {
        tracing::warn!(error = %error, "the identity provider does not tell what it is");
        "the identity provider does not tell what it is".to_owned()
    })?;
    *known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), metadata.clone()));
    Ok(metadata)
}

/// The way requests go out.
fn http(
    control: &Control,
    settings: &OidcSettings,
) -> impl Fn(HttpRequest) -> std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, SendError>> + Send>> + use<> {
    let (outgoing, insecure): (Outgoing, bool) = (control.auth.outgoing.clone(), settings.allow_insecure);
    move |request| {
        let outgoing = outgoing.clone();
        Box::pin(async move { outgoing.send(request, insecure).await })
    }
}

async fn keep(control: &Control, state: &str, waiting: &Waiting) -> Result<(), AdminError> {
    let now = stored(OffsetDateTime::now_utc());
    oidc_sign_ins::forget(&control.database, now).await?;
    if oidc_sign_ins::count(&control.database).await? >= MAX_WAITING {
        let detail = "Too many sign-ins wait for the identity provider.".to_owned();
        return Err(AdminError::TooMany { detail, retry_after: Duration::from_secs(60) });
    }
    let id = id(control, state);
    let plain = serde_json::to_vec(waiting).map_err(|error| AdminError::internal(&error))?;
    let transaction = control.begin().await?;
    let place = binding("oidc_sign_ins", &[&id]);
    let sealed = sealing::seal(&transaction, &control.secrets.sealing, &place, &plain).await?;
    let row = oidc_sign_in::Model { id, sealed, expires_at: now + PATIENCE };
    oidc_sign_ins::insert(&transaction, row).await?;
    Ok(transaction.commit().await?)
}

async fn take(control: &Control, state: &str) -> Result<Waiting, Failure> {
    let id = id(control, state);
    let row = oidc_sign_ins::take(&control.database, &id).await?.ok_or(Failure::State)?;
    if row.expires_at <= OffsetDateTime::now_utc() {
        return Err(Failure::State);
    }
    let plain = control.secrets.sealing.open(&row.sealed, &binding("oidc_sign_ins", &[&id]));
    let plain = plain.map_err(|error| AdminError::internal(&error))?;
    Ok(serde_json::from_slice(&plain).map_err(|error| AdminError::internal(&error))?)
}

fn id(control: &Control, state: &str) -> String {
    digest(&control.secrets.token_pepper, &format!("sign-in with OpenID Connect\n{state}"))
}

/// 43 characters that nobody can guess, as a code verifier has them.
fn secret() -> Result<String, AdminError> {
    Ok(domain::key::format_as("", random()?).chars().take(43).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_one_text_or_a_list() {
        let claims = serde_json::json!({ "one": "a", "many": ["a", 7, "b"], "number": 7 });
        let claims: BTreeMap<String, Value> = serde_json::from_value(claims).unwrap();
        assert_eq!(groups(&claims, "one"), ["a"]);
        assert_eq!(groups(&claims, "many"), ["a", "b"]);
        assert!(groups(&claims, "number").is_empty() && groups(&claims, "none").is_empty());
    }
}
