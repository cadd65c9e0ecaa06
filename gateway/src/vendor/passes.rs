//! Tokens that are given out in place of a vendor's own: sealed, so that nothing in them can be read or
//! changed, and good for a while. Nothing is stored: any replica opens what another has sealed.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use domain::ids::{CredentialId, VirtualKeyId};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use time::OffsetDateTime;

use crate::error::GatewayError;

/// What every token begins with.
const PREFIX: &str = "vt-ap-";
/// Bytes of a nonce.
const NONCE_BYTES: usize = 12;

/// What a token permits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// The key that it was made for.
    pub key: VirtualKeyId,
    /// The vendor below whose prefix it is good.
    pub vendor: String,
    /// Unix time from which it is refused.
    pub expires_at: i64,
    /// The session that it joins; `None` where it stands for the key.
    pub session: Option<Join>,
}

/// A session that a vendor has made for somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Where the vendor awaits it.
    pub url: String,
    /// The account that pays for it.
    pub account: String,
    /// Which of its credentials has made it, where that has a row.
    #[serde(default)]
    pub credential: Option<CredentialId>,
    /// The model that was asked for.
    pub model: String,
    /// Its name at the vendor, where that can be asked about it.
    #[serde(default)]
    pub name: Option<String>,
    /// Its sound does not pass through here.
    #[serde(default)]
    pub without_sound: bool,
}

/// Seals and opens.
pub struct Passes(Aes256Gcm);

impl std::fmt::Debug for Passes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passes(…)")
    }
}

impl Passes {
    /// Seals with AES-256-GCM under a key that is derived from `secret`, which has other uses.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (to, from) in block.iter_mut().zip(secret) {
            *to = *from;
        }
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new(&block);
        mac.update(b"antiphon vendor tokens");
        let key: [u8; 32] = mac.finalize().into_bytes().into();
        Self(Aes256Gcm::new(&key.into()))
    }

    /// A token that permits this.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn seal(&self, pass: &Pass) -> Result<String, GatewayError> {
        let plain = serde_json::to_vec(pass).map_err(|error| GatewayError::internal(&error))?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| GatewayError::internal(&error))?;
        let sealed = self.0.encrypt(&nonce.into(), plain.as_slice());
        let sealed = sealed.map_err(|error| GatewayError::internal(&error))?;
        Ok(format!("{PREFIX}{}", BASE64.encode([&nonce[..], &sealed].concat())))
    }

    /// What a token permits, or nothing.
    #[must_use]
    pub fn open(&self, token: &str, now: OffsetDateTime) -> Option<Pass> {
        let bytes = BASE64.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let plain = self.0.decrypt(&(*nonce).into(), sealed).ok()?;
        let pass: Pass = serde_json::from_slice(&plain).ok()?;
        (pass.expires_at > now.unix_timestamp()).then_some(pass)
    }

    /// Whether a text is meant as a token.
    #[must_use]
    pub fn is_token(text: &str) -> bool {
        text.starts_with(PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    proptest! {
        #[test]
        fn nothing_but_what_was_sealed_opens_whatever_it_looks_like(
            text in ".*",
            bytes in prop::collection::vec(any::<u8>(), 0..256),
            (at, change) in (any::<prop::sample::Index>(), 1..=u8::MAX),
        ) {
            let (passes, now) = (Passes::new(&[1; 32]), OffsetDateTime::UNIX_EPOCH);
            let key = VirtualKeyId(Uuid::from_u128(7));
            let pass = Pass { key, vendor: text.clone(), expires_at: 1, session: None };
            let sealed = passes.seal(&pass).unwrap();
            prop_assert_eq!(passes.open(&sealed, now), Some(pass));
            let mut changed = BASE64.decode(sealed.strip_prefix(PREFIX).unwrap()).unwrap();
            let at = at.index(changed.len());
            let cut = BASE64.encode(&changed[..at]);
            changed[at] ^= change;
            let forged = [text.clone(), BASE64.encode(text), BASE64.encode(bytes), BASE64.encode(changed), cut];
            for token in forged {
                prop_assert_eq!(passes.open(&token, now), None);
                prop_assert_eq!(passes.open(&format!("{PREFIX}{token}"), now), None);
            }
        }
    }

    #[test]
    fn a_token_is_good_until_its_time_under_its_key_and_tells_nothing() {
        let (ours, theirs) = (Passes::new(&[1; 32]), Passes::new(&[2; 32]));
        let now = OffsetDateTime::from_unix_timestamp(1_000).unwrap();
        let pass = Pass {
            key: VirtualKeyId(Uuid::from_u128(7)),
            vendor: "ultravox".to_owned(),
            expires_at: 1_010,
            session: Some(Join {
                url: "wss://secret.example/x".into(),
                account: "uv".into(),
                credential: Some(CredentialId(Uuid::from_u128(8))),
                model: "m".into(),
                name: Some("call".into()),
                without_sound: true,
            }),
        };
        let token = ours.seal(&pass).unwrap();
        assert!(Passes::is_token(&token));
        assert_eq!(ours.open(&token, now), Some(pass.clone()));
        assert_eq!(ours.open(&token, now + time::Duration::seconds(10)), None, "expired");
        assert_eq!(theirs.open(&token, now), None);
        let mut bytes = BASE64.decode(token.strip_prefix(PREFIX).unwrap()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"), "readable");
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(ours.open(&format!("{PREFIX}{}", BASE64.encode(bytes)), now), None, "changed");
        assert_ne!(ours.seal(&pass).unwrap(), token, "each has its own nonce");
    }
}
