//! Errors, as RFC 9457 describes them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:antiphon:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the status means, always the same for one code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What a program decides by, such as `invalid`, `not_found` or `already_exists`.
    pub code: String,
    /// One or two sentences for a person.
    pub detail: String,
    /// As `x-request-id` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The fields that are at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Path of the field in the body, such as `targets[0].quality`, or the name of a query parameter.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}
