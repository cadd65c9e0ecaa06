//! Client secrets: `ek-ap-` and a signed token that binds a key, a model and a time. Nothing is
//! stored: a secret dies with its time or with the key it was made from.

use domain::ids::VirtualKeyId;
use domain::key::SECRET_PREFIX;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::GatewayError;

const ISSUER: &str = "antiphon";
const AUDIENCE: &str = "realtime";

/// What a client secret permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The key it was made from.
    pub key: VirtualKeyId,
    /// The only model it opens.
    pub model: String,
    /// It opens transcription sessions, and no others.
    pub transcription: bool,
    /// The only model that may transcribe the input of a conversation.
    pub transcriber: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    exp: i64,
    model: String,
    transcription: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transcriber: Option<String>,
}

/// Issues and redeems.
pub struct ClientSecrets {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for ClientSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientSecrets(…)")
    }
}

impl ClientSecrets {
    /// Signs with HMAC-SHA-256 under `key`.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The time is judged in `redeem`, by the caller's clock.
        validation.validate_exp = false;
        Self { encoding: EncodingKey::from_secret(key), decoding: DecodingKey::from_secret(key), validation }
    }

    /// A new secret.
    ///
    /// # Errors
    /// The token could not be signed.
    pub fn issue(&self, grant: Grant, expires_at: OffsetDateTime) -> Result<String, GatewayError> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: grant.key.to_string(),
            exp: expires_at.unix_timestamp(),
            model: grant.model,
            transcription: grant.transcription,
            transcriber: grant.transcriber,
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.encoding);
        token.map(|token| format!("{SECRET_PREFIX}{token}")).map_err(|error| GatewayError::internal(&error))
    }

    /// What a secret permits, or nothing.
    #[must_use]
    pub fn redeem(&self, secret: &str, now: OffsetDateTime) -> Option<Grant> {
        let token = secret.strip_prefix(SECRET_PREFIX)?;
        let claims = decode::<Claims>(token, &self.decoding, &self.validation).ok()?.claims;
        if claims.exp <= now.unix_timestamp() {
            return None;
        }
        let key = claims.sub.parse().ok()?;
        let Claims { model, transcription, transcriber, .. } = claims;
        Some(Grant { key, model, transcription, transcriber })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;
    use uuid::Uuid;

    #[test]
    fn a_secret_is_good_until_its_time_and_only_under_its_key() {
        let (ours, theirs) = (ClientSecrets::new(&[1; 32]), ClientSecrets::new(&[2; 32]));
        let (key, now) = (VirtualKeyId(Uuid::now_v7()), OffsetDateTime::now_utc());
        let grant = Grant { key, model: "m".into(), transcription: false, transcriber: Some("t".into()) };
        let secret = ours.issue(grant.clone(), now + Duration::seconds(10)).unwrap();
        assert!(secret.starts_with("ek-ap-"));
        assert_eq!(ours.redeem(&secret, now), Some(grant));
        assert_eq!(ours.redeem(&secret, now + Duration::seconds(10)), None, "expired");
        assert_eq!(theirs.redeem(&secret, now), None, "signed by another");
        let (head, _) = secret.rsplit_once('.').unwrap();
        assert_eq!(ours.redeem(&format!("{head}.AAAA"), now), None, "another signature");
        assert_eq!(ours.redeem("ek-ap-eyJhbGciOiJub25lIn0.e30.", now), None, "no algorithm");
    }
}
