//! Slows down those who guess passwords, without locking out those who know theirs.
//!
//! A guess counts against three things, each under a keyed digest, so that the table tells nothing:
//!
//! * the account as seen from one address: a few guesses are free, then each doubles the wait;
//! * the address, whatever the accounts: the same with more patience, for people share addresses;
//! * the account from anywhere: never refused, only answered a little later, so that many addresses
//!   together cannot keep the owner out.
//!
//! A browser that has signed in before carries a cookie that proves it; its guesses count against that
//! browser alone, so the owner is let in even where somebody guesses from behind the same address.
//!
//! A guess is counted before the password is looked at and taken back when it was right: a thousand
//! guesses at once are a thousand guesses.

use std::net::IpAddr;
use std::time::Duration;

use domain::key::{KeyHash, Pepper};
use entities::login_failure;
use time::OffsetDateTime;

use crate::Control;
use crate::error::AdminError;
use crate::repositories::{login_failures, stored};

/// Counts that nothing was added to for so long are forgotten.
const FORGOTTEN_AFTER: time::Duration = time::Duration::HOUR;
/// Guesses from anywhere against one account before answers come later.
const PATIENT_GUESSES: i64 = 100;
/// How much later.
const LATER: Duration = Duration::from_secs(2);

/// What a guess counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Device,
    Pair,
    Address,
    Account,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Pair => "pair",
            Self::Address => "address",
            Self::Account => "account",
        }
    }

    /// How long nobody may guess after this many.
    fn wait(self, failures: i64) -> Duration {
        let (free, longest) = match self {
            Self::Device | Self::Pair => (5, 15 * 60),
            Self::Address => (30, 5 * 60),
            Self::Account => return Duration::ZERO,
        };
        let doublings = (failures - free).clamp(0, 20);
        let seconds = if doublings == 0 { 0 } else { 1_u64 << doublings };
        Duration::from_secs(seconds.min(longest))
    }
}

/// A guess that was counted and may now be looked at.
#[derive(Debug)]
pub(crate) struct Guess {
    counted: Vec<(Kind, String)>,
    /// Wait so long before the answer.
    pub(crate) later: Duration,
}

/// From where somebody guesses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From<'a> {
    /// The peer's address.
    pub(crate) address: Option<&'a str>,
    /// A browser that has signed in to this account before.
    pub(crate) device: Option<&'a str>,
}

/// Counts a guess against `account`, unless too many came before it.
///
/// # Errors
/// 429 with the time to wait; the database's.
pub(crate) async fn claim(control: &Control, account: &str, from: From<'_>) -> Result<Guess, AdminError> {
    let subjects = subjects(&control.secrets.token_pepper, account, from);
    let now = stored(OffsetDateTime::now_utc());
    let ids: Vec<&str> = subjects.iter().map(|(_, subject)| subject.as_str()).collect();
    // Most of a flood ends here, where nothing is written.
    refuse(&login_failures::find(&control.database, &ids, false).await?, now)?;

    // By itself, so that it holds no row that another guess waits for.
    login_failures::forget(&control.database, now - FORGOTTEN_AFTER).await?;
    let transaction = control.begin().await?;
    login_failures::prepare(&transaction, &ids, now).await?;
    let rows = login_failures::find(&transaction, &ids, true).await?;
    refuse(&rows, now)?;
    let mut later = Duration::ZERO;
    for mut row in rows {
        let Some((kind, _)) = subjects.iter().find(|(_, subject)| *subject == row.subject) else { continue };
        row.failures += 1;
        if *kind == Kind::Account && row.failures > PATIENT_GUESSES {
            later = LATER;
        }
        let wait = kind.wait(row.failures);
        row.blocked_until = (!wait.is_zero()).then_some(now + wait);
        row.updated_at = now;
        login_failures::update(&transaction, row).await?;
    }
    transaction.commit().await?;
    Ok(Guess { counted: subjects, later })
}

