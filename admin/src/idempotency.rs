//! Creation that may be asked twice: under one `Idempotency-Key` a thing is made once, and asking again
//! within a day gives the same answer.

use actix_web::dev::Payload;
use actix_web::http::header::{ETAG, LOCATION};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use domain::seal::binding;
use entities::idempotency_key;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use crate::auth::Actor;
use crate::error::AdminError;
use crate::{Control, etag, sealing};

/// How long an answer is kept.
const KEPT: Duration = Duration::DAY;
/// Bytes of a key.
const MAX_KEY_BYTES: usize = 255;

/// What the header says, and what it stands for.
#[derive(Debug)]
pub(crate) struct Idempotency {
    key: Option<String>,
    route: String,
}

impl FromRequest for Idempotency {
    type Error = AdminError;
    type Future = std::future::Ready<Result<Self, AdminError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let value = request.headers().get("idempotency-key").map(|value| value.to_str().unwrap_or_default());
        let usable = |key: &str| !key.is_empty() && key.len() <= MAX_KEY_BYTES;
        let key = match value {
            Some(key) if !usable(key) => {
                let detail = format!("must be from 1 to {MAX_KEY_BYTES} visible ASCII characters");
                return std::future::ready(Err(AdminError::field("Idempotency-Key", detail)));
            }
            other => other.map(str::to_owned),
        };
        std::future::ready(Ok(Self { key, route: request.path().to_owned() }))
    }
}

/// Something that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Created<T> {
    /// What is answered.
    pub(crate) body: T,
    /// Where it is found.
    pub(crate) location: String,
    /// Its version, where it has one.
    pub(crate) version: Option<i64>,
}

/// Makes something in one transaction, or answers as it was answered before. `digest` is of the body.
///
/// # Errors
/// Those of `make`, then nothing is kept; the key was used for something else.
pub(crate) async fn create<T: Serialize>(
    control: &Control,
    actor: &Actor,
    idempotency: &Idempotency,
    digest: [u8; 32],
    make: impl AsyncFnOnce(&DatabaseTransaction) -> Result<Created<T>, AdminError>,
) -> Result<HttpResponse, AdminError> {
    let (created, replayed) = once(control, actor, idempotency, digest, make).await?;
    Ok(answer(&created, replayed))
}

/// As [`create`], for handlers that shape the answer themselves: what was made, and whether it was before.
///
/// # Errors
/// As [`create`]'s.
pub(crate) async fn once<T: Serialize>(
    control: &Control,
    actor: &Actor,
    idempotency: &Idempotency,
    digest: [u8; 32],
    make: impl AsyncFnOnce(&DatabaseTransaction) -> Result<Created<T>, AdminError>,
) -> Result<(Created<serde_json::Value>, bool), AdminError> {
    let transaction = control.begin().await?;
    let Some(id) = idempotency.id(actor) else {
        let created = as_json(&make(&transaction).await?)?;
        control.commit(transaction).await?;
        return Ok((created, false));
    };
    let digest = hex(&digest);
    if let Some(before) = claim(&transaction, &id, &digest).await? {
        return Ok((replay(control, &id, &digest, before)?, true));
    }
    let created = as_json(&make(&transaction).await?)?;
    let plain = serde_json::to_vec(&created).map_err(|error| AdminError::internal(&error))?;
    let sealed = sealing::seal(&transaction, &control.secrets.sealing, &place(&id), &plain).await?;
    let row =
        idempotency_key::ActiveModel { id: Set(id), status: Set(201), sealed: Set(Some(sealed)), ..Default::default() };
    idempotency_key::Entity::update(row).exec(&transaction).await?;
    control.commit(transaction).await?;
    Ok((created, false))
}

impl Idempotency {
    /// A digest: keys of one caller and route are no other's, nor those of one user's tokens for different tenants.
    fn id(&self, actor: &Actor) -> Option<String> {
        let key = self.key.as_ref()?;
        let tenant = actor.tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
        let whole = format!("{}\n{}\n{tenant}\n{}\n{key}", actor.subject(), actor.role.as_str(), self.route);
        Some(hex(&Sha256::digest(whole.as_bytes())))
    }
}

/// Takes the key, or gives what was made under it. Whoever asks at the same moment waits for the
/// transaction that has it.
async fn claim(
    transaction: &DatabaseTransaction,
    id: &str,
    digest: &str,
) -> Result<Option<idempotency_key::Model>, AdminError> {
    let now = OffsetDateTime::now_utc();
    idempotency_key::Entity::delete_many()
        .filter(idempotency_key::Column::CreatedAt.lt(now - KEPT))
        .exec(transaction)
        .await?;
    let row = idempotency_key::ActiveModel {
        id: Set(id.to_owned()),
        body_hash: Set(digest.to_owned()),
        status: Set(0),
        sealed: Set(None),
        created_at: Set(now),
    };
    let nothing = OnConflict::new().do_nothing().to_owned();
    match idempotency_key::Entity::insert(row).on_conflict(nothing).exec_without_returning(transaction).await {
        Ok(1..) => return Ok(None),
        Ok(_) | Err(DbErr::RecordNotInserted) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(idempotency_key::Entity::find_by_id(id).one(transaction).await?)
}

fn replay(
    control: &Control,
    id: &str,
    digest: &str,
    before: idempotency_key::Model,
) -> Result<Created<serde_json::Value>, AdminError> {
    if before.body_hash != digest {
        let detail = "This Idempotency-Key was used with another body.";
        return Err(AdminError::conflict("idempotency_key_reused", detail));
    }
    let sealed = before.sealed.unwrap_or_default();
    let plain = control.secrets.sealing.open(&sealed, &place(id)).map_err(|error| AdminError::internal(&error))?;
    serde_json::from_slice(&plain).map_err(|error| AdminError::internal(&error))
}

fn place(id: &str) -> String {
    binding("idempotency_keys", &[id])
}

fn as_json<T: Serialize>(created: &Created<T>) -> Result<Created<serde_json::Value>, AdminError> {
    let body = serde_json::to_value(&created.body).map_err(|error| AdminError::internal(&error))?;
    Ok(Created { body, location: created.location.clone(), version: created.version })
}

fn answer(created: &Created<serde_json::Value>, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, created.location.as_str()));
    if let Some(version) = created.version {
        response.insert_header((ETAG, etag::tag(version)));
    }
    if replayed {
        response.insert_header(("idempotent-replayed", "true"));
    }
    response.json(&created.body)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
