//! Alert rules, channels, alerts and messages.

pub(crate) mod channels;
pub(crate) mod deliveries;
pub(crate) mod events;
pub(crate) mod rules;

use admin_types::alerts::{AlertSort, AlertTimeSort};
use domain::ids::TenantId;
use uuid::Uuid;

use super::Scope;

/// How the orders are called on the wire, whether they are by name, and whether they are descending.
const fn order(sort: AlertSort) -> (&'static str, bool, bool) {
    match sort {
        AlertSort::CreatedAt => ("created_at", false, false),
        AlertSort::CreatedAtDescending => ("-created_at", false, true),
        AlertSort::Name => ("name", true, false),
        AlertSort::NameDescending => ("-name", true, true),
    }
}

const fn time_order(sort: AlertTimeSort) -> (&'static str, bool) {
    match sort {
        AlertTimeSort::CreatedAtDescending => ("-created_at", true),
        AlertTimeSort::CreatedAt => ("created_at", false),
    }
}

/// What the caller sees of the tenant it asks for; `None` where that is nothing.
fn narrowed(scope: Scope, tenant: Option<Uuid>) -> Option<Scope> {
    scope.narrow(tenant.map(TenantId))
}
