//! Secrets at rest: each is encrypted under a data key of its own, and that key under the sealing key,
//! which is derived from the server's master key and lies in no database.
//!
//! What is sealed names the sealing key that opens it, so that rows under an old and a new one can live
//! side by side while the master key is rotated; a rotation wraps the data key again and leaves the rest
//! as it is. It is bound to its place: moved to another row, it does not open.
//!
//! ```text
//! version 1 │ key id 8 │ nonce 12 │ wrapped data key 48 │ nonce 12 │ secret and tag
//! ```

use std::fmt;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use sha2::{Digest, Sha256};

use crate::ids::{CredentialId, ProviderId, TenantId};
use crate::key::{KeyHash, Pepper};

/// The only form there is.
const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = KEY_BYTES + TAG_BYTES;
/// Hexadecimal digits of a fingerprint: enough to tell credentials apart, too few to be one.
const FINGERPRINT_DIGITS: usize = 16;

/// Random bytes that sealing takes: a data key and two nonces.
pub const SEAL_RANDOM_BYTES: usize = KEY_BYTES + 2 * NONCE_BYTES;
/// Random bytes that wrapping again takes: a nonce.
pub const REWRAP_RANDOM_BYTES: usize = NONCE_BYTES;

/// Which sealing key has wrapped something. Tells nothing of the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 8]);

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Seals and opens.
#[derive(Clone)]
pub struct SealingKey {
    cipher: Aes256Gcm,
    id: KeyId,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

/// Why something does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another sealing key has wrapped it.
    #[error("it was sealed under another master key ({0})")]
    OtherKey(KeyId),
    /// It is damaged, or lies where it was not sealed for.
    #[error("it is damaged, or was sealed for another row")]
    Damaged,
}

/// The parts of what is sealed.
struct Sealed<'a> {
    key_id: KeyId,
    wrap_nonce: [u8; NONCE_BYTES],
    wrapped: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Sealed<'a> {
    fn read(sealed: &'a [u8]) -> Option<Self> {
        let (&version, rest) = sealed.split_first()?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (wrap_nonce, rest) = rest.split_first_chunk()?;
        let (wrapped, payload) = rest.split_at_checked(WRAPPED_BYTES)?;
        let complete = version == VERSION && payload.len() >= NONCE_BYTES + TAG_BYTES;
        complete.then_some(Self { key_id: KeyId(*key_id), wrap_nonce: *wrap_nonce, wrapped, payload })
    }
}