/// The guess was right: it is taken back, and nothing stands against the account from here any more.
///
/// # Errors
/// The database's.
pub(crate) async fn was_right(control: &Control, guess: Guess) -> Result<(), AdminError> {
    let transaction = control.begin().await?;
    let ids: Vec<&str> = guess.counted.iter().map(|(_, subject)| subject.as_str()).collect();
    for mut row in login_failures::find(&transaction, &ids, true).await? {
        let kind = guess.counted.iter().find(|(_, subject)| *subject == row.subject).map(|(kind, _)| *kind);
        let starts_anew = matches!(kind, Some(Kind::Pair | Kind::Device));
        row.failures = if starts_anew { 0 } else { (row.failures - 1).max(0) };
        row.blocked_until = None;
        login_failures::update(&transaction, row).await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn refuse(rows: &[login_failure::Model], now: OffsetDateTime) -> Result<(), AdminError> {
    let until = rows.iter().filter_map(|row| row.blocked_until).max();
    let Some(until) = until.filter(|until| *until > now) else { return Ok(()) };
    Err(AdminError::TooMany {
        detail: "Too many sign-ins have failed; wait before the next one.".to_owned(),
        retry_after: (until - now).try_into().unwrap_or_default(),
    })
}

/// In an order that is the same for everybody, so that two who lock them do not wait for each other.
fn subjects(pepper: &Pepper, account: &str, from: From<'_>) -> Vec<(Kind, String)> {
    let of = |kind: Kind, value: &str| (kind, digest(pepper, &format!("login {}\n{value}", kind.name())));
    let mut subjects = match from.device {
        Some(device) => vec![of(Kind::Device, &format!("{account}\n{device}"))],
        None => {
            let address = network(from.address.unwrap_or("unknown"));
            vec![
                of(Kind::Pair, &format!("{account}\n{address}")),
                of(Kind::Address, &address),
                of(Kind::Account, account),
            ]
        }
    };
    subjects.sort_by(|(_, one), (_, other)| one.cmp(other));
    subjects
}

/// Who has one address of IPv6 has the 2⁶⁴ around it.
fn network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(address)) => {
            let whole = address.to_ipv4_mapped().map_or(u128::from(address) >> 64, |four| u32::from(four).into());
            format!("{whole:x}")
        }
        Ok(IpAddr::V4(address)) => format!("{:x}", u32::from(address)),
        Err(_) => address.to_owned(),
    }
}

/// A digest under a secret of ours, in hexadecimal.
pub(crate) fn digest(pepper: &Pepper, text: &str) -> String {
    KeyHash::of(pepper, text).0.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_never_refuse_an_account_everywhere() {
        assert_eq!(Kind::Pair.wait(5), Duration::ZERO);
        assert_eq!(Kind::Pair.wait(6), Duration::from_secs(2));
        assert_eq!(Kind::Pair.wait(8), Duration::from_secs(8));
        assert_eq!(Kind::Pair.wait(i64::MAX), Duration::from_secs(900));
        assert_eq!(Kind::Address.wait(30), Duration::ZERO);
        assert_eq!(Kind::Address.wait(1000), Duration::from_secs(300));
        assert_eq!(Kind::Account.wait(i64::MAX), Duration::ZERO);
    }

    #[test]
    fn a_known_browser_counts_for_itself_and_a_network_as_one() {
        let pepper = Pepper::new(&[1; 32]);
        let of = |address, device| subjects(&pepper, "a@example.com", From { address: Some(address), device });
        let shared = |one: &[(Kind, String)], other: &[(Kind, String)]| {
            one.iter().filter(|subject| other.contains(subject)).map(|(kind, _)| *kind).collect::<Vec<_>>()
        };
        assert_eq!(shared(&of("192.0.2.1", None), &of("192.0.2.2", None)), [Kind::Account]);
        assert_eq!(shared(&of("2001:db8::1", None), &of("2001:db8::2", None)).len(), 3);
        assert_eq!(shared(&of("::ffff:192.0.2.1", None), &of("192.0.2.1", None)).len(), 3);
        assert_eq!(shared(&of("192.0.2.1", None), &of("192.0.2.1", Some("d"))), []);
        assert!(of("192.0.2.1", None).iter().all(|(_, digest)| !digest.contains("example")));
    }
}
