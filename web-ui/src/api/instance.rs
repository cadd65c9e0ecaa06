//! `/api/v1/instance`: what everybody may know.

use admin_types::instance::Instance;

use super::{Failure, OpenClient};
use crate::api::request::Call;

/// The installation.
pub(crate) async fn get_instance(client: OpenClient) -> Result<Instance, Failure> {
    client.json(Call::get("/api/v1/instance")).await
}
