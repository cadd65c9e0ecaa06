//! `/api/v1/providers/{id}/test`: one real call for each operation, as small as it can be.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use admin_types::problem::Problem;
use admin_types::provider_tests::{OperationTest, ProviderTest, TestProvider};
use dialects::registry;
use domain::ids::{CredentialId, ProviderId};
use domain::provider::{Operation, ProviderKind};
use entities::{Id, audit_entry, provider};
use futures_util::future::join_all;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter};
use time::OffsetDateTime;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::Control;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::extract::{Body, PathId};
use crate::ports::ProviderTrial;
use crate::repositories::credentials;
use crate::repositories::resource::{self, owner};

/// Tests that one user may start within [`WINDOW`], of providers and of channels: they cost money, or bother people.
const MAX_TESTS: u64 = 6;
const WINDOW: Duration = Duration::from_secs(60);
const MAX_MODEL_BYTES: usize = 256;
const MAX_VOICE_CHARS: usize = 128;
/// What the audit log calls it.
const PROVIDER: &str = "provider";
const OPERATIONS: [Operation; 6] = [
    Operation::Transcription,
    Operation::Translation,
    Operation::Speech,
    Operation::Realtime,
    Operation::Chat,
    Operation::Embeddings,
];

pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(test_provider);
}

/// Tries a provider out by real calls, which it may bill. No budget, breaker or usage record knows of them.
#[utoipa::path(tag = "providers", request_body = TestProvider, params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "What came of each call", body = ProviderTest),
    (status = 403, description = "It is the platform's", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that you may see", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is disabled, or has no credential that can be used", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field cannot be used", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "Too many tests within a minute", body = Problem, content_type = "application/problem+json"),
))]
#[post("/api/v1/providers/{id}/test")]
pub(crate) async fn test_provider(
    control: Data<Control>,
    actor: Actor,
    id: PathId,
    body: Body<TestProvider>,
) -> Result<HttpResponse, AdminError> {
    let asked = body.value;
    let row = resource::find::<provider::Entity>(&control.database, actor.scope(), id.0).await?;
    let owner = owner(row.tenant_id);
    actor.may_change(owner)?;
    let operations = operations(&row, &asked)?;
    if let Some(id) = asked.credential_id
        && credentials::of(row.id, id).one(&control.database).await?.is_none()
    {
        return Err(AdminError::field("credential_id", "is no credential of this provider"));
    }
    let what = serde_json::json!({"provider": row.name, "operations": operations});
    note(&control, &actor, Change::of("test", PROVIDER, row.id, owner).after(&what)).await?;
    let tried = operations.iter().map(|operation| {
        let trial = ProviderTrial {
            provider: ProviderId(row.id.0),
            credential: asked.credential_id.map(CredentialId),
            operation: *operation,
            model: asked.model.clone(),
            voice: asked.voice.clone(),
        };
        control.data_plane.test_provider(trial)
    });
    let results: Vec<OperationTest> = join_all(tried).await.into_iter().collect::<Result<_, _>>()?;
    let ok = results.iter().all(|result| result.ok);
    Ok(HttpResponse::Ok().json(ProviderTest { ok, results }))
}

/// Which operations are tried.
fn operations(row: &provider::Model, asked: &TestProvider) -> Result<Vec<Operation>, AdminError> {
    let kind: ProviderKind = row.kind.parse().map_err(|error| AdminError::internal(&error))?;
    if asked.model.as_ref().is_some_and(|model| !is_text(model, MAX_MODEL_BYTES)) {
        return Err(AdminError::field("model", format!("must be 1 to {MAX_MODEL_BYTES} characters of text")));
    }
    if asked.voice.as_ref().is_some_and(|voice| !is_text(voice, MAX_VOICE_CHARS)) {
        return Err(AdminError::field("voice", format!("must be 1 to {MAX_VOICE_CHARS} characters of text")));
    }
    let operations = match &asked.operations {
        // Without a name, only what has a model that every account of the kind has.
        None => OPERATIONS
            .into_iter()
            .filter(|operation| {
                let has = registry::provider(kind).is_some_and(|row| row.has(*operation));
                has && dialects::probes::trial(kind, *operation).is_some()
            })
            .collect(),
        Some(named) => named.clone(),
    };
    if operations.contains(&Operation::Passthrough) {
        return Err(AdminError::field("operations", "`passthrough` cannot be tried"));
    }
    let mut once = operations.clone();
    once.sort_unstable();
    once.dedup();
    if once.len() != operations.len() || operations.is_empty() {
        return Err(AdminError::field("operations", "name each operation once, and one at least"));
    }
    if asked.model.is_some() && operations.len() != 1 {
        return Err(AdminError::field("model", "is for exactly one operation: name it"));
    }
    Ok(operations)
}

fn is_text(text: &str, most: usize) -> bool {
    !text.is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control)
}

/// Writes down that a test is made, and refuses one too many. The audit log is what counts them, so that every
/// replica counts the same.
pub(super) async fn note(control: &Control, actor: &Actor, change: Change) -> Result<(), AdminError> {
    let transaction = control.begin().await?;
    let kind = change.kind;
    audit::append(&transaction, &actor.by(), change).await?;
    if tests_of(&transaction, actor, kind).await? > MAX_TESTS {
        transaction.rollback().await?;
        let what = if kind == PROVIDER { "Providers" } else { "Channels" };
        let detail = format!("{what} are tested at most {MAX_TESTS} times a minute.");
        return Err(AdminError::TooMany { detail, retry_after: WINDOW });
    }
    transaction.commit().await?;
    Ok(())
}

/// Tests of a kind that a user has started of late, whichever token they used. Ids are made in the order of time.
async fn tests_of(transaction: &DatabaseTransaction, actor: &Actor, kind: &str) -> Result<u64, AdminError> {
    let since = OffsetDateTime::now_utc() - WINDOW;
    let millis = u128::try_from(since.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    let count = audit_entry::Entity::find()
        .filter(audit_entry::Column::ObjectKind.eq(kind))
        .filter(audit_entry::Column::Action.eq("test"))
        .filter(audit_entry::Column::Id.gte(Id(Uuid::from_u128(millis << 80))))
        .filter(audit_entry::Column::ActorName.eq(actor.email.as_str()))
        .count(transaction)
        .await?;
    Ok(count)
}
