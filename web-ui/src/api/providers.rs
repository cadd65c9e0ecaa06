//! `/api/v1/providers`, their credentials, and trying them out.

use admin_types::page::Page;
use admin_types::provider_tests::{ProviderTest, TestProvider};
use admin_types::providers::{
    CreateCredential, CreateProvider, Credential, DeleteProvider, ListCredentials, ListProviders, Provider,
    UpdateCredential, UpdateProvider,
};
use uuid::Uuid;

use super::wire::with_query;
use super::{Client, Failure, Versioned};
use crate::api::request::{Call, LONG_PATIENCE_MS};

const PATH: &str = "/api/v1/providers";

pub(crate) async fn list_providers(client: &Client, query: &ListProviders) -> Result<Page<Provider>, Failure> {
    client.list(PATH, query).await
}

pub(crate) async fn get_provider(client: &Client, id: Uuid) -> Result<Versioned<Provider>, Failure> {
    client.get_versioned(&format!("{PATH}/{id}")).await
}

pub(crate) async fn create_provider(client: &Client, create: &CreateProvider) -> Result<Provider, Failure> {
    client.create(PATH, create).await
}

pub(crate) async fn update_provider(
    client: &Client,
    id: Uuid,
    change: &UpdateProvider,
    version: Option<&str>,
) -> Result<Versioned<Provider>, Failure> {
    client.patch(&format!("{PATH}/{id}"), change, version).await
}

pub(crate) async fn delete_provider(
    client: &Client,
    id: Uuid,
    options: &DeleteProvider,
    version: Option<&str>,
) -> Result<(), Failure> {
    client.delete(&with_query(&format!("{PATH}/{id}"), options), version).await
}

/// Makes one real call for each operation, which costs a little and takes a while.
pub(crate) async fn test_provider(client: &Client, id: Uuid, test: &TestProvider) -> Result<ProviderTest, Failure> {
    let call = Call::post(format!("{PATH}/{id}/test")).json(test)?;
    client.json(call.patience_ms(LONG_PATIENCE_MS)).await
}

pub(crate) async fn list_credentials(
    client: &Client,
    provider: Uuid,
    query: &ListCredentials,
) -> Result<Page<Credential>, Failure> {
    client.list(&format!("{PATH}/{provider}/credentials"), query).await
}

pub(crate) async fn get_credential(
    client: &Client,
    provider: Uuid,
    id: Uuid,
) -> Result<Versioned<Credential>, Failure> {
    client.get_versioned(&format!("{PATH}/{provider}/credentials/{id}")).await
}

pub(crate) async fn create_credential(
    client: &Client,
    provider: Uuid,
    create: &CreateCredential,
) -> Result<Credential, Failure> {
    client.create(&format!("{PATH}/{provider}/credentials"), create).await
}

pub(crate) async fn update_credential(
    client: &Client,
    provider: Uuid,
    id: Uuid,
    change: &UpdateCredential,
    version: Option<&str>,
) -> Result<Versioned<Credential>, Failure> {
    client.patch(&format!("{PATH}/{provider}/credentials/{id}"), change, version).await
}

pub(crate) async fn delete_credential(
    client: &Client,
    provider: Uuid,
    id: Uuid,
    version: Option<&str>,
) -> Result<(), Failure> {
    client.delete(&format!("{PATH}/{provider}/credentials/{id}"), version).await
}
