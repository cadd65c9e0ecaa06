//! `/api/v1/users`

use admin_types::page::Page;
use admin_types::users::{CreateUser, InvitedUser, ListUsers, OneTimeLink, UpdateUser, User};
use uuid::Uuid;

use super::{Client, Failure, Versioned};

const PATH: &str = "/api/v1/users";

pub(crate) async fn list_users(client: &Client, query: &ListUsers) -> Result<Page<User>, Failure> {
    client.list(PATH, query).await
}

pub(crate) async fn get_user(client: &Client, id: Uuid) -> Result<Versioned<User>, Failure> {
    client.get_versioned(&format!("{PATH}/{id}")).await
}

/// Invites somebody; the link is in this answer alone.
pub(crate) async fn create_user(client: &Client, create: &CreateUser) -> Result<InvitedUser, Failure> {
    client.create(PATH, create).await
}

pub(crate) async fn update_user(
    client: &Client,
    id: Uuid,
    change: &UpdateUser,
    version: Option<&str>,
) -> Result<Versioned<User>, Failure> {
    client.patch(&format!("{PATH}/{id}"), change, version).await
}

pub(crate) async fn delete_user(client: &Client, id: Uuid, version: Option<&str>) -> Result<(), Failure> {
    client.delete(&format!("{PATH}/{id}"), version).await
}

/// A link with which they set another password; it is in this answer alone.
pub(crate) async fn reset_password(client: &Client, id: Uuid) -> Result<OneTimeLink, Failure> {
    client.press(&format!("{PATH}/{id}/reset-password")).await
}
