//! `/api/v1/tenants`

use admin_types::page::Page;
use admin_types::tenants::{CreateTenant, ListTenants, SuspendTenant, Tenant, UpdateTenant};
use uuid::Uuid;

use super::{Client, Failure, Versioned};

const PATH: &str = "/api/v1/tenants";

pub(crate) async fn list_tenants(client: &Client, query: &ListTenants) -> Result<Page<Tenant>, Failure> {
    client.list(PATH, query).await
}

pub(crate) async fn get_tenant(client: &Client, id: Uuid) -> Result<Versioned<Tenant>, Failure> {
    client.get_versioned(&format!("{PATH}/{id}")).await
}

pub(crate) async fn create_tenant(client: &Client, create: &CreateTenant) -> Result<Tenant, Failure> {
    client.create(PATH, create).await
}

pub(crate) async fn update_tenant(
    client: &Client,
    id: Uuid,
    change: &UpdateTenant,
    version: Option<&str>,
) -> Result<Versioned<Tenant>, Failure> {
    client.patch(&format!("{PATH}/{id}"), change, version).await
}

pub(crate) async fn delete_tenant(client: &Client, id: Uuid, version: Option<&str>) -> Result<(), Failure> {
    client.delete(&format!("{PATH}/{id}"), version).await
}

/// Nobody of it is served from then on.
pub(crate) async fn suspend_tenant(
    client: &Client,
    id: Uuid,
    why: &SuspendTenant,
) -> Result<Versioned<Tenant>, Failure> {
    client.post_versioned(&format!("{PATH}/{id}/suspend"), why, None).await
}

/// Takes a suspension back.
pub(crate) async fn resume_tenant(client: &Client, id: Uuid) -> Result<Versioned<Tenant>, Failure> {
    client.press_versioned(&format!("{PATH}/{id}/resume")).await
}
