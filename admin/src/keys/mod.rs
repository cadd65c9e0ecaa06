//! Virtual keys: what they may be, and how they are made.

pub(crate) mod bulk;
pub(crate) mod policy;
pub(crate) mod report;

use domain::ids::TenantId;
use domain::key::{self, KeyHash};
use entities::{Id, virtual_key};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::error::AdminError;
use crate::keys::policy::Policy;
use crate::repositories::stored;
use crate::{Secrets, random};

/// A secret that was just made: shown once, kept only as its hash.
pub(crate) struct Secret {
    /// What API clients send.
    pub(crate) text: String,
    hash: Vec<u8>,
    redacted: String,
}

impl Secret {
    /// A secret that nobody can guess.
    pub(crate) fn new(secrets: &Secrets) -> Result<Self, AdminError> {
        let text = key::format_key(random()?);
        let hash = KeyHash::of(&secrets.key_pepper, &text).0.to_vec();
        let redacted = key::redact(&text);
        Ok(Self { text, hash, redacted })
    }
}

/// The row of a new key.
pub(crate) fn row(
    secrets: &Secrets,
    tenant: TenantId,
    policy: Policy,
    secret: &Secret,
    now: OffsetDateTime,
) -> Result<virtual_key::Model, AdminError> {
    let now = stored(now);
    let mut row = virtual_key::Model {
        id: Id(Uuid::now_v7()),
        tenant_id: Id(tenant.0),
        name: String::new(),
        hash: secret.hash.clone(),
        pepper_version: pepper_version(secrets),
        redacted: secret.redacted.clone(),
        operations: String::new(),
        models: String::new(),
        rpm: None,
        max_sessions: None,
        budget_nano_usd: None,
        budget_window: None,
        max_upload_bytes: None,
        refuse_unpriced: false,
        passthrough: false,
        allow_strategy: false,
        expires_at: None,
        revoked_at: None,
        revoked_by: None,
        revoked_reason: None,
        deleted_at: None,
        managed_by: "api".to_owned(),
        created_at: now,
        previous_hash: None,
        previous_redacted: None,
        previous_expires_at: None,
        rotated_at: None,
        version: 1,
        updated_at: Some(now),
    };
    policy.write(&mut row)?;
    Ok(row)
}

/// Gives a key another secret; the one it had stays valid for `overlap`. One that an earlier rotation had
/// replaced ends now.
pub(crate) fn rotate(
    secrets: &Secrets,
    row: &mut virtual_key::Model,
    secret: &Secret,
    overlap: Duration,
    now: OffsetDateTime,
) {
    let before = std::mem::replace(&mut row.hash, secret.hash.clone());
    let before_redacted = std::mem::replace(&mut row.redacted, secret.redacted.clone());
    let stays = overlap > Duration::ZERO;
    row.previous_hash = stays.then_some(before);
    row.previous_redacted = stays.then_some(before_redacted);
    row.previous_expires_at = stays.then(|| stored(now + overlap));
    row.rotated_at = Some(stored(now));
    row.pepper_version = pepper_version(secrets);
}

/// Ends a key for good, with every secret it has.
pub(crate) fn revoke(row: &mut virtual_key::Model, reason: &str, now: OffsetDateTime) {
    if row.revoked_at.is_none() {
        row.revoked_at = Some(stored(now));
        row.revoked_by = Some("api".to_owned());
        row.revoked_reason = Some(reason.to_owned());
    }
    row.previous_hash = None;
    row.previous_redacted = None;
    row.previous_expires_at = None;
}

/// # Errors
/// 409 for a key that is over for good.
pub(crate) fn is_not_revoked(row: &virtual_key::Model) -> Result<(), AdminError> {
    if row.revoked_at.is_none() {
        return Ok(());
    }
    Err(AdminError::conflict("revoked", "The key is revoked, and stays as it is."))
}

fn pepper_version(secrets: &Secrets) -> i32 {
    i32::try_from(secrets.key_pepper_version).unwrap_or(i32::MAX)
}
