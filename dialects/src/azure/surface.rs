//! Azure's own paths: OpenAI's on the v1 paths, and the dated ones, which name the deployment.

use crate::openai::errors;
use crate::surface::{KeyPlace, Surface};

pub(crate) static SURFACE: Surface = Surface {
    prefix: "azure",
    in_base: "",
    openai_at: &["/openai/v1", "/openai/deployments/{deployment}", "/openai"],
    keys: &[KeyPlace::Header("api-key"), KeyPlace::Scheme("bearer")],
    routes: &[],
    headers: &["apim-request-id", "x-ms-region"],
    characters_header: None,
    key_fields: &[],
    error: errors::refused,
    event: None,
    error_header: None,
    priced_as: |_| None,
};