impl SealingKey {
    /// A key of 32 secret bytes.
    #[must_use]
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(b"antiphon sealing key id\n").chain_update(bytes).finalize();
        let mut id = [0; 8];
        for (to, from) in id.iter_mut().zip(digest) {
            *to = from;
        }
        Self { cipher: Aes256Gcm::new(&(*bytes).into()), id: KeyId(id) }
    }

    /// What names this key in what it seals.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.id
    }

    /// Seals `plaintext` for the place that `binding` names. `random` must be used once.
    #[must_use]
    pub fn seal(&self, plaintext: &[u8], binding: &str, random: [u8; SEAL_RANDOM_BYTES]) -> Vec<u8> {
        let (data_key, nonces) = split::<KEY_BYTES>(&random);
        let (wrap_nonce, nonce) = split::<NONCE_BYTES>(nonces);
        let (nonce, _) = split::<NONCE_BYTES>(nonce);
        let cipher = Aes256Gcm::new(&data_key.into());
        let aad = secret_aad(binding);
        let message = Payload { msg: plaintext, aad: &aad };
        // Fails for texts of tens of gigabytes alone, which no caller holds.
        let secret = cipher.encrypt(&nonce.into(), message).unwrap_or_default();
        self.assemble(&data_key, wrap_nonce, binding, &[&nonce[..], &secret].concat())
    }

    /// Opens what was sealed under this key for the place that `binding` names.
    ///
    /// # Errors
    /// [`OpenError`], which tells nothing of the secret.
    pub fn open(&self, sealed: &[u8], binding: &str) -> Result<Vec<u8>, OpenError> {
        let parts = Sealed::read(sealed).ok_or(OpenError::Damaged)?;
        let data_key = self.unwrap_key(&parts, binding)?;
        let (nonce, secret) = parts.payload.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Damaged)?;
        let aad = secret_aad(binding);
        let cipher = Aes256Gcm::new(&data_key.into());
        cipher.decrypt(&(*nonce).into(), Payload { msg: secret, aad: &aad }).map_err(|_| OpenError::Damaged)
    }

    /// Wraps the data key of something sealed under this key under `new` instead. The secret itself is
    /// opened by nobody for that.
    ///
    /// # Errors
    /// As [`Self::open`]'s.
    pub fn rewrap(
        &self,
        new: &Self,
        sealed: &[u8],
        binding: &str,
        random: [u8; REWRAP_RANDOM_BYTES],
    ) -> Result<Vec<u8>, OpenError> {
        let parts = Sealed::read(sealed).ok_or(OpenError::Damaged)?;
        let data_key = self.unwrap_key(&parts, binding)?;
        Ok(new.assemble(&data_key, random, binding, parts.payload))
    }

    fn assemble(
        &self,
        data_key: &[u8; KEY_BYTES],
        wrap_nonce: [u8; NONCE_BYTES],
        binding: &str,
        payload: &[u8],
    ) -> Vec<u8> {
        let aad = wrap_aad(self.id, binding);
        let message = Payload { msg: &data_key[..], aad: &aad };
        // As above: 32 bytes never fail.
        let wrapped = self.cipher.encrypt(&wrap_nonce.into(), message).unwrap_or_default();
        [&[VERSION][..], &self.id.0, &wrap_nonce, &wrapped, payload].concat()
    }

    fn unwrap_key(&self, parts: &Sealed<'_>, binding: &str) -> Result<[u8; KEY_BYTES], OpenError> {
        if parts.key_id != self.id {
            return Err(OpenError::OtherKey(parts.key_id));
        }
        let aad = wrap_aad(self.id, binding);
        let key = self.cipher.decrypt(&parts.wrap_nonce.into(), Payload { msg: parts.wrapped, aad: &aad });
        key.ok().and_then(|key| key.try_into().ok()).ok_or(OpenError::Damaged)
    }
}

/// Which sealing key opens something; `None` where it is nothing that was sealed.
#[must_use]
pub fn key_id_of(sealed: &[u8]) -> Option<KeyId> {
    Sealed::read(sealed).map(|parts| parts.key_id)
}

/// The part of something sealed that stays the same when its key is wrapped again: whoever has opened it
/// knows by it that the secret has not changed.
#[must_use]
pub fn payload_of(sealed: &[u8]) -> Option<&[u8]> {
    Sealed::read(sealed).map(|parts| parts.payload)
}

/// The place of a provider's credential, which it is sealed for.
#[must_use]
pub fn credential_binding(credential: CredentialId, provider: ProviderId, tenant: Option<TenantId>) -> String {
    let tenant = tenant.map_or_else(|| "-".to_owned(), |tenant| tenant.to_string());
    binding("provider_credentials", &[&credential.to_string(), &provider.to_string(), &tenant])
}

/// The place of a value in `settings`, which it is sealed for.
#[must_use]
pub fn setting_binding(name: &str) -> String {
    binding("settings", &[name])
}

/// The place of a secret: its table, and what of its row never changes.
#[must_use]
pub fn binding(table: &str, parts: &[&str]) -> String {
    parts.iter().fold(table.to_owned(), |place, part| format!("{place}|{part}"))
}

/// A short digest by which two equal credentials are recognised without being shown. It is keyed, so that
/// nobody can try credentials against a copy of the database.
#[must_use]
pub fn fingerprint(pepper: &Pepper, credential: &str) -> String {
    let digest = KeyHash::of(pepper, &format!("antiphon credential fingerprint\n{credential}")).0;
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.chars().take(FINGERPRINT_DIGITS).collect()
}

fn secret_aad(binding: &str) -> Vec<u8> {
    [&b"antiphon sealed v1 secret\n"[..], binding.as_bytes()].concat()
}

fn wrap_aad(id: KeyId, binding: &str) -> Vec<u8> {
    [&b"antiphon sealed v1 key\n"[..], &id.0, binding.as_bytes()].concat()
}

