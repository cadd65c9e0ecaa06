//! Slows down those who guess passwords, without locking out those who know theirs.
//!
//! A guess counts against three things, each under a keyed digest, so that the table tells nothing:
//!
//! * the account as seen from one address: a few guesses are free, then each doubles the wait;
//! * the address, whatever the accounts: the same with more patience, for people share addresses; of IPv6 the /64
//!   around it, and with more patience again the /48;
//! * the account from anywhere: never refused, only answered a little later, so that many addresses
//!   together cannot keep the owner out.
//!
//! A browser that has signed in before carries a cookie that proves it; its guesses count against that
//! browser alone, so the owner is let in even where somebody guesses from behind the same address.
//!
//! Sign-ins that are begun at the identity provider are counted by network too, for everybody may begin one.
//!
//! A guess is counted before the password is looked at and taken back when it was right: a thousand
//! guesses at once are a thousand guesses.

use std::net::IpAddr;
use std::time::Duration;

use domain::key::{KeyHash, Pepper};
use entities::login_failure;
use time::OffsetDateTime;

use super::oidc::PATIENCE;
use crate::Control;
use crate::error::AdminError;
use crate::repositories::{login_failures, stored};

/// Counts that nothing was added to for so long are forgotten.
const FORGOTTEN_AFTER: time::Duration = time::Duration::HOUR;
/// Guesses from anywhere against one account before answers come later.
const PATIENT_GUESSES: i64 = 100;
/// How much later.
const LATER: Duration = Duration::from_secs(2);
/// Sign-ins that one network may begin at the identity provider while the first of them waits.
const MOST_STARTS: i64 = 100;

/// What a guess counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Device,
    Pair,
    Address,
    Site,
    Account,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Pair => "pair",
            Self::Address => "address",
            Self::Site => "site",
            Self::Account => "account",
        }
    }

    /// How long nobody may guess after this many.
    fn wait(self, failures: i64) -> Duration {
        let (free, longest) = match self {
            Self::Device | Self::Pair => (5, 15 * 60),
            Self::Address => (30, 5 * 60),
            Self::Site => (4 * 30, 5 * 60),
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
            let (address, site) = networks(from.address);
            let mut subjects = vec![
                of(Kind::Pair, &format!("{account}\n{address}")),
                of(Kind::Address, &address),
                of(Kind::Account, account),
            ];
            subjects.extend(site.map(|site| of(Kind::Site, &site)));
            subjects
        }
    };
    subjects.sort_by(|(_, one), (_, other)| one.cmp(other));
    subjects
}

/// Who has one address of IPv6 has the 2⁶⁴ around it, and may have the 2⁸⁰ of a whole site.
fn networks(address: Option<&str>) -> (String, Option<String>) {
    let address = address.unwrap_or("unknown");
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let whole = u128::from(address);
            (format!("{:x}", whole >> 64), Some(format!("{:x}", whole >> 80)))
        }
        Ok(IpAddr::V4(address)) => (format!("{:x}", u32::from(address)), None),
        Err(_) => (address.to_owned(), None),
    }
}

/// Counts a sign-in that is begun at the identity provider from `address`, unless too many of its network were begun
/// within the same [`PATIENCE`].
///
/// # Errors
/// 429 with the time to wait; the database's.
pub(crate) async fn begin_elsewhere(control: &Control, address: Option<&str>) -> Result<(), AdminError> {
    let now = stored(OffsetDateTime::now_utc());
    let (subjects, ends) = starts(&control.secrets.token_pepper, address, now);
    let ids: Vec<&str> = subjects.iter().map(|(_, subject)| subject.as_str()).collect();
    let refuse = |rows: &[login_failure::Model]| {
        let most = |subject: &str| subjects.iter().find(|(_, of)| of == subject).map_or(0, |(most, _)| *most);
        if rows.iter().all(|row| row.failures < most(&row.subject)) {
            return Ok(());
        }
        let detail = "Too many sign-ins were begun from your network.".to_owned();
        Err(AdminError::TooMany { detail, retry_after: (ends - now).try_into().unwrap_or_default() })
    };
    refuse(&login_failures::find(&control.database, &ids, false).await?)?;

    login_failures::forget(&control.database, now - FORGOTTEN_AFTER).await?;
    let transaction = control.begin().await?;
    login_failures::prepare(&transaction, &ids, now).await?;
    let rows = login_failures::find(&transaction, &ids, true).await?;
    refuse(&rows)?;
    for mut row in rows {
        row.failures += 1;
        row.updated_at = now;
        login_failures::update(&transaction, row).await?;
    }
    Ok(transaction.commit().await?)
}

/// Whoever began a sign-in has signed in: it is not counted any more.
///
/// # Errors
/// The database's.
pub(crate) async fn ended_elsewhere(control: &Control, address: Option<&str>) -> Result<(), AdminError> {
    let (subjects, _) = starts(&control.secrets.token_pepper, address, OffsetDateTime::now_utc());
    let ids: Vec<&str> = subjects.iter().map(|(_, subject)| subject.as_str()).collect();
    let transaction = control.begin().await?;
    for mut row in login_failures::find(&transaction, &ids, true).await? {
        row.failures = (row.failures - 1).max(0);
        login_failures::update(&transaction, row).await?;
    }
    Ok(transaction.commit().await?)
}

/// What a sign-in that is begun now counts against, with how many of them there may be, and when that ends.
fn starts(pepper: &Pepper, address: Option<&str>, now: OffsetDateTime) -> (Vec<(i64, String)>, OffsetDateTime) {
    let (seconds, length) = (now.unix_timestamp(), PATIENCE.as_secs().cast_signed());
    let window = seconds.div_euclid(length);
    let of = |most: i64, name: &str, value: &str| (most, digest(pepper, &format!("oidc {name} {window}\n{value}")));
    let (address, site) = networks(address);
    let mut subjects = vec![of(MOST_STARTS, "address", &address)];
    subjects.extend(site.map(|site| of(4 * MOST_STARTS, "site", &site)));
    subjects.sort();
    let left = length - seconds.rem_euclid(length);
    (subjects, now + time::Duration::seconds(left))
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
        assert_eq!((Kind::Site.wait(120), Kind::Site.wait(121)), (Duration::ZERO, Duration::from_secs(2)));
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
        assert_eq!(shared(&of("2001:db8::1", None), &of("2001:db8::2", None)).len(), 4);
        let same_site = shared(&of("2001:db8:1:1::1", None), &of("2001:db8:1:2::1", None));
        assert!(same_site.len() == 2 && same_site.contains(&Kind::Site), "{same_site:?}");
        assert_eq!(shared(&of("2001:db8:1::1", None), &of("2001:db8:2::1", None)), [Kind::Account]);
        assert_eq!(shared(&of("::ffff:192.0.2.1", None), &of("192.0.2.1", None)).len(), 3);
        assert_eq!(shared(&of("192.0.2.1", None), &of("192.0.2.1", Some("d"))), []);
        assert!(of("192.0.2.1", None).iter().all(|(_, digest)| !digest.contains("example")));
    }
}
