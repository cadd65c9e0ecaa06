//! Access tokens of people who are signed in: JSON Web Tokens, signed with a key of our own.
//!
//! A key signs for thirty days, then a new one does; the old one verifies until the last token that it has
//! signed is over. Keys lie sealed in `signing_keys`. A token names its key, and only a key of that table
//! is ever tried: nothing in a token's header leads anywhere else, and there is one algorithm.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::seal::binding;
use entities::{Id, signing_key};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::AdminError;
use crate::repositories::stored;
use crate::{Control, random, sealing};

/// How long an access token is good.
pub(crate) const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Clocks of replicas may differ by so much.
const LEEWAY: Duration = Duration::from_secs(10);
/// How long a key signs.
const SIGNS_FOR: time::Duration = time::Duration::days(30);
/// How long keys that were read are believed, so that one that was withdrawn is soon refused everywhere.
const BELIEVED_FOR: Duration = Duration::from_secs(30);
const ISSUER: &str = "antiphon";
const AUDIENCE: &str = "antiphon-admin";
/// As RFC 9068 calls access tokens.
const TYPE: &str = "at+jwt";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    /// The user.
    pub(crate) sub: Uuid,
    /// The sign-in.
    pub(crate) sid: Uuid,
    /// The user's session epoch when it was signed.
    pub(crate) epoch: i64,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// The keys as they were last read.
#[derive(Default)]
pub(crate) struct Keys(Mutex<Known>);

#[derive(Default, Clone)]
struct Known {
    keys: Arc<[Key]>,
    read_at: Option<Instant>,
}

struct Key {
    id: Uuid,
    secret: Vec<u8>,
    created_at: OffsetDateTime,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Signs a token for a user who has just signed in.
pub(crate) async fn sign(control: &Control, user: Uuid, session: Uuid, epoch: i64) -> Result<String, AdminError> {
    let now = OffsetDateTime::now_utc();
    let is_fresh = |key: &&Key| key.created_at + SIGNS_FOR > now;
    let mut keys = current(control).await?;
    if !keys.last().as_ref().is_some_and(is_fresh) {
        rotate(control, now).await?;
        keys = read(control).await?;
    }
    let key = keys.last().ok_or_else(|| AdminError::internal(&"there is no key that signs access tokens"))?;
    let (iat, lifetime) = (now.unix_timestamp(), i64::try_from(LIFETIME.as_secs()).unwrap_or_default());
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: user,
        sid: session,
        epoch,
        iat,
        nbf: iat,
        exp: iat + lifetime,
    };
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(key.id.to_string());
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&key.secret))
        .map_err(|error| AdminError::internal(&error))
}

/// What a token says; `None` for one that we have not signed for this, or that is over.
pub(crate) async fn verify(control: &Control, token: &str) -> Result<Option<Claims>, AdminError> {
    let Ok(header) = jsonwebtoken::decode_header(token) else { return Ok(None) };
    let asks_for_more = header.crit.is_some() || header.jku.is_some() || header.x5u.is_some() || header.jwk.is_some();
    if header.alg != Algorithm::HS256 || header.typ.as_deref() != Some(TYPE) || asks_for_more {
        return Ok(None);
    }
    let Some(kid) = header.kid else { return Ok(None) };
    let Some(secret) = secret_of(control, &kid).await? else { return Ok(None) };
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = LEEWAY.as_secs();
    validation.validate_nbf = true;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    let claims = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(&secret), &validation);
    Ok(claims.ok().map(|data| data.claims))
}

async fn secret_of(control: &Control, kid: &str) -> Result<Option<Vec<u8>>, AdminError> {
    let of = |keys: &[Key]| keys.iter().find(|key| key.id.to_string() == kid).map(|key| key.secret.clone());
    match of(&current(control).await?) {
        Some(secret) => Ok(Some(secret)),
        // Another replica may have made it since.
        None => Ok(of(&read(control).await?)),
    }
}

/// The keys that verify, the one that signs last.
async fn current(control: &Control) -> Result<Arc<[Key]>, AdminError> {
    let known = control.auth.keys.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match known.read_at {
        Some(at) if at.elapsed() < BELIEVED_FOR => Ok(known.keys),
        _ => read(control).await,
    }
}

async fn read(control: &Control) -> Result<Arc<[Key]>, AdminError> {
    let now = stored(OffsetDateTime::now_utc());
    let in_force =
        Condition::any().add(signing_key::Column::RetiredAt.is_null()).add(signing_key::Column::RetiredAt.gt(now));
    let rows = signing_key::Entity::find()
        .filter(in_force)
        .order_by_asc(signing_key::Column::CreatedAt)
        .order_by_asc(signing_key::Column::Id)
        .all(&control.database)
        .await?;
    let keys: Arc<[Key]> = rows.into_iter().filter_map(|row| open(control, row)).collect();
    let known = Known { keys: Arc::clone(&keys), read_at: Some(Instant::now()) };
    *control.auth.keys.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    Ok(keys)
}

/// A key that does not open signs nothing and verifies nothing; people sign in again then.
fn open(control: &Control, row: signing_key::Model) -> Option<Key> {
    match control.secrets.sealing.open(&row.sealed, &place(row.id)) {
        Ok(secret) => Some(Key { id: row.id.0, secret, created_at: row.created_at }),
        Err(error) => {
            tracing::warn!(key = %row.id, error = %error, "a key that signs access tokens does not open");
            None
        }
    }
}

/// Makes a new key. Those before it are over when the last token that they have signed is.
async fn rotate(control: &Control, now: OffsetDateTime) -> Result<(), AdminError> {
    let id = Id(Uuid::now_v7());
    let secret = random::<32>()?;
    // Replicas that have not seen the new key yet still sign with the old one for a while.
    let over = stored(now + LIFETIME + LEEWAY + 2 * BELIEVED_FOR);
    let transaction = control.begin().await?;
    signing_key::Entity::delete_many()
        .filter(signing_key::Column::RetiredAt.lt(stored(now)))
        .exec(&transaction)
        .await?;
    signing_key::Entity::update_many()
        .col_expr(signing_key::Column::RetiredAt, Expr::value(over))
        .filter(signing_key::Column::RetiredAt.is_null())
        .filter(signing_key::Column::CreatedAt.lt(stored(now - SIGNS_FOR)))
        .exec(&transaction)
        .await?;
    let sealed = sealing::seal(&transaction, &control.secrets.sealing, &place(id), &secret).await?;
    let row = signing_key::ActiveModel {
        id: Set(id),
        sealed: Set(sealed),
        created_at: Set(stored(now)),
        retired_at: Set(None),
    };
    signing_key::Entity::insert(row).exec_without_returning(&transaction).await?;
    transaction.commit().await?;
    tracing::info!(key = %id, "a new key signs access tokens");
    Ok(())
}

fn place(id: Id) -> String {
    binding("signing_keys", &[&id.to_string()])
}
