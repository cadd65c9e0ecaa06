//! Groq's own paths: OpenAI's, below a prefix of its own.

use crate::openai::errors;
use crate::surface::{KeyPlace, Surface};

pub(crate) static SURFACE: Surface = Surface {
    prefix: "groq",
    in_base: "/openai/v1",
    openai_at: &["/openai/v1"],
    keys: &[KeyPlace::Scheme("bearer")],
    routes: &[],
    headers: &[],
    characters_header: None,
    key_fields: &[],
    error: errors::refused,
    event: None,
    error_header: None,
    priced_as: |_| None,
};