/// The first `N` bytes, and what is left. Callers give enough.
fn split<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    bytes.split_first_chunk().map_or(([0; N], &[]), |(first, rest)| (*first, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn key(byte: u8) -> SealingKey {
        SealingKey::new(&[byte; 32])
    }

    fn random(seed: u8) -> [u8; SEAL_RANDOM_BYTES] {
        std::array::from_fn(|index| seed.wrapping_mul(31).wrapping_add(u8::try_from(index).unwrap()))
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_under_its_key_and_nowhere_else() {
        let sealed = key(1).seal(b"sk-secret", "here", random(1));
        assert_eq!(key(1).open(&sealed, "here").unwrap(), b"sk-secret");
        assert_eq!(key(1).open(&sealed, "there"), Err(OpenError::Damaged));
        assert_eq!(key(2).open(&sealed, "here"), Err(OpenError::OtherKey(key(1).key_id())));
        assert!(!sealed.windows(6).any(|window| window == b"secret"), "readable");
        assert_eq!(key_id_of(&sealed), Some(key(1).key_id()));
        for shown in [format!("{:?}", key(1)), key(1).key_id().to_string()] {
            assert!(!shown.contains("01010101"), "{shown}");
        }
    }

    #[test]
    fn a_rotation_changes_who_opens_it_and_not_what_it_is() {
        let sealed = key(1).seal(b"sk-secret", "here", random(1));
        let again = key(1).rewrap(&key(2), &sealed, "here", [9; REWRAP_RANDOM_BYTES]).unwrap();
        assert_eq!(key(2).open(&again, "here").unwrap(), b"sk-secret");
        assert_eq!(key(1).open(&again, "here"), Err(OpenError::OtherKey(key(2).key_id())));
        assert_eq!(payload_of(&again), payload_of(&sealed), "the secret itself was not touched");
        assert_eq!(key(1).rewrap(&key(2), &sealed, "there", [9; 12]), Err(OpenError::Damaged));
        assert_eq!(key(2).rewrap(&key(1), &sealed, "here", [9; 12]), Err(OpenError::OtherKey(key(1).key_id())));
    }

    #[test]
    fn a_credential_is_bound_to_its_row_its_provider_and_its_tenant() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let of = |credential, provider, tenant: Option<Uuid>| {
            credential_binding(CredentialId(credential), ProviderId(provider), tenant.map(TenantId))
        };
        let places = [of(one, one, None), of(two, one, None), of(one, two, None), of(one, one, Some(one))];
        for (index, place) in places.iter().enumerate() {
            assert!(!places[..index].contains(place), "{place}");
        }
        assert!(places[0].ends_with("|-"), "{}", places[0]);
    }

    #[test]
    fn equal_credentials_have_equal_fingerprints_under_one_pepper() {
        let (ours, theirs) = (Pepper::new(&[1; 32]), Pepper::new(&[2; 32]));
        assert_eq!(fingerprint(&ours, "sk-1"), fingerprint(&ours, "sk-1"));
        assert_ne!(fingerprint(&ours, "sk-1"), fingerprint(&ours, "sk-2"));
        assert_ne!(fingerprint(&ours, "sk-1"), fingerprint(&theirs, "sk-1"));
        assert_eq!(fingerprint(&ours, "sk-1").len(), FINGERPRINT_DIGITS);
    }

    proptest! {
        #[test]
        fn any_secret_comes_back_and_no_changed_byte_is_believed(
            secret in prop::collection::vec(any::<u8>(), 0..200),
            binding in ".{0,40}",
            (at, change) in (any::<prop::sample::Index>(), 1..=u8::MAX),
        ) {
            let sealed = key(1).seal(&secret, &binding, random(3));
            prop_assert_eq!(key(1).open(&sealed, &binding), Ok(secret));
            let at = at.index(sealed.len());
            prop_assert!(key(1).open(&sealed[..at], &binding).is_err(), "cut");
            let mut changed = sealed;
            changed[at] ^= change;
            prop_assert!(key(1).open(&changed, &binding).is_err(), "changed");
        }

        #[test]
        fn junk_is_refused_without_a_panic(junk in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(key(1).open(&junk, "").is_err());
            prop_assert!(key(1).rewrap(&key(2), &junk, "", [0; 12]).is_err());
            // A valid head in front of it changes nothing.
            let headed = [&[VERSION][..], &key(1).key_id().0, &junk].concat();
            prop_assert_eq!(key(1).open(&headed, ""), Err(OpenError::Damaged));
        }
    }
}
