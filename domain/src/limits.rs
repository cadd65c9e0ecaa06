//! Named limits of what a peer may send, each with its reason.

/// Parts of one form. OpenAI's form has 14 fields, of which six may repeat.
pub const MAX_FORM_PARTS: usize = 64;
/// Bytes of one text field of a form. Known speaker references are data URLs of up to ten seconds.
pub const MAX_FORM_FIELD_BYTES: usize = 1024 * 1024;
/// Bytes of all text fields of a form together.
pub const MAX_FORM_TEXT_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a JSON request body (chat with images and audio inside).
pub const MAX_JSON_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of a JSON answer that is read whole.
pub const MAX_UPSTREAM_JSON_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of one WebSocket message from a client.
pub const MAX_CLIENT_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of one WebSocket message from a provider.
pub const MAX_UPSTREAM_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Fragments of one WebSocket message: a message in a million pieces is an attack.
pub const MAX_FRAGMENTS: usize = 1024;
/// Characters of a provider's message that are carried to the client.
pub const MAX_UPSTREAM_MESSAGE_CHARS: usize = 500;
