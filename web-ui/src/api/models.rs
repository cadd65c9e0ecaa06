//! `/api/v1/models`: the names that clients ask for, and what serves them.

use admin_types::models::{CreateModel, ListModels, Model, ReplaceModel, Simulate, Simulation};
use admin_types::page::Page;
use uuid::Uuid;

use super::{Client, Failure, Versioned};

const PATH: &str = "/api/v1/models";

pub(crate) async fn list_models(client: &Client, query: &ListModels) -> Result<Page<Model>, Failure> {
    client.list(PATH, query).await
}

pub(crate) async fn get_model(client: &Client, id: Uuid) -> Result<Versioned<Model>, Failure> {
    client.get_versioned(&format!("{PATH}/{id}")).await
}

pub(crate) async fn create_model(client: &Client, create: &CreateModel) -> Result<Versioned<Model>, Failure> {
    client.create_from(PATH, create, None).await
}

/// Changes everything.
pub(crate) async fn replace_model(
    client: &Client,
    id: Uuid,
    model: &ReplaceModel,
    version: Option<&str>,
) -> Result<Versioned<Model>, Failure> {
    client.put(&format!("{PATH}/{id}"), model, version).await
}

pub(crate) async fn delete_model(client: &Client, id: Uuid, version: Option<&str>) -> Result<(), Failure> {
    client.delete(&format!("{PATH}/{id}"), version).await
}

/// Which target would serve a call to the model that `simulate` names.
pub(crate) async fn simulate(client: &Client, simulate: &Simulate) -> Result<Simulation, Failure> {
    client.post(&format!("{PATH}/simulate"), simulate).await
}

/// Which target would serve a call to this model; `simulate` names none.
pub(crate) async fn simulate_model(client: &Client, id: Uuid, simulate: &Simulate) -> Result<Simulation, Failure> {
    client.post(&format!("{PATH}/{id}/simulate"), simulate).await
}
