//! The grammar of virtual keys, and the hash by which they are stored and found.
//!
//! `sk-ap-`, 43 base62 characters (256 random bits), 6 base62 characters of CRC-32 over what stands
//! before. A typo or a random string is refused without a look-up.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Prefix of keys for servers.
pub const KEY_PREFIX: &str = "sk-ap-";
/// Prefix of short-lived client secrets.
pub const SECRET_PREFIX: &str = "ek-ap-";

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_LEN: usize = 43;
const CHECK_LEN: usize = 6;

/// Prefix of personal access tokens of the admin API.
pub const ACCESS_TOKEN_PREFIX: &str = "pat-ap-";

/// Writes a key from 32 random bytes.
#[must_use]
pub fn format_key(random: [u8; 32]) -> String {
    format_as(KEY_PREFIX, random)
}

/// Writes a secret of another prefix in the form of a key.
#[must_use]
pub fn format_as(prefix: &str, random: [u8; 32]) -> String {
    let mut key = String::with_capacity(prefix.len() + RANDOM_LEN + CHECK_LEN);
    key.push_str(prefix);
    key.push_str(&base62(random));
    let check = crc32fast::hash(key.as_bytes());
    key.push_str(&base62_u32(check));
    key
}

/// Whether `key` has our form and its checksum holds. Keys declared in a configuration file may
/// have another form, so this decides nothing alone.
#[must_use]
pub fn is_well_formed(key: &str) -> bool {
    is_well_formed_as(KEY_PREFIX, key)
}

/// As [`is_well_formed`], for a secret of another prefix.
#[must_use]
pub fn is_well_formed_as(prefix: &str, key: &str) -> bool {
    let Some((body, check)) = key.split_at_checked(prefix.len() + RANDOM_LEN) else { return false };
    key.starts_with(prefix)
        && body.bytes().skip(prefix.len()).all(|byte| BASE62.contains(&byte))
        && check == base62_u32(crc32fast::hash(body.as_bytes()))
}

/// What a person may see of a key: `sk-ap-…last4`.
#[must_use]
pub fn redact(key: &str) -> String {
    let last: String = key.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
    if key.starts_with(KEY_PREFIX) { format!("{KEY_PREFIX}…{last}") } else { format!("…{last}") }
}

/// HMAC-SHA-256 of a key under a pepper: the only form in which a key is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Hashes `key` under `pepper`.
    #[must_use]
    pub fn of(pepper: &Pepper, key: &str) -> Self {
        let mut mac = pepper.0.clone();
        mac.update(key.as_bytes());
        Self(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// The server's secret for hashing keys. Not in the database, so that a copy of it is useless.
/// The keyed state is prepared once: hashing a key costs two SHA-256 blocks.
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

impl Pepper {
    /// A pepper of 32 bytes.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(<Hmac<Sha256> as KeyInit>::new(&(*bytes).into_block()))
    }
}

/// Pads a 32-byte key to the hash's block, so that no fallible constructor is needed.
trait IntoBlock {
    fn into_block(self) -> hmac::digest::Key<Hmac<Sha256>>;
}
impl IntoBlock for [u8; 32] {
    fn into_block(self) -> hmac::digest::Key<Hmac<Sha256>> {
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (to, from) in block.iter_mut().zip(self) {
            *to = from;
        }
        block
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

/// 256 bits in 43 base62 digits, most significant first.
fn base62(mut number: [u8; 32]) -> String {
    let mut digits = [0_u8; RANDOM_LEN];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = (remainder << 8) | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = letter(remainder);
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

fn base62_u32(mut number: u32) -> String {
    let mut digits = [0_u8; CHECK_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = letter(number % 62);
        number /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

fn letter(digit: u32) -> u8 {
    BASE62.get(digit as usize).copied().unwrap_or(b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_has_the_promised_shape() {
        let key = format_key([0xff; 32]);
        assert_eq!(key.len(), 6 + 43 + 6);
        assert!(is_well_formed(&key));
        let (_, last) = key.split_at(key.len() - 4);
        assert_eq!(redact(&key), format!("sk-ap-…{last}"));
    }

    #[test]
    fn the_hash_is_plain_hmac_sha_256() {
        // RFC 4231 test case 2 has a short key; padding with zeros is what HMAC itself does.
        let mut pepper = [0; 32];
        pepper[..4].copy_from_slice(b"Jefe");
        let hash = KeyHash::of(&Pepper::new(&pepper), "what do ya want for nothing?");
        assert_eq!(hash.0[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }

    proptest! {
        #[test]
        fn every_key_checks_and_no_single_typo_does(random: [u8; 32], at in 0_usize..55, to in 0_usize..62) {
            let key = format_key(random);
            prop_assert!(is_well_formed(&key));
            let mut typo = key.clone().into_bytes();
            typo[at] = BASE62[to];
            let typo = String::from_utf8(typo).unwrap();
            prop_assert_eq!(is_well_formed(&typo), typo == key);
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text: String) {
            prop_assert!(!is_well_formed(&text) || text.starts_with(KEY_PREFIX));
            prop_assert!(redact(&text).contains('…'));
        }
    }
}
