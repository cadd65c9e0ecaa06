//! Passwords: Argon2id, off the threads that serve, and only so many at once, so that a flood of guesses
//! takes neither all memory nor all cores.

use std::sync::Arc;
use std::time::Duration;

use admin_types::auth::{MAX_PASSWORD, MIN_PASSWORD};
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::AdminError;
use crate::random;

/// KiB of memory that one hash takes.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Hashes at once.
const AT_ONCE: usize = 4;
/// How long a sign-in waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a password is compared with where there is none: the same work, and never equal.
const NO_SALT: [u8; 16] = [0; 16];

/// Hashes and compares passwords.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// What a comparison has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is another, or there is none.
    Wrong,
    /// It is the one.
    Right,
    /// It is the one, and was hashed with parameters of an earlier version.
    RightButOld,
}

impl Passwords {
    /// The form in which a password is kept.
    ///
    /// # Errors
    /// 422 for one that is too short or too long, as `field`; 429 where too many wait.
    pub(crate) async fn hash(&self, field: &'static str, password: &str) -> Result<String, AdminError> {
        check_length(field, password)?;
        let password = password.to_owned();
        self.off_thread(move || {
            let hash = hasher()?.hash_password_with_salt(password.as_bytes(), &random::<16>()?);
            hash.map(|hash| hash.to_string()).map_err(|error| AdminError::internal(&error))
        })
        .await
    }

    /// Compares. Takes the same time whether there is a hash or not, so that nobody learns who has an
    /// account.
    ///
    /// # Errors
    /// 429 where too many wait.
    pub(crate) async fn verify(&self, stored: Option<&str>, password: &str) -> Result<Verdict, AdminError> {
        let (stored, password) = (stored.map(str::to_owned), password.to_owned());
        self.off_thread(move || compare(stored.as_deref(), &password)).await
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let turn = self.turn().await?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            // Held to the end of the work, even when nobody waits for it any more.
            drop(turn);
            result
        });
        done.await.map_err(|error| AdminError::internal(&error))?
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, AdminError> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| AdminError::TooMany {
            detail: "Too many people sign in at this moment.".to_owned(),
            retry_after: PATIENCE,
        })
    }
}

/// # Errors
/// 422 for a password that is too short or too long.
pub(crate) fn check_length(field: &'static str, password: &str) -> Result<(), AdminError> {
    if (MIN_PASSWORD..=MAX_PASSWORD).contains(&password.chars().count()) {
        return Ok(());
    }
    Err(AdminError::field(field, format!("must have {MIN_PASSWORD} to {MAX_PASSWORD} characters")))
}

fn compare(stored: Option<&str>, password: &str) -> Result<Verdict, AdminError> {
    let hasher = hasher()?;
    let Some(stored) = stored else {
        let spent = hasher.hash_password_with_salt(password.as_bytes(), &NO_SALT);
        return spent.map(|_| Verdict::Wrong).map_err(|error| AdminError::internal(&error));
    };
    let stored = PasswordHash::new(stored).map_err(|error| AdminError::internal(&error))?;
    match hasher.verify_password(password.as_bytes(), &stored) {
        Ok(()) if is_current(&stored) => Ok(Verdict::Right),
        Ok(()) => Ok(Verdict::RightButOld),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
        Err(error) => Err(AdminError::internal(&error)),
    }
}

fn is_current(stored: &PasswordHash) -> bool {
    let params = Params::try_from(stored).ok();
    stored.algorithm == Algorithm::Argon2id.ident()
        && params.is_some_and(|params| (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, 1))
}

fn hasher() -> Result<Argon2<'static>, AdminError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|error| AdminError::internal(&error))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_password_is_recognised_and_hashed_anew_when_the_parameters_were_others() {
        let passwords = Passwords::default();
        let hash = passwords.hash("password", "correct horse battery").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(passwords.verify(Some(&hash), "correct horse battery").await.unwrap(), Verdict::Right);
        assert_eq!(passwords.verify(Some(&hash), "correct horse batterz").await.unwrap(), Verdict::Wrong);
        assert_eq!(passwords.verify(None, "correct horse battery").await.unwrap(), Verdict::Wrong);
        let weaker = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let old = weaker.hash_password_with_salt(b"correct horse battery", &[7; 16]).unwrap().to_string();
        assert_eq!(passwords.verify(Some(&old), "correct horse battery").await.unwrap(), Verdict::RightButOld);
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert!(check_length("password", "elf zeichen").is_err());
        assert!(check_length("password", "zwölf zeichä").is_ok());
        assert!(check_length("password", &"ä".repeat(200)).is_ok());
        assert!(check_length("password", &"a".repeat(201)).is_err());
    }
}
