//! `/api/v1/tokens`: personal access tokens.

use admin_types::page::Page;
use admin_types::tokens::{CreateToken, CreatedToken, ListTokens, Token};
use uuid::Uuid;

use super::{Client, Failure};

const PATH: &str = "/api/v1/tokens";

/// One's own tokens, and those of everybody whom one manages.
pub(crate) async fn list_tokens(client: &Client, query: &ListTokens) -> Result<Page<Token>, Failure> {
    client.list(PATH, query).await
}

/// Makes one; its secret is in this answer alone.
pub(crate) async fn create_token(client: &Client, create: &CreateToken) -> Result<CreatedToken, Failure> {
    client.create(PATH, create).await
}

/// Removes one.
pub(crate) async fn delete_token(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&format!("{PATH}/{id}"), None).await
}
