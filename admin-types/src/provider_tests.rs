//! Trying a provider out: one real call for each operation.

use domain::provider::Operation;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder};
use uuid::Uuid;

/// What is to be tried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestProvider {
    /// Which of its credentials, an enabled one or not; absent for the enabled one of the highest weight.
    #[serde(default)]
    pub credential_id: Option<Uuid>,
    /// Which operations; absent for every one that the provider's kind does.
    #[serde(default)]
    #[schema(schema_with = operations, required = false)]
    pub operations: Option<Vec<Operation>>,
    /// The provider's model, for exactly one operation; absent for one that costs little.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    pub model: Option<String>,
    /// Who is to speak, in the provider's words.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub voice: Option<String>,
}

fn operations() -> Array {
    let list = ArrayBuilder::new().items(crate::models::operation()).min_items(Some(1)).max_items(Some(6));
    list.unique_items(true).build()
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderTest {
    /// Whether every call succeeded.
    pub ok: bool,
    /// One entry for each operation.
    pub results: Vec<OperationTest>,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationTest {
    /// The credential that was used; `null` where the configuration holds it, or none is needed.
    pub credential_id: Option<Uuid>,
    /// What was tried.
    #[schema(schema_with = crate::models::operation)]
    pub operation: Operation,
    /// With which of the provider's models; `null` where none is known.
    pub model: Option<String>,
    /// Whether it succeeded.
    pub ok: bool,
    /// HTTP status of the provider's answer, where there was one.
    pub http_status: Option<u16>,
    /// Milliseconds until the first byte of what was asked for.
    pub first_byte_ms: Option<u64>,
    /// Milliseconds until the end.
    pub total_ms: u64,
    /// The provider's answer as text.
    pub text: Option<String>,
    /// The speech that came.
    pub speech: Option<TestSpeech>,
    /// Why it failed.
    pub error: Option<TestError>,
}

/// Speech that a provider made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestSpeech {
    /// Content type of the bytes.
    pub content_type: String,
    /// How many there are.
    pub length: u64,
    /// The bytes in base64; `null` where they are more than 256 KiB.
    pub base64: Option<String>,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestError {
    /// What a program decides by, such as `credential_refused`, `unreachable` or `timeout`.
    pub code: String,
    /// The provider's sentence or ours, without credentials.
    pub message: String,
}
